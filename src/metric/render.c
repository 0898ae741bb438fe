/*
 * render - an answer as JSON, CSV or NDJSON.
 *
 * JSON is the whole: params, watermark, columns, rows, partial, summary. CSV (RFC 4180 quoting,
 * lines end in LF) and NDJSON hold the rows alone, with a last column `partial`: true or false for
 * the row, or, for retention, the first partial offset (empty or null: none). Their watermark goes
 * into a header field. Numbers with decimals are written without needless zeros: 33.33, 33.5, 33.
 */
#include "metric/metric.h"

#include "metric/query.h"
#include <stdio.h>

void
metric_text_write(struct slice text, struct buf *body)
{
    static const char hex[] = "0123456789abcdef";
    size_t done = 0;

    buf_add_char(body, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(body, text.ptr + done, i - done);
        done = i + 1;
        buf_add_char(body, '\\');
        if (c >= 0x20) {
            buf_add_char(body, (char)c);
        } else {
            buf_add_text(body, "u00");
            buf_add_char(body, hex[c >> 4]);
            buf_add_char(body, hex[c & 15]);
        }
    }
    buf_add(body, text.ptr + done, text.len - done);
    buf_add_char(body, '"');
}

void
metric_time_format(int64_t unix_us, char ret_text[METRIC_TIME_TEXT])
{
    int64_t day = unix_us / US_PER_DAY - (unix_us % US_PER_DAY < 0);
    int64_t rest = unix_us - day * US_PER_DAY;
    char date[CALENDAR_DAY_TEXT];

    calendar_day_format((int32_t)day, date);
    snprintf(ret_text, METRIC_TIME_TEXT, "%sT%02d:%02d:%02d.%06dZ", date,
             (int)(rest / (3600 * US_PER_S)), (int)(rest / (60 * US_PER_S) % 60),
             (int)(rest / US_PER_S % 60), (int)(rest % US_PER_S));
}

void
metric_watermark_format(struct warehouse_watermark watermark, char ret_text[METRIC_WATERMARK_TEXT])
{
    char position[STORE_POSITION_TEXT];
    char received_at[METRIC_TIME_TEXT + 2] = "null";

    store_position_format(watermark.position, position);
    if (watermark.received_at_us != 0) {
        char text[METRIC_TIME_TEXT];

        metric_time_format(watermark.received_at_us, text);
        snprintf(received_at, sizeof received_at, "\"%s\"", text);
    }
    snprintf(ret_text, METRIC_WATERMARK_TEXT,
             "{\"position\":\"%s\",\"received_at\":%s,\"lag_ms\":%lld}", position, received_at,
             (long long)watermark.lag_ms);
}

void
metric_watermark_write(struct warehouse_watermark watermark, struct buf *body)
{
    char text[METRIC_WATERMARK_TEXT];

    metric_watermark_format(watermark, text);
    buf_add_text(body, text);
}

static void
write_hundredths(uint64_t value, struct buf *body)
{
    buf_add_u64(body, value / 100);
    if (value % 10 != 0)
        buf_printf(body, ".%02u", (unsigned)(value % 100));
    else if (value % 100 != 0)
        buf_printf(body, ".%u", (unsigned)(value % 100 / 10));
}

static void
write_day(int32_t day, struct buf *body)
{
    char text[CALENDAR_DAY_TEXT];

    calendar_day_format(day, text);
    buf_add(body, text, sizeof text - 1);
}

static void
write_json_cell(const struct metric_cell *cell, struct buf *body)
{
    switch (cell->kind) {
    case METRIC_CELL_NULL:
        buf_add_text(body, "null");
        return;
    case METRIC_CELL_INTEGER:
        buf_add_u64(body, cell->value.integer);
        return;
    case METRIC_CELL_HUNDREDTHS:
        write_hundredths(cell->value.integer, body);
        return;
    case METRIC_CELL_DAY:
        buf_add_char(body, '"');
        write_day(cell->value.day, body);
        buf_add_char(body, '"');
        return;
    case METRIC_CELL_TEXT:
        break;
    }
    metric_text_write(*cell->value.text, body);
}

static void
write_json_cells(const struct metric_cell *cells, uint32_t count, struct buf *body)
{
    buf_add_char(body, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(body, ',');
        write_json_cell(&cells[i], body);
    }
    buf_add_char(body, ']');
}

static void
write_json_columns(const struct metric_result *result, struct buf *body)
{
    static const char *const types[] = {[METRIC_TYPE_DATE] = "date",
                                        [METRIC_TYPE_TEXT] = "text",
                                        [METRIC_TYPE_INTEGER] = "integer",
                                        [METRIC_TYPE_NUMBER] = "number"};

    for (uint32_t i = 0; i < result->column_count; i++)
        buf_printf(body, "%s{\"name\":\"%.*s\",\"type\":\"%s\"}", i > 0 ? "," : "",
                   SLICE_ARGS(result->columns[i].name), types[result->columns[i].type]);
}

static void
write_json_summary(const struct metric_result *result, struct buf *body)
{
    for (uint32_t i = 0; i < result->summary_count; i++) {
        const struct metric_summary *summary = &result->summaries[i];

        buf_printf(body, "%s\"%s\":", i > 0 ? "," : "", summary->name);
        if (summary->is_list)
            write_json_cells(summary->cells, summary->count, body);
        else
            write_json_cell(summary->cells, body);
    }
}

static void
write_json(const struct metric_result *result, struct warehouse_watermark watermark,
           struct buf *body)
{
    buf_printf(body, "{\"metric\":\"%s\",\"params\":", result->params->metric->name);
    metric_params_write(result->params, body);
    buf_add_text(body, ",\"watermark\":");
    metric_watermark_write(watermark, body);
    buf_add_text(body, ",\"columns\":[");
    write_json_columns(result, body);
    buf_add_text(body, "],\"rows\":[");
    for (uint32_t i = 0; i < result->row_count; i++) {
        if (i > 0)
            buf_add_char(body, ',');
        write_json_cells(&result->cells[(size_t)i * result->column_count], result->column_count,
                         body);
    }
    buf_add_text(body, "],\"partial\":[");
    for (uint32_t i = 0; i < result->partial_count; i++)
        buf_printf(body, "%s[%u,%d]", i > 0 ? "," : "", result->partials[i].row,
                   result->partials[i].column);
    buf_add_text(body, "],\"summary\":{");
    write_json_summary(result, body);
    buf_add_text(body, "}}\n");
}

/* --- one line a row
 * -----------------------------------------------------------------------------*/

/* The value of a row's `partial`. `place` walks over the list of partial cells with the rows. */
static void
write_partial(const struct metric_result *result, uint32_t row, uint32_t *place, const char *none,
              struct buf *body)
{
    const struct metric *metric = result->params->metric;
    int32_t offset = -1;
    bool is_partial = false;

    for (; *place < result->partial_count && result->partials[*place].row == row; (*place)++) {
        int32_t column = result->partials[*place].column;

        is_partial = true;
        if (offset < 0 && column >= metric->offset_column)
            offset = column - metric->offset_column;
    }
    if (!metric->is_partial_an_offset)
        buf_add_text(body, is_partial ? "true" : "false");
    else if (offset >= 0)
        buf_add_i64(body, offset);
    else
        buf_add_text(body, none);
}

static void
write_csv_text(struct slice text, struct buf *body)
{
    bool is_quoted = false;

    for (size_t i = 0; i < text.len && !is_quoted; i++)
        is_quoted = strchr(",\"\r\n", text.ptr[i]) != NULL;
    if (!is_quoted) {
        buf_add_slice(body, text);
        return;
    }
    buf_add_char(body, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            buf_add_char(body, '"');
        buf_add_char(body, text.ptr[i]);
    }
    buf_add_char(body, '"');
}

static void
write_csv_cell(const struct metric_cell *cell, struct buf *body)
{
    switch (cell->kind) {
    case METRIC_CELL_NULL:
        return;
    case METRIC_CELL_DAY:
        write_day(cell->value.day, body);
        return;
    case METRIC_CELL_TEXT:
        write_csv_text(*cell->value.text, body);
        return;
    case METRIC_CELL_INTEGER:
    case METRIC_CELL_HUNDREDTHS:
        break;
    }
    write_json_cell(cell, body);
}

static void
write_csv(const struct metric_result *result, struct buf *body)
{
    uint32_t place = 0;

    for (uint32_t i = 0; i < result->column_count; i++) {
        write_csv_text(result->columns[i].name, body);
        buf_add_char(body, ',');
    }
    buf_add_text(body, "partial\n");
    for (uint32_t row = 0; row < result->row_count; row++) {
        for (uint32_t i = 0; i < result->column_count; i++) {
            write_csv_cell(&result->cells[(size_t)row * result->column_count + i], body);
            buf_add_char(body, ',');
        }
        write_partial(result, row, &place, "", body);
        buf_add_char(body, '\n');
    }
}

static void
write_ndjson(const struct metric_result *result, struct buf *body)
{
    uint32_t place = 0;

    for (uint32_t row = 0; row < result->row_count; row++) {
        for (uint32_t i = 0; i < result->column_count; i++) {
            buf_printf(body, "%c\"%.*s\":", i == 0 ? '{' : ',',
                       SLICE_ARGS(result->columns[i].name));
            write_json_cell(&result->cells[(size_t)row * result->column_count + i], body);
        }
        buf_add_text(body, ",\"partial\":");
        write_partial(result, row, &place, "null", body);
        buf_add_text(body, "}\n");
    }
}

void
metric_render(const struct metric_result *result, struct warehouse_watermark watermark,
              struct buf *body)
{
    switch (result->params->format) {
    case METRIC_FORMAT_JSON:
        write_json(result, watermark, body);
        return;
    case METRIC_FORMAT_CSV:
        write_csv(result, body);
        return;
    case METRIC_FORMAT_NDJSON:
        break;
    }
    write_ndjson(result, body);
}

const char *
metric_content_type(enum metric_format format)
{
    static const char *const types[] = {[METRIC_FORMAT_JSON] = "application/json",
                                        [METRIC_FORMAT_CSV] = "text/csv; charset=utf-8",
                                        [METRIC_FORMAT_NDJSON] = "application/x-ndjson"};

    return types[format];
}
