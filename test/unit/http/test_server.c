/*
 * test_server - conversations over real sockets: order, bodies, early replies, ends. Deadlines,
 * many connections and stopping are in test_server_life.
 */
#include "peer.h"

#include "base/mem.h"
#include "http/request.h"
#include <stdio.h>
#include <sys/socket.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, fields) "POST " path " HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

static void
begin(struct peer *peer, struct client *client)
{
    peer_init(peer);
    peer_start(peer);
    client_open(client, http_server_address(peer->server));
}

static void
finish(struct peer *peer, struct client *client)
{
    client_close(client);
    peer_stop(peer, 1000);
}

static void
test_server__answers_a_request(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;

    (void)state;
    begin(&peer, &client);
    for (int i = 0; i < 3; i++) {
        client_send_text(&client, GET("/x?y=1"));
        assert_true(client_read(&client, &reply, true));
        assert_int_equal(reply.status, 200);
        assert_true(
            slice_equal(reply.body, SLICE("{\"method\":\"GET\",\"path\":\"/x\",\"query\":\"y=1\","
                                          "\"bytes\":0,\"hash\":2166136261}")));
        assert_true(slice_equal(reply_header(&reply, "x-test"), SLICE("yes")));
        assert_null(reply_header(&reply, "connection").ptr);
        assert_int_equal(reply_header(&reply, "date").len, 29);
    }
    client_send_text(&client, POST("/batch", "Content-Length: 5\r\n") "hello");
    client_expect(&client, 200);
    finish(&peer, &client);
}

static void
test_server__tells_the_date(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;

    (void)state;
    peer_init(&peer);
    peer.config.clock = &peer.fake.clock; /* RFC 9110's example: 784,111,777 s */
    peer_start(&peer);
    client_open(&client, http_server_address(peer.server));
    client_send_text(&client, GET("/"));
    assert_true(client_read(&client, &reply, true));
    assert_true(slice_equal(reply_header(&reply, "date"), SLICE("Sun, 06 Nov 1994 08:49:37 GMT")));
    clock_fake_move(&peer.fake, 1500000);
    client_send_text(&client, GET("/"));
    assert_true(client_read(&client, &reply, true));
    assert_true(slice_equal(reply_header(&reply, "date"), SLICE("Sun, 06 Nov 1994 08:49:38 GMT")));
    finish(&peer, &client);
}

static void
test_server__echoes_a_good_request_id(void **state)
{
    char longest[HTTP_REQUEST_ID_MAX + 2];
    struct peer peer;
    struct client client;
    struct reply reply;
    char text[400];

    (void)state;
    begin(&peer, &client);
    for (int len = 0; len <= HTTP_REQUEST_ID_MAX + 1; len++) {
        struct slice id;

        memset(longest, 'a', sizeof(longest));
        longest[len] = '\0';
        (void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\n\r\n",
                       longest);
        client_send_text(&client, text);
        assert_true(client_read(&client, &reply, true));
        id = reply_header(&reply, "x-request-id");
        if (len >= 1 && len <= HTTP_REQUEST_ID_MAX)
            assert_true(slice_equal(id, slice_of_text(longest)));
        else
            assert_true(id.len > 8 && !slice_equal(id, slice_of_text(longest)));
    }
    client_send_text(&client, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n");
    assert_true(client_read(&client, &reply, true));
    assert_null(memchr(reply_header(&reply, "x-request-id").ptr, ' ',
                       reply_header(&reply, "x-request-id").len));
    finish(&peer, &client);
}

static void
test_server__tells_head_the_length_alone(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;

    (void)state;
    begin(&peer, &client);
    client_send_text(&client, "HEAD /large?1000 HTTP/1.1\r\nHost: a\r\n\r\n" GET("/after"));
    assert_true(client_read(&client, &reply, false));
    assert_int_equal(reply.status, 200);
    assert_true(slice_equal(reply_header(&reply, "content-length"), SLICE("1000")));
    client_expect(&client, 200);
    /* The server's own errors keep to it, too. */
    client_send_text(&client, "HEAD /\x01 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(client_read(&client, &reply, false));
    assert_int_equal(reply.status, 400);
    client_expect_end(&client);
    finish(&peer, &client);
}

/* --- pipelining
 * -----------------------------------------------------------------------------------*/

static void
test_server__answers_pipelined_requests_in_order(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;
    struct buf out;

    (void)state;
    begin(&peer, &client);
    buf_init(&out, 1 << 20);
    for (int i = 0; i < 500; i++) {
        if (i % 3 == 0)
            buf_printf(&out, "POST /p%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%.*s", i,
                       i % 7, i % 7, "1234567");
        else if (i % 3 == 1)
            buf_printf(&out, "GET /batch?p%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        else
            buf_printf(&out,
                       "PUT /p%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n0\r\n\r\n",
                       i);
    }
    client_send(&client, buf_slice(&out));
    for (int i = 0; i < 500; i++) {
        char expected[32];

        (void)snprintf(expected, sizeof(expected),
                       i % 3 == 1 ? "\"query\":\"p%d\"" : "\"path\":\"/p%d\"", i);
        assert_true(client_read(&client, &reply, true));
        assert_int_equal(reply.status, 200);
        assert_non_null(memmem(reply.body.ptr, reply.body.len, expected, strlen(expected)));
    }
    buf_fini(&out);
    finish(&peer, &client);
}

/* A reply that comes late holds back those behind it; and no more than pipeline_max are handed
 * over. */
static void
test_server__bounds_requests_under_way(void **state)
{
    enum { MAX = 4, SENT = 20 };
    struct peer peer;
    struct client client;

    (void)state;
    peer_init(&peer);
    peer.config.pipeline_max = MAX;
    peer_start(&peer);
    client_open(&client, http_server_address(peer.server));
    for (int i = 0; i < SENT; i++)
        client_send_text(&client, GET("/held"));
    for (int i = 0; i < MAX; i++)
        peer_wait(&peer.ended);
    peer_turn(&peer, 0);
    peer_turn(&peer, 0);
    assert_int_equal(atomic_load(&peer.heads), MAX);
    for (int i = 0; i < SENT; i += MAX) {
        peer_release(&peer, 0);
        for (int k = 0; k < MAX; k++)
            client_expect(&client, 200);
        for (int k = 0; k < MAX && i + MAX < SENT; k++)
            peer_wait(&peer.ended);
        assert_int_equal(atomic_load(&peer.heads), i + 2 * MAX < SENT ? i + 2 * MAX : SENT);
    }
    finish(&peer, &client);
}

/* Replies that nobody reads are not made: fewer than pipeline_max allows are handed over. */
static void
test_server__bounds_replies_that_are_not_taken(void **state)
{
    enum { SENT = 16, BYTES = 4000000 }; /* more than a socket's buffers take in */
    struct peer peer;
    struct client client;
    uint64_t heads;

    (void)state;
    begin(&peer, &client);
    for (int i = 0; i < SENT; i++)
        client_send_text(&client, GET("/large?4000000"));
    for (int i = 0; i < 20; i++)
        peer_turn(&peer, 0);
    heads = atomic_load(&peer.heads);
    assert_in_range(heads, 1, SENT - 1);
    for (int i = 0; i < SENT; i++) {
        struct reply reply;

        assert_true(client_read(&client, &reply, true));
        assert_int_equal(reply.status, 200);
        assert_int_equal(reply.body.len, BYTES);
    }
    assert_int_equal(atomic_load(&peer.heads), SENT);
    finish(&peer, &client);
}

static void
test_server__holds_replies_behind_a_slow_one(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;

    (void)state;
    begin(&peer, &client);
    client_send_text(&client, GET("/held") GET("/second") "GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    peer_wait(&peer.ended);
    peer_wait(&peer.ended);
    peer_release(&peer, 0);
    assert_true(client_read(&client, &reply, true));
    assert_non_null(memmem(reply.body.ptr, reply.body.len, "/held", 5));
    assert_true(client_read(&client, &reply, true));
    assert_non_null(memmem(reply.body.ptr, reply.body.len, "/second", 7));
    client_expect(&client, 400);
    client_expect_end(&client);
    finish(&peer, &client);
}

/* --- bodies
 * ---------------------------------------------------------------------------------------*/

static void
test_server__hands_over_bodies_unchanged(void **state)
{
    static char bytes[1 << 20];
    struct peer peer;
    struct client client;
    struct reply reply;
    char text[128];
    uint32_t hash = peer_hash(2166136261u, bytes, 0);

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    hash = peer_hash(hash, bytes, sizeof(bytes));
    begin(&peer, &client);
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        if (!is_chunked) {
            client_send_text(&client, POST("/b", "Content-Length: 1048576\r\n"));
            client_send(&client, slice_of(bytes, sizeof(bytes)));
        } else {
            size_t at = 0;

            client_send_text(&client, POST("/b", "Transfer-Encoding: chunked\r\n"));
            for (size_t size = 1; at < sizeof(bytes); size = size * 5 / 3 + 1) {
                size_t take = size < sizeof(bytes) - at ? size : sizeof(bytes) - at;

                (void)snprintf(text, sizeof(text), "%zX;x=y\r\n", take);
                client_send_text(&client, text);
                client_send(&client, slice_of(bytes + at, take));
                client_send_text(&client, "\r\n");
                at += take;
            }
            client_send_text(&client, "0\r\nT: u\r\n\r\n");
        }
        assert_true(client_read(&client, &reply, true));
        (void)snprintf(text, sizeof(text), "\"bytes\":1048576,\"hash\":%u}", hash);
        assert_non_null(memmem(reply.body.ptr, reply.body.len, text, strlen(text)));
    }
    finish(&peer, &client);
}

static void
test_server__says_continue_once_when_asked(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;

    (void)state;
    begin(&peer, &client);
    client_send_text(&client, POST("/x", "Expect: 100-continue\r\nContent-Length: 5\r\n"));
    assert_true(client_read(&client, &reply, true));
    assert_int_equal(reply.status, 100);
    client_send_text(&client, "hello");
    client_expect(&client, 200);
    /* The body has begun: no need. */
    client_send_text(&client, POST("/x", "Expect: 100-continue\r\nContent-Length: 5\r\n") "hello");
    client_expect(&client, 200);
    /* HTTP/1.0 knows no such thing. */
    client_send_text(&client,
                     "POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n"
                     "Content-Length: 5\r\n\r\n");
    peer_turn(&peer, 0);
    client_send_text(&client, "hello");
    client_expect(&client, 200);
    /* Behind a slow one it waits its turn. */
    client_send_text(&client,
                     GET("/held") POST("/x", "Expect: 100-continue\r\nContent-Length: 5\r\n"));
    while (atomic_load(&peer.heads) < 5)
        peer_wait(&peer.headed);
    peer_release(&peer, 0);
    client_expect(&client, 200);
    client_expect(&client, 100);
    client_send_text(&client, "hello");
    client_expect(&client, 200);
    finish(&peer, &client);
}

static void
test_server__refuses_before_the_body_is_sent(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;

    (void)state;
    begin(&peer, &client);
    client_send_text(&client, POST("/early", "Expect: 100-continue\r\nContent-Length: 5\r\n"));
    assert_true(client_read(&client, &reply, true));
    assert_int_equal(reply.status, 401); /* and no 100 */
    /* Nobody can tell whether the body will still come. */
    assert_true(slice_equal(reply_header(&reply, "connection"), SLICE("close")));
    client_expect_end(&client);
    client_close(&client);
    client_open(&client, http_server_address(peer.server));
    client_send_text(&client, POST("/x", "Expect: 100-continue\r\nContent-Length: 1048577\r\n"));
    client_expect(&client, 413);
    client_expect_end(&client);
    assert_int_equal(atomic_load(&peer.gones), 1);
    finish(&peer, &client);
}

/* A small body nobody wants is skipped and the connection kept; a large one ends it, the reply
 * whole. */
static void
test_server__skips_little_and_closes_on_much(void **state)
{
    static char bytes[900000];
    static const struct {
        size_t len;
        bool is_kept;
    } sizes[] = {{1, true}, {65535, true}, {65536, true}, {65537, false}, {900000, false}};
    struct peer peer;
    struct client client;
    char text[128];

    (void)state;
    begin(&peer, &client);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        client_close(&client);
        client_open(&client, http_server_address(peer.server));
        (void)snprintf(text, sizeof(text), POST("/early", "Content-Length: %zu\r\n"), sizes[i].len);
        client_send_text(&client, text);
        client_send(&client, slice_of(bytes, sizes[i].len));
        client_expect(&client, 401);
        if (sizes[i].is_kept) {
            client_send_text(&client, GET("/next"));
            client_expect(&client, 200);
        } else {
            client_expect_end(&client);
        }
    }
    /* The same from within `body`, and chunked. */
    client_close(&client);
    client_open(&client, http_server_address(peer.server));
    client_send_text(&client, POST("/middle", "Transfer-Encoding: chunked\r\n") "2\r\nhe\r\n");
    client_expect(&client, 422);
    client_send_text(&client, "3\r\nllo\r\n0\r\n\r\n" GET("/next"));
    client_expect(&client, 200);
    client_send_text(&client,
                     POST("/middle", "Transfer-Encoding: chunked\r\n") "2\r\nhe\r\nDBBA0\r\n");
    client_expect(&client, 422);
    client_send(&client, slice_of(bytes, sizeof(bytes)));
    client_expect_end(&client);
    finish(&peer, &client);
}

/* Who is told to come again keeps the connection with a larger one; and reads the reply whole in
 * any case. */
static void
test_server__skips_more_of_what_will_come_again(void **state)
{
    static char bytes[(1 << 20) + 1];
    static const struct {
        size_t len;
        bool is_kept;
    } sizes[] = {{65537, true}, {(1 << 20) - 1, true}, {1 << 20, true}, {(1 << 20) + 1, false}};
    struct peer peer;
    struct client client;
    struct reply reply;
    char text[128];

    (void)state;
    begin(&peer, &client);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        client_close(&client);
        client_open(&client, http_server_address(peer.server));
        (void)snprintf(text, sizeof(text), POST("/busy", "Content-Length: %zu\r\n"), sizes[i].len);
        client_send_text(&client, text);
        client_send(&client, slice_of(bytes, sizes[i].len));
        assert_true(client_read(&client, &reply, true));
        assert_int_equal(reply.status, 503);
        assert_true(slice_equal(reply_header(&reply, "retry-after"), SLICE("1")));
        if (sizes[i].is_kept) {
            client_send_text(&client, GET("/next"));
            client_expect(&client, 200);
        } else {
            client_expect_end(&client);
        }
    }
    finish(&peer, &client);
}

static void
test_server__tells_the_handler_of_a_spoilt_body(void **state)
{
    struct peer peer;
    struct client client;

    (void)state;
    begin(&peer, &client);
    client_send_text(&client, POST("/x", "Transfer-Encoding: chunked\r\n") "5\r\nhelloX");
    client_expect(&client, 400);
    client_expect_end(&client);
    assert_int_equal(atomic_load(&peer.heads), 1);
    assert_int_equal(atomic_load(&peer.gones), 1);
    assert_int_equal(atomic_load(&peer.ends), 0);
    finish(&peer, &client);
}

/* --- ends
 * -----------------------------------------------------------------------------------------*/

static void
test_server__answers_a_client_that_has_half_closed(void **state)
{
    struct peer peer;
    struct client client;

    (void)state;
    begin(&peer, &client);
    client_send_text(&client, GET("/held") GET("/second"));
    client_half_close(&client);
    peer_wait(&peer.ended);
    peer_wait(&peer.ended);
    peer_turn(&peer, 0);
    peer_release(&peer, 0);
    client_expect(&client, 200);
    client_expect(&client, 200);
    client_expect_end(&client);
    /* An empty line behind the last request is no request. */
    client_close(&client);
    client_open(&client, http_server_address(peer.server));
    client_send_text(&client, GET("/") "\r\n");
    client_half_close(&client);
    client_expect(&client, 200);
    client_expect_end(&client);
    finish(&peer, &client);
}

static void
test_server__tells_the_handler_of_a_client_gone(void **state)
{
    struct peer peer;
    struct client client;

    (void)state;
    begin(&peer, &client);
    client_send_text(&client, GET("/held") GET("/held") POST("/x", "Content-Length: 5\r\n") "hel");
    while (atomic_load(&peer.heads) < 3)
        peer_wait(&peer.headed);
    client_reset(&client);
    for (int i = 0; i < 3; i++)
        peer_wait(&peer.went);
    peer_release(&peer, 0); /* nothing is held any more */
    client_open(&client, http_server_address(peer.server));
    client_send_text(&client, GET("/"));
    client_expect(&client, 200);
    finish(&peer, &client);
}

static void
test_server__keeps_an_error_from_being_lost(void **state)
{
    static char bytes[8 << 20];
    struct peer peer;

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    for (int i = 0; i < 10; i++) {
        struct client client;

        /* The client sends all of its body before it reads; closing at once would reset it. */
        client_open(&client, http_server_address(peer.server));
        client_send_text(&client, POST("/x", "Content-Length: 8388608\r\n"));
        client_send(&client, slice_of(bytes, sizeof(bytes)));
        client_expect(&client, 413);
        client_expect_end(&client);
        client_close(&client);
    }
    peer_stop(&peer, 1000);
}

static void
test_server__sends_large_replies_to_slow_readers(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;

    (void)state;
    begin(&peer, &client);
    client_send_text(&client, GET("/large?30000000") GET("/large?1") GET("/large?5000000"));
    assert_true(client_read(&client, &reply, true));
    assert_int_equal(reply.body.len, 30000000);
    assert_true(client_read(&client, &reply, true));
    assert_int_equal(reply.body.len, 1);
    assert_true(client_read(&client, &reply, true));
    assert_int_equal(reply.body.len, 5000000);
    finish(&peer, &client);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server__answers_a_request),
        cmocka_unit_test(test_server__tells_the_date),
        cmocka_unit_test(test_server__echoes_a_good_request_id),
        cmocka_unit_test(test_server__tells_head_the_length_alone),
        cmocka_unit_test(test_server__answers_pipelined_requests_in_order),
        cmocka_unit_test(test_server__bounds_requests_under_way),
        cmocka_unit_test(test_server__bounds_replies_that_are_not_taken),
        cmocka_unit_test(test_server__holds_replies_behind_a_slow_one),
        cmocka_unit_test(test_server__hands_over_bodies_unchanged),
        cmocka_unit_test(test_server__says_continue_once_when_asked),
        cmocka_unit_test(test_server__refuses_before_the_body_is_sent),
        cmocka_unit_test(test_server__skips_little_and_closes_on_much),
        cmocka_unit_test(test_server__skips_more_of_what_will_come_again),
        cmocka_unit_test(test_server__tells_the_handler_of_a_spoilt_body),
        cmocka_unit_test(test_server__answers_a_client_that_has_half_closed),
        cmocka_unit_test(test_server__tells_the_handler_of_a_client_gone),
        cmocka_unit_test(test_server__keeps_an_error_from_being_lost),
        cmocka_unit_test(test_server__sends_large_replies_to_slow_readers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
