/*
 * rejected - `potik rejected list|show|retry`: refused events that the server keeps, why they were
 * refused, what was sent, and sending it again.
 *
 * Layer 8, the main thread. Over HTTP: GET /v1/rejected. (Rows that `potik import` could not send
 * are another thing: import_rejected.h.) Retrying: rejected_retry.c.
 */
#include "cli/rejected.h"

#include "base/mem.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/page.h"
#include "cli/table.h"
#include "cli/words.h"
#include "codec/base64.h"
#include "codec/json.h"

#include <stdio.h>
#include <unistd.h>

#define PAGE_ROWS 1000
#define LIMIT_DEFAULT 50
#define PATH_BYTES_MAX 4096
#define TABLE_BYTES_MAX (UINT64_C(256) * 1024 * 1024)
#define SHOWN_MEMBERS 7
#define SENDER_COLUMN 2

/* --- the list ---------------------------------------------------------------------------------*/

static enum err
read_page(struct client *client, const struct rejected_flags *flags, struct slice before,
          uint64_t rows, struct client_reply *reply, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf path;
    enum err err;

    buf_init(&path, PATH_BYTES_MAX);
    buf_printf(&path, "/v1/rejected?limit=%llu", (unsigned long long)rows);
    if (flags->code != NULL) {
        buf_add_char(&path, '&');
        client_add_pair(&path, SLICE("code"), slice_of_text(flags->code));
    }
    if (flags->event_id != NULL) {
        buf_add_char(&path, '&');
        client_add_pair(&path, SLICE("event_id"), slice_of_text(flags->event_id));
    }
    if (before.len != 0) {
        buf_add_char(&path, '&');
        client_add_pair(&path, SLICE("before"), before);
    }
    buf_add_char(&path, '\0');
    if (buf_failed(&path)) {
        diag_set(diag, "--code or --event-id is too long");
        return ERR_INVALID;
    }
    err = client_get(client, path.ptr, reply, diag);
    if (err == ERR_OK && reply->status != 200) {
        client_explain(reply->status, buf_slice(&reply->body), diag);
        err = ERR_IO;
    }
    return err;
}

/* The server says "kept":false where it keeps none. */
static bool
is_off(struct slice body)
{
    return memmem(body.ptr, body.len, ",\"kept\":false}", 14) != NULL;
}

enum err
rejected_each(struct client *client, const struct rejected_flags *flags, rejected_take_fn *take,
              void *state, struct diag *diag)
{
    static struct slice rows[PAGE_ROWS];
    struct client_reply reply;
    char before[64] = "";
    uint64_t left = flags->limit;
    enum err err = ERR_OK;

    client_reply_init(&reply);
    while (err == ERR_OK && left != 0) {
        struct slice next = SLICE_NONE;
        uint32_t count = 0;

        err = read_page(client, flags, slice_of_text(before), left < PAGE_ROWS ? left : PAGE_ROWS,
                        &reply, diag);
        if (err != ERR_OK)
            break;
        if (is_off(buf_slice(&reply.body))) {
            diag_set(diag, "this server keeps no refused events: start it with --keep-rejected "
                           "64MiB, or as much as there may be of them");
            err = ERR_NOT_READY;
        } else if (!page_read(buf_slice(&reply.body), "rejected", rows, PAGE_ROWS, &count, &next) ||
                   next.len >= sizeof(before)) {
            diag_set(diag, "the reply is not a list of refused events; is this Potik?");
            err = ERR_IO;
        }
        for (uint32_t i = 0; err == ERR_OK && i < count && left != 0; i++, left--)
            err = take(state, rows[i], diag);
        if (next.len == 0)
            break;
        (void)snprintf(before, sizeof(before), "%.*s", SLICE_ARGS(next));
    }
    client_reply_fini(&reply);
    return err;
}

struct listing {
    enum rejected_format format;
    struct json_document *document;
    struct arena arena;
    struct table *table;
    uint64_t count;
};

static void
add_cell(struct listing *listing, uint32_t column, struct json_value root, const char *member)
{
    struct json_value value;
    struct slice text;
    uint64_t number;

    if (!json_get(root, member, &value))
        return;
    if (json_as_text(value, &text))
        table_cell(listing->table, column, text);
    else if (json_as_u64(value, &number))
        table_cell_printf(listing->table, column, "%llu", (unsigned long long)number);
}

/* "key 3", "account 1": what `potik key list` and `potik account list` call it. */
static void
add_sender(struct listing *listing, uint32_t column, struct json_value root)
{
    struct json_value sender, value;
    struct slice kind;
    uint64_t id;

    if (json_get(root, "sender", &sender) && json_get(sender, "kind", &value) &&
        json_as_text(value, &kind) && json_get(sender, "id", &value) && json_as_u64(value, &id))
        table_cell_printf(listing->table, column, "%.*s %llu", SLICE_ARGS(kind),
                          (unsigned long long)id);
}

static enum err
take_row(void *state, struct slice row, struct diag *diag)
{
    static const char *const members[SHOWN_MEMBERS] = {"id",    "received_at", "sender", "code",
                                                       "field", "event_id",    "message"};
    struct listing *listing = state;
    struct json_value root;

    listing->count++;
    if (listing->format != REJECTED_TABLE) {
        if (listing->format == REJECTED_JSON)
            (void)fputs(listing->count == 1 ? "\n" : ",\n", stdout);
        (void)fwrite(row.ptr, 1, row.len, stdout);
        if (listing->format == REJECTED_NDJSON)
            (void)fputc('\n', stdout);
        return ERR_OK;
    }
    if (json_parse(listing->document, row, &root, diag) != ERR_OK)
        return ERR_IO;
    table_row(listing->table);
    for (uint32_t i = 0; i < SHOWN_MEMBERS; i++) {
        if (i == SENDER_COLUMN)
            add_sender(listing, i, root);
        else
            add_cell(listing, i, root, members[i]);
    }
    return ERR_OK;
}

static enum err
print_table(const struct listing *listing, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf out;

    buf_init(&out, TABLE_BYTES_MAX);
    if (!table_draw(listing->table, &out)) {
        diag_set(diag, "out of memory for the table; ask for less with --limit");
        return ERR_NOMEM;
    }
    (void)fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
    return ERR_OK;
}

static enum err
list(struct client *client, const struct rejected_flags *flags, struct diag *diag)
{
    static const char *const titles[SHOWN_MEMBERS] = {"id",    "received (UTC)", "from", "code",
                                                      "field", "event_id",       "why"};
    struct listing listing = {.format = flags->format};
    enum err err = json_document_new(&listing.document, diag);

    arena_init(&listing.arena, 64u * 1024, TABLE_BYTES_MAX);
    listing.table = table_new(&listing.arena, SHOWN_MEMBERS);
    for (uint32_t i = 0; i < SHOWN_MEMBERS; i++)
        table_column(listing.table, i, slice_of_text(titles[i]), false);
    if (flags->format == REJECTED_JSON)
        (void)fputs("{\"rejected\":[", stdout);
    if (err == ERR_OK)
        err = rejected_each(client, flags, take_row, &listing, diag);
    if (flags->format == REJECTED_JSON)
        (void)fputs("]}\n", stdout);
    else if (err == ERR_OK && flags->format == REJECTED_TABLE)
        err = print_table(&listing, diag);
    json_document_free(&listing.document);
    arena_fini(&listing.arena);
    return err;
}

/* --- one --------------------------------------------------------------------------------------*/

/* What it is goes to stderr: stdout has the bytes that were sent, and nothing else. */
static void
print_facts(struct json_value root)
{
    static const char *const members[] = {"received_at", "code",     "field",
                                          "message",     "event_id", "request_id"};

    for (size_t i = 0; i < COUNT_OF(members); i++) {
        CLEANUP(buf_fini) struct buf clean;
        struct json_value value;
        struct slice text;

        buf_init(&clean, 64u * 1024);
        if (!json_get(root, members[i], &value) || !json_as_text(value, &text))
            continue;
        table_clean(&clean, text);
        fprintf(stderr, "%-12s %.*s\n", members[i], SLICE_ARGS(buf_slice(&clean)));
    }
}

static enum err
print_original(struct json_value root, struct diag *diag)
{
    struct arena arena;
    struct json_value value;
    struct slice text = SLICE_NONE;
    bool is_cut = false;
    enum err err = ERR_OK;

    arena_init(&arena, 4096, UINT64_C(1) << 24);
    if (json_get(root, "original", &value) && !json_as_text(value, &text) &&
        json_get(root, "original_base64", &value) && json_as_text(value, &text))
        err = base64_decode(text, &arena, &text);
    if (text.ptr == NULL || err != ERR_OK) {
        diag_set(diag, "the reply has no original; is this Potik?");
        err = ERR_IO;
    } else {
        (void)fwrite(text.ptr, 1, text.len, stdout);
        if (isatty(STDOUT_FILENO))
            (void)fputc('\n', stdout);
    }
    if (json_get(root, "is_cut", &value) && json_as_bool(value, &is_cut) && is_cut)
        (void)fputs("it was longer: only this much is kept\n", stderr);
    arena_fini(&arena);
    return err;
}

static enum err
show(struct client *client, const struct rejected_flags *flags, struct diag *diag)
{
    struct json_document *document = NULL;
    struct json_value root;
    struct json_value value;
    struct client_reply reply;
    char path[64];
    enum err err;

    client_reply_init(&reply);
    (void)snprintf(path, sizeof(path), "/v1/rejected/%.24s", flags->ids[0]);
    err = client_get(client, path, &reply, diag);
    if (err == ERR_OK && reply.status != 200) {
        client_explain(reply.status, buf_slice(&reply.body), diag);
        err = ERR_IO;
    }
    if (err == ERR_OK && flags->format != REJECTED_TABLE) {
        (void)fwrite(reply.body.ptr, 1, reply.body.len, stdout);
    } else if (err == ERR_OK) {
        err = json_document_new(&document, diag);
        if (err == ERR_OK)
            err = json_parse(document, buf_slice(&reply.body), &root, diag);
        if (err == ERR_OK && !json_get(root, "rejected", &value))
            err = ERR_IO;
        if (err == ERR_OK) {
            print_facts(value);
            err = print_original(value, diag);
        }
    }
    json_document_free(&document);
    client_reply_fini(&reply);
    return err;
}

/* --- the command ------------------------------------------------------------------------------*/

static enum err
take_format(const char *text, enum rejected_format *ret_format, struct diag *diag)
{
    static const char *const names[] = {"table", "json", "ndjson"};

    *ret_format = REJECTED_TABLE;
    for (size_t i = 0; text != NULL && i < COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_format = (enum rejected_format)i;
            return ERR_OK;
        }
    }
    if (text == NULL)
        return ERR_OK;
    diag_set(diag, "--format: must be table, json or ndjson, not \"%s\"", text);
    return ERR_INVALID;
}

/* What goes with which verb. */
static enum err
check(const char *verb, const struct rejected_flags *flags, bool has_limit, struct diag *diag)
{
    const bool has_filter = flags->code != NULL || flags->event_id != NULL;
    uint64_t id;

    for (size_t i = 0; i < flags->id_count; i++) {
        if (!words_is_id(slice_of_text(flags->ids[i]), UINT64_C(999999999999999999), &id)) {
            diag_set(diag, "\"%s\" is no id; `potik rejected list` shows them", flags->ids[i]);
            return ERR_INVALID;
        }
    }
    if (strcmp(verb, "list") == 0 && (flags->id_count != 0 || flags->is_all))
        diag_set(diag, "list takes --code, --event-id and --limit");
    else if (strcmp(verb, "show") == 0 &&
             (flags->id_count != 1 || flags->is_all || has_filter || has_limit))
        diag_set(diag, "show takes one id");
    else if (strcmp(verb, "retry") == 0 && (flags->id_count != 0) + flags->is_all + has_filter != 1)
        diag_set(diag, "retry takes ids, or --all, or --code or --event-id: one of these");
    else if (strcmp(verb, "list") == 0 || strcmp(verb, "show") == 0 || strcmp(verb, "retry") == 0)
        return ERR_OK;
    else
        diag_set(diag, "say list, show or retry");
    return ERR_INVALID;
}

static int
read_from_server(const char *verb, const struct rejected_flags *flags)
{
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;
    enum err err = client_open(&flags->client, CLIENT_READ_KEY, &client, &diag);

    if (err == ERR_INVALID)
        return flags_usage("rejected", diag.message);
    if (err == ERR_OK)
        err = strcmp(verb, "list") == 0 ? list(client, flags, &diag) : show(client, flags, &diag);
    client_close(&client);
    if (fflush(stdout) != 0 && err == ERR_OK)
        return COMMAND_FAILED;
    return err == ERR_OK ? COMMAND_DONE : flags_failed("rejected", diag.message);
}

static int
run_rejected(int argc, char **argv)
{
    struct rejected_flags rejected = {.limit = LIMIT_DEFAULT};
    const char *format = NULL;
    const char *limit = NULL;
    const struct flag flags[] = {
        CLIENT_FLAGS(rejected.client),
        {.name = "code", .text = &rejected.code},
        {.name = "event-id", .text = &rejected.event_id},
        {.name = "all", .is_set = &rejected.is_all},
        {.name = "limit", .text = &limit},
        {.name = "format", .text = &format},
    };
    struct diag diag = DIAG_INIT;
    size_t words = 0;
    const char *verb;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    verb = words != 0 ? argv[1] : "";
    rejected.ids = argv + 2;
    rejected.id_count = words > 1 ? words - 1 : 0;
    if (strcmp(verb, "retry") == 0)
        rejected.limit = REJECTED_LIST_MAX;
    if (err == ERR_OK)
        err = flags_number("limit", limit, 1, REJECTED_LIST_MAX, &rejected.limit, &diag);
    if (err == ERR_OK)
        err = take_format(format, &rejected.format, &diag);
    if (err == ERR_OK)
        err = check(verb, &rejected, limit != NULL, &diag);
    if (err != ERR_OK)
        return flags_usage("rejected", diag.message);
    return strcmp(verb, "retry") == 0 ? rejected_retry(&rejected)
                                      : read_from_server(verb, &rejected);
}

const struct command command_rejected = {
    .name = "rejected",
    .summary = "refused events: why, what was sent, and sending it again",
    .help =
        "usage: potik rejected list [--code CODE] [--event-id ID] [--limit N] [OPTION…]\n"
        "       potik rejected show ID [OPTION…]\n"
        "       potik rejected retry ID… | --all | --code CODE | --event-id ID [OPTION…]\n"
        "\n"
        "A server with --keep-rejected keeps events that it refused for a while. `list` tells when "
        "and\n"
        "why, newest first; `show` prints the bytes as they were sent on stdout, and what is wrong "
        "on\n"
        "stderr. `retry` sends the same bytes again, oldest first, and says what came of each: "
        "those\n"
        "that are stored now, or were stored before, leave the list. Exit 1: something is still "
        "refused.\n"
        "\n"
        "  --code CODE      those of this code: missing_field, invalid_timestamp …\n"
        "  --event-id ID    those of this event_id\n"
        "  --all            retry: all of them\n"
        "  --limit N        at most N, 1 to 100000; default: 50 of list, all of retry\n"
        "  --format F       table (the default), json or ndjson\n" CLIENT_FLAGS_HELP "\n"
        "`retry` reads with the read key and sends with the write key; --key, or POTIK_TOKEN, is "
        "the\n"
        "token of an owner, who may do both.\n"
        "\n"
        "examples:\n"
        "\n"
        "  potik rejected list --code invalid_timestamp\n"
        "  potik rejected show 1795724212501168 > e.json      then correct e.json, and\n"
        "  curl \"http://127.0.0.1:8700/v1/events?retry_of=1795724212501168\" \\\n"
        "    -H \"Authorization: Bearer $POTIK_KEY\" -d @e.json\n"
        "  potik rejected retry --all\n",
    .run = run_rejected,
};
