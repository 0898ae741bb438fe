/*
 * engine - the instance, its connections, streams and statements. See engine.h.
 *
 * Layer 4. Any thread; a stream belongs to one thread at a time. Source: DuckDB's C API (duckdb.h)
 * and the measurements in docs/adr/0004-warehouse.md: fetching gives NULL at the end and on error
 * alike, so the error is asked for; an abandoned stream keeps its files open until its connection
 * is closed.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "warehouse/engine_inside.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct engine {
    struct engine_config config;
    char temp_dir[1024];
    pthread_mutex_t lock; /* of instance */
    struct engine_instance *instance;
    _Atomic uint64_t reopened;
    _Atomic bool inject_fatal;
};

struct engine_stream {
    struct engine_link link;
    duckdb_prepared_statement statement;
    duckdb_result result;
    bool has_result;
    bool is_ended; /* all rows were given: DuckDB refuses to be asked again */
    duckdb_data_chunk chunk;
};

/* --- the instance ---------------------------------------------------------------------------- */

static void
instance_release(struct engine_instance *instance)
{
    if (atomic_fetch_sub_explicit(&instance->references, 1, memory_order_acq_rel) != 1)
        return;
    duckdb_close(&instance->database);
    mem_free(instance);
}

static bool
set_options(duckdb_config config, const struct engine *engine)
{
    char threads[16], memory[32];
    const char *const options[][2] = {
        {"threads", threads},
        {"memory_limit", memory},
        {"temp_directory", engine->temp_dir},
        {"autoload_known_extensions", "false"},
        {"autoinstall_known_extensions", "false"},
        {"allow_community_extensions", "false"},
        {"enable_external_file_cache", "false"}, /* the kernel caches the files already */
        {"preserve_insertion_order", "true"},
    };

    snprintf(threads, sizeof(threads), "%" PRIu32, engine->config.threads);
    snprintf(memory, sizeof(memory), "%" PRIu64 "B", engine->config.memory_limit_bytes);
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if (duckdb_set_config(config, options[i][0], options[i][1]) != DuckDBSuccess)
            return false;
    }
    return true;
}

static enum err
instance_new(const struct engine *engine, struct engine_instance **ret_instance, struct diag *diag)
{
    struct engine_instance *instance = MEM_NEW(struct engine_instance, 1);
    duckdb_config config = NULL;
    duckdb_connection connection = NULL;
    char *message = NULL;
    bool is_good = false;

    if (instance == NULL)
        return ERR_NOMEM;
    atomic_init(&instance->references, 1);
    is_good = duckdb_create_config(&config) == DuckDBSuccess && set_options(config, engine) &&
              duckdb_open_ext(NULL, &instance->database, config, &message) == DuckDBSuccess &&
              duckdb_connect(instance->database, &connection) == DuckDBSuccess &&
              engine_feed_register(connection);
    duckdb_disconnect(&connection);
    duckdb_destroy_config(&config);
    if (!is_good) {
        diag_set(diag, "DuckDB does not start: %s", message != NULL ? message : "no reason given");
        duckdb_free(message);
        duckdb_close(&instance->database);
        mem_free(instance);
        return ERR_IO;
    }
    *ret_instance = instance;
    return ERR_OK;
}

enum err
engine_open(const struct engine_config *config, struct engine **ret_engine, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct engine *engine = MEM_NEW(struct engine, 1);
    enum err err = ERR_OK;

    if (engine == NULL)
        return ERR_NOMEM;
    engine->config = *config;
    snprintf(engine->temp_dir, sizeof(engine->temp_dir), "%s", config->temp_dir);
    err = instance_new(engine, &engine->instance, diag);
    if (err != ERR_OK)
        return err;
    pthread_mutex_init(&engine->lock, NULL);
    *ret_engine = MOVE(engine);
    return ERR_OK;
}

void
engine_close(struct engine **engine_place)
{
    struct engine *engine = *engine_place;

    *engine_place = NULL;
    if (engine == NULL)
        return;
    instance_release(engine->instance);
    pthread_mutex_destroy(&engine->lock);
    mem_free(engine);
}

uint64_t
engine_reopened_count(const struct engine *engine)
{
    return atomic_load_explicit(&engine->reopened, memory_order_relaxed);
}

void
engine_inject_fatal(struct engine *engine)
{
    atomic_store(&engine->inject_fatal, true);
}

/* A fresh instance instead of `broken`, unless another thread did it first. */
static void
instance_replace(struct engine *engine, struct engine_instance *broken)
{
    struct engine_instance *fresh = NULL;

    pthread_mutex_lock(&engine->lock);
    if (engine->instance == broken && instance_new(engine, &fresh, NULL) == ERR_OK) {
        engine->instance = fresh;
        atomic_fetch_add_explicit(&engine->reopened, 1, memory_order_relaxed);
        instance_release(broken);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* --- errors ---------------------------------------------------------------------------------- */

static bool
begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* What DuckDB says, as one of ours. Its texts begin with the kind of error. */
static enum err
link_error(struct engine_link *link, const char *message, struct diag *diag)
{
    const int stopped = link->guard != NULL ? atomic_load(&link->guard->err) : ERR_OK;

    if (stopped != ERR_OK)
        return (enum err)stopped;
    message = message != NULL ? message : "no reason given";
    diag_set(diag, "DuckDB: %.300s", message);
    if (begins(message, "FATAL") || strstr(message, "has been invalidated") != NULL) {
        instance_replace(link->engine, link->instance);
        return ERR_IO;
    }
    if (begins(message, "INTERRUPT"))
        return ERR_CANCELLED;
    if (begins(message, "Out of Memory"))
        return ERR_NOMEM;
    if (strstr(message, "No space left") != NULL || strstr(message, "Disk quota") != NULL)
        return ERR_STORAGE_FULL;
    if (begins(message, "IO Error") && strstr(message, "No files found") == NULL)
        return ERR_IO;
    return ERR_CORRUPT; /* the statements are ours: what remains is the file's content */
}

/* --- connections ----------------------------------------------------------------------------- */

static enum err
link_open(struct engine *engine, struct engine_guard *guard, struct engine_link *ret_link,
          struct diag *diag)
{
    struct engine_link *link = ret_link;

    if (guard != NULL && atomic_load(&guard->err) != ERR_OK)
        return (enum err)atomic_load(&guard->err);
    *link = (struct engine_link){.engine = engine, .guard = guard};
    pthread_mutex_lock(&engine->lock);
    link->instance = engine->instance;
    atomic_fetch_add_explicit(&link->instance->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&engine->lock);
    if (duckdb_connect(link->instance->database, &link->connection) != DuckDBSuccess) {
        enum err err = link_error(link, "FATAL Error: no connection", diag);

        instance_release(link->instance);
        return err;
    }
    link->is_open = true;
    if (guard != NULL)
        engine_guard_add(guard, link);
    return ERR_OK;
}

static void
link_close(struct engine_link *link)
{
    if (!link->is_open)
        return;
    if (link->guard != NULL)
        engine_guard_remove(link->guard, link);
    duckdb_disconnect(&link->connection);
    instance_release(link->instance);
    link->is_open = false;
}

/* --- streams --------------------------------------------------------------------------------- */

void
engine_stream_close(struct engine_stream **stream_place)
{
    struct engine_stream *stream = *stream_place;

    *stream_place = NULL;
    if (stream == NULL)
        return;
    duckdb_destroy_data_chunk(&stream->chunk);
    if (stream->has_result)
        duckdb_destroy_result(&stream->result);
    duckdb_destroy_prepare(&stream->statement);
    link_close(&stream->link);
    mem_free(stream);
}

/* Prepares and starts; the words of a failure come from whichever step failed. */
static enum err
stream_start(struct engine_stream *stream, const char *sql, struct diag *diag)
{
    struct engine_link *link = &stream->link;
    duckdb_pending_result pending = NULL;
    enum err err = ERR_OK;

    if (atomic_exchange(&link->engine->inject_fatal, false))
        return link_error(link, "FATAL Error: injected by a test", diag);
    if (duckdb_prepare(link->connection, sql, &stream->statement) != DuckDBSuccess)
        return link_error(link, duckdb_prepare_error(stream->statement), diag);
    if (duckdb_pending_prepared_streaming(stream->statement, &pending) != DuckDBSuccess) {
        err = link_error(link, duckdb_pending_error(pending), diag);
    } else {
        stream->has_result = true;
        if (duckdb_execute_pending(pending, &stream->result) != DuckDBSuccess)
            err = link_error(link, duckdb_result_error(&stream->result), diag);
    }
    duckdb_destroy_pending(&pending);
    return err;
}

enum err
engine_stream_open(struct engine *engine, struct engine_guard *guard, const char *sql,
                   struct engine_stream **ret_stream, struct diag *diag)
{
    for (unsigned attempt = 0;; attempt++) {
        CLEANUP(engine_stream_close)
        struct engine_stream *stream = MEM_NEW(struct engine_stream, 1);
        const uint64_t reopened = engine_reopened_count(engine);
        enum err err = ERR_OK;

        if (stream == NULL)
            return ERR_NOMEM;
        err = link_open(engine, guard, &stream->link, diag);
        if (err == ERR_OK)
            err = stream_start(stream, sql, diag);
        if (err == ERR_OK) {
            *ret_stream = MOVE(stream);
            return ERR_OK;
        }
        /* The instance was replaced under us: nothing has been given yet, so it is tried once more.
         */
        if (attempt != 0 || reopened == engine_reopened_count(engine))
            return err;
    }
}

enum err
engine_stream_next(struct engine_stream *stream, struct engine_chunk *ret_chunk, struct diag *diag)
{
    const struct engine_guard *guard = stream->link.guard;
    const char *message = NULL;
    idx_t columns = 0;

    *ret_chunk = (struct engine_chunk){0};
    if (guard != NULL && atomic_load(&guard->err) != ERR_OK)
        return (enum err)atomic_load(&guard->err);
    if (stream->is_ended)
        return ERR_OK;
    do {
        duckdb_destroy_data_chunk(&stream->chunk);
        stream->chunk = duckdb_fetch_chunk(stream->result);
    } while (stream->chunk != NULL && duckdb_data_chunk_get_size(stream->chunk) == 0);
    if (stream->chunk == NULL) {
        message = duckdb_result_error(&stream->result);
        if (message != NULL && message[0] != '\0')
            return link_error(&stream->link, message, diag);
        stream->is_ended = true;
        return guard != NULL ? (enum err)atomic_load(&guard->err) : ERR_OK;
    }
    columns = duckdb_data_chunk_get_column_count(stream->chunk);
    ret_chunk->rows = (uint32_t)duckdb_data_chunk_get_size(stream->chunk);
    for (idx_t i = 0; i < columns && i < ENGINE_COLUMNS_MAX; i++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(stream->chunk, i);

        ret_chunk->columns[i] = duckdb_vector_get_data(vector);
        ret_chunk->validity[i] = duckdb_vector_get_validity(vector);
        ret_chunk->column_count++;
    }
    return ERR_OK;
}

struct slice
engine_text(const struct engine_chunk *chunk, uint32_t column, uint32_t row)
{
    const uint64_t *validity = chunk->validity[column];
    const duckdb_string_t *text = (const duckdb_string_t *)chunk->columns[column] + row;
    const uint32_t len = text->value.inlined.length;

    if (validity != NULL && (validity[row / 64] >> (row % 64) & 1) == 0)
        return SLICE_NONE;
    return slice_of(len <= sizeof(text->value.inlined.inlined) ? text->value.inlined.inlined
                                                               : text->value.pointer.ptr,
                    len);
}

enum err
engine_execute(struct engine *engine, struct engine_guard *guard, const char *sql,
               struct diag *diag)
{
    CLEANUP(engine_stream_close) struct engine_stream *stream = NULL;
    struct engine_chunk chunk;
    enum err err = engine_stream_open(engine, guard, sql, &stream, diag);

    do {
        if (err == ERR_OK)
            err = engine_stream_next(stream, &chunk, diag);
    } while (err == ERR_OK && chunk.rows != 0);
    return err;
}
