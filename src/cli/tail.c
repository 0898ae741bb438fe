/*
 * tail - `potik tail`: events as they are stored, one line of JSON each, until ^C.
 *
 * Layer 8, the main thread. Asks GET /v1/events?after=<cursor> again and again: at once while pages
 * are full, else every POLL_MS. The cursor is the server's `next`; the first one comes from GET
 * /v1/events, whose newest rows are what --last shows. A server that goes away is waited for; if it
 * comes back with another ledger (or the cursor is refused), tail begins anew and says so.
 */
#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/page.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 500
#define RETRY_MS 2000
#define PAGE_EVENTS 1000

struct tail {
    struct client *client;
    struct client_reply reply;
    char cursor[256]; /* "": none yet */
    uint32_t events;  /* of the last page */
};

/* ^C ends it early. false: nobody reads stdout any more (`| head`), and no event may come for
 * long to tell it by a failed write. */
static bool
wait_ms(int ms)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = 0};

    return poll(&out, 1, ms) <= 0;
}

/*
 * One page, printed. Where there is no cursor yet: the newest, of which `last` are printed, and the
 * cursor behind them.
 */
static enum err
show_page(struct tail *tail, uint64_t last, struct diag *diag)
{
    static struct slice events[PAGE_EVENTS];
    struct slice next = SLICE_NONE;
    bool is_first = tail->cursor[0] == '\0';
    char path[400];
    enum err err;

    (void)snprintf(path, sizeof(path), "/v1/events?limit=%u%s%s",
                   !is_first   ? PAGE_EVENTS
                   : last != 0 ? (unsigned)last
                               : 1U,
                   is_first ? "" : "&after=", tail->cursor);
    err = client_get(tail->client, path, &tail->reply, diag);
    if (err != ERR_OK)
        return err;
    if (tail->reply.status != 200) {
        client_explain(tail->reply.status, buf_slice(&tail->reply.body), diag);
        return tail->reply.status == 400   ? ERR_INVALID_PARAMETER
               : tail->reply.status >= 500 ? ERR_IO
                                           : ERR_FORBIDDEN;
    }
    if (!page_read(buf_slice(&tail->reply.body), "events", events, PAGE_EVENTS, &tail->events,
                   &next)) {
        diag_set(diag, "the reply is not a list of events; is this Potik?");
        return ERR_FORBIDDEN;
    }
    for (uint32_t i = 0; i < tail->events && (!is_first || i < last); i++) {
        struct slice event = events[is_first ? tail->events - 1 - i : i];

        (void)fwrite(event.ptr, 1, event.len, stdout);
        (void)fputc('\n', stdout);
    }
    if (next.len != 0 && next.len < 100) {
        struct buf escaped;

        buf_init(&escaped, sizeof(tail->cursor) - 1);
        client_add_pair(&escaped, SLICE(""), next); /* "=" and the value */
        if (!buf_failed(&escaped)) {
            memcpy(tail->cursor, escaped.ptr + 1, escaped.len - 1);
            tail->cursor[escaped.len - 1] = '\0';
        }
        buf_fini(&escaped);
    }
    return fflush(stdout) == 0 ? ERR_OK : ERR_CANCELLED;
}

/* Until ^C (ERR_OK), stdout's reader is gone (ERR_OK), or something no retry can help. */
static enum err
follow(struct tail *tail, uint64_t last, struct diag *diag)
{
    bool is_away = false;
    enum err err = show_page(tail, last, diag);

    while (err == ERR_OK && !client_is_interrupted()) {
        err = show_page(tail, 0, diag);
        if (err == ERR_IO) {
            if (!is_away)
                fprintf(stderr, "potik tail: %s; waiting for it\n", diag->message);
            is_away = true;
            err = wait_ms(RETRY_MS) ? ERR_OK : ERR_CANCELLED;
            continue;
        }
        if (err == ERR_INVALID_PARAMETER && tail->cursor[0] != '\0') {
            fprintf(stderr, "potik tail: %s; beginning anew\n", diag->message);
            tail->cursor[0] = '\0';
            err = wait_ms(POLL_MS) ? ERR_OK : ERR_CANCELLED;
            continue;
        }
        if (err == ERR_OK && is_away)
            fprintf(stderr, "potik tail: it is back\n");
        is_away = false;
        if (err == ERR_OK && tail->events < PAGE_EVENTS && !wait_ms(POLL_MS))
            err = ERR_CANCELLED;
    }
    return err == ERR_CANCELLED || client_is_interrupted() ? ERR_OK : err;
}

static int
run_tail(int argc, char **argv)
{
    struct client_flags client_flags = {.server = NULL};
    const char *last_text = NULL;
    const struct flag flags[] = {
        CLIENT_FLAGS(client_flags),
        {.name = "last", .text = &last_text},
    };
    struct tail tail = {.client = NULL};
    struct diag diag = DIAG_INIT;
    uint64_t last = 0;
    size_t words = 0;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    if (err == ERR_OK)
        err = flags_number("last", last_text, 0, PAGE_EVENTS, &last, &diag);
    if (err == ERR_OK && words != 0) {
        diag_set(&diag, "takes no arguments but flags");
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = client_open(&client_flags, CLIENT_READ_KEY, &tail.client, &diag);
    if (err == ERR_INVALID)
        return flags_usage("tail", diag.message);
    if (err != ERR_OK)
        return flags_failed("tail", diag.message);
    client_catch_interrupt();
    client_reply_init(&tail.reply);
    err = follow(&tail, last, &diag);
    client_reply_fini(&tail.reply);
    client_close(&tail.client);
    return err == ERR_OK ? COMMAND_DONE : flags_failed("tail", diag.message);
}

const struct command command_tail = {
    .name = "tail",
    .summary = "print events as they are stored",
    .help =
        "usage: potik tail [OPTION…]\n"
        "\n"
        "Prints every event that is stored from now on, one line of JSON each, in the order of\n"
        "storing, until ^C.\n"
        "\n"
        "  --last N         the newest N first, up to 1,000 (0)\n" CLIENT_FLAGS_HELP "\n"
        "example:\n"
        "\n"
        "  potik tail --last 10 | jq .event_type\n",
    .run = run_tail,
};
