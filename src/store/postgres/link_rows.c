/*
 * link_rows - see link_rows.h.
 *
 * Layer 3 (store/postgres). On the loop's thread; for each row a few memcpy into one buffer, no
 * allocation, no text escaped.
 */
#include "store/postgres/link_rows.h"

#include "base/mem.h"
#include "event/limits.h"
#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#define COLUMNS 11
#define COLUMN_HEAD_BYTES 8
#define ROW_HEAD_BYTES 8
#define ARRAY_HEAD_BYTES 20
#define ARRAY_COUNT_AT 12
#define LOOK_AHEAD 16                      /* rows, before a binary search */
#define ROWS_KEPT 16384                    /* scratch beyond this is given back after a batch */
#define PIECE_BYTES_MAX ((size_t)16 << 20) /* a single row may pass LINK_PIECE_BYTES */
#define EPOCH_US INT64_C(946684800000000)  /* 2000-01-01 */

/* Numbers of the system's own types, the same in every server. */
enum {
    TYPE_BYTEA = 17,
    TYPE_INT8 = 20,
    TYPE_INT4 = 23,
    TYPE_TEXT = 25,
    TYPE_TIMESTAMPTZ = 1184,
    TYPE_JSONB = 3802
};

void
link_rows_init(struct link_rows *rows)
{
    *rows = (struct link_rows){0};
    buf_init(&rows->piece, PIECE_BYTES_MAX);
}

void
link_rows_fini(struct link_rows *rows)
{
    mem_free(rows->rows);
    rows->rows = NULL;
    buf_fini(&rows->piece);
    explicit_bzero(rows->hash_secret, sizeof(rows->hash_secret));
}

/* --- order ---------------------------------------------------------------------------------- */

static uint64_t
prefix_of(struct slice event_id)
{
    uint64_t prefix = 0;

    memcpy(&prefix, event_id.ptr, event_id.len < 8 ? event_id.len : 8);
    return be64toh(prefix);
}

static struct slice
id_of(const struct link_rows *rows, const struct link_row *row)
{
    return rows->batch->items[row->index].event->event_id;
}

/* Byte order, as COLLATE "C" has it. Equal prefixes of 8 bytes or less need the whole text: a
 * shorter id is padded with zeros in its prefix. */
static int
compare_id(const struct link_rows *rows, const struct link_row *row, uint32_t project_id,
           uint64_t prefix, struct slice event_id)
{
    if (row->project_id != project_id)
        return row->project_id < project_id ? -1 : 1;
    if (row->prefix != prefix)
        return row->prefix < prefix ? -1 : 1;
    return slice_compare(id_of(rows, row), event_id);
}

static int
compare_rows(const void *a, const void *b, void *state)
{
    const struct link_rows *rows = state;
    const struct link_row *left = a;
    const struct link_row *right = b;
    int order = 0;

    if (left->prefix != right->prefix && left->project_id == right->project_id)
        return left->prefix < right->prefix ? -1 : 1;
    order = compare_id(rows, left, right->project_id, right->prefix, id_of(rows, right));
    return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

static bool
is_same_id(const struct link_rows *rows, const struct link_row *a, const struct link_row *b)
{
    return a->prefix == b->prefix && a->project_id == b->project_id &&
           slice_equal(id_of(rows, a), id_of(rows, b));
}

static enum err
reserve(struct link_rows *rows, uint32_t count)
{
    uint32_t rows_max = 64;

    if (rows->rows_max > ROWS_KEPT && count <= ROWS_KEPT) {
        mem_free(rows->rows);
        rows->rows = NULL;
        rows->rows_max = 0;
    }
    if (count <= rows->rows_max)
        return ERR_OK;
    if (count > UINT32_C(1) << 24)
        return ERR_OVERLOADED;
    while (rows_max < count)
        rows_max *= 2;
    mem_free(rows->rows);
    rows->rows = MEM_NEW(struct link_row, rows_max);
    rows->rows_max = rows->rows != NULL ? rows_max : 0;
    return rows->rows != NULL ? ERR_OK : ERR_OVERLOADED;
}

/* Of equal ids, which is stored, which asked for, which a copy. */
static void
find_kinds(struct link_rows *rows)
{
    const uint32_t count = rows->batch->count;
    bool has_store = false;
    bool has_ask = false;

    for (uint32_t i = 0; i < count; i++) {
        struct link_row *row = &rows->rows[i];

        if (i == 0 || !is_same_id(rows, row, row - 1))
            has_store = has_ask = false;
        if (has_store) {
            row->kind = LINK_ROW_COPY;
        } else if (!rows->batch->items[row->index].is_probe) {
            row->kind = LINK_ROW_STORE;
            has_store = true;
            rows->store_count++;
        } else if (has_ask) {
            row->kind = LINK_ROW_ASK_TOO;
        } else {
            row->kind = LINK_ROW_ASK;
            has_ask = true;
            rows->ask_count++;
        }
    }
}

enum err
link_rows_take(struct link_rows *rows, const struct store_batch *batch)
{
    bool is_sorted = true;
    enum err err = reserve(rows, batch->count);

    if (err != ERR_OK)
        return err;
    rows->batch = batch;
    rows->store_count = 0;
    rows->ask_count = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct event *event = batch->items[i].event;

        assert(event->event_id.len != 0 && event->event_id.len <= LIMIT_EVENT_ID_BYTES);
        assert(event->project_id <= INT32_MAX);
        rows->rows[i] = (struct link_row){
            .prefix = prefix_of(event->event_id), .project_id = event->project_id, .index = i};
        is_sorted =
            is_sorted && (i == 0 || compare_rows(&rows->rows[i - 1], &rows->rows[i], rows) < 0);
    }
    if (!is_sorted)
        qsort_r(rows->rows, batch->count, sizeof(rows->rows[0]), compare_rows, rows);
    find_kinds(rows);
    link_rows_rewind(rows);
    return ERR_OK;
}

void
link_rows_rewind(struct link_rows *rows)
{
    rows->next = 0;
    rows->cursor = 0;
    for (uint32_t i = 0; i < rows->batch->count; i++)
        rows->rows[i].is_told = false;
}

/* --- rows out -------------------------------------------------------------------------------- */

static char *
put_u32(char *place, uint32_t value)
{
    value = htobe32(value);
    memcpy(place, &value, sizeof(value));
    return place + sizeof(value);
}

static char *
put_u64(char *place, uint64_t value)
{
    value = htobe64(value);
    memcpy(place, &value, sizeof(value));
    return place + sizeof(value);
}

static char *
put_null(char *place, uint32_t type)
{
    return put_u32(put_u32(place, type), UINT32_MAX);
}

static char *
put_text(char *place, struct slice text)
{
    if (text.ptr == NULL)
        return put_null(place, TYPE_TEXT);
    place = put_u32(put_u32(place, TYPE_TEXT), (uint32_t)text.len);
    memcpy(place, text.ptr, text.len);
    return place + text.len;
}

static char *
put_json(char *place, struct slice json)
{
    if (json.ptr == NULL)
        return put_null(place, TYPE_JSONB);
    place = put_u32(put_u32(place, TYPE_JSONB), (uint32_t)json.len + 1);
    *place++ = 1;
    memcpy(place, json.ptr, json.len);
    return place + json.len;
}

static char *
put_time(char *place, int64_t unix_us)
{
    return put_u64(put_u32(put_u32(place, TYPE_TIMESTAMPTZ), 8), (uint64_t)(unix_us - EPOCH_US));
}

void
link_rows_hash(const uint8_t secret[HASH_SIPHASH_KEY_BYTES], uint32_t project_id,
               struct slice event_id, uint8_t ret_hash[HASH_SIPHASH_128_BYTES])
{
    uint8_t input[1 + sizeof(uint32_t) + LIMIT_EVENT_ID_BYTES];
    const uint32_t project = htole32(project_id);

    assert(event_id.len <= LIMIT_EVENT_ID_BYTES);
    input[0] = sizeof(project);
    memcpy(input + 1, &project, sizeof(project));
    memcpy(input + 1 + sizeof(project), event_id.ptr, event_id.len);
    hash_siphash_128(secret, slice_of((const char *)input, 1 + sizeof(project) + event_id.len),
                     ret_hash);
}

static char *
put_hash(const struct link_rows *rows, char *place, const struct event *event)
{
    place = put_u32(put_u32(place, TYPE_BYTEA), HASH_SIPHASH_128_BYTES);
    link_rows_hash(rows->hash_secret, event->project_id, event->event_id, (uint8_t *)place);
    return place + HASH_SIPHASH_128_BYTES;
}

/* At most: absent values take no room. */
static size_t
row_bytes(const struct event *event, enum link_row_kind kind)
{
    size_t bytes = ROW_HEAD_BYTES + COLUMNS * COLUMN_HEAD_BYTES + sizeof(uint32_t) +
                   event->event_id.len + HASH_SIPHASH_128_BYTES;

    if (kind == LINK_ROW_STORE)
        bytes += event->event_type.len + event->user_id.len + event->anonymous_id.len +
                 event->session_id.len + 3 * sizeof(uint64_t) + 1 + event->properties.len;
    return bytes;
}

static char *
put_row(const struct link_rows *rows, char *place, const struct link_row *row)
{
    const struct event *event = rows->batch->items[row->index].event;
    char *head = place;

    place = put_u32(place + sizeof(uint32_t), COLUMNS);
    place = put_u32(put_u32(put_u32(place, TYPE_INT4), 4), event->project_id);
    place = put_text(place, event->event_id);
    if (row->kind == LINK_ROW_STORE) {
        place = put_text(place, event->event_type);
        place = put_text(place, event->user_id);
        place = put_text(place, event->anonymous_id);
        place = put_text(place, event->session_id);
        place = put_time(place, event->occurred_at_us);
        place = put_time(place, event->received_at_us);
        place = put_json(place, event->properties);
        place = put_u64(put_u32(put_u32(place, TYPE_INT8), 8), row->index + UINT64_C(1));
    } else {
        for (unsigned i = 0; i < 4; i++)
            place = put_null(place, TYPE_TEXT);
        place = put_null(put_null(place, TYPE_TIMESTAMPTZ), TYPE_TIMESTAMPTZ);
        place = put_null(put_null(place, TYPE_JSONB), TYPE_INT8);
    }
    place = put_hash(rows, place, event);
    (void)put_u32(head, (uint32_t)(place - head) - (uint32_t)sizeof(uint32_t));
    return place;
}

static void
put_array_head(struct buf *piece, uint32_t row_type)
{
    char head[ARRAY_HEAD_BYTES];
    char *place = put_u32(put_u32(head, 1), 0);

    place = put_u32(place, row_type);
    place = put_u32(place, 0); /* the count, set at the end */
    (void)put_u32(place, 1);
    buf_add(piece, head, sizeof(head));
}

enum err
link_rows_next(struct link_rows *rows, enum link_row_kind kind, uint32_t row_type,
               uint32_t *ret_count)
{
    struct buf *piece = &rows->piece;
    const uint32_t count = rows->batch->count;
    uint32_t row_count = 0;

    buf_clear(piece);
    put_array_head(piece, row_type);
    for (; rows->next < count && row_count < LINK_PIECE_ROWS; rows->next++) {
        const struct link_row *row = &rows->rows[rows->next];
        const struct event *event = rows->batch->items[row->index].event;
        size_t bytes = 0;

        if (row->kind != kind)
            continue;
        bytes = row_bytes(event, kind);
        if (row_count != 0 && piece->len + bytes > LINK_PIECE_BYTES)
            break;
        if (!buf_reserve(piece, bytes))
            return ERR_OVERLOADED;
        piece->len = (size_t)(put_row(rows, piece->ptr + piece->len, row) - piece->ptr);
        row_count++;
    }
    if (buf_failed(piece))
        return ERR_OVERLOADED;
    if (row_count == 0)
        rows->next = 0;
    else
        (void)put_u32(piece->ptr + ARRAY_COUNT_AT, row_count);
    *ret_count = row_count;
    return ERR_OK;
}

/* --- answers in ------------------------------------------------------------------------------ */

/* The first row whose id is not below the one looked for. */
static uint32_t
search(const struct link_rows *rows, uint32_t project_id, uint64_t prefix, struct slice event_id)
{
    uint32_t low = 0;
    uint32_t high = rows->batch->count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (compare_id(rows, &rows->rows[middle], project_id, prefix, event_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool
link_rows_tell(struct link_rows *rows, enum link_row_kind kind, uint32_t project_id,
               struct slice event_id)
{
    const uint32_t count = rows->batch->count;
    const uint64_t prefix = prefix_of(event_id);
    const uint32_t near = count - rows->cursor > LOOK_AHEAD ? rows->cursor + LOOK_AHEAD : count;
    uint32_t i = rows->cursor;

    /* In order: just behind the last one, but for rows that were stored before. */
    while (i < near && compare_id(rows, &rows->rows[i], project_id, prefix, event_id) < 0)
        i++;
    if (i == count || compare_id(rows, &rows->rows[i], project_id, prefix, event_id) != 0)
        i = search(rows, project_id, prefix, event_id);
    for (; i < count && compare_id(rows, &rows->rows[i], project_id, prefix, event_id) == 0; i++) {
        if (rows->rows[i].kind == kind && !rows->rows[i].is_told) {
            rows->rows[i].is_told = true;
            rows->cursor = i + 1;
            return true;
        }
    }
    return false;
}

uint32_t
link_rows_judge(const struct link_rows *rows, struct store_batch *batch)
{
    uint32_t accepted = 0;
    bool is_taken = false; /* of the id asked last */

    for (uint32_t i = 0; i < batch->count; i++) {
        const struct link_row *row = &rows->rows[i];
        enum store_verdict verdict = STORE_DUPLICATE;

        switch (row->kind) {
        case LINK_ROW_STORE:
            verdict = row->is_told ? STORE_ACCEPTED : STORE_DUPLICATE;
            accepted += row->is_told;
            break;
        case LINK_ROW_ASK:
            is_taken = row->is_told;
            verdict = is_taken ? STORE_DUPLICATE : STORE_ABSENT;
            break;
        case LINK_ROW_ASK_TOO:
            verdict = is_taken ? STORE_DUPLICATE : STORE_ABSENT;
            break;
        case LINK_ROW_COPY:
            break;
        }
        batch->items[row->index].verdict = verdict;
    }
    return accepted;
}
