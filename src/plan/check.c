/*
 * check - do the properties of an event fit their schema? See plan.h.
 *
 * Layer 2, on the loops, for every event of a type in mode warn or enforce. One walk over the bytes
 * as they were sent; nothing is allocated. A crumb on the stack stands for each level, so that the
 * path of what differs is written only when something does. Texts with escapes are decoded into the
 * thread's scratch where their content is asked for.
 *
 * Most numbers are short and their bounds whole: those are compared as whole part and "is there a
 * fraction"; the others digit by digit (decimal.h). Neither rounds.
 */
#include "base/mem.h"
#include "codec/json_reader.h"
#include "codec/utf8.h"
#include "plan/inside.h"
#include "plan/walk.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define FAST_DIGITS 18
#define REQUIRED_WORDS (PLAN_REQUIRED_MAX / 64)
#define SHOWN_BYTES 60

struct check {
    const char *end;
    struct plan_scratch *scratch;
    struct slice type;
    bool is_nomem;
    struct diag *diag;
};

/* Where the check stands: a member or an element within those above. */
struct crumb {
    const struct crumb *up;
    struct slice key; /* decoded; of an element ptr NULL */
    uint32_t index;
};

static const char *check_value(struct check *check, const struct schema *schema, const char *at,
                               const struct crumb *crumb);

/* --- telling: cold ----------------------------------------------------------------------------*/

static size_t
add_part(char *path, size_t len, struct slice part)
{
    const char *at = part.ptr, *end = part.ptr + part.len;

    while (at < end) {
        size_t width = utf8_sequence(at, end);
        bool is_printable = width > 1 || (width == 1 && (unsigned char)*at >= 0x20 && *at != 0x7F);

        width = width == 0 ? 1 : width;
        if (len + width >= DIAG_FIELD_MAX)
            break;
        if (is_printable)
            memcpy(path + len, at, width);
        else
            path[len] = '?';
        len += is_printable ? width : 1;
        at += width;
    }
    path[len] = '\0';
    return len;
}

static size_t
add_path(char *path, const struct crumb *crumb)
{
    char number[16];
    size_t len;

    if (crumb == NULL)
        return add_part(path, 0, SLICE("properties"));
    len = add_path(path, crumb->up);
    if (crumb->key.ptr == NULL) {
        int written = snprintf(number, sizeof(number), "[%u]", (unsigned)crumb->index);

        return add_part(path, len, slice_of(number, (size_t)written));
    }
    return add_part(path, add_part(path, len, SLICE(".")), crumb->key);
}

/* Always NULL: nothing of the event is looked at any more. */
static const char *__attribute__((cold, noinline, format(printf, 3, 4)))
refuse(struct check *check, const struct crumb *crumb, const char *format, ...)
{
    char path[DIAG_FIELD_MAX];
    char words[DIAG_MESSAGE_MAX];
    va_list args;

    (void)add_path(path, crumb);
    va_start(args, format);
    (void)vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    diag_set_field(check->diag, path, "%s: %s", path, words);
    return NULL;
}

/* A start of the value as it was sent. */
static struct slice
shown(const struct check *check, const char *at)
{
    struct slice text = slice_of(at, (size_t)(walk_value(at, check->end) - at));

    return text.len <= SHOWN_BYTES ? text : utf8_cut(text, SHOWN_BYTES);
}

static const char *__attribute__((cold, noinline))
refuse_kind(struct check *check, const struct schema *schema, const char *at,
            const struct crumb *crumb)
{
    static const struct {
        uint32_t kind;
        const char *name;
    } kinds[] = {{KIND_NULL, "null"},     {KIND_BOOLEAN, "boolean"}, {KIND_INTEGER, "integer"},
                 {KIND_NUMBER, "number"}, {KIND_STRING, "string"},   {KIND_ARRAY, "array"},
                 {KIND_OBJECT, "object"}};
    char wanted[80] = "";
    size_t len = 0;

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if ((schema->kinds & kinds[i].kind) == 0)
            continue;
        len += (size_t)snprintf(wanted + len, sizeof(wanted) - len, "%s%s", len != 0 ? " or " : "",
                                kinds[i].name);
    }
    return refuse(check, crumb, "must be %s by the tracking plan of %.*s, not %.*s", wanted,
                  SLICE_ARGS(utf8_cut(check->type, SHOWN_BYTES)), SLICE_ARGS(shown(check, at)));
}

static const char *__attribute__((cold, noinline))
refuse_choice(struct check *check, const struct schema *schema, const char *at,
              const struct crumb *crumb)
{
    return refuse(check, crumb, "must be one of %.*s, not %.*s", SLICE_ARGS(schema->choices.shown),
                  SLICE_ARGS(shown(check, at)));
}

/* --- numbers ----------------------------------------------------------------------------------*/

struct number {
    struct slice text;
    bool is_fast; /* no exponent, at most 18 digits before the point: the next three hold */
    bool is_negative;
    bool has_fraction; /* a digit behind the point that is not 0 */
    int64_t whole;     /* without the fraction and the sign */
};

static const char *
read_number(const char *at, const char *end, struct number *ret)
{
    const char *begin = at;
    const char *digits;
    int64_t whole = 0;

    ret->is_negative = *at == '-';
    ret->has_fraction = false;
    at += ret->is_negative ? 1 : 0;
    for (digits = at; at < end && (unsigned char)(*at - '0') <= 9; at++)
        whole = at - digits < FAST_DIGITS ? whole * 10 + (*at - '0') : whole;
    ret->is_fast = at - digits <= FAST_DIGITS;
    ret->whole = whole;
    if (at < end && *at == '.') {
        for (at++; at < end && (unsigned char)(*at - '0') <= 9; at++)
            ret->has_fraction |= *at != '0';
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        ret->is_fast = false;
        at = walk_number(at, end);
    }
    ret->text = slice_of(begin, (size_t)(at - begin));
    return at;
}

static bool
is_integer(const struct number *number)
{
    struct decimal decimal;

    if (number->is_fast)
        return !number->has_fraction;
    decimal_parse(number->text, &decimal);
    return decimal.is_integer;
}

/* <0, 0, >0 as the number is below, at, above the bound. */
static int
compare_bound(const struct number *number, const struct bound *bound)
{
    struct decimal decimal;

    if (number->is_fast && bound->is_small) {
        int64_t whole = number->is_negative ? -number->whole : number->whole;

        if (whole != bound->small)
            return whole < bound->small ? -1 : 1;
        return !number->has_fraction ? 0 : number->is_negative ? -1 : 1;
    }
    decimal_parse(number->text, &decimal);
    return decimal_compare(&decimal, &bound->decimal);
}

static bool
is_chosen_number(const struct choices *choices, struct slice text)
{
    struct decimal decimal;
    uint32_t low = 0;
    uint32_t high = choices->number_count;

    if (choices->number_count == 0)
        return false;
    decimal_parse(text, &decimal);
    while (low < high) { /* they are sorted */
        const uint32_t middle = low + (high - low) / 2;
        const int order = decimal_compare(&decimal, &choices->numbers[middle]);

        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static const char *
refuse_bound(struct check *check, const struct crumb *crumb, const char *at, const char *word,
             const struct bound *bound)
{
    return refuse(check, crumb, "must be %s %.*s, not %.*s", word, SLICE_ARGS(bound->shown),
                  SLICE_ARGS(shown(check, at)));
}

static const char *
check_number(struct check *check, const struct schema *schema, const char *at,
             const struct crumb *crumb)
{
    struct number number;
    const char *behind = read_number(at, check->end, &number);

    if (schema->kinds != 0 && (schema->kinds & KIND_NUMBER) == 0 &&
        ((schema->kinds & KIND_INTEGER) == 0 || !is_integer(&number)))
        return refuse_kind(check, schema, at, crumb);
    if (schema->choices.are_given && !is_chosen_number(&schema->choices, number.text))
        return refuse_choice(check, schema, at, crumb);
    if (schema->minimum.is_given &&
        compare_bound(&number, &schema->minimum) < (schema->minimum.is_exclusive ? 1 : 0))
        return refuse_bound(check, crumb, at,
                            schema->minimum.is_exclusive ? "greater than" : "at least",
                            &schema->minimum);
    if (schema->maximum.is_given &&
        compare_bound(&number, &schema->maximum) > (schema->maximum.is_exclusive ? -1 : 0))
        return refuse_bound(check, crumb, at,
                            schema->maximum.is_exclusive ? "less than" : "at most",
                            &schema->maximum);
    return behind;
}

/* --- texts ------------------------------------------------------------------------------------*/

/* Escapes resolved, in the scratch. */
static struct slice
decode(const struct check *check, struct slice raw)
{
    struct json_text text = {.ptr = raw.ptr, .len = raw.len, .is_escaped = true};

    return json_text_decode_into(&text, check->scratch->text);
}

static uint64_t
count_characters(struct slice text)
{
    uint64_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return count;
}

static const char *
check_pattern(struct check *check, const struct schema *schema, const char *at, struct slice text,
              const char *behind, const struct crumb *crumb)
{
    enum pattern_found found;

    if (schema->sequence != NULL)
        found = sequence_matches(schema->sequence, text) ? PATTERN_FOUND : PATTERN_ABSENT;
    else
        found = pattern_find(schema->pattern, text);
    if (found == PATTERN_FOUND)
        return behind;
    if (found == PATTERN_NOMEM) {
        check->is_nomem = true;
        return NULL;
    }
    return refuse(check, crumb, "must match the pattern %.*s, %.*s does not",
                  SLICE_ARGS(utf8_cut(schema->pattern_text, 4 * SHOWN_BYTES)),
                  SLICE_ARGS(shown(check, at)));
}

static const char *
check_text_content(struct check *check, const struct schema *schema, const char *at,
                   struct slice text, const char *behind, const struct crumb *crumb)
{
    if (schema->choices.are_given && names_find(&schema->choices.texts, text) == NULL)
        return refuse_choice(check, schema, at, crumb);
    /* A character has one to four bytes: mostly their number is enough. */
    if (schema->length_max < text.len || text.len / 4 < schema->length_min) {
        uint64_t count = count_characters(text);

        if (count < schema->length_min)
            return refuse(check, crumb, "has %llu characters, at least %u are needed",
                          (unsigned long long)count, (unsigned)schema->length_min);
        if (count > schema->length_max)
            return refuse(check, crumb, "has %llu characters, at most %u are allowed",
                          (unsigned long long)count, (unsigned)schema->length_max);
    }
    return schema->has_pattern ? check_pattern(check, schema, at, text, behind, crumb) : behind;
}

static const char *
check_text(struct check *check, const struct schema *schema, const char *at,
           const struct crumb *crumb)
{
    struct slice text;
    bool is_escaped;
    const char *behind = walk_text(at, check->end, &text, &is_escaped);

    if (schema->kinds != 0 && (schema->kinds & KIND_STRING) == 0)
        return refuse_kind(check, schema, at, crumb);
    if (is_escaped)
        text = decode(check, text);
    return check_text_content(check, schema, at, text, behind, crumb);
}

static const char *
check_literal(struct check *check, const struct schema *schema, const char *at,
              const struct crumb *crumb)
{
    uint32_t kind = *at == 'n' ? KIND_NULL : KIND_BOOLEAN;
    const struct choices *choices = &schema->choices;

    if (schema->kinds != 0 && (schema->kinds & kind) == 0)
        return refuse_kind(check, schema, at, crumb);
    if (choices->are_given && !(*at == 'n'   ? choices->has_null
                                : *at == 't' ? choices->has_true
                                             : choices->has_false))
        return refuse_choice(check, schema, at, crumb);
    return walk_literal(at);
}

/* --- containers -------------------------------------------------------------------------------*/

static const char *
check_array(struct check *check, const struct schema *schema, const char *at,
            const struct crumb *crumb)
{
    struct crumb here = {.up = crumb};

    if (schema->kinds != 0 && (schema->kinds & KIND_ARRAY) == 0)
        return refuse_kind(check, schema, at, crumb);
    if (schema->choices.are_given)
        return refuse_choice(check, schema, at, crumb);
    for (at = walk_first(at); *at != ']'; at = walk_next(at), here.index++) {
        at = schema->items == NULL ? walk_value(at, check->end)
                                   : check_value(check, schema->items, at, &here);
        if (at == NULL)
            return NULL;
    }
    if (here.index < schema->items_min)
        return refuse(check, crumb, "has %u items, at least %u are needed", (unsigned)here.index,
                      (unsigned)schema->items_min);
    if (here.index > schema->items_max)
        return refuse(check, crumb, "has %u items, at most %u are allowed", (unsigned)here.index,
                      (unsigned)schema->items_max);
    return at + 1;
}

static const char *__attribute__((cold, noinline))
refuse_unknown(struct check *check, const struct crumb *crumb)
{
    return refuse(check, crumb,
                  "is not in the tracking plan of %.*s; correct the name, or add it to the plan",
                  SLICE_ARGS(utf8_cut(check->type, SHOWN_BYTES)));
}

/* Some that are required did not come: tells of the first, in the order of `required`. */
static const char *__attribute__((cold, noinline))
refuse_missing(struct check *check, const struct schema *schema, const uint64_t *seen,
               const struct crumb *crumb)
{
    const struct name *missing = NULL;

    for (uint32_t i = 0; i < schema->names.count; i++) {
        const struct name *name = &schema->names.list[i];

        if (name->required != NOT_REQUIRED &&
            (seen[name->required / 64] >> name->required % 64 & 1) == 0 &&
            (missing == NULL || name->required < missing->required))
            missing = name;
    }
    assert(missing != NULL); /* fewer were seen than are required */
    return refuse(check, &(struct crumb){.up = crumb, .key = missing->text},
                  "is missing; the tracking plan of %.*s requires it",
                  SLICE_ARGS(utf8_cut(check->type, SHOWN_BYTES)));
}

/* Longer keys are in no plan: what is decoded is then a start of the key, for the path. */
static struct slice
decode_key(const struct check *check, struct slice raw, char *room)
{
    struct slice text = decode(check, raw);

    if (text.len > PLAN_NAME_BYTES_MAX)
        text.len = PLAN_NAME_BYTES_MAX + 1;
    memcpy(room, text.ptr, text.len);
    return slice_of(room, text.len);
}

static const char *
check_member(struct check *check, const struct schema *schema, const struct name *name,
             const char *at, const struct crumb *here)
{
    const struct schema *wanted =
        name != NULL && name->value != NULL ? name->value : schema->additional;

    if (wanted != NULL)
        return check_value(check, wanted, at, here);
    if ((name == NULL || name->value == NULL) && schema->is_closed)
        return refuse_unknown(check, here);
    return walk_value(at, check->end);
}

/* Where the guess of the name behind `last` stands; 0: the first member. */
static uint16_t *
hint_of(const struct check *check, const struct schema *schema, uint32_t last)
{
    return &check->scratch->next[(schema->number * 37 + last) & (PLAN_HINTS - 1)];
}

/* The name of the member at `at` if it is the one that came here the last time, NULL if not. */
static const struct name *
guess(const struct schema *schema, uint16_t hint, const char *at, const char *end)
{
    if (hint >= schema->names.count || !names_is_at(&schema->names.list[hint], at, end))
        return NULL;
    return &schema->names.list[hint];
}

/* Decodes the key at `at`; gives the place of the value, and the name it has in the schema. */
static const char *
read_key(const struct check *check, const struct schema *schema, const char *at, char *room,
         struct slice *ret_key, const struct name **ret_name)
{
    bool is_escaped;

    at = walk_text(at, check->end, ret_key, &is_escaped);
    if (is_escaped)
        *ret_key = decode_key(check, *ret_key, room);
    *ret_name = names_find(&schema->names, *ret_key);
    return walk_colon(at);
}

/*
 * Senders write the members of one type mostly in one order: each is compared with the one that
 * came there the last time, bytes with bytes, before it is read and searched for.
 */
static const char *
check_object(struct check *check, const struct schema *schema, const char *at,
             const struct crumb *crumb)
{
    uint64_t seen[REQUIRED_WORDS] = {0};
    uint32_t seen_count = 0;
    uint32_t last = 0;
    char room[PLAN_NAME_BYTES_MAX + 1]; /* a key with escapes, while its value is looked at */

    if (schema->kinds != 0 && (schema->kinds & KIND_OBJECT) == 0)
        return refuse_kind(check, schema, at, crumb);
    if (schema->choices.are_given)
        return refuse_choice(check, schema, at, crumb);
    for (at = walk_first(at); *at != '}'; at = walk_next(at)) {
        uint16_t *hint = hint_of(check, schema, last);
        struct crumb here = {.up = crumb};
        const struct name *name = guess(schema, *hint, at, check->end);

        if (name != NULL) {
            here.key = name->text;
            at = walk_space(at + name->text.len + NAMES_QUOTES);
        } else {
            at = read_key(check, schema, at, room, &here.key, &name);
            if (name != NULL)
                *hint = (uint16_t)(name - schema->names.list);
        }
        last = name != NULL ? 1 + (uint32_t)(name - schema->names.list) : 0;
        if (name != NULL && name->required != NOT_REQUIRED) {
            seen[name->required / 64] |= UINT64_C(1) << name->required % 64;
            seen_count++;
        }
        at = check_member(check, schema, name, at, &here);
        if (at == NULL)
            return NULL;
    }
    if (seen_count != schema->required_count) /* no key stands twice: that was judged before */
        return refuse_missing(check, schema, seen, crumb);
    return at + 1;
}

/* Behind the value; NULL: it differs, which has been told. */
static const char *
check_value(struct check *check, const struct schema *schema, const char *at,
            const struct crumb *crumb)
{
    if (schema->is_nothing)
        return refuse(check, crumb, "may not be sent: its schema in the tracking plan is false");
    switch (*at) {
    case '"':
        return check_text(check, schema, at, crumb);
    case '{':
        return check_object(check, schema, at, crumb);
    case '[':
        return check_array(check, schema, at, crumb);
    case 't':
    case 'f':
    case 'n':
        return check_literal(check, schema, at, crumb);
    default:
        return check_number(check, schema, at, crumb);
    }
}

bool
schema_check(const struct schema *schema, struct slice type, struct slice properties,
             struct plan_scratch *scratch, bool *ret_is_nomem, struct diag *diag)
{
    struct slice text = properties.ptr != NULL ? properties : SLICE("{}");
    struct check check = {
        .end = text.ptr + text.len, .scratch = scratch, .type = type, .diag = diag};
    bool fits = check_value(&check, schema, walk_space(text.ptr), NULL) != NULL;

    *ret_is_nomem = check.is_nomem;
    return fits;
}
