/*
 * plan - `potik plan show|set|suggest|mode`: a project's tracking plan, over HTTP.
 *
 * Layer 8, the main thread. stdout has the document alone, so that `show`, an editor and `set`
 * follow one another; words for people go to stderr. `mode` reads the plan, changes one word and
 * sends it with If-Match, so that nobody else's change is lost.
 */
#include "base/file.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/plan_edit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH "/v1/tracking-plan"
/* One more than a plan may have: the server says what is wrong with it. */
#define DOCUMENT_BYTES_MAX (PLAN_BYTES_MAX + 1)
#define ANY_REVISION UINT64_MAX

struct plan_flags {
    struct client_flags client;
    const char *revision;
    bool wants_json;
};

static int
complain(enum err err, long status, const struct diag *diag)
{
    fprintf(stderr, "potik plan: %s\n", diag->message);
    return err == ERR_INVALID_PARAMETER && status == 400 ? COMMAND_USAGE : COMMAND_FAILED;
}

/* ERR_INVALID_PARAMETER: another status than 200, in words. */
static enum err
check_status(const struct client_reply *reply, struct diag *diag)
{
    if (reply->status == 200)
        return ERR_OK;
    client_explain(reply->status, buf_slice(&reply->body), diag);
    return ERR_INVALID_PARAMETER;
}

static enum err
get(struct client *client, const char *path, struct client_reply *reply, struct diag *diag)
{
    enum err err = client_get(client, path, reply, diag);

    return err == ERR_OK ? check_status(reply, diag) : err;
}

static int
print(struct slice text)
{
    bool has_end = text.len != 0 && text.ptr[text.len - 1] == '\n';

    if (fwrite(text.ptr, 1, text.len, stdout) != text.len ||
        (!has_end && fputc('\n', stdout) == EOF) || fflush(stdout) != 0)
        return COMMAND_FAILED;
    return COMMAND_DONE;
}

/* --- show, suggest ----------------------------------------------------------------------------*/

static int
show(struct client *client, const struct plan_flags *flags, struct client_reply *reply)
{
    struct diag diag = DIAG_INIT;
    struct slice document;
    uint64_t revision = 0;
    enum err err = get(client, PATH, reply, &diag);

    if (err == ERR_OK)
        err = plan_edit_find(buf_slice(&reply->body), &revision, &document, &diag);
    if (err != ERR_OK)
        return complain(err, reply->status, &diag);
    if (flags->wants_json)
        return print(buf_slice(&reply->body));
    if (revision == 0)
        fprintf(stderr, "the project has no plan yet; potik plan suggest makes one\n");
    else
        fprintf(stderr, "revision %" PRIu64 "\n", revision);
    return print(document);
}

static int
suggest(struct client *client, struct client_reply *reply)
{
    struct diag diag = DIAG_INIT;
    enum err err = get(client, PATH "?suggest=true", reply, &diag);

    return err == ERR_OK ? print(buf_slice(&reply->body)) : complain(err, reply->status, &diag);
}

/* --- set, mode --------------------------------------------------------------------------------*/

static int
put(struct client *client, struct slice document, uint64_t expected, struct client_reply *reply)
{
    struct diag diag = DIAG_INIT;
    char if_match[32] = "";
    enum err err;

    if (expected != ANY_REVISION)
        (void)snprintf(if_match, sizeof(if_match), "\"%" PRIu64 "\"", expected);
    err = client_put(client, PATH, document, expected != ANY_REVISION ? if_match : NULL, reply,
                     &diag);
    if (err == ERR_OK)
        err = check_status(reply, &diag);
    if (err != ERR_OK) /* what is wrong with the document is no wrong usage */
        return flags_failed("plan", diag.message);
    fprintf(stderr, "set; in force now\n");
    return print(buf_slice(&reply->body));
}

static enum err
read_document(const char *name, struct buf *buf, struct diag *diag)
{
    char piece[16384];
    size_t len;

    if (strcmp(name, "-") != 0)
        return file_read_whole(name, DOCUMENT_BYTES_MAX, buf, diag);
    while ((len = fread(piece, 1, sizeof(piece), stdin)) != 0)
        buf_add(buf, piece, len);
    if (!buf_failed(buf) && ferror(stdin) == 0)
        return ERR_OK;
    diag_set(diag, "standard input: cannot be read, or has over %d bytes", PLAN_BYTES_MAX);
    return ERR_FULL;
}

static int
set(struct client *client, const struct plan_flags *flags, const char *name,
    struct client_reply *reply)
{
    CLEANUP(buf_fini) struct buf document;
    struct diag diag = DIAG_INIT;
    uint64_t expected = ANY_REVISION;
    enum err err = flags_number("revision", flags->revision, 0, INT64_MAX, &expected, &diag);

    buf_init(&document, DOCUMENT_BYTES_MAX);
    if (err != ERR_OK)
        return flags_usage("plan", diag.message);
    err = read_document(name, &document, &diag);
    if (err != ERR_OK)
        return flags_failed("plan", diag.message);
    return put(client, buf_slice(&document), expected, reply);
}

static int
change_mode(struct client *client, const char *type, const char *mode_name,
            struct client_reply *reply)
{
    CLEANUP(buf_fini) struct buf changed;
    struct diag diag = DIAG_INIT;
    struct slice document;
    enum plan_mode mode;
    uint64_t revision = 0;
    enum err err;

    buf_init(&changed, DOCUMENT_BYTES_MAX);
    if (!plan_mode_parse(slice_of_text(mode_name), &mode))
        return flags_usage("plan", "a mode is observe, warn or enforce");
    err = get(client, PATH, reply, &diag);
    if (err == ERR_OK)
        err = plan_edit_find(buf_slice(&reply->body), &revision, &document, &diag);
    if (err == ERR_OK)
        err = plan_edit_mode(document, slice_of_text(type), mode, &changed, &diag);
    if (err != ERR_OK)
        return complain(err, reply->status, &diag);
    return put(client, buf_slice(&changed), revision, reply);
}

/* --- the command ------------------------------------------------------------------------------*/

static const struct {
    const char *name;
    size_t words; /* behind it */
} verbs[] = {{"show", 0}, {"set", 1}, {"suggest", 0}, {"mode", 2}};

static int
dispatch(struct client *client, const struct plan_flags *flags, char **words)
{
    struct client_reply reply;
    int status;

    client_reply_init(&reply);
    if (strcmp(words[0], "show") == 0)
        status = show(client, flags, &reply);
    else if (strcmp(words[0], "suggest") == 0)
        status = suggest(client, &reply);
    else if (strcmp(words[0], "set") == 0)
        status = set(client, flags, words[1], &reply);
    else
        status = change_mode(client, words[1], words[2], &reply);
    client_reply_fini(&reply);
    return status;
}

static bool
is_verb(char **words, size_t count)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (count != 0 && strcmp(words[0], verbs[i].name) == 0)
            return count == 1 + verbs[i].words;
    }
    return false;
}

static int
run_plan(int argc, char **argv)
{
    struct plan_flags plan = {.revision = NULL};
    const struct flag flags[] = {
        CLIENT_FLAGS(plan.client),
        {.name = "revision", .text = &plan.revision},
        {.name = "json", .is_set = &plan.wants_json},
    };
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;
    size_t words = 0;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);
    int status;

    if (err == ERR_OK && !is_verb(argv + 1, words)) {
        diag_set(&diag, "say one of: show, set FILE, suggest, mode TYPE observe|warn|enforce");
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = client_open(&plan.client, CLIENT_READ_KEY, &client, &diag);
    if (err == ERR_INVALID)
        return flags_usage("plan", diag.message);
    if (err != ERR_OK)
        return flags_failed("plan", diag.message);
    status = dispatch(client, &plan, argv + 1);
    client_close(&client);
    return status;
}

const struct command command_plan = {
    .name = "plan",
    .summary = "the tracking plan: what events may be",
    .help =
        "usage: potik plan show | set FILE | suggest | mode TYPE observe|warn|enforce\n"
        "                  [OPTION…]\n"
        "\n"
        "Shows and sets the tracking plan of a project, at a running server.\n"
        "\n"
        "  show             the plan's document; with --json the whole reply: what was learnt,\n"
        "                   and violations\n"
        "  set FILE         sets the document in FILE (- is standard input)\n"
        "  suggest          a document made of what was seen so far, in mode observe\n"
        "  mode TYPE MODE   changes the mode of one event type of the plan\n"
        "\n"
        "  --revision N     set: only if the plan has that revision still\n"
        "  --json           see show\n" CLIENT_FLAGS_HELP "\n"
        "Setting needs a login that owns the project; a read key is enough to see:\n"
        "\n"
        "  export POTIK_TOKEN=$(potik login EMAIL)     good for 15 minutes\n"
        "\n"
        "example:\n"
        "\n"
        "  potik plan suggest > plan.json\n"
        "  potik plan set plan.json\n"
        "  potik plan mode purchase enforce\n",
    .run = run_plan,
};
