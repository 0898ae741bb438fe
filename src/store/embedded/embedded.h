/*
 * embedded - opening the ledger as a store, and the doctor's view of it.
 *
 * Layer 3. The only header of this room seen from above (beside store.h).
 */
#ifndef POTIK_STORE_EMBEDDED_EMBEDDED_H
#define POTIK_STORE_EMBEDDED_EMBEDDED_H

#include "store/store.h"

struct embedded_config {
    const char *data_dir;    /* ledger/, ids/ and secret stand in it; the caller holds LOCK */
    uint64_t segment_bytes;  /* 1 MiB … 4 GiB; 256 MiB */
    uint32_t young_ids_max;  /* table size at which `overloaded` is answered; 2^10 … 2^26 */
    uint32_t young_ids_seal; /* sealed into a run from here on */
    uint64_t free_bytes_min; /* ingest stops below it: 512 MiB */
    const struct clock *clock;
    const struct log_sink *sink;
    /* Called (any thread, once) when the process must end: sync failed. The caller exits 1 within 1
     * s. */
    void (*fatal)(void *state, const char *reason);
    void *fatal_state;
    /* Tests: called between the probe of sealed runs and the ledger lock. NULL in the program. */
    void (*between_probes)(void *state);
    void *between_probes_state;
};

/* ERR_CORRUPT: file and offset named in `diag`, with "potik doctor" as the cure. ERR_TOO_NEW.
 * ERR_IO, ERR_STORAGE_FULL, ERR_NOMEM. */
MUST_USE enum err
embedded_open(const struct embedded_config *config, struct store **ret_store, struct diag *diag);

/* Who makes a backup is told what is copied: bytes in all (an estimate), then of each file its name
 * within the folder, its pieces, its end. */
struct embedded_backup {
    void (*listed)(void *state, uint64_t bytes);
    void (*begin)(void *state, const char *name);
    void (*seen)(void *state, const void *bytes, size_t len);
    enum err (*end)(void *state, struct diag *diag);
    void *state;
};
/* The last seq that stands whole in the ledger, beside a running server or without one: all that is
 * durable now is at or before it. 0: none. */
MUST_USE enum err
embedded_backup_bound(const char *data_dir, uint64_t *ret_seq_max, struct diag *diag);
/* Copies what is the truth of a ledger, up to that seq, into the folder `to`. ERR_ABSENT: there is
 * no ledger. */
MUST_USE enum err embedded_backup(const char *data_dir, const char *to, uint64_t seq_max,
                                  const struct embedded_backup *how, struct diag *diag);

/* One finding of doctor. */
struct embedded_finding {
    bool is_error;    /* else: for information */
    const char *file; /* within the data dir */
    uint64_t offset;
    const char *what; /* a sentence, with the cure */
    uint64_t lost;    /* stored events that this repair has given up; is_error, if not 0 */
};
/*
 * Reads every segment and run whole; works beside a running server (an unfinished last frame is
 * then "in flight") and without one. With is_repair (LOCK held by the caller): damaged parts are
 * set aside (never deleted), derived files rebuilt. ERR_CORRUPT if an error was found (and not
 * repaired): not for `lost` events, after which the ledger is sound again.
 */
MUST_USE enum err
embedded_doctor(const char *data_dir, bool is_server_running, bool is_repair,
                void (*found)(void *state, const struct embedded_finding *finding), void *state,
                struct diag *diag);

#endif
