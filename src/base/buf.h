/*
 * buf - bytes that grow at the end, up to a maximum given at init. A failed append is remembered.
 *
 * Layer 0, one thread at a time. Writers append freely and ask buf_failed() once at the end; after
 * a failure (out of memory, over bytes_max) further appends do nothing.
 */
#ifndef POTIK_BASE_BUF_H
#define POTIK_BASE_BUF_H

#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

struct buf {
    char *ptr;
    size_t len;
    size_t capacity;
    size_t bytes_max;
    bool is_failed;
};

void buf_init(struct buf *buf, size_t bytes_max);
void buf_fini(struct buf *buf);
/* The same of what is secret: its bytes are overwritten first. */
void buf_wipe(struct buf *buf);
void buf_clear(struct buf *buf); /* empties, forgets a failure, keeps the memory */
/* Room for `bytes` more behind ptr + len; false: failed (and remembered). */
bool buf_reserve(struct buf *buf, size_t bytes);
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_slice(struct buf *buf, struct slice s);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_add_u64(struct buf *buf, uint64_t value); /* decimal */
void buf_add_i64(struct buf *buf, int64_t value);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Removes the first `len` bytes (a memmove: for leftovers, not for queues). */
void buf_remove_front(struct buf *buf, size_t len);
static inline bool
buf_failed(const struct buf *buf)
{
    return buf->is_failed;
}
static inline struct slice
buf_slice(const struct buf *buf)
{
    return (struct slice){buf->ptr != NULL ? buf->ptr : "", buf->len};
}

#endif
