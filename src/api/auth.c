/*
 * auth - who asks: a key (`wk_…`, `rk_…`) or the token of a login, as `Authorization: Bearer TEXT`;
 * a key also as `X-Potik-Key: KEY`. And for which project.
 *
 * Layer 6, on the loops. Both fields may stand together if they are equal. A repeated field is
 * refused: one could not tell which was meant. Neither keys nor tokens reach a log or a reply.
 *
 * Hashing a key costs a good part of a single-event request's instructions, checking a token more,
 * and the next request mostly shows the same one: a loop keeps the last key and the last token it
 * has found good, compares in constant time, looks at their expiry each time, and forgets them as
 * soon as the table changes.
 *
 * The project: a key has its own, and `project=` may repeat it. For a token it is the `{}` of
 * /v1/projects/{}, else `project=`, else the only one the account has. A project that is not there
 * and one that is somebody else's are told apart by nothing.
 */
#include "api/internal.h"

#include <sodium.h>

#define PROJECT_ROUTES "/v1/projects/{}"

bool
auth_parse_bearer(struct slice value, struct slice *ret_text)
{
    static const size_t scheme = sizeof("Bearer ") - 1;

    if (value.len <= scheme ||
        (memcmp(value.ptr, "Bearer ", scheme) != 0 &&
         (value.ptr[scheme - 1] != ' ' ||
          !slice_equal_nocase(slice_of(value.ptr, scheme - 1), SLICE("Bearer")))))
        return false;
    *ret_text = slice_of(value.ptr + scheme, value.len - scheme);
    if (ret_text->ptr[0] <= ' ' || ret_text->ptr[ret_text->len - 1] <= ' ')
        *ret_text = slice_trim(*ret_text);
    return ret_text->len != 0;
}

static bool
is_for_login(const struct route *route)
{
    return route->auth == ROUTE_LOGIN || route->auth == ROUTE_OWNER || route->auth == ROUTE_ADMIN;
}

/* What is shown, as text. ERR_UNAUTHORIZED: nothing, or more than one. */
static enum err
presented(struct api_request *request, struct slice *ret_text, struct diag *diag)
{
    uint32_t count;
    struct slice authorization = http_authorization(request->exchange, &count);
    struct slice own = http_header(request->exchange, "x-potik-key");
    struct slice bearer = SLICE_NONE;

    if (authorization.ptr == NULL && own.ptr == NULL) {
        diag_set(diag, "%s",
                 is_for_login(request->route)
                     ? "a login is needed: Authorization: Bearer TOKEN, of POST /v1/auth/login"
                     : "a key is needed: Authorization: Bearer KEY, or X-Potik-Key: KEY");
        return ERR_UNAUTHORIZED;
    }
    if (authorization.ptr != NULL && !auth_parse_bearer(authorization, &bearer)) {
        diag_set(diag, "Authorization must be: Bearer KEY or Bearer TOKEN");
        return ERR_UNAUTHORIZED;
    }
    if (count > 1 || (own.ptr != NULL && http_header_count(request->exchange, "x-potik-key") > 1) ||
        (bearer.ptr != NULL && own.ptr != NULL && !slice_equal(bearer, own))) {
        diag_set(diag, "more than one key was sent");
        return ERR_UNAUTHORIZED;
    }
    *ret_text = bearer.ptr != NULL ? bearer : own;
    return ERR_OK;
}

/* Two dots or more; keys have none, and their third character is '_'. */
static bool
has_token_form(struct slice text)
{
    const char *dot = text.len == ACCOUNT_KEY_TEXT_BYTES && text.ptr[2] == '_'
                          ? NULL
                          : memchr(text.ptr, '.', text.len);

    return dot != NULL && memchr(dot + 1, '.', text.len - (size_t)(dot + 1 - text.ptr)) != NULL;
}

void
auth_forget(struct api_loop *loop)
{
    sodium_memzero(&loop->last_key, sizeof(loop->last_key));
    sodium_memzero(&loop->last_token, sizeof(loop->last_token));
    loop->quotas = QUOTAS_UNKNOWN;
}

/* NULL: not good. Lives until the next search. */
static const struct access_key *
find_key(struct api_loop *loop, struct slice text, int64_t now_us)
{
    struct access_key *last = &loop->last_key.found;

    if (!loop->last_key.is_known ||
        !slice_equal_secret(text, slice_of(loop->last_key.text, sizeof(loop->last_key.text)))) {
        if (!access_find_key(loop->access, text, now_us, last))
            return NULL; /* and the last one found stays known */
        memcpy(loop->last_key.text, text.ptr, sizeof(loop->last_key.text)); /* of that length */
        loop->last_key.is_known = true;
    } else if (last->expires_at_us != 0 && now_us >= last->expires_at_us) {
        return NULL;
    }
    access_note_use(loop->access, last, now_us);
    return last;
}

static enum err
find_token(struct api_loop *loop, struct slice text, int64_t now_us, struct access_login *ret_login,
           struct diag *diag)
{
    enum err err;

    if (loop->last_token.len != 0 && now_us < loop->last_token.found.expires_at_us &&
        slice_equal_secret(text, slice_of(loop->last_token.text, loop->last_token.len))) {
        *ret_login = loop->last_token.found;
        return ERR_OK;
    }
    err = access_find_token(loop->access, text, now_us, ret_login, diag);
    if (err != ERR_OK || text.len > sizeof(loop->last_token.text))
        return err;
    memcpy(loop->last_token.text, text.ptr, text.len);
    loop->last_token.len = text.len;
    loop->last_token.found = *ret_login;
    return ERR_OK;
}

/* --- which project ----------------------------------------------------------------------------*/

static bool
parse_id(struct slice text, uint32_t *ret_id)
{
    uint32_t id = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(id, 10, &id) ||
            __builtin_add_overflow(id, (uint32_t)(text.ptr[i] - '0'), &id))
            return false;
    }
    *ret_id = id;
    return id != 0;
}

static enum err
refuse_project(enum err err, struct diag *diag, const char *words)
{
    if (err == ERR_NOT_FOUND)
        diag_set(diag, "there is no such project, or it is not yours");
    else
        diag_set_field(diag, "project", "project: %s", words);
    return err;
}

/* Is the raw `name=value` the project? A name with escapes is decoded. */
static enum err
look_at_pair(struct api_request *request, struct slice raw, bool *ret_is_project,
             struct slice *ret_value)
{
    struct url_pair pair[1];
    struct diag diag = DIAG_INIT;
    size_t count = 0;
    uint32_t id;
    bool is_plain = raw.len > 8 && memcmp(raw.ptr, "project=", 8) == 0;

    *ret_value = is_plain ? slice_of(raw.ptr + 8, raw.len - 8) : SLICE_NONE;
    *ret_is_project = is_plain && parse_id(*ret_value, &id); /* nothing to decode */
    if (*ret_is_project)
        return ERR_OK;
    if (!is_plain && (raw.len == 0 || memchr(raw.ptr, '%', raw.len) == NULL) &&
        !slice_equal(raw, SLICE("project")) && !slice_equal(raw, SLICE("project=")))
        return ERR_OK;
    /* What does not decode is left to whoever reads the rest. */
    if (url_parse_query(raw, http_arena(request->exchange), pair, 1, &count, &diag) != ERR_OK ||
        count != 1 || !slice_equal(pair[0].name, SLICE("project")))
        return ERR_OK;
    *ret_is_project = true;
    *ret_value = pair[0].value;
    return ERR_OK;
}

/* Takes `project=` out of request->query. *ret_id 0: it was not there. */
static enum err
take_project(struct api_request *request, uint32_t *ret_id, struct diag *diag)
{
    struct slice query = request->query;
    const char *end = query.ptr != NULL ? query.ptr + query.len : NULL;
    char *rest = NULL;
    size_t rest_len = 0;
    bool is_found = false;

    *ret_id = 0;
    for (const char *at = query.ptr; at != end;) {
        const char *amp = memchr(at, '&', (size_t)(end - at));
        struct slice raw = slice_of(at, (size_t)((amp != NULL ? amp : end) - at));
        struct slice value = SLICE_NONE;
        bool is_project;
        enum err err = look_at_pair(request, raw, &is_project, &value);

        if (err != ERR_OK)
            return err;
        if (is_project && is_found)
            return refuse_project(ERR_INVALID_PARAMETER, diag, "stands twice");
        if (is_project && !parse_id(value, ret_id))
            return refuse_project(ERR_INVALID_PARAMETER, diag,
                                  "must be the id of a project, a whole number");
        if (is_project && rest == NULL) {
            rest = arena_alloc(http_arena(request->exchange), query.len);
            if (rest == NULL)
                return ERR_NOMEM;
            rest_len = (size_t)(at - query.ptr);
            if (rest_len != 0)
                memcpy(rest, query.ptr, rest_len); /* ends with '&' */
        } else if (rest != NULL) {
            memcpy(rest + rest_len, raw.ptr, raw.len);
            rest_len += raw.len;
            if (amp != NULL)
                rest[rest_len++] = '&';
        }
        is_found = is_found || is_project;
        at = amp != NULL ? amp + 1 : end;
    }
    if (rest != NULL) {
        if (rest_len != 0 && rest[rest_len - 1] == '&')
            rest_len--;
        request->query = slice_of(rest, rest_len);
    }
    return ERR_OK;
}

static bool
suffices(enum route_auth auth, enum login_role role)
{
    return role == LOGIN_ROLE_OWNER || (auth == ROUTE_WRITE && role == LOGIN_ROLE_INGEST) ||
           (auth == ROUTE_READ && role == LOGIN_ROLE_ANALYST);
}

static bool
is_named_by_path(const struct route *route)
{
    return !route->is_ingest &&
           strncmp(route->pattern, PROJECT_ROUTES, sizeof(PROJECT_ROUTES) - 1) == 0;
}

static enum err
find_project(struct api_request *request, struct diag *diag)
{
    const struct api_loop *loop = request->loop;
    uint32_t id = 0;
    enum login_role role;
    enum err err = ERR_OK;

    if (is_named_by_path(request->route)) {
        if (!parse_id(request->segments[0], &id))
            return refuse_project(ERR_NOT_FOUND, diag, NULL);
    } else {
        err = take_project(request, &id, diag);
        if (err == ERR_OK && id == 0 && request->route->may_ask_all && request->login.is_admin)
            return ERR_OK;
        if (err == ERR_OK && id == 0) {
            id = access_only_project(loop->access, &request->login);
            if (id == 0)
                err = refuse_project(
                    ERR_INVALID_PARAMETER, diag,
                    "is needed here: add project=ID; GET /v1/auth/me lists your projects");
        }
    }
    if (err != ERR_OK)
        return err;
    role = access_role(loop->access, &request->login, id);
    if (role == LOGIN_ROLE_NONE)
        return refuse_project(ERR_NOT_FOUND, diag, NULL);
    if (!suffices(request->route->auth, role)) {
        diag_set(diag, "your role in this project is %s; this needs %s", login_role_name(role),
                 request->route->auth == ROUTE_WRITE  ? "ingest or owner"
                 : request->route->auth == ROUTE_READ ? "analyst or owner"
                                                      : "owner");
        return ERR_FORBIDDEN;
    }
    request->project_id = id;
    return ERR_OK;
}

/* --- the two kinds ----------------------------------------------------------------------------*/

static void
set_actor(struct api_request *request, enum account_actor_kind kind, uint64_t id)
{
    request->actor.kind = kind;
    request->actor.id = id;
    if (!request->route->is_ingest)
        api_format_peer(request, request->actor.from);
}

static enum err
check_key(struct api_request *request, struct slice text, int64_t now_us, struct diag *diag)
{
    enum route_auth auth = request->route->auth;
    const struct access_key *key = find_key(request->loop, text, now_us);
    uint32_t asked;
    enum err err;

    if (key == NULL) {
        diag_set(diag, "this key is unknown, revoked or expired");
        return ERR_UNAUTHORIZED;
    }
    if (is_for_login(request->route)) {
        diag_set(diag, "keys send events and read stats; this needs a login: POST /v1/auth/login");
        return ERR_WRONG_KEY_KIND;
    }
    if (key->kind != (auth == ROUTE_WRITE ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ)) {
        diag_set(diag, "%s",
                 auth == ROUTE_WRITE
                     ? "this is a read key (rk_…); sending events needs a write key (wk_…)"
                     : "this is a write key (wk_…); reading needs a read key (rk_…)");
        return ERR_WRONG_KEY_KIND;
    }
    if (is_named_by_path(request->route) &&
        (!parse_id(request->segments[0], &asked) || asked != key->project_id))
        return refuse_project(ERR_NOT_FOUND, diag, NULL);
    request->project_id = key->project_id;
    set_actor(request, ACCOUNT_ACTOR_KEY, key->key_id);
    if (request->query.ptr == NULL)
        return ERR_OK;
    err = take_project(request, &asked, diag);
    if (err == ERR_OK && asked != 0 && asked != key->project_id)
        err = refuse_project(ERR_NOT_FOUND, diag, NULL);
    return err;
}

static enum err
check_token(struct api_request *request, struct slice text, int64_t now_us, struct diag *diag)
{
    enum err err = find_token(request->loop, text, now_us, &request->login, diag);

    if (err != ERR_OK)
        return err;
    set_actor(request, ACCOUNT_ACTOR_LOGIN, request->login.login_id);
    if (request->route->auth == ROUTE_LOGIN)
        return ERR_OK;
    if (request->route->auth == ROUTE_ADMIN) {
        if (request->login.is_admin)
            return ERR_OK;
        diag_set(diag, "this is for administrators");
        return ERR_FORBIDDEN;
    }
    return find_project(request, diag);
}

enum err
auth_check(struct api_request *request, struct diag *diag)
{
    struct api_loop *loop = request->loop;
    const struct access_snapshot *before = loop->access;
    const int64_t now_us = request->arrived_at_us;
    struct slice text;
    enum err err = presented(request, &text, diag);

    if (err != ERR_OK)
        return err;
    if (!access_is_usable(loop->api->config.access)) {
        diag_set(diag, "keys cannot be read for too long: their store is away; retry, same ids");
        return ERR_NOT_READY;
    }
    /* Here, not once a turn: a loop that has slept must not serve a key revoked meanwhile. */
    access_renew(loop->api->config.access, &loop->access);
    if (loop->access != before)
        auth_forget(loop);
    if (!has_token_form(text))
        return check_key(request, text, now_us, diag);
    if (http_header(request->exchange, "x-potik-key").ptr != NULL) {
        diag_set(diag, "X-Potik-Key takes a key; send a token as Authorization: Bearer TOKEN");
        return ERR_UNAUTHORIZED;
    }
    return check_token(request, text, now_us, diag);
}
