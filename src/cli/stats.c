/*
 * stats - `potik stats METRIC`: asks a running server and prints the answer.
 *
 * Layer 8, the main thread. Every query parameter of the metric is a flag, with `-` for `_`; names
 * and help come from the metric room's table, values are judged by the server. --format table is
 * made here from the JSON reply (stats_table.c); json, csv and ndjson are the server's bytes.
 */
#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/stats_table.h"
#include "metric/metric.h"
#include <stdio.h>
#include <string.h>

#define PARAMETERS_MAX 32
#define NAME_BYTES 48
#define FIXED_FLAGS (CLIENT_FLAG_COUNT + 1) /* and --format; the others are the metric's */
#define PATH_BYTES_MAX (64u * 1024)
#define TABLE_BYTES_MAX (256u * 1024 * 1024)

struct stats_flags {
    struct client_flags client;
    const char *format;
    struct flag_texts texts[PARAMETERS_MAX];
    char names[PARAMETERS_MAX][NAME_BYTES];
    bool is_repeatable[PARAMETERS_MAX];
    uint32_t count;
};

static void
flag_name(const char *parameter, char ret_name[NAME_BYTES])
{
    size_t len = strlen(parameter);

    len = len < NAME_BYTES ? len : NAME_BYTES - 1;
    for (size_t i = 0; i < len; i++)
        ret_name[i] = parameter[i] == '_' ? '-' : parameter[i];
    ret_name[len] = '\0';
}

static enum err
parse_flags(const struct metric *metric, struct stats_flags *stats, int argc, char **argv,
            struct diag *diag)
{
    struct flag flags[PARAMETERS_MAX + FIXED_FLAGS] = {
        CLIENT_FLAGS(stats->client),
        {.name = "format", .text = &stats->format},
    };
    struct metric_parameter_help help;
    size_t words = 0;
    enum err err;

    for (uint32_t i = 0; stats->count < PARAMETERS_MAX && metric_parameter_at(metric, i, &help);
         i++) {
        if (strcmp(help.name, "format") == 0)
            continue;
        flag_name(help.name, stats->names[stats->count]);
        stats->is_repeatable[stats->count] = help.is_repeatable;
        flags[FIXED_FLAGS + stats->count] =
            (struct flag){.name = stats->names[stats->count], .texts = &stats->texts[stats->count]};
        stats->count++;
    }
    err = flags_parse(argc, argv, flags, FIXED_FLAGS + stats->count, &words, diag);
    if (err == ERR_OK && words != 0) {
        diag_set(diag, "one metric at a time, not \"%s\" too", argv[1]);
        err = ERR_INVALID;
    }
    for (uint32_t i = 0; err == ERR_OK && i < stats->count; i++) {
        if (stats->texts[i].count > 1 && !stats->is_repeatable[i]) {
            diag_set(diag, "--%s is given twice", stats->names[i]);
            err = ERR_INVALID;
        }
    }
    if (err == ERR_OK && stats->format == NULL)
        stats->format = "table";
    if (err == ERR_OK && strcmp(stats->format, "table") != 0 &&
        strcmp(stats->format, "json") != 0 && strcmp(stats->format, "csv") != 0 &&
        strcmp(stats->format, "ndjson") != 0) {
        diag_set(diag, "--format: must be table, json, csv or ndjson, not \"%s\"", stats->format);
        err = ERR_INVALID;
    }
    return err;
}

static void
write_path(const struct metric *metric, const struct stats_flags *stats, struct buf *path)
{
    bool is_table = strcmp(stats->format, "table") == 0;
    bool is_measured = false;

    buf_printf(path, "/v1/stats/%s?format=%s", metric_name(metric),
               is_table ? "json" : stats->format);
    for (uint32_t i = 0; i < stats->count; i++) {
        char name[NAME_BYTES];

        memcpy(name, stats->names[i], sizeof(name));
        for (char *c = name; *c != '\0'; c++)
            *c = *c == '-' ? '_' : *c;
        for (size_t k = 0; k < stats->texts[i].count; k++) {
            buf_add_char(path, '&');
            client_add_pair(path, slice_of_text(name), slice_of_text(stats->texts[i].texts[k]));
            is_measured = is_measured || strcmp(name, "measure") == 0;
        }
    }
    /* For people retention is a share; for programs it is what the API says it is. */
    if (is_table && !is_measured && strcmp(metric_name(metric), "retention") == 0)
        buf_add_text(path, "&measure=percent");
    buf_add_char(path, '\0');
}

/* csv and ndjson have no place for it: on stderr, so that stdout stays the server's bytes. */
static void
warn_of_lag(const char *watermark)
{
    struct diag diag = DIAG_INIT;
    struct buf line;

    buf_init(&line, 256);
    if (watermark[0] != '\0' && stats_lag_write(slice_of_text(watermark), &line, &diag) != ERR_OK)
        fprintf(stderr,
                "potik stats: X-Potik-Watermark of the reply cannot be read (%s): perhaps "
                "not all is counted\n",
                diag.message);
    fprintf(stderr, "%.*s", SLICE_ARGS(buf_slice(&line)));
    buf_fini(&line);
}

static int
show(struct client *client, const struct stats_flags *stats, const char *path)
{
    const struct stats_look look = {.has_until = false};
    struct client_reply reply;
    struct diag diag = DIAG_INIT;
    struct buf out;
    enum err err;
    int status = COMMAND_FAILED;

    client_reply_init(&reply);
    buf_init(&out, TABLE_BYTES_MAX);
    err = client_get(client, path, &reply, &diag);
    if (err == ERR_OK && reply.status != 200) {
        client_explain(reply.status, buf_slice(&reply.body), &diag);
        status = reply.status == 400 ? COMMAND_USAGE : COMMAND_FAILED;
        err = ERR_INVALID_PARAMETER;
    }
    if (err == ERR_OK && strcmp(stats->format, "table") == 0)
        err = stats_table_write(buf_slice(&reply.body), &look, &out, &diag);
    else if (err == ERR_OK)
        buf_add_slice(&out, buf_slice(&reply.body));
    if (err == ERR_OK && out.len != 0 && out.ptr[out.len - 1] != '\n')
        buf_add_char(&out, '\n');
    if (err == ERR_OK && fwrite(buf_slice(&out).ptr, 1, out.len, stdout) == out.len &&
        fflush(stdout) == 0)
        status = COMMAND_DONE;
    if (err == ERR_OK)
        warn_of_lag(reply.watermark); /* of csv and ndjson */
    client_reply_fini(&reply);
    buf_fini(&out);
    if (err != ERR_OK)
        fprintf(stderr, "potik stats: %s\n", diag.message);
    return status;
}

/* Which there are; `wrong`: what was asked for instead, or NULL. */
static int
tell_metrics(const char *wrong)
{
    struct diag diag = DIAG_INIT;
    struct buf names;

    buf_init(&names, 1024);
    for (uint32_t i = 0; i < metric_count(); i++)
        buf_printf(&names, "%s%s",
                   i == 0                    ? ""
                   : i + 1 == metric_count() ? " or "
                                             : ", ",
                   metric_name(metric_at(i)));
    if (wrong == NULL)
        diag_set(&diag, "name a metric first: %.*s", SLICE_ARGS(buf_slice(&names)));
    else
        diag_set(&diag, "there is no metric \"%.64s\"; there is %.*s", wrong,
                 SLICE_ARGS(buf_slice(&names)));
    buf_fini(&names);
    return flags_usage("stats", diag.message);
}

static int
run_stats(int argc, char **argv)
{
    struct stats_flags stats = {.format = NULL};
    const struct metric *metric = NULL;
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;
    struct buf path;
    enum err err;
    int status;

    if (argc >= 2 && argv[1][0] != '-')
        metric = metric_find(slice_of_text(argv[1]));
    if (metric == NULL)
        return tell_metrics(argc >= 2 && argv[1][0] != '-' ? argv[1] : NULL);
    err = parse_flags(metric, &stats, argc - 1, argv + 1, &diag);
    if (err == ERR_OK)
        err = client_open(&stats.client, CLIENT_READ_KEY, &client, &diag);
    if (err == ERR_INVALID)
        return flags_usage("stats", diag.message);
    if (err != ERR_OK)
        return flags_failed("stats", diag.message);
    buf_init(&path, PATH_BYTES_MAX);
    write_path(metric, &stats, &path);
    if (buf_failed(&path))
        status = flags_usage("stats", "the flags are too long");
    else
        status = show(client, &stats, path.ptr);
    buf_fini(&path);
    client_close(&client);
    return status;
}

static void
help_more(FILE *out)
{
    struct metric_parameter_help help;
    char name[NAME_BYTES];

    for (uint32_t m = 0; m < metric_count(); m++) {
        const struct metric *metric = metric_at(m);

        fprintf(out, "\n%s:\n", metric_name(metric));
        for (uint32_t i = 0; metric_parameter_at(metric, i, &help); i++) {
            if (strcmp(help.name, "format") == 0)
                continue;
            flag_name(help.name, name);
            fprintf(out, "  --%-18s %s%s: %s%s%s\n", name, help.help,
                    help.is_repeatable ? "; repeatable" : "", help.values,
                    help.default_value[0] != '\0' ? "; default: " : "", help.default_value);
            if (strcmp(help.name, "measure") == 0)
                fprintf(out, "  %-20s (of a table: percent)\n", "");
        }
    }
}

const struct command command_stats = {
    .name = "stats",
    .summary = "ask for a metric: active users, top events, retention",
    .help = "usage: potik stats METRIC [OPTION…]\n"
            "\n"
            "Asks a running server and prints the answer.\n"
            "\n"
            "  --format F       table (the default), json, csv or ndjson\n" CLIENT_FLAGS_HELP "\n"
            "example:\n"
            "\n"
            "  potik stats retention --start-date 2026-01-01 --unit week --windows 5\n",
    .help_more = help_more,
    .run = run_stats,
};
