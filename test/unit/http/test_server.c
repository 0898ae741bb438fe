/*
 * test_server - conversations over real sockets: what a client sees of the server.
 */
#include "peer.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void
test_server__answers_a_request(void **state)
{
    struct peer peer;
    struct client client;
    struct reply reply;

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    client_open(&client, http_server_address(peer.server));
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
    client_send_text(&client, "POST /batch HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    client_expect(&client, 200);
    client_close(&client);
    peer_stop(&peer, 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server__answers_a_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
