/*
 * rejected_retry - `potik rejected retry`: the bytes that were refused, sent again.
 *
 * Layer 8, the main thread. Each goes in a request of its own, as the only element of an array, so
 * that it means what it meant and a broken one spoils no other; with retry_of= the server takes it
 * from the list if it is stored now, and keeps it no second time if it is not. What it answers for
 * the whole request (a broken element may break the array) is the verdict, too. Only an answer that
 * is about no event, as 401, 429 or 503, ends the run: what was sent by then is done, and running
 * again goes on.
 */
#include "base/mem.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/rejected.h"
#include "cli/table.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "codec/utf8.h"

#include <stdio.h>
#include <stdlib.h>

#define ORIGINAL_BYTES_MAX (UINT64_C(4) * 1024 * 1024)
#define WHY_BYTES 512

struct retry {
    const struct rejected_flags *flags;
    struct client *reader;
    struct client *writer;
    struct json_document *document;
    struct client_reply reply;
    struct buf body;
    struct buf ids; /* of the list, newest first: uint64_t each */
    uint64_t accepted;
    uint64_t duplicates;
    uint64_t refused;
    uint64_t unsent;
};

/* What came of one. */
struct outcome {
    const char *verdict; /* accepted, duplicate, refused, unsent */
    char why[WHY_BYTES]; /* "": nothing to be said */
};

static enum err
take_id(void *state, struct slice row, struct diag *diag)
{
    struct retry *retry = state;
    struct json_value root;
    struct json_value value;
    uint64_t id;

    if (json_parse(retry->document, row, &root, diag) != ERR_OK || !json_get(root, "id", &value) ||
        !json_as_u64(value, &id)) {
        diag_set(diag, "the reply is not a list of refused events; is this Potik?");
        return ERR_IO;
    }
    buf_add(&retry->ids, &id, sizeof(id));
    return buf_failed(&retry->ids) ? ERR_NOMEM : ERR_OK;
}

/* "[original]" into retry->body. *ret_unsent: why it cannot be sent. ERR_ABSENT: it is gone. */
static enum err
fetch(struct retry *retry, uint64_t id, const char **ret_unsent, struct diag *diag)
{
    struct json_value root;
    struct json_value value;
    struct slice text = SLICE_NONE;
    struct arena arena;
    bool is_cut = false;
    char path[64];
    enum err err;

    *ret_unsent = NULL;
    (void)snprintf(path, sizeof(path), "/v1/rejected/%llu", (unsigned long long)id);
    err = client_get(retry->reader, path, &retry->reply, diag);
    if (err != ERR_OK)
        return err;
    if (retry->reply.status == 404) {
        *ret_unsent = "it is not kept (any more)";
        return ERR_OK;
    }
    if (retry->reply.status != 200) {
        client_explain(retry->reply.status, buf_slice(&retry->reply.body), diag);
        return ERR_IO;
    }
    arena_init(&arena, 4096, ORIGINAL_BYTES_MAX);
    err = json_parse(retry->document, buf_slice(&retry->reply.body), &root, diag);
    if (err == ERR_OK && json_get(root, "rejected", &root)) {
        if (json_get(root, "is_cut", &value) && !json_as_bool(value, &is_cut))
            is_cut = false;
        if (json_get(root, "original", &value) && !json_as_text(value, &text) &&
            json_get(root, "original_base64", &value) && json_as_text(value, &text))
            err = base64_decode(text, &arena, &text);
    }
    if (is_cut)
        *ret_unsent = "only its beginning is kept";
    else if (text.len == 0)
        *ret_unsent = "there was nothing between two commas";
    buf_clear(&retry->body);
    buf_add_char(&retry->body, '[');
    buf_add_slice(&retry->body, text);
    buf_add_char(&retry->body, ']');
    arena_fini(&arena);
    return err == ERR_OK && buf_failed(&retry->body) ? ERR_NOMEM : err;
}

static bool
has_one(struct json_value root, const char *member)
{
    struct json_value value;
    uint64_t number;

    return json_get(root, member, &value) && json_as_u64(value, &number) && number == 1;
}

/* The first text of this name among the errors of the events, or in the error of the request. */
static void
copy_why(struct json_value root, struct outcome *outcome)
{
    struct json_value list;
    struct json_value error;
    struct json_value value;
    struct slice key;
    struct slice text;
    struct buf clean;

    if (json_get(root, "errors", &list)) {
        struct json_items items = json_items_of(list);

        if (!json_items_next(&items, &key, &error))
            return;
    } else if (!json_get(root, "error", &error)) {
        return;
    }
    if (!json_get(error, "message", &value) || !json_as_text(value, &text))
        return;
    buf_init(&clean, UINT64_C(64) * 1024);
    table_clean(&clean, text);
    (void)snprintf(outcome->why, sizeof(outcome->why), "%.*s",
                   SLICE_ARGS(utf8_cut(buf_slice(&clean), WHY_BYTES - 1)));
    buf_fini(&clean);
}

static enum err
send_again(struct retry *retry, uint64_t id, struct outcome *outcome, struct diag *diag)
{
    struct json_value root;
    char path[64];
    enum err err;

    (void)snprintf(path, sizeof(path), "/v1/events?retry_of=%llu", (unsigned long long)id);
    err = client_post(retry->writer, path, buf_slice(&retry->body), &retry->reply, diag);
    if (err != ERR_OK)
        return err;
    if ((retry->reply.status != 200 && retry->reply.status != 400 && retry->reply.status != 413) ||
        json_parse(retry->document, buf_slice(&retry->reply.body), &root, NULL) != ERR_OK) {
        client_explain(retry->reply.status, buf_slice(&retry->reply.body), diag);
        return ERR_IO;
    }
    if (has_one(root, "accepted")) {
        outcome->verdict = "accepted";
        retry->accepted++;
    } else if (has_one(root, "duplicates")) {
        outcome->verdict = "duplicate";
        retry->duplicates++;
    } else {
        outcome->verdict = "refused";
        retry->refused++;
        copy_why(root, outcome);
    }
    return ERR_OK;
}

/* `why` is clean already, but for what JSON does not take as it is. */
static void
print_json_text(const char *text)
{
    (void)fputc('"', stdout);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            (void)fputc('\\', stdout);
        (void)fputc(*text, stdout);
    }
    (void)fputc('"', stdout);
}

static void
print_outcome(const struct retry *retry, uint64_t id, const struct outcome *outcome, bool is_first)
{
    if (retry->flags->format == REJECTED_TABLE) {
        printf("%-18llu  %-9s  %s\n", (unsigned long long)id, outcome->verdict, outcome->why);
        return;
    }
    if (retry->flags->format == REJECTED_JSON)
        (void)fputs(is_first ? "\n" : ",\n", stdout);
    printf("{\"id\":%llu,\"verdict\":\"%s\",\"message\":", (unsigned long long)id,
           outcome->verdict);
    if (outcome->why[0] != '\0')
        print_json_text(outcome->why);
    else
        (void)fputs("null", stdout);
    (void)fputs(retry->flags->format == REJECTED_JSON ? "}" : "}\n", stdout);
}

static enum err
retry_one(struct retry *retry, uint64_t id, bool is_first, struct diag *diag)
{
    struct outcome outcome = {.verdict = "unsent"};
    const char *unsent = NULL;
    enum err err = fetch(retry, id, &unsent, diag);

    if (err == ERR_OK && unsent == NULL)
        err = send_again(retry, id, &outcome, diag);
    if (err != ERR_OK)
        return err;
    if (unsent != NULL) {
        retry->unsent++;
        (void)snprintf(outcome.why, sizeof(outcome.why), "%s", unsent);
    }
    print_outcome(retry, id, &outcome, is_first);
    return ERR_OK;
}

static enum err
find_ids(struct retry *retry, struct diag *diag)
{
    if (retry->flags->id_count == 0)
        return rejected_each(retry->reader, retry->flags, take_id, retry, diag);
    for (size_t i = retry->flags->id_count; i > 0; i--) {
        const uint64_t id = strtoull(retry->flags->ids[i - 1], NULL, 10);

        buf_add(&retry->ids, &id, sizeof(id));
    }
    return buf_failed(&retry->ids) ? ERR_NOMEM : ERR_OK;
}

/* Oldest first: what comes later may be meant to come later. */
static enum err
retry_all(struct retry *retry, struct diag *diag)
{
    enum err err = find_ids(retry, diag);
    const size_t count = retry->ids.len / sizeof(uint64_t);

    if (retry->flags->format == REJECTED_JSON)
        (void)fputs("{\"retried\":[", stdout);
    for (size_t i = count; err == ERR_OK && i > 0; i--) {
        uint64_t id;

        memcpy(&id, retry->ids.ptr + (i - 1) * sizeof(id), sizeof(id));
        err = client_is_interrupted() ? ERR_CANCELLED : retry_one(retry, id, i == count, diag);
    }
    if (retry->flags->format == REJECTED_JSON)
        (void)fputs("]}\n", stdout);
    return err;
}

static int
finish(const struct retry *retry, enum err err, const struct diag *diag)
{
    if (fflush(stdout) != 0 && err == ERR_OK)
        err = ERR_IO;
    if (retry->reader != NULL && retry->writer != NULL)
        fprintf(stderr,
                "potik rejected: %llu accepted, %llu duplicate, %llu refused again, %llu not "
                "sent\n",
                (unsigned long long)retry->accepted, (unsigned long long)retry->duplicates,
                (unsigned long long)retry->refused, (unsigned long long)retry->unsent);
    if (err == ERR_INVALID)
        return flags_usage("rejected", diag->message);
    if (err != ERR_OK)
        return flags_failed("rejected", err == ERR_CANCELLED ? "interrupted" : diag->message);
    return retry->refused + retry->unsent != 0 ? COMMAND_FAILED : COMMAND_DONE;
}

int
rejected_retry(const struct rejected_flags *flags)
{
    struct retry retry = {.flags = flags};
    struct diag diag = DIAG_INIT;
    int status;
    enum err err = client_open(&flags->client, CLIENT_READ_KEY, &retry.reader, &diag);

    if (err == ERR_OK)
        err = client_open(&flags->client, CLIENT_WRITE_KEY, &retry.writer, &diag);
    if (err == ERR_OK)
        err = json_document_new(&retry.document, &diag);
    client_catch_interrupt();
    client_reply_init(&retry.reply);
    buf_init(&retry.body, ORIGINAL_BYTES_MAX);
    buf_init(&retry.ids, REJECTED_LIST_MAX * sizeof(uint64_t));
    if (err == ERR_OK)
        err = retry_all(&retry, &diag);
    status = finish(&retry, err, &diag);
    buf_fini(&retry.ids);
    buf_fini(&retry.body);
    client_reply_fini(&retry.reply);
    json_document_free(&retry.document);
    client_close(&retry.writer);
    client_close(&retry.reader);
    return status;
}
