/*
 * inside - what the files of this room share: the warehouse, its projects, their files and views.
 *
 * Layer 4, private to src/warehouse.
 *
 * Locks, in the order they may be taken: projects_lock, project->lock, then any of progress_lock,
 * types->lock, persons->lock, tail->order_lock, data_file->check_lock. None is held over DuckDB or
 * a sync, save project->seal_lock, which the loader (sealing) and the keeper (compacting) hold
 * while manifest.json is replaced; no reader takes it.
 */
#ifndef POTIK_WAREHOUSE_INSIDE_H
#define POTIK_WAREHOUSE_INSIDE_H

#include "base/file.h"
#include "base/mem.h"
#include "warehouse/engine.h"
#include "warehouse/learnt.h"
#include "warehouse/manifest.h"
#include "warehouse/persons.h"
#include "warehouse/tail.h"
#include "warehouse/types.h"
#include "warehouse/warehouse.h"
#include <pthread.h>
#include <stdatomic.h>

struct project;

/* a <= b, the all-zero position being before everything. */
static inline bool
position_reached(struct store_position a, struct store_position b)
{
    return (a.generation | a.major | a.minor) == 0 || store_position_at_or_before(a, b);
}

/* --- files of a project ---------------------------------------------------------------------- */

enum file_check { FILE_UNCHECKED, FILE_SOUND, FILE_DAMAGED };

/* Tells whether a file that was dropped is still held, after it is gone itself. */
struct file_life {
    _Atomic uint32_t references;
    _Atomic bool is_over;
    uint32_t number;
    struct file_life *next; /* of the dropped ones of a project */
};

/* A sealed Parquet file and its minima beside it. Unlinked when dropped and the last holder leaves.
 */
struct data_file {
    _Atomic uint32_t references;
    _Atomic bool is_dropped; /* no manifest names it any more */
    _Atomic enum file_check check;
    pthread_mutex_t check_lock;
    struct file_life *life;
    struct manifest_file facts;
    char rows_path[FILE_PATH_MAX];
    char first_path[FILE_PATH_MAX];
};

/* The files of one manifest, by seq_min. Immutable; held by the project and by views. */
struct file_set {
    _Atomic uint32_t references;
    uint32_t count;
    struct data_file *files[];
};

MUST_USE enum err data_file_new(const char *project_dir, const struct manifest_file *facts,
                                struct data_file **ret_file);
struct data_file *data_file_hold(struct data_file *file);
void data_file_release(struct data_file **file); /* takes NULL */
/* No manifest names the file any more; `lives` lists it. Under the project's seal_lock. */
void data_file_drop(struct data_file *file, struct file_life **lives);
/* Under seal_lock. Whether a dropped file of that number is held still; forgets those that are not.
 */
bool file_lives_have(struct file_life **lives, uint32_t number);
void file_lives_free(struct file_life **lives);
/* Reads both files once in this process: ERR_CORRUPT if they are not what the manifest says. Any
 * thread. */
MUST_USE enum err data_file_check(struct data_file *file, struct diag *diag);

MUST_USE enum err file_set_new(struct data_file *const *files, uint32_t count,
                               struct file_set **ret_set); /* holds each file */
struct file_set *file_set_hold(struct file_set *set);
void file_set_release(struct file_set **set);

/* CRC32C of a whole file. */
MUST_USE enum err
checksum_file(const char *path, uint64_t *ret_bytes, uint32_t *ret_checksum, struct diag *diag);

/* --- the names of a project: its dictionary and its persons ------------------------------------
 */

/* Held by the project and by views, so that a rebuild can start a new one beside old views. */
struct lexicon {
    _Atomic uint32_t references;
    _Atomic bool is_dropped; /* the runs' folder goes with it */
    struct project *project;
    struct types *types; /* replaced under the project's lock where names are erased */
    struct persons persons;
    struct learnt *learnt;
    char runs_dir[FILE_PATH_MAX];
    uint8_t runs_owner[RUN_OWNER_BYTES];
};
MUST_USE enum err lexicon_new(struct project *project, uint64_t generation, uint32_t epoch,
                              struct lexicon **ret_lexicon);
struct lexicon *lexicon_hold(struct lexicon *lexicon);
void lexicon_release(struct lexicon **lexicon); /* takes NULL */
/* The types of the project's files, in order. ERR_CORRUPT. */
MUST_USE enum err lexicon_read_types(struct lexicon *lexicon, const char *dir,
                                     const struct manifest *manifest, struct diag *diag);
/* Writes the types the manifest does not have yet as a further file (or all as one, where files are
 * many), into it. */
MUST_USE enum err lexicon_write_types(const struct types *types, const char *dir,
                                      struct manifest *manifest, struct diag *diag);

/* --- a project ------------------------------------------------------------------------------- */

struct project {
    struct warehouse *warehouse;
    uint32_t id;
    char dir[FILE_PATH_MAX];
    _Atomic bool needs_rebuild;        /* damage was met: the loader drops and loads it again */
    _Atomic uint32_t dropped_lexicons; /* that are held still */
    _Atomic bool was_read;             /* since the last seal: it is sealed sooner when idle */

    /* Under `lock`: what views are made of. */
    pthread_mutex_t lock;
    struct file_set *set;
    struct lexicon *lexicon;
    struct tail *tail;
    uint32_t tail_rows;           /* published */
    int64_t tail_received_min_us; /* of those; of no meaning without rows */
    uint32_t type_count;          /* published */
    uint64_t person_count;        /* published */
    uint64_t sealed_rows;
    int64_t received_min_us; /* of all rows; 0: none */
    bool is_withheld;        /* it may hold what was erased: no view until the loader resets it */
    bool is_rebuilding;      /* its rows are being read again from the start of the store, */
    int64_t waiting_us;      /* received_at of the next of them, no later than that; 0: not begun */
    struct store_position covered; /* and this far it has come; else warehouse->loaded counts */

    /* Loader and keeper; of these the manifest is made. */
    pthread_mutex_t seal_lock;
    struct manifest manifest;  /* as on disk; its `files` are those of `set` */
    uint32_t next_number;      /* of files; never falls while the process lives */
    struct file_life *dropped; /* files that views may hold still */
    int64_t merge_again_ns;    /* the keeper's: after a merge that failed */

    /* The loader's. */
    struct store_position loaded; /* rows at or before it are here already */
    uint64_t loaded_seq;          /* of the last row; the next has one more where the store gives no
                                     numbers */
    bool is_touched;              /* by the page at hand */
    enum err broken;              /* ERR_OK, or why it takes no more rows (ERR_FULL) */
    struct project *next_touched;
    struct store_position tail_floor; /* the cursor before the tail's first row */
    int64_t tail_began_steady_ns;
    uint64_t tail_began_rows; /* of all projects, when the tail began */
    uint64_t tail_began_bytes;
    struct project *next_active; /* list of projects with rows in the tail */
    bool is_active;
};

/* The project, opened if need be. Any thread. ERR_NOMEM, ERR_IO. */
MUST_USE enum err project_get(struct warehouse *warehouse, uint32_t project_id,
                              struct project **ret_project, struct diag *diag);
void project_free(struct project **project);
/* Damage was met, by whoever read files or runs of this lexicon's time: the loader will load the
 * project again. */
void project_report_damage(struct project *project, const struct lexicon *lexicon,
                           const struct diag *diag);
/* The loader will discard the project and load it again: told to it, not to the log. */
void project_flag(struct project *project);
/* Loader: everything of it is discarded; its rows come again from the store. */
MUST_USE enum err project_reset(struct project *project, struct diag *diag);
/* What an empty project has: no files, no names. */
MUST_USE enum err project_make_empty(struct project *project, uint32_t epoch,
                                     struct file_set **ret_set, struct lexicon **ret_lexicon);
/* Removes what the manifest does not name, and keeps the numbers rising above whatever stood there.
 */
MUST_USE enum err project_tidy(struct project *project, struct diag *diag);
/* Loader: a project without rows, still of that lexicon, has no manifest, types and persons from
 * here on; what was loaded stays loaded. Else nothing changes. */
MUST_USE enum err
project_remove(struct project *project, const struct lexicon *of_lexicon, struct diag *diag);
/*
 * Loader: where is_gone[id] (of type_count ids that no file of that manifest has rows of; those the
 * tail has rows of are taken back), the id loses its name. Another lexicon or manifest: nothing
 * changes.
 */
MUST_USE enum err project_forget_types(struct project *project, const struct lexicon *of_lexicon,
                                       uint64_t manifest_number, bool *is_gone, uint32_t type_count,
                                       struct diag *diag);
/* Loader: writes the tail out, replaces the manifest, starts a new tail. ERR_STORAGE_FULL, ERR_IO:
 * nothing changed. */
MUST_USE enum err project_seal(struct project *project, struct diag *diag);
/*
 * Under seal_lock: manifest.json becomes `manifest` (its number raised); then so does the project's
 * memory, with `set`, and `tail` (or NULL: the tail stays). On success the three hold what was
 * there before. On error nothing changed.
 */
MUST_USE enum err project_publish(struct project *project, struct manifest *manifest,
                                  struct file_set **set, struct tail **tail, struct diag *diag);
/* A copy with room for so many more files. */
MUST_USE enum err
manifest_copy(const struct manifest *manifest, uint32_t room, struct manifest *ret_copy);

/* --- what the keeper asks of the loader -------------------------------------------------------
 */

enum load_request_kind {
    REQUEST_NONE,
    REQUEST_SEAL,   /* the tail is sealed, however small */
    REQUEST_TYPES,  /* project_forget_types */
    REQUEST_REMOVE, /* project_remove */
    REQUEST_TAKEN   /* the loader is at it */
};
/* One at a time. The keeper fills it and says its kind last; from then on it is the loader's, until
 * it is REQUEST_NONE again: done, or refused, or failed; the keeper looks what came of it. */
struct load_request {
    _Atomic enum load_request_kind kind;
    struct project *project;
    struct lexicon *lexicon; /* held: of another one's time nothing is done */
    uint64_t manifest_number;
    bool *is_gone; /* REQUEST_TYPES */
    uint32_t type_count;
};
/* Keeper. */
bool load_request_is_pending(const struct warehouse *warehouse);
/* Keeper, none being pending. Takes is_gone. */
void load_request_post(struct warehouse *warehouse, enum load_request_kind kind,
                       const struct load_request *request);
/* Keeper: one that the loader has not taken is taken back. */
void load_request_cancel(struct warehouse *warehouse);
/* Loader. */
MUST_USE enum err load_request_serve(struct warehouse *warehouse, struct diag *diag);
#define LOAD_SEAL_AGAIN_NS (5 * NS_PER_S)

/* --- the warehouse --------------------------------------------------------------------------- */

struct warehouse {
    struct warehouse_config config;
    char data_dir[FILE_PATH_MAX];
    char dir[FILE_PATH_MAX];
    uint8_t secret[PERSONS_SECRET_BYTES];
    uint64_t generation;          /* of the store; 0 until it has one */
    struct engine *engine;        /* queries and seals */
    struct engine *keeper_engine; /* the keeper's; NULL while it has nothing to do */

    pthread_mutex_t projects_lock;
    struct project **projects; /* open addressing by id; NULL: empty */
    uint32_t project_slots;
    uint32_t project_count;
    struct checkpoint *checkpoint;         /* as read at start: which projects there must be */
    struct store_position durable_at_open; /* what covers more was made from another store's rows;
                                              with `generation` under projects_lock */
    _Atomic bool has_damage;               /* some project needs_rebuild */

    pthread_mutex_t progress_lock;
    pthread_cond_t progress_changed;
    struct store_position loaded; /* every project that is not being rebuilt is loaded up to here */
    struct store_position current; /* all that was durable when this was the end is loaded */
    int64_t newest_received_us;
    int64_t oldest_waiting_us; /* received_at no later than that of the oldest row not loaded */
    bool is_rebuilding;        /* the cursor is behind `loaded` */
    bool is_held;              /* durable rows are known that cannot be read yet */

    /* The loader's. */
    struct store_position cursor; /* read up to here; behind `loaded` while a project is rebuilt */
    struct arena page_arena;
    bool is_stale;  /* all is to be discarded: the store went back to an older state */
    bool is_behind; /* rows wait behind the cursor */
    uint32_t
        behind_factor; /* tails may then grow so many times their limits before they are sealed */
    struct project *active;
    struct project *touched;
    uint64_t rows_read; /* since start, all projects */
    uint64_t bytes_read;
    int64_t due_checked_ns;
    int64_t seal_again_ns; /* after a seal that failed */

    struct load_request request; /* of the keeper to the loader */

    /* The keeper's. */
    struct engine_guard keeper_guard; /* stopped by warehouse_stop */
    uint32_t keep_turn;               /* the slot of the project it looks at next */
    uint32_t scrub_turn;              /* the same for scrubbing */
    uint32_t scrub_at;                /* files of that project that are scrubbed */
    int64_t scrubbed_ns;              /* when the last round over all files ended */
    uint64_t merge_rows_max;          /* of a merged file: 10 M */
    uint64_t merge_split_rows;        /* level-0 files that hold so many are split by month */

    _Atomic uint64_t tail_bytes;
    _Atomic uint64_t tail_rows;
    _Atomic uint64_t rows;
};

/* Age of the oldest durable row that is not loaded; 0: none. Any thread. */
int64_t warehouse_lag_us(struct warehouse *warehouse);
/* At the end: seals tails, largest first, while time is left, and writes the checkpoint. */
void load_seal_all(struct warehouse *warehouse, int64_t seal_ms_max);
/* Seals the tail and lets the project rest. Loader. */
MUST_USE enum err
load_seal_project(struct warehouse *warehouse, struct project *project, struct diag *diag);
/* The rows that a project has in its tail count no more. Loader. */
void load_drop_tail(struct warehouse *warehouse, struct project *project);
/* The keeper's instance, opened if need be. */
MUST_USE enum err
keeper_engine(struct warehouse *warehouse, struct engine **ret_engine, struct diag *diag);
/* rebuild.c, the loader's. On error both are called again by the next step. */
MUST_USE enum err load_rebuild_damaged(struct warehouse *warehouse, struct diag *diag);
/* The store is not the one that was read: while `is_stale` nothing is read or sealed. */
MUST_USE enum err load_discard_all(struct warehouse *warehouse, struct diag *diag);
/* Where reading starts, and the projects that must exist. Loader. */
MUST_USE enum err checkpoint_write(struct warehouse *warehouse, struct diag *diag);
/* From here on a start discards everything. */
MUST_USE enum err checkpoint_void(struct warehouse *warehouse, struct diag *diag);

/* --- a view ---------------------------------------------------------------------------------- */

struct warehouse_view {
    struct warehouse *warehouse;
    struct project *project;
    struct file_set *set;
    struct lexicon *lexicon;
    struct types *types; /* the lexicon's of that moment */
    struct tail *tail;
    uint32_t tail_rows;
    uint32_t type_count;
    uint64_t person_count;
    int64_t history_from_us;
    struct warehouse_watermark watermark;
};

#endif
