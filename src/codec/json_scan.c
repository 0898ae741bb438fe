/*
 * json_scan - see json_scan.h.
 */
#include "codec/json_scan.h"
#include "codec/json_plain.h"
#include <assert.h>

void
json_cut_init(struct json_cut *cut)
{
    *cut = (struct json_cut){0};
}

/* Between quotes, up to and with the closing one. false: the input is used up. */
static bool
cut_text(struct json_cut *cut, const char **at, const char *end)
{
    const char *p = *at;

    while (p < end) {
        if (cut->is_escape) {
            cut->is_escape = false;
            p++;
            continue;
        }
        p = json_plain_end(p, end);
        if (p == end)
            break;
        if (*p == '"') {
            cut->is_text = false;
            *at = p + 1;
            return true;
        }
        cut->is_escape = *p == '\\';
        p++;
    }
    *at = p;
    return false;
}

enum json_cut_end
json_cut_feed(struct json_cut *cut, const char **at, const char *end, bool is_whole_asked)
{
    while (cut->is_text || *at < end) {
        char c = 0;

        if (cut->is_text) {
            if (!cut_text(cut, at, end))
                return JSON_CUT_MORE;
            continue;
        }
        c = **at;
        if (c == '"') {
            cut->is_text = true;
        } else if (c == '{' || c == '[') {
            cut->depth++;
        } else if (c == '}' || c == ']') {
            if (cut->depth == 0)
                return c == ']' ? JSON_CUT_CLOSE : JSON_CUT_BRACE;
            cut->depth--;
            if (cut->depth == 0 && is_whole_asked) {
                ++*at;
                return JSON_CUT_WHOLE;
            }
        } else if (c == ',' && cut->depth == 0) {
            return JSON_CUT_COMMA;
        }
        ++*at;
    }
    return JSON_CUT_MORE;
}

/* --- the grammar ------------------------------------------------------------------------------*/

enum check_state {
    CHECK_VALUE,          /* a value must follow */
    CHECK_VALUE_OR_CLOSE, /* behind '[' */
    CHECK_KEY,            /* behind ',' of an object */
    CHECK_KEY_OR_CLOSE,   /* behind '{' */
    CHECK_COLON,
    CHECK_AFTER, /* behind a value */
    CHECK_TEXT,
    CHECK_ESCAPE,
    CHECK_HEX,
    CHECK_LITERAL,
    CHECK_MINUS,
    CHECK_ZERO,
    CHECK_INTEGER,
    CHECK_POINT,
    CHECK_FRACTION,
    CHECK_E,
    CHECK_E_SIGN,
    CHECK_EXPONENT,
    CHECK_FAILED,
};

void
json_check_init(struct json_check *check, uint32_t depth_max)
{
    assert(depth_max <= 64);
    *check = (struct json_check){.state = CHECK_VALUE, .depth_max = depth_max};
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static uint8_t
open_container(struct json_check *check, bool is_array)
{
    uint64_t bit = 0;

    if (check->depth == check->depth_max)
        return CHECK_FAILED;
    bit = UINT64_C(1) << check->depth;
    check->arrays = is_array ? check->arrays | bit : check->arrays & ~bit;
    check->depth++;
    return is_array ? CHECK_VALUE_OR_CLOSE : CHECK_KEY_OR_CLOSE;
}

static bool
is_in_array(const struct json_check *check)
{
    return check->depth > 0 && (check->arrays >> (check->depth - 1) & 1) != 0;
}

static uint8_t
close_container(struct json_check *check)
{
    check->depth--;
    return CHECK_AFTER;
}

static uint8_t
begin_text(struct json_check *check, bool is_key)
{
    check->is_key = is_key;
    return CHECK_TEXT;
}

static uint8_t
begin_literal(struct json_check *check, const char *rest)
{
    check->literal = rest;
    return CHECK_LITERAL;
}

static uint8_t
begin_value(struct json_check *check, char c)
{
    switch (c) {
    case '{':
    case '[':
        return open_container(check, c == '[');
    case '"':
        return begin_text(check, false);
    case '-':
        return CHECK_MINUS;
    case '0':
        return CHECK_ZERO;
    case 't':
        return begin_literal(check, "rue");
    case 'f':
        return begin_literal(check, "alse");
    case 'n':
        return begin_literal(check, "ull");
    default:
        return is_digit(c) ? CHECK_INTEGER : CHECK_FAILED;
    }
}

static uint8_t
after_value(struct json_check *check, char c)
{
    if (is_space(c))
        return CHECK_AFTER;
    if (check->depth == 0)
        return CHECK_FAILED;
    if (is_in_array(check))
        return c == ',' ? CHECK_VALUE : c == ']' ? close_container(check) : CHECK_FAILED;
    return c == ',' ? CHECK_KEY : c == '}' ? close_container(check) : CHECK_FAILED;
}

static uint8_t
within_text(struct json_check *check, char c)
{
    if (c == '"')
        return check->is_key ? CHECK_COLON : CHECK_AFTER;
    if (c == '\\')
        return CHECK_ESCAPE;
    return (unsigned char)c < 0x20 ? CHECK_FAILED : CHECK_TEXT;
}

static uint8_t
within_escape(struct json_check *check, char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return CHECK_TEXT;
    case 'u':
        check->left = 4;
        return CHECK_HEX;
    default:
        return CHECK_FAILED;
    }
}

static uint8_t
within_hex(struct json_check *check, char c)
{
    if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
        return CHECK_FAILED;
    return --check->left == 0 ? CHECK_TEXT : CHECK_HEX;
}

static uint8_t
within_literal(struct json_check *check, char c)
{
    if (c != *check->literal)
        return CHECK_FAILED;
    check->literal++;
    return *check->literal == '\0' ? CHECK_AFTER : CHECK_LITERAL;
}

/* Of a number: digits, point and exponent; anything else ends it where it may end. */
static uint8_t
within_number(struct json_check *check, char c)
{
    switch (check->state) {
    case CHECK_MINUS:
        return c == '0' ? CHECK_ZERO : is_digit(c) ? CHECK_INTEGER : CHECK_FAILED;
    case CHECK_POINT:
        return is_digit(c) ? CHECK_FRACTION : CHECK_FAILED;
    case CHECK_E:
        return c == '+' || c == '-' ? CHECK_E_SIGN : is_digit(c) ? CHECK_EXPONENT : CHECK_FAILED;
    case CHECK_E_SIGN:
        return is_digit(c) ? CHECK_EXPONENT : CHECK_FAILED;
    default:
        break;
    }
    if (is_digit(c))
        return check->state == CHECK_ZERO ? CHECK_FAILED : check->state;
    if (c == '.' && (check->state == CHECK_ZERO || check->state == CHECK_INTEGER))
        return CHECK_POINT;
    if ((c == 'e' || c == 'E') && check->state != CHECK_EXPONENT)
        return CHECK_E;
    return after_value(check, c);
}

static uint8_t
step(struct json_check *check, char c)
{
    switch ((enum check_state)check->state) {
    case CHECK_VALUE:
        return is_space(c) ? CHECK_VALUE : begin_value(check, c);
    case CHECK_VALUE_OR_CLOSE:
        if (is_space(c))
            return CHECK_VALUE_OR_CLOSE;
        return c == ']' ? close_container(check) : begin_value(check, c);
    case CHECK_KEY:
    case CHECK_KEY_OR_CLOSE:
        if (is_space(c))
            return check->state;
        if (c == '}' && check->state == CHECK_KEY_OR_CLOSE)
            return close_container(check);
        return c == '"' ? begin_text(check, true) : CHECK_FAILED;
    case CHECK_COLON:
        return is_space(c) ? CHECK_COLON : c == ':' ? CHECK_VALUE : CHECK_FAILED;
    case CHECK_AFTER:
        return after_value(check, c);
    case CHECK_TEXT:
        return within_text(check, c);
    case CHECK_ESCAPE:
        return within_escape(check, c);
    case CHECK_HEX:
        return within_hex(check, c);
    case CHECK_LITERAL:
        return within_literal(check, c);
    case CHECK_MINUS:
    case CHECK_ZERO:
    case CHECK_INTEGER:
    case CHECK_POINT:
    case CHECK_FRACTION:
    case CHECK_E:
    case CHECK_E_SIGN:
    case CHECK_EXPONENT:
        return within_number(check, c);
    case CHECK_FAILED:
        break;
    }
    return CHECK_FAILED;
}

bool
json_check_feed(struct json_check *check, const char *bytes, size_t len)
{
    const char *end = bytes + len;

    for (const char *at = bytes; at < end && check->state != CHECK_FAILED; at++)
        check->state = step(check, *at);
    return check->state != CHECK_FAILED;
}

bool
json_check_end(const struct json_check *check)
{
    return check->depth == 0 && (check->state == CHECK_AFTER || check->state == CHECK_ZERO ||
                                 check->state == CHECK_INTEGER || check->state == CHECK_FRACTION ||
                                 check->state == CHECK_EXPONENT);
}
