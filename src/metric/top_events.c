/*
 * top_events - how often each event type happened in a range, and by how many persons.
 *
 * Rows come ordered by person, so a person is new to a type exactly where the last person seen with
 * that type is another. The range is one bucket: while it has not ended, every row is partial.
 * Ordered by events (or users) descending, ties in byte order of the name. Summary: all events of
 * the range, all persons, all types, those beyond `limit` included.
 */
#include "base/mem.h"
#include "metric/query.h"
#include <stdlib.h>

struct count {
    uint64_t events;
    uint64_t users;
    uint64_t last_person; /* + 1; 0: none yet */
};

struct part {
    uint32_t type_count;
    uint64_t users; /* of any type */
    uint64_t last_person;
    struct count counts[];
};

static enum err
count_rows(void *part_state, const struct warehouse_rows *rows)
{
    struct part *part = part_state;

    for (uint32_t i = 0; i < rows->count; i++) {
        uint64_t person = (uint64_t)rows->person[i] + 1;
        struct count *count;

        if (rows->type_id[i] >= part->type_count)
            return ERR_CORRUPT;
        count = &part->counts[rows->type_id[i]];
        count->events++;
        count->users += count->last_person != person;
        count->last_person = person;
        part->users += part->last_person != person;
        part->last_person = person;
    }
    return ERR_OK;
}

struct total {
    struct slice name;
    uint64_t events;
    uint64_t users;
};

struct totals {
    struct total *types; /* those with events, sorted */
    uint32_t count;
    uint64_t events;
    uint64_t users;
};

static int
compare(uint64_t a, uint64_t b, const struct total *x, const struct total *y)
{
    return a != b ? (a > b ? -1 : 1) : slice_compare(x->name, y->name);
}

static int
compare_by_events(const void *a, const void *b)
{
    const struct total *x = a, *y = b;

    return compare(x->events, y->events, x, y);
}

static int
compare_by_users(const void *a, const void *b)
{
    const struct total *x = a, *y = b;

    return compare(x->users, y->users, x, y);
}

/* Adds the parts up. The types' array is from base/mem. */
static enum err
add_up(const struct metric_query *query, const struct query_parts *parts, uint32_t type_count,
       struct totals *totals)
{
    totals->types = MEM_NEW(struct total, type_count);
    if (totals->types == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < parts->count; i++)
        totals->users += ((const struct part *)parts->states[i])->users;
    for (uint32_t type = 0; type < type_count; type++) {
        struct total total = {.name = warehouse_view_type_name(query->view, type)};

        for (uint32_t i = 0; i < parts->count; i++) {
            const struct part *part = parts->states[i];

            total.events += part->counts[type].events;
            total.users += part->counts[type].users;
        }
        totals->events += total.events;
        if (total.events > 0)
            totals->types[totals->count++] = total;
    }
    qsort(totals->types, totals->count, sizeof *totals->types,
          query->params->by == METRIC_BY_EVENTS ? compare_by_events : compare_by_users);
    return ERR_OK;
}

static enum err
count_types(const struct metric_query *query, int64_t from_us, int64_t to_us, struct totals *totals)
{
    CLEANUP(query_parts_fini) struct query_parts parts = {.count = 0};
    uint32_t type_count = warehouse_view_type_count(query->view);
    struct query_types types;
    struct warehouse_scan scan = {.from_us = from_us,
                                  .to_us = to_us,
                                  .wants_type = true,
                                  .parts = query->parts,
                                  .rows = count_rows};
    enum err err = query_types_find(query, &query->params->event_types, &types);

    if (err != ERR_OK || types.is_none || type_count == 0 || from_us == to_us)
        return err;
    err = query_parts_new(&parts, query->parts,
                          sizeof(struct part) + type_count * sizeof(struct count));
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < parts.count; i++)
        ((struct part *)parts.states[i])->type_count = type_count;
    scan.types = types.ids;
    scan.type_count = types.count;
    scan.part_states = parts.states;
    err = warehouse_scan(query->view, &scan, query->control, query->diag);
    return err == ERR_OK ? add_up(query, &parts, type_count, totals) : err;
}

static enum err
write_result(const struct metric_query *query, const struct totals *totals, int64_t to_us,
             struct metric_result *result)
{
    uint32_t rows = totals->count < query->params->limit ? totals->count : query->params->limit;
    struct slice *names = ARENA_NEW(query->arena, struct slice, rows);
    struct metric_cell *summary = ARENA_NEW(query->arena, struct metric_cell, 3);
    enum err err = result_make(query, 3, rows, rows, 3, result);

    if (names == NULL || summary == NULL)
        return ERR_NOMEM;
    if (err != ERR_OK)
        return err;
    result_set_column(result, 0, SLICE("event_type"), METRIC_TYPE_TEXT);
    result_set_column(result, 1, SLICE("events"), METRIC_TYPE_INTEGER);
    result_set_column(result, 2, SLICE("users"), METRIC_TYPE_INTEGER);
    for (uint32_t i = 0; i < rows; i++) {
        names[i] = totals->types[i].name;
        *result_cell(result, i, 0) =
            (struct metric_cell){.kind = METRIC_CELL_TEXT, .value.text = &names[i]};
        *result_cell(result, i, 1) = cell_integer(totals->types[i].events);
        *result_cell(result, i, 2) = cell_integer(totals->types[i].users);
        if (to_us > query->params->now_us)
            result_add_partial(result, i, -1);
    }
    summary[0] = cell_integer(totals->events);
    summary[1] = cell_integer(totals->users);
    summary[2] = cell_integer(totals->count);
    result_set_summary(result, 0, "events", &summary[0], 1, false);
    result_set_summary(result, 1, "users", &summary[1], 1, false);
    result_set_summary(result, 2, "event_types", &summary[2], 1, false);
    return ERR_OK;
}

enum err
metric_run_top_events(const struct metric_query *query, struct metric_result *result)
{
    const struct metric_params *params = query->params;
    int64_t from_us = zone_day_start_us(params->zone, params->from_day);
    int64_t to_us = zone_day_start_us(params->zone, params->to_day + 1);
    struct totals totals = {0};
    enum err err = count_types(query, from_us, to_us, &totals);

    if (err == ERR_OK)
        err = write_result(query, &totals, to_us, result);
    mem_free(totals.types);
    return err;
}
