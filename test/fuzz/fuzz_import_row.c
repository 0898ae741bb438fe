/* rooms: import */
/*
 * fuzz_import_row - whatever stands in a file: a row that is taken is one line with one JSON
 * object, and its id is there.
 *
 * The first byte chooses: even, a line of NDJSON; odd, a CSV row of four cells, cut at bytes 0x1F,
 * under a header with a `properties` column. A refused row leaves the buffer as it was. The id that
 * is read back from a line is the one that was put there, or one the server would take.
 */
#include "base/mem.h"
#include "cli/import_line.h"
#include "cli/import_row.h"
#include "codec/json_scan.h"
#include "codec/utf8.h"
#include "event/limits.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
    if (!holds)
        abort();
}

/* Exactly one value, an object, on one line. */
static bool
is_one_object(struct slice line)
{
    struct json_check check;

    if (line.len < 3 || line.ptr[0] != '{' || line.ptr[line.len - 1] != '\n' ||
        memchr(line.ptr, '\n', line.len - 1) != NULL)
        return false;
    json_check_init(&check, 64);
    return json_check_feed(&check, line.ptr, line.len) && json_check_end(&check);
}

/* `made`: the id the import put there; ptr NULL: not known. */
static void
read_back(struct slice line, struct slice made)
{
    struct arena arena;
    struct slice id;

    arena_init(&arena, 1024, 1u << 26);
    must(import_line_read_id(slice_of(line.ptr, line.len - 1), &arena, &id) == ERR_OK);
    if (id.ptr != NULL)
        must(id.len >= 1 && id.len <= LIMIT_EVENT_ID_BYTES && utf8_is_valid(id) &&
             (made.ptr == NULL || slice_equal(id, made)));
    arena_fini(&arena);
}

static void
try_csv(struct slice text, struct import_ids *ids, struct buf *line)
{
    static const struct slice names[] = {
        {"event_type", 10}, {"user_id", 7}, {"properties", 10}, {"x", 1}};
    const struct flag_texts none = {.count = 0};
    struct import_columns *columns = NULL;
    struct slice cells[4];
    uint32_t count = 0;
    enum err err = import_columns_new(names, 4, &none, &columns, NULL);

    must(err == ERR_OK);
    while (count < 4) {
        const char *end = text.len != 0 ? memchr(text.ptr, 0x1F, text.len) : NULL;
        size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;

        cells[count++] = slice_of(text.ptr, len);
        len += end != NULL ? 1 : 0;
        text = slice_of(text.ptr + len, text.len - len);
    }
    err = import_row_csv(columns, cells, count, ids, line, NULL);
    if (err == ERR_OK)
        must(is_one_object(slice_of(line->ptr + 2, line->len - 2)) &&
             memcmp(line->ptr + 2, "{\"event_id\":\"imp-", 17) == 0);
    else
        must(line->len == 2);
    if (err == ERR_OK)
        read_back(slice_of(line->ptr + 2, line->len - 2),
                  slice_of(line->ptr + 15, IMPORT_ID_BYTES));
    import_columns_free(&columns);
}

static void
try_ndjson(struct slice text, struct import_ids *ids, struct buf *line)
{
    struct json_check check;
    struct slice got;
    bool was_object;

    if (text.len == 0 || memchr(text.ptr, '\n', text.len) != NULL)
        return; /* a line is neither */
    json_check_init(&check, 64);
    was_object = text.ptr[0] == '{' && json_check_feed(&check, text.ptr, text.len) &&
                 json_check_end(&check) && text.ptr[text.len - 1] == '}';
    must(import_row_ndjson(text, ids, line) == ERR_OK);
    got = slice_of(line->ptr + 2, line->len - 2);
    if (was_object)
        must(is_one_object(got) && memmem(got.ptr, got.len, "event", 5) != NULL);
    else
        must(got.len == text.len + 1 && memcmp(got.ptr, text.ptr, text.len) == 0);
    read_back(got, SLICE_NONE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct import_ids *ids = NULL;
    struct buf line;

    if (size == 0)
        return 0;
    must(import_ids_new(&ids) == ERR_OK);
    buf_init(&line, 1u << 26);
    buf_add_text(&line, "<>");
    if (data[0] % 2 == 0)
        try_ndjson(slice_of((const char *)data + 1, size - 1), ids, &line);
    else
        try_csv(slice_of((const char *)data + 1, size - 1), ids, &line);
    buf_fini(&line);
    import_ids_free(&ids);
    return 0;
}
