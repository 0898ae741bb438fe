/*
 * project - `potik project`: show, make, change and delete projects, and say what they may store.
 * See admin.h.
 */
#include "base/mem.h"
#include "cli/admin.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/erasure_view.h"
#include "cli/project_view.h"
#include "cli/words.h"
#include "codec/zone.h"
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#define RETENTION_DAYS_MAX 36500
#define SERVER_DEFAULT "http://127.0.0.1:8700"

struct project_flags {
    const char *name;
    const char *time_zone;
    const char *week_start;
    const char *retention_days;
    bool is_without_keys;
    bool is_yes;
};

/* --- what may be set --------------------------------------------------------------------------*/

static enum err
set_zone(struct account_project *project, const char *name, struct diag *diag)
{
    CLEANUP(zones_free) struct zones *zones = NULL;
    const struct zone *zone;
    struct diag why = DIAG_INIT;
    enum err err = zones_open(NULL, &zones, &why);

    if (err == ERR_OK)
        err = zones_find(zones, slice_of_text(name), &zone, &why);
    if (err != ERR_OK || strlen(name) > ACCOUNT_ZONE_BYTES) {
        diag_set_field(diag, "time_zone",
                       "--time-zone: \"%.64s\" is not known; it may be an IANA name, as "
                       "Europe/Kyiv%s",
                       name,
                       zones != NULL && zones_has_only_utc(zones)
                           ? " (this machine has no tzdata: only UTC)"
                           : "");
        return err == ERR_NOMEM ? ERR_NOMEM : ERR_INVALID;
    }
    memcpy(project->time_zone, name, strlen(name) + 1);
    return ERR_OK;
}

static enum err
set_name(struct account_project *project, const char *name, struct diag *diag)
{
    const size_t len = strlen(name);

    /* What else a name may not be is told by account.h's calls. */
    if (len > ACCOUNT_NAME_BYTES) {
        diag_set_field(diag, "name", "name: must be 1 to %d bytes, this has %zu",
                       ACCOUNT_NAME_BYTES, len);
        return ERR_INVALID;
    }
    memcpy(project->name, name, len + 1);
    return ERR_OK;
}

/* Those that were given. */
static enum err
set_fields(struct account_project *project, const struct project_flags *flags, struct diag *diag)
{
    uint64_t days = project->retention_days;
    enum err err = ERR_OK;

    if (flags->name != NULL)
        err = set_name(project, flags->name, diag);
    if (err == ERR_OK && flags->time_zone != NULL)
        err = set_zone(project, flags->time_zone, diag);
    if (err == ERR_OK && flags->week_start != NULL)
        err = words_week_start(flags->week_start, &project->week_start, diag);
    if (err == ERR_OK)
        err = flags_number("retention-days", flags->retention_days, 0, RETENTION_DAYS_MAX, &days,
                           diag);
    project->retention_days = (uint32_t)days;
    return err;
}

/* --- new --------------------------------------------------------------------------------------*/

struct new_keys {
    char texts[2][ACCOUNT_KEY_TEXT_BYTES + 1];
    struct account_key keys[2];
    size_t count; /* a write key, then a read key */
};

static enum err
make_keys(struct admin *admin, uint32_t project_id, struct new_keys *keys, struct diag *diag)
{
    static const enum account_key_kind kinds[] = {ACCOUNT_KEY_WRITE, ACCOUNT_KEY_READ};
    enum err err = ERR_OK;

    for (size_t i = 0; i < COUNT_OF(kinds) && err == ERR_OK; i++) {
        err = account_key_new(admin->account, &admin->actor, project_id, kinds[i],
                              "made with the project", 0, keys->texts[i], &keys->keys[i], diag);
        keys->count += err == ERR_OK;
    }
    return err;
}

static void
tell_how_to_send(const struct admin *admin, const char *write_key)
{
    char server[CLIENT_URL_BYTES];
    bool is_unix;

    if (!client_server_of_folder(admin->folder, server))
        (void)snprintf(server, sizeof(server), "%s", SERVER_DEFAULT);
    is_unix = strncmp(server, "unix:", 5) == 0;
    fprintf(stderr,
            "\nTry it (running servers know the keys within 1 s):\n\n"
            "  curl %s%s%s/v1/events -H 'Authorization: Bearer %s' \\\n"
            "    -d '{\"event_id\":\"1\",\"event_type\":\"hello\",\"user_id\":\"me\"}'\n",
            is_unix ? "--unix-socket " : "", is_unix ? server + 5 : server,
            is_unix ? " http://localhost" : "", write_key);
}

static int
print_new_json(const struct admin *admin, const struct account_project *project,
               const struct new_keys *keys)
{
    struct buf buf;

    buf_init(&buf, 64 * 1024);
    buf_add_text(&buf, "{\"project\":{");
    project_view_add_json(&buf, project);
    buf_add_char(&buf, '}');
    admin_json_key(&buf, "keys");
    buf_add_char(&buf, '[');
    for (size_t i = 0; i < keys->count; i++) {
        admin_json_item(&buf);
        buf_add_char(&buf, '{');
        admin_json_number(&buf, "id", keys->keys[i].id);
        admin_json_text(&buf, "kind", account_kind_name(keys->keys[i].kind));
        admin_json_text(&buf, "text", keys->texts[i]);
        buf_add_char(&buf, '}');
    }
    buf_add_text(&buf, "]}");
    return admin_print_json(admin, &buf);
}

static int
new_project(struct admin *admin, const struct project_flags *flags, const char *name)
{
    struct account_project project = {.time_zone = "UTC"};
    struct diag diag = DIAG_INIT;
    struct new_keys keys = {.count = 0};
    int status = COMMAND_DONE;
    enum err err = set_name(&project, name, &diag);

    if (err == ERR_OK)
        err = set_fields(&project, flags, &diag);
    if (err == ERR_OK)
        err = account_project_add(admin->account, &admin->actor, &project, &project, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    fprintf(stderr, "made project %s, number %u\n", project.name, project.id);
    if (!flags->is_without_keys)
        err = make_keys(admin, project.id, &keys, &diag);
    /* What was made is shown, even if the rest was not. */
    if (admin->is_json)
        status = print_new_json(admin, &project, &keys);
    for (size_t i = 0; i < keys.count && !admin->is_json; i++)
        printf("%s\n", keys.texts[i]);
    if (keys.count != 0) {
        fprintf(stderr, "its write and its read key: they are not shown again\n");
        tell_how_to_send(admin, keys.texts[0]);
    }
    sodium_memzero(&keys, sizeof(keys));
    return err == ERR_OK ? status : admin_fail(admin, err, &diag);
}

/* --- set --------------------------------------------------------------------------------------*/

static int
change_project(struct admin *admin, const struct project_flags *flags, const char *word)
{
    struct account_project project;
    struct diag diag = DIAG_INIT;
    enum err err = admin_find_project(admin, word, &project, &diag);

    if (err == ERR_OK)
        err = set_fields(&project, flags, &diag);
    if (err == ERR_OK)
        err = account_project_change(admin->account, &admin->actor, &project, false, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    fprintf(stderr, "changed project %s, number %u; running servers know it within 1 s\n",
            project.name, project.id);
    return admin->is_json ? project_view_print_json(admin, &project) : COMMAND_DONE;
}

/* --- quota ------------------------------------------------------------------------------------*/

static enum err
read_quota(const char *word, uint64_t *ret_events, struct diag *diag)
{
    struct diag why = DIAG_INIT;

    *ret_events = 0;
    if (strcmp(word, "none") == 0 ||
        flags_number("quota", word, 1, ACCOUNT_EVENTS_PER_MONTH_MAX, ret_events, &why) == ERR_OK)
        return ERR_OK;
    diag_set_field(diag, "events_per_month",
                   "a quota may be 1 to %" PRIu64 ", or none; not \"%.40s\"",
                   ACCOUNT_EVENTS_PER_MONTH_MAX, word);
    return ERR_INVALID;
}

static int
set_quota(struct admin *admin, const char *word, const char *quota)
{
    struct account_project project;
    struct diag diag = DIAG_INIT;
    char events[TABLE_NUMBER_TEXT];
    uint64_t most = 0;
    enum err err = read_quota(quota, &most, &diag);

    if (err == ERR_OK)
        err = admin_find_project(admin, word, &project, &diag);
    if (err == ERR_OK) {
        project.events_per_month = most;
        err = account_project_change(admin->account, &admin->actor, &project, true, &diag);
    }
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    if (most != 0)
        fprintf(stderr,
                "project %s, number %u, may store %s events a month (UTC); running servers know it "
                "within 1 s\n",
                project.name, project.id, table_number(most, events));
    else
        fprintf(
            stderr,
            "project %s, number %u, has no quota of its own; quota-events-month holds, if it is "
            "set\n",
            project.name, project.id);
    return admin->is_json ? project_view_print_json(admin, &project) : COMMAND_DONE;
}

/* --- delete -----------------------------------------------------------------------------------*/

/* What would go, and whether that is meant. false: it is not. */
static bool
is_meant(const struct account_project *project, const struct account_list *list,
         const struct project_flags *flags)
{
    char keys[TABLE_NUMBER_TEXT];
    const uint64_t count = project_view_count_keys(list, project->id);

    if (flags->is_yes)
        return true;
    fprintf(stderr,
            "project %s (number %u) would go for ever: all its events, its %s key%s in force, the "
            "roles in it; its name becomes free, its number is never used again\n",
            project->name, project->id, table_number(count, keys), count == 1 ? "" : "s");
    if (admin_can_ask())
        return admin_ask("type the project's name to delete it:", project->name);
    return false;
}

static int
delete_project(struct admin *admin, const struct project_flags *flags, const char *word)
{
    struct account_list list = {NULL, 0, NULL, 0};
    struct account_project project;
    struct diag diag = DIAG_INIT;
    uint64_t erasure_id = 0;
    bool is_sure = false;
    enum err err = admin_find_project(admin, word, &project, &diag);

    if (err == ERR_OK) /* before anybody is asked to type its name */
        err = erasure_check_project(project.id, &diag);
    if (err == ERR_OK)
        err = account_list(admin->account, &list, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    is_sure = is_meant(&project, &list, flags);
    account_list_free(&list);
    if (!is_sure)
        return flags_usage("project", "nothing was deleted; --yes says that it is meant");
    err = erasure_delete_project(admin->account, &admin->actor, project.id, &erasure_id, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    fprintf(stderr,
            "deleted project %s, number %u; %s (`potik erasures show %llu` tells how far it is)\n",
            project.name, project.id,
            admin_may_have_server(admin) ? "a running server erases its events"
                                         : "its events are erased once a server is started",
            (unsigned long long)erasure_id);
    return admin->is_json ? erasure_view_print_json(admin, erasure_id) : COMMAND_DONE;
}

/* --- the command ------------------------------------------------------------------------------*/

enum verb { VERB_NONE, VERB_LIST, VERB_SHOW, VERB_NEW, VERB_SET, VERB_QUOTA, VERB_DELETE };

static enum verb
read_verb(const char *word, size_t words)
{
    if (strcmp(word, "list") == 0 && words == 1)
        return VERB_LIST;
    if (strcmp(word, "quota") == 0 && words == 3)
        return VERB_QUOTA;
    if (words != 2)
        return VERB_NONE;
    return strcmp(word, "new") == 0      ? VERB_NEW
           : strcmp(word, "show") == 0   ? VERB_SHOW
           : strcmp(word, "set") == 0    ? VERB_SET
           : strcmp(word, "delete") == 0 ? VERB_DELETE
                                         : VERB_NONE;
}

static enum err
check_flags(enum verb verb, const struct project_flags *flags, struct diag *diag)
{
    const bool has_field =
        flags->time_zone != NULL || flags->week_start != NULL || flags->retention_days != NULL;

    if (verb == VERB_NONE)
        diag_set(
            diag,
            "say list, show PROJECT, new NAME, set PROJECT, quota PROJECT N, or delete PROJECT");
    else if (flags->name != NULL && verb != VERB_SET)
        diag_set(diag, "--name goes with `project set`");
    else if (has_field && verb != VERB_NEW && verb != VERB_SET)
        diag_set(diag, "--time-zone, --week-start and --retention-days go with `project new` and "
                       "`set`");
    else if (flags->is_without_keys && verb != VERB_NEW)
        diag_set(diag, "--no-keys goes with `project new`");
    else if (flags->is_yes && verb != VERB_DELETE)
        diag_set(diag, "--yes goes with `project delete`");
    else if (verb == VERB_SET && !has_field && flags->name == NULL)
        diag_set(diag, "say what to set: --name, --time-zone, --week-start, --retention-days");
    else
        return ERR_OK;
    return ERR_INVALID;
}

static int
run_verb(struct admin *admin, const struct project_flags *flags, enum verb verb,
         char *const words[])
{
    switch (verb) {
    case VERB_LIST:
        return project_view_list(admin);
    case VERB_SHOW:
        return project_view_show(admin, words[0]);
    case VERB_NEW:
        return new_project(admin, flags, words[0]);
    case VERB_SET:
        return change_project(admin, flags, words[0]);
    case VERB_QUOTA:
        return set_quota(admin, words[0], words[1]);
    case VERB_DELETE:
        return delete_project(admin, flags, words[0]);
    case VERB_NONE:
        break;
    }
    return COMMAND_USAGE;
}

static int
run_project(int argc, char **argv)
{
    struct admin admin = {.command = "project"};
    struct project_flags project_flags = {.name = NULL};
    const struct flag flags[] = {
        ADMIN_FLAGS(admin),
        {.name = "name", .text = &project_flags.name},
        {.name = "time-zone", .text = &project_flags.time_zone},
        {.name = "week-start", .text = &project_flags.week_start},
        {.name = "retention-days", .text = &project_flags.retention_days},
        {.name = "no-keys", .is_set = &project_flags.is_without_keys},
        {.name = "yes", .is_set = &project_flags.is_yes},
    };
    struct diag diag = DIAG_INIT;
    enum verb verb = VERB_NONE;
    size_t words = 0;
    int status;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    if (err == ERR_OK) {
        verb = words != 0 ? read_verb(argv[1], words) : VERB_NONE;
        err = check_flags(verb, &project_flags, &diag);
    }
    if (err == ERR_OK)
        err = admin_open(&admin, &diag);
    status = err == ERR_OK ? run_verb(&admin, &project_flags, verb, argv + 2)
                           : admin_fail(&admin, err, &diag);
    admin_close(&admin);
    return status;
}

const struct command command_project = {
    .name = "project",
    .summary = "make, change and delete projects",
    .help =
        "usage: potik project list [OPTION…]\n"
        "       potik project new NAME [--time-zone Z] [--week-start W] [--retention-days N] "
        "[--no-keys]\n"
        "       potik project set PROJECT [--name NAME] [--time-zone Z] [--week-start W]\n"
        "                                 [--retention-days N]\n"
        "       potik project show PROJECT\n"
        "       potik project quota PROJECT N|none\n"
        "       potik project delete PROJECT [--yes]\n"
        "\n"
        "A project has its own events, keys and members. PROJECT is its id or its name. `new` "
        "makes a\n"
        "write and a read key with it, printed once. `delete` takes all with it, for ever: its "
        "keys\n"
        "at once, its events as soon as a server runs. The first project, number 1, stays.\n"
        "`quota` says how many events it may store in a month (UTC); what is more is refused. What "
        "it\n"
        "has used, a running server tells: GET /v1/projects/ID.\n"
        "\n"
        "  --time-zone Z       an IANA name: the days of its stats; default: UTC\n"
        "  --week-start W      monday or sunday; default: monday\n"
        "  --retention-days N  events are erased N days after they were received, 1 to 36500; 0 "
        "(the\n"
        "                      default): they are kept\n"
        "  --name NAME         with `set`: another name, 1 to 64 bytes\n"
        "  --no-keys           with `new`: `potik key new --project NAME` makes them later\n"
        "  --yes               with `delete`: do not ask (a terminal is asked for the name; "
        "elsewhere\n"
        "                      nothing is deleted without it)\n" ADMIN_FLAGS_HELP "\n"
        "examples:\n"
        "\n"
        "  potik project new shop --time-zone Europe/Kyiv\n"
        "  potik project set shop --retention-days 365\n"
        "  potik project quota shop 1000000\n",
    .run = run_project,
};
