/* Units of limit/redis_url: what is an address of Redis, and words for what is not. */
#include "../test.h"

#include "limit/redis.h"
#include "limit/redis_url.h"

#include <string.h>

static void
test_redis_url__forms(void **state)
{
    static const struct {
        const char *text;
        struct redis_url url;
    } rows[] = {
        {"redis://h", {.host = "h", .port = "6379"}},
        {"redis://h/", {.host = "h", .port = "6379"}},
        {"redis://h:1", {.host = "h", .port = "1"}},
        {"redis://h:65535/15", {.host = "h", .port = "65535", .database = 15}},
        {"redis://127.0.0.1/65535", {.host = "127.0.0.1", .port = "6379", .database = 65535}},
        {"redis://[::1]", {.host = "::1", .port = "6379"}},
        {"redis://[fe80::1%eth0]:7/2", {.host = "fe80::1%eth0", .port = "7", .database = 2}},
        {"redis://:p@h", {.host = "h", .port = "6379", .password = "p"}},
        {"redis://u:p@h", {.host = "h", .port = "6379", .user = "u", .password = "p"}},
        {"redis://u%40:a%3Ab%2F%25@h",
         {.host = "h", .port = "6379", .user = "u@", .password = "a:b/%"}},
        {"redis://u:p@q@h", {.host = "h", .port = "6379", .user = "u", .password = "p@q"}},
        {"unix:/run/redis.sock", {.path = "/run/redis.sock"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_url url;

        assert_int_equal(redis_url_parse(rows[i].text, &url, NULL), ERR_OK);
        assert_memory_equal(&url, &rows[i].url, sizeof(url));
    }
}

static void
test_redis_url__refused(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } rows[] = {
        {"", "no address of a Redis server"},
        {"h:6379", "no address of a Redis server"},
        {"REDIS://h", "no address of a Redis server"},
        {"rediss://:secret@h", "TLS to Redis is not supported"},
        {"redis://", "the host is absent"},
        {"redis:///1", "the host is absent"},
        {"redis://:6379", "the host is absent"},
        {"redis://h:", "the port is not"},
        {"redis://h:0", "the port is not"},
        {"redis://h:65536", "the port is not"},
        {"redis://h:6379x", "the port is not"},
        {"redis://[::1", "bracket"},
        {"redis://[::1]6379", "behind the bracket"},
        {"redis://h/65536", "the database is not"},
        {"redis://h/x", "the database is not"},
        {"redis://h/1/2", "the database is not"},
        {"redis://secret@h", "has no password"},
        {"redis://u:secret%zz@h", "the password is too long, or not percent-encoded"},
        {"redis://u%00:secret@h", "the user's name is too long, or not percent-encoded"},
        {"redis://a b", "characters that no host has"},
        {"unix:", "no address of a Redis server"},
        {"unix:/", "the socket's path is absent"},
        {"unix:relative", "no address of a Redis server"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct redis_url url;
        struct diag diag = DIAG_INIT;

        assert_int_equal(redis_url_parse(rows[i].text, &url, &diag), ERR_INVALID);
        assert_non_null(strstr(diag.message, rows[i].words));
        assert_null(strstr(diag.message, "secret"));
        assert_string_equal(diag.field, "redis");
    }
}

/* `count` letters behind `begin`. */
static enum err
parse_long(const char *begin, size_t count, const char *end)
{
    char text[1024];
    struct redis_url url;

    (void)snprintf(
        text, sizeof(text), "%s%.*s%s", begin, (int)count,
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        end);
    return redis_url_parse(text, &url, NULL);
}

static void
test_redis_url__lengths(void **state)
{
    (void)state;
    assert_int_equal(parse_long("redis://", 254, ""), ERR_OK);
    assert_int_equal(parse_long("redis://", 255, ""), ERR_OK);
    assert_int_equal(parse_long("redis://", 256, ""), ERR_INVALID);
    assert_int_equal(parse_long("redis://:", 254, "@h"), ERR_OK);
    assert_int_equal(parse_long("redis://:", 255, "@h"), ERR_OK);
    assert_int_equal(parse_long("redis://:", 256, "@h"), ERR_INVALID);
    assert_int_equal(parse_long("unix:/", 105, ""), ERR_OK);
    assert_int_equal(parse_long("unix:/", 106, ""), ERR_OK);
    assert_int_equal(parse_long("unix:/", 107, ""), ERR_INVALID);
}

static void
test_redis_url__prefix(void **state)
{
    char text[REDIS_PREFIX_BYTES_MAX + 2];
    struct diag diag = DIAG_INIT;

    (void)state;
    memset(text, 'x', sizeof(text));
    text[REDIS_PREFIX_BYTES_MAX + 1] = '\0';
    assert_int_equal(limit_redis_check("redis://h", text, &diag), ERR_INVALID);
    assert_string_equal(diag.field, "redis-prefix");
    assert_int_equal(limit_redis_check("redis://h", text + 1, NULL), ERR_OK);
    assert_int_equal(limit_redis_check("redis://h", text + 2, NULL), ERR_OK);
    assert_int_equal(limit_redis_check("redis://h", "a", NULL), ERR_OK);
    assert_int_equal(limit_redis_check("redis://h", "", NULL), ERR_INVALID);
    assert_int_equal(limit_redis_check("redis://h", "a:b", NULL), ERR_INVALID);
    assert_int_equal(limit_redis_check("redis://h", "a\r\nb", NULL), ERR_INVALID);
    assert_int_equal(limit_redis_check("http://h", "a", NULL), ERR_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_url__forms),
        cmocka_unit_test(test_redis_url__refused),
        cmocka_unit_test(test_redis_url__lengths),
        cmocka_unit_test(test_redis_url__prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
