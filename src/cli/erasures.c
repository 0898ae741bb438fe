/*
 * erasures - `potik erasures`: which events were asked to go, and how far that is. See admin.h.
 */
#include "base/mem.h"
#include "cli/command.h"
#include "cli/erasure_view.h"
#include "cli/words.h"
#include <stdio.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 10000

struct listing {
    struct admin_table table;
    struct buf buf;
    bool is_json;
};

static void
add_row(struct admin_table *table, const struct erasure *erasure)
{
    char words[ERASURE_VIEW_WORDS];

    erasure_view_describe(erasure, words);
    admin_table_row(table);
    admin_table_number(table, 0, erasure->id);
    admin_table_number(table, 1, erasure->selection.project_id);
    admin_table_text(table, 2, erasure_state_name(erasure->state));
    admin_table_number(table, 3, erasure->events);
    admin_table_text(table, 4, erasure->is_dry_run ? "counts only" : "");
    admin_table_text(table, 5, erasure_reason_name(erasure->reason));
    admin_table_text(table, 6, words);
    admin_table_time(table, 7, erasure->requested_at_us);
    admin_table_time(table, 8, erasure->finished_at_us);
}

static void
take(void *state, const struct erasure *erasure)
{
    struct listing *listing = (struct listing *)state;

    if (listing->is_json)
        erasure_view_add_json(&listing->buf, erasure);
    else
        add_row(&listing->table, erasure);
}

static int
list_erasures(struct admin *admin, const char *project_word, uint32_t limit)
{
    static const char *const titles[] = {">id",     ">project",        "state",
                                         ">events", "dry run",         "reason",
                                         "what",    "requested (UTC)", "finished (UTC)"};
    struct listing listing = {.is_json = admin->is_json};
    struct diag diag = DIAG_INIT;
    uint32_t project_id = 0;
    enum err err = admin_find_project_id(admin, project_word, &project_id, &diag);

    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    buf_init(&listing.buf, 1u << 30);
    admin_table_init(&listing.table, titles, COUNT_OF(titles));
    buf_add_text(&listing.buf, "{\"erasures\":[");
    err = erasure_list(admin->account, project_id, limit, take, &listing, &diag);
    buf_add_text(&listing.buf, "]}");
    return admin_print_listing(admin, err, &listing.buf, &listing.table, &diag);
}

static void
print_line(const char *name, const char *value)
{
    struct buf clean;

    buf_init(&clean, 16 * 1024);
    table_clean(&clean, slice_of_text(value));
    printf("%-10s  %.*s\n", name, SLICE_ARGS(buf_slice(&clean)));
    buf_fini(&clean);
}

static void
print_facts(const struct erasure *erasure)
{
    char words[ERASURE_VIEW_WORDS], number[TABLE_NUMBER_TEXT], total[TABLE_NUMBER_TEXT];
    char time[ADMIN_TIME_TEXT];

    (void)snprintf(words, sizeof(words), "%llu", (unsigned long long)erasure->id);
    print_line("id", words);
    (void)snprintf(words, sizeof(words), "%u", erasure->selection.project_id);
    print_line("project", words);
    erasure_view_describe(erasure, words);
    print_line("what", words);
    print_line("reason", erasure_reason_name(erasure->reason));
    (void)snprintf(words, sizeof(words), "%s%s%s", erasure_state_name(erasure->state),
                   erasure->is_dry_run ? ", a dry run" : "",
                   erasure->frees_ids ? ", ids are freed" : "");
    print_line("state", words);
    print_line("events", table_number(erasure->events, number));
    if (erasure->state != ERASURE_DONE && erasure->total != 0) {
        (void)snprintf(words, sizeof(words), "%s of %s pieces", table_number(erasure->done, number),
                       table_number(erasure->total, total));
        print_line("progress", words);
    }
    if (erasure->error[0] != '\0')
        print_line("last error", erasure->error);
    print_line("requested", admin_time(erasure->requested_at_us, time));
    if (erasure->finished_at_us != 0)
        print_line("finished", admin_time(erasure->finished_at_us, time));
}

static int
show_erasure(struct admin *admin, const char *word)
{
    struct diag diag = DIAG_INIT;
    struct erasure erasure;
    uint64_t id = 0;
    enum err err;

    if (!words_is_id(slice_of_text(word), INT64_MAX, &id))
        return flags_usage("erasures", "`erasures show` wants the number of an erasure");
    if (admin->is_json)
        return erasure_view_print_json(admin, id);
    err = erasure_get(admin->account, id, &erasure, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    print_facts(&erasure);
    return COMMAND_DONE;
}

static int
run_erasures(int argc, char **argv)
{
    struct admin admin = {.command = "erasures"};
    const char *project = NULL, *limit_text = NULL;
    const struct flag flags[] = {
        ADMIN_FLAGS(admin),
        {.name = "project", .text = &project},
        {.name = "limit", .text = &limit_text},
    };
    struct diag diag = DIAG_INIT;
    uint64_t limit = LIMIT_DEFAULT;
    bool is_list = false, is_show = false;
    size_t words = 0;
    int status;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    if (err == ERR_OK)
        err = flags_number("limit", limit_text, 1, LIMIT_MAX, &limit, &diag);
    if (err == ERR_OK) {
        is_list = words == 1 && strcmp(argv[1], "list") == 0;
        is_show = words == 2 && strcmp(argv[1], "show") == 0;
    }
    if (err == ERR_OK && !is_list && !is_show) {
        diag_set(&diag, "say list, or show with the number of an erasure");
        err = ERR_INVALID;
    }
    if (err == ERR_OK && is_show && (project != NULL || limit_text != NULL)) {
        diag_set(&diag, "--project and --limit go with `erasures list`");
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = admin_open(&admin, &diag);
    if (err != ERR_OK)
        status = admin_fail(&admin, err, &diag);
    else
        status = is_list ? list_erasures(&admin, project, (uint32_t)limit)
                         : show_erasure(&admin, argv[2]);
    admin_close(&admin);
    return status;
}

const struct command command_erasures = {
    .name = "erasures",
    .summary = "which events were asked to go, and how far that is",
    .help =
        "usage: potik erasures list [--project PROJECT] [--limit N] [OPTION…]\n"
        "       potik erasures show ID [OPTION…]\n"
        "\n"
        "Erasures are asked for by `potik delete` and `project delete`, by the server's users, and "
        "by\n"
        "a project's retention; a running server does them one after the other. States: waiting,\n"
        "in_store, in_warehouse, done. When one is done, only a keyed hash of the person is left "
        "in\n"
        "it.\n"
        "\n"
        "  --project P      of this project alone, by its number or name\n"
        "  --limit N        the newest N, 1 to 10000; default: 100\n" ADMIN_FLAGS_HELP "\n"
        "example:\n"
        "\n"
        "  potik erasures show 7\n",
    .run = run_erasures,
};
