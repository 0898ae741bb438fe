/*
 * body - see body.h. Parsing is simdjson's (codec/json.h), which checks the whole text first.
 */
#include "api/body.h"

#include "base/mem.h"
#include "codec/json.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct reading {
    const struct body_field *fields;
    uint32_t field_count;
    struct arena *arena;
    struct body_value *values;
    struct diag *diag;
};

static const char *const type_names[] = {[BODY_TEXT] = "a text",
                                         [BODY_BOOL] = "true or false",
                                         [BODY_INTEGER] = "a whole number",
                                         [BODY_TEXTS] = "a list of texts"};

static enum err
refuse_type(const struct reading *reading, const struct body_field *field)
{
    diag_set_field(reading->diag, field->name, "%s: must be %s", field->name,
                   type_names[field->type]);
    return ERR_INVALID_TYPE;
}

static enum err
take_text(const struct reading *reading, const struct body_field *field, struct json_value item,
          struct slice *ret_text)
{
    struct slice text;

    if (!json_as_text(item, &text))
        return refuse_type(reading, field);
    if (memchr(text.ptr, '\0', text.len) != NULL) {
        diag_set_field(reading->diag, field->name, "%s: U+0000 cannot be taken", field->name);
        return ERR_NUL_CHARACTER;
    }
    *ret_text = text.len == 0 ? SLICE("") : arena_copy(reading->arena, text);
    return ret_text->ptr == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err
take_texts(const struct reading *reading, const struct body_field *field, struct json_value list,
           struct body_value *value)
{
    struct json_items items = json_items_of(list);
    struct json_value item;
    struct slice key;
    uint32_t count = 0;
    enum err err = ERR_OK;

    if (json_kind(list) != JSON_ARRAY)
        return refuse_type(reading, field);
    while (json_items_next(&items, &key, &item))
        count++;
    if (count > BODY_TEXTS_MAX) {
        diag_set_field(reading->diag, field->name,
                       "%s: %d at most; send the rest in a request of "
                       "its own",
                       field->name, BODY_TEXTS_MAX);
        return ERR_INVALID_PARAMETER;
    }
    value->texts = ARENA_NEW(reading->arena, struct slice, count + 1);
    if (value->texts == NULL)
        return ERR_NOMEM;
    items = json_items_of(list);
    while (err == ERR_OK && json_items_next(&items, &key, &item))
        err = take_text(reading, field, item, &value->texts[value->text_count++]);
    return err;
}

static enum err
take(const struct reading *reading, const struct body_field *field, struct json_value item,
     struct body_value *value)
{
    bool is_good = true;

    switch (field->type) {
    case BODY_TEXT:
        return take_text(reading, field, item, &value->text);
    case BODY_TEXTS:
        return take_texts(reading, field, item, value);
    case BODY_BOOL:
        is_good = json_as_bool(item, &value->truth);
        break;
    case BODY_INTEGER:
        is_good = json_as_i64(item, &value->number);
        break;
    }
    return is_good ? ERR_OK : refuse_type(reading, field);
}

static enum err
refuse_unknown(const struct reading *reading, struct slice key)
{
    struct slice name = arena_copy(reading->arena, key); /* with a NUL behind it */
    char names[300] = "";
    size_t len = 0;

    if (name.ptr == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < reading->field_count && len < sizeof(names); i++)
        len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i == 0 ? "" : ", ",
                                reading->fields[i].name);
    diag_set_field(reading->diag, name.ptr, "there is no such field; there are: %s", names);
    return ERR_UNKNOWN_FIELD;
}

static enum err
take_member(const struct reading *reading, struct slice key, struct json_value item, uint32_t *seen)
{
    for (uint32_t i = 0; i < reading->field_count; i++) {
        const struct body_field *field = &reading->fields[i];

        if (!slice_equal(key, slice_of_text(field->name)))
            continue;
        if ((*seen & (1u << i)) != 0) {
            diag_set_field(reading->diag, field->name, "%s: stands twice", field->name);
            return ERR_DUPLICATE_KEY;
        }
        *seen |= 1u << i;
        if (json_kind(item) == JSON_NULL)
            return ERR_OK;
        reading->values[i].is_given = true;
        return take(reading, field, item, &reading->values[i]);
    }
    return refuse_unknown(reading, key);
}

static enum err
read_object(const struct reading *reading, struct json_value object)
{
    struct json_items items = json_items_of(object);
    struct json_value item;
    struct slice key;
    uint32_t seen = 0;
    enum err err = ERR_OK;

    if (json_kind(object) != JSON_OBJECT) {
        diag_set(reading->diag, "the body must be one JSON object");
        return ERR_INVALID_TYPE;
    }
    while (err == ERR_OK && json_items_next(&items, &key, &item))
        err = take_member(reading, key, item, &seen);
    for (uint32_t i = 0; err == ERR_OK && i < reading->field_count; i++) {
        if (!reading->fields[i].is_required || reading->values[i].is_given)
            continue;
        diag_set_field(reading->diag, reading->fields[i].name, "%s: is needed",
                       reading->fields[i].name);
        err = ERR_MISSING_FIELD;
    }
    return err;
}

enum err
body_read(struct slice json, const struct body_field *fields, uint32_t field_count,
          struct arena *arena, struct body_value *ret_values, struct diag *diag)
{
    CLEANUP(json_document_free) struct json_document *document = NULL;
    const struct reading reading = {fields, field_count, arena, ret_values, diag};
    struct json_value value;
    enum err err;

    assert(field_count <= BODY_FIELDS_MAX);
    memset(ret_values, 0, field_count * sizeof(*ret_values));
    if (json.len == 0)
        return ERR_EMPTY_BODY;
    err = json_document_new(&document, diag);
    if (err == ERR_OK)
        err = json_parse(document, json, &value, diag);
    return err == ERR_OK ? read_object(&reading, value) : err;
}
