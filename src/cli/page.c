/*
 * page - see page.h.
 */
#include "cli/page.h"

#include "codec/json_reader.h"

bool
page_read(struct slice body, const char *member, struct slice *ret_rows, uint32_t rows_max,
          uint32_t *ret_count, struct slice *ret_next)
{
    const struct json_rules rules = {.root = SLICE(""), .depth = 3};
    struct json_scratch scratch = {0};
    struct json_notes notes = {0};
    struct json_reader reader;
    struct arena arena;
    bool is_good, is_rows;
    uint32_t count = 0;

    arena_init(&arena, 4096, 1u << 20);
    json_reader_init(&reader, body, &scratch, &arena);
    is_good = reader.at < reader.end && *reader.at++ == '{';
    while (is_good) {
        struct json_text key;
        const char *value;

        json_reader_space(&reader);
        is_good = reader.at < reader.end && *reader.at == '"' && json_reader_text(&reader, &key);
        json_reader_space(&reader);
        is_good = is_good && reader.at < reader.end && *reader.at++ == ':';
        json_reader_space(&reader);
        value = reader.at;
        is_rows = is_good && slice_equal(slice_of(key.ptr, key.len), slice_of_text(member));
        if (is_rows && reader.at < reader.end && *reader.at == '[') {
            do {
                reader.at++; /* the bracket, or a comma */
                json_reader_space(&reader);
                value = reader.at;
                if (count == 0 && value < reader.end && *value == ']')
                    break;
                is_good = count < rows_max && json_reader_value(&reader, &rules, &notes);
                if (is_good)
                    ret_rows[count++] = slice_of(value, (size_t)(reader.at - value));
                json_reader_space(&reader);
            } while (is_good && reader.at < reader.end && *reader.at == ',');
            is_good = is_good && reader.at < reader.end && *reader.at++ == ']';
        } else if (is_good) {
            is_good = json_reader_value(&reader, &rules, &notes);
            if (is_good && slice_equal(slice_of(key.ptr, key.len), SLICE("next")) && *value == '"')
                *ret_next = slice_of(value + 1, (size_t)(reader.at - value) - 2);
        }
        json_reader_space(&reader);
        is_good = is_good && reader.at < reader.end && (*reader.at == ',' || *reader.at == '}');
        if (is_good && *reader.at++ == '}')
            break;
    }
    json_scratch_fini(&scratch);
    arena_fini(&arena);
    *ret_count = count;
    return is_good;
}
