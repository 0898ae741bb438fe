/*
 * checkpoint - one file that says how far every project is sealed, and which projects there must
 * be.
 *
 * Layer 4, the loader's thread. A start reads the store on from there; what a project's manifest
 * covers is skipped. The text is manifest.c's. A checkpoint of a position that no store reaches is
 * void: a start that finds it discards all that was derived (find_start in warehouse.c).
 */
#include "warehouse/inside.h"
#include <stdlib.h>

/* Every project is sealed up to here: the least of the tails' beginnings, or the cursor. */
static struct store_position
sealed_position(const struct warehouse *warehouse)
{
    struct store_position least = warehouse->cursor;

    for (const struct project *project = warehouse->active; project != NULL;
         project = project->next_active) {
        if (position_reached(project->tail_floor, least))
            least = project->tail_floor;
    }
    return least;
}

static int
compare_projects(const void *a, const void *b)
{
    const uint32_t left = ((const struct checkpoint_project *)a)->project_id;
    const uint32_t right = ((const struct checkpoint_project *)b)->project_id;

    return (left > right) - (left < right);
}

/* Projects that are open, and those the last checkpoint knew that are not. Under projects_lock. */
static enum err
list_projects(struct warehouse *warehouse, struct checkpoint *checkpoint)
{
    const struct checkpoint *old = warehouse->checkpoint;
    const size_t most = (size_t)warehouse->project_count + (old != NULL ? old->project_count : 0);
    struct checkpoint_project *projects = MEM_NEW(struct checkpoint_project, most + 1);
    uint32_t count = 0;

    if (projects == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < warehouse->project_slots; i++) {
        const struct project *project = warehouse->projects[i];

        if (project != NULL && project->manifest.number != 0)
            projects[count++] = (struct checkpoint_project){project->id, project->manifest.number,
                                                            project->manifest.rows};
    }
    for (uint32_t i = 0; old != NULL && i < old->project_count; i++) {
        bool is_open = false;

        for (uint32_t k = 0; k < warehouse->project_slots && !is_open; k++)
            is_open = warehouse->projects[k] != NULL &&
                      warehouse->projects[k]->id == old->projects[i].project_id;
        if (!is_open)
            projects[count++] = old->projects[i];
    }
    qsort(projects, count, sizeof(*projects), compare_projects);
    checkpoint->projects = projects;
    checkpoint->project_count = count;
    return ERR_OK;
}

static enum err
write_file(const struct warehouse *warehouse, const struct checkpoint *checkpoint,
           struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct buf buf;
    enum err err = ERR_NOMEM;

    if (!file_path(path, warehouse->dir, "checkpoint.json"))
        return ERR_INVALID;
    buf_init(&buf, SIZE_MAX);
    checkpoint_format(checkpoint, &buf);
    err = buf_failed(&buf) ? ERR_NOMEM : file_replace_whole(path, buf_slice(&buf), diag);
    buf_fini(&buf);
    return err;
}

enum err
checkpoint_write(struct warehouse *warehouse, struct diag *diag)
{
    CLEANUP(checkpoint_free) struct checkpoint *checkpoint = MEM_NEW(struct checkpoint, 1);
    enum err err = ERR_OK;

    if (checkpoint == NULL)
        return ERR_NOMEM;
    checkpoint->position = sealed_position(warehouse);
    pthread_mutex_lock(&warehouse->projects_lock);
    err = list_projects(warehouse, checkpoint);
    pthread_mutex_unlock(&warehouse->projects_lock);
    return err == ERR_OK ? write_file(warehouse, checkpoint, diag) : err;
}

enum err
checkpoint_void(struct warehouse *warehouse, struct diag *diag)
{
    static const struct checkpoint beyond = {.position = {UINT64_MAX, UINT64_MAX, UINT64_MAX}};

    return write_file(warehouse, &beyond, diag);
}
