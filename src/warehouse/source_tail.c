/*
 * source_tail - a tail as a source: its sorted order, cut to a range of persons and filtered.
 *
 * Layer 4. See source.h.
 */
#include "warehouse/source.h"
#include <stdlib.h>
#include <string.h>

struct tail_source {
    struct source source;
    struct tail *tail;
    struct tail_order *order;
    struct source_filter filter;
    uint8_t *wanted; /* by type id; NULL: any type */
    uint32_t wanted_count;
    uint32_t rows;
    uint32_t at;
    uint32_t end;
    uint32_t person[SOURCE_ROWS];
    uint32_t type_id[SOURCE_ROWS];
    int64_t occurred_at_us[SOURCE_ROWS];
};

void
source_free(struct source **source)
{
    if (*source != NULL)
        (*source)->free(*source);
    *source = NULL;
}

static void
tail_source_free(struct source *base)
{
    struct tail_source *source = (struct tail_source *)base;

    tail_order_release(&source->order);
    tail_release(&source->tail);
    mem_free(source->wanted);
    mem_free(source);
}

static enum err
tail_source_next(struct source *base, struct diag *diag)
{
    struct tail_source *source = (struct tail_source *)base;
    const struct tail_order *order = source->order;
    uint32_t made = 0;

    (void)diag;
    for (; source->at < source->end && made < SOURCE_ROWS; source->at++) {
        const int64_t time = order->occurred_at_us[source->at];
        const uint32_t type_id = order->type_id[source->at];

        if (order->index[source->at] >= source->rows || /* newer than the view */
            time < source->filter.from_us || time >= source->filter.to_us)
            continue;
        if (source->wanted != NULL && (type_id >= source->wanted_count || !source->wanted[type_id]))
            continue;
        source->person[made] = order->person[source->at];
        source->occurred_at_us[made] = time;
        source->type_id[made] = type_id;
        made++;
    }
    base->person = source->person;
    base->occurred_at_us = source->occurred_at_us;
    base->type_id = source->type_id;
    base->count = made;
    base->at = 0;
    return ERR_OK;
}

static enum err
mark_types(struct tail_source *source, const struct source_filter *filter)
{
    uint32_t most = 0;

    if (filter->types == NULL)
        return ERR_OK;
    for (uint32_t i = 0; i < filter->type_count; i++)
        most = filter->types[i] > most ? filter->types[i] : most;
    source->wanted_count = most + 1;
    source->wanted = MEM_NEW(uint8_t, (size_t)most + 1);
    if (source->wanted == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < filter->type_count; i++)
        source->wanted[filter->types[i]] = 1;
    return ERR_OK;
}

enum err
source_of_tail(struct tail *tail, uint32_t rows, const struct source_filter *filter,
               struct source **ret_source)
{
    struct tail_source *source = MEM_NEW(struct tail_source, 1);
    enum err err = ERR_OK;

    if (source == NULL)
        return ERR_NOMEM;
    source->source.next = tail_source_next;
    source->source.free = tail_source_free;
    source->tail = tail_hold(tail);
    source->filter = *filter;
    source->rows = rows;
    err = tail_order_of(tail, rows, &source->order);
    if (err == ERR_OK)
        err = mark_types(source, filter);
    if (err != ERR_OK) {
        tail_source_free(&source->source);
        return err;
    }
    source->at = tail_order_place(source->order, filter->person_from);
    source->end = tail_order_place(source->order, filter->person_to);
    *ret_source = &source->source;
    return ERR_OK;
}
