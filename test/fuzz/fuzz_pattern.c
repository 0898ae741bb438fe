/* rooms: plan */
/*
 * fuzz_pattern - an expression, a line feed, a text: what RE2 takes and sequence takes too, both
 * answer alike.
 */
#include "codec/utf8.h"
#include "plan/pattern.h"
#include "plan/sequence.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const char *end = len != 0 ? memchr(bytes, '\n', len) : NULL;
    struct slice expression =
        slice_of((const char *)bytes, end != NULL ? (size_t)(end - (const char *)bytes) : len);
    struct slice text = end != NULL ? slice_of(end + 1, len - expression.len - 1) : SLICE("");
    const struct sequence *sequence = NULL;
    struct pattern *pattern = NULL;
    struct diag diag = DIAG_INIT;
    struct arena arena;

    if (!utf8_is_valid(expression) || !utf8_is_valid(text) ||
        pattern_new(expression, &pattern, &diag) != ERR_OK)
        return 0;
    arena_init(&arena, 1024, (size_t)1 << 20);
    if (!sequence_compile(expression, &arena, &sequence))
        abort();
    if (sequence != NULL &&
        sequence_matches(sequence, text) != (pattern_find(pattern, text) == PATTERN_FOUND))
        abort();
    arena_fini(&arena);
    pattern_free(&pattern);
    return 0;
}
