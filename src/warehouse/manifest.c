/*
 * manifest - the text form of manifest.json and checkpoint.json, written and read back.
 *
 * Layer 4, any thread, pure. One table of fields serves both ways, so they cannot differ. The last
 * line holds the CRC32C of every byte before it; a text that fails it is not looked at further.
 */
#include "warehouse/manifest.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum field_kind { FIELD_U32, FIELD_U64, FIELD_I64, FIELD_HEX32, FIELD_POSITION, FIELD_MARKS };
struct field {
    const char *name;
    size_t offset;
    enum field_kind kind;
};
#define FIELD(type, member, kind)                                                                  \
    {                                                                                              \
#member, offsetof(struct type, member), FIELD_##kind                                       \
    }

static const struct field head_fields[] = {
    FIELD(manifest, project_id, U32),   FIELD(manifest, epoch, U32),
    FIELD(manifest, number, U64),       FIELD(manifest, next_number, U32),
    FIELD(manifest, covered, POSITION), FIELD(manifest, seq_max, U64),
    FIELD(manifest, rows, U64),         FIELD(manifest, persons, U64),
    FIELD(manifest, type_count, U32),   FIELD(manifest, received_min_us, I64),
};
static const struct field type_fields[] = {
    FIELD(manifest_types, number, U32),
    FIELD(manifest_types, count, U32),
    FIELD(manifest_types, bytes, U64),
    FIELD(manifest_types, checksum, HEX32),
};
static const struct field learnt_fields[] = {
    FIELD(manifest_learnt, number, U32),
    FIELD(manifest_learnt, bytes, U64),
    FIELD(manifest_learnt, checksum, HEX32),
};
static const struct field file_fields[] = {
    FIELD(manifest_file, number, U32),       FIELD(manifest_file, level, U32),
    FIELD(manifest_file, rows, U64),         FIELD(manifest_file, bytes, U64),
    FIELD(manifest_file, checksum, HEX32),   FIELD(manifest_file, first_rows, U64),
    FIELD(manifest_file, first_bytes, U64),  FIELD(manifest_file, first_checksum, HEX32),
    FIELD(manifest_file, covered, POSITION), FIELD(manifest_file, seq_min, U64),
    FIELD(manifest_file, seq_max, U64),      FIELD(manifest_file, time_min_us, I64),
    FIELD(manifest_file, time_max_us, I64),  FIELD(manifest_file, received_min_us, I64),
    FIELD(manifest_file, part_from_us, I64), FIELD(manifest_file, part_to_us, I64),
    FIELD(manifest_file, persons, U64),      FIELD(manifest_file, marks, MARKS),
};
static const struct field checkpoint_fields[] = {
    FIELD(checkpoint_project, project_id, U32),
    FIELD(checkpoint_project, number, U64),
    FIELD(checkpoint_project, rows, U64),
};

/* Of the Parquet files; hot property columns (p<n>, with name and type) will follow them here. */
static const char columns_text[] =
    "\"columns\":[{\"name\":\"seq\",\"type\":\"UBIGINT\"},{\"name\":\"event_id\",\"type\":"
    "\"VARCHAR\"},"
    "{\"name\":\"event_type\",\"type\":\"VARCHAR\"},{\"name\":\"type_id\",\"type\":\"UINTEGER\"},"
    "{\"name\":\"person\",\"type\":\"UINTEGER\"},{\"name\":\"user_id\",\"type\":\"VARCHAR\"},"
    "{\"name\":\"anonymous_id\",\"type\":\"VARCHAR\"},{\"name\":\"session_id\",\"type\":"
    "\"VARCHAR\"},"
    "{\"name\":\"occurred_at\",\"type\":\"TIMESTAMP\"},{\"name\":\"received_at\",\"type\":"
    "\"TIMESTAMP\"},"
    "{\"name\":\"properties\",\"type\":\"VARCHAR\"}]";

/* --- writing --------------------------------------------------------------------------------- */

static void
write_position(struct buf *buf, struct store_position position)
{
    buf_printf(buf, "\"%016" PRIx64 ".%016" PRIx64 ".%016" PRIx64 "\"", position.generation,
               position.major, position.minor);
}

static void
write_field(struct buf *buf, const struct field *field, const void *object)
{
    const char *place = (const char *)object + field->offset;

    buf_printf(buf, "\"%s\":", field->name);
    switch (field->kind) {
    case FIELD_U32:
        buf_add_u64(buf, *(const uint32_t *)(const void *)place);
        break;
    case FIELD_U64:
        buf_add_u64(buf, *(const uint64_t *)(const void *)place);
        break;
    case FIELD_I64:
        buf_add_i64(buf, *(const int64_t *)(const void *)place);
        break;
    case FIELD_HEX32:
        buf_printf(buf, "\"%08" PRIx32 "\"", *(const uint32_t *)(const void *)place);
        break;
    case FIELD_POSITION:
        write_position(buf, *(const struct store_position *)(const void *)place);
        break;
    case FIELD_MARKS:
        for (size_t i = 0; i < MANIFEST_MARKS; i++)
            buf_printf(buf, "%s%" PRIu32, i == 0 ? "[" : ",",
                       ((const uint32_t *)(const void *)place)[i]);
        buf_add_char(buf, ']');
        break;
    }
}

static void
write_fields(struct buf *buf, const struct field *fields, size_t count, const void *object)
{
    for (size_t i = 0; i < count; i++) {
        buf_add_text(buf, i == 0 ? "" : ",");
        write_field(buf, &fields[i], object);
    }
}

static void
write_list(struct buf *buf, const struct field *fields, size_t field_count, const void *objects,
           size_t count, size_t size)
{
    buf_add_char(buf, '[');
    for (size_t i = 0; i < count; i++) {
        buf_add_text(buf, i == 0 ? "\n{" : ",\n{");
        write_fields(buf, fields, field_count, (const char *)objects + i * size);
        buf_add_char(buf, '}');
    }
    buf_add_char(buf, ']');
}

static void
write_check(struct buf *buf, size_t from)
{
    if (!buf_failed(buf))
        buf_printf(buf, "\n\"crc32c\":\"%08" PRIx32 "\"}\n",
                   crc32c(0, buf->ptr + from, buf->len - from));
}

void
manifest_write(const struct manifest *manifest, struct buf *buf)
{
    const size_t from = buf->len;

    buf_printf(buf, "{\"format\":%d,\"layout\":%d,\"generation\":\"%016" PRIx64 "\",\n",
               MANIFEST_FORMAT, MANIFEST_LAYOUT, manifest->generation);
    write_fields(buf, head_fields, COUNT_OF(head_fields), manifest);
    buf_printf(buf, ",\n%s,\n\"types\":", columns_text);
    write_list(buf, type_fields, COUNT_OF(type_fields), manifest->types, manifest->types_count,
               sizeof(manifest->types[0]));
    buf_add_text(buf, ",\n\"learnt\":");
    write_list(buf, learnt_fields, COUNT_OF(learnt_fields), &manifest->learnt,
               manifest->learnt_count, sizeof(manifest->learnt));
    buf_add_text(buf, ",\n\"files\":");
    write_list(buf, file_fields, COUNT_OF(file_fields), manifest->files, manifest->file_count,
               sizeof(manifest->files[0]));
    buf_add_char(buf, ',');
    write_check(buf, from);
}

void
checkpoint_format(const struct checkpoint *checkpoint, struct buf *buf)
{
    const size_t from = buf->len;

    buf_printf(buf, "{\"format\":%d,\n\"position\":", MANIFEST_FORMAT);
    write_position(buf, checkpoint->position);
    buf_add_text(buf, ",\n\"projects\":");
    write_list(buf, checkpoint_fields, COUNT_OF(checkpoint_fields), checkpoint->projects,
               checkpoint->project_count, sizeof(checkpoint->projects[0]));
    buf_add_char(buf, ',');
    write_check(buf, from);
}

/* --- reading --------------------------------------------------------------------------------- */

struct cursor {
    const char *at;
    const char *end;
    bool is_bad;
};

static bool
expect(struct cursor *cursor, const char *text)
{
    const size_t len = strlen(text);

    if (cursor->is_bad || (size_t)(cursor->end - cursor->at) < len ||
        memcmp(cursor->at, text, len) != 0) {
        cursor->is_bad = true;
        return false;
    }
    cursor->at += len;
    return true;
}

static bool
next_is(const struct cursor *cursor, char c)
{
    return !cursor->is_bad && cursor->at < cursor->end && *cursor->at == c;
}

static uint64_t
take_u64(struct cursor *cursor, uint64_t most)
{
    uint64_t value = 0;
    bool is_empty = true;

    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        const uint64_t digit = (uint64_t)(*cursor->at++ - '0');

        if (value > (most - digit) / 10)
            cursor->is_bad = true;
        else
            value = value * 10 + digit;
        is_empty = false;
    }
    cursor->is_bad |= is_empty;
    return cursor->is_bad ? 0 : value;
}

static int64_t
take_i64(struct cursor *cursor)
{
    const bool is_negative = next_is(cursor, '-');
    uint64_t value = 0;

    if (is_negative)
        cursor->at++;
    value = take_u64(cursor, (uint64_t)INT64_MAX + (is_negative ? 1 : 0));
    return (int64_t)(is_negative ? 0 - value : value);
}

static uint64_t
take_hex(struct cursor *cursor, unsigned digits)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t value = 0;

    for (unsigned i = 0; i < digits; i++) {
        const char *digit = NULL;

        if (cursor->is_bad || cursor->at == cursor->end ||
            (digit = memchr(hex, *cursor->at, 16)) == NULL) {
            cursor->is_bad = true;
            return 0;
        }
        value = value << 4 | (uint64_t)(digit - hex);
        cursor->at++;
    }
    return value;
}

static struct store_position
take_position(struct cursor *cursor)
{
    struct store_position position;

    expect(cursor, "\"");
    position.generation = take_hex(cursor, 16);
    expect(cursor, ".");
    position.major = take_hex(cursor, 16);
    expect(cursor, ".");
    position.minor = take_hex(cursor, 16);
    expect(cursor, "\"");
    return position;
}

static void
take_field(struct cursor *cursor, const struct field *field, void *object)
{
    void *place = (char *)object + field->offset;

    expect(cursor, "\"");
    expect(cursor, field->name);
    expect(cursor, "\":");
    switch (field->kind) {
    case FIELD_U32:
        *(uint32_t *)place = (uint32_t)take_u64(cursor, UINT32_MAX);
        break;
    case FIELD_U64:
        *(uint64_t *)place = take_u64(cursor, UINT64_MAX);
        break;
    case FIELD_I64:
        *(int64_t *)place = take_i64(cursor);
        break;
    case FIELD_HEX32:
        expect(cursor, "\"");
        *(uint32_t *)place = (uint32_t)take_hex(cursor, 8);
        expect(cursor, "\"");
        break;
    case FIELD_POSITION:
        *(struct store_position *)place = take_position(cursor);
        break;
    case FIELD_MARKS:
        for (size_t i = 0; i < MANIFEST_MARKS; i++) {
            expect(cursor, i == 0 ? "[" : ",");
            ((uint32_t *)place)[i] = (uint32_t)take_u64(cursor, UINT32_MAX);
        }
        expect(cursor, "]");
        break;
    }
}

static void
take_fields(struct cursor *cursor, const struct field *fields, size_t count, void *object)
{
    for (size_t i = 0; i < count && !cursor->is_bad; i++) {
        if (i != 0)
            expect(cursor, ",");
        take_field(cursor, &fields[i], object);
    }
}

/* A list of at most `most` objects, into memory of its own. */
static void
take_list(struct cursor *cursor, const struct field *fields, size_t field_count, size_t size,
          size_t most, void **ret_objects, uint32_t *ret_count)
{
    char *objects = NULL;
    size_t count = 0, capacity = 0;

    expect(cursor, "[");
    while (!cursor->is_bad && !next_is(cursor, ']')) {
        expect(cursor, count == 0 ? "\n{" : ",\n{");
        if (count == capacity) {
            char *larger = NULL;

            capacity = capacity == 0 ? 8 : capacity * 2;
            larger = count < most ? mem_realloc(objects, capacity * size) : NULL;
            if (larger == NULL) {
                cursor->is_bad = true;
                break;
            }
            objects = larger;
        }
        memset(objects + count * size, 0, size);
        take_fields(cursor, fields, field_count, objects + count * size);
        expect(cursor, "}");
        count++;
    }
    expect(cursor, "]");
    *ret_objects = objects;
    *ret_count = (uint32_t)count;
}

/* The text without its check line, if that is right. */
static enum err
check_text(struct slice text, const char *what, struct cursor *ret_cursor, struct diag *diag)
{
    char line[32] = "";
    int len = 0;

    static const size_t line_bytes = sizeof("\n\"crc32c\":\"01234567\"}\n") - 1;

    if (text.len > line_bytes) {
        len = snprintf(line, sizeof(line), "\n\"crc32c\":\"%08" PRIx32 "\"}\n",
                       crc32c(0, text.ptr, text.len - line_bytes));
    }
    if ((size_t)len != line_bytes ||
        memcmp(text.ptr + text.len - line_bytes, line, line_bytes) != 0) {
        diag_set(diag, "%s: its checksum does not match", what);
        return ERR_CORRUPT;
    }
    *ret_cursor = (struct cursor){text.ptr, text.ptr + text.len - line_bytes, false};
    return ERR_OK;
}

static enum err
check_format(struct cursor *cursor, const char *what, struct diag *diag)
{
    expect(cursor, "{\"format\":");
    if (take_u64(cursor, UINT32_MAX) > MANIFEST_FORMAT) {
        diag_set(diag, "%s: written by a newer version of the program", what);
        return ERR_TOO_NEW;
    }
    return ERR_OK;
}

void
manifest_fini(struct manifest *manifest)
{
    mem_free(manifest->files);
    *manifest = (struct manifest){0};
}

static bool
manifest_adds_up(const struct manifest *manifest)
{
    uint64_t rows = 0;
    uint32_t types = 0;

    for (uint32_t i = 0; i < manifest->file_count; i++) {
        rows += manifest->files[i].rows;
        if (manifest->files[i].number >= manifest->next_number)
            return false;
    }
    if (manifest->learnt_count > 1 ||
        (manifest->learnt_count == 1 && manifest->learnt.number >= manifest->next_number))
        return false;
    for (uint32_t i = 0; i < manifest->types_count; i++)
        types += manifest->types[i].count;
    return rows == manifest->rows && types == manifest->type_count;
}

enum err
manifest_parse(struct slice text, struct manifest *ret_manifest, struct diag *diag)
{
    struct manifest manifest = {0};
    struct cursor cursor;
    void *files = NULL;
    CLEANUP(mem_free_ptr) void *types = NULL;
    CLEANUP(mem_free_ptr) void *learnt = NULL;
    uint64_t layout = 0;
    enum err err = check_text(text, "manifest.json", &cursor, diag);

    if (err == ERR_OK)
        err = check_format(&cursor, "manifest.json", diag);
    if (err != ERR_OK)
        return err;
    expect(&cursor, ",\"layout\":");
    layout = take_u64(&cursor, UINT32_MAX);
    if (!cursor.is_bad && layout != MANIFEST_LAYOUT) {
        diag_set(diag, "manifest.json: layout %" PRIu64 ", this program writes %d", layout,
                 MANIFEST_LAYOUT);
        return ERR_INVALID;
    }
    expect(&cursor, ",\"generation\":\"");
    manifest.generation = take_hex(&cursor, 16);
    expect(&cursor, "\",\n");
    take_fields(&cursor, head_fields, COUNT_OF(head_fields), &manifest);
    expect(&cursor, ",\n");
    expect(&cursor, columns_text);
    expect(&cursor, ",\n\"types\":");
    take_list(&cursor, type_fields, COUNT_OF(type_fields), sizeof(manifest.types[0]),
              MANIFEST_TYPES_MAX, &types, &manifest.types_count);
    if (types != NULL)
        memcpy(manifest.types, types, manifest.types_count * sizeof(manifest.types[0]));
    expect(&cursor, ",\n\"learnt\":");
    take_list(&cursor, learnt_fields, COUNT_OF(learnt_fields), sizeof(manifest.learnt), 1, &learnt,
              &manifest.learnt_count);
    if (learnt != NULL && manifest.learnt_count == 1)
        memcpy(&manifest.learnt, learnt, sizeof(manifest.learnt));
    expect(&cursor, ",\n\"files\":");
    take_list(&cursor, file_fields, COUNT_OF(file_fields), sizeof(manifest.files[0]),
              MANIFEST_FILES_MAX, &files, &manifest.file_count);
    manifest.files = files;
    expect(&cursor, ",");
    if (cursor.is_bad || cursor.at != cursor.end || !manifest_adds_up(&manifest)) {
        manifest_fini(&manifest);
        diag_set(diag, "manifest.json: not in the form this program writes");
        return ERR_CORRUPT;
    }
    *ret_manifest = manifest;
    return ERR_OK;
}

void
checkpoint_free(struct checkpoint **checkpoint)
{
    if (*checkpoint != NULL)
        mem_free((*checkpoint)->projects);
    mem_free(*checkpoint);
    *checkpoint = NULL;
}

enum err
checkpoint_parse(struct slice text, struct checkpoint **ret_checkpoint, struct diag *diag)
{
    CLEANUP(checkpoint_free) struct checkpoint *checkpoint = MEM_NEW(struct checkpoint, 1);
    struct cursor cursor;
    void *projects = NULL;
    enum err err = check_text(text, "checkpoint.json", &cursor, diag);

    if (err == ERR_OK)
        err = check_format(&cursor, "checkpoint.json", diag);
    if (err != ERR_OK)
        return err;
    if (checkpoint == NULL)
        return ERR_NOMEM;
    expect(&cursor, ",\n\"position\":");
    checkpoint->position = take_position(&cursor);
    expect(&cursor, ",\n\"projects\":");
    take_list(&cursor, checkpoint_fields, COUNT_OF(checkpoint_fields),
              sizeof(struct checkpoint_project), UINT32_MAX, &projects, &checkpoint->project_count);
    checkpoint->projects = projects;
    expect(&cursor, ",");
    if (cursor.is_bad || cursor.at != cursor.end) {
        diag_set(diag, "checkpoint.json: not in the form this program writes");
        return ERR_CORRUPT;
    }
    *ret_checkpoint = MOVE(checkpoint);
    return ERR_OK;
}
