/*
 * selection - see selection.h.
 */
#include "event/selection.h"

#include <assert.h>
#include <stdlib.h>

static int
compare_ids(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

uint32_t
selection_sort_ids(struct slice *ids, uint32_t count)
{
    uint32_t kept = 0;

    if (count == 0)
        return 0;
    qsort(ids, count, sizeof(*ids), compare_ids);
    for (uint32_t i = 1; i < count; i++) {
        if (slice_compare(ids[kept], ids[i]) != 0)
            ids[++kept] = ids[i];
    }
    return kept + 1;
}

static bool
has_id(const struct selection *selection, struct slice id)
{
    uint32_t low = 0, high = selection->id_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (slice_compare(selection->ids[middle], id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < selection->id_count && slice_compare(selection->ids[low], id) == 0;
}

static bool
is_within(const struct selection *selection, int64_t time_us)
{
    return time_us >= selection->from_us && time_us < selection->to_us;
}

bool
selection_matches(const struct selection *selection, const struct event *event, uint64_t seq)
{
    if (event->project_id != selection->project_id || seq > selection->seq_max ||
        event->received_at_us > selection->received_max_us)
        return false;
    switch (selection->kind) {
    case SELECTION_PERSON:
        return (event->user_id.ptr != NULL && slice_equal(event->user_id, selection->person)) ||
               (event->anonymous_id.ptr != NULL &&
                slice_equal(event->anonymous_id, selection->person));
    case SELECTION_RECEIVED:
        return is_within(selection, event->received_at_us);
    case SELECTION_OCCURRED:
        return is_within(selection, event->occurred_at_us);
    case SELECTION_IDS:
        return has_id(selection, event->event_id);
    case SELECTION_ALL:
        return true;
    }
    assert(!"a kind of the table");
    return false;
}
