/*
 * access_log - see access_log.h.
 */
#include "api/access_log.h"

#include "base/counter.h"
#include "base/file.h"
#include "base/put.h"
#include "codec/address.h"
#include "codec/rfc3339.h"

#include <assert.h>

#define LINES_BYTES_MAX ((size_t)1024 * 1024)
#define LINES_BYTES_FULL ((size_t)64 * 1024) /* then they go, though the turn goes on */
#define ID_BYTES_MAX 128
#define WORDS_BYTES_MAX 128 /* of method, route, error and credential, each */
#define LINE_BYTES_MAX                                                                             \
    (512 + RFC3339_TEXT_BYTES + ID_BYTES_MAX + 4 * WORDS_BYTES_MAX + 4 * PUT_U64_BYTES_MAX)

COUNTER_DEFINE(dropped, "potik_access_log_dropped_total",
               "lines of the access log that nobody took in time");

struct access_log {
    char *path;
    struct file_stream stream;
};

enum err
access_log_open(const char *path, struct access_log **ret_log, struct diag *diag)
{
    CLEANUP(access_log_free) struct access_log *log = MEM_NEW(struct access_log, 1);
    enum err err;

    if (log == NULL)
        return ERR_NOMEM;
    log->stream.fd = -1;
    log->path = mem_strdup(path);
    if (log->path == NULL)
        return ERR_NOMEM;
    err = file_stream_open(&log->stream, path, diag);
    if (err != ERR_OK)
        return err;
    *ret_log = MOVE(log);
    return ERR_OK;
}

enum err
access_log_reopen(struct access_log *log, struct diag *diag)
{
    return file_stream_open(&log->stream, log->path, diag);
}

void
access_log_free(struct access_log **log)
{
    if (*log == NULL)
        return;
    file_stream_close(&(*log)->stream);
    mem_free((*log)->path);
    mem_free(*log);
    *log = NULL;
}

/* --- a loop's part ----------------------------------------------------------------------------*/

void
access_lines_init(struct access_lines *lines, struct access_log *log)
{
    *lines = (struct access_lines){.log = log};
    buf_init(&lines->lines, LINES_BYTES_MAX);
}

void
access_lines_fini(struct access_lines *lines)
{
    if (lines->log != NULL)
        access_lines_write(lines);
    buf_fini(&lines->lines);
}

/* Texts of our own, which need no escaping. */
static char *
put_slice(char *to, struct slice word)
{
    if (word.ptr == NULL)
        return PUT(to, "null");
    assert(word.len <= WORDS_BYTES_MAX);
    *to++ = '"';
    to = put(to, word.ptr, word.len);
    *to++ = '"';
    return to;
}

static char *
put_word(char *to, const char *word)
{
    return put_slice(to, slice_of_text(word));
}

static char *
put_line(char *to, const struct access_line *line)
{
    const struct http_outcome *outcome = &line->outcome;

    assert(line->request_id.len <= ID_BYTES_MAX && line->peer.len < ADDRESS_TEXT_BYTES);
    to = PUT(to, "{\"time\":\"");
    rfc3339_format(line->now_us, to);
    to = PUT(to + RFC3339_TEXT_BYTES, "\",\"request_id\":\"");
    to = put(to, line->request_id.ptr, line->request_id.len);
    to = PUT(to, "\",\"method\":");
    to = put_slice(to, line->method);
    to = PUT(to, ",\"route\":");
    to = put_word(to, line->route);
    to = PUT(to, ",\"status\":");
    to = outcome->status != 0 ? put_u64(to, (uint64_t)outcome->status) : PUT(to, "null");
    to = PUT(to, ",\"error\":");
    to = put_word(to, outcome->status == 0     ? "client_gone"
                      : outcome->err != ERR_OK ? err_code(outcome->err)
                                               : NULL);
    to = PUT(to, ",\"bytes_in\":");
    to = put_u64(to, outcome->bytes_in);
    to = PUT(to, ",\"bytes_out\":");
    to = put_u64(to, outcome->bytes_out);
    to = PUT(to, ",\"duration_us\":");
    to = put_u64(to, line->duration_us > 0 ? (uint64_t)line->duration_us : 0);
    to = PUT(to, ",\"peer\":\"");
    to = put(to, line->peer.ptr, line->peer.len);
    to = PUT(to, "\",\"credential\":");
    to = put_word(to, line->credential);
    return PUT(to, "}\n");
}

void
access_lines_add(struct access_lines *lines, const struct access_line *line)
{
    struct buf *buf = &lines->lines;

    if (!buf_reserve(buf, LINE_BYTES_MAX)) {
        counter_add(&dropped, 1);
        return;
    }
    buf->len = (size_t)(put_line(buf->ptr + buf->len, line) - buf->ptr);
    if (buf->len >= LINES_BYTES_FULL)
        access_lines_write(lines);
}

static uint64_t
count_lines(const char *bytes, size_t len)
{
    uint64_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += bytes[i] == '\n';
    return count;
}

void
access_lines_write(struct access_lines *lines)
{
    struct buf *buf = &lines->lines;
    size_t taken;

    if (buf->len == 0)
        return;
    /* A full disk may take half a line: the next one must not go on with it. */
    if (lines->is_cut && file_stream_add(&lines->log->stream, "\n", 1) == 1)
        lines->is_cut = false;
    taken = lines->is_cut ? 0 : file_stream_add(&lines->log->stream, buf->ptr, buf->len);
    if (taken < buf->len) {
        counter_add(&dropped, count_lines(buf->ptr + taken, buf->len - taken));
        lines->is_cut = lines->is_cut || (taken != 0 && buf->ptr[taken - 1] != '\n');
    }
    buf_clear(buf);
}
