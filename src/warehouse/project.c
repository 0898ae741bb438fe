/*
 * project - one project's derived data: opened lazily, discarded and loaded again where it cannot
 * be trusted.
 *
 * Layer 4. project_get: any thread (under projects_lock).
 *
 * A project is trusted if its manifest has a right checksum, is of this layout, covers no more than
 * the store held when the program started (which positions of another store never do), is no older
 * than the checkpoint knows, and its files are all there with their sizes, its types and persons
 * whole. Everything else is damage: the project starts empty, is flagged, and the loader reads the
 * store again for it (reset.c). The Parquet files' checksums are taken at their first use.
 */
#include "warehouse/inside.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROJECTS_FIRST 16

void
project_free(struct project **project_place)
{
    struct project *project = *project_place;

    *project_place = NULL;
    if (project == NULL)
        return;
    file_set_release(&project->set);
    lexicon_release(&project->lexicon);
    tail_release(&project->tail);
    file_lives_free(&project->dropped);
    manifest_fini(&project->manifest);
    pthread_mutex_destroy(&project->lock);
    pthread_mutex_destroy(&project->seal_lock);
    mem_free(project);
}

/* What the checkpoint knew of the project at start; zeros: nothing. */
static struct checkpoint_project
known_project(const struct warehouse *warehouse, uint32_t project_id)
{
    const struct checkpoint *checkpoint = warehouse->checkpoint;

    for (uint32_t i = 0; checkpoint != NULL && i < checkpoint->project_count; i++) {
        if (checkpoint->projects[i].project_id == project_id)
            return checkpoint->projects[i];
    }
    return (struct checkpoint_project){.project_id = project_id};
}

/* manifest.json, if it can be trusted. ERR_ABSENT: there is none, and there need be none. */
static enum err
read_manifest(const struct project *project, struct manifest *ret_manifest, struct diag *diag)
{
    const struct warehouse *warehouse = project->warehouse;
    const uint64_t number = known_project(warehouse, project->id).number;
    struct manifest manifest = {0};
    char path[FILE_PATH_MAX];
    struct buf buf;
    enum err err = ERR_INVALID;

    buf_init(&buf, MANIFEST_BYTES_MAX);
    if (file_path(path, project->dir, "manifest.json"))
        err = file_read_whole(path, MANIFEST_BYTES_MAX, &buf, diag);
    if (err == ERR_ABSENT && number != 0) {
        diag_set(diag, "%s: missing", path);
        err = ERR_CORRUPT;
    } else if (err == ERR_OK) {
        err = manifest_parse(buf_slice(&buf), &manifest, diag);
    }
    buf_fini(&buf);
    if (err != ERR_OK)
        return err == ERR_INVALID || err == ERR_FULL ? ERR_CORRUPT : err;
    if (manifest.project_id != project->id) {
        diag_set(diag, "%s: of another project", path);
        err = ERR_CORRUPT;
    } else if (!position_reached(manifest.covered, warehouse->durable_at_open)) {
        diag_set(diag, "%s: made from another store, or from more than this one holds", path);
        err = ERR_CORRUPT;
    } else if (manifest.number < number) {
        diag_set(diag, "%s: older than the checkpoint", path);
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK)
        manifest_fini(&manifest);
    else
        *ret_manifest = manifest;
    return err;
}

static enum err
check_size(const char *path, uint64_t bytes, struct diag *diag)
{
    uint64_t found = 0;
    enum err err = file_size_of_path(path, &found, diag);

    if (err == ERR_ABSENT || (err == ERR_OK && found != bytes)) {
        diag_set(diag, "%s: missing or of another size", path);
        return ERR_CORRUPT;
    }
    return err;
}

static enum err
set_of_manifest(const struct project *project, const struct manifest *manifest,
                struct file_set **ret_set, struct diag *diag)
{
    CLEANUP(mem_free_ptr)
    struct data_file **files = MEM_NEW(struct data_file *, (size_t)manifest->file_count + 1);
    enum err err = files != NULL ? ERR_OK : ERR_NOMEM;
    uint32_t made = 0;

    for (; err == ERR_OK && made < manifest->file_count; made++) {
        err = data_file_new(project->dir, &manifest->files[made], &files[made]);
        if (err != ERR_OK)
            break;
        err = check_size(files[made]->rows_path, manifest->files[made].bytes, diag);
        if (err == ERR_OK)
            err = check_size(files[made]->first_path, manifest->files[made].first_bytes, diag);
    }
    if (err == ERR_OK)
        err = file_set_new(files, made, ret_set);
    for (uint32_t i = 0; files != NULL && i < manifest->file_count; i++)
        data_file_release(&files[i]);
    return err;
}

/* Everything the manifest names, opened; nothing of the project is changed on error. */
static enum err
open_manifest(struct project *project, struct manifest *manifest, struct diag *diag)
{
    CLEANUP(lexicon_release) struct lexicon *lexicon = NULL;
    CLEANUP(file_set_release) struct file_set *set = NULL;
    enum err err = set_of_manifest(project, manifest, &set, diag);

    if (err == ERR_OK)
        err = lexicon_new(project, manifest->generation, manifest->epoch, &lexicon);
    if (err == ERR_OK)
        err = lexicon_read_types(lexicon, project->dir, manifest, diag);
    if (err == ERR_OK)
        err = learnt_read(lexicon->learnt, project->dir, manifest, diag);
    if (err == ERR_OK) {
        const struct persons_runs runs = {lexicon->runs_dir, lexicon->runs_owner};

        err = persons_open_runs(&lexicon->persons, &runs, manifest->persons, diag);
    }
    if (err != ERR_OK)
        return err;
    project->set = MOVE(set);
    project->lexicon = MOVE(lexicon);
    project->manifest = *manifest;
    *manifest = (struct manifest){0};
    project->type_count = project->manifest.type_count;
    project->person_count = project->manifest.persons;
    project->sealed_rows = project->manifest.rows;
    project->received_min_us = project->manifest.received_min_us;
    project->loaded = project->manifest.covered;
    project->loaded_seq = project->manifest.seq_max;
    project->next_number = project->manifest.next_number;
    return ERR_OK;
}

/* The number in a name of ours ("0000000012.first.parquet", "types.3"); 0: none. */
static uint32_t
number_in(const char *name)
{
    const char *digits = strncmp(name, "types.", 6) == 0    ? name + 6
                         : strncmp(name, "learnt.", 7) == 0 ? name + 7
                                                            : name;
    char *end = NULL;
    const unsigned long number = strtoul(digits, &end, 10);

    return end == digits || number >= UINT32_MAX ? 0 : (uint32_t)number;
}

static bool
is_named(const struct project *project, const char *name)
{
    const struct manifest *manifest = &project->manifest;
    const uint32_t number = number_in(name);
    const char *ending = strchr(name, '.');
    const char *runs = strrchr(project->lexicon->runs_dir, '/') + 1;

    if (strcmp(name, "manifest.json") == 0 || strcmp(name, runs) == 0)
        return true;
    if (ending == NULL || strstr(name, ".tmp") != NULL)
        return false;
    if (strncmp(name, "types.", 6) == 0) {
        for (uint32_t i = 0; i < manifest->types_count; i++) {
            if (manifest->types[i].number == number)
                return true;
        }
        return false;
    }
    if (strncmp(name, "learnt.", 7) == 0)
        return manifest->learnt_count != 0 && manifest->learnt.number == number;
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        if (manifest->files[i].number == number)
            return true;
    }
    return false;
}

enum err
project_tidy(struct project *project, struct diag *diag)
{
    struct file_list list = {0};
    enum err err = file_list_dir(project->dir, &list, diag);

    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        char path[FILE_PATH_MAX];
        const uint32_t number = number_in(list.names[i]);

        if (number >= project->next_number && number != 0)
            project->next_number = number + 1;
        if (is_named(project, list.names[i]) || !file_path(path, project->dir, list.names[i]))
            continue;
        if (strncmp(list.names[i], "persons-", 8) == 0) {
            const uint32_t epoch = number_in(list.names[i] + 8);

            if (epoch >= project->manifest.epoch)
                project->manifest.epoch = epoch + 1;
            err = file_remove_tree(path, diag);
        } else {
            err = file_unlink_gently(path, diag);
        }
    }
    file_list_free(&list);
    return err;
}

enum err
project_make_empty(struct project *project, uint32_t epoch, struct file_set **ret_set,
                   struct lexicon **ret_lexicon)
{
    struct file_set *set = NULL;
    enum err err = file_set_new(NULL, 0, &set);

    if (err == ERR_OK)
        err = lexicon_new(project, project->warehouse->generation, epoch, ret_lexicon);
    if (err != ERR_OK)
        file_set_release(&set);
    else
        *ret_set = set;
    return err;
}

static enum err
start_empty(struct project *project)
{
    project->manifest.generation = project->warehouse->generation;
    project->manifest.project_id = project->id;
    return project_make_empty(project, project->manifest.epoch, &project->set, &project->lexicon);
}

static enum err
project_open(struct project *project, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    struct manifest manifest = {0};
    enum err err = read_manifest(project, &manifest, &why);

    if (err == ERR_OK) {
        err = open_manifest(project, &manifest, &why);
        manifest_fini(&manifest);
    }
    if (err == ERR_CORRUPT) {
        SINK(project->warehouse->config.sink, LOG_LEVEL_WARN, "warehouse.project_damaged",
             LOG_U64("project", project->id), LOG_TEXT("why", why.message),
             LOG_TEXT("next", "it is loaded again from the store"));
        project->is_rebuilding = true;
        atomic_store(&project->needs_rebuild, true);
        atomic_store(&project->warehouse->has_damage, true);
        /* What stands there stays until the loader resets it; the numbers must rise above it. */
        project->manifest.epoch = 0;
        err = start_empty(project);
        store_wake(project->warehouse->config.store);
    } else if (err == ERR_ABSENT) {
        err = start_empty(project);
        if (err == ERR_OK && file_exists(project->dir))
            err = project_tidy(project, &why);
    } else if (err == ERR_OK) {
        err = project_tidy(project, &why);
    }
    if (err != ERR_OK && diag != NULL)
        *diag = why;
    return err;
}

static enum err
project_new(struct warehouse *warehouse, uint32_t project_id, struct project **ret_project,
            struct diag *diag)
{
    CLEANUP(project_free) struct project *project = MEM_NEW(struct project, 1);
    char name[16];
    enum err err = ERR_OK;

    if (project == NULL)
        return ERR_NOMEM;
    project->warehouse = warehouse;
    project->id = project_id;
    project->next_number = 1;
    pthread_mutex_init(&project->lock, NULL);
    pthread_mutex_init(&project->seal_lock, NULL);
    snprintf(name, sizeof(name), "%u", (unsigned)project_id);
    if (!file_path(project->dir, warehouse->dir, name))
        return ERR_INVALID;
    err = tail_new(&project->tail);
    if (err == ERR_OK)
        err = project_open(project, diag);
    if (err == ERR_OK)
        *ret_project = MOVE(project);
    return err;
}

static struct project **
slot_of(struct project **slots, uint32_t slot_count, uint32_t project_id)
{
    uint32_t place = (project_id * UINT32_C(2654435769)) & (slot_count - 1);

    while (slots[place] != NULL && slots[place]->id != project_id)
        place = (place + 1) & (slot_count - 1);
    return &slots[place];
}

static enum err
slots_grow(struct warehouse *warehouse)
{
    const uint32_t slot_count =
        warehouse->project_slots == 0 ? PROJECTS_FIRST : warehouse->project_slots * 2;
    struct project **slots = MEM_NEW(struct project *, slot_count);

    if (slots == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < warehouse->project_slots; i++) {
        if (warehouse->projects[i] != NULL)
            *slot_of(slots, slot_count, warehouse->projects[i]->id) = warehouse->projects[i];
    }
    mem_free(warehouse->projects);
    warehouse->projects = slots;
    warehouse->project_slots = slot_count;
    return ERR_OK;
}

enum err
project_get(struct warehouse *warehouse, uint32_t project_id, struct project **ret_project,
            struct diag *diag)
{
    struct project **slot = NULL;
    struct project *project = NULL;
    enum err err = ERR_OK;

    pthread_mutex_lock(&warehouse->projects_lock);
    if (warehouse->project_count >= warehouse->project_slots / 2)
        err = slots_grow(warehouse);
    if (err == ERR_OK) {
        slot = slot_of(warehouse->projects, warehouse->project_slots, project_id);
        project = *slot;
        if (project == NULL)
            err = project_new(warehouse, project_id, &project, diag);
    }
    if (err == ERR_OK && *slot == NULL) {
        *slot = project;
        warehouse->project_count++;
        /* Counted by the checkpoint's word until now. */
        atomic_fetch_add(&warehouse->rows,
                         project->sealed_rows - known_project(warehouse, project_id).rows);
    }
    pthread_mutex_unlock(&warehouse->projects_lock);
    if (err == ERR_OK)
        *ret_project = project;
    return err;
}

void
project_flag(struct project *project)
{
    atomic_store(&project->needs_rebuild, true);
    atomic_store(&project->warehouse->has_damage, true);
    store_wake(project->warehouse->config.store);
}

void
project_report_damage(struct project *project, const struct lexicon *lexicon,
                      const struct diag *diag)
{
    struct warehouse *warehouse = project->warehouse;
    bool is_current = false;

    /* Of files that are no longer the project's the damage does not matter any more. */
    pthread_mutex_lock(&project->lock);
    is_current = project->lexicon == lexicon;
    pthread_mutex_unlock(&project->lock);
    if (!is_current || atomic_exchange(&project->needs_rebuild, true))
        return;
    SINK(warehouse->config.sink, LOG_LEVEL_ERROR, "warehouse.project_damaged",
         LOG_U64("project", project->id), LOG_TEXT("why", diag != NULL ? diag->message : ""),
         LOG_TEXT("next", "it is loaded again from the store"));
    atomic_store(&warehouse->has_damage, true);
    store_wake(warehouse->config.store);
}
