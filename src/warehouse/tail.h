/*
 * tail - the newest rows of one project, in memory, as columns; sealed into a Parquet file when it
 * has grown.
 *
 * Layer 4. The loader's thread appends; readers walk the rows that were published to them (a count,
 * handed over under the project's lock) without a lock. A tail is frozen by being replaced: it dies
 * with its last holder (a view, or the project).
 *
 * Rows stand in blocks that never move: block k has room for 64 * 2^k rows, up to 8,192, so that a
 * small project costs little and row i is found by arithmetic. The fixed-width columns are arrays;
 * texts of a row lie together behind a small head (struct tail_row), in pieces of memory that
 * double from 4 KiB to 1 MiB. Why this is C and no table of DuckDB: docs/adr/0004-warehouse.md.
 */
#ifndef POTIK_WAREHOUSE_TAIL_H
#define POTIK_WAREHOUSE_TAIL_H

#include "base/err.h"
#include "event/event.h"
#include "store/store.h"
#include <pthread.h>
#include <stdint.h>

#define TAIL_BLOCK_FIRST 64
#define TAIL_BLOCK_DOUBLINGS 7 /* 64 … 8,192 */
#define TAIL_BLOCK_LARGEST (TAIL_BLOCK_FIRST << TAIL_BLOCK_DOUBLINGS)
#define TAIL_ROWS_MAX (1u << 26)

/* The texts of a row: this head, then event_id, user_id, anonymous_id, session_id, properties. */
struct tail_row {
    uint32_t properties_bytes; /* 0: absent (a JSON object has two bytes at least) */
    uint8_t event_id_bytes;
    uint8_t user_id_bytes; /* 0: absent, as of the next two */
    uint8_t anonymous_id_bytes;
    uint8_t session_id_bytes;
    char bytes[];
};

/* Where a row stands in the store, but for its order within `major`. */
struct tail_place {
    uint64_t generation;
    uint64_t major;
};

struct tail_block {
    struct tail_block *next;
    uint32_t first_row; /* its place in the tail */
    uint32_t capacity;
    uint32_t *person;
    uint32_t *type_id;
    int64_t *occurred_at_us;
    int64_t *received_at_us;
    uint64_t *seq;
    const struct tail_row **row;
    struct tail_place *place; /* NULL: seq tells it */
};

/* Rows 0 … rows−1 sorted by (person, occurred_at, seq); made when first asked for. */
struct tail_order {
    _Atomic uint32_t references;
    uint32_t rows;
    uint32_t *person;
    int64_t *occurred_at_us;
    uint32_t *type_id;
    uint32_t *index; /* place in the tail */
};

struct tail_piece;
struct tail {
    _Atomic uint32_t references;
    /* The loader's; readers use their published count instead. */
    uint32_t rows;
    uint64_t bytes;       /* memory held by it */
    uint64_t input_bytes; /* texts and 40 a row: what the seal limit counts */
    uint64_t seq_min;
    uint64_t seq_max;
    int64_t received_min_us;
    struct tail_block *first;
    struct tail_block *last;
    struct tail_piece *pieces;
    size_t piece_room;
    char *piece_next;
    pthread_mutex_t order_lock; /* guards `order`; held while one is made */
    struct tail_order *order;
};

MUST_USE enum err tail_new(struct tail **ret_tail);
struct tail *tail_hold(struct tail *tail);
void tail_release(struct tail **tail); /* takes NULL */
/* `position`: NULL where seq tells it; in one tail always or never. ERR_NOMEM, ERR_FULL
 * (TAIL_ROWS_MAX): nothing was added. */
MUST_USE enum err
tail_append(struct tail *tail, const struct event *event, uint64_t seq, uint32_t person,
            uint32_t type_id, const struct store_position *position);
/* How many of the rows 0 … rows−1 stand before `position`, whose minor is 0. Only where positions
 * were given. */
uint32_t tail_rows_before(const struct tail *tail, uint32_t rows, struct store_position position);

/* The block that holds row `index` is number tail_block_of(index), counted from the first. */
uint32_t tail_block_of(uint32_t index);
/* The blocks of rows 0 … rows−1 by number. NULL: out of memory. Free with mem_free. */
const struct tail_block **tail_blocks(const struct tail *tail, uint32_t rows);

/* The order of rows 0 … rows−1 (published to the caller, at most tail->rows); newer rows may stand
 * in it, too, with an index of `rows` and more. Kept for the next asker, who merges in only what is
 * newer. ERR_NOMEM. Release it. */
MUST_USE enum err tail_order_of(struct tail *tail, uint32_t rows, struct tail_order **ret_order);
void tail_order_release(struct tail_order **order); /* takes NULL */
/* The first place whose person is not below `person`. */
uint32_t tail_order_place(const struct tail_order *order, uint64_t person);

/* A row as the event it was; slices point into the tail; event_type is left to the caller. */
void tail_row_event(const struct tail_block *block, uint32_t offset, struct event *ret_event);

/*
 * One key of the sort: by (person, time, index); `index` rises in the input and breaks ties, so the
 * sort is stable. Least significant digit first, 11 bits a pass; digits that all keys share cost
 * nothing.
 */
struct order_key {
    uint64_t time; /* occurred_at less the least of all */
    uint32_t person;
    uint32_t index;
};
/* Sorts keys in place; `scratch` has room for as many. */
void order_sort(struct order_key *keys, struct order_key *scratch, uint32_t count);

#endif
