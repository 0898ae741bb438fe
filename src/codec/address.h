/*
 * address - IP addresses as they stand in text: what one counts as, and which of a list is the
 * client's.
 *
 * Layer 1, any thread, pure. Where addresses are counted, an address counts as its network: who has
 * an IPv6 network of 64 bits, as every customer has, has 2^64 addresses in it.
 *
 * Proxies. X-Forwarded-For is a list to which each proxy adds, at its end, the address that it was
 * asked from; whoever asks the first one may send a list of his own. So only the part behind the
 * last address that is nobody's we trust can be believed: the client is the rightmost address that
 * is not in the set of trusted ones.
 */
#ifndef POTIK_CODEC_ADDRESS_H
#define POTIK_CODEC_ADDRESS_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* IPv4 (also within IPv6): the address; IPv6, with a zone or not: its first 64 bits. No two the
 * same, and none 0. Of anything else ("unix"): 0. */
uint64_t address_network(struct slice text);

#define ADDRESS_TEXT_BYTES 46 /* with its NUL */
struct address {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
};
/* "192.0.2.7", "2001:db8::1", "fe80::1%eth0" (the zone is dropped), as proxies write them also with
 * a port: "192.0.2.7:80", "[2001:db8::1]", "[2001:db8::1]:80". false: anything else. */
MUST_USE bool address_parse(struct slice text, struct address *ret_address);
/* As address_network of its text. */
uint64_t address_network_of(const struct address *address);
/* The usual text (RFC 5952); what stood in another form of the same address is the same text. */
void address_format(const struct address *address, char ret_text[ADDRESS_TEXT_BYTES]);

#define ADDRESS_SET_MAX 64
struct address_set {
    bool has_unix; /* whoever asks over a unix socket */
    uint32_t count;
    struct {
        struct address first;
        uint8_t bits; /* 0 … 128, of the 16 bytes */
    } networks[ADDRESS_SET_MAX];
};
/* "10.0.0.0/8, 2001:db8::/32, 192.0.2.7, unix". ERR_INVALID: one that will not do, named in `diag`;
 * none at all; more than ADDRESS_SET_MAX networks. */
MUST_USE enum err
address_set_parse(struct slice text, struct address_set *ret_set, struct diag *diag);
bool address_set_has(const struct address_set *set, const struct address *address);

enum address_walk {
    ADDRESS_CLIENT, /* the rightmost that is not trusted */
    ADDRESS_PROXY,  /* all are trusted; this is the first of them */
    ADDRESS_NONE,   /* nothing stands there */
    ADDRESS_BROKEN, /* before one was found, something that is no address */
};
/* One field's list, from its end. *ret_address is set for the first two. */
MUST_USE enum address_walk
address_walk(const struct address_set *set, struct slice list, struct address *ret_address);

#endif
