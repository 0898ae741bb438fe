/*
 * redis_url - see redis_url.h. What is refused is never quoted whole: it may hold a password.
 */
#include "limit/redis_url.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/slice.h"
#include "codec/url.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DATABASE_MAX 65535

static const char form[] =
    "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] or unix:/path/of/redis.sock";

static enum err
refuse(struct diag *diag, const char *what)
{
    diag_set_field(diag, "redis", "redis: %s; it must be %s", what, form);
    return ERR_INVALID;
}

static bool
copy(struct slice text, char *place, size_t bytes)
{
    if (text.len >= bytes)
        return false;
    if (text.len != 0)
        memcpy(place, text.ptr, text.len);
    place[text.len] = '\0';
    return true;
}

/* 1 … 5 digits, at most `max`. */
static bool
parse_number(struct slice text, uint32_t max, uint32_t *ret_number)
{
    uint32_t number = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i]))
            return false;
        number = number * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *ret_number = number;
    return number <= max;
}

static bool
begins_with(struct slice text, struct slice beginning)
{
    return text.len >= beginning.len && memcmp(text.ptr, beginning.ptr, beginning.len) == 0;
}

static struct slice
before(struct slice text, const char *end)
{
    return slice_of(text.ptr, (size_t)(end - text.ptr));
}

static struct slice
behind(struct slice text, const char *begin)
{
    return slice_of(begin + 1, text.len - (size_t)(begin + 1 - text.ptr));
}

static enum err
decode(struct slice raw, char *place, size_t bytes, const char *what, struct diag *diag)
{
    CLEANUP(arena_fini) struct arena arena;
    struct slice text = raw;
    enum err err = ERR_OK;

    arena_init(&arena, 4096, 64 * 1024);
    if (raw.len != 0)
        err = url_decode_segment(raw, &arena, &text);
    if (err == ERR_NOMEM)
        return err;
    if (err != ERR_OK || !copy(text, place, bytes))
        return refuse(diag, what);
    return ERR_OK;
}

static enum err
parse_credentials(struct slice text, struct redis_url *url, struct diag *diag)
{
    const char *colon = memchr(text.ptr, ':', text.len);
    enum err err;

    if (colon == NULL)
        return refuse(diag, "what stands before the @ has no password, ':' before it");
    err = decode(before(text, colon), url->user, sizeof(url->user),
                 "the user's name is too long, or not percent-encoded", diag);
    if (err == ERR_OK)
        err = decode(behind(text, colon), url->password, sizeof(url->password),
                     "the password is too long, or not percent-encoded", diag);
    return err;
}

/* HOST[:PORT] */
static enum err
parse_place(struct slice text, struct redis_url *url, struct diag *diag)
{
    struct slice port = SLICE("6379");
    struct slice host = text;
    uint32_t number;
    const char *colon;

    if (text.len != 0 && text.ptr[0] == '[') {
        const char *end = memchr(text.ptr, ']', text.len);

        if (end == NULL)
            return refuse(diag, "the bracket of the IPv6 address is not closed");
        host = before(behind(text, text.ptr), end);
        text = behind(text, end);
        if (text.len != 0 && text.ptr[0] != ':')
            return refuse(diag, "the port must stand behind the bracket and ':'");
        colon = text.len != 0 ? text.ptr : NULL;
    } else {
        colon = memchr(text.ptr, ':', text.len);
        if (colon != NULL)
            host = before(text, colon);
    }
    if (colon != NULL)
        port = behind(text, colon);
    if (!parse_number(port, 65535, &number) || number == 0)
        return refuse(diag, "the port is not 1 to 65535");
    if (host.len == 0 || !copy(host, url->host, sizeof(url->host)))
        return refuse(diag, "the host is absent, or too long");
    for (size_t i = 0; i < host.len; i++)
        if (!isalnum((unsigned char)host.ptr[i]) && strchr("-._:%", host.ptr[i]) == NULL)
            return refuse(diag, "the host has characters that no host has");
    memcpy(url->port, port.ptr, port.len); /* at most 5 digits */
    url->port[port.len] = '\0';
    return ERR_OK;
}

static enum err
parse_tcp(struct slice text, struct redis_url *url, struct diag *diag)
{
    const char *at = memrchr(text.ptr, '@', text.len);
    const char *slash;
    enum err err = ERR_OK;

    if (at != NULL) {
        err = parse_credentials(before(text, at), url, diag);
        text = behind(text, at);
    }
    if (err != ERR_OK)
        return err;
    slash = memchr(text.ptr, '/', text.len);
    if (slash != NULL && slash + 1 != text.ptr + text.len &&
        !parse_number(behind(text, slash), DATABASE_MAX, &url->database))
        return refuse(diag, "the database is not a number from 0 to 65535");
    return parse_place(slash != NULL ? before(text, slash) : text, url, diag);
}

static enum err
parse(struct slice text, struct redis_url *url, struct diag *diag)
{
    const struct slice tcp = SLICE("redis://");
    const struct slice local = SLICE("unix:/");

    if (begins_with(text, SLICE("rediss://")))
        return refuse(diag, "TLS to Redis is not supported: use a private network or a tunnel");
    if (begins_with(text, tcp))
        return parse_tcp(slice_of(text.ptr + tcp.len, text.len - tcp.len), url, diag);
    if (!begins_with(text, local))
        return refuse(diag, "this is no address of a Redis server");
    if (!copy(slice_of(text.ptr + local.len - 1, text.len - local.len + 1), url->path,
              sizeof(url->path)) ||
        url->path[1] == '\0')
        return refuse(diag, "the socket's path is absent, or over 107 bytes");
    return ERR_OK;
}

enum err
redis_url_parse(const char *text, struct redis_url *ret_url, struct diag *diag)
{
    struct redis_url url = {.database = 0};
    enum err err = parse(slice_of_text(text), &url, diag);

    if (err == ERR_OK)
        *ret_url = url;
    explicit_bzero(&url, sizeof(url));
    return err;
}
