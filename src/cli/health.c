/*
 * health - `potik health`: is the server ready to work, as an exit status.
 *
 * Layer 8, the main thread. Asks GET /readyz, which needs no key, once and within a few seconds:
 * for the health check of a container, which has no other HTTP client in it, and for scripts that
 * wait for a start.
 */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/table.h"
#include "codec/json.h"

#define TIMEOUT_S 5
#define TIMEOUT_S_MAX 60

/* "ready" on stdout; what the server warns of, on stderr. */
static void
tell_ready(struct slice body)
{
    struct json_document *document = NULL;
    struct json_value root, value;
    struct slice warning = SLICE_NONE;
    struct buf clean;

    printf("ready\n");
    if (json_document_new(&document, NULL) == ERR_OK &&
        json_parse(document, body, &root, NULL) == ERR_OK && json_get(root, "warning", &value) &&
        json_as_text(value, &warning)) {
        buf_init(&clean, 64 * 1024);
        table_clean(&clean, warning);
        buf_add_char(&clean, '\0');
        if (!buf_failed(&clean))
            fprintf(stderr, "potik health: warning: %s\n", clean.ptr);
        buf_fini(&clean);
    }
    json_document_free(&document);
}

static int
ask(struct client *client)
{
    struct client_reply reply;
    struct diag diag = DIAG_INIT;
    int status = COMMAND_DONE;

    client_reply_init(&reply);
    if (client_get(client, "/readyz", &reply, &diag) != ERR_OK) {
        status = flags_failed("health", diag.message);
    } else if (reply.status != 200) {
        client_explain(reply.status, buf_slice(&reply.body), &diag);
        status = flags_failed("health", diag.message);
    } else {
        tell_ready(buf_slice(&reply.body));
    }
    client_reply_fini(&reply);
    return status;
}

static int
run_health(int argc, char **argv)
{
    struct client_flags where = {0};
    const char *timeout = NULL;
    const struct flag flags[] = {
        {.name = "server", .text = &where.server},
        {.name = "data-dir", .text = &where.data_dir},
        {.name = "ca", .text = &where.ca},
        {.name = "timeout", .text = &timeout},
    };
    struct client *client = NULL;
    struct diag diag = DIAG_INIT;
    uint64_t timeout_s = TIMEOUT_S;
    size_t count = 0;
    enum err err;
    int status;

    err = flags_parse(argc, argv, flags, sizeof(flags) / sizeof(flags[0]), &count, &diag);
    if (err == ERR_OK && count != 0) {
        diag_set(&diag, "takes no words besides its flags");
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = flags_number("timeout", timeout, 1, TIMEOUT_S_MAX, &timeout_s, &diag);
    if (err == ERR_OK)
        err = client_open(&where, CLIENT_NO_KEY, &client, &diag);
    if (err == ERR_INVALID)
        return flags_usage("health", diag.message);
    if (err != ERR_OK)
        return flags_failed("health", diag.message);
    client->timeout_s = (long)timeout_s;
    status = ask(client);
    client_close(&client);
    return status;
}

const struct command command_health = {
    .name = "health",
    .summary = "ask a running server whether it is ready",
    .help =
        "usage: potik health [--server URL | --data-dir DIR] [--ca FILE] [--timeout SECONDS]\n"
        "\n"
        "Asks /readyz. Exit 0 and the word \"ready\": the store is open, and events and questions "
        "are\n"
        "answered. Exit 1 and the reason: they are not, or nothing answers. Needs no key.\n"
        "\n"
        "  --server URL      HOST:PORT, http://…, https://… or unix:/path; else POTIK_SERVER, else "
        "the\n"
        "                    server that DIR/first-run.txt names\n"
        "  --data-dir DIR    where first-run.txt stands; else POTIK_DATA_DIR, else ./potik-data\n"
        "  --ca FILE         of an https:// server: the certificates to trust (PEM); else "
        "POTIK_CA, "
        "else\n"
        "                    what first-run.txt names, else the system's\n"
        "  --timeout SECONDS how long to wait for the answer, 1 to 60; 5 if not given\n"
        "\n"
        "example:\n"
        "\n"
        "  potik health --server 127.0.0.1:8700 --timeout 2\n",
    .run = run_health,
};
