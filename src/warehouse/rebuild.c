/*
 * rebuild - what is derived is discarded and loaded again: of damaged projects, or of all.
 *
 * Layer 4, the loader's thread.
 *
 * A damaged project, or one that may hold what was erased (reload.c): the checkpoint says that
 * reading starts over, then its manifest goes, then the checkpoint asks for it no more; the others
 * skip what they have (load.c). A kill in between: the start misses the manifest, and begins again.
 *
 * A store that went back to an older state (ERR_STALE): first the checkpoint is made void, durably,
 * so that from then on a start discards whatever it finds; then every project is reset, a true
 * checkpoint is written, and all is read again from the first position. Views that are open keep
 * what they hold.
 */
#include "warehouse/inside.h"
#include <stdlib.h>
#include <string.h>

/* Those that need it, in memory of their own; more projects may be opened meanwhile, by anyone. */
static enum err
list_flagged(struct warehouse *warehouse, struct project ***ret_projects, uint32_t *ret_count)
{
    struct project **projects = NULL;

    *ret_count = 0;
    pthread_mutex_lock(&warehouse->projects_lock);
    projects = MEM_NEW(struct project *, (size_t)warehouse->project_count + 1);
    for (uint32_t i = 0; projects != NULL && i < warehouse->project_slots; i++) {
        struct project *project = warehouse->projects[i];

        if (project != NULL && atomic_load(&project->needs_rebuild))
            projects[(*ret_count)++] = project;
    }
    pthread_mutex_unlock(&warehouse->projects_lock);
    *ret_projects = projects;
    return projects != NULL ? ERR_OK : ERR_NOMEM;
}

enum err
load_rebuild_damaged(struct warehouse *warehouse, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct project **projects = NULL;
    uint32_t count = 0;
    enum err err = ERR_OK;

    atomic_store(&warehouse->has_damage, false);
    /* First the checkpoint says that reading starts over: only then may a manifest go. */
    warehouse->cursor = (struct store_position){0};
    if (!warehouse->is_stale)
        warehouse->cursor = store_first_position(warehouse->config.store);
    pthread_mutex_lock(&warehouse->progress_lock);
    warehouse->is_rebuilding = true;
    pthread_mutex_unlock(&warehouse->progress_lock);
    if (!warehouse->is_stale) /* else it is void */
        err = checkpoint_write(warehouse, diag);
    if (err == ERR_OK)
        err = list_flagged(warehouse, &projects, &count);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        load_drop_tail(warehouse, projects[i]);
        err = project_reset(projects[i], diag);
        if (err == ERR_OK)
            atomic_store(&projects[i]->needs_rebuild, false);
    }
    if (err == ERR_OK && !warehouse->is_stale)
        err = checkpoint_write(warehouse, diag);
    if (err != ERR_OK)
        atomic_store(&warehouse->has_damage, true);
    return err;
}

/* Every project that was ever loaded, opened: those in memory, in the folder and in the checkpoint.
 */
static enum err
open_all_projects(struct warehouse *warehouse, struct diag *diag)
{
    const struct checkpoint *checkpoint = warehouse->checkpoint;
    CLEANUP(file_list_free) struct file_list list = {0};
    struct project *project = NULL;
    enum err err = file_list_dir(warehouse->dir, &list, diag);

    for (uint32_t i = 0; err == ERR_OK && checkpoint != NULL && i < checkpoint->project_count; i++)
        err = project_get(warehouse, checkpoint->projects[i].project_id, &project, diag);
    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        char *end = NULL;
        const unsigned long id = strtoul(list.names[i], &end, 10);

        if (end != list.names[i] && *end == '\0' && id <= UINT32_MAX)
            err = project_get(warehouse, (uint32_t)id, &project, diag);
    }
    return err;
}

/* What was loaded is no longer true: told so at once, before anything is removed. */
static void
forget_progress(struct warehouse *warehouse)
{
    int64_t oldest_us = clock_wall_us(warehouse->config.clock);

    pthread_mutex_lock(&warehouse->projects_lock);
    warehouse->durable_at_open = store_durable(warehouse->config.store);
    warehouse->generation = warehouse->durable_at_open.generation;
    for (uint32_t i = 0; i < warehouse->project_slots; i++) {
        struct project *project = warehouse->projects[i];

        if (project == NULL)
            continue;
        atomic_store(&project->needs_rebuild, true);
        pthread_mutex_lock(&project->lock);
        if (project->received_min_us != 0 && project->received_min_us < oldest_us)
            oldest_us = project->received_min_us;
        pthread_mutex_unlock(&project->lock);
    }
    pthread_mutex_unlock(&warehouse->projects_lock);
    atomic_store(&warehouse->has_damage, true);
    pthread_mutex_lock(&warehouse->progress_lock);
    warehouse->loaded = warehouse->current = (struct store_position){0};
    warehouse->newest_received_us = 0;
    warehouse->oldest_waiting_us = oldest_us;
    warehouse->is_held = false;
    pthread_cond_broadcast(&warehouse->progress_changed);
    pthread_mutex_unlock(&warehouse->progress_lock);
}

enum err
load_discard_all(struct warehouse *warehouse, struct diag *diag)
{
    enum err err = checkpoint_void(warehouse, diag);

    if (err == ERR_OK)
        err = open_all_projects(warehouse, diag);
    if (err != ERR_OK)
        return err;
    forget_progress(warehouse);
    err = load_rebuild_damaged(warehouse, diag);
    if (err != ERR_OK)
        return err;
    err = checkpoint_write(warehouse, diag);
    if (err == ERR_OK)
        warehouse->is_stale = false;
    return err;
}
