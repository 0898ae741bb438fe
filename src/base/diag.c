/*
 * diag - words of an error, kept to a fixed size and to valid UTF-8. See diag.h.
 *
 * Arguments may point into the diag itself (`diag_set(diag, "%s: %s", path, diag->message)`): text
 * is made aside, then copied.
 */
#include "base/diag.h"

#include "base/slice.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* `from` into `to`: cut before the first character that does not fit; bytes that are no UTF-8
 * become '?'. */
static void
copy_clean(char *to, size_t size, const char *from)
{
    struct slice rest = slice_of_text(from);
    size_t len = 0;

    while (rest.len != 0) {
        size_t width = slice_utf8_width(rest);
        size_t taken = width != 0 ? width : 1;

        if (len + taken >= size)
            break;
        if (width != 0)
            memcpy(to + len, rest.ptr, width);
        else
            to[len] = '?';
        len += taken;
        rest = slice_of(rest.ptr + taken, rest.len - taken);
    }
    to[len] = '\0';
}

void
diag_clear(struct diag *diag)
{
    if (diag == NULL)
        return;
    diag->message[0] = '\0';
    diag->field[0] = '\0';
}

__attribute__((format(printf, 3, 0))) static void
set(struct diag *diag, const char *field, const char *format, va_list args)
{
    char message[DIAG_MESSAGE_MAX * 2];
    char field_copy[DIAG_FIELD_MAX];

    copy_clean(field_copy, sizeof(field_copy), field);
    if (vsnprintf(message, sizeof(message), format, args) < 0)
        message[0] = '\0';
    copy_clean(diag->message, sizeof(diag->message), message);
    memcpy(diag->field, field_copy, sizeof(field_copy));
}

void
diag_set(struct diag *diag, const char *format, ...)
{
    va_list args;

    if (diag == NULL)
        return;
    va_start(args, format);
    set(diag, "", format, args);
    va_end(args);
}

void
diag_set_field(struct diag *diag, const char *field, const char *format, ...)
{
    va_list args;

    if (diag == NULL)
        return;
    va_start(args, format);
    set(diag, field, format, args);
    va_end(args);
}

void
diag_add_errno(struct diag *diag, int errno_value)
{
    char words[128];
    size_t len;

    if (diag == NULL)
        return;
    len = strlen(diag->message);
    copy_clean(diag->message + len, sizeof(diag->message) - len, len != 0 ? ": " : "");
    len = strlen(diag->message);
    copy_clean(diag->message + len, sizeof(diag->message) - len,
               strerror_r(errno_value, words, sizeof(words)));
}
