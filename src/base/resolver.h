/*
 * resolver - from the host names of a URL to addresses, off the loops: getaddrinfo blocks.
 *
 * Layer 0. One thread for all who ask of one resolver. Who asks watches the request's eventfd, and
 * may drop the request at any time (its deadline passed); the thread then throws the answer away.
 * What needs no name server (addresses, unix sockets) is answered within the call.
 */
#ifndef POTIK_BASE_RESOLVER_H
#define POTIK_BASE_RESOLVER_H

#include "base/diag.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#define RESOLVER_ADDRESSES_MAX 16
#define RESOLVER_HOST_BYTES 256
#define RESOLVER_ADDRESS_BYTES 64
#define RESOLVER_PORT_BYTES 8

/* One place to connect to, as libpq's host, hostaddr and port; "": not given. */
struct resolver_address {
    char host[RESOLVER_HOST_BYTES];
    char hostaddr[RESOLVER_ADDRESS_BYTES];
    char port[RESOLVER_PORT_BYTES];
};

struct resolver;
/* ERR_NOMEM, ERR_IO (no thread). */
MUST_USE enum err resolver_start(struct resolver **ret_resolver, struct diag *diag);
/* Waits for the lookup under way. */
void resolver_stop(struct resolver **resolver);

struct resolver_request;
/*
 * Lists with commas, as libpq's host, hostaddr and port; NULL: not given. ERR_NOMEM; ERR_FULL: too
 * many lookups wait; ERR_INVALID: the lists do not go together.
 */
MUST_USE enum err
resolver_ask(struct resolver *resolver, const char *hosts, const char *hostaddrs, const char *ports,
             struct resolver_request **ret_request, struct diag *diag);
/* Readable once it is answered; −1: it is answered already. */
int resolver_request_fd(const struct resolver_request *request);
bool resolver_request_is_answered(const struct resolver_request *request);
/* Of an answered one: how many addresses stand in *ret_addresses (the request's). 0: none; `diag`
 * tells which name has no address. */
uint32_t
resolver_request_addresses(const struct resolver_request *request,
                           const struct resolver_address **ret_addresses, struct diag *diag);
void resolver_request_free(struct resolver_request **request);

#endif
