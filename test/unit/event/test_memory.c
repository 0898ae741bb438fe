/*
 * test_memory - decoding when memory runs out: allocation K fails, K = 1, 2, …, once and from there
 * on. Each time the answer is either the right one or ERR_NOMEM; nothing leaks (AddressSanitizer).
 */
#include "base/mem.h"
#include "check.h"

static const char body[] = "{\"events\":[" GOOD(
    "a") ",{\"event_type\":\"t\",\"user_id\":\"\\u0041\",\"properties\":{\"a\":1}},"
         "{\"x\":1},{\"a\":},\t{\"event_id\":\"b\",\"properties\":{\"k\":1,\"\\u006b\":2}}]}";
static const char expected[] =
    "ok:a ok:+ unknown_field@x:- invalid_json:- duplicate_key@properties.k:b";

/* Decodes in one of the two ways with the allocations as they are set; gives ERR_OK only for the
 * right answer. */
static enum err
decode(bool is_whole, struct buf *text)
{
    struct event_context context = {.format = EVENT_FORMAT_JSON,
                                    .received_at_us = RENDER_RECEIVED_AT_US,
                                    .random = random_system()};
    struct slice input = slice_of(body, sizeof(body) - 1);
    struct event_decoder *decoder = NULL;
    struct event_decode *pieces = NULL;
    struct event_batch batch = {0};
    struct arena arena;
    struct diag diag = DIAG_INIT;
    enum err err = event_decoder_new(&decoder, &diag);

    arena_init(&arena, 256, 1 << 20);
    if (err == ERR_OK && is_whole) {
        err = event_decode_body(decoder, &context, input, &arena, &batch, &diag);
    } else if (err == ERR_OK) {
        err = event_decode_begin(decoder, &context, &arena, &pieces, &diag);
        for (size_t at = 0; err == ERR_OK && at < input.len; at += 7)
            err = event_decode_feed(pieces, input.ptr + at, input.len - at < 7 ? input.len - at : 7,
                                    &diag);
        if (err == ERR_OK)
            err = event_decode_end(pieces, &batch, &diag);
        event_decode_free(&pieces);
    }
    mem_fail_from(0, false);
    if (err == ERR_OK) {
        render_result(err, &batch, &diag, false, text);
        buf_add_char(text, '\0');
        assert_string_equal(text->ptr, expected);
    }
    event_decoder_free(&decoder);
    arena_fini(&arena);
    return err;
}

#define ALLOCATIONS_MAX 40 /* more than either way makes */

static void
fail_each(bool is_whole, bool is_sticky)
{
    struct buf text;
    uint64_t failures = 0;
    enum err err = ERR_OK;

    buf_init(&text, 1 << 20);
    buf_reserve(&text, 4096);
    for (uint64_t nth = 1; nth <= ALLOCATIONS_MAX; nth++) {
        mem_fail_from(nth, is_sticky);
        err = decode(is_whole, &text);
        mem_fail_from(0, false);
        assert_true(err == ERR_OK || err == ERR_NOMEM);
        failures += err == ERR_NOMEM;
    }
    assert_int_equal(err, ERR_OK);
    assert_true(failures >= 2);
    buf_fini(&text);
}

static void
test_memory__running_out_is_told(void **state)
{
    (void)state;
    fail_each(true, false);
    fail_each(true, true);
    fail_each(false, false);
    fail_each(false, true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory__running_out_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
