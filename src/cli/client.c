/*
 * client - see client.h.
 */
#include "cli/client.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/flags.h"
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_RUN_BYTES_MAX (64u * 1024)
#define KEY_BYTES_MAX 1024 /* a token has some 400 */
#define CONNECT_TIMEOUT_S 10L
#define GET_TIMEOUT_S 120L

/* Where a value came from is worth knowing: see the head of client.h. */
struct found {
    char server[CLIENT_URL_BYTES];
    char key[KEY_BYTES_MAX];
    char ca[CLIENT_URL_BYTES];
};

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

static bool
copy_value(struct slice value, char *ret_text, size_t size)
{
    if (value.len == 0 || value.len >= size)
        return false;
    memcpy(ret_text, value.ptr, value.len);
    ret_text[value.len] = '\0';
    return true;
}

/* `name=value` of a line of first-run.txt. */
static struct slice
value_of(struct slice text, const char *name)
{
    size_t name_len = strlen(name);

    while (text.len != 0) {
        const char *end = (const char *)memchr(text.ptr, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;

        if (len > name_len && text.ptr[name_len] == '=' && memcmp(text.ptr, name, name_len) == 0)
            return slice_trim(slice_of(text.ptr + name_len + 1, len - name_len - 1));
        len += end != NULL ? 1 : 0;
        text = slice_of(text.ptr + len, text.len - len);
    }
    return SLICE_NONE;
}

bool
client_server_of_folder(const char *data_dir, char ret_server[CLIENT_URL_BYTES])
{
    char path[FILE_PATH_MAX];
    struct buf buf;
    bool is_found = false;

    buf_init(&buf, FIRST_RUN_BYTES_MAX);
    if (file_path(path, data_dir, "first-run.txt") &&
        file_read_whole(path, FIRST_RUN_BYTES_MAX, &buf, NULL) == ERR_OK)
        is_found = copy_value(value_of(buf_slice(&buf), "server"), ret_server, CLIENT_URL_BYTES);
    if (buf.ptr != NULL)
        sodium_memzero(buf.ptr, buf.len);
    buf_fini(&buf);
    return is_found;
}

static bool
has_start(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static const char *
first_of(const char *flag, const char *variable)
{
    const char *value = flag != NULL ? flag : getenv(variable);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* The key of the flag or the environment; NULL: none. *ret_wrong is the variable that was passed
 * over since its key is plainly of the other kind, or NULL. */
static const char *
key_given(const char *flag, enum client_key which, const char **ret_wrong)
{
    static const char *const variables[] = {"POTIK_READ_KEY", "POTIK_KEY"};
    const char *other = which == CLIENT_READ_KEY ? "wk_" : "rk_";

    *ret_wrong = NULL;
    if (flag != NULL && *flag != '\0')
        return flag;
    if (first_of(NULL, "POTIK_TOKEN") != NULL)
        return first_of(NULL, "POTIK_TOKEN");
    for (size_t i = which == CLIENT_READ_KEY ? 0 : 1; i < 2; i++) {
        const char *key = first_of(NULL, variables[i]);

        if (key != NULL && !has_start(key, other))
            return key;
        if (key != NULL && *ret_wrong == NULL)
            *ret_wrong = variables[i];
    }
    return NULL;
}

/* Why there is no key, and the cure. `wrong` as of key_given; `named` is the server that the file
 * at `path` names, if it is not the one asked. */
static void
tell_no_key(enum client_key which, const char *wrong, const char *path, struct slice named,
            const char *server, struct diag *diag)
{
    bool is_read = which == CLIENT_READ_KEY;

    if (wrong != NULL)
        diag_set(diag, "%s holds a %s; %s: set %s, or give --key", wrong,
                 is_read ? "write key (wk_…)" : "read key (rk_…)",
                 is_read ? "reading needs a read key" : "sending needs a write key",
                 is_read ? "POTIK_READ_KEY" : "POTIK_KEY");
    else if (named.len != 0)
        diag_set(diag,
                 "%s is of %.*s, not of %s: give --key KEY, or %s, or --data-dir of that server",
                 path, SLICE_ARGS(named), server, is_read ? "POTIK_READ_KEY" : "POTIK_KEY");
    else
        diag_set(diag, "no %s key: give --key KEY, or %s, or --data-dir of that server",
                 is_read ? "read" : "write", is_read ? "POTIK_READ_KEY" : "POTIK_KEY");
}

/* "127.0.0.1:8700", "[::1]:8700", "potik.example:80": what people type. */
static bool
is_host_and_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;

    return colon != NULL && colon != text && digits != 0 && digits <= 5 &&
           colon[1 + digits] == '\0' && strpbrk(text, "/@?# ") == NULL &&
           (text[0] == '[' || strchr(text, ':') == colon);
}

/* HOST:PORT becomes http://HOST:PORT. */
static void
complete_server(char server[CLIENT_URL_BYTES])
{
    size_t len = strlen(server);

    if (!is_host_and_port(server) || len + 7 >= CLIENT_URL_BYTES)
        return;
    memmove(server + 7, server, len + 1);
    memcpy(server, "http://", 7);
}

/* "": none was given. A name that is too long would silently be another file's. */
static enum err
find_ca(const char *given, struct slice named, char ret_ca[CLIENT_URL_BYTES], struct diag *diag)
{
    struct slice value = given != NULL ? slice_of_text(given) : named;

    ret_ca[0] = '\0';
    if (value.len == 0 || copy_value(value, ret_ca, CLIENT_URL_BYTES))
        return ERR_OK;
    diag_set(diag, "the name of the file of --ca is longer than %d bytes", CLIENT_URL_BYTES - 1);
    return ERR_INVALID;
}

static enum err
discover(const struct client_flags *flags, enum client_key which, struct found *ret_found,
         struct diag *diag)
{
    const char *server = first_of(flags->server, "POTIK_SERVER");
    const char *data_dir = first_of(flags->data_dir, "POTIK_DATA_DIR");
    const char *wrong = NULL;
    const char *key = key_given(flags->key, which, &wrong);
    bool is_dir_given = data_dir != NULL;
    char path[FILE_PATH_MAX];
    struct slice text, value;
    struct buf buf;
    enum err err = ERR_OK;
    bool is_good;

    data_dir = is_dir_given ? data_dir : "potik-data";
    buf_init(&buf, FIRST_RUN_BYTES_MAX);
    if (!file_path(path, data_dir, "first-run.txt") ||
        file_read_whole(path, FIRST_RUN_BYTES_MAX, &buf, NULL) != ERR_OK)
        buf_clear(&buf);
    text = buf_slice(&buf);
    value = server != NULL ? slice_of_text(server) : value_of(text, "server");
    is_good = copy_value(value, ret_found->server, sizeof(ret_found->server));
    if (!is_good)
        diag_set(diag,
                 "no server: give --server URL, or POTIK_SERVER, or --data-dir of a server "
                 "that has been started (%s was not found or names none)",
                 path);
    if (is_good)
        complete_server(ret_found->server);
    if (is_good) {
        const struct slice named = value_of(text, "server");
        const bool is_same = is_dir_given || slice_equal(slice_of_text(ret_found->server), named);

        err = find_ca(first_of(flags->ca, "POTIK_CA"), is_same ? value_of(text, "ca") : SLICE_NONE,
                      ret_found->ca, diag);
        if (which != CLIENT_NO_KEY) {
            value = key != NULL ? slice_of_text(key)
                    : is_same ? value_of(text, which == CLIENT_WRITE_KEY ? "write_key" : "read_key")
                              : SLICE_NONE;
            is_good = copy_value(value, ret_found->key, sizeof(ret_found->key));
        }
        if (!is_good)
            tell_no_key(which, wrong, path, is_same ? SLICE_NONE : named, ret_found->server, diag);
    }
    if (buf.ptr != NULL)
        sodium_memzero(buf.ptr, buf.len);
    buf_fini(&buf);
    return is_good ? err : ERR_ABSENT;
}

static enum err
set_server(struct client *client, const char *server, struct diag *diag)
{
    size_t len = strlen(server);

    if (has_start(server, "unix:") && len > 5) {
        memcpy(client->unix_path, server + 5, len - 5 + 1);
        memcpy(client->base, "http://localhost", 17);
        client->is_loopback = true;
        return ERR_OK;
    }
    if (!has_start(server, "http://") && !has_start(server, "https://")) {
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
    client->is_loopback = has_start(server, "127.") || has_start(server, "0.0.0.0:") ||
                          has_start(server, "[::]:") || has_start(server, "[::1]") ||
                          has_start(server, "localhost");
    return ERR_OK;
}

static enum err
set_project(struct client *client, const char *project, struct diag *diag)
{
    uint64_t id = 0;
    enum err err = flags_number("project", project, 1, UINT32_MAX, &id, diag);

    if (id != 0)
        (void)snprintf(client->project, sizeof(client->project), "project=%" PRIu64, id);
    return err;
}

static enum err
set_key(struct client *client, const char *key, struct diag *diag)
{
    char header[KEY_BYTES_MAX + 32];

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
    struct found found = {0};
    enum err err;

    if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        diag_set(diag, "out of memory");
        return ERR_NOMEM;
    }
    client->timeout_s = GET_TIMEOUT_S;
    err = discover(flags, which, &found, diag);
    if (err == ERR_OK)
        err = set_server(client, found.server, diag);
    if (err == ERR_OK)
        err = set_project(client, flags->project, diag);
    if (err == ERR_OK && which != CLIENT_NO_KEY)
        err = set_key(client, found.key, diag);
    memcpy(client->ca, found.ca, sizeof(client->ca));
    sodium_memzero(&found, sizeof(found));
    if (err != ERR_OK)
        return err;
    client->easy = curl_easy_init();
    if (client->easy == NULL)
        return ERR_NOMEM;
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
        if (!copy_value(slice_trim(value), reply->watermark, sizeof(reply->watermark)))
            reply->watermark[0] = '\0';
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

/* GET, or POST where there is a body. */
static enum err
ask(struct client *client, const char *path, const struct slice *body, struct client_reply *reply,
    struct diag *diag)
{
    CLEANUP(buf_fini) struct buf url;

    buf_init(&url, 256u * 1024);
    buf_clear(&reply->body);
    reply->watermark[0] = '\0';
    if (!write_url(client, path, &url, diag))
        return ERR_NOMEM;
    client_prepare(client, client->easy, url.ptr);
    if (body != NULL) {
        (void)curl_easy_setopt(client->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
        (void)curl_easy_setopt(client->easy, CURLOPT_POSTFIELDS, body->ptr);
    }
    return transfer(client, reply, diag);
}

enum err
client_get(struct client *client, const char *path, struct client_reply *reply, struct diag *diag)
{
    return ask(client, path, NULL, reply, diag);
}

enum err
client_post(struct client *client, const char *path, struct slice body, struct client_reply *reply,
            struct diag *diag)
{
    return ask(client, path, &body, reply, diag);
}

/* The client's own header fields, and those of a PUT. NULL: out of memory. */
static struct curl_slist *
put_headers(const struct client *client, const char *if_match)
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

enum err
client_put(struct client *client, const char *path, struct slice body, const char *if_match,
           struct client_reply *reply, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf url;
    struct curl_slist *headers = put_headers(client, if_match);
    enum err err = ERR_NOMEM;

    buf_init(&url, 256u * 1024);
    buf_clear(&reply->body);
    if (headers == NULL)
        diag_set(diag, "out of memory");
    else if (write_url(client, path, &url, diag)) {
        client_prepare(client, client->easy, url.ptr);
        (void)curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(client->easy, CURLOPT_CUSTOMREQUEST, "PUT");
        (void)curl_easy_setopt(client->easy, CURLOPT_POSTFIELDS, body.len != 0 ? body.ptr : "");
        (void)curl_easy_setopt(client->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        err = transfer(client, reply, diag);
    }
    curl_slist_free_all(headers);
    return err;
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
