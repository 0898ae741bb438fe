/*
 * load - the load generator: N keep-alive connections send batches of B events to POST /v1/events.
 *
 * One thread and one epoll, since it shares the machine's cores with the server it measures. Two
 * ways: closed (each connection sends as soon as it is answered: the highest rate) and open
 * (--rate: requests are due at fixed times, and a latency counts from the time a request was due,
 * so that a server that stalls pays for those it kept waiting). Open, it asks for as short a slice
 * as the server's loops have: what it waits for a core itself would count as the server's.
 *
 * It is its own client ledger: ids are a function of (seed, counter), counters are given out in
 * order, and a bitmap holds what was acknowledged. A request without a 2xx is sent again with the
 * same ids until it has one. The last line on stdout is one JSON object; exit 1 where a reply
 * contradicts the ledger.
 */
#include "base/thread.h"
#include "client.h"
#include "histogram.h"
#include "options.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define HEAD_BYTES_MAX 1024
#define PAUSE_MIN_NS INT64_C(50000000)
#define DRAIN_NS INT64_C(60000000000)
#define NS_PER_S INT64_C(1000000000)

struct run {
    const struct options *options;
    struct client *clients;
    char head[HEAD_BYTES_MAX]; /* of each request, up to its Content-Length's digits */
    size_t head_len;
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
        contradictions, refused, refused_without_wait;
    /* between warm_end and stop */
    uint64_t counted_requests, counted_events;
    int64_t last_reply_ns;
    struct histogram latency;
    struct histogram answers; /* from a try's own sending to its 2xx, those after stop_ns too */
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

/* Ends the head right before the body: from its last byte backwards. Gives the place of its first
 * byte. */
static char *
put_head(const struct run *run, char *body, size_t body_len)
{
    char *place = body - 4;

    memcpy(place, "\r\n\r\n", 4);
    do {
        *--place = (char)('0' + body_len % 10);
        body_len /= 10;
    } while (body_len != 0);
    place -= run->head_len;
    memcpy(place, run->head, run->head_len);
    return place;
}

/* The body stands at a fixed place behind room for the head. */
static void
render(struct run *run, struct client *client)
{
    const struct options *options = run->options;
    uint64_t settled = options->duplicates > 0 ? settled_below(run) : 0;
    char *body = client->room + HEAD_BYTES_MAX;
    char *place = body;

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
    client->out = put_head(run, body, (size_t)(place - body));
    client->out_len = (size_t)(place - client->out);
}

static void
send_or_pause(struct run *run, struct client *client)
{
    client->sent_ns = now_ns();
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
begin_request(struct run *run, struct client *client, int64_t intended)
{
    client->is_retry = false;
    client->intended_ns = intended;
    run->requests_due++;
    run->under_way++;
    render(run, client);
    send_or_pause(run, client);
}

static void
settle(struct run *run, struct client *client, int64_t now)
{
    const struct options *options = run->options;
    uint64_t accepted = client_reply_number(client, "\"accepted\":");
    uint64_t duplicates = client_reply_number(client, "\"duplicates\":");
    uint64_t new_count = 0;

    for (uint32_t i = 0; i < options->batch; i++)
        new_count += client->counters[i] >= client->first_new;
    run->requests++;
    run->accepted += accepted;
    run->duplicates += duplicates;
    run->rejected += client_reply_number(client, "\"rejected\":");
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
    if (now >= run->warm_end_ns)
        histogram_add(&run->answers, (uint64_t)(now - client->sent_ns));
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
    } else {
        run->refused++;
        run->refused_without_wait += client->retry_after_s == 0;
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
begin_what_is_due(struct run *run, int64_t now)
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
                begin_request(run, client, due);
            else if (due < wake)
                wake = due;
        }
    }
    return wake;
}

static void
drive(struct run *run)
{
    struct epoll_event events[256];
    int64_t now = now_ns();

    while (!is_over(run, now) || run->under_way != 0) {
        int64_t wake = begin_what_is_due(run, now);
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
    (void)printf(",\"refused\":%" PRIu64 ",\"refused_without_wait\":%" PRIu64
                 ",\"answer_p99_us\":%.0f",
                 run->refused, run->refused_without_wait,
                 (double)histogram_quantile(&run->answers, 0.99) / 1e3);
    (void)printf(
        ",\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"max_us\":%.0f,\"load_cpu_s\":%.2f}\n",
        (double)histogram_quantile(&run->latency, 0.5) / 1e3,
        (double)histogram_quantile(&run->latency, 0.99) / 1e3,
        (double)histogram_quantile(&run->latency, 0.999) / 1e3, (double)run->latency.max_ns / 1e3,
        cpu);
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
    static struct options options;
    static struct run run;
    bool is_acks_written = true;
    int head_len;

    if (!options_parse(argc, argv, &options))
        return options_usage();
    run.options = &options;
    if (options.rate > 0) /* its own waits for a core, which clients elsewhere do not have, count */
        (void)thread_set_priority(THREAD_PROMPT);
    head_len = snprintf(run.head, sizeof(run.head),
                        "POST %s HTTP/1.1\r\nHost: potik\r\nAuthorization: Bearer "
                        "%s\r\nContent-Type: application/json\r\nContent-Length: ",
                        options.path, options.key);
    if (head_len < 0 || head_len > HEAD_BYTES_MAX - 32)
        return options_usage();
    run.head_len = (size_t)head_len;
    run.next = options.first;
    run.random = options.sample.seed;
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run.clients = need(calloc(options.connections, sizeof(*run.clients)));
    for (uint32_t i = 0; i < options.connections; i++) {
        struct client *client = &run.clients[i];

        client->room =
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
    drive(&run);
    report(&run);
    if (options.acks_path != NULL)
        is_acks_written = write_acks(&run, options.acks_path);
    for (uint32_t i = 0; i < options.connections; i++) {
        free(run.clients[i].room);
        free(run.clients[i].counters);
    }
    free(run.clients);
    free(run.acks);
    return run.contradictions == 0 && run.rejected == 0 && is_acks_written ? 0 : 1;
}
