/*
 * replace - see replace.h.
 *
 * Layer 4, the keeper's thread. The inputs stay named and readable until manifest.json has been
 * replaced; only then are they dropped.
 */
#include "warehouse/replace.h"
#include <stdlib.h>
#include <string.h>

uint32_t
replace_number(struct project *project)
{
    uint32_t number = 0;

    pthread_mutex_lock(&project->seal_lock);
    number = project->next_number++;
    pthread_mutex_unlock(&project->seal_lock);
    return number;
}

static int
compare_seq_min(const void *a, const void *b)
{
    const struct manifest_file *left = a, *right = b;

    if (left->seq_min != right->seq_min)
        return left->seq_min < right->seq_min ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

static bool
is_input(const struct replacement *replacement, uint32_t number)
{
    for (uint32_t i = 0; i < replacement->input_count; i++) {
        if (replacement->inputs[i]->facts.number == number)
            return true;
    }
    return false;
}

/* The manifest's files with the inputs replaced by the outputs, and what is told of all of them. */
static void
change_manifest(const struct replacement *replacement, struct manifest *manifest)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < manifest->file_count; i++) {
        if (!is_input(replacement, manifest->files[i].number))
            manifest->files[kept++] = manifest->files[i];
    }
    if (replacement->output_count != 0)
        memcpy(manifest->files + kept, replacement->outputs,
               replacement->output_count * sizeof(replacement->outputs[0]));
    manifest->file_count = kept + replacement->output_count;
    qsort(manifest->files, manifest->file_count, sizeof(*manifest->files), compare_seq_min);
    manifest->rows = 0;
    manifest->received_min_us = 0;
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct manifest_file *file = &manifest->files[i];

        manifest->rows += file->rows;
        if (i == 0 || file->received_min_us < manifest->received_min_us)
            manifest->received_min_us = file->received_min_us;
    }
}

/* A set in the manifest's order: files that are known already, and new ones. */
static enum err
set_of(const struct project *project, const struct manifest *manifest, struct file_set **ret_set)
{
    CLEANUP(mem_free_ptr)
    struct data_file **files = MEM_NEW(struct data_file *, (size_t)manifest->file_count + 1);
    enum err err = files != NULL ? ERR_OK : ERR_NOMEM;

    for (uint32_t i = 0; err == ERR_OK && i < manifest->file_count; i++) {
        for (uint32_t k = 0; k < project->set->count && files[i] == NULL; k++) {
            if (project->set->files[k]->facts.number == manifest->files[i].number)
                files[i] = data_file_hold(project->set->files[k]);
        }
        if (files[i] == NULL) {
            err = data_file_new(project->dir, &manifest->files[i], &files[i]);
            if (err == ERR_OK)
                atomic_store(&files[i]->check, FILE_SOUND); /* written and read back just now */
        }
    }
    if (err == ERR_OK)
        err = file_set_new(files, manifest->file_count, ret_set);
    for (uint32_t i = 0; files != NULL && i < manifest->file_count; i++)
        data_file_release(&files[i]);
    return err;
}

enum err
replace_files(const struct replacement *replacement, struct diag *diag)
{
    struct project *project = replacement->project;
    CLEANUP(file_set_release) struct file_set *set = NULL;
    CLEANUP(manifest_fini) struct manifest manifest = {0};
    uint64_t rows_before = 0;
    enum err err = ERR_OK;

    pthread_mutex_lock(&project->seal_lock);
    if (project->lexicon != replacement->lexicon)
        err = ERR_CANCELLED;
    if (err == ERR_OK)
        err = manifest_copy(&project->manifest, replacement->output_count, &manifest);
    if (err == ERR_OK) {
        rows_before = manifest.rows;
        change_manifest(replacement, &manifest);
        manifest.next_number = project->next_number;
        err = set_of(project, &manifest, &set);
    }
    if (err == ERR_OK)
        err = project_publish(project, &manifest, &set, NULL, diag);
    if (err == ERR_OK)
        atomic_fetch_sub(&project->warehouse->rows, rows_before - project->manifest.rows);
    for (uint32_t i = 0; err == ERR_OK && i < replacement->input_count; i++)
        data_file_drop(replacement->inputs[i], &project->dropped);
    pthread_mutex_unlock(&project->seal_lock);
    return err;
}

void
replace_drop_outputs(const struct replacement *replacement)
{
    for (uint32_t i = 0; i < replacement->output_count; i++) {
        struct data_file *file = NULL;

        if (data_file_new(replacement->project->dir, &replacement->outputs[i], &file) != ERR_OK)
            continue; /* it is removed when the project is opened next */
        atomic_store(&file->is_dropped, true);
        data_file_release(&file);
    }
}
