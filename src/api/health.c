/*
 * health - /healthz (the process answers), /readyz (it can do its work), /metrics (Prometheus
 * text).
 *
 * Layer 6, on the loops, open to all: no label names a project, no value is a client's.
 */
#include "api/internal.h"
#include "api/json.h"
#include "base/counter.h"

#define READY_BYTES_MAX 8192
#define METRICS_BYTES_MAX (4 * 1024 * 1024)

GAUGE_DEFINE(ledger_events, "potik_ledger_events", "events stored");
GAUGE_DEFINE(index_ids, "potik_index_ids", "event ids known");
GAUGE_DEFINE(index_young_ids, "potik_index_young_ids", "of them, not yet in a sealed run");
GAUGE_DEFINE(index_bytes, "potik_index_memory_bytes", "memory of the id index");
GAUGE_DEFINE(index_runs, "potik_index_runs", "sorted runs of the id index");
GAUGE_DEFINE(warehouse_rows, "potik_warehouse_rows", "events loaded");
GAUGE_DEFINE(warehouse_files, "potik_warehouse_files", "Parquet files");
GAUGE_DEFINE(warehouse_bytes, "potik_warehouse_bytes", "bytes of the Parquet files");
GAUGE_DEFINE(tail_rows, "potik_tail_rows", "events in the tails, not yet in files");

static void
healthz_end(struct api_request *request)
{
    http_reply(request->exchange, 200, "application/json", SLICE("{\"status\":\"alive\"}\n"));
}

/* `warning` NULL: none. */
static void
reply_ready(struct api_request *request, const char *warning)
{
    struct buf body;

    buf_init(&body, READY_BYTES_MAX);
    buf_add_text(&body, "{\"status\":\"ready\"");
    if (warning != NULL) {
        buf_add_text(&body, ",\"warning\":");
        json_add_text(&body, slice_of_text(warning));
    }
    buf_add_text(&body, "}\n");
    api_reply_json(request, 200, &body);
    buf_fini(&body);
}

static void
readyz_end(struct api_request *request)
{
    struct api *api = request->loop->api;
    const char *reason = atomic_load(&api->unready_reason);
    struct diag diag = DIAG_INIT;
    enum err err;

    if (reason != NULL) {
        http_reply_error(request->exchange, ERR_NOT_READY, reason, NULL);
        return;
    }
    err = store_is_ready(api->config.store, &diag);
    if (err != ERR_OK) {
        if (err_status(err) != 503)
            err = ERR_NOT_READY;
        api_reply_diag(request, err, &diag);
        return;
    }
    reply_ready(request, store_warning(api->config.store, &diag) ? diag.message : NULL);
}

/* Sampled when asked for: these numbers have owners that keep them anyway. */
static void
sample(struct api *api)
{
    struct store_stats store = {0};
    struct warehouse_stats warehouse = {0};

    store_stats(api->config.store, &store);
    warehouse_stats(api->config.warehouse, &warehouse);
    gauge_set(&ledger_events, (double)store.events);
    gauge_set(&index_ids, (double)store.index_ids);
    gauge_set(&index_young_ids, (double)store.index_young_ids);
    gauge_set(&index_bytes, (double)store.index_memory_bytes);
    gauge_set(&index_runs, (double)store.index_runs);
    gauge_set(&warehouse_rows, (double)warehouse.rows);
    gauge_set(&warehouse_files, (double)warehouse.files);
    gauge_set(&warehouse_bytes, (double)warehouse.file_bytes);
    gauge_set(&tail_rows, (double)warehouse.tail_rows);
}

static void
metrics_end(struct api_request *request)
{
    struct buf body;

    sample(request->loop->api);
    buf_init(&body, METRICS_BYTES_MAX);
    counter_write_all(&body);
    if (buf_failed(&body))
        http_reply_error(request->exchange, ERR_NOMEM, NULL, NULL);
    else
        http_reply(request->exchange, 200, "text/plain; version=0.0.4; charset=utf-8",
                   buf_slice(&body));
    buf_fini(&body);
}

const struct route_handler healthz_handler = {.end = healthz_end};
const struct route_handler readyz_handler = {.end = readyz_end};
const struct route_handler metrics_handler = {.end = metrics_end};
