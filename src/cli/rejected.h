/*
 * rejected - what the two files of `potik rejected` share: its flags, and going through the list.
 *
 * Layer 8, the main thread.
 */
#ifndef POTIK_CLI_REJECTED_H
#define POTIK_CLI_REJECTED_H

#include "cli/client.h"

#define REJECTED_LIST_MAX 100000

enum rejected_format { REJECTED_TABLE, REJECTED_JSON, REJECTED_NDJSON };

struct rejected_flags {
    struct client_flags client;
    const char *code;
    const char *event_id;
    bool is_all;
    enum rejected_format format;
    uint64_t limit;
    char **ids; /* words behind the verb */
    size_t id_count;
};

/* A row as it stands in the reply. An error ends the list. */
typedef enum err rejected_take_fn(void *state, struct slice row, struct diag *diag);
/* At most flags->limit rows, newest first. The server keeps none at all: ERR_NOT_READY with the
 * cure. */
MUST_USE enum err rejected_each(struct client *client, const struct rejected_flags *flags,
                                rejected_take_fn *take, void *state, struct diag *diag);

/* rejected_retry.c: `potik rejected retry`. The exit status. */
int rejected_retry(const struct rejected_flags *flags);

#endif
