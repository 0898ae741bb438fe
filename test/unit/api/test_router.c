/*
 * router: raw segments are matched, then decoded; methods; what a path without a route gets.
 */
#include "../test.h"

#include "api/router.h"

static bool
is_dau(const struct slice *segments)
{
    return slice_equal(segments[0], SLICE("dau"));
}

static const struct route_handler handler;
static const struct route routes[] = {
    {HTTP_POST, "/v1/events", ROUTE_WRITE, .is_ingest = true, .exists = NULL, .handler = &handler},
    {HTTP_GET, "/v1/events", ROUTE_READ, .is_ingest = false, .exists = NULL, .handler = &handler},
    {HTTP_GET, "/v1/users/{}/events", ROUTE_READ, .is_ingest = false, .exists = NULL,
     .handler = &handler},
    {HTTP_GET, "/v1/stats/{}", ROUTE_READ, .is_ingest = false, .exists = is_dau,
     .handler = &handler},
    {HTTP_GET, "/", ROUTE_OPEN, .is_ingest = false, .exists = NULL, .handler = &handler},
};

static enum err
find(enum http_method method, const char *path, struct arena *arena, struct route_match *match)
{
    return router_find(routes, COUNT_OF(routes), method, slice_of_text(path), arena, match);
}

static void
test_router__finds_by_path_and_method(void **state)
{
    static const struct {
        enum http_method method;
        const char *path;
        enum err err;
        int route; /* −1: none */
    } rows[] = {
        {HTTP_POST, "/v1/events", ERR_OK, 0},
        {HTTP_GET, "/v1/events", ERR_OK, 1},
        {HTTP_HEAD, "/v1/events", ERR_OK, 1},
        {HTTP_GET, "/v1/users/u/events", ERR_OK, 2},
        {HTTP_GET, "/v1/stats/dau", ERR_OK, 3},
        {HTTP_GET, "/", ERR_OK, 4},
        {HTTP_OPTIONS, "/v1/events", ERR_OK, -1},
        {HTTP_OPTIONS, "/v1/stats/dau", ERR_METHOD_NOT_ALLOWED, -1},
        {HTTP_OPTIONS, "*", ERR_NOT_FOUND, -1},
        {HTTP_POST, "/v1/stats/dau", ERR_METHOD_NOT_ALLOWED, -1},
        {HTTP_DELETE, "/v1/events", ERR_METHOD_NOT_ALLOWED, -1},
        {HTTP_OTHER, "/v1/events", ERR_NOT_IMPLEMENTED, -1},
        {HTTP_OTHER, "/nowhere", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/stats/nothing", ERR_NOT_FOUND, -1},
        {HTTP_POST, "/v1/stats/nothing", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/stats/", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/stats", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/users//events", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/users/a/b/events", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/users/a/events/", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/events/", ERR_NOT_FOUND, -1},
        {HTTP_GET, "//v1/events", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/%65vents", ERR_NOT_FOUND, -1}, /* raw segments are matched */
        {HTTP_GET, "/V1/events", ERR_NOT_FOUND, -1},
        {HTTP_GET, "/v1/events%00", ERR_BAD_REQUEST, -1},
        {HTTP_GET, "/nowhere/%ff", ERR_BAD_REQUEST, -1},
        {HTTP_GET, "/v1/users/%00/events", ERR_BAD_REQUEST, -1},
        {HTTP_GET, "/v1/users/%c0%80/events", ERR_BAD_REQUEST, -1},
        {HTTP_GET, "/v1/users/\xff/events", ERR_BAD_REQUEST, -1},
        {HTTP_GET, "/nowhere/\xff", ERR_BAD_REQUEST, -1},
        {HTTP_GET, "/v1/users/%zz/events", ERR_BAD_REQUEST, -1},
        {HTTP_GET, "/v1/users/%4/events", ERR_BAD_REQUEST, -1},
    };
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct route_match match;
        enum err err = find(rows[i].method, rows[i].path, &arena, &match);

        if (err != rows[i].err)
            fail_msg("%s: %s, not %s", rows[i].path, err_name(err), err_name(rows[i].err));
        if (err == ERR_OK)
            assert_ptr_equal(match.route, rows[i].route < 0 ? NULL : &routes[rows[i].route]);
    }
    arena_fini(&arena);
}

static void
test_router__decodes_what_it_caught(void **state)
{
    struct route_match match;
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(find(HTTP_GET, "/v1/users/a%2Fb+c%20%D1%96/events", &arena, &match), ERR_OK);
    assert_slice_equal(match.segments[0], "a/b+c \xd1\x96");
    assert_int_equal(find(HTTP_GET, "/v1/users/plain/events", &arena, &match), ERR_OK);
    assert_slice_equal(match.segments[0], "plain");
    arena_fini(&arena);
}

static void
test_router__tells_preflight_and_cors(void **state)
{
    struct route_match match;
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(find(HTTP_OPTIONS, "/v1/events", &arena, &match), ERR_OK);
    assert_true(match.is_preflight);
    assert_true(match.has_cors);
    assert_int_equal(find(HTTP_DELETE, "/v1/events", &arena, &match), ERR_METHOD_NOT_ALLOWED);
    assert_true(match.has_cors);
    assert_false(match.is_preflight);
    assert_int_equal(find(HTTP_GET, "/v1/stats/dau", &arena, &match), ERR_OK);
    assert_false(match.has_cors);
    arena_fini(&arena);
}

/* The search ends early only where nothing more can be learnt, whatever the order of the table. */
static void
test_router__knows_cors_of_a_later_route(void **state)
{
    static const struct route reading_first[] = {
        {HTTP_GET, "/v1/events", ROUTE_READ, .handler = NULL},
        {HTTP_GET, "/v1/other", ROUTE_READ, .handler = NULL},
        {HTTP_POST, "/v1/events", ROUTE_WRITE, .is_ingest = true, .handler = NULL},
        {HTTP_GET, "/v1/events", ROUTE_OPEN, .handler = NULL},
    };
    struct route_match match;
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(router_find(reading_first, 4, HTTP_GET, SLICE("/v1/events"), &arena, &match),
                     ERR_OK);
    assert_ptr_equal(match.route, &reading_first[0]); /* the first of two */
    assert_true(match.has_cors);
    assert_int_equal(router_find(reading_first, 4, HTTP_POST, SLICE("/v1/events"), &arena, &match),
                     ERR_OK);
    assert_ptr_equal(match.route, &reading_first[2]);
    arena_fini(&arena);
}

static void
test_router__allow_names_the_methods(void **state)
{
    static const struct {
        const char *path;
        const char *allow;
    } rows[] = {
        {"/v1/events", "POST, GET, HEAD, OPTIONS"},
        {"/v1/stats/dau", "GET, HEAD"},
        {"/v1/users/u/events", "GET, HEAD"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf allow;

        buf_init(&allow, 256);
        router_allow(routes, COUNT_OF(routes), slice_of_text(rows[i].path), &allow);
        assert_slice_equal(buf_slice(&allow), rows[i].allow);
        buf_fini(&allow);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_router__finds_by_path_and_method),
        cmocka_unit_test(test_router__decodes_what_it_caught),
        cmocka_unit_test(test_router__tells_preflight_and_cors),
        cmocka_unit_test(test_router__knows_cors_of_a_later_route),
        cmocka_unit_test(test_router__allow_names_the_methods),
    };

    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
