/* Units of cli/sender, against a server that says what the test has written down. */
#include "../test.h"

#include "base/thread.h"
#include "cli/sender.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLIES_MAX 64

/* One connection a reply; NULL: the connection is cut instead. */
struct script {
    const char *replies[REPLIES_MAX];
    uint32_t count;
    int fd;
    uint16_t port;
    struct thread *thread;
    char bodies[REPLIES_MAX][64]; /* what came, cut */
    uint32_t served;
};

static void
read_request(int fd, char *ret_body, size_t size)
{
    char bytes[65536];
    size_t len = 0;
    const char *end = NULL;

    while (len < sizeof(bytes) - 1) {
        ssize_t got = recv(fd, bytes + len, sizeof(bytes) - 1 - len, 0);
        const char *length;

        if (got <= 0)
            break;
        len += (size_t)got;
        bytes[len] = '\0';
        end = strstr(bytes, "\r\n\r\n");
        length = strstr(bytes, "Content-Length: ");
        if (end != NULL && length != NULL &&
            len >= (size_t)(end + 4 - bytes) + (size_t)atoi(length + 16))
            break;
    }
    (void)snprintf(ret_body, size, "%s", end != NULL ? end + 4 : "");
}

static void
serve(void *arg)
{
    struct script *script = (struct script *)arg;

    for (uint32_t i = 0; i < script->count; i++) {
        int fd = accept(script->fd, NULL, NULL);

        if (fd < 0)
            return;
        read_request(fd, script->bodies[i], sizeof(script->bodies[i]));
        if (script->replies[i] != NULL)
            (void)send(fd, script->replies[i], strlen(script->replies[i]), MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        (void)close(fd);
        script->served++;
    }
}

static void
start_script(struct script *script)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);

    script->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(script->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(script->fd, 16), 0);
    assert_int_equal(getsockname(script->fd, (struct sockaddr *)&address, &len), 0);
    script->port = ntohs(address.sin_port);
    assert_int_equal(thread_start("script", THREAD_NORMAL, serve, script, &script->thread, NULL),
                     ERR_OK);
}

static void
end_script(struct script *script)
{
    (void)shutdown(script->fd, SHUT_RDWR);
    thread_join(&script->thread);
    file_close(&script->fd);
}

struct run {
    struct client *client;
    struct sender *sender;
    struct clock_fake fake;
    char refusals[512];
    char silences[512];
    int64_t step_us; /* the clock's, a turn */
    int64_t waited_us;
};

static void
turn(void *state)
{
    struct run *run = (struct run *)state;

    clock_fake_move(&run->fake, run->step_us);
    run->waited_us += run->step_us;
}

static void
refused(void *state, const struct sender_refusal *refusal)
{
    struct run *run = (struct run *)state;
    size_t len = strlen(run->refusals);

    (void)snprintf(run->refusals + len, sizeof(run->refusals) - len, "%llu:%.*s;",
                   (unsigned long long)refusal->batch->rows[refusal->index],
                   SLICE_ARGS(refusal->code));
}

static void
silent(void *state, const char *reason)
{
    struct run *run = (struct run *)state;
    size_t len = strlen(run->silences);

    (void)snprintf(run->silences + len, sizeof(run->silences) - len, "%s;", reason);
}

static void
start_run(struct run *run, const struct script *script, uint32_t tries_max)
{
    char server[64];
    struct client_flags flags = {.server = server, .key = "wk_x"};
    struct sender_config config = {.in_flight = 1,
                                   .tries_max = tries_max,
                                   .refused = refused,
                                   .silent = silent,
                                   .turn = turn,
                                   .state = run};

    *run = (struct run){.step_us = 100000};
    (void)snprintf(server, sizeof(server), "http://127.0.0.1:%u", script->port);
    clock_fake_init(&run->fake, 0);
    assert_int_equal(client_open(&flags, CLIENT_WRITE_KEY, &run->client, NULL), ERR_OK);
    config.client = run->client;
    config.clock = &run->fake.clock;
    assert_int_equal(sender_new(&config, &run->sender, NULL), ERR_OK);
}

static void
end_run(struct run *run)
{
    sender_free(&run->sender);
    client_close(&run->client);
}

/* Two events, from rows 10 and 20. */
static bool
send_two(struct run *run, const char *text)
{
    struct sender_batch *batch = sender_take(run->sender);

    if (batch == NULL)
        return false;
    buf_add_text(&batch->body, text);
    batch->rows[0] = 10;
    batch->rows[1] = 20;
    batch->events = 2;
    sender_submit(run->sender, batch);
    return true;
}

#define REPLY(status, headers, body)                                                               \
    "HTTP/1.1 " status "\r\nConnection: close\r\n" headers "\r\n" body

static const char good[] =
    REPLY("200 OK", "",
          "{\"accepted\":1,\"duplicates\":1,\"rejected\":0,\"position\":\"p7\","
          "\"errors\":[]}");

static void
test_sender__retries_with_the_same_bytes_until_answered(void **state)
{
    static struct script script = {
        .replies = {NULL, REPLY("503 Service Unavailable", "Retry-After: 7\r\n", "{}"),
                    REPLY("429 Too Many Requests", "", ""), REPLY("408 Request Timeout", "", ""),
                    good},
        .count = 5};
    struct diag diag = DIAG_INIT;
    struct run run;

    (void)state;
    start_script(&script);
    start_run(&run, &script, 0);
    assert_true(send_two(&run, "the body\n"));
    assert_int_equal(sender_finish(run.sender, &diag), ERR_OK);
    assert_int_equal(sender_totals(run.sender)->accepted, 1);
    assert_int_equal(sender_totals(run.sender)->duplicates, 1);
    assert_int_equal(sender_totals(run.sender)->retries, 4);
    assert_string_equal(sender_position(run.sender), "p7");
    end_run(&run);
    end_script(&script);
    for (int i = 0; i < 5; i++)
        assert_string_equal(script.bodies[i], "the body\n");
    /* 0.25 s, Retry-After's 7 s, 1 s, 2 s at least */
    assert_true(run.waited_us >= 10250000);
}

static void
test_sender__gives_up_after_the_last_try(void **state)
{
    static struct script script = {
        .replies =
            {REPLY("503 x", "", "{\"error\":{\"code\":\"storage_full\",\"message\":\"full\"}}"),
             REPLY("503 x", "", "{\"error\":{\"code\":\"storage_full\",\"message\":\"full\"}}"),
             REPLY("503 x", "", "{\"error\":{\"code\":\"storage_full\",\"message\":\"full\"}}")},
        .count = 3};
    struct diag diag = DIAG_INIT;
    struct run run;

    (void)state;
    start_script(&script);
    start_run(&run, &script, 3);
    assert_true(send_two(&run, "x\n"));
    assert_int_equal(sender_finish(run.sender, &diag), ERR_IO);
    assert_string_equal(diag.message, "gave up after 3 tries: full (503 storage_full)");
    assert_null(sender_take(run.sender));
    end_run(&run);
    end_script(&script);
    assert_int_equal(script.served, 3);
}

static void
test_sender__a_server_that_is_silent_is_told_once(void **state)
{
    static struct script script = {.replies = {NULL, NULL, good, NULL, good}, .count = 5};
    static const char once[] = "Server returned nothing (no headers, no data);";
    struct diag diag = DIAG_INIT;
    struct run run;

    (void)state;
    start_script(&script);
    start_run(&run, &script, 0);
    assert_true(send_two(&run, "x\n"));
    assert_int_equal(sender_finish(run.sender, &diag), ERR_OK);
    assert_string_equal(run.silences, once);
    assert_true(send_two(&run, "y\n"));
    assert_int_equal(sender_finish(run.sender, &diag), ERR_OK);
    assert_int_equal(strlen(run.silences), 2 * strlen(once));
    end_run(&run);
    end_script(&script);
}

static void
test_sender__no_server_at_all_is_asked_for_at_the_end(void **state)
{
    struct script script = {.count = 0};
    struct diag diag = DIAG_INIT;
    char expected[200];
    struct run run;

    (void)state;
    start_script(&script);
    end_script(&script); /* its port is nobody's now */
    start_run(&run, &script, 3);
    assert_true(send_two(&run, "x\n"));
    assert_int_equal(sender_finish(run.sender, &diag), ERR_IO);
    (void)snprintf(expected, sizeof(expected),
                   "gave up after 3 tries: no reply from http://127.0.0.1:%u (is `potik serve` "
                   "running?): Couldn't connect to server",
                   script.port);
    assert_string_equal(diag.message, expected);
    assert_string_equal(run.silences, "Couldn't connect to server;");
    end_run(&run);
}

static void
test_sender__tells_refused_events_by_row(void **state)
{
    static struct script script = {
        .replies =
            {REPLY("200 OK", "",
                   "{\"accepted\":1,\"duplicates\":0,\"rejected\":1,\"position\":\"p\",\"errors\":"
                   "[{\"index\":1,\"event_id\":null,\"code\":\"too_long\",\"message\":\"m\"}]}"),
             REPLY("400 Bad Request", "",
                   "{\"accepted\":0,\"duplicates\":0,\"rejected\":2,\"position\":\"p\",\"errors\":"
                   "[{\"index\":0,\"code\":\"a\",\"message\":\"m\"},{\"index\":1,\"code\":\"b\","
                   "\"message\":\"m\"},{\"index\":2,\"code\":\"c\",\"message\":\"m\"}],"
                   "\"error\":{\"code\":\"all_rejected\"}}")},
        .count = 2};
    struct diag diag = DIAG_INIT;
    struct run run;

    (void)state;
    start_script(&script);
    start_run(&run, &script, 0);
    assert_true(send_two(&run, "x\n"));
    assert_true(send_two(&run, "y\n"));
    assert_int_equal(sender_finish(run.sender, &diag), ERR_OK);
    assert_string_equal(run.refusals, "20:too_long;10:a;20:b;");
    assert_int_equal(sender_totals(run.sender)->rejected, 3);
    end_run(&run);
    end_script(&script);
}

static void
test_sender__other_statuses_and_strangers_are_final(void **state)
{
    static const char *const replies[] = {
        REPLY("401 Unauthorized", "",
              "{\"error\":{\"code\":\"unauthorized\",\"message\":\"a valid key is needed\"}}"),
        REPLY("400 Bad Request", "", "{\"error\":{\"code\":\"bad_request\",\"message\":\"no\"}}"),
        REPLY("200 OK", "", "{\"accepted\":1}"),
        REPLY("200 OK", "", "<html>"),
        REPLY("301 Moved", "Location: http://127.0.0.1:1/\r\n", ""),
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        struct script script = {.replies = {replies[i]}, .count = 1};
        struct diag diag = DIAG_INIT;
        struct run run;

        start_script(&script);
        start_run(&run, &script, 0);
        assert_true(send_two(&run, "x\n"));
        assert_int_equal(sender_finish(run.sender, &diag), ERR_BAD_REQUEST);
        assert_true(diag.message[0] != '\0');
        assert_int_equal(sender_totals(run.sender)->accepted, 0);
        end_run(&run);
        end_script(&script);
    }
}

static void
test_sender__an_empty_batch_is_only_given_back(void **state)
{
    struct script script = {.count = 0};
    struct sender_batch *batch;
    struct run run;

    (void)state;
    start_script(&script);
    start_run(&run, &script, 0);
    for (int i = 0; i < 3; i++) {
        batch = sender_take(run.sender);
        assert_non_null(batch);
        sender_submit(run.sender, batch);
    }
    assert_int_equal(sender_finish(run.sender, NULL), ERR_OK);
    end_run(&run);
    end_script(&script);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sender__retries_with_the_same_bytes_until_answered),
        cmocka_unit_test(test_sender__gives_up_after_the_last_try),
        cmocka_unit_test(test_sender__a_server_that_is_silent_is_told_once),
        cmocka_unit_test(test_sender__no_server_at_all_is_asked_for_at_the_end),
        cmocka_unit_test(test_sender__tells_refused_events_by_row),
        cmocka_unit_test(test_sender__other_statuses_and_strangers_are_final),
        cmocka_unit_test(test_sender__an_empty_batch_is_only_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
