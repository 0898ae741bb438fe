/*
 * share - see share.h.
 *
 * Beside each entry stands a share: what was counted and not told yet, in the time it adds to the
 * bucket. A queue holds the places of all entries that have something to tell, each once, so that
 * it needs no more room than there are entries. Collecting takes a place out and what it has to
 * tell with it; what is counted from then on is told the next time.
 *
 * When the connection is lost nobody knows what of the last telling has arrived. `line` is the
 * number of the connection, one more with each loss and each return. An entry with another number
 * tells all that it knows to be owed, and the other side takes the greater of that and of what it
 * knows; so nothing is counted twice. An entry that is new on a connection tells what is new.
 */
#include "limit/inside.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

struct place {
    uint64_t number;
    enum limit_who who;
};

struct queue {
    _Atomic bool lock; /* taken with an entry's lock held, never the other way */
    bool is_waiting;   /* to be woken */
    uint64_t first;
    uint64_t count;
    uint64_t size; /* all entries */
    void (*wake)(void *state);
    void *wake_state;
    struct place places[];
};

enum err
share_init(struct limit *limit)
{
    uint64_t size = 0;

    for (int who = 0; who < LIMIT_WHO_COUNT; who++) {
        struct table *table = &limit->tables[who];
        const uint64_t entries = (table->set_mask + 1) * LIMIT_WAYS;

        if (table->entries == NULL)
            continue;
        table->shares = MEM_NEW(struct share, entries);
        if (table->shares == NULL)
            return ERR_NOMEM;
        size += entries;
    }
    limit->queue = mem_alloc(sizeof(*limit->queue) + size * sizeof(limit->queue->places[0]));
    if (limit->queue == NULL)
        return ERR_NOMEM;
    *limit->queue = (struct queue){.is_waiting = true, .size = size};
    atomic_store(&limit->is_away, true);
    return ERR_OK;
}

void
share_fini(struct limit *limit)
{
    for (int who = 0; who < LIMIT_WHO_COUNT; who++)
        mem_free(limit->tables[who].shares);
    mem_free(limit->queue);
}

void
limit_share_with(struct limit *limit, void (*wake)(void *state), void *state)
{
    limit_lock(&limit->queue->lock);
    limit->queue->wake = wake;
    limit->queue->wake_state = state;
    limit_unlock(&limit->queue->lock);
}

void
limit_set_away(struct limit *limit, bool is_away)
{
    atomic_fetch_add(&limit->line, 1);
    atomic_store(&limit->is_away, is_away);
}

/* --- what has been counted -------------------------------------------------------------------- */

void
share_begin(struct limit *limit, enum limit_who who, uint64_t place, uint64_t id)
{
    struct share *share = &limit->tables[who].shares[place];

    share->id = id;
    share->line = atomic_load_explicit(&limit->line, memory_order_relaxed);
    memset(share->untold_ns, 0, sizeof(share->untold_ns)); /* it stays queued, where it was */
}

void
share_enqueue(struct limit *limit, enum limit_who who, uint64_t place)
{
    struct queue *queue = limit->queue;

    limit->tables[who].shares[place].is_queued = true;
    limit_lock(&queue->lock);
    assert(queue->count < queue->size);
    queue->places[(queue->first + queue->count++) % queue->size] = (struct place){place, who};
    if (queue->is_waiting && queue->wake != NULL) {
        queue->is_waiting = false;
        queue->wake(queue->wake_state);
    }
    limit_unlock(&queue->lock);
}

static int64_t
add_within_bounds(int64_t untold_ns, int64_t cost_ns)
{
    int64_t sum_ns;

    if (__builtin_add_overflow(untold_ns, cost_ns, &sum_ns))
        return cost_ns > 0 ? SHARE_UNTOLD_NS_MAX : -SHARE_UNTOLD_NS_MAX;
    if (sum_ns > SHARE_UNTOLD_NS_MAX)
        return SHARE_UNTOLD_NS_MAX;
    return sum_ns < -SHARE_UNTOLD_NS_MAX ? -SHARE_UNTOLD_NS_MAX : sum_ns;
}

void
share_add(struct limit *limit, enum limit_who who, uint64_t place,
          const int64_t cost_ns[LIMIT_WHAT_COUNT])
{
    struct share *share = &limit->tables[who].shares[place];

    for (int what = 0; what < LIMIT_WHAT_COUNT; what++)
        share->untold_ns[what] = add_within_bounds(share->untold_ns[what], cost_ns[what]);
    if (!share->is_queued)
        share_enqueue(limit, who, place);
}

/* --- telling ---------------------------------------------------------------------------------- */

static bool
dequeue(struct queue *queue, struct place *ret_place)
{
    bool is_any;

    limit_lock(&queue->lock);
    is_any = queue->count != 0;
    if (is_any) {
        *ret_place = queue->places[queue->first];
        queue->first = (queue->first + 1) % queue->size;
        queue->count--;
    } else {
        queue->is_waiting = true;
    }
    limit_unlock(&queue->lock);
    return is_any;
}

size_t
limit_collect(struct limit *limit, struct share_part *parts, size_t parts_max, int64_t now_ns)
{
    size_t count = 0;
    struct place place;

    while (count < parts_max && dequeue(limit->queue, &place)) {
        const struct table *table = &limit->tables[place.who];
        const struct entry *entry = &table->entries[place.number];
        struct share *share = &table->shares[place.number];
        const uint32_t line = atomic_load(&limit->line);
        struct share_part *part = &parts[count++];
        _Atomic bool *taken = limit_lock_of(limit, place.number / LIMIT_WAYS);

        limit_lock(taken);
        *part = (struct share_part){.who = place.who, .id = share->id, .place = place.number};
        part->is_all = share->line != line;
        for (int what = 0; what < LIMIT_WHAT_COUNT; what++) {
            part->told_ns[what] = part->is_all ? bucket_debt_ns(entry->full_ns[what], now_ns)
                                               : share->untold_ns[what];
            share->untold_ns[what] = 0;
        }
        share->line = line;
        share->is_queued = false;
        limit_unlock(taken);
    }
    return count;
}

void
limit_settle(struct limit *limit, const struct share_part *part,
             const int64_t owed_ns[LIMIT_WHAT_COUNT], int64_t then_ns)
{
    const struct table *table = &limit->tables[part->who];
    struct entry *entry = &table->entries[part->place];
    const struct share *share = &table->shares[part->place];
    _Atomic bool *taken = limit_lock_of(limit, part->place / LIMIT_WAYS);

    limit_lock(taken);
    /* Of another id by now: what is owed of this one is known where it was told. */
    for (int what = 0; share->id == part->id && what < LIMIT_WHAT_COUNT; what++) {
        int64_t full_ns = owed_ns[what];

        if (table->rates[what].per_second == 0)
            continue;
        if (__builtin_add_overflow(full_ns, share->untold_ns[what], &full_ns) ||
            full_ns > BUCKET_NS_MAX)
            full_ns = BUCKET_NS_MAX;
        entry->full_ns[what] = then_ns + full_ns;
    }
    limit_unlock(taken);
}
