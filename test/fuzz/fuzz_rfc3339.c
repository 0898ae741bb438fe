/* rooms: codec */
/*
 * fuzz_rfc3339 - a time that is read, written and read again is the same time; and writing is
 * canonical.
 */
#include "codec/rfc3339.h"
#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    int64_t us = 0;
    int64_t again = 0;
    char text[RFC3339_TEXT_BYTES];

    if (rfc3339_parse(slice_of((const char *)bytes, len), &us) != ERR_OK)
        return 0;
    if (us < RFC3339_US_MIN || us > RFC3339_US_MAX)
        return 0; /* an offset at either end of the years */
    rfc3339_format(us, text);
    if (rfc3339_parse(slice_of(text, sizeof(text)), &again) != ERR_OK || again != us)
        abort();
    return 0;
}
