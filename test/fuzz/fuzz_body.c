/* rooms: api */
/*
 * fuzz_body - small JSON bodies: whatever comes, what is read are texts of valid UTF-8 without
 * U+0000, and a refusal has words.
 */
#include "api/body.h"
#include "codec/utf8.h"

#include <stdlib.h>

#define FIELDS 4

static void
require_text(struct slice text, size_t len)
{
    if (text.len > len || !utf8_is_valid(text) ||
        (text.len != 0 && memchr(text.ptr, '\0', text.len) != NULL))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct body_field fields[FIELDS] = {{"a", BODY_TEXT, true},
                                                     {"b", BODY_BOOL, false},
                                                     {"c", BODY_INTEGER, false},
                                                     {"d", BODY_TEXTS, false}};
    struct body_value values[FIELDS];
    struct diag diag = DIAG_INIT;
    struct arena arena;
    enum err err;

    arena_init(&arena, 1024, (size_t)1 << 26);
    err = body_read(slice_of((const char *)bytes, len), fields, FIELDS, &arena, values, &diag);
    if (err != ERR_OK && err != ERR_NOMEM && diag.message[0] == '\0')
        abort();
    if (err == ERR_OK) {
        if (!values[0].is_given || values[3].text_count > BODY_TEXTS_MAX)
            abort();
        require_text(values[0].text, len);
        for (size_t i = 0; i < values[3].text_count; i++)
            require_text(values[3].texts[i], len);
    }
    arena_fini(&arena);
    return 0;
}
