/*
 * store_fixture - an embedded store in a folder of its own, and short words for what tests do with
 * it.
 */
#ifndef POTIK_TEST_STORE_FIXTURE_H
#define POTIK_TEST_STORE_FIXTURE_H

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "store/embedded/embedded.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h> /* needs those above */

struct fixture {
    char dir[64];
    struct embedded_config config;
    struct clock_fake clock;
    struct store *store;
    struct store_link *link;
    uint64_t sink_lines;
    char sink_last[256]; /* event name of the last line */
    int fatal_count;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Opens store and link. */
enum err fixture_try_open(struct fixture *fixture, struct diag *diag);
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture); /* a clean stop */
/* As after kill -9: the folder's bytes as they are now are what the next open finds. */
void fixture_kill(struct fixture *fixture);
void fixture_path(const struct fixture *fixture, const char *name, char ret_path[FILE_PATH_MAX]);

/* An event made from its number: same number, same id and content. Slices live until the next
 * 20,000 calls. */
struct event fixture_event(uint64_t number);
/* Submits events first … first + count − 1 as one batch. */
enum err
fixture_append(struct fixture *fixture, uint64_t first, uint32_t count, uint32_t *ret_accepted);
/* Reads the whole store: the events must be `first`, first + 1, … with seqs from 1 on. Returns how
 * many. */
uint64_t
fixture_read_all(struct fixture *fixture, uint64_t first, uint32_t rows_max, size_t bytes_max);
/* The only name in `dir` that begins with `prefix` (the first, if there are more); false: none. */
bool fixture_find(const struct fixture *fixture, const char *dir, const char *prefix,
                  char ret_path[FILE_PATH_MAX]);

#endif
