/*
 * load_request - what an erasure needs of a project that only the loader may change: its tail, its
 * names, its being there at all.
 *
 * Layer 4. The keeper posts, the loader serves at its next step, before it reads on.
 */
#include "warehouse/inside.h"

bool
load_request_is_pending(const struct warehouse *warehouse)
{
    return atomic_load(&warehouse->request.kind) != REQUEST_NONE;
}

static void
request_clear(struct load_request *request)
{
    lexicon_release(&request->lexicon);
    mem_free(request->is_gone);
    request->is_gone = NULL;
    request->project = NULL;
    atomic_store(&request->kind, REQUEST_NONE);
}

void
load_request_post(struct warehouse *warehouse, enum load_request_kind kind,
                  const struct load_request *request)
{
    warehouse->request.project = request->project;
    warehouse->request.lexicon = lexicon_hold(request->lexicon);
    warehouse->request.manifest_number = request->manifest_number;
    warehouse->request.is_gone = request->is_gone;
    warehouse->request.type_count = request->type_count;
    atomic_store(&warehouse->request.kind, kind);
    store_wake(warehouse->config.store);
}

/* Takes the request out of the other thread's hands; its kind, or REQUEST_NONE: nothing to take. */
static enum load_request_kind
take(struct load_request *request)
{
    enum load_request_kind kind = atomic_load(&request->kind);

    while (kind != REQUEST_NONE && kind != REQUEST_TAKEN) {
        if (atomic_compare_exchange_weak(&request->kind, &kind, REQUEST_TAKEN))
            return kind;
    }
    return REQUEST_NONE;
}

void
load_request_cancel(struct warehouse *warehouse)
{
    if (take(&warehouse->request) != REQUEST_NONE)
        request_clear(&warehouse->request);
}

static enum err
seal(struct warehouse *warehouse, const struct load_request *request, struct diag *diag)
{
    struct project *project = request->project;
    enum err err = ERR_OK;

    if (project->lexicon != request->lexicon || !project->is_active)
        return ERR_OK;
    err = load_seal_project(warehouse, project, diag);
    return err == ERR_OK ? checkpoint_write(warehouse, diag) : err;
}

enum err
load_request_serve(struct warehouse *warehouse, struct diag *diag)
{
    struct load_request *request = &warehouse->request;
    const int64_t now_ns = clock_steady_ns(warehouse->config.clock);
    enum load_request_kind kind = REQUEST_NONE;
    enum err err = ERR_OK;

    if (warehouse->is_stale || now_ns < warehouse->seal_again_ns)
        return ERR_OK;
    kind = take(request);
    if (kind == REQUEST_NONE)
        return ERR_OK;
    if (kind == REQUEST_SEAL)
        err = seal(warehouse, request, diag);
    else if (kind == REQUEST_TYPES)
        err = project_forget_types(request->project, request->lexicon, request->manifest_number,
                                   request->is_gone, request->type_count, diag);
    else
        err = project_remove(request->project, request->lexicon, diag);
    if (err != ERR_OK) /* loading goes on meanwhile */
        warehouse->seal_again_ns = now_ns + LOAD_SEAL_AGAIN_NS;
    request_clear(request);
    return err;
}
