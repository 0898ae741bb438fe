/*
 * json - JSON strings and times. See json.h. Source: RFC 8259, section 7.
 */
#include "api/json.h"

#include "codec/rfc3339.h"
#include "codec/utf8.h"

static bool
stands_as_it_is(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static void
add_escaped(struct buf *buf, unsigned char byte)
{
    switch (byte) {
    case '"':
        buf_add_text(buf, "\\\"");
        return;
    case '\\':
        buf_add_text(buf, "\\\\");
        return;
    case '\n':
        buf_add_text(buf, "\\n");
        return;
    case '\r':
        buf_add_text(buf, "\\r");
        return;
    case '\t':
        buf_add_text(buf, "\\t");
        return;
    default:
        buf_printf(buf, "\\u%04x", byte);
    }
}

void
json_add_text(struct buf *buf, struct slice text)
{
    const char *at = text.ptr;
    const char *end = NULL;

    if (at == NULL) {
        buf_add_text(buf, "null");
        return;
    }
    end = at + text.len;
    buf_add_char(buf, '"');
    while (at < end) {
        const char *from = at;
        size_t sequence;

        while (at < end && stands_as_it_is((unsigned char)*at))
            at++;
        buf_add(buf, from, (size_t)(at - from));
        if (at == end)
            break;
        if ((unsigned char)*at < 0x80) {
            add_escaped(buf, (unsigned char)*at++);
            continue;
        }
        sequence = utf8_sequence(at, end);
        if (sequence != 0)
            buf_add(buf, at, sequence);
        else
            buf_add_text(buf, "\xef\xbf\xbd");
        at += sequence != 0 ? sequence : 1;
    }
    buf_add_char(buf, '"');
}

void
json_add_time(struct buf *buf, int64_t unix_us)
{
    char text[RFC3339_TEXT_BYTES];

    rfc3339_format(unix_us, text);
    buf_add_char(buf, '"');
    buf_add(buf, text, sizeof(text));
    buf_add_char(buf, '"');
}
