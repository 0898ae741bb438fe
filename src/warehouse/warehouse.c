/*
 * warehouse - opening and closing: the secret, the checkpoint, the engine, and what is of no use
 * any more.
 *
 * Layer 4. See warehouse.h for the threads; inside.h for what the files of this room share.
 *
 * <data-dir>/warehouse/ holds: secret (16 random bytes, under which persons' keys
 * are hashed, and their CRC32C),
 * checkpoint.json (where reading the store goes on, and which projects must be there), tmp/
 * (DuckDB's), and a folder a project. Nothing in it is precious: all is made again from the store.
 */
#include "warehouse/warehouse.h"
#include "base/random.h"
#include "base/thread.h"
#include "codec/crc32c.h"
#include "warehouse/inside.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAGE_ARENA_BYTES ((size_t)1 << 20)
#define PAGE_ARENA_BYTES_MAX ((size_t)256 << 20)
#define MERGE_ROWS_MAX 10000000
#define MERGE_SPLIT_SEALS                                                                          \
    4 /* level-0 files are split by month once they hold so many full tails                        \
       */
#define BEHIND_FACTOR 3
#define CHECKPOINT_BYTES_MAX ((size_t)64 << 20)

/* The engine's workers inherit the priority of the thread that opens it, so it is opened on a low
 * one. */
struct opening {
    const struct engine_config *config;
    struct engine **ret_engine;
    struct diag *diag;
    enum err err;
};

static void
open_engine(void *arg)
{
    struct opening *opening = arg;

    opening->err = engine_open(opening->config, opening->ret_engine, opening->diag);
}

static enum err
start_engine(struct warehouse *warehouse, struct diag *diag)
{
    char temp_dir[FILE_PATH_MAX];
    struct engine_config config = {.temp_dir = temp_dir,
                                   .threads = warehouse->config.query_threads,
                                   .memory_limit_bytes = warehouse->config.memory_limit_bytes};
    struct opening opening = {&config, &warehouse->engine, diag, ERR_OK};
    struct thread *thread = NULL;
    enum err err = ERR_OK;

    if (!file_path(temp_dir, warehouse->dir, "tmp"))
        return ERR_INVALID;
    if (file_exists(temp_dir)) /* what a killed process spilt there: rows, perhaps of somebody */
        err = file_remove_tree(temp_dir, diag);
    if (err != ERR_OK)
        return err;
    err = thread_start("engine-open", THREAD_LOW, open_engine, &opening, &thread, diag);
    if (err != ERR_OK)
        return err;
    thread_join(&thread);
    return opening.err;
}

/* The file holds the secret and its CRC32C: a secret that changed unseen would make every known
 * person a new one. */
#define SECRET_FILE_BYTES (PERSONS_SECRET_BYTES + 4)

static enum err
write_secret(struct warehouse *warehouse, struct diag *diag)
{
    char bytes[SECRET_FILE_BYTES], path[FILE_PATH_MAX];
    uint32_t checksum = 0;

    if (!file_path(path, warehouse->dir, "secret"))
        return ERR_INVALID;
    random_fill(random_system(), warehouse->secret, sizeof(warehouse->secret));
    checksum = crc32c(0, warehouse->secret, sizeof(warehouse->secret));
    memcpy(bytes, warehouse->secret, PERSONS_SECRET_BYTES);
    memcpy(bytes + PERSONS_SECRET_BYTES, &checksum, 4);
    return file_replace_whole(path, slice_of(bytes, sizeof(bytes)), diag);
}

/* *ret_is_new: there is none, or a damaged one. */
static enum err
read_secret(struct warehouse *warehouse, bool *ret_is_new, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct buf buf;
    uint32_t checksum = 0;
    enum err err = ERR_INVALID;

    if (!file_path(path, warehouse->dir, "secret"))
        return ERR_INVALID;
    buf_init(&buf, 4096);
    err = file_read_whole(path, 4096, &buf, diag);
    *ret_is_new = true;
    if (err == ERR_OK && buf.len == SECRET_FILE_BYTES) {
        memcpy(&checksum, buf.ptr + PERSONS_SECRET_BYTES, 4);
        memcpy(warehouse->secret, buf.ptr, PERSONS_SECRET_BYTES);
        *ret_is_new = checksum != crc32c(0, buf.ptr, PERSONS_SECRET_BYTES);
    }
    buf_fini(&buf);
    return err == ERR_ABSENT || err == ERR_FULL ? ERR_OK : err;
}

/* All that was derived; the folder itself stays. */
static enum err
remove_derived(const char *dir, bool keeps_secret, struct diag *diag)
{
    struct file_list list = {0};
    enum err err = file_list_dir(dir, &list, diag);

    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        char path[FILE_PATH_MAX];

        if ((keeps_secret && strcmp(list.names[i], "secret") == 0) ||
            !file_path(path, dir, list.names[i]))
            continue;
        err = file_remove_tree(path, diag);
    }
    file_list_free(&list);
    return err == ERR_OK ? file_sync_dir(dir, diag) : err;
}

static enum err
read_checkpoint(struct warehouse *warehouse, struct diag *diag)
{
    const struct store_position durable = warehouse->durable_at_open;
    char path[FILE_PATH_MAX];
    struct buf buf;
    enum err err = ERR_INVALID;

    buf_init(&buf, CHECKPOINT_BYTES_MAX);
    if (file_path(path, warehouse->dir, "checkpoint.json"))
        err = file_read_whole(path, CHECKPOINT_BYTES_MAX, &buf, diag);
    if (err == ERR_OK)
        err = checkpoint_parse(buf_slice(&buf), &warehouse->checkpoint, diag);
    buf_fini(&buf);
    if (err == ERR_OK && !position_reached(warehouse->checkpoint->position, durable)) {
        diag_set(diag, "%s: made from another store, or from more than this one holds", path);
        checkpoint_free(&warehouse->checkpoint);
        return ERR_CORRUPT;
    }
    if (err != ERR_OK)
        return err;
    warehouse->cursor = warehouse->checkpoint->position;
    for (uint32_t i = 0; i < warehouse->checkpoint->project_count; i++)
        warehouse->rows += warehouse->checkpoint->projects[i].rows;
    return ERR_OK;
}

static enum err
has_projects(const char *dir, bool *ret_is_filled, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    const enum err err = file_list_dir(dir, &list, diag);

    *ret_is_filled = false;
    for (size_t i = 0; err == ERR_OK && i < list.count; i++)
        *ret_is_filled |= list.names[i][0] >= '0' && list.names[i][0] <= '9';
    return err;
}

/* Where the store is read from. Without a checkpoint that can be believed, from its start; what a
 * project's manifest covers is skipped, so that only time is lost. A new secret or another store:
 * nothing is of use. */
static enum err
find_start(struct warehouse *warehouse, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    bool is_new_secret = false;
    bool is_filled = false;
    enum err err = read_secret(warehouse, &is_new_secret, diag);

    if (err != ERR_OK)
        return err;
    if (is_new_secret) { /* first what was made under another one goes */
        err = remove_derived(warehouse->dir, true, diag);
        return err == ERR_OK ? write_secret(warehouse, diag) : err;
    }
    err = read_checkpoint(warehouse, &why);
    if (err == ERR_ABSENT) {
        err = has_projects(warehouse->dir, &is_filled, diag);
        if (is_filled) /* of another time of the store's, perhaps */
            warehouse->cursor = store_first_position(warehouse->config.store);
        return err;
    }
    if (err == ERR_OK)
        return ERR_OK;
    if (err == ERR_CORRUPT || err == ERR_FULL) {
        SINK(warehouse->config.sink, LOG_LEVEL_WARN, "warehouse.checkpoint_damaged",
             LOG_TEXT("why", why.message),
             LOG_TEXT("next", "everything is loaded again from the store"));
        return remove_derived(warehouse->dir, true, diag);
    }
    if (diag != NULL)
        *diag = why;
    return err;
}

static void
locks_init(struct warehouse *warehouse)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&warehouse->projects_lock, NULL);
    pthread_mutex_init(&warehouse->progress_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&warehouse->progress_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    engine_guard_init(&warehouse->keeper_guard);
}

static void
warehouse_free(struct warehouse **warehouse_place)
{
    struct warehouse *warehouse = *warehouse_place;

    *warehouse_place = NULL;
    if (warehouse == NULL)
        return;
    for (uint32_t i = 0; i < warehouse->project_slots; i++)
        project_free(&warehouse->projects[i]);
    mem_free(warehouse->projects);
    checkpoint_free(&warehouse->checkpoint);
    arena_fini(&warehouse->page_arena);
    load_request_cancel(warehouse);
    engine_close(&warehouse->keeper_engine);
    engine_close(&warehouse->engine);
    pthread_mutex_destroy(&warehouse->projects_lock);
    pthread_mutex_destroy(&warehouse->progress_lock);
    pthread_cond_destroy(&warehouse->progress_changed);
    engine_guard_fini(&warehouse->keeper_guard);
    mem_free(warehouse);
}

enum err
warehouse_open(const struct warehouse_config *config, struct warehouse **ret_warehouse,
               struct diag *diag)
{
    CLEANUP(warehouse_free) struct warehouse *warehouse = MEM_NEW(struct warehouse, 1);
    enum err err = ERR_OK;

    assert(config->query_threads != 0 && config->seal_rows != 0 && config->seal_bytes != 0);
    if (warehouse == NULL)
        return ERR_NOMEM;
    locks_init(warehouse);
    warehouse->config = *config;
    arena_init(&warehouse->page_arena, PAGE_ARENA_BYTES, PAGE_ARENA_BYTES_MAX);
    if (!file_path(warehouse->dir, config->data_dir, "warehouse"))
        return ERR_INVALID;
    snprintf(warehouse->data_dir, sizeof(warehouse->data_dir), "%s", config->data_dir);
    warehouse->config.data_dir = warehouse->data_dir;
    warehouse->durable_at_open = store_durable(config->store);
    warehouse->behind_factor = BEHIND_FACTOR;
    warehouse->merge_rows_max = MERGE_ROWS_MAX;
    warehouse->merge_split_rows = (uint64_t)config->seal_rows * MERGE_SPLIT_SEALS;
    warehouse->generation = warehouse->durable_at_open.generation;
    err = file_make_dir(warehouse->dir, diag);
    if (err == ERR_OK)
        err = find_start(warehouse, diag);
    if (err == ERR_OK)
        err = start_engine(warehouse, diag);
    if (err != ERR_OK)
        return err;
    warehouse->loaded = warehouse->cursor;
    warehouse->oldest_waiting_us = clock_wall_us(config->clock);
    warehouse->scrubbed_ns = clock_steady_ns(config->clock); /* first uses check files anyway */
    *ret_warehouse = MOVE(warehouse);
    return ERR_OK;
}

void
warehouse_stop(struct warehouse *warehouse)
{
    engine_guard_stop(&warehouse->keeper_guard, ERR_CANCELLED);
}

void
warehouse_close(struct warehouse **warehouse_place, int64_t seal_ms_max)
{
    struct warehouse *warehouse = *warehouse_place;

    if (warehouse == NULL)
        return;
    load_seal_all(warehouse, seal_ms_max);
    warehouse_free(warehouse_place);
}

enum err
warehouse_discard(const char *data_dir, struct diag *diag)
{
    char dir[FILE_PATH_MAX];

    if (!file_path(dir, data_dir, "warehouse"))
        return ERR_INVALID;
    if (!file_exists(dir))
        return ERR_OK;
    return remove_derived(dir, false, diag);
}
