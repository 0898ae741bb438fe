/*
 * reload - a project that may hold what was erased is let go of, and loaded anew from the store.
 *
 * Layer 4, the keeper's thread. The loader discards it as it does a damaged one (rebuild.c): the
 * checkpoint says that reading starts over, then the manifest goes, so a kill in between leaves
 * nothing half done. What is withheld until then is known in memory only: who asked for it asks
 * again after a start.
 */
#include "warehouse/erase_file.h"

static bool
is_withheld(struct project *project)
{
    bool is = false;

    pthread_mutex_lock(&project->lock);
    is = project->is_withheld;
    pthread_mutex_unlock(&project->lock);
    return is;
}

enum err
warehouse_reload(struct warehouse *warehouse, uint32_t project_id, struct diag *diag)
{
    struct project *project = NULL;
    enum err err = project_get(warehouse, project_id, &project, diag);

    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&project->lock);
    project->is_withheld = true;
    pthread_mutex_unlock(&project->lock);
    project_flag(project);
    return ERR_OK;
}

/* Under seal_lock, nothing being left of what was there before. A project without a row has no
 * folder, once it is known that none comes. */
static enum err
clear_empty(struct project *project, bool *ret_is_done, struct diag *diag)
{
    bool is_empty = false, is_rebuilding = false;

    pthread_mutex_lock(&project->lock);
    is_empty = project->set->count == 0 && project->tail_rows == 0;
    is_rebuilding = project->is_rebuilding;
    pthread_mutex_unlock(&project->lock);
    *ret_is_done = !is_empty || !is_rebuilding;
    if (!is_empty || is_rebuilding || project->manifest.number != 0 || !file_exists(project->dir))
        return ERR_OK;
    return erase_remove_folder(project, ret_is_done, diag);
}

enum err
warehouse_reload_step(struct warehouse *warehouse, uint32_t project_id, bool *ret_is_done,
                      struct diag *diag)
{
    struct project *project = NULL;
    bool is_clean = true;
    enum err err = project_get(warehouse, project_id, &project, diag);

    *ret_is_done = false;
    if (err != ERR_OK || atomic_load(&project->needs_rebuild))
        return err;
    if (is_withheld(project)) { /* flagged while the loader ended an older reset */
        project_flag(project);
        return ERR_OK;
    }
    pthread_mutex_lock(&project->seal_lock);
    if (file_exists(project->dir))
        err = erase_clear_folder(project, &is_clean, diag);
    if (err == ERR_OK && is_clean && atomic_load(&project->dropped_lexicons) == 0)
        err = clear_empty(project, ret_is_done, diag);
    pthread_mutex_unlock(&project->seal_lock);
    return err;
}
