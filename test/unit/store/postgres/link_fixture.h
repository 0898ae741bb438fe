/*
 * link_fixture - a PostgreSQL store in a schema of its own, for the tests of links.
 *
 * Needs a server: POTIK_TEST_POSTGRES_URL, of a role that may create a schema (tools/with-postgres
 * gives one). Without it a test program exits with 77: skipped.
 */
#ifndef POTIK_TEST_LINK_FIXTURE_H
#define POTIK_TEST_LINK_FIXTURE_H

#include "base/random.h"
#include "store/postgres/postgres.h"
#include "test.h"
#include <libpq-fe.h>

#define LINK_FIXTURE_EVENTS 10001

struct link_fixture {
    char dir[64];
    char schema[40];
    char url[1024];
    struct log_sink sink;
    char log[4096]; /* event names of all lines, with spaces between */
    struct store *store;
    struct store_link *links[2];
    PGconn *admin; /* another connection, for looking and for harm */
    struct store_batch batches[2];
    struct store_item items[2][LINK_FIXTURE_EVENTS];
    struct event events[2][LINK_FIXTURE_EVENTS];
    char ids[2][LINK_FIXTURE_EVENTS][24];
    bool is_done[2];
};

/* Exits with 77 where there is no server. */
void link_fixture_need_server(void);
int link_fixture_setup(void **state);
int link_fixture_teardown(void **state);

/* An item of link `which`'s next batch: an event of project 1 with this id. */
struct event *
link_fixture_add(struct link_fixture *fixture, int which, const char *id, bool is_probe);
void link_fixture_clear(struct link_fixture *fixture, int which);
void link_fixture_submit(struct link_fixture *fixture, int which);
/* Serves both links until the batch is answered (10 s at most, else the test fails). */
void link_fixture_wait(struct link_fixture *fixture, int which);
/* Submits and waits. */
enum err link_fixture_run(struct link_fixture *fixture, int which);
/* Serves the links until all of them are connected. */
void link_fixture_wait_ready(struct link_fixture *fixture);
void link_fixture_wait_away(struct link_fixture *fixture);
/* One statement (or several) on the other connection; one number back, 0 where there is no row. */
int64_t link_fixture_sql(struct link_fixture *fixture, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Until the statement gives `wanted`, serving the links (10 s at most). */
void link_fixture_sql_until(struct link_fixture *fixture, int64_t wanted, const char *sql);

#endif
