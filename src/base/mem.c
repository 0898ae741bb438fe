/*
 * mem - malloc behind one door: counted, and made to fail on demand. See mem.h.
 */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define POPULATE_BYTES ((size_t)1 << 20)

static _Atomic uint64_t allocation_count;
static _Atomic uint64_t fail_at; /* number of the allocation that fails; 0: none */
static _Atomic bool is_fail_sticky;

static bool
must_fail(void)
{
    uint64_t number = atomic_fetch_add_explicit(&allocation_count, 1, memory_order_relaxed) + 1;
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);

    if (at == 0 || number < at)
        return false;
    return number == at || atomic_load_explicit(&is_fail_sticky, memory_order_relaxed);
}

void
mem_free(void *ptr)
{
    free(ptr);
}

void *
mem_alloc(size_t bytes)
{
    return must_fail() ? NULL : malloc(bytes != 0 ? bytes : 1);
}

void *
mem_zalloc(size_t count, size_t bytes)
{
    bool is_empty = count == 0 || bytes == 0;

    return must_fail() ? NULL : calloc(is_empty ? 1 : count, is_empty ? 1 : bytes);
}

void *
mem_realloc(void *ptr, size_t bytes)
{
    return must_fail() ? NULL : realloc(ptr, bytes != 0 ? bytes : 1);
}

void
mem_populate(void *ptr, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t lead = (page - (uintptr_t)ptr % page) % page;

    /* In pieces: each holds the lock of the process's map, which others may be waiting for. */
    for (size_t at = lead; at < bytes; at += POPULATE_BYTES) {
        const size_t left = bytes - at;

        if (madvise((char *)ptr + at, left < POPULATE_BYTES ? left : POPULATE_BYTES,
                    MADV_POPULATE_WRITE) != 0)
            return; /* advice, and no more than that */
    }
}

char *
mem_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = (char *)mem_alloc(bytes);

    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

void
mem_fail_from(uint64_t nth, bool is_sticky)
{
    uint64_t now = atomic_load_explicit(&allocation_count, memory_order_relaxed);

    atomic_store_explicit(&fail_at, 0, memory_order_relaxed);
    atomic_store_explicit(&is_fail_sticky, is_sticky, memory_order_relaxed);
    atomic_store_explicit(&fail_at, nth != 0 ? now + nth : 0, memory_order_relaxed);
}

uint64_t
mem_allocation_count(void)
{
    return atomic_load_explicit(&allocation_count, memory_order_relaxed);
}
