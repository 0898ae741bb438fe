/*
 * restore - a data folder made from a backup. See backup.h.
 *
 * The manifest is text from outside: every word of it is judged, and a name is one of the few that
 * a backup has, so that nothing is written beside the folder.
 */
#include "app/backup.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "codec/rfc3339.h"

#include <stdlib.h>
#include <string.h>

struct restoring {
    const char *from;
    struct backup_folder folder;
    backup_show *show;
    void *show_state;
    struct backup_facts facts;
    uint64_t total;
    uint32_t crc; /* of the file under way */
};

/* --- the manifest ---------------------------------------------------------------------------- */

static enum err
damaged(const char *path, const char *what, struct diag *diag)
{
    diag_set(diag, "%s %s: this backup cannot be restored; take another", path, what);
    return ERR_CORRUPT;
}

static bool
is_segment(struct slice name)
{
    if (name.len != 31 || memcmp(name.ptr, "ledger/", 7) != 0 ||
        memcmp(name.ptr + 27, ".seg", 4) != 0)
        return false;
    for (size_t i = 7; i < 27; i++)
        if (name.ptr[i] < '0' || name.ptr[i] > '9')
            return false;
    return true;
}

static bool
is_known(struct slice name)
{
    return slice_equal(name, SLICE("accounts.db")) || slice_equal(name, SLICE("token-keys")) ||
           slice_equal(name, SLICE("secret")) || is_segment(name);
}

/* Cuts off up to the next space, which goes, too. */
static struct slice
next_word(struct slice *rest)
{
    const char *space = rest->len == 0 ? NULL : memchr(rest->ptr, ' ', rest->len);
    const size_t len = space == NULL ? rest->len : (size_t)(space - rest->ptr);
    const struct slice word = slice_of(rest->ptr, len);
    const size_t gone = space == NULL ? len : len + 1;

    *rest = slice_of(rest->ptr + gone, rest->len - gone);
    return word;
}

/* Digits of this base alone, 1 … digits_max of them. */
static bool
parse_number(struct slice word, int base, size_t digits_max, uint64_t *ret_number)
{
    char text[24];
    char *end = NULL;

    if (word.len == 0 || word.len > digits_max || word.len >= sizeof(text))
        return false;
    memcpy(text, word.ptr, word.len);
    text[word.len] = '\0';
    if (strspn(text, base == 10 ? "0123456789" : "0123456789abcdef") != word.len)
        return false;
    *ret_number = strtoull(text, &end, base);
    return true;
}

/* "file BYTES CRC NAME" */
static bool
parse_file(struct slice line, struct backup_file *ret_file)
{
    uint64_t crc = 0;

    if (!slice_equal(next_word(&line), SLICE("file")) ||
        !parse_number(next_word(&line), 10, 18, &ret_file->bytes) ||
        !parse_number(next_word(&line), 16, 8, &crc) || !is_known(line))
        return false;
    ret_file->crc = (uint32_t)crc;
    memset(ret_file->name, 0, sizeof(ret_file->name));
    memcpy(ret_file->name, line.ptr, line.len);
    return true;
}

static bool
parse_time(struct slice line, int64_t *ret_us)
{
    uint64_t us = 0;

    if (!slice_equal(next_word(&line), SLICE("made_at")) || !parse_number(line, 10, 18, &us) ||
        us > (uint64_t)RFC3339_US_MAX)
        return false;
    *ret_us = (int64_t)us;
    return true;
}

/* "end FILES CRC", of the text before it. */
static bool
is_end(struct slice line, struct slice before, size_t files)
{
    uint64_t count = 0;
    uint64_t crc = 0;

    return slice_equal(next_word(&line), SLICE("end")) &&
           parse_number(next_word(&line), 10, 18, &count) && parse_number(line, 16, 8, &crc) &&
           count == files && crc == crc32c(0, before.ptr, before.len);
}

/* Without its newline. false: no whole line is left. */
static bool
next_line(struct slice *rest, struct slice *ret_line)
{
    const char *newline = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);

    if (newline == NULL)
        return false;
    *ret_line = slice_of(rest->ptr, (size_t)(newline - rest->ptr));
    *rest = slice_of(newline + 1, rest->len - ret_line->len - 1);
    return true;
}

static enum err
check_first(const char *path, struct slice line, struct diag *diag)
{
    const struct slice word = SLICE("potik-backup ");

    if (slice_equal(line, SLICE(BACKUP_FIRST_LINE)))
        return ERR_OK;
    if (line.len <= word.len || memcmp(line.ptr, word.ptr, word.len) != 0)
        return damaged(path, "is not the list of a backup", diag);
    diag_set(diag, "%s: not a backup that this potik knows; restore it with a newer one", path);
    return ERR_TOO_NEW;
}

enum err
backup_manifest_parse(struct slice text, const char *path, struct backup_manifest *ret_manifest,
                      struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct backup_file *files = NULL;
    struct backup_manifest manifest = {0};
    struct slice rest = text;
    struct slice line = SLICE_NONE;
    size_t files_max = 0;
    enum err err = check_first(path, next_line(&rest, &line) ? line : SLICE_NONE, diag);

    if (err != ERR_OK)
        return err;
    if (!next_line(&rest, &line) || !parse_time(line, &manifest.made_at_us))
        return damaged(path, "tells no time", diag);
    while (next_line(&rest, &line)) {
        const struct slice before = slice_of(text.ptr, (size_t)(line.ptr - text.ptr));

        if (rest.len == 0) {
            if (!is_end(line, before, manifest.file_count))
                return damaged(path, "fails its check", diag);
            manifest.files = MOVE(files);
            *ret_manifest = manifest;
            return ERR_OK;
        }
        if (manifest.file_count == files_max) {
            struct backup_file *grown;

            files_max = files_max == 0 ? 64 : files_max * 2;
            grown = mem_realloc(files, files_max * sizeof(*files));
            if (grown == NULL)
                return ERR_NOMEM;
            files = grown;
        }
        if (!parse_file(line, &files[manifest.file_count]))
            return damaged(path, "has a line that is not one", diag);
        if (__builtin_add_overflow(manifest.bytes, files[manifest.file_count].bytes,
                                   &manifest.bytes))
            manifest.bytes = UINT64_MAX;
        manifest.file_count++;
    }
    return damaged(path, "has lost its end", diag);
}

/* --- the files ------------------------------------------------------------------------------- */

static void
seen(void *state, const void *bytes, size_t len)
{
    struct restoring *restoring = state;

    restoring->crc = crc32c(restoring->crc, bytes, len);
    restoring->facts.bytes += len;
    restoring->show(restoring->show_state, restoring->facts.bytes, restoring->total);
}

static enum err
restore_file(struct restoring *restoring, const struct backup_file *file, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char from[FILE_PATH_MAX];
    char to[FILE_PATH_MAX];
    uint64_t bytes = 0;
    enum err err = ERR_INVALID;

    if (file_path(from, restoring->from, file->name) &&
        file_path(to, restoring->folder.partial, file->name))
        err = file_open(from, FILE_READ, &fd, diag);
    if (err == ERR_OK)
        err = file_size(fd, from, &bytes, diag);
    restoring->crc = 0;
    if (err == ERR_OK && bytes == file->bytes)
        err = file_copy(fd, from, bytes, to, seen, restoring, diag);
    if (err == ERR_OK && (bytes != file->bytes || restoring->crc != file->crc)) {
        diag_set(diag, "%s is not what the backup wrote: it cannot be restored; take another",
                 from);
        err = ERR_CORRUPT;
    }
    restoring->facts.files++;
    return err == ERR_ABSENT ? ERR_CORRUPT : err;
}

static enum err
restore_all(struct restoring *restoring, const struct backup_manifest *manifest, struct diag *diag)
{
    char ledger_dir[FILE_PATH_MAX];
    enum err err = ERR_INVALID;

    restoring->facts.made_at_us = manifest->made_at_us;
    restoring->total = manifest->bytes;
    if (file_path(ledger_dir, restoring->folder.partial, "ledger"))
        err = file_make_dir(ledger_dir, diag);
    for (size_t i = 0; err == ERR_OK && i < manifest->file_count; i++)
        err = restore_file(restoring, &manifest->files[i], diag);
    return err == ERR_OK ? file_sync_dir(ledger_dir, diag) : err;
}

static enum err
read_manifest(const char *from, struct backup_manifest *ret_manifest, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf text;
    char path[FILE_PATH_MAX];
    enum err err = ERR_INVALID;

    buf_init(&text, BACKUP_MANIFEST_BYTES_MAX);
    if (file_path(path, from, BACKUP_MANIFEST))
        err = file_read_whole(path, BACKUP_MANIFEST_BYTES_MAX, &text, diag);
    if (err == ERR_ABSENT)
        diag_set(diag, "%s holds no backup: there is no %s in it", from, BACKUP_MANIFEST);
    return err == ERR_OK ? backup_manifest_parse(buf_slice(&text), path, ret_manifest, diag) : err;
}

enum err
backup_restore(const char *from, const char *data_dir, backup_show *show, void *state,
               struct backup_facts *ret_facts, struct diag *diag)
{
    struct restoring restoring = {.from = from, .show = show, .show_state = state};
    struct backup_manifest manifest = {0};
    enum err err = read_manifest(from, &manifest, diag);

    if (err == ERR_OK)
        err = backup_begin_folder(data_dir, &restoring.folder, diag);
    if (err != ERR_OK) {
        mem_free(manifest.files);
        return err;
    }
    err = restore_all(&restoring, &manifest, diag);
    mem_free(manifest.files);
    err = backup_end_folder(&restoring.folder, err, diag);
    *ret_facts = restoring.facts;
    return err;
}
