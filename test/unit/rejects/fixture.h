/*
 * fixture - a place for refused events in a folder of its own, with a clock that the test moves,
 * and short ways to put events in and to read them back.
 */
#ifndef POTIK_TEST_REJECTS_FIXTURE_H
#define POTIK_TEST_REJECTS_FIXTURE_H

#include "../test.h"

#include "base/counter.h"
#include "rejects/inside.h"

#define NOW_US (INT64_C(1700000000) * US_PER_S)
#define HOUR_US (INT64_C(3600) * US_PER_S)

struct place {
    struct clock_fake clock;
    struct log_sink sink;
    struct rejects_config config;
    struct rejects *rejects;
    char told[512]; /* names of what was told, each followed by a space */
    unsigned wakes;
};

/* 1 MiB, 8 hours. */
void place_init(struct place *place, void **state);
void place_open(struct place *place);
void place_close(struct place *place);

/* code `too_long`, sender key 7, this original. */
struct reject reject_of(uint32_t project_id, const char *event_id, const char *original);
void
place_add(struct place *place, uint32_t project_id, const char *event_id, const char *original);
/* The event_ids that are listed, newest first, a space behind each; in one static place. */
const char *place_list(struct place *place, uint32_t project_id);
/* Of all files of the project. */
uint64_t place_bytes(struct place *place);
/* The path of the project's only file. */
void place_only_file(void **state, uint32_t project_id, char ret_path[FILE_PATH_MAX]);
/* The value of a counter, by the beginning of its line in /metrics. */
uint64_t place_counter(const char *start);

#endif
