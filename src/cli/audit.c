/*
 * audit - `potik audit`: who changed what, when and from where, newest first. See admin.h.
 */
#include "account/audit.h"
#include "base/mem.h"
#include "cli/account_people.h"
#include "cli/admin.h"
#include "cli/command.h"
#include "cli/words.h"
#include "codec/rfc3339.h"
#include <stdio.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 100000

struct audit_flags {
    const char *from;
    const char *to;
    const char *project;
    const char *limit;
};

/* Lines as they come, into a table or a document. */
struct listing {
    const struct admin *admin;
    struct login_list logins; /* for their emails; those removed have none any more */
    struct admin_table table;
    struct buf buf;
    uint64_t count;
    uint64_t last_id;
};

static void
add_line_json(struct buf *buf, const struct audit_line *line, const char *email)
{
    admin_json_item(buf);
    buf_add_char(buf, '{');
    admin_json_number(buf, "id", line->id);
    admin_json_time(buf, "at", line->at_us);
    admin_json_key(buf, "actor");
    buf_add_char(buf, '{');
    admin_json_text(buf, "kind", audit_actor_name(line->actor.kind));
    admin_json_number(buf, "id", line->actor.id);
    admin_json_text(buf, "email", email);
    buf_add_char(buf, '}');
    admin_json_text(buf, "from", line->actor.from);
    admin_json_text(buf, "action", line->action);
    admin_json_key(buf, "project");
    if (line->project_id != 0)
        buf_add_u64(buf, line->project_id);
    else
        buf_add_text(buf, "null");
    admin_json_text(buf, "target", line->target);
    admin_json_text(buf, "detail", line->detail);
    buf_add_char(buf, '}');
}

static void
add_line_row(struct admin_table *table, const struct audit_line *line, const char *email)
{
    char actor[LOGIN_EMAIL_BYTES + 1];

    /* Nobody and the server have no number; the command line's is the user's on that machine. */
    if (line->actor.kind == ACCOUNT_ACTOR_CLI)
        (void)snprintf(actor, sizeof(actor), "cli, uid %llu", (unsigned long long)line->actor.id);
    else if (email != NULL)
        (void)snprintf(actor, sizeof(actor), "%s", email);
    else if (line->actor.id != 0)
        (void)snprintf(actor, sizeof(actor), "%s %llu", audit_actor_name(line->actor.kind),
                       (unsigned long long)line->actor.id);
    else
        (void)snprintf(actor, sizeof(actor), "%s", audit_actor_name(line->actor.kind));
    admin_table_row(table);
    admin_table_time(table, 0, line->at_us);
    admin_table_text(table, 1, actor);
    admin_table_text(table, 2, line->actor.from);
    admin_table_text(table, 3, line->action);
    if (line->project_id != 0)
        admin_table_number(table, 4, line->project_id);
    admin_table_text(table, 5, line->target);
    admin_table_text(table, 6, line->detail);
}

static const char *
email_of(const struct listing *listing, const struct account_actor *actor)
{
    for (size_t i = 0; actor->kind == ACCOUNT_ACTOR_LOGIN && i < listing->logins.login_count; i++) {
        if (listing->logins.logins[i].id == actor->id)
            return listing->logins.logins[i].email;
    }
    return NULL;
}

static void
take_line(void *state, const struct audit_line *line)
{
    struct listing *listing = (struct listing *)state;

    listing->count++;
    listing->last_id = line->id;
    if (listing->admin->is_json)
        add_line_json(&listing->buf, line, email_of(listing, &line->actor));
    else
        add_line_row(&listing->table, line, email_of(listing, &line->actor));
}

/* In pages of as many lines as one question may ask for. */
static enum err
read_lines(struct admin *admin, struct audit_question *question, uint64_t limit,
           struct listing *listing, struct diag *diag)
{
    enum err err = ERR_OK;
    bool is_over = false;

    while (err == ERR_OK && !is_over && listing->count < limit) {
        const uint64_t before = listing->count;
        const uint64_t left = limit - before;

        question->limit = (uint32_t)(left < AUDIT_LIMIT_MAX ? left : AUDIT_LIMIT_MAX);
        question->before_id = listing->last_id;
        err = audit_list(admin->account, question, take_line, listing, diag);
        is_over = listing->count - before < question->limit;
    }
    return err;
}

static int
print_lines(struct admin *admin, struct audit_question *question, uint64_t limit)
{
    static const char *const titles[] = {"time (UTC)", "by",     "from",  "action",
                                         ">project",   "target", "detail"};
    struct listing listing = {.admin = admin};
    struct diag diag = DIAG_INIT;
    enum err err;

    buf_init(&listing.buf, 1u << 30);
    buf_add_text(&listing.buf, "{\"lines\":[");
    admin_table_init(&listing.table, titles, COUNT_OF(titles));
    err = login_list(admin->account, &listing.logins, &diag);
    if (err == ERR_OK)
        err = read_lines(admin, question, limit, &listing, &diag);
    account_free_logins(&listing.logins);
    buf_add_text(&listing.buf, "]}");
    return admin_print_listing(admin, err, &listing.buf, &listing.table, &diag);
}

static enum err
read_flags(const struct audit_flags *flags, struct audit_question *question, uint64_t *ret_limit,
           struct diag *diag)
{
    enum err err = flags_number("limit", flags->limit, 1, LIMIT_MAX, ret_limit, diag);

    if (err == ERR_OK && flags->from != NULL && flags->to != NULL)
        return words_range("from", flags->from, "to", flags->to, &question->from_us,
                           &question->to_us, diag);
    if (err == ERR_OK && flags->from != NULL)
        err = words_time("from", flags->from, &question->from_us, diag);
    if (err == ERR_OK && flags->to != NULL)
        err = words_time("to", flags->to, &question->to_us, diag);
    return err;
}

static int
run_audit(int argc, char **argv)
{
    struct admin admin = {.command = "audit"};
    struct audit_flags audit_flags = {.from = NULL};
    const struct flag flags[] = {
        ADMIN_FLAGS(admin),
        {.name = "from", .text = &audit_flags.from},
        {.name = "to", .text = &audit_flags.to},
        {.name = "project", .text = &audit_flags.project},
        {.name = "limit", .text = &audit_flags.limit},
    };
    struct audit_question question = {.to_us = RFC3339_US_MAX};
    struct diag diag = DIAG_INIT;
    uint64_t limit = LIMIT_DEFAULT;
    size_t words = 0;
    int status;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    if (err == ERR_OK && words != 0) {
        diag_set(&diag, "takes no word \"%.64s\", only flags", argv[1]);
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = read_flags(&audit_flags, &question, &limit, &diag);
    if (err == ERR_OK)
        err = admin_open(&admin, &diag);
    if (err == ERR_OK)
        err = admin_find_project_id(&admin, audit_flags.project, &question.project_id, &diag);
    status = err == ERR_OK ? print_lines(&admin, &question, limit) : admin_fail(&admin, err, &diag);
    admin_close(&admin);
    return status;
}

const struct command command_audit = {
    .name = "audit",
    .summary = "who changed what, when and from where",
    .help = "usage: potik audit [--from T] [--to T] [--project PROJECT] [--limit N] [OPTION…]\n"
            "\n"
            "Changes of accounts, projects, keys and roles, logins and failed ones, and erasures: "
            "newest\n"
            "first, times in UTC. The log is only added to, and holds no secret.\n"
            "\n"
            "  --from T         from this time on: RFC 3339, or a date (its first instant, UTC)\n"
            "  --to T           before this time\n"
            "  --project P      of this project alone, by its number or name\n"
            "  --limit N        lines at most, 1 to 100000; default: 100\n" ADMIN_FLAGS_HELP "\n"
            "example:\n"
            "\n"
            "  potik audit --from 2026-01-01 --project shop\n",
    .run = run_audit,
};
