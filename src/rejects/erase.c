/*
 * erase - an erasure's way through what is kept. See rejects.h.
 *
 * On the keeper. Of an erased person nothing may be left, and what is refused is often refused for
 * the very reason that the person does not stand where it should: so the text is looked for
 * everywhere in what was sent and in what was answered. A record that cannot be read as JSON, or
 * not to its end, may name anybody, and goes, too. Too many go rather than one too few: they are
 * copies for finding a fault, not events.
 *
 * A file that loses records is written anew, without them and without what is damaged, synced, and
 * put in the old one's place. A project's newest file is closed before, so that none of its files
 * is written to meanwhile.
 */
#include "rejects/inside.h"

#include "base/mem.h"
#include "codec/json_reader.h"
#include "codec/utf8.h"

#include <stdio.h>

#define ARENA_BLOCK_BYTES 4096
#define ARENA_BYTES_MAX (UINT64_C(4) * 1024 * 1024)
#define NO_CODE_POINT UINT32_MAX

/* --- whose is it? -----------------------------------------------------------------------------*/

static uint32_t
read_hex4(const char *at, const char *end)
{
    uint32_t value = 0;

    if (end - at < 4)
        return NO_CODE_POINT;
    for (int i = 0; i < 4; i++) {
        const char c = at[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
                                                : NO_CODE_POINT;

        if (digit == NO_CODE_POINT)
            return NO_CODE_POINT;
        value = value << 4 | digit;
    }
    return value;
}

/* \uXXXX behind the 'u' at *at, a pair of surrogates as one; moves *at behind it. false: none. */
static bool
add_code_point(struct buf *plain, const char **at, const char *end)
{
    uint32_t code = read_hex4(*at + 1, end);
    char bytes[4];

    if (code == NO_CODE_POINT)
        return false;
    *at += 5;
    if (code >= 0xd800 && code < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        uint32_t low = read_hex4(*at + 2, end);

        if (low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            *at += 6;
        }
    }
    if (code < 0xd800 || code >= 0xe000)
        buf_add(plain, bytes, utf8_put(code, bytes));
    return true;
}

/* Every escape resolved, wherever it stands, whether the text is JSON or not. */
static void
unescape(struct slice text, struct buf *plain)
{
    static const char letters[] = "bfnrt";
    static const char meant[] = "\b\f\n\r\t";
    const char *at = text.ptr;
    const char *end = at + text.len;

    while (at < end) {
        const char *backslash = memchr(at, '\\', (size_t)(end - at));
        const char *letter;

        buf_add(plain, at, (size_t)((backslash != NULL ? backslash : end) - at));
        if (backslash == NULL || backslash + 1 == end)
            return;
        at = backslash + 1;
        if (*at == 'u' && add_code_point(plain, &at, end))
            continue;
        letter = *at != '\0' ? strchr(letters, *at) : NULL;
        buf_add_char(plain, letter != NULL ? meant[letter - letters] : *at);
        at++;
    }
}

static bool
has_text(struct slice in, struct slice text)
{
    return in.ptr != NULL && memmem(in.ptr, in.len, text.ptr, text.len) != NULL;
}

/* One JSON value in valid UTF-8 and nothing behind it. */
static bool
is_json(struct slice text)
{
    const struct json_rules rules = {.root = SLICE(""), .depth = 1};
    struct json_scratch scratch = {0};
    struct json_notes notes = {0};
    struct json_reader reader;
    struct arena arena;
    bool is_good;

    arena_init(&arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    json_reader_init(&reader, text, &scratch, &arena);
    json_reader_space(&reader);
    is_good = reader.at < reader.end && json_reader_value(&reader, &rules, &notes);
    json_reader_space(&reader);
    is_good = is_good && reader.at == reader.end && notes.encoding.err == ERR_OK;
    json_scratch_fini(&scratch);
    arena_fini(&arena);
    return is_good;
}

static bool
mentions(const struct reject *reject, struct slice person)
{
    CLEANUP(buf_fini) struct buf plain;

    buf_init(&plain, RECORD_ORIGINAL_MAX);
    if (has_text(reject->field, person) || has_text(reject->message, person) ||
        has_text(reject->event_id, person) || has_text(reject->request_id, person) ||
        has_text(reject->original, person))
        return true;
    unescape(reject->original, &plain);
    return buf_failed(&plain) || has_text(buf_slice(&plain), person);
}

static bool
is_selected(const struct selection *selection, const struct reject *reject)
{
    const struct event event = {
        .project_id = reject->project_id,
        .event_id = reject->event_id.ptr != NULL ? reject->event_id : SLICE(""),
        .received_at_us = reject->received_at_us,
    };

    switch (selection->kind) {
    case SELECTION_PERSON:
        return reject->is_cut || mentions(reject, selection->person) || !is_json(reject->original);
    case SELECTION_RECEIVED:
    case SELECTION_IDS:
        return selection_matches(selection, &event, 0);
    case SELECTION_ALL:
        return true;
    case SELECTION_OCCURRED:
        return false;
    }
    return true;
}

/* --- one file ---------------------------------------------------------------------------------*/

/* What stays of the file, header and all. false: all of it. */
static bool
filter(const struct selection *selection, struct slice text, struct buf *ret_rest)
{
    struct record_reader reader;
    struct record record;
    bool has_gone = false;

    if (!record_reader_init(&reader, text))
        return true; /* nothing of it can be told: nothing stays */
    buf_add(ret_rest, text.ptr, RECORD_FILE_HEADER_BYTES);
    while (record_next(&reader, &record)) {
        if (is_selected(selection, &record.reject))
            has_gone = true;
        else
            buf_add(ret_rest, text.ptr + record.offset, record.len);
    }
    return has_gone || reader.damaged != 0 || reader.good_end != text.len;
}

static enum err
replace(struct rejects *rejects, uint32_t project_id, uint64_t first_id, struct slice rest,
        struct diag *diag)
{
    struct kept_project *project;
    char path[FILE_PATH_MAX];
    char temporary[FILE_PATH_MAX + 8];
    CLOSE_FD int fd = -1;
    enum err err;

    if (!folder_path(rejects, project_id, first_id, path))
        return ERR_IO;
    (void)snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    err = file_open(temporary, FILE_REPLACE, &fd, diag);
    if (err == ERR_OK)
        err = file_write_at(fd, temporary, rest.ptr, rest.len, 0, diag);
    if (err == ERR_OK)
        err = file_sync(fd, temporary, diag);
    pthread_mutex_lock(&rejects->lock);
    project = folder_project(rejects, project_id);
    for (uint32_t i = 0; err == ERR_OK && project != NULL && i < project->count; i++) {
        if (project->files[i].first_id != first_id)
            continue;
        err = file_rename(temporary, path, diag);
        if (err == ERR_OK) {
            rejects->bytes -= project->files[i].bytes - rest.len;
            project->bytes -= project->files[i].bytes - rest.len;
            project->files[i].bytes = rest.len;
        }
    }
    pthread_mutex_unlock(&rejects->lock);
    (void)!file_unlink(temporary, NULL); /* there still, where the file went meanwhile */
    return err;
}

static enum err
sync_folder(const struct rejects *rejects, uint32_t project_id, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    char name[16];

    (void)snprintf(name, sizeof(name), "%u", project_id);
    if (!file_path(path, rejects->dir, name))
        return ERR_IO;
    return file_exists(path) ? file_sync_dir(path, diag) : ERR_OK;
}

static enum err
drop(struct rejects *rejects, uint32_t project_id, uint64_t first_id, struct diag *diag)
{
    enum err err;

    pthread_mutex_lock(&rejects->lock);
    err = folder_drop(rejects, project_id, first_id, diag);
    pthread_mutex_unlock(&rejects->lock);
    return err == ERR_OK ? sync_folder(rejects, project_id, diag) : err;
}

static enum err
erase_file(struct rejects *rejects, const struct selection *selection, uint64_t first_id,
           struct diag *diag)
{
    CLEANUP(buf_fini) struct buf text;
    CLEANUP(buf_fini) struct buf rest;
    const uint32_t project_id = selection->project_id;
    char path[FILE_PATH_MAX];
    enum err err;

    buf_init(&text, FILE_READ_BYTES_MAX);
    buf_init(&rest, FILE_READ_BYTES_MAX);
    if (selection->kind == SELECTION_ALL)
        return drop(rejects, project_id, first_id, diag);
    if (!folder_path(rejects, project_id, first_id, path))
        return ERR_IO;
    err = file_read_whole(path, FILE_READ_BYTES_MAX, &text, diag);
    if (err == ERR_ABSENT) /* it was too old, or had to make room */
        return ERR_OK;
    if (err != ERR_OK || !filter(selection, buf_slice(&text), &rest))
        return err;
    if (buf_failed(&rest))
        return ERR_NOMEM;
    if (rest.len <= RECORD_FILE_HEADER_BYTES)
        return drop(rejects, project_id, first_id, diag);
    err = replace(rejects, project_id, first_id, buf_slice(&rest), diag);
    return err == ERR_OK ? sync_folder(rejects, project_id, diag) : err;
}

/* The next file of the project, of those that were there when the erasure began: all are closed.
 * false: there are no more. */
static bool
next_file(struct rejects *rejects, uint32_t project_id, struct rejects_erasure *erasure,
          uint64_t *ret_first_id)
{
    struct kept_project *project;
    bool is_found = false;

    pthread_mutex_lock(&rejects->lock);
    project = folder_project(rejects, project_id);
    if (erasure->next_id == 0)
        erasure->end_id = rejects->last_id + 1;
    if (project != NULL && erasure->next_id == 0)
        project->is_closed = true;
    for (uint32_t i = 0; project != NULL && !is_found && i < project->count; i++) {
        *ret_first_id = project->files[i].first_id;
        is_found = *ret_first_id >= erasure->next_id && *ret_first_id < erasure->end_id;
    }
    pthread_mutex_unlock(&rejects->lock);
    return is_found;
}

enum err
rejects_erase_step(struct rejects *rejects, const struct selection *selection,
                   struct rejects_erasure *erasure, bool *ret_is_done, struct diag *diag)
{
    uint64_t first_id = 0;
    enum err err = rejects_must_be_loaded(rejects, diag);

    *ret_is_done = false;
    if (err != ERR_OK)
        return err;
    if (!erasure->is_begun) {
        erasure->is_begun = true;
        erasure->queued = atomic_load(&rejects->queued_count);
    }
    if (atomic_load(&rejects->written_count) < erasure->queued)
        return ERR_OK;
    if (!next_file(rejects, selection->project_id, erasure, &first_id)) {
        *ret_is_done = true;
        return ERR_OK;
    }
    err = erase_file(rejects, selection, first_id, diag);
    if (err == ERR_OK)
        erasure->next_id = first_id + 1;
    return err;
}

enum err
rejects_drop_project(struct rejects *rejects, uint32_t project_id, struct diag *diag)
{
    const struct kept_project *project;
    enum err err = ERR_OK;

    if (rejects == NULL)
        return ERR_OK;
    err = rejects_must_be_loaded(rejects, diag);
    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&rejects->lock);
    while (err == ERR_OK && (project = folder_project(rejects, project_id)) != NULL)
        err = folder_drop(rejects, project_id, project->files[0].first_id, diag);
    pthread_mutex_unlock(&rejects->lock);
    return err == ERR_OK ? sync_folder(rejects, project_id, diag) : err;
}
