/*
 * browser - fields and questions of origins. See browser.h.
 */
#include "api/browser.h"

#include <string.h>

/* The next element of a list; *at moves behind it. */
static struct slice
next_origin(const char **at)
{
    size_t len = strcspn(*at, ",");
    struct slice origin = slice_trim(slice_of(*at, len));

    *at += len + ((*at)[len] == ',');
    return origin;
}

/* What follows "https://" or "http://"; ptr NULL: another form. */
static struct slice
authority_of(struct slice origin)
{
    static const struct slice schemes[] = {{"https://", 8}, {"http://", 7}};

    for (size_t i = 0; i < 2; i++) {
        if (origin.len > schemes[i].len && memcmp(origin.ptr, schemes[i].ptr, schemes[i].len) == 0)
            return slice_of(origin.ptr + schemes[i].len, origin.len - schemes[i].len);
    }
    return SLICE_NONE;
}

enum err
browser_check_origins(const char *origins, struct diag *diag)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]";

    for (const char *at = origins; at != NULL && *at != '\0';) {
        struct slice origin = next_origin(&at);
        struct slice authority = authority_of(origin);
        bool is_good = authority.ptr != NULL;

        for (size_t i = 0; is_good && i < authority.len; i++)
            is_good = strchr(plain, authority.ptr[i]) != NULL && authority.ptr[i] != '\0';
        if (!is_good) {
            diag_set_field(diag, "origins",
                           "origins: \"%.*s\" will not do; a list of https://host[:port] in lower "
                           "case, a comma between",
                           origin.len < 100 ? (int)origin.len : 100, origin.ptr);
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

bool
browser_lists(const char *origins, struct slice origin)
{
    if (origin.ptr == NULL || origin.len == 0)
        return false;
    for (const char *at = origins; at != NULL && *at != '\0';) {
        if (slice_equal(next_origin(&at), origin))
            return true;
    }
    return false;
}

static void
add_listed(struct http_exchange *exchange, struct slice origin)
{
    http_reply_header(exchange, "Access-Control-Allow-Origin", origin);
    http_reply_header(exchange, "Access-Control-Expose-Headers",
                      SLICE("Retry-After, X-Request-Id, X-Potik-Watermark"));
}

void
browser_add_fields(struct http_exchange *exchange, const char *origins, bool is_ingest)
{
    struct slice origin = http_header(exchange, "origin");
    struct slice path = http_path(exchange);

    if (is_ingest) {
        if (origin.ptr == NULL)
            return;
        http_reply_header(exchange, "Access-Control-Allow-Origin", SLICE("*"));
        http_reply_header(exchange, "Access-Control-Expose-Headers",
                          SLICE("Retry-After, X-Request-Id"));
        return;
    }
    http_reply_header(exchange, "X-Content-Type-Options", SLICE("nosniff"));
    http_reply_header(exchange, "Referrer-Policy", SLICE("no-referrer"));
    if (path.len != 1 && !slice_equal(path, SLICE("/docs"))) /* the two pages have their own */
        http_reply_header(exchange, "Content-Security-Policy",
                          SLICE("default-src 'none'; frame-ancestors 'none'"));
    if (path.len >= 4 && memcmp(path.ptr, "/v1/", 4) == 0)
        http_reply_header(exchange, "Cache-Control", SLICE("no-store"));
    if (origins != NULL && origins[0] != '\0')
        http_reply_header(exchange, "Vary", SLICE("Origin"));
    if (browser_lists(origins, origin)) {
        add_listed(exchange, origin);
        http_reply_header(exchange, "Cross-Origin-Resource-Policy", SLICE("cross-origin"));
    } else {
        http_reply_header(exchange, "Cross-Origin-Resource-Policy", SLICE("same-origin"));
    }
}

bool
browser_is_preflight(const struct http_exchange *exchange)
{
    return http_method(exchange) == HTTP_OPTIONS && http_header(exchange, "origin").ptr != NULL &&
           http_header(exchange, "access-control-request-method").ptr != NULL;
}

bool
browser_answers(struct http_exchange *exchange, const char *origins, struct slice allow)
{
    if (!browser_is_preflight(exchange) || !browser_lists(origins, http_header(exchange, "origin")))
        return false;
    http_reply_header(exchange, "Access-Control-Allow-Methods", allow);
    http_reply_header(exchange, "Access-Control-Allow-Headers",
                      SLICE("Authorization, Content-Type, X-Potik-Key, X-Request-Id"));
    http_reply_header(exchange, "Access-Control-Max-Age", SLICE("600"));
    return true;
}

void
browser_add_ingest_preflight(struct http_exchange *exchange)
{
    http_reply_header(exchange, "Access-Control-Allow-Methods", SLICE("POST, OPTIONS"));
    http_reply_header(exchange, "Access-Control-Allow-Headers",
                      SLICE("Authorization, Content-Encoding, Content-Type, X-Potik-Key, "
                            "X-Request-Id"));
    http_reply_header(exchange, "Access-Control-Max-Age", SLICE("86400"));
}

bool
browser_is_forged(const struct http_exchange *exchange, const char *origins)
{
    struct slice origin = http_header(exchange, "origin");
    enum http_method method = http_method(exchange);

    if (method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS || origin.ptr == NULL)
        return false;
    if (http_header_count(exchange, "origin") != 1)
        return true;
    if (browser_lists(origins, origin))
        return false;
    return !slice_equal_nocase(authority_of(origin), http_header(exchange, "host")) ||
           authority_of(origin).ptr == NULL;
}
