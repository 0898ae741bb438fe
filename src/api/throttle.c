/*
 * throttle - two tables of failures. See throttle.h.
 *
 * A table is an array of entries, chained from buckets by the first bytes of their hash, and in one
 * list by use: the last of it is the next to go.
 */
#include "api/throttle.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/address.h"
#include "codec/hash.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define NONE UINT32_MAX

struct entry {
    uint8_t hash[HASH_SIPHASH_128_BYTES];
    int64_t failed_ns;     /* the last failure */
    int64_t not_before_ns; /* nobody is let in before; 0: no delay */
    uint32_t failures;
    uint32_t under_way;
    uint32_t next; /* of its bucket */
    uint32_t newer, older;
};

struct table {
    struct entry *entries;
    uint32_t *buckets;
    uint32_t bucket_mask;
    uint32_t count;
    uint32_t entries_max;
    uint32_t newest, oldest;
    uint32_t under_way_max; /* while failures are free */
    uint32_t delay_s_max;
};

struct throttle {
    pthread_mutex_t lock;
    uint8_t key[HASH_SIPHASH_KEY_BYTES];
    struct table accounts;
    struct table addresses;
};

/* --- one table --------------------------------------------------------------------------------*/

static uint32_t *
bucket_of(const struct table *table, const uint8_t *hash)
{
    uint32_t word;

    memcpy(&word, hash, sizeof(word));
    return &table->buckets[word & table->bucket_mask];
}

static void
list_remove(struct table *table, uint32_t i)
{
    struct entry *entry = &table->entries[i];

    if (entry->newer != NONE)
        table->entries[entry->newer].older = entry->older;
    else
        table->newest = entry->older;
    if (entry->older != NONE)
        table->entries[entry->older].newer = entry->newer;
    else
        table->oldest = entry->newer;
}

static void
list_push(struct table *table, uint32_t i)
{
    struct entry *entry = &table->entries[i];

    entry->newer = NONE;
    entry->older = table->newest;
    if (table->newest != NONE)
        table->entries[table->newest].newer = i;
    else
        table->oldest = i;
    table->newest = i;
}

static uint32_t
take_place(struct table *table)
{
    uint32_t i = table->count;
    uint32_t *link;

    if (table->count < table->entries_max) {
        table->count++;
        return i;
    }
    i = table->oldest;
    link = bucket_of(table, table->entries[i].hash);
    while (*link != i)
        link = &table->entries[*link].next;
    *link = table->entries[i].next;
    list_remove(table, i);
    return i;
}

/* The entry of this hash, made if absent, now the newest. */
static struct entry *
touch(struct table *table, const uint8_t *hash, int64_t now_ns)
{
    uint32_t *bucket = bucket_of(table, hash);
    uint32_t i = *bucket;
    struct entry *entry;

    while (i != NONE && memcmp(table->entries[i].hash, hash, HASH_SIPHASH_128_BYTES) != 0)
        i = table->entries[i].next;
    if (i == NONE) {
        i = take_place(table);
        entry = &table->entries[i];
        *entry = (struct entry){.next = *bucket}; /* the place was not in this bucket any more */
        memcpy(entry->hash, hash, sizeof(entry->hash));
        *bucket = i;
    } else {
        entry = &table->entries[i];
        list_remove(table, i);
        if (entry->failures != 0 && now_ns - entry->failed_ns >= THROTTLE_FORGET_S * NS_PER_S) {
            entry->failures = 0;
            entry->not_before_ns = 0;
        }
    }
    list_push(table, i);
    return entry;
}

/* 0: let in. */
static uint32_t
wait_s(const struct table *table, const struct entry *entry, int64_t now_ns)
{
    uint32_t at_once = entry->failures < THROTTLE_FREE ? table->under_way_max : 1;

    if (entry->not_before_ns > now_ns)
        return (uint32_t)((entry->not_before_ns - now_ns + NS_PER_S - 1) / NS_PER_S);
    return entry->under_way >= at_once ? 1 : 0;
}

static void
leave(struct table *table, struct entry *entry, int64_t now_ns, enum throttle_outcome outcome)
{
    uint32_t delay_s = 1;

    if (entry->under_way != 0) /* the entry may have gone meanwhile */
        entry->under_way--;
    if (outcome != THROTTLE_WRONG)
        return;
    entry->failures++;
    entry->failed_ns = now_ns;
    if (entry->failures <= THROTTLE_FREE)
        return;
    for (uint32_t i = THROTTLE_FREE + 1; i < entry->failures && delay_s < table->delay_s_max; i++)
        delay_s *= 2;
    if (delay_s > table->delay_s_max)
        delay_s = table->delay_s_max;
    entry->not_before_ns = now_ns + delay_s * NS_PER_S;
}

static enum err
table_init(struct table *table, uint32_t entries_max, uint32_t under_way_max, uint32_t delay_s_max)
{
    uint32_t buckets = 16;

    while (buckets < entries_max)
        buckets *= 2;
    *table = (struct table){
        .entries = MEM_NEW(struct entry, entries_max),
        .buckets = MEM_NEW(uint32_t, buckets),
        .bucket_mask = buckets - 1,
        .entries_max = entries_max,
        .newest = NONE,
        .oldest = NONE,
        .under_way_max = under_way_max,
        .delay_s_max = delay_s_max,
    };
    if (table->entries == NULL || table->buckets == NULL)
        return ERR_NOMEM;
    memset(table->buckets, 0xff, buckets * sizeof(*table->buckets));
    return ERR_OK;
}

/* --- both -------------------------------------------------------------------------------------*/

enum err
throttle_new(uint32_t entries_max, struct random_source *random, struct throttle **ret_throttle)
{
    CLEANUP(throttle_free) struct throttle *throttle = MEM_NEW(struct throttle, 1);
    enum err err;

    assert(entries_max >= 1 && entries_max <= THROTTLE_ENTRIES_MAX);
    if (throttle == NULL)
        return ERR_NOMEM;
    pthread_mutex_init(&throttle->lock, NULL);
    random_fill(random, throttle->key, sizeof(throttle->key));
    err = table_init(&throttle->accounts, entries_max, THROTTLE_FREE + 1, THROTTLE_ACCOUNT_S_MAX);
    if (err == ERR_OK)
        err = table_init(&throttle->addresses, entries_max, THROTTLE_UNDER_WAY_MAX,
                         THROTTLE_ADDRESS_S_MAX);
    if (err != ERR_OK)
        return err;
    *ret_throttle = MOVE(throttle);
    return ERR_OK;
}

void
throttle_free(struct throttle **throttle)
{
    if (*throttle == NULL)
        return;
    mem_free((*throttle)->accounts.entries);
    mem_free((*throttle)->accounts.buckets);
    mem_free((*throttle)->addresses.entries);
    mem_free((*throttle)->addresses.buckets);
    pthread_mutex_destroy(&(*throttle)->lock);
    mem_free(*throttle);
    *throttle = NULL;
}

/* false: none. */
static bool
hash_address(const struct throttle *throttle, struct slice address, uint8_t *ret_hash)
{
    const uint64_t network = address_network(address);

    if (network != 0)
        hash_siphash_128(throttle->key, slice_of((const char *)&network, sizeof(network)),
                         ret_hash);
    return network != 0;
}

bool
throttle_enter(struct throttle *throttle, struct slice email, struct slice address, int64_t now_ns,
               uint32_t *ret_wait_s)
{
    uint8_t email_hash[HASH_SIPHASH_128_BYTES];
    uint8_t address_hash[HASH_SIPHASH_128_BYTES];
    bool has_address = hash_address(throttle, address, address_hash);
    struct entry *account;
    struct entry *from = NULL;
    uint32_t wait = 0;

    hash_siphash_128(throttle->key, email, email_hash);
    pthread_mutex_lock(&throttle->lock);
    account = touch(&throttle->accounts, email_hash, now_ns);
    wait = wait_s(&throttle->accounts, account, now_ns);
    if (has_address) {
        uint32_t more;

        from = touch(&throttle->addresses, address_hash, now_ns);
        more = wait_s(&throttle->addresses, from, now_ns);
        if (more > wait)
            wait = more;
    }
    if (wait == 0) {
        account->under_way++;
        if (from != NULL)
            from->under_way++;
    }
    pthread_mutex_unlock(&throttle->lock);
    *ret_wait_s = wait;
    return wait == 0;
}

void
throttle_leave(struct throttle *throttle, struct slice email, struct slice address, int64_t now_ns,
               enum throttle_outcome outcome)
{
    uint8_t email_hash[HASH_SIPHASH_128_BYTES];
    uint8_t address_hash[HASH_SIPHASH_128_BYTES];
    bool has_address = hash_address(throttle, address, address_hash);
    struct entry *account;

    hash_siphash_128(throttle->key, email, email_hash);
    pthread_mutex_lock(&throttle->lock);
    account = touch(&throttle->accounts, email_hash, now_ns);
    leave(&throttle->accounts, account, now_ns, outcome);
    if (outcome == THROTTLE_RIGHT) {
        account->failures = 0;
        account->not_before_ns = 0;
    }
    if (has_address)
        leave(&throttle->addresses, touch(&throttle->addresses, address_hash, now_ns), now_ns,
              outcome);
    pthread_mutex_unlock(&throttle->lock);
}
