/*
 * source_merge - k sources into one order, by a small heap over their next rows.
 *
 * Layer 4. A source's rows are copied while they stay before the next of all others, so long
 * stretches of one source cost a comparison each. A single source is handed on as it comes,
 * uncopied.
 */
#include "warehouse/source.h"

struct merge {
    struct source *heap[SOURCES_MAX + 1];
    uint32_t rank[SOURCES_MAX + 1];
    uint32_t count;
    uint32_t made;
    uint32_t person[SOURCE_ROWS];
    uint32_t type_id[SOURCE_ROWS];
    int64_t occurred_at_us[SOURCE_ROWS];
};

static bool
is_before(const struct merge *merge, uint32_t a, uint32_t b)
{
    const struct source *left = merge->heap[a], *right = merge->heap[b];
    const uint32_t left_person = left->person[left->at], right_person = right->person[right->at];
    const int64_t left_time = left->occurred_at_us[left->at];
    const int64_t right_time = right->occurred_at_us[right->at];

    if (left_person != right_person)
        return left_person < right_person;
    if (left_time != right_time)
        return left_time < right_time;
    return merge->rank[a] < merge->rank[b];
}

static void
sift_down(struct merge *merge, uint32_t place)
{
    for (;;) {
        uint32_t child = place * 2 + 1;
        struct source *source = merge->heap[place];
        const uint32_t rank = merge->rank[place];

        if (child >= merge->count)
            return;
        if (child + 1 < merge->count && is_before(merge, child + 1, child))
            child++;
        if (!is_before(merge, child, place))
            return;
        merge->heap[place] = merge->heap[child];
        merge->rank[place] = merge->rank[child];
        merge->heap[child] = source;
        merge->rank[child] = rank;
        place = child;
    }
}

/* The next chunk of the top; at its end it leaves the heap. */
static enum err
refill_top(struct merge *merge, struct diag *diag)
{
    struct source *top = merge->heap[0];
    const enum err err = top->next(top, diag);

    if (err == ERR_OK && top->count == 0) {
        merge->count--;
        merge->heap[0] = merge->heap[merge->count];
        merge->rank[0] = merge->rank[merge->count];
    }
    return err;
}

/* Copies rows of the top while they stay before the runner-up, as far as there is room. */
static void
copy_top(struct merge *merge)
{
    struct source *top = merge->heap[0];
    uint32_t second = 1;

    if (merge->count > 2 && is_before(merge, 2, 1))
        second = 2;
    do {
        merge->person[merge->made] = top->person[top->at];
        merge->occurred_at_us[merge->made] = top->occurred_at_us[top->at];
        if (top->type_id != NULL)
            merge->type_id[merge->made] = top->type_id[top->at];
        merge->made++;
        top->at++;
    } while (top->at < top->count && merge->made < SOURCE_ROWS &&
             (merge->count == 1 || is_before(merge, 0, second)));
}

static enum err
hand_over(struct merge *merge, bool wants_type, struct engine_guard *guard, source_rows_fn *rows,
          void *state)
{
    const struct warehouse_rows chunk = {merge->person, merge->occurred_at_us,
                                         wants_type ? merge->type_id : NULL, merge->made};

    merge->made = 0;
    if (guard != NULL && atomic_load(&guard->err) != ERR_OK)
        return (enum err)atomic_load(&guard->err);
    return chunk.count != 0 ? rows(state, &chunk) : ERR_OK;
}

static enum err
pass_on(struct source *source, bool wants_type, struct engine_guard *guard, source_rows_fn *rows,
        void *state, struct diag *diag)
{
    for (;;) {
        struct warehouse_rows chunk;
        enum err err = ERR_OK;

        if (guard != NULL && atomic_load(&guard->err) != ERR_OK)
            return (enum err)atomic_load(&guard->err);
        err = source->next(source, diag);
        if (err != ERR_OK || source->count == 0)
            return err;
        chunk = (struct warehouse_rows){source->person, source->occurred_at_us,
                                        wants_type ? source->type_id : NULL, source->count};
        err = rows(state, &chunk);
        if (err != ERR_OK)
            return err;
    }
}

enum err
source_merge(struct source **sources, uint32_t count, bool wants_type, struct engine_guard *guard,
             source_rows_fn *rows, void *state, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct merge *merge = NULL;
    enum err err = ERR_OK;

    if (count == 0)
        return ERR_OK;
    if (count == 1)
        return pass_on(sources[0], wants_type, guard, rows, state, diag);
    merge = MEM_NEW(struct merge, 1);
    if (merge == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        err = sources[i]->next(sources[i], diag);
        if (err != ERR_OK)
            return err;
        if (sources[i]->count != 0) {
            merge->heap[merge->count] = sources[i];
            merge->rank[merge->count++] = i;
        }
    }
    for (uint32_t i = merge->count / 2; i-- > 0;)
        sift_down(merge, i);
    while (err == ERR_OK && merge->count != 0) {
        copy_top(merge);
        if (merge->heap[0]->at == merge->heap[0]->count)
            err = refill_top(merge, diag);
        if (err == ERR_OK && merge->made == SOURCE_ROWS)
            err = hand_over(merge, wants_type, guard, rows, state);
        if (err == ERR_OK && merge->count != 0)
            sift_down(merge, 0);
    }
    return err == ERR_OK ? hand_over(merge, wants_type, guard, rows, state) : err;
}
