/* rooms: api */
/*
 * fuzz_route - any path and method: what a route caught decodes to valid UTF-8 without U+0000; the
 * rest of the head that this room reads (type, encoding, Bearer) takes any bytes.
 */
#include "api/internal.h"
#include "api/media.h"
#include "base/mem.h"
#include "codec/utf8.h"

#include <stdlib.h>
#include <string.h>

static const struct route routes[] = {
    {HTTP_POST, "/v1/events", ROUTE_WRITE, .is_ingest = true, .exists = NULL, .handler = NULL},
    {HTTP_GET, "/v1/users/{}/events", ROUTE_READ, .is_ingest = false, .exists = NULL,
     .handler = NULL},
    {HTTP_GET, "/v1/stats/{}", ROUTE_READ, .is_ingest = false, .exists = stats_exists,
     .handler = NULL},
    {HTTP_GET, "/", ROUTE_OPEN, .is_ingest = false, .exists = NULL, .handler = NULL},
};

static void
require(bool is_so)
{
    if (!is_so)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct route_match match = {0};
    enum media_encoding encoding;
    enum event_format format;
    struct slice text;
    struct arena arena;
    struct buf allow;
    enum err err;

    if (size < 2)
        return 0;
    text = slice_of((const char *)data + 1, size - 1);
    (void)!media_parse_type(text, &format);
    (void)!media_parse_encoding(text, &encoding);
    (void)!auth_parse_bearer(text, &text);
    text = slice_of((const char *)data + 1, size - 1);
    if (text.ptr[0] != '/') /* http lets nothing else in, save "*" */
        return 0;
    arena_init(&arena, 4096, 1 << 20);
    buf_init(&allow, 256);
    err = router_find(routes, COUNT_OF(routes), (enum http_method)(data[0] % (HTTP_OTHER + 1)),
                      text, &arena, &match);
    if (err == ERR_OK && match.route != NULL) {
        for (size_t i = 0; i < ROUTE_SEGMENTS_MAX && match.segments[i].ptr != NULL; i++) {
            require(utf8_is_valid(match.segments[i]));
            require(memchr(match.segments[i].ptr, '\0', match.segments[i].len) == NULL);
        }
    }
    if (err == ERR_METHOD_NOT_ALLOWED) {
        router_allow(routes, COUNT_OF(routes), text, &allow);
        require(allow.len != 0 && !buf_failed(&allow));
    }
    buf_fini(&allow);
    arena_fini(&arena);
    return 0;
}
