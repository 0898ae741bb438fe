/*
 * import_line - see import_line.h.
 */
#include "cli/import_line.h"

#include "codec/json_reader.h"
#include "event/limits.h"

bool
import_line_find_id(struct slice text, struct arena *arena, struct import_line_id *ret_place)
{
    const struct json_rules rules = {.root = SLICE(""), .depth = 2};
    struct json_scratch scratch = {0};
    struct json_notes notes = {0};
    struct json_reader reader;
    bool is_good = true;

    json_reader_init(&reader, text, &scratch, arena);
    if (text.len == 0 || *reader.at != '{')
        return false;
    *ret_place = (struct import_line_id){.inside = ++reader.at};
    json_reader_space(&reader);
    ret_place->is_empty = reader.at < reader.end && *reader.at == '}';
    while (is_good && !ret_place->is_empty) {
        struct json_text key;
        struct slice name = SLICE_NONE;
        const char *value;

        is_good = reader.at < reader.end && *reader.at == '"' && json_reader_text(&reader, &key);
        if (is_good && !key.is_bad_utf8)
            is_good = json_text_decode(&key, arena, &name) == ERR_OK;
        json_reader_space(&reader);
        is_good = is_good && reader.at < reader.end && *reader.at++ == ':';
        json_reader_space(&reader);
        value = reader.at;
        is_good = is_good && json_reader_value(&reader, &rules, &notes);
        if (is_good && slice_equal(name, SLICE("event_id"))) {
            ret_place->value = value;
            ret_place->value_end = reader.at;
            ret_place->is_null = *value == 'n';
        }
        json_reader_space(&reader);
        is_good = is_good && reader.at < reader.end;
        if (is_good && *reader.at == '}')
            break;
        is_good = is_good && *reader.at++ == ',';
        json_reader_space(&reader);
    }
    is_good = is_good && reader.at + 1 == reader.end;
    json_scratch_fini(&scratch);
    return is_good;
}

enum err
import_line_read_id(struct slice text, struct arena *arena, struct slice *ret_id)
{
    struct json_scratch scratch = {0};
    struct import_line_id place;
    struct json_reader reader;
    struct json_text value;
    struct slice id = SLICE_NONE;
    enum err err = ERR_OK;

    *ret_id = SLICE_NONE;
    if (!import_line_find_id(text, arena, &place) || place.value == NULL || *place.value != '"')
        return ERR_OK;
    json_reader_init(&reader, slice_of(place.value, (size_t)(place.value_end - place.value)),
                     &scratch, arena);
    if (json_reader_text(&reader, &value) && !value.is_bad_utf8 && !value.has_nul)
        err = json_text_decode(&value, arena, &id);
    json_scratch_fini(&scratch);
    if (err == ERR_OK && id.len >= 1 && id.len <= LIMIT_EVENT_ID_BYTES)
        *ret_id = id;
    return err;
}
