/*
 * store - hands each call to the store at hand, and writes positions as text. See store.h.
 *
 * Layer 3. Any thread.
 */
#include "store/store.h"

#include "base/counter.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

HISTOGRAM_DEFINE(commit_events, "potik_commit_events", "new events of one commit", HISTOGRAM_COUNT);
HISTOGRAM_DEFINE(commit_seconds, "potik_commit_seconds",
                 "one commit, waiting for its turn included", HISTOGRAM_SECONDS);

void
store_count_commit(uint32_t events, double seconds)
{
    histogram_observe(&commit_events, events);
    histogram_observe(&commit_seconds, seconds);
}

/* --- positions: three hexadecimal numbers with dots between, without leading zeros --------- */

void
store_position_format(struct store_position position, char ret_text[STORE_POSITION_TEXT])
{
    const int len = snprintf(ret_text, STORE_POSITION_TEXT, "%" PRIx64 ".%" PRIx64 ".%" PRIx64,
                             position.generation, position.major, position.minor);

    assert(len > 0 && len < STORE_POSITION_TEXT);
}

/* One number, up to `end` or the end of the text. */
static bool
parse_hex(struct slice *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; i < text->len && text->ptr[i] != '.'; i++) {
        const char c = text->ptr[i];
        uint64_t digit = 0;

        if (c >= '0' && c <= '9')
            digit = (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint64_t)(c - 'a') + 10;
        else
            return false;
        if (i == 16 || (i > 0 && value == 0))
            return false;
        value = value << 4 | digit;
    }
    if (i == 0)
        return false;
    text->ptr += i;
    text->len -= i;
    *ret_value = value;
    return true;
}

static bool
parse_dot(struct slice *text)
{
    if (text->len == 0 || text->ptr[0] != '.')
        return false;
    text->ptr++;
    text->len--;
    return true;
}

enum err
store_position_parse(struct slice text, struct store_position *ret_position)
{
    struct store_position position = {0};

    if (text.ptr == NULL || text.len >= STORE_POSITION_TEXT ||
        !parse_hex(&text, &position.generation) || !parse_dot(&text) ||
        !parse_hex(&text, &position.major) || !parse_dot(&text) ||
        !parse_hex(&text, &position.minor) || text.len != 0)
        return ERR_INVALID_PARAMETER;
    *ret_position = position;
    return ERR_OK;
}

bool
store_position_at_or_before(struct store_position a, struct store_position b)
{
    if (a.generation == 0 && a.major == 0 && a.minor == 0)
        return true; /* before the first event of any store */
    if (a.generation != b.generation) {
        /* Embedded (major 0): generations are names of ledgers, without an order. */
        return a.major != 0 && b.major != 0 && a.generation < b.generation;
    }
    if (a.major != b.major)
        return a.major < b.major;
    return a.minor <= b.minor;
}

/* --- dispatch ------------------------------------------------------------------------------ */

uint32_t
store_links_per_loop(const struct store *store)
{
    return store->vtable->links_per_loop;
}

void
store_close(struct store **store)
{
    if (*store != NULL)
        (*store)->vtable->close(*store);
    *store = NULL;
}

enum err
store_link_open(struct store *store, struct store_link **ret_link, struct diag *diag)
{
    return store->vtable->link_open(store, ret_link, diag);
}

void
store_link_close(struct store_link **link)
{
    if (*link != NULL)
        (*link)->vtable->link_close(*link);
    *link = NULL;
}

int
store_link_fd(struct store_link *link)
{
    return link->vtable->link_fd(link);
}

uint32_t
store_link_events(struct store_link *link)
{
    return link->vtable->link_events(link);
}

void
store_link_ready(struct store_link *link, uint32_t events)
{
    link->vtable->link_ready(link, events);
}

bool
store_link_is_ready(struct store_link *link)
{
    return link->vtable->link_is_ready == NULL || link->vtable->link_is_ready(link);
}

void
store_link_submit(struct store_link *link, struct store_batch *batch)
{
    link->vtable->link_submit(link, batch);
}

enum err
store_read_after(struct store *store, struct store_position after, uint32_t rows_max,
                 size_t bytes_max, struct arena *arena, struct store_page *ret_page,
                 struct diag *diag)
{
    return store->vtable->read_after(store, after, rows_max, bytes_max, arena, ret_page, diag);
}

uint64_t
store_unbroken_since(struct store *store)
{
    return store->vtable->unbroken_since != NULL ? store->vtable->unbroken_since(store)
                                                 : store_durable(store).generation;
}

struct store_position
store_first_position(struct store *store)
{
    struct store_position first = {0};

    if (store_durable(store).major != 0)
        first.generation = first.major = 1;
    return first;
}

bool
store_wait_after(struct store *store, struct store_position after, int64_t timeout_ms)
{
    return store->vtable->wait_after(store, after, timeout_ms);
}

void
store_wake(struct store *store)
{
    store->vtable->wake(store);
}

struct store_position
store_durable(struct store *store)
{
    return store->vtable->durable(store);
}

enum err
store_maintain_fast(struct store *store, bool *ret_did_work, struct diag *diag)
{
    return store->vtable->maintain_fast(store, ret_did_work, diag);
}

enum err
store_maintain_slow(struct store *store, bool *ret_did_work, struct diag *diag)
{
    return store->vtable->maintain_slow(store, ret_did_work, diag);
}

const char *
store_not_ready_sentence(const struct store *store)
{
    return store->vtable->not_ready_sentence != NULL ? store->vtable->not_ready_sentence
                                                     : err_sentence(ERR_NOT_READY);
}

enum err
store_is_ready(struct store *store, struct diag *diag)
{
    return store->vtable->is_ready(store, diag);
}

bool
store_warning(struct store *store, struct diag *ret_words)
{
    return store->vtable->warning != NULL && store->vtable->warning(store, ret_words);
}

void
store_stats(struct store *store, struct store_stats *ret_stats)
{
    store->vtable->stats(store, ret_stats);
}

const char *
store_node_name(struct store *store)
{
    return store->vtable->node_name != NULL ? store->vtable->node_name(store) : "";
}

void
store_hash_person(struct store *store, uint32_t project_id, struct slice person,
                  char ret_hash[STORE_PERSON_HASH_TEXT + 1])
{
    store->vtable->hash_person(store, project_id, person, ret_hash);
}

/* --- erasing ------------------------------------------------------------------------------- */

enum err
store_erase_bound(struct store *store, struct selection *selection,
                  struct store_position *ret_position, struct diag *diag)
{
    return store->vtable->erase_bound(store, selection, ret_position, diag);
}

enum err
store_erase_open(struct store *store, const struct store_erasure *erasure,
                 struct store_erase **ret_erase, struct diag *diag)
{
    return store->vtable->erase_open(store, erasure, ret_erase, diag);
}

enum err
store_erase_step(struct store_erase *erase, bool *ret_is_done,
                 struct store_erasure_progress *ret_progress, struct diag *diag)
{
    return erase->vtable->erase_step(erase, ret_is_done, ret_progress, diag);
}

void
store_erase_close(struct store_erase **erase)
{
    if (*erase != NULL)
        (*erase)->vtable->erase_close(*erase);
    *erase = NULL;
}
