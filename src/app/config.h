/*
 * config - the settings of the program: one table feeds flags, environment, file and --help.
 *
 * Layer 7, the main thread, before anything is started. A flag (`--data-dir X` or `--data-dir=X`)
 * stands over the environment (POTIK_DATA_DIR), that over the file (`data-dir = X`), that over the
 * default.
 *
 * Sizes: a number of bytes, or with KiB, MiB, GiB or TiB behind it. Durations: a number with ms, s,
 * min or h; 0 needs none. Counts: digits. The file: `name = value` lines, `#` begins a comment at
 * the start of a line; a name may stand once. It is --config, else POTIK_CONFIG, else `potik.conf`
 * in the working folder if it is there.
 */
#ifndef POTIK_APP_CONFIG_H
#define POTIK_APP_CONFIG_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "limit/limit.h"
#include "limit/quota.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_SETTINGS_MAX 96
/* Where a value came from: 0, its default; else one of these, or the number of its line in the
 * file, which is smaller. */
#define CONFIG_FROM_ENVIRONMENT (UINT32_MAX - 1)
#define CONFIG_FROM_FLAG UINT32_MAX

/* Values in force. Texts are owned by the config. 0 in a number marked "auto" has been replaced. */
struct config {
    char *config;
    char *data_dir;
    char *listen;
    char *tls_cert; /* PEM files, both or neither (NULL) */
    char *tls_key;
    char *store; /* may hold a password: shown by postgres_describe_url alone */
    char *time_zone;
    char *log_format; /* auto, text, json */
    char *log_level;  /* debug, info, warn, error */
    char *log_file;   /* NULL: stderr */
    char *access_log; /* NULL: none; "-": stderr */

    uint64_t store_timeout_ms; /* the three: of a PostgreSQL store */
    uint64_t store_connect_timeout_ms;
    uint64_t auth_cache_max_ms;

    uint64_t hash_memory_kib; /* these: of logging in */
    uint64_t hash_passes;
    uint64_t token_life_ms;
    uint64_t refresh_life_ms;
    char *origins;        /* NULL: none */
    char *login_throttle; /* on, off */
    char *trusted_proxy;  /* NULL: none */

    uint64_t limits[LIMIT_WHO_COUNT][LIMIT_WHAT_COUNT]; /* a second; 0: none */
    uint64_t limit_burst_ms;
    char *redis; /* NULL: none; may hold a password */
    char *redis_prefix;
    uint64_t redis_timeout_ms;
    char *limit_fallback;        /* local, open, closed */
    uint64_t quota_events_month; /* 0: none */

    uint64_t loop_threads; /* auto: half the cores this process may use */
    uint64_t connections_max;
    uint64_t pipeline_max;
    uint64_t head_timeout_ms;
    uint64_t body_timeout_ms;
    uint64_t request_timeout_ms;
    uint64_t idle_timeout_ms;
    uint64_t write_timeout_ms;
    uint64_t turn_bytes;
    uint64_t gather_bytes;

    uint64_t keep_rejected_bytes; /* 0: refused events are not kept */
    uint64_t keep_rejected_age_ms;

    uint64_t segment_bytes;
    uint64_t young_ids_seal;
    uint64_t young_ids_max;
    uint64_t free_bytes_min;

    uint64_t query_threads;
    uint64_t query_queue;
    uint64_t query_timeout_ms;
    uint64_t duckdb_threads;      /* auto: the cores */
    uint64_t duckdb_memory_bytes; /* auto: RAM / 4, at most 4 GiB */
    uint64_t seal_rows;
    uint64_t seal_bytes;
    uint64_t seal_idle_ms;
    uint64_t tail_bytes; /* auto: RAM / 8, at most 512 MiB */

    /* In the table's order: a CONFIG_FROM_…, a line, or 0. */
    uint32_t sources[CONFIG_SETTINGS_MAX];
    char *file;          /* that was read; NULL: none */
    struct buf warnings; /* one sentence a line: unknown POTIK_ variables */
};

enum config_scope {
    CONFIG_ALL,    /* every setting may be a flag: serve */
    CONFIG_FOLDER, /* only --data-dir, --config and --store: doctor, rebuild, key, migrate */
};

/*
 * Reads argv[1 …], `environment` (NAME=value texts, NULL at the end) and the file. ERR_INVALID: one
 * sentence in `diag` that names the setting, its value and its range (exit 2); nothing is held
 * then. ERR_NOMEM, ERR_IO.
 */
MUST_USE enum err
config_load(int argc, char *const *argv, char *const *environment, enum config_scope scope,
            struct config *ret_config, struct diag *diag);
void config_fini(struct config *config);

/* Whether a flag, the environment or the file gave the setting of this name. */
bool config_is_given(const struct config *config, const char *name);
/*
 * Puts the source of the setting before the words of `diag`, for who finds its value wrong later:
 * "--listen: …", "POTIK_LISTEN: …", "potik.conf:3: listen: …". A "listen: " that stands there is
 * replaced; of a default it stays.
 */
void config_name_source(const struct config *config, const char *name, struct diag *diag);
/* Whether `store` is the URL of a PostgreSQL database (by its beginning), not embedded. */
bool config_is_postgres(const struct config *config);
/* Overwrites the passwords of postgres:// and redis:// URLs among the words of the command line,
 * which `ps` shows to everybody. Called when they have been read. */
void config_hide_passwords(int argc, char **argv);

/* The table as text for --help: flag, range, default, what it is. */
void config_write_help(FILE *out, enum config_scope scope);

/* The two number forms, for tests and for flags outside the table. false: not such a text, or over
 * 2^63. */
MUST_USE bool config_parse_bytes(const char *text, uint64_t *ret_bytes);
MUST_USE bool config_parse_ms(const char *text, uint64_t *ret_ms);

#endif
