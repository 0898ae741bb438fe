/*
 * fault_plan - lets the n-th file operation of the code under test fail, or end the process.
 *
 * The linker puts these functions before those of base/file (--wrap, meson.build). A kill is a
 * process of its own that ends at the n-th operation, before it or, of a write, half way through
 * it: what stands in the folder then is what kill -9 leaves. Operations that base/file does within
 * one call are not told apart.
 */
#ifndef POTIK_TEST_STORE_FAULT_PLAN_H
#define POTIK_TEST_STORE_FAULT_PLAN_H

#include "store_fixture.h"

enum fault { FAULT_NONE, FAULT_KILL, FAULT_FULL, FAULT_IO };
struct fault_plan {
    enum fault fault;
    uint32_t at; /* the operation, from 1 on */
    uint32_t count;
};
extern struct fault_plan fault_plan;

#define FAULT_KILLED 9 /* status of a process that was killed */

/* Closes the store and keeps the folder as <dir>.begin; puts the folder back; removes what was
 * kept. */
void fault_keep(struct fixture *fixture);
void fault_take(struct fixture *fixture);
void fault_forget(const struct fixture *fixture);
/* Opens the store and does `work` in a process that is killed at the n-th operation of it. Returns
 * its status: FAULT_KILLED, 0, or 1 where the work failed. */
int fault_kill_at(struct fixture *fixture, uint32_t at, enum err (*work)(struct fixture *fixture));

#endif
