/* rooms: account */
/*
 * fuzz_token - access tokens and the file of their keys. The first byte chooses what the others
 * are:
 *
 *     'h'  a header, rightly signed          'c'  claims, rightly signed
 *     'k'  a ring's lines, with a right checksum behind
 *     any other: a token
 *
 * Signed, since what stands in a token is read only behind a right signature. What is taken as
 * claims must come back from a token issued of them; a ring that is taken must be written as it
 * stood, for there is one way to write it; and of tokens only the one that stands in the seeds is
 * right, to the byte: nobody makes another without the key.
 */
#include "account/token.h"
#include "codec/base64.h"
#include "codec/crc32c.h"
#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1800000000)

static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}";
static const char claims[] = "{\"iss\":\"potik\",\"aud\":\"potik-api\",\"sub\":\"a-1\","
                             "\"iat\":1800000000,\"exp\":1800000600,\"jti\":\"t-1\"}";

static void
require(bool is_so)
{
    if (!is_so)
        abort();
}

static void
make_ring(struct key_ring *ring)
{
    *ring = (struct key_ring){.key_count = 2};
    require(token_key_init(&ring->keys[0], TOKEN_HS256, SLICE("hs"),
                           SLICE("0123456789abcdef0123456789abcdef")) == ERR_OK);
    require(token_key_init(&ring->keys[1], TOKEN_EDDSA, SLICE("ed"),
                           SLICE("fedcba9876543210fedcba9876543210")) == ERR_OK);
    ring->keys[1].retire_at_s = NOW + 1000;
}

static void
add_base64(struct buf *buf, struct slice bytes)
{
    struct arena arena;
    struct slice text;

    arena_init(&arena, 4096, (size_t)1 << 26);
    require(base64_encode(bytes, true, &arena, &text) == ERR_OK);
    buf_add_slice(buf, text);
    arena_fini(&arena);
}

static void
sign(const struct token_key *key, struct slice head, struct slice body, struct buf *buf)
{
    uint8_t signature[TOKEN_SIGNATURE_BYTES_MAX];
    size_t len = 0;

    add_base64(buf, head);
    buf_add_char(buf, '.');
    add_base64(buf, body);
    token_key_sign(key, buf_slice(buf), signature, &len);
    buf_add_char(buf, '.');
    add_base64(buf, slice_of((const char *)signature, len));
}

static void
require_claims(const struct key_ring *ring, const struct token_claims *taken)
{
    const int64_t life_s = taken->expires_at_s - taken->issued_at_s;
    char text[TOKEN_MADE_BYTES_MAX + 1];
    struct token_claims back;

    require(taken->expires_at_s > NOW && taken->issued_at_s <= NOW + TOKEN_LEEWAY_S);
    require(life_s >= 1 && life_s <= TOKEN_LIFE_S_MAX);
    require(token_issue(ring, slice_of_text(taken->subject), slice_of_text(taken->token_id),
                        taken->issued_at_s, life_s, text, NULL) == ERR_OK);
    require(token_verify(ring, slice_of_text(text), NOW, &back, NULL) == ERR_OK);
    require(memcmp(&back, taken, sizeof(back)) == 0);
}

static bool
is_taken(const struct key_ring *ring, struct slice text)
{
    struct token_claims taken;
    struct diag diag = DIAG_INIT;
    enum err err = token_verify(ring, text, NOW, &taken, &diag);

    require(err == ERR_OK || (err == ERR_UNAUTHORIZED && diag.message[0] != '\0'));
    if (err == ERR_OK)
        require_claims(ring, &taken);
    return err == ERR_OK;
}

static void
feed_token(struct slice text)
{
    struct key_ring ring;
    char right[TOKEN_MADE_BYTES_MAX + 1];

    make_ring(&ring);
    require(token_issue(&ring, SLICE("a-1"), SLICE("t-1"), NOW, 600, right, NULL) == ERR_OK);
    require(is_taken(&ring, text) == slice_equal(text, slice_of_text(right)));
}

static void
feed_signed(struct slice head, struct slice body)
{
    struct key_ring ring;
    struct buf buf;

    make_ring(&ring);
    buf_init(&buf, (size_t)1 << 26);
    for (uint32_t i = 0; i < ring.key_count; i++) {
        buf_clear(&buf);
        sign(&ring.keys[i], head, body, &buf);
        (void)is_taken(&ring, buf_slice(&buf));
    }
    buf_fini(&buf);
}

static void
feed_ring(struct slice lines)
{
    struct key_ring ring;
    struct buf text, again;

    buf_init(&text, (size_t)1 << 26);
    buf_init(&again, (size_t)1 << 26);
    buf_add_slice(&text, lines);
    buf_printf(&text, "crc32c %08x\n", crc32c(0, lines.ptr, lines.len));
    if (key_ring_parse(buf_slice(&text), &ring, NULL) == ERR_OK) {
        key_ring_format(&ring, &again);
        require(slice_equal(buf_slice(&text), buf_slice(&again)));
        require(again.len <= KEY_RING_FILE_BYTES_MAX);
        require(key_ring_find(&ring, slice_of_text(key_ring_signer(&ring)->kid), NOW) ==
                key_ring_signer(&ring));
    }
    buf_fini(&text);
    buf_fini(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice rest = slice_of((const char *)bytes + 1, len - 1);

    if (len == 0)
        return 0;
    switch (bytes[0]) {
    case 'h':
        feed_signed(rest, slice_of(claims, sizeof(claims) - 1));
        break;
    case 'c':
        feed_signed(slice_of(header, sizeof(header) - 1), rest);
        break;
    case 'k':
        feed_ring(rest);
        break;
    default:
        feed_token(rest);
        break;
    }
    return 0;
}
