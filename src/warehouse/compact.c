/*
 * compact - one merge: read the inputs in order, write what they become, name it in the manifest.
 *
 * Layer 4, the keeper's thread. Nothing is locked while files are read and written. The inputs stay
 * named and readable until manifest.json has been replaced; then they are dropped, and go with
 * their last holder. Where time is split, the inputs are read once for each part, with the part's
 * bounds pushed down: the rest of a row is decoded only where its time fits.
 */
#include "warehouse/compact.h"
#include "base/counter.h"
#include "codec/calendar.h"
#include "warehouse/replace.h"
#include "warehouse/sql.h"

#define MONTHS_MAX 4096 /* from 1970 on */
#define OUTPUTS_MAX 256
#define TIME_END_US INT64_C(9000000000000000000)

COUNTER_DEFINE(merged_rows, "potik_warehouse_merged_rows_total", "rows written by merging files");

/* A merge under way. */
struct merging {
    struct project *project;
    struct engine *engine;
    struct engine_guard *guard;
    struct lexicon *lexicon; /* held: tells whether the project was reset meanwhile */
    struct file_set *set;    /* held */
    struct compact_plan plan;
    struct data_file *inputs[MERGE_FILES_MAX]; /* held by the set */
    uint32_t type_count;
    struct compact_parts parts;
    struct manifest_file outputs[OUTPUTS_MAX];
    uint32_t output_count;
    uint64_t rows; /* of the inputs */
};

/* --- where time is cut ----------------------------------------------------------------------- */

struct month_counts {
    uint64_t rows[MONTHS_MAX];
};

static enum err
count_months(void *state, const struct warehouse_rows *rows)
{
    struct month_counts *counts = state;
    int64_t from = 0, to = 0; /* of the month met last: most rows have it again */
    int32_t month = 0;

    for (uint32_t i = 0; i < rows->count; i++) {
        const int64_t time = rows->occurred_at_us[i];

        if (time < from || time >= to) {
            month = calendar_bucket_of_day(CALENDAR_MONTH, (int32_t)(time / US_PER_DAY));
            if (month < 0 || month >= MONTHS_MAX)
                return ERR_CORRUPT; /* no event is taken from outside */
            from = (int64_t)calendar_bucket_first_day(CALENDAR_MONTH, month) * US_PER_DAY;
            to = (int64_t)calendar_bucket_first_day(CALENDAR_MONTH, month + 1) * US_PER_DAY;
        }
        counts->rows[month]++;
    }
    return ERR_OK;
}

static enum err
cut_time(struct merging *merging, struct diag *diag)
{
    const struct source_filter all = {
        .from_us = INT64_MIN, .to_us = INT64_MAX, .person_to = UINT64_C(1) << 32};
    CLEANUP(mem_free_ptr) struct month_counts *counts = NULL;
    enum err err = ERR_OK;

    if (!merging->plan.is_split) {
        merging->parts.count = 1;
        merging->parts.from_us[0] = 0;
        merging->parts.to_us[0] = TIME_END_US;
        merging->parts.rows[0] = merging->rows;
        return ERR_OK;
    }
    counts = MEM_NEW(struct month_counts, 1);
    if (counts == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; err == ERR_OK && i < merging->plan.count; i++) {
        CLEANUP(source_free) struct source *source = NULL;

        err = source_of_files(merging->engine, merging->guard, &merging->inputs[i], 1, false, &all,
                              &source, diag);
        if (err == ERR_OK)
            err = source_merge(&source, 1, false, merging->guard, count_months, counts, diag);
    }
    if (err == ERR_OK)
        compact_cut(counts->rows, MONTHS_MAX, 0, &merging->parts);
    return err;
}

/* --- writing --------------------------------------------------------------------------------- */

static struct manifest_file
output_facts(const struct merging *merging, uint32_t part)
{
    const struct manifest_file *input = &merging->inputs[0]->facts;
    const bool is_split = merging->plan.is_split;
    struct manifest_file facts = {
        .number = replace_number(merging->project),
        .level = is_split ? 1 : input->level,
        .part_from_us = is_split ? merging->parts.from_us[part] : input->part_from_us,
        .part_to_us = is_split ? merging->parts.to_us[part] : input->part_to_us,
    };

    for (uint32_t i = 0; i < merging->plan.count; i++) {
        if (position_reached(facts.covered, merging->inputs[i]->facts.covered))
            facts.covered = merging->inputs[i]->facts.covered;
    }
    return facts;
}

/* One part of time as one file, or as several of equal size, cut between persons. */
static enum err
write_part(struct merging *merging, uint32_t part, struct diag *diag)
{
    const uint64_t rows = merging->parts.rows[part];
    const uint64_t most = merging->project->warehouse->merge_rows_max;
    const uint64_t files = (rows + most - 1) / most;
    CLEANUP(mem_free_ptr) struct merge_feed *feed = MEM_NEW(struct merge_feed, 1);
    enum err err = ERR_NOMEM;

    if (feed == NULL || rows == 0)
        return rows == 0 ? ERR_OK : ERR_NOMEM;
    err =
        merge_feed_open(feed, merging->engine, merging->guard, merging->inputs, merging->plan.count,
                        merging->parts.from_us[part], merging->parts.to_us[part], diag);
    feed->rows_cut = files > 1 ? (rows + files - 1) / files : 0;
    while (err == ERR_OK && !feed->is_done) {
        struct manifest_file facts = output_facts(merging, part);

        if (merging->output_count == OUTPUTS_MAX) {
            err = ERR_FULL;
            break;
        }
        merge_feed_next_file(feed);
        feed->rows.feed.rows = rows / files;
        err = file_write(merging->project, merging->engine, merging->guard, sql_merge_rows_text,
                         &feed->rows, NULL, merging->type_count, &facts, diag);
        if (err == ERR_OK && facts.rows != 0)
            merging->outputs[merging->output_count++] = facts;
    }
    merge_feed_close(feed);
    return err;
}

/* --- one merge ------------------------------------------------------------------------------- */

static enum err
merge(struct merging *merging, struct diag *diag)
{
    uint64_t rows = 0;
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < merging->plan.count; i++) {
        merging->inputs[i] = merging->set->files[merging->plan.indexes[i]];
        merging->rows += merging->inputs[i]->facts.rows;
    }
    err = cut_time(merging, diag);
    for (uint32_t i = 0; err == ERR_OK && i < merging->parts.count; i++)
        err = write_part(merging, i, diag);
    for (uint32_t i = 0; i < merging->output_count; i++)
        rows += merging->outputs[i].rows;
    if (err == ERR_OK && rows != merging->rows) {
        diag_set(diag, "%s: merging gave another number of rows", merging->project->dir);
        err = ERR_CORRUPT;
    }
    const struct replacement replacement = {merging->project, merging->lexicon,
                                            merging->inputs,  merging->plan.count,
                                            merging->outputs, merging->output_count};

    if (err == ERR_OK)
        err = replace_files(&replacement, diag);
    if (err != ERR_OK)
        replace_drop_outputs(&replacement);
    else
        counter_add(&merged_rows, rows);
    return err;
}

enum err
compact_project(struct project *project, struct engine *engine, struct engine_guard *guard,
                bool *ret_did_work, struct diag *diag)
{
    const struct warehouse *warehouse = project->warehouse;
    CLEANUP(mem_free_ptr) struct merging *merging = MEM_NEW(struct merging, 1);
    enum err err = ERR_OK;

    *ret_did_work = false;
    if (merging == NULL)
        return ERR_NOMEM;
    merging->project = project;
    merging->engine = engine;
    merging->guard = guard;
    pthread_mutex_lock(&project->lock);
    merging->set = file_set_hold(project->set);
    merging->lexicon = lexicon_hold(project->lexicon);
    merging->type_count = project->type_count;
    pthread_mutex_unlock(&project->lock);
    compact_choose(merging->set, warehouse->merge_split_rows, warehouse->merge_rows_max,
                   &merging->plan);
    if (merging->plan.count != 0) {
        *ret_did_work = true;
        err = merge(merging, diag);
        if (err == ERR_CORRUPT)
            project_report_damage(project, merging->lexicon, diag);
    }
    file_set_release(&merging->set);
    lexicon_release(&merging->lexicon);
    return err;
}
