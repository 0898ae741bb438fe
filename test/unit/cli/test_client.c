/* Units of cli/client: where the server and the key are found. */
#include "../test.h"

#include "cli/client.h"
#include <unistd.h>

static int
setup(void **state)
{
    (void)unsetenv("POTIK_SERVER");
    (void)unsetenv("POTIK_KEY");
    (void)unsetenv("POTIK_READ_KEY");
    (void)unsetenv("POTIK_TOKEN");
    (void)unsetenv("POTIK_DATA_DIR");
    return test_dir_setup(state);
}

static void
write_first_run(void **state)
{
    assert_int_equal(file_replace_whole(test_path(state, "first-run.txt"),
                                        SLICE("server=http://127.0.0.1:1234\nwrite_key=wk_a\n"
                                              "read_key=rk_b\n"),
                                        NULL),
                     ERR_OK);
}

static void
assert_client(const struct client_flags *flags, enum client_key which, const char *base,
              const char *key)
{
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;
    char header[128];

    assert_int_equal(client_open(flags, which, &client, &diag), ERR_OK);
    assert_string_equal(client->base, base);
    (void)snprintf(header, sizeof(header), "Authorization: Bearer %s", key);
    assert_string_equal(client->headers->data, header);
    client_close(&client);
    assert_null(client);
}

static void
test_client__flags_stand_over_environment_over_file(void **state)
{
    struct client_flags flags = {.data_dir = (const char *)*state};

    write_first_run(state);
    assert_client(&flags, CLIENT_WRITE_KEY, "http://127.0.0.1:1234", "wk_a");
    assert_client(&flags, CLIENT_READ_KEY, "http://127.0.0.1:1234", "rk_b");
    (void)setenv("POTIK_SERVER", "http://example.org/", 1);
    (void)setenv("POTIK_KEY", "wk_env", 1);
    assert_client(&flags, CLIENT_WRITE_KEY, "http://example.org", "wk_env");
    flags.server = "https://host:1/base//";
    flags.key = "wk_flag";
    assert_client(&flags, CLIENT_WRITE_KEY, "https://host:1/base", "wk_flag");
}

/* A question that is open to all finds its server as the others do, and shows no key to anybody. */
static void
test_client__no_key_is_looked_for_where_none_is_needed(void **state)
{
    struct client_flags flags = {.data_dir = (const char *)*state};
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;

    (void)setenv("POTIK_TOKEN", "secret", 1);
    assert_int_equal(client_open(&flags, CLIENT_NO_KEY, &client, &diag), ERR_ABSENT);
    write_first_run(state);
    assert_int_equal(client_open(&flags, CLIENT_NO_KEY, &client, &diag), ERR_OK);
    assert_string_equal(client->base, "http://127.0.0.1:1234");
    assert_null(client->headers);
    client_close(&client);
    flags.server = "0.0.0.0:8700"; /* as a server that listens on every address writes it */
    assert_int_equal(client_open(&flags, CLIENT_NO_KEY, &client, &diag), ERR_OK);
    assert_string_equal(client->base, "http://0.0.0.0:8700");
    assert_true(client->is_loopback);
    client_close(&client);
    flags.server = "http://0.0.0.0.example.org";
    assert_int_equal(client_open(&flags, CLIENT_NO_KEY, &client, &diag), ERR_OK);
    assert_false(client->is_loopback);
    client_close(&client);
}

/* Who has logged in may do both: a token stands over keys of the environment and of the file. */
static void
test_client__token_of_the_environment_serves_both_ways(void **state)
{
    struct client_flags flags = {.data_dir = (const char *)*state};

    write_first_run(state);
    (void)setenv("POTIK_TOKEN", "a.b.c", 1);
    (void)setenv("POTIK_KEY", "wk_env", 1);
    assert_client(&flags, CLIENT_WRITE_KEY, "http://127.0.0.1:1234", "a.b.c");
    assert_client(&flags, CLIENT_READ_KEY, "http://127.0.0.1:1234", "a.b.c");
    flags.key = "wk_flag";
    assert_client(&flags, CLIENT_WRITE_KEY, "http://127.0.0.1:1234", "wk_flag");
}

static void
test_client__a_key_has_no_project_by_name(void **state)
{
    static const char *const bad[] = {"0", "4294967296", "shop", ""};
    struct client_flags flags = {.data_dir = (const char *)*state};
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;

    write_first_run(state);
    assert_int_equal(client_open(&flags, CLIENT_READ_KEY, &client, NULL), ERR_OK);
    assert_string_equal(client->project, "");
    client_close(&client);
    flags.project = "4294967295";
    assert_int_equal(client_open(&flags, CLIENT_READ_KEY, &client, NULL), ERR_OK);
    assert_string_equal(client->project, "project=4294967295");
    client_close(&client);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        flags.project = bad[i];
        assert_int_equal(client_open(&flags, CLIENT_READ_KEY, &client, &diag), ERR_INVALID);
    }
    assert_non_null(strstr(diag.message, "--project: \"\" is no id"));
}

/* A key of this machine must not go to a server the file does not name. */
static void
test_client__key_of_the_file_goes_to_its_server_alone(void **state)
{
    static const struct {
        const char *server;
        bool is_same; /* as http://127.0.0.1:1234 */
    } same[] = {{"http://localhost:1234", true},         {"http://[::1]:1234", true},
                {"http://127.0.0.1:12345", false},       {"https://localhost:1234", false},
                {"http://0.0.0.0:1234", false},          {"http://localhost.evil:1234", false},
                {"http://127.evil.example:1234", false}, {"http://elsewhere:1234", false}};
    struct client_flags flags = {.server = "http://127.0.0.1:1234"};
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;
    char here[FILE_PATH_MAX];

    write_first_run(state);
    assert_int_equal(file_make_dir(test_path(state, "potik-data"), NULL), ERR_OK);
    assert_int_equal(file_rename(test_path(state, "first-run.txt"),
                                 test_path(state, "potik-data/first-run.txt"), NULL),
                     ERR_OK);
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir((const char *)*state), 0);
    assert_client(&flags, CLIENT_WRITE_KEY, "http://127.0.0.1:1234", "wk_a");
    flags.server = "http://elsewhere";
    assert_int_equal(client_open(&flags, CLIENT_WRITE_KEY, &client, &diag), ERR_ABSENT);
    assert_non_null(strstr(diag.message, "is of http://127.0.0.1:1234, not of http://elsewhere"));
    assert_int_equal(chdir(here), 0);
    /* The environment names a folder for every command: that is not by hand. */
    assert_int_equal(setenv("POTIK_DATA_DIR", test_path(state, "potik-data"), 1), 0);
    assert_int_equal(client_open(&flags, CLIENT_WRITE_KEY, &client, &diag), ERR_ABSENT);
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        flags.server = same[i].server;
        if (same[i].is_same)
            assert_client(&flags, CLIENT_WRITE_KEY, same[i].server, "wk_a");
        else
            assert_int_equal(client_open(&flags, CLIENT_WRITE_KEY, &client, &diag), ERR_ABSENT);
    }
    assert_int_equal(unsetenv("POTIK_DATA_DIR"), 0);
    flags.server = "http://elsewhere";
    /* where the folder is named by hand, it is meant */
    flags.data_dir = test_path(state, "potik-data");
    assert_client(&flags, CLIENT_WRITE_KEY, "http://elsewhere", "wk_a");
}

static void
test_client__nothing_found_tells_the_cure(void **state)
{
    static const char *const bad[] = {"ftp://x", "host",    "host:",      "host:123456",
                                      ":8700",   "::1:870", "a/b:8700",   "user@host:80",
                                      "host:8x", "http:",   "host:80/way"};
    struct client_flags flags = {.data_dir = (const char *)*state};
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;

    assert_int_equal(client_open(&flags, CLIENT_WRITE_KEY, &client, &diag), ERR_ABSENT);
    assert_non_null(strstr(diag.message, "--server"));
    flags.server = "http://127.0.0.1:1";
    assert_int_equal(client_open(&flags, CLIENT_READ_KEY, &client, &diag), ERR_ABSENT);
    assert_non_null(strstr(diag.message, "--key"));
    flags.key = "rk_\r\nX: y";
    assert_int_equal(client_open(&flags, CLIENT_READ_KEY, &client, &diag), ERR_INVALID);
    flags.key = "rk_x";
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        flags.server = bad[i];
        assert_int_equal(client_open(&flags, CLIENT_READ_KEY, &client, &diag), ERR_INVALID);
        assert_non_null(strstr(diag.message, bad[i]));
        assert_null(client);
    }
}

/* As people type it; and the key of the file still goes to the server it names. */
static void
test_client__host_and_port_is_http(void **state)
{
    struct client_flags flags = {.server = "127.0.0.1:1234"};
    char here[FILE_PATH_MAX];

    write_first_run(state);
    assert_int_equal(file_make_dir(test_path(state, "potik-data"), NULL), ERR_OK);
    assert_int_equal(file_rename(test_path(state, "first-run.txt"),
                                 test_path(state, "potik-data/first-run.txt"), NULL),
                     ERR_OK);
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir((const char *)*state), 0);
    assert_client(&flags, CLIENT_WRITE_KEY, "http://127.0.0.1:1234", "wk_a");
    assert_int_equal(chdir(here), 0);
    flags.key = "rk_x";
    flags.server = "[::1]:80";
    assert_client(&flags, CLIENT_READ_KEY, "http://[::1]:80", "rk_x");
    flags.server = "potik.example:65535";
    assert_client(&flags, CLIENT_READ_KEY, "http://potik.example:65535", "rk_x");
}

static void
test_client__unix_sockets_are_servers(void **state)
{
    const struct client_flags flags = {.server = "unix:/run/potik.sock", .key = "rk_x"};
    struct client *client = NULL;

    (void)state;
    assert_int_equal(client_open(&flags, CLIENT_READ_KEY, &client, NULL), ERR_OK);
    assert_string_equal(client->unix_path, "/run/potik.sock");
    assert_string_equal(client->base, "http://localhost");
    client_close(&client);
}

static void
test_client__pairs_are_percent_encoded(void **state)
{
    struct buf query;

    (void)state;
    buf_init(&query, 1000);
    client_add_pair(&query, SLICE("event_type"), SLICE("a&b=c d/\xD0\x90+~"));
    assert_slice_equal(buf_slice(&query), "event_type=a%26b%3Dc%20d%2F%D0%90%2B~");
    buf_fini(&query);
}

static void
test_client__error_replies_become_a_sentence(void **state)
{
    struct diag diag = DIAG_INIT;

    (void)state;
    client_explain(
        400, SLICE("{\"error\":{\"code\":\"invalid_parameter\",\"message\":\"tz: no\\u001b\"}}"),
        &diag);
    assert_string_equal(diag.message, "tz: no\\u001b (400 invalid_parameter)");
    client_explain(502, SLICE("<html>"), &diag);
    assert_string_equal(diag.message, "the server answered with status 502");
}

#define in_dir(function) cmocka_unit_test_setup_teardown(function, setup, test_dir_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(test_client__flags_stand_over_environment_over_file),
        in_dir(test_client__token_of_the_environment_serves_both_ways),
        in_dir(test_client__a_key_has_no_project_by_name),
        in_dir(test_client__key_of_the_file_goes_to_its_server_alone),
        in_dir(test_client__nothing_found_tells_the_cure),
        in_dir(test_client__host_and_port_is_http),
        in_dir(test_client__unix_sockets_are_servers),
        in_dir(test_client__no_key_is_looked_for_where_none_is_needed),
        cmocka_unit_test(test_client__pairs_are_percent_encoded),
        cmocka_unit_test(test_client__error_replies_become_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
