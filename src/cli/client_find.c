/*
 * client_find - see client_find.h.
 */
#include "cli/client_find.h"

#include "base/file.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_RUN_BYTES_MAX (64u * 1024)

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
    buf_wipe(&buf);
    return is_found;
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

        if (key != NULL && !client_has_start(key, other))
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

/* "127.0.0.1:8700" of a URL, and its port; false: no such form. */
static bool
split(const char *url, const char **ret_host, const char **ret_port)
{
    const char *host = strstr(url, "://");

    *ret_port = strrchr(url, ':');
    if (host == NULL || *ret_port <= host)
        return false;
    *ret_host = host + 3;
    return true;
}

/* This machine, by any of its names; of the server a file names also "every address". */
static bool
is_here(const char *host, bool with_every)
{
    static const char *const names[] = {"localhost:", "[::1]:", "0.0.0.0:", "[::]:"};

    for (size_t i = 0; i < (with_every ? COUNT_OF(names) : 2); i++) {
        if (client_has_start(host, names[i]))
            return true;
    }
    return client_has_start(host, "127.") && host[strspn(host, "0123456789.")] == ':';
}

/* Whether the server asked is the one the file names: its keys go to no other. */
static bool
is_named(const char *server, struct slice named)
{
    char text[CLIENT_URL_BYTES];
    const char *asked_host, *asked_port, *host, *port;

    if (slice_equal(slice_of_text(server), named))
        return true;
    return copy_value(named, text, sizeof(text)) && split(server, &asked_host, &asked_port) &&
           split(text, &host, &port) && strcmp(asked_port, port) == 0 &&
           (size_t)(asked_host - server) == (size_t)(host - text) && /* http or https */
           is_here(asked_host, false) && is_here(host, true);
}

enum err
client_find(const struct client_flags *flags, enum client_key which, struct client_found *ret_found,
            struct diag *diag)
{
    const char *server = first_of(flags->server, "POTIK_SERVER");
    const char *data_dir = first_of(flags->data_dir, "POTIK_DATA_DIR");
    const char *wrong = NULL;
    const char *key = key_given(flags->key, which, &wrong);
    char path[FILE_PATH_MAX];
    struct slice text, value;
    struct buf buf;
    enum err err = ERR_OK;
    bool is_good;

    data_dir = data_dir != NULL ? data_dir : "potik-data";
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
        /* Where the folder is named by hand, it is meant. */
        const bool is_same = flags->data_dir != NULL || is_named(ret_found->server, named);

        err = find_ca(first_of(flags->ca, "POTIK_CA"), is_same ? value_of(text, "ca") : SLICE_NONE,
                      ret_found->ca, diag);
        /* Of the server that wrote the file, whose own certificate is trusted. */
        if (!is_named(ret_found->server, named) || first_of(flags->ca, "POTIK_CA") != NULL ||
            !copy_value(value_of(text, "tls_name"), ret_found->name, sizeof(ret_found->name)))
            ret_found->name[0] = '\0';
        if (which != CLIENT_NO_KEY) {
            value = key != NULL ? slice_of_text(key)
                    : is_same ? value_of(text, which == CLIENT_WRITE_KEY ? "write_key" : "read_key")
                              : SLICE_NONE;
            is_good = copy_value(value, ret_found->key, sizeof(ret_found->key));
        }
        if (!is_good)
            tell_no_key(which, wrong, path, is_same ? SLICE_NONE : named, ret_found->server, diag);
    }
    buf_wipe(&buf);
    return is_good ? err : ERR_ABSENT;
}
