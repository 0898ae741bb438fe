/*
 * disk - free bytes, days left, the warning. See disk.h.
 */
#include "app/disk.h"

#include "base/counter.h"
#include "base/file.h"

#define NS_PER_DAY (86400.0 * 1e9)
/* What has grown counts as the growth of an hour at least: an import of five minutes is no pace. */
#define PACE_NS_MIN (3600.0 * 1e9)

GAUGE_DEFINE(free_gauge, "potik_disk_free_bytes", "free bytes of the data folder's disk");
GAUGE_DEFINE(total_gauge, "potik_disk_total_bytes", "size of the data folder's disk");
GAUGE_DEFINE(days_gauge, "potik_disk_days_left",
             "days until the disk is full at the pace of the last hour (36500: no growth)");

void
disk_add_sample(struct disk_watch *watch, int64_t steady_ns, uint64_t used_bytes)
{
    uint32_t last = (watch->next + DISK_SAMPLES - 1) % DISK_SAMPLES;

    if (watch->count != 0 && steady_ns - watch->samples[last].steady_ns < DISK_SAMPLE_NS)
        return;
    watch->samples[watch->next] = (struct disk_sample){steady_ns, used_bytes};
    watch->next = (watch->next + 1) % DISK_SAMPLES;
    if (watch->count < DISK_SAMPLES)
        watch->count++;
}

double
disk_days_left(const struct disk_watch *watch, uint64_t free_bytes)
{
    uint32_t last = (watch->next + DISK_SAMPLES - 1) % DISK_SAMPLES;
    uint32_t first = (watch->next + DISK_SAMPLES - watch->count) % DISK_SAMPLES;
    double grown;
    double elapsed_ns;
    double days;

    if (watch->count < 2)
        return DISK_DAYS_MAX;
    grown = (double)watch->samples[last].used_bytes - (double)watch->samples[first].used_bytes;
    if (grown <= 0)
        return DISK_DAYS_MAX;
    elapsed_ns = (double)(watch->samples[last].steady_ns - watch->samples[first].steady_ns);
    if (elapsed_ns < PACE_NS_MIN)
        elapsed_ns = PACE_NS_MIN;
    days = (double)free_bytes / grown * elapsed_ns / NS_PER_DAY;
    return days < DISK_DAYS_MAX ? days : DISK_DAYS_MAX;
}

bool
disk_is_warning_due(struct disk_watch *watch, uint64_t free_bytes, uint64_t total_bytes)
{
    if (free_bytes >= total_bytes / 100 * 12)
        watch->is_low = false;
    if (watch->is_low || free_bytes >= total_bytes / 10)
        return false;
    watch->is_low = true;
    return true;
}

void
disk_look(struct disk_watch *watch, const char *data_dir, int64_t steady_ns, uint64_t used_bytes,
          const struct log_sink *sink)
{
    struct diag diag = DIAG_INIT;
    uint64_t free_bytes;
    uint64_t total_bytes;

    if (file_disk_space(data_dir, &free_bytes, &total_bytes, &diag) != ERR_OK) {
        SINK(sink, LOG_LEVEL_WARN, "disk.unknown", LOG_TEXT("reason", diag.message));
        return;
    }
    disk_add_sample(watch, steady_ns, used_bytes);
    gauge_set(&free_gauge, (double)free_bytes);
    gauge_set(&total_gauge, (double)total_bytes);
    gauge_set(&days_gauge, disk_days_left(watch, free_bytes));
    if (disk_is_warning_due(watch, free_bytes, total_bytes)) {
        SINK(sink, LOG_LEVEL_WARN, "disk.low", LOG_U64("free_bytes", free_bytes),
             LOG_U64("total_bytes", total_bytes),
             LOG_F64("days_left", disk_days_left(watch, free_bytes)));
    }
}
