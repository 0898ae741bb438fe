/*
 * schema - one JSON Schema of a plan → struct schema.
 *
 * Layer 2, at the desk and the watcher. The usual part of JSON Schema 2020-12: the table at the end
 * of this file lists the keywords. One that is not in it is refused by name, since a mistyped one
 * would weaken the plan unseen; annotations that check nothing are passed over.
 *
 * What differs from the standard: an object with `properties` is closed where additionalProperties
 * is absent, since a plan is there to name what may come (docs/adr/0017-tracking-plan.md).
 */
#include "base/mem.h"
#include "codec/json_reader.h"
#include "plan/inside.h"
#include "plan/walk.h"
#include <stdlib.h>

#define SHOWN_BYTES_MAX 120

struct keyword {
    const char *name;
    enum err (*read)(struct reading *reading, const char *at, struct schema *schema);
};

/* --- small readers ----------------------------------------------------------------------------*/

static uint32_t
count_members(const char *at, const char *end)
{
    bool is_object = *at == '{';
    uint32_t count = 0;

    for (at = walk_first(at); *at != '}' && *at != ']'; at = walk_next(at)) {
        if (is_object)
            at = walk_colon(walk_value(at, end));
        at = walk_value(at, end);
        count++;
    }
    return count;
}

static enum err
want(struct reading *reading, const char *at, char first, const char *what)
{
    if (*at == first)
        return ERR_OK;
    return reading_refuse(reading, "must be %s, not %s", what, kind_shown(at));
}

static enum err
read_bound(struct reading *reading, const char *at, bool is_exclusive, struct bound *bound)
{
    const char *behind = walk_number(at, reading->end);
    struct slice text = slice_of(at, (size_t)(behind - at));

    if (text.len == 0)
        return reading_refuse(reading, "must be a number, not %s", kind_shown(at));
    if (bound->is_given)
        return reading_refuse(reading, "stands beside its exclusive or inclusive counterpart; "
                                       "give one of the two");
    text = arena_copy(&reading->plan->arena, text);
    if (text.ptr == NULL)
        return ERR_NOMEM;
    bound->is_given = true;
    bound->is_exclusive = is_exclusive;
    bound->shown = text;
    decimal_parse(text, &bound->decimal);
    if (bound->decimal.is_integer && bound->decimal.lead < 18) {
        int64_t small = 0;
        int32_t place = bound->decimal.lead;

        for (size_t i = 0; i < bound->decimal.digits.len; i++) {
            if (bound->decimal.digits.ptr[i] == '.')
                continue;
            small = small * 10 + (bound->decimal.digits.ptr[i] - '0');
            place--;
        }
        for (; bound->decimal.digits.len != 0 && place >= 0; place--)
            small *= 10;
        bound->is_small = true;
        bound->small = bound->decimal.is_negative ? -small : small;
    }
    return ERR_OK;
}

static enum err
read_length(struct reading *reading, const char *at, uint32_t *ret_length)
{
    const char *behind = walk_number(at, reading->end);
    struct decimal decimal;
    uint64_t length = 0;

    if (behind == at)
        return reading_refuse(reading, "must be a number, not %s", kind_shown(at));
    decimal_parse(slice_of(at, (size_t)(behind - at)), &decimal);
    if (!decimal.is_integer || (decimal.is_negative && decimal.digits.len != 0) || decimal.lead > 9)
        return reading_refuse(reading, "must be a whole number, 0 to %d", PLAN_LENGTH_MAX);
    for (int32_t place = decimal.lead, i = 0; decimal.digits.len != 0 && place >= 0; i++) {
        bool is_past = (size_t)i >= decimal.digits.len;

        if (!is_past && decimal.digits.ptr[i] == '.')
            continue;
        length = length * 10 + (is_past ? 0 : (uint64_t)(decimal.digits.ptr[i] - '0'));
        place--;
    }
    if (length > PLAN_LENGTH_MAX)
        return reading_refuse(reading, "must be a whole number, 0 to %d", PLAN_LENGTH_MAX);
    *ret_length = (uint32_t)length;
    return ERR_OK;
}

/* --- keywords ---------------------------------------------------------------------------------*/

static enum err
read_annotation(struct reading *reading, const char *at, struct schema *schema)
{
    (void)reading;
    (void)at;
    (void)schema;
    return ERR_OK;
}

static enum err
add_kind(struct reading *reading, const char *at, struct schema *schema, const char **ret_behind)
{
    static const struct {
        const char *name;
        uint32_t kind;
    } kinds[] = {{"null", KIND_NULL},     {"boolean", KIND_BOOLEAN}, {"integer", KIND_INTEGER},
                 {"number", KIND_NUMBER}, {"string", KIND_STRING},   {"array", KIND_ARRAY},
                 {"object", KIND_OBJECT}};
    struct slice name;
    enum err err = want(reading, at, '"', "the name of a type in quotes, or a list of them");

    if (err == ERR_OK)
        err = reading_text(reading, at, &name, ret_behind);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (!slice_equal(name, slice_of_text(kinds[i].name)))
            continue;
        if ((schema->kinds & kinds[i].kind) != 0)
            return reading_refuse(reading, "lists \"%s\" twice", kinds[i].name);
        schema->kinds |= kinds[i].kind;
        return ERR_OK;
    }
    return reading_refuse(reading,
                          "there is no type \"%.*s\"; there are: null, boolean, integer, number, "
                          "string, array, object",
                          (int)(name.len < 40 ? name.len : 40), name.ptr);
}

static enum err
read_type(struct reading *reading, const char *at, struct schema *schema)
{
    enum err err = ERR_OK;

    if (*at != '[')
        return add_kind(reading, at, schema, &at);
    at = walk_first(at);
    if (*at == ']')
        return reading_refuse(reading, "is an empty list: name at least one type");
    for (; err == ERR_OK && *at != ']'; at = walk_next(at))
        err = add_kind(reading, at, schema, &at);
    return err;
}

/* One value of enum, or const's. */
static enum err
add_choice(struct reading *reading, const char *at, struct choices *choices)
{
    const char *behind = walk_value(at, reading->end);
    struct slice text;
    enum err err;

    switch (*at) {
    case '"':
        err = reading_text(reading, at, &text, &behind);
        if (err == ERR_OK && names_find(&choices->texts, text) == NULL &&
            names_add(&choices->texts, text) == NULL)
            err = ERR_NOMEM;
        return err;
    case '{':
    case '[':
        return reading_refuse(reading, "may list texts, numbers, true, false and null, not %s",
                              kind_shown(at));
    case 'n':
        choices->has_null = true;
        return ERR_OK;
    case 't':
        choices->has_true = true;
        return ERR_OK;
    case 'f':
        choices->has_false = true;
        return ERR_OK;
    default:
        text = arena_copy(&reading->plan->arena, slice_of(at, (size_t)(behind - at)));
        if (text.ptr == NULL)
            return ERR_NOMEM;
        decimal_parse(text, &choices->numbers[choices->number_count++]);
        return ERR_OK;
    }
}

/* A start of `text` that ends between two characters. */
static struct slice
cut(struct slice text, size_t len)
{
    if (text.len <= len)
        return text;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    return slice_of(text.ptr, len);
}

static enum err
begin_choices(struct reading *reading, const char *at, uint32_t count, struct choices *choices)
{
    struct arena *arena = &reading->plan->arena;
    struct slice whole = slice_of(at, (size_t)(walk_value(at, reading->end) - at));
    struct slice shown = cut(whole, SHOWN_BYTES_MAX);

    if (choices->are_given)
        return reading_refuse(reading,
                              "enum and const stand beside each other; give one of the two");
    choices->are_given = true;
    choices->numbers = ARENA_NEW(arena, struct decimal, count);
    choices->shown =
        arena_printf(arena, "%.*s%s", SLICE_ARGS(shown), shown.len < whole.len ? " …" : "");
    if (!names_init(&choices->texts, arena, count) || choices->numbers == NULL ||
        choices->shown.ptr == NULL)
        return ERR_NOMEM;
    return ERR_OK;
}

static int
compare_numbers(const void *left, const void *right)
{
    return decimal_compare((const struct decimal *)left, (const struct decimal *)right);
}

static enum err
read_enum(struct reading *reading, const char *at, struct schema *schema)
{
    enum err err = want(reading, at, '[', "a list of values");
    uint32_t count = err == ERR_OK ? count_members(at, reading->end) : 0;

    if (err != ERR_OK)
        return err;
    if (count == 0 || count > PLAN_ENUM_MAX)
        return reading_refuse(reading, "lists %u values; 1 to %d are allowed", (unsigned)count,
                              PLAN_ENUM_MAX);
    err = begin_choices(reading, at, count, &schema->choices);
    for (at = walk_first(at); err == ERR_OK && *at != ']'; at = walk_next(at)) {
        err = add_choice(reading, at, &schema->choices);
        at = walk_value(at, reading->end);
    }
    if (err == ERR_OK && schema->choices.number_count > 1)
        qsort(schema->choices.numbers, schema->choices.number_count,
              sizeof(*schema->choices.numbers), compare_numbers);
    return err;
}

static enum err
read_const(struct reading *reading, const char *at, struct schema *schema)
{
    enum err err = begin_choices(reading, at, 1, &schema->choices);

    return err == ERR_OK ? add_choice(reading, at, &schema->choices) : err;
}

static enum err
read_minimum(struct reading *reading, const char *at, struct schema *schema)
{
    return read_bound(reading, at, false, &schema->minimum);
}

static enum err
read_maximum(struct reading *reading, const char *at, struct schema *schema)
{
    return read_bound(reading, at, false, &schema->maximum);
}

static enum err
read_exclusive_minimum(struct reading *reading, const char *at, struct schema *schema)
{
    return read_bound(reading, at, true, &schema->minimum);
}

static enum err
read_exclusive_maximum(struct reading *reading, const char *at, struct schema *schema)
{
    return read_bound(reading, at, true, &schema->maximum);
}

static enum err
read_length_min(struct reading *reading, const char *at, struct schema *schema)
{
    return read_length(reading, at, &schema->length_min);
}

static enum err
read_length_max(struct reading *reading, const char *at, struct schema *schema)
{
    return read_length(reading, at, &schema->length_max);
}

static enum err
read_items_min(struct reading *reading, const char *at, struct schema *schema)
{
    return read_length(reading, at, &schema->items_min);
}

static enum err
read_items_max(struct reading *reading, const char *at, struct schema *schema)
{
    return read_length(reading, at, &schema->items_max);
}

static enum err
read_pattern(struct reading *reading, const char *at, struct schema *schema)
{
    struct plan *plan = reading->plan;
    struct diag why = DIAG_INIT;
    enum err err = want(reading, at, '"', "a regular expression in quotes");

    if (err == ERR_OK)
        err = reading_text(reading, at, &schema->pattern_text, &at);
    if (err != ERR_OK)
        return err;
    if (schema->pattern_text.len > PLAN_PATTERN_BYTES_MAX)
        return reading_refuse(reading, "has %zu bytes, at most %d are allowed",
                              schema->pattern_text.len, PLAN_PATTERN_BYTES_MAX);
    if (plan->pattern_count == PLAN_PATTERNS_MAX)
        return reading_refuse(reading, "is one pattern too many: a plan may have %d",
                              PLAN_PATTERNS_MAX);
    err = pattern_new(schema->pattern_text, &schema->pattern, &why);
    if (err == ERR_INVALID)
        return reading_refuse(reading,
                              "is no regular expression that is known here (RE2 syntax, no "
                              "backreferences nor lookaround): %s",
                              why.message);
    if (err != ERR_OK)
        return err;
    plan->patterns[plan->pattern_count++] = schema->pattern;
    schema->has_pattern = true;
    return sequence_compile(schema->pattern_text, &plan->arena, &schema->sequence) ? ERR_OK
                                                                                   : ERR_NOMEM;
}

static enum err
read_items(struct reading *reading, const char *at, struct schema *schema)
{
    if (*at == '[')
        return reading_refuse(reading, "must be one schema for all items, not a list");
    return schema_compile(reading, at, false, &schema->items);
}

/* Names of properties and of required: all have room in one table. Keys are told apart as they are
 * read, decoded. */
static enum err
make_names(struct reading *reading, const char *at, struct schema *schema)
{
    uint32_t count = 0;

    if (schema->names.list != NULL)
        return ERR_OK;
    for (at = walk_first(at); *at != '}'; at = walk_next(at)) {
        struct slice key;
        enum err err = reading_text(reading, at, &key, &at);

        if (err != ERR_OK)
            return err;
        at = walk_colon(at);
        if ((slice_equal(key, SLICE("properties")) && *at == '{') ||
            (slice_equal(key, SLICE("required")) && *at == '['))
            count += count_members(at, reading->end);
        at = walk_value(at, reading->end);
    }
    if (count > 2 * PLAN_PROPERTIES_MAX + 2)
        count = 2 * PLAN_PROPERTIES_MAX + 2; /* refused before that many are added */
    return names_init(&schema->names, &reading->plan->arena, count) ? ERR_OK : ERR_NOMEM;
}

/* NULL: refused. */
static struct name *
take_name(struct reading *reading, struct slice text, struct schema *schema)
{
    struct name *name = names_find(&schema->names, text);

    if (name != NULL)
        return name;
    if (schema->names.count == PLAN_PROPERTIES_MAX) {
        (void)reading_refuse(reading, "one property too many: an object may have %d",
                             PLAN_PROPERTIES_MAX);
        return NULL;
    }
    if (text.len > PLAN_NAME_BYTES_MAX) {
        (void)reading_refuse(reading, "a name of %zu bytes, at most %d are allowed", text.len,
                             PLAN_NAME_BYTES_MAX);
        return NULL;
    }
    name = names_add(&schema->names, text);
    if (name == NULL)
        (void)reading_refuse(reading, "one name too many");
    return name;
}

static enum err
read_properties(struct reading *reading, const char *at, struct schema *schema)
{
    enum err err = want(reading, at, '{', "an object of schemas");

    if (err != ERR_OK)
        return err;
    for (at = walk_first(at); *at != '}'; at = walk_next(at)) {
        struct slice text;
        struct name *name;
        const struct schema *inner = NULL;
        size_t before;

        err = reading_text(reading, at, &text, &at);
        if (err != ERR_OK)
            return err;
        name = take_name(reading, text, schema);
        if (name == NULL)
            return ERR_INVALID_PLAN;
        before = reading_down(reading, text);
        at = walk_colon(at);
        err = schema_compile(reading, at, false, &inner);
        if (err != ERR_OK)
            return err;
        name->value = inner;
        reading_up(reading, before);
        at = walk_value(at, reading->end);
    }
    return ERR_OK;
}

static enum err
read_required(struct reading *reading, const char *at, struct schema *schema)
{
    enum err err = want(reading, at, '[', "a list of names");

    if (err != ERR_OK)
        return err;
    for (at = walk_first(at); *at != ']'; at = walk_next(at)) {
        struct slice text;
        struct name *name;

        err = want(reading, at, '"', "a list of names in quotes");
        if (err == ERR_OK)
            err = reading_text(reading, at, &text, &at);
        if (err != ERR_OK)
            return err;
        name = take_name(reading, text, schema);
        if (name == NULL)
            return ERR_INVALID_PLAN;
        if (name->required != NOT_REQUIRED)
            return reading_refuse(reading, "names \"%.*s\" twice",
                                  (int)(text.len < 60 ? text.len : 60), text.ptr);
        if (schema->required_count == PLAN_REQUIRED_MAX)
            return reading_refuse(reading, "names over %d properties", PLAN_REQUIRED_MAX);
        name->required = schema->required_count++;
    }
    return ERR_OK;
}

static enum err
read_additional(struct reading *reading, const char *at, struct schema *schema)
{
    schema->is_closed = *at == 'f';
    if (*at == 'f' || *at == 't')
        return ERR_OK;
    return schema_compile(reading, at, false, &schema->additional);
}

/* In the order in which they are read. */
static const struct keyword keywords[] = {
    {"type", read_type},
    {"enum", read_enum},
    {"const", read_const},
    {"minimum", read_minimum},
    {"maximum", read_maximum},
    {"exclusiveMinimum", read_exclusive_minimum},
    {"exclusiveMaximum", read_exclusive_maximum},
    {"minLength", read_length_min},
    {"maxLength", read_length_max},
    {"pattern", read_pattern},
    {"items", read_items},
    {"minItems", read_items_min},
    {"maxItems", read_items_max},
    {"properties", read_properties},
    {"required", read_required},
    {"additionalProperties", read_additional},
    {"title", read_annotation},
    {"description", read_annotation},
    {"$schema", read_annotation},
    {"$comment", read_annotation},
    {"default", read_annotation},
    {"examples", read_annotation},
};

static const struct keyword *
find_keyword(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(keywords); i++) {
        if (slice_equal(name, slice_of_text(keywords[i].name)))
            return &keywords[i];
    }
    return NULL;
}

/* --- a schema ---------------------------------------------------------------------------------*/

static enum err
refuse_keyword(struct reading *reading, struct slice name)
{
    return reading_refuse(reading,
                          "the keyword \"%.*s\" is not known; there are: type, enum, const, "
                          "minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength, "
                          "maxLength, pattern, items, minItems, maxItems, properties, required, "
                          "additionalProperties (and title, description, $schema, $comment, "
                          "default, examples, which check nothing)",
                          (int)(name.len < 60 ? name.len : 60), name.ptr);
}

/* What the members of one schema have told, beside what stands in it. */
struct told {
    struct schema *schema;
    bool is_open_told;
    bool has_properties;
};

static enum err
read_member(struct reading *reading, struct slice name, const char *at, void *state)
{
    struct told *told = state;
    const struct keyword *keyword = find_keyword(name);

    if (keyword == NULL)
        return refuse_keyword(reading, name);
    told->is_open_told = told->is_open_told || slice_equal(name, SLICE("additionalProperties"));
    told->has_properties = told->has_properties || slice_equal(name, SLICE("properties"));
    return keyword->read(reading, at, told->schema);
}

static enum err
read_members(struct reading *reading, const char *at, bool is_root, struct schema *schema)
{
    struct told told = {.schema = schema};
    enum err err = reading_members(reading, at, read_member, &told);

    if (err != ERR_OK)
        return err;
    if (!told.is_open_told)
        schema->is_closed = is_root || told.has_properties;
    return ERR_OK;
}

enum err
schema_compile(struct reading *reading, const char *at, bool is_root,
               const struct schema **ret_schema)
{
    struct schema *schema = ARENA_NEW(&reading->plan->arena, struct schema, 1);
    enum err err = ERR_OK;

    if (schema == NULL)
        return ERR_NOMEM;
    schema->number = reading->plan->schema_count++;
    schema->length_max = schema->items_max = UINT32_MAX;
    if (!is_root && (*at == 't' || *at == 'f')) {
        schema->is_nothing = *at == 'f';
        *ret_schema = schema;
        return ERR_OK;
    }
    if (*at != '{')
        return reading_refuse(reading, "must be a JSON Schema (an object), not %s", kind_shown(at));
    if (reading->depth == PLAN_DEPTH_MAX)
        return reading_refuse(reading, "schemas may stand %d deep within each other; flatten it",
                              PLAN_DEPTH_MAX);
    reading->depth++;
    err = make_names(reading, at, schema);
    if (err == ERR_OK)
        err = read_members(reading, at, is_root, schema);
    for (uint32_t i = 0; err == ERR_OK && i < schema->names.count; i++)
        if (!names_quote(&schema->names.list[i], &reading->plan->arena))
            err = ERR_NOMEM;
    reading->depth--;
    if (err == ERR_OK && is_root && schema->kinds != 0 && (schema->kinds & KIND_OBJECT) == 0)
        return reading_refuse(reading, "the type of properties can be nothing but \"object\"");
    if (err == ERR_OK)
        *ret_schema = schema;
    return err;
}
