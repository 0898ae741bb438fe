/*
 * rows - see rows.h.
 */
#include "api/rows.h"

#include "api/json.h"
#include "codec/rfc3339.h"

#include <inttypes.h>
#include <string.h>

/* null where it is 0. */
static void
add_time(struct buf *body, const char *name, int64_t unix_us)
{
    buf_printf(body, ",\"%s\":", name);
    if (unix_us == 0)
        buf_add_text(body, "null");
    else
        json_add_time(body, unix_us);
}

void
rows_write_key(const struct account_key *key, const char *text, int64_t now_us, struct buf *body)
{
    const bool is_expired = key->expires_at_us != 0 && now_us >= key->expires_at_us;

    buf_printf(body, "{\"id\":%" PRIu64 ",\"kind\":\"%s\",\"name\":", key->id,
               account_kind_name(key->kind));
    json_add_text(body, slice_of_text(key->name));
    if (text != NULL)
        buf_printf(body, ",\"text\":\"%s\"", text);
    buf_printf(body, ",\"last4\":\"%s\",\"state\":\"%s\"", key->last4,
               key->revoked_at_us != 0 ? "revoked"
               : is_expired            ? "expired"
                                       : "active");
    add_time(body, "created_at", key->created_at_us);
    add_time(body, "expires_at", key->expires_at_us);
    add_time(body, "last_used_at", key->last_used_at_us);
    add_time(body, "revoked_at", key->revoked_at_us);
    buf_add_char(body, '}');
}

void
rows_write_login(const struct login *login, const char *password, struct buf *body)
{
    buf_printf(body, "{\"id\":%" PRIu64 ",\"email\":", login->id);
    json_add_text(body, slice_of_text(login->email));
    buf_printf(body, ",\"is_admin\":%s", login->is_admin ? "true" : "false");
    if (password != NULL)
        buf_printf(body, ",\"password\":\"%s\"", password);
    add_time(body, "created_at", login->created_at_us);
    add_time(body, "last_login_at", login->last_login_at_us);
    buf_add_char(body, '}');
}

void
rows_write_erasure(const struct erasure *erasure, struct buf *body)
{
    const struct selection *selection = &erasure->selection;
    const bool is_range =
        selection->kind == SELECTION_RECEIVED || selection->kind == SELECTION_OCCURRED;

    buf_printf(body,
               "{\"id\":%" PRIu64 ",\"project\":%" PRIu32
               ",\"reason\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\",\"dry_run\":%s,"
               "\"free_ids\":%s,\"events\":%" PRIu64,
               erasure->id, selection->project_id, erasure_reason_name(erasure->reason),
               erasure_kind_name(selection->kind), erasure_state_name(erasure->state),
               erasure->is_dry_run ? "true" : "false", erasure->frees_ids ? "true" : "false",
               erasure->events);
    buf_printf(body, ",\"progress\":{\"done\":%" PRIu64 ",\"total\":%" PRIu64 "}", erasure->done,
               erasure->total);
    if (is_range) {
        add_time(body, "from", selection->from_us);
        add_time(body, "to", selection->to_us);
    }
    buf_add_text(body, ",\"person_hash\":");
    json_add_text(body, erasure->person_hash[0] != '\0' ? slice_of_text(erasure->person_hash)
                                                        : SLICE_NONE);
    buf_add_text(body, ",\"error\":");
    json_add_text(body, erasure->error[0] != '\0' ? slice_of_text(erasure->error) : SLICE_NONE);
    add_time(body, "requested_at", erasure->requested_at_us);
    add_time(body, "finished_at", erasure->finished_at_us);
    buf_add_char(body, '}');
}

enum err
rows_answer_erasure(struct resource *res, uint64_t id, struct diag *diag)
{
    struct erasure erasure;
    enum err err = erasure_get(res->account, id, &erasure, diag);

    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"erasure\":");
    rows_write_erasure(&erasure, res->body);
    buf_add_char(res->body, '}');
    return ERR_OK;
}

/* --- values -----------------------------------------------------------------------------------*/

enum err
rows_take_text(const struct body_value *value, const char *field, char *ret_text, size_t size,
               struct diag *diag)
{
    if (value->text.len >= size) {
        diag_set_field(diag, field, "%s: must have %zu bytes at most", field, size - 1);
        return ERR_TOO_LONG;
    }
    memcpy(ret_text, value->text.ptr, value->text.len);
    ret_text[value->text.len] = '\0';
    return ERR_OK;
}

enum err
rows_take_time(const struct body_value *value, const char *field, int64_t *ret_us,
               struct diag *diag)
{
    if (rfc3339_parse(value->text, ret_us) == ERR_OK && *ret_us > 0)
        return ERR_OK;
    diag_set_field(diag, field, "%s: must be a time, as 2026-01-31T12:00:00Z", field);
    return ERR_INVALID_TIMESTAMP;
}

enum err
rows_take_limit(struct slice text, uint32_t max, uint32_t fallback, uint32_t *ret_limit,
                struct diag *diag)
{
    uint64_t number = 0;
    bool is_good = text.len >= 1 && text.len <= 9;

    if (text.ptr == NULL) {
        *ret_limit = fallback;
        return ERR_OK;
    }
    for (size_t i = 0; is_good && i < text.len; i++) {
        is_good = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    if (!is_good || number < 1 || number > max) {
        diag_set_field(diag, "limit", "limit: must be 1 to %u", max);
        return ERR_INVALID_PARAMETER;
    }
    *ret_limit = (uint32_t)number;
    return ERR_OK;
}
