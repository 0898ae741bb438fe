/*
 * wire - building the whole program from a config, lowest room first, and taking it apart again.
 *
 * Layer 7, the main thread. Nothing here runs by itself: lifecycle.c starts and stops threads.
 */
#ifndef POTIK_APP_WIRE_H
#define POTIK_APP_WIRE_H

#include "api/api.h"
#include "app/config.h"
#include "app/eraser.h"
#include "app/first_run.h"
#include "http/http.h"
#include "rejects/rejects.h"
#include "store/store.h"
#include "warehouse/warehouse.h"

struct program {
    const struct config *config; /* borrowed */
    int lock_fd;
    struct zones *zones;
    struct store *store;
    struct first_run first_run;
    struct access_table *access;
    struct warehouse *warehouse;
    struct access_log *access_log; /* NULL: none */
    struct quota *quota;
    struct api *api;
    struct rejects *rejects;    /* NULL: refused events are not kept */
    struct eraser *eraser;      /* until the workers have it */
    struct http_server *server; /* listening, loops serving */
};

/*
 * Everything up to the listening server. `fatal` is called on any thread, once, when the store
 * cannot go on. On error nothing stands, and `diag` has one sentence; ERR_INVALID: a setting is at
 * fault (exit 2), else exit 1.
 */
MUST_USE enum err
wire_open(const struct config *config, void (*fatal)(void *state, const char *reason),
          void *fatal_state, struct program *ret_program, struct diag *diag);
/* The two rooms that hold data, each by itself: for `potik rebuild`. The folder's lock is held by
 * the caller. */
MUST_USE enum err
wire_open_store(const struct config *config, void (*fatal)(void *state, const char *reason),
                void *fatal_state, struct store **ret_store, struct diag *diag);
/* Projects and keys, beside a running server too. May give ERR_ABSENT unless may_create. */
MUST_USE enum err wire_open_account(const struct config *config, bool may_create,
                                    struct account **ret_account, struct diag *diag);
/* What hashing a password costs, by the settings. */
struct password_cost wire_password_cost(const struct config *config);
MUST_USE enum err wire_open_warehouse(const struct config *config, struct store *store,
                                      struct warehouse **ret_warehouse, struct diag *diag);
/* After http_server_drain, and after loader and keeper have been joined. Seals for at most
 * seal_ms_max. */
void wire_close(struct program *program, int64_t seal_ms_max);

#endif
