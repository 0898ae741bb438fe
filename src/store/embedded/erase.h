/*
 * erase - events that go: segments written anew without them. See store.h, "Erasing events".
 *
 * Layer 3 (store/embedded), the keeper's thread. Only ended segments are rewritten: the active one
 * is rolled first. Each is looked through; one without a selected row stays as it is.
 */
#ifndef POTIK_STORE_EMBEDDED_ERASE_H
#define POTIK_STORE_EMBEDDED_ERASE_H

#include "store/embedded/store_embedded.h"

/* erase_segment.c: looks through one segment and, unless it is a dry run, writes it anew without
 * what is selected. *ret_events: selected rows; 0: nothing was written. */
MUST_USE enum err erase_segment(struct embedded *store, const struct store_erasure *erasure,
                                uint64_t first_seq, uint64_t *ret_events, struct diag *diag);
/* Whether the bytes of a segment, or of a part of one, hold a selected row: for files set aside.
 * Frames that are not sound are searched for the person's id alone. */
MUST_USE enum err erase_is_in_file(const char *path, const struct selection *selection,
                                   bool *ret_is_in, struct diag *diag);

/* The vtable's. */
MUST_USE enum err embedded_erase_bound(struct store *base, struct selection *selection,
                                       struct store_position *ret_position, struct diag *diag);
MUST_USE enum err embedded_erase_open(struct store *base, const struct store_erasure *erasure,
                                      struct store_erase **ret_erase, struct diag *diag);
MUST_USE enum err
embedded_erase_step(struct store_erase *base, bool *ret_is_done,
                    struct store_erasure_progress *ret_progress, struct diag *diag);
void embedded_erase_close(struct store_erase *base);
void embedded_hash_person(struct store *base, uint32_t project_id, struct slice person,
                          char ret_hash[STORE_PERSON_HASH_TEXT + 1]);

#endif
