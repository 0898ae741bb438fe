/*
 * run_file - see run_file.h.
 */
#include "app/run_file.h"

#include "base/file.h"

#include <sodium.h>
#include <string.h>

enum err
run_file_read(const char *data_dir, struct buf *buf, struct diag *diag)
{
    char path[FILE_PATH_MAX];

    buf_init(buf, RUN_FILE_BYTES_MAX);
    if (!file_path(path, data_dir, "first-run.txt"))
        return ERR_IO;
    return file_exists(path) ? file_read_whole(path, RUN_FILE_BYTES_MAX, buf, diag) : ERR_OK;
}

void
run_file_wipe(struct buf *buf)
{
    if (buf->ptr != NULL)
        sodium_memzero(buf->ptr, buf->capacity);
    buf_fini(buf);
}

/* The next line and its line feed; false: behind the last. */
static bool
next_line(const struct buf *buf, size_t *at, struct slice *ret_line)
{
    const char *begin = buf->ptr != NULL ? buf->ptr + *at : NULL;
    const char *newline;

    if (*at >= buf->len)
        return false;
    newline = memchr(begin, '\n', buf->len - *at);
    *ret_line = slice_of(begin, newline != NULL ? (size_t)(newline + 1 - begin) : buf->len - *at);
    *at += ret_line->len;
    return true;
}

static bool
is_named(struct slice line, const char *name)
{
    size_t len = strlen(name);

    return line.len > len && memcmp(line.ptr, name, len) == 0 && line.ptr[len] == '=';
}

struct slice
run_file_value(const struct buf *buf, const char *name)
{
    struct slice line;
    size_t at = 0;

    while (next_line(buf, &at, &line)) {
        size_t skip = strlen(name) + 1;

        if (!is_named(line, name))
            continue;
        if (line.ptr[line.len - 1] == '\n')
            line.len--;
        return slice_of(line.ptr + skip, line.len - skip);
    }
    return SLICE_NONE;
}

static bool
is_replaced(struct slice line, const struct run_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_named(line, lines[i].name))
            return true;
    }
    return false;
}

enum err
run_file_update(const char *data_dir, const struct run_line *lines, size_t count, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct buf old, text;
    struct slice line;
    size_t at = 0;
    enum err err = run_file_read(data_dir, &old, diag);

    buf_init(&text, 2 * (uint64_t)RUN_FILE_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (lines[i].value != NULL)
            buf_printf(&text, "%s=%s\n", lines[i].name, lines[i].value);
    }
    while (err == ERR_OK && next_line(&old, &at, &line)) {
        if (!is_replaced(line, lines, count))
            buf_add(&text, line.ptr, line.len);
    }
    if (err == ERR_OK && (buf_failed(&text) || !file_path(path, data_dir, "first-run.txt")))
        err = ERR_NOMEM;
    if (err == ERR_OK)
        err = file_replace_whole(path, buf_slice(&text), diag);
    run_file_wipe(&text);
    run_file_wipe(&old);
    return err;
}
