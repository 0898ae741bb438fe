/*
 * plan_edit - see plan_edit.h.
 */
#include "cli/plan_edit.h"

#include "base/mem.h"
#include "codec/json_reader.h"
#include "codec/json_scan.h"
#include "plan/walk.h"

#include <string.h>

#define JSON_DEPTH 64

/* Decoded keys are compared: "\u0074" is "t". */
static bool
is_key(struct slice raw, bool is_escaped, struct slice wanted)
{
    struct json_text text = {.ptr = raw.ptr, .len = raw.len, .is_escaped = true};
    char room[6 * PLAN_TYPE_BYTES_MAX];

    if (!is_escaped)
        return slice_equal(raw, wanted);
    return raw.len <= sizeof(room) && slice_equal(json_text_decode_into(&text, room), wanted);
}

/* The value of a member of the object at `at`; NULL: it has none of that name, or is no object. */
static const char *
member(const char *at, const char *end, struct slice name)
{
    if (*at != '{')
        return NULL;
    for (at = walk_first(at); *at != '}'; at = walk_next(at)) {
        struct slice key;
        bool is_escaped;

        at = walk_colon(walk_text(at, end, &key, &is_escaped));
        if (is_key(key, is_escaped, name))
            return at;
        at = walk_value(at, end);
    }
    return NULL;
}

enum err
plan_edit_find(struct slice reply, uint64_t *ret_revision, struct slice *ret_document,
               struct diag *diag)
{
    const char *end = reply.ptr + reply.len;
    const char *revision, *plan;
    struct json_check check;
    uint64_t number = 0;

    json_check_init(&check, JSON_DEPTH);
    if (!json_check_feed(&check, reply.ptr, reply.len) || !json_check_end(&check)) {
        diag_set(diag, "the reply is no JSON: is this a Potik server?");
        return ERR_INVALID_JSON;
    }
    revision = member(walk_space(reply.ptr), end, SLICE("revision"));
    plan = member(walk_space(reply.ptr), end, SLICE("plan"));
    if (revision == NULL || plan == NULL) {
        diag_set(diag, "the reply has no plan: is this a Potik server of this version?");
        return ERR_INVALID_JSON;
    }
    for (; *revision >= '0' && *revision <= '9'; revision++)
        number = number * 10 + (uint64_t)(*revision - '0');
    *ret_revision = number;
    *ret_document = slice_of(plan, (size_t)(walk_value(plan, end) - plan));
    return ERR_OK;
}

enum err
plan_edit_mode(struct slice document, struct slice type, enum plan_mode mode,
               struct buf *ret_document, struct diag *diag)
{
    const char *end = document.ptr + document.len;
    const char *events, *found, *old;
    struct plan *plan = NULL;
    enum err err = plan_compile(document, &plan, diag);

    if (err != ERR_OK)
        return err;
    plan_release(&plan);
    events = member(walk_space(document.ptr), end, SLICE("events"));
    found = events != NULL ? member(events, end, type) : NULL;
    if (found == NULL) {
        diag_set(diag,
                 "the plan has no event type \"%.*s\"; add it first: potik plan suggest shows what "
                 "was seen, potik plan set FILE sets a plan",
                 (int)(type.len < 200 ? type.len : 200), type.ptr);
        return ERR_ABSENT;
    }
    old = member(found, end, SLICE("mode"));
    if (old != NULL) {
        buf_add(ret_document, document.ptr, (size_t)(old - document.ptr));
        buf_printf(ret_document, "\"%s\"", plan_mode_name(mode));
        old = walk_value(old, end);
    } else {
        old = walk_first(found);
        buf_add(ret_document, document.ptr, (size_t)(found + 1 - document.ptr));
        buf_printf(ret_document, "\"mode\":\"%s\"%s", plan_mode_name(mode), *old == '}' ? "" : ",");
        old = found + 1;
    }
    buf_add(ret_document, old, (size_t)(end - old));
    return buf_failed(ret_document) ? ERR_NOMEM : ERR_OK;
}
