/*
 * pg_ceiling - what PostgreSQL gives to a bare program: hand-written inserts of the rows that
 * bench/load sends, ids unique for ever, over libpq and nothing else. What Potik's rate with
 * --store postgres is held against, and how the form of its statement was chosen (ADR 0007).
 *
 *     pg_ceiling URL [--method unnest|record|copy] [--batch 1000] [--connections 2]
 *                [--seconds 4] [--depth 2] [--duplicates SHARE] [--keep]     one JSON line
 *
 * The table is the one of sql/postgres/0001_events.sql, in a schema `ceiling` of its own, made new
 * at each run (--keep: taken as the last run left it, with the ids of another seed). One thread a
 * connection, libpq blocking; `depth` batches are under way on each, so that the server never
 * waits for the client.
 *
 *     unnest  one array a column, INSERT … SELECT FROM unnest(…) ON CONFLICT DO NOTHING RETURNING
 *     record  one array of a row type, the same
 *     copy    COPY BINARY into a temporary table that each commit empties, then INSERT … SELECT;
 *             one simple query of four statements, since libpq's pipeline takes no COPY
 *
 * At the end the rows are counted: a run that lost or doubled one has no result.
 */
#include "bench_sql.h"
#include "load/histogram.h"
#include "load/sample.h"
#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECTIONS_MAX 16
#define DEPTH_MAX 4
#define COLUMNS 9
#define ROW_BYTES_MAX 1024
#define EPOCH_SHIFT_US INT64_C(946684800000000) /* 1970 … 2000, where PostgreSQL begins */
#define DAY_US INT64_C(1769817600000000)        /* 2026-01-31 */

enum { OID_INT4 = 23, OID_TEXT = 25, OID_TIMESTAMPTZ = 1184, OID_JSONB = 3802 };
static const uint32_t column_oids[COLUMNS] = {OID_INT4,        OID_TEXT,        OID_TEXT,
                                              OID_TEXT,        OID_TEXT,        OID_TEXT,
                                              OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_JSONB};
static const Oid array_oids[COLUMNS] = {1007, 1009, 1009, 1009, 1009, 1009, 1185, 1185, 3807};

static const char names[] =
    "project_id, event_id, event_type, user_id, anonymous_id, session_id, occurred_at, "
    "received_at, properties";

enum method { METHOD_UNNEST, METHOD_RECORD, METHOD_COPY };

static struct {
    const char *url;
    enum method method;
    uint32_t batch;
    uint32_t connections;
    uint32_t depth;
    double seconds;
    double duplicates;
    bool is_kept;
    uint64_t seed;
} options = {.batch = 1000, .connections = 2, .depth = 2, .seconds = 4, .seed = 1};

struct row {
    uint64_t key; /* order of the ids, near enough: their first 8 bytes */
    char json[SAMPLE_BYTES_MAX];
    const char *ptr[COLUMNS];
    uint32_t len[COLUMNS];
    uint64_t occurred_be;
};

struct client {
    pthread_t thread;
    uint32_t number;
    PGconn *connection;
    struct row *rows;
    struct row **sorted;
    char *column[COLUMNS];
    uint32_t row_type;
    uint64_t next;
    uint64_t sent;
    uint64_t stored;
    uint64_t began_ns[DEPTH_MAX];
    struct histogram latency;
};

static uint64_t deadline_ns;

static uint64_t
now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static _Noreturn void
die(PGconn *connection, const char *what)
{
    (void)fprintf(stderr, "pg_ceiling: %s: %s", what, PQerrorMessage(connection));
    exit(1);
}

static void
execute(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);

    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        die(connection, sql);
    PQclear(result);
}

static PGconn *
open_connection(void)
{
    PGconn *connection = PQconnectdb(options.url);

    if (PQstatus(connection) != CONNECTION_OK)
        die(connection, options.url);
    execute(connection, "SET client_min_messages = warning");
    execute(connection, "SET synchronous_commit = on");
    execute(connection, "CREATE SCHEMA IF NOT EXISTS ceiling");
    execute(connection, "SET search_path = ceiling");
    return connection;
}

/* --- rows ---------------------------------------------------------------------------------- */

/* The value between `before` and `after` in the text, which moves behind it. */
static void
cut(const char **text, const char *before, char after, const char **ret_ptr, uint32_t *ret_len)
{
    const char *begin = strstr(*text, before);
    const char *end;

    assert(begin != NULL);
    begin += strlen(before);
    end = strchr(begin, after);
    assert(end != NULL);
    *ret_ptr = begin;
    *ret_len = (uint32_t)(end - begin);
    *text = end;
}

static int
row_compare(const void *a, const void *b)
{
    const struct row *left = *(struct row *const *)a;
    const struct row *right = *(struct row *const *)b;

    return (left->key > right->key) - (left->key < right->key);
}

static void
make_rows(struct client *client, uint64_t now_be)
{
    static const struct sample_config none;
    struct sample_config config = none;
    static const uint32_t project_be = 0x01000000;
    static char received[CONNECTIONS_MAX][8];
    uint64_t repeated = (uint64_t)((double)options.batch * options.duplicates);

    config.seed = options.seed * 16 + client->number;
    config.users = 100000;
    memcpy(config.date, "2026-01-31", sizeof(config.date));
    memcpy(received[client->number], &now_be, 8);
    for (uint32_t i = 0; i < options.batch; i++) {
        struct row *row = &client->rows[i];
        uint64_t counter = client->next++;
        const char *text = row->json;

        if (i < repeated && client->sent > options.batch)
            counter = sample_mix(counter) % (client->sent - options.batch);
        row->json[sample_render(&config, counter, row->json)] = 0;
        row->ptr[0] = (const char *)&project_be;
        row->len[0] = 4;
        cut(&text, "\"event_id\":\"", '"', &row->ptr[1], &row->len[1]);
        cut(&text, "\"event_type\":\"", '"', &row->ptr[2], &row->len[2]);
        cut(&text, "\"user_id\":\"", '"', &row->ptr[3], &row->len[3]);
        row->ptr[4] = NULL;
        cut(&text, "\"session_id\":\"", '"', &row->ptr[5], &row->len[5]);
        row->occurred_be =
            htobe64((uint64_t)(DAY_US - EPOCH_SHIFT_US) + counter * 7 % 86400000 * 1000);
        row->ptr[6] = (const char *)&row->occurred_be;
        row->len[6] = 8;
        row->ptr[7] = received[client->number];
        row->len[7] = 8;
        cut(&text, "\"properties\":", '}', &row->ptr[8], &row->len[8]);
        row->len[8]++; /* the brace */
        memcpy(&row->key, row->ptr[1], 8);
        row->key = be64toh(row->key);
        client->sorted[i] = row;
    }
    /* Equal ids (only among repeated ones) are left to ON CONFLICT. */
    qsort(client->sorted, options.batch, sizeof(client->sorted[0]), row_compare);
}

static char *
put_u32(char *place, uint32_t value)
{
    value = htonl(value);
    memcpy(place, &value, 4);
    return place + 4;
}

static char *
put_value(char *place, const struct row *row, unsigned column)
{
    const uint32_t shift = column == 8; /* the version byte of jsonb */

    if (row->ptr[column] == NULL)
        return put_u32(place, UINT32_MAX);
    place = put_u32(place, row->len[column] + shift);
    if (shift != 0)
        *place++ = 1;
    memcpy(place, row->ptr[column], row->len[column]);
    return place + row->len[column];
}

static char *
put_array_head(char *place, uint32_t oid)
{
    place = put_u32(place, 1);
    place = put_u32(place, 1);
    place = put_u32(place, oid);
    place = put_u32(place, options.batch);
    return put_u32(place, 1);
}

/* --- the three forms ------------------------------------------------------------------------ */

static void
prepare(struct client *client)
{
    char sql[1024];
    Oid oids[COLUMNS];

    if (options.method == METHOD_UNNEST) {
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO events (%s, generation) SELECT *, 1 FROM unnest($1, $2, $3, "
                       "$4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING event_id",
                       names);
        PQclear(PQprepare(client->connection, "append", sql, COLUMNS, array_oids));
    } else if (options.method == METHOD_RECORD) {
        PGresult *result =
            PQexec(client->connection, "SELECT oid, typarray FROM pg_type WHERE oid = "
                                       "to_regtype('ceiling.incoming')");

        client->row_type = (uint32_t)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
        oids[0] = (Oid)strtoul(PQgetvalue(result, 0, 1), NULL, 10);
        PQclear(result);
        (void)snprintf(sql, sizeof(sql),
                       "INSERT INTO events (%s, generation) SELECT *, 1 FROM unnest($1) "
                       "ON CONFLICT DO NOTHING RETURNING event_id",
                       names);
        PQclear(PQprepare(client->connection, "append", sql, 1, oids));
    } else {
        (void)snprintf(sql, sizeof(sql),
                       "CREATE TEMPORARY TABLE stage ON COMMIT DELETE ROWS AS SELECT %s FROM "
                       "events LIMIT 0",
                       names);
        execute(client->connection, sql);
        return;
    }
    if (PQenterPipelineMode(client->connection) != 1)
        die(client->connection, "pipeline");
}

static void
send_unnest(struct client *client)
{
    const char *values[COLUMNS];
    int lengths[COLUMNS];
    static const int formats[COLUMNS] = {1, 1, 1, 1, 1, 1, 1, 1, 1};

    for (unsigned column = 0; column < COLUMNS; column++) {
        char *place = put_array_head(client->column[column], column_oids[column]);

        for (uint32_t i = 0; i < options.batch; i++)
            place = put_value(place, client->sorted[i], column);
        values[column] = client->column[column];
        lengths[column] = (int)(place - client->column[column]);
    }
    if (PQsendQueryPrepared(client->connection, "append", COLUMNS, values, lengths, formats, 1) !=
            1 ||
        PQpipelineSync(client->connection) != 1)
        die(client->connection, "send");
}

static void
send_record(struct client *client)
{
    const char *values[1] = {client->column[0]};
    static const int formats[1] = {1};
    char *place = put_array_head(client->column[0], client->row_type);
    int length;

    for (uint32_t i = 0; i < options.batch; i++) {
        char *head = place;

        place = put_u32(place + 4, COLUMNS);
        for (unsigned column = 0; column < COLUMNS; column++)
            place = put_value(put_u32(place, column_oids[column]), client->sorted[i], column);
        (void)put_u32(head, (uint32_t)(place - head - 4));
    }
    length = (int)(place - client->column[0]);
    if (PQsendQueryPrepared(client->connection, "append", 1, values, &length, formats, 1) != 1 ||
        PQpipelineSync(client->connection) != 1)
        die(client->connection, "send");
}

/* Reads what a pipelined batch answered, its sync included. */
static void
receive(struct client *client)
{
    for (bool is_over = false; !is_over;) {
        PGresult *result = PQgetResult(client->connection);

        if (result == NULL)
            continue; /* between two statements */
        switch ((int)PQresultStatus(result)) {
        case PGRES_TUPLES_OK:
            client->stored += (uint64_t)PQntuples(result);
            break;
        case PGRES_PIPELINE_SYNC:
            is_over = true;
            break;
        default:
            die(client->connection, "append");
        }
        PQclear(result);
    }
}

static void
copy_batch(struct client *client)
{
    static const char head[19] = "PGCOPY\n\377\r\n";
    char sql[1024];
    char *place = client->column[0];
    PGresult *result = NULL;

    (void)snprintf(sql, sizeof(sql),
                   "BEGIN; COPY stage FROM STDIN BINARY; INSERT INTO events (%s, generation) "
                   "SELECT *, 1 FROM stage ON CONFLICT DO NOTHING RETURNING event_id; COMMIT",
                   names);
    memcpy(place, head, sizeof(head));
    place += sizeof(head);
    for (uint32_t i = 0; i < options.batch; i++) {
        *place++ = 0;
        *place++ = COLUMNS;
        for (unsigned column = 0; column < COLUMNS; column++)
            place = put_value(place, client->sorted[i], column);
    }
    memset(place, 0xFF, 2);
    place += 2;
    if (PQsendQuery(client->connection, sql) != 1)
        die(client->connection, "send");
    while ((result = PQgetResult(client->connection)) != NULL) {
        const ExecStatusType status = PQresultStatus(result);

        if (status == PGRES_COPY_IN) {
            if (PQputCopyData(client->connection, client->column[0],
                              (int)(place - client->column[0])) != 1 ||
                PQputCopyEnd(client->connection, NULL) != 1)
                die(client->connection, "copy");
        } else if (status == PGRES_TUPLES_OK) {
            client->stored += (uint64_t)PQntuples(result);
        } else if (status != PGRES_COMMAND_OK) {
            die(client->connection, "copy");
        }
        PQclear(result);
    }
}

static void *
run(void *arg)
{
    struct client *client = arg;
    const uint32_t depth = options.method == METHOD_COPY ? 1 : options.depth;
    uint64_t first = 0;
    uint64_t last = 0;

    while (now_ns() < deadline_ns || first != last) {
        if (last - first < depth && now_ns() < deadline_ns) {
            struct timespec wall;

            (void)clock_gettime(CLOCK_REALTIME, &wall);
            make_rows(client, htobe64((uint64_t)((int64_t)wall.tv_sec * 1000000 +
                                                 wall.tv_nsec / 1000 - EPOCH_SHIFT_US)));
            client->began_ns[last++ % DEPTH_MAX] = now_ns();
            if (options.method == METHOD_UNNEST)
                send_unnest(client);
            else if (options.method == METHOD_RECORD)
                send_record(client);
            else
                copy_batch(client);
            client->sent += options.batch;
            if (last - first < depth)
                continue;
        }
        if (options.method != METHOD_COPY)
            receive(client);
        histogram_add(&client->latency, now_ns() - client->began_ns[first++ % DEPTH_MAX]);
    }
    return NULL;
}

/* --- a run ---------------------------------------------------------------------------------- */

static bool
parse(int argc, char **argv)
{
    static const struct option words[] = {{"method", required_argument, NULL, 'm'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"duplicates", required_argument, NULL, 'u'},
                                          {"keep", no_argument, NULL, 'k'},
                                          {NULL, 0, NULL, 0}};
    int letter;

    while ((letter = getopt_long(argc, argv, "", words, NULL)) != -1) {
        switch (letter) {
        case 'm':
            options.method = strcmp(optarg, "copy") == 0     ? METHOD_COPY
                             : strcmp(optarg, "record") == 0 ? METHOD_RECORD
                                                             : METHOD_UNNEST;
            break;
        case 'b':
            options.batch = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            options.connections = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'd':
            options.depth = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'u':
            options.duplicates = strtod(optarg, NULL);
            break;
        case 'k':
            options.is_kept = true;
            options.seed = now_ns();
            break;
        default:
            return false;
        }
    }
    options.url = optind < argc ? argv[optind] : NULL;
    return options.url != NULL && options.batch != 0 && options.batch <= 100000 &&
           options.connections != 0 && options.connections <= CONNECTIONS_MAX &&
           options.depth != 0 && options.depth <= DEPTH_MAX && options.seconds > 0;
}

static void
make_table(PGconn *connection)
{
    char sql[512];

    execute(connection, "DROP SCHEMA ceiling CASCADE; CREATE SCHEMA ceiling");
    execute(connection, sql_0001_events);
    (void)snprintf(sql, sizeof(sql),
                   "CREATE TYPE incoming AS (project_id integer, event_id text, event_type text, "
                   "user_id text, anonymous_id text, session_id text, occurred_at timestamptz, "
                   "received_at timestamptz, properties jsonb)");
    execute(connection, sql);
}

static uint64_t
count_rows(PGconn *connection)
{
    PGresult *result = PQexec(connection, "SELECT count(*) FROM events");
    uint64_t count = 0;

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        die(connection, "count");
    count = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return count;
}

static void
client_open(struct client *client, uint32_t number)
{
    const size_t bytes = (size_t)options.batch * ROW_BYTES_MAX + 64;

    client->number = number;
    client->rows = calloc(options.batch, sizeof(*client->rows));
    client->sorted = calloc(options.batch, sizeof(struct row *));
    for (unsigned column = 0; column < COLUMNS; column++)
        client->column[column] = malloc(bytes);
    client->connection = open_connection();
    prepare(client);
}

int
main(int argc, char **argv)
{
    static struct client clients[CONNECTIONS_MAX];
    static struct histogram latency;
    static const char *const method_names[] = {"unnest", "record", "copy"};
    uint64_t began = 0;
    uint64_t stored = 0;
    uint64_t before = 0;
    double seconds = 0;
    PGconn *connection = NULL;

    if (!parse(argc, argv)) {
        (void)fprintf(stderr, "usage: pg_ceiling URL [--method unnest|record|copy] [--batch N] "
                              "[--connections N] [--seconds S] [--depth N] [--duplicates SHARE] "
                              "[--keep]\n");
        return 2;
    }
    connection = open_connection();
    if (!options.is_kept)
        make_table(connection);
    before = count_rows(connection);
    for (uint32_t i = 0; i < options.connections; i++)
        client_open(&clients[i], i);
    began = now_ns();
    deadline_ns = began + (uint64_t)(options.seconds * 1e9);
    for (uint32_t i = 0; i < options.connections; i++)
        if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
            return 1;
    for (uint32_t i = 0; i < options.connections; i++) {
        (void)pthread_join(clients[i].thread, NULL);
        stored += clients[i].stored;
        for (uint32_t k = 0; k < HISTOGRAM_BUCKETS; k++)
            latency.buckets[k] += clients[i].latency.buckets[k];
        latency.count += clients[i].latency.count;
        if (clients[i].latency.max_ns > latency.max_ns)
            latency.max_ns = clients[i].latency.max_ns;
        PQfinish(clients[i].connection);
    }
    seconds = (double)(now_ns() - began) / 1e9;
    if (count_rows(connection) - before != stored) {
        (void)fprintf(stderr, "pg_ceiling: the rows stored are not the rows told\n");
        return 1;
    }
    PQfinish(connection);
    (void)printf("{\"method\":\"%s\",\"batch\":%u,\"connections\":%u,\"depth\":%u,"
                 "\"duplicates\":%.2f,\"stored\":%llu,\"rows_per_s\":%.0f,\"batches\":%llu,"
                 "\"p50_ms\":%.2f,\"p99_ms\":%.2f}\n",
                 method_names[options.method], options.batch, options.connections, options.depth,
                 options.duplicates, (unsigned long long)stored, (double)stored / seconds,
                 (unsigned long long)latency.count, (double)histogram_quantile(&latency, 0.5) / 1e6,
                 (double)histogram_quantile(&latency, 0.99) / 1e6);
    return 0;
}
