/*
 * reset - what a project has is let go: to be loaded again from the store, or for good.
 *
 * Layer 4, the loader's thread. What views hold goes with the last of them.
 */
#include "warehouse/inside.h"
#include <stdio.h>

/* From here on a start finds no manifest, and loads the project again. */
static enum err
remove_manifest(const struct project *project, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    enum err err = ERR_OK;

    if (!file_path(path, project->dir, "manifest.json"))
        return ERR_INVALID;
    if (!file_exists(path))
        return ERR_OK;
    err = file_unlink(path, diag);
    return err == ERR_OK ? file_sync_dir(project->dir, diag) : err;
}

/* Under seal_lock. What views still hold goes with the last of them; `set` and so on become the old
 * ones. */
static void
replace_all(struct project *project, struct file_set **set, struct lexicon **lexicon,
            struct tail **tail, bool is_rebuilding)
{
    struct file_set *old_set = project->set;
    struct lexicon *old_lexicon = project->lexicon;
    struct tail *old_tail = project->tail;

    atomic_fetch_add(&project->dropped_lexicons, 1);
    atomic_store(&old_lexicon->is_dropped, true);
    for (uint32_t i = 0; i < old_set->count; i++)
        data_file_drop(old_set->files[i], &project->dropped);
    pthread_mutex_lock(&project->lock);
    project->set = *set;
    project->lexicon = *lexicon;
    project->tail = *tail;
    project->tail_rows = 0;
    project->type_count = 0;
    project->person_count = 0;
    project->sealed_rows = 0;
    if (is_rebuilding) {
        project->is_withheld = false;
        project->waiting_us = project->received_min_us; /* its first row is the next to come */
        project->is_rebuilding = true;
        project->covered = (struct store_position){0};
    }
    project->received_min_us = 0;
    pthread_mutex_unlock(&project->lock);
    *set = old_set;
    *lexicon = old_lexicon;
    *tail = old_tail;
}

enum err
project_reset(struct project *project, struct diag *diag)
{
    CLEANUP(tail_release) struct tail *tail = NULL;
    CLEANUP(file_set_release) struct file_set *set = NULL;
    CLEANUP(lexicon_release) struct lexicon *lexicon = NULL;
    const uint32_t epoch = project->manifest.epoch + 1;
    const bool had_files = project->set->count != 0;
    enum err err = tail_new(&tail);

    if (err == ERR_OK)
        err = project_make_empty(project, epoch, &set, &lexicon);
    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&project->seal_lock);
    err = remove_manifest(project, diag);
    if (err == ERR_OK) {
        atomic_fetch_sub(&project->warehouse->rows, project->sealed_rows + project->tail_rows);
        replace_all(project, &set, &lexicon, &tail, true);
        manifest_fini(&project->manifest);
        project->manifest.generation = project->warehouse->generation;
        project->manifest.project_id = project->id;
        project->manifest.epoch = epoch;
        project->loaded = (struct store_position){0};
        project->loaded_seq = 0;
        project->broken = ERR_OK;
        /* Met at the opening: nobody holds anything of it, and what stands there is of no use. */
        if (!had_files && file_exists(project->dir))
            err = project_tidy(project, diag);
    }
    pthread_mutex_unlock(&project->seal_lock);
    return err;
}

/* Names of types, and what was learnt, are read at the opening only: nobody holds the files. */
static enum err
unlink_names(const struct project *project, const struct manifest *manifest, struct diag *diag)
{
    enum err err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < manifest->types_count; i++) {
        char name[32], path[FILE_PATH_MAX];

        snprintf(name, sizeof(name), "types.%u", (unsigned)manifest->types[i].number);
        err = file_path(path, project->dir, name) ? file_unlink(path, diag) : ERR_INVALID;
        if (err == ERR_ABSENT)
            err = ERR_OK;
    }
    return err == ERR_OK ? learnt_unlink(project->dir, manifest, diag) : err;
}

/* Under seal_lock. */
static enum err
remove_empty(struct project *project, struct file_set **set, struct lexicon **lexicon,
             struct tail **tail, uint32_t epoch, struct diag *diag)
{
    const uint64_t number = project->manifest.number;
    enum err err = ERR_OK;

    project->manifest.number = 0; /* the checkpoint must not ask for it */
    err = checkpoint_write(project->warehouse, diag);
    if (err == ERR_OK)
        err = remove_manifest(project, diag);
    if (err != ERR_OK) {
        project->manifest.number = number;
        return err;
    }
    atomic_fetch_sub(&project->warehouse->tail_bytes, project->tail->bytes);
    replace_all(project, set, lexicon, tail, false);
    err = unlink_names(project, &project->manifest, diag);
    manifest_fini(&project->manifest);
    project->manifest.generation = project->warehouse->generation;
    project->manifest.project_id = project->id;
    project->manifest.epoch = epoch;
    return err;
}

enum err
project_remove(struct project *project, const struct lexicon *of_lexicon, struct diag *diag)
{
    CLEANUP(tail_release) struct tail *tail = NULL;
    CLEANUP(file_set_release) struct file_set *set = NULL;
    CLEANUP(lexicon_release) struct lexicon *lexicon = NULL;
    const uint32_t epoch = project->manifest.epoch + 1;
    enum err err = tail_new(&tail);

    if (err == ERR_OK)
        err = project_make_empty(project, epoch, &set, &lexicon);
    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&project->seal_lock);
    if (project->lexicon == of_lexicon && project->manifest.number != 0 &&
        project->manifest.rows == 0 && project->tail->rows == 0)
        err = remove_empty(project, &set, &lexicon, &tail, epoch, diag);
    pthread_mutex_unlock(&project->seal_lock);
    return err;
}

/* The types no row of the tail has, of those that no file has; false: none with a name. */
static bool
keep_types_of_tail(const struct tail *tail, const struct types *types, bool *is_gone,
                   uint32_t type_count)
{
    bool is_any = false;

    for (const struct tail_block *block = tail->first; block != NULL; block = block->next) {
        for (uint32_t i = 0; i < block->capacity && block->first_row + i < tail->rows; i++) {
            if (block->type_id[i] < type_count)
                is_gone[block->type_id[i]] = false;
        }
    }
    for (uint32_t id = 0; id < type_count && !is_any; id++)
        is_any = is_gone[id] && types_name(types, id).len != 0;
    return is_any;
}

/* What the manifest's file has learnt, without the types that go, as a new file. Memory has more
 * than that: the rows of the tail. */
static enum err
rewrite_learnt(const struct project *project, const bool *is_gone, uint32_t type_count,
               struct manifest *manifest, struct diag *diag)
{
    CLEANUP(learnt_free) struct learnt *learnt = NULL;
    enum err err = learnt_new(&learnt);

    if (err == ERR_OK)
        err = learnt_read(learnt, project->dir, manifest, diag);
    if (err != ERR_OK)
        return err;
    learnt_forget(learnt, is_gone, type_count);
    return learnt_write(learnt, project->dir, manifest, diag);
}

/* Under seal_lock: the names that stay as one new file, named by the manifest; then the old files
 * go. */
static enum err
replace_types(struct project *project, struct types **types, const bool *is_gone,
              uint32_t type_count, struct diag *diag)
{
    CLEANUP(file_set_release) struct file_set *set = file_set_hold(project->set);
    CLEANUP(manifest_fini) struct manifest manifest = {0};
    struct manifest old = project->manifest; /* its types; the files are not looked at */
    enum err err = manifest_copy(&project->manifest, 0, &manifest);

    if (err != ERR_OK)
        return err;
    manifest.types_count = 0;
    manifest.type_count = 0;
    manifest.next_number = project->next_number;
    err = lexicon_write_types(*types, project->dir, &manifest, diag);
    if (err == ERR_OK)
        err = rewrite_learnt(project, is_gone, type_count, &manifest, diag);
    project->next_number = manifest.next_number;
    if (err == ERR_OK)
        err = project_publish(project, &manifest, &set, NULL, diag);
    if (err != ERR_OK)
        return err;
    learnt_forget(project->lexicon->learnt, is_gone, type_count);
    pthread_mutex_lock(&project->lock);
    struct types *old_types = project->lexicon->types;
    project->lexicon->types = *types;
    *types = old_types;
    pthread_mutex_unlock(&project->lock);
    return unlink_names(project, &old, diag);
}

enum err
project_forget_types(struct project *project, const struct lexicon *of_lexicon,
                     uint64_t manifest_number, bool *is_gone, uint32_t type_count,
                     struct diag *diag)
{
    CLEANUP(types_release) struct types *types = NULL;
    CLEANUP(mem_free_ptr) bool *is_hole = NULL;
    enum err err = ERR_OK;

    pthread_mutex_lock(&project->seal_lock);
    if (project->lexicon == of_lexicon && project->manifest.number == manifest_number &&
        keep_types_of_tail(project->tail, project->lexicon->types, is_gone, type_count)) {
        is_hole = MEM_NEW(bool, (size_t)project->lexicon->types->count + 1);
        if (is_hole == NULL)
            err = ERR_NOMEM;
        for (uint32_t id = 0; err == ERR_OK && id < type_count; id++)
            is_hole[id] = is_gone[id];
        if (err == ERR_OK)
            err = types_copy(project->lexicon->types, is_hole, &types);
        if (err == ERR_OK)
            err = replace_types(project, &types, is_hole, type_count, diag);
    }
    pthread_mutex_unlock(&project->seal_lock);
    return err;
}
