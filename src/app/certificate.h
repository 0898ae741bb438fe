/*
 * certificate - what an operator has to know of the server's certificate and key, and loading both
 * anew.
 *
 * Layer 7, the main thread. What is wrong with files that do load (an expired certificate, a key
 * that others may read) is told in the log, once a load, and never stops the server: who is served
 * with a warning is served.
 */
#ifndef POTIK_APP_CERTIFICATE_H
#define POTIK_APP_CERTIFICATE_H

#include "app/config.h"
#include "http/http.h"

#define CERTIFICATE_SOON_DAYS 14

/* After the start of a server with TLS: warnings, and the metric of its end. */
void certificate_look(struct http_server *server, const struct config *config);
/* Both files anew, then as above. If they will not do, one line in the log tells why, and what was
 * in force stays. */
void certificate_reload(struct http_server *server, const struct config *config);

#endif
