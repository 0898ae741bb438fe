/*
 * wait - when the reader looks for more.
 *
 * Layer 3 (store/postgres), the loader's thread. It looks when a link of this node or (by LISTEN)
 * of another says that something was committed, and every half second anyway. While what is known
 * to be committed lies above the bound of what can be read (a transaction is under way still), it
 * looks again soon, ever less often up to a quarter of a second. It sleeps in poll(2), on an
 * eventfd that links and store_wake write, and on its connection. A connection that was lost is
 * made again here, so that no caller hears of each failure.
 */
#include "store/postgres/store_postgres.h"
#include <poll.h>
#include <unistd.h>

#define FLOOR_POLL_MS 500
#define HELD_POLL_MS_MIN 2
#define HELD_POLL_MS_MAX 250
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

/* What was known before the bound was asked for, if it lies above, will be there soon. */
void
postgres_plan_look(struct postgres *store, struct store_position seen,
                   const struct store_page *page)
{
    struct postgres_reader *reader = &store->reader;

    reader->next = page->next;
    reader->seen = seen;
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

    if (!is_equal(after, reader->next) || atomic_load(&store->is_check_wanted) ||
        !store_position_at_or_before(postgres_committed(store), reader->seen))
        return 0;
    return reader->poll_ns;
}

/* Until something is told, something comes from the server, or the time. */
static void
sleep_until(struct postgres *store, struct store_position after, int64_t until_ns)
{
    struct postgres_reader *reader = &store->reader;
    struct pollfd fds[2] = {
        {.fd = store->notice.wake_fd, .events = POLLIN},
        {.fd = reader->conn != NULL ? PQsocket(reader->conn) : -1, .events = POLLIN}};
    int64_t left_ms = 0;
    uint64_t count = 0;

    atomic_store(&store->notice.is_waiting, true); /* before looking: who tells does it after */
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

    atomic_fetch_add(&store->notice.wake_count, 1);
    postgres_wake_reader(store);
}
