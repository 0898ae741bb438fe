/* Units of account/token_key: the RFCs' own signatures, lengths, and what each key may verify. */
#include "../test.h"

#include "account/token_key.h"
#include <sodium.h>

static struct slice
bytes_of(const char *base64url, uint8_t *bytes, size_t bytes_max)
{
    size_t len = 0;

    assert_int_equal(sodium_base642bin(bytes, bytes_max, base64url, strlen(base64url), NULL, &len,
                                       NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    return slice_of((const char *)bytes, len);
}

static void
check_vector(enum token_alg alg, const char *secret_text, const char *input,
             const char *signature_text)
{
    uint8_t secret_bytes[64], signature_bytes[64], made[TOKEN_SIGNATURE_BYTES_MAX];
    struct slice secret = bytes_of(secret_text, secret_bytes, sizeof(secret_bytes));
    struct slice signature = bytes_of(signature_text, signature_bytes, sizeof(signature_bytes));
    struct token_key key;
    size_t len = 0;

    assert_int_equal(token_key_init(&key, alg, SLICE("rfc"), secret), ERR_OK);
    token_key_sign(&key, slice_of_text(input), made, &len);
    assert_int_equal(len, signature.len);
    assert_memory_equal(made, signature.ptr, len);
    assert_true(token_key_verifies(&key, slice_of_text(input), signature));
    assert_false(token_key_verifies(&key, slice_of(input, strlen(input) - 1), signature));
    for (size_t bit = 0; bit < signature.len * 8; bit++) {
        signature_bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_false(token_key_verifies(&key, slice_of_text(input), signature));
        signature_bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    for (size_t n = 0; n < signature.len; n++)
        assert_false(token_key_verifies(&key, slice_of_text(input), slice_of(signature.ptr, n)));
    token_key_wipe(&key);
}

static void
test_token_key__signs_as_rfc_7515_appendix_a_1(void **state)
{
    (void)state;
    check_vector(TOKEN_HS256,
                 "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z"
                 "9CAow",
                 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                 "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb"
                 "290Ijp0cnVlfQ",
                 "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

static void
test_token_key__signs_as_rfc_8037_appendix_a_4(void **state)
{
    uint8_t public_key[32];
    uint8_t seed[32];
    struct token_key key;

    (void)state;
    check_vector(
        TOKEN_EDDSA, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM"
        "0KAg");
    /* appendix A.2: the public key of the seed */
    assert_int_equal(
        token_key_init(&key, TOKEN_EDDSA, SLICE("rfc"),
                       bytes_of("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", seed, sizeof(seed))),
        ERR_OK);
    (void)bytes_of("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", public_key, sizeof(public_key));
    assert_memory_equal(key.secret + 32, public_key, 32);
}

static void
test_token_key__secrets_and_kids_have_limits(void **state)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    char bytes[80];
    struct token_key key;

    (void)state;
    memset(bytes, 'k', sizeof(bytes));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        assert_int_equal(token_key_init(&key, TOKEN_HS256, SLICE("k"), slice_of(bytes, len)),
                         len >= 32 && len <= 64 ? ERR_OK : ERR_INVALID);
        assert_int_equal(token_key_init(&key, TOKEN_EDDSA, SLICE("k"), slice_of(bytes, len)),
                         len == 32 ? ERR_OK : ERR_INVALID);
        assert_int_equal(
            token_key_init(&key, TOKEN_HS256, slice_of(bytes, len), slice_of(bytes, 32)),
            len >= 1 && len <= 32 ? ERR_OK : ERR_INVALID);
    }
    for (int c = 0; c < 256; c++) {
        const char kid = (char)c;

        assert_int_equal(token_key_init(&key, TOKEN_HS256, slice_of(&kid, 1), slice_of(bytes, 32)),
                         c != 0 && strchr(letters, c) != NULL ? ERR_OK : ERR_INVALID);
    }
}

static void
test_token_key__every_bit_of_a_secret_counts(void **state)
{
    const struct slice text = SLICE("what is signed");
    char secret[64];
    struct token_key key, other;
    uint8_t signature[TOKEN_SIGNATURE_BYTES_MAX];
    size_t len = 0;

    (void)state;
    memset(secret, 's', sizeof(secret));
    for (int alg = TOKEN_HS256; alg <= TOKEN_EDDSA; alg++) {
        const size_t secret_len = alg == TOKEN_HS256 ? 64 : 32;

        assert_int_equal(
            token_key_init(&key, (enum token_alg)alg, SLICE("k"), slice_of(secret, secret_len)),
            ERR_OK);
        token_key_sign(&key, text, signature, &len);
        for (size_t bit = 0; bit < secret_len * 8; bit++) {
            secret[bit / 8] = (char)(secret[bit / 8] ^ (1 << (bit % 8)));
            assert_int_equal(token_key_init(&other, (enum token_alg)alg, SLICE("k"),
                                            slice_of(secret, secret_len)),
                             ERR_OK);
            secret[bit / 8] = (char)(secret[bit / 8] ^ (1 << (bit % 8)));
            assert_false(token_key_verifies(&other, text, slice_of((const char *)signature, len)));
        }
        assert_true(token_key_verifies(&key, text, slice_of((const char *)signature, len)));
    }
}

static void
test_token_key__made_ones_differ_and_sign(void **state)
{
    struct random_source seeded;
    struct token_key keys[4];
    uint8_t signature[TOKEN_SIGNATURE_BYTES_MAX];
    size_t len = 0;

    (void)state;
    random_seeded_init(&seeded, 3);
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct slice text;

        token_key_make(&keys[i], i % 2 == 0 ? TOKEN_HS256 : TOKEN_EDDSA, &seeded, 1234);
        assert_int_equal(keys[i].created_at_s, 1234);
        assert_int_equal(keys[i].retire_at_s, 0);
        assert_int_equal(strlen(keys[i].kid), 12);
        assert_int_equal(token_key_secret(&keys[i]).len, 32);
        text = slice_of_text(keys[i].kid);
        token_key_sign(&keys[i], text, signature, &len);
        for (size_t j = 0; j <= i; j++)
            assert_int_equal(
                token_key_verifies(&keys[j], text, slice_of((const char *)signature, len)), j == i);
    }
    token_key_wipe(&keys[0]);
    for (size_t i = 0; i < sizeof(keys[0].secret); i++)
        assert_int_equal(keys[0].secret[i], 0);
}

static void
test_token_key__names_of_algorithms_are_these_two(void **state)
{
    static const char *const others[] = {"",       "none",  "None",  "NONE",  "hs256",
                                         "HS25",   "HS384", "HS512", "RS256", "ES256",
                                         "HS2566", "eddsa", "EDDSA", "PS256", "Ed25519"};
    enum token_alg alg = TOKEN_EDDSA;

    (void)state;
    assert_true(token_alg_of_name(SLICE("HS256"), &alg));
    assert_int_equal(alg, TOKEN_HS256);
    assert_true(token_alg_of_name(SLICE("EdDSA"), &alg));
    assert_int_equal(alg, TOKEN_EDDSA);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_false(token_alg_of_name(slice_of_text(others[i]), &alg));
    assert_slice_equal(token_alg_name(TOKEN_HS256), "HS256");
    assert_slice_equal(token_alg_name(TOKEN_EDDSA), "EdDSA");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_key__signs_as_rfc_7515_appendix_a_1),
        cmocka_unit_test(test_token_key__signs_as_rfc_8037_appendix_a_4),
        cmocka_unit_test(test_token_key__secrets_and_kids_have_limits),
        cmocka_unit_test(test_token_key__every_bit_of_a_secret_counts),
        cmocka_unit_test(test_token_key__made_ones_differ_and_sign),
        cmocka_unit_test(test_token_key__names_of_algorithms_are_these_two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
