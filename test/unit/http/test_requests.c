/*
 * test_requests - the table of requests over real sockets: whole, byte by byte, and cut off.
 *
 * Each answer's status; that an error's body is JSON; and whether the connection goes on (a second
 * request is answered) or ends.
 */
#include "peer.h"
#include "requests.h"

#include "base/mem.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

static void
check_reply(const struct request_case *request_case, struct client *client, const char *how)
{
    struct reply reply;

    if (!client_read(client, &reply, true))
        fail_msg("requests.inc:%d, %s: no reply", request_case->line, how);
    if (reply.status != request_case->status)
        fail_msg("requests.inc:%d, %s: %.*s%.*s", request_case->line, how, SLICE_ARGS(reply.head),
                 SLICE_ARGS(reply.body));
    if (reply.status >= 400 && !reply.is_json_error)
        fail_msg("requests.inc:%d, %s: no JSON error: %.*s", request_case->line, how,
                 SLICE_ARGS(reply.body));
    if (reply_header(&reply, "x-request-id").len == 0 || reply_header(&reply, "date").len != 29)
        fail_msg("requests.inc:%d, %s: no id or date", request_case->line, how);
    if (request_case->is_kept != !slice_equal(reply_header(&reply, "connection"), SLICE("close")))
        fail_msg("requests.inc:%d, %s: Connection", request_case->line, how);
    if (request_case->is_kept) {
        client_send_text(client, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        if (!client_read(client, &reply, true) || reply.status != 200)
            fail_msg("requests.inc:%d, %s: the next request is not answered", request_case->line,
                     how);
    } else {
        client_expect_end(client);
    }
}

static void
test_requests__are_answered_whole(void **state)
{
    struct peer peer;

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    for (size_t i = 0; i < request_case_count; i++) {
        struct slice bytes = request_case_bytes(&request_cases[i]);
        struct client client;

        client_open(&client, http_server_address(peer.server));
        client_send(&client, bytes);
        check_reply(&request_cases[i], &client, "whole");
        client_close(&client);
        mem_free((void *)(uintptr_t)bytes.ptr);
    }
    peer_stop(&peer, 1000);
}

static void
test_requests__are_answered_byte_by_byte(void **state)
{
    struct peer peer;

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    for (size_t i = 0; i < request_case_count; i++) {
        struct slice bytes = request_case_bytes(&request_cases[i]);
        struct client client;
        int on = 1;

        if (bytes.len < 100000) { /* the mebibytes are for the parsers' test */
            client_open(&client, http_server_address(peer.server));
            setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            /* Once it is refused, nobody need listen. */
            for (size_t at = 0; at < bytes.len; at++) {
                if (!client_try_send(&client, slice_of(bytes.ptr + at, 1)))
                    break;
            }
            check_reply(&request_cases[i], &client, "byte by byte");
            client_close(&client);
        }
        mem_free((void *)(uintptr_t)bytes.ptr);
    }
    peer_stop(&peer, 1000);
}

/* A request that ends early is told so, and nothing of it is taken for whole. */
static void
test_requests__cut_off_are_refused(void **state)
{
    static const char request[] =
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n";
    struct peer peer;

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    for (size_t len = 1; len < sizeof(request) - 1; len++) {
        struct client client;
        struct reply reply;

        client_open(&client, http_server_address(peer.server));
        client_send(&client, slice_of(request, len));
        client_half_close(&client);
        assert_true(client_read(&client, &reply, true));
        assert_int_equal(reply.status, 400);
        assert_true(reply.is_json_error);
        client_expect_end(&client);
        client_close(&client);
    }
    assert_int_equal(atomic_load(&peer.ends), 0);
    assert_int_equal(atomic_load(&peer.heads), atomic_load(&peer.gones));
    peer_stop(&peer, 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests__are_answered_whole),
        cmocka_unit_test(test_requests__are_answered_byte_by_byte),
        cmocka_unit_test(test_requests__cut_off_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
