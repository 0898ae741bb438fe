/*
 * json_reader - see json_reader.h. Texts and numbers are here and in json_number.c; repeated keys
 * in json_keys.c.
 *
 * Nested values are walked with a stack of frames instead of recursion; a frame knows the key or
 * index it stands at, so that the path of a fault is written only when there is a fault. Every byte
 * is looked at once, texts 16 at a time.
 */
#include "codec/json_reader.h"
#include "codec/json_keys.h"
#include "codec/json_plain.h"
#include "codec/utf8.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* One open container. */
struct frame {
    struct slice key;   /* of the member under way */
    uint32_t index;     /* of the element under way */
    uint32_t first_key; /* of the object, in the scratch's list */
    bool is_array;
};

struct walk {
    struct json_reader *reader;
    const struct json_rules *rules;
    struct json_notes *notes;
    uint32_t depth; /* frames in use */
    struct frame frames[JSON_DEPTH_MAX];
};

void
json_reader_init(struct json_reader *reader, struct slice text, struct json_scratch *scratch,
                 struct arena *arena)
{
    reader->at = text.ptr;
    reader->end = text.ptr + text.len;
    reader->scratch = scratch;
    reader->arena = arena;
    reader->err = ERR_OK;
    reader->message = NULL;
    scratch->key_count = 0;
}

bool
json_reader_fail(struct json_reader *reader, const char *message)
{
    reader->err = ERR_INVALID_JSON;
    reader->message = message;
    return false;
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits behind \u, or −1. */
static int32_t
read_hex4(const char *at, const char *end)
{
    int32_t value = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(at[i]);

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* `at` stands on a backslash; gives the place behind the escape, or NULL if it is none. */
static const char *
read_escape(const char *at, const char *end, struct json_text *text)
{
    int32_t unit = 0;

    if (end - at < 2)
        return NULL;
    if (at[1] != 'u')
        return at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL ? at + 2 : NULL;
    unit = read_hex4(at + 2, end);
    if (unit < 0)
        return NULL;
    at += 6;
    if (unit == 0)
        text->has_nul = true;
    if (unit < 0xd800 || unit > 0xdfff)
        return at;
    if (unit < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        int32_t low = read_hex4(at + 2, end);

        if (low >= 0xdc00 && low <= 0xdfff)
            return at + 6;
    }
    text->is_bad_utf8 = true;
    return at;
}

/* From the first byte of a text that is not plain; reader->at is still on its opening quote. */
static __attribute__((noinline)) bool
read_special_text(struct json_reader *reader, const char *at, struct json_text *ret_text)
{
    const char *end = reader->end;

    for (;; at = json_plain_end(at, end)) {
        unsigned char c = 0;

        reader->at = at;
        if (at == end)
            return json_reader_fail(reader, "a text is not ended by a quote");
        c = (unsigned char)*at;
        if (c == '"')
            break;
        if (c == '\\') {
            at = read_escape(at, end, ret_text);
            if (at == NULL)
                return json_reader_fail(reader, "an escape that JSON does not know");
            ret_text->is_escaped = true;
        } else if (c < 0x20) {
            return json_reader_fail(reader, "a control character in a text; escape it");
        } else {
            while (at < end && (unsigned char)*at >= 0x80) {
                size_t len = utf8_sequence(at, end);

                ret_text->is_bad_utf8 |= len == 0;
                at += len != 0 ? len : 1;
            }
        }
    }
    ret_text->len = (size_t)(at - ret_text->ptr);
    reader->at = at + 1;
    return true;
}

bool
json_reader_text(struct json_reader *reader, struct json_text *ret_text)
{
    const char *begin = reader->at + 1;
    const char *at = json_plain_end(begin, reader->end);

    *ret_text = (struct json_text){.ptr = begin};
    if (at == reader->end || *at != '"')
        return read_special_text(reader, at, ret_text);
    ret_text->len = (size_t)(at - begin);
    reader->at = at + 1;
    return true;
}

struct slice
json_text_decode_into(const struct json_text *text, char *room)
{
    const char *at = text->ptr;
    const char *end = text->ptr + text->len;
    size_t written = 0;

    while (at < end) {
        if (*at != '\\') {
            room[written++] = *at++;
        } else if (at[1] != 'u') {
            static const char from[] = "\"\\/bfnrt";
            static const char to[] = "\"\\/\b\f\n\r\t";

            room[written++] = to[strchr(from, at[1]) - from];
            at += 2;
        } else {
            uint32_t unit = (uint32_t)read_hex4(at + 2, end);

            at += 6;
            if (unit >= 0xd800 && unit <= 0xdbff && end - at >= 6) {
                unit =
                    0x10000 + ((unit - 0xd800) << 10) + ((uint32_t)read_hex4(at + 2, end) - 0xdc00);
                at += 6;
            }
            written += utf8_put(unit, room + written);
        }
    }
    return slice_of(room, written);
}

enum err
json_text_decode(const struct json_text *text, struct arena *arena, struct slice *ret_text)
{
    char *room = NULL;

    if (!text->is_escaped) {
        *ret_text = slice_of(text->ptr, text->len);
        return ERR_OK;
    }
    room = arena_alloc(arena, text->len);
    if (room == NULL)
        return ERR_NOMEM;
    *ret_text = json_text_decode_into(text, room);
    return ERR_OK;
}

bool
json_reader_literal(struct json_reader *reader)
{
    size_t left = (size_t)(reader->end - reader->at);
    const char *at = reader->at;

    if (left >= 4 && (memcmp(at, "true", 4) == 0 || memcmp(at, "null", 4) == 0)) {
        reader->at += 4;
        return true;
    }
    if (left >= 5 && memcmp(at, "false", 5) == 0) {
        reader->at += 5;
        return true;
    }
    return json_reader_fail(reader, "a value was expected");
}

/* --- notes ------------------------------------------------------------------------------------*/

/* Appends to a path; bytes that are not UTF-8 and control characters become '?'. */
static void
path_add(struct json_note *note, struct slice part)
{
    const char *at = part.ptr;
    const char *end = part.len != 0 ? part.ptr + part.len : part.ptr;

    while (at < end) {
        size_t len = utf8_sequence(at, end);
        bool is_printable = len > 1 || (len == 1 && (unsigned char)*at >= 0x20 && *at != 0x7f);

        if (note->path_len + (len != 0 ? len : 1) > JSON_PATH_MAX)
            return;
        if (is_printable)
            memcpy(note->path + note->path_len, at, len);
        else
            note->path[note->path_len] = '?';
        len = is_printable ? len : 1;
        note->path_len += (uint32_t)len;
        at += len;
    }
}

void
json_note_set(struct json_note *note, enum err err, struct slice root, struct slice part)
{
    if (note->err != ERR_OK)
        return;
    note->err = err;
    note->path_len = 0;
    path_add(note, root);
    if (part.ptr != NULL) {
        if (root.len != 0)
            path_add(note, SLICE("."));
        path_add(note, part);
    }
}

static void __attribute__((cold, noinline))
note_fault(struct walk *walk, struct json_note *note, enum err err)
{
    char number[16];

    if (note->err != ERR_OK)
        return;
    json_note_set(note, err, walk->rules->root, SLICE_NONE);
    for (uint32_t i = 0; i < walk->depth; i++) {
        const struct frame *frame = &walk->frames[i];

        if (frame->is_array) {
            int len = snprintf(number, sizeof(number), "[%u]", (unsigned)frame->index);

            path_add(note, slice_of(number, (size_t)len));
        } else {
            if (note->path_len != 0)
                path_add(note, SLICE("."));
            path_add(note, frame->key);
        }
    }
}

static inline void
note_text(struct walk *walk, const struct json_text *text)
{
    if (text->is_bad_utf8)
        note_fault(walk, &walk->notes->encoding, ERR_INVALID_UTF8);
    if (text->has_nul && walk->rules->content_depth_max != 0)
        note_fault(walk, &walk->notes->content, ERR_NUL_CHARACTER);
}

/* --- the walk ---------------------------------------------------------------------------------*/

bool
json_reader_key(struct json_reader *reader, struct json_text *ret_text, struct slice *ret_key)
{
    if (reader->at == reader->end || *reader->at != '"')
        return json_reader_fail(reader, "a key in quotes was expected");
    if (!json_reader_text(reader, ret_text))
        return false;
    *ret_key = slice_of(ret_text->ptr, ret_text->len);
    if (ret_text->is_escaped && !ret_text->is_bad_utf8) {
        reader->err = json_text_decode(ret_text, reader->arena, ret_key);
        if (reader->err != ERR_OK)
            return false;
    }
    json_reader_space(reader);
    if (reader->at == reader->end || *reader->at != ':')
        return json_reader_fail(reader, "a ':' was expected behind the key");
    reader->at++;
    json_reader_space(reader);
    return true;
}

static bool
walk_key(struct walk *walk)
{
    struct frame *frame = &walk->frames[walk->depth - 1];
    struct json_text text;

    if (!json_reader_key(walk->reader, &text, &frame->key))
        return false;
    note_text(walk, &text);
    if (!json_keys_add(walk->reader->scratch, frame->key)) {
        walk->reader->err = ERR_NOMEM;
        return false;
    }
    return true;
}

static void
walk_close_object(struct walk *walk)
{
    struct frame *frame = &walk->frames[walk->depth - 1];
    struct json_scratch *scratch = walk->reader->scratch;

    if (json_keys_repeated(scratch->keys + frame->first_key, scratch->key_count - frame->first_key,
                           &frame->key))
        note_fault(walk, &walk->notes->key, ERR_DUPLICATE_KEY);
    scratch->key_count = frame->first_key;
    walk->reader->at++;
    walk->depth--;
}

/* `at` stands on a bracket. *ret_is_open: a member or element follows. */
static bool
walk_open(struct walk *walk, bool is_array, bool *ret_is_open)
{
    struct json_reader *reader = walk->reader;
    struct frame *frame = &walk->frames[walk->depth];

    if (walk->rules->depth + walk->depth > JSON_DEPTH_MAX) {
        reader->err = ERR_TOO_DEEP;
        reader->message = "nested over 64 deep";
        return false;
    }
    if (walk->rules->content_depth_max != 0 && walk->depth + 1 > walk->rules->content_depth_max)
        note_fault(walk, &walk->notes->content, ERR_TOO_DEEP);
    *frame = (struct frame){.is_array = is_array, .first_key = reader->scratch->key_count};
    reader->at++;
    json_reader_space(reader);
    *ret_is_open = reader->at == reader->end || *reader->at != (is_array ? ']' : '}');
    if (!*ret_is_open) {
        reader->at++;
        return true;
    }
    walk->depth++;
    return is_array || walk_key(walk);
}

/* A value begins at `at`. *ret_is_open: it is a container and its first inner value begins at `at`.
 */
static bool
walk_value(struct walk *walk, bool *ret_is_open)
{
    struct json_reader *reader = walk->reader;
    struct json_text text;
    struct json_number number;

    *ret_is_open = false;
    if (reader->at == reader->end)
        return json_reader_fail(reader, "a value was expected");
    switch (*reader->at) {
    case '"':
        if (!json_reader_text(reader, &text))
            return false;
        note_text(walk, &text);
        return true;
    case '{':
    case '[':
        return walk_open(walk, *reader->at == '[', ret_is_open);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        if (!json_reader_number(reader, &number))
            return false;
        if (!number.is_in_range && walk->rules->content_depth_max != 0)
            note_fault(walk, &walk->notes->content, ERR_INVALID_NUMBER);
        return true;
    default:
        return json_reader_literal(reader);
    }
}

/* A value has ended. Closes what ends with it, up to a comma. *ret_is_over: the outermost has
 * ended. */
static bool
walk_on(struct walk *walk, bool *ret_is_over)
{
    struct json_reader *reader = walk->reader;

    for (;;) {
        struct frame *frame = NULL;
        char c = 0;

        *ret_is_over = walk->depth == 0;
        if (*ret_is_over)
            return true;
        frame = &walk->frames[walk->depth - 1];
        json_reader_space(reader);
        c = reader->at < reader->end ? *reader->at : '\0';
        if (c == ',') {
            reader->at++;
            json_reader_space(reader);
            frame->index++;
            return frame->is_array || walk_key(walk);
        }
        if (frame->is_array && c == ']') {
            reader->at++;
            walk->depth--;
        } else if (!frame->is_array && c == '}') {
            walk_close_object(walk);
        } else {
            return json_reader_fail(reader, frame->is_array ? "a ',' or ']' was expected"
                                                            : "a ',' or '}' was expected");
        }
    }
}

bool
json_reader_value(struct json_reader *reader, const struct json_rules *rules,
                  struct json_notes *notes)
{
    struct walk walk;
    bool is_open = false;
    bool is_over = false;

    assert(rules->depth >= 1);
    walk.reader = reader;
    walk.rules = rules;
    walk.notes = notes;
    walk.depth = 0;
    while (!is_over) {
        if (!walk_value(&walk, &is_open))
            return false;
        if (!is_open && !walk_on(&walk, &is_over))
            return false;
    }
    return true;
}
