/*
 * address - see address.h.
 */
#include "codec/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

/* Marks that stand where an IPv6 network has its first 32 bits: 100::/32 is thrown away by every
 * router, 200::/32 was never given out. */
#define MARK_IPV4 1
#define MARK_LOOPBACK 2 /* ::/64 */

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
is_ipv4(const struct address *address)
{
    return memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
}

/* Without brackets and port. */
static bool
parse_bare(struct slice text, struct address *ret_address)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (strlen(copy) != text.len)
        return false;
    copy[strcspn(copy, "%")] = '\0'; /* fe80::1%eth0 */
    if (inet_pton(AF_INET6, copy, ret_address->bytes) == 1)
        return true;
    memcpy(ret_address->bytes, mapped, sizeof(mapped));
    return inet_pton(AF_INET, copy, ret_address->bytes + sizeof(mapped)) == 1;
}

uint64_t
address_network_of(const struct address *address)
{
    uint64_t network;
    uint32_t last;

    memcpy(&network, address->bytes, sizeof(network));
    memcpy(&last, address->bytes + sizeof(mapped), sizeof(last));
    if (is_ipv4(address))
        return (uint64_t)last << 32 | MARK_IPV4;
    return network != 0 ? network : MARK_LOOPBACK;
}

uint64_t
address_network(struct slice text)
{
    struct address address;

    return parse_bare(text, &address) ? address_network_of(&address) : 0;
}

/* ":0" … ":65535", or nothing. */
static bool
is_port(struct slice text)
{
    uint32_t port = 0;

    if (text.len == 0)
        return true;
    if (text.ptr[0] != ':' || text.len < 2 || text.len > 6)
        return false;
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    return port <= 65535;
}

bool
address_parse(struct slice text, struct address *ret_address)
{
    struct address address;
    const char *end;

    if (parse_bare(text, &address)) {
        *ret_address = address;
        return true;
    }
    if (text.len == 0)
        return false;
    end = memchr(text.ptr, text.ptr[0] == '[' ? ']' : ':', text.len);
    if (end == NULL)
        return false;
    if (text.ptr[0] == '[') {
        if (!is_port(slice_of(end + 1, text.len - (size_t)(end + 1 - text.ptr))) ||
            !parse_bare(slice_of(text.ptr + 1, (size_t)(end - text.ptr) - 1), &address) ||
            memchr(text.ptr, ':', (size_t)(end - text.ptr)) == NULL)
            return false;
    } else if (!is_port(slice_of(end, text.len - (size_t)(end - text.ptr))) ||
               !parse_bare(slice_of(text.ptr, (size_t)(end - text.ptr)), &address)) {
        return false;
    }
    *ret_address = address;
    return true;
}

void
address_format(const struct address *address, char ret_text[ADDRESS_TEXT_BYTES])
{
    const char *made =
        is_ipv4(address)
            ? inet_ntop(AF_INET, address->bytes + sizeof(mapped), ret_text, ADDRESS_TEXT_BYTES)
            : inet_ntop(AF_INET6, address->bytes, ret_text, ADDRESS_TEXT_BYTES);

    assert(made != NULL);
}

/* --- sets -------------------------------------------------------------------------------------*/

static bool
has_prefix(const struct address *address, const struct address *first, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned rest = bits % 8;

    return memcmp(address->bytes, first->bytes, whole) == 0 &&
           (rest == 0 || (address->bytes[whole] ^ first->bytes[whole]) >> (8 - rest) == 0);
}

/* Are all bits behind the prefix 0? */
static bool
is_first(const struct address *address, unsigned bits)
{
    for (unsigned bit = bits; bit < 128; bit++) {
        if ((address->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return false;
    }
    return true;
}

/* "8" of "10.0.0.0/8". */
static bool
parse_bits(struct slice text, unsigned bits_max, unsigned *ret_bits)
{
    unsigned bits = 0;

    if (text.len < 1 || text.len > 3 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        bits = bits * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret_bits = bits;
    return bits <= bits_max;
}

static enum err
refuse(struct slice item, const char *why, struct diag *diag)
{
    diag_set(diag, "\"%.*s\" %s", (int)(item.len < 64 ? item.len : 64), item.ptr, why);
    return ERR_INVALID;
}

static enum err
parse_network(struct slice item, struct address *ret_first, uint8_t *ret_bits, struct diag *diag)
{
    static const char no_network[] =
        "is no address, no network (10.0.0.0/8, 2001:db8::/32) and not unix";
    const char *slash = memchr(item.ptr, '/', item.len);
    struct slice text = slice_of(item.ptr, slash != NULL ? (size_t)(slash - item.ptr) : item.len);
    bool is_six = text.len != 0 && memchr(text.ptr, ':', text.len) != NULL;
    unsigned bits = is_six ? 128 : 32;

    if (!parse_bare(text, ret_first) || memchr(text.ptr, '%', text.len) != NULL)
        return refuse(item, no_network, diag);
    if (slash != NULL && !parse_bits(slice_of(slash + 1, item.len - text.len - 1), bits, &bits))
        return refuse(item,
                      is_six ? "has no length of 0 to 128 behind its slash"
                             : "has no length of 0 to 32 behind its slash",
                      diag);
    bits += is_six ? 0 : 96;
    if (!is_first(ret_first, bits))
        return refuse(item, "is no network: bits are set behind its length", diag);
    *ret_bits = (uint8_t)bits;
    return ERR_OK;
}

enum err
address_set_parse(struct slice text, struct address_set *ret_set, struct diag *diag)
{
    struct address_set set = {0};
    const char *at = text.ptr;
    const char *end = text.len != 0 ? text.ptr + text.len : text.ptr;

    for (;;) {
        const char *comma = at != end ? memchr(at, ',', (size_t)(end - at)) : NULL;
        struct slice item = slice_trim(slice_of(at, (size_t)((comma != NULL ? comma : end) - at)));
        enum err err;

        if (item.len == 0) {
            diag_set(diag, "an address is missing: they stand with one comma between");
            return ERR_INVALID;
        }
        if (slice_equal(item, SLICE("unix"))) {
            set.has_unix = true;
        } else {
            if (set.count == ADDRESS_SET_MAX) {
                diag_set(diag, "more than %d; a network may stand for many addresses",
                         ADDRESS_SET_MAX);
                return ERR_INVALID;
            }
            err = parse_network(item, &set.networks[set.count].first, &set.networks[set.count].bits,
                                diag);
            if (err != ERR_OK)
                return err;
            set.count++;
        }
        if (comma == NULL)
            break;
        at = comma + 1;
    }
    *ret_set = set;
    return ERR_OK;
}

bool
address_set_has(const struct address_set *set, const struct address *address)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (has_prefix(address, &set->networks[i].first, set->networks[i].bits))
            return true;
    }
    return false;
}

enum address_walk
address_walk(const struct address_set *set, struct slice list, struct address *ret_address)
{
    enum address_walk found = ADDRESS_NONE;

    while (list.len != 0) {
        size_t from = list.len;
        struct slice item;

        while (from > 0 && list.ptr[from - 1] != ',')
            from--;
        item = slice_trim(slice_of(list.ptr + from, list.len - from));
        list.len = from > 0 ? from - 1 : 0;
        if (item.len == 0) /* RFC 9110 §5.6.1: an empty element is none */
            continue;
        if (!address_parse(item, ret_address))
            return ADDRESS_BROKEN;
        if (!address_set_has(set, ret_address))
            return ADDRESS_CLIENT;
        found = ADDRESS_PROXY;
    }
    return found;
}
