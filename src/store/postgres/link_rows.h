/*
 * link_rows - the items of a batch as rows for PostgreSQL, and its answer as verdicts.
 *
 * Layer 3 (store/postgres). Inside of a link, on its loop's thread; no libpq here.
 *
 * Of each id of the batch, in the order of (project_id, event_id), at most one row is stored and
 * at most one is asked for:
 *
 *     stored   the first item by index that is no probe; every item of the id behind it is a
 *              duplicate
 *     asked    where probes stand before it (or it is not there): one question for all of them,
 *              put before anything is stored
 *
 * Rows are written as one array of the row type `potik_incoming` in PostgreSQL's binary form, in
 * pieces of bounded size. All numbers are big-endian:
 *
 *     array   dimensions = 1, has NULLs = 0, element's type, count, lower bound = 1; then a row
 * each row     bytes that follow, columns = 11; then a column each column  type, bytes (−1: NULL),
 * value. jsonb: a version byte 1, then text. timestamptz: microseconds since 2000-01-01. seq: the
 * item's index + 1, since (generation, xid, 0) stands before every row of that xid
 *
 * One array of rows and not one array a column: the server then keeps one queue of rows instead of
 * ten (ADR 0007 has the figures).
 */
#ifndef POTIK_STORE_POSTGRES_LINK_ROWS_H
#define POTIK_STORE_POSTGRES_LINK_ROWS_H

#include "base/buf.h"
#include "codec/hash.h"
#include "store/store.h"

#define LINK_PIECE_BYTES ((size_t)2 << 20) /* a piece ends before the row that would pass this */
#define LINK_PIECE_ROWS 10000

enum link_row_kind {
    LINK_ROW_STORE,  /* sent to be stored */
    LINK_ROW_COPY,   /* behind one of its id that is stored: a duplicate */
    LINK_ROW_ASK,    /* a probe that is sent */
    LINK_ROW_ASK_TOO /* another probe of the id; the answer is the one of the row before */
};

struct link_row {
    uint64_t prefix;     /* the id's first 8 bytes, big-endian: most comparisons end here */
    uint32_t project_id; /* orders before it */
    uint32_t index;      /* of the item */
    enum link_row_kind kind;
    bool is_told; /* by the server: stored by us, or (asked) taken */
};

struct link_rows {
    uint8_t hash_secret[HASH_SIPHASH_KEY_BYTES];
    const struct store_batch *batch;
    struct link_row *rows; /* batch->count of them, sorted */
    uint32_t rows_max;
    uint32_t ask_count;
    uint32_t store_count;
    uint32_t next;   /* where the next piece begins */
    uint32_t cursor; /* where the next row told is looked for first */
    struct buf piece;
};

void link_rows_init(struct link_rows *rows); /* hash_secret: set before the first batch */
void link_rows_fini(struct link_rows *rows);

/* Takes a batch: sorts it, and decides of each item what has to be asked. ERR_OVERLOADED: no
 * memory. */
MUST_USE enum err link_rows_take(struct link_rows *rows, const struct store_batch *batch);
/* From the first row again; what was told is forgotten. */
void link_rows_rewind(struct link_rows *rows);
/*
 * The next piece of the rows of a kind (LINK_ROW_ASK or LINK_ROW_STORE), in `piece`; count 0:
 * there are no more, and the next call begins at the first row again. ERR_OVERLOADED: no memory.
 */
MUST_USE enum err link_rows_next(struct link_rows *rows, enum link_row_kind kind, uint32_t row_type,
                                 uint32_t *ret_count);
/* The server tells a row of this kind. Rows mostly come in the order they were sent; any order is
 * right. false: no such row was sent. */
MUST_USE bool link_rows_tell(struct link_rows *rows, enum link_row_kind kind, uint32_t project_id,
                             struct slice event_id);
/* The key of `erased`: SipHash-128 of (4, project id in 4 bytes, little-endian, event_id) under the
 * database's secret. Any thread. */
void link_rows_hash(const uint8_t secret[HASH_SIPHASH_KEY_BYTES], uint32_t project_id,
                    struct slice event_id, uint8_t ret_hash[HASH_SIPHASH_128_BYTES]);
/* After the commit: every item's verdict, and how many were accepted. */
uint32_t link_rows_judge(const struct link_rows *rows, struct store_batch *batch);

#endif
