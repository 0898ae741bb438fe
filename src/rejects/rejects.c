/*
 * rejects - the queue, and its way into files. See rejects.h and inside.h.
 *
 * The queue is one buffer of entries behind each other; whoever writes swaps it for an empty one,
 * so that loops wait for a copy at most. Records of one project that follow each other are written
 * in one call.
 */
#include "rejects/inside.h"

#include "base/counter.h"
#include "base/mem.h"

#define LOOK_NS NS_PER_S       /* between looks at ages */
#define LOAD_NS (5 * NS_PER_S) /* between tries to read the folder */
#define RETRY_NS NS_PER_S      /* without a try, after one that failed */
#define BUFFER_BYTES_KEPT (256 * 1024)
#define WAKE_OF_QUEUE 4 /* of it is used: time to write, though no project has all it may have */
#define OUT_BYTES_MAX (2 * (size_t)RECORD_BYTES_MAX)

COUNTER_DEFINE(kept, "potik_rejected_kept_total", "refused events kept for their senders");
#define DROPPED_DEFINE(variable, reason)                                                           \
    COUNTER_LABEL_DEFINE(variable, "potik_rejected_dropped_total",                                 \
                         "refused events that were to be kept and could not be", "reason", reason)
DROPPED_DEFINE(dropped_queue, "queue_full");
DROPPED_DEFINE(dropped_disk, "disk");
COUNTER_DEFINE(damage, "potik_rejected_damage_total", "damaged places in files of refused events");
GAUGE_DEFINE(held, "potik_rejected_bytes", "bytes of files of refused events");

struct queued {
    uint64_t done_id; /* 0: a record; else what is to be marked */
    int64_t received_at_us;
    uint32_t project_id;
    uint32_t payload_bytes;
};

void
rejects_count_damage(uint64_t places)
{
    counter_add(&damage, places);
}

/* --- on the loops -----------------------------------------------------------------------------*/

static uint64_t *
share_of(struct rejects *rejects, const struct queued *entry)
{
    return &rejects->shares[entry->project_id % SHARES];
}

/* Room for one entry; the lock is held if there is. NULL: none. */
static char *
begin_entry(struct rejects *rejects, const struct queued *entry)
{
    const size_t bytes = sizeof(*entry) + entry->payload_bytes;
    char *at;

    pthread_mutex_lock(&rejects->queue_lock);
    if (rejects->queue.len + bytes > rejects->config.queue_bytes ||
        *share_of(rejects, entry) + bytes > rejects->config.queue_bytes / SHARE_OF_QUEUE ||
        !buf_reserve(&rejects->queue, bytes)) {
        rejects->queue.is_failed = false;
        pthread_mutex_unlock(&rejects->queue_lock);
        return NULL;
    }
    at = rejects->queue.ptr + rejects->queue.len;
    memcpy(at, entry, sizeof(*entry));
    return at + sizeof(*entry);
}

static void
end_entry(struct rejects *rejects, const struct queued *entry)
{
    const size_t bytes = sizeof(*entry) + entry->payload_bytes;
    const size_t enough = rejects->config.queue_bytes / WAKE_OF_QUEUE;
    const size_t before = rejects->queue.len;
    bool is_enough;

    rejects->queue.len += bytes;
    *share_of(rejects, entry) += bytes;
    is_enough = before < enough && rejects->queue.len >= enough;
    atomic_fetch_add(&rejects->queued_count, 1);
    pthread_mutex_unlock(&rejects->queue_lock);
    if (is_enough && rejects->config.wake != NULL)
        rejects->config.wake(rejects->config.wake_state);
}

void
rejects_add(struct rejects *rejects, const struct reject *reject)
{
    struct queued entry;
    char *at;

    if (rejects == NULL)
        return;
    entry = (struct queued){
        .received_at_us = reject->received_at_us,
        .project_id = reject->project_id,
        .payload_bytes = (uint32_t)record_payload_bytes(reject),
    };
    at = begin_entry(rejects, &entry);
    if (at == NULL) {
        counter_add(&dropped_queue, 1);
        return;
    }
    record_make_payload(reject, at);
    end_entry(rejects, &entry);
}

void
rejects_done(struct rejects *rejects, uint32_t project_id, uint64_t id)
{
    const struct queued entry = {.done_id = id, .project_id = project_id};

    if (rejects != NULL && id != 0 && begin_entry(rejects, &entry) != NULL)
        end_entry(rejects, &entry);
}

/* --- queue to files ---------------------------------------------------------------------------*/

/* Records gathered for one project. */
struct group {
    uint32_t project_id;
    uint64_t last_id;
    uint64_t count;
};

/* Once when it begins, once when it is over. */
static void
note(struct rejects *rejects, enum err err, const struct diag *diag)
{
    if (err != ERR_OK)
        rejects->retry_ns = clock_steady_ns(rejects->config.clock) + RETRY_NS;
    if (err == rejects->trouble)
        return;
    if (err != ERR_OK)
        SINK(rejects->config.sink, LOG_LEVEL_WARN, "rejected.not_kept",
             LOG_TEXT("error", err_name(err)), LOG_TEXT("reason", diag->message),
             LOG_TEXT("next", "tried again; ingest goes on"));
    else
        SINK(rejects->config.sink, LOG_LEVEL_INFO, "rejected.kept_again");
    rejects->trouble = err;
}

static void
write_group(struct rejects *rejects, struct group *group)
{
    struct diag diag = DIAG_INIT;
    enum err err;

    if (group->count == 0)
        return;
    err =
        folder_append(rejects, group->project_id, group->last_id, buf_slice(&rejects->out), &diag);
    counter_add(err == ERR_OK ? &kept : &dropped_disk, group->count);
    note(rejects, err, &diag);
    buf_clear(&rejects->out);
    group->count = 0;
}

static uint64_t
next_id(struct rejects *rejects)
{
    int64_t now_us = clock_wall_us(rejects->config.clock);
    uint64_t id = rejects->last_id + 1;

    if (now_us > 0 && (uint64_t)now_us > id)
        id = (uint64_t)now_us;
    rejects->last_id = id;
    return id;
}

/* Right after a failure nothing is tried: a full disk is not asked again for each record. */
static bool
is_resting(const struct rejects *rejects)
{
    return !atomic_load(&rejects->is_loaded) ||
           (rejects->trouble != ERR_OK &&
            clock_steady_ns(rejects->config.clock) < rejects->retry_ns);
}

/* A file with room for one more record of the project; what was gathered is written where it has
 * to make way. */
static enum err
find_file(struct rejects *rejects, struct group *group, uint32_t project_id, uint64_t id,
          uint64_t bytes, struct kept_file **ret_file, struct diag *diag)
{
    enum err err = ERR_OK;

    if (project_id != group->project_id || rejects->out.len + bytes > OUT_BYTES_MAX ||
        rejects->bytes + rejects->out.len + bytes > rejects->config.bytes_max ||
        folder_open_file(rejects, project_id, id, rejects->out.len + bytes) == NULL)
        write_group(rejects, group);
    group->project_id = project_id;
    if (group->count == 0)
        err = folder_make_room(rejects, RECORD_FILE_HEADER_BYTES + bytes, diag);
    if (err == ERR_OK &&
        folder_open_file(rejects, project_id, id, rejects->out.len + bytes) == NULL)
        err = folder_new_file(rejects, project_id, id, diag);
    if (err != ERR_OK)
        return err;
    *ret_file = folder_file(folder_project(rejects, project_id), UINT64_MAX);
    return *ret_file != NULL ? ERR_OK : ERR_ABSENT;
}

static void
write_record(struct rejects *rejects, struct group *group, const struct queued *entry,
             struct slice payload)
{
    struct kept_file *file = NULL;
    struct diag diag = DIAG_INIT;
    const uint64_t id = next_id(rejects);
    char header[RECORD_HEADER_BYTES];
    enum err err;

    if (is_resting(rejects)) {
        counter_add(&dropped_disk, 1);
        return;
    }
    err = find_file(rejects, group, entry->project_id, id, RECORD_HEADER_BYTES + payload.len, &file,
                    &diag);
    if (err == ERR_OK && !buf_reserve(&rejects->out, RECORD_HEADER_BYTES + payload.len))
        err = ERR_NOMEM;
    if (err != ERR_OK || file == NULL) { /* NULL goes with an error */
        buf_clear(&rejects->out);
        counter_add(&dropped_disk, group->count + 1);
        group->count = 0;
        note(rejects, err, &diag);
        return;
    }
    record_make_header(file->salt, id, entry->received_at_us, payload, header);
    buf_add(&rejects->out, header, sizeof(header));
    buf_add_slice(&rejects->out, payload);
    group->last_id = id;
    group->count++;
}

static void
give_back(struct buf *buf)
{
    if (buf->capacity > BUFFER_BYTES_KEPT) {
        const size_t bytes_max = buf->bytes_max;

        buf_fini(buf);
        buf_init(buf, bytes_max);
    }
    buf_clear(buf);
}

static void
write_taken(struct rejects *rejects)
{
    struct group group = {0};
    size_t at = 0;

    while (at < rejects->taken.len) {
        struct queued entry;
        struct slice payload;

        memcpy(&entry, rejects->taken.ptr + at, sizeof(entry));
        at += sizeof(entry);
        payload = slice_of(rejects->taken.ptr + at, entry.payload_bytes);
        at += entry.payload_bytes;
        if (entry.done_id == 0)
            write_record(rejects, &group, &entry, payload);
        else
            marks_add(rejects, entry.project_id, entry.done_id);
        atomic_fetch_add(&rejects->written_count, 1);
    }
    write_group(rejects, &group);
}

void
rejects_write_queued(struct rejects *rejects)
{
    if (atomic_load(&rejects->queued_count) == atomic_load(&rejects->written_count)) {
        marks_apply(rejects);
        return;
    }
    pthread_mutex_lock(&rejects->queue_lock);
    {
        struct buf full = rejects->queue;

        rejects->queue = rejects->taken;
        rejects->taken = full;
        memset(rejects->shares, 0, sizeof(rejects->shares));
    }
    pthread_mutex_unlock(&rejects->queue_lock);
    write_taken(rejects);
    marks_apply(rejects);
    give_back(&rejects->taken);
    give_back(&rejects->out);
    give_back(&rejects->read);
    gauge_set(&held, (double)rejects->bytes);
}

/* --- the folder's start, and its ages ---------------------------------------------------------*/

static enum err
load(struct rejects *rejects, struct diag *diag)
{
    enum err err = folder_load(rejects, diag);

    rejects->load_ns = clock_steady_ns(rejects->config.clock) + LOAD_NS;
    note(rejects, err, diag);
    atomic_store(&rejects->is_loaded, err == ERR_OK);
    gauge_set(&held, (double)rejects->bytes);
    return err;
}

enum err
rejects_must_be_loaded(struct rejects *rejects, struct diag *diag)
{
    if (atomic_load(&rejects->is_loaded))
        return ERR_OK;
    diag_set(diag, "%s: what was kept of refused events cannot be read (see the log)",
             rejects->dir);
    return ERR_IO;
}

void
rejects_step(struct rejects *rejects)
{
    struct diag diag = DIAG_INIT;
    int64_t now_ns;

    if (rejects == NULL)
        return;
    pthread_mutex_lock(&rejects->lock);
    now_ns = clock_steady_ns(rejects->config.clock);
    if (!atomic_load(&rejects->is_loaded) && now_ns >= rejects->load_ns)
        (void)!load(rejects, &diag);
    if (now_ns >= rejects->write_ns) {
        rejects->write_ns = now_ns + rejects->config.pause_ns;
        rejects_write_queued(rejects);
    }
    if (now_ns >= rejects->look_ns) {
        rejects->look_ns = now_ns + LOOK_NS;
        folder_expire(rejects, clock_wall_us(rejects->config.clock));
        gauge_set(&held, (double)rejects->bytes);
    }
    pthread_mutex_unlock(&rejects->lock);
}

enum err
rejects_new(const struct rejects_config *config, struct rejects **ret_rejects, struct diag *diag)
{
    struct rejects *rejects = MEM_NEW(struct rejects, 1);
    struct diag why = DIAG_INIT;

    if (rejects == NULL || !file_path(rejects->dir, config->data_dir, "rejected")) {
        mem_free(rejects);
        diag_set(diag, "refused events: out of memory");
        return ERR_NOMEM;
    }
    rejects->config = *config;
    rejects->config.data_dir = NULL; /* the caller's */
    rejects->file_bytes_max = config->bytes_max / FILES_OF_BOUND;
    if (rejects->file_bytes_max > FILE_BYTES_CAP)
        rejects->file_bytes_max = FILE_BYTES_CAP;
    pthread_mutex_init(&rejects->queue_lock, NULL);
    pthread_mutex_init(&rejects->lock, NULL);
    buf_init(&rejects->queue, config->queue_bytes);
    buf_init(&rejects->taken, config->queue_bytes);
    buf_init(&rejects->out, OUT_BYTES_MAX);
    buf_init(&rejects->read, FILE_READ_BYTES_MAX);
    buf_init(&rejects->marks, MARKS_BYTES_MAX);
    (void)!load(rejects, &why);
    *ret_rejects = rejects;
    return ERR_OK;
}

void
rejects_free(struct rejects **place)
{
    struct rejects *rejects = *place;

    if (rejects == NULL)
        return;
    rejects_write_queued(rejects);
    folder_forget(rejects);
    buf_fini(&rejects->queue);
    buf_fini(&rejects->taken);
    buf_fini(&rejects->out);
    buf_fini(&rejects->read);
    buf_fini(&rejects->marks);
    pthread_mutex_destroy(&rejects->queue_lock);
    pthread_mutex_destroy(&rejects->lock);
    mem_free(rejects);
    *place = NULL;
}
