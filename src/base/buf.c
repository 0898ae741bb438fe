/*
 * buf - doubling, up to bytes_max. See buf.h.
 */
#include "base/buf.h"

#include "base/mem.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define CAPACITY_MIN ((size_t)64)

void
buf_init(struct buf *buf, size_t bytes_max)
{
    *buf = (struct buf){.bytes_max = bytes_max};
}

void
buf_fini(struct buf *buf)
{
    mem_free(buf->ptr);
    *buf = (struct buf){.bytes_max = buf->bytes_max};
}

void
buf_wipe(struct buf *buf)
{
    if (buf->ptr != NULL)
        explicit_bzero(buf->ptr, buf->capacity);
    buf_fini(buf);
}

void
buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->is_failed = false;
}

static bool
grow(struct buf *buf, size_t bytes)
{
    size_t capacity = buf->capacity < CAPACITY_MIN ? CAPACITY_MIN : buf->capacity;
    size_t needed;
    char *ptr;

    if (__builtin_add_overflow(buf->len, bytes, &needed) || needed > buf->bytes_max)
        return false;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    if (capacity > buf->bytes_max)
        capacity = buf->bytes_max;
    ptr = (char *)mem_realloc(buf->ptr, capacity);
    if (ptr == NULL)
        return false;
    buf->ptr = ptr;
    buf->capacity = capacity;
    return true;
}

bool
buf_reserve(struct buf *buf, size_t bytes)
{
    if (buf->is_failed)
        return false;
    if (bytes <= buf->capacity - buf->len)
        return true;
    if (grow(buf, bytes))
        return true;
    buf->is_failed = true;
    return false;
}

void
buf_add(struct buf *buf, const void *bytes, size_t len)
{
    if (len == 0 || !buf_reserve(buf, len))
        return;
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}

void
buf_add_slice(struct buf *buf, struct slice s)
{
    buf_add(buf, s.ptr, s.len);
}

void
buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void
buf_add_char(struct buf *buf, char c)
{
    if (!buf_reserve(buf, 1))
        return;
    buf->ptr[buf->len++] = c;
}

void
buf_add_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t start = sizeof(digits);

    do {
        digits[--start] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    buf_add(buf, digits + start, sizeof(digits) - start);
}

void
buf_add_i64(struct buf *buf, int64_t value)
{
    if (value < 0)
        buf_add_char(buf, '-');
    buf_add_u64(buf, value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value);
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        buf->is_failed = true;
        return;
    }
    /* vsnprintf writes a NUL behind: where bytes_max leaves no room for it, the text goes by a
     * copy. */
    if ((size_t)len < buf->bytes_max - buf->len && buf_reserve(buf, (size_t)len + 1)) {
        va_start(args, format);
        (void)vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, args);
        va_end(args);
        buf->len += (size_t)len;
    } else if (buf_reserve(buf, (size_t)len)) {
        CLEANUP(mem_free_ptr) char *text = (char *)mem_alloc((size_t)len + 1);

        if (text == NULL) {
            buf->is_failed = true;
            return;
        }
        va_start(args, format);
        (void)vsnprintf(text, (size_t)len + 1, format, args);
        va_end(args);
        buf_add(buf, text, (size_t)len);
    }
}

void
buf_remove_front(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    if (len == 0)
        return;
    memmove(buf->ptr, buf->ptr + len, buf->len - len);
    buf->len -= len;
}
