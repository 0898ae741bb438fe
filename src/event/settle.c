/*
 * settle - makes entries of elements: accepted, refused, broken, too large. See decode_inside.h.
 *
 * An element that lies within one piece of the body is read there; one that was cut by its end is
 * gathered first. What the entry keeps is copied into the arena unless the bytes outlive the batch.
 * Elements over the limit are not kept: json_check tells whether their syntax is right, since a
 * broken element makes the cuts around it doubtful.
 */
#include "event/decode_inside.h"
#include <string.h>

#define ENTRIES_FIRST 8 /* so that a single event fits in the first block of an arena */

enum err
decode_refuse(struct event_decode *decode, enum err err, const char *field, const char *message)
{
    decode->err = err;
    diag_clear(&decode->diag);
    diag_set_field(&decode->diag, field, "%s", message);
    return err;
}

enum err
decode_refuse_nomem(struct event_decode *decode)
{
    return decode_refuse(decode, ERR_NOMEM, "", "out of memory, or the request's share is used up");
}

/* Room for `capacity` entries, and as many originals if they are asked for. */
__attribute__((noinline)) static enum err
grow_entries(struct event_decode *decode, uint32_t capacity)
{
    struct event_entry *entries = arena_alloc(decode->arena, capacity * sizeof(*entries));
    struct event_original *originals = NULL;

    if (entries == NULL)
        return decode_refuse_nomem(decode);
    if (decode->context.originals_max != 0) {
        originals = arena_alloc(decode->arena, capacity * sizeof(*originals));
        if (originals == NULL)
            return decode_refuse_nomem(decode);
    }
    if (decode->count != 0)
        memcpy(entries, decode->entries, decode->count * sizeof(*entries));
    if (decode->count != 0 && originals != NULL)
        memcpy(originals, decode->originals, decode->count * sizeof(*originals));
    decode->entries = entries;
    decode->originals = originals;
    decode->capacity = capacity;
    return ERR_OK;
}

static enum err
add_entry(struct event_decode *decode, const struct event_entry *entry)
{
    if (decode->count == LIMIT_EVENTS_PER_REQUEST)
        return decode_refuse(decode, ERR_TOO_MANY_EVENTS, "",
                             "over 10,000 events in one request; split it");
    if (decode->count == decode->capacity) {
        uint32_t capacity = decode->capacity != 0 ? decode->capacity * 2 : ENTRIES_FIRST;

        if (capacity > LIMIT_EVENTS_PER_REQUEST)
            capacity = LIMIT_EVENTS_PER_REQUEST;
        if (grow_entries(decode, capacity) != ERR_OK)
            return decode->err;
    }
    if (decode->originals != NULL)
        decode->originals[decode->count] = decode->original;
    decode->entries[decode->count++] = *entry;
    return ERR_OK;
}

static void
move_slice(struct slice *slice, struct slice from, const char *to)
{
    if (slice->ptr >= from.ptr && slice->ptr < from.ptr + from.len)
        slice->ptr = to + (slice->ptr - from.ptr);
}

/* What was sent of a refused one, for whoever keeps them. Of no use to the request itself: where it
 * finds no memory there is none. Apart, so that whoever does not ask for them pays a comparison. */
__attribute__((noinline)) static void
keep_original(struct event_decode *decode, enum err err, struct slice text, bool is_lasting)
{
    const size_t max = decode->context.originals_max;
    bool is_cut = err == ERR_EVENT_TOO_LARGE;

    if (text.len > max) {
        text.len = max;
        is_cut = true;
    }
    if (!is_lasting)
        text = arena_copy(decode->arena, text);
    decode->original = (struct event_original){text, is_cut};
}

/* What the entry keeps of `text` moves into the arena. */
static enum err
keep_text(struct event_decode *decode, struct event_entry *entry, struct slice text)
{
    struct event *event = &entry->event;
    struct slice copy;

    if (entry->err != ERR_OK) {
        if (event->event_id.ptr == NULL)
            return ERR_OK;
        text = event->event_id;
    }
    copy = arena_copy(decode->arena, text);
    if (copy.ptr == NULL)
        return decode_refuse_nomem(decode);
    move_slice(&event->event_id, text, copy.ptr);
    move_slice(&event->event_type, text, copy.ptr);
    move_slice(&event->user_id, text, copy.ptr);
    move_slice(&event->anonymous_id, text, copy.ptr);
    move_slice(&event->session_id, text, copy.ptr);
    move_slice(&event->properties, text, copy.ptr);
    if (entry->err == ERR_OK)
        move_slice(&decode->original.bytes, text, copy.ptr);
    return ERR_OK;
}

/* A body whose list of events stands beside other keys, or is no list. */
static enum err
refuse_events_key(struct event_decode *decode)
{
    return decode_refuse(decode, ERR_UNKNOWN_FIELD, "events",
                         "\"events\" must be the only key of the body, and an array");
}

/* The element was read; `text` is it. */
enum err
settle_read(struct event_decode *decode, struct slice text, bool is_lasting)
{
    struct event_entry entry;

    if (element_judge(&decode->element, &entry) != ERR_OK)
        return decode_refuse_nomem(decode);
    if (decode->state == DECODE_SINGLE && decode->element.has_events_key)
        return refuse_events_key(decode);
    if (decode->context.originals_max != 0) {
        if (entry.err == ERR_OK) /* keep_text moves it with all else */
            decode->original = (struct event_original){text, false};
        else
            keep_original(decode, entry.err, text, is_lasting);
    }
    if (!is_lasting && keep_text(decode, &entry, text) != ERR_OK)
        return decode->err;
    decode->has_other |= !decode->element.is_object;
    return add_entry(decode, &entry);
}

/* An element over the limit; `start` is its first LIMIT_EVENT_BYTES bytes. */
static enum err
settle_large(struct event_decode *decode, struct slice start, uint64_t len, bool is_lasting)
{
    struct event_entry entry = {.err = ERR_OK};
    struct slice id = SLICE_NONE;

    decode->has_other |= start.ptr[0] != '{';
    if (element_refuse(decode->arena, ERR_EVENT_TOO_LARGE, SLICE_NONE, &entry,
                       "the event has %llu bytes as sent, at most %d are allowed",
                       (unsigned long long)len, LIMIT_EVENT_BYTES) != ERR_OK ||
        element_find_id(&decode->element, start, &id) != ERR_OK)
        return decode_refuse_nomem(decode);
    entry.event.event_id = id;
    if (decode->context.originals_max != 0)
        keep_original(decode, entry.err, start, is_lasting);
    if (!is_lasting && keep_text(decode, &entry, start) != ERR_OK)
        return decode->err;
    return add_entry(decode, &entry);
}

/* An element that is no JSON: its reader tells why. */
static enum err
settle_broken(struct event_decode *decode, struct slice text, bool is_lasting)
{
    const struct json_reader *reader = &decode->element.reader;
    struct event_entry entry = {.err = ERR_OK};

    if (reader->err == ERR_NOMEM)
        return decode_refuse_nomem(decode);
    decode->has_broken = true;
    if (element_refuse(decode->arena, reader->err, SLICE_NONE, &entry,
                       "%s: %s, at byte %zu of the event",
                       reader->err == ERR_TOO_DEEP ? "the event" : "not valid JSON",
                       reader->message, (size_t)(reader->at - text.ptr)) != ERR_OK)
        return decode_refuse_nomem(decode);
    if (decode->context.originals_max != 0)
        keep_original(decode, entry.err, text, is_lasting);
    return add_entry(decode, &entry);
}

enum err
settle_empty(struct event_decode *decode)
{
    struct event_entry entry = {.err = ERR_OK};

    if (element_refuse(decode->arena, ERR_INVALID_JSON, SLICE_NONE, &entry,
                       "there is nothing between two commas, or behind the last one") != ERR_OK)
        return decode_refuse_nomem(decode);
    if (decode->context.originals_max != 0)
        keep_original(decode, entry.err, SLICE(""), true);
    return add_entry(decode, &entry);
}

/* Reads all of `text` (trimmed): an element, and nothing behind it. */
static bool
read_exactly(struct event_decode *decode, struct slice text)
{
    struct element *element = &decode->element;

    if (!element_read(element, text))
        return false;
    if (element->reader.at == text.ptr + text.len)
        return true;
    return json_reader_fail(&element->reader, "text behind the end; perhaps a comma is missing");
}

/* An element (or line) of at most LIMIT_EVENT_BYTES, trimmed, complete. */
static enum err
settle(struct event_decode *decode, struct slice text, bool is_lasting)
{
    if (text.len == 0)
        return settle_empty(decode);
    if (!read_exactly(decode, text))
        return settle_broken(decode, text, is_lasting);
    return settle_read(decode, text, is_lasting);
}

static uint32_t
depth_left(const struct event_decode *decode)
{
    return JSON_DEPTH_MAX + 1 - decode->element.depth;
}

/* The element ended where it began: within one piece of the body. */
static enum err
settle_here(struct event_decode *decode, struct slice text)
{
    struct json_check check;

    while (text.len > 0 && piece_is_space(text.ptr[text.len - 1]))
        text.len--;
    if (text.len <= LIMIT_EVENT_BYTES)
        return settle(decode, text, decode->is_whole);
    json_check_init(&check, depth_left(decode));
    decode->has_broken |= !json_check_feed(&check, text.ptr, text.len) || !json_check_end(&check);
    return settle_large(decode, slice_of(text.ptr, LIMIT_EVENT_BYTES), text.len, decode->is_whole);
}

/* The element's end was reached, after earlier pieces. */
static enum err
settle_piece(struct event_decode *decode)
{
    struct piece *piece = &decode->piece;
    enum err err = ERR_OK;

    if (piece->trimmed > LIMIT_EVENT_BYTES) {
        decode->has_broken |= !json_check_end(&decode->check);
        err = settle_large(decode, piece_text(piece), piece->trimmed, false);
    } else {
        err = settle(decode, piece_text(piece), false);
    }
    piece_clear(piece);
    decode->is_checking = false;
    return err;
}

enum err
settle_gather(struct event_decode *decode, const char *bytes, size_t len)
{
    size_t overflow = 0;

    if (piece_add(&decode->piece, bytes, len, &overflow) != ERR_OK)
        return decode_refuse_nomem(decode);
    if (overflow == 0)
        return ERR_OK;
    if (!decode->is_checking) {
        struct slice start = buf_slice(&decode->piece.kept);

        decode->is_checking = true;
        json_check_init(&decode->check, depth_left(decode));
        (void)json_check_feed(&decode->check, start.ptr, start.len);
    }
    (void)json_check_feed(&decode->check, bytes + len - overflow, overflow);
    return ERR_OK;
}

enum err
settle_end(struct event_decode *decode, const char *begin, const char *end)
{
    if (decode->piece.seen == 0)
        return settle_here(decode, slice_of(begin, (size_t)(end - begin)));
    if (settle_gather(decode, begin, (size_t)(end - begin)) != ERR_OK)
        return decode->err;
    return settle_piece(decode);
}

enum err
settle_line(struct event_decode *decode, const struct ndjson_line *line)
{
    bool is_lasting = line->is_in_input && decode->is_whole;

    return line->len > LIMIT_EVENT_BYTES ? settle_large(decode, line->text, line->len, is_lasting)
                                         : settle(decode, line->text, is_lasting);
}
