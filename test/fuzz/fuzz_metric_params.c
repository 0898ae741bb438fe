/* rooms: metric */
/*
 * The parameters of a metric from any bytes: the first names the metric, then a line a pair, name
 * and value parted by `=`. Refused with words, or within every limit and told back whole.
 */
#include "codec/utf8.h"
#include "event/limits.h"
#include "metric/query.h"
#include <assert.h>
#include <stdlib.h>

#define PAIRS_MAX 32

static struct zones *
all_zones(void)
{
    static struct zones *zones; /* for the life of the process */

    if (zones == NULL && zones_open(NULL, &zones, NULL) != ERR_OK)
        abort();
    return zones;
}

static void
check(const struct metric_params *params)
{
    static const char *const names[] = {"dau", "top-events", "retention"};
    struct buf body;

    if (params->metric == metric_find(slice_of_text(names[2]))) {
        assert(params->windows >= 1 && params->windows <= METRIC_WINDOWS_MAX);
        assert(params->cohorts >= 1 && params->cohorts <= METRIC_WINDOWS_MAX);
    } else {
        assert(params->from_day <= params->to_day);
        assert(params->to_day - params->from_day < LIMIT_QUERY_DAYS);
    }
    buf_init(&body, 1 << 20);
    metric_params_write(params, &body);
    assert(!buf_failed(&body) && utf8_is_valid(buf_slice(&body)));
    buf_fini(&body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct metric_context context = {
        .zones = all_zones(), .project_zone = SLICE("UTC"), .now_us = 1767225600000000};
    struct metric_pair pairs[PAIRS_MAX];
    struct metric_params *params = NULL;
    struct diag diag = DIAG_INIT;
    struct slice rest;
    struct arena arena;
    uint32_t count = 0;
    enum err err;

    if (size == 0)
        return 0;
    rest = slice_of((const char *)data + 1, size - 1);
    if (!utf8_is_valid(rest) || (rest.len > 0 && memchr(rest.ptr, '\0', rest.len) != NULL))
        return 0; /* the decoder of query strings lets no such text through */
    while (rest.len > 0 && count < PAIRS_MAX) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.ptr) : rest.len;
        const char *mid = len > 0 ? memchr(rest.ptr, '=', len) : NULL;
        size_t name_len = mid != NULL ? (size_t)(mid - rest.ptr) : len;

        pairs[count].name = slice_of(rest.ptr, name_len);
        pairs[count++].value =
            mid != NULL ? slice_of(mid + 1, len - name_len - 1) : slice_of(rest.ptr + len, 0);
        len += end != NULL;
        rest = slice_of(rest.ptr + len, rest.len - len);
    }
    arena_init(&arena, 4096, 1 << 20);
    err = metric_params_parse(metric_at(data[0] % metric_count()), pairs, count, &context, &arena,
                              &params, &diag);
    if (err == ERR_OK)
        check(params);
    else
        assert(diag.message[0] != '\0' && params == NULL);
    arena_fini(&arena);
    return 0;
}
