/*
 * element - reading. See element.h. Judging stands in judge.c.
 *
 * The keys of an event are known by length and bytes, so they need no list; those of objects inside
 * are json_reader's business.
 */
#include "event/element.h"
#include <string.h>

#define FIELD_UNKNOWN FIELD_COUNT

static const struct slice field_names[FIELD_COUNT] = {
    [FIELD_EVENT_ID] = {"event_id", 8},      [FIELD_EVENT_TYPE] = {"event_type", 10},
    [FIELD_USER_ID] = {"user_id", 7},        [FIELD_ANONYMOUS_ID] = {"anonymous_id", 12},
    [FIELD_SESSION_ID] = {"session_id", 10}, [FIELD_OCCURRED_AT] = {"occurred_at", 11},
    [FIELD_PROPERTIES] = {"properties", 10},
};

static enum field
field_if(struct slice key, enum field field)
{
    return memcmp(key.ptr, field_names[field].ptr, key.len) == 0 ? field : FIELD_UNKNOWN;
}

static enum field
field_of(struct slice key)
{
    switch (key.len) {
    case 7:
        return field_if(key, FIELD_USER_ID);
    case 8:
        return field_if(key, FIELD_EVENT_ID);
    case 10:
        return field_if(key, key.ptr[0] == 'e'   ? FIELD_EVENT_TYPE
                             : key.ptr[0] == 's' ? FIELD_SESSION_ID
                                                 : FIELD_PROPERTIES);
    case 11:
        return field_if(key, FIELD_OCCURRED_AT);
    case 12:
        return field_if(key, FIELD_ANONYMOUS_ID);
    default:
        return FIELD_UNKNOWN;
    }
}

/* A container, or the value of a field that does not exist: read for its syntax and notes. */
static bool
read_nested(struct element *element, struct slice key, bool is_properties, struct value *value)
{
    struct json_reader *reader = &element->reader;
    struct json_rules rules = {.root = key,
                               .depth = element->depth + 1,
                               .content_depth_max = is_properties ? LIMIT_PROPERTIES_DEPTH : 0};
    const char *begin = reader->at;

    if (!json_reader_value(reader, &rules, &element->decoder->notes))
        return false;
    value->kind = *begin == '{' ? VALUE_OBJECT : VALUE_ARRAY;
    value->raw = slice_of(begin, (size_t)(reader->at - begin));
    return true;
}

static bool
read_value(struct element *element, struct slice key, bool is_properties, struct value *value)
{
    struct json_reader *reader = &element->reader;
    char c = reader->at < reader->end ? *reader->at : '\0';

    switch (c) {
    case '"':
        value->kind = VALUE_TEXT;
        if (!json_reader_text(reader, &value->text))
            return false;
        if (value->text.is_bad_utf8)
            json_note_set(&element->decoder->notes.encoding, ERR_INVALID_UTF8, key, SLICE_NONE);
        return true;
    case '{':
    case '[':
        return read_nested(element, key, is_properties, value);
    case 't':
    case 'f':
        value->kind = VALUE_BOOLEAN;
        return json_reader_literal(reader);
    case 'n':
        value->kind = VALUE_ABSENT;
        return json_reader_literal(reader);
    default:
        value->kind = VALUE_NUMBER;
        if (c == '-' || (c >= '0' && c <= '9'))
            return json_reader_number(reader, &value->number);
        return json_reader_fail(reader, "a value was expected");
    }
}

/* `at` stands on a key. */
static bool
read_member(struct element *element, uint32_t *seen)
{
    struct event_decoder *decoder = element->decoder;
    struct json_text text;
    struct slice key = SLICE_NONE;
    struct value unused;
    enum field field = FIELD_UNKNOWN;

    if (!json_reader_key(&element->reader, &text, &key))
        return false;
    if (text.is_bad_utf8)
        json_note_set(&decoder->notes.encoding, ERR_INVALID_UTF8, key, SLICE_NONE);
    field = field_of(key);
    if (field == FIELD_UNKNOWN) {
        element->has_events_key |= slice_equal(key, SLICE("events"));
        json_note_set(&decoder->notes.key, ERR_UNKNOWN_FIELD, key, SLICE_NONE);
        return read_value(element, key, false, &unused);
    }
    if ((*seen >> field & 1) != 0) {
        json_note_set(&decoder->notes.key, ERR_DUPLICATE_KEY, key, SLICE_NONE);
        element->is_id_repeated |= field == FIELD_EVENT_ID;
        return read_value(element, key, false, &unused);
    }
    *seen |= 1U << field;
    return read_value(element, key, field == FIELD_PROPERTIES, &element->values[field]);
}

/* `at` stands on the brace. */
static bool
read_object(struct element *element)
{
    struct json_reader *reader = &element->reader;
    uint32_t seen = 0;

    reader->at++;
    json_reader_space(reader);
    if (reader->at < reader->end && *reader->at == '}') {
        reader->at++;
        return true;
    }
    for (;;) {
        if (!read_member(element, &seen))
            return false;
        json_reader_space(reader);
        if (reader->at < reader->end && *reader->at == ',') {
            reader->at++;
            json_reader_space(reader);
        } else if (reader->at < reader->end && *reader->at == '}') {
            reader->at++;
            return true;
        } else {
            return json_reader_fail(reader, "a ',' or '}' was expected");
        }
    }
}

bool
element_read(struct element *element, struct slice text)
{
    struct event_decoder *decoder = element->decoder;
    struct json_rules rules = {.root = SLICE_NONE, .depth = element->depth};

    json_reader_init(&element->reader, text, &decoder->scratch, element->arena);
    decoder->notes.encoding.err = ERR_OK;
    decoder->notes.key.err = ERR_OK;
    decoder->notes.content.err = ERR_OK;
    element->has_events_key = false;
    element->is_id_repeated = false;
    for (int i = 0; i < FIELD_COUNT; i++)
        element->values[i].kind = VALUE_ABSENT;
    json_reader_space(&element->reader);
    element->is_object = element->reader.at < element->reader.end && *element->reader.at == '{';
    return element->is_object ? read_object(element)
                              : json_reader_value(&element->reader, &rules, &decoder->notes);
}
