/*
 * tls - the server's certificate and key, and one client's stream through TLS (OpenSSL 3).
 *
 * Layer 5 (http); only files of this folder include it. `struct tls` is made and loaded anew on the
 * main thread; tls_link_new is called on any loop (a lock held for the length of a pointer's copy,
 * once a connection); everything of a link belongs to its connection's loop. OpenSSL's errors and
 * types stay in tls.c.
 *
 * TLS 1.2 (RFC 5246, suites with forward secrecy and AEAD alone) and 1.3 (RFC 8446); ALPN (RFC
 * 7301) http/1.1 and nothing else; no renegotiation, no compression. One context serves all loops,
 * so a ticket of one is good at the other; sessions live in tickets (RFC 5077) under a key that is
 * made with the context, so new at each start and each load: no table of sessions, no lock.
 */
#ifndef POTIK_HTTP_TLS_H
#define POTIK_HTTP_TLS_H

#include "base/diag.h"
#include "base/err.h"
#include "http/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls;
struct tls_link;

/*
 * Reads both PEM files: the chain, the server's own certificate first, and its key. ERR_INVALID:
 * a file cannot be read, holds no such thing, or the two do not belong together; one sentence in
 * `diag` names the file and the reason, its field is "tls-cert" or "tls-key". ERR_NOMEM.
 */
MUST_USE enum err
tls_new(const char *cert_path, const char *key_path, struct tls **ret_tls, struct diag *diag);
void tls_free(struct tls **tls); /* after all its links */
/* Both files anew: connections from now on see them, those open keep theirs. On an error (as
 * tls_new's) what was in force stays. Not by two threads at once. */
MUST_USE enum err tls_reload(struct tls *tls, struct diag *diag);
struct http_tls_facts tls_facts(struct tls *tls);
/* The certificate's first DNS name (of a wildcard one that fits), where it is not made out for
 * `host`. */
bool tls_other_name(struct tls *tls, const char *host, char ret_name[HTTP_TLS_NAME_BYTES]);

/* --- one connection ---------------------------------------------------------------------------*/

enum tls_outcome {
    TLS_DONE,
    TLS_WANTS_READ,  /* again when the socket is readable … */
    TLS_WANTS_WRITE, /* … or writable, whichever way the bytes were to go */
    TLS_ENDED,       /* the client has sent its last byte */
    TLS_FAILED,      /* no more can be read or written; an alert has been sent where one is due */
};

/* The fd stays the caller's. NULL: no memory. */
struct tls_link *tls_link_new(struct tls *tls, int fd);
void tls_link_free(struct tls_link **link);
/* To be called until DONE, before anything else. */
MUST_USE enum tls_outcome tls_handshake(struct tls_link *link);
bool tls_is_resumed(const struct tls_link *link);
#define TLS_RECORDS_A_READ 64
/*
 * DONE: 1 … size bytes, of at most so many records. *ret_has_more: another read would yield
 * something though the socket itself may have nothing: epoll will not name it, the caller must come
 * again by itself.
 */
MUST_USE enum tls_outcome
tls_read(struct tls_link *link, char *bytes, size_t size, size_t *ret_len, bool *ret_has_more);
/* Whether bytes that were taken from the socket wait in the link. */
bool tls_has_pending(const struct tls_link *link);
/* DONE: some bytes, at most one record's, have gone. After WANTS_… the same bytes, or more behind
 * them, must be given again; they may lie elsewhere. */
MUST_USE enum tls_outcome
tls_write(struct tls_link *link, const char *bytes, size_t len, size_t *ret_len);
/* close_notify, once, if the socket takes it. Not after FAILED. */
void tls_say_goodbye(struct tls_link *link);

#endif
