/*
 * postgres - a PostgreSQL database as the event store, and its migrations.
 *
 * Layer 3. The only header of this room seen from above (beside store.h). Several nodes may share
 * one database; each keeps a small file of its own in its data folder (who it is, and how far it
 * had read), by which it notices that the database went back to an older state.
 */
#ifndef POTIK_STORE_POSTGRES_POSTGRES_H
#define POTIK_STORE_POSTGRES_POSTGRES_H

#include "store/store.h"

struct postgres_config {
    const char *url; /* postgres://… or postgresql://…; the password may stand in PGPASSFILE */
    const char *data_dir; /* the node's own file, postgres-node.json, stands in it */
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms; /* a batch, a page: 10 s */
    const struct clock *clock;
    const struct log_sink *sink;
};

/*
 * Connects, brings the schema up to date, looks whether the database is the one this node knew.
 * ERR_INVALID: the URL; ERR_TOO_NEW: the schema is a newer program's; ERR_NOT_READY: no server, no
 * such database, no rights, read-only, too old: the sentence in `diag` names cause and cure, never
 * the password. ERR_NOMEM.
 */
MUST_USE enum err
postgres_open(const struct postgres_config *config, struct store **ret_store, struct diag *diag);

/*
 * `potik migrate`: applies what is missing, one transaction a file, under an advisory lock.
 * is_dry_run: only tells. `tell` is called for each file that is (or would be) applied, with its
 * text. Errors as postgres_open.
 */
MUST_USE enum err
postgres_migrate(const char *url, int64_t connect_timeout_ms, bool is_dry_run,
                 void (*tell)(void *state, uint32_t version, const char *name, const char *sql),
                 void *state, struct diag *diag);

/* Whether the text names a PostgreSQL store at all: by its beginning. */
bool postgres_is_url(const char *text);
/* Whether it can be read; nothing is connected to. ERR_INVALID, ERR_NOMEM. */
MUST_USE enum err postgres_check_url(const char *text, struct diag *diag);

#endif
