/*
 * first_run - the first start: project `default` with its two keys, and an administrator, told
 * once; and <data-dir>/first-run.txt.
 *
 * Layer 7, the main thread, before listening. first-run.txt (0600) holds `server=`, `write_key=`,
 * `read_key=`, `admin_email=` and `admin_password=`, a line each: the client commands read it.
 * `server=` is renewed at every start.
 *
 * A key is never in force without its text being safe: the texts are written to first-run.txt
 * first, then the keys are made, then, once the server listens, they are told and `server=` is
 * added. A file with keys and without `server=` therefore says "not told yet": a start that failed
 * in between (a taken port, a cut) is made good by the next one.
 *
 * The administrator likewise, whenever nobody can log in (a folder of an older program, too): its
 * password is written down, then its login is made. A start that failed in between finds the
 * password in the file and goes on with it.
 *
 * Where several nodes share a database, one makes the keys, however many start at once; the others
 * say where keys come from, once.
 */
#ifndef POTIK_APP_FIRST_RUN_H
#define POTIK_APP_FIRST_RUN_H

#include "account/account.h"
#include "account/password.h"

struct first_run {
    struct account_project project; /* as it is stored */
    bool is_first;                  /* the keys below have not been told yet */
    bool is_shared;                 /* set by the caller: other nodes may have made the keys */
    char write_key[ACCOUNT_KEY_TEXT_BYTES + 1];
    char read_key[ACCOUNT_KEY_TEXT_BYTES + 1];
    bool is_admin_new; /* the password below has not been told yet */
    char admin_password[PASSWORD_GENERATED_BYTES + 1];
};

/* Project `default` is there afterwards, with keys, and somebody who can log in. `cost`: of hashing
 * the password. Errors of account.h, password.h and file.h. */
MUST_USE enum err
first_run_ensure(struct account *account, const char *data_dir, const char *time_zone,
                 const struct password_cost *cost, struct first_run *ret_run, struct diag *diag);
/*
 * Writes first-run.txt with this address; of a first run the keys are told on stderr with a curl
 * line that works as it stands, and so is a new administrator's password; where stderr is systemd's
 * journal only the file's name is. All in `run` is wiped.
 * `cert`: the server's certificate (NULL: it has none), which clients that read the file then trust
 * for this server, whoever signed it.
 * `name`: what it is made out for, where that is not the host of the address; they ask for it then.
 */
MUST_USE enum err first_run_tell(struct first_run *run, const char *data_dir, const char *address,
                                 const char *cert, const char *name, struct diag *diag);

/* The password of `email` was changed: if the file tells the old one, it does so no longer.
 * *ret_told: it did. Errors of file.h. */
MUST_USE enum err first_run_forget_password(const char *data_dir, const char *email, bool *ret_told,
                                            struct diag *diag);

#endif
