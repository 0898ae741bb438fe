/*
 * peer - both ends of a conversation for tests: a server with a handler that notes what it is told,
 * and a plain client that sends any bytes and reads replies.
 *
 * The handler's paths: /batch replies in turn_end; /early in `head`; /middle at the first piece of
 * the body; /held when the test says so (peer_release) or never; /large?N with N bytes; anything
 * else in `end`, with a JSON text that tells method, path, query and the body's length and hash.
 */
#ifndef TEST_HTTP_PEER_H
#define TEST_HTTP_PEER_H

#include "base/buf.h"
#include "base/clock.h"
#include "http/http.h"
#include <semaphore.h>
#include <stdatomic.h>

struct peer {
    struct http_config config;
    struct http_server *server;
    struct http_loop *loops[256];
    struct clock_fake fake;
    _Atomic uint64_t heads;
    _Atomic uint64_t ends;
    _Atomic uint64_t gones;
    _Atomic uint64_t turns;
    _Atomic uint64_t turn_bytes;      /* of bodies, in this turn */
    _Atomic uint64_t turn_bytes_most; /* in any one turn */
    sem_t headed;                     /* posted at each head, end and gone, to wait for */
    sem_t ended;
    sem_t went;
    sem_t posted;
    _Atomic bool fails_start;
};

/* Config with ordinary limits, one loop, the system's clock, 127.0.0.1:0. */
void peer_init(struct peer *peer);
void peer_start(struct peer *peer);
void peer_stop(struct peer *peer, int64_t drain_ms);
/* Replies to all held exchanges of a loop; returns when done. */
void peer_release(struct peer *peer, uint32_t loop);
/* One turn of the loop at least, after everything done so far. */
void peer_turn(struct peer *peer, uint32_t loop);
/* Moves the fake clock, then takes a turn of loop 0, so that deadlines are seen. */
void peer_move(struct peer *peer, int64_t delta_ms);
/* Fails the test after ten seconds. */
void peer_wait(sem_t *sem);

struct client {
    int fd;
    struct buf in;
    size_t at;
};
struct reply {
    int status;
    struct slice head; /* whole, status line included */
    struct slice body; /* valid until the next read */
    bool is_json_error;
};

void client_open(struct client *client, const char *address);
void client_close(struct client *client);
void client_reset(struct client *client); /* closes with RST */
void client_send(struct client *client, struct slice bytes);
void client_send_text(struct client *client, const char *text);
/* As much as goes; false: the other side has closed. */
bool client_try_send(struct client *client, struct slice bytes);
void client_half_close(struct client *client);
/* false: the connection ended cleanly before a first byte. has_body: false for replies to HEAD. */
bool client_read(struct client *client, struct reply *ret_reply, bool has_body);
void client_expect(struct client *client, int status); /* one reply with a body */
/* The connection ends with nothing more to read. */
void client_expect_end(struct client *client);
struct slice reply_header(const struct reply *reply, const char *name);

uint32_t
peer_hash(uint32_t hash, const char *bytes, size_t len); /* FNV-1a; begin with 2166136261 */

#endif
