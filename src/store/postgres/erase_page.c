/*
 * erase_page - the ids of a page of an erasure, and how they go over the wire.
 *
 * Layer 3 (store/postgres), the keeper's thread; called by erase.c. Arrays are written in
 * PostgreSQL's binary form (numbers big-endian): dimensions = 1, has NULLs = 0, element's type,
 * count, lower bound = 1; then of each element its bytes' count and its bytes.
 */
#include "base/mem.h"
#include "event/limits.h"
#include "store/postgres/erase_inside.h"
#include "store/postgres/link_rows.h"
#include <assert.h>

#define ELEMENT_BYTES_MAX (sizeof(uint32_t) + LIMIT_EVENT_ID_BYTES)
#define ARRAY_BYTES_MAX (64 + ERASE_PAGE_ROWS * ELEMENT_BYTES_MAX)
#define TEXTS_BLOCK_BYTES ((size_t)256 << 10)
#define TEXTS_BYTES_MAX ((size_t)8 << 20)
/* What PostgreSQL takes, in microseconds since 2000: 4713 BC up to before the year 294277. */
#define TIME_MIN INT64_C(-211813488000000000)
#define TIME_END INT64_C(9223371331200000000)

enum err
erase_page_init(struct erase_page *page)
{
    *page = (struct erase_page){0};
    arena_init(&page->texts, TEXTS_BLOCK_BYTES, TEXTS_BYTES_MAX);
    buf_init(&page->ids_array, ARRAY_BYTES_MAX);
    buf_init(&page->hashes_array, ARRAY_BYTES_MAX);
    page->ids = MEM_NEW(struct slice, ERASE_PAGE_ROWS);
    return page->ids != NULL ? ERR_OK : ERR_NOMEM;
}

void
erase_page_fini(struct erase_page *page)
{
    mem_free(page->ids);
    page->ids = NULL;
    arena_fini(&page->texts);
    buf_fini(&page->ids_array);
    buf_fini(&page->hashes_array);
}

void
erase_page_clear(struct erase_page *page)
{
    page->count = 0;
    arena_clear(&page->texts);
}

enum err
erase_page_add(struct erase_page *page, struct slice id)
{
    struct slice copy = arena_copy(&page->texts, id);

    assert(page->count < ERASE_PAGE_ROWS);
    if (copy.ptr == NULL)
        return ERR_NOMEM;
    page->ids[page->count++] = copy;
    return ERR_OK;
}

void
erase_page_sort(struct erase_page *page)
{
    page->count = selection_sort_ids(page->ids, page->count);
}

/* --- parameters ------------------------------------------------------------------------------ */

static void
put_u32(struct buf *buf, uint32_t value)
{
    char bytes[4];

    postgres_put_u32(bytes, value);
    buf_add(buf, bytes, sizeof(bytes));
}

static void
begin_array(struct buf *buf, Oid type, uint32_t count)
{
    buf_clear(buf);
    put_u32(buf, 1);
    put_u32(buf, 0);
    put_u32(buf, type);
    put_u32(buf, count);
    put_u32(buf, 1);
}

static enum err
end_array(const struct buf *buf, Oid type, struct postgres_parameter *ret_parameter)
{
    if (buf_failed(buf))
        return ERR_NOMEM;
    *ret_parameter = (struct postgres_parameter){type, buf->ptr, (int)buf->len};
    return ERR_OK;
}

enum err
erase_ids_parameter(struct erase_page *page, const struct slice *ids, uint32_t count,
                    struct postgres_parameter *ret_parameter)
{
    struct buf *buf = &page->ids_array;

    begin_array(buf, POSTGRES_OID_TEXT, count);
    for (uint32_t i = 0; i < count; i++) {
        put_u32(buf, (uint32_t)ids[i].len);
        buf_add_slice(buf, ids[i]);
    }
    return end_array(buf, POSTGRES_OID_TEXT_ARRAY, ret_parameter);
}

enum err
erase_hashes_parameter(struct erase_page *page, const uint8_t secret[POSTGRES_HASH_SECRET_BYTES],
                       uint32_t project_id, const struct slice *ids, uint32_t count,
                       struct postgres_parameter *ret_parameter)
{
    struct buf *buf = &page->hashes_array;

    begin_array(buf, POSTGRES_OID_BYTEA, count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t hash[HASH_SIPHASH_128_BYTES];

        link_rows_hash(secret, project_id, ids[i], hash);
        put_u32(buf, sizeof(hash));
        buf_add(buf, hash, sizeof(hash));
    }
    return end_array(buf, POSTGRES_OID_BYTEA_ARRAY, ret_parameter);
}

struct postgres_parameter
erase_time_parameter(char bytes[8], int64_t unix_us)
{
    int64_t value = INT64_MIN; /* -infinity */

    if (unix_us >= TIME_MIN + POSTGRES_EPOCH_US)
        value = unix_us - POSTGRES_EPOCH_US;
    if (value >= TIME_END)
        value = INT64_MAX; /* infinity */
    postgres_put_u64(bytes, (uint64_t)value);
    return (struct postgres_parameter){POSTGRES_OID_TIMESTAMPTZ, bytes, 8};
}
