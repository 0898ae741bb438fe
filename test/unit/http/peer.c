/*
 * peer - see peer.h.
 */
#include "peer.h"

#include "base/mem.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

enum place {
    PLACE_END,
    PLACE_BATCH,
    PLACE_EARLY,
    PLACE_BUSY,
    PLACE_MIDDLE,
    PLACE_HELD,
    PLACE_LARGE
};

struct note {
    struct http_exchange *exchange;
    enum place place;
    uint64_t body_bytes;
    uint32_t hash;
    struct note *next;
};

struct loop_state {
    struct peer *peer;
    struct note *batch;
    struct note *held;
};

uint32_t
peer_hash(uint32_t hash, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 16777619u;
    return hash;
}

static enum err
loop_start(void *app, struct http_loop *loop, void **ret_loop_state, struct diag *diag)
{
    struct peer *peer = (struct peer *)app;
    struct loop_state *state = MEM_NEW(struct loop_state, 1);

    if (atomic_load(&peer->fails_start)) {
        mem_free(state);
        diag_set(diag, "as the test wants");
        return ERR_IO;
    }
    if (state == NULL)
        return ERR_NOMEM;
    state->peer = peer;
    peer->loops[http_loop_number(loop)] = loop;
    *ret_loop_state = state;
    return ERR_OK;
}

static void
loop_stop(void *loop_state)
{
    struct loop_state *state = (struct loop_state *)loop_state;

    assert(state->held == NULL && state->batch == NULL);
    mem_free(state);
}

static void
answer(struct note *note, int status)
{
    struct http_exchange *exchange = note->exchange;
    char text[20000];
    struct slice method = http_method_text(exchange);
    struct slice path = http_path(exchange);
    struct slice query = http_query(exchange);
    int len = snprintf(text, sizeof(text),
                       "{\"method\":\"%.*s\",\"path\":\"%.*s\",\"query\":\"%.*s\",\"bytes\":%llu,"
                       "\"hash\":%u}",
                       SLICE_ARGS(method), SLICE_ARGS(path), SLICE_ARGS(query),
                       (unsigned long long)note->body_bytes, note->hash);

    assert(len > 0 && (size_t)len < sizeof(text));
    http_reply_header(exchange, "X-Test", SLICE("yes"));
    http_reply(exchange, status, "application/json", slice_of(text, (size_t)len));
}

static void
on_head(void *loop_state, struct http_exchange *exchange)
{
    static const struct {
        const char *path;
        enum place place;
    } places[] = {{"/batch", PLACE_BATCH},   {"/early", PLACE_EARLY}, {"/busy", PLACE_BUSY},
                  {"/middle", PLACE_MIDDLE}, {"/held", PLACE_HELD},   {"/large", PLACE_LARGE}};
    struct loop_state *state = (struct loop_state *)loop_state;
    struct note *note = (struct note *)arena_zalloc(http_arena(exchange), 1, sizeof(struct note));

    if (note == NULL) { /* a test that takes the memory away */
        http_reply_error(exchange, ERR_OVERLOADED, NULL, NULL);
        return;
    }
    note->exchange = exchange;
    note->hash = 2166136261u;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (slice_equal(http_path(exchange), slice_of_text(places[i].path)))
            note->place = places[i].place;
    }
    http_set_user(exchange, note);
    if (note->place == PLACE_EARLY)
        answer(note, 401);
    if (note->place == PLACE_BUSY)
        http_reply_error(exchange, ERR_OVERLOADED, NULL, NULL);
    atomic_fetch_add(&state->peer->heads, 1);
    sem_post(&state->peer->headed);
}

static void
on_body(void *loop_state, struct http_exchange *exchange, const char *bytes, size_t len)
{
    struct loop_state *state = (struct loop_state *)loop_state;
    struct note *note = (struct note *)http_user(exchange);

    assert(!http_is_replied(exchange) && len > 0);
    atomic_fetch_add(&state->peer->turn_bytes, len);
    note->body_bytes += len;
    note->hash = peer_hash(note->hash, bytes, len);
    if (note->place == PLACE_MIDDLE)
        answer(note, 422);
}

static void
on_end(void *loop_state, struct http_exchange *exchange)
{
    struct loop_state *state = (struct loop_state *)loop_state;
    struct note *note = (struct note *)http_user(exchange);

    assert(!http_is_replied(exchange));
    atomic_fetch_add(&state->peer->ends, 1);
    if (note->place == PLACE_BATCH) {
        note->next = state->batch;
        state->batch = note;
    } else if (note->place == PLACE_HELD) {
        note->next = state->held;
        state->held = note;
    } else if (note->place == PLACE_LARGE) {
        size_t len = (size_t)strtoul(http_query(exchange).ptr, NULL, 10);
        char *bytes = (char *)mem_alloc(len);

        if (bytes == NULL) {
            http_reply_error(exchange, ERR_OVERLOADED, NULL, NULL);
        } else {
            memset(bytes, 'x', len);
            http_reply(exchange, 200, "text/plain", slice_of(bytes, len));
            mem_free(bytes);
        }
    } else if (http_method(exchange) == HTTP_OTHER) {
        http_reply_error(exchange, ERR_NOT_IMPLEMENTED, NULL, NULL);
    } else {
        answer(note, 200);
    }
    sem_post(&state->peer->ended);
}

static void
forget(struct note **list, const struct http_exchange *exchange)
{
    while (*list != NULL) {
        if ((*list)->exchange == exchange)
            *list = (*list)->next;
        else
            list = &(*list)->next;
    }
}

static void
on_gone(void *loop_state, struct http_exchange *exchange)
{
    struct loop_state *state = (struct loop_state *)loop_state;

    assert(!http_is_replied(exchange));
    forget(&state->held, exchange);
    forget(&state->batch, exchange);
    atomic_fetch_add(&state->peer->gones, 1);
    sem_post(&state->peer->went);
}

static void
on_turn_end(void *loop_state)
{
    struct loop_state *state = (struct loop_state *)loop_state;

    if (atomic_load(&state->peer->turn_bytes) > atomic_load(&state->peer->turn_bytes_most))
        atomic_store(&state->peer->turn_bytes_most, atomic_load(&state->peer->turn_bytes));
    atomic_store(&state->peer->turn_bytes, 0);
    atomic_fetch_add(&state->peer->turns, 1);
    while (state->batch != NULL) {
        struct note *note = state->batch;

        state->batch = note->next;
        answer(note, 200);
    }
}

static void
on_error_body(struct buf *body, enum err err, const char *message, const char *field,
              struct slice request_id)
{
    (void)field;
    buf_printf(body, "{\"error\":{\"code\":\"%s\",\"message\":\"", err_code(err));
    for (const char *c = message != NULL ? message : err_sentence(err); *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            buf_add_char(body, '\\');
        buf_add_char(body, *c);
    }
    buf_printf(body, "\",\"request_id\":\"%.*s\"}}", SLICE_ARGS(request_id));
}

static const struct http_handler handler = {
    .loop_start = loop_start,
    .loop_stop = loop_stop,
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .gone = on_gone,
    .turn_end = on_turn_end,
    .error_body = on_error_body,
};

void
peer_init(struct peer *peer)
{
    memset(peer, 0, sizeof(*peer));
    clock_fake_init(&peer->fake, INT64_C(784111777) * US_PER_S);
    peer->config = (struct http_config){
        .listen = "127.0.0.1:0",
        .loops = 1,
        .connections_max = 10000,
        .pipeline_max = 16,
        .body_bytes_max = 1 << 20,
        .head_bytes_max = 16384,
        .url_bytes_max = 8192,
        .head_timeout_ms = 10000,
        .body_progress_timeout_ms = 10000,
        .request_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .write_timeout_ms = 10000,
        .turn_bytes_max = 4 << 20,
        .clock = clock_system(),
        .sink = log_sink_default(),
        .handler = &handler,
        .app = peer,
    };
    sem_init(&peer->headed, 0, 0);
    sem_init(&peer->ended, 0, 0);
    sem_init(&peer->went, 0, 0);
    sem_init(&peer->posted, 0, 0);
}

void
peer_start(struct peer *peer)
{
    struct diag diag = DIAG_INIT;
    enum err err = http_server_start(&peer->config, &peer->server, &diag);

    if (err != ERR_OK)
        fail_msg("start: %s: %s", err_name(err), diag.message);
}

void
peer_stop(struct peer *peer, int64_t drain_ms)
{
    http_server_stop(&peer->server, drain_ms);
    sem_destroy(&peer->headed);
    sem_destroy(&peer->ended);
    sem_destroy(&peer->went);
    sem_destroy(&peer->posted);
}

void
peer_wait(sem_t *sem)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    while (sem_timedwait(sem, &until) != 0) {
        if (errno != EINTR)
            fail_msg("waited in vain");
    }
}

static void
release_held(void *loop_state, void *arg)
{
    struct loop_state *state = (struct loop_state *)loop_state;

    while (state->held != NULL) {
        struct note *note = state->held;

        state->held = note->next;
        answer(note, 200);
    }
    sem_post((sem_t *)arg);
}

static void
note_turn(void *loop_state, void *arg)
{
    (void)loop_state;
    sem_post((sem_t *)arg);
}

void
peer_release(struct peer *peer, uint32_t loop)
{
    assert_true(http_loop_post(peer->loops[loop], release_held, &peer->posted));
    peer_wait(&peer->posted);
}

void
peer_turn(struct peer *peer, uint32_t loop)
{
    uint64_t before = atomic_load(&peer->turns);
    bool is_over;

    /* The turn under way may have looked at the clock before; the next one is whole when a call
     * posted after its turn_end has run. */
    do {
        is_over = atomic_load(&peer->turns) >= before + 2;
        assert_true(http_loop_post(peer->loops[loop], note_turn, &peer->posted));
        peer_wait(&peer->posted);
    } while (!is_over);
}

void
peer_move(struct peer *peer, int64_t delta_ms)
{
    clock_fake_move(&peer->fake, delta_ms * 1000);
    peer_turn(peer, 0);
}

/* --- the client
 * ---------------------------------------------------------------------------------*/

void
client_open(struct client *client, const char *address)
{
    struct timeval patience = {.tv_sec = 20};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    const struct sockaddr *to = (const struct sockaddr *)&four;
    socklen_t len = sizeof(four);
    const char *colon = strrchr(address, ':');

    four.sin_port = six.sin6_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    six.sin6_addr = in6addr_loopback;
    if (strncmp(address, "unix:", 5) == 0) {
        memcpy(local.sun_path, address + 5, strlen(address + 5) + 1);
        to = (const struct sockaddr *)&local;
        len = sizeof(local);
    } else if (strchr(address, '[') != NULL) {
        to = (const struct sockaddr *)&six;
        len = sizeof(six);
    }
    client->at = 0;
    buf_init(&client->in, (size_t)1 << 30);
    client->fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(client->fd, to, len) != 0)
        fail_msg("connect %s: %s", address, strerror(errno));
}

void
client_close(struct client *client)
{
    close(client->fd);
    client->fd = -1;
    buf_fini(&client->in);
}

void
client_reset(struct client *client)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    client_close(client);
}

bool
client_try_send(struct client *client, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (sent < 0)
            return false;
        bytes.ptr += sent;
        bytes.len -= (size_t)sent;
    }
    return true;
}

void
client_send(struct client *client, struct slice bytes)
{
    if (!client_try_send(client, bytes))
        fail_msg("send: %s", strerror(errno));
}

void
client_send_text(struct client *client, const char *text)
{
    client_send(client, slice_of_text(text));
}

void
client_half_close(struct client *client)
{
    assert_int_equal(shutdown(client->fd, SHUT_WR), 0);
}

/* More bytes; false at the end. A reset or silence fails the test. */
static bool
read_more(struct client *client)
{
    ssize_t got;

    assert_true(buf_reserve(&client->in, 65536));
    got = recv(client->fd, client->in.ptr + client->in.len, 65536, 0);
    if (got < 0)
        fail_msg("recv: %s (have %zu bytes)", strerror(errno), client->in.len - client->at);
    client->in.len += (size_t)got;
    return got > 0;
}

static struct slice
pending(const struct client *client)
{
    return slice_of(client->in.ptr + client->at, client->in.len - client->at);
}

struct slice
reply_header(const struct reply *reply, const char *name)
{
    size_t len = strlen(name);
    const char *at = reply->head.ptr;
    const char *end = at + reply->head.len;

    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if ((size_t)(end - at) > len && at[len] == ':' &&
            slice_equal_nocase(slice_of(at, len), slice_of(name, len))) {
            const char *stop = memchr(at, '\r', (size_t)(end - at));

            return slice_trim(slice_of(at + len + 1, (size_t)(stop - at) - len - 1));
        }
    }
    return SLICE_NONE;
}

/* Not strtoul(): what came from a socket ends in no zero byte. */
static size_t
decimal(struct slice text)
{
    size_t value = 0;

    for (size_t i = 0; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
        value = value * 10 + (size_t)(text.ptr[i] - '0');
    return value;
}

bool
client_read(struct client *client, struct reply *ret_reply, bool has_body)
{
    const char *end = NULL;
    size_t head_len;
    size_t body_len = 0;
    struct slice length;

    while (pending(client).len == 0 ||
           (end = memmem(pending(client).ptr, pending(client).len, "\r\n\r\n", 4)) == NULL) {
        if (!read_more(client)) {
            if (pending(client).len != 0)
                fail_msg("the connection ended within a head");
            return false;
        }
    }
    head_len = (size_t)(end - pending(client).ptr) + 4;
    ret_reply->head = slice_of(pending(client).ptr, head_len);
    if (head_len < 15 || memcmp(ret_reply->head.ptr, "HTTP/1.1 ", 9) != 0)
        fail_msg("not a reply: %.*s", SLICE_ARGS(ret_reply->head));
    ret_reply->status = (int)decimal(slice_of(ret_reply->head.ptr + 9, 3));
    length = reply_header(ret_reply, "Content-Length");
    if (length.ptr != NULL && has_body)
        body_len = decimal(length);
    while (pending(client).len < head_len + body_len) {
        if (!read_more(client))
            fail_msg("the connection ended within a body");
    }
    ret_reply->head.ptr = pending(client).ptr;
    ret_reply->body = slice_of(pending(client).ptr + head_len, body_len);
    ret_reply->is_json_error =
        body_len > 17 && memcmp(ret_reply->body.ptr, "{\"error\":{\"code\":", 17) == 0 &&
        ret_reply->body.ptr[body_len - 1] == '}' &&
        slice_equal(reply_header(ret_reply, "Content-Type"), SLICE("application/json"));
    client->at += head_len + body_len;
    return true;
}

void
client_expect(struct client *client, int status)
{
    struct reply reply;

    if (!client_read(client, &reply, true))
        fail_msg("the connection ended; %d was expected", status);
    if (reply.status != status)
        fail_msg("%d was expected: %.*s%.*s", status, SLICE_ARGS(reply.head),
                 SLICE_ARGS(reply.body));
}

void
client_expect_end(struct client *client)
{
    if (pending(client).len != 0 || read_more(client))
        fail_msg("more came: %.*s", SLICE_ARGS(pending(client)));
}
