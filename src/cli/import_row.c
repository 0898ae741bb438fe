/*
 * import_row - see import_row.h.
 */
#include "cli/import_row.h"

#include "base/mem.h"
#include "cli/import_line.h"
#include "codec/json_reader.h"
#include <stdlib.h>

#define NUMBER_DIGITS_MAX 15
#define CANONICAL_BYTES_MAX (64u * 1024 * 1024)

/* What becomes of a cell. */
enum column_kind {
    COLUMN_FIELD,      /* a text field of the event */
    COLUMN_TIME,       /* occurred_at */
    COLUMN_PROPERTIES, /* the whole object */
    COLUMN_PROPERTY,   /* one of them, typed by its look */
    COLUMN_TEXT,       /* one of them, always text */
};

struct column {
    struct slice name; /* owned */
    enum column_kind kind;
};

struct import_columns {
    struct column *columns;
    uint32_t *sorted; /* places, by name */
    uint32_t count;
    uint32_t event_id; /* place, or count */
    struct buf canonical;
    struct arena arena; /* of one check of a properties cell */
    struct json_scratch scratch;
};

static enum column_kind
kind_of(struct slice name, const struct flag_texts *text_columns)
{
    static const char *const fields[] = {"event_id", "event_type", "user_id", "anonymous_id",
                                         "session_id"};

    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (slice_equal(name, slice_of_text(fields[i])))
            return COLUMN_FIELD;
    }
    if (slice_equal(name, SLICE("occurred_at")))
        return COLUMN_TIME;
    if (slice_equal(name, SLICE("properties")))
        return COLUMN_PROPERTIES;
    for (size_t i = 0; i < text_columns->count; i++) {
        if (slice_equal(name, slice_of_text(text_columns->texts[i])))
            return COLUMN_TEXT;
    }
    return COLUMN_PROPERTY;
}

static int
compare_places(const void *a, const void *b, void *state)
{
    const struct column *columns = (const struct column *)state;

    return slice_compare(columns[*(const uint32_t *)a].name, columns[*(const uint32_t *)b].name);
}

static bool
has_column(const struct import_columns *columns, const char *name)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        if (slice_equal(columns->columns[i].name, slice_of_text(name)))
            return true;
    }
    return false;
}

/* The column that only looks like `name`: by case, or blanks around it. NULL: none. */
static const struct column *
find_lookalike(const struct import_columns *columns, const char *name)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        if (slice_equal_nocase(slice_trim(columns->columns[i].name), slice_of_text(name)))
            return &columns->columns[i];
    }
    return NULL;
}

/* The flag that names the byte which other programs put between cells and which stands within a
 * name here. NULL: none. */
static const char *
guess_delimiter(const struct import_columns *columns)
{
    static const char bytes[] = ";\t,";
    static const char *const flags[] = {"--delimiter ';'", "--delimiter '\\t'", "--delimiter ','"};

    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        for (uint32_t k = 0; k < columns->count; k++) {
            struct slice name = columns->columns[k].name;

            if (memchr(name.ptr, bytes[i], name.len) != NULL)
                return flags[i];
        }
    }
    return NULL;
}

/* `sentence` says what is missing; `name`, `other` (or NULL): the columns that would do. */
static enum err
tell_missing(const struct import_columns *columns, const char *sentence, const char *name,
             const char *other, struct diag *diag)
{
    const struct column *lookalike = find_lookalike(columns, name);
    const char *flag = guess_delimiter(columns);

    if (lookalike == NULL && other != NULL) {
        name = other;
        lookalike = find_lookalike(columns, name);
    }
    if (lookalike != NULL)
        diag_set(diag, "%s, only \"%.*s\": it must be spelled %s, in small letters without blanks",
                 sentence, SLICE_ARGS(lookalike->name), name);
    else if (flag != NULL)
        diag_set(diag, "%s; if another byte divides its names, give %s", sentence, flag);
    else
        diag_set(diag, "%s", sentence);
    return ERR_INVALID;
}

static enum err
check_columns(const struct import_columns *columns, const struct flag_texts *text_columns,
              struct diag *diag)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        struct slice name = columns->columns[columns->sorted[i]].name;

        if (name.len == 0) {
            diag_set(diag, "the header has a column without a name");
            return ERR_INVALID;
        }
        if (i != 0 && slice_equal(name, columns->columns[columns->sorted[i - 1]].name)) {
            diag_set(diag, "the header names column %.*s twice", SLICE_ARGS(name));
            return ERR_INVALID;
        }
    }
    if (!has_column(columns, "event_type"))
        return tell_missing(columns, "the header has no column event_type", "event_type", NULL,
                            diag);
    if (!has_column(columns, "user_id") && !has_column(columns, "anonymous_id"))
        return tell_missing(columns, "the header has neither a column user_id nor anonymous_id",
                            "user_id", "anonymous_id", diag);
    for (size_t i = 0; i < text_columns->count; i++) {
        if (!has_column(columns, text_columns->texts[i])) {
            diag_set(diag, "--text %s: the header has no such column", text_columns->texts[i]);
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

enum err
import_columns_new(const struct slice *names, uint32_t count, const struct flag_texts *text_columns,
                   struct import_columns **ret_columns, struct diag *diag)
{
    CLEANUP(import_columns_free) struct import_columns *columns = MEM_NEW(struct import_columns, 1);
    enum err err;

    if (columns == NULL)
        return ERR_NOMEM;
    buf_init(&columns->canonical, CANONICAL_BYTES_MAX);
    arena_init(&columns->arena, 4096, CANONICAL_BYTES_MAX);
    columns->columns = MEM_NEW(struct column, count);
    columns->sorted = MEM_NEW(uint32_t, count);
    if (columns->columns == NULL || columns->sorted == NULL)
        return ERR_NOMEM;
    columns->event_id = count;
    for (uint32_t i = 0; i < count; i++) {
        struct column *column = &columns->columns[i];
        char *copy = (char *)mem_alloc(names[i].len);

        if (copy == NULL)
            return ERR_NOMEM;
        if (names[i].len != 0)
            memcpy(copy, names[i].ptr, names[i].len);
        column->name = slice_of(copy, names[i].len);
        columns->count++;
        column->kind = kind_of(column->name, text_columns);
        if (slice_equal(column->name, SLICE("event_id")))
            columns->event_id = i;
        columns->sorted[i] = i;
    }
    qsort_r(columns->sorted, count, sizeof(*columns->sorted), compare_places, columns->columns);
    err = check_columns(columns, text_columns, diag);
    if (err != ERR_OK)
        return err;
    *ret_columns = MOVE(columns);
    return ERR_OK;
}

void
import_columns_free(struct import_columns **columns)
{
    struct import_columns *c = *columns;

    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->count; i++)
        mem_free((char *)(uintptr_t)c->columns[i].name.ptr);
    mem_free(c->columns);
    mem_free(c->sorted);
    buf_fini(&c->canonical);
    arena_fini(&c->arena);
    json_scratch_fini(&c->scratch);
    mem_free(c);
    *columns = NULL;
}

/* As it stands, only made a JSON string: what is no UTF-8 is refused by the server, not altered
 * here. */
static void
add_text(struct buf *buf, struct slice text)
{
    size_t start = 0;

    buf_add_char(buf, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(buf, text.ptr + start, i - start);
        if (c == '"' || c == '\\') {
            buf_add_char(buf, '\\');
            buf_add_char(buf, (char)c);
        } else {
            buf_printf(buf, "\\u%04x", c);
        }
        start = i + 1;
    }
    buf_add(buf, text.ptr + start, text.len - start);
    buf_add_char(buf, '"');
}

static bool
is_digits(struct slice cell)
{
    for (size_t i = 0; i < cell.len; i++) {
        if (cell.ptr[i] < '0' || cell.ptr[i] > '9')
            return false;
    }
    return cell.len != 0;
}

/* RFC 8259 section 6, and at most 15 digits, so that a double holds it exactly. */
static bool
is_number(struct slice cell)
{
    struct json_scratch scratch = {0};
    struct json_reader reader;
    struct json_number number;
    size_t digits = 0;

    if (cell.len > 2 * NUMBER_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < cell.len; i++)
        digits += cell.ptr[i] >= '0' && cell.ptr[i] <= '9';
    if (digits == 0 || digits > NUMBER_DIGITS_MAX ||
        (cell.ptr[0] != '-' && (cell.ptr[0] < '0' || cell.ptr[0] > '9')))
        return false;
    json_reader_init(&reader, cell, &scratch, NULL);
    return json_reader_number(&reader, &number) && reader.at == reader.end && number.is_in_range;
}

static void
add_property(struct buf *line, const struct column *column, struct slice cell)
{
    add_text(line, column->name);
    buf_add_char(line, ':');
    if (column->kind == COLUMN_PROPERTY &&
        (slice_equal(cell, SLICE("true")) || slice_equal(cell, SLICE("false")) || is_number(cell)))
        buf_add_slice(line, cell);
    else
        add_text(line, cell);
}

static void
add_time(struct buf *line, struct slice cell)
{
    if (!is_digits(cell)) {
        add_text(line, cell);
        return;
    }
    while (cell.len > 1 && cell.ptr[0] == '0')
        cell = slice_of(cell.ptr + 1, cell.len - 1);
    buf_add_slice(line, cell);
}

/* Exactly one JSON object; *ret_inside: what stands between its braces. */
static enum err
open_object(struct import_columns *columns, struct slice cell, struct slice *ret_inside,
            struct diag *diag)
{
    const struct json_rules rules = {.root = SLICE("properties"), .depth = 1};
    struct json_notes notes = {0};
    struct json_reader reader;
    const char *start;

    arena_clear(&columns->arena);
    json_reader_init(&reader, cell, &columns->scratch, &columns->arena);
    json_reader_space(&reader);
    start = reader.at;
    if (start == reader.end || *start != '{') {
        diag_set_field(diag, "properties", "properties: the cell is no JSON object");
        return ERR_INVALID_TYPE;
    }
    if (json_reader_value(&reader, &rules, &notes)) {
        const char *end = reader.at;

        json_reader_space(&reader);
        if (reader.at == reader.end) {
            *ret_inside = slice_of(start + 1, (size_t)(end - start) - 2);
            return ERR_OK;
        }
    } else if (reader.err == ERR_NOMEM) {
        return ERR_NOMEM;
    }
    diag_set_field(diag, "properties", "properties: the cell is not JSON");
    return ERR_INVALID_JSON;
}

static bool
is_blank(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != ' ' && text.ptr[i] != '\t' && text.ptr[i] != '\n' && text.ptr[i] != '\r')
            return false;
    }
    return true;
}

/* Line ends between JSON's tokens become spaces: the event is one line. (In texts JSON allows
 * none.) */
static void
add_inside(struct buf *line, struct slice inside)
{
    size_t start = line->len;

    buf_add_slice(line, inside);
    for (size_t i = start; i < line->len; i++) {
        if (line->ptr[i] == '\n' || line->ptr[i] == '\r')
            line->ptr[i] = ' ';
    }
}

static enum err
add_properties(struct import_columns *columns, const struct slice *cells, struct buf *line,
               struct diag *diag)
{
    bool is_open = false, has_member = false;

    for (uint32_t i = 0; i < columns->count; i++) {
        const struct column *column = &columns->columns[i];
        struct slice inside = SLICE_NONE;

        if (cells[i].len == 0 || column->kind == COLUMN_FIELD || column->kind == COLUMN_TIME)
            continue;
        if (column->kind == COLUMN_PROPERTIES) {
            enum err err = open_object(columns, cells[i], &inside, diag);

            if (err != ERR_OK)
                return err;
        }
        if (!is_open)
            buf_add_text(line, ",\"properties\":{");
        is_open = true;
        if (column->kind == COLUMN_PROPERTIES && is_blank(inside))
            continue;
        if (has_member)
            buf_add_char(line, ',');
        has_member = true;
        if (column->kind == COLUMN_PROPERTIES)
            add_inside(line, inside);
        else
            add_property(line, column, cells[i]);
    }
    if (is_open)
        buf_add_char(line, '}');
    return ERR_OK;
}

static void
add_length(struct buf *buf, size_t len)
{
    for (unsigned shift = 0; shift < 32; shift += 8)
        buf_add_char(buf, (char)(unsigned char)(len >> shift));
}

/* Cells that are not empty, under sorted names, each with its length before it (4 bytes,
 * little-endian). */
static enum err
make_id(struct import_columns *columns, const struct slice *cells, struct import_ids *ids,
        char ret_id[IMPORT_ID_BYTES])
{
    struct buf *canonical = &columns->canonical;

    buf_clear(canonical);
    for (uint32_t i = 0; i < columns->count; i++) {
        uint32_t place = columns->sorted[i];

        if (cells[place].len == 0)
            continue;
        add_length(canonical, columns->columns[place].name.len);
        buf_add_slice(canonical, columns->columns[place].name);
        add_length(canonical, cells[place].len);
        buf_add_slice(canonical, cells[place]);
    }
    if (buf_failed(canonical))
        return ERR_NOMEM;
    return import_ids_next(ids, buf_slice(canonical), ret_id);
}

enum err
import_row_csv(struct import_columns *columns, const struct slice *cells, uint32_t count,
               struct import_ids *ids, struct buf *line, struct diag *diag)
{
    size_t before = line->len;
    char id[IMPORT_ID_BYTES];
    struct slice event_id = slice_of(id, sizeof(id));
    enum err err;

    if (count != columns->count) {
        diag_set(diag, "the row has %u cells, the header %u", count, columns->count);
        return ERR_INVALID_TYPE;
    }
    if (columns->event_id != columns->count && cells[columns->event_id].len != 0) {
        event_id = cells[columns->event_id];
    } else {
        err = make_id(columns, cells, ids, id);
        if (err != ERR_OK)
            return err;
    }
    buf_add_text(line, "{\"event_id\":");
    add_text(line, event_id);
    for (uint32_t i = 0; i < count; i++) {
        const struct column *column = &columns->columns[i];

        if (cells[i].len == 0 || i == columns->event_id ||
            (column->kind != COLUMN_FIELD && column->kind != COLUMN_TIME))
            continue;
        buf_add_char(line, ',');
        add_text(line, column->name);
        buf_add_char(line, ':');
        if (column->kind == COLUMN_TIME)
            add_time(line, cells[i]);
        else
            add_text(line, cells[i]);
    }
    err = add_properties(columns, cells, line, diag);
    if (err != ERR_OK) {
        line->len = before;
        return err;
    }
    buf_add_text(line, "}\n");
    return buf_failed(line) ? ERR_NOMEM : ERR_OK;
}

enum err
import_row_ndjson(struct slice text, struct import_ids *ids, struct buf *line)
{
    char id[IMPORT_ID_BYTES];
    struct import_line_id place;
    struct arena arena;
    const char *end = text.ptr + text.len;
    bool needs_id;

    arena_init(&arena, 1024, CANONICAL_BYTES_MAX);
    needs_id = import_line_find_id(text, &arena, &place) && (place.value == NULL || place.is_null);
    arena_fini(&arena);
    if (needs_id) {
        enum err err = import_ids_next(ids, text, id);

        if (err != ERR_OK)
            return err;
    }
    if (!needs_id) {
        buf_add_slice(line, text);
    } else if (place.value != NULL) {
        buf_add(line, text.ptr, (size_t)(place.value - text.ptr));
        buf_printf(line, "\"%.*s\"", IMPORT_ID_BYTES, id);
        buf_add(line, place.value_end, (size_t)(end - place.value_end));
    } else {
        buf_printf(line, "{\"event_id\":\"%.*s\"%s", IMPORT_ID_BYTES, id,
                   place.is_empty ? "" : ",");
        buf_add(line, place.inside, (size_t)(end - place.inside));
    }
    buf_add_char(line, '\n');
    return buf_failed(line) ? ERR_NOMEM : ERR_OK;
}

void
import_row_add_csv(struct buf *buf, const struct slice *cells, uint32_t count, char delimiter)
{
    for (uint32_t i = 0; i < count; i++) {
        bool is_plain = true;

        for (size_t k = 0; k < cells[i].len; k++) {
            char c = cells[i].ptr[k];

            is_plain = is_plain && c != '"' && c != delimiter && c != '\n' && c != '\r';
        }
        if (i != 0)
            buf_add_char(buf, delimiter);
        if (is_plain) {
            buf_add_slice(buf, cells[i]);
            continue;
        }
        buf_add_char(buf, '"');
        for (size_t k = 0; k < cells[i].len; k++) {
            if (cells[i].ptr[k] == '"')
                buf_add_char(buf, '"');
            buf_add_char(buf, cells[i].ptr[k]);
        }
        buf_add_char(buf, '"');
    }
    buf_add_char(buf, '\n');
}
