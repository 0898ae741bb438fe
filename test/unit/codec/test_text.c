/*
 * test_text - the small codecs: uuid, rfc3339, utf8, base64, url, hash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it */
#include "codec/base64.h"
#include "codec/crc32c.h"
#include "codec/hash.h"
#include "codec/rfc3339.h"
#include "codec/url.h"
#include "codec/utf8.h"
#include "codec/uuid.h"
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
assert_slice(struct slice actual, const char *expected)
{
    assert_non_null(actual.ptr);
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.ptr, expected, actual.len);
}

static void
test_uuid__is_version_7(void **state)
{
    struct random_source random;
    uint8_t uuid[UUID_BYTES];
    uint8_t later[UUID_BYTES];
    char text[UUID_TEXT_BYTES + 1] = {0};

    (void)state;
    random_seeded_init(&random, 1);
    uuid_v7(INT64_C(1645557742000) * 1000 + 999, &random, uuid); /* the time of RFC 9562, A.6 */
    uuid_format(uuid, text);
    assert_memory_equal(text, "017f22e2-79b0-7", 15);
    assert_true(strchr("89ab", text[19]) != NULL);
    assert_true(text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-');
    uuid_v7(INT64_C(1645557742001) * 1000, &random, later);
    assert_true(memcmp(uuid, later, UUID_BYTES) < 0);
    uuid_v7(-1, &random, uuid);
    uuid_format(uuid, text);
    assert_memory_equal(text, "00000000-0000-7", 15);
}

static void
test_rfc3339__reads_strictly(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"1970-01-01T00:00:00.0000019Z", 1},
        {"1970-01-01T00:00:00.9999999999999999Z", 999999},
        {"1970-01-01T00:00:00.1Z", 100000},
        {"1969-12-31T23:59:59.9Z", -100000},
        {"1970-01-01T01:30:00+01:30", 0},
        {"1969-12-31T22:30:00-01:30", 0},
        {"1970-01-01T00:00:00-00:00", 0},
        {"1970-01-01T23:59:00+23:59", 0},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000000)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000000)},
        {"2038-01-19T03:14:08Z", INT64_C(2147483648000000)},
        {"0000-01-01T00:00:00Z", RFC3339_US_MIN},
        {"9999-12-31T23:59:59.999999Z", RFC3339_US_MAX},
    };
    static const char *const bad[] = {
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01 00:00:00Z",
        "1970-01-01T00:00Z",
        "1970-01-01T00:00:60Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-00-01T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "1970-01-32T00:00:00Z",
        "1970-04-31T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00,5Z",
        "1970-01-01T00:00:00+0100",
        "1970-01-01T00:00:00+01",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+00:60",
        "1970-01-01T00:00:00Z ",
        " 1970-01-01T00:00:00Z",
        "+1970-01-01T00:00:00Z",
        "197O-01-01T00:00:00Z",
        "1970/01/01T00:00:00Z",
        "1970-1-01T00:00:00Z",
        "1970-01-01T0:00:00Z",
        "1970-01-01T00-00-00Z",
        "1970-01-01T00:00:00ZZ",
        "1970-01-01T00:00:00+-1:00",
    };
    int64_t us = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(rfc3339_parse(slice_of_text(good[i].text), &us), ERR_OK);
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (rfc3339_parse(slice_of_text(bad[i]), &us) != ERR_INVALID_TIMESTAMP)
            fail_msg("accepted: %s", bad[i]);
}

static void
test_rfc3339__writes_what_it_reads(void **state)
{
    static const int64_t times[] = {0,
                                    -1,
                                    1,
                                    RFC3339_US_MIN,
                                    RFC3339_US_MAX,
                                    INT64_C(951868799999999),
                                    INT64_C(1769860800000000)};
    char text[RFC3339_TEXT_BYTES + 1] = {0};
    int64_t us = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        rfc3339_format(times[i], text);
        assert_int_equal(rfc3339_parse(slice_of_text(text), &us), ERR_OK);
        assert_int_equal(us, times[i]);
    }
    rfc3339_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
}

static void
test_utf8__knows_every_edge(void **state)
{
    static const char *const good[] = {"",
                                       "ascii text over eight",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xc2",         "\xc2\x41",
        "\xe0\x9f\xbf", "\xe0\xa0",         "\xed\xa0\x80",     "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
        "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",         "eight go\xff"};
    char bytes[4];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(utf8_is_valid(slice_of_text(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(utf8_is_valid(slice_of_text(bad[i])));
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        size_t len = utf8_put(c, bytes);

        assert_int_equal(utf8_sequence(bytes, bytes + len), len);
        if (len > 1)
            assert_int_equal(utf8_sequence(bytes, bytes + len - 1), 0);
    }
    assert_slice(utf8_cut(SLICE("\xd1\x8e\xd1\x8e"), 3), "\xd1\x8e");
    assert_slice(utf8_cut(SLICE("ab"), 2), "ab");
}

static void
test_base64__reads_and_writes(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
        const char *url_text;
    } pairs[] = {{"", "", ""},
                 {"f", "Zg==", "Zg"},
                 {"fo", "Zm8=", "Zm8"},
                 {"foo", "Zm9v", "Zm9v"},
                 {"foob", "Zm9vYg==", "Zm9vYg"},
                 {"\xfb\xff", "+/8=", "-_8"}};
    static const char *const bad[] = {"A", "Zg=", "Zg===", "Zh==", "Z g=", "Zg==Zg==", "=", "Zm9!"};
    struct arena arena;
    struct slice out;

    (void)state;
    arena_init(&arena, 1024, 1 << 20);
    for (size_t i = 0; i < COUNT(pairs); i++) {
        assert_int_equal(base64_encode(slice_of_text(pairs[i].bytes), false, &arena, &out), ERR_OK);
        assert_slice(out, pairs[i].text);
        assert_int_equal(base64_encode(slice_of_text(pairs[i].bytes), true, &arena, &out), ERR_OK);
        assert_slice(out, pairs[i].url_text);
        assert_int_equal(base64_decode(slice_of_text(pairs[i].text), &arena, &out), ERR_OK);
        assert_slice(out, pairs[i].bytes);
        assert_int_equal(base64_decode(slice_of_text(pairs[i].url_text), &arena, &out), ERR_OK);
        assert_slice(out, pairs[i].bytes);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(base64_decode(slice_of_text(bad[i]), &arena, &out), ERR_INVALID);
    arena_fini(&arena);
}

/* Two characters make a byte: of all pairs of bytes those that base64_encode writes, no others. */
static void
test_base64__exact_takes_one_text_for_given_bytes(void **state)
{
    struct arena arena;
    uint8_t bytes[4];
    size_t len = 0;

    (void)state;
    arena_init(&arena, 1024, 1 << 16);
    for (int is_for_url = 0; is_for_url < 2; is_for_url++) {
        unsigned taken = 0;

        for (unsigned pair = 0; pair < 0x10000; pair++) {
            const char text[2] = {(char)(pair >> 8), (char)(pair & 0xff)};
            struct slice again;

            if (!base64_decode_exact(slice_of(text, 2), is_for_url != 0, bytes, 1, &len))
                continue;
            assert_int_equal(len, 1);
            arena_clear(&arena);
            assert_int_equal(
                base64_encode(slice_of((const char *)bytes, 1), is_for_url != 0, &arena, &again),
                ERR_OK);
            assert_memory_equal(again.ptr, text, 2);
            taken++;
        }
        assert_int_equal(taken, 256);
        /* each byte at each place of a longer text */
        for (unsigned at = 0; at < 8; at++) {
            taken = 0;
            for (unsigned c = 0; c < 256; c++) {
                char text[8] = "AAAAAAAA";
                uint8_t six[6];

                text[at] = (char)c;
                taken += base64_decode_exact(slice_of(text, 8), is_for_url != 0, six, 6, &len);
            }
            assert_int_equal(taken, 64);
        }
    }
    arena_fini(&arena);
}

static void
test_base64__exact_has_room_for_so_many_bytes(void **state)
{
    static const char text[] = "AAAAAAAA";
    uint8_t bytes[8];
    size_t len = 0;

    (void)state;
    for (size_t n = 0; n <= 8; n++) {
        const size_t whole = n * 6 / 8;

        for (size_t room = 0; room <= 7; room++) {
            const bool is_good = base64_decode_exact(slice_of(text, n), true, bytes, room, &len);

            assert_int_equal(is_good, n % 4 != 1 && whole <= room);
            if (is_good)
                assert_int_equal(len, whole);
        }
    }
    assert_false(base64_decode_exact(SLICE("AAA="), true, bytes, 8, &len));
    assert_false(base64_decode_exact(SLICE("AA=="), false, bytes, 8, &len));
    assert_false(base64_decode_exact(SLICE("AAA\n"), false, bytes, 8, &len));
    assert_true(base64_decode_exact(SLICE("-_-_"), true, bytes, 8, &len));
    assert_false(base64_decode_exact(SLICE("-_-_"), false, bytes, 8, &len));
    assert_true(base64_decode_exact(SLICE("+/+/"), false, bytes, 8, &len));
    assert_false(base64_decode_exact(SLICE("+/+/"), true, bytes, 8, &len));
}

static void
test_url__decodes_segments(void **state)
{
    static const char *const bad[] = {"%", "%4", "%zz", "a%00b", "%ff", "\xff", "%d1"};
    struct arena arena;
    struct slice out;

    (void)state;
    arena_init(&arena, 1024, 1 << 20);
    assert_int_equal(url_decode_segment(SLICE("a%2Fb+%d1%8E"), &arena, &out), ERR_OK);
    assert_slice(out, "a/b+\xd1\x8e");
    assert_int_equal(url_decode_segment(SLICE(""), &arena, &out), ERR_OK);
    assert_slice(out, "");
    assert_int_equal(url_decode_segment(SLICE("%20"), &arena, &out), ERR_OK);
    assert_slice(out, " ");
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(url_decode_segment(slice_of_text(bad[i]), &arena, &out), ERR_BAD_REQUEST);
    arena_fini(&arena);
}

static void
test_url__parses_queries(void **state)
{
    static const char *const bad[] = {"=1", "%00=1", "a=%00", "a=%", "%ff=1", "a=1&b=%e2%82"};
    struct arena arena;
    struct url_pair pairs[3];
    struct diag diag = DIAG_INIT;
    size_t count = 0;

    (void)state;
    arena_init(&arena, 1024, 1 << 20);
    assert_int_equal(url_parse_query(SLICE("a=1+2%2B&&b&c=x=y&"), &arena, pairs, 3, &count, &diag),
                     ERR_OK);
    assert_int_equal(count, 3);
    assert_slice(pairs[0].name, "a");
    assert_slice(pairs[0].value, "1 2+");
    assert_slice(pairs[1].name, "b");
    assert_slice(pairs[1].value, "");
    assert_slice(pairs[2].value, "x=y");
    assert_int_equal(url_parse_query(SLICE("a&b&c&d"), &arena, pairs, 3, &count, &diag),
                     ERR_INVALID_PARAMETER);
    assert_int_equal(url_parse_query(SLICE_NONE, &arena, pairs, 3, &count, &diag), ERR_OK);
    assert_int_equal(count, 0);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(url_parse_query(slice_of_text(bad[i]), &arena, pairs, 3, &count, &diag),
                         ERR_INVALID_PARAMETER);
    assert_int_equal(url_parse_query(SLICE("tz=%"), &arena, pairs, 3, &count, &diag),
                     ERR_INVALID_PARAMETER);
    assert_string_equal(diag.field, "tz");
    arena_fini(&arena);
}

static void
assert_digest(const uint8_t *digest, size_t len, const char *expected)
{
    char text[2 * HASH_SHA256_BYTES + 1] = {0};

    hash_hex(digest, len, text);
    assert_string_equal(text, expected);
}

static void
test_hash__known_answers(void **state)
{
    uint8_t digest[HASH_SHA256_BYTES];
    uint8_t key[HASH_SIPHASH_KEY_BYTES];
    uint8_t input[15];

    (void)state;
    hash_sha256(SLICE("abc"), digest); /* FIPS 180-2, B.1 */
    assert_digest(digest, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_blake2b_128(SLICE("abc"), digest); /* b2sum -l 128 */
    assert_digest(digest, 16, "cf4ab791c62b8d2b2109c90275287816");
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (uint8_t i = 0; i < 15; i++)
        input[i] = i;
    /* vectors.h of the SipHash reference, 128 bits, inputs of 0 and of 15 bytes */
    hash_siphash_128(key, SLICE(""), digest);
    assert_digest(digest, 16, "a3817f04ba25a8e66df67214c7550293");
    hash_siphash_128(key, slice_of((const char *)input, 15), digest);
    assert_digest(digest, 16, "5493e99933b0a8117e08ec0f97cfc3d9");
}

static void
test_crc32c__known_answers_both_ways(void **state)
{
    uint8_t bytes[300] = {0};

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_portable(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa); /* RFC 3720, B.4 */
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t len = 0; len < sizeof(bytes); len++) {
        uint32_t whole = crc32c(0, bytes, len);

        assert_int_equal(whole, crc32c_portable(0, bytes, len));
        assert_int_equal(whole, crc32c(crc32c(0, bytes, len / 3), bytes + len / 3, len - len / 3));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid__is_version_7),
        cmocka_unit_test(test_rfc3339__reads_strictly),
        cmocka_unit_test(test_rfc3339__writes_what_it_reads),
        cmocka_unit_test(test_utf8__knows_every_edge),
        cmocka_unit_test(test_base64__reads_and_writes),
        cmocka_unit_test(test_base64__exact_takes_one_text_for_given_bytes),
        cmocka_unit_test(test_base64__exact_has_room_for_so_many_bytes),
        cmocka_unit_test(test_url__decodes_segments),
        cmocka_unit_test(test_url__parses_queries),
        cmocka_unit_test(test_hash__known_answers),
        cmocka_unit_test(test_crc32c__known_answers_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
