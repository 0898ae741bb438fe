/*
 * throttle - failed logins are slowed down, per account and per address.
 *
 * Layer 6, any thread (one mutex, a few instructions); pure but for it: the clock is an argument.
 * Three failures are free; from the fourth on each begins a delay, doubling from 1 s to 60 s
 * (account) or 15 min (address), in which nobody is let in. Attempts under way count, too: many at
 * once are no way around. Accounts that do not exist are slowed down alike. A right password
 * forgets its account's failures, not its address's: whoever has an account must not guess others'.
 * An hour without a failure forgets.
 *
 * What is remembered is a keyed hash of the email or address (IPv6: of its first 64 bits), in two
 * tables of a fixed size: when one is full, the entry unused for longest goes.
 */
#ifndef POTIK_API_THROTTLE_H
#define POTIK_API_THROTTLE_H

#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_ENTRIES_MAX 65536 /* each table */
#define THROTTLE_FREE 3
#define THROTTLE_ACCOUNT_S_MAX 60
#define THROTTLE_ADDRESS_S_MAX 900
#define THROTTLE_FORGET_S 3600
#define THROTTLE_UNDER_WAY_MAX 16 /* from one address, while it has free failures left */

struct throttle;
enum throttle_outcome { THROTTLE_RIGHT, THROTTLE_WRONG, THROTTLE_UNDECIDED };

/* entries_max: THROTTLE_ENTRIES_MAX, fewer in tests. ERR_NOMEM. */
MUST_USE enum err
throttle_new(uint32_t entries_max, struct random_source *random, struct throttle **ret_throttle);
void throttle_free(struct throttle **throttle);

/*
 * May a password be tried now? true: throttle_leave must follow, once. false: not before
 * *ret_wait_s (≥ 1) from now. `email` as compared (lower case), any length; `address` as text
 * ("unix" and what is no address are not slowed down by address).
 */
MUST_USE bool throttle_enter(struct throttle *throttle, struct slice email, struct slice address,
                             int64_t now_ns, uint32_t *ret_wait_s);
void throttle_leave(struct throttle *throttle, struct slice email, struct slice address,
                    int64_t now_ns, enum throttle_outcome outcome);

#endif
