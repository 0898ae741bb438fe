/* rooms: codec */
/*
 * fuzz_query - query strings and path segments: what is decoded is UTF-8 without U+0000, and no
 * longer than it was.
 */
#include "codec/url.h"
#include "codec/utf8.h"
#include <stdlib.h>

#define PAIRS_MAX 16

static void
require_text(struct slice text, size_t len)
{
    if (text.ptr == NULL || text.len > len || !utf8_is_valid(text) ||
        (text.len != 0 && memchr(text.ptr, '\0', text.len) != NULL))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice raw = slice_of((const char *)bytes, len);
    struct url_pair pairs[PAIRS_MAX];
    struct arena arena;
    struct diag diag = DIAG_INIT;
    struct slice segment;
    size_t count = 0;

    arena_init(&arena, 1024, (size_t)1 << 26);
    if (url_parse_query(raw, &arena, pairs, PAIRS_MAX, &count, &diag) == ERR_OK) {
        if (count > PAIRS_MAX)
            abort();
        for (size_t i = 0; i < count; i++) {
            require_text(pairs[i].name, len);
            require_text(pairs[i].value, len);
        }
    }
    if (url_decode_segment(raw, &arena, &segment) == ERR_OK)
        require_text(segment, len);
    arena_fini(&arena);
    return 0;
}
