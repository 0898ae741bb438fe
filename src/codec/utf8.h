/*
 * utf8 - is it UTF-8? Strictly: no overlong forms, no surrogates, nothing above U+10FFFF (RFC
 * 3629).
 *
 * Layer 1, any thread, pure.
 */
#ifndef POTIK_CODEC_UTF8_H
#define POTIK_CODEC_UTF8_H

#include "base/slice.h"
#include <stdint.h>

bool utf8_is_valid(struct slice text);
/* Length (1–4) of the valid sequence at `at`, or 0. at < end. */
size_t utf8_sequence(const char *at, const char *end);
/* Writes a code point (no surrogate, ≤ 0x10FFFF) as 1–4 bytes and gives their number. */
size_t utf8_put(uint32_t code_point, char ret_bytes[4]);
/* The longest start of `text` of at most `len` bytes that ends between two characters. */
struct slice utf8_cut(struct slice text, size_t len);

#endif
