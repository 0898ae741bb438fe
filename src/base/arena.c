/*
 * arena - a chain of blocks, filled from the front. See arena.h.
 *
 * A new block is twice the one before (at most 1 MiB), or as large as the piece that asked for it,
 * and smaller where bytes_max leaves less room: the limit counts the blocks' room, so a piece that
 * fits under bytes_max by itself is always given by an empty arena.
 */
#include "base/arena.h"

#include "base/mem.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define ALIGNMENT ((size_t)16)
#define GROWTH_MAX ((size_t)1024 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    size_t used;
    _Alignas(16) char bytes[];
};

void
arena_init(struct arena *arena, size_t block_bytes, size_t bytes_max)
{
    assert(block_bytes != 0);
    *arena = (struct arena){.block_bytes = block_bytes, .bytes_max = bytes_max};
}

static void
free_after(struct arena *arena, struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;

        arena->bytes_used -= block->capacity;
        mem_free(block);
        block = next;
    }
}

void
arena_fini(struct arena *arena)
{
    free_after(arena, arena->first);
    arena->first = NULL;
    arena->current = NULL;
}

void
arena_clear(struct arena *arena)
{
    if (arena->first == NULL)
        return;
    free_after(arena, arena->first->next);
    arena->first->next = NULL;
    arena->first->used = 0;
    arena->current = arena->first;
}

static struct arena_block *
add_block(struct arena *arena, size_t bytes)
{
    size_t left = arena->bytes_max - arena->bytes_used;
    size_t capacity = arena->block_bytes;
    struct arena_block *block;

    if (bytes > left)
        return NULL;
    if (arena->current != NULL) {
        capacity = arena->current->capacity * 2;
        if (capacity > GROWTH_MAX)
            capacity = arena->block_bytes > GROWTH_MAX ? arena->block_bytes : GROWTH_MAX;
    }
    if (capacity > left)
        capacity = left;
    if (capacity < bytes)
        capacity = bytes;
    if (capacity > SIZE_MAX - sizeof(struct arena_block))
        return NULL;
    block = (struct arena_block *)mem_alloc(sizeof(struct arena_block) + capacity);
    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->capacity = capacity;
    block->used = 0;
    if (arena->current == NULL)
        arena->first = block;
    else
        arena->current->next = block;
    arena->current = block;
    arena->bytes_used += capacity;
    return block;
}

void *
arena_alloc(struct arena *arena, size_t bytes)
{
    struct arena_block *block = arena->current;
    size_t start = 0;

    if (block != NULL) {
        start = (block->used + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
        if (start > block->capacity || bytes > block->capacity - start)
            block = NULL;
    }
    if (block == NULL) {
        block = add_block(arena, bytes);
        if (block == NULL)
            return NULL;
        start = 0;
    }
    block->used = start + bytes;
    return block->bytes + start;
}

void *
arena_zalloc(struct arena *arena, size_t count, size_t bytes)
{
    size_t total;
    void *ptr;

    if (__builtin_mul_overflow(count, bytes, &total))
        return NULL;
    ptr = arena_alloc(arena, total);
    if (ptr != NULL)
        memset(ptr, 0, total);
    return ptr;
}

struct slice
arena_copy(struct arena *arena, struct slice s)
{
    char *copy;

    if (s.ptr == NULL || s.len == SIZE_MAX)
        return SLICE_NONE;
    copy = (char *)arena_alloc(arena, s.len + 1);
    if (copy == NULL)
        return SLICE_NONE;
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return slice_of(copy, s.len);
}

struct slice
arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return SLICE_NONE;
    text = (char *)arena_alloc(arena, (size_t)len + 1);
    if (text == NULL)
        return SLICE_NONE;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return slice_of(text, (size_t)len);
}
