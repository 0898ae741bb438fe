/*
 * fake_warehouse - the reading side of warehouse.h over an array in memory, linked in place of the
 * real room.
 *
 * Rows are given in any order; scans hand them over as the real one does: by person, time and order
 * given, in chunks of a few rows, persons split over the parts.
 */
#ifndef POTIK_TEST_FAKE_WAREHOUSE_H
#define POTIK_TEST_FAKE_WAREHOUSE_H

#include "warehouse/warehouse.h"

struct fake_row {
    uint32_t person;
    uint32_t type;
    int64_t at_us;
};

struct warehouse_view {
    struct fake_row *rows;
    uint32_t row_count;
    const char *const *types;
    uint32_t type_count;
    int64_t history_from_us;
    uint32_t chunk_rows; /* 0: 7 */
    /* what scans answer, and what they were asked */
    enum err scan_err;
    uint32_t scan_count;
    uint32_t first_scan_count;
};

#endif
