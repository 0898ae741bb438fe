/*
 * erase_fixture - erasures of an embedded store, and what must be left behind them.
 */
#ifndef POTIK_TEST_STORE_ERASE_FIXTURE_H
#define POTIK_TEST_STORE_ERASE_FIXTURE_H

#include "damage.h"

/* "anonymous-13" of one project: an id that stands in no other text of fixture_event. */
struct selection erase_person(uint32_t project_id);
/* The whole erasure, from the bound (unless seq_max is set) to the end; the loader seals between
 * the steps. */
enum err erase_run(struct fixture *fixture, struct selection *selection, bool frees_ids,
                   bool is_dry_run, struct store_erasure_progress *ret_progress, struct diag *diag);
/* The same; it must end well. Returns how many events it has told. */
uint64_t erase_all(struct fixture *fixture, struct selection *selection);
/* Events 0 … count − 1 in batches, sealing ids as the loader does. */
void erase_fill(struct fixture *fixture, uint64_t first, uint64_t count);
/*
 * Reads the whole store, where events 0 … count − 1 have the seqs 1 … count: each row must be what
 * was stored under its seq, each event that is not selected must be there once. Returns how many
 * selected ones are there still.
 */
uint64_t erase_read(struct fixture *fixture, const struct selection *selections,
                    size_t selection_count, uint64_t count);
/* Sends all events again: none may be accepted. */
void erase_send_again(struct fixture *fixture, uint64_t count);
/* How many files of ledger/ and ids/ hold the text. */
uint32_t erase_files_with(const struct fixture *fixture, const char *text);
/* What footers and list tell must be what the frames hold, and no gap stand beside another. */
void erase_assert_list(struct fixture *fixture);
/* Flips a byte of a segment's first row, so that whoever reads the segment tells of it. */
void erase_damage(const struct fixture *fixture, const char *name);
void erase_remove_ids(const struct fixture *fixture);

#endif
