/*
 * wait - when the reader looks for more.
 *
 * Layer 3 (store/postgres), the loader's thread. It looks when a link of this node or (by LISTEN)
 * of another says that something was committed, and every half second anyway. While what is known
 * to be committed lies above the bound of what can be read (a transaction is under way still), it
 * looks again soon, ever less often up to a quarter of a second. It sleeps in poll(2), on an
 * eventfd that links and store_wake write, and on its connection. A connection that was lost is
 * made again here, so that no caller hears of each failure.
 *
 * Reading on costs the server a third of what storing does, and its session has no lower priority
 * there. So while every link has a batch under way the reader takes a share of the time only: after
 * a page that took t it rests for k × t. k is YIELD_FACTOR_MAX for events just received and falls
 * to 0 as those read grow YIELD_AGE_US old: a burst goes to the links, and under a load that does
 * not end the lag settles where reading keeps pace.
 */
#include "store/postgres/store_postgres.h"
#include <poll.h>
#include <unistd.h>

#define FLOOR_POLL_MS 500
#define HELD_POLL_MS_MIN 2
#define HELD_POLL_MS_MAX 250
#define YIELD_FACTOR_MAX 10
#define YIELD_NS_MAX (200 * MS_NS)
#define YIELD_AGE_US (20 * US_PER_S)
#define MS_NS INT64_C(1000000)

static int64_t
now_ns(void)
{
    return clock_steady_ns(clock_system());
}

static bool
is_equal(struct store_position a, struct store_position b)
{
    return a.generation == b.generation && a.major == b.major && a.minor == b.minor;
}

/* How long the reader leaves the server to the links, after the page it has just read. */
static int64_t
yield_ns(struct postgres *store, const struct store_page *page)
{
    const int64_t took_ns = now_ns() - store->reader.page_began_ns;
    int64_t age_us = 0;
    double factor = 0;

    if (page->count == 0 || atomic_load(&store->links_busy) == 0 ||
        atomic_load(&store->links_idle) != 0)
        return 0;
    age_us = clock_wall_us(store->config.clock) - page->rows[page->count - 1].event.received_at_us;
    if (age_us >= YIELD_AGE_US)
        return 0;
    factor = YIELD_FACTOR_MAX * (1 - (double)(age_us > 0 ? age_us : 0) / YIELD_AGE_US);
    return (double)took_ns * factor < YIELD_NS_MAX ? (int64_t)((double)took_ns * factor)
                                                   : YIELD_NS_MAX;
}

/* What was known before the bound was asked for, if it lies above, will be there soon. */
void
postgres_plan_look(struct postgres *store, struct store_position seen,
                   const struct store_page *page)
{
    struct postgres_reader *reader = &store->reader;

    reader->next = page->next;
    reader->seen = seen;
    reader->yield_ns = now_ns() + yield_ns(store, page);
    if (!page->is_caught_up) {
        reader->poll_ns = 0;
        reader->poll_ms = 0;
    } else if (store_position_at_or_before(seen, page->next)) {
        reader->poll_ns = now_ns() + FLOOR_POLL_MS * MS_NS;
        reader->poll_ms = 0;
    } else {
        reader->poll_ms = reader->poll_ms == 0 ? HELD_POLL_MS_MIN : reader->poll_ms * 2;
        if (reader->poll_ms > HELD_POLL_MS_MAX)
            reader->poll_ms = HELD_POLL_MS_MAX;
        reader->poll_ns = now_ns() + reader->poll_ms * MS_NS;
    }
}

/* '<node uuid> <position>'. What another schema of this database tells (the channel is one) may be
 * of another generation: it is a reason to look, no more. */
static void
take_notice(struct postgres *store, const char *text)
{
    const size_t uuid_len = POSTGRES_NODE_TEXT - 1;
    struct store_position position;

    if (strlen(text) <= uuid_len || text[uuid_len] != ' ' ||
        strncmp(text, store->node.uuid, uuid_len) == 0 ||
        store_position_parse(slice_of_text(text + uuid_len + 1), &position) != ERR_OK)
        return;
    if (position.generation == postgres_generation(store))
        postgres_note_committed(store, position);
    else
        store->reader.poll_ns = 0;
}

/* What other nodes told. false: the connection is lost. */
static bool
take_notices(struct postgres *store)
{
    struct postgres_reader *reader = &store->reader;

    if (!PQconsumeInput(reader->conn)) {
        struct diag diag = DIAG_INIT;

        postgres_explain_connection(reader->conn, store->url, &diag);
        postgres_reader_give_up(store, &diag);
        return false;
    }
    for (PGnotify *notify = PQnotifies(reader->conn); notify != NULL;
         notify = PQnotifies(reader->conn)) {
        take_notice(store, notify->extra);
        PQfreemem(notify);
    }
    return true;
}

/* When a page is to be read, if nothing is told before. */
static int64_t
due_ns(struct postgres *store, struct store_position after)
{
    const struct postgres_reader *reader = &store->reader;
    int64_t due = reader->poll_ns;

    if (!is_equal(after, reader->next) || atomic_load(&store->is_check_wanted))
        return 0;
    if (!store_position_at_or_before(postgres_committed(store), reader->seen))
        due = 0;
    return due > reader->yield_ns ? due : reader->yield_ns;
}

/* Until something is told, something comes from the server, or the time. */
static void
sleep_until(struct postgres *store, struct store_position after, int64_t until_ns)
{
    struct postgres_reader *reader = &store->reader;
    struct pollfd fds[2] = {
        {.fd = store->notice.wake_fd, .events = POLLIN},
        {.fd = reader->conn != NULL ? PQsocket(reader->conn) : -1, .events = POLLIN}};
    const bool is_yielding = reader->conn != NULL && reader->yield_ns > now_ns();
    int64_t left_ms = 0;
    uint64_t count = 0;

    /* Whoever yields is not to be woken by each commit, and looks again when that is over. */
    if (is_yielding && until_ns > reader->yield_ns)
        until_ns = reader->yield_ns;
    atomic_store(&store->notice.is_waiting, !is_yielding); /* then look: who tells does it after */
    if (reader->conn == NULL || due_ns(store, after) > now_ns()) {
        left_ms = (until_ns - now_ns() + MS_NS - 1) / MS_NS;
        if (left_ms > 0)
            (void)!poll(fds, COUNT_OF(fds), (int)(left_ms < 60000 ? left_ms : 60000));
    }
    atomic_store(&store->notice.is_waiting, false);
    (void)!read(store->notice.wake_fd, &count, sizeof(count)); /* never blocks */
}

bool
postgres_wait_after(struct store *base, struct store_position after, int64_t timeout_ms)
{
    struct postgres *store = (struct postgres *)base;
    struct postgres_reader *reader = &store->reader;
    const unsigned wake_count = atomic_load(&store->notice.wake_count);
    const int64_t until_ns = now_ns() + (timeout_ms > 0 ? timeout_ms : 0) * MS_NS;

    for (;;) {
        int64_t next_ns = atomic_load(&store->is_check_wanted) ? 0 : reader->retry_ns;

        if (reader->conn != NULL && take_notices(store))
            next_ns = due_ns(store, after);
        if (atomic_load(&store->notice.wake_count) != wake_count)
            return false;
        if (next_ns <= now_ns()) {
            struct diag diag = DIAG_INIT;

            if (reader->conn != NULL || postgres_reader_be_connected(store, &diag) == ERR_OK)
                return true;
            continue;
        }
        if (until_ns <= now_ns())
            return false;
        sleep_until(store, after, next_ns < until_ns ? next_ns : until_ns);
    }
}

void
postgres_wake(struct store *base)
{
    struct postgres *store = (struct postgres *)base;
    const uint64_t one = 1;

    atomic_fetch_add(&store->notice.wake_count, 1);
    (void)!write(store->notice.wake_fd, &one, sizeof(one)); /* also while it yields */
}
