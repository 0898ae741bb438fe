/*
 * learnt - see learnt.h.
 */
#include "api/learnt.h"

#include "api/json.h"
#include "base/mem.h"
#include "plan/plan.h"

#include <inttypes.h>

static const char *const kind_names[WAREHOUSE_LEARNT_KINDS] = {
    [WAREHOUSE_LEARNT_NULL] = "null",       [WAREHOUSE_LEARNT_BOOLEAN] = "boolean",
    [WAREHOUSE_LEARNT_INTEGER] = "integer", [WAREHOUSE_LEARNT_NUMBER] = "number",
    [WAREHOUSE_LEARNT_STRING] = "string",   [WAREHOUSE_LEARNT_ARRAY] = "array",
    [WAREHOUSE_LEARNT_OBJECT] = "object",
};

struct writing {
    struct buf *body;
    bool is_first;
    size_t begin; /* of the document */
};

/* --- what was seen ----------------------------------------------------------------------------*/

static void
write_counts(const uint64_t counts[WAREHOUSE_LEARNT_KINDS], struct buf *body)
{
    bool is_first = true;

    buf_add_char(body, '{');
    for (int kind = 0; kind < WAREHOUSE_LEARNT_KINDS; kind++) {
        if (counts[kind] == 0)
            continue;
        buf_printf(body, "%s\"%s\":%" PRIu64, is_first ? "" : ",", kind_names[kind], counts[kind]);
        is_first = false;
    }
    buf_add_char(body, '}');
}

static void
write_seen_type(void *state, const struct warehouse_learnt_type *type)
{
    struct writing *writing = state;
    struct buf *body = writing->body;

    if (!writing->is_first)
        buf_add_char(body, ',');
    writing->is_first = false;
    json_add_text(body, type->name);
    buf_printf(body, ":{\"count\":%" PRIu64 ",\"first_seen_at\":", type->count);
    json_add_time(body, type->first_us);
    buf_add_text(body, ",\"last_seen_at\":");
    json_add_time(body, type->last_us);
    buf_printf(body, ",\"is_complete\":%s,\"properties\":{", type->is_complete ? "true" : "false");
    for (uint32_t i = 0; i < type->property_count; i++) {
        if (i != 0)
            buf_add_char(body, ',');
        json_add_text(body, type->properties[i].name);
        buf_add_char(body, ':');
        write_counts(type->properties[i].counts, body);
    }
    buf_add_text(body, "}}");
}

enum err
learnt_write_seen(struct warehouse *warehouse, uint32_t project_id, struct buf *body,
                  struct diag *diag)
{
    struct writing writing = {.body = body, .is_first = true};
    struct warehouse_view *view = NULL;
    enum err err = warehouse_view_open(warehouse, project_id, NULL, 0, &view, diag);

    if (err == ERR_NOT_READY || err == ERR_FULL) {
        buf_add_text(body, "null");
        return ERR_OK;
    }
    if (err != ERR_OK)
        return err;
    buf_add_text(body, "{\"events\":{");
    warehouse_learnt(view, write_seen_type, &writing);
    buf_add_text(body, "}}");
    warehouse_view_close(&view);
    return ERR_OK;
}

/* --- a plan of it -----------------------------------------------------------------------------*/

/* A number that was seen makes of integers numbers. */
static void
write_schema(const uint64_t counts[WAREHOUSE_LEARNT_KINDS], struct buf *body)
{
    const size_t begin = body->len;
    uint32_t count = 0;

    buf_add_char(body, '{');
    for (int kind = 0; kind < WAREHOUSE_LEARNT_KINDS; kind++) {
        if (counts[kind] == 0 ||
            (kind == WAREHOUSE_LEARNT_INTEGER && counts[WAREHOUSE_LEARNT_NUMBER] != 0))
            continue;
        buf_printf(body, "%s\"%s\"", count == 0 ? "\"type\":[" : ",", kind_names[kind]);
        count++;
    }
    if (count > 1) {
        buf_add_text(body, "]}");
        return;
    }
    body->len = begin;
    for (int kind = 0; kind < WAREHOUSE_LEARNT_KINDS; kind++) {
        if (counts[kind] != 0 &&
            (kind != WAREHOUSE_LEARNT_INTEGER || counts[WAREHOUSE_LEARNT_NUMBER] == 0))
            buf_printf(body, "{\"type\":\"%s\"}", kind_names[kind]);
    }
}

static bool
is_in_every(const struct warehouse_learnt_type *type, uint32_t i)
{
    uint64_t count = 0;

    for (int kind = 0; kind < WAREHOUSE_LEARNT_KINDS; kind++)
        count += type->properties[i].counts[kind];
    return count == type->count;
}

static void
write_required(const struct warehouse_learnt_type *type, struct buf *body)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < type->property_count; i++) {
        if (!is_in_every(type, i))
            continue;
        buf_add_text(body, count++ == 0 ? ",\"required\":[" : ",");
        json_add_text(body, type->properties[i].name);
    }
    if (count != 0)
        buf_add_char(body, ']');
}

/* Of a type too large for the rest of a document nothing stands in it. */
static void
write_plan_type(void *state, const struct warehouse_learnt_type *type)
{
    struct writing *writing = state;
    struct buf *body = writing->body;
    const size_t before = body->len;

    buf_add_text(body, writing->is_first ? "\n" : ",\n");
    json_add_text(body, type->name);
    buf_add_text(body,
                 ":{\"mode\":\"observe\",\"properties\":{\"type\":\"object\",\"properties\":{");
    for (uint32_t i = 0; i < type->property_count; i++) {
        if (i != 0)
            buf_add_char(body, ',');
        json_add_text(body, type->properties[i].name);
        buf_add_char(body, ':');
        write_schema(type->properties[i].counts, body);
    }
    buf_add_char(body, '}');
    write_required(type, body);
    if (!type->is_complete)
        buf_add_text(body, ",\"additionalProperties\":true");
    buf_add_text(body, "}}");
    if (body->len - writing->begin > PLAN_BYTES_MAX - 16)
        body->len = before;
    else
        writing->is_first = false;
}

enum err
learnt_write_plan(struct warehouse *warehouse, uint32_t project_id, struct buf *body,
                  struct diag *diag)
{
    struct writing writing = {.body = body, .is_first = true, .begin = body->len};
    struct warehouse_view *view = NULL;
    enum err err = warehouse_view_open(warehouse, project_id, NULL, 0, &view, diag);

    if (err != ERR_OK)
        return err;
    buf_add_text(body, "{\"unknown_events\":\"observe\",\"events\":{");
    warehouse_learnt(view, write_plan_type, &writing);
    buf_add_text(body, "}}");
    warehouse_view_close(&view);
    return ERR_OK;
}
