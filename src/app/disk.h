/*
 * disk - watching the room that is left: free bytes and days as metrics, a warning at 10 %.
 *
 * Layer 7, the main thread, between signals. The growth is that of the data folder (store and
 * warehouse) over the last hour, so that other users of the disk do not blur it.
 */
#ifndef POTIK_APP_DISK_H
#define POTIK_APP_DISK_H

#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

#define DISK_SAMPLES 61 /* one a minute: an hour between first and last */
#define DISK_SAMPLE_NS (INT64_C(60) * 1000000000)
#define DISK_DAYS_MAX 36500.0 /* "no growth to speak of" */

struct disk_sample {
    int64_t steady_ns;
    uint64_t used_bytes;
};

struct disk_watch {
    struct disk_sample samples[DISK_SAMPLES]; /* a ring */
    uint32_t count;
    uint32_t next;
    bool is_low; /* the warning has been given */
};

/* Takes a sample if one is due. */
void disk_add_sample(struct disk_watch *watch, int64_t steady_ns, uint64_t used_bytes);
/* Days until `free_bytes` are used up at the pace of the samples; DISK_DAYS_MAX where there is
 * none. */
double disk_days_left(const struct disk_watch *watch, uint64_t free_bytes);
/*
 * Whether the warning is due now: below 10 % it is given once, and again only after 12 % have been
 * free in between.
 */
bool disk_is_warning_due(struct disk_watch *watch, uint64_t free_bytes, uint64_t total_bytes);

/* All of it: asks the disk, sets the gauges, warns. */
void disk_look(struct disk_watch *watch, const char *data_dir, int64_t steady_ns,
               uint64_t used_bytes, const struct log_sink *sink);

#endif
