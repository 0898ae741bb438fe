/*
 * local - the limits of one process, in its memory. See limit.h.
 *
 * One table for each who that has a limit: sets of WAYS entries. An id's keyed hash names its set;
 * its entry is one of the set, by the whole 64 bits of the hash. An entry is the id's three
 * buckets. Where an id is new, it takes an entry whose buckets are all full, else the one that will
 * be full the soonest. No chains, no lists, no ageing: what is full is free.
 *
 * One of LOCKS locks guards a set. They are held for some forty instructions without a call, so
 * they spin: a mutex would cost as much as the counting. Who finds one taken for long lets others
 * run. A request takes one at a time, in the order key, project, address, and gives back what it
 * took where a later one refuses: two loops never wait for each other's locks. Meanwhile another
 * request may be refused that had room a moment later.
 *
 * Where limits are kept together with other processes, what is counted is noted beside the entry
 * too (share.c).
 */
#include "limit/inside.h"

#include "base/clock.h"
#include "base/counter.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define NS_PER_MS INT64_C(1000000)

COUNTER_LABEL_DEFINE(refused_key, "potik_limited_total", "requests refused by a limit", "who",
                     "key");
COUNTER_LABEL_DEFINE(refused_project, "potik_limited_total", "requests refused by a limit", "who",
                     "project");
COUNTER_LABEL_DEFINE(refused_address, "potik_limited_total", "requests refused by a limit", "who",
                     "address");
COUNTER_DEFINE(fallbacks, "potik_limit_fallback_total",
               "requests decided by limit-fallback, since Redis was away");

/* One who's part of a request. */
struct part {
    struct limit *limit;
    const struct table *table;
    enum limit_who who;
    uint64_t id;
    uint64_t hash;
    uint64_t first; /* place of its set's first entry */
    _Atomic bool *lock;
};

static const char *const who_names[] = {"key", "project", "address"};
static const char *const what_names[] = {"events", "requests", "bytes"};

const char *
limit_who_name(enum limit_who who)
{
    return who_names[who];
}

const char *
limit_what_name(enum limit_what what)
{
    return what_names[what];
}

/* --- the tables ----------------------------------------------------------------------------- */

static enum err
table_init(struct table *table, const struct limit_config *config, enum limit_who who)
{
    uint64_t sets = 1;
    bool has_any = false;

    for (int what = 0; what < LIMIT_WHAT_COUNT; what++) {
        table->rates[what] =
            bucket_rate(config->per_second[who][what], (int64_t)config->burst_ms * NS_PER_MS);
        has_any = has_any || table->rates[what].per_second != 0;
    }
    if (!has_any)
        return ERR_OK;
    while (sets * LIMIT_WAYS < config->entries_max)
        sets *= 2;
    table->set_mask = sets - 1;
    table->entries = MEM_NEW(struct entry, sets * LIMIT_WAYS);
    return table->entries != NULL ? ERR_OK : ERR_NOMEM;
}

enum err
limit_new(const struct limit_config *config, struct limit **ret_limit, struct diag *diag)
{
    CLEANUP(limit_free) struct limit *limit = MEM_NEW(struct limit, 1);
    bool has_any = false;
    enum err err = limit != NULL ? ERR_OK : ERR_NOMEM;

    assert(config->burst_ms >= 1 && config->burst_ms <= LIMIT_BURST_MS_MAX);
    *ret_limit = NULL;
    for (int who = 0; err == ERR_OK && who < LIMIT_WHO_COUNT; who++) {
        err = table_init(&limit->tables[who], config, (enum limit_who)who);
        has_any = has_any || limit->tables[who].entries != NULL;
    }
    if (err != ERR_OK) {
        diag_set(diag, "limits: out of memory");
        return err;
    }
    if (!has_any)
        return ERR_OK;
    random_fill(config->random, (uint8_t *)limit->key, sizeof(limit->key));
    limit->key[1] |= 1;
    limit->key[2] |= 1;
    limit->fallback = config->fallback;
    if (config->is_shared && share_init(limit) != ERR_OK) {
        diag_set(diag, "limits: out of memory");
        return ERR_NOMEM;
    }
    *ret_limit = MOVE(limit);
    return ERR_OK;
}

void
limit_free(struct limit **place)
{
    struct limit *limit = *place;

    if (limit == NULL)
        return;
    for (int who = 0; who < LIMIT_WHO_COUNT; who++)
        mem_free(limit->tables[who].entries);
    share_fini(limit);
    mem_free(limit);
    *place = NULL;
}

bool
limit_has(const struct limit *limit, enum limit_who who)
{
    return limit != NULL && limit->tables[who].entries != NULL;
}

static int64_t
all_full_ns(const struct entry *entry)
{
    int64_t latest = entry->full_ns[0];

    for (int what = 1; what < LIMIT_WHAT_COUNT; what++)
        latest = entry->full_ns[what] > latest ? entry->full_ns[what] : latest;
    return latest;
}

static struct entry *
find_other_entry(const struct part *part)
{
    struct entry *set = &part->table->entries[part->first];
    struct entry *soonest = &set[0];

    for (int way = 1; way < LIMIT_WAYS; way++)
        if (set[way].hash == part->hash)
            return &set[way];
    for (int way = 1; way < LIMIT_WAYS; way++)
        if (all_full_ns(&set[way]) < all_full_ns(soonest))
            soonest = &set[way];
    *soonest = (struct entry){.hash = part->hash};
    if (part->table->shares != NULL)
        share_begin(part->limit, part->who, (uint64_t)(soonest - part->table->entries), part->id);
    return soonest;
}

/* The entry of this id; a new one is full. Under the lock. Mostly it is the first of its set. */
static inline struct entry *
find_entry(const struct part *part)
{
    struct entry *first = &part->table->entries[part->first];

    return first->hash == part->hash ? first : find_other_entry(part);
}

/* So much was counted, or given back: the others are told. Under the lock. */
static inline void
note_share(const struct part *part, const struct entry *entry, const int64_t *cost_ns)
{
    if (part->table->shares != NULL)
        share_add(part->limit, part->who, (uint64_t)(entry - part->table->entries), cost_ns);
}

/* --- asking --------------------------------------------------------------------------------- */

/* Keyed, since addresses are chosen by who sends: nobody can aim two at one set. */
static inline uint64_t
hash_id(const struct limit *limit, uint64_t id)
{
    const wide product = (wide)(id ^ limit->key[0]) * limit->key[1];
    const wide again = (wide)((uint64_t)product ^ (uint64_t)(product >> 64)) * limit->key[2];

    return (uint64_t)again ^ (uint64_t)(again >> 64);
}

static inline bool
find_part(struct limit *limit, const struct limit_ids *ids, int who, struct part *ret_part)
{
    if (limit->tables[who].entries == NULL || ids->ids[who] == 0)
        return false;
    ret_part->limit = limit;
    ret_part->table = &limit->tables[who];
    ret_part->who = (enum limit_who)who;
    ret_part->id = ids->ids[who];
    ret_part->hash = hash_id(limit, ids->ids[who]);
    ret_part->first = (ret_part->hash & ret_part->table->set_mask) * LIMIT_WAYS;
    ret_part->lock = limit_lock_of(limit, ret_part->hash & ret_part->table->set_mask);
    return true;
}

/* Keeps the limit that has the smallest share left (all have the same burst); of those that refuse,
 * the one that makes the request wait longest. */
static void
note(struct limit_answer *answer, int who, int what, int64_t debt_ns, int64_t wait_ns)
{
    if (answer->is_limited &&
        (wait_ns != 0 ? wait_ns <= answer->wait_ns : debt_ns <= answer->debt_ns))
        return;
    answer->is_limited = true;
    answer->who = (enum limit_who)who;
    answer->what = (enum limit_what)what;
    answer->debt_ns = debt_ns;
    answer->wait_ns = wait_ns;
}

/* All of one who's limits, or none. Under the lock. */
static bool
take(const struct part *part, int who, struct entry *entry, const uint64_t *costs,
     const uint64_t *paid, int64_t now_ns, struct limit_answer *answer)
{
    int64_t full_ns[LIMIT_WHAT_COUNT];
    int64_t new_ns[LIMIT_WHAT_COUNT] = {0};

    for (int what = 0; what < LIMIT_WHAT_COUNT; what++) {
        const struct bucket_rate *rate = &part->table->rates[what];
        const int64_t cost_ns = bucket_cost_ns(rate, costs[what]); /* no limit: 0 */
        int64_t paid_ns = 0;
        int64_t debt_ns;
        int64_t wait_ns = 0;

        full_ns[what] = entry->full_ns[what];
        if (cost_ns == 0)
            continue;
        if (paid != NULL)
            paid_ns = bucket_cost_ns(rate, paid[what]);
        debt_ns = bucket_debt_ns(full_ns[what] - paid_ns, now_ns);
        if (cost_ns != paid_ns)
            wait_ns = bucket_wait_ns(rate, debt_ns, cost_ns);
        if (wait_ns == 0 && answer->wait_ns == 0) {
            new_ns[what] = cost_ns - paid_ns;
            full_ns[what] = bucket_take(full_ns[what], new_ns[what], now_ns);
            debt_ns = full_ns[what] - now_ns;
        }
        if (wait_ns != 0 || answer->wait_ns == 0)
            note(answer, who, what, debt_ns, wait_ns);
    }
    if (answer->wait_ns != 0) {
        /* What is known here may be old: it is asked for again, with nothing to tell. */
        note_share(part, entry, (const int64_t[LIMIT_WHAT_COUNT]){0});
        return false;
    }
    memcpy(entry->full_ns, full_ns, sizeof(full_ns));
    note_share(part, entry, new_ns);
    return true;
}

static void
give_back(const struct part *part, const uint64_t *costs, const uint64_t *paid)
{
    struct entry *entry;
    int64_t back_ns[LIMIT_WHAT_COUNT];

    limit_lock(part->lock);
    entry = find_entry(part);
    for (int what = 0; what < LIMIT_WHAT_COUNT; what++) {
        const struct bucket_rate *rate = &part->table->rates[what];

        back_ns[what] = (paid == NULL ? 0 : bucket_cost_ns(rate, paid[what])) -
                        bucket_cost_ns(rate, costs[what]);
        entry->full_ns[what] += back_ns[what];
    }
    note_share(part, entry, back_ns);
    limit_unlock(part->lock);
}

static void
count_refused(enum limit_who who)
{
    static struct counter *const refused[] = {&refused_key, &refused_project, &refused_address};

    counter_add(refused[who], 1);
}

/* What of one who's three buckets would be full when, with these costs; false: one has no room. */
static inline bool
add_costs(const struct table *table, const struct entry *entry, const uint64_t *costs,
          int64_t now_ns, int64_t cost_ns[LIMIT_WHAT_COUNT], int64_t full_ns[LIMIT_WHAT_COUNT])
{
    const int64_t full_ns_max = now_ns + table->rates[0].burst_ns; /* all have the same burst */

#pragma GCC unroll 3
    for (int what = 0; what < LIMIT_WHAT_COUNT; what++) {
        cost_ns[what] = (int64_t)((wide)costs[what] * table->rates[what].unit_time >> 32);
        full_ns[what] =
            (entry->full_ns[what] > now_ns ? entry->full_ns[what] : now_ns) + cost_ns[what];
        if (full_ns[what] > full_ns_max)
            return false;
    }
    return true;
}

/*
 * The common case, as `take` would do it, in half the instructions: nothing was paid before, and
 * the costs (below 2^32) fit into every burst beside what is owed. Takes one who after the other;
 * gives the first that could not be taken so, or LIMIT_WHO_COUNT.
 */
static int
take_simply(struct limit *limit, const struct limit_ids *ids, const uint64_t *costs, int64_t now_ns,
            struct limit_answer *answer)
{
    int64_t most_ns = now_ns;
    int most = -1;
    int first = LIMIT_WHO_COUNT;

    for (int who = 0; who < LIMIT_WHO_COUNT; who++) {
        int64_t full_ns[LIMIT_WHAT_COUNT];
        int64_t cost_ns[LIMIT_WHAT_COUNT];
        struct part part;
        struct entry *entry;
        bool is_taken;

        if (!find_part(limit, ids, who, &part))
            continue;
        limit_lock(part.lock);
        entry = find_entry(&part);
        is_taken = add_costs(part.table, entry, costs, now_ns, cost_ns, full_ns);
        if (is_taken) {
            memcpy(entry->full_ns, full_ns, sizeof(full_ns));
            if (part.table->shares != NULL)
                share_add_few(limit, part.who, (uint64_t)(entry - part.table->entries), cost_ns);
        }
        limit_unlock(part.lock);
        if (!is_taken) {
            first = who;
            break;
        }
#pragma GCC unroll 3
        for (int what = 0; what < LIMIT_WHAT_COUNT; what++) {
            most = full_ns[what] > most_ns ? who * LIMIT_WHAT_COUNT + what : most;
            most_ns = full_ns[what] > most_ns ? full_ns[what] : most_ns;
        }
    }
    if (most >= 0)
        *answer = (struct limit_answer){.is_limited = true,
                                        .who = (enum limit_who)(most / LIMIT_WHAT_COUNT),
                                        .what = (enum limit_what)(most % LIMIT_WHAT_COUNT),
                                        .debt_ns = most_ns - now_ns};
    return first;
}

/* Whether what is known here decides, though the others cannot be asked. */
static bool
counts(const struct limit *limit)
{
    return limit != NULL && (!atomic_load_explicit(&limit->is_away, memory_order_relaxed) ||
                             limit->fallback == LIMIT_LOCAL);
}

static bool
take_without(const struct limit *limit, struct limit_answer *ret_answer)
{
    *ret_answer = (struct limit_answer){.is_limited = false};
    if (limit == NULL)
        return true;
    counter_add(&fallbacks, 1);
    ret_answer->is_unknown = limit->fallback == LIMIT_CLOSED;
    return limit->fallback == LIMIT_OPEN;
}

/* All of it, or nothing; of the whos before `first` it has been taken. */
static bool
take_slowly(struct limit *limit, const struct limit_ids *ids, int first, const uint64_t *costs,
            const uint64_t *paid, int64_t now_ns, struct limit_answer *answer)
{
    struct part parts[LIMIT_WHO_COUNT];
    bool is_taken[LIMIT_WHO_COUNT] = {false};
    bool is_let_in = true;

    /* Once one refuses, `take` changes nothing: it tells who makes the request wait longest. */
    for (int who = 0; who < LIMIT_WHO_COUNT; who++) {
        if (!find_part(limit, ids, who, &parts[who]))
            continue;
        is_taken[who] = true;
        if (who < first)
            continue;
        limit_lock(parts[who].lock);
        is_taken[who] =
            take(&parts[who], who, find_entry(&parts[who]), costs, paid, now_ns, answer);
        limit_unlock(parts[who].lock);
        is_let_in = is_let_in && is_taken[who];
    }
    for (int who = 0; !is_let_in && who < LIMIT_WHO_COUNT; who++)
        if (is_taken[who])
            give_back(&parts[who], costs, paid);
    if (!is_let_in)
        count_refused(answer->who);
    return is_let_in;
}

bool
limit_take(struct limit *limit, const struct limit_ids *ids, const uint64_t costs[LIMIT_WHAT_COUNT],
           const uint64_t paid[LIMIT_WHAT_COUNT], int64_t now_ns, struct limit_answer *ret_answer)
{
    int first = 0;

    if (!counts(limit))
        return take_without(limit, ret_answer);
    if (atomic_load_explicit(&limit->is_away, memory_order_relaxed))
        counter_add(&fallbacks, 1);
    *ret_answer = (struct limit_answer){.is_limited = false};
    if (paid == NULL &&
        (costs[LIMIT_EVENTS] | costs[LIMIT_REQUESTS] | costs[LIMIT_BYTES]) >> 32 == 0)
        first = take_simply(limit, ids, costs, now_ns, ret_answer);
    return first == LIMIT_WHO_COUNT ||
           take_slowly(limit, ids, first, costs, paid, now_ns, ret_answer);
}

void
limit_count(struct limit *limit, const struct limit_ids *ids,
            const uint64_t costs[LIMIT_WHAT_COUNT], int64_t now_ns)
{
    for (int who = 0; counts(limit) && who < LIMIT_WHO_COUNT; who++) {
        int64_t cost_ns[LIMIT_WHAT_COUNT] = {0};
        struct part part;
        struct entry *entry;

        if (!find_part(limit, ids, who, &part))
            continue;
        limit_lock(part.lock);
        entry = find_entry(&part);
        for (int what = 0; what < LIMIT_WHAT_COUNT; what++) {
            const struct bucket_rate *rate = &part.table->rates[what];

            if (rate->per_second == 0)
                continue;
            cost_ns[what] = bucket_cost_ns(rate, costs[what]);
            entry->full_ns[what] = bucket_take(entry->full_ns[what], cost_ns[what], now_ns);
        }
        note_share(&part, entry, cost_ns);
        limit_unlock(part.lock);
    }
}

void
limit_give(struct limit *limit, const struct limit_ids *ids, const uint64_t costs[LIMIT_WHAT_COUNT])
{
    for (int who = 0; counts(limit) && who < LIMIT_WHO_COUNT; who++) {
        struct part part;

        if (find_part(limit, ids, who, &part))
            give_back(&part, costs, NULL);
    }
}

enum limit_fallback
limit_fallback(const struct limit *limit)
{
    return limit->fallback;
}

struct limit_state
limit_state(const struct limit *limit, const struct limit_answer *answer)
{
    const struct bucket_rate *rate = &limit->tables[answer->who].rates[answer->what];

    return (struct limit_state){
        .quota = bucket_quota(rate),
        .window_ms = (uint64_t)(rate->burst_ns / NS_PER_MS),
        .left = bucket_left(rate, answer->debt_ns),
    };
}
