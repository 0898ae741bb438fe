/*
 * verdicts - rendering of the reply. See verdicts.h.
 */
#include "api/verdicts.h"

#include "api/error.h"
#include "api/json.h"

#include <assert.h>

static void
add_error(struct buf *body, uint32_t index, const struct event_entry *entry)
{
    buf_add_text(body, "{\"index\":");
    buf_add_u64(body, index);
    buf_add_text(body, ",\"event_id\":");
    /* A refused event has no id but a usable one of the client's, probed (has_id) or not. */
    json_add_text(body, entry->event.event_id);
    buf_add_text(body, ",\"code\":\"");
    buf_add_text(body, err_code(entry->err));
    buf_add_text(body, "\",\"message\":");
    json_add_text(body, entry->message.ptr != NULL ? entry->message
                                                   : slice_of_text(err_sentence(entry->err)));
    buf_add_text(body, ",\"field\":");
    json_add_text(body, entry->field);
    buf_add_char(body, '}');
}

static void
add_errors(struct buf *body, const struct ingest_request *request)
{
    uint32_t left = request->rejected;

    buf_add_text(body, ",\"errors\":[");
    for (uint32_t i = 0; left != 0; i++) {
        assert(i < request->batch.count);
        if (request->verdicts[i] != INGEST_REJECTED)
            continue;
        add_error(body, i, &request->batch.entries[i]);
        if (--left != 0)
            buf_add_char(body, ',');
    }
    buf_add_char(body, ']');
}

/* Ids the server made, of events that were stored. */
static void
add_assigned(struct buf *body, const struct ingest_request *request)
{
    bool is_first = true;

    for (uint32_t i = 0; i < request->batch.count; i++) {
        const struct event_entry *entry = &request->batch.entries[i];

        if (!entry->is_id_assigned || request->verdicts[i] != INGEST_ACCEPTED)
            continue;
        buf_add_text(body, is_first ? ",\"assigned\":[" : ",");
        is_first = false;
        buf_add_text(body, "{\"index\":");
        buf_add_u64(body, i);
        buf_add_text(body, ",\"event_id\":");
        json_add_text(body, entry->event.event_id);
        buf_add_char(body, '}');
    }
    if (!is_first)
        buf_add_char(body, ']');
}

static void
add_results(struct buf *body, const struct ingest_request *request)
{
    static const char *const names[] = {
        [INGEST_REJECTED] = "\"rejected\"",
        [INGEST_ACCEPTED] = "\"accepted\"",
        [INGEST_DUPLICATE] = "\"duplicate\"",
    };

    buf_add_text(body, ",\"results\":[");
    for (uint32_t i = 0; i < request->batch.count; i++) {
        if (i != 0)
            buf_add_char(body, ',');
        buf_add_text(body, names[request->verdicts[i]]);
    }
    buf_add_char(body, ']');
}

/* Where every event was refused: by the quota alone, or for any reasons. */
static enum err
why_all(const struct ingest_request *request)
{
    for (uint32_t i = 0; i < request->batch.count; i++) {
        if (request->batch.entries[i].err != ERR_QUOTA_EXCEEDED)
            return ERR_ALL_REJECTED;
    }
    return ERR_QUOTA_EXCEEDED;
}

int
verdicts_write(struct buf *body, const struct ingest_request *request, struct slice position,
               bool wants_results, struct slice request_id)
{
    bool are_all_rejected = request->batch.count != 0 && request->rejected == request->batch.count;
    enum err err = are_all_rejected ? why_all(request) : ERR_OK;

    buf_add_text(body, "{\"accepted\":");
    buf_add_u64(body, request->accepted);
    buf_add_text(body, ",\"duplicates\":");
    buf_add_u64(body, request->duplicates);
    buf_add_text(body, ",\"rejected\":");
    buf_add_u64(body, request->rejected);
    buf_add_text(body, ",\"position\":\"");
    buf_add_slice(body, position);
    buf_add_char(body, '"');
    add_errors(body, request);
    add_assigned(body, request);
    if (wants_results)
        add_results(body, request);
    if (are_all_rejected) {
        buf_add_char(body, ',');
        /* The quota's words are those of each event; they end with a NUL. */
        error_add_member(body, err,
                         err == ERR_QUOTA_EXCEEDED ? request->batch.entries[0].message.ptr : NULL,
                         NULL, request_id);
    }
    buf_add_text(body, "}\n");
    return err_status(err);
}
