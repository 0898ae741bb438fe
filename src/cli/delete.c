/*
 * delete - `potik delete`: events that are to go: a person's, those of a stretch of time, those of
 * an import.
 *
 * Layer 8, the main thread. It only asks: a row each (account/erasure.h), which the running server
 * takes up; then it shows how far that is. See admin.h for how the database is found. What would go
 * is said before, and asked on a terminal; elsewhere --yes has to be given.
 */
#include "cli/command.h"
#include "cli/delete_ids.h"
#include "cli/erasure_view.h"
#include "cli/words.h"

#include "base/mem.h"
#include "cli/client.h"
#include <stdio.h>

struct delete_flags {
    const char *project;
    const char *user;
    const char *received_from;
    const char *received_to;
    const char *occurred_from;
    const char *occurred_to;
    const char *import;
    const char *format;
    const char *delimiter;
    bool is_freeing_ids;
    bool is_dry_run;
    bool is_yes;
    bool is_not_waiting;
};

struct deletion {
    struct admin admin;
    struct delete_flags flags;
    struct import_file file;
    struct account_project project;
    struct erasure erasure; /* to be asked for; of an import, of each piece */
    struct delete_ids_counts ids;
    struct erasure_jobs jobs;
};

/* --- what is to go ----------------------------------------------------------------------------*/

static enum err
check_flags(const struct deletion *deletion, struct diag *diag)
{
    const struct delete_flags *flags = &deletion->flags;
    const bool is_received = flags->received_from != NULL || flags->received_to != NULL;
    const bool is_occurred = flags->occurred_from != NULL || flags->occurred_to != NULL;
    const int kinds = (flags->user != NULL) + is_received + is_occurred + (flags->import != NULL);
    const bool has_import_flags =
        flags->format != NULL || flags->delimiter != NULL || deletion->file.text_columns.count != 0;

    if (flags->project == NULL)
        diag_set(diag, "--project: say whose events, by the project's number or name");
    else if (kinds != 1)
        diag_set(diag, "say one of --user, --received-from and --received-to, --occurred-from and "
                       "--occurred-to, --import");
    else if (is_received && (flags->received_from == NULL || flags->received_to == NULL))
        diag_set(diag, "--received-from and --received-to go together");
    else if (is_occurred && (flags->occurred_from == NULL || flags->occurred_to == NULL))
        diag_set(diag, "--occurred-from and --occurred-to go together");
    else if (has_import_flags && flags->import == NULL)
        diag_set(diag, "--format, --delimiter and --text go with --import");
    else if (flags->import != NULL && strcmp(flags->import, "-") != 0 &&
             !file_exists(flags->import))
        diag_set(diag, "--import %.200s: there is no such file", flags->import);
    else if (flags->import != NULL && !file_is_regular(flags->import))
        diag_set(diag, "--import %.200s: must be a plain file: it is read twice", flags->import);
    else if (flags->is_dry_run && flags->is_yes)
        diag_set(diag, "--dry-run erases nothing: it goes without --yes");
    else
        return ERR_OK;
    return ERR_INVALID;
}

static enum err
read_selection(struct deletion *deletion, struct diag *diag)
{
    const struct delete_flags *flags = &deletion->flags;
    struct erasure *erasure = &deletion->erasure;
    struct selection *selection = &erasure->selection;

    erasure->reason = flags->user != NULL ? ERASURE_PERSON : ERASURE_UNDO;
    erasure->frees_ids = flags->is_freeing_ids;
    erasure->is_dry_run = flags->is_dry_run;
    if (flags->user != NULL) {
        enum err err = words_person(flags->user, diag);

        if (err != ERR_OK)
            return err;
        (void)snprintf(erasure->person, sizeof(erasure->person), "%s", flags->user);
        selection->kind = SELECTION_PERSON;
        selection->person = slice_of_text(erasure->person);
        return ERR_OK;
    }
    if (flags->received_from != NULL) {
        selection->kind = SELECTION_RECEIVED;
        return words_range("received-from", flags->received_from, "received-to", flags->received_to,
                           &selection->from_us, &selection->to_us, diag);
    }
    if (flags->occurred_from != NULL) {
        selection->kind = SELECTION_OCCURRED;
        return words_range("occurred-from", flags->occurred_from, "occurred-to", flags->occurred_to,
                           &selection->from_us, &selection->to_us, diag);
    }
    selection->kind = SELECTION_IDS;
    return import_file_set_flags(&deletion->file, flags->format, flags->delimiter, diag);
}

/* How many ids the file has, so that it can be said before; a file that is broken makes no job. */
static enum err
count_ids(struct deletion *deletion, struct diag *diag)
{
    enum err err = delete_ids_read(&deletion->file, deletion->flags.import, 1, NULL, NULL,
                                   &deletion->ids, diag);

    if (err == ERR_OK && deletion->ids.ids == 0) {
        diag_set(diag, "%s: no row of it has an id: there is nothing to erase",
                 deletion->flags.import);
        err = ERR_ABSENT;
    }
    /* What is wrong with the file is no wrong usage. */
    return err == ERR_INVALID ? ERR_IO : err;
}

/* --- is it meant? -----------------------------------------------------------------------------*/

static void
say_what(const struct deletion *deletion, const char *verb)
{
    char words[ERASURE_VIEW_WORDS], number[TABLE_NUMBER_TEXT];
    struct buf clean;

    if (deletion->erasure.selection.kind == SELECTION_IDS)
        (void)snprintf(words, sizeof(words), "the %s ids of the rows of %.200s",
                       table_number(deletion->ids.ids, number), deletion->flags.import);
    else
        erasure_view_describe(&deletion->erasure, words);
    buf_init(&clean, 16 * 1024);
    table_clean(&clean, slice_of_text(words));
    fprintf(stderr, "%s the events of project %s (number %u): %.*s%s\n", verb,
            deletion->project.name, deletion->project.id, SLICE_ARGS(buf_slice(&clean)),
            deletion->erasure.frees_ids ? "; their ids may be stored again"
                                        : "; their ids stay refused (--free-ids frees them: "
                                          "with the erasure, not afterwards)");
    buf_fini(&clean);
}

static bool
is_meant(const struct deletion *deletion)
{
    if (deletion->flags.is_yes || deletion->flags.is_dry_run)
        return true;
    say_what(deletion, "this would erase for ever");
    return admin_can_ask() && admin_ask("type yes to erase them:", "yes");
}

/* --- asking for it ----------------------------------------------------------------------------*/

static enum err
add_job(struct deletion *deletion, struct diag *diag)
{
    uint64_t id = 0;
    enum err err =
        erasure_add(deletion->admin.account, &deletion->admin.actor, &deletion->erasure, &id, diag);

    return err == ERR_OK ? erasure_jobs_add(&deletion->jobs, id) : err;
}

static enum err
take_ids(void *state, const struct slice *ids, uint32_t count, struct diag *diag)
{
    struct deletion *deletion = (struct deletion *)state;

    deletion->erasure.selection.ids = ids;
    deletion->erasure.selection.id_count = count;
    return add_job(deletion, diag);
}

static enum err
add_jobs(struct deletion *deletion, struct diag *diag)
{
    struct delete_ids_counts counts;

    if (deletion->erasure.selection.kind != SELECTION_IDS)
        return add_job(deletion, diag);
    return delete_ids_read(&deletion->file, deletion->flags.import, SELECTION_IDS_MAX, take_ids,
                           deletion, &counts, diag);
}

/* "erasure 7", "erasures 7 to 9" */
static void
name_jobs(const struct erasure_jobs *jobs, char ret_words[80])
{
    const unsigned long long first = jobs->ids[0], last = jobs->ids[jobs->count - 1];

    if (jobs->count == 1)
        (void)snprintf(ret_words, 80, "erasure %llu", first);
    else
        (void)snprintf(ret_words, 80, "erasures %llu to %llu", first, last);
}

/* --- how it ends ------------------------------------------------------------------------------*/

static void
say_end(const struct deletion *deletion, enum erasure_end end, uint64_t events)
{
    FILE *out = deletion->admin.is_json ? stderr : stdout;
    char number[TABLE_NUMBER_TEXT], jobs[80];

    name_jobs(&deletion->jobs, jobs);
    if (end == ERASURE_END_DONE)
        fprintf(out, "%s event%s of project %s %s (%s)\n", table_number(events, number),
                events == 1 ? "" : "s", deletion->project.name,
                deletion->erasure.is_dry_run ? "would be erased" : "erased", jobs);
    else
        fprintf(out, "%s: %s; `potik erasures show %llu` tells how far it is\n", jobs,
                end == ERASURE_END_INTERRUPTED
                    ? "interrupted here, but it goes on"
                    : "no server has begun with it yet (others are before it, or none runs)",
                (unsigned long long)deletion->jobs.ids[0]);
}

/* Waits, unless that makes no sense. */
static enum err
await_jobs(struct deletion *deletion, int *ret_status, struct diag *diag)
{
    FILE *out = deletion->admin.is_json ? stderr : stdout;
    enum erasure_end end = ERASURE_END_DONE;
    uint64_t events = 0;
    char jobs[80];
    enum err err;

    name_jobs(&deletion->jobs, jobs);
    if (!admin_may_have_server(&deletion->admin)) {
        fprintf(out, "%s: asked for; no server runs on %s, the next start takes it up\n", jobs,
                deletion->admin.folder);
        return ERR_OK;
    }
    if (deletion->flags.is_not_waiting) {
        fprintf(out, "%s: asked for; `potik erasures show %llu` tells how far it is\n", jobs,
                (unsigned long long)deletion->jobs.ids[0]);
        return ERR_OK;
    }
    err = erasure_jobs_wait(&deletion->admin, deletion->flags.is_dry_run ? "count" : "delete",
                            &deletion->jobs, &end, &events, diag);
    if (err == ERR_OK)
        say_end(deletion, end, events);
    *ret_status = end == ERASURE_END_INTERRUPTED ? COMMAND_FAILED : COMMAND_DONE;
    return err;
}

static int
run_deletion(struct deletion *deletion)
{
    struct diag diag = DIAG_INIT;
    int status = COMMAND_DONE;
    enum err err = admin_open(&deletion->admin, &diag);

    if (err == ERR_OK)
        err = admin_find_project(&deletion->admin, deletion->flags.project, &deletion->project,
                                 &diag);
    deletion->erasure.selection.project_id = deletion->project.id;
    if (err == ERR_OK && deletion->flags.import != NULL)
        err = count_ids(deletion, &diag);
    if (err != ERR_OK)
        return admin_fail(&deletion->admin, err, &diag);
    if (!is_meant(deletion))
        return flags_usage("delete", "nothing was erased; --yes says that it is meant, --dry-run "
                                     "counts without erasing");
    err = add_jobs(deletion, &diag);
    if (err != ERR_OK && deletion->jobs.count != 0)
        fprintf(stderr, "potik delete: not all was asked for: only erasures %llu to %llu\n",
                (unsigned long long)deletion->jobs.ids[0],
                (unsigned long long)deletion->jobs.ids[deletion->jobs.count - 1]);
    if (err == ERR_OK)
        err = await_jobs(deletion, &status, &diag);
    if (err != ERR_OK)
        return admin_fail(&deletion->admin, err == ERR_INVALID ? ERR_IO : err, &diag);
    if (deletion->admin.is_json && status == COMMAND_DONE)
        return erasure_jobs_print_json(&deletion->admin, &deletion->jobs);
    return status;
}

static enum err
read_flags(struct deletion *deletion, int argc, char **argv, struct diag *diag)
{
    struct delete_flags *f = &deletion->flags;
    const struct flag flags[] = {
        ADMIN_FLAGS(deletion->admin),
        {.name = "project", .text = &f->project},
        {.name = "user", .text = &f->user},
        {.name = "received-from", .text = &f->received_from},
        {.name = "received-to", .text = &f->received_to},
        {.name = "occurred-from", .text = &f->occurred_from},
        {.name = "occurred-to", .text = &f->occurred_to},
        {.name = "import", .text = &f->import},
        {.name = "format", .text = &f->format},
        {.name = "delimiter", .text = &f->delimiter},
        {.name = "text", .texts = &deletion->file.text_columns},
        {.name = "free-ids", .is_set = &f->is_freeing_ids},
        {.name = "dry-run", .is_set = &f->is_dry_run},
        {.name = "yes", .is_set = &f->is_yes},
        {.name = "no-wait", .is_set = &f->is_not_waiting},
    };
    size_t words = 0;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, diag);

    if (err == ERR_OK && words != 0) {
        diag_set(diag, "takes no word \"%.64s\", only flags", argv[1]);
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = check_flags(deletion, diag);
    return err == ERR_OK ? read_selection(deletion, diag) : err;
}

static int
run_delete(int argc, char **argv)
{
    struct deletion deletion = {.admin = {.command = "delete"}};
    struct diag diag = DIAG_INIT;
    enum err err = read_flags(&deletion, argc, argv, &diag);
    int status = err == ERR_OK ? run_deletion(&deletion) : admin_fail(&deletion.admin, err, &diag);

    erasure_jobs_free(&deletion.jobs);
    admin_close(&deletion.admin);
    return status;
}

const struct command command_delete = {
    .name = "delete",
    .summary = "erase events: of a person, of a time, of an import",
    .help =
        "usage: potik delete --project PROJECT WHICH [--free-ids] [--dry-run | --yes] [--no-wait]\n"
        "                    [OPTION…]\n"
        "\n"
        "  WHICH is one of\n"
        "  --user ID                           events whose user_id or anonymous_id it is\n"
        "  --received-from T --received-to T   received from T on, before T\n"
        "  --occurred-from T --occurred-to T   that occurred from T on, before T\n"
        "  --import FILE                       whose ids are those of the file's rows, as `potik "
        "import`\n"
        "                                      makes or finds them; also of rows it could not "
        "store\n"
        "                                      (--format, --delimiter, --text as for the import)\n"
        "  T is RFC 3339, or a date: its first instant in UTC.\n"
        "\n"
        "Erases events for ever, from the store and from what is derived of it. What is stored "
        "when the\n"
        "server begins with it is covered, no more. A running server takes it up within seconds; "
        "if\n"
        "none runs, the next one does. Exit 2, and nothing done, unless it was said to be meant.\n"
        "\n"
        "  --project P      a project's number or name\n"
        "  --free-ids       the ids may be stored again; else a sender that tries again is told\n"
        "                   `duplicate`, and what is gone stays gone\n"
        "  --dry-run        count only\n"
        "  --yes            do not ask (a terminal is asked; elsewhere nothing is erased without "
        "it)\n"
        "  --no-wait        do not wait for the end\n" ADMIN_FLAGS_HELP "\n"
        "examples:\n"
        "\n"
        "  potik delete --project shop --user ann@example.com --yes\n"
        "  potik delete --project shop --import purchases.csv.gz --dry-run\n",
    .run = run_delete,
};
