/*
 * throttle - failed logins make the next ones wait, by account and by address.
 *
 * Layer 6, any thread; one mutex, held for a look-up. Pure but for the clock. After THROTTLE_FREE
 * failures each further one doubles the wait, from 1 s up to a minute for an account (so that
 * nobody can lock somebody else out for long) and a quarter of an hour for an address. An attempt
 * during the wait is refused before anything is hashed. A right password clears the account's
 * count; an hour without a failure clears either. Accounts that do not exist are counted alike.
 *
 * At most THROTTLE_ENTRIES are remembered, under keyed hashes; a new one takes the place of the one
 * of its bucket that failed longest ago. IPv6 addresses count by their /64.
 */
#ifndef POTIK_API_THROTTLE_H
#define POTIK_API_THROTTLE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_ENTRIES 65536U
#define THROTTLE_FREE 3
#define THROTTLE_ACCOUNT_S_MAX 60
#define THROTTLE_ADDRESS_S_MAX 900
#define THROTTLE_FORGET_S 3600

struct throttle;
/* NULL: out of memory. */
struct throttle *throttle_new(const struct clock *clock, struct random_source *random);
void throttle_free(struct throttle **throttle);
/* 0: go on. Else seconds to wait, ≥ 1. */
int64_t throttle_wait_s(struct throttle *throttle, struct slice account, struct slice address);
void throttle_failed(struct throttle *throttle, struct slice account, struct slice address);
void throttle_succeeded(struct throttle *throttle, struct slice account);

#endif
