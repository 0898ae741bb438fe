/*
 * read - whole events out of a view: the newest, those after a seq, one person's; and how many
 * there are.
 *
 * Layer 4. The work runs as a job of engine_guard.c (so that it can be interrupted); `each` is
 * called on the job's thread while the caller waits. Rows of files always have lower seqs than rows
 * of the tail.
 */
#include "warehouse/read.h"
#include "warehouse/source.h"
#include "warehouse/sql.h"
#include <stdlib.h>

struct reading {
    struct engine_job job; /* first */
    struct warehouse_view *view;
    uint32_t limit;
    warehouse_event_fn *each;
    void *state;
    uint64_t after_seq;
    struct slice person_key;
    int64_t before_us;
    uint64_t before_seq;
    int64_t from_us;
    int64_t to_us;
    uint64_t counted;
};

void
read_row(const struct engine_chunk *chunk, uint32_t row, struct event *ret_event, uint64_t *ret_seq)
{
    *ret_event = (struct event){
        .event_id = engine_text(chunk, READ_EVENT_ID, row),
        .event_type = engine_text(chunk, READ_EVENT_TYPE, row),
        .user_id = engine_text(chunk, READ_USER_ID, row),
        .anonymous_id = engine_text(chunk, READ_ANONYMOUS_ID, row),
        .session_id = engine_text(chunk, READ_SESSION_ID, row),
        .properties = engine_text(chunk, READ_PROPERTIES, row),
        .occurred_at_us = ((const int64_t *)chunk->columns[READ_OCCURRED_AT])[row],
        .received_at_us = ((const int64_t *)chunk->columns[READ_RECEIVED_AT])[row],
    };
    *ret_seq = ((const uint64_t *)chunk->columns[READ_SEQ])[row];
}

static enum err
give(const struct reading *reading, struct event *event, uint64_t seq)
{
    event->project_id = reading->view->project->id;
    return reading->each(reading->state, event, seq);
}

static enum err
give_tail_row(const struct reading *reading, const struct tail_block *block, uint32_t offset)
{
    struct event event;

    tail_row_event(block, offset, &event);
    event.event_type = types_name(reading->view->types, block->type_id[offset]);
    return give(reading, &event, block->seq[offset]);
}

/* A stream over some files of the view, each checked first. */
static enum err
open_stream(const struct reading *reading, struct data_file *const *files, uint32_t count,
            const char *statement, struct sql_value *values, uint32_t value_count,
            struct engine_stream **ret_stream, struct diag *diag)
{
    CLEANUP(mem_free_ptr) const char **paths = MEM_NEW(const char *, count);
    struct buf sql;
    enum err err = paths != NULL ? ERR_OK : ERR_NOMEM;

    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = data_file_check(files[i], diag);
        paths[i] = files[i]->rows_path;
    }
    values[0] =
        (struct sql_value){.name = "files", .kind = SQL_PATHS, .paths = paths, .count = count};
    buf_init(&sql, SQL_BYTES_MAX);
    if (err == ERR_OK)
        err = sql_fill(&sql, statement, values, value_count);
    if (err == ERR_OK)
        err = engine_stream_open(reading->view->warehouse->engine, reading->job.guard, sql.ptr,
                                 ret_stream, diag);
    buf_fini(&sql);
    return err;
}

/* Every row of a stream, at most `limit`. */
static enum err
give_stream(const struct reading *reading, struct engine_stream *stream, uint32_t limit,
            struct diag *diag)
{
    struct engine_chunk chunk;
    enum err err = engine_stream_next(stream, &chunk, diag);

    while (err == ERR_OK && chunk.rows != 0 && limit != 0) {
        for (uint32_t i = 0; err == ERR_OK && i < chunk.rows && limit != 0; i++, limit--) {
            struct event event;
            uint64_t seq = 0;

            read_row(&chunk, i, &event, &seq);
            err = give(reading, &event, seq);
        }
        if (err == ERR_OK)
            err = engine_stream_next(stream, &chunk, diag);
    }
    return err;
}

/* --- the newest ------------------------------------------------------------------------------ */

static int
compare_newest(const void *a, const void *b)
{
    const uint64_t left = (*(struct data_file *const *)a)->facts.seq_max;
    const uint64_t right = (*(struct data_file *const *)b)->facts.seq_max;

    return (left < right) - (left > right);
}

/* The seq that `limit` rows of these files reach at least, newest first. */
static enum err
least_seq(const struct reading *reading, struct data_file **files, uint32_t count, uint32_t limit,
          uint64_t *ret_seq, struct diag *diag)
{
    CLEANUP(engine_stream_close) struct engine_stream *stream = NULL;
    struct sql_value values[] = {{0}, SQL_FROM_U64("limit", limit)};
    struct engine_chunk chunk;
    enum err err = open_stream(reading, files, count, sql_newest_seq_text, values, COUNT_OF(values),
                               &stream, diag);

    *ret_seq = 0;
    while (err == ERR_OK) {
        err = engine_stream_next(stream, &chunk, diag);
        if (err != ERR_OK || chunk.rows == 0)
            break;
        *ret_seq = ((const uint64_t *)chunk.columns[0])[chunk.rows - 1];
    }
    return err;
}

/*
 * First only the seqs of the files that can hold the newest rows: those with the highest seqs,
 * until they have rows enough, then every file that reaches above what these gave. Then the rows
 * themselves.
 */
static enum err
newest_of_files(const struct reading *reading, uint32_t limit, struct diag *diag)
{
    const struct file_set *set = reading->view->set;
    CLEANUP(mem_free_ptr)
    struct data_file **files = MEM_NEW(struct data_file *, (size_t)set->count + 1);
    CLEANUP(engine_stream_close) struct engine_stream *stream = NULL;
    uint64_t rows = 0, seq = 0;
    uint32_t count = 0, before = 0;
    enum err err = files != NULL ? ERR_OK : ERR_NOMEM;

    if (set->count == 0 || limit == 0 || err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < set->count; i++)
        files[i] = set->files[i];
    qsort(files, set->count, sizeof(struct data_file *), compare_newest);
    while (count < set->count && rows < limit)
        rows += files[count++]->facts.rows;
    while (err == ERR_OK && before != count) {
        before = count;
        err = least_seq(reading, files, count, limit, &seq, diag);
        while (count < set->count && files[count]->facts.seq_max > seq)
            count++;
    }
    struct sql_value values[] = {{0}, SQL_FROM_U64("seq_from", seq), SQL_FROM_U64("limit", limit)};

    if (err == ERR_OK)
        err = open_stream(reading, files, count, sql_newest_rows_text, values, COUNT_OF(values),
                          &stream, diag);
    return err == ERR_OK ? give_stream(reading, stream, limit, diag) : err;
}

static enum err
run_newest(struct engine_job *job, struct diag *diag)
{
    const struct reading *reading = (const struct reading *)job;
    const uint32_t rows = reading->view->tail_rows;
    CLEANUP(mem_free_ptr) const struct tail_block **blocks = tail_blocks(reading->view->tail, rows);
    uint32_t given = 0;
    enum err err = blocks != NULL ? ERR_OK : ERR_NOMEM;

    for (; err == ERR_OK && given < rows && given < reading->limit; given++) {
        const uint32_t index = rows - 1 - given;
        const struct tail_block *block = blocks[tail_block_of(index)];

        err = give_tail_row(reading, block, index - block->first_row);
    }
    return err == ERR_OK ? newest_of_files(reading, reading->limit - given, diag) : err;
}

/* --- after a seq ----------------------------------------------------------------------------- */

static enum err
counted_each(void *state, const struct event *event, uint64_t seq)
{
    struct reading *reading = state;

    reading->limit--;
    return reading->each(reading->state, event, seq);
}

static enum err
after_in_files(const struct reading *reading, struct diag *diag)
{
    const struct file_set *set = reading->view->set;
    CLEANUP(mem_free_ptr)
    struct data_file **files = MEM_NEW(struct data_file *, (size_t)set->count + 1);
    CLEANUP(engine_stream_close) struct engine_stream *stream = NULL;
    struct sql_value values[] = {
        {0}, SQL_FROM_U64("seq_after", reading->after_seq), SQL_FROM_U64("limit", reading->limit)};
    uint32_t count = 0;
    enum err err = files != NULL ? ERR_OK : ERR_NOMEM;

    for (uint32_t i = 0; err == ERR_OK && i < set->count; i++) {
        if (set->files[i]->facts.seq_max > reading->after_seq)
            files[count++] = set->files[i];
    }
    if (err != ERR_OK || count == 0)
        return err;
    err = open_stream(reading, files, count, sql_rows_after_text, values, COUNT_OF(values), &stream,
                      diag);
    return err == ERR_OK ? give_stream(reading, stream, reading->limit, diag) : err;
}

static enum err
run_after(struct engine_job *job, struct diag *diag)
{
    struct reading *reading = (struct reading *)job;
    struct reading counted = *reading;
    const struct tail_block *block = reading->view->tail->first;
    enum err err = ERR_OK;

    counted.each = counted_each;
    counted.state = reading;
    if (reading->limit != 0)
        err = after_in_files(&counted, diag);
    for (uint32_t row = 0; err == ERR_OK && row < reading->view->tail_rows && reading->limit != 0;
         row++) {
        uint32_t offset = row - block->first_row;

        if (offset == block->capacity) {
            block = block->next;
            offset = 0;
        }
        if (block->seq[offset] > reading->after_seq)
            err = give_tail_row(&counted, block, offset);
    }
    return err;
}

/* --- one person ------------------------------------------------------------------------------ */

/* The tail's rows of a person, newest first. */
struct person_tail {
    struct tail_order *order;
    const struct tail_block **blocks;
    uint32_t begin;
    uint32_t at; /* one above the next row to give */
    const struct tail_block *block;
    uint32_t offset;
};

/* Moves to the next row before (before_us, before_seq) that the view may see; false: none is left.
 */
static bool
person_tail_next(struct person_tail *tail, const struct reading *reading)
{
    while (tail->at > tail->begin) {
        const uint32_t index = tail->order->index[--tail->at];
        const int64_t time = tail->order->occurred_at_us[tail->at];

        if (index >= reading->view->tail_rows || time > reading->before_us)
            continue;
        tail->block = tail->blocks[tail_block_of(index)];
        tail->offset = index - tail->block->first_row;
        if (time < reading->before_us || tail->block->seq[tail->offset] < reading->before_seq)
            return true;
    }
    tail->block = NULL;
    return false;
}

static enum err
person_stream(const struct reading *reading, uint32_t person, struct engine_stream **ret_stream,
              struct diag *diag)
{
    const struct file_set *set = reading->view->set;
    CLEANUP(mem_free_ptr)
    struct data_file **files = MEM_NEW(struct data_file *, (size_t)set->count + 1);
    const int64_t most = INT64_C(9000000000000000000);
    struct sql_value values[] = {
        {0},
        SQL_FROM_U64("person", person),
        SQL_FROM_I64("before_us", reading->before_us > most ? most : reading->before_us),
        SQL_FROM_U64("before_seq", reading->before_seq),
        SQL_FROM_U64("limit", reading->limit)};
    uint32_t count = 0;

    if (files == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct manifest_file *facts = &set->files[i]->facts;

        if (facts->time_min_us <= reading->before_us && person < facts->persons)
            files[count++] = set->files[i];
    }
    if (count == 0)
        return ERR_OK;
    return open_stream(reading, files, count, sql_person_rows_text, values, COUNT_OF(values),
                       ret_stream, diag);
}

/* Two orders, newest first, merged. */
static enum err
give_person(const struct reading *reading, struct engine_stream *stream, struct person_tail *tail,
            struct diag *diag)
{
    struct engine_chunk chunk = {0};
    uint32_t at = 0;
    enum err err = ERR_OK;

    person_tail_next(tail, reading);
    for (uint32_t left = reading->limit; err == ERR_OK && left != 0; left--) {
        struct event event = {0};
        uint64_t seq = 0;

        if (stream != NULL && at == chunk.rows) {
            err = engine_stream_next(stream, &chunk, diag);
            at = 0;
            if (err != ERR_OK)
                break;
            if (chunk.rows == 0)
                stream = NULL;
        }
        if (stream == NULL && tail->block == NULL)
            break;
        if (stream != NULL)
            read_row(&chunk, at, &event, &seq);
        if (stream == NULL || (tail->block != NULL &&
                               event.occurred_at_us <= tail->block->occurred_at_us[tail->offset])) {
            err = give_tail_row(reading, tail->block, tail->offset);
            person_tail_next(tail, reading);
        } else {
            err = give(reading, &event, seq);
            at++;
        }
    }
    return err;
}

static enum err
run_person(struct engine_job *job, struct diag *diag)
{
    const struct reading *reading = (const struct reading *)job;
    struct warehouse_view *view = reading->view;
    CLEANUP(engine_stream_close) struct engine_stream *stream = NULL;
    CLEANUP(mem_free_ptr) const struct tail_block **blocks = NULL;
    struct person_tail tail = {0};
    uint32_t person = 0;
    enum err err = persons_find(&view->lexicon->persons, reading->person_key, &person, diag);

    if (err == ERR_ABSENT || (err == ERR_OK && person >= view->person_count))
        return ERR_OK;
    if (err == ERR_OK)
        err = person_stream(reading, person, &stream, diag);
    if (err == ERR_OK)
        err = tail_order_of(view->tail, view->tail_rows, &tail.order);
    if (err != ERR_OK)
        return err;
    blocks = tail_blocks(view->tail, view->tail_rows);
    tail.blocks = blocks;
    tail.begin = tail_order_place(tail.order, person);
    tail.at = tail_order_place(tail.order, (uint64_t)person + 1);
    err = blocks != NULL ? give_person(reading, stream, &tail, diag) : ERR_NOMEM;
    tail_order_release(&tail.order);
    return err;
}

/* --- how many -------------------------------------------------------------------------------- */

static enum err
count_in_files(struct reading *reading, struct diag *diag)
{
    const struct file_set *set = reading->view->set;
    CLEANUP(engine_stream_close) struct engine_stream *stream = NULL;
    struct sql_value values[] = {
        {0}, SQL_FROM_I64("from_us", reading->from_us), SQL_FROM_I64("to_us", reading->to_us)};
    struct engine_chunk chunk = {0};
    enum err err;

    if (set->count == 0)
        return ERR_OK;
    err = open_stream(reading, set->files, set->count, sql_count_received_text, values,
                      COUNT_OF(values), &stream, diag);
    if (err == ERR_OK)
        err = engine_stream_next(stream, &chunk, diag);
    if (err == ERR_OK && chunk.rows == 1)
        reading->counted += (uint64_t)((const int64_t *)chunk.columns[0])[0];
    return err;
}

static enum err
run_count(struct engine_job *job, struct diag *diag)
{
    struct reading *reading = (struct reading *)job;
    uint32_t left = reading->view->tail_rows;

    for (const struct tail_block *block = reading->view->tail->first; left != 0;
         block = block->next) {
        const uint32_t rows = left < block->capacity ? left : block->capacity;

        for (uint32_t i = 0; i < rows; i++)
            reading->counted += block->received_at_us[i] >= reading->from_us &&
                                block->received_at_us[i] < reading->to_us;
        left -= rows;
    }
    return count_in_files(reading, diag);
}

/* --- calls ----------------------------------------------------------------------------------- */

static enum err
run_reading(struct reading *reading, struct query_control *control, struct diag *diag)
{
    struct engine_job *job = &reading->job;
    struct engine_guard guard;
    enum err err = ERR_OK;

    engine_guard_init(&guard);
    err = engine_run_jobs(&guard, control, &job, 1, diag);
    engine_guard_fini(&guard);
    if (err == ERR_CORRUPT)
        project_report_damage(reading->view->project, reading->view->lexicon, diag);
    return err;
}

enum err
warehouse_newest(struct warehouse_view *view, uint32_t limit, struct query_control *control,
                 warehouse_event_fn *each, void *state, struct diag *diag)
{
    struct reading reading = {
        .job.run = run_newest, .view = view, .limit = limit, .each = each, .state = state};

    return run_reading(&reading, control, diag);
}

enum err
warehouse_after(struct warehouse_view *view, uint64_t after_seq, uint32_t limit,
                struct query_control *control, warehouse_event_fn *each, void *state,
                struct diag *diag)
{
    struct reading reading = {.job.run = run_after,
                              .view = view,
                              .limit = limit,
                              .each = each,
                              .state = state,
                              .after_seq = after_seq};

    return run_reading(&reading, control, diag);
}

enum err
warehouse_person_events(struct warehouse_view *view, struct slice person_key, int64_t before_us,
                        uint64_t before_seq, uint32_t limit, struct query_control *control,
                        warehouse_event_fn *each, void *state, struct diag *diag)
{
    struct reading reading = {.job.run = run_person,
                              .view = view,
                              .limit = limit,
                              .each = each,
                              .state = state,
                              .person_key = person_key,
                              .before_us = before_us,
                              .before_seq = before_seq};

    return run_reading(&reading, control, diag);
}

enum err
warehouse_count_received(struct warehouse_view *view, int64_t from_us, int64_t to_us,
                         struct query_control *control, uint64_t *ret_events, struct diag *diag)
{
    struct reading reading = {
        .job.run = run_count, .view = view, .from_us = from_us, .to_us = to_us};
    enum err err = run_reading(&reading, control, diag);

    if (err == ERR_OK)
        *ret_events = reading.counted;
    return err;
}
