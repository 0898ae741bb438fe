/*
 * uuid - see uuid.h. Layout by RFC 9562, 5.7: milliseconds (48), version 7 (4), random (12),
 * variant 10 (2), random (62), big-endian.
 */
#include "codec/uuid.h"

void
uuid_v7(int64_t unix_us, struct random_source *random, uint8_t ret_uuid[UUID_BYTES])
{
    uint64_t ms = unix_us > 0 ? (uint64_t)unix_us / 1000 : 0;

    random_fill(random, ret_uuid + 6, UUID_BYTES - 6);
    for (int i = 0; i < 6; i++)
        ret_uuid[i] = (uint8_t)(ms >> (40 - 8 * i));
    ret_uuid[6] = (uint8_t)(0x70 | (ret_uuid[6] & 0x0f));
    ret_uuid[8] = (uint8_t)(0x80 | (ret_uuid[8] & 0x3f));
}

void
uuid_format(const uint8_t uuid[UUID_BYTES], char ret_text[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *at = ret_text;

    for (int i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[uuid[i] >> 4];
        *at++ = digits[uuid[i] & 0x0f];
    }
}
