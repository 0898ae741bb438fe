/*
 * compact - merging the files of a project, so that a scan has few of them to merge.
 *
 * Layer 4, the keeper's thread. docs/adr/0004-warehouse.md tells why it is done this way.
 */
#ifndef POTIK_WAREHOUSE_COMPACT_H
#define POTIK_WAREHOUSE_COMPACT_H

#include "warehouse/inside.h"
#include "warehouse/merge_feed.h"

#define COMPACT_WIDTH 8
#define COMPACT_PARTS_MAX 16

struct compact_plan {
    uint32_t indexes[MERGE_FILES_MAX]; /* places in the set, rising */
    uint32_t count;                    /* 0: nothing is to be merged */
    bool is_split;                     /* level 0 → level 1, by month */
};
/*
 * What to merge next. Level 0 (sealed files, each over any time): eight or more neighbours of a
 * tier (by powers of eight of rows; smaller ones among them go along) become one; once they hold
 * split_rows, the oldest are merged and split by month into level 1. Level 1: eight or more
 * neighbours of a tier within the same part of time; files of rows_max / 2 and more are left alone.
 * Files whose seqs and time both reach into the stretch that is merged, without being of it, forbid
 * it: the order of equal moments must follow seqs.
 */
void compact_choose(const struct file_set *set, uint64_t split_rows, uint64_t rows_max,
                    struct compact_plan *ret_plan);

/* Where time is cut: [from_us, to_us), months (UTC), or neighbours joined where there are more
 * than 16. */
struct compact_parts {
    int64_t from_us[COMPACT_PARTS_MAX];
    int64_t to_us[COMPACT_PARTS_MAX];
    uint64_t rows[COMPACT_PARTS_MAX];
    uint32_t count;
};
/* `month_rows` for months first_month … (1970-01 = 0). */
void compact_cut(const uint64_t *month_rows, uint32_t month_count, int32_t first_month,
                 struct compact_parts *ret_parts);

/* One merge of the project's files, if there is one to do. ERR_CANCELLED: the guard was stopped. */
MUST_USE enum err
compact_project(struct project *project, struct engine *engine, struct engine_guard *guard,
                bool *ret_did_work, struct diag *diag);

#endif
