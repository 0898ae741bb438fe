/*
 * throttle - see throttle.h. A table of buckets of 8: an entry is found, or put, in the bucket its
 * hash names.
 */
#include "api/throttle.h"

#include "base/mem.h"
#include "codec/hash.h"

#include <pthread.h>
#include <string.h>

#define BUCKET 8U
#define BUCKETS (THROTTLE_ENTRIES / BUCKET)
#define NAME_BYTES_MAX 256

struct entry {
    uint64_t hash; /* 0: free */
    int64_t failed_ns;
    uint32_t failures;
};

struct throttle {
    const struct clock *clock;
    uint8_t secret[HASH_SIPHASH_KEY_BYTES];
    pthread_mutex_t lock;
    struct entry entries[THROTTLE_ENTRIES];
};

struct throttle *
throttle_new(const struct clock *clock, struct random_source *random)
{
    struct throttle *throttle = MEM_NEW(struct throttle, 1);

    if (throttle == NULL)
        return NULL;
    throttle->clock = clock;
    random_fill(random, throttle->secret, sizeof(throttle->secret));
    pthread_mutex_init(&throttle->lock, NULL);
    return throttle;
}

void
throttle_free(struct throttle **throttle)
{
    if (*throttle == NULL)
        return;
    pthread_mutex_destroy(&(*throttle)->lock);
    mem_free(*throttle);
    *throttle = NULL;
}

/* The first four groups of an IPv6 address; all of anything else. */
static struct slice
network_of(struct slice address)
{
    size_t groups = 0;

    for (size_t i = 0; i < address.len; i++) {
        if (address.ptr[i] != ':')
            continue;
        if (++groups == 4 || (i + 1 < address.len && address.ptr[i + 1] == ':'))
            return slice_of(address.ptr, i);
    }
    return address;
}

static uint64_t
hash_of(const struct throttle *throttle, char kind, struct slice name)
{
    char input[1 + NAME_BYTES_MAX];
    uint8_t digest[HASH_SIPHASH_128_BYTES];
    size_t len = name.len < NAME_BYTES_MAX ? name.len : NAME_BYTES_MAX;
    uint64_t hash;

    input[0] = kind;
    if (len != 0)
        memcpy(input + 1, name.ptr, len);
    hash_siphash_128(throttle->secret, slice_of(input, 1 + len), digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash | 1; /* 0 is a free entry */
}

static uint64_t
account_hash(const struct throttle *throttle, struct slice account)
{
    return hash_of(throttle, 'a', account);
}

static uint64_t
address_hash(const struct throttle *throttle, struct slice address)
{
    return hash_of(throttle, 'n', network_of(address));
}

/* NULL: it is not there, or was forgotten. Under the lock. */
static struct entry *
find(struct throttle *throttle, uint64_t hash, int64_t now_ns)
{
    struct entry *bucket = &throttle->entries[(hash >> 16) % BUCKETS * BUCKET];

    for (size_t i = 0; i < BUCKET; i++) {
        if (bucket[i].hash == hash)
            return now_ns - bucket[i].failed_ns < THROTTLE_FORGET_S * NS_PER_S ? &bucket[i] : NULL;
    }
    return NULL;
}

static int64_t
wait_ns(const struct entry *entry, int64_t max_s, int64_t now_ns)
{
    int64_t delay_s = 1;

    if (entry == NULL || entry->failures < THROTTLE_FREE)
        return 0;
    for (uint32_t i = THROTTLE_FREE; i < entry->failures && delay_s < max_s; i++)
        delay_s *= 2;
    if (delay_s > max_s)
        delay_s = max_s;
    return entry->failed_ns + delay_s * NS_PER_S - now_ns;
}

int64_t
throttle_wait_s(struct throttle *throttle, struct slice account, struct slice address)
{
    int64_t now_ns = clock_steady_ns(throttle->clock);
    uint64_t account_key = account_hash(throttle, account);
    uint64_t address_key = address_hash(throttle, address);
    int64_t by_account, by_address, longer;

    pthread_mutex_lock(&throttle->lock);
    by_account = wait_ns(find(throttle, account_key, now_ns), THROTTLE_ACCOUNT_S_MAX, now_ns);
    by_address = wait_ns(find(throttle, address_key, now_ns), THROTTLE_ADDRESS_S_MAX, now_ns);
    pthread_mutex_unlock(&throttle->lock);
    longer = by_account > by_address ? by_account : by_address;
    return longer <= 0 ? 0 : (longer + NS_PER_S - 1) / NS_PER_S;
}

/* Under the lock. */
static void
count_failure(struct throttle *throttle, uint64_t hash, int64_t now_ns)
{
    struct entry *bucket = &throttle->entries[(hash >> 16) % BUCKETS * BUCKET];
    struct entry *entry = find(throttle, hash, now_ns);

    if (entry == NULL) {
        entry = &bucket[0];
        for (size_t i = 0; i < BUCKET; i++) {
            if (bucket[i].hash == hash) {
                entry = &bucket[i];
                break;
            }
            if (bucket[i].hash == 0 || bucket[i].failed_ns < entry->failed_ns)
                entry = &bucket[i];
            if (bucket[i].hash == 0)
                break;
        }
        *entry = (struct entry){.hash = hash};
    }
    entry->failures++;
    entry->failed_ns = now_ns;
}

void
throttle_failed(struct throttle *throttle, struct slice account, struct slice address)
{
    int64_t now_ns = clock_steady_ns(throttle->clock);
    uint64_t account_key = account_hash(throttle, account);
    uint64_t address_key = address_hash(throttle, address);

    pthread_mutex_lock(&throttle->lock);
    count_failure(throttle, account_key, now_ns);
    count_failure(throttle, address_key, now_ns);
    pthread_mutex_unlock(&throttle->lock);
}

void
throttle_succeeded(struct throttle *throttle, struct slice account)
{
    int64_t now_ns = clock_steady_ns(throttle->clock);
    uint64_t account_key = account_hash(throttle, account);
    struct entry *entry;

    pthread_mutex_lock(&throttle->lock);
    entry = find(throttle, account_key, now_ns);
    if (entry != NULL)
        *entry = (struct entry){0};
    pthread_mutex_unlock(&throttle->lock);
}
