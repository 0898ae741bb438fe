/*
 * active_users - dau: distinct persons with a qualifying event, per local day.
 *
 * Rows come ordered by (person, time), so a person is new to a day exactly where the person or the
 * day differs from the row before: one comparison a row, no set. Rows: one a day from `from` to
 * `to`, zeros included. A day that has not ended is partial (the whole row) and left out of
 * mean_users.
 */
#include "base/mem.h"
#include "metric/query.h"

struct part {
    const struct buckets *buckets;
    uint32_t person; /* of the row before */
    uint32_t bucket; /* of the row before; buckets->count at first */
    uint64_t users[];
};

static enum err
count_rows(void *part_state, const struct warehouse_rows *rows)
{
    struct part *part = part_state;
    const struct buckets *buckets = part->buckets;
    uint32_t person = part->person;
    uint32_t bucket = part->bucket;

    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t next_person = rows->person[i];
        uint32_t next_bucket = buckets_find(buckets, rows->occurred_at_us[i]);

        part->users[next_bucket] += (next_person != person) | (next_bucket != bucket);
        person = next_person;
        bucket = next_bucket;
    }
    part->person = person;
    part->bucket = bucket;
    return ERR_OK;
}

/* Adds each day's persons to `users`. */
static enum err
count_users(const struct metric_query *query, const struct buckets *buckets, uint64_t *users)
{
    CLEANUP(query_parts_fini) struct query_parts parts = {.count = 0};
    struct query_types types;
    struct warehouse_scan scan = {.from_us = buckets->starts_us[0],
                                  .to_us = buckets->starts_us[buckets->count],
                                  .parts = query->parts,
                                  .rows = count_rows};
    enum err err = query_types_find(query, &query->params->event_types, &types);

    if (err != ERR_OK || types.is_none || scan.from_us == scan.to_us)
        return err;
    err = query_parts_new(&parts, query->parts,
                          sizeof(struct part) + buckets->count * sizeof(uint64_t));
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < parts.count; i++) {
        struct part *part = parts.states[i];

        part->buckets = buckets;
        part->bucket = buckets->count;
    }
    scan.types = types.ids;
    scan.type_count = types.count;
    scan.part_states = parts.states;
    err = warehouse_scan(query->view, &scan, query->control, query->diag);
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < parts.count; i++) {
        const struct part *part = parts.states[i];

        for (uint32_t b = 0; b < buckets->count; b++)
            users[b] += part->users[b];
    }
    return ERR_OK;
}

enum err
metric_run_active_users(const struct metric_query *query, struct metric_result *result)
{
    const struct metric_params *params = query->params;
    uint32_t days = (uint32_t)(params->to_day - params->from_day) + 1;
    uint64_t *users = ARENA_NEW(query->arena, uint64_t, days);
    struct metric_cell *mean = ARENA_NEW(query->arena, struct metric_cell, 1);
    struct buckets buckets;
    uint64_t whole_days = 0, whole_users = 0;
    enum err err;

    if (users == NULL || mean == NULL)
        return ERR_NOMEM;
    err = buckets_make(params->zone, CALENDAR_DAY, params->from_day, days, query->arena, &buckets);
    if (err == ERR_OK)
        err = count_users(query, &buckets, users);
    if (err == ERR_OK)
        err = result_make(query, 2, days, days, 1, result);
    if (err != ERR_OK)
        return err;
    result_set_column(result, 0, SLICE("day"), METRIC_TYPE_DATE);
    result_set_column(result, 1, SLICE("users"), METRIC_TYPE_INTEGER);
    for (uint32_t i = 0; i < days; i++) {
        *result_cell(result, i, 0) = cell_day(params->from_day + (int32_t)i);
        *result_cell(result, i, 1) = cell_integer(users[i]);
        if (buckets.starts_us[i + 1] > params->now_us) {
            result_add_partial(result, i, -1);
            continue;
        }
        whole_days++;
        whole_users += users[i];
    }
    *mean = cell_ratio(whole_users, whole_days);
    result_set_summary(result, 0, "mean_users", mean, 1, false);
    return ERR_OK;
}
