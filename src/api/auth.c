/*
 * auth - who asks: `Authorization: Bearer KEY` or `X-Potik-Key: KEY`.
 *
 * Layer 6, on the loops. Both may stand together if they are equal. A repeated field is refused:
 * one could not tell which was meant. Keys never reach a log or a reply.
 *
 * Hashing a key costs a sixth of a single-event request's instructions, and the next request mostly
 * shows the same one: a loop keeps the last text it has found, compares it in constant time, and
 * forgets it as soon as the table of keys changes.
 */
#include "api/internal.h"

#include <sodium.h>

bool
auth_parse_bearer(struct slice value, struct slice *ret_text)
{
    static const size_t scheme = sizeof("Bearer ") - 1;

    if (value.len <= scheme || value.ptr[scheme - 1] != ' ' ||
        !slice_equal_nocase(slice_of(value.ptr, scheme - 1), SLICE("Bearer")))
        return false;
    *ret_text = slice_trim(slice_of(value.ptr + scheme, value.len - scheme));
    return ret_text->len != 0;
}

/* The key as text. ERR_UNAUTHORIZED: none, or more than one. */
static enum err
presented_key(struct api_request *request, struct slice *ret_text, const char **ret_message)
{
    struct slice authorization = http_header(request->exchange, "authorization");
    struct slice own = http_header(request->exchange, "x-potik-key");
    struct slice bearer = SLICE_NONE;

    if (authorization.ptr == NULL && own.ptr == NULL) {
        *ret_message = "a key is needed: Authorization: Bearer KEY, or X-Potik-Key: KEY";
        return ERR_UNAUTHORIZED;
    }
    if (authorization.ptr != NULL && !auth_parse_bearer(authorization, &bearer)) {
        *ret_message = "Authorization must be: Bearer KEY";
        return ERR_UNAUTHORIZED;
    }
    if ((authorization.ptr != NULL && http_header_count(request->exchange, "authorization") > 1) ||
        (own.ptr != NULL && http_header_count(request->exchange, "x-potik-key") > 1) ||
        (bearer.ptr != NULL && own.ptr != NULL && !slice_equal(bearer, own))) {
        *ret_message = "more than one key was sent";
        return ERR_UNAUTHORIZED;
    }
    *ret_text = bearer.ptr != NULL ? bearer : own;
    return ERR_OK;
}

void
auth_forget(struct api_loop *loop)
{
    sodium_memzero(&loop->last_key, sizeof(loop->last_key));
}

static bool
find_key(struct api_loop *loop, struct slice text, struct access_key *ret_found)
{
    const struct access_snapshot *before = loop->access;
    int64_t now_us = clock_wall_us(loop->api->config.clock);

    /* Here, not once a turn: a loop that has slept must not serve a key revoked meanwhile. */
    access_renew(loop->api->config.access, &loop->access);
    if (loop->access != before)
        auth_forget(loop);
    if (loop->last_key.is_known && text.len == sizeof(loop->last_key.text) &&
        sodium_memcmp(text.ptr, loop->last_key.text, sizeof(loop->last_key.text)) == 0) {
        *ret_found = loop->last_key.found;
        access_note_use(loop->access, ret_found, now_us);
        return ret_found->expires_at_us == 0 || now_us < ret_found->expires_at_us;
    }
    if (!access_find_key(loop->access, text, now_us, ret_found))
        return false;
    memcpy(loop->last_key.text, text.ptr, sizeof(loop->last_key.text)); /* found: of that length */
    loop->last_key.found = *ret_found;
    loop->last_key.is_known = true;
    access_note_use(loop->access, ret_found, now_us);
    return true;
}

enum err
auth_check(struct api_request *request, const char **ret_message)
{
    enum account_key_kind wanted =
        request->route->auth == ROUTE_WRITE_KEY ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ;
    struct slice text;
    enum err err = presented_key(request, &text, ret_message);

    if (err != ERR_OK)
        return err;
    if (!access_is_usable(request->loop->api->config.access)) {
        *ret_message = "keys cannot be read for too long: their store is away; retry, same ids";
        return ERR_NOT_READY;
    }
    if (!find_key(request->loop, text, &request->key)) {
        *ret_message = "this key is unknown, revoked or expired";
        return ERR_UNAUTHORIZED;
    }
    if (request->key.kind != wanted) {
        *ret_message = wanted == ACCOUNT_KEY_WRITE
                           ? "this is a read key (rk_…); sending events needs a write key (wk_…)"
                           : "this is a write key (wk_…); reading needs a read key (rk_…)";
        return ERR_WRONG_KEY_KIND;
    }
    return ERR_OK;
}
