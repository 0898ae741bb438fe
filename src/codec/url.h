/*
 * url - percent-decoding of path segments, and name=value pairs of query strings and forms.
 *
 * Layer 1, any thread, pure. Decoded text is valid UTF-8 without U+0000, or refused. A broken
 * escape
 * (`%`, `%4`, `%zz`) is refused, never passed on as it stands. Sources: RFC 3986 for segments (`+`
 * is a plus there), WHATWG URL "application/x-www-form-urlencoded" for pairs (`+` is a space).
 */
#ifndef POTIK_CODEC_URL_H
#define POTIK_CODEC_URL_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"

/* One segment, already cut at '/'. Points into `raw` if it has no escape, else into the arena.
 * ERR_BAD_REQUEST: a broken escape, %00, or not UTF-8. ERR_NOMEM. */
MUST_USE enum err url_decode_segment(struct slice raw, struct arena *arena, struct slice *ret_text);

struct url_pair {
    struct slice name;
    struct slice value; /* "" for `name` and `name=` alike */
};

/*
 * `a=1&b=2` in order, repeats kept, empty pieces (`&&`) left out. `pairs` has room for pairs_max.
 * ERR_INVALID_PARAMETER: more pairs than that, a broken escape, %00, not UTF-8, an empty name; told
 * in `diag` with the parameter's name as field where it is known. ERR_NOMEM.
 */
MUST_USE enum err url_parse_query(struct slice raw, struct arena *arena, struct url_pair *pairs,
                                  size_t pairs_max, size_t *ret_count, struct diag *diag);

#endif
