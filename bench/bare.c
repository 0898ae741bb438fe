/*
 * bare - the bare loop: our HTTP core, an append, a fdatasync a turn, and nothing else. What
 * Potik's single-event rate is held against; bench/mhd.c is the same on libmicrohttpd.
 *
 *     bare FOLDER LOOPS      prints "listening on http://127.0.0.1:PORT", serves until SIGTERM
 *
 * Each loop appends the bodies of its turn to a file of its own, written once before, in one
 * write, then one fdatasync, then all replies. The file is written over from its start when it is
 * full.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http.h"
#include "room.h"
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TURN_BYTES_MAX ((size_t)64 << 20)
#define PENDING_MAX 65536

struct bare_loop {
    int fd;
    char path[512];
    uint64_t offset;
    struct buf gathered;
    struct http_exchange **pending;
    size_t pending_count;
};

static enum err
bare_start(void *app, struct http_loop *loop, void **ret_loop_state, struct diag *diag)
{
    struct bare_loop *state = MEM_NEW(struct bare_loop, 1);

    if (state == NULL)
        return ERR_NOMEM;
    state->pending = MEM_NEW(struct http_exchange *, PENDING_MAX);
    buf_init(&state->gathered, TURN_BYTES_MAX);
    (void)snprintf(state->path, sizeof(state->path), "%s/bare-%" PRIu32, (const char *)app,
                   http_loop_number(loop));
    state->fd = open(state->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    *ret_loop_state = state; /* on an error the process ends: nothing is taken back */
    if (state->pending == NULL || state->fd < 0) {
        diag_set(diag, "%s: cannot be opened", state->path);
        return ERR_IO;
    }
    if (!room_make(state->fd)) {
        diag_set(diag, "%s: no room", state->path);
        return ERR_IO;
    }
    return ERR_OK;
}

static void
bare_stop(void *loop_state)
{
    struct bare_loop *state = loop_state;

    (void)close(state->fd);
    buf_fini(&state->gathered);
    mem_free(state->pending);
    mem_free(state);
}

static void
bare_head(void *loop_state, struct http_exchange *exchange)
{
    (void)loop_state;
    (void)exchange;
}

static void
bare_body(void *loop_state, struct http_exchange *exchange, const char *bytes, size_t len)
{
    struct bare_loop *state = loop_state;

    (void)exchange;
    buf_add(&state->gathered, bytes, len);
}

static void
bare_end(void *loop_state, struct http_exchange *exchange)
{
    struct bare_loop *state = loop_state;

    if (state->pending_count == PENDING_MAX) {
        http_reply_error(exchange, ERR_OVERLOADED, NULL, NULL);
        return;
    }
    state->pending[state->pending_count++] = exchange;
}

static void
bare_gone(void *loop_state, struct http_exchange *exchange)
{
    struct bare_loop *state = loop_state;

    for (size_t i = 0; i < state->pending_count; i++) {
        if (state->pending[i] == exchange) {
            state->pending[i] = state->pending[--state->pending_count];
            return;
        }
    }
}

static void
bare_turn_end(void *loop_state)
{
    struct bare_loop *state = loop_state;
    struct diag diag = DIAG_INIT;

    if (state->pending_count == 0)
        return;
    if (state->offset + state->gathered.len > (uint64_t)ROOM_BYTES)
        state->offset = 0;
    if (buf_failed(&state->gathered) ||
        file_write_at(state->fd, state->path, state->gathered.ptr, state->gathered.len,
                      state->offset, &diag) != ERR_OK ||
        file_sync_data(state->fd, state->path, &diag) != ERR_OK) {
        (void)fprintf(stderr, "bare: %s\n", diag.message);
        exit(1);
    }
    state->offset += state->gathered.len;
    buf_clear(&state->gathered);
    for (size_t i = 0; i < state->pending_count; i++)
        http_reply(state->pending[i], 200, "application/json",
                   SLICE("{\"accepted\":1,\"duplicates\":0,\"rejected\":0,\"position\":\"0\"}\n"));
    state->pending_count = 0;
}

static void
bare_error_body(struct buf *body, enum err err, const char *message, const char *field,
                struct slice request_id)
{
    (void)message;
    (void)field;
    (void)request_id;
    buf_printf(body, "{\"error\":{\"code\":\"%s\"}}\n", err_code(err));
}

int
main(int argc, char **argv)
{
    static const struct http_handler handler = {.loop_start = bare_start,
                                                .loop_stop = bare_stop,
                                                .head = bare_head,
                                                .body = bare_body,
                                                .end = bare_end,
                                                .gone = bare_gone,
                                                .turn_end = bare_turn_end,
                                                .error_body = bare_error_body};
    struct http_config config = {.listen = "127.0.0.1:0",
                                 .connections_max = 10000,
                                 .pipeline_max = 16,
                                 .body_bytes_max = UINT64_C(16) << 20,
                                 .head_bytes_max = 16384,
                                 .url_bytes_max = 8192,
                                 .head_timeout_ms = 10000,
                                 .body_progress_timeout_ms = 10000,
                                 .request_timeout_ms = 60000,
                                 .idle_timeout_ms = 60000,
                                 .write_timeout_ms = 10000,
                                 .turn_bytes_max = UINT64_C(8) << 20,
                                 .clock = clock_system(),
                                 .sink = log_sink_default(),
                                 .handler = &handler};
    struct http_server *server = NULL;
    struct diag diag = DIAG_INIT;
    sigset_t stop;
    int number;

    if (argc != 3) {
        (void)fprintf(stderr, "usage: bare FOLDER LOOPS\n");
        return 2;
    }
    config.app = argv[1];
    config.loops = (uint32_t)strtoul(argv[2], NULL, 10);
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    if (http_server_start(&config, &server, &diag) != ERR_OK) {
        (void)fprintf(stderr, "bare: %s\n", diag.message);
        return 1;
    }
    (void)printf("listening on %s\n", http_server_address(server));
    (void)fflush(stdout);
    (void)sigwait(&stop, &number);
    http_server_stop(&server, 1000);
    return 0;
}
