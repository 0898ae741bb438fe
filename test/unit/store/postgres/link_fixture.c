/*
 * link_fixture - see link_fixture.h.
 */
#include "link_fixture.h"

#include "store/postgres/store_postgres.h"
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#define WAIT_MS 10000
#define STATEMENT_TIMEOUT_MS 2000

void
link_fixture_need_server(void)
{
    if (getenv("POTIK_TEST_POSTGRES_URL") == NULL) {
        (void)fprintf(stderr, "skipped: POTIK_TEST_POSTGRES_URL is not set "
                              "(tools/with-postgres COMMAND sets it)\n");
        exit(77);
    }
}

static void
sink_write(void *state, enum log_level level, const char *event, const struct log_field *fields,
           size_t count)
{
    struct link_fixture *fixture = state;
    const size_t len = strlen(fixture->log);

    (void)level;
    if (getenv("LINK_TEST_LOG") != NULL) {
        (void)fprintf(stderr, "# %s", event);
        for (size_t i = 0; i < count; i++)
            if (fields[i].kind == LOG_KIND_TEXT)
                (void)fprintf(stderr, " %s=%.*s", fields[i].name, SLICE_ARGS(fields[i].value.text));
        (void)fprintf(stderr, "\n");
    }
    (void)snprintf(fixture->log + len, sizeof(fixture->log) - len, "%s ", event);
}

static void
open_store(struct link_fixture *fixture)
{
    const struct postgres_config config = {
        .url = fixture->url,
        .data_dir = fixture->dir,
        .connect_timeout_ms = 5000,
        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
        .clock = clock_system(),
        .sink = &fixture->sink,
    };
    struct diag diag = DIAG_INIT;
    enum err err = postgres_open(&config, &fixture->store, &diag);

    for (int i = 0; i < 2 && err == ERR_OK; i++)
        err = store_link_open(fixture->store, &fixture->links[i], &diag);
    if (err != ERR_OK)
        fail_msg("%s: %s", err_name(err), diag.message);
}

int
link_fixture_setup(void **state)
{
    const char *url = getenv("POTIK_TEST_POSTGRES_URL");
    struct link_fixture *fixture = calloc(1, sizeof(*fixture));
    static unsigned number;

    if (fixture == NULL)
        return 1;
    *state = fixture;
    strcpy(fixture->dir, "/tmp/test_link.XXXXXX");
    if (mkdtemp(fixture->dir) == NULL)
        return 1;
    fixture->sink = (struct log_sink){.write = sink_write, .state = fixture};
    (void)snprintf(fixture->schema, sizeof(fixture->schema), "link_%d_%u", getpid(), number++);
    (void)snprintf(fixture->url, sizeof(fixture->url),
                   "%s%coptions=-csearch_path%%3D%s&application_name=%s", url,
                   strchr(url, '?') != NULL ? '&' : '?', fixture->schema, fixture->schema);
    fixture->admin = PQconnectdb(fixture->url);
    (void)link_fixture_sql(fixture, "SET client_min_messages = warning; CREATE SCHEMA %s",
                           fixture->schema);
    open_store(fixture);
    return 0;
}

int
link_fixture_teardown(void **state)
{
    struct link_fixture *fixture = *state;
    enum err err = ERR_OK;

    store_link_close(&fixture->links[0]);
    store_link_close(&fixture->links[1]);
    store_close(&fixture->store);
    (void)link_fixture_sql(fixture, "DROP SCHEMA %s CASCADE", fixture->schema);
    PQfinish(fixture->admin);
    err = file_remove_tree(fixture->dir, NULL);
    free(fixture);
    return err != ERR_OK;
}

/* --- batches --------------------------------------------------------------------------------- */

void
link_fixture_clear(struct link_fixture *fixture, int which)
{
    fixture->batches[which] = (struct store_batch){.items = fixture->items[which]};
}

struct event *
link_fixture_add(struct link_fixture *fixture, int which, const char *id, bool is_probe)
{
    struct store_batch *batch = &fixture->batches[which];
    const uint32_t i = batch->count++;
    struct event *event = &fixture->events[which][i];

    assert_true(i < LINK_FIXTURE_EVENTS);
    batch->items = fixture->items[which];
    (void)snprintf(fixture->ids[which][i], sizeof(fixture->ids[which][i]), "%s", id);
    *event = (struct event){.event_id = slice_of_text(fixture->ids[which][i]),
                            .event_type = SLICE("page_view"),
                            .user_id = SLICE("user-1"),
                            .properties = SLICE("{\"price\":10.50}"),
                            .occurred_at_us = INT64_C(1769817600123456),
                            .received_at_us = INT64_C(1769817601123456),
                            .project_id = 1};
    fixture->items[which][i] = (struct store_item){.event = event, .is_probe = is_probe};
    return event;
}

static void
batch_done(struct store_batch *batch)
{
    bool *is_done = batch->user;

    assert_false(*is_done);
    *is_done = true;
}

void
link_fixture_submit(struct link_fixture *fixture, int which)
{
    struct store_batch *batch = &fixture->batches[which];

    fixture->is_done[which] = false;
    batch->user = &fixture->is_done[which];
    batch->done = batch_done;
    store_link_submit(fixture->links[which], batch);
}

static void
serve(struct link_fixture *fixture, int timeout_ms)
{
    struct pollfd fds[2];

    for (int i = 0; i < 2; i++)
        fds[i] = (struct pollfd){.fd = store_link_fd(fixture->links[i]), .events = POLLIN};
    if (poll(fds, 2, timeout_ms) <= 0)
        return;
    for (int i = 0; i < 2; i++)
        if (fds[i].revents != 0)
            store_link_ready(fixture->links[i], (uint32_t)fds[i].revents);
}

static int64_t
until_ns(void)
{
    return clock_steady_ns(clock_system()) + WAIT_MS * INT64_C(1000000);
}

void
link_fixture_wait(struct link_fixture *fixture, int which)
{
    const int64_t until = until_ns();

    while (!fixture->is_done[which]) {
        if (clock_steady_ns(clock_system()) > until)
            fail_msg("the batch is not answered");
        serve(fixture, 1000);
    }
}

enum err
link_fixture_run(struct link_fixture *fixture, int which)
{
    link_fixture_submit(fixture, which);
    link_fixture_wait(fixture, which);
    return fixture->batches[which].err;
}

/* Serves the links until all of them are away, or none is. */
static void
wait_links(struct link_fixture *fixture, bool is_away_wanted)
{
    struct postgres_health *health = &((struct postgres *)fixture->store)->health;
    const int64_t until = until_ns();

    for (;;) {
        uint32_t away = 0;

        pthread_mutex_lock(&health->lock);
        away = health->links_away;
        pthread_mutex_unlock(&health->lock);
        if (away == (is_away_wanted ? 2 : 0))
            return;
        if (clock_steady_ns(clock_system()) > until)
            fail_msg("%u links are away: %s", away, health->sentence);
        serve(fixture, 50);
    }
}

void
link_fixture_wait_ready(struct link_fixture *fixture)
{
    wait_links(fixture, false);
}

void
link_fixture_wait_away(struct link_fixture *fixture)
{
    wait_links(fixture, true);
}

/* --- the other connection -------------------------------------------------------------------- */

int64_t
link_fixture_sql(struct link_fixture *fixture, const char *format, ...)
{
    char *sql = NULL;
    int64_t number = 0;
    PGresult *result = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&sql, format, arguments) < 0)
        abort();
    va_end(arguments);
    result = PQexec(fixture->admin, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(fixture->admin));
    if (PQntuples(result) > 0)
        number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    free(sql);
    return number;
}

void
link_fixture_sql_until(struct link_fixture *fixture, int64_t wanted, const char *sql)
{
    const int64_t until = until_ns();

    while (link_fixture_sql(fixture, "%s", sql) != wanted) {
        if (clock_steady_ns(clock_system()) > until)
            fail_msg("never %" PRId64 ": %s", wanted, sql);
        serve(fixture, 20);
    }
}
