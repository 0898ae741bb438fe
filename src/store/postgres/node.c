/*
 * node - the node's own file: who it is, and which state of which database it has read.
 *
 * Layer 3 (store/postgres), the reader's thread. <data-dir>/postgres-node.json holds, in this order
 * and one to a line: format, node (uuid), store (uuid, "" before the first connect),
 * system_identifier, timeline, generation, counter, cursor (as a position's text), is_clean,
 * is_stale, crc32c (of every byte before its line). It is replaced whole, so that an old or a new
 * one is there. A file that is missing or fails its check makes a new node, of which nothing is
 * known: what was derived before is then made anew.
 */
#include "codec/crc32c.h"
#include "codec/uuid.h"
#include "store/postgres/store_postgres.h"
#include <inttypes.h>

#define NODE_FILE "postgres-node.json"
#define NODE_BYTES_MAX 2048

static bool
node_path(const struct postgres *store, char ret_path[FILE_PATH_MAX])
{
    return file_path(ret_path, store->data_dir, NODE_FILE);
}

/* --- writing --------------------------------------------------------------------------------- */

void
postgres_node_write(const struct postgres_node *node, struct buf *buf)
{
    char cursor[STORE_POSITION_TEXT];

    store_position_format(node->cursor, cursor);
    buf_printf(buf, "{\n\"format\":1,\n\"node\":\"%s\",\n\"store\":\"%s\",\n", node->uuid,
               node->store_id);
    buf_printf(buf, "\"system_identifier\":%" PRIu64 ",\n\"timeline\":%" PRIu32 ",\n",
               node->identity.system_identifier, node->identity.timeline);
    buf_printf(buf, "\"generation\":%" PRIu32 ",\n\"counter\":%" PRIu64 ",\n",
               node->identity.generation, node->identity.counter);
    buf_printf(buf, "\"cursor\":\"%s\",\n\"is_clean\":%d,\n\"is_stale\":%d,\n", cursor,
               (int)node->is_clean, (int)node->is_stale);
    if (!buf_failed(buf))
        buf_printf(buf, "\"crc32c\":%" PRIu32 "\n}\n", crc32c(0, buf->ptr, buf->len));
}

enum err
postgres_node_save(struct postgres *store, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct buf buf;
    enum err err = ERR_OK;

    if (!node_path(store, path))
        return ERR_INVALID;
    buf_init(&buf, NODE_BYTES_MAX);
    postgres_node_write(&store->node, &buf);
    err = buf_failed(&buf) ? ERR_NOMEM : file_replace_whole(path, buf_slice(&buf), diag);
    buf_fini(&buf);
    return err;
}

/* --- reading --------------------------------------------------------------------------------- */

static bool
take(struct slice *text, const char *wanted)
{
    const size_t len = strlen(wanted);

    if (text->len < len || memcmp(text->ptr, wanted, len) != 0)
        return false;
    text->ptr += len;
    text->len -= len;
    return true;
}

static bool
take_number(struct slice *text, const char *key, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t digits = 0;

    if (!take(text, key))
        return false;
    for (; text->len > 0 && text->ptr[0] >= '0' && text->ptr[0] <= '9'; digits++) {
        const uint64_t digit = (uint64_t)(text->ptr[0] - '0');

        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
        text->ptr++;
        text->len--;
    }
    *ret_value = value;
    return digits > 0;
}

/* Up to the quote, shorter than `size`; NUL-terminated. */
static bool
take_text(struct slice *text, const char *key, char *ret_text, size_t size)
{
    size_t len = 0;

    if (!take(text, key))
        return false;
    while (len < text->len && text->ptr[len] != '"')
        len++;
    if (len == text->len || len >= size)
        return false;
    memcpy(ret_text, text->ptr, len);
    ret_text[len] = '\0';
    text->ptr += len + 1;
    text->len -= len + 1;
    return true;
}

static bool
is_uuid(const char *text)
{
    for (size_t i = 0; i < POSTGRES_NODE_TEXT - 1; i++) {
        const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        const char c = text[i];

        if (is_dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return text[POSTGRES_NODE_TEXT - 1] == '\0';
}

bool
postgres_node_parse(struct slice text, struct postgres_node *ret_node)
{
    const struct slice whole = text;
    struct postgres_node node = {0};
    char cursor[STORE_POSITION_TEXT];
    uint64_t timeline = 0;
    uint64_t generation = 0;
    uint64_t is_clean = 0;
    uint64_t is_stale = 0;
    uint64_t crc = 0;
    size_t checked = 0;

    if (!take(&text, "{\n\"format\":1,\n") ||
        !take_text(&text, "\"node\":\"", node.uuid, sizeof(node.uuid)) ||
        !take_text(&text, ",\n\"store\":\"", node.store_id, sizeof(node.store_id)) ||
        !take_number(&text, ",\n\"system_identifier\":", UINT64_MAX,
                     &node.identity.system_identifier) ||
        !take_number(&text, ",\n\"timeline\":", UINT32_MAX, &timeline) ||
        !take_number(&text, ",\n\"generation\":", INT32_MAX, &generation) ||
        !take_number(&text, ",\n\"counter\":", INT64_MAX, &node.identity.counter) ||
        !take_text(&text, ",\n\"cursor\":\"", cursor, sizeof(cursor)) ||
        !take_number(&text, ",\n\"is_clean\":", 1, &is_clean) ||
        !take_number(&text, ",\n\"is_stale\":", 1, &is_stale) || !take(&text, ",\n"))
        return false;
    checked = (size_t)(text.ptr - whole.ptr);
    if (!take_number(&text, "\"crc32c\":", UINT32_MAX, &crc) || !take(&text, "\n}\n") ||
        text.len != 0 || crc != crc32c(0, whole.ptr, checked))
        return false;
    if (!is_uuid(node.uuid) || (node.store_id[0] != '\0' && !is_uuid(node.store_id)) ||
        store_position_parse(slice_of_text(cursor), &node.cursor) != ERR_OK)
        return false;
    node.identity.timeline = (uint32_t)timeline;
    node.identity.generation = (uint32_t)generation;
    node.is_clean = is_clean != 0;
    node.is_stale = is_stale != 0;
    node.read_to = node.cursor;
    *ret_node = node;
    return true;
}

static void
make_new(struct postgres *store)
{
    uint8_t uuid[UUID_BYTES];

    store->node = (struct postgres_node){.is_new = true};
    uuid_v7(clock_wall_us(store->config.clock), random_system(), uuid);
    uuid_format(uuid, store->node.uuid);
}

enum err
postgres_node_load(struct postgres *store, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct buf buf;
    bool is_whole = false;
    enum err err = ERR_OK;

    if (!node_path(store, path))
        return ERR_INVALID;
    buf_init(&buf, NODE_BYTES_MAX);
    err = file_read_whole(path, NODE_BYTES_MAX, &buf, diag);
    if (err == ERR_OK)
        is_whole = postgres_node_parse(buf_slice(&buf), &store->node);
    buf_fini(&buf);
    if (err != ERR_OK && err != ERR_ABSENT && err != ERR_FULL)
        return err;
    if (err != ERR_ABSENT && !is_whole)
        SINK(store->config.sink, LOG_LEVEL_WARN, "store.node_file_damaged", LOG_TEXT("file", path),
             LOG_TEXT("next", "this node begins anew, and loads all events again"));
    if (!is_whole)
        make_new(store);
    return ERR_OK;
}
