/*
 * explain - why PostgreSQL could not be reached or would not do it: a sentence that names cause and
 * cure, and never a password or a value.
 *
 * Layer 3 (store/postgres), any thread. A failed statement has an SQLSTATE, which decides. A failed
 * connection has only libpq's words: what is known in them is turned into cause and cure, else they
 * are given as they are (libpq keeps passwords out of them; a server of another language is
 * understood less well). Source: PostgreSQL's documentation, appendix A (error codes).
 */
#include "store/postgres/store_postgres.h"

#define WORDS_MAX 240

/* The last attempt's words in one line: with several addresses each has a line, or two. */
static void
words_of(const char *message, char ret_words[WORDS_MAX])
{
    size_t len = 0;
    bool was_space = true;

    for (; *message != '\0' && len + 1 < WORDS_MAX; message++) {
        const bool is_space = *message == '\n' || *message == '\t' || *message == ' ';

        if (is_space && was_space)
            continue;
        ret_words[len++] = is_space ? ' ' : *message;
        was_space = is_space;
    }
    while (len > 0 && ret_words[len - 1] == ' ')
        len--;
    ret_words[len] = '\0';
}

struct cure {
    const char *words[2]; /* all are in libpq's message; the second may be NULL */
    const char *sentence;
};

/* In this order: the first that fits. */
static const struct cure cures[] = {
    {{"could not translate host name", NULL},
     "there is no such host: check its name in --store, and the resolver"},
    {{"password authentication failed", NULL},
     "the password is wrong (or the user does not exist): check it in PGPASSFILE or in the URL"},
    {{"no password supplied", NULL},
     "a password is needed: put it into PGPASSFILE (host:port:database:user:password, mode 0600)"},
    {{"no pg_hba.conf entry", NULL},
     "the server lets no such connection in: add a line for user, database and address to its "
     "pg_hba.conf"},
    {{"authentication failed", NULL},
     "the server did not accept who we are: check the user, and the server's pg_hba.conf"},
    {{"database \"", "does not exist"}, "create it: createdb -O USER DATABASE"},
    {{"role \"", "does not exist"}, "create it: CREATE ROLE … LOGIN PASSWORD …"},
    {{"permission denied for database", NULL}, "allow it: GRANT CONNECT ON DATABASE … TO …"},
    {{"session is read-only", NULL},
     "it is a read-only replica, or its sessions are read-only: name the primary in --store (or "
     "all hosts, with commas between)"},
    {{"hot standby", NULL},
     "it is a read-only replica: name the primary in --store (or all hosts, with commas between)"},
    {{"is starting up", NULL}, "it is starting; connecting goes on"},
    {{"is shutting down", NULL}, "it is stopping; connecting goes on"},
    {{"in recovery mode", NULL}, "it is recovering from a crash; connecting goes on"},
    {{"too many clients", NULL}, "raise the server's max_connections, or run fewer loops"},
    {{"connection slots are reserved", NULL},
     "raise the server's max_connections, or run fewer loops"},
    {{"too many connections for", NULL}, "raise the CONNECTION LIMIT of the role or the database"},
    {{"Connection refused", NULL},
     "nobody listens there: is PostgreSQL running, and are host and port right (its "
     "listen_addresses and port)?"},
    {{"No such file or directory", "socket"},
     "nobody listens there: is PostgreSQL running, and is that the folder of its socket?"},
    {{"certificate", NULL},
     "TLS failed: check sslrootcert, and that host is the name in the "
     "server's certificate"},
    {{"SSL", NULL}, "TLS failed: check sslmode and sslrootcert in --store"},
    {{"timeout expired", NULL},
     "no answer in time: check host and port, and that no firewall stands between"},
    {{"timed out", NULL},
     "no answer in time: check host and port, and that no firewall stands between"},
    {{"No route to host", NULL}, "the network does not reach it: check host and routes"},
    {{"Network is unreachable", NULL}, "the network does not reach it: check host and routes"},
    {{"server closed the connection", NULL}, "the server went away; connecting goes on"},
    {{"terminating connection", NULL}, "the server ended the connection; connecting goes on"},
};

static const char *
find_cure(const char *words)
{
    for (size_t i = 0; i < COUNT_OF(cures); i++) {
        if (strstr(words, cures[i].words[0]) != NULL &&
            (cures[i].words[1] == NULL || strstr(words, cures[i].words[1]) != NULL))
            return cures[i].sentence;
    }
    return NULL;
}

void
postgres_explain_connection(const PGconn *conn, const struct postgres_url *url, struct diag *diag)
{
    const char *message = PQerrorMessage(conn);
    const char *cure = find_cure(message);
    const char *shown = url != NULL ? url->shown : "PostgreSQL";
    char words[WORDS_MAX];

    words_of(message, words);
    if (PQconnectionNeedsPassword(conn))
        cure = "a password is needed: put it into PGPASSFILE (host:port:database:user:password, "
               "mode 0600)";
    if (words[0] == '\0')
        diag_set(diag, "%.150s: the connection was lost", shown);
    else if (cure != NULL)
        diag_set(diag, "%.100s: %.200s (%s)", shown, cure, words);
    else
        diag_set(diag, "%.150s: %s", shown, words);
}

/* --- statements ------------------------------------------------------------------------------ */

struct state {
    const char *begin; /* of the SQLSTATE: a class of two letters, or all five */
    enum err err;
    const char *sentence;
};

static const struct state states[] = {
    {"53100", ERR_STORAGE_FULL,
     "the disk of the PostgreSQL server is full: make room there; work goes on by itself"},
    {"53", ERR_OVERLOADED, "the PostgreSQL server has no memory or connections left"},
    {"57014", ERR_OVERLOADED, "a statement took longer than --store-timeout"},
    {"55P03", ERR_OVERLOADED, "a lock was not given in time: somebody holds the table"},
    {"40", ERR_OVERLOADED, "the statement met another and was undone; it can be sent again"},
    {"57P", ERR_NOT_READY, "the PostgreSQL server is stopping or restarting"},
    {"25006", ERR_NOT_READY, "the server is read-only (a replica, or its role is set so)"},
    {"42501", ERR_NOT_READY, "the role lacks a right: GRANT what docs/POSTGRES.md names"},
    {"42P01", ERR_NOT_READY,
     "a table of Potik's is gone: run potik migrate, or put it back from a backup"},
    {"3F000", ERR_NOT_READY, "the schema is gone: CREATE SCHEMA, or check search_path"},
    {"22P05", ERR_NOT_READY, "the database's encoding cannot hold every text: it must be UTF8"},
    {"08", ERR_NOT_READY, "the connection to PostgreSQL was lost"},
    {"58", ERR_NOT_READY, "the PostgreSQL server cannot read or write its files: see its log"},
    {"XX", ERR_NOT_READY, "the PostgreSQL server found damaged data: see its log"},
};

enum err
postgres_explain(const PGresult *result, struct diag *diag)
{
    const char *code = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *words = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    for (size_t i = 0; code != NULL && i < COUNT_OF(states); i++) {
        if (strncmp(code, states[i].begin, strlen(states[i].begin)) == 0) {
            diag_set(diag, "%s (PostgreSQL: %.5s %.200s)", states[i].sentence, code,
                     words != NULL ? words : "");
            return states[i].err;
        }
    }
    if (code != NULL)
        diag_set(diag, "PostgreSQL refused a statement: %.5s %.200s", code,
                 words != NULL ? words : "");
    else
        diag_set(diag, "the connection to PostgreSQL was lost");
    return ERR_NOT_READY;
}

bool
postgres_is_retryable(const PGresult *result)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return code != NULL && (strcmp(code, "40P01") == 0 || strcmp(code, "40001") == 0);
}
