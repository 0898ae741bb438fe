/*
 * rejects - events that were refused, kept for a while so that who sent them can find out why, and
 * send them again.
 *
 * Layer 3. Best effort, and never in the way of ingest: a loop copies what was refused into a
 * bounded queue and goes on; a full queue, or a disk that takes nothing, costs the copy and is
 * counted; of the queue a project has half at most. Threads:
 *
 *     loops    rejects_add, rejects_done                  a short lock around a copy
 *     loader   rejects_step                               queue → files, bounds
 *     desk     rejects_list, rejects_find                 (what is queued is written first)
 *     keeper   rejects_erase_step, rejects_drop_project
 *
 * Files: rejected/<project>/<first id, 20 digits>.rej (record.h), each project its own. They are
 * never synced but by an erasure: a loss of power may cost the last seconds of them. All together
 * they hold at most `bytes_max`: the project that holds most loses its oldest file, so that a noisy
 * project pushes out nobody but itself. Files end after a part of the bound or of the age, so that
 * both hold by unlinking whole files. Nothing else is on disk: what is in memory is made by reading
 * the folder. docs/adr/0018-rejected.md.
 */
#ifndef POTIK_REJECTS_REJECTS_H
#define POTIK_REJECTS_REJECTS_H

#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"
#include "base/random.h"
#include "event/selection.h"
#include "rejects/record.h"

#define REJECTS_BYTES_MIN (UINT64_C(1024) * 1024)
#define REJECTS_QUEUE_BYTES (UINT64_C(16) * 1024 * 1024) /* two requests of 10,000, and more */
#define REJECTS_PAUSE_NS (NS_PER_S / 4)

struct rejects_config {
    const char *data_dir; /* <data_dir>/rejected is made when something is to be kept */
    uint64_t bytes_max;   /* of all files; REJECTS_BYTES_MIN or more */
    int64_t age_us;       /* from when it was kept, 1 or more */
    uint64_t queue_bytes; /* REJECTS_QUEUE_BYTES but in tests */
    int64_t pause_ns;     /* between writes of rejects_step, so that a storm has a share of the
                             disk and no more; REJECTS_PAUSE_NS but in tests */
    void (*wake)(
        void *state); /* a quarter of the queue is used: rejects_step is due. NULL: nobody */
    void *wake_state; /* is to be woken. Any thread */
    const struct clock *clock;
    const struct log_sink *sink;
    struct random_source *random; /* of rejects_step's thread and the desk's, in turn */
};

struct rejects;
/* A folder that cannot be read is told to the sink, and tried again. ERR_NOMEM. */
MUST_USE enum err
rejects_new(const struct rejects_config *config, struct rejects **ret_rejects, struct diag *diag);
/* What is queued is written. */
void rejects_free(struct rejects **place);

/* Copies it (its id is not looked at). Takes NULL: nothing is kept. */
void rejects_add(struct rejects *rejects, const struct reject *reject);
/* It was sent again, and is stored now: it goes from the lists. Takes NULL. */
void rejects_done(struct rejects *rejects, uint32_t project_id, uint64_t id);
/* Writes what is queued, unless it has a moment ago, and lets go of what is too old. Takes NULL. */
void rejects_step(struct rejects *rejects);

/* Called for each, newest first; what it is given lives for the call. An error ends the list. */
typedef enum err rejects_take_fn(void *state, const struct reject *reject);

struct rejects_question {
    uint32_t project_id;
    uint64_t before;       /* ids below it; 0: the newest */
    uint32_t limit;        /* 1 or more */
    struct slice code;     /* of this code alone; ptr NULL: any */
    struct slice event_id; /* likewise */
};
/*
 * *ret_next: `before` of the next page; 0: there is none. A page that looked at REJECTS_SCAN_BYTES
 * ends, so it may be short, or empty, and yet have a next one. ERR_NOMEM, ERR_IO, or what `take`
 * gave.
 */
#define REJECTS_SCAN_BYTES (UINT64_C(64) * 1024 * 1024)
MUST_USE enum err
rejects_list(struct rejects *rejects, const struct rejects_question *question,
             rejects_take_fn *take, void *state, uint64_t *ret_next, struct diag *diag);
/* The one of this id. ERR_ABSENT: not there (any more). */
MUST_USE enum err rejects_find(struct rejects *rejects, uint32_t project_id, uint64_t id,
                               rejects_take_fn *take, void *state, struct diag *diag);

/*
 * An erasure. Of a person: all that mention its text anywhere, as sent or with JSON's escapes
 * resolved, and all whose original is cut or is no valid JSON, since it cannot be told whose they
 * are. Of a time of receipt, of ids, of a project: those. Of a time of occurrence: none.
 * A step is one file; the caller's state is zeroed before the first. Not done while rejects_step
 * has not written what was queued when it began. What is gone is gone from the disk.
 */
struct rejects_erasure {
    bool is_begun;
    uint64_t queued;
    uint64_t next_id;
    uint64_t end_id; /* files from there on came later */
};
MUST_USE enum err
rejects_erase_step(struct rejects *rejects, const struct selection *selection,
                   struct rejects_erasure *erasure, bool *ret_is_done, struct diag *diag);
/* All that stands in files of the project: where it is not known any more what was erased. Takes
 * NULL. */
MUST_USE enum err
rejects_drop_project(struct rejects *rejects, uint32_t project_id, struct diag *diag);

#endif
