/*
 * envelope - the machine that finds the elements of a body, in whatever pieces it comes. See
 * decode_inside.h.
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
#include "codec/utf8.h"
#include "event/decode_inside.h"
#include <string.h>

#define FIRST_KEY_MAX 36 /* "events" with every letter as \u0065 */

static enum err
refuse_unbalanced(struct event_decode *decode)
{
    return decode_refuse(decode, ERR_INVALID_JSON, "",
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
        return settle_gather(decode, begin, (size_t)(end - begin));
    case JSON_CUT_COMMA:
    case JSON_CUT_CLOSE:
        err = settle_end(decode, begin, *at);
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
        return decode_refuse(decode, ERR_INVALID_JSON, "",
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
        return settle_gather(decode, begin, (size_t)(end - begin));
    err = settle_end(decode, begin, *at);
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
        return decode_refuse(decode, ERR_DUPLICATE_KEY, field, "\"events\" stands twice");
    return decode_refuse(decode, ERR_UNKNOWN_FIELD, field,
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
        return decode_refuse(decode, ERR_INVALID_JSON, "",
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
        return settle_gather(decode, begin, (size_t)(end - begin));
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
    return decode_refuse(decode, ERR_INVALID_JSON, "",
                         **at == '{' /* as it would be in another cut of the body, too */
                             ? "text behind the end of the JSON value; lines? send Content-Type: "
                               "application/x-ndjson"
                             : "text behind the end of the JSON value");
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
    return settle_gather(decode, from, (size_t)(end - from));
}

/* --- lines ------------------------------------------------------------------------------------*/

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
    return err != ERR_OK ? decode_refuse_nomem(decode) : ERR_OK;
}

enum err
envelope_feed(struct event_decode *decode, const char *bytes, size_t len)
{
    if (decode->err != ERR_OK || len == 0)
        return decode->err;
    return decode->state == DECODE_LINES ? run_lines(decode, bytes, len)
                                         : run_json(decode, bytes, len);
}

static enum err
end_scalar(struct event_decode *decode)
{
    enum err err = settle_end(decode, NULL, NULL);

    if (err == ERR_OK && decode->has_broken)
        return decode_refuse(decode, ERR_INVALID_JSON, "",
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
        return decode_refuse(decode, ERR_EMPTY_BODY, "", "the body holds only white space");
    return err;
}

enum err
envelope_end(struct event_decode *decode)
{
    if (decode->err != ERR_OK)
        return decode->err;
    switch (decode->state) {
    case DECODE_START:
        return decode_refuse(decode, ERR_EMPTY_BODY, "", "the body is empty; send events as JSON");
    case DECODE_SCALAR:
        return end_scalar(decode);
    case DECODE_LINES:
        return end_lines(decode);
    case DECODE_TAIL:
        if (decode->has_broken && decode->has_other)
            return decode_refuse(
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
    return decode_refuse(decode, ERR_INVALID_JSON, "",
                         "the body ends too early: a quote or a bracket is not closed");
}
