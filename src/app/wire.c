/*
 * wire - what is built on what. See wire.h.
 */
#include "app/wire.h"

#include "account/account.h"
#include "api/browser.h"
#include "app/folder.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/limits.h"
#include "limit/redis.h"
#include "metric/metric.h"
#include "store/embedded/embedded.h"
#include "store/postgres/postgres.h"

#include <string.h>

/* One exchange: an inflated body, its entries and verdicts. */
#define EXCHANGE_ARENA_BYTES (3 * (uint64_t)LIMIT_INFLATED_BYTES)
#define UPLOAD_BYTES_PER_LOOP (4 * (uint64_t)LIMIT_INFLATED_BYTES)

static enum err
open_zones(struct program *program, struct diag *diag)
{
    struct diag warning = DIAG_INIT;
    const struct zone *zone;
    enum err err = zones_open(NULL, &program->zones, &warning);

    if (err != ERR_OK) {
        *diag = warning;
        return err;
    }
    if (warning.message[0] != '\0')
        LOG_WARN("zones.only_utc", LOG_TEXT("reason", warning.message));
    err = zones_find(program->zones, slice_of_text(program->config->time_zone), &zone, &warning);
    if (err == ERR_OK)
        return ERR_OK;
    diag_set_field(diag, "time-zone", "time-zone: \"%s\" will not do; it may be %s",
                   program->config->time_zone, "an IANA name, as Europe/Kyiv");
    config_name_source(program->config, "time-zone", diag);
    return ERR_INVALID;
}

static enum err
open_postgres(const struct config *config, struct store **ret_store, struct diag *diag)
{
    const struct postgres_config postgres = {
        .url = config->store,
        .data_dir = config->data_dir,
        .connect_timeout_ms = (int64_t)config->store_connect_timeout_ms,
        .statement_timeout_ms = (int64_t)config->store_timeout_ms,
        .clock = clock_system(),
        .sink = log_sink_default(),
    };

    return postgres_open(&postgres, ret_store, diag);
}

enum err
wire_open_store(const struct config *config, void (*fatal)(void *state, const char *reason),
                void *fatal_state, struct store **ret_store, struct diag *diag)
{
    struct embedded_config embedded = {
        .data_dir = config->data_dir,
        .segment_bytes = config->segment_bytes,
        .young_ids_max = (uint32_t)config->young_ids_max,
        .young_ids_seal = (uint32_t)config->young_ids_seal,
        .free_bytes_min = config->free_bytes_min,
        .clock = clock_system(),
        .sink = log_sink_default(),
        .fatal = fatal,
        .fatal_state = fatal_state,
    };

    if (config_is_postgres(config))
        return open_postgres(config, ret_store, diag);
    return embedded_open(&embedded, ret_store, diag);
}

enum err
wire_open_account(const struct config *config, bool may_create, struct account **ret_account,
                  struct diag *diag)
{
    const struct account_config account = {
        .data_dir = config->data_dir,
        .may_create = may_create,
        .postgres_url = config_is_postgres(config) ? config->store : NULL,
        .connect_timeout_ms = (int64_t)config->store_connect_timeout_ms,
        .statement_timeout_ms = (int64_t)config->store_timeout_ms,
        .clock = clock_system(),
        .random = random_system(),
    };

    return account_open(&account, ret_account, diag);
}

struct password_cost
wire_password_cost(const struct config *config)
{
    return (struct password_cost){.memory_kib = (uint32_t)config->hash_memory_kib,
                                  .passes = (uint32_t)config->hash_passes};
}

static enum err
open_accounts(struct program *program, struct diag *diag)
{
    const struct config *config = program->config;
    const struct access_config access = {
        .sink = log_sink_default(),
        .clock = clock_system(),
        .ring = {.dir = config->data_dir, .may_create = true, .random = random_system()},
        .token_life_s = (int64_t)config->token_life_ms / 1000,
        .cache_ms_max = config_is_postgres(config) ? (int64_t)config->auth_cache_max_ms : 0,
    };
    const struct password_cost cost = wire_password_cost(config);
    CLEANUP(account_close) struct account *account = NULL;
    enum err err = wire_open_account(config, true, &account, diag);

    if (err == ERR_OK)
        err = first_run_ensure(account, config->data_dir, config->time_zone, &cost,
                               &program->first_run, diag);
    if (err != ERR_OK)
        return err;
    program->first_run.is_shared = config_is_postgres(config);
    if (config_is_given(config, "time-zone") &&
        strcmp(program->first_run.project.time_zone, config->time_zone) != 0)
        LOG_WARN("time_zone.kept", LOG_TEXT("time_zone", program->first_run.project.time_zone),
                 LOG_TEXT("asked", config->time_zone),
                 LOG_TEXT("reason", "project `default` was made with the first; ask with tz="));
    return access_start(&account, &access, &program->access, diag);
}

enum err
wire_open_warehouse(const struct config *config, struct store *store,
                    struct warehouse **ret_warehouse, struct diag *diag)
{
    struct warehouse_config warehouse = {
        .data_dir = config->data_dir,
        .store = store,
        .query_threads = (uint32_t)config->duckdb_threads,
        .memory_limit_bytes = config->duckdb_memory_bytes,
        .seal_rows = (uint32_t)config->seal_rows,
        .seal_bytes = config->seal_bytes,
        .tail_bytes_max = config->tail_bytes,
        .seal_idle_ms = (int64_t)config->seal_idle_ms,
        .clock = clock_system(),
        .sink = log_sink_default(),
    };

    return warehouse_open(&warehouse, ret_warehouse, diag);
}

static void
wake_loader(void *state)
{
    store_wake(state);
}

/* What was kept while the setting was on would else stay, and be out of every erasure's reach. */
static void
remove_rejects(const struct config *config)
{
    struct diag diag = DIAG_INIT;
    char path[FILE_PATH_MAX];

    if (!file_path(path, config->data_dir, "rejected") || !file_exists(path))
        return;
    if (file_remove_tree(path, &diag) == ERR_OK)
        LOG_INFO("rejected.removed", LOG_TEXT("folder", path),
                 LOG_TEXT("reason", "keep-rejected is 0"));
    else
        LOG_WARN("rejected.not_removed", LOG_TEXT("folder", path),
                 LOG_TEXT("reason", diag.message));
}

static enum err
open_rejects(struct program *program, struct diag *diag)
{
    const struct config *config = program->config;
    const struct rejects_config rejects = {
        .data_dir = config->data_dir,
        .bytes_max = config->keep_rejected_bytes,
        .age_us = (int64_t)config->keep_rejected_age_ms * 1000,
        .queue_bytes = REJECTS_QUEUE_BYTES,
        .pause_ns = REJECTS_PAUSE_NS,
        .wake = wake_loader,
        .wake_state = program->store,
        .clock = clock_system(),
        .sink = log_sink_default(),
        .random = random_system(),
    };

    if (config->keep_rejected_bytes != 0)
        return rejects_new(&rejects, &program->rejects, diag);
    remove_rejects(config);
    return ERR_OK;
}

static enum err
open_eraser(struct program *program, struct diag *diag)
{
    const struct eraser_config eraser = {
        .store = program->store,
        .warehouse = program->warehouse,
        .rejects = program->rejects,
        .clock = clock_system(),
        .sink = log_sink_default(),
    };
    struct account *account = NULL;
    enum err err = wire_open_account(program->config, false, &account, diag);

    if (err == ERR_OK)
        err = eraser_new(&account, &eraser, &program->eraser, diag);
    if (err == ERR_OK)
        eraser_look(program->eraser);
    return err;
}

static enum limit_fallback
fallback_of(const struct config *config)
{
    if (strcmp(config->limit_fallback, "local") == 0)
        return LIMIT_LOCAL;
    return strcmp(config->limit_fallback, "open") == 0 ? LIMIT_OPEN : LIMIT_CLOSED;
}

static enum err
open_api(struct program *program, struct diag *diag)
{
    const struct config *config = program->config;
    struct api_config api = {
        .store = program->store,
        .warehouse = program->warehouse,
        .access = program->access,
        .rejects = program->rejects,
        .zones = program->zones,
        .clock = clock_system(),
        .sink = log_sink_default(),
        .gather_bytes_max = config->gather_bytes,
        .upload_bytes_max = UPLOAD_BYTES_PER_LOOP,
        .query_threads = (uint32_t)config->query_threads,
        .query_jobs_max = (uint32_t)config->query_queue,
        .query_timeout_ms = (int64_t)config->query_timeout_ms,
        .scan_parts = (uint32_t)(config->duckdb_threads < METRIC_PARTS_MAX ? config->duckdb_threads
                                                                           : METRIC_PARTS_MAX),
        .password_cost = wire_password_cost(config),
        .token_life_s = (int64_t)config->token_life_ms / 1000,
        .refresh_life_us = (int64_t)config->refresh_life_ms * 1000,
        .origins = config->origins,
        .is_throttled = strcmp(config->login_throttle, "on") == 0,
        .limits = config->limits,
        .limit_burst_ms = config->limit_burst_ms,
        .redis = config->redis,
        .redis_prefix = config->redis_prefix,
        .redis_timeout_ms = (int64_t)config->redis_timeout_ms,
        .limit_fallback = fallback_of(config),
        .access_log = program->access_log,
        .quota = program->quota,
        .quota_events_month = config->quota_events_month,
    };

    if (config->trusted_proxy != NULL) {
        enum err err = address_set_parse(slice_of_text(config->trusted_proxy), &api.proxies, diag);

        if (err != ERR_OK)
            return err;
    }
    for (int i = 0; i < DESK_LANES; i++) {
        enum err err = wire_open_account(config, false, &api.desk_links[i], diag);

        if (err != ERR_OK) {
            while (i-- > 0)
                account_close(&api.desk_links[i]);
            return err;
        }
    }
    return api_new(&api, &program->api, diag);
}

static enum err
open_server(struct program *program, struct diag *diag)
{
    const struct config *config = program->config;
    struct http_config http = {
        .listen = config->listen,
        .tls_cert = config->tls_cert,
        .tls_key = config->tls_key,
        .loops = (uint32_t)config->loop_threads,
        .connections_max = (uint32_t)config->connections_max,
        .pipeline_max = (uint32_t)config->pipeline_max,
        .body_bytes_max = LIMIT_BODY_BYTES,
        .head_bytes_max = LIMIT_HEAD_BYTES,
        .url_bytes_max = LIMIT_URL_BYTES,
        .arena_bytes_max = EXCHANGE_ARENA_BYTES,
        .head_timeout_ms = (int64_t)config->head_timeout_ms,
        .body_progress_timeout_ms = (int64_t)config->body_timeout_ms,
        .request_timeout_ms = (int64_t)config->request_timeout_ms,
        .idle_timeout_ms = (int64_t)config->idle_timeout_ms,
        .write_timeout_ms = (int64_t)config->write_timeout_ms,
        .turn_bytes_max = config->turn_bytes,
        .clock = clock_system(),
        .sink = log_sink_default(),
        .handler = api_handler(),
        .tells_done = program->access_log != NULL,
        .app = program->api,
    };

    return http_server_start(&http, &program->server, diag);
}

static enum err
check_tls(const struct config *config, struct diag *diag)
{
    enum err err;

    if (config->tls_cert == NULL)
        return ERR_OK;
    if (strncmp(config->listen, "unix:", 5) == 0) {
        diag_set_field(diag, "tls-cert",
                       "tls-cert: a unix socket takes no TLS, its bytes do not leave this machine; "
                       "leave tls-cert and tls-key out, or listen on HOST:PORT");
        config_name_source(config, "tls-cert", diag);
        return ERR_INVALID;
    }
    err = http_check_tls(config->tls_cert, config->tls_key, diag);
    if (err == ERR_INVALID)
        config_name_source(config, strcmp(diag->field, "tls-key") == 0 ? "tls-key" : "tls-cert",
                           diag);
    return err;
}

/* What a person has mistyped, and only another layer can tell: it is told with its source. */
static enum err
check_addresses(const struct config *config, struct diag *diag)
{
    enum err err = http_check_listen(config->listen, diag);

    if (err == ERR_INVALID)
        config_name_source(config, "listen", diag);
    if (err == ERR_OK)
        err = check_tls(config, diag);
    if (err == ERR_OK) {
        err = browser_check_origins(config->origins, diag);
        if (err == ERR_INVALID)
            config_name_source(config, "origins", diag);
    }
    if (err == ERR_OK) {
        err = limit_redis_check(config->redis, config->redis_prefix, diag);
        if (err == ERR_INVALID)
            config_name_source(config, strcmp(diag->field, "redis") == 0 ? "redis" : "redis-prefix",
                               diag);
    }
    if (err == ERR_OK && config->trusted_proxy != NULL) {
        struct address_set proxies;

        err = address_set_parse(slice_of_text(config->trusted_proxy), &proxies, diag);
        if (err == ERR_INVALID)
            config_name_source(config, "trusted-proxy", diag);
    }
    if (err != ERR_OK || !config_is_postgres(config))
        return err;
    err = postgres_check_url(config->store, diag);
    if (err == ERR_INVALID)
        config_name_source(config, "store", diag);
    return err;
}

enum err
wire_open(const struct config *config, void (*fatal)(void *state, const char *reason),
          void *fatal_state, struct program *ret_program, struct diag *diag)
{
    struct program program = {.config = config, .lock_fd = -1};
    enum err err = open_zones(&program, diag);

    /* Told before anything is made or asked of another program. */
    if (err == ERR_OK)
        err = check_addresses(config, diag);
    if (err == ERR_OK)
        err = folder_check_store(config->data_dir, config_is_postgres(config), diag);
    if (err == ERR_OK)
        err = folder_lock(config->data_dir, true, &program.lock_fd, diag);
    if (err == ERR_OK)
        err = wire_open_store(config, fatal, fatal_state, &program.store, diag);
    if (err == ERR_OK)
        err = open_accounts(&program, diag);
    if (err == ERR_OK)
        err = wire_open_warehouse(config, program.store, &program.warehouse, diag);
    if (err == ERR_OK)
        err = open_rejects(&program, diag);
    if (err == ERR_OK)
        err = open_eraser(&program, diag);
    if (err == ERR_OK && config->access_log != NULL) {
        err = access_log_open(config->access_log, &program.access_log, diag);
        if (err != ERR_OK && err != ERR_NOMEM)
            config_name_source(config, "access-log", diag);
    }
    if (err == ERR_OK)
        err = quota_new(&(struct quota_config){.is_shared = config_is_postgres(config)},
                        &program.quota, diag);
    if (err == ERR_OK)
        err = open_api(&program, diag);
    if (err == ERR_OK)
        err = open_server(&program, diag);
    if (err != ERR_OK) {
        wire_close(&program, 0);
        return err;
    }
    *ret_program = program;
    return ERR_OK;
}

void
wire_close(struct program *program, int64_t seal_ms_max)
{
    if (program->server != NULL)
        http_server_drain(program->server, 0); /* does nothing the second time */
    api_free(&program->api); /* its threads post to the loops: they end before these are freed */
    http_server_stop(&program->server, 0);
    access_log_free(&program->access_log);
    quota_free(&program->quota); /* batches that were under way are settled */
    eraser_free(&program->eraser);
    rejects_free(&program->rejects);
    if (program->warehouse != NULL)
        warehouse_close(&program->warehouse, seal_ms_max);
    access_stop(&program->access);
    if (program->store != NULL)
        store_close(&program->store);
    zones_free(&program->zones);
    file_close(&program->lock_fd);
}
