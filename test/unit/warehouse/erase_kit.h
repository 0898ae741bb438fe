/*
 * erase_kit - what the tests of erasing share: steps of an erasure, and looks at what is left.
 *
 * The store in memory erases first, as the store of the program does; the naive reader of the
 * fixture then leaves the same rows out. What stands on disk is read back with DuckDB, and its
 * bytes are searched.
 */
#ifndef POTIK_TEST_WAREHOUSE_ERASE_KIT_H
#define POTIK_TEST_WAREHOUSE_ERASE_KIT_H

#include "fixture.h"

#define PERSON "user-0"

/* Steps of keeper and loader in turn until the erasure is done. */
struct run {
    struct warehouse_erase *erase;
    struct warehouse_erasure_progress progress;
    uint32_t steps; /* of the keeper */
    bool is_done;
};

/* Of what is durable now; the store erases it. */
struct warehouse_erasure erasure_of(struct fixture *fixture, struct selection selection);
struct selection of_person(const char *person);
void
erase_begin(struct fixture *fixture, const struct warehouse_erasure *erasure, struct run *ret_run);
/* false: it waits, also after the loader's step. */
bool erase_step(struct fixture *fixture, struct run *run);
/* At most so many steps in all; whether it was done by then. */
bool erase_go(struct fixture *fixture, struct run *run, uint32_t steps_max);
/* From begin to end; the rows erased. */
uint64_t erase_whole(struct fixture *fixture, const struct warehouse_erasure *erasure);

/* Doctor finds nothing, tmp/ is empty. */
void assert_sound(struct fixture *fixture);
/* Files of the folder, and of those in it, with these bytes in them. */
uint32_t files_with(const char *dir, const char *text);
/* Rows of all Parquet files of the folder that a condition holds for, read back by DuckDB. */
uint64_t rows_where(struct fixture *fixture, const char *condition);
void assert_nothing_of(struct fixture *fixture, const char *person);

/* Newest first and oldest first are the store's rows that stay; the person's timeline is empty. */
void check_reads(struct fixture *fixture, const char *person);
/* The earliest received_at that stays is told. */
void check_history(struct fixture *fixture);
void check_stats(struct fixture *fixture);
/* All of them but check_reads, and scans and minima; then again after a restart. */
void check_all(struct fixture *fixture);

/* A project whose rows are … */
enum where { IN_TAIL, IN_FILES, IN_BOTH, IN_MERGED, WHERES };
void erase_fill(struct fixture *fixture, enum where where);

#endif
