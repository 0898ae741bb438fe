/*
 * postgres_fixture - a PostgreSQL store in a schema and a data folder of its own, and a second
 * connection that plays other nodes and other programs.
 *
 * The server is the one of POTIK_TEST_POSTGRES_URL (tools/with-postgres COMMAND starts one).
 * Without it tests are skipped: exit 77, and a word why.
 */
#ifndef POTIK_TEST_POSTGRES_FIXTURE_H
#define POTIK_TEST_POSTGRES_FIXTURE_H

#include "store/postgres/store_postgres.h"
#include "test.h"

struct fixture {
    char *dir;
    char url[1024]; /* with search_path = the schema */
    char schema[64];
    struct postgres_config config;
    struct clock_fake clock;
    struct store *store;
    struct arena arena;
    PGconn *other;
    PGconn *more[4]; /* of fixture_connect */
    uint32_t sink_lines;
    char sink_last[64]; /* event name of the last line */
};

/* Exits with 77 where there is no server. */
void fixture_need_server(void);
int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
/* As kill -9 leaves it: connections gone, the node's row and file as of the last touch. */
void fixture_kill(struct fixture *fixture);
struct postgres *fixture_postgres(struct fixture *fixture);

/* On `conn`; must succeed. */
void fixture_run(PGconn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first value as text, "" for NULL or no row. Valid until the next call. */
const char *
fixture_ask(PGconn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One more; closed at the end, whatever the test's outcome. */
PGconn *fixture_connect(struct fixture *fixture);
/* One event "e<number>" of project 1, by SQL. */
void fixture_insert(PGconn *conn, uint32_t number);
void fixture_insert_many(PGconn *conn, uint32_t first, uint32_t count);

/* Reads pages after *cursor until caught up; gives the ids' numbers in order, at most `max`. */
uint32_t fixture_read(struct fixture *fixture, struct store_position *cursor, uint32_t rows_max,
                      uint32_t *ret_numbers, uint32_t max);
enum err fixture_read_page(struct fixture *fixture, struct store_position after, uint32_t rows_max,
                           size_t bytes_max, struct store_page *ret_page, struct diag *diag);

#define test_with_postgres(function)                                                               \
    cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
