/*
 * crc32c - see crc32c.h. Three ways: SSE 4.2, ARMv8 CRC, and a table of 8 × 256 (slicing by 8).
 *
 * Which way is chosen once, before main. The polynomial is 0x1EDC6F41, reflected 0x82F63B78.
 */
#include "codec/crc32c.h"
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static uint32_t table[8][256];
static uint32_t (*best)(uint32_t crc, const void *bytes, size_t len) = crc32c_portable;

uint32_t
crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *ptr = bytes;

    crc = ~crc;
    for (; len >= 8; ptr += 8, len -= 8) {
        const uint32_t low = crc ^ ((uint32_t)ptr[0] | (uint32_t)ptr[1] << 8 |
                                    (uint32_t)ptr[2] << 16 | (uint32_t)ptr[3] << 24);

        crc = table[7][low & 255] ^ table[6][(low >> 8) & 255] ^ table[5][(low >> 16) & 255] ^
              table[4][low >> 24] ^ table[3][ptr[4]] ^ table[2][ptr[5]] ^ table[1][ptr[6]] ^
              table[0][ptr[7]];
    }
    for (; len > 0; ptr++, len--)
        crc = table[0][(crc ^ *ptr) & 255] ^ (crc >> 8);
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *ptr = bytes;
    uint64_t wide = ~crc;

    for (; len >= 8; ptr += 8, len -= 8) {
        uint64_t word = 0;

        memcpy(&word, ptr, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    for (; len > 0; ptr++, len--)
        wide = _mm_crc32_u8((uint32_t)wide, *ptr);
    return ~(uint32_t)wide;
}
#elif defined(__aarch64__)
__attribute__((target("+crc"))) static uint32_t
crc32c_armv8(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *ptr = bytes;

    crc = ~crc;
    for (; len >= 8; ptr += 8, len -= 8) {
        uint64_t word = 0;

        memcpy(&word, ptr, 8);
        crc = __crc32cd(crc, word);
    }
    for (; len > 0; ptr++, len--)
        crc = __crc32cb(crc, *ptr);
    return ~crc;
}
#endif

__attribute__((constructor)) static void
crc32c_choose(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT32_C(0x82f63b78) : 0);
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = table[0][table[k - 1][i] & 255] ^ (table[k - 1][i] >> 8);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        best = crc32c_sse42;
#elif defined(__aarch64__)
    if ((getauxval(AT_HWCAP) & HWCAP_CRC32) != 0)
        best = crc32c_armv8;
#endif
}

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t len)
{
    return best(crc, bytes, len);
}
