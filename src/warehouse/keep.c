/*
 * keep - the keeper's steps: merging files and runs of persons, reading old files again for damage.
 *
 * Layer 4, the keeper's thread. Projects are looked at in turn; a step does one piece of work. Its
 * DuckDB instance is of its own, has no workers, and lives only while there is something to merge.
 */
#include "base/counter.h"
#include "warehouse/compact.h"
#include <string.h>

#define RETRY_NS (60 * NS_PER_S)
#define SCRUB_EVERY_NS (24 * 3600 * NS_PER_S)
#define SCRUB_RUN_BYTES ((size_t)8 << 20)

COUNTER_DEFINE(scrubbed_files, "potik_warehouse_scrubbed_files_total", "Parquet files read again");
COUNTER_DEFINE(damage_found, "potik_warehouse_damage_total",
               "damaged derived files met by scrubbing");

enum err
keeper_engine(struct warehouse *warehouse, struct engine **ret_engine, struct diag *diag)
{
    char temp_dir[FILE_PATH_MAX];
    const struct engine_config config = {.temp_dir = temp_dir,
                                         .threads = 1,
                                         .memory_limit_bytes =
                                             warehouse->config.memory_limit_bytes};
    enum err err = ERR_OK;

    if (warehouse->keeper_engine == NULL) {
        if (!file_path(temp_dir, warehouse->dir, "tmp"))
            return ERR_INVALID;
        err = engine_open(&config, &warehouse->keeper_engine, diag);
    }
    *ret_engine = warehouse->keeper_engine;
    return err;
}

/* Whether compact_project would find something: the engine is not opened for nothing. */
static bool
has_merge(struct warehouse *warehouse, struct project *project)
{
    struct compact_plan plan;
    struct file_set *set = NULL;

    pthread_mutex_lock(&project->lock);
    set = file_set_hold(project->set);
    pthread_mutex_unlock(&project->lock);
    compact_choose(set, warehouse->merge_split_rows, warehouse->merge_rows_max, &plan);
    file_set_release(&set);
    return plan.count != 0;
}

static enum err
keep_files(struct warehouse *warehouse, struct project *project, bool *ret_did_work,
           struct diag *diag)
{
    const int64_t now_ns = clock_steady_ns(warehouse->config.clock);
    struct engine *engine = NULL;
    enum err err = ERR_OK;

    if (now_ns < project->merge_again_ns || atomic_load(&project->needs_rebuild) ||
        !has_merge(warehouse, project))
        return ERR_OK;
    err = keeper_engine(warehouse, &engine, diag);
    if (err == ERR_OK)
        err = compact_project(project, engine, &warehouse->keeper_guard, ret_did_work, diag);
    if (err != ERR_OK)
        project->merge_again_ns = now_ns + RETRY_NS;
    return err;
}

/* The lexicon, if it has runs of persons; release it. */
static struct lexicon *
lexicon_with_runs(struct project *project)
{
    struct lexicon *lexicon = NULL;
    bool has_runs = false;

    pthread_mutex_lock(&project->lock);
    lexicon = lexicon_hold(project->lexicon);
    pthread_mutex_unlock(&project->lock);
    pthread_mutex_lock(&lexicon->persons.lock);
    has_runs = lexicon->persons.runs != NULL;
    pthread_mutex_unlock(&lexicon->persons.lock);
    if (!has_runs)
        lexicon_release(&lexicon);
    return lexicon;
}

static enum err
keep_persons(struct project *project, bool *ret_did_work, struct diag *diag)
{
    CLEANUP(lexicon_release) struct lexicon *lexicon = lexicon_with_runs(project);
    enum err err = ERR_OK;

    if (lexicon == NULL)
        return ERR_OK;
    err = run_set_merge_step(lexicon->persons.runs, ret_did_work, diag);
    if (err == ERR_CORRUPT)
        project_report_damage(project, lexicon, diag);
    return err;
}

/* The next file of the project, or some of its runs; *ret_is_done: all were read in this round. */
static enum err
scrub_project(struct warehouse *warehouse, struct project *project, bool *ret_is_done,
              struct diag *diag)
{
    CLEANUP(lexicon_release) struct lexicon *lexicon = lexicon_with_runs(project);
    CLEANUP(file_set_release) struct file_set *set = NULL;
    enum err err = ERR_OK;

    *ret_is_done = true;
    pthread_mutex_lock(&project->lock);
    set = file_set_hold(project->set);
    pthread_mutex_unlock(&project->lock);
    if (warehouse->scrub_at < set->count) {
        struct data_file *file = set->files[warehouse->scrub_at++];

        *ret_is_done = false;
        atomic_store(&file->check, FILE_UNCHECKED); /* read it again */
        err = data_file_check(file, diag);
        counter_add(&scrubbed_files, 1);
    } else if (lexicon != NULL) {
        err = run_set_scrub_step(lexicon->persons.runs, SCRUB_RUN_BYTES, ret_is_done, diag);
    }
    if (err == ERR_CORRUPT) {
        counter_add(&damage_found, 1);
        if (lexicon != NULL)
            project_report_damage(project, lexicon, diag);
        *ret_is_done = true;
        err = ERR_OK;
    }
    return err;
}

/* The project in a slot of the table; NULL: none. */
static struct project *
project_in_slot(struct warehouse *warehouse, uint32_t slot, uint32_t *ret_slots)
{
    struct project *project = NULL;

    pthread_mutex_lock(&warehouse->projects_lock);
    *ret_slots = warehouse->project_slots;
    if (slot < warehouse->project_slots)
        project = warehouse->projects[slot];
    pthread_mutex_unlock(&warehouse->projects_lock);
    return project;
}

/* Once a day everything is read again, a file a step. */
static enum err
scrub(struct warehouse *warehouse, bool *ret_did_work, struct diag *diag)
{
    const int64_t now_ns = clock_steady_ns(warehouse->config.clock);
    uint32_t slots = 0;
    struct project *project = project_in_slot(warehouse, warehouse->scrub_turn, &slots);
    bool is_done = true;
    enum err err = ERR_OK;

    if (slots == 0 || now_ns - warehouse->scrubbed_ns < SCRUB_EVERY_NS)
        return ERR_OK;
    *ret_did_work = true;
    if (project != NULL)
        err = scrub_project(warehouse, project, &is_done, diag);
    if (is_done) {
        warehouse->scrub_at = 0;
        warehouse->scrub_turn++;
    }
    if (warehouse->scrub_turn >= slots) {
        warehouse->scrub_turn = 0;
        warehouse->scrubbed_ns = now_ns;
    }
    return err;
}

enum err
warehouse_keep_step(struct warehouse *warehouse, bool *ret_did_work, struct diag *diag)
{
    uint32_t slots = 1;

    *ret_did_work = false;
    for (uint32_t looked = 0; looked < slots; looked++, warehouse->keep_turn++) {
        struct project *project = project_in_slot(warehouse, warehouse->keep_turn, &slots);
        enum err err = (enum err)atomic_load(&warehouse->keeper_guard.err);

        if (warehouse->keep_turn >= slots)
            project = project_in_slot(warehouse, warehouse->keep_turn = 0, &slots);
        if (err == ERR_OK && project != NULL)
            err = keep_files(warehouse, project, ret_did_work, diag);
        if (err == ERR_OK && project != NULL && !*ret_did_work)
            err = keep_persons(project, ret_did_work, diag);
        if (err != ERR_OK || *ret_did_work)
            return err;
    }
    engine_close(
        &warehouse->keeper_engine); /* its memory is not needed until there is work again */
    return scrub(warehouse, ret_did_work, diag);
}
