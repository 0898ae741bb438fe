/*
 * compile - a plan's document → struct plan; its life; counts of violations. See plan.h.
 *
 * The document is read once by json_reader, for its syntax, repeated keys, numbers that could not
 * be kept; from then on it is known to be valid, and is walked (walk.h).
 */
#include "base/mem.h"
#include "codec/json_reader.h"
#include "plan/inside.h"
#include "plan/walk.h"

#include <stdarg.h>
#include <stdio.h>

#define ARENA_BLOCK_BYTES (16 * 1024)
#define ARENA_BYTES_MAX (UINT64_C(256) * 1024 * 1024)

static const char *const mode_names[] = {
    [PLAN_OBSERVE] = "observe", [PLAN_WARN] = "warn", [PLAN_ENFORCE] = "enforce"};

const char *
plan_mode_name(enum plan_mode mode)
{
    return mode_names[mode];
}

bool
plan_mode_parse(struct slice text, enum plan_mode *ret_mode)
{
    for (size_t i = 0; i < COUNT_OF(mode_names); i++) {
        if (slice_equal(text, slice_of_text(mode_names[i]))) {
            *ret_mode = (enum plan_mode)i;
            return true;
        }
    }
    return false;
}

/* --- the path and its errors ------------------------------------------------------------------*/

size_t
reading_down(struct reading *reading, struct slice part)
{
    size_t before = reading->path_len;
    int len = snprintf(reading->path + before, sizeof(reading->path) - before, "%s%.*s",
                       before != 0 ? "." : "", (int)(part.len < 256 ? part.len : 256), part.ptr);

    if (len > 0)
        reading->path_len = before + (size_t)len < sizeof(reading->path)
                                ? before + (size_t)len
                                : sizeof(reading->path) - 1;
    return before;
}

void
reading_up(struct reading *reading, size_t path_len)
{
    reading->path_len = path_len;
    reading->path[path_len] = '\0';
}

enum err
reading_refuse(struct reading *reading, const char *format, ...)
{
    char words[DIAG_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    if (reading->path_len != 0)
        diag_set_field(reading->diag, reading->path, "%s: %s", reading->path, words);
    else
        diag_set(reading->diag, "the plan %s", words);
    return ERR_INVALID_PLAN;
}

enum err
reading_text(struct reading *reading, const char *at, struct slice *ret_text,
             const char **ret_behind)
{
    struct json_text text = {0};
    struct slice raw, decoded;
    enum err err;

    *ret_behind = walk_text(at, reading->end, &raw, &text.is_escaped);
    text.ptr = raw.ptr;
    text.len = raw.len;
    err = json_text_decode(&text, &reading->plan->arena, &decoded);
    if (err != ERR_OK)
        return err;
    if (decoded.len == 0)
        decoded = SLICE("");
    else if (!text.is_escaped)
        decoded = arena_copy(&reading->plan->arena, decoded);
    *ret_text = decoded;
    return decoded.ptr != NULL ? ERR_OK : ERR_NOMEM;
}

enum err
reading_members(struct reading *reading, const char *at,
                enum err (*read)(struct reading *reading, struct slice key, const char *at,
                                 void *state),
                void *state)
{
    for (at = walk_first(at); *at != '}'; at = walk_next(at)) {
        struct slice key;
        size_t before;
        enum err err = reading_text(reading, at, &key, &at);

        if (err != ERR_OK)
            return err;
        at = walk_colon(at);
        before = reading_down(reading, key);
        err = read(reading, key, at, state);
        if (err != ERR_OK)
            return err;
        reading_up(reading, before);
        at = walk_value(at, reading->end);
    }
    return ERR_OK;
}

const char *
kind_shown(const char *at)
{
    switch (*at) {
    case '"':
        return "a text";
    case '{':
        return "an object";
    case '[':
        return "an array";
    case 't':
        return "true";
    case 'f':
        return "false";
    case 'n':
        return "null";
    default:
        return "a number";
    }
}

/* --- the document -----------------------------------------------------------------------------*/

static enum err
read_mode(struct reading *reading, const char *at, enum plan_mode *ret_mode)
{
    struct slice text;
    enum err err;

    if (*at == '"') {
        err = reading_text(reading, at, &text, &at);
        if (err != ERR_OK)
            return err;
        if (plan_mode_parse(text, ret_mode))
            return ERR_OK;
    }
    return reading_refuse(reading, "must be \"observe\", \"warn\" or \"enforce\"");
}

static enum err
read_type_member(struct reading *reading, struct slice key, const char *at, void *state)
{
    struct plan_type *type = state;

    if (slice_equal(key, SLICE("mode")))
        return read_mode(reading, at, &type->mode);
    if (slice_equal(key, SLICE("properties")))
        return schema_compile(reading, at, true, &type->schema);
    if (slice_equal(key, SLICE("description")))
        return *at == '"' ? ERR_OK
                          : reading_refuse(reading, "must be a text, not %s", kind_shown(at));
    return reading_refuse(reading, "is not known here; there are: mode, description, properties");
}

static enum err
read_type(struct reading *reading, const char *at, struct plan_type *type)
{
    if (*at != '{')
        return reading_refuse(reading,
                              "must be an object like {\"mode\": \"warn\", \"properties\": "
                              "{…}}, not %s",
                              kind_shown(at));
    return reading_members(reading, at, read_type_member, type);
}

static void
type_init(struct plan_type *type)
{
    type->mode = PLAN_OBSERVE;
    type->name = SLICE_NONE;
    (void)pthread_mutex_init(&type->lock, NULL);
}

static enum err
add_type(struct reading *reading, struct slice name, const char *at, void *state)
{
    struct plan *plan = reading->plan;
    struct plan_type *type;
    struct name *named;

    (void)state;
    if (plan->type_count == PLAN_TYPES_MAX)
        return reading_refuse(reading, "is one event type too many: a plan may have %d",
                              PLAN_TYPES_MAX);
    if (name.len == 0 || name.len > PLAN_TYPE_BYTES_MAX)
        return reading_refuse(reading, "names an event type of %zu bytes; 1 to %d are allowed",
                              name.len, PLAN_TYPE_BYTES_MAX);
    type = ARENA_NEW(&plan->arena, struct plan_type, 1);
    if (type == NULL)
        return ERR_NOMEM;
    type_init(type);
    type->name = name;
    plan->types[plan->type_count++] = type;
    named = names_add(&plan->type_names, name);
    if (named == NULL)
        return ERR_NOMEM;
    named->value = type;
    return read_type(reading, at, type);
}

static enum err
read_types(struct reading *reading, const char *at)
{
    if (*at != '{')
        return reading_refuse(
            reading, "must be an object with a member for each event type, not %s", kind_shown(at));
    return reading_members(reading, at, add_type, NULL);
}

static enum err
read_document_member(struct reading *reading, struct slice key, const char *at, void *state)
{
    (void)state;
    if (slice_equal(key, SLICE("events")))
        return read_types(reading, at);
    if (slice_equal(key, SLICE("unknown_events")))
        return read_mode(reading, at, &reading->plan->unknown.mode);
    return reading_refuse(reading, "is not known here; there are: unknown_events, events");
}

static enum err
read_document(struct reading *reading, const char *at)
{
    if (*at != '{')
        return reading_refuse(reading, "must be an object like {\"events\": {…}}, not %s",
                              kind_shown(at));
    return reading_members(reading, at, read_document_member, NULL);
}

/* --- is it JSON? ------------------------------------------------------------------------------*/

static enum err
refuse_text(const struct json_reader *reader, struct slice document, struct diag *diag)
{
    if (reader->err == ERR_NOMEM)
        return ERR_NOMEM;
    diag_set(diag, "the plan is not valid JSON: %s, at byte %zu", reader->message,
             (size_t)(reader->at - document.ptr));
    return ERR_INVALID_PLAN;
}

static enum err
refuse_note(const struct json_note *note, struct diag *diag)
{
    char path[JSON_PATH_MAX + 1] = "";

    memcpy(path, note->path, note->path_len);
    diag_set_field(diag, path, "%s: %s", path, err_sentence(note->err));
    return ERR_INVALID_PLAN;
}

static enum err
check_json(struct slice document, struct arena *arena, struct diag *diag)
{
    const struct json_rules rules = {
        .root = SLICE(""), .depth = 1, .content_depth_max = JSON_DEPTH_MAX};
    CLEANUP(json_scratch_fini) struct json_scratch scratch = {0};
    struct json_notes notes = {0};
    struct json_reader reader;

    if (document.len > PLAN_BYTES_MAX) {
        diag_set(diag, "the plan has %zu bytes, at most %d are allowed", document.len,
                 PLAN_BYTES_MAX);
        return ERR_INVALID_PLAN;
    }
    json_reader_init(&reader, document, &scratch, arena);
    json_reader_space(&reader);
    if (!json_reader_value(&reader, &rules, &notes))
        return refuse_text(&reader, document, diag);
    json_reader_space(&reader);
    if (reader.at != reader.end) {
        (void)json_reader_fail(&reader, "text behind the end");
        return refuse_text(&reader, document, diag);
    }
    if (notes.encoding.err != ERR_OK)
        return refuse_note(&notes.encoding, diag);
    if (notes.key.err != ERR_OK)
        return refuse_note(&notes.key, diag);
    if (notes.content.err != ERR_OK)
        return refuse_note(&notes.content, diag);
    return ERR_OK;
}

/* --- a plan's life ----------------------------------------------------------------------------*/

static void
plan_free(struct plan **place)
{
    struct plan *plan = *place;

    if (plan == NULL)
        return;
    for (uint32_t i = 0; i < plan->pattern_count; i++)
        pattern_free(&plan->patterns[i]);
    for (uint32_t i = 0; i < plan->type_count; i++)
        (void)pthread_mutex_destroy(&plan->types[i]->lock);
    (void)pthread_mutex_destroy(&plan->unknown.lock);
    arena_fini(&plan->arena);
    mem_free(plan);
    *place = NULL;
}

struct plan *
plan_hold(struct plan *plan)
{
    atomic_fetch_add_explicit(&plan->holders, 1, memory_order_relaxed);
    return plan;
}

void
plan_release(struct plan **plan)
{
    struct plan *held = *plan;

    *plan = NULL;
    if (held != NULL && atomic_fetch_sub_explicit(&held->holders, 1, memory_order_acq_rel) == 1)
        plan_free(&held);
}

static struct plan *
plan_new(void)
{
    CLEANUP(plan_free) struct plan *plan = MEM_NEW(struct plan, 1);

    if (plan == NULL)
        return NULL;
    atomic_init(&plan->holders, 1);
    type_init(&plan->unknown);
    arena_init(&plan->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    plan->types = ARENA_NEW(&plan->arena, struct plan_type *, PLAN_TYPES_MAX);
    plan->patterns = ARENA_NEW(&plan->arena, struct pattern *, PLAN_PATTERNS_MAX);
    if (plan->types == NULL || plan->patterns == NULL ||
        !names_init(&plan->type_names, &plan->arena, PLAN_TYPES_MAX))
        return NULL;
    return MOVE(plan);
}

enum err
plan_compile(struct slice document, struct plan **ret_plan, struct diag *diag)
{
    CLEANUP(plan_free) struct plan *plan = plan_new();
    struct diag own = DIAG_INIT;
    struct reading reading = {
        .plan = plan, .end = document.ptr + document.len, .diag = diag != NULL ? diag : &own};
    enum err err;

    if (plan == NULL)
        return ERR_NOMEM;
    err = check_json(document, &plan->arena, reading.diag);
    if (err == ERR_OK)
        err = read_document(&reading, walk_space(document.ptr));
    if (err != ERR_OK)
        return err;
    *ret_plan = MOVE(plan);
    return ERR_OK;
}

/* --- counts -----------------------------------------------------------------------------------*/

void
plan_note(struct plan_type *type, const struct diag *violation, int64_t now_us)
{
    atomic_fetch_add_explicit(&type->count, 1, memory_order_relaxed);
    pthread_mutex_lock(&type->lock);
    type->last_us = now_us;
    type->last = *violation;
    pthread_mutex_unlock(&type->lock);
}

uint32_t
plan_type_count(const struct plan *plan)
{
    return plan->type_count;
}

static const struct plan_type *
type_at(const struct plan *plan, uint32_t i)
{
    return i < plan->type_count ? plan->types[i] : &plan->unknown;
}

struct slice
plan_type_name(const struct plan *plan, uint32_t i)
{
    return type_at(plan, i)->name;
}

enum plan_mode
plan_type_mode(const struct plan *plan, uint32_t i)
{
    return type_at(plan, i)->mode;
}

static void
take_counts(struct plan_type *type, struct plan_violations *ret)
{
    pthread_mutex_lock(&type->lock);
    *ret = (struct plan_violations){
        .count = atomic_load(&type->count), .last_us = type->last_us, .last = type->last};
    pthread_mutex_unlock(&type->lock);
}

void
plan_type_violations(const struct plan *plan, uint32_t i, struct plan_violations *ret)
{
    take_counts(
        i < plan->type_count ? plan->types[i] : (struct plan_type *)(uintptr_t)&plan->unknown, ret);
}

static void
carry(struct plan_type *to, struct plan_type *from)
{
    struct plan_violations counts;

    take_counts(from, &counts);
    atomic_store(&to->count, counts.count);
    to->last_us = counts.last_us;
    to->last = counts.last;
}

void
plan_carry_counts(struct plan *plan, const struct plan *before)
{
    for (uint32_t i = 0; i < before->type_count; i++) {
        struct name *name = names_find(&plan->type_names, before->types[i]->name);

        if (name != NULL)
            carry((struct plan_type *)(uintptr_t)name->value, before->types[i]);
    }
    carry(&plan->unknown, (struct plan_type *)(uintptr_t)&before->unknown);
}

/* --- an event ---------------------------------------------------------------------------------*/

enum plan_verdict
plan_check(const struct plan *plan, struct slice type, struct slice properties,
           struct plan_scratch *scratch, struct plan_type **ret_type, struct diag *diag)
{
    const struct name *name = names_find(&plan->type_names, type);
    const struct plan_type *found = name != NULL ? name->value : &plan->unknown;
    bool is_nomem = false;

    if (found->mode == PLAN_OBSERVE || (name != NULL && found->schema == NULL))
        return PLAN_FITS;
    if (name == NULL)
        diag_set_field(diag, "event_type",
                       "event_type: \"%.*s\" is not in the tracking plan; add it to the plan, or "
                       "send a type that is",
                       SLICE_ARGS(type));
    else if (schema_check(found->schema, type, properties, scratch, &is_nomem, diag))
        return PLAN_FITS;
    if (is_nomem)
        return PLAN_UNDECIDED;
    *ret_type = (struct plan_type *)(uintptr_t)found;
    return found->mode == PLAN_ENFORCE ? PLAN_REFUSED : PLAN_WARNED;
}
