/*
 * rows - what the resources made of rows share: their JSON, and taking values from bodies.
 *
 * Layer 6, at the desk.
 */
#ifndef POTIK_API_ROWS_H
#define POTIK_API_ROWS_H

#include "account/erasure.h"
#include "account/login.h"
#include "api/resource.h"

/* `text`: shown once, NULL: left out. */
void
rows_write_key(const struct account_key *key, const char *text, int64_t now_us, struct buf *body);
/* `password`: shown once, NULL: left out. */
void rows_write_login(const struct login *login, const char *password, struct buf *body);
void rows_write_erasure(const struct erasure *erasure, struct buf *body);
/* {"erasure":…} of this id. */
MUST_USE enum err rows_answer_erasure(struct resource *res, uint64_t id, struct diag *diag);

/* A text of the body into a fixed place; ERR_TOO_LONG with the field. */
MUST_USE enum err rows_take_text(const struct body_value *value, const char *field, char *ret_text,
                                 size_t size, struct diag *diag);
/* RFC 3339; ERR_INVALID_TIMESTAMP with the field. */
MUST_USE enum err rows_take_time(const struct body_value *value, const char *field, int64_t *ret_us,
                                 struct diag *diag);
/* A parameter of the query string: 1 … max; `fallback` where it is not given. */
MUST_USE enum err rows_take_limit(struct slice text, uint32_t max, uint32_t fallback,
                                  uint32_t *ret_limit, struct diag *diag);

#endif
