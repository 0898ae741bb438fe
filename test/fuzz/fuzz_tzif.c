/* rooms: codec */
/*
 * A TZif file of any bytes: read or refused, and if read, every question has an answer that holds:
 * spans contain their instant and move on, days begin in order.
 */
#include "codec/calendar.h"
#include "codec/zone.h"
#include <assert.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zone *zone = NULL;
    struct diag diag = DIAG_INIT;

    if (zone_parse(slice_of((const char *)data, size), "Fuzz", &zone, &diag) != ERR_OK)
        return 0;
    for (int32_t day = CALENDAR_DAY_MIN; day < CALENDAR_DAY_MAX; day += 99991) {
        int64_t start_us = zone_day_start_us(zone, day);
        int64_t end_us = zone_day_start_us(zone, day + 1);
        struct zone_span span = zone_span_at(zone, (int64_t)day * 86400);

        assert(start_us <= end_us);
        assert(span.from_s <= (int64_t)day * 86400 && span.until_s > (int64_t)day * 86400);
        assert(zone_day_at_us(zone, start_us) >= day);
        assert(start_us == end_us || zone_day_at_us(zone, end_us - 1) == day);
    }
    zone_free(&zone);
    return 0;
}
