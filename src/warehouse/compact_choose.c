/*
 * compact_choose - which files to merge, and where to cut their time. Pure; see compact.h.
 *
 * Layer 4.
 */
#include "base/clock.h"
#include "codec/calendar.h"
#include "warehouse/compact.h"
#include <assert.h>
#include <string.h>

static uint32_t
tier_of(uint64_t rows)
{
    uint32_t tier = 0;

    for (; rows >= 8; rows /= 8)
        tier++;
    return tier;
}

static bool
is_same_part(const struct manifest_file *a, const struct manifest_file *b)
{
    return a->level == b->level && a->part_from_us == b->part_from_us &&
           a->part_to_us == b->part_to_us;
}

/* Whether a file outside the plan lies between its files in seqs, at moments they have, too. */
static bool
is_crossed(const struct file_set *set, const struct compact_plan *plan)
{
    const struct manifest_file *first = &set->files[plan->indexes[0]]->facts;
    uint64_t seq_min = first->seq_min, seq_max = first->seq_max;
    int64_t time_min = first->time_min_us, time_max = first->time_max_us;
    uint32_t at = 0;

    for (uint32_t i = 1; i < plan->count; i++) {
        const struct manifest_file *facts = &set->files[plan->indexes[i]]->facts;

        seq_min = facts->seq_min < seq_min ? facts->seq_min : seq_min;
        seq_max = facts->seq_max > seq_max ? facts->seq_max : seq_max;
        time_min = facts->time_min_us < time_min ? facts->time_min_us : time_min;
        time_max = facts->time_max_us > time_max ? facts->time_max_us : time_max;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        const struct manifest_file *facts = &set->files[i]->facts;

        if (at < plan->count && plan->indexes[at] == i) {
            at++;
            continue;
        }
        if (facts->seq_min <= seq_max && facts->seq_max >= seq_min &&
            facts->time_min_us <= time_max && facts->time_max_us >= time_min)
            return true;
    }
    return false;
}

/* The oldest stretch of at least COMPACT_WIDTH among `members` (places in the set) with tiers up to
 * `tier`. */
static bool
find_stretch(const struct file_set *set, const uint32_t *members, uint32_t count, uint32_t tier,
             uint64_t rows_most, struct compact_plan *plan)
{
    plan->count = 0;
    for (uint32_t i = 0; i <= count; i++) {
        const uint64_t rows = i < count ? set->files[members[i]]->facts.rows : 0;
        const bool fits = i < count && rows < rows_most && tier_of(rows) <= tier;

        if (fits && plan->count < MERGE_FILES_MAX) {
            plan->indexes[plan->count++] = members[i];
            continue;
        }
        if (plan->count >= COMPACT_WIDTH && !is_crossed(set, plan))
            return true;
        plan->count = 0;
    }
    return false;
}

static bool
choose_among(const struct file_set *set, const uint32_t *members, uint32_t count,
             uint64_t rows_most, struct compact_plan *plan)
{
    for (uint32_t tier = 0; count >= COMPACT_WIDTH && tier <= 21; tier++) {
        if (find_stretch(set, members, count, tier, rows_most, plan))
            return true;
    }
    plan->count = 0;
    return false;
}

static bool
choose_level_0(const struct file_set *set, uint32_t *members, uint64_t split_rows,
               struct compact_plan *plan)
{
    uint32_t count = 0;
    uint64_t rows = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        if (set->files[i]->facts.level == 0)
            members[count++] = i;
    }
    if (!choose_among(set, members, count, UINT64_MAX, plan))
        return false;
    for (uint32_t i = 0; i < plan->count; i++)
        rows += set->files[plan->indexes[i]]->facts.rows;
    if (rows < split_rows)
        return true;
    /* From the oldest on, so that what is split never lies among what is not. */
    plan->count = count < MERGE_FILES_MAX ? count : MERGE_FILES_MAX;
    memcpy(plan->indexes, members, plan->count * sizeof(*members));
    plan->is_split = true;
    return !is_crossed(set, plan);
}

static bool
choose_level_1(const struct file_set *set, uint32_t *members, uint64_t rows_max,
               struct compact_plan *plan)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct manifest_file *facts = &set->files[i]->facts;
        uint32_t count = 0;
        bool is_known = facts->level != 1;

        for (uint32_t k = 0; k < i && !is_known; k++)
            is_known = is_same_part(facts, &set->files[k]->facts);
        for (uint32_t k = i; k < set->count && !is_known; k++) {
            if (is_same_part(facts, &set->files[k]->facts))
                members[count++] = k;
        }
        if (choose_among(set, members, count, rows_max / 2, plan))
            return true;
    }
    return false;
}

void
compact_choose(const struct file_set *set, uint64_t split_rows, uint64_t rows_max,
               struct compact_plan *ret_plan)
{
    CLEANUP(mem_free_ptr) uint32_t *members = MEM_NEW(uint32_t, (size_t)set->count + 1);

    *ret_plan = (struct compact_plan){0};
    if (members == NULL || set->count < COMPACT_WIDTH)
        return;
    if (choose_level_0(set, members, split_rows, ret_plan))
        return;
    *ret_plan = (struct compact_plan){0};
    if (!choose_level_1(set, members, rows_max, ret_plan))
        ret_plan->count = 0;
}

static int64_t
month_start_us(int32_t month)
{
    return (int64_t)calendar_bucket_first_day(CALENDAR_MONTH, month) * US_PER_DAY;
}

void
compact_cut(const uint64_t *month_rows, uint32_t month_count, int32_t first_month,
            struct compact_parts *ret_parts)
{
    struct compact_parts parts = {0};
    uint64_t total = 0, least = 1;
    uint32_t months = 0;

    for (uint32_t i = 0; i < month_count; i++) {
        total += month_rows[i];
        months += month_rows[i] != 0;
    }
    if (months > COMPACT_PARTS_MAX) /* join neighbours until each has its share */
        least = total / (COMPACT_PARTS_MAX - 1) + 1;
    for (uint32_t i = 0; i < month_count; i++) {
        const int32_t month = first_month + (int32_t)i;

        if (month_rows[i] == 0)
            continue;
        if (parts.count == 0 || parts.rows[parts.count - 1] >= least) {
            assert(parts.count < COMPACT_PARTS_MAX);
            parts.from_us[parts.count++] = month_start_us(month);
        }
        parts.rows[parts.count - 1] += month_rows[i];
        parts.to_us[parts.count - 1] = month_start_us(month + 1);
    }
    *ret_parts = parts;
}
