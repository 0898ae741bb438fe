/*
 * check - decodes a body whole and in pieces of many sizes and compares each with what was
 * expected.
 */
#ifndef POTIK_TEST_EVENT_CHECK_H
#define POTIK_TEST_EVENT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it */
#include "decode_render.h"
#include <cmocka.h>

/* A good event, and the parts of one. */
#define GOOD(id) "{\"event_id\":\"" id "\",\"event_type\":\"t\",\"user_id\":\"u\"}"
#define WITH(rest) "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":\"u\"," rest "}"

struct check {
    enum event_format format;
    const char *body;
    const char *expected;
};

static inline void
check_body(enum event_format format, struct slice body, const char *expected, bool is_full)
{
    static const size_t sizes[] = {1, 2, 3, 5, 7, 16, 17, 64, 100, 1000, 65536, 1000003};
    struct event_context context = {.format = format,
                                    .project_id = 7,
                                    .received_at_us = RENDER_RECEIVED_AT_US,
                                    .random = random_system()};
    struct event_decoder *decoder = NULL;
    struct buf text;

    buf_init(&text, (size_t)1 << 30);
    assert_int_equal(event_decoder_new(&decoder, NULL), ERR_OK);
    render_whole(decoder, &context, body, is_full, &text);
    buf_add_char(&text, '\0');
    if (strcmp(text.ptr, expected) != 0)
        fail_msg("whole: %.300s\n gave %.2000s\n not  %.2000s", body.ptr, text.ptr, expected);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i] < 64 && body.len / sizes[i] > 3000000)
            continue;
        render_pieces(decoder, &context, body, sizes[i], is_full, &text);
        buf_add_char(&text, '\0');
        if (strcmp(text.ptr, expected) != 0)
            fail_msg("pieces of %zu: %.300s\n gave %.2000s\n not  %.2000s", sizes[i], body.ptr,
                     text.ptr, expected);
    }
    event_decoder_free(&decoder);
    buf_fini(&text);
}

static inline void
check_table(const struct check *checks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_body(checks[i].format, slice_of_text(checks[i].body), checks[i].expected, false);
}

#define CHECK_TABLE(checks) check_table((checks), sizeof(checks) / sizeof((checks)[0]))

#endif
