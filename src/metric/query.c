/*
 * query - types, parts and buckets of a running question (query.h says what they are).
 */
#include "metric/query.h"

#include "base/mem.h"
#include <assert.h>

enum err
query_types_find(const struct metric_query *query, const struct metric_texts *texts,
                 struct query_types *ret_types)
{
    struct query_types types = {0};
    uint32_t *ids;

    if (texts->count > 0) {
        ids = ARENA_NEW(query->arena, uint32_t, texts->count);
        if (ids == NULL)
            return ERR_NOMEM;
        for (uint32_t i = 0; i < texts->count; i++)
            if (warehouse_view_type_find(query->view, texts->texts[i], &ids[types.count]))
                types.count++;
        types.ids = ids;
        types.is_none = types.count == 0;
    }
    *ret_types = types;
    return ERR_OK;
}

enum err
query_parts_new(struct query_parts *parts, uint32_t count, size_t bytes)
{
    assert(count >= 1 && count <= METRIC_PARTS_MAX);
    *parts = (struct query_parts){.count = 0};
    for (; parts->count < count; parts->count++) {
        parts->states[parts->count] = mem_zalloc(1, bytes);
        if (parts->states[parts->count] == NULL) {
            query_parts_fini(parts);
            return ERR_NOMEM;
        }
    }
    return ERR_OK;
}

void
query_parts_fini(struct query_parts *parts)
{
    for (uint32_t i = 0; i < parts->count; i++)
        mem_free(parts->states[i]);
    parts->count = 0;
}

/* A slot is shorter than the shortest bucket there is: 19.1 h, 6.4 days, 25.5 days. */
static uint32_t
slot_shift(enum calendar_unit unit)
{
    switch (unit) {
    case CALENDAR_DAY:
        return 36;
    case CALENDAR_WEEK:
    case CALENDAR_WEEK_FROM_SUNDAY:
        return 39;
    case CALENDAR_MONTH:
        break;
    }
    return 41;
}

enum err
buckets_make(const struct zone *zone, enum calendar_unit unit, int32_t first, uint32_t count,
             struct arena *arena, struct buckets *ret_buckets)
{
    struct buckets buckets = {.count = count, .shift = slot_shift(unit)};
    int64_t *starts_us = ARENA_NEW(arena, int64_t, count + 1);
    uint16_t *slots;
    uint64_t slot_count;
    uint32_t bucket = 0;

    assert(count >= 1 && count <= BUCKETS_MAX);
    if (starts_us == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i <= count; i++)
        starts_us[i] = zone_day_start_us(zone, calendar_bucket_first_day(unit, first + (int32_t)i));
    slot_count = ((uint64_t)(starts_us[count] - starts_us[0]) >> buckets.shift) + 1;
    slots = ARENA_NEW(arena, uint16_t, slot_count);
    if (slots == NULL)
        return ERR_NOMEM;
    for (uint64_t i = 0; i < slot_count; i++) {
        int64_t slot_us = starts_us[0] + (int64_t)(i << buckets.shift);

        while (bucket + 1 < count && starts_us[bucket + 1] <= slot_us)
            bucket++;
        slots[i] = (uint16_t)bucket;
    }
    buckets.starts_us = starts_us;
    buckets.slots = slots;
    *ret_buckets = buckets;
    return ERR_OK;
}
