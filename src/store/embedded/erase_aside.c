/*
 * erase_aside - files set aside in ledger/ that hold what is selected: they go. See erase.h.
 *
 * cut-… is a torn end that recovery cut off; ….damaged is a segment as it was before a repair; a
 * ….seg.tmp is what a failed unlink has left of a segment written anew. All hold rows as they came,
 * and all may be deleted at any time (docs/FORMATS.md), so the file goes as a whole:
 *
 *   a person         where the text of the id stands anywhere in it, sound frame or not
 *   anything else    where a row can be read that is selected: behind each magic of a frame of rows
 *                    at a multiple of 8, row for row, as far as they can be read, whether or not
 *                    CRCs fit. Rows whose frame has lost its header cannot be told apart; the file
 *                    then stays
 *
 * The seqs of such rows may have been given to others since, so seq_max does not bound them.
 */
#include "store/embedded/erase.h"
#include <stdio.h>

#define SEARCH_BYTES ((size_t)64 << 10)
#define ROW_BYTES_MAX ((size_t)2 << 20) /* an event is at most 1 MiB */

static enum err
find_text(struct segment_reader *reader, struct slice text, bool *ret_is_in, struct diag *diag)
{
    const uint8_t *bytes = NULL;
    enum err err = ERR_OK;

    for (uint64_t offset = 0;
         err == ERR_OK && !*ret_is_in && text.len != 0 && offset + text.len <= reader->file_bytes;
         offset += SEARCH_BYTES) {
        const uint64_t left = reader->file_bytes - offset;
        const size_t wanted = SEARCH_BYTES + text.len - 1; /* across the edge, too */
        const size_t len = left < wanted ? (size_t)left : wanted;

        err = segment_reader_at(reader, offset, len, &bytes, diag);
        if (err == ERR_OK)
            *ret_is_in = memmem(bytes, len, text.ptr, text.len) != NULL;
    }
    return err;
}

/* One row at `offset`, if one can be read there. *ret_bytes 0: none. */
static enum err
read_row(struct segment_reader *reader, uint64_t offset, struct event *ret_event, size_t *ret_bytes,
         struct diag *diag)
{
    const uint64_t left = reader->file_bytes - offset;
    const uint8_t *bytes = NULL;
    uint32_t properties_bytes = 0;
    uint64_t len = ROW_HEAD_BYTES;
    enum err err = ERR_OK;

    *ret_bytes = 0;
    if (left < ROW_HEAD_BYTES)
        return ERR_OK;
    err = segment_reader_at(reader, offset, ROW_HEAD_BYTES, &bytes, diag);
    if (err != ERR_OK)
        return err;
    memcpy(&properties_bytes, bytes + 20, sizeof(properties_bytes));
    for (int i = 24; i < ROW_HEAD_BYTES; i++)
        len += bytes[i];
    len += properties_bytes;
    if (len > left || len > ROW_BYTES_MAX)
        return ERR_OK;
    err = segment_reader_at(reader, offset, (size_t)len, &bytes, diag);
    if (err == ERR_OK)
        *ret_bytes = row_read(bytes, (size_t)len, ret_event);
    return err;
}

/* Rows of a frame whose header stands at `offset`. */
static enum err
find_in_frame(struct segment_reader *reader, uint64_t offset, uint32_t count,
              const struct selection *selection, bool *ret_is_in, struct diag *diag)
{
    enum err err = ERR_OK;

    offset += sizeof(struct frame_header);
    for (uint32_t i = 0; i < count && err == ERR_OK && !*ret_is_in; i++) {
        struct event event;
        size_t len = 0;

        err = read_row(reader, offset, &event, &len, diag);
        if (err != ERR_OK || len == 0)
            return err;
        *ret_is_in = selection_matches(selection, &event, 0);
        offset += len;
    }
    return err;
}

static enum err
find_rows(struct segment_reader *reader, const struct selection *selection, bool *ret_is_in,
          struct diag *diag)
{
    struct frame_header header;
    const uint8_t *bytes = NULL;
    enum err err = ERR_OK;

    for (uint64_t offset = 0;
         err == ERR_OK && !*ret_is_in && offset + sizeof(header) <= reader->file_bytes;
         offset += 8) {
        err = segment_reader_at(reader, offset, sizeof(header), &bytes, diag);
        if (err != ERR_OK)
            return err;
        memcpy(&header, bytes, sizeof(header));
        if (header.magic == FRAME_MAGIC && header.kind == FRAME_ROWS)
            err = find_in_frame(reader, offset, header.count, selection, ret_is_in, diag);
    }
    return err;
}

static enum err
is_in_file(const char *path, const struct selection *selection, bool *ret_is_in, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    enum err err = segment_reader_open(&reader, path, diag);

    *ret_is_in = false;
    if (err == ERR_OK && selection->kind == SELECTION_PERSON)
        return find_text(&reader, selection->person, ret_is_in, diag);
    return err == ERR_OK ? find_rows(&reader, selection, ret_is_in, diag) : err;
}

static bool
ends_with(const char *name, const char *end)
{
    const size_t len = strlen(name);
    const size_t end_len = strlen(end);

    return len > end_len && strcmp(name + len - end_len, end) == 0;
}

enum err
erase_asides(struct embedded *store, const struct selection *selection, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    const char *dir = store->ledger->dir;
    enum err err = file_list_dir(dir, &list, diag);

    for (size_t i = 0; i < list.count && err == ERR_OK; i++) {
        const char *name = list.names[i];
        const bool is_rubbish = ends_with(name, ".seg.tmp");
        char path[FILE_PATH_MAX];
        bool is_in = is_rubbish;

        if (!is_rubbish && strncmp(name, "cut-", 4) != 0 && !ends_with(name, ".damaged"))
            continue;
        if (!file_path(path, dir, name))
            return ERR_INVALID;
        if (!is_rubbish)
            err = is_in_file(path, selection, &is_in, diag);
        if (err != ERR_OK || !is_in)
            continue;
        err = file_unlink_gently(path, diag);
        if (err == ERR_OK)
            SINK(store->config.sink, LOG_LEVEL_WARN, "erase.file_removed", LOG_TEXT("file", path),
                 LOG_TEXT("reason", is_rubbish ? "what a failed erasure has left"
                                               : "set aside once, and it holds what is erased"));
    }
    return err == ERR_OK ? file_sync_dir(dir, diag) : err;
}
