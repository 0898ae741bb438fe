/*
 * run_file - <data-dir>/first-run.txt (0600): lines `name=value`, replaced as a whole.
 *
 * Layer 7, the main thread. What is in it is secret: texts are wiped after use.
 */
#ifndef POTIK_APP_RUN_FILE_H
#define POTIK_APP_RUN_FILE_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"

#define RUN_FILE_BYTES_MAX 8192

/* Its whole text, "" where there is none yet. `buf` is initialised here; end with run_file_wipe. */
MUST_USE enum err run_file_read(const char *data_dir, struct buf *buf, struct diag *diag);
void run_file_wipe(struct buf *buf);
/* The value of a line `name=…`; ptr NULL: there is none. */
struct slice run_file_value(const struct buf *buf, const char *name);

struct run_line {
    const char *name;
    const char *value; /* NULL: the line goes */
};
/* Lines of these names are replaced; they stand first, the others behind them, as they were. */
MUST_USE enum err run_file_update(const char *data_dir, const struct run_line *lines, size_t count,
                                  struct diag *diag);

#endif
