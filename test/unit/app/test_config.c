/*
 * config: the order of sources, both sides of every range, and the sentences of what is refused.
 */
#include "app/config.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *no_environment[] = {NULL};

static enum err
load_words(const char *words, char *const *environment, enum config_scope scope,
           struct config *config, struct diag *diag)
{
    char text[512];
    char *argv[32];
    int argc = 0;

    snprintf(text, sizeof(text), "serve %s", words);
    for (char *word = strtok(text, " "); word != NULL && argc < 31; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return config_load(argc, argv, environment, scope, config, diag);
}

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void
test_config__defaults(void **state)
{
    struct config config;

    (void)state;
    assert_int_equal(load_words("", no_environment, CONFIG_ALL, &config, NULL), ERR_OK);
    assert_string_equal(config.data_dir, "./potik-data");
    assert_string_equal(config.listen, "127.0.0.1:8700");
    assert_string_equal(config.time_zone, "UTC");
    assert_true(config.loop_threads >= 1);
    assert_true(config.loop_threads <= ((uint64_t)sysconf(_SC_NPROCESSORS_CONF) + 1) / 2);
    assert_true(config.tail_bytes >= 16u << 20 && config.tail_bytes <= 512u << 20);
    assert_int_equal(config.segment_bytes, 256u << 20);
    assert_int_equal(config.query_timeout_ms, 30000);
    assert_int_equal(config.warnings.len, 0);
    config_fini(&config);
}

static void
test_config__flag_over_environment_over_file(void **state)
{
    char path[] = "/tmp/potik-config-XXXXXX";
    char words[128];
    char variable[128];
    char *environment[] = {variable, (char[]){"POTIK_SEAL_ROWS=20"}, (char[]){"HOME=/"}, NULL};
    struct config config;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    write_file(path, "# a comment\n\nseal-rows = 10\nseal-bytes=1MiB\r\n  query-threads =  7  \n");
    snprintf(variable, sizeof(variable), "POTIK_CONFIG=%s", path);

    assert_int_equal(load_words("", environment, CONFIG_ALL, &config, NULL), ERR_OK);
    assert_int_equal(config.seal_rows, 20);
    assert_int_equal(config.seal_bytes, 1u << 20);
    assert_int_equal(config.query_threads, 7);
    config_fini(&config);

    assert_int_equal(
        load_words("--seal-rows 30 --query-threads=8", environment, CONFIG_ALL, &config, NULL),
        ERR_OK);
    assert_int_equal(config.seal_rows, 30);
    assert_int_equal(config.query_threads, 8);
    config_fini(&config);

    snprintf(words, sizeof(words), "--config %s", path);
    assert_int_equal(load_words(words, no_environment, CONFIG_FOLDER, &config, NULL), ERR_OK);
    assert_int_equal(config.seal_rows, 10);
    config_fini(&config);
    unlink(path);
}

static void
test_config__file_errors_name_the_line(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"seal-rows = 10\nseal-row = 10\n",
         ":2: there is no setting \"seal-row\"; did you mean \"seal-rows\"?"},
        {"time_zone = UTC\n", ":1: there is no setting \"time_zone\"; did you mean \"time-zone\"?"},
        {"lsiten = x\n", "did you mean \"listen\"?"},
        {"colour = x\n", ":1: there is no setting \"colour\"; potik serve --help lists them"},
        {"confg = x\n", ":1: there is no setting \"confg\"; potik serve --help lists them"},
        {"listen = a:1\n\nseal-rows = 5\nlisten = b:1\n",
         ":4: listen stands in line 1 already; keep one"},
        {"seal-rows = \"10\"\n", "seal-rows: \"\"10\"\" will not do; it may be 1 … 10000000; "
                                 "values in the file take no quotes"},
        {"seal-rows = 10 # few\n",
         "will not do; it may be 1 … 10000000; a comment in the file takes a line of its own"},
        {"log-level = 'info'\n", "values in the file take no quotes"},
        {"store = \"embedded\"\n", ":1: store: \"\"embedded\"\" will not do; it may be embedded"},
        {"seal-rows\n", ":1: a line is `name = value`"},
        {"seal-rows = 0\n", ":1: seal-rows: \"0\" will not do; it may be 1 … 10000000"},
        {"config = x\n", ":1: there is no setting \"config\""},
        {"listen =\n", ":1: listen: \"\" will not do; it may be HOST:PORT"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char path[] = "/tmp/potik-config-XXXXXX";
        char words[128];
        struct diag diag = DIAG_INIT;
        struct config config;
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        close(fd);
        write_file(path, rows[i].text);
        snprintf(words, sizeof(words), "--config %s", path);
        assert_int_equal(load_words(words, no_environment, CONFIG_ALL, &config, &diag),
                         ERR_INVALID);
        assert_non_null(strstr(diag.message, path));
        if (strstr(diag.message, rows[i].message) == NULL)
            fail_msg("%s", diag.message);
        unlink(path);
    }
    assert_int_equal(load_words("--config /nowhere/potik.conf", no_environment, CONFIG_ALL,
                                &(struct config){0}, NULL),
                     ERR_INVALID);
}

static void
test_config__refused_values_are_one_sentence(void **state)
{
    static const struct {
        const char *words;
        const char *message;
    } rows[] = {
        {"--seal-rows 10000001", "--seal-rows: \"10000001\" will not do; it may be 1 … 10000000"},
        {"--seal-rows -1", "--seal-rows: \"-1\""},
        {"--seal-rows 1.5", "--seal-rows: \"1.5\""},
        {"--seal-rows", "--seal-rows: needs a value"},
        {"--segment-size 1048575", "it may be 1MiB … 4GiB"},
        {"--segment-size 5GiB", "it may be 1MiB … 4GiB"},
        {"--segment-size 1MB", "\"1MB\""},
        {"--query-timeout 30", "--query-timeout: \"30\" will not do; it may be 10ms … 1h"},
        {"--query-timeout 9ms", "10ms … 1h"},
        {"--query-timeout 2h", "10ms … 1h"},
        {"--tail-bytes 1KiB", "16MiB … 64GiB, 0 = auto"},
        {"--log-format xml", "auto|text|json"},
        {"--log-format text|json", "auto|text|json"},
        {"--store mysql", "--store: \"mysql\" will not do; it may be embedded"},
        {"--store mysql://u:secret@h", "store: \"mysql…\" will not do"},
        {"--store", "--store: needs a value"},
        {"--store-timeout 99ms", "100ms … 10min"},
        {"--store-timeout 11min", "100ms … 10min"},
        {"--store-connect-timeout 0", "100ms … 10min"},
        {"--auth-cache-max 999ms", "1s … 720h"},
        {"--auth-cache-max 721h", "1s … 720h"},
        {"--nonsense 1", "--nonsense: there is no such flag"},
        {"extra", "extra: there is no such argument"},
        {"--seal-rows 99999999999999999999999", "will not do"},
        {"--young-ids-max 40000 --young-ids-seal 20001",
         "--young-ids-seal: 20001 will not do; it may be at most half of young-ids-max, 40000"},
        /* half of it holds any one request: else that request could be refused for ever */
        {"--young-ids-max 32767 --young-ids-seal 512", "it may be 32768 … 67108864"},
        {"--keep-rejected 1", "--keep-rejected: 1 will not do; it may be 0, or 1MiB and more"},
        {"--keep-rejected 1048575", "--keep-rejected: 1048575 will not do"},
        {"--keep-rejected-age 59999ms", "it may be 1min … 8784h"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct diag diag = DIAG_INIT;
        struct config config;

        assert_int_equal(load_words(rows[i].words, no_environment, CONFIG_ALL, &config, &diag),
                         ERR_INVALID);
        if (strstr(diag.message, rows[i].message) == NULL)
            fail_msg("%s -> %s", rows[i].words, diag.message);
    }
}

static void
test_config__ranges_include_their_ends(void **state)
{
    static const char *const rows[] = {
        "--segment-size 1MiB",
        "--segment-size 4GiB",
        "--segment-size=4294967296",
        "--query-timeout 10ms",
        "--query-timeout 1h",
        "--query-timeout 60min",
        "--seal-rows 1",
        "--seal-rows 10000000",
        "--free-space-min 0",
        "--tail-bytes 0",
        "--tail-bytes 16MiB",
        "--log-level error",
        "--young-ids-max 32768 --young-ids-seal 16384",
        "--keep-rejected 0",
        "--keep-rejected 1048576",
        "--keep-rejected 1048577 --keep-rejected-age 1min",
        "--store embedded",
        "--store postgres://x/y",
        "--store-timeout 100ms",
        "--store-timeout 10min",
        "--store-connect-timeout 100ms",
        "--auth-cache-max 1s",
        "--auth-cache-max 720h",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct diag diag = DIAG_INIT;
        struct config config;

        if (load_words(rows[i], no_environment, CONFIG_ALL, &config, &diag) != ERR_OK)
            fail_msg("%s -> %s", rows[i], diag.message);
        config_fini(&config);
    }
}

static void
test_config__knows_what_was_given_and_which_store(void **state)
{
    char *environment[] = {(char[]){"POTIK_STORE=postgresql://x/y"}, NULL};
    struct config config;

    (void)state;
    assert_int_equal(load_words("--time-zone UTC", no_environment, CONFIG_ALL, &config, NULL), 0);
    assert_true(config_is_given(&config, "time-zone"));
    assert_false(config_is_given(&config, "store"));
    assert_false(config_is_postgres(&config));
    config_fini(&config);
    assert_int_equal(load_words("", environment, CONFIG_FOLDER, &config, NULL), ERR_OK);
    assert_true(config_is_given(&config, "store"));
    assert_false(config_is_given(&config, "time-zone"));
    assert_true(config_is_postgres(&config));
    config_fini(&config);
    /* the last row of the table, too */
    assert_int_equal(load_words("--tail-bytes 16MiB", no_environment, CONFIG_ALL, &config, NULL),
                     ERR_OK);
    assert_true(config_is_given(&config, "tail-bytes"));
    config_fini(&config);
}

static void
test_config__a_source_is_named_later_too(void **state)
{
    char path[] = "/tmp/potik-config-XXXXXX";
    char words[128];
    char expected[256];
    char *environment[] = {(char[]){"POTIK_LISTEN=nonsense"}, NULL};
    struct diag diag = DIAG_INIT;
    struct config config;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    write_file(path, "\ntime-zone = Kyiv\nlisten = \"a:1\"\n");
    snprintf(words, sizeof(words), "--config %s --store embedded", path);

    assert_int_equal(load_words(words, environment, CONFIG_ALL, &config, NULL), ERR_OK);
    diag_set(&diag, "listen: is bad");
    config_name_source(&config, "listen", &diag);
    assert_string_equal(diag.message, "POTIK_LISTEN: is bad");
    assert_string_equal(diag.field, "listen");
    diag_set(&diag, "is no zone");
    config_name_source(&config, "time-zone", &diag);
    snprintf(expected, sizeof(expected), "%s:2: time-zone: is no zone", path);
    assert_string_equal(diag.message, expected);
    diag_set(&diag, "the URL is bad");
    config_name_source(&config, "store", &diag);
    assert_string_equal(diag.message, "--store: the URL is bad");
    diag_set(&diag, "data-dir: is bad");
    config_name_source(&config, "data-dir", &diag);
    assert_string_equal(diag.message, "data-dir: is bad");
    config_fini(&config);

    assert_int_equal(load_words(words, no_environment, CONFIG_ALL, &config, NULL), ERR_OK);
    diag_set(&diag, "listen: is bad");
    config_name_source(&config, "listen", &diag);
    snprintf(expected, sizeof(expected), "%s:3: listen: is bad; values in the file take no quotes",
             path);
    assert_string_equal(diag.message, expected);
    config_fini(&config);
    unlink(path);
}

static void
test_config__passwords_leave_the_command_line(void **state)
{
    static const struct {
        const char *word;
        const char *left;
    } rows[] = {
        {"postgres://user:pa55@host:5432/db", "postgres://user:xxxx@host:5432/db"},
        {"--store=postgresql://user:pa55@h/db", "--store=postgresql://user:xxxx@h/db"},
        {"postgres://user:p/a@s?s@host/db", "postgres://user:xxxxxxx@host/db"},
        {"postgres://user@host:5432/db", "postgres://user@host:5432/db"},
        {"postgres://host:5432/db", "postgres://host:5432/db"},
        {"postgres:///db?password=pa55&user=me", "postgres:///db?password=xxxx&user=me"},
        {"postgres:///db?user=me&sslpassword=pa55", "postgres:///db?user=me&sslpassword=xxxx"},
        {"postgres://", "postgres://"},
        {"http://user:pa55@host", "http://user:pa55@host"},
        {"--listen", "--listen"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char word[128];
        char *argv[] = {(char[]){"serve"}, word};

        snprintf(word, sizeof(word), "%s", rows[i].word);
        config_hide_passwords(2, argv);
        assert_string_equal(word, rows[i].left);
    }
}

static void
test_config__unknown_variables_warn(void **state)
{
    char *environment[] = {(char[]){"POTIK_SEAL_ROW=1"},
                           (char[]){"POTIK_SERVER=x"},
                           (char[]){"POTIK_KEY=y"},
                           (char[]){"POTIK_READ_KEY=y"},
                           (char[]){"POTIK_TOKEN=y"},
                           (char[]){"OTHER=z"},
                           NULL};
    char *bad[] = {(char[]){"POTIK_SEAL_ROWS=many"}, NULL};
    struct diag diag = DIAG_INIT;
    struct config config;

    (void)state;
    assert_int_equal(load_words("", environment, CONFIG_ALL, &config, NULL), ERR_OK);
    assert_int_equal(config.warnings.len,
                     strlen("POTIK_SEAL_ROW is set, but there is no such setting\n"));
    config_fini(&config);
    assert_int_equal(load_words("", bad, CONFIG_ALL, &config, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.message, "POTIK_SEAL_ROWS: \"many\" will not do"));
}

static void
test_config__folder_scope_has_few_flags(void **state)
{
    struct config config;

    (void)state;
    assert_int_equal(load_words("--data-dir /x", no_environment, CONFIG_FOLDER, &config, NULL),
                     ERR_OK);
    assert_string_equal(config.data_dir, "/x");
    config_fini(&config);
    assert_int_equal(load_words("--listen :1", no_environment, CONFIG_FOLDER, &config, NULL),
                     ERR_INVALID);
}

static void
test_config__out_of_memory_holds_nothing(void **state)
{
    struct config config;
    enum err err = ERR_NOMEM;

    (void)state;
    for (uint64_t k = 1; err == ERR_NOMEM && k < 100; k++) {
        mem_fail_from(k, false);
        err = load_words("--data-dir /x", no_environment, CONFIG_ALL, &config, NULL);
        mem_fail_from(0, false);
    }
    assert_int_equal(err, ERR_OK);
    config_fini(&config);
}

static void
test_config__units(void **state)
{
    uint64_t value;

    (void)state;
    assert_true(config_parse_bytes("3KiB", &value) && value == 3072);
    assert_true(config_parse_bytes("7B", &value) && value == 7);
    assert_true(config_parse_bytes("9223372036854775807", &value));
    assert_false(config_parse_bytes("9223372036854775808", &value));
    assert_false(config_parse_bytes("8388608TiB", &value));
    assert_false(config_parse_bytes("", &value));
    assert_false(config_parse_bytes("MiB", &value));
    assert_false(config_parse_bytes("1 MiB", &value));
    assert_true(config_parse_ms("0", &value) && value == 0);
    assert_true(config_parse_ms("2min", &value) && value == 120000);
    assert_true(config_parse_ms("2h", &value) && value == 7200000);
    assert_false(config_parse_ms("2", &value));
    assert_false(config_parse_ms("2m", &value));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__defaults),
        cmocka_unit_test(test_config__flag_over_environment_over_file),
        cmocka_unit_test(test_config__file_errors_name_the_line),
        cmocka_unit_test(test_config__refused_values_are_one_sentence),
        cmocka_unit_test(test_config__ranges_include_their_ends),
        cmocka_unit_test(test_config__knows_what_was_given_and_which_store),
        cmocka_unit_test(test_config__a_source_is_named_later_too),
        cmocka_unit_test(test_config__passwords_leave_the_command_line),
        cmocka_unit_test(test_config__unknown_variables_warn),
        cmocka_unit_test(test_config__folder_scope_has_few_flags),
        cmocka_unit_test(test_config__out_of_memory_holds_nothing),
        cmocka_unit_test(test_config__units),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
