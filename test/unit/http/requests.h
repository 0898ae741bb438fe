/*
 * requests - the table of requests.inc as data, and what the parsers alone make of one.
 */
#ifndef TEST_HTTP_REQUESTS_H
#define TEST_HTTP_REQUESTS_H

#include "http/request.h"

struct request_case {
    int line; /* of requests.inc */
    int status;
    bool is_kept;
    struct slice begin;
    char fill;
    size_t fill_count;
    struct slice end;
};
extern const struct request_case request_cases[];
extern const size_t request_case_count;

/* The bytes of a case, to be freed with mem_free. */
struct slice request_case_bytes(const struct request_case *request_case);

/* All that a reader of the stream learns; equal for equal bytes, however they were split. */
struct verdict {
    int status;         /* 0: more is needed; 200; or the error's */
    const char *reason; /* of an error */
    size_t used;        /* bytes of the request, when whole */
    uint64_t body_bytes;
    uint32_t body_hash;
    uint32_t head_hash; /* of fields and offsets */
};
/* Gives the parsers `bytes` in two pieces, or byte by byte when step is 1. */
struct verdict request_read_split(struct slice bytes, size_t split, size_t step);

#endif
