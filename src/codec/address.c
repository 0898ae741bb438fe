/*
 * address - the network of an address. See address.h.
 */
#include "codec/address.h"

#include <arpa/inet.h>
#include <string.h>

/* Marks that stand where an IPv6 network has its first 32 bits: 100::/32 is thrown away by every
 * router, 200::/32 was never given out. */
#define MARK_IPV4 1
#define MARK_LOOPBACK 2 /* ::/64 */

static uint64_t
of_ipv4(const uint8_t *bytes)
{
    uint32_t address;

    memcpy(&address, bytes, sizeof(address));
    return (uint64_t)address << 32 | MARK_IPV4;
}

uint64_t
address_network(struct slice text)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char address[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    uint64_t network;

    if (text.len == 0 || text.len >= sizeof(address))
        return 0;
    memcpy(address, text.ptr, text.len);
    address[text.len] = '\0';
    address[strcspn(address, "%")] = '\0'; /* fe80::1%eth0 */
    if (inet_pton(AF_INET, address, bytes) == 1)
        return of_ipv4(bytes);
    if (inet_pton(AF_INET6, address, bytes) != 1)
        return 0;
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
        return of_ipv4(bytes + 12);
    memcpy(&network, bytes, sizeof(network));
    return network != 0 ? network : MARK_LOOPBACK;
}
