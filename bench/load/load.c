/*
 * load - the load generator: N keep-alive connections send batches of B events to POST /v1/events.
 *
 * One thread and one epoll, since it shares the machine's cores with the server it measures. Two
 * ways: closed (each connection sends as soon as it is answered: the highest rate) and open
 * (--rate: requests are due at fixed times, and a latency counts from the time a request was due,
 * so that a server that stalls pays for those it kept waiting).
 *
 * It is its own client ledger: ids are a function of (seed, counter), counters are given out in
 * order, and a bitmap holds what was acknowledged. A request without a 2xx is sent again with the
 * same ids until it has one. The last line on stdout is one JSON object; exit 1 where a reply
 * contradicts the ledger.
 */
#include "client.h"
#include "histogram.h"
#include "sample.h"
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define CONNECTIONS_MAX 4096
#define BATCH_MAX 10000
#define HEAD_BYTES_MAX 1024
#define PAUSE_MIN_NS INT64_C(50000000)
#define DRAIN_NS INT64_C(60000000000)
#define NS_PER_S INT64_C(1000000000)

struct options {
    struct sockaddr_in address;
    const char *key;
    const char *path;
    const char *acks_path;
    struct sample_config sample;
    uint64_t first;
    uint64_t events_max; /* 0: until the seconds are over */
    double seconds;
    double warm_seconds;
    double rate;       /* events/s; 0: closed */
    double duplicates; /* share 0 … 1 of ids that are stored already */
    uint32_t connections;
    uint32_t batch;
    bool is_resend; /* every event is expected to be a duplicate */
};

struct run {
    const struct options *options;
    struct client *clients;
    int epoll_fd;
    int64_t start_ns;
    int64_t warm_end_ns;
    int64_t stop_ns;
    uint64_t next;         /* next counter to give out */
    uint64_t requests_due; /* open: requests begun */
    uint8_t *acks;         /* a bit a counter, from options->first */
    uint64_t acks_bytes;
    uint64_t under_way;
    uint64_t random;
    /* all of the run */
    uint64_t requests, accepted, duplicates, rejected, retries, lost_connections, acked,
        contradictions;
    /* between warm_end and stop */
    uint64_t counted_requests, counted_events;
    int64_t last_reply_ns;
    struct histogram latency;
};

static int64_t
now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void *
need(void *ptr)
{
    if (ptr == NULL) {
        (void)fprintf(stderr, "load: out of memory\n");
        exit(1);
    }
    return ptr;
}

static bool
is_acked(const struct run *run, uint64_t counter)
{
    uint64_t bit = counter - run->options->first;

    return bit / 8 < run->acks_bytes && (run->acks[bit / 8] >> (bit % 8) & 1) != 0;
}

static void
ack(struct run *run, uint64_t counter)
{
    uint64_t bit = counter - run->options->first;

    if (bit / 8 >= run->acks_bytes) {
        uint64_t bytes = (bit / 8 + 1) * 2 + 4096;

        run->acks = need(realloc(run->acks, bytes));
        memset(run->acks + run->acks_bytes, 0, bytes - run->acks_bytes);
        run->acks_bytes = bytes;
    }
    if (is_acked(run, counter))
        return;
    run->acks[bit / 8] |= (uint8_t)(1U << (bit % 8));
    run->acked++;
}

/* Below it every counter is acknowledged: what is sent again from there is surely a duplicate. */
static uint64_t
settled_below(const struct run *run)
{
    uint64_t lowest = run->next;

    for (uint32_t i = 0; i < run->options->connections; i++) {
        const struct client *client = &run->clients[i];

        if (client->state != CLIENT_IDLE && client->first_new < lowest)
            lowest = client->first_new;
    }
    return lowest;
}

static uint64_t
choose_counter(struct run *run, uint64_t settled)
{
    if (run->options->duplicates > 0 && settled > run->options->first) {
        run->random = sample_mix(run->random);
        if ((double)(run->random >> 11) * 0x1p-53 < run->options->duplicates)
            return run->options->first + sample_mix(run->random) % (settled - run->options->first);
    }
    return run->next++;
}

/* The body first, at a fixed place behind room for the head; the head then ends right before it. */
static void
render(struct run *run, struct client *client, char *room)
{
    const struct options *options = run->options;
    uint64_t settled = options->duplicates > 0 ? settled_below(run) : 0;
    char head[HEAD_BYTES_MAX];
    char *body = room + HEAD_BYTES_MAX;
    char *place = body;
    int head_len;

    client->first_new = run->next;
    if (options->batch > 1)
        *place++ = '[';
    for (uint32_t i = 0; i < options->batch; i++) {
        client->counters[i] = choose_counter(run, settled);
        if (i != 0)
            *place++ = ',';
        place += sample_render(&options->sample, client->counters[i], place);
    }
    if (options->batch > 1)
        *place++ = ']';
    head_len = snprintf(head, sizeof(head),
                        "POST %s HTTP/1.1\r\nHost: potik\r\nAuthorization: Bearer "
                        "%s\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        options->path, options->key, (size_t)(place - body));
    if (head_len < 0 || head_len >= (int)sizeof(head)) {
        (void)fprintf(stderr, "load: the path or the key is too long\n");
        exit(2);
    }
    client->out = body - head_len;
    memcpy(client->out, head, (size_t)head_len);
    client->out_len = (size_t)(place - client->out);
}

static void
send_or_pause(struct run *run, struct client *client)
{
    if (client_send(client) == CLIENT_LOST) {
        run->lost_connections++;
        client->is_retry = true;
        client->state = CLIENT_PAUSED;
        client->resume_ns = now_ns() + PAUSE_MIN_NS;
    }
}

static bool
is_over(const struct run *run, int64_t now)
{
    const struct options *options = run->options;

    return now >= run->stop_ns ||
           (options->events_max != 0 && run->next - options->first >= options->events_max);
}

static int64_t
due_ns(const struct run *run)
{
    double each_ns = (double)run->options->batch / run->options->rate * 1e9;

    return run->start_ns + (int64_t)((double)run->requests_due * each_ns);
}

static void
begin_request(struct run *run, struct client *client, char *room, int64_t intended)
{
    client->is_retry = false;
    client->intended_ns = intended;
    run->requests_due++;
    run->under_way++;
    render(run, client, room);
    send_or_pause(run, client);
}

static void
settle(struct run *run, struct client *client, int64_t now)
{
    const struct options *options = run->options;
    uint64_t accepted = client_reply_number(client, "accepted");
    uint64_t duplicates = client_reply_number(client, "duplicates");
    uint64_t new_count = 0;

    for (uint32_t i = 0; i < options->batch; i++)
        new_count += client->counters[i] >= client->first_new;
    run->requests++;
    run->accepted += accepted;
    run->duplicates += duplicates;
    run->rejected += client_reply_number(client, "rejected");
    if (accepted + duplicates == options->batch) {
        for (uint32_t i = 0; i < options->batch; i++)
            ack(run, client->counters[i]);
    }
    if (options->is_resend ? duplicates != options->batch
                           : (!client->is_retry && accepted != new_count)) {
        if (run->contradictions++ < 5)
            (void)fprintf(stderr, "load: %" PRIu64 " new events from %" PRIu64 ", answered %s\n",
                          new_count, client->first_new, client->body);
    }
    if (now >= run->warm_end_ns && now <= run->stop_ns) {
        run->counted_requests++;
        run->counted_events += options->batch;
        histogram_add(&run->latency, (uint64_t)(now - client->intended_ns));
    }
    run->last_reply_ns = now;
    run->under_way--;
    client->state = CLIENT_IDLE;
}

static void
on_event(struct run *run, struct client *client, enum client_event event)
{
    int64_t now;

    if (event == CLIENT_NOTHING)
        return;
    now = now_ns();
    if (client->state == CLIENT_IDLE) { /* an idle connection was closed by the server */
        run->lost_connections++;
        return;
    }
    if (event == CLIENT_REPLIED && client->status == 200) {
        settle(run, client, now);
        return;
    }
    if (event == CLIENT_LOST) {
        run->lost_connections++;
    } else if (client->status != 503 && client->status != 429) {
        (void)fprintf(stderr, "load: status %d: %s\n", client->status, client->body);
        exit(1);
    }
    run->retries++;
    client->is_retry = true;
    client->state = CLIENT_PAUSED;
    client->resume_ns = now + PAUSE_MIN_NS;
    if (event == CLIENT_REPLIED && client->retry_after_s != 0)
        client->resume_ns = now + client->retry_after_s * NS_PER_S;
}

/* Starts what may start now; gives the time to sleep until at the latest. */
static int64_t
begin_what_is_due(struct run *run, char **rooms, int64_t now)
{
    const struct options *options = run->options;
    int64_t wake = now + NS_PER_S / 10;

    for (uint32_t i = 0; i < options->connections; i++) {
        struct client *client = &run->clients[i];

        if (client->state == CLIENT_PAUSED && client->resume_ns <= now)
            send_or_pause(run, client);
        else if (client->state == CLIENT_PAUSED && client->resume_ns < wake)
            wake = client->resume_ns;
        else if (client->state == CLIENT_IDLE && !is_over(run, now)) {
            int64_t due = options->rate > 0 ? due_ns(run) : now;

            if (due <= now)
                begin_request(run, client, rooms[i], due);
            else if (due < wake)
                wake = due;
        }
    }
    return wake;
}

static void
drive(struct run *run, char **rooms)
{
    struct epoll_event events[256];
    int64_t now = now_ns();

    while (!is_over(run, now) || run->under_way != 0) {
        int64_t wake = begin_what_is_due(run, rooms, now);
        int64_t wait = wake > now ? wake - now : 0;
        struct timespec timeout = {.tv_sec = wait / NS_PER_S, .tv_nsec = wait % NS_PER_S};
        int count = epoll_pwait2(run->epoll_fd, events, 256, &timeout, NULL);

        if (count < 0 && errno != EINTR) {
            perror("load: epoll_pwait2");
            exit(1);
        }
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;

            on_event(run, client, client_ready(client, events[i].events));
        }
        now = now_ns();
        if (now > run->stop_ns + DRAIN_NS) {
            (void)fprintf(stderr, "load: %" PRIu64 " requests were never answered\n",
                          run->under_way);
            exit(1);
        }
    }
}

static void
report(const struct run *run)
{
    struct rusage usage;
    int64_t end = run->last_reply_ns < run->stop_ns ? run->last_reply_ns : run->stop_ns;
    double seconds = (double)(end - run->warm_end_ns) / 1e9;
    double cpu;

    (void)getrusage(RUSAGE_SELF, &usage);
    cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
          (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    if (seconds <= 0)
        seconds = 1e-9;
    (void)printf("{\"first\":%" PRIu64 ",\"next\":%" PRIu64 ",\"connections\":%" PRIu32
                 ",\"batch\":%" PRIu32 ",\"requests\":%" PRIu64 ",\"accepted\":%" PRIu64
                 ",\"duplicates\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"acked\":%" PRIu64
                 ",\"retries\":%" PRIu64 ",\"lost_connections\":%" PRIu64
                 ",\"contradictions\":%" PRIu64
                 ",\"seconds\":%.3f,\"events_per_s\":%.0f,\"requests_per_s\":%.0f",
                 run->options->first, run->next, run->options->connections, run->options->batch,
                 run->requests, run->accepted, run->duplicates, run->rejected, run->acked,
                 run->retries, run->lost_connections, run->contradictions, seconds,
                 (double)run->counted_events / seconds, (double)run->counted_requests / seconds);
    (void)printf(
        ",\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"max_us\":%.0f,\"load_cpu_s\":%.2f}\n",
        (double)histogram_quantile(&run->latency, 0.5) / 1e3,
        (double)histogram_quantile(&run->latency, 0.99) / 1e3,
        (double)histogram_quantile(&run->latency, 0.999) / 1e3, (double)run->latency.max_ns / 1e3,
        cpu);
}

static int
usage(void)
{
    (void)fprintf(
        stderr,
        "usage: load --connect 127.0.0.1:PORT --key wk_... [--path /v1/events] [--connections 64] "
        "[--batch 1]\n"
        "            (--seconds S | --events N) [--warm S] [--rate EVENTS_A_SECOND] [--duplicates "
        "0.01]\n"
        "            [--seed N] [--first N] [--users N] [--date YYYY-MM-DD] [--resend] [--acks "
        "FILE]\n"
        "  --resend   the events stand in the store already: every answer must say duplicate\n"
        "example: load --connect 127.0.0.1:8700 --key wk_abc --batch 1000 --connections 8 "
        "--seconds 10\n");
    return 2;
}

static bool
parse_address(const char *text, struct sockaddr_in *ret_address)
{
    char host[64];
    const char *colon = strrchr(text, ':');

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    ret_address->sin_family = AF_INET;
    ret_address->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return inet_pton(AF_INET, host, &ret_address->sin_addr) == 1;
}

static bool
parse_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"connect", 1, NULL, 'c'},     {"key", 1, NULL, 'k'},   {"path", 1, NULL, 'p'},
        {"connections", 1, NULL, 'n'}, {"batch", 1, NULL, 'b'}, {"seconds", 1, NULL, 's'},
        {"events", 1, NULL, 'e'},      {"warm", 1, NULL, 'w'},  {"rate", 1, NULL, 'r'},
        {"duplicates", 1, NULL, 'd'},  {"seed", 1, NULL, 'S'},  {"first", 1, NULL, 'f'},
        {"users", 1, NULL, 'u'},       {"date", 1, NULL, 'D'},  {"resend", 0, NULL, 'R'},
        {"acks", 1, NULL, 'a'},        {NULL, 0, NULL, 0}};
    int found;

    while ((found = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (found) {
        case 'c':
            if (!parse_address(optarg, &options->address))
                return false;
            break;
        case 'k':
            options->key = optarg;
            break;
        case 'p':
            options->path = optarg;
            break;
        case 'a':
            options->acks_path = optarg;
            break;
        case 'n':
            options->connections = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            options->batch = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            options->seconds = strtod(optarg, NULL);
            break;
        case 'e':
            options->events_max = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            options->warm_seconds = strtod(optarg, NULL);
            break;
        case 'r':
            options->rate = strtod(optarg, NULL);
            break;
        case 'd':
            options->duplicates = strtod(optarg, NULL);
            break;
        case 'S':
            options->sample.seed = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            options->first = strtoull(optarg, NULL, 10);
            break;
        case 'u':
            options->sample.users = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'D':
            (void)snprintf(options->sample.date, sizeof(options->sample.date), "%s", optarg);
            break;
        case 'R':
            options->is_resend = true;
            break;
        default:
            return false;
        }
    }
    return options->address.sin_port != 0 && options->key != NULL && options->connections >= 1 &&
           options->connections <= CONNECTIONS_MAX && options->batch >= 1 &&
           options->batch <= BATCH_MAX && options->sample.users >= 1 &&
           strlen(options->sample.date) == 10 && (options->seconds > 0 || options->events_max > 0);
}

static bool
write_acks(const struct run *run, const char *path)
{
    FILE *file = fopen(path, "wb");
    uint64_t bytes = (run->next - run->options->first + 7) / 8;

    if (file == NULL)
        return false;
    if (bytes > run->acks_bytes)
        bytes = run->acks_bytes;
    if (bytes != 0 && fwrite(run->acks, 1, bytes, file) != bytes) {
        (void)fclose(file);
        return false;
    }
    return fclose(file) == 0;
}

int
main(int argc, char **argv)
{
    static struct options options = {.path = "/v1/events",
                                     .connections = 64,
                                     .batch = 1,
                                     .sample = {.seed = 1, .users = 100000, .date = "2026-01-15"}};
    static struct run run;
    char **rooms;
    bool is_acks_written = true;

    if (!parse_options(argc, argv, &options))
        return usage();
    run.options = &options;
    run.next = options.first;
    run.random = options.sample.seed;
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run.clients = need(calloc(options.connections, sizeof(*run.clients)));
    rooms = need(calloc(options.connections, sizeof(*rooms)));
    for (uint32_t i = 0; i < options.connections; i++) {
        struct client *client = &run.clients[i];

        rooms[i] =
            need(malloc(HEAD_BYTES_MAX + 2 + (size_t)options.batch * (SAMPLE_BYTES_MAX + 1)));
        client->counters = need(calloc(options.batch, sizeof(*client->counters)));
        client->address = options.address;
        client->epoll_fd = run.epoll_fd;
        client_connect(client);
    }
    run.start_ns = now_ns();
    run.warm_end_ns = run.start_ns + (int64_t)(options.warm_seconds * 1e9);
    run.stop_ns = options.seconds > 0 ? run.warm_end_ns + (int64_t)(options.seconds * 1e9)
                                      : run.start_ns + 3600 * NS_PER_S;
    drive(&run, rooms);
    report(&run);
    if (options.acks_path != NULL)
        is_acks_written = write_acks(&run, options.acks_path);
    for (uint32_t i = 0; i < options.connections; i++) {
        free(rooms[i]);
        free(run.clients[i].counters);
    }
    free(rooms);
    free(run.clients);
    free(run.acks);
    return run.contradictions == 0 && run.rejected == 0 && is_acks_written ? 0 : 1;
}
