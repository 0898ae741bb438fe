/*
 * zone_rule - the rule for times after a zone file's last transition: a POSIX TZ text, such as
 * "EET-2EEST,M3.5.0/3,M10.5.0/4".
 *
 * Layer 1, pure, any thread; private to zone.c. Source: RFC 9636 §3.3.1, POSIX.1 ch. 8.3.
 */
#ifndef POTIK_CODEC_ZONE_RULE_H
#define POTIK_CODEC_ZONE_RULE_H

#include "base/slice.h"
#include "codec/zone.h"

#define ZONE_OFFSET_MAX_S                                                                          \
    93599 /* 25:59:59 either way: what a zone file may hold (RFC 9636 §3.2)                       \
           */

enum zone_rule_kind {
    ZONE_RULE_MONTH_WEEK, /* Mm.w.d: weekday d of week w (5: the last) of month m */
    ZONE_RULE_JULIAN,     /* Jn: 1 … 365, February 29 never counted */
    ZONE_RULE_DAY,        /* n: 0 … 365, February 29 counted */
};
struct zone_rule_date {
    enum zone_rule_kind kind;
    uint32_t month;
    uint32_t week;
    uint32_t day;   /* weekday (0 = Sunday), or n */
    int32_t time_s; /* local time of the change, −167 h … 167 h */
};
struct zone_rule {
    bool has_summer;
    int32_t standard_offset_s; /* local − UTC, the other way round than in the text */
    int32_t summer_offset_s;
    struct zone_rule_date start; /* of summer time, in standard time */
    struct zone_rule_date end;   /* of summer time, in summer time */
};

/* false: not such a text. */
bool zone_rule_parse(struct slice text, struct zone_rule *ret_rule);
/* As zone_span_at, as if the rule had held for ever. */
struct zone_span zone_rule_span_at(const struct zone_rule *rule, int64_t unix_s);

#endif
