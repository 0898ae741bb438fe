/*
 * client - asks the server over HTTP (libcurl). See client.h; where it is, and with which key:
 * client_find.c.
 */
#include "cli/client.h"

#include "base/mem.h"
#include "cli/client_find.h"
#include "cli/words.h"
#include "codec/json.h"
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>

#define CONNECT_TIMEOUT_S 10L
#define GET_TIMEOUT_S 120L

static volatile sig_atomic_t is_interrupted;

static void
interrupt(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

void
client_catch_interrupt(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = interrupt; /* without SA_RESTART: waiting calls come back */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool
client_is_interrupted(void)
{
    return is_interrupted != 0;
}

static enum err
set_server(struct client *client, const char *server, struct diag *diag)
{
    size_t len = strlen(server);

    if (client_has_start(server, "unix:") && len > 5) {
        memcpy(client->unix_path, server + 5, len - 5 + 1);
        memcpy(client->base, "http://localhost", 17);
        client->is_loopback = true;
        return ERR_OK;
    }
    if (!client_has_start(server, "http://") && !client_has_start(server, "https://")) {
        diag_set(diag,
                 "server \"%s\": must be HOST:PORT, http://HOST:PORT, https://… or unix:/path",
                 server);
        return ERR_INVALID;
    }
    memcpy(client->base, server, len + 1);
    while (len != 0 && client->base[len - 1] == '/')
        client->base[--len] = '\0';
    server = strstr(client->base, "://") + 3;
    /* Of the wildcards: a server that listens on every address writes them to first-run.txt, and to
     * connect to them is to connect to this machine. */
    client->is_loopback = client_has_start(server, "127.") ||
                          client_has_start(server, "0.0.0.0:") ||
                          client_has_start(server, "[::]:") || client_has_start(server, "[::1]") ||
                          client_has_start(server, "localhost");
    return ERR_OK;
}

/* Asks at the same place for `name`, which the certificate there is made out for. */
static enum err
set_name(struct client *client, const char *name)
{
    const char *place = client->base + strlen("https://");
    const char *port = strrchr(client->base, ':');
    char text[CLIENT_URL_BYTES + 16];

    if (name[0] == '\0' || !client_has_start(client->base, "https://") || port < place)
        return ERR_OK;
    if (client_has_start(place, "0.0.0.0:"))
        (void)snprintf(text, sizeof(text), "::127.0.0.1%s", port);
    else if (client_has_start(place, "[::]:"))
        (void)snprintf(text, sizeof(text), "::[::1]%s", port);
    else
        (void)snprintf(text, sizeof(text), "::%s", place);
    client->connect_to = curl_slist_append(NULL, text);
    if (client->connect_to == NULL)
        return ERR_NOMEM;
    (void)snprintf(text, sizeof(text), "https://%s%s", name, port);
    if (strlen(text) < sizeof(client->base))
        memcpy(client->base, text, strlen(text) + 1);
    return ERR_OK;
}

/* The id of one's project of this name: ERR_ABSENT with the cure. */
static enum err
look_up_project(struct client *client, const char *name, uint64_t *ret_id, struct diag *diag)
{
    struct json_document *document = NULL;
    struct json_value root, list, item, value;
    struct client_reply reply;
    struct slice text;
    enum err err;

    client_reply_init(&reply);
    err = client_get(client, "/v1/projects", &reply, diag);
    if (err == ERR_OK)
        err = json_document_new(&document, diag);
    if (err == ERR_OK && reply.status != 200) {
        client_explain(reply.status, buf_slice(&reply.body), diag);
        err = ERR_IO;
    }
    if (err == ERR_OK && (json_parse(document, buf_slice(&reply.body), &root, NULL) != ERR_OK ||
                          !json_get(root, "projects", &list))) {
        diag_set(diag, "the reply is not a list of projects; is this Potik?");
        err = ERR_IO;
    }
    if (err == ERR_OK) {
        struct json_items items = json_items_of(list);

        err = ERR_ABSENT;
        while (err != ERR_OK && json_items_next(&items, &text, &item)) {
            if (json_get(item, "name", &value) && json_as_text(value, &text) &&
                slice_equal(text, slice_of_text(name)) && json_get(item, "id", &value) &&
                json_as_u64(value, ret_id))
                err = ERR_OK;
        }
        if (err != ERR_OK)
            diag_set(diag, "--project: this account has no project \"%.64s\"", name);
    }
    json_document_free(&document);
    client_reply_fini(&reply);
    return err;
}

/* By its id, or by its name, which the server is asked for. A key has one project, and no list. */
static enum err
set_project(struct client *client, const char *project, bool has_login, struct diag *diag)
{
    uint64_t id = 0;
    enum err err = ERR_OK;

    if (project == NULL)
        return ERR_OK;
    if (!words_is_id(slice_of_text(project), UINT32_MAX, &id)) {
        if (!has_login) {
            diag_set(diag,
                     "--project: \"%.64s\" is no id (1, 2, …), and names are known to a login "
                     "alone, in POTIK_TOKEN; a key is of one project, and needs no --project",
                     project);
            return ERR_INVALID;
        }
        err = look_up_project(client, project, &id, diag);
    }
    if (err == ERR_OK)
        (void)snprintf(client->project, sizeof(client->project), "project=%" PRIu64, id);
    return err;
}

static enum err
set_key(struct client *client, const char *key, struct diag *diag)
{
    char header[CLIENT_KEY_BYTES + 32];

    for (const char *c = key; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7F) {
            diag_set(diag, "the key holds a character that no key has");
            return ERR_INVALID;
        }
    }
    (void)snprintf(header, sizeof(header), "Authorization: Bearer %s", key);
    client->headers = curl_slist_append(NULL, header);
    sodium_memzero(header, sizeof(header));
    return client->headers != NULL ? ERR_OK : ERR_NOMEM;
}

enum err
client_open(const struct client_flags *flags, enum client_key which, struct client **ret_client,
            struct diag *diag)
{
    CLEANUP(client_close) struct client *client = MEM_NEW(struct client, 1);
    struct client_found found = {0};
    bool has_login;
    enum err err;

    if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        diag_set(diag, "out of memory");
        return ERR_NOMEM;
    }
    client->timeout_s = GET_TIMEOUT_S;
    err = client_find(flags, which, &found, diag);
    if (err == ERR_OK)
        err = set_server(client, found.server, diag);
    memcpy(client->shown, client->base, sizeof(client->shown));
    if (err == ERR_OK)
        err = set_name(client, found.name);
    if (err == ERR_OK && which != CLIENT_NO_KEY)
        err = set_key(client, found.key, diag);
    memcpy(client->ca, found.ca, sizeof(client->ca));
    has_login = found.key[0] != '\0' && !client_has_start(found.key, "wk_") &&
                !client_has_start(found.key, "rk_");
    sodium_memzero(&found, sizeof(found));
    if (err != ERR_OK)
        return err;
    client->easy = curl_easy_init();
    if (client->easy == NULL)
        return ERR_NOMEM;
    err = set_project(client, flags->project, has_login, diag);
    if (err != ERR_OK)
        return err;
    *ret_client = MOVE(client);
    return ERR_OK;
}

void
client_close(struct client **client)
{
    if (*client == NULL)
        return;
    curl_easy_cleanup((*client)->easy);
    curl_slist_free_all((*client)->headers);
    curl_slist_free_all((*client)->connect_to);
    mem_free(*client);
    *client = NULL;
}

void
client_prepare(const struct client *client, CURL *easy, const char *url)
{
    curl_easy_reset(easy);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, client->headers);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "potik/" POTIK_VERSION);
    if (client->unix_path[0] != '\0')
        (void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->unix_path);
    if (client->ca[0] != '\0')
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca);
    if (client->connect_to != NULL)
        (void)curl_easy_setopt(easy, CURLOPT_CONNECT_TO, client->connect_to);
    if (client->is_loopback)
        (void)curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever http_proxy says */
}

void
client_reply_init(struct client_reply *reply)
{
    reply->status = 0;
    reply->watermark[0] = '\0';
    buf_init(&reply->body, CLIENT_REPLY_BYTES_MAX);
}

void
client_reply_fini(struct client_reply *reply)
{
    buf_fini(&reply->body);
}

static size_t
take_body(char *bytes, size_t size, size_t count, void *state)
{
    struct client_reply *reply = (struct client_reply *)state;

    buf_add(&reply->body, bytes, size * count);
    return buf_failed(&reply->body) ? 0 : size * count;
}

static size_t
take_header(char *bytes, size_t size, size_t count, void *state)
{
    struct client_reply *reply = (struct client_reply *)state;
    struct slice line = slice_of(bytes, size * count);
    const char *colon = (const char *)memchr(bytes, ':', line.len);

    if (colon != NULL &&
        slice_equal_nocase(slice_of(bytes, (size_t)(colon - bytes)), SLICE("x-potik-watermark"))) {
        struct slice value = slice_of(colon + 1, line.len - (size_t)(colon + 1 - bytes));

        while (value.len != 0 &&
               (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
            value.len--;
        value = slice_trim(value);
        (void)snprintf(reply->watermark, sizeof(reply->watermark), "%.*s",
                       value.len < sizeof(reply->watermark) ? (int)value.len : 0, value.ptr);
    }
    return line.len;
}

static int
check_interrupt(void *state, curl_off_t total, curl_off_t now, curl_off_t up_total,
                curl_off_t up_now)
{
    (void)state;
    (void)total;
    (void)now;
    (void)up_total;
    (void)up_now;
    return client_is_interrupted() ? 1 : 0;
}

/* base + path, with the project. false: out of memory, told. */
static bool
write_url(const struct client *client, const char *path, struct buf *url, struct diag *diag)
{
    buf_add_text(url, client->base);
    buf_add_text(url, path);
    if (client->project[0] != '\0')
        buf_printf(url, "%c%s", strchr(path, '?') != NULL ? '&' : '?', client->project);
    buf_add_char(url, '\0');
    if (buf_failed(url))
        diag_set(diag, "out of memory, or the request is too long");
    return !buf_failed(url);
}

/* What client->easy was prepared for. */
static enum err
transfer(struct client *client, struct client_reply *reply, struct diag *diag)
{
    CURLcode code;

    (void)curl_easy_setopt(client->easy, CURLOPT_TIMEOUT, client->timeout_s);
    (void)curl_easy_setopt(client->easy, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(client->easy, CURLOPT_WRITEDATA, reply);
    (void)curl_easy_setopt(client->easy, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(client->easy, CURLOPT_HEADERDATA, reply);
    (void)curl_easy_setopt(client->easy, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(client->easy, CURLOPT_XFERINFOFUNCTION, check_interrupt);
    code = curl_easy_perform(client->easy);
    if (code == CURLE_ABORTED_BY_CALLBACK && client_is_interrupted())
        return ERR_CANCELLED;
    if (code != CURLE_OK) {
        client_explain_silence(client, code, diag);
        return ERR_IO;
    }
    (void)curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &reply->status);
    return ERR_OK;
}

enum err
client_get(struct client *client, const char *path, struct client_reply *reply, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf url;

    buf_init(&url, 256u * 1024);
    buf_clear(&reply->body);
    reply->watermark[0] = '\0';
    if (!write_url(client, path, &url, diag))
        return ERR_NOMEM;
    client_prepare(client, client->easy, url.ptr);
    return transfer(client, reply, diag);
}

/* The client's own header fields, and those of a body. NULL: out of memory. */
static struct curl_slist *
body_headers(const struct client *client, const char *if_match)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    char line[128];

    for (const struct curl_slist *own = client->headers; headers != NULL && own != NULL;
         own = own->next) {
        struct curl_slist *longer = curl_slist_append(headers, own->data);

        if (longer == NULL)
            curl_slist_free_all(headers);
        headers = longer;
    }
    if (headers != NULL && if_match != NULL) {
        struct curl_slist *longer;

        (void)snprintf(line, sizeof(line), "If-Match: %s", if_match);
        longer = curl_slist_append(headers, line);
        if (longer == NULL)
            curl_slist_free_all(headers);
        headers = longer;
    }
    return headers;
}

/* PUT, or POST where `method` is NULL. */
static enum err
send_body(struct client *client, const char *method, const char *path, struct slice body,
          const char *if_match, struct client_reply *reply, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf url;
    struct curl_slist *headers = body_headers(client, if_match);
    enum err err = ERR_NOMEM;

    buf_init(&url, 256u * 1024);
    buf_clear(&reply->body);
    reply->watermark[0] = '\0';
    if (headers == NULL)
        diag_set(diag, "out of memory");
    else if (write_url(client, path, &url, diag)) {
        client_prepare(client, client->easy, url.ptr);
        (void)curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(client->easy, CURLOPT_CUSTOMREQUEST, method);
        (void)curl_easy_setopt(client->easy, CURLOPT_POSTFIELDS, body.len != 0 ? body.ptr : "");
        (void)curl_easy_setopt(client->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        err = transfer(client, reply, diag);
    }
    curl_slist_free_all(headers);
    return err;
}

enum err
client_post(struct client *client, const char *path, struct slice body, struct client_reply *reply,
            struct diag *diag)
{
    return send_body(client, NULL, path, body, NULL, reply, diag);
}

enum err
client_put(struct client *client, const char *path, struct slice body, const char *if_match,
           struct client_reply *reply, struct diag *diag)
{
    return send_body(client, "PUT", path, body, if_match, reply, diag);
}

static void
add_escaped(struct buf *query, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~') {
            buf_add_char(query, (char)c);
        } else {
            buf_add_char(query, '%');
            buf_add_char(query, digits[c >> 4]);
            buf_add_char(query, digits[c & 15]);
        }
    }
}

void
client_add_pair(struct buf *query, struct slice name, struct slice value)
{
    add_escaped(query, name);
    buf_add_char(query, '=');
    add_escaped(query, value);
}
