/*
 * tls - see tls.h. The only file that knows OpenSSL.
 *
 * A link is an SSL object; a context (SSL_CTX) is counted by OpenSSL, each link holds one, so that
 * a new one takes the old one's place under `lock` and the old one goes with its last connection.
 *
 * Memory: SSL_MODE_RELEASE_BUFFERS gives the two record buffers back whenever they are empty, so
 * that an idle connection costs its SSL object alone (docs/adr/0015-tls.md). Reading ahead takes a
 * record's head and body by one system call instead of two; what it has taken too much shows in
 * SSL_has_pending.
 */
#include "http/tls.h"

#include "base/file.h"

#include <assert.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <time.h>

#define PEM_BYTES_MAX ((size_t)1024 * 1024)
#define CHAIN_MAX 16
#define TICKET_LIFE_S 7200
#define TICKETS_A_HANDSHAKE 1 /* TLS 1.3; OpenSSL's 2 serve clients with many connections */
#define SUITES_TLS_1_2                                                                             \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct tls {
    char *cert_path;
    char *key_path;
    pthread_mutex_t lock; /* of the two below: held for a few instructions */
    SSL_CTX *context;
    struct http_tls_facts facts;
};

/* struct tls_link is an SSL by another name, so that nobody else needs OpenSSL's headers. */
static SSL *
ssl_of(const struct tls_link *link)
{
    union {
        const struct tls_link *link;
        SSL *ssl;
    } same = {.link = link};

    return same.ssl;
}

/* --- certificate and key ----------------------------------------------------------------------*/

/* The sentence of OpenSSL's last error, which is the most telling one, and forgets them all. */
static enum err
refuse(struct diag *diag, const char *field, const char *path, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    if (reason != NULL)
        diag_set_field(diag, field, "%s: %s: %s (%s)", field, path, what, reason);
    else
        diag_set_field(diag, field, "%s: %s: %s", field, path, what);
    return ERR_INVALID;
}

static void
free_bio(BIO **bio)
{
    BIO_free_all(*bio);
}

static void
free_x509(X509 **certificate)
{
    X509_free(*certificate);
}

static void
free_key(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void
free_context(SSL_CTX **context)
{
    SSL_CTX_free(*context);
}

static enum err
read_pem(const char *field, const char *path, struct buf *text, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    enum err err = file_read_whole(path, PEM_BYTES_MAX, text, &why);

    if (err == ERR_OK || err == ERR_NOMEM)
        return err;
    if (err == ERR_FULL)
        diag_set(&why, "%s: larger than a PEM file is", path);
    diag_set_field(diag, field, "%s: %s", field, why.message);
    return ERR_INVALID;
}

/* Nobody is there to be asked. */
static int
refuse_passphrase(char *text, int size, int is_writing, void *state)
{
    (void)text;
    (void)size;
    (void)is_writing;
    *(bool *)state = true;
    return -1;
}

static int64_t
seconds_of(const ASN1_TIME *time)
{
    struct tm parts = {0};

    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

/* The server's own certificate, then those that lead to a root, in the order of the file. */
static enum err
use_chain(SSL_CTX *context, const char *path, struct http_tls_facts *ret_facts, struct diag *diag)
{
    static const char field[] = "tls-cert";
    CLEANUP(buf_fini) struct buf text;
    CLEANUP(free_bio) BIO *bio = NULL;
    CLEANUP(free_x509) X509 *own = NULL;
    X509 *next;
    enum err err;

    buf_init(&text, PEM_BYTES_MAX);
    err = read_pem(field, path, &text, diag);
    if (err != ERR_OK)
        return err;
    bio = BIO_new_mem_buf(buf_slice(&text).ptr, (int)text.len);
    if (bio == NULL)
        return ERR_NOMEM;
    own = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    if (own == NULL)
        return refuse(diag, field, path, "holds no certificate in PEM");
    if (SSL_CTX_use_certificate(context, own) != 1)
        return refuse(diag, field, path, "its first certificate will not do");
    ret_facts->valid_from_s = seconds_of(X509_get0_notBefore(own));
    ret_facts->valid_until_s = seconds_of(X509_get0_notAfter(own));
    for (int i = 0; (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; i++) {
        if (i == CHAIN_MAX || SSL_CTX_add0_chain_cert(context, next) != 1) {
            X509_free(next);
            return refuse(diag, field, path,
                          i == CHAIN_MAX ? "holds more certificates than a chain has"
                                         : "one of its further certificates will not do");
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return refuse(diag, field, path, "one of its further certificates is damaged");
    ERR_clear_error(); /* the end of the file */
    return ERR_OK;
}

static enum err
use_key(SSL_CTX *context, const char *cert_path, const char *path, struct http_tls_facts *ret_facts,
        struct diag *diag)
{
    static const char field[] = "tls-key";
    CLEANUP(buf_wipe) struct buf text;
    CLEANUP(free_bio) BIO *bio = NULL;
    CLEANUP(free_key) EVP_PKEY *key = NULL;
    bool is_locked = false;
    enum err err;

    buf_init(&text, PEM_BYTES_MAX);
    err = read_pem(field, path, &text, diag);
    if (err == ERR_OK)
        err = file_is_private(path, &ret_facts->is_key_private, diag);
    if (err != ERR_OK)
        return err == ERR_NOMEM ? err : ERR_INVALID;
    bio = BIO_new_mem_buf(buf_slice(&text).ptr, (int)text.len);
    if (bio == NULL)
        return ERR_NOMEM;
    key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &is_locked);
    if (key == NULL && is_locked)
        return refuse(diag, field, path,
                      "is locked by a passphrase, which nobody could type in; give a key without");
    if (key == NULL)
        return refuse(diag, field, path, "holds no private key in PEM");
    /* The mistake that is often made, a new certificate beside the old key: OpenSSL would keep a
     * key of another kind for itself. */
    if (X509_check_private_key(SSL_CTX_get0_certificate(context), key) != 1) {
        ERR_clear_error();
        diag_set_field(diag, field, "%s: %s: is not the key of the certificate in %s", field, path,
                       cert_path);
        return ERR_INVALID;
    }
    if (SSL_CTX_use_PrivateKey(context, key) != 1)
        return refuse(diag, field, path, "will not do");
    return ERR_OK;
}

static int
choose_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                const unsigned char *offered, unsigned int offered_len, void *state)
{
    static const unsigned char ours[] = "\x08http/1.1";

    (void)ssl;
    (void)state;
    for (unsigned at = 0; at < offered_len; at += 1u + offered[at]) {
        if (offered_len - at >= sizeof(ours) - 1 &&
            memcmp(offered + at, ours, sizeof(ours) - 1) == 0) {
            *ret_name = offered + at + 1;
            *ret_len = ours[0];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 §3.2: no_application_protocol */
}

static enum err
set_rules(SSL_CTX *context, struct diag *diag)
{
    static const unsigned char id[] = "potik";

    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets alone */
    SSL_CTX_set_timeout(context, TICKET_LIFE_S);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, SUITES_TLS_1_2) != 1 ||
        SSL_CTX_set_num_tickets(context, TICKETS_A_HANDSHAKE) != 1 ||
        SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1) != 1) {
        ERR_clear_error();
        diag_set(diag, "tls: this OpenSSL lacks TLS 1.2, 1.3 or their suites");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err
load(const char *cert_path, const char *key_path, SSL_CTX **ret_context,
     struct http_tls_facts *ret_facts, struct diag *diag)
{
    CLEANUP(free_context) SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    struct http_tls_facts facts = {0};
    enum err err;

    if (context == NULL)
        return ERR_NOMEM;
    err = set_rules(context, diag);
    if (err == ERR_OK)
        err = use_chain(context, cert_path, &facts, diag);
    if (err == ERR_OK)
        err = use_key(context, cert_path, key_path, &facts, diag);
    if (err != ERR_OK)
        return err;
    *ret_context = MOVE(context);
    *ret_facts = facts;
    return ERR_OK;
}

enum err
tls_new(const char *cert_path, const char *key_path, struct tls **ret_tls, struct diag *diag)
{
    CLEANUP(tls_free) struct tls *tls = MEM_NEW(struct tls, 1);
    enum err err;

    if (tls == NULL)
        return ERR_NOMEM;
    pthread_mutex_init(&tls->lock, NULL);
    tls->cert_path = mem_strdup(cert_path);
    tls->key_path = mem_strdup(key_path);
    if (tls->cert_path == NULL || tls->key_path == NULL)
        return ERR_NOMEM;
    err = load(cert_path, key_path, &tls->context, &tls->facts, diag);
    if (err != ERR_OK)
        return err;
    *ret_tls = MOVE(tls);
    return ERR_OK;
}

void
tls_free(struct tls **tls)
{
    if (*tls == NULL)
        return;
    SSL_CTX_free((*tls)->context);
    pthread_mutex_destroy(&(*tls)->lock);
    mem_free((*tls)->cert_path);
    mem_free((*tls)->key_path);
    mem_free(*tls);
    *tls = NULL;
}

enum err
tls_reload(struct tls *tls, struct diag *diag)
{
    SSL_CTX *context;
    SSL_CTX *old;
    struct http_tls_facts facts;
    enum err err = load(tls->cert_path, tls->key_path, &context, &facts, diag);

    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&tls->lock);
    old = tls->context;
    tls->context = context;
    tls->facts = facts;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old); /* its connections hold it, too */
    return ERR_OK;
}

struct http_tls_facts
tls_facts(struct tls *tls)
{
    struct http_tls_facts facts;

    pthread_mutex_lock(&tls->lock);
    facts = tls->facts;
    pthread_mutex_unlock(&tls->lock);
    return facts;
}

/* A name that may be written to a file and asked for: letters, digits, '-' and '.' alone. */
static bool
take_name(const ASN1_STRING *text, char ret_name[HTTP_TLS_NAME_BYTES])
{
    const char *bytes = (const char *)ASN1_STRING_get0_data(text);
    const size_t len = (size_t)ASN1_STRING_length(text);
    const bool is_wild = len > 2 && memcmp(bytes, "*.", 2) == 0;
    const size_t at = is_wild ? 1 : 0;

    if (len == 0 || len + sizeof("potik") > HTTP_TLS_NAME_BYTES)
        return false;
    for (size_t i = at; i < len; i++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.", bytes[i]) ==
                NULL ||
            bytes[i] == '\0')
            return false;
    }
    (void)snprintf(ret_name, HTTP_TLS_NAME_BYTES, "%s%.*s", is_wild ? "potik" : "", (int)(len - at),
                   bytes + at);
    return true;
}

bool
tls_other_name(struct tls *tls, const char *host, char ret_name[HTTP_TLS_NAME_BYTES])
{
    SSL_CTX *context;
    X509 *own;
    GENERAL_NAMES *names = NULL;
    bool is_found = false;

    pthread_mutex_lock(&tls->lock);
    context = tls->context;
    (void)SSL_CTX_up_ref(context);
    pthread_mutex_unlock(&tls->lock);
    own = SSL_CTX_get0_certificate(context);
    if (own != NULL && X509_check_ip_asc(own, host, 0) != 1 &&
        X509_check_host(own, host, strlen(host), 0, NULL) != 1)
        names = X509_get_ext_d2i(own, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; !is_found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        is_found = name->type == GEN_DNS && take_name(name->d.dNSName, ret_name);
    }
    GENERAL_NAMES_free(names);
    SSL_CTX_free(context);
    ERR_clear_error();
    return is_found;
}

/* --- one connection ---------------------------------------------------------------------------*/

struct tls_link *
tls_link_new(struct tls *tls, int fd)
{
    SSL *ssl;

    pthread_mutex_lock(&tls->lock);
    ssl = SSL_new(tls->context);
    pthread_mutex_unlock(&tls->lock);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return (struct tls_link *)ssl;
}

void
tls_link_free(struct tls_link **link)
{
    SSL_free(ssl_of(*link));
    *link = NULL;
}

/* What a call that gave `result` needs, or that it is over. */
static enum tls_outcome
outcome(SSL *ssl, int result)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_ENDED;
    default:
        ERR_clear_error();
        return TLS_FAILED;
    }
}

enum tls_outcome
tls_handshake(struct tls_link *link)
{
    SSL *ssl = ssl_of(link);
    int result;

    ERR_clear_error(); /* SSL_get_error looks at the thread's queue */
    result = SSL_do_handshake(ssl);
    return result == 1 ? TLS_DONE : outcome(ssl, result);
}

bool
tls_is_resumed(const struct tls_link *link)
{
    return SSL_session_reused(ssl_of(link)) == 1;
}

bool
tls_has_pending(const struct tls_link *link)
{
    return SSL_has_pending(ssl_of(link)) == 1;
}

/*
 * Records until `size` is full, or TLS_RECORDS_A_READ: one costs some 2 µs whatever it holds, and
 * who sends a byte in each would else hold the loop up. A record that is not full is mostly the
 * last one sent: then the socket is not asked again, which saves a system call on every small
 * request; if more has come, epoll tells.
 */
enum tls_outcome
tls_read(struct tls_link *link, char *bytes, size_t size, size_t *ret_len, bool *ret_has_more)
{
    SSL *ssl = ssl_of(link);
    size_t len = 0;

    assert(size > 0 && size <= INT_MAX);
    for (uint32_t records = 1;; records++) {
        int got;

        ERR_clear_error();
        got = SSL_read(ssl, bytes + len, (int)(size - len));
        if (got <= 0 && len == 0)
            return outcome(ssl, got);
        if (got <= 0) { /* an end, or a failure, is met again by the next read, which must come */
            *ret_has_more = SSL_get_error(ssl, got) != SSL_ERROR_WANT_READ;
            ERR_clear_error();
            break;
        }
        len += (size_t)got;
        if (records == TLS_RECORDS_A_READ) {
            *ret_has_more = true;
            break;
        }
        if (len == size || (got < SSL3_RT_MAX_PLAIN_LENGTH && SSL_has_pending(ssl) == 0)) {
            *ret_has_more = len == size;
            break;
        }
    }
    *ret_len = len;
    return TLS_DONE;
}

enum tls_outcome
tls_write(struct tls_link *link, const char *bytes, size_t len, size_t *ret_len)
{
    SSL *ssl = ssl_of(link);
    int put;

    assert(len > 0);
    ERR_clear_error();
    put = SSL_write(ssl, bytes, len < INT_MAX ? (int)len : INT_MAX);
    if (put <= 0)
        return outcome(ssl, put);
    *ret_len = (size_t)put;
    return TLS_DONE;
}

void
tls_say_goodbye(struct tls_link *link)
{
    ERR_clear_error();
    (void)SSL_shutdown(ssl_of(link)); /* the client's own is not waited for: RFC 8446 §6.1 */
    ERR_clear_error();
}
