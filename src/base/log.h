/*
 * log - one line an entry: time, level, event name, fields with units. To stderr (or a file).
 *
 * Layer 0, any thread (one write(2) a line, so lines do not mix). Text form for people, coloured on
 * a terminal; JSON lines by option. Never bodies, keys, passwords. Layers 0–5 do not log on their
 * own: they return errors and explain in diag; threads without a caller report to a log_sink given
 * at start (so tests see it).
 *
 *     LOG_INFO("ledger.recovered", LOG_U64("seq", seq), LOG_TEXT("file", path));
 */
#ifndef POTIK_BASE_LOG_H
#define POTIK_BASE_LOG_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format {
    LOG_FORMAT_AUTO,
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON
}; /* AUTO: text, colour if a terminal */

enum log_kind { LOG_KIND_I64, LOG_KIND_U64, LOG_KIND_F64, LOG_KIND_TEXT };
struct log_field {
    const char *name;
    enum log_kind kind;
    union {
        int64_t i64;
        uint64_t u64;
        double f64;
        struct slice text;
    } value;
};

#define LOG_I64(n, v) ((struct log_field){.name = (n), .kind = LOG_KIND_I64, .value.i64 = (v)})
#define LOG_U64(n, v) ((struct log_field){.name = (n), .kind = LOG_KIND_U64, .value.u64 = (v)})
#define LOG_F64(n, v) ((struct log_field){.name = (n), .kind = LOG_KIND_F64, .value.f64 = (v)})
#define LOG_TEXT(n, v)                                                                             \
    ((struct log_field){.name = (n), .kind = LOG_KIND_TEXT, .value.text = slice_of_text(v)})
#define LOG_SLICE(n, v) ((struct log_field){.name = (n), .kind = LOG_KIND_TEXT, .value.text = (v)})

void log_configure(enum log_level lowest, enum log_format format, int fd);
/* From now on to the end of this file, made if absent; called again, the file of that name is
 * opened anew (it has been renamed, perhaps) in the old one's place, so that no line is lost or
 * cut. On an error lines go where they went. Not by two threads at once. */
MUST_USE enum err log_to_file(const char *path, struct diag *diag);
void
log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count);

/* The event's name, then zero or more fields. LOG_END_ closes the list, so that it is never empty.
 */
#define LOG_END_ LOG_U64("", 0)
#define LOG_(level, event, ...)                                                                    \
    do {                                                                                           \
        const struct log_field log_fields_[] = {__VA_ARGS__};                                      \
        log_write((level), (event), log_fields_,                                                   \
                  sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                               \
    } while (0)
#define LOG_DEBUG(...) LOG_(LOG_LEVEL_DEBUG, __VA_ARGS__, LOG_END_)
#define LOG_INFO(...) LOG_(LOG_LEVEL_INFO, __VA_ARGS__, LOG_END_)
#define LOG_WARN(...) LOG_(LOG_LEVEL_WARN, __VA_ARGS__, LOG_END_)
#define LOG_ERROR(...) LOG_(LOG_LEVEL_ERROR, __VA_ARGS__, LOG_END_)

/* Where a thread without a caller reports. log_sink_default() goes to log_write. */
struct log_sink {
    void (*write)(void *state, enum log_level level, const char *event,
                  const struct log_field *fields, size_t count);
    void *state;
};
const struct log_sink *log_sink_default(void);
/* SINK(sink, level, event name, zero or more fields) */
#define SINK(sink, level, ...) SINK_(sink, level, __VA_ARGS__, LOG_END_)
#define SINK_(sink, level, event, ...)                                                             \
    do {                                                                                           \
        const struct log_sink *log_sink_ = (sink);                                                 \
        const struct log_field log_fields_[] = {__VA_ARGS__};                                      \
        log_sink_->write(log_sink_->state, (level), (event), log_fields_,                          \
                         sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                        \
    } while (0)

#endif
