/* rooms: limit */
/*
 * fuzz_redis_url - any text as the address of a Redis server: what is taken is whole, and words
 * about what is refused do not hold the password.
 */
#include "limit/redis_url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_url url;
    struct diag diag = DIAG_INIT;
    char text[1024];

    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (redis_url_parse(text, &url, &diag) == ERR_OK) {
        if ((url.host[0] == '\0') == (url.path[0] == '\0') ||
            (url.host[0] != '\0' && url.port[0] == '\0'))
            abort();
    } else if (diag.message[0] == '\0' || strcmp(diag.field, "redis") != 0) {
        abort();
    }
    return 0;
}
