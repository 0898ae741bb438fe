/*
 * mem - every allocation of our own code, so that analyzers pair them and tests can fail them.
 *
 * Layer 0, any thread. mem_fail_from(k, is_sticky) makes the k-th allocation after the call
 * (counted from 1, over all threads) return NULL, once or from there on; 0 turns it off.
 */
#ifndef POTIK_BASE_MEM_H
#define POTIK_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void mem_free(void *ptr); /* takes NULL */

/* clang 14 knows the attribute without the name of the call that frees. */
#ifdef __clang__
#define MEM_ALLOCATES_ __attribute__((malloc, warn_unused_result))
#else
#define MEM_ALLOCATES_ __attribute__((malloc, malloc(mem_free, 1), warn_unused_result))
#endif

MEM_ALLOCATES_ __attribute__((alloc_size(1))) void *mem_alloc(size_t bytes);
/* Zeroed; NULL on overflow of count * bytes, too. */
MEM_ALLOCATES_ __attribute__((alloc_size(1, 2))) void *mem_zalloc(size_t count, size_t bytes);
/* NULL leaves `ptr` as it was. */
__attribute__((alloc_size(2), warn_unused_result)) void *mem_realloc(void *ptr, size_t bytes);
MEM_ALLOCATES_ char *mem_strdup(const char *text);

/*
 * Touches every page for writing, changing nothing. The kernel gives memory page by page as it is
 * written, and a page that was read before costs a flush of the other cores' TLBs as well: whoever
 * makes a large table for a thread in a hurry touches it beforehand. Others may be reading and
 * writing it. `bytes` become resident; where the kernel cannot do it (before 5.14) they do not.
 */
void mem_populate(void *ptr, size_t bytes);

void mem_fail_from(uint64_t nth, bool is_sticky);
uint64_t mem_allocation_count(void); /* since the process began */

#define MEM_NEW(type, count) ((type *)mem_zalloc((count), sizeof(type)))

/* x_free(struct x **) NULLs what it frees and takes NULL: by hand and as CLEANUP(x_free). */
#define CLEANUP(function) __attribute__((cleanup(function)))
#define MOVE(pointer)                                                                              \
    __extension__({                                                                                \
        __typeof__(pointer) moved_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        moved_;                                                                                    \
    })

/* CLEANUP(mem_free_ptr) for plain memory. */
static inline void
mem_free_ptr(void *pointer_to_pointer)
{
    void **place = (void **)pointer_to_pointer;

    mem_free(*place);
    *place = NULL;
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
