/*
 * base64 - see base64.h.
 */
#include "codec/base64.h"

#include <sodium.h>

static int
value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

enum err
base64_decode(struct slice text, struct arena *arena, struct slice *ret_bytes)
{
    size_t len = text.len;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t written = 0;
    char *bytes = NULL;

    if (len % 4 == 0)
        for (int i = 0; i < 2 && len > 0 && text.ptr[len - 1] == '='; i++)
            len--;
    if (len % 4 == 1)
        return ERR_INVALID;
    bytes = arena_alloc(arena, len / 4 * 3 + 3);
    if (bytes == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < len; i++) {
        int value = value_of(text.ptr[i]);

        if (value < 0)
            return ERR_INVALID;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            bytes[written++] = (char)(bits >> bit_count & 0xff);
        }
    }
    if ((bits & ((1U << bit_count) - 1)) != 0)
        return ERR_INVALID;
    *ret_bytes = slice_of(bytes, written);
    return ERR_OK;
}

enum err
base64_encode(struct slice bytes, bool is_for_url, struct arena *arena, struct slice *ret_text)
{
    const char *alphabet = is_for_url
                               ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                               : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    size_t written = 0;
    char *text = arena_alloc(arena, bytes.len / 3 * 4 + 4);

    if (text == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)in[i + 2] : 0);

        text[written++] = alphabet[group >> 18];
        text[written++] = alphabet[group >> 12 & 63];
        if (left > 1)
            text[written++] = alphabet[group >> 6 & 63];
        else if (!is_for_url)
            text[written++] = '=';
        if (left > 2)
            text[written++] = alphabet[group & 63];
        else if (!is_for_url)
            text[written++] = '=';
    }
    *ret_text = slice_of(text, written);
    return ERR_OK;
}

bool
base64_decode_exact(struct slice text, bool is_for_url, uint8_t *ret_bytes, size_t bytes_max,
                    size_t *ret_len)
{
    const int variant = is_for_url ? sodium_base64_VARIANT_URLSAFE_NO_PADDING
                                   : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
    unsigned char bits = 0;

    /* libsodium (1.0.18) reads every byte from 0x80 on as the last character of the alphabet. */
    for (size_t i = 0; i < text.len; i++)
        bits |= (unsigned char)text.ptr[i];
    return bits < 0x80 && sodium_base642bin(ret_bytes, bytes_max, text.ptr, text.len, NULL, ret_len,
                                            NULL, variant) == 0;
}
