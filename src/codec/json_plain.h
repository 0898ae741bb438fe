/*
 * json_plain - where does the plain part of a JSON string end? 16 bytes a step.
 *
 * Layer 1, header only, for json_reader and json_scan. SSE2 and NEON belong to the base of x86-64
 * and aarch64, so nothing has to be asked at run time.
 */
#ifndef POTIK_CODEC_JSON_PLAIN_H
#define POTIK_CODEC_JSON_PLAIN_H

#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* The first quote, backslash, control character or byte ≥ 0x80 at or behind `at`; else `end`. */
static inline const char *
json_plain_end(const char *at, const char *end)
{
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        /* As signed numbers, bytes ≥ 0x80 are below 0x20 too. */
        __m128i special = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                       _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')),
                                                    _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20))));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);

        if (mask != 0)
            return at + __builtin_ctz(mask);
    }
#elif defined(__aarch64__)
    for (; end - at >= 16; at += 16) {
        int8x16_t bytes = vld1q_s8((const int8_t *)(const void *)at);
        uint8x16_t special =
            vorrq_u8(vceqq_s8(bytes, vdupq_n_s8('"')), vorrq_u8(vceqq_s8(bytes, vdupq_n_s8('\\')),
                                                                vcltq_s8(bytes, vdupq_n_s8(0x20))));
        /* Four bits a byte: the usual stand-in for movemask. */
        uint64_t mask =
            vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(special), 4)), 0);

        if (mask != 0)
            return at + (__builtin_ctzll(mask) >> 2);
    }
#endif
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;

        if (c == '"' || c == '\\' || c < 0x20 || c >= 0x80)
            break;
    }
    return at;
}

#endif
