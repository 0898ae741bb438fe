/*
 * measure - what loading and scanning cost: rows a second and core, memory of an empty engine.
 *
 *     measure_warehouse [ROWS [PERSONS [SEAL_ROWS]]]
 *
 * 2,000,000 rows of about 330 bytes, 200,000 persons, sealed at 500,000 rows.
 *
 * Not a test; docs/adr/0004-warehouse.md quotes its figures. The store is the fake one of the
 * tests, so that the ledger's own reading is not in the figures.
 */
#include "fixture.h"
#include "warehouse/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double
wall_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double
core_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static long
memory_kib(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return kib;
}

static void
add_events(struct fixture *fixture, uint32_t count, uint32_t persons)
{
    struct random_source random;

    random_seeded_init(&random, 42);
    for (uint32_t i = 0; i < count; i++) {
        char id[40], user[32], name[32], properties[256], session[40];
        struct event event = {.project_id = PROJECT};
        const uint64_t a = random_u64(&random), b = random_u64(&random);

        snprintf(id, sizeof(id), "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(a >> 32),
                 (unsigned)(a & 0xffff), (unsigned)(a >> 16 & 0xfff), (unsigned)(b >> 52),
                 (unsigned long long)(b & 0xffffffffffff));
        snprintf(user, sizeof(user), "user-%08llu",
                 (unsigned long long)random_below(&random, persons));
        snprintf(name, sizeof(name), "event_type_%llu",
                 (unsigned long long)random_below(&random, 20));
        snprintf(session, sizeof(session), "%016llx", (unsigned long long)(a ^ b) >> 8);
        snprintf(properties, sizeof(properties),
                 "{\"url\":\"https://shop.example/product/%llu\",\"price\":%llu.%02llu,"
                 "\"currency\":\"EUR\",\"country\":\"UA\",\"device\":\"mobile\","
                 "\"campaign\":\"spring-%llu\",\"referrer\":\"https://www.google.com/\"}",
                 (unsigned long long)(a % 10000), (unsigned long long)(a % 100),
                 (unsigned long long)(b % 100), (unsigned long long)(b % 50));
        event.event_id = slice_of_text(id);
        event.event_type = slice_of_text(name);
        event.user_id = slice_of_text(user);
        event.session_id = slice_of_text(session);
        event.properties = slice_of_text(properties);
        event.occurred_at_us = DAY_ZERO_US + (int64_t)i * 300 - (int64_t)(a % 1000000000);
        event.received_at_us = DAY_ZERO_US + (int64_t)i * 3;
        fake_store_add(&fixture->store, &event);
    }
}

static enum err
count_rows(void *state, const struct warehouse_rows *rows)
{
    *(uint64_t *)state += rows->count;
    return ERR_OK;
}

static void
measure_scan(struct fixture *fixture, const char *what, uint32_t parts, bool is_first,
             const uint32_t *types, uint32_t type_count)
{
    uint64_t counts[64] = {0}, rows = 0;
    void *states[64];
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct warehouse_scan scan = {.to_us = INT64_MAX,
                                  .types = types,
                                  .type_count = type_count,
                                  .wants_type = true,
                                  .parts = parts,
                                  .rows = count_rows,
                                  .part_states = states};
    struct warehouse_view *view = NULL;
    const double wall = wall_s(), core = core_s();
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < parts; i++)
        states[i] = &counts[i];
    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    err = is_first ? warehouse_scan_first(view, &scan, &control, NULL)
                   : warehouse_scan(view, &scan, &control, NULL);
    assert_int_equal(err, ERR_OK);
    warehouse_view_close(&view);
    for (uint32_t i = 0; i < parts; i++)
        rows += counts[i];
    printf("%-34s %10llu rows  %6.3f s wall  %6.3f s core  %6.1f M rows/s/core\n", what,
           (unsigned long long)rows, wall_s() - wall, core_s() - core,
           (double)rows / (core_s() - core) / 1e6);
}

int
main(int argc, char **argv)
{
    static const uint32_t some[] = {1, 2, 3};
    const uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2000000;
    const uint32_t persons = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 200000;
    struct fixture fixture;
    struct warehouse_stats stats;
    double wall = 0, core = 0;
    bool did_work = true;
    const long before = memory_kib();

    fixture_open(&fixture);
    fixture.warehouse->behind_factor = fixture.behind_factor = 3; /* as in the program */
    if (argc > 3) {
        fixture_stop(&fixture, 0);
        fixture.config.seal_rows = (uint32_t)strtoul(argv[3], NULL, 10);
        fixture.config.seal_bytes = fixture.config.tail_bytes_max = UINT64_C(8) << 30;
        fixture_start(&fixture);
    }
    printf("an empty warehouse: %ld KiB more than %ld\n", memory_kib() - before, before);
    add_events(&fixture, count, persons);
    const long with_events = memory_kib();
    wall = wall_s();
    core = core_s();
    fixture_load(&fixture);
    wall = wall_s() - wall;
    core = core_s() - core;
    warehouse_stats(fixture.warehouse, &stats);
    printf("loaded %u rows: %.3f s wall, %.3f s core, %.0f rows/s/core; %llu files, %llu bytes, "
           "%llu in the tail, %llu persons, %ld MiB more\n",
           count, wall, core, count / core, (unsigned long long)stats.files,
           (unsigned long long)stats.file_bytes, (unsigned long long)stats.tail_rows,
           (unsigned long long)stats.persons, (memory_kib() - with_events) / 1024);
    measure_scan(&fixture, "scan all, 1 part", 1, false, NULL, 0);
    measure_scan(&fixture, "scan all again, 1 part", 1, false, NULL, 0);
    measure_scan(&fixture, "scan all, 2 parts", 2, false, NULL, 0);
    measure_scan(&fixture, "scan 3 of 20 types, 2 parts", 2, false, some, 3);
    measure_scan(&fixture, "first ever, 2 parts", 2, true, NULL, 0);
    wall = wall_s();
    core = core_s();
    while (did_work)
        assert_int_equal(warehouse_keep_step(fixture.warehouse, &did_work, NULL), ERR_OK);
    printf("merged: %.3f s wall, %.3f s core\n", wall_s() - wall, core_s() - core);
    measure_scan(&fixture, "scan all, 2 parts, merged", 2, false, NULL, 0);
    measure_scan(&fixture, "scan all, 1 part, merged", 1, false, NULL, 0);
    wall = wall_s();
    fixture_stop(&fixture, 3000);
    printf("clean stop: %.3f s\n", wall_s() - wall);
    wall = wall_s();
    fixture_start(&fixture);
    printf("start: %.3f s\n", wall_s() - wall);
    measure_scan(&fixture, "first scan after start", 2, false, NULL, 0);
    fixture_close(&fixture);
    return 0;
}
