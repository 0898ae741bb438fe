/*
 * log - one entry, one line, one write(2). See log.h.
 *
 * A line is built in a fixed array on the stack, so that logging works when memory is gone. A text
 * value is cut after VALUE_BYTES_MAX; fields that no longer fit are left out, and `cut=true` tells
 * it.
 *
 * Text:  2026-01-31T12:00:00.123456Z INFO  ledger.recovered seq=5 file="a b"
 * JSON:  {"time":"2026-01-31T12:00:00.123456Z","level":"info","event":"ledger.recovered","seq":5}
 *
 * In both, control bytes are escaped and what is no UTF-8 becomes U+FFFD: nothing a client sent can
 * start a line of its own or move the cursor of a terminal.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/file_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 8192
#define VALUE_BYTES_MAX 2048
#define TAIL_BYTES 64 /* kept free for the cut mark and the end of the line */

struct line {
    char text[LINE_BYTES_MAX];
    size_t len;
    size_t limit;
    bool is_cut;
};

static _Atomic int lowest_level = LOG_LEVEL_INFO;
static _Atomic int line_format = LOG_FORMAT_AUTO;
static _Atomic int line_fd = STDERR_FILENO;
static _Atomic bool is_terminal;
static _Atomic bool is_terminal_known;

void
log_configure(enum log_level lowest, enum log_format format, int fd)
{
    atomic_store(&lowest_level, (int)lowest);
    atomic_store(&line_format, (int)format);
    atomic_store(&line_fd, fd);
    atomic_store(&is_terminal, isatty(fd) == 1);
    atomic_store(&is_terminal_known, true);
}

enum err
log_to_file(const char *path, struct diag *diag)
{
    static int kept_fd = -1; /* its number stays: others may be writing to it */
    int fd = -1;
    enum err err = file_open(path, FILE_APPEND, &fd, diag);

    if (err != ERR_OK)
        return err;
    if (kept_fd < 0) {
        kept_fd = fd;
        log_configure((enum log_level)atomic_load(&lowest_level),
                      (enum log_format)atomic_load(&line_format), fd);
        return ERR_OK;
    }
    if (dup3(fd, kept_fd, O_CLOEXEC) < 0)
        err = file_failed("open", path, errno, diag);
    file_close(&fd);
    return err;
}

static void
add(struct line *line, const char *bytes, size_t len)
{
    if (line->is_cut)
        return;
    if (len > line->limit - line->len) {
        line->is_cut = true;
        return;
    }
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
}

static void
add_text(struct line *line, const char *text)
{
    add(line, text, strlen(text));
}

/* Between quotes: a JSON string (RFC 8259 section 7), which reads well in the text form, too. */
static void
add_quoted(struct line *line, struct slice s)
{
    bool is_long = s.len > VALUE_BYTES_MAX;

    if (is_long)
        s.len = VALUE_BYTES_MAX;
    add_text(line, "\"");
    while (s.len != 0) {
        size_t width = slice_utf8_width(s);
        size_t taken = width != 0 ? width : 1;
        unsigned char c = (unsigned char)s.ptr[0];
        char escape[8];

        if (width == 0) {
            add_text(line, "\xEF\xBF\xBD");
        } else if (c == '"' || c == '\\') {
            escape[0] = '\\';
            escape[1] = (char)c;
            add(line, escape, 2);
        } else if (c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)s.ptr[1] < 0xA0)) {
            unsigned code = c == 0xC2 ? (unsigned char)s.ptr[1] : c; /* U+0080 … U+009F: C1 */
            (void)snprintf(escape, sizeof(escape), "\\u%04x", code & 0xFFU);
            add_text(line, escape);
        } else {
            add(line, s.ptr, width);
        }
        s = slice_of(s.ptr + taken, s.len - taken);
    }
    add_text(line, is_long ? "\xE2\x80\xA6\"" : "\"");
}

/* Text that needs no quotes: not empty, and no byte that could be taken for the line's own. */
static bool
is_plain(struct slice s)
{
    if (s.len == 0 || s.len > VALUE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c <= 0x20 || c >= 0x7F || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return true;
}

static void
add_value(struct line *line, const struct log_field *field, bool is_json)
{
    char digits[40];

    switch (field->kind) {
    case LOG_KIND_I64:
        (void)snprintf(digits, sizeof(digits), "%lld", (long long)field->value.i64);
        add_text(line, digits);
        break;
    case LOG_KIND_U64:
        (void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)field->value.u64);
        add_text(line, digits);
        break;
    case LOG_KIND_F64:
        if (isfinite(field->value.f64) != 0)
            (void)snprintf(digits, sizeof(digits), "%.9g", field->value.f64);
        else
            (void)snprintf(digits, sizeof(digits), "null"); /* JSON has no NaN */
        add_text(line, digits);
        break;
    case LOG_KIND_TEXT:
        if (is_json && field->value.text.ptr == NULL)
            add_text(line, "null");
        else if (!is_json && is_plain(field->value.text))
            add(line, field->value.text.ptr, field->value.text.len);
        else
            add_quoted(line, field->value.text);
        break;
    }
}

/* "2026-01-31T12:00:00.123456Z" */
static void
add_time(struct line *line, int64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / US_PER_S);
    long us = (long)(wall_us % US_PER_S);
    struct tm parts;
    char text[64];

    if (us < 0) {
        us += (long)US_PER_S;
        seconds--;
    }
    if (gmtime_r(&seconds, &parts) == NULL)
        memset(&parts, 0, sizeof(parts));
    (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", parts.tm_year + 1900,
                   parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, us);
    add_text(line, text);
}

static void
write_whole(int fd, const char *bytes, size_t len)
{
    while (len != 0) {
        ssize_t put = write(fd, bytes, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return; /* nowhere left to tell it */
        bytes += put;
        len -= (size_t)put;
    }
}

/* A field is in the line whole, or not at all. */
static void
add_fields(struct line *line, const struct log_field *fields, size_t count, bool is_json,
           bool is_coloured)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = line->len;

        if (is_json) {
            add_text(line, ",");
            add_quoted(line, slice_of_text(fields[i].name));
            add_text(line, ":");
        } else {
            add_text(line, is_coloured ? " \x1B[2m" : " ");
            add_text(line, fields[i].name);
            add_text(line, is_coloured ? "=\x1B[0m" : "=");
        }
        add_value(line, &fields[i], is_json);
        if (line->is_cut) {
            line->len = len;
            break;
        }
    }
    line->limit = sizeof(line->text);
    if (line->is_cut) {
        line->is_cut = false;
        add_text(line, is_json ? ",\"cut\":true" : " cut=true");
    }
    add_text(line, is_json ? "}\n" : "\n");
}

void
log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};
    static const char *const columns[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    static const char *const colours[] = {"\x1B[90m", "\x1B[32m", "\x1B[33m", "\x1B[31m"};
    size_t row = (size_t)level < 4 ? (size_t)level : 3;
    bool is_json = atomic_load(&line_format) == LOG_FORMAT_JSON;
    bool is_coloured = false;
    int fd = atomic_load(&line_fd);
    struct line line;

    if ((int)level < atomic_load(&lowest_level))
        return;
    if (!atomic_load(&is_terminal_known)) {
        atomic_store(&is_terminal, isatty(fd) == 1);
        atomic_store(&is_terminal_known, true);
    }
    is_coloured = atomic_load(&line_format) == LOG_FORMAT_AUTO && atomic_load(&is_terminal);
    line.len = 0;
    line.limit = sizeof(line.text) - TAIL_BYTES;
    line.is_cut = false;
    add_text(&line, is_json ? "{\"time\":\"" : "");
    add_time(&line, clock_wall_us(clock_system()));
    if (is_json) {
        add_text(&line, "\",\"level\":\"");
        add_text(&line, words[row]);
        add_text(&line, "\",\"event\":");
        add_quoted(&line, slice_of_text(event));
    } else {
        add_text(&line, " ");
        add_text(&line, is_coloured ? colours[row] : "");
        add_text(&line, columns[row]);
        add_text(&line, is_coloured ? "\x1B[0m " : " ");
        add_text(&line, event);
    }
    add_fields(&line, fields, count, is_json, is_coloured);
    write_whole(fd, line.text, line.len);
}

static void
default_write(void *state, enum log_level level, const char *event, const struct log_field *fields,
              size_t count)
{
    (void)state;
    log_write(level, event, fields, count);
}

const struct log_sink *
log_sink_default(void)
{
    static const struct log_sink sink = {.write = default_write, .state = NULL};

    return &sink;
}
