/*
 * manual - GET /openapi.json, /docs and /docs/{file}: the contract as a document, and as a page
 * that shows it and sends requests.
 *
 * Layer 6, on the loops. The files are held compressed. Who takes no gzip gets a copy that is
 * inflated when first asked for, and kept: a few milliseconds and 2 MiB, once.
 */
#ifndef POTIK_API_MANUAL_H
#define POTIK_API_MANUAL_H

#include "api/asset.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Zeroed is ready. Any thread. */
struct manual {
    _Atomic(char *) plain[ASSETS_MAX]; /* NULL: not asked for yet */
};
void manual_fini(struct manual *manual);

/* Does Accept-Encoding take gzip? ptr NULL (no such field): no, since who can inflate says so.
 * Source: RFC 9110, 12.5.3. */
bool manual_takes_gzip(struct slice accept_encoding);
/* Does If-None-Match list this tag? Weak ones count, too: RFC 9110, 13.1.2. */
bool manual_lists_tag(struct slice if_none_match, const char *tag);
/* asset->plain_bytes of text that live as long as `manual`. ERR_NOMEM. */
MUST_USE enum err manual_plain(struct manual *manual, size_t i, struct slice *ret_text);

#endif
