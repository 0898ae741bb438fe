/*
 * test_server_life - what time, numbers and the end do to a server: deadlines (by a clock that
 * stands still until moved), many connections, limits, other threads, addresses, stopping under
 * load.
 */
#include "peer.h"

#include "base/mem.h"
#include "base/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void
finish(struct peer *peer, struct client *client)
{
    client_close(client);
    peer_stop(peer, 1000);
}

/* --- numbers
 * --------------------------------------------------------------------------------------*/

static void
test_server__refuses_connections_over_the_limit(void **state)
{
    enum { MAX = 3 };
    struct peer peer;
    struct client clients[MAX];
    struct client over;
    struct reply reply;

    (void)state;
    peer_init(&peer);
    peer.config.connections_max = MAX;
    peer_start(&peer);
    for (int i = 0; i < MAX; i++) {
        client_open(&clients[i], http_server_address(peer.server));
        client_send_text(&clients[i], GET("/"));
        client_expect(&clients[i], 200);
    }
    client_open(&over, http_server_address(peer.server));
    assert_true(client_read(&over, &reply, true));
    assert_int_equal(reply.status, 503);
    assert_true(reply.is_json_error);
    assert_non_null(reply_header(&reply, "retry-after").ptr);
    assert_non_null(memmem(reply.body.ptr, reply.body.len, "\"overloaded\"", 12));
    client_expect_end(&over);
    client_close(&over);
    client_close(&clients[0]);
    /* There is room again, once the loop has seen the two go. */
    for (struct http_server_stats stats = {.connections = MAX}; stats.connections >= MAX;) {
        peer_turn(&peer, 0);
        http_server_stats(peer.server, &stats);
    }
    client_open(&clients[0], http_server_address(peer.server));
    for (int i = 0; i < MAX; i++) {
        client_send_text(&clients[i], GET("/"));
        client_expect(&clients[i], 200);
        client_close(&clients[i]);
    }
    peer_stop(&peer, 1000);
}

static uint64_t
resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %llu", &pages), 1);
    (void)fclose(file);
    return pages * 4096;
}

/* Each has asked once, so that whatever a connection keeps is there. */
static void
test_server__bears_5000_idle_connections(void **state)
{
    enum { COUNT = 5000 };
    static struct client clients[COUNT];
    struct peer peer;
    struct rlimit limit;
    struct http_server_stats stats;
    uint64_t before;
    uint64_t after;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * COUNT + 100) {
        printf("SKIPPED: 5,000 connections need %d file descriptors, %llu are allowed\n",
               2 * COUNT + 100, (unsigned long long)limit.rlim_max);
        skip();
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    peer_init(&peer);
    peer.config.loops = 2;
    peer_start(&peer);
    client_open(&clients[0], http_server_address(peer.server));
    client_send_text(&clients[0], GET("/"));
    client_expect(&clients[0], 200);
    before = resident_bytes();
    for (int i = 1; i < COUNT; i++) {
        client_open(&clients[i], http_server_address(peer.server));
        client_send_text(&clients[i], GET("/"));
        client_expect(&clients[i], 200);
        buf_fini(&clients[i].in); /* the client's own memory is not of interest */
        clients[i].at = 0;
    }
    after = resident_bytes();
    http_server_stats(peer.server, &stats);
    assert_int_equal(stats.connections, COUNT);
    printf("%llu bytes of memory an idle connection\n",
           (unsigned long long)((after - before) / COUNT));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true((after - before) / COUNT <= 2048);
#endif
    for (int i = COUNT - 1; i > 0; i -= 7) {
        client_send_text(&clients[i], GET("/"));
        client_expect(&clients[i], 200);
    }
    for (int i = 0; i < COUNT; i++)
        client_close(&clients[i]);
    peer_stop(&peer, 5000);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf("SKIPPED: a sanitizer needs memory of its own, so a connection's cannot be told\n");
    skip();
#endif
}

/* Neighbours on two loops: neither gets more than two above the other. */
static void
test_server__spreads_connections_over_loops(void **state)
{
    enum { COUNT = 64 };
    struct peer peer;
    struct client clients[COUNT];
    struct http_server_stats stats;
    int mine = 0;

    (void)state;
    peer_init(&peer);
    peer.config.loops = 2;
    peer_start(&peer);
    for (int i = 0; i < COUNT; i++) {
        client_open(&clients[i], http_server_address(peer.server));
        client_send_text(&clients[i], GET("/held"));
        peer_wait(&peer.ended);
    }
    http_server_stats(peer.server, &stats);
    assert_int_equal(stats.connections, COUNT);
    peer_release(&peer, 0);
    for (int i = 0; i < COUNT; i++) {
        char byte;

        /* Only loop 0's are answered by now or soon. */
        peer_turn(&peer, 0);
        mine += recv(clients[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    }
    assert_in_range(mine, COUNT / 2 - 1, COUNT / 2 + 1);
    peer_release(&peer, 1);
    for (int i = 0; i < COUNT; i++) {
        client_expect(&clients[i], 200);
        client_close(&clients[i]);
    }
    peer_stop(&peer, 1000);
}

/* Without file descriptors the listener rests, the others are served, and then it goes on. */
static void
test_server__survives_running_out_of_descriptors(void **state)
{
    struct peer peer;
    struct client first;
    struct client second;
    struct rlimit old;
    struct rlimit tight;
    uint64_t turns;

    (void)state;
    peer_init(&peer);
    peer.config.clock = &peer.fake.clock;
    peer_start(&peer);
    client_open(&first, http_server_address(peer.server));
    client_send_text(&first, GET("/"));
    client_expect(&first, 200);
    getrlimit(RLIMIT_NOFILE, &old);
    tight = old;
    second.fd = dup(0);
    close(second.fd);
    /* Room for the client's own end, none for the server's. */
    tight.rlim_cur = (rlim_t)second.fd + 1;
    setrlimit(RLIMIT_NOFILE, &tight);
    client_open(&second, http_server_address(peer.server));
    client_send_text(&second, GET("/"));
    for (int i = 0; i < 10; i++) {
        client_send_text(&first, GET("/"));
        client_expect(&first, 200);
    }
    turns = atomic_load(&peer.turns);
    assert_true(turns < 100); /* it does not spin */
    setrlimit(RLIMIT_NOFILE, &old);
    peer_move(&peer, 200);
    client_expect(&second, 200);
    client_close(&second);
    finish(&peer, &first);
}

/* Reads to the end of the connection without allocating; how many replies, and how many of them
 * 200. */
static void
read_all(int fd, int *ret_replies, int *ret_good)
{
    static char bytes[65536];
    size_t len = 0;
    ssize_t got;

    *ret_replies = *ret_good = 0;
    while ((got = recv(fd, bytes + len, sizeof(bytes) - len, 0)) > 0)
        len += (size_t)got;
    for (const char *at = bytes;
         (at = memmem(at, len - (size_t)(at - bytes), "HTTP/1.1 ", 9)) != NULL; at += 9) {
        ++*ret_replies;
        *ret_good += memcmp(at + 9, "200", 3) == 0;
    }
}

/* Whatever allocation fails while requests are served: a reply or a cut, no false 200, and then all
 * is well. */
static void
test_server__survives_allocations_that_fail(void **state)
{
    static const char first[] = "GET /one HTTP/1.1\r\nHo";
    static const char rest[] = "st: a\r\n\r\n" GET("/batch") GET(
        "/large?3000") "POST /x HTTP/1.1\r\nHost: a\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" GET("/bad path");
    int most = 0;

    (void)state;
    for (uint64_t nth = 1; nth <= 40; nth++) {
        for (int is_sticky = 0; is_sticky < 2; is_sticky++) {
            struct peer peer;
            struct client client;
            int replies;
            int good;

            peer_init(&peer);
            peer.config.pipeline_max = 2;
            peer_start(&peer);
            client_open(&client, http_server_address(peer.server));
            mem_fail_from(nth, is_sticky != 0);
            assert_int_equal(send(client.fd, first, sizeof(first) - 1, MSG_NOSIGNAL),
                             sizeof(first) - 1);
            peer_turn(&peer, 0);
            (void)send(client.fd, rest, sizeof(rest) - 1, MSG_NOSIGNAL);
            (void)shutdown(client.fd, SHUT_WR);
            read_all(client.fd, &replies, &good);
            mem_fail_from(0, false);
            assert_true((uint64_t)good <= atomic_load(&peer.ends));
            most = good > most ? good : most;
            client_close(&client);
            client_open(&client, http_server_address(peer.server));
            client_send_text(&client, GET("/"));
            client_expect(&client, 200);
            finish(&peer, &client);
        }
    }
    assert_int_equal(most, 4); /* in the end nothing failed any more */
}

/* A client that sends without end gets its share and no more: small ones are answered meanwhile. */
static void
import_forever(void *arg)
{
    static char bytes[1 << 20];
    struct client client;

    client_open(&client, (const char *)arg);
    client_send_text(&client,
                     "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n");
    while (client_try_send(&client, slice_of(bytes, sizeof(bytes))))
        ;
    close(client.fd);
}

static void
test_server__lets_small_requests_past_imports(void **state)
{
    struct peer peer;
    struct client client;
    struct thread *importers[4] = {NULL};
    uint64_t turns;

    (void)state;
    peer_init(&peer);
    peer.config.body_bytes_max = UINT64_C(1) << 41;
    peer.config.turn_bytes_max = 1 << 18;
    peer_start(&peer);
    client_open(&client, http_server_address(peer.server));
    for (size_t i = 0; i < COUNT_OF(importers); i++) {
        assert_int_equal(thread_start("import", THREAD_NORMAL, import_forever,
                                      (void *)(uintptr_t)http_server_address(peer.server),
                                      &importers[i], NULL),
                         ERR_OK);
        peer_wait(&peer.headed);
    }
    for (int i = 0; i < 50; i++) {
        client_send_text(&client, GET("/"));
        client_expect(&client, 200);
    }
    turns = atomic_load(&peer.turns);
    assert_true(turns >= 50);
    /* The read that passes the limit is the last, however many have more; a read is at most 256
     * KiB. */
    assert_true(atomic_load(&peer.turn_bytes_most) <= peer.config.turn_bytes_max + (1 << 18));
    client_close(&client);
    http_server_drain(peer.server, 0);
    for (size_t i = 0; i < COUNT_OF(importers); i++)
        thread_join(&importers[i]);
    assert_int_equal(atomic_load(&peer.gones), COUNT_OF(importers));
    peer_stop(&peer, 0);
}

/* --- other threads, other fds
 * ---------------------------------------------------------------------*/

struct poster {
    struct peer *peer;
    _Atomic uint64_t posted;
    _Atomic uint64_t refused;
};
static _Atomic uint64_t runs;

static void
count_run(void *loop_state, void *arg)
{
    (void)loop_state;
    (void)arg;
    atomic_fetch_add(&runs, 1);
}

static void
post_many(void *arg)
{
    struct poster *poster = (struct poster *)arg;

    for (int i = 0; i < 20000; i++) {
        if (http_loop_post(poster->peer->loops[0], count_run, NULL))
            atomic_fetch_add(&poster->posted, 1);
        else
            atomic_fetch_add(&poster->refused, 1);
    }
}

static void
test_loop__runs_what_is_posted_exactly_once(void **state)
{
    struct peer peer;
    struct thread *threads[4] = {NULL};
    struct poster poster = {.peer = &peer};

    (void)state;
    atomic_store(&runs, 0);
    peer_init(&peer);
    peer_start(&peer);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start("post", THREAD_NORMAL, post_many, &poster, &threads[i], NULL),
                         ERR_OK);
    /* Stopped in the midst: whatever was taken in is run, the rest is refused. */
    http_server_drain(peer.server, 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(&threads[i]);
    assert_false(http_loop_post(peer.loops[0], count_run, NULL));
    assert_int_equal(atomic_load(&poster.posted) + atomic_load(&poster.refused), 80000);
    assert_int_equal(atomic_load(&runs), atomic_load(&poster.posted));
    peer_stop(&peer, 0);
}

struct watched {
    struct http_loop *loop;
    int fd;
    sem_t seen;
    _Atomic uint64_t value; /* as read; the fd's order is not seen by thread checkers */
    enum err err;
};

static void
on_ready(void *loop_state, void *arg, uint32_t events)
{
    struct watched *watched = (struct watched *)arg;
    uint64_t value;

    (void)loop_state;
    assert_true((events & EPOLLIN) != 0);
    assert_int_equal(read(watched->fd, &value, sizeof(value)), 8);
    atomic_store(&watched->value, value);
    if (value == 3) /* done: from within its own call */
        watched->err = http_loop_watch(watched->loop, watched->fd, 0, NULL, NULL);
    sem_post(&watched->seen);
}

static void
watch_it(void *loop_state, void *arg)
{
    struct watched *watched = (struct watched *)arg;

    (void)loop_state;
    watched->err = http_loop_watch(watched->loop, watched->fd, EPOLLIN, on_ready, watched);
    sem_post(&watched->seen);
}

static void
test_loop__watches_other_fds(void **state)
{
    struct peer peer;
    struct watched watched;
    uint64_t value;

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    watched = (struct watched){.loop = peer.loops[0], .fd = eventfd(0, EFD_NONBLOCK)};
    sem_init(&watched.seen, 0, 0);
    assert_true(http_loop_post(peer.loops[0], watch_it, &watched));
    peer_wait(&watched.seen);
    assert_int_equal(watched.err, ERR_OK);
    for (value = 1; value <= 3; value++) {
        assert_int_equal(write(watched.fd, &value, sizeof(value)), 8);
        peer_wait(&watched.seen);
        assert_int_equal(atomic_load(&watched.value), value);
    }
    assert_int_equal(watched.err, ERR_OK);
    assert_int_equal(write(watched.fd, &value, sizeof(value)), 8);
    peer_turn(&peer, 0);
    assert_int_equal(sem_trywait(&watched.seen), -1);
    /* The same number again, after its owner closed it. */
    close(watched.fd);
    watched.fd = eventfd(0, EFD_NONBLOCK);
    assert_true(http_loop_post(peer.loops[0], watch_it, &watched));
    peer_wait(&watched.seen);
    assert_int_equal(watched.err, ERR_OK);
    close(watched.fd);
    peer_stop(&peer, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server__refuses_connections_over_the_limit),
        cmocka_unit_test(test_server__bears_5000_idle_connections),
        cmocka_unit_test(test_server__spreads_connections_over_loops),
        cmocka_unit_test(test_server__survives_running_out_of_descriptors),
        cmocka_unit_test(test_server__survives_allocations_that_fail),
        cmocka_unit_test(test_server__lets_small_requests_past_imports),
        cmocka_unit_test(test_loop__runs_what_is_posted_exactly_once),
        cmocka_unit_test(test_loop__watches_other_fds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
