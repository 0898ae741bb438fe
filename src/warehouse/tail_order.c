/*
 * tail_order - the rows of a tail sorted by (person, occurred_at, seq), kept and extended.
 *
 * Layer 4. Any thread; one at a time makes an order (tail->order_lock). A query that finds the kept
 * order shorter than its rows sorts only the rest and merges: a tail of 500,000 rows costs some 20
 * ms the first time, about 3 ms after each page.
 */
#include "base/mem.h"
#include "warehouse/tail.h"
#include <stdatomic.h>
#include <string.h>

#define DIGIT_BITS 11
#define DIGIT_VALUES (1u << DIGIT_BITS)

/* One pass over digit `shift` of time (is_person false) or person. Returns where the keys are now.
 */
static struct order_key *
sort_pass(struct order_key *keys, struct order_key *scratch, uint32_t count, unsigned shift,
          bool is_person)
{
    uint32_t places[DIGIT_VALUES] = {0};
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        const uint64_t value = is_person ? keys[i].person : keys[i].time;

        places[(value >> shift) & (DIGIT_VALUES - 1)]++;
    }
    for (uint32_t digit = 0; digit < DIGIT_VALUES; digit++) {
        const uint32_t here = places[digit];

        if (here == count)
            return keys;
        places[digit] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t value = is_person ? keys[i].person : keys[i].time;

        scratch[places[(value >> shift) & (DIGIT_VALUES - 1)]++] = keys[i];
    }
    return scratch;
}

static bool
key_before(const struct order_key *a, const struct order_key *b)
{
    if (a->person != b->person)
        return a->person < b->person;
    if (a->time != b->time)
        return a->time < b->time;
    return a->index < b->index;
}

void
order_sort(struct order_key *keys, struct order_key *scratch, uint32_t count)
{
    struct order_key *now = keys;
    uint64_t time_bits = 0;
    uint32_t person_bits = 0;

    if (count < 64) { /* insertion: the usual handful of new rows */
        for (uint32_t i = 1; i < count; i++) {
            const struct order_key key = keys[i];
            uint32_t place = i;

            for (; place > 0 && key_before(&key, &keys[place - 1]); place--)
                keys[place] = keys[place - 1];
            keys[place] = key;
        }
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        time_bits |= keys[i].time;
        person_bits |= keys[i].person;
    }
    for (unsigned shift = 0; shift < 64 && time_bits >> shift != 0; shift += DIGIT_BITS)
        now = sort_pass(now, now == keys ? scratch : keys, count, shift, false);
    for (unsigned shift = 0; shift < 32 && person_bits >> shift != 0; shift += DIGIT_BITS)
        now = sort_pass(now, now == keys ? scratch : keys, count, shift, true);
    if (now != keys)
        memcpy(keys, now, (size_t)count * sizeof(*keys));
}

void
tail_order_release(struct tail_order **order_place)
{
    struct tail_order *order = *order_place;

    *order_place = NULL;
    if (order != NULL &&
        atomic_fetch_sub_explicit(&order->references, 1, memory_order_acq_rel) == 1)
        mem_free(order);
}

uint32_t
tail_order_place(const struct tail_order *order, uint64_t person)
{
    uint32_t low = 0, high = order->rows;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (order->person[middle] < person)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct tail_order *
order_new(uint32_t rows)
{
    struct tail_order *order = mem_alloc(sizeof(*order) + (size_t)rows * (8 + 3 * 4));

    if (order == NULL)
        return NULL;
    atomic_init(&order->references, 1);
    order->rows = rows;
    order->occurred_at_us = (int64_t *)(void *)(order + 1);
    order->person = (uint32_t *)(void *)(order->occurred_at_us + rows);
    order->type_id = order->person + rows;
    order->index = order->type_id + rows;
    return order;
}

/* Keys of rows from … rows−1, sorted; times are told relative to *ret_least.
 * NULL: out of memory. */
static struct order_key *
newer_keys(const struct tail *tail, uint32_t from, uint32_t rows, int64_t *ret_least)
{
    const uint32_t count = rows - from;
    struct order_key *keys = mem_alloc(((size_t)count * 2 + 1) * sizeof(*keys));
    const struct tail_block *block = tail->first;
    int64_t least = INT64_MAX;
    uint32_t made = 0;

    if (keys == NULL)
        return NULL;
    while (count != 0 && block->first_row + block->capacity <= from)
        block = block->next;
    for (uint32_t row = from; row < rows; row++) {
        uint32_t offset = row - block->first_row;

        if (offset == block->capacity) {
            block = block->next;
            offset = 0;
        }
        keys[made].time = (uint64_t)block->occurred_at_us[offset];
        keys[made].person = block->person[offset];
        keys[made].index = row;
        made++;
        if (block->occurred_at_us[offset] < least)
            least = block->occurred_at_us[offset];
    }
    for (uint32_t i = 0; i < count; i++)
        keys[i].time -= (uint64_t)least;
    order_sort(keys, keys + count, count);
    *ret_least = least;
    return keys;
}

const struct tail_block **
tail_blocks(const struct tail *tail, uint32_t rows)
{
    const size_t count = rows == 0 ? 0 : (size_t)tail_block_of(rows - 1) + 1;
    const struct tail_block **blocks = mem_alloc((count + 1) * sizeof(*blocks));

    if (blocks == NULL)
        return NULL;
    blocks[0] = tail->first;
    for (size_t i = 1; i < count; i++) /* the last one's `next` is the loader's */
        blocks[i] = blocks[i - 1]->next;
    return blocks;
}

/* Merges the old order and the new keys, all of whose rows are newer: a tie goes to the old. */
static enum err
order_extend(const struct tail *tail, const struct tail_order *old, uint32_t rows,
             struct tail_order **ret_order)
{
    const uint32_t old_rows = old != NULL ? old->rows : 0;
    int64_t least = 0;
    CLEANUP(mem_free_ptr) struct order_key *keys = newer_keys(tail, old_rows, rows, &least);
    CLEANUP(mem_free_ptr) const struct tail_block **blocks = tail_blocks(tail, rows);
    struct tail_order *order = keys != NULL && blocks != NULL ? order_new(rows) : NULL;
    uint32_t at_old = 0, at_new = 0;

    if (order == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < rows; i++) {
        const struct order_key *key = &keys[at_new];
        const int64_t time = at_new < rows - old_rows ? (int64_t)key->time + least : 0;
        const bool is_old =
            at_old < old_rows &&
            (at_new == rows - old_rows || old->person[at_old] < key->person ||
             (old->person[at_old] == key->person && old->occurred_at_us[at_old] <= time));

        if (is_old) {
            order->person[i] = old->person[at_old];
            order->occurred_at_us[i] = old->occurred_at_us[at_old];
            order->type_id[i] = old->type_id[at_old];
            order->index[i] = old->index[at_old++];
        } else {
            const struct tail_block *block = blocks[tail_block_of(key->index)];

            order->person[i] = key->person;
            order->occurred_at_us[i] = time;
            order->type_id[i] = block->type_id[key->index - block->first_row];
            order->index[i] = key->index;
            at_new++;
        }
    }
    *ret_order = order;
    return ERR_OK;
}

enum err
tail_order_of(struct tail *tail, uint32_t rows, struct tail_order **ret_order)
{
    enum err err = ERR_OK;

    pthread_mutex_lock(&tail->order_lock);
    if (tail->order == NULL || tail->order->rows < rows) {
        struct tail_order *order = NULL;

        err = order_extend(tail, tail->order, rows, &order);
        if (err == ERR_OK) {
            tail_order_release(&tail->order);
            tail->order = order;
        }
    }
    if (err == ERR_OK) {
        atomic_fetch_add_explicit(&tail->order->references, 1, memory_order_relaxed);
        *ret_order = tail->order;
    }
    pthread_mutex_unlock(&tail->order_lock);
    return err;
}
