/*
 * postgres_fixture - see postgres_fixture.h.
 */
#include "postgres_fixture.h"
#include <unistd.h>

#define PAGE_BYTES ((size_t)4 << 20)

void
fixture_need_server(void)
{
    if (getenv("POTIK_TEST_POSTGRES_URL") != NULL)
        return;
    printf("skipped: POTIK_TEST_POSTGRES_URL names no server (tools/with-postgres COMMAND)\n");
    exit(77);
}

static void
count_line(void *state, enum log_level level, const char *event, const struct log_field *fields,
           size_t count)
{
    struct fixture *fixture = state;

    (void)level;
    (void)fields;
    (void)count;
    fixture->sink_lines++;
    snprintf(fixture->sink_last, sizeof(fixture->sink_last), "%s", event);
}

static PGconn *
connect_other(const struct fixture *fixture)
{
    PGconn *conn = PQconnectdb(fixture->url);

    if (PQstatus(conn) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(conn));
    return conn;
}

PGconn *
fixture_connect(struct fixture *fixture)
{
    for (size_t i = 0; i < COUNT_OF(fixture->more); i++) {
        if (fixture->more[i] == NULL)
            return fixture->more[i] = connect_other(fixture);
    }
    fail_msg("no more connections");
    return NULL;
}

static PGresult *
run(PGconn *conn, const char *format, va_list args)
{
    char sql[4096];
    PGresult *result = NULL;

    assert_true(vsnprintf(sql, sizeof(sql), format, args) < (int)sizeof(sql));
    result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    return result;
}

void
fixture_run(PGconn *conn, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    PQclear(run(conn, format, args));
    va_end(args);
}

const char *
fixture_ask(PGconn *conn, const char *format, ...)
{
    static char text[256];
    PGresult *result = NULL;
    va_list args;

    va_start(args, format);
    result = run(conn, format, args);
    va_end(args);
    snprintf(text, sizeof(text), "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return text;
}

int
fixture_setup(void **state)
{
    const char *base = getenv("POTIK_TEST_POSTGRES_URL");
    struct fixture *fixture = MEM_NEW(struct fixture, 1);
    static struct log_sink sink;
    static unsigned number;
    void *dir = NULL;

    if (base == NULL || fixture == NULL || test_dir_setup(&dir) != 0)
        return -1;
    fixture->dir = dir;
    snprintf(fixture->schema, sizeof(fixture->schema), "unit_%d_%u", (int)getpid(), number++);
    snprintf(fixture->url, sizeof(fixture->url), "%s%coptions=-csearch_path%%3D%s", base,
             strchr(base, '?') != NULL ? '&' : '?', fixture->schema);
    clock_fake_init(&fixture->clock, INT64_C(1700000000) * US_PER_S);
    sink = (struct log_sink){count_line, fixture};
    fixture->config = (struct postgres_config){.url = fixture->url,
                                               .data_dir = fixture->dir,
                                               .connect_timeout_ms = 5000,
                                               .statement_timeout_ms = 10000,
                                               .clock = &fixture->clock.clock,
                                               .sink = &sink};
    arena_init(&fixture->arena, 1 << 16, (size_t)256 << 20);
    fixture->other = connect_other(fixture);
    fixture_run(fixture->other, "SET client_min_messages = error; CREATE SCHEMA %s",
                fixture->schema);
    *state = fixture;
    return 0;
}

int
fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    void *dir = fixture->dir;

    for (size_t i = 0; i < COUNT_OF(fixture->more); i++)
        postgres_disconnect(&fixture->more[i]);
    fixture_close(fixture);
    fixture_run(fixture->other, "ROLLBACK");
    fixture_run(fixture->other, "DROP SCHEMA %s CASCADE", fixture->schema);
    PQfinish(fixture->other);
    arena_fini(&fixture->arena);
    mem_free(fixture);
    return test_dir_teardown(&dir);
}

void
fixture_open(struct fixture *fixture)
{
    struct diag diag = DIAG_INIT;

    if (postgres_open(&fixture->config, &fixture->store, &diag) != ERR_OK)
        fail_msg("%s", diag.message);
}

void
fixture_close(struct fixture *fixture)
{
    store_close(&fixture->store);
}

struct postgres *
fixture_postgres(struct fixture *fixture)
{
    return (struct postgres *)fixture->store;
}

void
fixture_kill(struct fixture *fixture)
{
    postgres_disconnect(&fixture_postgres(fixture)->reader.conn);
    fixture_close(fixture);
}

void
fixture_insert_many(PGconn *conn, uint32_t first, uint32_t count)
{
    fixture_run(conn,
                "INSERT INTO events (project_id, event_id, event_type, user_id, occurred_at, "
                "received_at, properties, generation) "
                "SELECT 1, 'e' || i, 'click', 'u' || i, '2026-01-02 03:04:05.000006+00', "
                "'2026-01-02 03:04:06+00', jsonb_build_object('n', i), "
                "(SELECT generation FROM potik_state) FROM generate_series(%u::bigint, "
                "%u::bigint - 1) AS i",
                first, first + count);
}

void
fixture_insert(PGconn *conn, uint32_t number)
{
    fixture_insert_many(conn, number, 1);
}

enum err
fixture_read_page(struct fixture *fixture, struct store_position after, uint32_t rows_max,
                  size_t bytes_max, struct store_page *ret_page, struct diag *diag)
{
    arena_clear(&fixture->arena);
    return store_read_after(fixture->store, after, rows_max, bytes_max, &fixture->arena, ret_page,
                            diag);
}

uint32_t
fixture_read(struct fixture *fixture, struct store_position *cursor, uint32_t rows_max,
             uint32_t *ret_numbers, uint32_t max)
{
    struct diag diag = DIAG_INIT;
    uint32_t count = 0;

    for (;;) {
        struct store_page page;

        if (fixture_read_page(fixture, *cursor, rows_max, PAGE_BYTES, &page, &diag) != ERR_OK)
            fail_msg("%s", diag.message);
        assert_true(page.count <= rows_max);
        for (uint32_t i = 0; i < page.count; i++) {
            const struct store_row *row = &page.rows[i];
            char number[16];

            assert_false(store_position_at_or_before(row->position, *cursor));
            assert_true(store_position_at_or_before(row->position, page.next));
            assert_true(i == 0 ||
                        !store_position_at_or_before(row->position, page.rows[i - 1].position));
            assert_true(count < max);
            snprintf(number, sizeof(number), "%.*s", SLICE_ARGS(row->event.event_id));
            ret_numbers[count++] = (uint32_t)strtoul(number + 1, NULL, 10);
        }
        assert_true(store_position_at_or_before(*cursor, page.next));
        *cursor = page.next;
        if (page.is_caught_up)
            return count;
        assert_true(page.count > 0);
    }
}
