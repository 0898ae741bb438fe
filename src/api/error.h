/*
 * error - the one shape of every error: {"error":{"code","message","field","request_id"}}.
 *
 * Layer 6, any thread. The HTTP server's own replies get theirs from here, too (http_handler).
 */
#ifndef POTIK_API_ERROR_H
#define POTIK_API_ERROR_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Appends `"error":{…}`, without the braces around. `message` NULL or "": the sentence of `err`;
 * `field` NULL or
 * "": null. Failures inside (5xx that share `internal_error`) never show their words to a client.
 */
void error_add_member(struct buf *body, enum err err, const char *message, const char *field,
                      struct slice request_id);
/* The whole body. For http_handler.error_body. */
void error_add_body(struct buf *body, enum err err, const char *message, const char *field,
                    struct slice request_id);

#endif
