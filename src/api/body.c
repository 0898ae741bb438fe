/*
 * body - gathering a small body, and reading its object. See body.h.
 *
 * The syntax is json_reader's. A value of the wrong kind is read to its end before it is refused,
 * so that broken JSON is always told as broken JSON.
 */
#include "api/body.h"

#include "api/media.h"
#include "base/mem.h"
#include "codec/json_reader.h"

#include <assert.h>
#include <sodium.h>

#define FIRST_BYTES 1024

_Static_assert(BODY_TEXTS_MAX == 10000, "as the words say");

struct reading {
    struct json_reader reader;
    const struct body_field *fields;
    size_t count;
    struct arena *arena;
    struct body_value *values;
    bool is_seen[BODY_FIELDS_MAX];
    enum err err; /* the first fault that is not one of syntax */
    struct diag *diag;
};

/* Remembered, unless one was before; reading goes on. */
static void
note(struct reading *reading, enum err err, struct slice name, const char *words)
{
    char field[64];

    if (reading->err != ERR_OK)
        return;
    reading->err = err;
    (void)snprintf(field, sizeof(field), "%.*s", name.len < 60 ? (int)name.len : 60, name.ptr);
    diag_set_field(reading->diag, field, "%s: %s", field, words);
}

static enum err
fail_syntax(struct reading *reading)
{
    const struct json_reader *reader = &reading->reader;

    if (reader->err == ERR_NOMEM)
        return ERR_NOMEM;
    diag_clear(reading->diag);
    diag_set(reading->diag, "the body is not JSON: %s",
             reader->message != NULL ? reader->message : "an object was expected");
    return ERR_INVALID_JSON;
}

/* --- values -----------------------------------------------------------------------------------*/

/* A text at the reader's place. false: syntax, or no memory. */
static bool
read_text(struct reading *reading, struct slice name, struct slice *ret_text)
{
    struct json_text text;

    if (!json_reader_text(&reading->reader, &text))
        return false;
    *ret_text = SLICE("");
    if (text.is_bad_utf8) {
        note(reading, ERR_INVALID_UTF8, name, "not valid UTF-8");
        return true;
    }
    if (text.has_nul) {
        note(reading, ERR_NUL_CHARACTER, name, "holds U+0000");
        return true;
    }
    reading->reader.err = json_text_decode(&text, reading->arena, ret_text);
    return reading->reader.err == ERR_OK;
}

static bool
read_integer(struct reading *reading, struct slice name, int64_t *ret_integer)
{
    struct json_number number;
    bool is_negative;
    int64_t value = 0;

    if (!json_reader_number(&reading->reader, &number))
        return false;
    is_negative = number.ptr[0] == '-';
    if (!number.is_integer) {
        note(reading, ERR_INVALID_TYPE, name, "must be a whole number");
        return true;
    }
    for (size_t i = is_negative ? 1 : 0; i < number.len; i++) {
        int digit = number.ptr[i] - '0';

        if (__builtin_mul_overflow(value, 10, &value) ||
            (is_negative ? __builtin_sub_overflow(value, digit, &value)
                         : __builtin_add_overflow(value, digit, &value))) {
            note(reading, ERR_INVALID_NUMBER, name, "out of range");
            return true;
        }
    }
    *ret_integer = value;
    return true;
}

/* Any value, not looked at. */
static bool
skip(struct reading *reading)
{
    const struct json_rules rules = {.root = SLICE("body"), .depth = 2};
    struct json_notes notes = {0};

    return json_reader_value(&reading->reader, &rules, &notes);
}

/* Doubles its room in the arena. */
static bool
put_text(struct reading *reading, struct body_value *value, size_t *room, struct slice text)
{
    if (value->text_count == *room) {
        const size_t wanted = *room == 0 ? 16 : 2 * *room;
        struct slice *grown = ARENA_NEW(reading->arena, struct slice, wanted);

        if (grown == NULL) {
            reading->reader.err = ERR_NOMEM;
            return false;
        }
        if (value->text_count != 0)
            memcpy(grown, value->texts, value->text_count * sizeof(*grown));
        value->texts = grown;
        *room = wanted;
    }
    value->texts[value->text_count++] = text;
    return true;
}

static bool
read_texts(struct reading *reading, struct slice name, struct body_value *value)
{
    struct json_reader *reader = &reading->reader;

    size_t room = 0;

    reader->at++;
    json_reader_space(reader);
    if (reader->at < reader->end && *reader->at == ']') {
        reader->at++;
        return true;
    }
    for (;;) {
        struct slice text = SLICE("");

        json_reader_space(reader);
        if (value->text_count == BODY_TEXTS_MAX) { /* the rest takes no memory */
            if (!skip(reading))
                return false;
            note(reading, ERR_TOO_LONG, name,
                 "has over 10,000 texts; send them in several requests");
        } else if (reader->at < reader->end && *reader->at == '"') {
            if (!read_text(reading, name, &text) || !put_text(reading, value, &room, text))
                return false;
        } else {
            if (!skip(reading))
                return false;
            note(reading, ERR_INVALID_TYPE, name, "must be an array of texts");
        }
        json_reader_space(reader);
        if (reader->at < reader->end && *reader->at == ']') {
            reader->at++;
            return true;
        }
        if (reader->at == reader->end || *reader->at != ',')
            return json_reader_fail(reader, "a ',' or ']' was expected");
        reader->at++;
    }
}

static bool
read_value(struct reading *reading, size_t i)
{
    static const char *const words[] = {"must be a text", "must be true or false",
                                        "must be a whole number", "must be an array of texts"};
    struct json_reader *reader = &reading->reader;
    const struct body_field *field = &reading->fields[i];
    struct body_value *value = &reading->values[i];
    struct slice name = slice_of_text(field->name);
    char first = '\0';

    if (reader->at < reader->end)
        first = *reader->at;
    if (first == 'n') {
        value->is_null = true;
        return json_reader_literal(reader);
    }
    value->is_given = true;
    if (field->kind == BODY_TEXT && first == '"')
        return read_text(reading, name, &value->text);
    if (field->kind == BODY_BOOL && (first == 't' || first == 'f')) {
        value->flag = first == 't';
        return json_reader_literal(reader);
    }
    if (field->kind == BODY_INTEGER && (first == '-' || (first >= '0' && first <= '9')))
        return read_integer(reading, name, &value->integer);
    if (field->kind == BODY_TEXTS && first == '[')
        return read_texts(reading, name, value);
    if (!skip(reading))
        return false;
    note(reading, ERR_INVALID_TYPE, name, words[field->kind]);
    return true;
}

/* --- the object -------------------------------------------------------------------------------*/

static bool
read_member(struct reading *reading)
{
    struct json_text text;
    struct slice key;

    if (!json_reader_key(&reading->reader, &text, &key))
        return false;
    for (size_t i = 0; i < reading->count && !text.is_bad_utf8; i++) {
        if (!slice_equal(key, slice_of_text(reading->fields[i].name)))
            continue;
        if (reading->is_seen[i]) {
            note(reading, ERR_DUPLICATE_KEY, key, "stands twice");
            return skip(reading);
        }
        reading->is_seen[i] = true;
        return read_value(reading, i);
    }
    note(reading, ERR_UNKNOWN_FIELD, text.is_bad_utf8 ? SLICE("(not UTF-8)") : key,
         "there is no such field");
    return skip(reading);
}

static bool
read_object(struct reading *reading)
{
    struct json_reader *reader = &reading->reader;

    json_reader_space(reader);
    if (reader->at == reader->end || *reader->at != '{')
        return json_reader_fail(reader, "an object was expected");
    reader->at++;
    json_reader_space(reader);
    if (reader->at < reader->end && *reader->at == '}') {
        reader->at++;
    } else {
        for (;;) {
            json_reader_space(reader);
            if (!read_member(reading))
                return false;
            json_reader_space(reader);
            if (reader->at < reader->end && *reader->at == '}')
                break;
            if (reader->at == reader->end || *reader->at != ',')
                return json_reader_fail(reader, "a ',' or '}' was expected");
            reader->at++;
        }
        reader->at++;
    }
    json_reader_space(reader);
    return reader->at == reader->end || json_reader_fail(reader, "text behind the end");
}

enum err
body_read(struct slice json, const struct body_field *fields, size_t count, struct arena *arena,
          struct body_value *ret_values, struct diag *diag)
{
    CLEANUP(json_scratch_fini) struct json_scratch scratch = {0};
    struct reading reading = {
        .fields = fields, .count = count, .arena = arena, .values = ret_values, .diag = diag};

    assert(count <= BODY_FIELDS_MAX);
    memset(ret_values, 0, count * sizeof(*ret_values));
    if (json.len == 0) {
        diag_set(diag, "the body is empty; send a JSON object");
        return ERR_EMPTY_BODY;
    }
    json_reader_init(&reading.reader, json, &scratch, arena);
    if (!read_object(&reading))
        return fail_syntax(&reading);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].is_required && !ret_values[i].is_given)
            note(&reading, ERR_MISSING_FIELD, slice_of_text(fields[i].name), "is needed");
    }
    return reading.err;
}

/* --- gathering --------------------------------------------------------------------------------*/

void
body_add(struct body *body, struct arena *arena, const char *bytes, size_t len)
{
    const size_t bytes_max = body->bytes_max != 0 ? body->bytes_max : BODY_BYTES_MAX;

    if (body->err != ERR_OK)
        return;
    if (len > bytes_max - body->len) {
        body->err = ERR_BODY_TOO_LARGE;
        return;
    }
    if (body->len + len > body->capacity) {
        size_t capacity = body->capacity != 0 ? 2 * body->capacity : FIRST_BYTES;
        char *grown;

        while (capacity < body->len + len)
            capacity *= 2;
        grown = arena_alloc(arena, capacity);
        if (grown == NULL) {
            body->err = ERR_NOMEM;
            return;
        }
        if (body->len != 0) {
            memcpy(grown, body->ptr, body->len);
            sodium_memzero(body->ptr, body->len);
        }
        body->ptr = grown;
        body->capacity = capacity;
    }
    memcpy(body->ptr + body->len, bytes, len);
    body->len += len;
}

void
body_wipe(struct body *body)
{
    if (body->ptr != NULL)
        sodium_memzero(body->ptr, body->len);
    body->len = 0;
}

enum err
body_check_head(struct slice content_type, struct slice content_encoding, int64_t content_length,
                const char **ret_message)
{
    enum media_encoding encoding;
    const char *semicolon =
        content_type.ptr != NULL ? memchr(content_type.ptr, ';', content_type.len) : NULL;

    if (semicolon != NULL)
        content_type =
            slice_trim(slice_of(content_type.ptr, (size_t)(semicolon - content_type.ptr)));
    if (content_type.ptr != NULL && !slice_equal_nocase(content_type, SLICE("application/json"))) {
        *ret_message = "send JSON as such; with curl: add -H 'Content-Type: application/json'";
        return ERR_UNSUPPORTED_MEDIA_TYPE;
    }
    if (media_parse_encoding(content_encoding, &encoding) != ERR_OK || encoding != MEDIA_IDENTITY) {
        *ret_message = "send the body here as it is, without Content-Encoding";
        return ERR_UNSUPPORTED_ENCODING;
    }
    if (content_length > BODY_BYTES_MAX) {
        *ret_message = "the body is over 64 KiB";
        return ERR_BODY_TOO_LARGE;
    }
    return ERR_OK;
}
