/*
 * fake_store - a store in memory, of either kind. See fixture.h.
 */
#include "fixture.h"
#include <stdlib.h>
#include <string.h>

static struct slice
copy_text(struct slice text)
{
    char *copy = NULL;

    if (text.ptr == NULL)
        return text;
    copy = malloc(text.len + 1);
    memcpy(copy, text.ptr, text.len);
    return slice_of(copy, text.len);
}

enum fake_kind fake_store_kind = FAKE_LEDGER;

int
fake_store_is_ledger(void **state)
{
    (void)state;
    fake_store_kind = FAKE_LEDGER;
    return 0;
}

int
fake_store_is_database(void **state)
{
    (void)state;
    fake_store_kind = FAKE_DATABASE;
    return 0;
}

#define TRANSACTION_FIRST 700
#define TRANSACTION_ROWS 5

static struct store_position
position_of_next(struct fake_store *store)
{
    const uint64_t place = store->count + 1;

    if (store->kind == FAKE_LEDGER)
        return (struct store_position){.generation = store->generation, .minor = place};
    if (store->transactions_other != 0 || store->transaction_rows == TRANSACTION_ROWS) {
        store->transaction += store->transactions_other + 1;
        store->transactions_other = 0;
        store->transaction_rows = 0;
    }
    store->transaction_rows++;
    return (struct store_position){store->generation, store->transaction, place};
}

struct store_position
fake_store_told(const struct fake_store *store, uint32_t count)
{
    struct store_position last;

    if (store->kind == FAKE_LEDGER)
        return (struct store_position){store->generation, 0, count};
    if (count == 0 || store->rows[count - 1].position.generation != store->generation)
        return (struct store_position){store->generation, TRANSACTION_FIRST, 0};
    last = store->rows[count - 1].position;
    /* a transaction is there whole or not at all */
    assert_true(count == store->count || store->rows[count].position.major != last.major);
    return (struct store_position){last.generation, last.major + 1, 0};
}

void
fake_store_add(struct fake_store *store, const struct event *event)
{
    struct event copy = *event;

    if (store->count == store->capacity) {
        store->capacity = store->capacity == 0 ? 1024 : store->capacity * 2;
        store->rows = realloc(store->rows, store->capacity * sizeof(*store->rows));
    }
    copy.event_id = copy_text(event->event_id);
    copy.event_type = copy_text(event->event_type);
    copy.user_id = copy_text(event->user_id);
    copy.anonymous_id = copy_text(event->anonymous_id);
    copy.session_id = copy_text(event->session_id);
    copy.properties = copy_text(event->properties);
    store->rows[store->count] = (struct store_row){
        .event = copy,
        .seq = store->kind == FAKE_LEDGER ? store->count + 1 : 0,
        .position = position_of_next(store),
    };
    store->count++;
    store->visible = store->count;
}

static uint32_t
first_after(const struct fake_store *store, struct store_position after)
{
    uint32_t low = 0;
    uint32_t high = store->count;

    while (low < high) {
        const uint32_t middle = (low + high) / 2;

        if (store_position_at_or_before(store->rows[middle].position, after))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t
fake_store_readable(const struct fake_store *store)
{
    return store->visible - store->held;
}

/* Leaves erased rows out of a page; `from` is the place of its first. */
static void
leave_out_erased(struct fake_store *store, uint32_t from, struct store_page *page)
{
    uint32_t kept = 0;

    if (store->erased == NULL)
        return;
    store->page = realloc(store->page, (page->count + 1) * sizeof(*store->page));
    for (uint32_t i = 0; i < page->count; i++) {
        if (!fake_store_is_erased(store, from + i))
            store->page[kept++] = page->rows[i];
    }
    page->rows = store->page;
    page->count = kept;
}

static enum err
database_read_after(struct fake_store *store, struct store_position after, uint32_t rows_max,
                    struct store_page *ret_page, struct diag *diag)
{
    const uint32_t from = first_after(store, after);
    uint32_t count = from < fake_store_readable(store) ? fake_store_readable(store) - from : 0;

    if (store->is_away) {
        diag_set(diag, "the database is away");
        return ERR_NOT_READY;
    }
    store->is_stale = store->is_stale && after.generation != 0;
    if (store->is_stale) {
        diag_set(diag, "the database went back");
        return ERR_STALE;
    }
    if (store->page_rows_max != 0 && rows_max > store->page_rows_max)
        rows_max = store->page_rows_max;
    *ret_page = (struct store_page){.rows = store->rows + from, .is_caught_up = count <= rows_max};
    ret_page->count = count < rows_max ? count : rows_max;
    if (!ret_page->is_caught_up) {
        ret_page->next = ret_page->rows[ret_page->count - 1].position;
    } else {
        ret_page->next = fake_store_told(store, fake_store_readable(store));
        if (store->transaction_rows != 0) /* what is committed gets no more rows */
            store->transaction_rows = TRANSACTION_ROWS;
        if (store->held == 0 && !store->is_other_running)
            ret_page->next.major += store->transactions_other;
        if (store->held != 0)
            ret_page->oldest_held_us = store->rows[fake_store_readable(store)].event.received_at_us;
    }
    store->rows_read += ret_page->count;
    leave_out_erased(store, from, ret_page);
    return ERR_OK;
}

void
fake_store_erase(struct fake_store *store, const struct selection *selection)
{
    const uint32_t before = store->erased_room;

    if (store->count > before) {
        store->erased = realloc(store->erased, store->count);
        memset(store->erased + before, 0, store->count - before);
        store->erased_room = store->count;
    }
    for (uint32_t i = 0; i < store->count; i++) {
        if (!store->erased[i] &&
            selection_matches(selection, &store->rows[i].event, store->rows[i].seq)) {
            store->erased[i] = true;
            store->erased_count++;
        }
    }
}

bool
fake_store_is_erased(const struct fake_store *store, uint32_t place)
{
    return place < store->erased_room && store->erased[place];
}

static enum err
fake_read_after(struct store *base, struct store_position after, uint32_t rows_max,
                size_t bytes_max, struct arena *arena, struct store_page *ret_page,
                struct diag *diag)
{
    struct fake_store *store = (struct fake_store *)base;
    uint32_t from = (uint32_t)after.minor;

    (void)bytes_max;
    (void)arena;
    if (store->kind == FAKE_DATABASE)
        return database_read_after(store, after, rows_max, ret_page, diag);
    if (after.generation != 0 && after.generation != store->generation)
        return ERR_INVALID;
    if (store->page_rows_max != 0 && rows_max > store->page_rows_max)
        rows_max = store->page_rows_max;
    if (from > store->visible)
        from = store->visible;
    ret_page->count = store->visible - from < rows_max ? store->visible - from : rows_max;
    ret_page->rows = store->rows + from;
    ret_page->next = (struct store_position){store->generation, 0, from + ret_page->count};
    ret_page->is_caught_up = from + ret_page->count == store->visible;
    store->rows_read += ret_page->count;
    leave_out_erased(store, from, ret_page);
    return ERR_OK;
}

static bool
fake_wait_after(struct store *base, struct store_position after, int64_t timeout_ms)
{
    (void)timeout_ms;
    if (((struct fake_store *)base)->kind == FAKE_DATABASE)
        return true; /* it is always worth a look: what can be read may have moved */
    return after.minor < ((struct fake_store *)base)->visible;
}

static void
fake_wake(struct store *base)
{
    (void)base;
}

static struct store_position
fake_durable(struct store *base)
{
    const struct fake_store *store = (const struct fake_store *)base;

    if (store->kind == FAKE_DATABASE) {
        const struct store_position told = fake_store_told(store, store->visible);

        return (struct store_position){store->generation, told.major + store->transactions_other,
                                       0};
    }
    return (struct store_position){store->generation, 0, store->visible};
}

static enum err
fake_maintain(struct store *base, bool *ret_did_work, struct diag *diag)
{
    (void)base;
    (void)diag;
    *ret_did_work = false;
    return ERR_OK;
}

static const struct store_vtable fake_vtable = {
    .read_after = fake_read_after,
    .wait_after = fake_wait_after,
    .wake = fake_wake,
    .durable = fake_durable,
    .maintain_fast = fake_maintain,
    .maintain_slow = fake_maintain,
};

void
fake_store_init(struct fake_store *store)
{
    *store = (struct fake_store){
        .store.vtable = &fake_vtable,
        .kind = fake_store_kind,
        .generation = fake_store_kind == FAKE_LEDGER ? 0x1234 : 1,
        .transaction = TRANSACTION_FIRST,
    };
}

static void
free_text(struct slice text)
{
    char *memory = NULL;

    memcpy(&memory, &text.ptr, sizeof(memory));
    free(memory);
}

void
fake_store_cut(struct fake_store *store, uint32_t count)
{
    while (store->count > count) {
        const struct event *event = &store->rows[--store->count].event;

        free_text(event->event_id);
        free_text(event->event_type);
        free_text(event->user_id);
        free_text(event->anonymous_id);
        free_text(event->session_id);
        free_text(event->properties);
    }
    if (store->visible > count)
        store->visible = count;
}

void
fake_store_restore(struct fake_store *store, uint32_t count)
{
    fake_store_cut(store, count);
    store->generation++;
    store->transaction = TRANSACTION_FIRST;
    store->transaction_rows = 0;
    store->is_stale = true;
}

void
fake_store_fini(struct fake_store *store)
{
    fake_store_cut(store, 0);
    free(store->rows);
    free(store->erased);
    free(store->page);
}
