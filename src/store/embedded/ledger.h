/*
 * ledger - the segments as one log: append a frame durably, roll, read on.
 *
 * Layer 3 (store/embedded). Appending: one thread at a time (under the store's commit lock).
 * Reading: any thread, up to durable_seq. The list of segments and what readers may see of the last
 * one stand under `lock`, held for a few instructions. Files: ledger.c (append, roll),
 * ledger_open.c (recovery), ledger_read.c, ledger_replay.c.
 */
#ifndef POTIK_STORE_EMBEDDED_LEDGER_H
#define POTIK_STORE_EMBEDDED_LEDGER_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/embedded/segment.h"
#include "store/store.h"
#include <pthread.h>
#include <stdatomic.h>

#define LEDGER_SEGMENT_BYTES_MIN (UINT64_C(1) << 20)

struct ledger_config {
    const char *dir; /* created if absent */
    uint64_t segment_bytes;
    const struct clock *clock;
    const struct log_sink *sink;
};

/* One segment as readers know it. Of the last one: as far as it is durable. */
struct ledger_segment {
    uint64_t first_seq;
    uint64_t next_seq; /* behind its last row or gap */
    uint64_t end;      /* offset behind its last frame; of an ended one: the file's size */
    uint64_t rows;
    uint64_t tombstones;
    struct segment_mark *marks; /* rising; the first frame is always one, if there is any */
    uint32_t mark_count;
    uint32_t marks_max;
};

struct ledger {
    struct ledger_config config;
    char *dir;
    uint8_t id[LEDGER_ID_BYTES];
    /* the list */
    pthread_mutex_t lock;
    struct ledger_segment *segments;
    uint32_t segment_count;
    uint32_t segments_max;
    /* the active segment: the appender's */
    int fd;
    char path[FILE_PATH_MAX];
    uint64_t end;       /* where the next frame goes */
    uint64_t allocated; /* the file's size */
    uint64_t zeroed;    /* room below has been written once: zeros, where no frame stands yet */
    uint32_t chain;
    uint64_t next_seq;
    bool has_frames;
    bool is_fatal; /* a sync or a cut failed: nothing more is written */
    _Atomic uint64_t durable_seq;
    _Atomic uint64_t rows;
    _Atomic uint64_t bytes;
    /* reading */
    pthread_mutex_t read_lock;
    struct segment_reader reader;
    char reader_path[FILE_PATH_MAX];
    uint64_t reader_first_seq; /* segment the reader is open on; 0: none */
    uint64_t read_after;       /* read_place serves a page after this seq */
    struct segment_place read_place;
};

/*
 * Opens the ledger and brings it into order: a torn end is cut off and set aside, the last frame
 * after an unclean stop is written again and synced. ERR_CORRUPT (file and offset in diag),
 * ERR_TOO_NEW, ERR_IO, ERR_STORAGE_FULL, ERR_NOMEM. A ledger is made where there is none.
 */
MUST_USE enum err
ledger_open(const struct ledger_config *config, struct ledger **ret_ledger, struct diag *diag);
/* With a footer, unless a sync has failed. */
void ledger_close(struct ledger **ledger);

/* Frames that hold anything after `after_seq`, in order; of each of their segments the tombstones
 * it begins with before all else, though they stand before that place. ERR_CORRUPT as above. */
MUST_USE enum err
ledger_replay(struct ledger *ledger, uint64_t after_seq,
              enum err (*each)(void *state, const struct segment_frame *frame, struct diag *diag),
              void *state, struct diag *diag);

/*
 * Appends one frame and syncs it. `frame`: struct frame_header, prepared, then the payload with its
 * zeros; it is finished in place. ERR_OK: durable. ERR_STORAGE_FULL, ERR_IO: nothing of it stays.
 * ERR_FATAL: a sync failed, or what was half written could not be cut off; the process must end.
 */
MUST_USE enum err ledger_append(struct ledger *ledger, uint8_t *frame, struct diag *diag);

MUST_USE enum err
ledger_read(struct ledger *ledger, uint64_t after_seq, uint32_t rows_max, size_t bytes_max,
            struct arena *arena, struct store_page *ret_page, struct diag *diag);
uint32_t ledger_segment_count(struct ledger *ledger);
/* Segment `i` of the list (its marks belong to the list), and whether it is the active one. false:
 * there are no more. */
bool ledger_segment_at(struct ledger *ledger, uint32_t i, struct ledger_segment *ret_segment,
                       bool *ret_is_active);

/* The appender (under the commit lock): ends the active segment, which must hold frames, and goes
 * to a new one. On an error but ERR_FATAL nothing has changed. */
MUST_USE enum err ledger_roll(struct ledger *ledger, struct diag *diag);
/*
 * The keeper: the file `tmp`, whole and synced, takes the place of the ended segment of that first
 * seq; `fresh` describes it. Its marks go to the list. A page being read is waited for, and the
 * next one begins anew: no reader sees half of each. The rename is not durable yet: the caller
 * syncs the folder. On an error the old file stands, and the marks stay the caller's.
 */
MUST_USE enum err ledger_replace_segment(struct ledger *ledger, const char *tmp, const char *path,
                                         const struct ledger_segment *fresh, struct diag *diag);

/* --- shared by the room's files ------------------------------------------------------------ */

MUST_USE enum err ledger_add_mark(struct ledger_segment *segment, uint64_t seq, uint64_t offset);
MUST_USE enum err ledger_add_segment(struct ledger *ledger, const struct ledger_segment *segment);
/* Takes a segment without frames away for good: were it to come back after a power cut, beside an
 * old one that has grown, the ledger could not be opened. */
MUST_USE enum err ledger_remove_segment(const char *dir, const char *path);
/* A new file with its header, synced, folder too. On an error it is gone again; ERR_FATAL: it may
 * not be. */
MUST_USE enum err ledger_make_segment(const char *dir, const uint8_t id[LEDGER_ID_BYTES],
                                      uint64_t first_seq, int64_t now_us, char *ret_path,
                                      int *ret_fd, uint32_t *ret_chain, struct diag *diag);
/* Writes a footer at `end`, makes the file end with it, syncs. *ret_end: the file's size. On error
 * the file may be longer than `end`. */
MUST_USE enum err
ledger_write_footer(int fd, const char *path, const struct ledger_segment *segment, uint64_t end,
                    uint32_t chain, uint64_t *ret_end, struct diag *diag);

#endif
