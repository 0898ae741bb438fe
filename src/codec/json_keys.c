/*
 * json_keys - see json_keys.h.
 */
#include "codec/json_keys.h"
#include "base/mem.h"

#define PAIRWISE_MAX 16 /* 120 comparisons of tags: cheaper than a sort */
#define CAPACITY_FIRST 256
#define CAPACITY_KEPT 4096

void
json_scratch_fini(struct json_scratch *scratch)
{
    mem_free(scratch->keys);
    *scratch = (struct json_scratch){0};
}

void
json_scratch_trim(struct json_scratch *scratch)
{
    if (scratch->key_capacity > CAPACITY_KEPT)
        json_scratch_fini(scratch);
}

static inline uint64_t
tag_of(struct slice key)
{
    uint64_t first = 0;
    uint64_t last = 0;

    if (key.len >= 8) {
        memcpy(&first, key.ptr, 8);
        memcpy(&last, key.ptr + key.len - 8, 8);
    } else if (key.len >= 4) {
        memcpy(&first, key.ptr, 4);
        memcpy(&last, key.ptr + key.len - 4, 4);
    } else if (key.len > 0) {
        first = (uint64_t)(unsigned char)key.ptr[0] |
                (uint64_t)(unsigned char)key.ptr[key.len / 2] << 8 |
                (uint64_t)(unsigned char)key.ptr[key.len - 1] << 16;
    }
    return (first ^ (last << 23 | last >> 41)) * UINT64_C(0x9e3779b97f4a7c15) + key.len;
}

bool
json_keys_add(struct json_scratch *scratch, struct slice key)
{
    if (scratch->key_count == scratch->key_capacity) {
        uint32_t capacity = scratch->key_capacity != 0 ? scratch->key_capacity * 2 : CAPACITY_FIRST;
        struct json_key *keys = mem_realloc(scratch->keys, capacity * sizeof(*keys));

        if (keys == NULL)
            return false;
        scratch->keys = keys;
        scratch->key_capacity = capacity;
    }
    scratch->keys[scratch->key_count++] =
        (struct json_key){.ptr = key.ptr, .len = (uint32_t)key.len, .tag = tag_of(key)};
    return true;
}

static int
compare(const struct json_key *a, const struct json_key *b)
{
    if (a->tag != b->tag)
        return a->tag < b->tag ? -1 : 1;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return a->len != 0 ? memcmp(a->ptr, b->ptr, a->len) : 0;
}

static void
sift_down(struct json_key *keys, uint32_t root, uint32_t count)
{
    struct json_key moving = keys[root];

    for (;;) {
        uint32_t child = 2 * root + 1;

        if (child >= count)
            break;
        if (child + 1 < count && compare(&keys[child], &keys[child + 1]) < 0)
            child++;
        if (compare(&moving, &keys[child]) >= 0)
            break;
        keys[root] = keys[child];
        root = child;
    }
    keys[root] = moving;
}

static void
sort(struct json_key *keys, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--)
        sift_down(keys, i - 1, count);
    for (uint32_t i = count; i > 1; i--) {
        struct json_key last = keys[i - 1];

        keys[i - 1] = keys[0];
        keys[0] = last;
        sift_down(keys, 0, i - 1);
    }
}

bool
json_keys_repeated(struct json_key *keys, uint32_t count, struct slice *ret_key)
{
    uint32_t reach = count;

    if (count > PAIRWISE_MAX) {
        sort(keys, count);
        reach = 1; /* equal ones stand side by side now */
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        uint32_t stop = reach == 1 ? i + 2 : count;

        for (uint32_t k = i + 1; k < stop; k++) {
            if (keys[i].tag == keys[k].tag && compare(&keys[i], &keys[k]) == 0) {
                *ret_key = slice_of(keys[k].ptr, keys[k].len);
                return true;
            }
        }
    }
    return false;
}
