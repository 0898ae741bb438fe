/* Units of account/token: what is taken is exactly what is issued, and only while its key is. */
#include "../test.h"

#include "account/token.h"
#include <sodium.h>

#define NOW INT64_C(1800000000)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}"
/* The claims, one by one, so that a test can put another in one's place. */
#define ISS "\"iss\":\"potik\""
#define AUD ",\"aud\":\"potik-api\""
#define SUB ",\"sub\":\"a-1\""
#define IAT ",\"iat\":1800000000"
#define EXP ",\"exp\":1800000600"
#define JTI ",\"jti\":\"t-1\""
#define CLAIMS "{" ISS AUD SUB IAT EXP JTI "}"

/* hs signs and ed verifies, or the other way round. */
static struct key_ring hs_ring, ed_ring;
static const struct token_key *hs, *ed;

static int
setup(void **state)
{
    (void)state;
    hs = &hs_ring.keys[0];
    ed = &hs_ring.keys[1];
    hs_ring.key_count = 2;
    assert_int_equal(token_key_init(&hs_ring.keys[0], TOKEN_HS256, SLICE("hs"),
                                    SLICE("0123456789abcdef0123456789abcdef")),
                     ERR_OK);
    assert_int_equal(token_key_init(&hs_ring.keys[1], TOKEN_EDDSA, SLICE("ed"),
                                    SLICE("fedcba9876543210fedcba9876543210")),
                     ERR_OK);
    ed_ring = (struct key_ring){.key_count = 2, .keys = {hs_ring.keys[1], hs_ring.keys[0]}};
    hs_ring.keys[1].retire_at_s = NOW + 1000;
    ed_ring.keys[1].retire_at_s = NOW + 1000;
    return 0;
}

static void
add_base64(struct buf *buf, const void *bytes, size_t len)
{
    char text[2 * TOKEN_BYTES_MAX];

    (void)sodium_bin2base64(text, sizeof(text), (const uint8_t *)bytes, len,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_add_text(buf, text);
}

/* A token of any header and claims, rightly signed by this key. */
static void
make(struct buf *buf, const struct token_key *key, const char *header, const char *claims)
{
    uint8_t signature[TOKEN_SIGNATURE_BYTES_MAX];
    size_t len = 0;

    buf_init(buf, 1 << 16);
    add_base64(buf, header, strlen(header));
    buf_add_char(buf, '.');
    add_base64(buf, claims, strlen(claims));
    token_key_sign(key, buf_slice(buf), signature, &len);
    buf_add_char(buf, '.');
    add_base64(buf, signature, len);
    assert_false(buf_failed(buf));
}

static enum err
verify(struct slice text, int64_t now_s, struct diag *diag)
{
    struct token_claims claims = {.issued_at_s = 77};
    enum err err = token_verify(&hs_ring, text, now_s, &claims, diag);

    assert_true(err == ERR_OK || err == ERR_UNAUTHORIZED);
    assert_true((err == ERR_OK) == (claims.issued_at_s != 77));
    return err;
}

static enum err
verify_made(const struct token_key *key, const char *header, const char *claims, struct diag *diag)
{
    struct buf token;
    enum err err;

    make(&token, key, header, claims);
    err = verify(buf_slice(&token), NOW, diag);
    buf_fini(&token);
    return err;
}

static void
test_token__issued_one_is_verified(void **state)
{
    const struct key_ring *rings[] = {&hs_ring, &ed_ring};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rings); i++) {
        char text[TOKEN_MADE_BYTES_MAX + 1];
        struct token_claims claims;

        assert_int_equal(
            token_issue(rings[i], SLICE("acc:7"), SLICE("t_1.x-y"), NOW, 900, text, NULL), ERR_OK);
        for (size_t j = 0; j < COUNT_OF(rings); j++) {
            assert_int_equal(token_verify(rings[j], slice_of_text(text), NOW + 1, &claims, NULL),
                             ERR_OK);
            assert_string_equal(claims.subject, "acc:7");
            assert_string_equal(claims.token_id, "t_1.x-y");
            assert_int_equal(claims.issued_at_s, NOW);
            assert_int_equal(claims.expires_at_s, NOW + 900);
        }
    }
}

/* To the letter, so that another reader of JWT can be pointed at it. */
static void
test_token__is_a_jwt_of_these_parts(void **state)
{
    char text[TOKEN_MADE_BYTES_MAX + 1];
    struct buf token;

    (void)state;
    assert_int_equal(token_issue(&hs_ring, SLICE("a-1"), SLICE("t-1"), NOW, 600, text, NULL),
                     ERR_OK);
    make(&token, hs, HEADER, CLAIMS);
    assert_slice_equal(buf_slice(&token), text);
    assert_int_equal(verify(buf_slice(&token), NOW, NULL), ERR_OK);
    buf_fini(&token);
}

static void
test_token__issuing_has_limits(void **state)
{
    char text[TOKEN_MADE_BYTES_MAX + 1];
    char name[80];
    struct diag diag = DIAG_INIT;

    (void)state;
    memset(name, 'n', sizeof(name));
    for (size_t len = 0; len <= 66; len++) {
        const enum err expected = len >= 1 && len <= 64 ? ERR_OK : ERR_INVALID;

        assert_int_equal(
            token_issue(&hs_ring, slice_of(name, len), SLICE("t"), NOW, 1, text, &diag), expected);
        if (expected == ERR_OK)
            assert_int_equal(verify(slice_of_text(text), NOW, NULL), ERR_OK);
        else
            assert_string_equal(diag.field, "subject");
        assert_int_equal(
            token_issue(&hs_ring, SLICE("a"), slice_of(name, len), NOW, 1, text, &diag), expected);
        if (expected != ERR_OK)
            assert_string_equal(diag.field, "token_id");
    }
    for (int c = 0; c < 256; c++) {
        const char letter = (char)c;
        const bool is_good = (c >= '0' && c <= ':') || (c >= 'A' && c <= 'Z') ||
                             (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.';

        assert_int_equal(
            token_issue(&hs_ring, slice_of(&letter, 1), SLICE("t"), NOW, 1, text, NULL),
            is_good ? ERR_OK : ERR_INVALID);
    }
    for (int64_t life_s = -1; life_s <= 2; life_s++)
        assert_int_equal(token_issue(&hs_ring, SLICE("a"), SLICE("t"), NOW, life_s, text, &diag),
                         life_s >= 1 ? ERR_OK : ERR_INVALID);
    for (int64_t life_s = 86399; life_s <= 86401; life_s++)
        assert_int_equal(token_issue(&hs_ring, SLICE("a"), SLICE("t"), NOW, life_s, text, &diag),
                         life_s <= 86400 ? ERR_OK : ERR_INVALID);
    assert_string_equal(diag.field, "life_s");
}

static void
test_token__longest_issued_one_fits(void **state)
{
    struct key_ring ring = {.key_count = 1};
    char text[TOKEN_MADE_BYTES_MAX + 1];
    char name[64];
    struct token_claims claims;

    (void)state;
    memset(name, 'n', sizeof(name));
    assert_int_equal(token_key_init(&ring.keys[0], TOKEN_EDDSA, slice_of(name, 32),
                                    SLICE("0123456789abcdef0123456789abcdef")),
                     ERR_OK);
    assert_int_equal(token_issue(&ring, slice_of(name, 64), slice_of(name, 64), KEY_RING_TIME_S_MAX,
                                 86400, text, NULL),
                     ERR_OK);
    assert_true(strlen(text) <= TOKEN_MADE_BYTES_MAX);
    assert_int_equal(token_verify(&ring, slice_of_text(text), KEY_RING_TIME_S_MAX, &claims, NULL),
                     ERR_OK);
    assert_int_equal(claims.expires_at_s, KEY_RING_TIME_S_MAX + 86400);
}

static void
test_token__header_has_exactly_its_members(void **state)
{
    static const char *const bad[] = {
        /* alg: none in all its guises, others, missing, of another type */
        "{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"None\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"NONE\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"hs256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS384\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":null,\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":[\"HS256\"],\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        /* typ */
        "{\"alg\":\"HS256\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"typ\":\"AT+JWT\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"typ\":\"\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"typ\":1,\"kid\":\"hs\"}",
        /* kid */
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"h\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hss\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"other\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"../../dev/null\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\\u0000\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":null}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":0}",
        /* repeated */
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"kid\":\"hs\"}",
        "{\"alg\":\"none\",\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        /* not known here */
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"crit\":[\"exp\"],\"exp\":1}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"crit\":[]}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"jwk\":{\"kty\":\"oct\"}}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"jku\":\"https://example.org\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"x5u\":\"https://example.org\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"x5c\":[]}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"b64\":false}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"cty\":\"JWT\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"zip\":\"DEF\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",\"\":\"\"}",
        "{\"ALG\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        /* escapes, and what is not one object */
        "{\"a\\u006cg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS\\u003256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "",
        "{}",
        "{",
        "null",
        "[]",
        "[" HEADER "]",
        "\"HS256\"",
        HEADER HEADER,
        HEADER ",",
        HEADER "x",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\",}",
        "{,\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\" \"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\" \"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\"",
        "{'alg':'HS256','typ':'at+jwt','kid':'hs'}",
        "{alg:\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
        "\xEF\xBB\xBF{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}",
    };

    (void)state;
    assert_int_equal(verify_made(hs, HEADER, CLAIMS, NULL), ERR_OK);
    /* any order, and space where JSON has it */
    assert_int_equal(
        verify_made(hs, " {\n\"kid\" : \"hs\" ,\t\"typ\":\"at+jwt\",\r\"alg\":\"HS256\" } ", CLAIMS,
                    NULL),
        ERR_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct diag diag = DIAG_INIT;

        if (verify_made(hs, bad[i], CLAIMS, &diag) == ERR_OK)
            fail_msg("taken: %s", bad[i]);
        assert_memory_equal(diag.message, "token: ", 7);
    }
}

/* The attacks of RFC 8725, 2.1: the token names an algorithm, and the server's key serves it. */
static void
test_token__algorithm_is_the_keys_own(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}",
    };
    struct token_key forger;
    struct buf token;

    (void)state;
    /* the public key of Ed25519, which anybody may know, as the secret of HMAC */
    assert_int_equal(token_key_init(&forger, TOKEN_HS256, SLICE("ed"),
                                    slice_of((const char *)ed->secret + 32, 32)),
                     ERR_OK);
    for (size_t i = 0; i < COUNT_OF(headers); i++)
        assert_int_equal(verify_made(&forger, headers[i], CLAIMS, NULL), ERR_UNAUTHORIZED);
    assert_int_equal(verify_made(ed, headers[1], CLAIMS, NULL), ERR_OK);
    assert_int_equal(verify_made(ed, headers[0], CLAIMS, NULL), ERR_UNAUTHORIZED);
    assert_int_equal(verify_made(ed, HEADER, CLAIMS, NULL), ERR_UNAUTHORIZED);
    /* the secret of HMAC as the seed of Ed25519 */
    assert_int_equal(token_key_init(&forger, TOKEN_EDDSA, SLICE("hs"), token_key_secret(hs)),
                     ERR_OK);
    assert_int_equal(verify_made(&forger, HEADER, CLAIMS, NULL), ERR_UNAUTHORIZED);
    assert_int_equal(
        verify_made(&forger, "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}", CLAIMS, NULL),
        ERR_UNAUTHORIZED);
    /* no signature at all */
    for (int with_point = 0; with_point < 2; with_point++) {
        buf_init(&token, 4096);
        add_base64(&token, "{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"hs\"}", 40);
        buf_add_char(&token, '.');
        add_base64(&token, CLAIMS, strlen(CLAIMS));
        if (with_point == 1)
            buf_add_char(&token, '.');
        assert_int_equal(verify(buf_slice(&token), NOW, NULL), ERR_UNAUTHORIZED);
        buf_fini(&token);
    }
    make(&token, hs, HEADER, CLAIMS);
    token.len -= 43;
    assert_int_equal(verify(buf_slice(&token), NOW, NULL), ERR_UNAUTHORIZED);
    buf_fini(&token);
}

static void
test_token__claims_are_these_and_of_their_types(void **state)
{
    static const struct {
        const char *claims;
        const char *word; /* of the reason */
    } bad[] = {
        /* each missing */
        {"{\"aud\":\"potik-api\"" SUB IAT EXP JTI "}", "'iss' is missing"},
        {"{" ISS SUB IAT EXP JTI "}", "'aud' is missing"},
        {"{" ISS AUD IAT EXP JTI "}", "'sub' is missing"},
        {"{" ISS AUD SUB EXP JTI "}", "'iat' is missing"},
        {"{" ISS AUD SUB IAT JTI "}", "'exp' is missing"},
        {"{" ISS AUD SUB IAT EXP "}", "'jti' is missing"},
        /* each of another type */
        {"{\"iss\":1" AUD SUB IAT EXP JTI "}", "'iss'"},
        {"{\"iss\":null" AUD SUB IAT EXP JTI "}", "'iss'"},
        {"{" ISS ",\"aud\":[\"potik-api\"]" SUB IAT EXP JTI "}", "'aud'"},
        {"{" ISS ",\"aud\":{}" SUB IAT EXP JTI "}", "'aud'"},
        {"{" ISS AUD ",\"sub\":1" IAT EXP JTI "}", "'sub'"},
        {"{" ISS AUD ",\"sub\":null" IAT EXP JTI "}", "'sub'"},
        {"{" ISS AUD ",\"sub\":true" IAT EXP JTI "}", "'sub'"},
        {"{" ISS AUD SUB ",\"iat\":\"1800000000\"" EXP JTI "}", "'iat'"},
        {"{" ISS AUD SUB ",\"iat\":1800000000.0" EXP JTI "}", "'iat'"},
        {"{" ISS AUD SUB ",\"iat\":18e8" EXP JTI "}", "'iat'"},
        {"{" ISS AUD SUB ",\"iat\":-1" EXP JTI "}", "'iat'"},
        {"{" ISS AUD SUB ",\"iat\":-0" EXP JTI "}", "'iat'"},
        {"{" ISS AUD SUB ",\"iat\":01800000000" EXP JTI "}", "'iat'"},
        {"{" ISS AUD SUB ",\"iat\":null" EXP JTI "}", "'iat'"},
        {"{" ISS AUD SUB IAT ",\"exp\":\"1800000600\"" JTI "}", "'exp'"},
        {"{" ISS AUD SUB IAT ",\"exp\":1800000600.5" JTI "}", "'exp'"},
        {"{" ISS AUD SUB IAT ",\"exp\":true" JTI "}", "'exp'"},
        {"{" ISS AUD SUB IAT ",\"exp\":[]" JTI "}", "'exp'"},
        {"{" ISS AUD SUB IAT ",\"exp\":1000000000000" JTI "}", "'exp'"}, /* 13 digits */
        {"{" ISS AUD SUB IAT ",\"exp\":18446744075509552216" JTI "}", "'exp'"},
        {"{" ISS AUD SUB IAT ",\"exp\":1e999" JTI "}", "'exp'"},
        {"{" ISS AUD SUB IAT EXP ",\"jti\":1}", "'jti'"},
        {"{" ISS AUD SUB IAT EXP ",\"jti\":[]}", "'jti'"},
        /* of another value */
        {"{\"iss\":\"Potik\"" AUD SUB IAT EXP JTI "}", "'iss' is not potik"},
        {"{\"iss\":\"potik \"" AUD SUB IAT EXP JTI "}", "'iss' is not potik"},
        {"{\"iss\":\"\"" AUD SUB IAT EXP JTI "}", "'iss' is not potik"},
        {"{" ISS ",\"aud\":\"potik\"" SUB IAT EXP JTI "}", "'aud' is not potik-api"},
        {"{" ISS ",\"aud\":\"potik-api2\"" SUB IAT EXP JTI "}", "'aud' is not potik-api"},
        {"{" ISS AUD ",\"sub\":\"\"" IAT EXP JTI "}", "'sub'"},
        {"{" ISS AUD ",\"sub\":\"a b\"" IAT EXP JTI "}", "'sub'"},
        {"{" ISS AUD ",\"sub\":\"\xC3\xA9\"" IAT EXP JTI "}", "'sub'"},
        {"{" ISS AUD ",\"sub\":\"\xFF\"" IAT EXP JTI "}", "'sub'"},
        {"{" ISS AUD ",\"sub\":\"a\\u002d1\"" IAT EXP JTI "}", "'sub' is not a plain text"},
        {"{" ISS AUD SUB IAT EXP ",\"jti\":\"\"}", "'jti'"},
        {"{" ISS AUD SUB IAT EXP ",\"jti\":\"'\"}", "'jti'"},
        /* repeated, and not known here */
        {"{" ISS "," ISS AUD SUB IAT EXP JTI "}", "'iss' stands twice"},
        {"{" ISS AUD SUB SUB IAT EXP JTI "}", "'sub' stands twice"},
        {"{" ISS AUD SUB ",\"sub\":\"admin\"" IAT EXP JTI "}", "'sub' stands twice"},
        {"{" ISS AUD SUB IAT EXP EXP JTI "}", "'exp' stands twice"},
        {"{" ISS AUD SUB IAT EXP JTI ",\"nbf\":1}", "not known"},
        {"{" ISS AUD SUB IAT EXP JTI ",\"scope\":\"\"}", "not known"},
        {"{" ISS AUD SUB IAT EXP JTI ",\"cnf\":{}}", "not known"},
        {"{" ISS AUD SUB IAT EXP JTI "}{}", "not one JSON object"},
        {"{" ISS AUD SUB IAT EXP JTI "]", "not one JSON object"},
        {"[]", "not a JSON object"},
        {"", "not a JSON object"},
    };

    (void)state;
    assert_int_equal(verify_made(hs, HEADER, " { " ISS " " AUD SUB IAT EXP JTI "\n} ", NULL),
                     ERR_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct diag diag = DIAG_INIT;

        if (verify_made(hs, HEADER, bad[i].claims, &diag) == ERR_OK)
            fail_msg("taken: %s", bad[i].claims);
        if (strstr(diag.message, bad[i].word) == NULL)
            fail_msg("%s: %s", bad[i].claims, diag.message);
    }
}

static void
test_token__names_have_limits(void **state)
{
    char name[70];
    char claims[400];

    (void)state;
    memset(name, 'n', sizeof(name));
    for (int len = 63; len <= 65; len++) {
        const enum err expected = len <= 64 ? ERR_OK : ERR_UNAUTHORIZED;

        (void)snprintf(claims, sizeof(claims), "{" ISS AUD ",\"sub\":\"%.*s\"" IAT EXP JTI "}", len,
                       name);
        assert_int_equal(verify_made(hs, HEADER, claims, NULL), expected);
        (void)snprintf(claims, sizeof(claims), "{" ISS AUD SUB IAT EXP ",\"jti\":\"%.*s\"}", len,
                       name);
        assert_int_equal(verify_made(hs, HEADER, claims, NULL), expected);
    }
}

static void
test_token__times_have_limits_to_the_second(void **state)
{
    static const struct {
        int64_t iat, exp; /* from NOW */
        bool is_good;
    } cases[] = {
        {-10, -1, false},  {-10, 0, false},    {-10, 1, true},     {-10, 2, true},
        {59, 100, true},   {60, 100, true},    {61, 100, false},   {60, 60, false},
        {60, 59, false},   {60, 61, true},     {0, 86399, true},   {0, 86400, true},
        {0, 86401, false}, {60, 86460, true},  {60, 86461, false}, {-86398, 1, true},
        {-86399, 1, true}, {-86400, 1, false}, {-86399, 0, false}, {-1800000000, 1, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char claims[400];
        enum err err;

        (void)snprintf(claims, sizeof(claims), "{" ISS AUD SUB ",\"iat\":%lld,\"exp\":%lld" JTI "}",
                       (long long)(NOW + cases[i].iat), (long long)(NOW + cases[i].exp));
        err = verify_made(hs, HEADER, claims, NULL);
        if ((err == ERR_OK) != cases[i].is_good)
            fail_msg("case %zu: %s", i, claims);
    }
    /* an issued one, at its end */
    {
        char text[TOKEN_MADE_BYTES_MAX + 1];
        struct diag diag = DIAG_INIT;

        assert_int_equal(token_issue(&hs_ring, SLICE("a"), SLICE("t"), NOW, 86400, text, NULL),
                         ERR_OK);
        assert_int_equal(verify(slice_of_text(text), NOW - 60, NULL), ERR_OK);
        assert_int_equal(verify(slice_of_text(text), NOW - 61, NULL), ERR_UNAUTHORIZED);
        assert_int_equal(verify(slice_of_text(text), NOW + 86399, NULL), ERR_OK);
        assert_int_equal(verify(slice_of_text(text), NOW + 86400, &diag), ERR_UNAUTHORIZED);
        assert_non_null(strstr(diag.message, "expired"));
    }
}

static void
test_token__every_flipped_bit_and_every_cut_is_refused(void **state)
{
    const struct key_ring *rings[] = {&hs_ring, &ed_ring};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rings); i++) {
        char text[TOKEN_MADE_BYTES_MAX + 1];
        size_t len;

        assert_int_equal(token_issue(rings[i], SLICE("a-1"), SLICE("t-1"), NOW, 600, text, NULL),
                         ERR_OK);
        len = strlen(text);
        assert_int_equal(verify(slice_of(text, len), NOW, NULL), ERR_OK);
        for (size_t bit = 0; bit < len * 8; bit++) {
            const char was = text[bit / 8];

            text[bit / 8] = (char)((unsigned char)was ^ (1U << (bit % 8)));
            if (verify(slice_of(text, len), NOW, NULL) == ERR_OK)
                fail_msg("bit %zu", bit);
            text[bit / 8] = was;
        }
        for (size_t n = 0; n < len; n++) {
            assert_int_equal(verify(slice_of(text, n), NOW, NULL), ERR_UNAUTHORIZED);
            if (n != 0)
                assert_int_equal(verify(slice_of(text + n, len - n), NOW, NULL), ERR_UNAUTHORIZED);
        }
    }
    assert_int_equal(verify(SLICE_NONE, NOW, NULL), ERR_UNAUTHORIZED);
}

/* Every character that could be put in anywhere, and every other last character of the parts. */
static void
test_token__one_text_a_token(void **state)
{
    static const char put[] = "=. \t\r\n\"+/-_A%~,\0";
    char text[TOKEN_MADE_BYTES_MAX + 1];
    char changed[TOKEN_MADE_BYTES_MAX + 8];
    size_t len;

    (void)state;
    assert_int_equal(token_issue(&hs_ring, SLICE("a-1"), SLICE("t-1"), NOW, 600, text, NULL),
                     ERR_OK);
    len = strlen(text);
    for (size_t at = 0; at <= len; at++) {
        for (size_t c = 0; c < sizeof(put) - 1; c++) {
            memcpy(changed, text, at);
            changed[at] = put[c];
            memcpy(changed + at + 1, text + at, len - at);
            assert_int_equal(verify(slice_of(changed, len + 1), NOW, NULL), ERR_UNAUTHORIZED);
        }
    }
    for (size_t at = 0; at < len; at++) {
        if (at + 1 < len && text[at + 1] != '.')
            continue;
        for (int c = 0; c < 256; c++) {
            memcpy(changed, text, len);
            changed[at] = (char)c;
            assert_int_equal(verify(slice_of(changed, len), NOW, NULL),
                             (char)c == text[at] ? ERR_OK : ERR_UNAUTHORIZED);
        }
    }
    memcpy(changed, text, len);
    memcpy(changed + len, "==", 2);
    assert_int_equal(verify(slice_of(changed, len + 2), NOW, NULL), ERR_UNAUTHORIZED);
}

/*
 * The bits at the end of a part that no byte has: the signature is right over the text as sent, so
 * that only the strict reading stands in the way.
 */
static void
test_token__parts_are_canonical_base64(void **state)
{
    static const char *const tails[] = {"", "=", "==", " ", "\n"};
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    (void)state;
    for (size_t pad = 0; pad < 3; pad++) {
        for (size_t stray = 0; stray < 16; stray++) {
            for (size_t tail = 0; tail < COUNT_OF(tails); tail++) {
                const size_t stray_max = pad == 0 ? 1 : pad == 1 ? 4 : 16;
                char claims[200] = CLAIMS;
                uint8_t signature[TOKEN_SIGNATURE_BYTES_MAX];
                size_t len = strlen(claims), signature_len = 0;
                struct buf token;
                char *last;

                /* bytes modulo 3: 0 none stray, 2 two bits, 1 four */
                while (len % 3 != (3 - pad) % 3)
                    claims[len++] = ' ';
                if (stray >= stray_max)
                    continue;
                buf_init(&token, 4096);
                add_base64(&token, HEADER, strlen(HEADER));
                buf_add_char(&token, '.');
                add_base64(&token, claims, len);
                last = token.ptr + token.len - 1;
                *last = alphabet[(size_t)(strchr(alphabet, *last) - alphabet) + stray];
                buf_add_text(&token, tails[tail]);
                token_key_sign(hs, buf_slice(&token), signature, &signature_len);
                buf_add_char(&token, '.');
                add_base64(&token, signature, signature_len);
                assert_int_equal(verify(buf_slice(&token), NOW, NULL),
                                 stray == 0 && tail == 0 ? ERR_OK : ERR_UNAUTHORIZED);
                buf_fini(&token);
            }
        }
    }
}

/* Right in all else, of just these lengths: space in the JSON fills them. */
static void
test_token__is_at_most_4096_bytes(void **state)
{
    size_t tried = 0;

    (void)state;
    for (size_t len = 4093; len <= 4100; len++) {
        for (size_t header_pad = 0; header_pad < 3; header_pad++) {
            for (size_t bytes = 2900; bytes < 3072; bytes++) {
                char header[100] = HEADER;
                char claims[3100];
                struct diag diag = DIAG_INIT;
                struct buf token;

                memset(header + strlen(header), ' ', header_pad);
                (void)snprintf(claims, sizeof(claims), "%-*s", (int)bytes, CLAIMS);
                if ((strlen(header) * 4 + 2) / 3 + (bytes * 4 + 2) / 3 + 45 != len)
                    continue;
                make(&token, hs, header, claims);
                assert_int_equal(token.len, len);
                assert_int_equal(verify(buf_slice(&token), NOW, &diag),
                                 len <= 4096 ? ERR_OK : ERR_UNAUTHORIZED);
                assert_true(len <= 4096 || strstr(diag.message, "4096") != NULL);
                tried |= (size_t)1 << (len - 4093);
                buf_fini(&token);
            }
        }
    }
    assert_int_equal(tried, 0xff); /* every length was made */
}

static void
test_token__rotation_logs_nobody_out(void **state)
{
    struct random_source seeded;
    struct key_ring_config config = {
        .dir = (const char *)*state, .may_create = true, .alg = TOKEN_HS256, .random = &seeded};
    struct key_ring *first = NULL;
    struct key_ring *second = NULL;
    struct key_ring *third = NULL;
    char old[TOKEN_MADE_BYTES_MAX + 1], fresh[TOKEN_MADE_BYTES_MAX + 1];
    struct token_claims claims;

    random_seeded_init(&seeded, 4);
    assert_int_equal(key_ring_open(&config, NOW, &first, NULL), ERR_OK);
    assert_int_equal(token_issue(first, SLICE("a"), SLICE("t"), NOW + 60, 86400, old, NULL),
                     ERR_OK);
    /* issued by a node that had not read the new ring yet: good to its last second */
    assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW, &second, NULL), ERR_OK);
    assert_int_equal(token_verify(second, slice_of_text(old), NOW, &claims, NULL), ERR_OK);
    assert_int_equal(token_verify(second, slice_of_text(old), NOW + 86459, &claims, NULL), ERR_OK);
    assert_int_equal(token_issue(second, SLICE("a"), SLICE("t"), NOW, 600, fresh, NULL), ERR_OK);
    assert_int_equal(token_verify(second, slice_of_text(fresh), NOW, &claims, NULL), ERR_OK);
    assert_int_equal(token_verify(first, slice_of_text(fresh), NOW, &claims, NULL),
                     ERR_UNAUTHORIZED);
    /* a shorter time: good until its key retires, not after, though it has not expired */
    assert_int_equal(key_ring_rotate(&config, 100, NOW, &third, NULL), ERR_OK);
    assert_int_equal(token_verify(third, slice_of_text(old), NOW + 99, &claims, NULL), ERR_OK);
    assert_int_equal(token_verify(third, slice_of_text(old), NOW + 100, &claims, NULL),
                     ERR_UNAUTHORIZED);
    assert_int_equal(token_verify(third, slice_of_text(old), NOW + 101, &claims, NULL),
                     ERR_UNAUTHORIZED);
    key_ring_close(&third);
    /* at once */
    assert_int_equal(key_ring_rotate(&config, 0, NOW, &third, NULL), ERR_OK);
    assert_int_equal(token_verify(third, slice_of_text(old), NOW, &claims, NULL), ERR_UNAUTHORIZED);
    assert_int_equal(token_verify(third, slice_of_text(fresh), NOW, &claims, NULL),
                     ERR_UNAUTHORIZED);
    key_ring_close(&third);
    key_ring_close(&second);
    key_ring_close(&first);
}

static void
test_token__verifying_takes_no_memory(void **state)
{
    char text[TOKEN_MADE_BYTES_MAX + 1];
    const uint64_t before = mem_allocation_count();

    (void)state;
    assert_int_equal(token_issue(&hs_ring, SLICE("a"), SLICE("t"), NOW, 1, text, NULL), ERR_OK);
    assert_int_equal(verify(slice_of_text(text), NOW, NULL), ERR_OK);
    text[50] ^= 1;
    assert_int_equal(verify(slice_of_text(text), NOW, NULL), ERR_UNAUTHORIZED);
    assert_int_equal(mem_allocation_count(), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token__issued_one_is_verified),
        cmocka_unit_test(test_token__is_a_jwt_of_these_parts),
        cmocka_unit_test(test_token__issuing_has_limits),
        cmocka_unit_test(test_token__longest_issued_one_fits),
        cmocka_unit_test(test_token__header_has_exactly_its_members),
        cmocka_unit_test(test_token__algorithm_is_the_keys_own),
        cmocka_unit_test(test_token__claims_are_these_and_of_their_types),
        cmocka_unit_test(test_token__names_have_limits),
        cmocka_unit_test(test_token__times_have_limits_to_the_second),
        cmocka_unit_test(test_token__every_flipped_bit_and_every_cut_is_refused),
        cmocka_unit_test(test_token__one_text_a_token),
        cmocka_unit_test(test_token__parts_are_canonical_base64),
        cmocka_unit_test(test_token__is_at_most_4096_bytes),
        test_in_dir(test_token__rotation_logs_nobody_out),
        cmocka_unit_test(test_token__verifying_takes_no_memory),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
