/* rooms: api */
/*
 * fuzz_manual - the lists of two header fields: what is refused alone is not taken when something
 * else stands behind it, and a tag that stands in the list is found.
 */
#include "api/manual.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TAG "\"tag\""

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char behind[] = "," TAG;
    struct slice given = slice_of((const char *)bytes, len);
    char *longer = malloc(len + sizeof(behind));
    bool takes = manual_takes_gzip(given);

    if (longer == NULL)
        return 0;
    if (len != 0)
        memcpy(longer, bytes, len);
    memcpy(longer + len, behind, sizeof(behind));
    if (manual_takes_gzip(slice_of(longer, len + sizeof(behind) - 1)) != takes)
        abort();
    (void)manual_lists_tag(given, TAG);
    if (!manual_lists_tag(slice_of(longer, len + sizeof(behind) - 1), TAG))
        abort();
    free(longer);
    return 0;
}
