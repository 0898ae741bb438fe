/*
 * engine_inside - what the engine's own files share; nobody else sees duckdb.h.
 *
 * Layer 4, private to engine*.c.
 */
#ifndef POTIK_WAREHOUSE_ENGINE_INSIDE_H
#define POTIK_WAREHOUSE_ENGINE_INSIDE_H

#include "warehouse/engine.h"
#include <duckdb.h>

/* A DuckDB instance; lives until the engine has another and its last connection is gone. */
struct engine_instance {
    _Atomic uint32_t references;
    duckdb_database database;
};

/* A connection in use, listed in its guard so that it can be interrupted. */
struct engine_link {
    struct engine *engine;
    struct engine_instance *instance;
    duckdb_connection connection;
    struct engine_guard *guard;
    struct engine_link *next;
    bool is_open;
};

void engine_guard_add(struct engine_guard *guard, struct engine_link *link);
void engine_guard_remove(struct engine_guard *guard, struct engine_link *link);

/* Makes the table function `feed` known to an instance. false: refused. */
bool engine_feed_register(duckdb_connection connection);

#endif
