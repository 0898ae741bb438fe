/*
 * client - finds the server and its key (client_find.h), and asks it over HTTP (libcurl).
 *
 * Layer 8, the main thread. The server: --server, else POTIK_SERVER, else `server=` of
 * <data-dir>/first-run.txt. The key: --key; else, to read, POTIK_READ_KEY, then POTIK_KEY, to send
 * POTIK_KEY alone, each unless it is plainly of the other kind (wk_…, rk_…); before these
 * POTIK_TOKEN, the access token of somebody who has logged in; else the write or read key of that
 * file, which is only sent to the server the file names (or where --data-dir was given; not where
 * POTIK_DATA_DIR names it alone), so that a
 * key of this machine does not go to another. Data folder: --data-dir, else POTIK_DATA_DIR, else
 * ./potik-data. Servers: http://…, https://…, unix:/path; HOST:PORT is http.
 *
 * Of https the certificate must lead to an authority the system trusts; or to one in the PEM file
 * of
 * --ca, else POTIK_CA, else of `ca=` in that file (the server's own certificate), where its server
 * is asked; by the name of `tls_name=` then, if its certificate is not made out for its address.
 */
#ifndef POTIK_CLI_CLIENT_H
#define POTIK_CLI_CLIENT_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include <curl/curl.h>
#include <stdbool.h>

/* CLIENT_NO_KEY: of routes that are open to all; none is looked for, and none is sent. */
enum client_key { CLIENT_WRITE_KEY, CLIENT_READ_KEY, CLIENT_NO_KEY };

struct client_flags {
    const char *server; /* NULL: not given */
    const char *key;
    const char *data_dir;
    const char *project;
    const char *ca;
};
/* The rows every client command puts into its table of flags, and their lines of help. */
#define CLIENT_FLAG_COUNT 5
#define CLIENT_FLAGS(flags)                                                                        \
    {.name = "server", .text = &(flags).server}, {.name = "key", .text = &(flags).key},            \
        {.name = "data-dir", .text = &(flags).data_dir},                                           \
        {.name = "project", .text = &(flags).project},                                             \
    {                                                                                              \
        .name = "ca", .text = &(flags).ca                                                          \
    }
#define CLIENT_FLAGS_HELP                                                                           \
    "  --server URL     HOST:PORT, http://…, https://… or unix:/path; else POTIK_SERVER, else " \
    "the\n"                                                                                         \
    "                   server that DIR/first-run.txt names\n"                                      \
    "  --key KEY        to read: else POTIK_READ_KEY, POTIK_KEY, or the key in "                    \
    "DIR/first-run.txt;\n"                                                                          \
    "                   to send: else POTIK_KEY, or the key in DIR/first-run.txt\n"                 \
    "                   without --key, and before the others: the token of a login in "             \
    "POTIK_TOKEN\n"                                                                                 \
    "  --ca FILE        for https://: certificates (PEM) to trust instead of the system's; else "   \
    "POTIK_CA,\n"                                                                                   \
    "                   else what DIR/first-run.txt names\n"                                        \
    "  --project WHICH  of an account with several projects: the id or name of one\n"               \
    "  --data-dir DIR   where first-run.txt stands; else POTIK_DATA_DIR, else ./potik-data\n"

#define CLIENT_URL_BYTES 1024
#define CLIENT_REPLY_BYTES_MAX (256u * 1024 * 1024)

struct client {
    char base[CLIENT_URL_BYTES];      /* "http://127.0.0.1:8700", no slash at the end */
    char unix_path[CLIENT_URL_BYTES]; /* "": none */
    char ca[CLIENT_URL_BYTES];        /* a file's name; "": what the system trusts */
    char shown[CLIENT_URL_BYTES];     /* base, as it was given */
    struct curl_slist *connect_to;    /* where base names what the certificate is made out for */
    bool is_loopback;
    long timeout_s;             /* of client_get: the whole answer; client_open gives 120 */
    char project[32];           /* "project=7", for the query; "": not named */
    struct curl_slist *headers; /* Authorization */
    CURL *easy;                 /* of client_get and client_put */
};

/* A project's name is looked up at the server. ERR_INVALID: no such form of a server, a name with a
 * key; ERR_ABSENT: no server, key or project found, with the cure; ERR_IO: no answer; ERR_NOMEM. */
MUST_USE enum err client_open(const struct client_flags *flags, enum client_key which,
                              struct client **ret_client, struct diag *diag);
void client_close(struct client **client);

struct client_reply {
    long status;
    struct buf body;
    char watermark[512]; /* X-Potik-Watermark, or "" */
};
void client_reply_init(struct client_reply *reply);
void client_reply_fini(struct client_reply *reply);

/* GET base + path. ERR_OK whatever the status. ERR_IO: no whole reply came (why, in `diag`).
 * ERR_NOMEM. */
MUST_USE enum err
client_get(struct client *client, const char *path, struct client_reply *reply, struct diag *diag);
/* The same for a POST of this body, as JSON. */
MUST_USE enum err client_post(struct client *client, const char *path, struct slice body,
                              struct client_reply *reply, struct diag *diag);
/* PUT `body`, JSON, likewise. if_match: the header field's value; NULL: none. */
MUST_USE enum err client_put(struct client *client, const char *path, struct slice body,
                             const char *if_match, struct client_reply *reply, struct diag *diag);
/* "no reply from SERVER (is `potik serve` running?): REASON", for a transfer that failed; where the
 * server is not trusted, what to do. */
void client_explain_silence(const struct client *client, CURLcode code, struct diag *diag);
/* The server was found, and not trusted: nothing to try again. */
static inline bool
client_is_distrusted(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
}
/* What stays the same for every request of this client: address, key, protocols. */
void client_prepare(const struct client *client, CURL *easy, const char *url);

/* The sentence in an error reply ("tz: no such zone"), or one made of the status. Into `diag`. */
void client_explain(long status, struct slice body, struct diag *diag);
/* name=value, percent-encoded (RFC 3986: all but unreserved). */
void client_add_pair(struct buf *query, struct slice name, struct slice value);

/* `server=` of <data_dir>/first-run.txt; false: there is none. */
bool client_server_of_folder(const char *data_dir, char ret_server[CLIENT_URL_BYTES]);

/* Set by ^C and SIGTERM once client_catch_interrupt was called. */
void client_catch_interrupt(void);
bool client_is_interrupted(void);

#endif
