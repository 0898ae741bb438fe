/*
 * keys - GET, POST /v1/projects/{id}/keys; DELETE /v1/projects/{id}/keys/{key}.
 *
 * Layer 6, at the desk. A key's text is in one answer, that of its making, and never again.
 */
#include "api/internal.h"
#include "api/rows.h"
#include "base/mem.h"

#include <sodium.h>

static int64_t
now_us(const struct resource *res)
{
    return clock_wall_us(res->api->config.clock);
}

static enum err
run_list(struct resource *res, struct diag *diag)
{
    struct account_list list = {NULL, 0, NULL, 0};
    bool is_first = true;
    enum err err = account_list(res->account, &list, diag);

    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"keys\":[");
    for (size_t i = 0; i < list.key_count; i++) {
        if (list.keys[i].project_id != res->project_id)
            continue;
        if (!is_first)
            buf_add_char(res->body, ',');
        rows_write_key(&list.keys[i], NULL, now_us(res), res->body);
        is_first = false;
    }
    buf_add_text(res->body, "]}");
    account_list_free(&list);
    return ERR_OK;
}

const struct resource_kind keys_list_resource = {.lane = DESK_LANE, .run = run_list};

static enum err
take_kind(struct slice text, enum account_key_kind *ret_kind, struct diag *diag)
{
    if (slice_equal(text, SLICE("write")))
        *ret_kind = ACCOUNT_KEY_WRITE;
    else if (slice_equal(text, SLICE("read")))
        *ret_kind = ACCOUNT_KEY_READ;
    else {
        diag_set_field(diag, "kind", "kind: must be \"write\" or \"read\"");
        return ERR_INVALID_PARAMETER;
    }
    return ERR_OK;
}

static enum err
run_create(struct resource *res, struct diag *diag)
{
    enum { KIND, NAME, EXPIRES_AT, FIELDS };
    static const struct body_field fields[FIELDS] = {
        {"kind", BODY_TEXT, true}, {"name", BODY_TEXT, true}, {"expires_at", BODY_TEXT, false}};
    struct body_value values[FIELDS];
    char name[ACCOUNT_NAME_BYTES + 1], text[ACCOUNT_KEY_TEXT_BYTES + 1];
    enum account_key_kind kind;
    struct account_key key;
    int64_t expires_at_us = 0;
    enum err err = resource_read_body(res, fields, FIELDS, values, diag);

    if (err == ERR_OK)
        err = take_kind(values[KIND].text, &kind, diag);
    if (err == ERR_OK)
        err = rows_take_text(&values[NAME], "name", name, sizeof(name), diag);
    if (err == ERR_OK && values[EXPIRES_AT].is_given)
        err = rows_take_time(&values[EXPIRES_AT], "expires_at", &expires_at_us, diag);
    if (err == ERR_OK)
        err = account_key_new(res->account, res->actor, res->project_id, kind, name, expires_at_us,
                              text, &key, diag);
    if (err != ERR_OK)
        return err;
    res->status = 201;
    res->has_changed = true;
    buf_add_text(res->body, "{\"key\":");
    rows_write_key(&key, text, now_us(res), res->body);
    buf_add_char(res->body, '}');
    sodium_memzero(text, sizeof(text));
    return ERR_OK;
}

const struct resource_kind key_create_resource = {.lane = DESK_LANE, .run = run_create};

static enum err
run_revoke(struct resource *res, struct diag *diag)
{
    uint64_t key_id = 0;
    enum err err = resource_segment_number(res, 1, &key_id);

    res->status = 204;
    res->has_changed = true;
    if (err == ERR_OK)
        err = account_key_revoke(res->account, res->actor, res->project_id, key_id, diag);
    if (err == ERR_ABSENT || err == ERR_NOT_FOUND)
        diag_set(diag, "there is no such key in this project");
    return err;
}

const struct resource_kind key_revoke_resource = {.lane = DESK_LANE, .run = run_revoke};
