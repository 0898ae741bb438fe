/*
 * merge_feed - see merge_feed.h.
 *
 * Layer 4, the keeper's thread: the COPY that reads the feed runs on it (its instance has no
 * workers), and inside it the inputs' streams are fetched. At most 16 inputs, so the least is found
 * by looking at each.
 */
#include "warehouse/merge_feed.h"
#include "warehouse/read.h"
#include "warehouse/sql.h"

static uint32_t
person_of(const struct merge_input *input)
{
    return ((const uint32_t *)input->chunk.columns[READ_PERSON])[input->at];
}

static bool
is_before(const struct merge_input *a, const struct merge_input *b)
{
    const uint32_t left = person_of(a), right = person_of(b);
    const int64_t left_time = ((const int64_t *)a->chunk.columns[READ_OCCURRED_AT])[a->at];
    const int64_t right_time = ((const int64_t *)b->chunk.columns[READ_OCCURRED_AT])[b->at];

    if (left != right)
        return left < right;
    if (left_time != right_time)
        return left_time < right_time;
    return ((const uint64_t *)a->chunk.columns[READ_SEQ])[a->at] <
           ((const uint64_t *)b->chunk.columns[READ_SEQ])[b->at];
}

static void
put_row(struct merge_feed *feed, struct engine_sheet *sheet, const struct merge_input *input)
{
    const uint32_t to = sheet->rows;
    struct event event;
    uint64_t seq = 0;

    read_row(&input->chunk, input->at, &event, &seq);
    if (feed->erased != NULL) {
        event.project_id = feed->erased->project_id; /* no column: the folder tells it */
        if (selection_matches(feed->erased, &event, seq)) {
            feed->erased_rows++;
            return;
        }
    }
    ((uint64_t *)sheet->columns[ROW_SEQ])[to] = seq;
    ((uint32_t *)sheet->columns[ROW_TYPE_ID])[to] =
        ((const uint32_t *)input->chunk.columns[READ_TYPE_ID])[input->at];
    ((uint32_t *)sheet->columns[ROW_PERSON])[to] = person_of(input);
    ((int64_t *)sheet->columns[ROW_OCCURRED_AT])[to] = event.occurred_at_us;
    ((int64_t *)sheet->columns[ROW_RECEIVED_AT])[to] = event.received_at_us;
    engine_put_text_copy(sheet, ROW_EVENT_ID, to, event.event_id);
    engine_put_text_copy(sheet, ROW_EVENT_TYPE, to, event.event_type);
    engine_put_text_copy(sheet, ROW_USER_ID, to, event.user_id);
    engine_put_text_copy(sheet, ROW_ANONYMOUS_ID, to, event.anonymous_id);
    engine_put_text_copy(sheet, ROW_SESSION_ID, to, event.session_id);
    engine_put_text_copy(sheet, ROW_PROPERTIES, to, event.properties);
    row_facts_add(&feed->rows.facts, seq, event.received_at_us);
    sheet->rows++;
}

/* The next chunk of an input; at its end it leaves the list. */
static enum err
refill(struct merge_feed *feed, struct merge_input *input, struct diag *diag)
{
    const enum err err = engine_stream_next(input->stream, &input->chunk, diag);

    input->at = 0;
    if (err == ERR_OK && input->chunk.rows == 0) {
        engine_stream_close(&input->stream);
        *input = feed->inputs[--feed->count];
        feed->inputs[feed->count] = (struct merge_input){0};
    }
    return err;
}

static enum err
merge_fill(struct engine_feed *base, struct engine_sheet *sheet, struct diag *diag)
{
    struct merge_feed *feed = (struct merge_feed *)base;
    enum err err = ERR_OK;

    if (atomic_load(&feed->guard->err) != ERR_OK)
        return (enum err)atomic_load(&feed->guard->err);
    while (err == ERR_OK && feed->count != 0 && sheet->rows < sheet->capacity) {
        struct merge_input *least = &feed->inputs[0];

        for (uint32_t i = 1; i < feed->count; i++) {
            if (is_before(&feed->inputs[i], least))
                least = &feed->inputs[i];
        }
        if (feed->rows_cut != 0 && feed->rows.facts.rows >= feed->rows_cut &&
            person_of(least) != feed->last_person)
            return ERR_OK; /* cut between two persons */
        feed->last_person = person_of(least);
        put_row(feed, sheet, least);
        if (++least->at == least->chunk.rows)
            err = refill(feed, least, diag);
    }
    feed->is_done = feed->count == 0;
    return err;
}

void
merge_feed_close(struct merge_feed *feed)
{
    for (uint32_t i = 0; i < MERGE_FILES_MAX; i++)
        engine_stream_close(&feed->inputs[i].stream);
}

void
merge_feed_next_file(struct merge_feed *feed)
{
    feed->rows.facts = (struct row_facts){0};
}

static enum err
input_open(struct merge_feed *feed, struct engine *engine, struct data_file *file, int64_t from_us,
           int64_t to_us, struct diag *diag)
{
    const char *const paths[] = {file->rows_path};
    const struct sql_value values[] = {
        {.name = "files", .kind = SQL_PATHS, .paths = paths, .count = 1},
        SQL_FROM_I64("from_us", from_us),
        SQL_FROM_I64("to_us", to_us),
    };
    struct merge_input *input = &feed->inputs[feed->count];
    struct buf sql;
    enum err err = data_file_check(file, diag);

    buf_init(&sql, SQL_BYTES_MAX);
    if (err == ERR_OK)
        err = sql_fill(&sql, sql_read_all_text, values, COUNT_OF(values));
    if (err == ERR_OK)
        err = engine_stream_open(engine, feed->guard, sql.ptr, &input->stream, diag);
    buf_fini(&sql);
    if (err != ERR_OK)
        return err;
    feed->count++;
    return refill(feed, input, diag);
}

enum err
merge_feed_open(struct merge_feed *feed, struct engine *engine, struct engine_guard *guard,
                struct data_file *const *files, uint32_t count, int64_t from_us, int64_t to_us,
                struct diag *diag)
{
    enum err err = ERR_OK;

    *feed = (struct merge_feed){.guard = guard, .rows.feed.fill = merge_fill};
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        feed->rows.feed.rows += files[i]->facts.rows;
        err = input_open(feed, engine, files[i], from_us, to_us, diag);
    }
    feed->is_done = feed->count == 0;
    if (err != ERR_OK)
        merge_feed_close(feed);
    return err;
}
