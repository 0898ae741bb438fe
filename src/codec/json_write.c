/*
 * json_write - see json_write.h.
 */
#include "codec/json_write.h"
#include "codec/json_plain.h"
#include "codec/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void
write_special(struct buf *buf, unsigned char c)
{
    static const char names[] = "btn.fr"; /* of 8, 9, 10, (11), 12, 13 */

    if (c == '"' || c == '\\') {
        buf_add_char(buf, '\\');
        buf_add_char(buf, (char)c);
    } else if (c >= 8 && c <= 13 && c != 11) {
        buf_add_char(buf, '\\');
        buf_add_char(buf, names[c - 8]);
    } else {
        buf_printf(buf, "\\u%04x", c);
    }
}

void
json_write_text(struct buf *buf, struct slice text)
{
    const char *at = text.ptr;
    const char *end = NULL;

    if (text.ptr == NULL) {
        buf_add_text(buf, "null");
        return;
    }
    end = text.ptr + text.len;
    buf_add_char(buf, '"');
    while (at < end) {
        const char *plain = json_plain_end(at, end);
        size_t len = 0;

        buf_add(buf, at, (size_t)(plain - at));
        at = plain;
        if (at == end)
            break;
        if ((unsigned char)*at < 0x80) {
            write_special(buf, (unsigned char)*at++);
            continue;
        }
        len = utf8_sequence(at, end);
        if (len != 0)
            buf_add(buf, at, len);
        else
            buf_add_text(buf, "\xef\xbf\xbd");
        at += len != 0 ? len : 1;
    }
    buf_add_char(buf, '"');
}

void
json_write_key(struct buf *buf, const char *key)
{
    json_write_text(buf, slice_of_text(key));
    buf_add_char(buf, ':');
}

void
json_write_bool(struct buf *buf, bool value)
{
    buf_add_text(buf, value ? "true" : "false");
}

void
json_write_double(struct buf *buf, double value)
{
    char text[40];

    if (!isfinite(value)) {
        buf_add_text(buf, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_add_text(buf, text);
}
