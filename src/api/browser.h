/*
 * browser - what a browser is told, and what it may not do: CORS, requests forged by other sites,
 * and the header fields that keep replies from being read as something else.
 *
 * Layer 6, on the loops. Ingest answers any origin, without credentials (write keys are public).
 * Everything else answers the listed origins alone (setting `origins`), echoes the one that asks,
 * and gives no credentials: who asks shows a token. A request that changes something and names an
 * origin that is neither listed nor the server's own is refused. Sources: the Fetch standard,
 * RFC 6454, OWASP cheat sheets for CSRF and HTTP headers.
 */
#ifndef POTIK_API_BROWSER_H
#define POTIK_API_BROWSER_H

#include "api/router.h"
#include "base/diag.h"

/* "https://host[:port],http://…": a comma between, nothing behind the host. "" and NULL: none.
 * ERR_INVALID, told. */
MUST_USE enum err browser_check_origins(const char *origins, struct diag *diag);
MUST_USE bool browser_lists(const char *origins, struct slice origin);

/* The fields of a reply to any request, before it is given. `is_ingest`: only CORS. */
void browser_add_fields(struct http_exchange *exchange, const char *origins, bool is_ingest);
/* OPTIONS of a browser that asks beforehand. */
bool browser_is_preflight(const struct http_exchange *exchange);
/* Is it the preflight of a listed origin? Then the fields that answer it are added. `allow`: the
 * methods of the path. */
MUST_USE bool
browser_answers(struct http_exchange *exchange, const char *origins, struct slice allow);
void browser_add_ingest_preflight(struct http_exchange *exchange);
/* A changing request that another site has made somebody's browser send. */
MUST_USE bool browser_is_forged(const struct http_exchange *exchange, const char *origins);

#endif
