/*
 * learnt - see learnt.h.
 *
 * Events of one type mostly have the same properties in the same order: a search begins behind the
 * last one found, and goes over all of the type's only where that is not it.
 */
#include "warehouse/learnt.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "codec/json_reader.h"
#include "plan/decimal.h"
#include "plan/walk.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)16 << 20)
#define PROPERTIES_FIRST 8

struct property {
    char *name;
    uint32_t len;
    uint64_t counts[WAREHOUSE_LEARNT_KINDS];
};

struct seen_type {
    uint64_t count;
    int64_t first_us;
    int64_t last_us;
    bool is_complete;
    uint32_t property_count;
    uint32_t next; /* behind the last one found */
    struct property *properties;
};

struct learnt {
    pthread_mutex_t lock;
    struct seen_type *types[LEARNT_TYPES_MAX]; /* by id; NULL: not seen */
    uint32_t property_count;                   /* of all */
    uint32_t names_bytes;
    struct { /* the loader's: of the row that is prepared */
        uint32_t count;
        bool is_complete;
        struct pending_property {
            uint16_t place;
            uint8_t kind;
        } list[LEARNT_PROPERTIES_MAX];
    } pending;
};

_Static_assert(LEARNT_TYPES_MAX * 64 +
                       LEARNT_ALL_PROPERTIES_MAX * (2 + 8 * WAREHOUSE_LEARNT_KINDS) +
                       LEARNT_ALL_NAMES_BYTES_MAX <
                   FILE_BYTES_MAX,
               "all that can be learnt has room in a file");

enum err
learnt_new(struct learnt **ret_learnt)
{
    struct learnt *learnt = MEM_NEW(struct learnt, 1);

    if (learnt == NULL)
        return ERR_NOMEM;
    (void)pthread_mutex_init(&learnt->lock, NULL);
    *ret_learnt = learnt;
    return ERR_OK;
}

static void
forget_type(struct learnt *learnt, uint32_t id)
{
    struct seen_type *type = learnt->types[id];

    if (type == NULL)
        return;
    for (uint32_t i = 0; i < type->property_count; i++) {
        learnt->names_bytes -= type->properties[i].len;
        mem_free(type->properties[i].name);
    }
    learnt->property_count -= type->property_count;
    mem_free(type->properties);
    mem_free(type);
    learnt->types[id] = NULL;
}

void
learnt_free(struct learnt **place)
{
    struct learnt *learnt = *place;

    *place = NULL;
    if (learnt == NULL)
        return;
    for (uint32_t id = 0; id < LEARNT_TYPES_MAX; id++)
        forget_type(learnt, id);
    (void)pthread_mutex_destroy(&learnt->lock);
    mem_free(learnt);
}

void
learnt_forget(struct learnt *learnt, const bool *is_gone, uint32_t count)
{
    pthread_mutex_lock(&learnt->lock);
    for (uint32_t id = 0; id < count && id < LEARNT_TYPES_MAX; id++) {
        if (is_gone[id])
            forget_type(learnt, id);
    }
    pthread_mutex_unlock(&learnt->lock);
}

/* --- one event --------------------------------------------------------------------------------*/

static enum warehouse_learnt_kind
kind_of(const char *at, const char *end)
{
    const char *behind;

    switch (*at) {
    case 'n':
        return WAREHOUSE_LEARNT_NULL;
    case 't':
    case 'f':
        return WAREHOUSE_LEARNT_BOOLEAN;
    case '"':
        return WAREHOUSE_LEARNT_STRING;
    case '[':
        return WAREHOUSE_LEARNT_ARRAY;
    case '{':
        return WAREHOUSE_LEARNT_OBJECT;
    default:
        break;
    }
    behind = walk_number(at, end);
    for (const char *digit = at; digit < behind; digit++) {
        struct decimal decimal;

        if (*digit != '.' && *digit != 'e' && *digit != 'E')
            continue;
        decimal_parse(slice_of(at, (size_t)(behind - at)), &decimal);
        return decimal.is_integer ? WAREHOUSE_LEARNT_INTEGER : WAREHOUSE_LEARNT_NUMBER;
    }
    return WAREHOUSE_LEARNT_INTEGER;
}

static bool
is_named(const struct property *property, struct slice name)
{
    return property->len == name.len && memcmp(property->name, name.ptr, name.len) == 0;
}

static struct property *
find(struct seen_type *type, struct slice name)
{
    uint32_t at = type->next < type->property_count ? type->next : 0;

    for (uint32_t i = 0; i < type->property_count; i++) {
        if (is_named(&type->properties[at], name)) {
            type->next = at + 1;
            return &type->properties[at];
        }
        at = at + 1 < type->property_count ? at + 1 : 0;
    }
    return NULL;
}

static bool
make_room(struct seen_type *type)
{
    uint32_t count = type->property_count;
    uint32_t larger = count == 0 ? PROPERTIES_FIRST : count * 2;
    struct property *grown;

    if (count != 0 && (count < PROPERTIES_FIRST || (count & (count - 1)) != 0))
        return true;
    grown = mem_realloc(type->properties, larger * sizeof(*grown));
    if (grown == NULL)
        return false;
    type->properties = grown;
    return true;
}

/* ERR_FULL: a bound. */
static enum err
add(struct learnt *learnt, struct seen_type *type, struct slice name,
    struct property **ret_property)
{
    struct property *property;

    if (type->property_count == LEARNT_PROPERTIES_MAX || name.len > LEARNT_NAME_BYTES_MAX ||
        learnt->property_count == LEARNT_ALL_PROPERTIES_MAX ||
        learnt->names_bytes + name.len > LEARNT_ALL_NAMES_BYTES_MAX)
        return ERR_FULL;
    if (!make_room(type))
        return ERR_NOMEM;
    property = &type->properties[type->property_count];
    *property = (struct property){.name = mem_alloc(name.len + 1), .len = (uint32_t)name.len};
    if (property->name == NULL)
        return ERR_NOMEM;
    memcpy(property->name, name.ptr, name.len);
    property->name[name.len] = '\0';
    type->next = ++type->property_count;
    learnt->property_count++;
    learnt->names_bytes += property->len;
    *ret_property = property;
    return ERR_OK;
}

/* A key that no room is made for is none that could be learnt. */
static struct slice
key_text(struct slice raw, bool is_escaped, char room[6 * LEARNT_NAME_BYTES_MAX])
{
    struct json_text text = {.ptr = raw.ptr, .len = raw.len, .is_escaped = true};

    if (!is_escaped || raw.len > (size_t)6 * LEARNT_NAME_BYTES_MAX)
        return raw;
    return json_text_decode_into(&text, room);
}

static enum err
prepare_properties(struct learnt *learnt, struct seen_type *type, struct slice properties)
{
    const char *end = properties.ptr + properties.len;
    const char *at;
    char room[6 * LEARNT_NAME_BYTES_MAX];
    uint32_t seen = 0;

    type->next = 0;
    for (at = walk_first(properties.ptr); *at != '}'; at = walk_next(at)) {
        struct property *property;
        struct slice key;
        bool is_escaped;
        enum err err = ERR_OK;

        if (seen++ == LEARNT_PROPERTIES_MAX) {
            learnt->pending.is_complete = false;
            return ERR_OK;
        }
        at = walk_text(at, end, &key, &is_escaped);
        key = key_text(key, is_escaped, room);
        property = find(type, key);
        if (property == NULL)
            err = add(learnt, type, key, &property);
        if (err == ERR_NOMEM)
            return err;
        at = walk_colon(at);
        if (err == ERR_FULL)
            learnt->pending.is_complete = false;
        else
            learnt->pending.list[learnt->pending.count++] = (struct pending_property){
                (uint16_t)(property - type->properties), (uint8_t)kind_of(at, end)};
        at = walk_value(at, end);
    }
    return ERR_OK;
}

static enum err
prepare(struct learnt *learnt, uint32_t type_id, const struct event *event)
{
    struct seen_type *type = learnt->types[type_id];

    learnt->pending.count = 0;
    learnt->pending.is_complete = true;
    if (type == NULL) {
        type = learnt->types[type_id] = MEM_NEW(struct seen_type, 1);
        if (type == NULL)
            return ERR_NOMEM;
        type->is_complete = true;
    }
    /* In PostgreSQL a row may have been put in by hand. */
    if (event->properties.ptr == NULL || event->properties.len < 2 ||
        event->properties.ptr[0] != '{')
        return ERR_OK;
    return prepare_properties(learnt, type, event->properties);
}

enum err
learnt_prepare(struct learnt *learnt, uint32_t type_id, const struct event *event)
{
    enum err err;

    if (type_id >= LEARNT_TYPES_MAX)
        return ERR_OK;
    pthread_mutex_lock(&learnt->lock);
    err = prepare(learnt, type_id, event);
    pthread_mutex_unlock(&learnt->lock);
    return err;
}

void
learnt_add(struct learnt *learnt, uint32_t type_id, int64_t received_at_us)
{
    struct seen_type *type;

    if (type_id >= LEARNT_TYPES_MAX)
        return;
    pthread_mutex_lock(&learnt->lock);
    type = learnt->types[type_id];
    if (type->count == 0 || received_at_us < type->first_us)
        type->first_us = received_at_us;
    if (type->count == 0 || received_at_us > type->last_us)
        type->last_us = received_at_us;
    type->count++;
    type->is_complete = type->is_complete && learnt->pending.is_complete;
    for (uint32_t i = 0; i < learnt->pending.count; i++) {
        const struct pending_property *pending = &learnt->pending.list[i];

        type->properties[pending->place].counts[pending->kind]++;
    }
    pthread_mutex_unlock(&learnt->lock);
}

void
learnt_each(struct learnt *learnt, const struct types *types, uint32_t type_count,
            warehouse_learnt_fn *each, void *state)
{
    pthread_mutex_lock(&learnt->lock);
    for (uint32_t id = 0; id < type_count && id < LEARNT_TYPES_MAX; id++) {
        const struct seen_type *type = learnt->types[id];
        struct warehouse_learnt_type told;

        if (type == NULL || type->count == 0 || types_name(types, id).len == 0)
            continue;
        told = (struct warehouse_learnt_type){.name = types_name(types, id),
                                              .count = type->count,
                                              .first_us = type->first_us,
                                              .last_us = type->last_us,
                                              .is_complete = type->is_complete,
                                              .property_count = 0};
        for (uint32_t i = 0; i < type->property_count; i++) {
            static const uint64_t none[WAREHOUSE_LEARNT_KINDS] = {0};
            const uint32_t place = told.property_count;

            /* Made for a row that is on its way: it is counted with it. */
            if (memcmp(type->properties[i].counts, none, sizeof(none)) == 0)
                continue;
            told.properties[place].name =
                slice_of(type->properties[i].name, type->properties[i].len);
            memcpy(told.properties[place].counts, type->properties[i].counts,
                   sizeof(told.properties[place].counts));
            told.property_count++;
        }
        each(state, &told);
    }
    pthread_mutex_unlock(&learnt->lock);
}

/* --- the file ---------------------------------------------------------------------------------*/

static bool
file_name(char path[FILE_PATH_MAX], const char *dir, uint32_t number)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "learnt.%u", (unsigned)number);
    return file_path(path, dir, name);
}

static void
write_type(struct buf *buf, uint32_t id, const struct seen_type *type)
{
    const uint8_t is_complete = type->is_complete ? 1 : 0;
    const uint16_t count = (uint16_t)type->property_count;

    buf_add(buf, &id, 4);
    buf_add(buf, &type->count, 8);
    buf_add(buf, &type->first_us, 8);
    buf_add(buf, &type->last_us, 8);
    buf_add(buf, &is_complete, 1);
    buf_add(buf, &count, 2);
    for (uint32_t i = 0; i < type->property_count; i++) {
        const struct property *property = &type->properties[i];
        const uint16_t len = (uint16_t)property->len;

        buf_add(buf, &len, 2);
        buf_add(buf, property->name, len);
        buf_add(buf, property->counts, sizeof(property->counts));
    }
}

enum err
learnt_write(struct learnt *learnt, const char *dir, struct manifest *manifest, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf buf;
    char path[FILE_PATH_MAX];
    enum err err;

    buf_init(&buf, FILE_BYTES_MAX);
    pthread_mutex_lock(&learnt->lock);
    for (uint32_t id = 0; id < LEARNT_TYPES_MAX; id++) {
        if (learnt->types[id] != NULL && learnt->types[id]->count != 0)
            write_type(&buf, id, learnt->types[id]);
    }
    pthread_mutex_unlock(&learnt->lock);
    if (buf_failed(&buf))
        return ERR_NOMEM;
    if (!file_name(path, dir, manifest->next_number))
        return ERR_INVALID;
    err = file_replace_whole(path, buf_slice(&buf), diag);
    if (err != ERR_OK)
        return err;
    manifest->learnt = (struct manifest_learnt){manifest->next_number++, buf.len,
                                                crc32c(0, buf_slice(&buf).ptr, buf.len)};
    manifest->learnt_count = 1;
    return ERR_OK;
}

enum err
learnt_unlink(const char *dir, const struct manifest *manifest, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    enum err err;

    if (manifest->learnt_count == 0)
        return ERR_OK;
    if (!file_name(path, dir, manifest->learnt.number))
        return ERR_INVALID;
    err = file_unlink(path, diag);
    return err == ERR_ABSENT ? ERR_OK : err;
}

/* What is left of a file to be read; a piece that is not there makes it short. */
struct left {
    const char *at;
    const char *end;
    bool is_short;
};

static void
take(struct left *left, void *into, size_t len)
{
    left->is_short = left->is_short || (size_t)(left->end - left->at) < len;
    if (left->is_short) {
        memset(into, 0, len);
        return;
    }
    memcpy(into, left->at, len);
    left->at += len;
}

static enum err
take_property(struct left *left, struct learnt *learnt, struct seen_type *type)
{
    char name[LEARNT_NAME_BYTES_MAX];
    uint64_t counts[WAREHOUSE_LEARNT_KINDS];
    struct property *property = NULL;
    uint16_t len = 0;
    enum err err;

    take(left, &len, 2);
    if (len > sizeof(name))
        return ERR_CORRUPT;
    take(left, name, len);
    take(left, counts, sizeof(counts));
    if (left->is_short)
        return ERR_CORRUPT;
    err = add(learnt, type, slice_of(name, len), &property);
    if (err != ERR_OK)
        return err == ERR_FULL ? ERR_CORRUPT : err;
    memcpy(property->counts, counts, sizeof(counts));
    return ERR_OK;
}

static enum err
take_type(struct left *left, struct learnt *learnt)
{
    struct seen_type *type;
    uint32_t id = 0;
    uint16_t count = 0;
    uint8_t is_complete = 0;
    enum err err = ERR_OK;

    take(left, &id, 4);
    if (left->is_short || id >= LEARNT_TYPES_MAX || learnt->types[id] != NULL)
        return ERR_CORRUPT;
    type = learnt->types[id] = MEM_NEW(struct seen_type, 1);
    if (type == NULL)
        return ERR_NOMEM;
    take(left, &type->count, 8);
    take(left, &type->first_us, 8);
    take(left, &type->last_us, 8);
    take(left, &is_complete, 1);
    take(left, &count, 2);
    type->is_complete = is_complete != 0;
    for (uint16_t i = 0; i < count && err == ERR_OK; i++)
        err = take_property(left, learnt, type);
    return left->is_short ? ERR_CORRUPT : err;
}

enum err
learnt_read(struct learnt *learnt, const char *dir, const struct manifest *manifest,
            struct diag *diag)
{
    CLEANUP(buf_fini) struct buf buf;
    char path[FILE_PATH_MAX];
    struct left left;
    enum err err;

    buf_init(&buf, FILE_BYTES_MAX);
    if (manifest->learnt_count == 0)
        return ERR_OK;
    if (!file_name(path, dir, manifest->learnt.number))
        return ERR_INVALID;
    err = file_read_whole(path, FILE_BYTES_MAX, &buf, diag);
    if (err == ERR_ABSENT || err == ERR_FULL)
        return ERR_CORRUPT;
    if (err != ERR_OK)
        return err;
    left = (struct left){buf_slice(&buf).ptr, buf_slice(&buf).ptr + buf.len, false};
    if (buf.len != manifest->learnt.bytes ||
        crc32c(0, left.at, buf.len) != manifest->learnt.checksum)
        err = ERR_CORRUPT;
    while (err == ERR_OK && left.at < left.end)
        err = take_type(&left, learnt);
    if (err == ERR_CORRUPT)
        diag_set(diag, "%s: not what the manifest says", path);
    return err;
}
