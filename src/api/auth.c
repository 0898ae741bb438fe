/*
 * auth - who asks, and of which project: a key (`Authorization: Bearer KEY` or `X-Potik-Key: KEY`),
 * or the access token of somebody who has logged in (`Authorization: Bearer TOKEN`).
 *
 * Layer 6, on the loops. Both fields may stand together if they are equal. A repeated field is
 * refused: one could not tell which was meant. Keys and tokens never reach a log or a reply.
 *
 * Of which project: a key is of one. With a token it is the project of the path, or `project=`, or
 * the only one the account has a role in. A project that is not there and one that is not theirs
 * are answered alike, so that nobody learns which ids exist. `project=` is taken out of the query
 * here: no resource sees it.
 *
 * The next request mostly shows the same text: a loop keeps the last key and the last token it has
 * found, compares in constant time, and forgets them as soon as the table of access changes.
 *
 * Each refusal (401) is one line of the log, REFUSALS_A_SECOND at most; the rest are counted.
 */
#include "api/internal.h"

#include <sodium.h>
#include <string.h>

#define REFUSALS_A_SECOND 20U

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

/* --- what was presented -----------------------------------------------------------------------*/

/* The credential as text. ERR_UNAUTHORIZED: none, or more than one. */
static enum err
presented(struct api_request *request, struct slice *ret_text, bool *ret_is_key_only,
          struct diag *diag)
{
    struct slice authorization = http_header(request->exchange, "authorization");
    struct slice own = http_header(request->exchange, "x-potik-key");
    struct slice bearer = SLICE_NONE;

    if (authorization.ptr == NULL && own.ptr == NULL) {
        diag_set(diag,
                 "a key or a token is needed: Authorization: Bearer KEY, or X-Potik-Key: KEY");
        return ERR_UNAUTHORIZED;
    }
    if (authorization.ptr != NULL && !auth_parse_bearer(authorization, &bearer)) {
        diag_set(diag, "Authorization must be: Bearer KEY, or Bearer TOKEN");
        return ERR_UNAUTHORIZED;
    }
    if ((authorization.ptr != NULL && http_header_count(request->exchange, "authorization") > 1) ||
        (own.ptr != NULL && http_header_count(request->exchange, "x-potik-key") > 1) ||
        (bearer.ptr != NULL && own.ptr != NULL && !slice_equal(bearer, own))) {
        diag_set(diag, "more than one key was sent");
        return ERR_UNAUTHORIZED;
    }
    *ret_text = bearer.ptr != NULL ? bearer : own;
    *ret_is_key_only = own.ptr != NULL;
    return ERR_OK;
}

void
auth_forget(struct api_loop *loop)
{
    sodium_memzero(&loop->last_key, sizeof(loop->last_key));
    sodium_memzero(&loop->last_token, sizeof(loop->last_token));
}

/* Here, not once a turn: a loop that has slept must not serve a key revoked meanwhile. */
static void
renew(struct api_loop *loop)
{
    const struct access_snapshot *before = loop->access;

    access_renew(loop->api->config.access, &loop->access);
    if (loop->access != before)
        auth_forget(loop);
}

static bool
find_key(struct api_loop *loop, struct slice text, int64_t now_us, struct access_key *ret_key)
{
    if (loop->last_key.is_known && text.len == sizeof(loop->last_key.text) &&
        sodium_memcmp(text.ptr, loop->last_key.text, sizeof(loop->last_key.text)) == 0) {
        *ret_key = loop->last_key.found;
        if (ret_key->expires_at_us != 0 && now_us >= ret_key->expires_at_us)
            return false;
    } else {
        if (!access_find_key(loop->access, text, now_us, ret_key))
            return false;
        memcpy(loop->last_key.text, text.ptr, sizeof(loop->last_key.text)); /* of that length */
        loop->last_key.found = *ret_key;
        loop->last_key.is_known = true;
    }
    access_note_use(loop->access, ret_key, now_us);
    return true;
}

static enum err
find_token(struct api_loop *loop, struct slice text, int64_t now_us, struct access_login *ret_login,
           struct diag *diag)
{
    enum err err;

    if (loop->last_token.len != 0 && text.len == loop->last_token.len &&
        sodium_memcmp(text.ptr, loop->last_token.text, text.len) == 0 &&
        now_us < loop->last_token.login.expires_at_us) {
        *ret_login = loop->last_token.login;
        return ERR_OK;
    }
    err = access_find_token(loop->access, text, now_us, ret_login, diag);
    if (err != ERR_OK || text.len > TOKEN_MADE_BYTES_MAX)
        return err;
    memcpy(loop->last_token.text, text.ptr, text.len);
    loop->last_token.len = text.len;
    loop->last_token.login = *ret_login;
    return ERR_OK;
}

/* --- where it comes from ----------------------------------------------------------------------*/

/* The peer's address, or the last of X-Forwarded-For behind a proxy that is trusted. */
void
auth_note_peer(struct api_request *request)
{
    struct slice from = http_peer(request->exchange);
    struct slice forwarded = http_header(request->exchange, "x-forwarded-for");
    size_t len;

    if (request->loop->api->config.trusts_proxy && forwarded.ptr != NULL && forwarded.len != 0) {
        const char *comma = memrchr(forwarded.ptr, ',', forwarded.len);
        const char *begin = comma != NULL ? comma + 1 : forwarded.ptr;

        from = slice_trim(slice_of(begin, (size_t)(forwarded.ptr + forwarded.len - begin)));
    }
    len = from.len < ACCOUNT_FROM_BYTES ? from.len : ACCOUNT_FROM_BYTES;
    memcpy(request->actor.from, from.ptr, len);
    request->actor.from[len] = '\0';
    request->query = http_query(request->exchange);
}

static void
tell_refusal(struct api_request *request, const struct diag *diag)
{
    struct api_loop *loop = request->loop;
    int64_t second = clock_steady_ns(loop->api->config.clock) / NS_PER_S;

    if (second != loop->refusals_second) {
        if (loop->refusals_left != 0)
            SINK(loop->api->config.sink, LOG_LEVEL_WARN, "auth.refused_more",
                 LOG_U64("count", loop->refusals_left));
        loop->refusals_second = second;
        loop->refusals_told = 0;
        loop->refusals_left = 0;
    }
    if (loop->refusals_told == REFUSALS_A_SECOND) {
        loop->refusals_left++;
        return;
    }
    loop->refusals_told++;
    SINK(loop->api->config.sink, LOG_LEVEL_WARN, "auth.refused",
         LOG_SLICE("request_id", http_request_id(request->exchange)),
         LOG_TEXT("from", request->actor.from), LOG_TEXT("route", request->route->pattern),
         LOG_TEXT("reason", diag->message));
}

/* --- which project ----------------------------------------------------------------------------*/

/* 0: not the id of any project. */
static uint32_t
parse_project(struct slice text)
{
    uint64_t id = 0;

    if (text.len == 0 || text.len > 10 || text.ptr[0] == '0')
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return 0;
        id = id * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return id <= UINT32_MAX ? (uint32_t)id : 0;
}

/* Cuts `project=…` out of the query, into a copy. *ret_value: ptr NULL where there is none. */
static enum err
take_project_parameter(struct api_request *request, struct slice *ret_value, struct diag *diag)
{
    static const struct slice name = {"project=", 8};
    struct slice query = http_query(request->exchange);
    char *copy;
    size_t len = 0;

    *ret_value = SLICE_NONE;
    if (query.ptr == NULL || memmem(query.ptr, query.len, name.ptr, name.len) == NULL)
        return ERR_OK;
    copy = ARENA_NEW(http_arena(request->exchange), char, query.len + 1);
    if (copy == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i <= query.len;) {
        const char *pair = query.ptr + i;
        const char *end = memchr(pair, '&', query.len - i);
        size_t pair_len = end != NULL ? (size_t)(end - pair) : query.len - i;

        i += pair_len + 1;
        if (pair_len < name.len || memcmp(pair, name.ptr, name.len) != 0) {
            if (len != 0)
                copy[len++] = '&';
            memcpy(copy + len, pair, pair_len);
            len += pair_len;
            continue;
        }
        if (ret_value->ptr != NULL) {
            diag_set_field(diag, "project", "project: stands twice");
            return ERR_INVALID_PARAMETER;
        }
        *ret_value = slice_of(pair + name.len, pair_len - name.len);
    }
    request->query = slice_of(copy, len);
    return ERR_OK;
}

static enum err
not_found(struct diag *diag)
{
    diag_set(diag, "there is no such project, or it is not yours");
    return ERR_NOT_FOUND;
}

/* The project that the request names, in its path or as project=; *ret_is_named false: none. */
static enum err
named_project(struct api_request *request, bool *ret_is_named, uint32_t *ret_project_id,
              struct diag *diag)
{
    struct slice parameter;
    enum err err = take_project_parameter(request, &parameter, diag);

    if (err != ERR_OK)
        return err;
    *ret_is_named = request->route->has_project || parameter.ptr != NULL;
    *ret_project_id = 0;
    if (request->route->has_project)
        *ret_project_id = parse_project(request->segments[0]);
    else if (parameter.ptr != NULL)
        *ret_project_id = parse_project(parameter);
    if (request->route->has_project && parameter.ptr != NULL &&
        parse_project(parameter) != *ret_project_id)
        return not_found(diag);
    return ERR_OK;
}

/* --- what is allowed --------------------------------------------------------------------------*/

static enum err
refuse_key(const struct api_request *request, enum account_key_kind kind, struct diag *diag)
{
    switch (request->route->auth) {
    case ROUTE_WRITE:
        if (kind == ACCOUNT_KEY_WRITE)
            return ERR_OK;
        diag_set(diag, "this is a read key (rk_…); sending events needs a write key (wk_…)");
        return ERR_WRONG_KEY_KIND;
    case ROUTE_READ:
        if (kind == ACCOUNT_KEY_READ)
            return ERR_OK;
        diag_set(diag, "this is a write key (wk_…); reading needs a read key (rk_…)");
        return ERR_WRONG_KEY_KIND;
    case ROUTE_OPEN:
    case ROUTE_LOGIN:
    case ROUTE_OWNER:
    case ROUTE_ADMIN:
        break;
    }
    diag_set(diag, "a key does not do here: log in (POST /v1/auth/login) and send the token");
    return ERR_WRONG_KEY_KIND;
}

static enum err
check_key(struct api_request *request, struct slice text, int64_t now_us, struct diag *diag)
{
    struct access_key key;
    uint32_t project_id;
    bool is_named;
    enum err err;

    if (!find_key(request->loop, text, now_us, &key)) {
        diag_set(diag, "this key is unknown, revoked or expired");
        return ERR_UNAUTHORIZED;
    }
    request->actor.kind = ACCOUNT_ACTOR_KEY;
    request->actor.id = key.key_id;
    err = refuse_key(request, key.kind, diag);
    if (err == ERR_OK)
        err = named_project(request, &is_named, &project_id, diag);
    if (err != ERR_OK)
        return err;
    if (is_named && project_id != key.project_id)
        return not_found(diag);
    request->project_id = key.project_id;
    return ERR_OK;
}

static bool
suffices(enum route_auth auth, enum login_role role)
{
    switch (auth) {
    case ROUTE_WRITE:
        return role == LOGIN_ROLE_INGEST || role == LOGIN_ROLE_OWNER;
    case ROUTE_READ:
        return role == LOGIN_ROLE_ANALYST || role == LOGIN_ROLE_OWNER;
    case ROUTE_OWNER:
        return role == LOGIN_ROLE_OWNER;
    case ROUTE_OPEN:
    case ROUTE_LOGIN:
    case ROUTE_ADMIN:
        break;
    }
    return true;
}

/* The account's role in the project it names, or in its only one. */
static enum err
check_role(struct api_request *request, struct diag *diag)
{
    const struct access_snapshot *access = request->loop->access;
    const struct access_login *login = &request->login;
    uint32_t project_id = 0;
    bool is_named = false;
    enum login_role role;
    enum err err = named_project(request, &is_named, &project_id, diag);

    if (err != ERR_OK)
        return err;
    if (!is_named && request->route->may_ask_all && login->is_admin)
        return ERR_OK;
    if (!is_named)
        project_id = access_only_project(access, login);
    if (!is_named && project_id == 0) {
        diag_set_field(diag, "project",
                       "project: the account has several projects, or none; add project=ID "
                       "(GET /v1/auth/me lists them)");
        return ERR_INVALID_PARAMETER;
    }
    role = access_role(access, login, project_id);
    if (role == LOGIN_ROLE_NONE)
        return not_found(diag);
    if (!suffices(request->route->auth, role)) {
        diag_set(diag, "the role %s in this project does not allow it; it takes %s",
                 login_role_name(role),
                 request->route->auth == ROUTE_WRITE  ? "ingest or owner"
                 : request->route->auth == ROUTE_READ ? "analyst or owner"
                                                      : "owner");
        return ERR_FORBIDDEN;
    }
    request->project_id = project_id;
    return ERR_OK;
}

static enum err
check_token(struct api_request *request, struct slice text, int64_t now_us, struct diag *diag)
{
    enum err err = find_token(request->loop, text, now_us, &request->login, diag);

    if (err != ERR_OK)
        return err;
    request->has_login = true;
    request->actor.kind = ACCOUNT_ACTOR_LOGIN;
    request->actor.id = request->login.login_id;
    if (request->route->auth == ROUTE_LOGIN)
        return ERR_OK;
    if (request->route->auth != ROUTE_ADMIN)
        return check_role(request, diag);
    if (request->login.is_admin)
        return ERR_OK;
    diag_set(diag, "only a server admin may do this");
    return ERR_FORBIDDEN;
}

/* Keys have no point in them, tokens two. */
static bool
may_be_token(struct slice text)
{
    return memchr(text.ptr, '.', text.len) != NULL;
}

enum err
auth_check(struct api_request *request, struct diag *diag)
{
    int64_t now_us = clock_wall_us(request->loop->api->config.clock);
    bool is_key_only = false;
    struct slice text;
    enum err err;

    auth_note_peer(request);
    err = presented(request, &text, &is_key_only, diag);
    if (err == ERR_OK && !access_is_usable(request->loop->api->config.access)) {
        diag_set(diag, "keys cannot be read for too long: their store is away; retry, same ids");
        return ERR_NOT_READY;
    }
    if (err == ERR_OK) {
        renew(request->loop);
        err = !is_key_only && may_be_token(text) ? check_token(request, text, now_us, diag)
                                                 : check_key(request, text, now_us, diag);
    }
    if (err == ERR_UNAUTHORIZED)
        tell_refusal(request, diag);
    return err;
}
