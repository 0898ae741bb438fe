/*
 * rebuild - forget, open, load, seal, close. See rebuild.h.
 */
#include "app/rebuild.h"

#include "app/folder.h"
#include "app/wire.h"
#include "base/file.h"

#include <unistd.h>

#define SEAL_MS_MAX (INT64_C(24) * 3600 * 1000) /* as long as it takes */

/* A sync failed: nothing of the ledger is at stake, the work is begun again. */
static void
on_fatal(void *state, const char *reason)
{
    (void)state;
    fprintf(stderr, "potik: %s\n", reason);
    _exit(1);
}

static enum err
forget(const struct config *config, struct diag *diag)
{
    const char *data_dir = config->data_dir;
    char ids[FILE_PATH_MAX];
    enum err err = warehouse_discard(data_dir, diag);

    if (err != ERR_OK || config_is_postgres(config))
        return err;
    if (!file_path(ids, data_dir, "ids"))
        return ERR_IO;
    return file_exists(ids) ? file_remove_tree(ids, diag) : ERR_OK;
}

/* A ledger without an event: nothing will ever be loaded of it. Only stores that number their
 * events have such a position. */
static bool
holds_nothing(struct store_position durable)
{
    return durable.generation != 0 && durable.major == 0 && durable.minor == 0;
}

static enum err
load_all(struct store *store, struct warehouse *warehouse,
         void (*progress)(void *state, uint64_t loaded, uint64_t stored), void *state,
         uint64_t *ret_events, struct diag *diag)
{
    struct warehouse_stats loaded;
    struct store_stats stored;

    for (;;) {
        bool did_work;
        enum err err = store_maintain_fast(store, &did_work, diag);

        if (err == ERR_OK)
            err = warehouse_load_step(warehouse, 0, diag);
        if (err != ERR_OK)
            return err;
        warehouse_stats(warehouse, &loaded);
        store_stats(store, &stored);
        progress(state, loaded.rows, stored.events);
        if (holds_nothing(stored.durable) ||
            store_position_at_or_before(stored.durable, loaded.loaded))
            break;
    }
    *ret_events = loaded.rows;
    return ERR_OK;
}

enum err
rebuild_run(const struct config *config,
            void (*progress)(void *state, uint64_t loaded, uint64_t stored), void *state,
            uint64_t *ret_events, struct diag *diag)
{
    CLOSE_FD int lock_fd = -1;
    struct store *store = NULL;
    struct warehouse *warehouse = NULL;
    enum err err = folder_check_store(config->data_dir, config_is_postgres(config), diag);

    if (err == ERR_OK)
        err = folder_lock(config->data_dir, false, &lock_fd, diag);
    /* A database that cannot be reached must not cost what is there. */
    if (err == ERR_OK && config_is_postgres(config))
        err = wire_open_store(config, on_fatal, NULL, &store, diag);
    if (err == ERR_OK)
        err = forget(config, diag);
    if (err == ERR_OK && store == NULL)
        err = wire_open_store(config, on_fatal, NULL, &store, diag);
    if (err == ERR_OK)
        err = wire_open_warehouse(config, store, &warehouse, diag);
    if (err == ERR_OK)
        err = load_all(store, warehouse, progress, state, ret_events, diag);
    if (warehouse != NULL)
        warehouse_close(&warehouse, err == ERR_OK ? SEAL_MS_MAX : 0);
    if (store != NULL)
        store_close(&store);
    return err;
}
