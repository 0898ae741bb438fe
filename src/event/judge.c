/*
 * judge - the rules of the event, asked in the order of the contract. See element.h.
 *
 * Encoding, then unknown and repeated keys, then the fields in the order of their table. The
 * message names the field and the cure.
 */
#include "codec/rfc3339.h"
#include "codec/uuid.h"
#include "event/element.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX 512
#define LACKING_ZONE_BYTES_MAX 64

enum err
element_refuse(struct arena *arena, enum err err, struct slice field, struct event_entry *ret_entry,
               const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list arguments;
    int len = 0;
    struct slice kept_field = SLICE_NONE;
    struct slice kept_message;

    va_start(arguments, format);
    len = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (len >= (int)sizeof(message))
        len = (int)sizeof(message) - 1;
    kept_message = arena_copy(arena, slice_of(message, len > 0 ? (size_t)len : 0));
    if (field.ptr != NULL)
        kept_field = arena_copy(arena, field);
    if (kept_message.ptr == NULL || (field.ptr != NULL && kept_field.ptr == NULL))
        return ERR_NOMEM;
    ret_entry->err = err;
    ret_entry->field = kept_field;
    ret_entry->message = kept_message;
    return ERR_OK;
}

/* What a rule gives: ERR_OK with entry->err set where it refuses, or ERR_NOMEM. */
#define REFUSE(element, entry, err, field, ...)                                                    \
    element_refuse((element)->arena, (err), (field), (entry), __VA_ARGS__)

struct text_rule {
    struct slice name;
    size_t bytes_max;
};

static const struct text_rule text_rules[] = {
    [FIELD_EVENT_ID] = {{"event_id", 8}, LIMIT_EVENT_ID_BYTES},
    [FIELD_EVENT_TYPE] = {{"event_type", 10}, LIMIT_EVENT_TYPE_BYTES},
    [FIELD_USER_ID] = {{"user_id", 7}, LIMIT_USER_ID_BYTES},
    [FIELD_ANONYMOUS_ID] = {{"anonymous_id", 12}, LIMIT_ANONYMOUS_ID_BYTES},
    [FIELD_SESSION_ID] = {{"session_id", 10}, LIMIT_SESSION_ID_BYTES},
};

static const char *
kind_name(const struct value *value)
{
    switch (value->kind) {
    case VALUE_TEXT:
        return "text";
    case VALUE_NUMBER:
        return "a number";
    case VALUE_OBJECT:
        return "an object";
    case VALUE_ARRAY:
        return "an array";
    case VALUE_BOOLEAN:
        return "a boolean";
    case VALUE_ABSENT:
        break;
    }
    return "null";
}

/* Absent gives ptr NULL. A text that breaks a rule leaves *ret_text alone. */
static enum err
judge_text(struct element *element, enum field field, struct event_entry *entry,
           struct slice *ret_text)
{
    const struct value *value = &element->values[field];
    const struct text_rule *rule = &text_rules[field];
    const char *name = rule->name.ptr;
    struct slice text = SLICE_NONE;
    enum err err = ERR_OK;

    if (value->kind == VALUE_ABSENT)
        return ERR_OK;
    if (value->kind != VALUE_TEXT)
        return REFUSE(element, entry, ERR_INVALID_TYPE, rule->name, "%s: must be text, not %s",
                      name, kind_name(value));
    if (value->text.len == 0)
        return REFUSE(element, entry, ERR_EMPTY_FIELD, rule->name, "%s: is empty; send a text%s",
                      name, field == FIELD_EVENT_TYPE ? "" : ", or leave it out");
    if (value->text.len > 6 * rule->bytes_max) /* an escape is at most six times as long */
        return REFUSE(element, entry, ERR_TOO_LONG, rule->name, "%s: over %zu bytes; shorten it",
                      name, rule->bytes_max);
    err = json_text_decode(&value->text, element->arena, &text);
    if (err != ERR_OK)
        return err;
    if (text.len > rule->bytes_max)
        return REFUSE(element, entry, ERR_TOO_LONG, rule->name,
                      "%s: %zu bytes, at most %zu are allowed; shorten it", name, text.len,
                      rule->bytes_max);
    if (value->text.has_nul)
        return REFUSE(element, entry, ERR_NUL_CHARACTER, rule->name,
                      "%s: holds U+0000, which cannot be stored; remove it", name);
    *ret_text = text;
    return ERR_OK;
}

/* A usable id of the client, if there is one; what is wrong with it is asked later. */
static enum err
usable_id(struct element *element, struct slice *ret_id)
{
    const struct value *value = &element->values[FIELD_EVENT_ID];

    if (value->kind != VALUE_TEXT || element->is_id_repeated || value->text.has_nul ||
        value->text.is_bad_utf8 || value->text.len == 0 ||
        value->text.len > (size_t)6 * LIMIT_EVENT_ID_BYTES)
        return ERR_OK;
    if (json_text_decode(&value->text, element->arena, ret_id) != ERR_OK)
        return ERR_NOMEM;
    if (ret_id->len > LIMIT_EVENT_ID_BYTES)
        *ret_id = SLICE_NONE;
    return ERR_OK;
}

static enum err
judge_encoding(struct element *element, struct event_entry *entry)
{
    const struct json_note *note = &element->decoder->notes.encoding;

    if (note->err == ERR_OK)
        return ERR_OK;
    if (note->path_len == 0)
        return REFUSE(element, entry, note->err, SLICE_NONE,
                      "a text is not valid UTF-8, or holds half of a surrogate pair");
    return REFUSE(element, entry, note->err, slice_of(note->path, note->path_len),
                  "%.*s: not valid UTF-8, or half of a surrogate pair", (int)note->path_len,
                  note->path);
}

/* The slips seen most, in lower case and without '_' and '-', and the field that is meant. */
static const struct slip {
    const char *name;
    const char *field;
} slips[] = {
    {"eventid", "event_id"},        {"id", "event_id"},          {"messageid", "event_id"},
    {"event", "event_type"},        {"eventtype", "event_type"}, {"eventtyp", "event_type"},
    {"eventname", "event_type"},    {"type", "event_type"},      {"name", "event_type"},
    {"userid", "user_id"},          {"user", "user_id"},         {"anonymousid", "anonymous_id"},
    {"distinctid", "anonymous_id"}, {"sessionid", "session_id"}, {"occurredat", "occurred_at"},
    {"timestamp", "occurred_at"},   {"time", "occurred_at"},     {"props", "properties"},
    {"properties", "properties"},
};

/* NULL: not a known slip. */
static const char *
field_meant(struct slice key)
{
    char plain[16] = {0};
    size_t len = 0;

    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];

        if (c == '_' || c == '-')
            continue;
        if (len == sizeof(plain))
            return NULL;
        plain[len++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
        if (strlen(slips[i].name) == len && memcmp(slips[i].name, plain, len) == 0)
            return slips[i].field;
    }
    return NULL;
}

static enum err
judge_keys(struct element *element, struct event_entry *entry)
{
    const struct json_note *note = &element->decoder->notes.key;
    struct slice path = slice_of(note->path, note->path_len);
    const char *meant = NULL;

    if (note->err == ERR_OK)
        return ERR_OK;
    if (note->err != ERR_UNKNOWN_FIELD)
        return REFUSE(element, entry, note->err, path,
                      "%.*s: the key stands twice in its object; send it once", (int)note->path_len,
                      note->path);
    meant = field_meant(path);
    if (meant != NULL)
        return REFUSE(element, entry, note->err, path,
                      "%.*s: no such field; did you mean \"%s\"? Data of your own goes into "
                      "properties",
                      (int)note->path_len, note->path, meant);
    return REFUSE(element, entry, note->err, path,
                  "%.*s: no such field; put data of your own into properties. The fields: "
                  "event_id, event_type, user_id, anonymous_id, session_id, occurred_at, "
                  "properties",
                  (int)note->path_len, note->path);
}

/* Whole milliseconds; the number is an integer in range. */
static enum err
judge_milliseconds(struct element *element, const struct json_number *number,
                   struct event_entry *entry)
{
    struct slice name = SLICE("occurred_at");
    bool is_negative = number->ptr[0] == '-';
    int64_t future_us = element->context->received_at_us + LIMIT_FUTURE_US;
    uint64_t ms = 0;

    for (size_t i = is_negative ? 1 : 0; i < number->len; i++)
        ms = ms * 10 + (uint64_t)(number->ptr[i] - '0');
    if (is_negative && ms != 0)
        return REFUSE(element, entry, ERR_TIMESTAMP_TOO_EARLY, name,
                      "occurred_at: before 1970-01-01; send Unix milliseconds from 0 up");
    if (ms > (uint64_t)INT64_MAX / 1000 || (int64_t)ms * 1000 > future_us)
        return REFUSE(element, entry, ERR_TIMESTAMP_TOO_LATE, name,
                      "occurred_at: over 24 h ahead of the server's clock; send Unix milliseconds");
    entry->event.occurred_at_us = (int64_t)ms * 1000;
    return ERR_OK;
}

/* A time that would do if only it said its zone. */
static bool
lacks_zone(struct slice text)
{
    char with_zone[LACKING_ZONE_BYTES_MAX + 1];
    int64_t us;

    if (text.len > LACKING_ZONE_BYTES_MAX)
        return false;
    memcpy(with_zone, text.ptr, text.len);
    with_zone[text.len] = 'Z';
    return rfc3339_parse(slice_of(with_zone, text.len + 1), &us) == ERR_OK;
}

static enum err
judge_time_text(struct element *element, const struct json_text *raw, struct event_entry *entry)
{
    struct slice name = SLICE("occurred_at");
    struct slice text = SLICE_NONE;
    int64_t us = 0;
    enum err err = ERR_OK;

    if (raw->len == 0)
        return REFUSE(element, entry, ERR_EMPTY_FIELD, name,
                      "occurred_at: is empty; send a time, or leave it out");
    err = json_text_decode(raw, element->arena, &text);
    if (err != ERR_OK)
        return err;
    if (raw->has_nul)
        return REFUSE(element, entry, ERR_NUL_CHARACTER, name,
                      "occurred_at: holds U+0000, which cannot be stored; remove it");
    err = rfc3339_parse(text, &us);
    if (err != ERR_OK && lacks_zone(text))
        return REFUSE(element, entry, ERR_INVALID_TIMESTAMP, name,
                      "occurred_at: not RFC 3339: the time zone is missing (Z or ±hh:mm); send "
                      "2026-01-31T12:00:00Z or Unix milliseconds");
    if (err != ERR_OK)
        return REFUSE(element, entry, ERR_INVALID_TIMESTAMP, name,
                      "occurred_at: not RFC 3339; send 2026-01-31T12:00:00Z or Unix milliseconds");
    if (us < 0)
        return REFUSE(element, entry, ERR_TIMESTAMP_TOO_EARLY, name,
                      "occurred_at: before 1970-01-01T00:00:00Z; send a later time");
    if (us > element->context->received_at_us + LIMIT_FUTURE_US)
        return REFUSE(
            element, entry, ERR_TIMESTAMP_TOO_LATE, name,
            "occurred_at: over 24 h ahead of the server's clock; check the sender's clock");
    entry->event.occurred_at_us = us;
    return ERR_OK;
}

static enum err
judge_time(struct element *element, struct event_entry *entry)
{
    const struct value *value = &element->values[FIELD_OCCURRED_AT];
    struct slice name = SLICE("occurred_at");

    entry->event.occurred_at_us = element->context->received_at_us;
    if (value->kind == VALUE_ABSENT)
        return ERR_OK;
    if (value->kind == VALUE_TEXT)
        return judge_time_text(element, &value->text, entry);
    if (value->kind != VALUE_NUMBER)
        return REFUSE(element, entry, ERR_INVALID_TYPE, name,
                      "occurred_at: must be RFC 3339 text or Unix milliseconds, not %s",
                      kind_name(value));
    if (!value->number.is_in_range)
        return REFUSE(element, entry, ERR_INVALID_NUMBER, name,
                      "occurred_at: the number is out of range; send Unix milliseconds");
    if (!value->number.is_integer)
        return REFUSE(element, entry, ERR_INVALID_TIMESTAMP, name,
                      "occurred_at: not a whole number; send whole Unix milliseconds");
    return judge_milliseconds(element, &value->number, entry);
}

static enum err
judge_properties(struct element *element, struct event_entry *entry)
{
    const struct value *value = &element->values[FIELD_PROPERTIES];
    const struct json_note *note = &element->decoder->notes.content;
    struct slice name = SLICE("properties");
    int path_len = (int)note->path_len;

    if (value->kind == VALUE_ABSENT)
        return ERR_OK;
    if (value->kind != VALUE_OBJECT)
        return REFUSE(element, entry, ERR_INVALID_TYPE, name,
                      "properties: must be an object, not %s", kind_name(value));
    if (value->raw.len > LIMIT_PROPERTIES_BYTES)
        return REFUSE(element, entry, ERR_PROPERTIES_TOO_LARGE, name,
                      "properties: %zu bytes as sent, at most %d are allowed", value->raw.len,
                      LIMIT_PROPERTIES_BYTES);
    if (note->err == ERR_TOO_DEEP)
        return REFUSE(element, entry, note->err, slice_of(note->path, note->path_len),
                      "%.*s: nested over %d deep in properties; flatten it", path_len, note->path,
                      LIMIT_PROPERTIES_DEPTH);
    if (note->err == ERR_NUL_CHARACTER)
        return REFUSE(element, entry, note->err, slice_of(note->path, note->path_len),
                      "%.*s: holds U+0000, which cannot be stored; remove it", path_len,
                      note->path);
    if (note->err == ERR_INVALID_NUMBER)
        return REFUSE(element, entry, note->err, slice_of(note->path, note->path_len),
                      "%.*s: the number cannot be kept exactly; send it as text", path_len,
                      note->path);
    entry->event.properties = value->raw;
    return ERR_OK;
}

/* The fields in the order of their table; stops at the first that refuses. */
static enum err
judge_fields(struct element *element, struct event_entry *entry)
{
    struct event *event = &entry->event;
    enum err err = judge_text(element, FIELD_EVENT_ID, entry, &event->event_id);

    if (err != ERR_OK || entry->err != ERR_OK)
        return err;
    if (element->values[FIELD_EVENT_TYPE].kind == VALUE_ABSENT)
        return REFUSE(element, entry, ERR_MISSING_FIELD, SLICE("event_type"),
                      "event_type: is missing; every event needs one");
    err = judge_text(element, FIELD_EVENT_TYPE, entry, &event->event_type);
    if (err != ERR_OK || entry->err != ERR_OK)
        return err;
    if (element->values[FIELD_USER_ID].kind == VALUE_ABSENT &&
        element->values[FIELD_ANONYMOUS_ID].kind == VALUE_ABSENT)
        return REFUSE(element, entry, ERR_MISSING_FIELD, SLICE("user_id"),
                      "user_id: is missing; send user_id or anonymous_id");
    err = judge_text(element, FIELD_USER_ID, entry, &event->user_id);
    if (err == ERR_OK && entry->err == ERR_OK)
        err = judge_text(element, FIELD_ANONYMOUS_ID, entry, &event->anonymous_id);
    if (err == ERR_OK && entry->err == ERR_OK)
        err = judge_text(element, FIELD_SESSION_ID, entry, &event->session_id);
    if (err == ERR_OK && entry->err == ERR_OK)
        err = judge_time(element, entry);
    if (err == ERR_OK && entry->err == ERR_OK)
        err = judge_properties(element, entry);
    return err;
}

/* Random bytes come from the kernel for 32 ids at once: a call costs more than the rest of an
 * event. */
static void
pool_fill(struct random_source *source, void *bytes, size_t len)
{
    struct event_decoder *decoder =
        (struct event_decoder *)((char *)source - offsetof(struct event_decoder, pool_source));

    if (decoder->pool_left < len) {
        random_fill(decoder->pool_origin, decoder->pool, ID_POOL_BYTES);
        decoder->pool_left = ID_POOL_BYTES;
    }
    decoder->pool_left -= (uint32_t)len;
    memcpy(bytes, decoder->pool + decoder->pool_left, len);
}

static enum err
assign_id(struct element *element, struct event_entry *entry)
{
    struct event_decoder *decoder = element->decoder;
    uint8_t uuid[UUID_BYTES];
    char *text = arena_alloc(element->arena, UUID_TEXT_BYTES);

    if (text == NULL)
        return ERR_NOMEM;
    if (decoder->pool_origin != element->context->random) {
        decoder->pool_origin = element->context->random;
        decoder->pool_left = 0;
        decoder->pool_source.fill = pool_fill;
    }
    uuid_v7(element->context->received_at_us, &decoder->pool_source, uuid);
    uuid_format(uuid, text);
    entry->event.event_id = slice_of(text, UUID_TEXT_BYTES);
    entry->is_id_assigned = true;
    return ERR_OK;
}

/* A refused entry keeps nothing but the id. */
static void
forget_but_id(struct event_entry *entry, struct slice id, bool has_id)
{
    entry->event = (struct event){.event_id = id};
    entry->has_id = has_id && id.ptr != NULL;
}

enum err
element_judge(struct element *element, struct event_entry *ret_entry)
{
    struct event_entry entry = {.err = ERR_OK};
    struct slice id = SLICE_NONE;
    enum err err = ERR_OK;

    err = judge_encoding(element, &entry);
    if (err == ERR_OK && entry.err == ERR_OK && !element->is_object)
        err = REFUSE(element, &entry, ERR_INVALID_TYPE, SLICE_NONE,
                     "not an object; an event is an object like {\"event_type\":\"…\"}");
    if (err == ERR_OK && entry.err == ERR_OK)
        err = judge_keys(element, &entry);
    if (err == ERR_OK && entry.err == ERR_OK)
        err = judge_fields(element, &entry);
    if (err == ERR_OK && entry.err == ERR_OK && entry.event.event_id.ptr == NULL)
        err = assign_id(element, &entry);
    else if (err == ERR_OK && entry.err == ERR_OK)
        entry.has_id = true;
    if (err != ERR_OK)
        return err;
    if (entry.err != ERR_OK) {
        err = usable_id(element, &id);
        forget_but_id(&entry, id, entry.err != ERR_INVALID_UTF8);
    } else {
        entry.event.received_at_us = element->context->received_at_us;
        entry.event.project_id = element->context->project_id;
    }
    *ret_entry = entry;
    return err;
}

enum err
element_find_id(struct element *element, struct slice text, struct slice *ret_id)
{
    *ret_id = SLICE_NONE;
    if (!element_read(element, text) && element->reader.err == ERR_NOMEM)
        return ERR_NOMEM;
    return element->is_object ? usable_id(element, ret_id) : ERR_OK;
}
