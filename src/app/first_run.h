/*
 * first_run - the first start: project `default` with its two keys, told once; and
 * <data-dir>/first-run.txt.
 *
 * Layer 7, the main thread, before listening. first-run.txt (0600) holds `server=`, `write_key=`
 * and `read_key=`, a line each: the client commands read it. `server=` is renewed at every start.
 */
#ifndef POTIK_APP_FIRST_RUN_H
#define POTIK_APP_FIRST_RUN_H

#include "account/account.h"

struct first_run {
    bool is_first; /* the keys below were made just now */
    char write_key[ACCOUNT_KEY_TEXT_BYTES + 1];
    char read_key[ACCOUNT_KEY_TEXT_BYTES + 1];
};

/* Project `default` is there afterwards, with keys. Errors of account.h. */
MUST_USE enum err first_run_ensure(struct account *account, const char *time_zone,
                                   struct first_run *ret_run, struct diag *diag);
/*
 * Writes first-run.txt with this address; of a first run the keys, too, which are then told on
 * stderr with a curl line that works as it stands. The keys in `run` are wiped.
 */
MUST_USE enum err
first_run_tell(struct first_run *run, const char *data_dir, const char *address, struct diag *diag);

#endif
