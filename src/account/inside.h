/*
 * inside - what the chapters of this room share: the link, and the line of the audit log that each
 * change writes.
 *
 * Layer 3 (account), not for other rooms.
 */
#ifndef POTIK_ACCOUNT_INSIDE_H
#define POTIK_ACCOUNT_INSIDE_H

#include "account/account.h"
#include "account/db.h"

struct account {
    struct db *db;
    const struct clock *clock;
    struct random_source *random;
};

/* 1 … ACCOUNT_NAME_BYTES of UTF-8 without control characters. ERR_INVALID, field `name`. */
MUST_USE enum err account_check_name(const char *name, struct diag *diag);

/* Into the list's projects. ERR_NOMEM without words. */
MUST_USE enum err
account_read_projects(struct account *account, struct account_list *list, struct diag *diag);

/* Of all keys stored: gives those of `keys` that are there their id. false: none of them is, but
 * others are. */
bool account_mark_known(const struct account_list *stored, struct account_key *keys, size_t count);

/* Room for one more of `count` in a list that doubles at powers of two. false: out of memory. */
MUST_USE bool account_make_room(void **items, size_t count, size_t bytes);

/* Lower-case base32 (RFC 4648 section 6, without padding) of `len` bytes: ⌈len × 8 / 5⌉ characters
 * and a NUL. */
void account_base32(const uint8_t *bytes, size_t len, char *ret_text);

/* A line of the audit log, in the transaction under way. `detail` may be NULL. */
MUST_USE enum err
account_note(struct account *account, const struct account_actor *by, const char *action,
             uint32_t project_id, struct diag *diag, const char *detail, const char *target_format,
             ...) __attribute__((format(printf, 7, 8)));

#endif
