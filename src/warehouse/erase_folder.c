/*
 * erase_folder - what an erasure leaves in the folder of a project: nothing but what the manifest
 * names.
 *
 * Layer 4, the keeper's thread. See erase_file.h.
 */
#include "warehouse/erase_file.h"
#include <stdlib.h>
#include <string.h>

enum err
erase_unlink(const char *path, struct diag *diag)
{
    const enum err err = file_unlink_gently(path, diag);

    return err == ERR_ABSENT ? ERR_OK : err;
}

static bool
is_in_manifest(const struct manifest *manifest, uint32_t number, bool is_types)
{
    if (is_types && manifest->learnt_count != 0 && manifest->learnt.number == number)
        return true;
    for (uint32_t i = 0; is_types && i < manifest->types_count; i++) {
        if (manifest->types[i].number == number)
            return true;
    }
    for (uint32_t i = 0; !is_types && i < manifest->file_count; i++) {
        if (manifest->files[i].number == number)
            return true;
    }
    return false;
}

enum err
erase_clear_folder(struct project *project, bool *ret_is_clean, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    enum err err = file_list_dir(project->dir, &list, diag);

    *ret_is_clean = true;
    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        const char *name = list.names[i];
        const bool is_learnt = strncmp(name, "learnt.", 7) == 0;
        const bool is_types = is_learnt || strncmp(name, "types.", 6) == 0;
        const unsigned long number =
            strtoul(is_types ? name + (is_learnt ? 7 : 6) : name, NULL, 10);
        char path[FILE_PATH_MAX];

        if ((!is_types && strstr(name, ".parquet") == NULL) ||
            is_in_manifest(&project->manifest, (uint32_t)number, is_types))
            continue;
        if (!is_types && file_lives_have(&project->dropped, (uint32_t)number))
            *ret_is_clean = false;
        else
            err = file_path(path, project->dir, name) ? erase_unlink(path, diag) : ERR_INVALID;
    }
    return err == ERR_OK ? file_sync_dir(project->dir, diag) : err;
}

enum err
erase_remove_folder(const struct project *project, bool *ret_is_gone, struct diag *diag)
{
    *ret_is_gone = atomic_load(&project->dropped_lexicons) == 0;
    /* runs of its own: rows came since */
    if (!*ret_is_gone || project->lexicon->persons.runs != NULL)
        return ERR_OK;
    return file_remove_tree(project->dir, diag);
}
