/*
 * login - `potik login [EMAIL]`: a token for commands that need a person, over HTTP.
 *
 * Layer 8, the main thread. stdout has the access token alone, so that a shell can keep it in
 * POTIK_TOKEN; it is written to no file. The refresh token is let go: whoever works longer than a
 * token's life logs in again.
 */
#include "account/login.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/new_password.h"
#include "codec/json.h"
#include "codec/json_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BODY_BYTES_MAX 8192

static enum err
ask_server(struct client *client, const char *email, const struct new_password *password,
           struct client_reply *reply, struct diag *diag)
{
    CLEANUP(buf_wipe) struct buf body;
    enum err err;

    buf_init(&body, BODY_BYTES_MAX);
    buf_add_text(&body, "{\"email\":");
    json_write_text(&body, slice_of_text(email));
    buf_add_text(&body, ",\"password\":");
    json_write_text(&body, slice_of(password->text, password->len));
    buf_add_char(&body, '}');
    if (buf_failed(&body)) {
        diag_set(diag, "the email is too long");
        return ERR_INVALID;
    }
    err = client_post(client, "/v1/auth/login", buf_slice(&body), reply, diag);
    if (err == ERR_OK && reply->status != 200) {
        client_explain(reply->status, buf_slice(&reply->body), diag);
        err = ERR_IO;
    }
    return err;
}

static enum err
print_token(struct slice body, const char *email, struct diag *diag)
{
    struct json_document *document = NULL;
    struct json_value root, value;
    struct slice token = SLICE_NONE;
    uint64_t seconds = 0;
    enum err err = json_document_new(&document, diag);

    if (err == ERR_OK && (json_parse(document, body, &root, NULL) != ERR_OK ||
                          !json_get(root, "access_token", &value) || !json_as_text(value, &token) ||
                          !json_get(root, "expires_in", &value) || !json_as_u64(value, &seconds))) {
        diag_set(diag, "the reply has no token; is this Potik?");
        err = ERR_IO;
    }
    if (err == ERR_OK) {
        printf("%.*s\n", SLICE_ARGS(token));
        fprintf(stderr, "logged in as %s, for %" PRIu64 " minutes\n", email, seconds / 60);
    }
    json_document_free(&document);
    return err;
}

static int
run_login(int argc, char **argv)
{
    struct client_flags at = {.server = NULL};
    const struct flag flags[] = {
        {.name = "server", .text = &at.server},
        {.name = "data-dir", .text = &at.data_dir},
        {.name = "ca", .text = &at.ca},
    };
    CLEANUP(client_close) struct client *client = NULL;
    struct client_reply reply;
    struct new_password password;
    struct diag diag = DIAG_INIT;
    size_t words = 0;
    const char *email;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    if (err == ERR_OK && words > 1) {
        diag_set(&diag, "one EMAIL at a time");
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = client_open(&at, CLIENT_NO_KEY, &client, &diag);
    if (err == ERR_INVALID)
        return flags_usage("login", diag.message);
    if (err != ERR_OK)
        return flags_failed("login", diag.message);
    email = words == 1 ? argv[1] : LOGIN_FIRST_EMAIL;
    err = new_password_ask(&password, &diag);
    if (err != ERR_OK)
        return flags_failed("login", diag.message);
    client_reply_init(&reply);
    err = ask_server(client, email, &password, &reply, &diag);
    new_password_wipe(&password);
    if (err == ERR_OK)
        err = print_token(buf_slice(&reply.body), email, &diag);
    buf_wipe(&reply.body);
    return err == ERR_OK ? COMMAND_DONE : flags_failed("login", diag.message);
}

const struct command command_login = {
    .name = "login",
    .summary = "a token for commands that need a person",
    .help = "usage: potik login [EMAIL] [OPTION…]\n"
            "\n"
            "Logs in at a running server and prints an access token, good for some minutes\n"
            "(the server's token-life). The password is asked for, or read from standard input;\n"
            "EMAIL is " LOGIN_FIRST_EMAIL " if none is given, whose first password stands in\n"
            "DIR/first-run.txt. Commands take the token from POTIK_TOKEN.\n"
            "\n"
            "  --server URL     HOST:PORT, http://…, https://… or unix:/path; else POTIK_SERVER, "
            "else the\n"
            "                   server that DIR/first-run.txt names\n"
            "  --ca FILE        for https://: certificates (PEM) to trust instead of the system's; "
            "else POTIK_CA,\n"
            "                   else what DIR/first-run.txt names\n"
            "  --data-dir DIR   where first-run.txt stands; else POTIK_DATA_DIR, else "
            "./potik-data\n"
            "\n"
            "example:\n"
            "\n"
            "  export POTIK_TOKEN=$(potik login ada@example.com)\n"
            "  potik plan set plan.json\n",
    .run = run_login,
};
