/*
 * URLs: what they become, what is refused, and that no password is ever shown.
 */
#include "store/postgres/store_postgres.h"
#include "test.h"

#define SECRET "hunter2"

static struct postgres_url *
parse(const char *text)
{
    struct postgres_url *url = NULL;
    struct diag diag = DIAG_INIT;

    if (postgres_url_parse(text, 5000, &url, &diag) != ERR_OK)
        fail_msg("%s: %s", text, diag.message);
    return url;
}

static void
assert_value(const struct postgres_url *url, const char *keyword, const char *value)
{
    const char *found = postgres_url_value(url, keyword);

    if (value == NULL)
        assert_null(found);
    else
        assert_string_equal(found != NULL ? found : "(none)", value);
}

static void
test_url__is_completed(void **state)
{
    struct postgres_url *url = parse("postgres://app@db.example/shop");

    (void)state;
    assert_value(url, "host", "db.example");
    assert_value(url, "user", "app");
    assert_value(url, "dbname", "shop");
    assert_value(url, "port", NULL); /* libpq's default, or PGPORT */
    assert_value(url, "password", NULL);
    assert_value(url, "application_name", "potik");
    assert_value(url, "client_encoding", "UTF8");
    assert_value(url, "connect_timeout", "5");
    assert_value(url, "tcp_user_timeout", "15000");
    assert_value(url, "keepalives_idle", "10");
    assert_value(url, "gssencmode", "disable");
    assert_value(url, "target_session_attrs", "read-write");
    assert_value(url, "sslmode", NULL);
    postgres_url_free(&url);
    assert_null(url);
    postgres_url_free(&url);
}

static void
test_url__keeps_what_it_says_itself(void **state)
{
    struct postgres_url *url =
        parse("postgresql://a%40b:" SECRET "@h1:5433,h2:5434/d?sslmode=verify-full&connect_timeout="
              "9&application_name=x&options=-csearch_path%3Dp&target_session_attrs=primary");

    (void)state;
    assert_value(url, "user", "a@b");
    assert_value(url, "password", SECRET);
    assert_value(url, "host", "h1,h2");
    assert_value(url, "port", "5433,5434");
    assert_value(url, "sslmode", "verify-full");
    assert_value(url, "connect_timeout", "9");
    assert_value(url, "application_name", "x");
    assert_value(url, "options", "-csearch_path=p");
    assert_value(url, "target_session_attrs", "primary");
    postgres_url_free(&url);
}

static void
test_url__names_a_socket_without_a_file(void **state)
{
    struct postgres_url *url = parse("postgres://app@/shop?host=@pg,/run/user@1000/pg,@other");

    (void)state;
    assert_value(url, "host", "@pg,/run/user@1000/pg,@other");
    postgres_url_free(&url);
}

static void
test_url__is_shown_without_the_password(void **state)
{
    static const char *const table[][2] = {
        {"postgres://app:" SECRET "@h:5432/d", "postgres://app@h:5432/d"},
        {"postgres://h/d?user=app&password=" SECRET, "postgres://app@h/d"},
        {"postgres://h/d?passfile=" SECRET "&sslpassword=" SECRET "&sslkey=" SECRET,
         "postgres://h/d"},
        {"postgres:///d?host=/run/postgresql", "postgres:///run/postgresql/d"},
        {"postgres://[::1]:5/d", "postgres://::1:5/d"},
        {"postgres://app:pa?" SECRET "=1@h:65535/d", "postgres://app@h:65535/d"},
        {"postgres://?hostaddr=127.0.0.1", "postgres://127.0.0.1/"},
        {"postgres://", "postgres:///"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct postgres_url *url = parse(table[i][0]);

        assert_string_equal(url->shown, table[i][1]);
        postgres_url_free(&url);
    }
}

/* What cannot be read is told without quoting it, since it may hold the password. */
static void
test_url__is_refused_with_a_reason_and_without_the_password(void **state)
{
    static const char *const table[][2] = {
        {"", "must begin"},
        {"mysql://app:" SECRET "@h/d", "must begin"},
        {"postgres:/app:" SECRET "@h/d", "must begin"},
        {"host=h password=" SECRET, "must begin"},
        {"postgres://app:" SECRET "@[::1/d", "IPv6"},
        {"postgres://app:" SECRET "%zz@h/d", "percent-encoded"},
        {"postgres://app:" SECRET "%00@h/d", "forbidden value"},
        {"postgres://app:a@" SECRET "@h/d", "more than one @"},
        {"postgres://app:pw@h,b@" SECRET "/d", "more than one @"},
        {"postgres://h:0/d", "port"},
        {"postgres://h:65536/d?password=" SECRET, "port"},
        {"postgres://h:5432,i:x/d", "port"},
        {"postgres://h/d?nonsense=1", "no parameter \"nonsense\""},
        {"postgres://h/d?password=" SECRET "&a=b=c", "cannot be read"},
        {"postgres://h/d?replication=true&password=" SECRET, "replication"},
        {"postgres://h/d?target_session_attrs=any&password=" SECRET, "read-write or primary"},
        {"postgres://h/d?client_encoding=LATIN1&password=" SECRET, "UTF8"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct postgres_url *url = NULL;
        struct diag diag = DIAG_INIT;

        if (postgres_url_parse(table[i][0], 5000, &url, &diag) != ERR_INVALID)
            fail_msg("%s is taken", table[i][0]);
        assert_null(url);
        if (strstr(diag.message, table[i][1]) == NULL || strstr(diag.message, SECRET) != NULL)
            fail_msg("%s: %s", table[i][0], diag.message);
    }
}

static void
test_url__has_a_timeout_of_whole_seconds(void **state)
{
    static const struct {
        int64_t ms;
        const char *seconds;
    } table[] = {{0, "2"}, {1999, "2"}, {2000, "2"}, {2001, "3"}, {3000, "3"}, {60000, "60"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct postgres_url *url = NULL;

        assert_int_equal(postgres_url_parse("postgres://h/d", table[i].ms, &url, NULL), ERR_OK);
        assert_value(url, "connect_timeout", table[i].seconds);
        postgres_url_free(&url);
    }
}

static void
test_url__is_known_by_its_beginning(void **state)
{
    (void)state;
    assert_true(postgres_is_url("postgres://"));
    assert_true(postgres_is_url("postgresql://h"));
    assert_false(postgres_is_url("postgres:/h"));
    assert_false(postgres_is_url("postgresq://h"));
    assert_false(postgres_is_url("embedded"));
    assert_false(postgres_is_url(""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url__is_completed),
        cmocka_unit_test(test_url__keeps_what_it_says_itself),
        cmocka_unit_test(test_url__names_a_socket_without_a_file),
        cmocka_unit_test(test_url__is_shown_without_the_password),
        cmocka_unit_test(test_url__is_refused_with_a_reason_and_without_the_password),
        cmocka_unit_test(test_url__has_a_timeout_of_whole_seconds),
        cmocka_unit_test(test_url__is_known_by_its_beginning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
