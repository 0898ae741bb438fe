/*
 * scan - the person-ordered scan and the first-ever scan of a view, split over threads by person.
 *
 * Layer 4, the query's thread; each part runs on a thread of its own, the caller watches the
 * deadline (engine_guard.c). Every part opens its own sources with its range of persons pushed
 * down, so nothing is shared.
 *
 * The bounds of the parts come from the files' marks (persons at even steps of rows) and the number
 * of persons, not from the scan: two scans of one view with equal `parts` cut the same persons.
 */
#include "warehouse/source.h"
#include <assert.h>
#include <stdlib.h>

#define PARTS_MAX 64

struct part {
    struct engine_job job; /* first */
    struct warehouse_view *view;
    const struct warehouse_scan *scan;
    bool is_first;
    uint64_t person_from;
    uint64_t person_to;
    void *state;
    /* of a first-ever scan: the person at hand, and what is handed over next */
    uint32_t made;
    uint32_t person[SOURCE_ROWS];
    int64_t first_at_us[SOURCE_ROWS];
};

/* --- what is read ---------------------------------------------------------------------------- */

static bool
is_wanted(const struct data_file *file, const struct part *part)
{
    const struct manifest_file *facts = &file->facts;

    if (facts->rows == 0)
        return false;
    return part->is_first ||
           (facts->time_max_us >= part->scan->from_us && facts->time_min_us < part->scan->to_us);
}

/*
 * The files (by seq_min) as at most SOURCES_MAX − 1 sources: each its own if they are few, else
 * neighbours sorted together, so that the rank of a source still follows its seqs.
 */
static enum err
open_files(struct part *part, struct data_file **files, uint32_t count,
           const struct source_filter *filter, struct source **sources, uint32_t *source_count,
           struct diag *diag)
{
    struct warehouse_view *view = part->view;
    const uint32_t most = SOURCES_MAX - 1;
    enum err err = ERR_OK;

    for (uint32_t i = 0, at = 0; err == ERR_OK && i < most && at < count; i++) {
        const uint32_t left = most - i;
        const uint32_t take = (count - at + left - 1) / left;

        err = source_of_files(view->warehouse->engine, part->job.guard, files + at, take,
                              part->is_first, filter, &sources[*source_count], diag);
        if (err == ERR_OK)
            (*source_count)++;
        at += take;
    }
    return err;
}

static enum err
open_sources(struct part *part, const struct source_filter *filter, struct source **sources,
             uint32_t *source_count, struct diag *diag)
{
    struct warehouse_view *view = part->view;
    CLEANUP(mem_free_ptr)
    struct data_file **files = MEM_NEW(struct data_file *, (size_t)view->set->count + 1);
    uint32_t count = 0;
    enum err err = files != NULL ? ERR_OK : ERR_NOMEM;

    for (uint32_t i = 0; err == ERR_OK && i < view->set->count; i++) {
        if (is_wanted(view->set->files[i], part))
            files[count++] = view->set->files[i];
    }
    if (err == ERR_OK)
        err = open_files(part, files, count, filter, sources, source_count, diag);
    if (err == ERR_OK && view->tail_rows != 0) {
        err = source_of_tail(view->tail, view->tail_rows, filter, &sources[*source_count]);
        if (err == ERR_OK)
            (*source_count)++;
    }
    return err;
}

/* --- first ever ------------------------------------------------------------------------------ */

static enum err
first_hand_over(struct part *part, uint32_t count)
{
    const struct warehouse_rows chunk = {part->person, part->first_at_us, NULL, count};

    return count != 0 ? part->scan->rows(part->state, &chunk) : ERR_OK;
}

/* Rows ordered by person become one row a person: the least time. The last person may go on in the
 * next chunk. */
static enum err
first_rows(void *state, const struct warehouse_rows *rows)
{
    struct part *part = state;
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < rows->count; i++) {
        const uint32_t person = rows->person[i];
        const int64_t time = rows->occurred_at_us[i];

        if (part->made != 0 && part->person[part->made - 1] == person) {
            if (time < part->first_at_us[part->made - 1])
                part->first_at_us[part->made - 1] = time;
            continue;
        }
        if (part->made == SOURCE_ROWS) {
            err = first_hand_over(part, part->made);
            if (err != ERR_OK)
                return err;
            part->made = 0;
        }
        part->person[part->made] = person;
        part->first_at_us[part->made] = time;
        part->made++;
    }
    return ERR_OK;
}

/* --- a part ---------------------------------------------------------------------------------- */

static enum err
part_run(struct engine_job *job, struct diag *diag)
{
    struct part *part = (struct part *)job;
    const struct warehouse_scan *scan = part->scan;
    const struct source_filter filter = {
        .from_us = part->is_first ? INT64_MIN : scan->from_us,
        .to_us = part->is_first ? INT64_MAX : scan->to_us,
        .types = scan->types,
        .type_count = scan->type_count,
        .person_from = part->person_from,
        .person_to = part->person_to,
    };
    struct source *sources[SOURCES_MAX] = {NULL};
    uint32_t count = 0;
    enum err err = open_sources(part, &filter, sources, &count, diag);

    if (err == ERR_OK && part->is_first) {
        err = source_merge(sources, count, false, job->guard, first_rows, part, diag);
        if (err == ERR_OK)
            err = first_hand_over(part, part->made);
    } else if (err == ERR_OK) {
        err = source_merge(sources, count, scan->wants_type, job->guard, scan->rows, part->state,
                           diag);
    }
    for (uint32_t i = 0; i < count; i++)
        source_free(&sources[i]);
    if (err == ERR_CORRUPT)
        project_report_damage(part->view->project, part->view->lexicon, diag);
    return err;
}

/* --- the bounds of parts --------------------------------------------------------------------- */

struct weight {
    uint32_t person; /* rows up to this person … */
    uint64_t rows;   /* … since the mark before */
};

static int
compare_weights(const void *a, const void *b)
{
    const uint32_t left = ((const struct weight *)a)->person;
    const uint32_t right = ((const struct weight *)b)->person;

    return (left > right) - (left < right);
}

/* bounds[0 … parts]: part i has the persons from bounds[i] up to bounds[i + 1]. */
static enum err
cut_persons(const struct warehouse_view *view, uint32_t parts, uint64_t *bounds)
{
    const size_t most = (size_t)view->set->count * MANIFEST_MARKS + PARTS_MAX;
    CLEANUP(mem_free_ptr) struct weight *weights = MEM_NEW(struct weight, most);
    uint64_t total = 0, sum = 0;
    uint32_t count = 0, part = 1;

    if (weights == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < view->set->count; i++) {
        const struct manifest_file *facts = &view->set->files[i]->facts;

        for (uint32_t k = 0; k < MANIFEST_MARKS; k++)
            weights[count++] = (struct weight){facts->marks[k], facts->rows / MANIFEST_MARKS + 1};
    }
    for (uint32_t i = 0; view->tail_rows != 0 && i < PARTS_MAX; i++) /* as if spread evenly */
        weights[count++] =
            (struct weight){(uint32_t)(view->person_count * (i + 1) / (PARTS_MAX + 1)),
                            view->tail_rows / PARTS_MAX + 1};
    qsort(weights, count, sizeof(*weights), compare_weights);
    for (uint32_t i = 0; i < count; i++)
        total += weights[i].rows;
    bounds[0] = 0;
    for (uint32_t i = 0; i < count && part < parts; i++) {
        sum += weights[i].rows;
        while (part < parts && sum * parts >= total * part)
            bounds[part++] = weights[i].person;
    }
    while (part < parts)
        bounds[part++] = view->person_count;
    bounds[parts] = UINT64_C(1) << 32;
    return ERR_OK;
}

static enum err
run_scan(struct warehouse_view *view, const struct warehouse_scan *scan, bool is_first,
         struct query_control *control, struct diag *diag)
{
    struct engine_job *jobs[PARTS_MAX];
    uint64_t bounds[PARTS_MAX + 1];
    CLEANUP(mem_free_ptr) struct part *parts = MEM_NEW(struct part, scan->parts);
    struct engine_guard guard;
    enum err err = parts != NULL ? cut_persons(view, scan->parts, bounds) : ERR_NOMEM;

    assert(scan->parts >= 1 && scan->parts <= PARTS_MAX);
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < scan->parts; i++) {
        parts[i].job.run = part_run;
        parts[i].view = view;
        parts[i].scan = scan;
        parts[i].is_first = is_first;
        parts[i].person_from = bounds[i];
        parts[i].person_to = bounds[i + 1];
        parts[i].state = scan->part_states[i];
        jobs[i] = &parts[i].job;
    }
    engine_guard_init(&guard);
    err = engine_run_jobs(&guard, control, jobs, scan->parts, diag);
    engine_guard_fini(&guard);
    return err;
}

enum err
warehouse_scan(struct warehouse_view *view, const struct warehouse_scan *scan,
               struct query_control *control, struct diag *diag)
{
    return run_scan(view, scan, false, control, diag);
}

enum err
warehouse_scan_first(struct warehouse_view *view, const struct warehouse_scan *scan,
                     struct query_control *control, struct diag *diag)
{
    return run_scan(view, scan, true, control, diag);
}
