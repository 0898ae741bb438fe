/*
 * fixture - what the warehouse's tests share: a store in memory, a folder, seeded events, a naive
 * reader.
 *
 * Layer 4 tests. The fake store gives rows in the order they were added, from any position; its
 * generation and its end can be changed, as if another ledger had been put in place. It has two
 * kinds of positions, by fake_store_kind when it is made: the ledger's, and those of a database,
 * without numbers: (generation, transaction, place), some rows a transaction.
 */
#ifndef POTIK_TEST_WAREHOUSE_FIXTURE_H
#define POTIK_TEST_WAREHOUSE_FIXTURE_H

#include "base/mem.h"
#include "base/random.h"
#include "warehouse/warehouse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PROJECT 7

enum fake_kind { FAKE_LEDGER, FAKE_DATABASE };
extern enum fake_kind fake_store_kind; /* of the next fixture_open */
/* Setups of a group of tests. */
int fake_store_is_ledger(void **state);
int fake_store_is_database(void **state);

struct fake_store {
    struct store store; /* first */
    enum fake_kind kind;
    uint64_t transaction; /* FAKE_DATABASE: of the next row, while it has room */
    uint32_t transaction_rows;
    uint64_t transactions_other; /* numbers taken by others, after the last row */
    bool is_other_running;       /* and these are under way still */
    uint32_t held;               /* of the visible rows, the last so many cannot be read yet */
    bool is_away;                /* ERR_NOT_READY */
    bool is_stale;               /* ERR_STALE, until read from the first position */
    struct store_row *rows;
    uint32_t count;
    uint32_t capacity;
    uint32_t visible; /* rows that are durable */
    uint64_t generation;
    uint32_t page_rows_max; /* 0: as asked */
    uint64_t rows_read;
    bool *erased; /* by place; NULL: none ever was */
    uint32_t erased_room;
    uint32_t erased_count;
    struct store_row *page; /* what a page was made of where rows between are erased */
};
void fake_store_init(struct fake_store *store);
void fake_store_fini(struct fake_store *store);
/* Copies the event; seq = place + 1 (FAKE_DATABASE: 0). */
void fake_store_add(struct fake_store *store, const struct event *event);
/* The rows from the first `count` on never were. */
void fake_store_cut(struct fake_store *store, uint32_t count);
/* Put back from an older copy: cut, a new generation, and to be read again. */
void fake_store_restore(struct fake_store *store, uint32_t count);
/* Readers do not meet the selected rows any more; the places of the others stay. */
void fake_store_erase(struct fake_store *store, const struct selection *selection);
bool fake_store_is_erased(const struct fake_store *store, uint32_t place);
/* Rows that a reader gets, erased ones counted. */
uint32_t fake_store_readable(const struct fake_store *store);
/* What a reply tells once the first `count` rows are committed. */
struct store_position fake_store_told(const struct fake_store *store, uint32_t count);

/* A folder of this test's own, removed by fixture_close. */
struct fixture {
    char dir[256];
    struct fake_store store;
    struct clock_fake clock;
    struct warehouse_config config;
    struct warehouse *warehouse;
    uint32_t warnings;      /* told to the sink */
    uint32_t behind_factor; /* 1, unless a test says so after fixture_open */
    /* The naive reader gives ids as if erased rows never were: after a rebuild. */
    bool is_numbered_anew;
};
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
/* The warehouse stops (sealing for seal_ms_max) and starts again on the same folder and store. */
void fixture_start(struct fixture *fixture);
void fixture_stop(struct fixture *fixture, int64_t seal_ms_max);
/* As fixture_open, with tails sealed at so many rows, read in pages of `page_rows`. */
void fixture_open_small(struct fixture *fixture, uint32_t seal_rows, uint32_t page_rows);
/* Loads until nothing is left. */
void fixture_load(struct fixture *fixture);
/* Merges and scrubs until nothing is left. */
void fixture_keep(struct fixture *fixture);
uint64_t fixture_file_count(struct fixture *fixture);
/* Names ending in .parquet in the project's folder. */
uint64_t fixture_parquet_on_disk(const struct fixture *fixture);
/* Copies a folder with all in it. */
void copy_tree(const char *from, const char *to);

/* `count` more events of PROJECT by the seed: persons skewed, times within `days`, some late, some
 * of equal time. */
void fixture_add_events(struct fixture *fixture, uint64_t seed, uint32_t count, uint32_t persons,
                        uint32_t types, uint32_t days);

#define DAY_ZERO_US (INT64_C(1700000000) * 1000000)

/* What a scan gave, in order. */
struct seen {
    uint32_t *person;
    int64_t *time;
    uint32_t *type;
    uint32_t count;
    uint32_t capacity;
    bool has_types;
};
void seen_free(struct seen *seen);
enum err seen_add(void *state, const struct warehouse_rows *rows);
/* Scans the project; parts are put one behind the other. */
void
fixture_scan(struct fixture *fixture, const struct warehouse_scan *scan, struct seen *ret_seen);
/* Asserts that a scan of everything (and by types, time, parts) and the first-ever minima equal the
 * naive ones. */
void fixture_check(struct fixture *fixture);
/* Only everything, in one part. */
void fixture_check_quick(struct fixture *fixture);

#endif
