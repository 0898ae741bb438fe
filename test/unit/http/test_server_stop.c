/*
 * test_server_stop - where a server listens, who may listen there too, and how it ends.
 */
#include "peer.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* --- addresses
 * ------------------------------------------------------------------------------------*/

static void
ask(const char *address)
{
    struct client client;

    client_open(&client, address);
    client_send_text(&client, GET("/"));
    client_expect(&client, 200);
    client_close(&client);
}

static enum err
try_start(struct peer *peer, const char *listen, struct diag *diag)
{
    struct diag own = DIAG_INIT;

    peer->config.listen = listen;
    return http_server_start(&peer->config, &peer->server, diag != NULL ? diag : &own);
}

static void
test_listen__refuses_a_second_server(void **state)
{
    struct peer first;
    struct peer second;
    struct diag diag = DIAG_INIT;
    char listen[64];

    (void)state;
    peer_init(&first);
    peer_init(&second);
    first.config.loops = second.config.loops = 2;
    /* On a shared listener (port 0) and on one a loop (its port, fixed). */
    peer_start(&first);
    (void)snprintf(listen, sizeof(listen), "%s", http_server_address(first.server) + 7);
    assert_int_equal(try_start(&second, listen, &diag), ERR_EXISTS);
    assert_non_null(strstr(diag.message, listen));
    http_server_stop(&first.server, 0);
    assert_int_equal(try_start(&first, listen, NULL), ERR_OK);
    assert_int_equal(try_start(&second, listen, NULL), ERR_EXISTS);
    ask(http_server_address(first.server));
    http_server_stop(&first.server, 0);
    /* At once again, although closed connections of the first linger in the kernel. */
    assert_int_equal(try_start(&second, listen, NULL), ERR_OK);
    ask(http_server_address(second.server));
    peer_stop(&second, 0);
    peer_stop(&first, 0);
}

static void
test_listen__speaks_ipv6(void **state)
{
    struct peer peer;
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has_six = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;

    (void)state;
    close(fd);
    if (!has_six) {
        printf("SKIPPED: no IPv6 here\n");
        skip();
    }
    peer_init(&peer);
    assert_int_equal(try_start(&peer, "[::1]:0", NULL), ERR_OK);
    assert_memory_equal(http_server_address(peer.server), "http://[::1]:", 13);
    ask(http_server_address(peer.server));
    peer_stop(&peer, 0);
}

static void
test_listen__on_a_unix_socket(void **state)
{
    char folder[] = "/tmp/potik-http-XXXXXX";
    char listen[128];
    const char *path = listen + 5;
    struct peer peer;
    struct peer other;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(listen, sizeof(listen), "unix:%s/s", folder);
    memcpy(address.sun_path, path, strlen(path) + 1);
    peer_init(&peer);
    peer_init(&other);
    peer.config.loops = 2;
    assert_int_equal(try_start(&peer, listen, NULL), ERR_OK);
    assert_string_equal(http_server_address(peer.server), listen);
    ask(listen);
    assert_int_equal(try_start(&other, listen, NULL), ERR_EXISTS);
    ask(listen); /* the second try did it no harm */
    http_server_stop(&peer.server, 0);
    assert_false(file_exists(path));
    /* Left over from a crash: nobody answers, so it is replaced. */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    assert_true(file_exists(path));
    assert_int_equal(try_start(&peer, listen, NULL), ERR_OK);
    ask(listen);
    http_server_stop(&peer.server, 0);
    /* Any other file is somebody's. */
    assert_int_equal(file_replace_whole(path, SLICE("mine"), NULL), ERR_OK);
    assert_int_equal(try_start(&peer, listen, NULL), ERR_EXISTS);
    assert_true(file_exists(path));
    assert_int_equal(file_remove_tree(folder, NULL), ERR_OK);
    peer_stop(&other, 0);
    peer_stop(&peer, 0);
}

static void
test_listen__refuses_what_is_no_address(void **state)
{
    static const char *const wrong[] = {"",
                                        "8700",
                                        ":8700",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:x",
                                        "a:65536",
                                        "127.0.0.1:99999",
                                        "::1:8700",
                                        "[::1]",
                                        "[]:8700",
                                        "unix:",
                                        "127.0.0.1:80a",
                                        "127.0.0.1:-1"};
    struct peer peer;
    char longest[5 + 108 + 1] = "unix:/tmp/potik-no-such-folder/";
    struct diag diag = DIAG_INIT;

    (void)state;
    peer_init(&peer);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        diag_clear(&diag);
        if (try_start(&peer, wrong[i], &diag) != ERR_INVALID)
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_true(diag.message[0] != '\0');
    }
    memset(longest + strlen(longest), 'a', sizeof(longest) - 1 - strlen(longest));
    longest[5 + 108] = '\0';
    assert_int_equal(try_start(&peer, longest, NULL), ERR_INVALID);
    longest[5 + 107] = '\0'; /* fits, but the folder is not there */
    assert_int_equal(try_start(&peer, longest, NULL), ERR_IO);
    peer_stop(&peer, 0);
}

static void
test_server__does_not_start_with_a_loop_that_fails(void **state)
{
    struct peer peer;
    struct diag diag = DIAG_INIT;

    (void)state;
    peer_init(&peer);
    peer.config.loops = 3;
    atomic_store(&peer.fails_start, true);
    assert_int_equal(http_server_start(&peer.config, &peer.server, &diag), ERR_IO);
    assert_string_equal(diag.message, "as the test wants");
    assert_null(peer.server);
    peer_stop(&peer, 0);
}

/* Every allocation of a start fails once: an error, nothing left behind, or a server that serves.
 */
static void
test_server__starts_or_says_why_without_memory(void **state)
{
    struct peer peer;
    bool is_started = false;

    (void)state;
    for (uint64_t nth = 1; nth < 100 && !is_started; nth++) {
        enum err err;

        peer_init(&peer);
        mem_fail_from(nth, false);
        err = try_start(&peer, "127.0.0.1:0", NULL);
        is_started = err == ERR_OK;
        mem_fail_from(0, false);
        if (is_started)
            ask(http_server_address(peer.server));
        else
            assert_int_equal(err, ERR_NOMEM);
        peer_stop(&peer, 0);
    }
    assert_true(is_started);
}

/* --- stopping
 * -------------------------------------------------------------------------------------*/

struct stopper {
    struct peer *peer;
    int64_t drain_ms;
};

static void
drain(void *arg)
{
    struct stopper *stopper = (struct stopper *)arg;

    http_server_drain(stopper->peer->server, stopper->drain_ms);
}

static void
test_stop__finishes_what_is_under_way(void **state)
{
    struct peer peer;
    struct client idle;
    struct client held;
    struct client pipelined;
    struct client half;
    struct reply reply;
    struct thread *thread = NULL;
    struct stopper stopper = {.peer = &peer, .drain_ms = 20000};

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    client_open(&idle, http_server_address(peer.server));
    client_open(&held, http_server_address(peer.server));
    client_open(&pipelined, http_server_address(peer.server));
    client_open(&half, http_server_address(peer.server));
    client_send_text(&idle, GET("/"));
    client_expect(&idle, 200);
    client_send_text(&held, GET("/held"));
    client_send_text(&pipelined, GET("/held") GET("/second"));
    client_send_text(&half, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    for (int i = 0; i < 5; i++)
        peer_wait(&peer.headed);
    assert_int_equal(thread_start("drain", THREAD_NORMAL, drain, &stopper, &thread, NULL), ERR_OK);
    client_expect_end(&idle); /* it has begun to stop */
    client_send_text(&half, "llo");
    assert_true(client_read(&half, &reply, true));
    assert_int_equal(reply.status, 200);
    assert_true(slice_equal(reply_header(&reply, "connection"), SLICE("close")));
    client_expect_end(&half);
    peer_release(&peer, 0);
    assert_true(client_read(&held, &reply, true));
    assert_int_equal(reply.status, 200);
    assert_true(slice_equal(reply_header(&reply, "connection"), SLICE("close")));
    client_expect_end(&held);
    client_expect(&pipelined, 200);
    client_expect(&pipelined, 200);
    client_expect_end(&pipelined);
    client_close(&idle);
    client_close(&held);
    client_close(&pipelined);
    client_close(&half);
    thread_join(&thread);
    assert_int_equal(atomic_load(&peer.gones), 0);
    peer_stop(&peer, 0);
}

struct hold {
    sem_t is_held;
    sem_t may_go;
};

static void
hold_loop(void *loop_state, void *arg)
{
    struct hold *hold = (struct hold *)arg;

    (void)loop_state;
    sem_post(&hold->is_held);
    peer_wait(&hold->may_go);
}

/* A request that lies in the socket when the stop begins is answered, not reset. */
static void
test_stop__answers_what_has_arrived(void **state)
{
    char folder[] = "/tmp/potik-http-XXXXXX";
    char listen[128];
    struct peer peer;
    struct client client;
    struct reply reply;
    struct thread *thread = NULL;
    struct stopper stopper = {.peer = &peer, .drain_ms = 20000};
    struct hold hold;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(listen, sizeof(listen), "unix:%s/s", folder);
    sem_init(&hold.is_held, 0, 0);
    sem_init(&hold.may_go, 0, 0);
    peer_init(&peer);
    assert_int_equal(try_start(&peer, listen, NULL), ERR_OK);
    client_open(&client, listen);
    client_send_text(&client, GET("/"));
    client_expect(&client, 200);
    assert_true(http_loop_post(peer.loops[0], hold_loop, &hold));
    peer_wait(&hold.is_held);
    client_send_text(&client, GET("/"));
    assert_int_equal(thread_start("drain", THREAD_NORMAL, drain, &stopper, &thread, NULL), ERR_OK);
    while (file_exists(listen + 5)) /* its name goes once the stop has been told */
        sched_yield();
    sem_post(&hold.may_go);
    assert_true(client_read(&client, &reply, true));
    assert_int_equal(reply.status, 200);
    assert_true(slice_equal(reply_header(&reply, "connection"), SLICE("close")));
    client_expect_end(&client);
    client_close(&client);
    thread_join(&thread);
    assert_int_equal(file_remove_tree(folder, NULL), ERR_OK);
    peer_stop(&peer, 0);
}

static void
test_stop__does_not_wait_longer_than_told(void **state)
{
    struct peer peer;
    struct client client;

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    client_open(&client, http_server_address(peer.server));
    client_send_text(&client, GET("/held"));
    peer_wait(&peer.ended);
    http_server_drain(peer.server, 50);
    assert_int_equal(atomic_load(&peer.gones), 1);
    client_close(&client);
    peer_stop(&peer, 0);
}

/* A client that never closes its side does not hold up the stop: lingering is short then. */
static void
test_stop__is_not_held_up_by_lingering(void **state)
{
    struct peer peer;
    struct client client;
    int64_t began = clock_steady_ns(clock_system());

    (void)state;
    peer_init(&peer);
    peer_start(&peer);
    client_open(&client, http_server_address(peer.server));
    client_send_text(&client, "GET /\x01");
    client_expect(&client, 400);
    http_server_drain(peer.server, 60000);
    assert_true(clock_steady_ns(clock_system()) - began < 10 * NS_PER_S);
    client_close(&client);
    peer_stop(&peer, 0);
}

struct load {
    struct peer *peer;
    char address[64];
    _Atomic uint64_t answered;
    _Atomic bool has_failed;
};

/* Requests until the server ends it; a reply that comes is whole. */
static void
load_run(void *arg)
{
    struct load *load = (struct load *)arg;
    uint64_t answered = 0;

    for (bool is_over = false; !is_over;) {
        struct client client;
        struct reply reply;

        client.at = 0;
        buf_init(&client.in, 1 << 30);
        struct sockaddr_in four = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        four.sin_port = htons((uint16_t)strtoul(strrchr(load->address, ':') + 1, NULL, 10));
        client.fd = socket(AF_INET, SOCK_STREAM, 0);
        is_over = connect(client.fd, (struct sockaddr *)&four, sizeof(four)) != 0;
        while (!is_over) {
            char bytes[2048];
            ssize_t got;

            if (!client_try_send(&client, SLICE("POST /batch HTTP/1.1\r\nHost: a\r\n"
                                                "Content-Length: 5\r\n\r\nhello")))
                break;
            got = recv(client.fd, bytes, sizeof(bytes), 0);
            if (got <= 0)
                break;
            reply.head = slice_of(bytes, (size_t)got);
            if (got < 15 || memcmp(bytes, "HTTP/1.1 200 OK", 15) != 0 || bytes[got - 1] != '}')
                atomic_store(&load->has_failed, true);
            answered++;
            if (slice_equal(reply_header(&reply, "connection"), SLICE("close")))
                break;
        }
        client_close(&client);
    }
    atomic_fetch_add(&load->answered, answered);
}

static void
test_stop__under_load(void **state)
{
    struct peer peer;
    struct thread *threads[8] = {NULL};
    struct load load = {.peer = &peer};

    (void)state;
    peer_init(&peer);
    peer.config.loops = 2;
    peer_start(&peer);
    (void)snprintf(load.address, sizeof(load.address), "%s", http_server_address(peer.server));
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start("load", THREAD_NORMAL, load_run, &load, &threads[i], NULL),
                         ERR_OK);
    for (int i = 0; i < 5000; i++)
        peer_wait(&peer.ended);
    http_server_drain(peer.server, 5000);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(&threads[i]);
    assert_false(atomic_load(&load.has_failed));
    /* Every request the handler was given was answered, and its client had the answer. */
    assert_int_equal(atomic_load(&peer.gones), 0);
    assert_int_equal(atomic_load(&load.answered), atomic_load(&peer.ends));
    peer_stop(&peer, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen__refuses_a_second_server),
        cmocka_unit_test(test_listen__speaks_ipv6),
        cmocka_unit_test(test_listen__on_a_unix_socket),
        cmocka_unit_test(test_listen__refuses_what_is_no_address),
        cmocka_unit_test(test_server__does_not_start_with_a_loop_that_fails),
        cmocka_unit_test(test_server__starts_or_says_why_without_memory),
        cmocka_unit_test(test_stop__finishes_what_is_under_way),
        cmocka_unit_test(test_stop__answers_what_has_arrived),
        cmocka_unit_test(test_stop__does_not_wait_longer_than_told),
        cmocka_unit_test(test_stop__is_not_held_up_by_lingering),
        cmocka_unit_test(test_stop__under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
