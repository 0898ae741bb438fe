/*
 * url - the address of a PostgreSQL database: read, completed with settings of ours, and written
 * for logs without its secrets.
 *
 * Layer 3 (store/postgres), any thread, pure. libpq reads the text (PQconninfoParse), so that all
 * its parameters work: sslmode, sslrootcert, options, several hosts. What the URL leaves out is
 * filled in: name of the application, timeouts, keep-alives. A few things are ours alone: UTF8, and
 * a session that may write (of several hosts, the one that is not a replica).
 *
 * libpq's words for a URL it cannot read quote the URL, password and all; so they are cut before
 * the quotation. What is shown is made anew from host, port, database and user.
 */
#include "base/buf.h"
#include "store/postgres/store_postgres.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN_BYTES_MAX 1024

bool
postgres_is_url(const char *text)
{
    return strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0;
}

void
postgres_url_free(struct postgres_url **url_ptr)
{
    struct postgres_url *url = *url_ptr;

    *url_ptr = NULL;
    if (url == NULL)
        return;
    for (PQconninfoOption *option = url->options; option != NULL && option->keyword != NULL;
         option++) {
        if (option->val != NULL)
            explicit_bzero(option->val, strlen(option->val));
    }
    PQconninfoFree(url->options);
    mem_free(url->shown);
    mem_free(url);
}

const char *
postgres_url_value(const struct postgres_url *url, const char *keyword)
{
    for (size_t i = 0; url->keywords[i] != NULL; i++) {
        if (strcmp(url->keywords[i], keyword) == 0)
            return url->values[i];
    }
    return NULL;
}

/* `value` belongs to the url, or is a constant. There is room: libpq knows fewer parameters. */
static void
add(struct postgres_url *url, size_t *count, const char *keyword, const char *value)
{
    if (*count + 1 < POSTGRES_URL_PARAMETERS_MAX) {
        url->keywords[*count] = keyword;
        url->values[(*count)++] = value;
    }
}

static void
add_unless_set(struct postgres_url *url, size_t *count, const char *keyword, const char *value)
{
    if (postgres_url_value(url, keyword) == NULL)
        add(url, count, keyword, value);
}

/* "5432", or one a host with commas between, each of which may be left out. */
static bool
is_port_list(const char *text)
{
    for (;;) {
        const size_t digits = strspn(text, "0123456789");
        const long port = digits > 0 && digits <= 5 ? strtol(text, NULL, 10) : 0;

        if (digits != 0 && (port < 1 || port > 65535))
            return false;
        text += digits;
        if (*text != ',')
            return *text == '\0';
        text++;
    }
}

/* An @ within a host is a password's that was not escaped: what stands before it would be shown as
 * part of the host. (A socket of the abstract name space begins with one; a folder may hold any.)
 */
static bool
has_stray_at(const char *hosts)
{
    for (const char *host = hosts;; host++) {
        const size_t len = strcspn(host, ",");

        if (len > 1 && host[0] != '/' && memchr(host + 1, '@', len - 1) != NULL)
            return true;
        host += len;
        if (*host == '\0')
            return false;
    }
}

/* What was asked for and cannot be: events are to be written, by ordinary means. */
static enum err
refuse(const struct postgres_url *url, struct diag *diag)
{
    const char *attributes = postgres_url_value(url, "target_session_attrs");
    const char *encoding = postgres_url_value(url, "client_encoding");
    const char *port = postgres_url_value(url, "port");
    const char *host = postgres_url_value(url, "host");

    if (host != NULL && has_stray_at(host)) {
        diag_set(diag, "the store's URL has more than one @: in a password write %%40 for @, %%2F "
                       "for /, %%3F for ?");
        return ERR_INVALID;
    }
    if (port != NULL && !is_port_list(port)) {
        diag_set(diag, "the store's URL: a port is a number from 1 to 65535");
        return ERR_INVALID;
    }
    if (attributes != NULL && strcmp(attributes, "read-write") != 0 &&
        strcmp(attributes, "primary") != 0) {
        diag_set(diag, "the store's URL: target_session_attrs must be read-write or primary, since "
                       "events are written there");
        return ERR_INVALID;
    }
    if (encoding != NULL && strcasecmp(encoding, "UTF8") != 0 &&
        strcasecmp(encoding, "UTF-8") != 0) {
        diag_set(diag, "the store's URL: client_encoding must be UTF8, or be left out");
        return ERR_INVALID;
    }
    if (postgres_url_value(url, "replication") != NULL) {
        diag_set(diag, "the store's URL: the parameter replication cannot be used here");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static void
complete(struct postgres_url *url, size_t count, int64_t connect_timeout_ms)
{
    /* whole seconds, for each address of each host; libpq takes 1 as 2 */
    const int64_t seconds = connect_timeout_ms > 2000 ? (connect_timeout_ms + 999) / 1000 : 2;

    snprintf(url->texts[0], sizeof(url->texts[0]), "%" PRId64, seconds);
    snprintf(url->texts[1], sizeof(url->texts[1]), "%" PRId64, seconds * 3000);
    add_unless_set(url, &count, "application_name", "potik");
    add_unless_set(url, &count, "connect_timeout", url->texts[0]);
    add_unless_set(url, &count, "tcp_user_timeout", url->texts[1]);
    add_unless_set(url, &count, "keepalives_idle", "10");
    add_unless_set(url, &count, "keepalives_interval", "5");
    add_unless_set(url, &count, "keepalives_count", "3");
    add_unless_set(url, &count, "gssencmode", "disable");
    add_unless_set(url, &count, "client_encoding", "UTF8");
    add_unless_set(url, &count, "target_session_attrs", "read-write");
}

/* "postgres://user@host:port/database", each part if it is there. */
static enum err
show(struct postgres_url *url)
{
    const char *user = postgres_url_value(url, "user");
    const char *host = postgres_url_value(url, "host");
    const char *port = postgres_url_value(url, "port");
    const char *database = postgres_url_value(url, "dbname");
    struct buf buf;

    if (host == NULL)
        host = postgres_url_value(url, "hostaddr");
    buf_init(&buf, SHOWN_BYTES_MAX);
    buf_add_text(&buf, "postgres://");
    if (user != NULL)
        buf_printf(&buf, "%.64s@", user);
    buf_printf(&buf, "%.512s", host != NULL ? host : "");
    if (port != NULL)
        buf_printf(&buf, ":%.64s", port);
    buf_printf(&buf, "/%.64s", database != NULL ? database : "");
    buf_add_char(&buf, '\0');
    if (!buf_failed(&buf))
        url->shown = mem_strdup(buf.ptr);
    buf_fini(&buf);
    return url->shown != NULL ? ERR_OK : ERR_NOMEM;
}

/* libpq's words without the text they quote; the name of an unknown parameter is kept where it can
 * be no part of a password. */
static void
explain_unreadable(const char *text, const char *words, struct diag *diag)
{
    const char *query = strchr(text, '?');
    const char *quote = words != NULL ? strstr(words, ": \"") : NULL;

    if (words == NULL || quote == NULL)
        diag_set(diag, "the store's URL cannot be read; it looks like "
                       "postgres://user@host:5432/database");
    else if (strncmp(words, "invalid URI query parameter", 27) == 0 && query != NULL &&
             strchr(query, '@') == NULL)
        diag_set(diag, "the store's URL: PostgreSQL's library knows no parameter %.*s",
                 (int)strcspn(quote + 2, "\n"), quote + 2);
    else
        diag_set(diag,
                 "the store's URL cannot be read: %.*s; it looks like "
                 "postgres://user@host:5432/database (in a password, write %%40 for @, %%2F for /, "
                 "%%3F for ?)",
                 (int)(quote - words), words);
}

enum err
postgres_url_parse(const char *text, int64_t connect_timeout_ms, struct postgres_url **ret_url,
                   struct diag *diag)
{
    CLEANUP(postgres_url_free) struct postgres_url *url = MEM_NEW(struct postgres_url, 1);
    char *words = NULL;
    size_t count = 0;
    enum err err = ERR_OK;

    if (url == NULL)
        return ERR_NOMEM;
    if (!postgres_is_url(text)) {
        diag_set(diag, "the store's URL must begin with postgres:// or postgresql://");
        return ERR_INVALID;
    }
    url->options = PQconninfoParse(text, &words);
    if (url->options == NULL) {
        explain_unreadable(text, words, diag);
        PQfreemem(words);
        return ERR_INVALID;
    }
    for (const PQconninfoOption *option = url->options; option->keyword != NULL; option++) {
        if (option->val != NULL && option->val[0] != '\0')
            add(url, &count, option->keyword, option->val);
    }
    err = refuse(url, diag);
    if (err != ERR_OK)
        return err;
    complete(url, count, connect_timeout_ms);
    err = show(url);
    if (err != ERR_OK)
        return err;
    *ret_url = MOVE(url);
    return ERR_OK;
}

enum err
postgres_check_url(const char *text, struct diag *diag)
{
    CLEANUP(postgres_url_free) struct postgres_url *url = NULL;

    return postgres_url_parse(text, 0, &url, diag);
}
