/*
 * access_plans - see access_plans.h.
 */
#include "account/access_plans.h"

#include "account/tracking_plan.h"
#include "base/mem.h"

#define ARENA_BLOCK_BYTES (16 * 1024)
#define ARENA_BYTES_MAX (UINT64_C(8) * 1024 * 1024)

void
access_plans_free(struct access_plans *plans)
{
    for (size_t i = 0; i < plans->count; i++)
        plan_release(&plans->list[i].plan);
    mem_free(plans->list);
    *plans = (struct access_plans){0};
}

struct access_plan *
access_plans_find(const struct access_plans *plans, uint32_t project_id)
{
    size_t low = 0, high = plans->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (plans->list[middle].project_id < project_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < plans->count && plans->list[low].project_id == project_id ? &plans->list[low]
                                                                           : NULL;
}

enum err
access_plans_copy(const struct access_plans *plans, struct access_plans *ret_plans)
{
    struct access_plans copy = {.list = MEM_NEW(struct access_plan, plans->count + 1)};

    if (copy.list == NULL)
        return ERR_NOMEM;
    for (; copy.count < plans->count; copy.count++) {
        copy.list[copy.count] = plans->list[copy.count];
        (void)plan_hold(copy.list[copy.count].plan);
    }
    *ret_plans = copy;
    return ERR_OK;
}

/* One that has changed. *ret_plan NULL: it does not compile, which the sink has heard. */
static enum err
read_one(struct account *account, const struct log_sink *sink, uint32_t project_id,
         struct plan **ret_plan, uint64_t *ret_revision, struct diag *diag)
{
    CLEANUP(arena_fini) struct arena arena;
    struct tracking_plan row;
    struct diag why = DIAG_INIT;
    enum err err;

    *ret_plan = NULL;
    arena_init(&arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    err = tracking_plan_get(account, project_id, &arena, &row, diag);
    if (err != ERR_OK)
        return err;
    *ret_revision = row.revision;
    if (row.revision == 0)
        return ERR_OK; /* deleted just now: the next look drops it */
    err = plan_compile(row.document, ret_plan, &why);
    if (err == ERR_INVALID_PLAN) {
        SINK(sink, LOG_LEVEL_ERROR, "account.plan_unreadable", LOG_U64("project", project_id),
             LOG_U64("revision", row.revision), LOG_TEXT("reason", why.message),
             LOG_TEXT("next", "the plan before it stays in force; set it anew"));
        err = ERR_OK;
    }
    return err;
}

/* The next of the list: as it was, or compiled. */
static enum err
take_one(struct account *account, const struct log_sink *sink,
         const struct tracking_plan_revision *row, const struct access_plan *old,
         struct access_plans *plans, struct diag *diag)
{
    struct access_plan next = {.project_id = row->project_id, .revision = row->revision};
    enum err err = ERR_OK;

    if (old == NULL || old->revision != row->revision)
        err = read_one(account, sink, row->project_id, &next.plan, &next.revision, diag);
    if (err != ERR_OK)
        return err;
    if (next.plan == NULL && old != NULL)
        next.plan = plan_hold(old->plan);
    else if (next.plan != NULL && old != NULL)
        plan_carry_counts(next.plan, old->plan);
    if (next.plan != NULL)
        plans->list[plans->count++] = next;
    return ERR_OK;
}

enum err
access_plans_read(struct account *account, const struct log_sink *sink,
                  const struct access_plans *before, struct access_plans *ret_plans,
                  struct diag *diag)
{
    CLEANUP(access_plans_free) struct access_plans plans = {0};
    CLEANUP(mem_free_ptr) struct tracking_plan_revision *rows = NULL;
    size_t count = 0;
    enum err err = tracking_plan_list(account, &rows, &count, diag);

    if (err != ERR_OK)
        return err;
    plans.list = MEM_NEW(struct access_plan, count + 1);
    if (plans.list == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = take_one(account, sink, &rows[i], access_plans_find(before, rows[i].project_id),
                       &plans, diag);
    if (err != ERR_OK)
        return err;
    *ret_plans = plans;
    plans = (struct access_plans){0};
    return ERR_OK;
}
