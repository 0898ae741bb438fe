/*
 * access_log - one line a request, for who must know what was asked of the server, by whom, and how
 * it went.
 *
 * Layer 6. Opened and opened anew on the main thread; each loop gathers the lines of a turn in a
 * buffer of its own and gives them away with one write when the turn's replies have left. What the
 * file, or whoever reads the pipe, does not take at once is dropped and counted: a log never holds
 * up ingest.
 *
 * A line is JSON, its members always the same and in this order; null where there is nothing:
 *
 *     {"time":"2026-01-31T12:00:00.123456Z","request_id":"5f…-0000002a","method":"POST",
 *      "route":"/v1/events","status":200,"error":null,"bytes_in":412,"bytes_out":301,
 *      "duration_us":812,"peer":"192.0.2.7","credential":"write"}
 *
 * The route is its pattern, so no id, query, key or body of a client's is ever in a line; and
 * nothing in it can hold a control character: the id and the method are of a few characters, the
 * peer is an address that was parsed.
 */
#ifndef POTIK_API_ACCESS_LOG_H
#define POTIK_API_ACCESS_LOG_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "http/http.h"

#include <stdbool.h>

struct access_log;
/* `path`: a file that is added to, made if absent; or "-": stderr. ERR_IO and the like, told. */
MUST_USE enum err access_log_open(const char *path, struct access_log **ret_log, struct diag *diag);
/* The file of that name anew (it was renamed, perhaps). On an error lines go where they went. */
MUST_USE enum err access_log_reopen(struct access_log *log, struct diag *diag);
void access_log_free(struct access_log **log);

/* --- a loop's part ----------------------------------------------------------------------------*/

struct access_lines {
    struct access_log *log; /* NULL: there is none, and nothing below is called */
    struct buf lines;
    bool is_cut; /* the last line given away lacks its end */
};

struct access_line {
    int64_t now_us; /* wall time */
    struct slice request_id;
    struct slice method; /* a known one, or OTHER; ptr NULL: its head could not be read */
    const char *route;   /* the pattern; NULL: none */
    struct http_outcome outcome;
    int64_t duration_us;
    struct slice peer;
    const char *credential; /* write, read, token, none */
};

void access_lines_init(struct access_lines *lines, struct access_log *log);
void access_lines_fini(struct access_lines *lines); /* gives the rest away */
void access_lines_add(struct access_lines *lines, const struct access_line *line);
void access_lines_write(struct access_lines *lines);

#endif
