/*
 * zone - IANA time zones: what the offset from UTC was at an instant, and where a local day begins.
 *
 * Layer 1. The zones come from the system's tzdata (compiled TZif files, RFC 9636, version 2 and
 * up, with the POSIX rule of the footer for later times), read by our own reader: one zone table
 * for the whole program. The names are listed once, at zones_open; a client's text is only looked
 * up in that list and never becomes a path. A zone is parsed at its first use and kept; zones_find
 * may be called from any thread, and a zone once given lives, unchanged, until zones_free.
 *
 * Where tzdata is absent there is one zone: UTC (zones_has_only_utc).
 *
 * A local day runs from its first instant to the first instant of the next day, so that days never
 * overlap and leave no gap (docs/adr/0005-zones.md). The first instant is not always midnight:
 * where the clock jumps over midnight it is the instant of the jump; where midnight comes twice it
 * is the first; a day the zone skipped wholly begins and ends at the same instant.
 */
#ifndef POTIK_CODEC_ZONE_H
#define POTIK_CODEC_ZONE_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zone;
struct zones;

#define ZONE_DIR_DEFAULT "/usr/share/zoneinfo"
#define ZONE_NAME_MAX 63 /* bytes */

/*
 * Lists the names below `dir` (NULL: ZONE_DIR_DEFAULT). No tzdata there: ERR_OK, only UTC is
 * known, and `diag` says so, for a warning. ERR_NOMEM.
 */
MUST_USE enum err zones_open(const char *dir, struct zones **ret_zones, struct diag *diag);
void zones_free(struct zones **zones); /* all its zones too; takes NULL */
bool zones_has_only_utc(const struct zones *zones);
size_t zones_count(const struct zones *zones);
/*
 * By exact name ("Europe/Kyiv"). ERR_INVALID_PARAMETER: no such name (the cure is told in `diag`,
 * without a field). ERR_CORRUPT: tzdata's file is not a TZif file we can trust. ERR_IO, ERR_NOMEM.
 */
MUST_USE enum err
zones_find(struct zones *zones, struct slice name, const struct zone **ret_zone, struct diag *diag);
const struct zone *zone_utc(void); /* needs no table */

/* "Europe/Kyiv" */
const char *zone_name(const struct zone *zone);

/* The stretch of time with one offset that holds unix_s: from_s <= unix_s < until_s. */
struct zone_span {
    int64_t from_s;   /* INT64_MIN: since ever */
    int64_t until_s;  /* INT64_MAX: for ever */
    int32_t offset_s; /* local time − UTC: positive east of Greenwich */
};
struct zone_span zone_span_at(const struct zone *zone, int64_t unix_s);

/* First instant of the local day, in Unix microseconds. Day numbers as in calendar.h, ±4,000,000.
 */
int64_t zone_day_start_us(const struct zone *zone, int32_t day);
/* The local day that holds the instant: the last day whose start is not after it. */
int32_t zone_day_at_us(const struct zone *zone, int64_t unix_us);

/* The reader alone, for tests and the fuzzer. ERR_CORRUPT (what is wrong in `diag`), ERR_NOMEM. */
MUST_USE enum err
zone_parse(struct slice tzif, const char *name, struct zone **ret_zone, struct diag *diag);
void zone_free(struct zone **zone); /* of zone_parse only; takes NULL */

#endif
