/*
 * decode - the envelope of a body: finds its elements, and knows what their faults mean for the
 * whole. See decode.h.
 *
 * One machine serves both ways: a whole body is a body of one piece whose slices need no copy.
 *
 *   START ─ '[' ─▶ LIST ⇄ ELEMENT ─ ']' ─▶ TAIL (or WRAPPER_AFTER ─ '}' ─▶ TAIL)
 *         ─ '{' ─▶ BRACE ▶ KEY ▶ COLON ▶ FIRST_VALUE ─ the key is "events" and '[' follows ─▶ LIST
 *                                                   └ otherwise: an event ─▶ SINGLE ─▶ TAIL
 *         ─ else ─▶ SCALAR (to the end of the body)
 *
 * Where an element begins, it is first read right where it lies, up to its end or that of the piece
 * of the body: the fast path, a single pass. If that fails (cut off, broken, too large), json_cut
 * looks for its end by quotes and brackets alone, over as many pieces as it takes, and it is read
 * again by itself. So each byte is seen at most three times, however the body is split.
 *
 * A broken element may have misled json_cut (a stray quote swaps texts and structure), so its
 * neighbours count only if all of them are objects. Elements over the limit are not kept:
 * json_check tells whether their syntax is right.
 */
#include "event/decode.h"
#include "base/mem.h"
#include "codec/json_scan.h"
#include "codec/ndjson.h"
#include "codec/utf8.h"
#include "event/element.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define FIRST_KEY_MAX 36 /* "events" with every letter as \u0065 */
#define WRAPPER_KEY_MAX 64
#define ENTRIES_FIRST 64

enum decode_state {
    DECODE_START,
    DECODE_BRACE,
    DECODE_KEY,
    DECODE_COLON,
    DECODE_FIRST_VALUE,
    DECODE_SINGLE,
    DECODE_SCALAR,
    DECODE_LIST,    /* an element begins here, or the list ends */
    DECODE_ELEMENT, /* within one whose end json_cut looks for */
    DECODE_WRAPPER_AFTER,
    DECODE_WRAPPER_COMMA,
    DECODE_WRAPPER_KEY,
    DECODE_TAIL,
    DECODE_LINES,
};

struct event_decode {
    struct event_decoder *decoder;
    struct event_context context;
    struct arena *arena;
    bool is_whole; /* slices may point into what is fed */
    enum decode_state state;
    struct element element;
    struct event_entry *entries;
    uint32_t count;
    uint32_t capacity;
    bool is_comma_seen; /* of the list: an element must follow */
    bool is_wrapped;
    bool has_broken; /* an element whose cut may be wrong */
    bool has_other;  /* an element that is no object */
    struct json_cut cut;
    struct piece piece; /* the element under way, where it began in an earlier piece of the body */
    struct json_check check;
    bool is_checking;
    struct ndjson lines;
    uint32_t key_len;
    bool is_key_escape;
    char key[WRAPPER_KEY_MAX];
    enum err err;     /* final */
    struct diag diag; /* its words; unset before */
};

/* --- the thread's part ------------------------------------------------------------------------*/

enum err
event_decoder_new(struct event_decoder **ret_decoder, struct diag *diag)
{
    struct event_decoder *decoder = MEM_NEW(struct event_decoder, 1);

    if (decoder == NULL) {
        diag_set(diag, "out of memory for a decoder");
        return ERR_NOMEM;
    }
    *ret_decoder = decoder;
    return ERR_OK;
}

void
event_decoder_free(struct event_decoder **decoder)
{
    if (*decoder == NULL)
        return;
    json_scratch_fini(&(*decoder)->scratch);
    mem_free(*decoder);
    *decoder = NULL;
}

/* --- entries ----------------------------------------------------------------------------------*/

static enum err
refuse_body(struct event_decode *decode, enum err err, const char *field, const char *message)
{
    decode->err = err;
    diag_clear(&decode->diag);
    diag_set_field(&decode->diag, field, "%s", message);
    return err;
}

static enum err
refuse_nomem(struct event_decode *decode)
{
    return refuse_body(decode, ERR_NOMEM, "", "out of memory, or the request's share is used up");
}

static enum err
add_entry(struct event_decode *decode, const struct event_entry *entry)
{
    if (decode->count == LIMIT_EVENTS_PER_REQUEST)
        return refuse_body(decode, ERR_TOO_MANY_EVENTS, "",
                           "over 10,000 events in one request; split it");
    if (decode->count == decode->capacity) {
        uint32_t capacity = decode->capacity != 0 ? decode->capacity * 2 : ENTRIES_FIRST;
        struct event_entry *entries = NULL;

        if (capacity > LIMIT_EVENTS_PER_REQUEST)
            capacity = LIMIT_EVENTS_PER_REQUEST;
        entries = arena_alloc(decode->arena, capacity * sizeof(*entries));
        if (entries == NULL)
            return refuse_nomem(decode);
        if (decode->count != 0)
            memcpy(entries, decode->entries, decode->count * sizeof(*entries));
        decode->entries = entries;
        decode->capacity = capacity;
    }
    decode->entries[decode->count++] = *entry;
    return ERR_OK;
}

static void
move_slice(struct slice *slice, struct slice from, const char *to)
{
    if (slice->ptr >= from.ptr && slice->ptr < from.ptr + from.len)
        slice->ptr = to + (slice->ptr - from.ptr);
}

/* What the entry keeps of `text` moves into the arena. */
static enum err
keep_text(struct event_decode *decode, struct event_entry *entry, struct slice text)
{
    struct event *event = &entry->event;
    struct slice copy = SLICE_NONE;

    if (entry->err != ERR_OK) {
        if (event->event_id.ptr == NULL)
            return ERR_OK;
        text = event->event_id;
    }
    copy = arena_copy(decode->arena, text);
    if (copy.ptr == NULL)
        return refuse_nomem(decode);
    move_slice(&event->event_id, text, copy.ptr);
    move_slice(&event->event_type, text, copy.ptr);
    move_slice(&event->user_id, text, copy.ptr);
    move_slice(&event->anonymous_id, text, copy.ptr);
    move_slice(&event->session_id, text, copy.ptr);
    move_slice(&event->properties, text, copy.ptr);
    return ERR_OK;
}

/* A body whose list of events stands beside other keys, or is no list. */
static enum err
refuse_events_key(struct event_decode *decode)
{
    return refuse_body(decode, ERR_UNKNOWN_FIELD, "events",
                       "\"events\" must be the only key of the body, and an array");
}

/* The element was read; `text` is it. */
static enum err
settle_read(struct event_decode *decode, struct slice text, bool is_lasting)
{
    struct event_entry entry;

    if (element_judge(&decode->element, &entry) != ERR_OK)
        return refuse_nomem(decode);
    if (decode->state == DECODE_SINGLE && decode->element.has_events_key)
        return refuse_events_key(decode);
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
        return refuse_nomem(decode);
    entry.event.event_id = id;
    if (!is_lasting && keep_text(decode, &entry, start) != ERR_OK)
        return decode->err;
    return add_entry(decode, &entry);
}

/* An element that is no JSON: its reader tells why. */
static enum err
settle_broken(struct event_decode *decode, struct slice text)
{
    const struct json_reader *reader = &decode->element.reader;
    struct event_entry entry = {.err = ERR_OK};

    if (reader->err == ERR_NOMEM)
        return refuse_nomem(decode);
    decode->has_broken = true;
    if (element_refuse(decode->arena, reader->err, SLICE_NONE, &entry,
                       "%s: %s, at byte %zu of the event",
                       reader->err == ERR_TOO_DEEP ? "the event" : "not valid JSON",
                       reader->message, (size_t)(reader->at - text.ptr)) != ERR_OK)
        return refuse_nomem(decode);
    return add_entry(decode, &entry);
}

static enum err
settle_empty(struct event_decode *decode)
{
    struct event_entry entry = {.err = ERR_OK};

    if (element_refuse(decode->arena, ERR_INVALID_JSON, SLICE_NONE, &entry,
                       "there is nothing between two commas, or behind the last one") != ERR_OK)
        return refuse_nomem(decode);
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
        return settle_broken(decode, text);
    return settle_read(decode, text, is_lasting);
}

/* --- elements cut out of a list ---------------------------------------------------------------*/

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

static enum err
gather(struct event_decode *decode, const char *bytes, size_t len)
{
    size_t overflow = 0;

    if (piece_add(&decode->piece, bytes, len, &overflow) != ERR_OK)
        return refuse_nomem(decode);
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

static enum err
end_element(struct event_decode *decode, const char *begin, const char *end)
{
    if (decode->piece.seen == 0)
        return settle_here(decode, slice_of(begin, (size_t)(end - begin)));
    if (gather(decode, begin, (size_t)(end - begin)) != ERR_OK)
        return decode->err;
    return settle_piece(decode);
}

static enum err
refuse_unbalanced(struct event_decode *decode)
{
    return refuse_body(decode, ERR_INVALID_JSON, "",
                       "brackets do not match: a '}' closes what a '[' opened");
}

/* `at` stands on the comma or bracket behind an element. */
static enum err
leave_element(struct event_decode *decode, const char **at)
{
    bool is_comma = **at == ',';

    ++*at;
    decode->is_comma_seen = is_comma;
    decode->state = is_comma             ? DECODE_LIST
                    : decode->is_wrapped ? DECODE_WRAPPER_AFTER
                                         : DECODE_TAIL;
    return ERR_OK;
}

/* ELEMENT: on from `at`, which stands within the element (or at its start). */
static enum err
run_element(struct event_decode *decode, const char **at, const char *end)
{
    const char *begin = *at;
    enum err err = ERR_OK;

    switch (json_cut_feed(&decode->cut, at, end, false)) {
    case JSON_CUT_MORE:
        return gather(decode, begin, (size_t)(end - begin));
    case JSON_CUT_COMMA:
    case JSON_CUT_CLOSE:
        err = end_element(decode, begin, *at);
        return err != ERR_OK ? err : leave_element(decode, at);
    case JSON_CUT_BRACE:
    case JSON_CUT_WHOLE:
        break;
    }
    return refuse_unbalanced(decode);
}

/* Reads the element at `at` where it lies. False: it has to be cut first; nothing has changed. */
static bool
read_here(struct event_decode *decode, const char **at, const char *end, bool is_in_list,
          enum err *ret_err)
{
    struct element *element = &decode->element;
    struct slice text = slice_of(*at, (size_t)(end - *at));
    const char *behind = NULL;

    if (text.len > LIMIT_EVENT_BYTES)
        text.len = LIMIT_EVENT_BYTES;
    if (!element_read(element, text))
        return false;
    behind = element->reader.at;
    text.len = (size_t)(behind - text.ptr);
    while (behind < end && piece_is_space(*behind))
        behind++;
    if (is_in_list && (behind == end || (*behind != ',' && *behind != ']')))
        return false;
    *at = behind;
    *ret_err = settle_read(decode, text, decode->is_whole);
    return true;
}

/* LIST: an element begins at `at` (no white space), or the list ends, or a comma comes too early.
 */
static enum err
run_list(struct event_decode *decode, const char **at, const char *end)
{
    enum err err = ERR_OK;

    if (**at == '}')
        return refuse_unbalanced(decode);
    if (**at == ',' || (**at == ']' && decode->is_comma_seen)) {
        err = settle_empty(decode);
        return err != ERR_OK ? err : leave_element(decode, at);
    }
    if (**at == ']')
        return leave_element(decode, at);
    if (read_here(decode, at, end, true, &err))
        return err != ERR_OK ? err : leave_element(decode, at);
    decode->state = DECODE_ELEMENT;
    json_cut_init(&decode->cut);
    return run_element(decode, at, end);
}

/* --- the envelope -----------------------------------------------------------------------------*/

static void
begin_list(struct event_decode *decode, bool is_wrapped)
{
    decode->state = DECODE_LIST;
    decode->is_comma_seen = false;
    decode->is_wrapped = is_wrapped;
    decode->element.depth = is_wrapped ? 3 : 2;
}

static enum err
run_start(struct event_decode *decode, const char **at)
{
    decode->element.depth = 1;
    switch (**at) {
    case '[':
        ++*at;
        begin_list(decode, false);
        return ERR_OK;
    case '{':
        ++*at;
        decode->state = DECODE_BRACE;
        json_cut_init(&decode->cut);
        return ERR_OK;
    case '\xef':
        return refuse_body(decode, ERR_INVALID_JSON, "",
                           "the body begins with a byte order mark; send JSON without it");
    default:
        decode->state = DECODE_SCALAR;
        return ERR_OK;
    }
}

/* Is the first key of the body "events", perhaps written with escapes? */
static bool
is_events_key(struct event_decode *decode)
{
    struct json_text text = {.ptr = decode->key, .len = decode->key_len};
    struct json_reader reader;
    struct slice quoted = slice_of(decode->key, decode->key_len + 1);
    struct slice key = SLICE_NONE;

    if (decode->key_len == 7 && memcmp(decode->key, "\"events", 7) == 0)
        return true;
    if (memchr(decode->key, '\\', decode->key_len) == NULL)
        return false;
    decode->key[decode->key_len] = '"';
    json_reader_init(&reader, quoted, &decode->decoder->scratch, decode->arena);
    return json_reader_text(&reader, &text) && !text.is_bad_utf8 &&
           json_text_decode(&text, decode->arena, &key) == ERR_OK &&
           slice_equal(key, SLICE("events"));
}

/* KEY: the letters of the first key, as far as "events" could need them. decode->key begins with
 * the quote. */
static void
run_first_key(struct event_decode *decode, const char **at, const char *end)
{
    while (*at < end && decode->state == DECODE_KEY) {
        char c = *(*at)++;

        if (c == '"' && !decode->is_key_escape) {
            decode->state = is_events_key(decode) ? DECODE_COLON : DECODE_SINGLE;
        } else if (decode->key_len > FIRST_KEY_MAX) {
            decode->state = DECODE_SINGLE;
        } else {
            decode->is_key_escape = c == '\\' && !decode->is_key_escape;
            decode->key[decode->key_len++] = c;
        }
    }
}

/* BRACE, COLON, FIRST_VALUE: the one character that decides; SINGLE if it is another. */
static void
run_prefix(struct event_decode *decode, const char **at)
{
    char c = **at;

    if (decode->state == DECODE_BRACE && c == '"') {
        ++*at;
        decode->state = DECODE_KEY;
        decode->key[0] = '"';
        decode->key_len = 1;
        decode->is_key_escape = false;
    } else if (decode->state == DECODE_COLON && c == ':') {
        ++*at;
        decode->state = DECODE_FIRST_VALUE;
    } else if (decode->state == DECODE_FIRST_VALUE && c == '[') {
        ++*at;
        piece_clear(&decode->piece);
        decode->is_checking = false;
        begin_list(decode, true);
    } else {
        decode->state = DECODE_SINGLE;
    }
}

/* SINGLE: one event is the body; `at` stands at the first byte of it in this piece of the body. */
static enum err
run_single(struct event_decode *decode, const char **at, const char *end)
{
    const char *begin = *at;
    enum err err = ERR_OK;

    if (decode->piece.seen == 0 && read_here(decode, at, end, false, &err)) {
        decode->state = DECODE_TAIL;
        return err;
    }
    if (json_cut_feed(&decode->cut, at, end, true) == JSON_CUT_MORE)
        return gather(decode, begin, (size_t)(end - begin));
    err = end_element(decode, begin, *at);
    decode->state = DECODE_TAIL;
    return err;
}

static enum err
refuse_wrapper_key(struct event_decode *decode)
{
    struct slice name = utf8_cut(slice_of(decode->key, decode->key_len), WRAPPER_KEY_MAX - 1);
    char field[WRAPPER_KEY_MAX];

    if (!utf8_is_valid(name) || memchr(name.ptr, '\0', name.len) != NULL)
        name = SLICE("");
    memcpy(field, name.ptr, name.len);
    field[name.len] = '\0';
    if (strcmp(field, "events") == 0)
        return refuse_body(decode, ERR_DUPLICATE_KEY, field, "\"events\" stands twice");
    return refuse_body(decode, ERR_UNKNOWN_FIELD, field,
                       "\"events\" must be the only key of the body");
}

/* Behind the list of {"events":[…]}; only white space and a brace are right. */
static enum err
run_wrapper(struct event_decode *decode, const char **at)
{
    char c = *(*at)++;

    if (decode->state == DECODE_WRAPPER_AFTER && c == '}') {
        decode->state = DECODE_TAIL;
    } else if (decode->state == DECODE_WRAPPER_AFTER && c == ',') {
        decode->state = DECODE_WRAPPER_COMMA;
    } else if (decode->state == DECODE_WRAPPER_COMMA && c == '"') {
        decode->state = DECODE_WRAPPER_KEY;
        decode->key_len = 0;
    } else {
        return refuse_body(decode, ERR_INVALID_JSON, "",
                           "the list of \"events\" is not followed by '}'");
    }
    return ERR_OK;
}

static enum err
run_wrapper_key(struct event_decode *decode, const char **at, const char *end)
{
    while (*at < end) {
        char c = *(*at)++;

        if (c == '"' && (decode->key_len == 0 || decode->key[decode->key_len - 1] != '\\'))
            return refuse_wrapper_key(decode);
        if (decode->key_len < WRAPPER_KEY_MAX)
            decode->key[decode->key_len++] = c;
    }
    return ERR_OK;
}

static bool
skips_space(enum decode_state state)
{
    return state != DECODE_KEY && state != DECODE_WRAPPER_KEY && state != DECODE_ELEMENT &&
           state != DECODE_SINGLE && state != DECODE_SCALAR;
}

/* One step of the machine; at < end. `from`: where this piece's part of a lone event begins. */
static enum err
run_step(struct event_decode *decode, const char **at, const char *end, const char **from)
{
    switch (decode->state) {
    case DECODE_START:
        *from = *at;
        return run_start(decode, at);
    case DECODE_BRACE:
    case DECODE_COLON:
    case DECODE_FIRST_VALUE:
        run_prefix(decode, at);
        return ERR_OK;
    case DECODE_KEY:
        run_first_key(decode, at, end);
        return ERR_OK;
    case DECODE_SCALAR: {
        const char *begin = *at;

        *at = end;
        return gather(decode, begin, (size_t)(end - begin));
    }
    case DECODE_LIST:
        return run_list(decode, at, end);
    case DECODE_ELEMENT:
        return run_element(decode, at, end);
    case DECODE_WRAPPER_AFTER:
    case DECODE_WRAPPER_COMMA:
        return run_wrapper(decode, at);
    case DECODE_WRAPPER_KEY:
        return run_wrapper_key(decode, at, end);
    case DECODE_SINGLE:
    case DECODE_TAIL:
    case DECODE_LINES:
        break;
    }
    return refuse_body(decode, ERR_INVALID_JSON, "", "text behind the end of the JSON value");
}

static bool
is_prefix(enum decode_state state)
{
    return state == DECODE_BRACE || state == DECODE_KEY || state == DECODE_COLON ||
           state == DECODE_FIRST_VALUE;
}

static enum err
run_json(struct event_decode *decode, const char *bytes, size_t len)
{
    const char *at = bytes;
    const char *end = bytes + len;
    const char *from = bytes;
    enum err err = ERR_OK;

    while (err == ERR_OK) {
        if (skips_space(decode->state))
            while (at < end && piece_is_space(*at))
                at++;
        if (decode->state == DECODE_SINGLE && from < end) {
            at = from;
            err = run_single(decode, &at, end);
            from = end;
            continue;
        }
        if (at == end)
            break;
        err = run_step(decode, &at, end, &from);
    }
    if (err != ERR_OK || !is_prefix(decode->state))
        return err;
    /* Not known yet what the object is: its bytes may turn out to be those of a lone event. */
    at = from;
    (void)json_cut_feed(&decode->cut, &at, end, true);
    return gather(decode, from, (size_t)(end - from));
}

/* --- lines ------------------------------------------------------------------------------------*/

static enum err
settle_line(struct event_decode *decode, const struct ndjson_line *line)
{
    bool is_lasting = line->is_in_input && decode->is_whole;

    return line->len > LIMIT_EVENT_BYTES ? settle_large(decode, line->text, line->len, is_lasting)
                                         : settle(decode, line->text, is_lasting);
}

static enum err
run_lines(struct event_decode *decode, const char *bytes, size_t len)
{
    struct slice input = slice_of(bytes, len);
    struct ndjson_line line;
    enum err err = ERR_OK;

    while (ndjson_next(&decode->lines, &input, &line, &err)) {
        err = settle_line(decode, &line);
        if (err != ERR_OK)
            return err;
    }
    return err != ERR_OK ? refuse_nomem(decode) : ERR_OK;
}

/* --- calls ------------------------------------------------------------------------------------*/

static void
init(struct event_decode *decode, struct event_decoder *decoder,
     const struct event_context *context, struct arena *arena, bool is_whole)
{
    decode->decoder = decoder;
    decode->context = *context;
    decode->arena = arena;
    decode->is_whole = is_whole;
    decode->state = context->format == EVENT_FORMAT_NDJSON ? DECODE_LINES : DECODE_START;
    decode->element.decoder = decoder;
    decode->element.context = &decode->context;
    decode->element.arena = arena;
    decode->element.depth = 1;
    decode->entries = NULL;
    decode->count = 0;
    decode->capacity = 0;
    decode->is_comma_seen = false;
    decode->is_wrapped = false;
    decode->has_broken = false;
    decode->has_other = false;
    decode->is_checking = false;
    decode->err = ERR_OK;
    piece_init(&decode->piece, LIMIT_EVENT_BYTES);
    ndjson_init(&decode->lines, LIMIT_EVENT_BYTES);
}

static void
fini(struct event_decode *decode)
{
    piece_fini(&decode->piece);
    ndjson_fini(&decode->lines);
    json_scratch_trim(&decode->decoder->scratch);
}

static enum err
tell(const struct event_decode *decode, struct diag *diag)
{
    if (decode->err != ERR_OK && diag != NULL)
        *diag = decode->diag;
    return decode->err;
}

static enum err
feed(struct event_decode *decode, const char *bytes, size_t len)
{
    if (decode->err != ERR_OK || len == 0)
        return decode->err;
    return decode->state == DECODE_LINES ? run_lines(decode, bytes, len)
                                         : run_json(decode, bytes, len);
}

static enum err
end_scalar(struct event_decode *decode)
{
    enum err err = settle_piece(decode);

    if (err == ERR_OK && decode->has_broken)
        return refuse_body(decode, ERR_INVALID_JSON, "",
                           "the body is not JSON; send an object, an array or {\"events\":[…]}");
    return err;
}

static enum err
end_lines(struct event_decode *decode)
{
    struct ndjson_line line;
    enum err err = ERR_OK;

    if (ndjson_end(&decode->lines, &line))
        err = settle_line(decode, &line);
    if (err == ERR_OK && decode->count == 0)
        return refuse_body(decode, ERR_EMPTY_BODY, "", "the body holds only white space");
    return err;
}

static enum err
end_body(struct event_decode *decode)
{
    if (decode->err != ERR_OK)
        return decode->err;
    switch (decode->state) {
    case DECODE_START:
        return refuse_body(decode, ERR_EMPTY_BODY, "", "the body is empty; send events as JSON");
    case DECODE_SCALAR:
        return end_scalar(decode);
    case DECODE_LINES:
        return end_lines(decode);
    case DECODE_TAIL:
        if (decode->has_broken && decode->has_other)
            return refuse_body(
                decode, ERR_INVALID_JSON, "",
                "not valid JSON, and not every other element is an object: it cannot "
                "be told where an event begins");
        return ERR_OK;
    case DECODE_BRACE:
    case DECODE_KEY:
    case DECODE_COLON:
    case DECODE_FIRST_VALUE:
    case DECODE_SINGLE:
    case DECODE_LIST:
    case DECODE_ELEMENT:
    case DECODE_WRAPPER_AFTER:
    case DECODE_WRAPPER_COMMA:
    case DECODE_WRAPPER_KEY:
        break;
    }
    return refuse_body(decode, ERR_INVALID_JSON, "",
                       "the body ends too early: a quote or a bracket is not closed");
}

enum err
event_decode_body(struct event_decoder *decoder, const struct event_context *context,
                  struct slice body, struct arena *arena, struct event_batch *ret_batch,
                  struct diag *diag)
{
    struct event_decode decode;
    enum err err = ERR_OK;

    init(&decode, decoder, context, arena, true);
    err = feed(&decode, body.ptr, body.len);
    if (err == ERR_OK)
        err = end_body(&decode);
    fini(&decode);
    if (err != ERR_OK)
        return tell(&decode, diag);
    *ret_batch = (struct event_batch){.entries = decode.entries, .count = decode.count};
    return ERR_OK;
}

enum err
event_decode_begin(struct event_decoder *decoder, const struct event_context *context,
                   struct arena *arena, struct event_decode **ret_decode, struct diag *diag)
{
    struct event_decode *decode = MEM_NEW(struct event_decode, 1);

    if (decode == NULL) {
        diag_set(diag, "out of memory for a body");
        return ERR_NOMEM;
    }
    init(decode, decoder, context, arena, false);
    *ret_decode = decode;
    return ERR_OK;
}

enum err
event_decode_feed(struct event_decode *decode, const char *bytes, size_t len, struct diag *diag)
{
    (void)feed(decode, bytes, len);
    return tell(decode, diag);
}

enum err
event_decode_end(struct event_decode *decode, struct event_batch *ret_batch, struct diag *diag)
{
    if (end_body(decode) != ERR_OK)
        return tell(decode, diag);
    *ret_batch = (struct event_batch){.entries = decode->entries, .count = decode->count};
    return ERR_OK;
}

void
event_decode_free(struct event_decode **decode)
{
    if (*decode == NULL)
        return;
    fini(*decode);
    mem_free(*decode);
    *decode = NULL;
}
