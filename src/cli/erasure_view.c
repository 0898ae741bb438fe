/*
 * erasure_view - see erasure_view.h.
 */
#include "cli/erasure_view.h"

#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/progress.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS (200 * 1000000L)
#define JOB_UNITS 1000 /* of the progress, each job alike: what is still to come is not known */

/* --- as text ----------------------------------------------------------------------------------*/

void
erasure_view_add_json(struct buf *buf, const struct erasure *erasure)
{
    const struct selection *selection = &erasure->selection;
    const bool has_range =
        selection->kind == SELECTION_RECEIVED || selection->kind == SELECTION_OCCURRED;

    admin_json_item(buf);
    buf_add_char(buf, '{');
    admin_json_number(buf, "id", erasure->id);
    admin_json_number(buf, "project", selection->project_id);
    admin_json_text(buf, "reason", erasure_reason_name(erasure->reason));
    admin_json_text(buf, "kind", erasure_kind_name(selection->kind));
    admin_json_text(buf, "state", erasure_state_name(erasure->state));
    admin_json_bool(buf, "dry_run", erasure->is_dry_run);
    admin_json_bool(buf, "free_ids", erasure->frees_ids);
    admin_json_number(buf, "events", erasure->events);
    admin_json_key(buf, "progress");
    buf_add_char(buf, '{');
    admin_json_number(buf, "done", erasure->done);
    admin_json_number(buf, "total", erasure->total);
    buf_add_char(buf, '}');
    if (has_range) {
        admin_json_time(buf, "from", selection->from_us);
        admin_json_time(buf, "to", selection->to_us);
    }
    admin_json_text(buf, "user_id", erasure->person[0] != '\0' ? erasure->person : NULL);
    admin_json_text(buf, "person_hash",
                    erasure->person_hash[0] != '\0' ? erasure->person_hash : NULL);
    admin_json_text(buf, "error", erasure->error[0] != '\0' ? erasure->error : NULL);
    admin_json_time(buf, "requested_at", erasure->requested_at_us);
    admin_json_time(buf, "finished_at", erasure->finished_at_us);
    buf_add_char(buf, '}');
}

void
erasure_view_describe(const struct erasure *erasure, char ret_words[ERASURE_VIEW_WORDS])
{
    const struct selection *selection = &erasure->selection;
    char from[ADMIN_TIME_TEXT], to[ADMIN_TIME_TEXT];

    switch (selection->kind) {
    case SELECTION_PERSON:
        if (erasure->person[0] != '\0')
            (void)snprintf(ret_words, ERASURE_VIEW_WORDS, "user \"%s\"", erasure->person);
        else
            (void)snprintf(ret_words, ERASURE_VIEW_WORDS, "a user (hash %s)", erasure->person_hash);
        return;
    case SELECTION_RECEIVED:
    case SELECTION_OCCURRED:
        (void)snprintf(ret_words, ERASURE_VIEW_WORDS, "%s from %s up to before %s",
                       erasure_kind_name(selection->kind), admin_time(selection->from_us, from),
                       admin_time(selection->to_us, to));
        return;
    case SELECTION_IDS:
        (void)snprintf(ret_words, ERASURE_VIEW_WORDS, "a list of ids");
        return;
    case SELECTION_ALL:
        (void)snprintf(ret_words, ERASURE_VIEW_WORDS, "the whole project");
        return;
    }
}

/* --- jobs -------------------------------------------------------------------------------------*/

enum err
erasure_jobs_add(struct erasure_jobs *jobs, uint64_t id)
{
    if (jobs->count == jobs->capacity) {
        const size_t capacity = jobs->capacity == 0 ? 16 : jobs->capacity * 2;
        uint64_t *ids = (uint64_t *)mem_realloc(jobs->ids, capacity * sizeof(*ids));

        if (ids == NULL)
            return ERR_NOMEM;
        jobs->ids = ids;
        jobs->capacity = capacity;
    }
    jobs->ids[jobs->count++] = id;
    return ERR_OK;
}

void
erasure_jobs_free(struct erasure_jobs *jobs)
{
    mem_free(jobs->ids);
    *jobs = (struct erasure_jobs){NULL, 0, 0};
}

int
erasure_view_print_json(struct admin *admin, uint64_t id)
{
    struct diag diag = DIAG_INIT;
    struct erasure erasure;
    struct buf buf;
    enum err err = erasure_get(admin->account, id, &erasure, &diag);

    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    buf_init(&buf, 64 * 1024);
    buf_add_text(&buf, "{\"erasure\":");
    erasure_view_add_json(&buf, &erasure);
    buf_add_char(&buf, '}');
    return admin_print_json(admin, &buf);
}

int
erasure_jobs_print_json(struct admin *admin, const struct erasure_jobs *jobs)
{
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;
    struct buf buf;

    buf_init(&buf, 1u << 30);
    buf_add_text(&buf, "{\"erasures\":[");
    for (size_t i = 0; i < jobs->count && err == ERR_OK; i++) {
        struct erasure erasure;

        err = erasure_get(admin->account, jobs->ids[i], &erasure, &diag);
        if (err == ERR_OK)
            erasure_view_add_json(&buf, &erasure);
    }
    buf_add_text(&buf, "]}");
    if (err == ERR_OK)
        return admin_print_json(admin, &buf);
    buf_fini(&buf);
    return admin_fail(admin, err, &diag);
}

/* Of JOB_UNITS: the store's part is the first half, but of a dry run all. */
static uint64_t
units_done(const struct erasure *erasure)
{
    const uint64_t part = erasure->is_dry_run ? JOB_UNITS : JOB_UNITS / 2;
    const uint64_t done = erasure->total == 0               ? 0
                          : erasure->done >= erasure->total ? part
                                                            : erasure->done * part / erasure->total;

    switch (erasure->state) {
    case ERASURE_WAITING:
        return 0;
    case ERASURE_IN_STORE:
        return done;
    case ERASURE_IN_WAREHOUSE:
        return JOB_UNITS / 2 + done;
    case ERASURE_DONE:
        break;
    }
    return JOB_UNITS;
}

/* Short enough that ^C is answered at once: the signal ends it early. */
static void
pause_a_little(void)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = POLL_NS};

    (void)nanosleep(&pause, NULL);
}

struct waiting {
    struct admin *admin;
    struct progress progress;
    uint64_t units_before; /* of the jobs that are done */
    uint64_t events_before;
    bool has_told_error;
};

static void
tell_error(struct waiting *waiting, const struct erasure *erasure)
{
    if (erasure->error[0] == '\0' || waiting->has_told_error)
        return;
    fprintf(stderr, "%serasure %llu: %s; the server tries again\n",
            waiting->progress.is_terminal ? "\r\x1B[K" : "", (unsigned long long)erasure->id,
            erasure->error);
    waiting->has_told_error = true;
}

static enum err
wait_for(struct waiting *waiting, uint64_t id, enum erasure_end *ret_end, struct diag *diag)
{
    const int64_t started_ns = clock_steady_ns(waiting->progress.clock);
    struct erasure erasure;

    for (;;) {
        enum err err = erasure_get(waiting->admin->account, id, &erasure, diag);
        int64_t waited_ns = clock_steady_ns(waiting->progress.clock) - started_ns;

        if (err != ERR_OK)
            return err;
        if (erasure.state == ERASURE_DONE)
            break;
        tell_error(waiting, &erasure);
        progress_update(&waiting->progress, waiting->units_before + units_done(&erasure),
                        waiting->events_before + erasure.events);
        if (client_is_interrupted())
            *ret_end = ERASURE_END_INTERRUPTED;
        else if (erasure.state == ERASURE_WAITING &&
                 waited_ns >= ERASURE_VIEW_WAIT_MS * (NS_PER_S / 1000))
            *ret_end = ERASURE_END_WAITING;
        if (*ret_end != ERASURE_END_DONE)
            return ERR_OK;
        pause_a_little();
    }
    waiting->units_before += JOB_UNITS;
    waiting->events_before += erasure.events;
    return ERR_OK;
}

enum err
erasure_jobs_wait(struct admin *admin, const char *verb, const struct erasure_jobs *jobs,
                  enum erasure_end *ret_end, uint64_t *ret_events, struct diag *diag)
{
    struct waiting waiting = {.admin = admin};
    enum err err = ERR_OK;

    client_catch_interrupt();
    progress_start(&waiting.progress, clock_system(), stderr, isatty(STDERR_FILENO) == 1, verb,
                   "event", jobs->count * JOB_UNITS);
    *ret_end = ERASURE_END_DONE;
    for (size_t i = 0; i < jobs->count && err == ERR_OK && *ret_end == ERASURE_END_DONE; i++)
        err = wait_for(&waiting, jobs->ids[i], ret_end, diag);
    if (err == ERR_OK && *ret_end == ERASURE_END_DONE)
        progress_end(&waiting.progress, waiting.units_before, waiting.events_before);
    else if (waiting.progress.is_shown && waiting.progress.is_terminal)
        (void)fputc('\n', stderr); /* ends the bar's line */
    *ret_events = waiting.events_before;
    return err;
}
