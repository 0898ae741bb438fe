/*
 * doctor - reads everything derived and tells what is wrong with it.
 *
 * Layer 4, without a warehouse: beside a running server or without one. A running server replaces
 * files: what fails is looked at again if the manifest has changed meanwhile. Nothing is repaired
 * here: a server that meets damage loads the project again by itself, and `potik rebuild` does it
 * for all.
 */
#include "codec/crc32c.h"
#include "warehouse/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 5

struct visit {
    const char *root; /* …/warehouse */
    void (*found)(void *state, bool is_error, const char *file, const char *what);
    void *state;
    uint32_t errors;
};

static void
tell(struct visit *visit, bool is_error, const char *project, const char *name, const char *what)
{
    char file[FILE_PATH_MAX + 300]; /* room for "warehouse/" and a folder (255 at most) too */

    snprintf(file, sizeof(file), "warehouse/%s%s%s", project, project[0] != '\0' ? "/" : "", name);
    visit->errors += is_error ? 1 : 0;
    visit->found(visit->state, is_error, file, what);
}

static enum err
load_manifest(const char *dir, struct manifest *ret_manifest, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct buf buf;
    enum err err = ERR_INVALID;

    buf_init(&buf, MANIFEST_BYTES_MAX);
    if (file_path(path, dir, "manifest.json"))
        err = file_read_whole(path, MANIFEST_BYTES_MAX, &buf, diag);
    if (err == ERR_OK)
        err = manifest_parse(buf_slice(&buf), ret_manifest, diag);
    buf_fini(&buf);
    return err;
}

/* One file against what is known of it; its first fault in ret_what ("" if sound). */
static void
check_file(const char *dir, const char *name, uint64_t bytes, uint32_t checksum,
           char ret_what[DIAG_MESSAGE_MAX])
{
    struct diag diag = DIAG_INIT;
    char path[FILE_PATH_MAX];
    uint64_t found_bytes = 0;
    uint32_t found = 0;
    enum err err = ERR_INVALID;

    ret_what[0] = '\0';
    if (file_path(path, dir, name))
        err = checksum_file(path, &found_bytes, &found, &diag);
    if (err != ERR_OK)
        snprintf(ret_what, DIAG_MESSAGE_MAX, "cannot be read: %.400s", diag.message);
    else if (found_bytes != bytes || found != checksum)
        snprintf(ret_what, DIAG_MESSAGE_MAX,
                 "its bytes are not those that were written; the server loads the project again "
                 "when it meets this, or run potik rebuild");
}

/* The faults of the files a manifest names. */
static void
check_named(struct visit *visit, const char *dir, const char *project,
            const struct manifest *manifest)
{
    char name[64], what[DIAG_MESSAGE_MAX];

    for (uint32_t i = 0; i < manifest->types_count; i++) {
        snprintf(name, sizeof(name), "types.%u", (unsigned)manifest->types[i].number);
        check_file(dir, name, manifest->types[i].bytes, manifest->types[i].checksum, what);
        if (what[0] != '\0')
            tell(visit, true, project, name, what);
    }
    if (manifest->learnt_count != 0) {
        snprintf(name, sizeof(name), "learnt.%u", (unsigned)manifest->learnt.number);
        check_file(dir, name, manifest->learnt.bytes, manifest->learnt.checksum, what);
        if (what[0] != '\0')
            tell(visit, true, project, name, what);
    }
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct manifest_file *file = &manifest->files[i];

        snprintf(name, sizeof(name), "%010u.parquet", (unsigned)file->number);
        check_file(dir, name, file->bytes, file->checksum, what);
        if (what[0] != '\0')
            tell(visit, true, project, name, what);
        snprintf(name, sizeof(name), "%010u.first.parquet", (unsigned)file->number);
        check_file(dir, name, file->first_bytes, file->first_checksum, what);
        if (what[0] != '\0')
            tell(visit, true, project, name, what);
    }
}

static void
check_runs(struct visit *visit, const char *dir, const char *project,
           const struct manifest *manifest)
{
    struct file_list list = {0};
    char runs[FILE_PATH_MAX], folder[32];

    snprintf(folder, sizeof(folder), "persons-%u", (unsigned)manifest->epoch);
    if (!file_path(runs, dir, folder) || file_list_dir(runs, &list, NULL) != ERR_OK) {
        if (manifest->persons != 0)
            tell(visit, true, project, folder, "missing: the map of persons");
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        struct diag diag = DIAG_INIT;
        struct run_info info;
        uint64_t offset = 0;
        char path[FILE_PATH_MAX], name[FILE_PATH_MAX];
        const char *ending = strrchr(list.names[i], '.');

        if (ending == NULL || strcmp(ending, ".run") != 0 || !file_path(path, runs, list.names[i]))
            continue;
        const enum err err = run_check_file(path, &info, &offset, &diag);

        snprintf(name, sizeof(name), "%s/%.200s", folder, list.names[i]);
        if (err != ERR_OK && err != ERR_ABSENT)
            tell(visit, true, project, name, diag.message);
    }
    file_list_free(&list);
}

struct held_finding {
    bool is_error;
    char file[512];
    char what[DIAG_MESSAGE_MAX];
};
struct held {
    struct held_finding findings[64];
    uint32_t count;
};

static void
hold_finding(void *state, bool is_error, const char *file, const char *what)
{
    struct held *held = state;

    if (held->count == COUNT_OF(held->findings))
        return;
    struct held_finding *finding = &held->findings[held->count++];

    finding->is_error = is_error;
    snprintf(finding->file, sizeof(finding->file), "%.500s", file);
    snprintf(finding->what, sizeof(finding->what), "%.500s", what);
}

/* Findings count only if the manifest stayed the same while they were made. */
static enum err
visit_project(struct visit *visit, const char *dir, const char *project, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct held *held = MEM_NEW(struct held, 1);

    if (held == NULL)
        return ERR_NOMEM;
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        CLEANUP(manifest_fini) struct manifest before = {0};
        CLEANUP(manifest_fini) struct manifest after = {0};
        struct visit quiet = {visit->root, hold_finding, held, 0};
        struct diag why = DIAG_INIT;
        enum err err = load_manifest(dir, &before, &why);

        held->count = 0;
        if (err == ERR_TOO_NEW) {
            if (diag != NULL)
                *diag = why;
            return err;
        }
        if (err == ERR_OK) {
            check_named(&quiet, dir, project, &before);
            check_runs(&quiet, dir, project, &before);
        } else if (err != ERR_ABSENT) {
            tell(&quiet, true, project, "manifest.json", why.message);
        }
        if (quiet.errors == 0 ||
            (load_manifest(dir, &after, NULL) == err && after.number == before.number))
            break;
    }
    for (uint32_t i = 0; i < held->count; i++) {
        visit->errors += held->findings[i].is_error ? 1 : 0;
        visit->found(visit->state, held->findings[i].is_error, held->findings[i].file,
                     held->findings[i].what);
    }
    return ERR_OK;
}

static void
visit_checkpoint(struct visit *visit)
{
    CLEANUP(checkpoint_free) struct checkpoint *checkpoint = NULL;
    struct diag why = DIAG_INIT;
    char path[FILE_PATH_MAX], manifest[FILE_PATH_MAX], name[16];
    struct buf buf;
    enum err err = ERR_INVALID;

    buf_init(&buf, MANIFEST_BYTES_MAX);
    if (file_path(path, visit->root, "checkpoint.json"))
        err = file_read_whole(path, MANIFEST_BYTES_MAX, &buf, &why);
    if (err == ERR_OK)
        err = checkpoint_parse(buf_slice(&buf), &checkpoint, &why);
    buf_fini(&buf);
    if (err != ERR_OK && err != ERR_ABSENT) {
        tell(visit, true, "", "checkpoint.json", why.message);
        return;
    }
    for (uint32_t i = 0; checkpoint != NULL && i < checkpoint->project_count; i++) {
        snprintf(name, sizeof(name), "%u", (unsigned)checkpoint->projects[i].project_id);
        if (file_path(manifest, visit->root, name) && file_path(path, manifest, "manifest.json") &&
            !file_exists(path))
            tell(visit, true, name, "manifest.json", "missing, though the checkpoint names it");
    }
}

/* One that is missing was discarded with all that was derived (or is not made yet): no damage. */
static void
visit_secret(struct visit *visit)
{
    char path[FILE_PATH_MAX];
    uint32_t checksum = 0;
    struct buf buf;
    enum err err = ERR_INVALID;

    buf_init(&buf, 4096);
    if (file_path(path, visit->root, "secret"))
        err = file_read_whole(path, 4096, &buf, NULL);
    if (err == ERR_ABSENT)
        tell(visit, false, "", "secret",
             "there is none; the next start makes one and loads everything from the stored events");
    else if (err != ERR_OK || buf.len != PERSONS_SECRET_BYTES + 4 ||
             (memcpy(&checksum, buf.ptr + PERSONS_SECRET_BYTES, 4),
              checksum != crc32c(0, buf.ptr, PERSONS_SECRET_BYTES)))
        tell(visit, true, "", "secret",
             "damaged; at the next start everything is loaded again under a new one");
    buf_fini(&buf);
}

enum err
warehouse_doctor(const char *data_dir,
                 void (*found)(void *state, bool is_error, const char *file, const char *what),
                 void *state, struct diag *diag)
{
    char root[FILE_PATH_MAX];
    struct visit visit = {root, found, state, 0};
    struct file_list list = {0};
    enum err err = ERR_INVALID;

    if (!file_path(root, data_dir, "warehouse"))
        return ERR_INVALID;
    if (!file_exists(root))
        return ERR_OK;
    err = file_list_dir(root, &list, diag);
    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        char project_dir[FILE_PATH_MAX];

        if (list.names[i][0] < '0' || list.names[i][0] > '9' ||
            !file_path(project_dir, root, list.names[i]))
            continue;
        err = visit_project(&visit, project_dir, list.names[i], diag);
    }
    file_list_free(&list);
    if (err == ERR_OK) {
        visit_secret(&visit);
        visit_checkpoint(&visit);
    }
    return err != ERR_OK ? err : visit.errors != 0 ? ERR_CORRUPT : ERR_OK;
}
