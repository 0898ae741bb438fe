/*
 * plan_gate - see plan_gate.h.
 */
#include "api/plan_gate.h"

#include "api/internal.h"
#include "base/counter.h"
#include "event/limits.h"

_Static_assert(sizeof(char[PLAN_SCRATCH_BYTES]) >= LIMIT_PROPERTIES_BYTES,
               "any text of properties has room");
_Static_assert(PLAN_TYPE_BYTES_MAX >= LIMIT_EVENT_TYPE_BYTES, "a plan may name any type");

COUNTER_DEFINE(warned_total, "potik_plan_warnings_total",
               "events stored that differ from their project's tracking plan");

/* The newest plan, also where the body took its time: the head was asked of an older table,
 * perhaps. */
static const struct plan *
newest_plan(struct api_request *request)
{
    struct api_loop *loop = request->loop;
    const struct access_snapshot *before = loop->access;

    if (loop->api->config.access == NULL) /* of tests: nobody is asked who they are, either */
        return NULL;
    access_renew(loop->api->config.access, &loop->access);
    if (loop->access != before)
        auth_forget(loop);
    return access_plan(loop->access, request->project_id, NULL);
}

static enum err
refuse(struct event_entry *entry, const struct diag *violation, struct arena *arena)
{
    struct slice id = entry->has_id ? entry->event.event_id : SLICE_NONE;

    entry->field = arena_copy(arena, slice_of_text(violation->field));
    entry->message = arena_copy(arena, slice_of_text(violation->message));
    if (entry->field.ptr == NULL || entry->message.ptr == NULL)
        return ERR_NOMEM;
    entry->err = ERR_PLAN_VIOLATION;
    entry->event = (struct event){.event_id = id};
    entry->is_id_assigned = false;
    return ERR_OK;
}

static enum err
warn(struct plan_gate *gate, const struct plan *plan, uint32_t index, struct plan_type *type,
     const struct diag *violation, struct arena *arena)
{
    struct plan_warning *warning = ARENA_NEW(arena, struct plan_warning, 1);

    if (warning == NULL)
        return ERR_NOMEM;
    *warning = (struct plan_warning){
        .next = gate->warnings, .index = index, .type = type, .violation = *violation};
    if (gate->plan == NULL)
        gate->plan = plan_hold((struct plan *)(uintptr_t)plan);
    gate->warnings = warning;
    return ERR_OK;
}

enum err
plan_gate_check(struct plan_gate *gate, struct api_request *request, struct event_batch *batch)
{
    struct arena *arena = http_arena(request->exchange);
    const struct plan *plan = newest_plan(request);
    struct diag violation; /* set where one is told */
    struct plan_type *type;
    enum err err = ERR_OK;

    if (plan == NULL)
        return ERR_OK;
    for (uint32_t i = 0; i < batch->count && err == ERR_OK; i++) {
        struct event_entry *entry = &batch->entries[i];

        if (entry->err != ERR_OK)
            continue;
        switch (plan_check(plan, entry->event.event_type, entry->event.properties,
                           request->loop->plan_scratch, &type, &violation)) {
        case PLAN_FITS:
            break;
        case PLAN_WARNED:
            err = warn(gate, plan, i, type, &violation, arena);
            break;
        case PLAN_REFUSED:
            err = refuse(entry, &violation, arena);
            break;
        case PLAN_UNDECIDED:
        default:
            err = ERR_NOMEM;
        }
    }
    return err;
}

void
plan_gate_count(struct plan_gate *gate, const struct ingest_request *ingest, int64_t now_us)
{
    uint64_t count = 0;

    for (const struct plan_warning *warning = gate->warnings;
         warning != NULL && ingest->err == ERR_OK; warning = warning->next) {
        if (ingest->verdicts[warning->index] != INGEST_ACCEPTED)
            continue;
        plan_note(warning->type, &warning->violation, now_us);
        count++;
    }
    if (count != 0)
        counter_add(&warned_total, count);
    plan_gate_fini(gate);
}

void
plan_gate_fini(struct plan_gate *gate)
{
    gate->warnings = NULL;
    plan_release(&gate->plan);
}
