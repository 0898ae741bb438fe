/*
 * key_table - the keys in force, in memory, for the loops: from a presented text to its project.
 *
 * Layer 3 (account). A snapshot is immutable and counted; the table holds the newest. A watcher
 * thread asks every WATCH_MS whether another link has committed (a read of a few bytes), and
 * publishes a new snapshot then, so `potik key new|revoke` beside a server takes effect within 1 s.
 * If the rows cannot be read, the last snapshot goes on serving and the sink hears of it, once, and
 * once more when they can be read again. It serves for cache_ms_max at most, if that is set: then
 * key_table_is_usable says no, and nobody is to be told that a key is unknown.
 *
 * A loop keeps a snapshot in hand and renews it once a turn (one atomic read if nothing changed):
 *
 *     key_table_renew(table, &loop->keys);
 *     if (!key_snapshot_find(loop->keys, text, &found)) … 401
 *
 * A snapshot finds a key by its SHA-256: open addressing on the hash's first bytes, then a
 * comparison of the whole in constant time.
 */
#ifndef POTIK_ACCOUNT_KEY_TABLE_H
#define POTIK_ACCOUNT_KEY_TABLE_H

#include "account/account.h"
#include "base/log.h"

struct key_table;
struct key_snapshot;

struct key_found {
    uint64_t key_id;
    uint32_t project_id;
    enum account_key_kind kind;
};

struct key_table_config {
    const struct log_sink *sink;
    const struct clock *clock;
    int64_t cache_ms_max; /* how long keys serve that cannot be read anew; 0: for ever */
};
/*
 * Reads all keys and starts the watcher. `account` belongs to the table from here on, error or not,
 * and *account is NULL. ERR_NOMEM, and what account_list gives.
 */
MUST_USE enum err key_table_start(struct account **account, const struct key_table_config *config,
                                  struct key_table **ret_table, struct diag *diag);
/* Snapshots still held stay valid. */
void key_table_stop(struct key_table **table);
/* Look at once, on the caller's thread: after a change made through another link of this process.
 */
MUST_USE enum err key_table_refresh(struct key_table *table, struct diag *diag);

/* Any thread, no lock. false: the rows have been unreadable for longer than cache_ms_max. */
MUST_USE bool key_table_is_usable(const struct key_table *table);
/* Any thread; give back by key_snapshot_release. Never NULL. */
struct key_snapshot *key_table_get(struct key_table *table);
/* *held (NULL at first) becomes the newest; what it was is given back. */
void key_table_renew(struct key_table *table, struct key_snapshot **held);
void key_snapshot_release(struct key_snapshot **snapshot); /* takes NULL */

/* Any thread, no lock. false: unknown, revoked, or not the form of a key. */
MUST_USE bool key_snapshot_find(const struct key_snapshot *snapshot, struct slice text,
                                struct key_found *ret_found);
/* NULL: no such project. Lives as long as the snapshot. */
const struct account_project *
key_snapshot_project(const struct key_snapshot *snapshot, uint32_t project_id);
/* Of rising id, for those who must go over all. */
const struct account_project *
key_snapshot_projects(const struct key_snapshot *snapshot, size_t *ret_count);

#endif
