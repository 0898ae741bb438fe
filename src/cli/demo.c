/*
 * demo - `potik demo`: a shop's month through the API, and the three questions about it as tables.
 *
 * Layer 8, the main thread. Makes the events (demo_shop.c), starts a server of its own
 * (demo_server.c) unless --server is given, sends in batches (sender.c), asks once all is counted.
 * The last batch goes out when the others are answered: its position stands behind them all, and is
 * what the questions wait for.
 */
#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/demo_server.h"
#include "cli/demo_shop.h"
#include "cli/flags.h"
#include "cli/progress.h"
#include "cli/sender.h"
#include "cli/stats_table.h"
#include "cli/table.h"
#include "codec/calendar.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define END_DEFAULT "2026-01-31"
#define BATCH_EVENTS 1000
#define IN_FLIGHT 4
#define ASKS_MAX 12 /* of 10 s each */

struct demo {
    struct client_flags client_flags;
    const char *read_key;
    uint64_t seed;
    int32_t end_day;
    struct demo_server *server;
    struct demo_shop *shop;
    struct client *writer;
    struct client *reader; /* NULL: no read key */
    struct sender *sender;
    struct progress progress;
};

static void
show_progress(void *state)
{
    struct demo *demo = (struct demo *)state;
    const struct sender_totals *totals;
    uint64_t done;

    if (demo->sender == NULL)
        return;
    totals = sender_totals(demo->sender);
    done = totals->accepted + totals->duplicates + totals->rejected;
    progress_update(&demo->progress, done, done);
}

static enum err
send_all(struct demo *demo, struct diag *diag)
{
    const struct sender_config config = {.client = demo->writer,
                                         .clock = clock_system(),
                                         .in_flight = IN_FLIGHT,
                                         .turn = show_progress,
                                         .state = demo};
    uint32_t count = demo_shop_count(demo->shop);
    enum err err = sender_new(&config, &demo->sender, diag);

    if (err != ERR_OK)
        return err;
    progress_start(&demo->progress, clock_system(), stderr, isatty(STDERR_FILENO) == 1, "sending",
                   "event", count);
    for (uint32_t i = 0; i < count;) {
        bool is_last = count - i <= BATCH_EVENTS;
        struct sender_batch *batch;

        err = is_last ? sender_finish(demo->sender, diag) : ERR_OK;
        batch = err == ERR_OK ? sender_take(demo->sender) : NULL;
        if (batch == NULL)
            break;
        for (uint32_t k = 0; k < BATCH_EVENTS && i < count; k++, i++) {
            buf_add_slice(&batch->body, demo_shop_line(demo->shop, i));
            batch->events++;
        }
        sender_submit(demo->sender, batch);
    }
    err = sender_finish(demo->sender, diag);
    if (err == ERR_OK)
        progress_end(&demo->progress, count, count);
    return err;
}

/* Asks until everything sent is counted. */
static enum err
show_metric(struct demo *demo, const char *path, struct diag *diag)
{
    const struct stats_look look = {.has_until = true, .until_day = demo->end_day};
    struct client_reply reply;
    struct buf whole, out;
    enum err err = ERR_OK;

    client_reply_init(&reply);
    buf_init(&whole, 64u * 1024);
    buf_init(&out, 16u << 20);
    buf_add_text(&whole, path);
    buf_add_text(&whole, "&wait_ms=10000&");
    client_add_pair(&whole, SLICE("min_position"), slice_of_text(sender_position(demo->sender)));
    buf_add_char(&whole, '\0');
    for (int i = 0; i < ASKS_MAX; i++) {
        err = client_get(demo->reader, whole.ptr, &reply, diag);
        if (err != ERR_OK || reply.status != 503)
            break;
    }
    if (err == ERR_OK && reply.status != 200) {
        client_explain(reply.status, buf_slice(&reply.body), diag);
        err = ERR_IO;
    }
    if (err == ERR_OK)
        err = stats_table_write(buf_slice(&reply.body), &look, &out, diag);
    if (err == ERR_OK)
        printf("\n%.*s", SLICE_ARGS(buf_slice(&out)));
    buf_fini(&out);
    buf_fini(&whole);
    client_reply_fini(&reply);
    return err;
}

static enum err
show_metrics(struct demo *demo, struct diag *diag)
{
    char from[CALENDAR_DAY_TEXT], to[CALENDAR_DAY_TEXT], path[512];
    int32_t from_day = demo->end_day - (DEMO_DAYS - 1);
    int32_t weeks = calendar_bucket_of_day(CALENDAR_WEEK, demo->end_day) -
                    calendar_bucket_of_day(CALENDAR_WEEK, from_day) + 1;
    enum err err;

    calendar_day_format(from_day, from);
    calendar_day_format(demo->end_day, to);
    (void)snprintf(path, sizeof(path), "/v1/stats/dau?from=%s&to=%s&tz=UTC", from, to);
    err = show_metric(demo, path, diag);
    (void)snprintf(path, sizeof(path), "/v1/stats/top-events?from=%s&to=%s&tz=UTC", from, to);
    if (err == ERR_OK)
        err = show_metric(demo, path, diag);
    (void)snprintf(path, sizeof(path),
                   "/v1/stats/retention?start_date=%s&unit=week&windows=%d&cohorts=%d&tz=UTC"
                   "&measure=percent",
                   from, weeks, weeks);
    if (err == ERR_OK)
        err = show_metric(demo, path, diag);
    return err;
}

static void
tell_totals(const struct demo *demo)
{
    const struct sender_totals *totals = sender_totals(demo->sender);
    char sent[TABLE_NUMBER_TEXT], stored[TABLE_NUMBER_TEXT], doubled[TABLE_NUMBER_TEXT];

    printf("%s events sent: %s stored, %s came twice and are counted once\n",
           table_number(totals->accepted + totals->duplicates + totals->rejected, sent),
           table_number(totals->accepted, stored), table_number(totals->duplicates, doubled));
    if (totals->rejected != 0)
        printf("%s were refused\n", table_number(totals->rejected, sent));
}

static void
tell_next(const struct demo *demo)
{
    char from[CALENDAR_DAY_TEXT], to[CALENDAR_DAY_TEXT];

    calendar_day_format(demo->end_day - (DEMO_DAYS - 1), from);
    calendar_day_format(demo->end_day, to);
    if (demo->server != NULL)
        printf("\nThis server and its data go now. To keep one, and fill it with the same month:\n"
               "\n"
               "  potik serve\n"
               "  potik demo --server http://127.0.0.1:8700      (in a second terminal)\n"
               "\nThen ask it more:\n");
    else
        printf("\nTo look further:\n");
    printf("\n"
           "  potik stats dau --from %s --to %s --event-type purchase\n"
           "  potik stats retention --start-date %s --unit week --windows 4\n"
           "  potik tail\n",
           from, to, from);
}

/* The server's own environment must not decide where a demo of one's own sends. */
static enum err
open_clients(struct demo *demo, struct diag *diag)
{
    struct client_flags read_flags;
    enum err err;

    if (demo->client_flags.server == NULL) {
        (void)unsetenv("POTIK_SERVER");
        (void)unsetenv("POTIK_KEY");
        (void)unsetenv("POTIK_READ_KEY");
        fprintf(stderr, "starting a server on a temporary folder\n");
        err = demo_server_start(&demo->server, diag);
        if (err != ERR_OK)
            return err;
        demo->client_flags.server = demo_server_address(demo->server);
        demo->client_flags.data_dir = demo_server_data_dir(demo->server);
    }
    err = client_open(&demo->client_flags, CLIENT_WRITE_KEY, &demo->writer, diag);
    if (err != ERR_OK)
        return err;
    read_flags = demo->client_flags;
    read_flags.key = demo->read_key;
    if (read_flags.key == NULL)
        (void)unsetenv("POTIK_KEY"); /* a write key, at most */
    err = client_open(&read_flags, CLIENT_READ_KEY, &demo->reader, diag);
    return err == ERR_ABSENT ? ERR_OK : err;
}

static enum err
run_shop(struct demo *demo, struct diag *diag)
{
    const struct demo_shop_config config = {
        .seed = demo->seed, .end_day = demo->end_day, .people = DEMO_PEOPLE};
    enum err err = open_clients(demo, diag);

    if (err == ERR_OK)
        err = demo_shop_new(&config, &demo->shop);
    if (err == ERR_OK)
        err = send_all(demo, diag);
    if (err != ERR_OK)
        return err;
    tell_totals(demo);
    if (demo->reader != NULL)
        err = show_metrics(demo, diag);
    else
        printf("the tables need a read key: --read-key KEY\n");
    if (err == ERR_OK)
        tell_next(demo);
    return err;
}

static enum err
parse_flags(struct demo *demo, int argc, char **argv, struct diag *diag)
{
    const char *seed = NULL, *end = NULL;
    const struct flag flags[] = {
        CLIENT_FLAGS(demo->client_flags),
        {.name = "read-key", .text = &demo->read_key},
        {.name = "seed", .text = &seed},
        {.name = "end", .text = &end},
    };
    size_t words = 0;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, diag);

    if (err == ERR_OK)
        err = flags_number("seed", seed, 0, UINT64_MAX, &demo->seed, diag);
    if (err != ERR_OK)
        return err;
    if (words != 0) {
        diag_set(diag, "takes no arguments but flags");
        return ERR_INVALID;
    }
    end = end != NULL ? end : END_DEFAULT;
    if (!calendar_day_parse(slice_of_text(end), &demo->end_day) || demo->end_day < DEMO_DAYS) {
        diag_set(diag, "--end: must be a date after 1970-01-31 as YYYY-MM-DD, not \"%s\"", end);
        return ERR_INVALID;
    }
    if (demo->end_day > clock_wall_us(clock_system()) / US_PER_DAY) {
        diag_set(diag, "--end: %s is not over yet by this machine's clock", end);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static int
run_demo(int argc, char **argv)
{
    struct demo demo = {.seed = 1};
    struct diag diag = DIAG_INIT;
    enum err err = parse_flags(&demo, argc, argv, &diag);

    if (err != ERR_OK)
        return flags_usage("demo", diag.message);
    client_catch_interrupt();
    err = run_shop(&demo, &diag);
    (void)fflush(stdout);
    sender_free(&demo.sender);
    client_close(&demo.writer);
    client_close(&demo.reader);
    demo_shop_free(&demo.shop);
    demo_server_stop(&demo.server);
    if (err == ERR_OK)
        return COMMAND_DONE;
    if (err == ERR_INVALID)
        return flags_usage("demo", diag.message);
    return flags_failed("demo", err == ERR_CANCELLED      ? "interrupted"
                                : diag.message[0] != '\0' ? diag.message
                                                          : err_sentence(err));
}

const struct command command_demo = {
    .name = "demo",
    .summary = "a shop's month of events, and what can be asked of it",
    .help =
        "usage: potik demo [OPTION…]\n"
        "\n"
        "Makes the events of a small shop (5,000 people, 30 days), sends them through the API and\n"
        "shows active users, top events and retention. Uses a server of its own on a temporary\n"
        "folder, which is removed at the end, unless --server is given.\n"
        "\n"
        "  --seed N         another shop of the same kind (1)\n"
        "  --end DATE       the last day (" END_DEFAULT ")\n"
        "  --server URL     send there instead: http://HOST:PORT, https://… or unix:/path\n"
        "  --key KEY        its write key; else POTIK_KEY, else from DIR/first-run.txt\n"
        "  --read-key KEY   its read key, for the tables; else POTIK_READ_KEY, else from\n"
        "                   DIR/first-run.txt\n"
        "  --data-dir DIR   where first-run.txt stands; else POTIK_DATA_DIR, else ./potik-data\n"
        "\n"
        "example:\n"
        "\n"
        "  potik demo\n",
    .run = run_demo,
};
