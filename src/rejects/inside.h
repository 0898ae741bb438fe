/*
 * inside - what the files of this room share: the queue, and the files that there are.
 *
 * Layer 3. Two locks: `queue_lock`, which loops take, is held for a copy or a swap; `lock`, for
 * files and what is known of them, is taken before it. The keeper, whom everybody else overtakes,
 * never takes queue_lock, and holds `lock` only to look something up or to put a new file in an old
 * one's place.
 */
#ifndef POTIK_REJECTS_INSIDE_H
#define POTIK_REJECTS_INSIDE_H

#include "base/buf.h"
#include "base/file.h"
#include "rejects/record.h"
#include "rejects/rejects.h"

#include <pthread.h>
#include <stdatomic.h>

#define SHARES 64         /* projects that are told apart in the queue: */
#define SHARE_OF_QUEUE 2  /* each has at most this part of it */
#define FILES_OF_BOUND 32 /* a file has at most this part of the bound, */
#define FILE_BYTES_CAP (UINT64_C(4) * 1024 * 1024)
#define FILES_OF_AGE 8 /* and is written to for at most this part of the age */
#define FILE_READ_BYTES_MAX (2 * FILE_BYTES_CAP)
#define MARKS_MAX 65536
#define MARKS_BYTES_MAX (MARKS_MAX * 16) /* of struct mark */
#define MARK_FILES_A_STEP 8

struct kept_file {
    uint64_t first_id;
    uint64_t bytes;
    uint32_t salt;
};

struct kept_project {
    uint32_t id;
    bool is_closed; /* its newest file is not written to any more */
    uint64_t bytes;
    uint64_t last_id;
    struct kept_file *files; /* by first_id */
    uint32_t count;
    uint32_t capacity;
};

struct rejects {
    struct rejects_config config;
    char dir[FILE_PATH_MAX];
    uint64_t file_bytes_max;

    pthread_mutex_t queue_lock;
    struct buf queue;              /* struct queued, its payload; again and again */
    uint64_t shares[SHARES];       /* bytes in it, by project id modulo SHARES */
    _Atomic uint64_t queued_count; /* entries that ever came into it */

    pthread_mutex_t lock;
    struct buf taken; /* the queue's other half */
    struct buf out;   /* records on their way to one file */
    struct buf read;  /* a file that is marked in */
    struct buf marks; /* not yet in their files: marks.c */
    bool are_marks_sorted;
    _Atomic uint64_t written_count;
    _Atomic bool is_loaded;        /* the folder has been read */
    struct kept_project *projects; /* by id */
    uint32_t project_count;
    uint32_t project_capacity;
    uint64_t bytes;
    uint64_t last_id;
    int64_t write_ns; /* rejects_step writes then */
    int64_t look_ns;  /* ages are looked at then */
    int64_t load_ns;  /* the folder is tried again then */
    int64_t retry_ns; /* nothing is written before it, where there is trouble */
    enum err trouble; /* the sink has heard of it */
};

/* --- folder.c: all with `lock` held -----------------------------------------------------------*/

/* Reads the folder. An error: nothing is known. */
MUST_USE enum err folder_load(struct rejects *rejects, struct diag *diag);
void folder_forget(struct rejects *rejects);
/* NULL: it has none. */
struct kept_project *folder_project(struct rejects *rejects, uint32_t project_id);
/* The newest file that may hold ids below `before`; NULL: none. */
struct kept_file *folder_file(struct kept_project *project, uint64_t before);
bool folder_path(const struct rejects *rejects, uint32_t project_id, uint64_t first_id,
                 char ret_path[FILE_PATH_MAX]);
/* Room for `need` more bytes below the bound: the oldest files of who holds most go. */
MUST_USE enum err folder_make_room(struct rejects *rejects, uint64_t need, struct diag *diag);
/* What is older than the age goes, in whole files. */
void folder_expire(struct rejects *rejects, int64_t now_us);
/* Records below this id are too old to be shown. */
uint64_t folder_oldest_id(const struct rejects *rejects);
/* The newest file of the project, if a record of this id and `need` bytes may go into it. */
struct kept_file *
folder_open_file(struct rejects *rejects, uint32_t project_id, uint64_t id, uint64_t need);
/* A new one that begins at this id, with its header. */
MUST_USE enum err
folder_new_file(struct rejects *rejects, uint32_t project_id, uint64_t id, struct diag *diag);
/* Records, the last of this id, behind what the project's newest file has. After an error that file
 * is as it was, and closed. */
MUST_USE enum err folder_append(struct rejects *rejects, uint32_t project_id, uint64_t last_id,
                                struct slice records, struct diag *diag);
/* Unlinks it, and forgets it. */
MUST_USE enum err
folder_drop(struct rejects *rejects, uint32_t project_id, uint64_t first_id, struct diag *diag);

/* --- marks.c: with `lock` held ----------------------------------------------------------------*/

/* The record of that id is to be marked as gone; one that cannot be there is passed over. */
void marks_add(struct rejects *rejects, uint32_t project_id, uint64_t id);
/* In their files, as many as a step may. */
void marks_apply(struct rejects *rejects);

/* --- rejects.c --------------------------------------------------------------------------------*/

/* Writes what is queued. With `lock` held. */
void rejects_write_queued(struct rejects *rejects);
void rejects_count_damage(uint64_t places);
/* The folder could be read; else `diag` says why not. */
MUST_USE enum err rejects_must_be_loaded(struct rejects *rejects, struct diag *diag);

#endif
