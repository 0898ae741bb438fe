/*
 * url - see url.h.
 */
#include "codec/url.h"
#include "codec/utf8.h"

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* ERR_INVALID: a broken escape, U+0000, or not UTF-8 once decoded. */
static enum err
decode(struct slice raw, bool is_plus_space, struct arena *arena, struct slice *ret_text)
{
    size_t written = 0;
    char *text = NULL;

    if (raw.len == 0 || (memchr(raw.ptr, '%', raw.len) == NULL &&
                         (!is_plus_space || memchr(raw.ptr, '+', raw.len) == NULL))) {
        if (raw.len != 0 && (memchr(raw.ptr, '\0', raw.len) != NULL || !utf8_is_valid(raw)))
            return ERR_INVALID;
        *ret_text = raw.ptr != NULL ? raw : SLICE("");
        return ERR_OK;
    }
    text = arena_alloc(arena, raw.len);
    if (text == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];

        if (c == '+' && is_plus_space)
            c = ' ';
        if (c == '%') {
            int high = i + 2 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
            int low = i + 2 < raw.len ? hex_value(raw.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return ERR_INVALID;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return ERR_INVALID;
        text[written++] = c;
    }
    if (!utf8_is_valid(slice_of(text, written)))
        return ERR_INVALID;
    *ret_text = slice_of(text, written);
    return ERR_OK;
}

enum err
url_decode_segment(struct slice raw, struct arena *arena, struct slice *ret_text)
{
    enum err err = decode(raw, false, arena, ret_text);

    return err == ERR_INVALID ? ERR_BAD_REQUEST : err;
}

static enum err
decode_pair(struct slice raw, struct arena *arena, struct url_pair *ret_pair, struct diag *diag)
{
    const char *equals = memchr(raw.ptr, '=', raw.len);
    size_t name_len = equals != NULL ? (size_t)(equals - raw.ptr) : raw.len;
    struct slice value = equals != NULL ? slice_of(equals + 1, raw.len - name_len - 1) : SLICE("");
    char field[DIAG_FIELD_MAX];
    enum err err = decode(slice_of(raw.ptr, name_len), true, arena, &ret_pair->name);

    if (err == ERR_INVALID || (err == ERR_OK && ret_pair->name.len == 0)) {
        diag_set(diag, "a parameter's name is empty or not valid UTF-8 in percent-encoding");
        return ERR_INVALID_PARAMETER;
    }
    if (err == ERR_OK)
        err = decode(value, true, arena, &ret_pair->value);
    if (err == ERR_INVALID) {
        struct slice name = utf8_cut(ret_pair->name, DIAG_FIELD_MAX - 1);

        memcpy(field, name.ptr, name.len);
        field[name.len] = '\0';
        diag_set_field(diag, field, "%s: not valid UTF-8 in percent-encoding", field);
        return ERR_INVALID_PARAMETER;
    }
    return err;
}

enum err
url_parse_query(struct slice raw, struct arena *arena, struct url_pair *pairs, size_t pairs_max,
                size_t *ret_count, struct diag *diag)
{
    size_t count = 0;
    size_t begin = 0;

    while (begin < raw.len) {
        const char *ampersand = memchr(raw.ptr + begin, '&', raw.len - begin);
        size_t len = ampersand != NULL ? (size_t)(ampersand - raw.ptr) - begin : raw.len - begin;

        if (len != 0) {
            enum err err = ERR_OK;

            if (count == pairs_max) {
                diag_set(diag, "more than %zu parameters", pairs_max);
                return ERR_INVALID_PARAMETER;
            }
            err = decode_pair(slice_of(raw.ptr + begin, len), arena, &pairs[count], diag);
            if (err != ERR_OK)
                return err;
            count++;
        }
        begin += len + 1;
    }
    *ret_count = count;
    return ERR_OK;
}
