/*
 * backend - the seam between account.h and where the rows stand: sqlite.c, postgres.c.
 *
 * Layer 3 (account), not for other rooms. account.c checks arguments, makes keys and reads the
 * clock; a backend only keeps rows. Each call is one transaction.
 */
#ifndef POTIK_ACCOUNT_BACKEND_H
#define POTIK_ACCOUNT_BACKEND_H

#include "account/account.h"

struct account_backend {
    void (*close)(struct account *account);
    /* Stores it under its id unless there is one of that id; gives the stored one. */
    enum err (*project_ensure)(struct account *account, const struct account_project *project,
                               struct account_project *ret_project, bool *ret_is_new,
                               struct diag *diag);
    enum err (*project_get)(struct account *account, uint32_t project_id,
                            struct account_project *ret_project, struct diag *diag);
    enum err (*project_set_zone)(struct account *account, uint32_t project_id,
                                 const char *time_zone, struct diag *diag);
    /* Gives it an id. ERR_ABSENT: no such project; ERR_FULL. */
    enum err (*key_insert)(struct account *account, struct account_key *key, struct diag *diag);
    /* All of `keys` (of one project; ids are given) or none, at once against all others who do the
     * same: only where no key is stored but some of these. *ret_is_first: these are in force now.
     */
    enum err (*key_insert_first)(struct account *account, struct account_key *keys, size_t count,
                                 bool *ret_is_first, struct diag *diag);
    enum err (*list)(struct account *account, struct account_list *ret_list, struct diag *diag);
    /* By id, or by hash where key_id is 0. */
    enum err (*key_revoke)(struct account *account, uint64_t key_id,
                           const uint8_t hash[ACCOUNT_HASH_BYTES], int64_t revoked_at_us,
                           struct diag *diag);
    enum err (*has_changed)(struct account *account, bool *ret_has_changed, struct diag *diag);
};

/* Each backend's struct begins with this. */
struct account {
    const struct account_backend *backend;
    const struct clock *clock;
    struct random_source *random;
};

/* Of all keys stored: gives those of `keys` that are there their id. false: none of them is, but
 * others are. */
bool account_mark_known(const struct account_list *stored, struct account_key *keys, size_t count);

/* sqlite.c */
MUST_USE enum err account_sqlite_open(const char *data_dir, bool may_create,
                                      struct account **ret_account, struct diag *diag);
/* postgres.c: config->postgres_url is set. ERR_INVALID: the URL; ERR_ABSENT: its tables are not
 * there; ERR_NOT_READY: the server is away, or refuses. */
MUST_USE enum err account_postgres_open(const struct account_config *config,
                                        struct account **ret_account, struct diag *diag);

#endif
