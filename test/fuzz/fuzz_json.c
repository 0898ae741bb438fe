/* rooms: codec */
/*
 * fuzz_json - our reader, our incremental check and simdjson must agree on what is JSON.
 *
 * The reader and json_check agree on syntax alone, to the letter. simdjson refuses more at once:
 * what is not UTF-8, half surrogates (most of them) and numbers no double or 64-bit integer holds;
 * so it must accept what our reader accepts without a note, and what it accepts must be JSON to us.
 */
#include "codec/json.h"
#include "codec/json_reader.h"
#include "codec/json_scan.h"
#include <stdlib.h>

static void
require(bool is_so)
{
    if (!is_so)
        abort();
}

static bool
check_in_pieces(struct slice text, size_t piece_bytes)
{
    struct json_check check;
    bool is_good = true;

    json_check_init(&check, JSON_DEPTH_MAX);
    for (size_t at = 0; is_good && at < text.len; at += piece_bytes)
        is_good = json_check_feed(&check, text.ptr + at,
                                  text.len - at < piece_bytes ? text.len - at : piece_bytes);
    return is_good && json_check_end(&check);
}

static bool
read_by_reader(struct slice text, struct json_notes *notes)
{
    struct json_scratch scratch = {0};
    struct json_reader reader;
    struct json_rules rules = {.root = SLICE_NONE, .depth = 1, .content_depth_max = JSON_DEPTH_MAX};
    struct arena arena;
    bool is_good = false;

    arena_init(&arena, 4096, (size_t)1 << 28);
    json_reader_init(&reader, text, &scratch, &arena);
    json_reader_space(&reader);
    is_good = json_reader_value(&reader, &rules, notes);
    if (is_good) {
        json_reader_space(&reader);
        is_good = reader.at == reader.end;
    }
    json_scratch_fini(&scratch);
    arena_fini(&arena);
    return is_good;
}

/* Every value of simdjson's tree can be walked. */
static void
walk(struct json_value value, int depth)
{
    struct json_items items = json_items_of(value);
    struct slice key;
    struct json_value item;

    require(depth <= JSON_DEPTH_MAX);
    while (json_items_next(&items, &key, &item))
        walk(item, depth + 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice text = slice_of((const char *)bytes + 1, len - 1);
    struct json_notes notes = {0};
    struct json_document *document = NULL;
    struct json_value root;
    bool is_json = false;
    enum err err = ERR_OK;

    if (len == 0)
        return 0;
    is_json = read_by_reader(text, &notes);
    require(is_json == check_in_pieces(text, (size_t)bytes[0] + 1));
    require(json_document_new(&document, NULL) == ERR_OK);
    err = json_parse(document, text, &root, NULL);
    if (is_json && notes.encoding.err == ERR_OK && notes.content.err != ERR_INVALID_NUMBER)
        require(err == ERR_OK);
    if (err == ERR_OK) {
        require(is_json);
        walk(root, 0);
    }
    json_document_free(&document);
    return 0;
}
