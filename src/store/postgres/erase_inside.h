/*
 * erase_inside - what the files of an erasure share. Inside of erase*.c.
 *
 * Layer 3 (store/postgres). All on the keeper's thread.
 */
#ifndef POTIK_STORE_POSTGRES_ERASE_INSIDE_H
#define POTIK_STORE_POSTGRES_ERASE_INSIDE_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/postgres/store_postgres.h"

#define ERASE_PAGE_ROWS 10000
/* The server's own timeout ends a slow statement and leaves the connection whole; ours is for a
 * server that is silent. */
#define ERASE_SLACK_MS 1000

/* --- erase_page.c ----------------------------------------------------------------------------- */

/* Ids whose rows are to go, copied from results. */
struct erase_page {
    struct slice *ids; /* ERASE_PAGE_ROWS of them */
    uint32_t count;
    struct arena texts;
    struct buf ids_array;    /* an array of text or, */
    struct buf hashes_array; /* of bytea, in PostgreSQL's binary form */
};

/* ERR_NOMEM; fini in any case. */
MUST_USE enum err erase_page_init(struct erase_page *page);
void erase_page_fini(struct erase_page *page);
void erase_page_clear(struct erase_page *page);
/* A copy; the page must have room. ERR_NOMEM: it is as before. */
MUST_USE enum err erase_page_add(struct erase_page *page, struct slice id);
/* Sorted bytewise, as appends sort theirs; each once. */
void erase_page_sort(struct erase_page *page);
/* Parameters, valid until the next call. ERR_NOMEM. */
MUST_USE enum err erase_ids_parameter(struct erase_page *page, const struct slice *ids,
                                      uint32_t count, struct postgres_parameter *ret_parameter);
MUST_USE enum err
erase_hashes_parameter(struct erase_page *page, const uint8_t secret[POSTGRES_HASH_SECRET_BYTES],
                       uint32_t project_id, const struct slice *ids, uint32_t count,
                       struct postgres_parameter *ret_parameter);
/* A time as timestamptz; what lies beyond PostgreSQL's range is an infinity. `bytes` is borrowed.
 */
struct postgres_parameter erase_time_parameter(char bytes[8], int64_t unix_us);

/* --- erase.c ---------------------------------------------------------------------------------- */

enum erase_phase {
    ERASE_GATHER, /* ids of a page are looked for */
    ERASE_MARK,   /* they are put into `erased` */
    ERASE_WAIT,   /* for statements that do not see them there yet; then: */
    ERASE_DELETE, /* their rows go */
    ERASE_FORGET, /* of a whole project: its erased ids may be stored again */
    ERASE_VACUUM,
    ERASE_DONE,
};

struct postgres_erase {
    struct store_erase base;
    struct postgres *store;
    struct store_erasure erasure;
    PGconn *conn; /* NULL: away */
    uint8_t hash_secret[POSTGRES_HASH_SECRET_BYTES];
    enum erase_phase phase;
    struct store_erasure_progress progress;
    uint32_t rows_max; /* a statement: halved when one takes too long */

    /* where the looking has come to */
    struct store_position after;
    struct store_position end; /* what was committed when it began stands below */
    uint32_t id_next;          /* SELECTION_IDS */
    bool is_all_seen;

    struct erase_page page;
    uint32_t deleted;      /* of the page's ids, so many from the first are dealt with */
    uint32_t unsure;       /* up to there a DELETE was sent whose answer never came */
    char *writers;         /* who is waited for; NULL: not looked yet */
    uint8_t forgotten[64]; /* the last hash freed */
    size_t forgotten_len;
    bool is_vacuum_sent;
    uint32_t vacuum_pid;
};

int64_t erase_timeout_ms(const struct postgres_erase *erase);
void erase_disconnect(struct postgres_erase *erase); /* also where there is no connection */

/* --- erase_gather.c --------------------------------------------------------------------------- */

/* The next rows in the order of reading; the page must have room. As the steps' errors. */
MUST_USE enum err erase_look(struct postgres_erase *erase, struct diag *diag);
/* The next of the ids that were given. */
MUST_USE enum err erase_find(struct postgres_erase *erase, struct diag *diag);

/* --- erase_vacuum.c --------------------------------------------------------------------------- */

/* A part of a VACUUM, about a second. Never fails: what goes wrong is logged, and it is done. */
void erase_vacuum_step(struct postgres_erase *erase, bool *ret_is_done);
/* One under way is cancelled. */
void erase_vacuum_stop(struct postgres_erase *erase);

#endif
