/*
 * auth: the Bearer scheme, read strictly; who is let in to what with which key or role, over a
 * table of the test's own and an exchange that has but header fields. More is asked of the whole
 * server (test/flow/auth).
 */
#include "../test.h"

#include "account/access_inside.h"
#include "api/internal.h"
#include "base/mem.h"
#include "codec/hash.h"

#define SESSION "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NOW_US INT64_C(1770000000000000)
#define WRITE_KEY "wk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define READ_KEY "rk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* --- an exchange: two header fields -----------------------------------------------------------*/

struct http_exchange {
    struct arena arena;
    const char *authorization;
    const char *own;
    uint32_t authorization_count;
};

struct arena *
http_arena(struct http_exchange *exchange)
{
    return &exchange->arena;
}

struct slice
http_header(const struct http_exchange *exchange, const char *name)
{
    if (strcmp(name, "authorization") == 0)
        return slice_of_text(exchange->authorization);
    assert_string_equal(name, "x-potik-key");
    return slice_of_text(exchange->own);
}

uint32_t
http_header_count(const struct http_exchange *exchange, const char *name)
{
    return strcmp(name, "authorization") == 0 ? exchange->authorization_count : 1;
}

struct slice
http_authorization(const struct http_exchange *exchange, uint32_t *ret_count)
{
    struct slice value = http_header(exchange, "authorization");

    *ret_count = value.ptr == NULL ? 0 : http_header_count(exchange, "authorization");
    return value;
}

void
api_format_peer(const struct api_request *request, char ret_from[ACCOUNT_FROM_BYTES + 1])
{
    (void)request;
    (void)snprintf(ret_from, ACCOUNT_FROM_BYTES + 1, "192.0.2.1");
}

/* --- rows: projects 1 and 2; 3 is admin, 4 analyst of 1, 5 ingest of 1 and owner of 2, 6 nothing
 * -*/

static bool is_session_revoked;
static int64_t key_expires_at_us;
static _Atomic bool has_changed;

static enum err
read_rows(void *state, int64_t revoked_since_us, struct access_rows *ret_rows, struct diag *diag)
{
    static const struct login_membership memberships[] = {
        {4, 1, LOGIN_ROLE_ANALYST}, {5, 1, LOGIN_ROLE_INGEST}, {5, 2, LOGIN_ROLE_OWNER}};
    struct access_rows rows = {0};

    (void)state, (void)revoked_since_us, (void)diag;
    rows.keys.projects = MEM_NEW(struct account_project, 2);
    rows.keys.keys = MEM_NEW(struct account_key, 2);
    rows.logins.logins = MEM_NEW(struct login, 4);
    rows.logins.memberships = MEM_NEW(struct login_membership, COUNT_OF(memberships));
    rows.revoked = MEM_NEW(struct session_id, 1);
    assert_true(rows.keys.projects != NULL && rows.keys.keys != NULL &&
                rows.logins.logins != NULL && rows.logins.memberships != NULL &&
                rows.revoked != NULL);
    rows.keys.project_count = 2;
    rows.keys.key_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        struct account_key *key = &rows.keys.keys[i];

        rows.keys.projects[i].id = i + 1;
        key->id = i + 10;
        key->project_id = 1;
        key->kind = i == 0 ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ;
        key->expires_at_us = key_expires_at_us;
        hash_sha256(i == 0 ? SLICE(WRITE_KEY) : SLICE(READ_KEY), key->hash);
    }
    rows.logins.login_count = 4;
    for (uint64_t i = 0; i < 4; i++) {
        rows.logins.logins[i].id = i + 3;
        rows.logins.logins[i].is_admin = i == 0;
    }
    rows.logins.membership_count = COUNT_OF(memberships);
    memcpy(rows.logins.memberships, memberships, sizeof(memberships));
    rows.revoked_count = is_session_revoked ? 1 : 0;
    memset(rows.revoked[0].text, 'a', SESSION_ID_BYTES);
    *ret_rows = rows;
    return ERR_OK;
}

static enum err
rows_have_changed(void *state, bool *ret_has_changed, struct diag *diag)
{
    (void)state, (void)diag;
    *ret_has_changed = atomic_exchange(&has_changed, false);
    return ERR_OK;
}

static enum err
note_uses(void *state, const struct account_key_use *uses, size_t count, struct diag *diag)
{
    (void)state, (void)uses, (void)count, (void)diag;
    return ERR_OK;
}

static enum err
sweep(void *state, struct diag *diag)
{
    (void)state, (void)diag;
    return ERR_OK;
}

static void
close_rows(void *state)
{
    (void)state;
}

/* --- one loop ---------------------------------------------------------------------------------*/

struct fixture {
    struct clock_fake clock;
    struct access_table *access;
    struct api api;
    struct api_loop loop;
    struct http_exchange exchange;
    struct api_request request;
    struct diag diag;
    char token[TOKEN_MADE_BYTES_MAX + 16];
};

static struct fixture fixture;

static int
setup(void **state)
{
    const struct access_source source = {.read = read_rows,
                                         .has_changed = rows_have_changed,
                                         .keys_used = note_uses,
                                         .sweep = sweep,
                                         .close = close_rows};
    struct access_config config = {
        .sink = log_sink_default(),
        .clock = &fixture.clock.clock,
        .token_life_s = 900,
    };

    if (test_dir_setup(state) != 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    is_session_revoked = false;
    key_expires_at_us = 0;
    atomic_store(&has_changed, false);
    clock_fake_init(&fixture.clock, NOW_US);
    config.ring = (struct key_ring_config){
        .dir = (const char *)*state, .may_create = true, .random = random_system()};
    if (access_start_over(&source, &config, &fixture.access, NULL) != ERR_OK)
        return -1;
    fixture.api.config.clock = &fixture.clock.clock;
    fixture.api.config.access = fixture.access;
    fixture.loop.api = &fixture.api;
    access_renew(fixture.access, &fixture.loop.access);
    return 0;
}

static int
teardown(void **state)
{
    access_release(&fixture.loop.access);
    access_stop(&fixture.access);
    arena_fini(&fixture.exchange.arena);
    return test_dir_teardown(state);
}

/* "Bearer " and the token of this login. */
static const char *
token_of(uint64_t login_id)
{
    char subject[24];
    char token[TOKEN_MADE_BYTES_MAX + 1];

    (void)snprintf(subject, sizeof(subject), "%llu", (unsigned long long)login_id);
    assert_int_equal(token_issue(access_ring(fixture.loop.access), slice_of_text(subject),
                                 SLICE(SESSION ".0"),
                                 clock_wall_us(&fixture.clock.clock) / US_PER_S, 900, token, NULL),
                     ERR_OK);
    (void)snprintf(fixture.token, sizeof(fixture.token), "Bearer %s", token);
    return fixture.token;
}

static enum err
ask(enum route_auth auth, const char *pattern, const char *segment, const char *query,
    const char *authorization)
{
    static struct route route;

    route = (struct route){.pattern = pattern, .auth = auth};
    arena_fini(&fixture.exchange.arena);
    arena_init(&fixture.exchange.arena, 1024, 1 << 20);
    fixture.exchange.authorization = authorization;
    fixture.exchange.authorization_count = 1;
    fixture.request =
        (struct api_request){.loop = &fixture.loop, .exchange = &fixture.exchange, .route = &route};
    fixture.request.arrived_at_us = clock_wall_us(fixture.api.config.clock);
    fixture.request.segments[0] = slice_of_text(segment);
    fixture.request.query = slice_of_text(query);
    diag_clear(&fixture.diag);
    return auth_check(&fixture.request, &fixture.diag);
}

/* --- tests ------------------------------------------------------------------------------------*/

static void
test_auth__bearer(void **state)
{
    static const struct {
        const char *value;
        const char *key; /* NULL: refused */
    } rows[] = {
        {"Bearer wk_1", "wk_1"}, {"bearer wk_1", "wk_1"}, {"BEARER   wk_1", "wk_1"},
        {"Bearer", NULL},        {"Bearer ", NULL},       {"Bearerwk_1", NULL},
        {"Basic d2s6", NULL},    {"wk_1", NULL},          {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice key;
        bool is_read = auth_parse_bearer(slice_of_text(rows[i].value), &key);

        assert_int_equal(is_read, rows[i].key != NULL);
        if (is_read)
            assert_slice_equal(key, rows[i].key);
    }
}

#define Y ERR_OK
#define N ERR_NOT_FOUND
#define F ERR_FORBIDDEN

/* Every kind of route against every kind of asker, in project 1, 2 and one that is not there. */
static void
test_auth__roles(void **state)
{
    static const struct {
        uint64_t login;
        const char *query;
        enum err write, read, owner, admin;
    } rows[] = {
        {3, "project=1", Y, Y, Y, Y}, {3, "project=2", Y, Y, Y, Y}, {3, "project=9", N, N, N, Y},
        {4, "project=1", F, Y, F, F}, {4, "project=2", N, N, N, F}, {4, "project=9", N, N, N, F},
        {4, NULL, F, Y, F, F}, /* the only one */
        {5, "project=1", Y, F, F, F}, {5, "project=2", Y, Y, Y, F}, {5, "project=9", N, N, N, F},
        {6, "project=1", N, N, N, F},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *token = token_of(rows[i].login);

        assert_int_equal(ask(ROUTE_WRITE, "/w", NULL, rows[i].query, token), rows[i].write);
        assert_int_equal(ask(ROUTE_READ, "/r", NULL, rows[i].query, token), rows[i].read);
        if (rows[i].read == ERR_OK)
            assert_true(fixture.request.project_id != 0 && fixture.request.query.len == 0);
        assert_int_equal(ask(ROUTE_OWNER, "/o", NULL, rows[i].query, token), rows[i].owner);
        assert_int_equal(ask(ROUTE_ADMIN, "/a", NULL, NULL, token), rows[i].admin);
        assert_int_equal(ask(ROUTE_LOGIN, "/l", NULL, NULL, token), ERR_OK);
        assert_int_equal(fixture.request.actor.kind, ACCOUNT_ACTOR_LOGIN);
        assert_int_equal(fixture.request.actor.id, rows[i].login);
        assert_string_equal(fixture.request.actor.from, "192.0.2.1");
    }
    /* several, or none: which one must be said */
    for (uint64_t login = 3; login <= 6; login += login == 3 ? 2 : 1) {
        assert_int_equal(ask(ROUTE_READ, "/r", NULL, "a=1", token_of(login)),
                         ERR_INVALID_PARAMETER);
        assert_string_equal(fixture.diag.field, "project");
    }
}

static void
test_auth__project_of_the_path(void **state)
{
    static const char pattern[] = "/v1/projects/{}/keys";

    (void)state;
    assert_int_equal(ask(ROUTE_OWNER, pattern, "2", "limit=5&project=1", token_of(5)), ERR_OK);
    assert_int_equal(fixture.request.project_id, 2);
    assert_slice_equal(fixture.request.query, "limit=5&project=1"); /* the resource's to refuse */
    assert_int_equal(ask(ROUTE_OWNER, pattern, "1", NULL, token_of(5)), ERR_FORBIDDEN);
    assert_int_equal(ask(ROUTE_OWNER, pattern, "9", NULL, token_of(5)), ERR_NOT_FOUND);
    assert_int_equal(ask(ROUTE_OWNER, pattern, "x", NULL, token_of(5)), ERR_NOT_FOUND);
    assert_int_equal(ask(ROUTE_OWNER, pattern, "1", NULL, token_of(3)), ERR_OK);
    assert_int_equal(ask(ROUTE_OWNER, pattern, "1", NULL, "Bearer " READ_KEY), ERR_WRONG_KEY_KIND);
}

static void
test_auth__project_is_taken_out_of_the_query(void **state)
{
    static const struct {
        const char *query;
        enum err err;
        const char *rest;
    } rows[] = {
        {"project=1", ERR_OK, ""},
        {"a=1&project=1", ERR_OK, "a=1"},
        {"project=1&a=1", ERR_OK, "a=1"},
        {"a=1&project=1&b=2", ERR_OK, "a=1&b=2"},
        {"a=1&%70roject=1&b=%zz", ERR_OK, "a=1&b=%zz"},
        {"projects=1&a", ERR_OK, "projects=1&a"},
        {"", ERR_OK, ""},
        {"&&", ERR_OK, "&&"},
        {"project=2", ERR_NOT_FOUND, NULL},
        {"project", ERR_INVALID_PARAMETER, NULL},
        {"project=", ERR_INVALID_PARAMETER, NULL},
        {"project=01x", ERR_INVALID_PARAMETER, NULL},
        {"project=-1", ERR_INVALID_PARAMETER, NULL},
        {"project=4294967296", ERR_INVALID_PARAMETER, NULL},
        {"project=1&a=1&project=1", ERR_INVALID_PARAMETER, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(ask(ROUTE_READ, "/r", NULL, rows[i].query, "Bearer " READ_KEY),
                         rows[i].err);
        if (rows[i].err == ERR_OK)
            assert_slice_equal(fixture.request.query, rows[i].rest);
    }
}

static void
test_auth__keys(void **state)
{
    (void)state;
    assert_int_equal(ask(ROUTE_WRITE, "/w", NULL, NULL, "Bearer " WRITE_KEY), ERR_OK);
    assert_int_equal(fixture.request.project_id, 1);
    assert_int_equal(fixture.request.actor.kind, ACCOUNT_ACTOR_KEY);
    assert_int_equal(fixture.request.actor.id, 10);
    assert_int_equal(ask(ROUTE_WRITE, "/w", NULL, NULL, "Bearer " READ_KEY), ERR_WRONG_KEY_KIND);
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, "Bearer " WRITE_KEY), ERR_WRONG_KEY_KIND);
    for (int auth = ROUTE_LOGIN; auth <= ROUTE_ADMIN; auth++)
        assert_int_equal(ask((enum route_auth)auth, "/l", NULL, NULL, "Bearer " WRITE_KEY),
                         ERR_WRONG_KEY_KIND);
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, "Bearer rk_b"), ERR_UNAUTHORIZED);
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, NULL), ERR_UNAUTHORIZED);
    fixture.exchange.own = READ_KEY;
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, NULL), ERR_OK);
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, "Bearer " READ_KEY), ERR_OK);
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, "Bearer " WRITE_KEY), ERR_UNAUTHORIZED);
    fixture.exchange.own = token_of(3) + strlen("Bearer ");
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, "project=1", NULL), ERR_UNAUTHORIZED);
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, "project=1", fixture.token), ERR_UNAUTHORIZED);
}

/* What a loop keeps of the last look must not outlive the expiry, nor a change of the table. */
static void
test_auth__what_is_kept_ends(void **state)
{
    (void)state;
    key_expires_at_us = NOW_US + 5 * US_PER_S;
    atomic_store(&has_changed, true);
    assert_int_equal(access_refresh(fixture.access, NULL), ERR_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, "Bearer " READ_KEY), ERR_OK);
    clock_fake_move(&fixture.clock, 5 * US_PER_S - 1);
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, "Bearer " READ_KEY), ERR_OK);
    clock_fake_move(&fixture.clock, 1);
    assert_int_equal(ask(ROUTE_READ, "/r", NULL, NULL, "Bearer " READ_KEY), ERR_UNAUTHORIZED);

    (void)token_of(3);
    assert_int_equal(ask(ROUTE_LOGIN, "/l", NULL, NULL, fixture.token), ERR_OK);
    assert_true(fixture.loop.last_token.len != 0);
    clock_fake_move(&fixture.clock, 900 * US_PER_S - 1);
    assert_int_equal(ask(ROUTE_LOGIN, "/l", NULL, NULL, fixture.token), ERR_OK);
    clock_fake_move(&fixture.clock, 1);
    assert_int_equal(ask(ROUTE_LOGIN, "/l", NULL, NULL, fixture.token), ERR_UNAUTHORIZED);

    (void)token_of(3);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ask(ROUTE_LOGIN, "/l", NULL, NULL, fixture.token), ERR_OK);
    is_session_revoked = true;
    atomic_store(&has_changed, true);
    assert_int_equal(access_refresh(fixture.access, NULL), ERR_OK);
    assert_int_equal(ask(ROUTE_LOGIN, "/l", NULL, NULL, fixture.token), ERR_UNAUTHORIZED);
    assert_int_equal(fixture.loop.last_token.len, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auth__bearer),
        cmocka_unit_test_setup_teardown(test_auth__roles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth__project_of_the_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth__project_is_taken_out_of_the_query, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_auth__keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth__what_is_kept_ends, setup, teardown),
    };

    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
