/*
 * id_index - which event ids are stored already, exactly, for ever.
 *
 * Layer 3 (store/embedded). Sealed ids: sorted runs (src/run), any thread, by snapshot, without a
 * lock. Young ids: a hash table, and while it is being sealed a frozen one, both under the ledger's
 * commit lock. An id is, at every moment, in at least one of the three: the run is published before
 * the frozen table is let go, and that happens under the lock.
 *
 * Key: SipHash-128 under the data folder's secret of (4, project id in 4 bytes, event_id). All is
 * derived from the ledger; the runs name it (and the secret) as owner, and the last seq they cover.
 */
#ifndef POTIK_STORE_EMBEDDED_ID_INDEX_H
#define POTIK_STORE_EMBEDDED_ID_INDEX_H

#include "base/log.h"
#include "base/slice.h"
#include "run/run.h"
#include "store/embedded/id_table.h"
#include "store/embedded/secret.h"
#include <pthread.h>
#include <stdatomic.h>

struct id_index_config {
    const char *dir; /* of the runs; created if absent */
    const uint8_t *secret;
    const uint8_t *ledger_id; /* 16 bytes */
    uint64_t last_seq;        /* of the ledger: runs that cover more are discarded */
    uint32_t young_max;       /* 2^10 … 2^26 */
    uint32_t young_seal;
    const struct log_sink *sink;
};

struct id_index {
    uint8_t secret[SECRET_BYTES];
    struct run_set *runs;
    struct id_table *young;
    struct id_table *frozen;  /* NULL: none is being sealed */
    uint64_t frozen_to;       /* seq it covers */
    struct id_table *held;    /* NULL: none; keys that are being taken out of the runs */
    _Atomic uint64_t seal_to; /* the loader seals, however few there are, until this is covered */
    uint32_t young_max;
    uint32_t young_seal;
    uint32_t replay_seal; /* at start; higher, so that a start need not write runs */
    const struct log_sink *sink;
};

/* What is after id_index_covered() must be added by id_index_replay. ERR_IO, ERR_NOMEM,
 * ERR_TOO_NEW, ERR_STORAGE_FULL. */
MUST_USE enum err
id_index_open(const struct id_index_config *config, struct id_index *ret_index, struct diag *diag);
void id_index_close(struct id_index *index);
uint64_t id_index_covered(const struct id_index *index);

struct run_key
id_index_key(const uint8_t secret[SECRET_BYTES], uint32_t project_id, struct slice event_id);

/* At start: one key of the frame that ends with `seq`. */
MUST_USE enum err id_index_replay(struct id_index *index, struct run_key key);
/* At start, between frames: seals when enough have come; all up to `seq` has been replayed. */
MUST_USE enum err id_index_replayed(struct id_index *index, uint64_t seq, struct diag *diag);

/* Under the commit lock: young, frozen and held. */
void id_index_probe_young(const struct id_index *index, const struct run_key *keys, uint32_t count,
                          uint8_t *found);
/* Under the commit lock: whether so many more have room. */
bool id_index_has_room(const struct id_index *index, uint32_t count);
void id_index_add_young(struct id_index *index, struct run_key key);

/* The keeper: these keys, and no others, are refused from now on, whatever the runs hold. count 0:
 * none. ERR_NOMEM: nothing has changed. */
MUST_USE enum err id_index_hold(struct id_index *index, pthread_mutex_t *lock,
                                const struct run_key *keys, uint32_t count);

/*
 * The loader: seals the young table if it is full enough, or is_forced. `lock` is the commit lock,
 * *durable_seq read under it. On an error the frozen table stays and the next call tries again.
 */
MUST_USE enum err
id_index_seal(struct id_index *index, pthread_mutex_t *lock, const _Atomic uint64_t *durable_seq,
              bool is_forced, bool *ret_did_work, struct diag *diag);

#endif
