/*
 * table - see table.h.
 */
#include "cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define CELL_BYTES_MAX 1024

struct row {
    struct row *next;
    struct slice *cells; /* NULL: a rule */
};

struct column {
    struct slice title;
    bool is_right;
};

struct table {
    struct arena *arena;
    uint32_t column_count;
    struct column *columns;
    struct row *first;
    struct row *last;
    bool is_failed;
};

struct table *
table_new(struct arena *arena, uint32_t column_count)
{
    struct table *table = ARENA_NEW(arena, struct table, 1);

    assert(column_count >= 1 && column_count <= TABLE_COLUMNS_MAX);
    if (table == NULL)
        return NULL;
    table->arena = arena;
    table->column_count = column_count;
    table->columns = ARENA_NEW(arena, struct column, column_count);
    return table->columns != NULL ? table : NULL;
}

void
table_clean(struct buf *buf, struct slice text)
{
    while (text.len != 0) {
        size_t width = slice_utf8_width(text);
        unsigned char first = (unsigned char)text.ptr[0];

        if (width == 0)
            buf_add_text(buf, "\xEF\xBF\xBD");
        else if (first < 0x20 || first == 0x7F)
            buf_printf(buf, "\\u%04x", first);
        else if (first == 0xC2 && (unsigned char)text.ptr[1] < 0xA0)
            buf_printf(buf, "\\u%04x", (unsigned char)text.ptr[1]);
        else
            buf_add(buf, text.ptr, width);
        width = width != 0 ? width : 1;
        text = slice_of(text.ptr + width, text.len - width);
    }
}

static struct slice
clean_copy(struct table *table, struct slice text)
{
    struct buf buf;
    struct slice copy;

    buf_init(&buf, (size_t)CELL_BYTES_MAX * 6);
    if (text.len > CELL_BYTES_MAX)
        text.len = CELL_BYTES_MAX;
    table_clean(&buf, text);
    copy = arena_copy(table->arena, buf_slice(&buf));
    if (buf_failed(&buf) || copy.ptr == NULL) {
        table->is_failed = true;
        copy = SLICE("");
    }
    buf_fini(&buf);
    return copy;
}

void
table_column(struct table *table, uint32_t column, struct slice title, bool is_right)
{
    assert(column < table->column_count);
    table->columns[column].title = clean_copy(table, title);
    table->columns[column].is_right = is_right;
}

static void
add_row(struct table *table, bool is_rule)
{
    struct row *row = ARENA_NEW(table->arena, struct row, 1);

    if (row != NULL && !is_rule)
        row->cells = ARENA_NEW(table->arena, struct slice, table->column_count);
    if (row == NULL || (!is_rule && row->cells == NULL)) {
        table->is_failed = true;
        return;
    }
    if (table->last != NULL)
        table->last->next = row;
    else
        table->first = row;
    table->last = row;
}

void
table_row(struct table *table)
{
    add_row(table, false);
}

void
table_rule(struct table *table)
{
    add_row(table, true);
}

void
table_cell(struct table *table, uint32_t column, struct slice text)
{
    assert(column < table->column_count);
    if (!table->is_failed)
        table->last->cells[column] = clean_copy(table, text);
}

void
table_cell_printf(struct table *table, uint32_t column, const char *format, ...)
{
    char text[CELL_BYTES_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    table_cell(table, column, slice_of_text(text));
}

/* Characters, given clean UTF-8: every byte but the continuing ones. */
static size_t
width_of(struct slice text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.len; i++)
        width += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return width;
}

static void
add_repeated(struct buf *buf, char c, size_t count)
{
    while (count-- != 0)
        buf_add_char(buf, c);
}

/* No spaces are left at the ends of lines. */
static void
draw_cells(const struct table *table, const struct slice *cells, const size_t *widths,
           struct buf *buf)
{
    size_t due = 0; /* spaces before the next cell that is not empty */

    for (uint32_t i = 0; i < table->column_count; i++) {
        size_t pad = widths[i] - width_of(cells[i]);

        if (i != 0)
            due += 2;
        if (cells[i].len == 0) {
            due += widths[i];
            continue;
        }
        add_repeated(buf, ' ', due + (table->columns[i].is_right ? pad : 0));
        buf_add_slice(buf, cells[i]);
        due = table->columns[i].is_right ? 0 : pad;
    }
    while (buf->len != 0 && buf->ptr[buf->len - 1] == ' ')
        buf->len--;
    buf_add_char(buf, '\n');
}

static void
draw_rule(const struct table *table, const size_t *widths, struct buf *buf)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        buf_add_text(buf, i != 0 ? "  " : "");
        add_repeated(buf, '-', widths[i]);
    }
    buf_add_char(buf, '\n');
}

bool
table_draw(const struct table *table, struct buf *buf)
{
    size_t widths[TABLE_COLUMNS_MAX];
    struct slice titles[TABLE_COLUMNS_MAX];

    if (table->is_failed)
        return false;
    for (uint32_t i = 0; i < table->column_count; i++) {
        titles[i] = table->columns[i].title;
        widths[i] = width_of(titles[i]);
        for (const struct row *row = table->first; row != NULL; row = row->next) {
            size_t width = row->cells != NULL ? width_of(row->cells[i]) : 0;

            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    draw_cells(table, titles, widths, buf);
    draw_rule(table, widths, buf);
    for (const struct row *row = table->first; row != NULL; row = row->next) {
        if (row->cells != NULL)
            draw_cells(table, row->cells, widths, buf);
        else
            draw_rule(table, widths, buf);
    }
    return !buf_failed(buf);
}

const char *
table_number(uint64_t value, char ret_text[TABLE_NUMBER_TEXT])
{
    char digits[24];
    size_t len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    size_t at = 0;

    for (size_t i = 0; i < len; i++) {
        if (i != 0 && (len - i) % 3 == 0)
            ret_text[at++] = ',';
        ret_text[at++] = digits[i];
    }
    ret_text[at] = '\0';
    return ret_text;
}
