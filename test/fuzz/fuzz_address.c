/* rooms: codec */
/*
 * fuzz_address - any text as the setting trusted-proxy and as X-Forwarded-For: the two parts, with
 * a newline between. A client found is none of those trusted; its text is an address of the same
 * bytes.
 */
#include "codec/address.h"

#include <stdlib.h>
#include <string.h>

static void
require(bool is_so)
{
    if (!is_so)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *newline = size != 0 ? memchr(text, '\n', size) : NULL;
    struct address_set set = {0};
    struct diag diag = DIAG_INIT;
    struct address address;
    struct address again;
    char room[ADDRESS_TEXT_BYTES];
    enum address_walk found;

    if (newline == NULL)
        return 0;
    if (address_set_parse(slice_of(text, (size_t)(newline - text)), &set, &diag) != ERR_OK) {
        require(diag.message[0] != '\0');
        set = (struct address_set){.has_unix = true};
    }
    require(set.count <= ADDRESS_SET_MAX);
    found =
        address_walk(&set, slice_of(newline + 1, size - (size_t)(newline + 1 - text)), &address);
    if (found != ADDRESS_CLIENT && found != ADDRESS_PROXY)
        return 0;
    require(address_set_has(&set, &address) == (found == ADDRESS_PROXY));
    address_format(&address, room);
    require(address_parse(slice_of_text(room), &again));
    require(memcmp(&address, &again, sizeof(address)) == 0);
    require(address_network_of(&address) != 0);
    require(address_network(slice_of_text(room)) == address_network_of(&address));
    return 0;
}
