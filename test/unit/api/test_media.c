/*
 * media: which types and encodings a body may have.
 */
#include "../test.h"

#include "api/media.h"

static void
test_media__types(void **state)
{
    static const struct {
        const char *text;
        enum err err;
        enum event_format format;
    } rows[] = {
        {NULL, ERR_OK, EVENT_FORMAT_JSON},
        {"", ERR_OK, EVENT_FORMAT_JSON},
        {"application/json", ERR_OK, EVENT_FORMAT_JSON},
        {"Application/JSON; charset=utf-8", ERR_OK, EVENT_FORMAT_JSON},
        {"application/json;charset=utf-8", ERR_OK, EVENT_FORMAT_JSON},
        {"text/plain", ERR_OK, EVENT_FORMAT_JSON},
        {"text/plain;charset=UTF-8", ERR_OK, EVENT_FORMAT_JSON},
        {"application/x-www-form-urlencoded", ERR_OK, EVENT_FORMAT_JSON},
        {"application/x-ndjson", ERR_OK, EVENT_FORMAT_NDJSON},
        {"application/x-ndjson ; a=b", ERR_OK, EVENT_FORMAT_NDJSON},
        {"application/xml", ERR_UNSUPPORTED_MEDIA_TYPE, 0},
        {"multipart/form-data; boundary=x", ERR_UNSUPPORTED_MEDIA_TYPE, 0},
        {"application/jsonx", ERR_UNSUPPORTED_MEDIA_TYPE, 0},
        {"application/jso", ERR_UNSUPPORTED_MEDIA_TYPE, 0},
        {"json", ERR_UNSUPPORTED_MEDIA_TYPE, 0},
        {";", ERR_UNSUPPORTED_MEDIA_TYPE, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum event_format format = EVENT_FORMAT_JSON;

        if (media_parse_type(slice_of_text(rows[i].text), &format) != rows[i].err)
            fail_msg("%s", rows[i].text);
        if (rows[i].err == ERR_OK)
            assert_int_equal(format, rows[i].format);
    }
}

static void
test_media__encodings(void **state)
{
    static const struct {
        const char *text;
        enum err err;
        enum media_encoding encoding;
    } rows[] = {
        {NULL, ERR_OK, MEDIA_IDENTITY},
        {"", ERR_OK, MEDIA_IDENTITY},
        {"identity", ERR_OK, MEDIA_IDENTITY},
        {"gzip", ERR_OK, MEDIA_GZIP},
        {"GZip", ERR_OK, MEDIA_GZIP},
        {"x-gzip", ERR_OK, MEDIA_GZIP},
        {"zstd", ERR_OK, MEDIA_ZSTD},
        {"br", ERR_UNSUPPORTED_ENCODING, 0},
        {"deflate", ERR_UNSUPPORTED_ENCODING, 0},
        {"gzip, gzip", ERR_UNSUPPORTED_ENCODING, 0},
        {"gzip;q=1", ERR_UNSUPPORTED_ENCODING, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum media_encoding encoding = MEDIA_IDENTITY;

        if (media_parse_encoding(slice_of_text(rows[i].text), &encoding) != rows[i].err)
            fail_msg("%s", rows[i].text);
        if (rows[i].err == ERR_OK)
            assert_int_equal(encoding, rows[i].encoding);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_media__types),
        cmocka_unit_test(test_media__encodings),
    };

    return cmocka_run_group_tests_name("media", tests, NULL, NULL);
}
