/*
 * router - matching paths against patterns. See router.h.
 */
#include "api/router.h"

#include "codec/url.h"

#include <string.h>

/* Cuts the segment off that follows a '/' at *at; moves *at behind it. */
static struct slice
next_segment(const char **at, const char *end)
{
    const char *from = *at + 1;
    const char *slash = memchr(from, '/', (size_t)(end - from));

    *at = slash != NULL ? slash : end;
    return slice_of(from, (size_t)(*at - from));
}

/* Raw segments caught by `{}` go to `caught`. */
static bool
is_match(const char *pattern, struct slice path, struct slice caught[ROUTE_SEGMENTS_MAX])
{
    const char *pattern_end = pattern + strlen(pattern);
    const char *end = path.ptr + path.len;
    const char *at = path.ptr;
    size_t count = 0;

    if (memchr(pattern, '{', (size_t)(pattern_end - pattern)) == NULL)
        return slice_equal(slice_of(pattern, (size_t)(pattern_end - pattern)), path);
    while (pattern < pattern_end && at < end) {
        struct slice wanted = next_segment(&pattern, pattern_end);
        struct slice given = next_segment(&at, end);

        if (slice_equal(wanted, SLICE("{}"))) {
            if (given.len == 0 || count == ROUTE_SEGMENTS_MAX)
                return false;
            caught[count++] = given;
        } else if (!slice_equal(wanted, given)) {
            return false;
        }
    }
    return pattern == pattern_end && at == end;
}

/* A path that cannot be decoded is no path, whatever it would match. */
static enum err
check_path(struct slice path, struct arena *arena)
{
    const char *end = path.ptr + path.len;
    const char *at = path.ptr;

    while (at < end) {
        struct slice text;
        enum err err = url_decode_segment(next_segment(&at, end), arena, &text);

        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static bool
takes_method(const struct route *route, enum http_method method)
{
    return route->method == method || (route->method == HTTP_GET && method == HTTP_HEAD);
}

static enum err
decode_caught(struct route_match *match, struct arena *arena)
{
    for (size_t i = 0; i < ROUTE_SEGMENTS_MAX && match->segments[i].ptr != NULL; i++) {
        enum err err = url_decode_segment(match->segments[i], arena, &match->segments[i]);

        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err
router_find(const struct route *routes, size_t count, enum http_method method, struct slice path,
            struct arena *arena, struct route_match *ret_match)
{
    struct route_match match = {0};
    bool is_path_known = false;
    enum err err;

    /* Until nothing more can be learnt: routes of ingest stand first. */
    for (size_t i = 0; i < count && (match.route == NULL || !match.has_cors); i++) {
        struct slice caught[ROUTE_SEGMENTS_MAX] = {{0}};

        if (!is_match(routes[i].pattern, path, caught) ||
            (routes[i].exists != NULL && !routes[i].exists(caught)))
            continue;
        is_path_known = true;
        match.has_cors = match.has_cors || routes[i].is_ingest;
        if (match.route == NULL && takes_method(&routes[i], method)) {
            match.route = &routes[i];
            memcpy(match.segments, caught, sizeof(caught));
        }
    }
    match.is_preflight = match.has_cors && method == HTTP_OPTIONS;
    *ret_match = match;
    if (match.route != NULL)
        return decode_caught(ret_match, arena);
    err = check_path(path, arena);
    if (err != ERR_OK)
        return err;
    if (!is_path_known)
        return ERR_NOT_FOUND;
    if (match.is_preflight)
        return ERR_OK;
    return method == HTTP_OTHER ? ERR_NOT_IMPLEMENTED : ERR_METHOD_NOT_ALLOWED;
}

static const char *
method_names(enum http_method method)
{
    switch (method) {
    case HTTP_GET:
        return "GET, HEAD";
    case HTTP_PUT:
        return "PUT";
    case HTTP_PATCH:
        return "PATCH";
    case HTTP_DELETE:
        return "DELETE";
    case HTTP_HEAD:
    case HTTP_POST:
    case HTTP_OPTIONS:
    case HTTP_OTHER:
    default:
        return "POST";
    }
}

const char *
router_method_name(enum http_method method)
{
    return method == HTTP_GET ? "GET" : method_names(method);
}

static void
add_method(struct buf *allow, const char *name)
{
    if (allow->len != 0)
        buf_add_text(allow, ", ");
    buf_add_text(allow, name);
}

void
router_allow(const struct route *routes, size_t count, struct slice path, struct buf *allow)
{
    struct slice caught[ROUTE_SEGMENTS_MAX];
    bool is_ingest = false;

    for (size_t i = 0; i < count; i++) {
        if (!is_match(routes[i].pattern, path, caught))
            continue;
        is_ingest = is_ingest || routes[i].is_ingest;
        add_method(allow, method_names(routes[i].method));
    }
    if (is_ingest)
        add_method(allow, "OPTIONS");
}
