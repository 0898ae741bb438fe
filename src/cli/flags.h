/*
 * flags - the flags of the client commands: `--name value`, `--name=value`, switches, and the words
 * between them.
 *
 * Layer 8, the main thread. (The settings of the server have a table of their own: app/config.)
 */
#ifndef POTIK_CLI_FLAGS_H
#define POTIK_CLI_FLAGS_H

#include "base/diag.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLAG_TEXTS_MAX 64

struct flag_texts {
    const char *texts[FLAG_TEXTS_MAX];
    size_t count;
};

/* One of the three places is set: it says what kind of flag it is. */
struct flag {
    const char *name;         /* "data-dir", without the dashes */
    const char **text;        /* takes a value, once */
    struct flag_texts *texts; /* takes a value, repeatable */
    bool *is_set;             /* a switch */
};

/*
 * Words that are no flags (`-` alone is one, and all behind `--`) are moved to argv[1 …];
 * *ret_count tells how many. ERR_INVALID: an unknown flag, no value, given twice: one sentence in
 * `diag`.
 */
MUST_USE enum err flags_parse(int argc, char **argv, const struct flag *flags, size_t flag_count,
                              size_t *ret_count, struct diag *diag);

/* All digits, min ≤ value ≤ max. NULL: *ret_value is left as it is. Else ERR_INVALID. */
MUST_USE enum err flags_number(const char *name, const char *text, uint64_t min, uint64_t max,
                               uint64_t *ret_value, struct diag *diag);

/* "potik NAME: sentence" on stderr; the exit status to return. */
int flags_usage(const char *command, const char *sentence);
int flags_failed(const char *command, const char *sentence);

#endif
