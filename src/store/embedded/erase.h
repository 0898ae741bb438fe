/*
 * erase - inside of an erasure: what erase.c, erase_segment.c and erase_aside.c share.
 *
 * Layer 3 (store/embedded). The keeper's thread; the contract: store.h, "Erasing events".
 */
#ifndef POTIK_STORE_EMBEDDED_ERASE_H
#define POTIK_STORE_EMBEDDED_ERASE_H

#include "store/embedded/store_embedded.h"

/* The vtable's (erase.c). */
void embedded_hash_person(struct store *base, uint32_t project_id, struct slice person,
                          char ret_hash[STORE_PERSON_HASH_TEXT + 1]);
MUST_USE enum err embedded_erase_bound(struct store *base, struct selection *selection,
                                       struct store_position *ret_position, struct diag *diag);
MUST_USE enum err embedded_erase_open(struct store *base, const struct store_erasure *erasure,
                                      struct store_erase **ret_erase, struct diag *diag);
MUST_USE enum err
embedded_erase_step(struct store_erase *base, bool *ret_is_done,
                    struct store_erasure_progress *ret_progress, struct diag *diag);
void embedded_erase_close(struct store_erase *base);

/* How many selected rows the segment holds, read up to where it ends in `segment`. ERR_CORRUPT too
 * where it holds less than the list tells. */
MUST_USE enum err erase_count(struct embedded *store, const struct selection *selection,
                              const struct ledger_segment *segment, bool is_active,
                              uint64_t *ret_events, struct diag *diag);
/*
 * Writes an ended segment anew without the selected rows (`events` of them, as counted), with their
 * keys as tombstones, or frees_ids, with their keys in the file of freed ids, and puts it in the
 * old one's place. The folder is not synced: until that is done the old one may come back after a
 * power cut, so its room is not to be given back before: *ret_old_fd is the old file, to be closed
 * gently then. On an error the old one stands.
 */
MUST_USE enum err erase_rewrite(struct embedded *store, const struct store_erasure *erasure,
                                const struct ledger_segment *segment, uint64_t events,
                                int *ret_old_fd, struct diag *diag);

/* Deletes the files set aside in ledger/ that hold what is selected, and syncs the folder. */
MUST_USE enum err
erase_asides(struct embedded *store, const struct selection *selection, struct diag *diag);

/* Freeing under way. */
struct freeing {
    struct run_key *keys; /* of the part being taken out of the runs; NULL: none yet */
    uint32_t count;
    uint64_t offset; /* where the part begins in the file */
    bool is_sealing; /* the loader has been asked */
};
/* One step; not done and no progress where the loader has to seal first. Erased rows must have gone
 * durably. */
MUST_USE enum err erase_free_step(struct embedded *store, struct freeing *freeing,
                                  bool *ret_is_done, struct diag *diag);
void erase_free_close(struct freeing *freeing);
/* After the index has been opened, before the ledger is replayed into it. */
MUST_USE enum err
erase_free_at_start(struct embedded *store, const char *ids_dir, struct diag *diag);

#endif
