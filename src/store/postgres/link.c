/*
 * link - a loop's connection to PostgreSQL: made, watched, lost and made again, without ever
 * blocking the loop.
 *
 * Layer 3 (store/postgres), on its loop's thread. What a loop watches is one epoll descriptor for
 * the link's whole life; it holds, at most,
 *
 *     the socket   libpq's, another one after each connect
 *     the timer    end of the backoff, of the time to connect, of a batch; the next NOTIFY
 *     an eventfd   the resolver's answer
 *
 *     AWAY ─timer─▶ RESOLVING ─▶ CONNECTING ─▶ SETTING_UP ─▶ IDLE ◀─▶ BUSY
 *      ▲                                                      │
 *      └──────────── any failure, any deadline ◀──────────────┘
 *
 * Addresses are tried one at a time, so that one that swallows packets does not keep the others
 * from being tried; when all have failed there is a backoff. While there is no connection a batch
 * is answered ERR_NOT_READY at once. A connection inserts nothing before postgres_check_passed.
 *
 * Opening a link waits for its first connection (or its first failure): a server that has just
 * said that it listens can take events.
 */
#include "base/mem.h"
#include "postgres_sql.h"
#include "store/postgres/link_inside.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_MS (NS_PER_S / 1000)
#define CHECK_BACKOFF_MS 150 /* twice that, less up to half, after a check that failed */
/* TLS keeps bytes where epoll does not see them: reading goes on so often. */
#define TLS_READS_MAX 8

enum { WATCH_SOCKET, WATCH_TIMER, WATCH_RESOLVER };

/* Results of the round trip that sets a connection up, in order. */
enum { SETUP_SESSION, SETUP_CHECK, SETUP_TYPE };

int64_t
link_now_ns(const struct postgres_link *link)
{
    return clock_steady_ns(link->store->config.clock);
}

/* --- what is watched ------------------------------------------------------------------------- */

static bool
watch(const struct postgres_link *link, int operation, int fd, uint32_t events, uint32_t what)
{
    struct epoll_event event = {.events = events, .data.u32 = what};

    return epoll_ctl(link->epoll_fd, operation, fd, &event) == 0;
}

void
link_watch_socket(struct postgres_link *link, uint32_t events)
{
    const int fd = PQsocket(link->conn);

    if (fd == link->socket_fd && events == link->socket_events)
        return;
    /* libpq may have closed a socket and opened another under the same number. */
    if (fd >= 0 && !watch(link, EPOLL_CTL_MOD, fd, events, WATCH_SOCKET) && errno == ENOENT)
        (void)watch(link, EPOLL_CTL_ADD, fd, events, WATCH_SOCKET);
    link->socket_fd = fd;
    link->socket_events = events;
}

void
link_arm(struct postgres_link *link)
{
    struct itimerspec when = {0};
    int64_t at_ns = link->deadline_ns;
    int64_t left_ns = 0;

    if (link->state == LINK_IDLE && link->is_notify_wanted && !link->is_notify_under_way)
        at_ns = link->notify_after_ns;
    if (at_ns != 0) {
        left_ns = at_ns - link_now_ns(link);
        left_ns = left_ns > 0 ? left_ns : 1;
    }
    when.it_value.tv_sec = left_ns / NS_PER_S;
    when.it_value.tv_nsec = left_ns % NS_PER_S;
    (void)timerfd_settime(link->timer_fd, 0, &when, NULL);
}

void
link_enter(struct postgres_link *link, enum link_state state)
{
    struct postgres *store = link->store;

    atomic_fetch_add(&store->links_idle, (state == LINK_IDLE) - (link->state == LINK_IDLE));
    atomic_fetch_add(&store->links_busy, (state == LINK_BUSY) - (link->state == LINK_BUSY));
    link->state = state;
}

static void
set_state(struct postgres_link *link, enum link_state state, int64_t timeout_ms)
{
    link_enter(link, state);
    if (state == LINK_IDLE) /* the server has just answered here */
        link->silence_count = atomic_load(&link->store->silence_count);
    link->deadline_ns = timeout_ms != 0 ? link_now_ns(link) + timeout_ms * NS_PER_MS : 0;
    link_arm(link);
}

/* --- losing ---------------------------------------------------------------------------------- */

static void
close_connection(struct postgres_link *link)
{
    if (link->conn != NULL && link->state >= LINK_IDLE)
        postgres_connections_add(-1);
    postgres_disconnect(&link->conn);
    link->connection_number++;
    resolver_request_free(&link->request);
    link->socket_fd = -1;
    link->socket_events = 0;
    link->is_notify_under_way = false;
}

void
link_lose(struct postgres_link *link, const char *sentence)
{
    struct diag diag;

    diag_set(&diag, "%s", sentence); /* it may stand in what is closed now */
    close_connection(link);
    set_state(link, LINK_AWAY, postgres_backoff(&link->backoff_ms));
    if (!link->is_away_told) {
        link->is_away_told = true;
        postgres_note_away(link->store, diag.message);
    }
    if (link->batch != NULL)
        link_answer(link, ERR_NOT_READY);
}

void
link_lose_connection(struct postgres_link *link)
{
    struct diag diag = DIAG_INIT;

    if (link->last_words[0] != 0)
        diag_set(&diag, "%s", link->last_words);
    else if (link->state == LINK_BUSY && link->err != ERR_OK)
        diag = link->diag; /* the server said why, before it went */
    else
        postgres_explain_connection(link->conn, link->store->url, &diag);
    link_lose(link, diag.message);
}

/* --- connecting ------------------------------------------------------------------------------ */

/* What comes unasked: the words of a server that ends us; that a commit went on without its
 * replica. The rest is not for our log. */
static void
take_notice(void *arg, const PGresult *result)
{
    struct postgres_link *link = arg;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);

    if (severity != NULL && strcmp(severity, "FATAL") == 0) {
        struct diag diag = DIAG_INIT;

        if (postgres_explain(result, &diag) != ERR_OK)
            (void)snprintf(link->last_words, sizeof(link->last_words), "%s", diag.message);
    }
    if (function != NULL && strcmp(function, "SyncRepWaitForLSN") == 0)
        link->is_replication_unsure = true;
}

static void try_address(struct postgres_link *link);

/* This address will not do: the next, or all of them later. */
static void
fail_address(struct postgres_link *link, const char *sentence)
{
    struct resolver_request *request = MOVE(link->request);

    if (link->addresses_left == 0) {
        resolver_request_free(&request);
        link_lose(link, sentence);
        return;
    }
    close_connection(link);
    link->request = request;
    try_address(link);
}

static PGconn *
start_connecting(const struct postgres_url *url, const struct resolver_address *address)
{
    const char *keywords[POSTGRES_URL_PARAMETERS_MAX + 4];
    const char *values[POSTGRES_URL_PARAMETERS_MAX + 4];
    const char *const own[3][2] = {
        {"host", address->host}, {"hostaddr", address->hostaddr}, {"port", address->port}};
    size_t count = 0;

    for (size_t i = 0; url->keywords[i] != NULL; i++) {
        if (strcmp(url->keywords[i], "host") == 0 || strcmp(url->keywords[i], "hostaddr") == 0 ||
            strcmp(url->keywords[i], "port") == 0)
            continue;
        keywords[count] = url->keywords[i];
        values[count++] = url->values[i];
    }
    for (size_t i = 0; i < COUNT_OF(own); i++) {
        keywords[count] = own[i][0];
        values[count++] = own[i][1][0] != 0 ? own[i][1] : NULL;
    }
    keywords[count] = NULL;
    values[count] = NULL;
    return PQconnectStartParams(keywords, values, 0);
}

static void
try_address(struct postgres_link *link)
{
    const struct resolver_address *addresses = NULL;
    struct diag diag = DIAG_INIT;
    const uint32_t count = resolver_request_addresses(link->request, &addresses, &diag);

    if (count == 0) {
        link_lose(link, diag.message);
        return;
    }
    if (link->addresses_left > count)
        link->addresses_left = count;
    link->addresses_left--;
    link->last_words[0] = 0;
    link->conn = start_connecting(link->store->url, &addresses[link->address_next++ % count]);
    if (link->conn == NULL) {
        link_lose(link, "out of memory for a connection");
        return;
    }
    if (PQstatus(link->conn) == CONNECTION_BAD) {
        postgres_explain_connection(link->conn, link->store->url, &diag);
        fail_address(link, diag.message);
        return;
    }
    PQsetNoticeReceiver(link->conn, take_notice, link);
    set_state(link, LINK_CONNECTING, link->store->config.connect_timeout_ms);
    link_watch_socket(link, EPOLLOUT);
}

static void
connect_anew(struct postgres_link *link)
{
    const struct postgres_url *url = link->store->url;
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;

    link->addresses_left = RESOLVER_ADDRESSES_MAX;
    err = resolver_ask(link->store->resolver, postgres_url_value(url, "host"),
                       postgres_url_value(url, "hostaddr"), postgres_url_value(url, "port"),
                       &link->request, &diag);
    if (err != ERR_OK) {
        link_lose(link, diag.message[0] != 0 ? diag.message : err_sentence(err));
        return;
    }
    if (resolver_request_is_answered(link->request)) {
        try_address(link);
        return;
    }
    set_state(link, LINK_RESOLVING, link->store->config.connect_timeout_ms);
    (void)watch(link, EPOLL_CTL_ADD, resolver_request_fd(link->request), EPOLLIN, WATCH_RESOLVER);
}

static void
set_up(struct postgres_link *link)
{
    PGconn *conn = link->conn;

    link->setup_results = 0;
    set_state(link, LINK_SETTING_UP, link->store->config.connect_timeout_ms);
    if (PQsetnonblocking(conn, 1) != 0 || PQenterPipelineMode(conn) != 1 ||
        postgres_session_send(conn, &link->store->session) != 1 ||
        postgres_check_send(link->store, conn) != 1 ||
        PQsendQueryParams(conn, sql_append_type, 0, NULL, NULL, NULL, NULL, 1) != 1 ||
        PQsendPrepare(conn, LINK_STATEMENT_APPEND, sql_append, 0, NULL) != 1 ||
        PQsendPrepare(conn, LINK_STATEMENT_PROBE, sql_append_probe, 0, NULL) != 1 ||
        PQsendPrepare(conn, LINK_STATEMENT_POSITION, sql_append_position, 0, NULL) != 1 ||
        PQpipelineSync(conn) != 1) {
        link_lose_connection(link);
        return;
    }
    link_pump(link);
}

static void
go_on_connecting(struct postgres_link *link)
{
    struct diag diag = DIAG_INIT;

    switch (PQconnectPoll(link->conn)) {
    case PGRES_POLLING_OK:
        set_up(link);
        break;
    case PGRES_POLLING_READING:
        link->socket_fd = -1; /* another socket may have the same number */
        link_watch_socket(link, EPOLLIN);
        break;
    case PGRES_POLLING_WRITING:
        link->socket_fd = -1;
        link_watch_socket(link, EPOLLOUT);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
    default:
        postgres_explain_connection(link->conn, link->store->url, &diag);
        fail_address(link, diag.message);
        break;
    }
}

static void
settle_connection(struct postgres_link *link)
{
    set_state(link, LINK_IDLE, 0);
    link->backoff_ms = 0;
    resolver_request_free(&link->request);
    postgres_connections_add(1);
    if (link->was_connected)
        postgres_reconnects_add();
    link->was_connected = true;
    if (link->is_away_told) {
        link->is_away_told = false;
        postgres_note_back(link->store);
    }
}

/* Asked at each connect: another database may stand there now. */
static bool
take_type(struct postgres_link *link, const PGresult *result)
{
    if (PQntuples(result) != 1 || PQgetlength(result, 0, 0) != 8 ||
        PQgetlength(result, 0, 1) != POSTGRES_HASH_SECRET_BYTES)
        return false;
    link->row_type = (uint32_t)postgres_get_u64(PQgetvalue(result, 0, 0));
    memcpy(link->rows.hash_secret, PQgetvalue(result, 0, 1), POSTGRES_HASH_SECRET_BYTES);
    return true;
}

/* A result of set_up's round trip. */
static void
take_setup_result(struct postgres_link *link, const PGresult *result)
{
    const ExecStatusType status = PQresultStatus(result);
    const uint32_t number = link->setup_results++;
    struct diag diag = DIAG_INIT;
    bool is_good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;

    if (status == PGRES_PIPELINE_SYNC) {
        settle_connection(link);
        return;
    }
    if (is_good && number == SETUP_SESSION) {
        is_good = postgres_session_check(link->conn, result, &diag) == ERR_OK;
    } else if (is_good && number == SETUP_CHECK) {
        is_good = postgres_check_passed(link->store, result, &diag);
        if (!is_good)
            link->backoff_ms = CHECK_BACKOFF_MS; /* the reader looks at it now */
    } else if (is_good && number == SETUP_TYPE) {
        is_good = take_type(link, result);
        if (!is_good)
            diag_set(&diag, "the type potik_incoming is not there: run potik migrate");
    } else if (!is_good) {
        (void)!postgres_explain(result, &diag);
    }
    if (!is_good)
        fail_address(link, diag.message);
}

/* --- events ---------------------------------------------------------------------------------- */

static void
take_results(struct postgres_link *link)
{
    const uint64_t number = link->connection_number;
    bool was_null = false;

    /* NULL stands between two statements' results; two of them: nothing is under way. */
    while (link->connection_number == number && !PQisBusy(link->conn)) {
        PGresult *result = PQgetResult(link->conn);

        if (result == NULL) {
            if (was_null)
                break;
            was_null = true;
            continue;
        }
        was_null = false;
        if (link->state == LINK_SETTING_UP)
            take_setup_result(link, result);
        else
            link_take_result(link, result);
        PQclear(result);
    }
}

static void
socket_ready(struct postgres_link *link)
{
    const uint64_t number = link->connection_number;

    if (link->state == LINK_CONNECTING) {
        go_on_connecting(link);
        return;
    }
    for (uint32_t i = 0; i < TLS_READS_MAX; i++) {
        const bool is_read = PQconsumeInput(link->conn) == 1;

        take_results(link); /* what came before the end counts: a sync may stand there */
        if (link->connection_number != number)
            return;
        if (!is_read || PQstatus(link->conn) != CONNECTION_OK) {
            link_lose_connection(link);
            return;
        }
        for (PGnotify *notify; (notify = PQnotifies(link->conn)) != NULL;)
            PQfreemem(notify);
        if (!PQsslInUse(link->conn))
            break;
    }
    link_pump(link);
    if (link->state == LINK_IDLE)
        link_notify(link);
}

static void
timer_ready(struct postgres_link *link)
{
    uint64_t times = 0;
    const int64_t now_ns = link_now_ns(link);

    (void)!read(link->timer_fd, &times, sizeof(times));
    if (link->state == LINK_IDLE) {
        link_notify(link);
        return;
    }
    if (link->deadline_ns == 0 || now_ns < link->deadline_ns) {
        link_arm(link);
        return;
    }
    switch (link->state) {
    case LINK_AWAY:
        connect_anew(link);
        break;
    case LINK_RESOLVING:
        link_lose(link, "the name server gave no answer in time");
        break;
    case LINK_CONNECTING:
    case LINK_SETTING_UP:
        fail_address(link, "PostgreSQL: no answer in time while connecting: check host and port, "
                           "and that no firewall stands between");
        break;
    case LINK_BUSY:
        atomic_fetch_add(&link->store->silence_count, 1);
        link_lose(link, "PostgreSQL gave no answer to a batch in time");
        break;
    case LINK_IDLE:
        break;
    }
}

static void
resolver_ready(struct postgres_link *link)
{
    if (link->state != LINK_RESOLVING || !resolver_request_is_answered(link->request))
        return;
    (void)epoll_ctl(link->epoll_fd, EPOLL_CTL_DEL, resolver_request_fd(link->request), NULL);
    try_address(link);
}

void
postgres_link_ready(struct store_link *base, uint32_t events)
{
    struct postgres_link *link = (struct postgres_link *)base;
    struct epoll_event ready[3];
    const int count = epoll_wait(link->epoll_fd, ready, COUNT_OF(ready), 0);

    (void)events;
    for (int i = 0; i < count; i++) {
        switch (ready[i].data.u32) {
        case WATCH_SOCKET:
            if (link->conn != NULL)
                socket_ready(link);
            break;
        case WATCH_TIMER:
            timer_ready(link);
            break;
        default:
            resolver_ready(link);
            break;
        }
    }
}

/* --- the link -------------------------------------------------------------------------------- */

static void
link_free(struct postgres_link **link_ptr)
{
    struct postgres_link *link = *link_ptr;

    *link_ptr = NULL;
    if (link == NULL)
        return;
    close_connection(link);
    link_rows_fini(&link->rows);
    file_close(&link->timer_fd);
    file_close(&link->epoll_fd);
    mem_free(link);
}

enum err
postgres_link_open(struct store *base, struct store_link **ret_link, struct diag *diag)
{
    struct postgres *store = (struct postgres *)base;
    CLEANUP(link_free) struct postgres_link *link = MEM_NEW(struct postgres_link, 1);

    if (link == NULL)
        return ERR_NOMEM;
    link->base.vtable = store->base.vtable;
    link->store = store;
    link->socket_fd = -1;
    link_rows_init(&link->rows);
    link->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    link->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (link->timer_fd < 0 || link->epoll_fd < 0 ||
        !watch(link, EPOLL_CTL_ADD, link->timer_fd, EPOLLIN, WATCH_TIMER)) {
        diag_set(diag, "a link to PostgreSQL");
        diag_add_errno(diag, errno);
        return ERR_IO;
    }
    postgres_note_link_opened(store);
    link->is_away_told = true; /* it begins away */
    connect_anew(link);
    while (link->state != LINK_IDLE && link->state != LINK_AWAY) {
        struct pollfd fd = {.fd = link->epoll_fd, .events = POLLIN};

        if (poll(&fd, 1, -1) > 0)
            postgres_link_ready(&link->base, EPOLLIN);
    }
    *ret_link = &MOVE(link)->base;
    return ERR_OK;
}

void
postgres_link_close(struct store_link *base)
{
    struct postgres_link *link = (struct postgres_link *)base;

    close_connection(link);
    link_enter(link, LINK_AWAY);
    if (link->batch != NULL)
        link_answer(link, ERR_NOT_READY);
    postgres_note_link_closed(link->store, link->is_away_told);
    link_free(&link);
}

int
postgres_link_fd(struct store_link *base)
{
    return ((struct postgres_link *)base)->epoll_fd;
}

uint32_t
postgres_link_events(struct store_link *base)
{
    (void)base;
    return EPOLLIN;
}

bool
postgres_link_is_ready(struct store_link *base)
{
    const struct postgres_link *link = (const struct postgres_link *)base;

    return link->state == LINK_IDLE || link->state == LINK_BUSY;
}

void
postgres_link_submit(struct store_link *base, struct store_batch *batch)
{
    struct postgres_link *link = (struct postgres_link *)base;

    /* Where another link met silence an idle connection that is older may be as dead, and nobody
     * would know before a batch has waited for its whole deadline: it is made anew. */
    if (link->state == LINK_IDLE && link->silence_count != atomic_load(&link->store->silence_count))
        link_lose(link, "PostgreSQL gave no answer to another connection in time");
    if (link->state == LINK_IDLE) {
        link_begin_batch(link, batch);
        return;
    }
    assert(link->batch == NULL);
    batch->accepted_count = 0;
    batch->position = (struct store_position){0};
    batch->err = ERR_NOT_READY;
    batch->done(batch);
}
