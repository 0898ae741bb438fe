/*
 * demo_shop - the events of a believable shop, a pure function of a seed and the last day.
 *
 * Layer 8; pure, integer arithmetic only, so the same seed and day give the same bytes on every
 * machine. People arrive over 30 days (more on week-ends, a little more every day) and come back
 * ever more seldom. A visit is a session: pages, products, now and then a search; some put a
 * product into the cart, most of these check out, most of these pay; who pays has signed up before.
 * Events are given in the order of their sending: about one in 100 is sent twice, about one in 50
 * arrives hours or days late.
 */
#ifndef POTIK_CLI_DEMO_SHOP_H
#define POTIK_CLI_DEMO_SHOP_H

#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

#define DEMO_DAYS 30
#define DEMO_PEOPLE 5000

struct demo_shop_config {
    uint64_t seed;
    int32_t end_day; /* codec/calendar.h; the last of the days, in UTC */
    uint32_t people; /* DEMO_PEOPLE; fewer in tests */
};

struct demo_shop;
/* ERR_NOMEM. About 20 events a person, 400 bytes each. */
MUST_USE enum err demo_shop_new(const struct demo_shop_config *config, struct demo_shop **ret_shop);
void demo_shop_free(struct demo_shop **shop);
uint32_t demo_shop_count(const struct demo_shop *shop);      /* sendings */
uint32_t demo_shop_duplicates(const struct demo_shop *shop); /* of these, second ones */
/* The i-th to be sent: one event as JSON, with its LF. */
struct slice demo_shop_line(const struct demo_shop *shop, uint32_t i);

#endif
