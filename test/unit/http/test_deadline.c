/*
 * test_deadline - the wheel against a plain list, and the server's deadlines by a clock that stands
 * still until it is moved.
 */
#include "peer.h"

#include "http/deadline.h"
#include <stdio.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* Against a plain list: nothing fires early, nothing later than the wheel promises, nothing is
 * lost. */
static void
test_deadline__fires_in_time(void **state)
{
    enum { COUNT = 200 };
    static struct deadline_wheel wheel;
    static struct deadline nodes[COUNT];
    struct deadline *fired;
    uint64_t seed = 1;
    int64_t now = INT64_C(123456789012);
    uint64_t fires = 0;

    (void)state;
    deadline_wheel_init(&wheel, now);
    for (int i = 0; i < COUNT; i++)
        deadline_init(&nodes[i]);
    for (int round = 0; round < 20000; round++) {
        uint64_t random = seed = seed * 6364136223846793005u + 1442695040888963407u;
        struct deadline *node = &nodes[(random >> 33) % COUNT];
        int64_t wait;

        if (random >> 60 == 0)
            deadline_remove(&wheel, node);
        else
            deadline_set(&wheel, node,
                         now + (int64_t)((random >> 20) % 1000000) *
                                   ((random >> 40) % 4 == 0 ? 30000 : 1000));
        wait = deadline_wait_ns(&wheel, now);
        for (int i = 0; i < COUNT; i++) {
            if (nodes[i].at_ns != DEADLINE_NONE) {
                assert_true(wait >= 0);
                assert_true(now + wait <= nodes[i].at_ns + 17 * DEADLINE_TICK_NS);
            }
        }
        now += (int64_t)((random >> 10) % 5000000) * (round % 1000 == 0 ? 10000 : 1);
        while ((fired = deadline_expired(&wheel, now)) != NULL) {
            assert_true(fired->at_ns <= now && fired->at_ns != DEADLINE_NONE);
            assert_null(fired->next);
            fired->at_ns = DEADLINE_NONE;
            fires++;
        }
        for (int i = 0; i < COUNT; i++)
            assert_true(nodes[i].at_ns == DEADLINE_NONE ||
                        now < nodes[i].at_ns + 17 * DEADLINE_TICK_NS);
    }
    assert_true(fires > 1000);
}

static void
begin_fake(struct peer *peer, struct client *client)
{
    peer_init(peer);
    peer->config.clock = &peer->fake.clock;
    peer->config.head_timeout_ms = 1000;
    peer->config.body_progress_timeout_ms = 2000;
    peer->config.request_timeout_ms = 10000;
    peer->config.idle_timeout_ms = 5000;
    peer->config.write_timeout_ms = 3000;
    peer_start(peer);
    client_open(client, http_server_address(peer->server));
}

static void
finish(struct peer *peer, struct client *client)
{
    client_close(client);
    peer_stop(peer, 1000);
}

/* The loop has read what was sent: a request on another connection, sent later, has been answered.
 */
static void
settle(struct peer *peer)
{
    struct client other;

    client_open(&other, http_server_address(peer->server));
    client_send_text(&other, "GET /settle HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client_expect(&other, 200);
    client_expect_end(&other);
    client_close(&other);
    peer_turn(peer, 0);
}

static void
expect_timeouts(struct peer *peer, uint64_t expected)
{
    struct http_server_stats stats;

    http_server_stats(peer->server, &stats);
    assert_int_equal(stats.timeouts, expected);
}

static void
test_deadline__of_a_head(void **state)
{
    struct peer peer;
    struct client client;

    (void)state;
    begin_fake(&peer, &client);
    client_send_text(&client, "GET / HT");
    settle(&peer);
    peer_move(&peer, 999);
    client_send_text(&client, "TP/1.1\r\nHost: a\r\n"); /* a byte now and then does not help */
    settle(&peer);
    expect_timeouts(&peer, 0);
    peer_move(&peer, 40); /* the wheel's tick */
    client_expect(&client, 408);
    client_expect_end(&client);
    expect_timeouts(&peer, 1);
    finish(&peer, &client);
}

static void
test_deadline__of_a_silent_body(void **state)
{
    struct peer peer;
    struct client client;

    (void)state;
    begin_fake(&peer, &client);
    client_send_text(&client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nx");
    settle(&peer);
    peer_move(&peer, 1900);
    expect_timeouts(&peer, 0);
    peer_move(&peer, 500);
    client_expect(&client, 408);
    client_expect_end(&client);
    assert_int_equal(atomic_load(&peer.gones), 1);
    finish(&peer, &client);
}

/* 1 KiB/s over windows of 2 s: 2,048 bytes keep it, 2,047 do not. */
static void
test_deadline__of_a_body_that_trickles(void **state)
{
    static char bytes[4096];
    struct peer peer;
    struct client client;

    (void)state;
    begin_fake(&peer, &client);
    client_send_text(&client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n");
    settle(&peer);
    client_send(&client, slice_of(bytes, 2048));
    settle(&peer);
    peer_move(&peer, 2400);
    expect_timeouts(&peer, 0);
    client_send(&client, slice_of(bytes, 2047));
    settle(&peer);
    peer_move(&peer, 2400);
    client_expect(&client, 408);
    client_expect_end(&client);
    finish(&peer, &client);
}

/* Fast enough at every moment, but never done. */
static void
test_deadline__of_a_whole_request(void **state)
{
    static char bytes[10000];
    struct peer peer;
    struct client client;

    (void)state;
    begin_fake(&peer, &client);
    client_send_text(&client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    settle(&peer);
    for (int i = 0; i < 9; i++) {
        client_send(&client, slice_of(bytes, sizeof(bytes)));
        settle(&peer);
        peer_move(&peer, 1000);
        expect_timeouts(&peer, 0);
    }
    peer_move(&peer, 1300);
    client_expect(&client, 408);
    client_expect_end(&client);
    finish(&peer, &client);
}

static void
test_deadline__of_idleness(void **state)
{
    struct peer peer;
    struct client client;
    struct client fresh;

    (void)state;
    begin_fake(&peer, &client);
    client_open(&fresh, http_server_address(peer.server));
    client_send_text(&client, GET("/"));
    client_expect(&client, 200);
    settle(&peer);
    peer_move(&peer, 4000);
    client_send_text(&client, GET("/"));
    client_expect(&client, 200);
    peer_move(&peer, 1300); /* the fresh one has been idle for 5.3 s, the other for 1.3 s */
    client_expect_end(&fresh);
    client_send_text(&client, GET("/") "\r\n"); /* an empty line is not the start of a request */
    client_expect(&client, 200);
    peer_move(&peer, 5300);
    client_expect_end(&client);
    expect_timeouts(&peer, 0);
    client_close(&fresh);
    finish(&peer, &client);
}

/* While a reply is awaited no deadline runs: that is the handler's business. */
static void
test_deadline__none_while_the_handler_thinks(void **state)
{
    struct peer peer;
    struct client client;

    (void)state;
    begin_fake(&peer, &client);
    client_send_text(&client, GET("/held"));
    peer_wait(&peer.ended);
    for (int i = 0; i < 20; i++)
        peer_move(&peer, 10000);
    peer_release(&peer, 0);
    client_expect(&client, 200);
    finish(&peer, &client);
}

static void
test_deadline__of_a_reply_nobody_reads(void **state)
{
    struct peer peer;
    struct client client;
    struct http_server_stats stats;

    (void)state;
    begin_fake(&peer, &client);
    client_send_text(&client, GET("/large?100000000"));
    peer_wait(&peer.ended);
    settle(&peer);
    peer_move(&peer, 2900);
    http_server_stats(peer.server, &stats);
    assert_int_equal(stats.connections, 1);
    /* What the kernel's buffers took at first counted for the first window. */
    peer_move(&peer, 3300);
    peer_move(&peer, 3300);
    http_server_stats(peer.server, &stats);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.timeouts, 1);
    finish(&peer, &client);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline__fires_in_time),
        cmocka_unit_test(test_deadline__of_a_head),
        cmocka_unit_test(test_deadline__of_a_silent_body),
        cmocka_unit_test(test_deadline__of_a_body_that_trickles),
        cmocka_unit_test(test_deadline__of_a_whole_request),
        cmocka_unit_test(test_deadline__of_idleness),
        cmocka_unit_test(test_deadline__none_while_the_handler_thinks),
        cmocka_unit_test(test_deadline__of_a_reply_nobody_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
