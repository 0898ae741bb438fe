/*
 * stats_table - see stats_table.h.
 */
#include "cli/stats_table.h"

#include "base/mem.h"
#include "cli/table.h"
#include "codec/calendar.h"
#include "codec/json.h"
#include <math.h>
#include <stdio.h>

#define BAR_CELLS 32

struct drawing {
    const struct stats_look *look;
    struct buf *out;
    struct json_value params;
    struct json_value columns;
    struct json_value rows;
    struct json_value partial;
    struct json_value summary;
    struct slice metric;
    uint32_t column_count;
    uint32_t row_count;
    bool *is_partial; /* row · column_count + column */
    bool has_partial;
    bool is_percent;
    bool is_retention;
    bool has_bars; /* one column of numbers behind one of dates */
    uint64_t largest;
    enum calendar_unit unit;
};

static struct slice
text_of(struct json_value object, const char *key)
{
    struct json_value value;
    struct slice text = SLICE_NONE;

    if (!json_get(object, key, &value) || !json_as_text(value, &text))
        return SLICE_NONE;
    return text;
}

static uint32_t
count_items(struct json_value value)
{
    struct json_items items = json_items_of(value);
    struct json_value item;
    struct slice key;
    uint32_t count = 0;

    while (json_items_next(&items, &key, &item))
        count++;
    return count;
}

/* Pairs [row, column]; column −1 is the whole row. */
static void
read_partials(struct drawing *drawing)
{
    struct json_items items = json_items_of(drawing->partial);
    struct json_value pair, value;
    struct slice key;

    while (json_items_next(&items, &key, &pair)) {
        struct json_items numbers = json_items_of(pair);
        int64_t row = -1, column = -2;

        if (json_items_next(&numbers, &key, &value) && !json_as_i64(value, &row))
            row = -1;
        if (json_items_next(&numbers, &key, &value) && !json_as_i64(value, &column))
            column = -2;
        if (row < 0 || row >= drawing->row_count || column < -1 || column >= drawing->column_count)
            continue;
        for (uint32_t i = 0; i < drawing->column_count; i++) {
            if (column == -1 ? i != 0 : i == (uint32_t)column)
                drawing->is_partial[(size_t)row * drawing->column_count + i] = true;
        }
    }
}

static enum calendar_unit
unit_of(struct slice name, struct slice week_start)
{
    return slice_equal(name, SLICE("week")) && slice_equal(week_start, SLICE("sunday"))
               ? CALENDAR_WEEK_FROM_SUNDAY
           : slice_equal(name, SLICE("week"))  ? CALENDAR_WEEK
           : slice_equal(name, SLICE("month")) ? CALENDAR_MONTH
                                               : CALENDAR_DAY;
}

/* "event_type" of the params: a text or a list of them; written as "a, b". */
static void
add_names(struct buf *out, const char *before, struct json_value params, const char *key)
{
    struct json_value value, item;
    struct json_items items;
    struct slice text, ignored;
    bool is_first = true;

    if (!json_get(params, key, &value))
        return;
    if (json_as_text(value, &text)) {
        buf_add_text(out, before);
        table_clean(out, text);
        return;
    }
    items = json_items_of(value);
    while (json_items_next(&items, &ignored, &item)) {
        if (!json_as_text(item, &text))
            continue;
        buf_add_text(out, is_first ? before : ", ");
        table_clean(out, text);
        is_first = false;
    }
}

static void
add_title(struct drawing *drawing)
{
    struct buf *out = drawing->out;

    table_clean(out, drawing->metric);
    if (drawing->is_retention)
        buf_printf(out, " by %.*s, %s", SLICE_ARGS(text_of(drawing->params, "unit")),
                   drawing->is_percent ? "percent of each cohort" : "people");
    if (text_of(drawing->params, "from").ptr != NULL)
        buf_printf(out, ", %.*s to %.*s", SLICE_ARGS(text_of(drawing->params, "from")),
                   SLICE_ARGS(text_of(drawing->params, "to")));
    if (text_of(drawing->params, "tz").ptr != NULL)
        buf_printf(out, ", %.*s", SLICE_ARGS(text_of(drawing->params, "tz")));
    add_names(out, ", of ", drawing->params, "event_type");
    buf_add_text(out, "\n\n");
}

/* A date cell of a day gets its weekday. */
static void
date_cell(const struct drawing *drawing, struct table *table, uint32_t column, struct slice text,
          int32_t *ret_day)
{
    static const char *const weekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    int32_t day;

    if (!calendar_day_parse(text, &day)) {
        table_cell(table, column, text);
        return;
    }
    *ret_day = day;
    if (drawing->unit == CALENDAR_DAY)
        table_cell_printf(table, column, "%.*s %s", SLICE_ARGS(text),
                          weekdays[calendar_weekday(day)]);
    else
        table_cell(table, column, text);
}

static void
number_cell(const struct drawing *drawing, struct table *table, uint32_t column,
            struct json_value value, bool is_partial, bool is_percent)
{
    const char *mark = is_partial ? "*" : drawing->has_partial ? " " : "";
    char number[TABLE_NUMBER_TEXT];
    double decimal;
    uint64_t whole;

    if (is_percent && json_as_double(value, &decimal))
        table_cell_printf(table, column, "%.1f %%%s", decimal, mark);
    else if (json_as_u64(value, &whole))
        table_cell_printf(table, column, "%s%s", table_number(whole, number), mark);
    else if (json_as_double(value, &decimal))
        table_cell_printf(table, column, "%.2f%s", decimal, mark);
}

/* Half cells at the end, so that small differences show. */
static void
bar_cell(struct table *table, uint32_t column, uint64_t value, uint64_t largest)
{
    uint64_t halves = largest != 0 ? (value * BAR_CELLS * 2 + largest / 2) / largest : 0;
    char text[BAR_CELLS * 3 + 8];
    size_t len = 0;

    for (; halves >= 2; halves -= 2, len += 3)
        memcpy(text + len, "\xE2\x96\x88", 3);
    if (halves == 1) {
        memcpy(text + len, "\xE2\x96\x8C", 3);
        len += 3;
    }
    table_cell(table, column, slice_of(text, len));
}

/* Offset k of a cohort begins after the data ends: nothing could be there. */
static bool
is_beyond(const struct drawing *drawing, int32_t cohort_day, uint32_t column)
{
    int32_t bucket;

    if (!drawing->is_retention || !drawing->look->has_until || column < 2)
        return false;
    bucket = calendar_bucket_of_day(drawing->unit, cohort_day) + (int32_t)column - 2;
    return calendar_bucket_first_day(drawing->unit, bucket) > drawing->look->until_day;
}

static void
draw_row(struct drawing *drawing, struct table *table, uint32_t row_number, struct json_value row)
{
    struct json_items items = json_items_of(row);
    struct json_value value;
    struct slice key, text;
    int32_t day = 0;

    table_row(table);
    for (uint32_t i = 0; i < drawing->column_count && json_items_next(&items, &key, &value); i++) {
        bool is_partial = drawing->is_partial[(size_t)row_number * drawing->column_count + i];
        uint64_t whole;

        if (json_as_text(value, &text)) {
            date_cell(drawing, table, i, text, &day);
            continue;
        }
        if (is_beyond(drawing, day, i))
            continue;
        number_cell(drawing, table, i, value, is_partial,
                    drawing->is_percent && drawing->is_retention && i >= 2);
        if (drawing->has_bars && i == 1 && json_as_u64(value, &whole))
            bar_cell(table, 2, whole, drawing->largest);
    }
}

static void
draw_mean(const struct drawing *drawing, struct table *table)
{
    struct json_value mean, value;
    struct json_items items;
    struct slice key;

    if (!drawing->is_retention || drawing->look->has_until ||
        !json_get(drawing->summary, "mean", &mean))
        return;
    table_rule(table);
    table_row(table);
    table_cell(table, 0, SLICE("mean"));
    items = json_items_of(mean);
    for (uint32_t i = 2; i < drawing->column_count && json_items_next(&items, &key, &value); i++) {
        double decimal;

        if (json_as_double(value, &decimal))
            table_cell_printf(table, i, drawing->is_percent ? "%.1f %%%s" : "%.1f%s", decimal,
                              drawing->has_partial ? " " : "");
    }
}

static void
add_lag(struct buf *out, const char *before, struct json_value watermark)
{
    struct json_value value;
    int64_t lag_ms;

    if (json_get(watermark, "lag_ms", &value) && json_as_i64(value, &lag_ms) && lag_ms > 0)
        buf_printf(out, "%snot all is counted yet: %lld ms behind\n", before, (long long)lag_ms);
}

static void
add_notes(const struct drawing *drawing, struct json_value root)
{
    struct json_value watermark, value;
    double mean;

    if (json_get(drawing->summary, "mean_users", &value) && json_as_double(value, &mean))
        buf_printf(drawing->out, "\nmean of whole days: %.1f\n", mean);
    if (drawing->row_count == 0)
        buf_add_text(drawing->out, "\nno rows: nothing was stored in this range\n");
    if (drawing->has_partial)
        buf_add_text(drawing->out, "\n* not over yet: the number can still rise\n");
    if (json_get(root, "watermark", &watermark))
        add_lag(drawing->out, "\n", watermark);
}

/* Column titles and sides; finds what kind of table it is. */
static void
set_columns(struct drawing *drawing, struct table *table)
{
    struct json_items items = json_items_of(drawing->columns);
    struct json_value column;
    struct slice key;

    for (uint32_t i = 0; i < drawing->column_count && json_items_next(&items, &key, &column); i++) {
        struct slice type = text_of(column, "type");
        bool is_right = slice_equal(type, SLICE("integer")) || slice_equal(type, SLICE("number"));

        table_column(table, i, text_of(column, "name"), is_right);
    }
    if (drawing->has_bars)
        table_column(table, drawing->column_count, SLICE(""), false);
}

static void
find_largest(struct drawing *drawing)
{
    struct json_items rows = json_items_of(drawing->rows);
    struct json_value row, value;
    struct slice key;

    while (json_items_next(&rows, &key, &row)) {
        struct json_items cells = json_items_of(row);
        uint64_t whole;

        if (!json_items_next(&cells, &key, &value)) /* the date */
            continue;
        if (json_items_next(&cells, &key, &value) && json_as_u64(value, &whole) &&
            whole > drawing->largest)
            drawing->largest = whole;
    }
}

static bool
read_reply(struct drawing *drawing, struct json_value root)
{
    drawing->metric = text_of(root, "metric");
    if (drawing->metric.ptr == NULL || !json_get(root, "params", &drawing->params) ||
        !json_get(root, "columns", &drawing->columns) || !json_get(root, "rows", &drawing->rows) ||
        !json_get(root, "partial", &drawing->partial) ||
        !json_get(root, "summary", &drawing->summary))
        return false;
    drawing->column_count = count_items(drawing->columns);
    drawing->row_count = count_items(drawing->rows);
    drawing->is_retention = slice_equal(drawing->metric, SLICE("retention"));
    drawing->has_bars = slice_equal(drawing->metric, SLICE("dau")) && drawing->column_count == 2;
    drawing->is_percent = slice_equal(text_of(drawing->params, "measure"), SLICE("percent"));
    drawing->unit =
        unit_of(text_of(drawing->params, "unit"), text_of(drawing->params, "week_start"));
    drawing->has_partial = count_items(drawing->partial) != 0;
    return drawing->column_count >= 1 && drawing->column_count < TABLE_COLUMNS_MAX;
}

static enum err
draw(struct drawing *drawing, struct json_value root, struct arena *arena)
{
    struct json_items rows = json_items_of(drawing->rows);
    struct table *table = table_new(arena, drawing->column_count + (drawing->has_bars ? 1 : 0));
    struct json_value row;
    struct slice key;

    drawing->is_partial =
        ARENA_NEW(arena, bool, (size_t)drawing->row_count * drawing->column_count);
    if (table == NULL || drawing->is_partial == NULL)
        return ERR_NOMEM;
    read_partials(drawing);
    find_largest(drawing);
    add_title(drawing);
    set_columns(drawing, table);
    for (uint32_t i = 0; json_items_next(&rows, &key, &row); i++)
        draw_row(drawing, table, i, row);
    draw_mean(drawing, table);
    if (!table_draw(table, drawing->out))
        return ERR_NOMEM;
    add_notes(drawing, root);
    return buf_failed(drawing->out) ? ERR_NOMEM : ERR_OK;
}

enum err
stats_table_write(struct slice reply, const struct stats_look *look, struct buf *out,
                  struct diag *diag)
{
    CLEANUP(json_document_free) struct json_document *document = NULL;
    struct drawing drawing = {.look = look, .out = out};
    struct json_value root;
    struct arena arena;
    enum err err = json_document_new(&document, diag);

    if (err != ERR_OK)
        return err;
    err = json_parse(document, reply, &root, diag);
    if (err == ERR_OK && !read_reply(&drawing, root)) {
        diag_set(diag, "the reply is not that of a metric; is this Potik?");
        err = ERR_INVALID_JSON;
    }
    if (err != ERR_OK)
        return err;
    arena_init(&arena, 64u * 1024, 1u << 30);
    err = draw(&drawing, root, &arena);
    arena_fini(&arena);
    if (err == ERR_NOMEM)
        diag_set(diag, "out of memory");
    return err;
}

enum err
stats_lag_write(struct slice watermark, struct buf *out, struct diag *diag)
{
    CLEANUP(json_document_free) struct json_document *document = NULL;
    struct json_value root;
    enum err err = json_document_new(&document, diag);

    if (err == ERR_OK)
        err = json_parse(document, watermark, &root, diag);
    if (err != ERR_OK)
        return err;
    add_lag(out, "", root);
    return buf_failed(out) ? ERR_NOMEM : ERR_OK;
}
