/*
 * address - what an IP address counts as where addresses are counted: its network.
 *
 * Layer 1, any thread, pure. Who has an IPv6 network of 64 bits, as every customer has, has 2^64
 * addresses in it: they count as one.
 */
#ifndef POTIK_CODEC_ADDRESS_H
#define POTIK_CODEC_ADDRESS_H

#include "base/slice.h"

#include <stdint.h>

/* IPv4 (also within IPv6): the address; IPv6, with a zone or not: its first 64 bits. No two the
 * same, and none 0. Of anything else ("unix"): 0. */
uint64_t address_network(struct slice text);

#endif
