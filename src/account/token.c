/*
 * token - see token.h.
 */
#include "account/token.h"

#include "codec/base64.h"
#include "codec/json_reader.h"
#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#define TYPE "at+jwt"
#define DECODED_BYTES_MAX (TOKEN_BYTES_MAX / 4 * 3)
#define NUMBER_DIGITS_MAX 12 /* KEY_RING_TIME_S_MAX has as many */
#define BASE64_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define BASE64_BYTES(len) (((len)*4 + 2) / 3)

/* What stands around the values: 34 characters of the header, 65 of the claims. */
_Static_assert(BASE64_BYTES(34 + 5 + TOKEN_KID_BYTES_MAX) + 1 +
                       BASE64_BYTES(65 + 2 * TOKEN_NAME_BYTES_MAX + 2 * NUMBER_DIGITS_MAX) + 1 +
                       BASE64_BYTES(TOKEN_SIGNATURE_BYTES_MAX) <=
                   TOKEN_MADE_BYTES_MAX,
               "every token fits");

static enum err
refuse(struct diag *diag, const char *words)
{
    diag_set(diag, "token: %s", words);
    return ERR_UNAUTHORIZED;
}

/* Needs no escape in JSON. */
static bool
is_name(struct slice text)
{
    if (text.len == 0 || text.len > TOKEN_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' &&
            c != '_' && c != '.' && c != ':')
            return false;
    }
    return true;
}

/* --- issuing ----------------------------------------------------------------------------------*/

/* `text` in base64 behind `len` characters of the token; gives the new length. */
static size_t
add_part(char *token, size_t len, const void *bytes, size_t bytes_len)
{
    assert(len + sodium_base64_encoded_len(bytes_len, BASE64_VARIANT) <= TOKEN_MADE_BYTES_MAX + 1);
    (void)sodium_bin2base64(token + len, TOKEN_MADE_BYTES_MAX + 1 - len, (const uint8_t *)bytes,
                            bytes_len, BASE64_VARIANT);
    return len + strlen(token + len);
}

static enum err
check_issued(struct slice subject, struct slice token_id, int64_t life_s, struct diag *diag)
{
    const char *field = is_name(subject) ? "token_id" : "subject";

    if (!is_name(subject) || !is_name(token_id)) {
        diag_set_field(diag, field, "%s: must be 1 to %d letters, digits, '-', '_', '.' or ':'",
                       field, TOKEN_NAME_BYTES_MAX);
        return ERR_INVALID;
    }
    if (life_s < 1 || life_s > TOKEN_LIFE_S_MAX) {
        diag_set_field(diag, "life_s", "life_s: must be 1 to %d", TOKEN_LIFE_S_MAX);
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err
token_issue(const struct key_ring *ring, struct slice subject, struct slice token_id, int64_t now_s,
            int64_t life_s, char ret_text[TOKEN_MADE_BYTES_MAX + 1], struct diag *diag)
{
    const struct token_key *key = key_ring_signer(ring);
    uint8_t signature[TOKEN_SIGNATURE_BYTES_MAX];
    char json[TOKEN_MADE_BYTES_MAX];
    size_t len = 0, signature_len = 0;
    int json_len = 0;
    enum err err = check_issued(subject, token_id, life_s, diag);

    assert(now_s >= 0 && now_s <= KEY_RING_TIME_S_MAX);
    if (err != ERR_OK)
        return err;
    json_len =
        snprintf(json, sizeof(json), "{\"alg\":\"%.*s\",\"typ\":\"" TYPE "\",\"kid\":\"%s\"}",
                 SLICE_ARGS(token_alg_name(key->alg)), key->kid);
    len = add_part(ret_text, 0, json, (size_t)json_len);
    ret_text[len++] = '.';
    json_len =
        snprintf(json, sizeof(json),
                 "{\"iss\":\"" TOKEN_ISSUER "\",\"aud\":\"" TOKEN_AUDIENCE "\","
                 "\"sub\":\"%.*s\",\"iat\":%" PRId64 ",\"exp\":%" PRId64 ",\"jti\":\"%.*s\"}",
                 SLICE_ARGS(subject), now_s, now_s + life_s, SLICE_ARGS(token_id));
    len = add_part(ret_text, len, json, (size_t)json_len);
    token_key_sign(key, slice_of(ret_text, len), signature, &signature_len);
    ret_text[len++] = '.';
    (void)add_part(ret_text, len, signature, signature_len);
    return ERR_OK;
}

/* --- reading an object ------------------------------------------------------------------------*/

/* A member that must be there, and what was read of it. */
struct member {
    const char *name;
    bool is_number;
    bool is_there;
    struct slice text;
    int64_t number;
};

static bool
read_text(struct json_reader *reader, struct slice *ret_text)
{
    struct json_text text;

    if (reader->at == reader->end || *reader->at != '"' || !json_reader_text(reader, &text) ||
        text.is_escaped)
        return false;
    *ret_text = slice_of(text.ptr, text.len);
    return true;
}

/* A whole number, not negative. */
static bool
read_number(struct json_reader *reader, int64_t *ret_number)
{
    struct json_number number;
    int64_t value = 0;

    if (reader->at == reader->end || *reader->at < '0' || *reader->at > '9' ||
        !json_reader_number(reader, &number) || !number.is_integer ||
        number.len > NUMBER_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < number.len; i++)
        value = value * 10 + (number.ptr[i] - '0');
    *ret_number = value;
    return true;
}

static bool
take(struct json_reader *reader, char c)
{
    json_reader_space(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    json_reader_space(reader);
    return true;
}

static struct member *
find_member(struct member *members, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(name, slice_of_text(members[i].name)))
            return &members[i];
    return NULL;
}

static enum err
refuse_member(struct diag *diag, const struct member *member, const char *words)
{
    diag_set(diag, "token: its '%s' %s", member->name, words);
    return ERR_UNAUTHORIZED;
}

/*
 * An object of exactly these members. Only what is flat and plain has a place in it, so this walks
 * the text with the JSON reader's parts and needs no memory.
 */
static enum err
read_members(struct slice json, struct member *members, size_t count, struct diag *diag)
{
    struct json_scratch scratch = {0}; /* stays empty: no whole values are read */
    struct json_reader reader;
    struct member *member = NULL;
    struct slice name;
    bool is_more = true;

    json_reader_init(&reader, json, &scratch, NULL);
    if (!take(&reader, '{'))
        return refuse(diag, "a part of it is not a JSON object");
    while (is_more) {
        if (!read_text(&reader, &name) || !take(&reader, ':'))
            return refuse(diag, "a part of it is not a JSON object of plain members");
        member = find_member(members, count, name);
        if (member == NULL)
            return refuse(diag, "it has a member that is not known here");
        if (member->is_there)
            return refuse_member(diag, member, "stands twice");
        member->is_there = true;
        if (member->is_number ? !read_number(&reader, &member->number)
                              : !read_text(&reader, &member->text))
            return refuse_member(
                diag, member, member->is_number ? "is not a whole number" : "is not a plain text");
        is_more = take(&reader, ',');
    }
    if (!take(&reader, '}') || reader.at != reader.end)
        return refuse(diag, "a part of it is not one JSON object");
    for (size_t i = 0; i < count; i++)
        if (!members[i].is_there)
            return refuse_member(diag, &members[i], "is missing");
    return ERR_OK;
}

/* --- verifying --------------------------------------------------------------------------------*/

/* The token cut at its first two points; a third is no base64. */
struct parts {
    struct slice header;
    struct slice claims;
    struct slice signature;
    struct slice is_signed; /* header and claims with the point between, as sent */
};

static bool
cut(struct slice text, struct parts *ret_parts)
{
    const char *end = text.ptr + text.len;
    const char *first = memchr(text.ptr, '.', text.len);
    const char *second = NULL;

    if (first == NULL)
        return false;
    second = memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL)
        return false;
    ret_parts->header = slice_of(text.ptr, (size_t)(first - text.ptr));
    ret_parts->claims = slice_of(first + 1, (size_t)(second - first - 1));
    ret_parts->signature = slice_of(second + 1, (size_t)(end - second - 1));
    ret_parts->is_signed = slice_of(text.ptr, (size_t)(second - text.ptr));
    return true;
}

static bool
decode(struct slice part, uint8_t *bytes, size_t bytes_max, struct slice *ret_bytes)
{
    size_t len = 0;

    if (!base64_decode_exact(part, true, bytes, bytes_max, &len))
        return false;
    *ret_bytes = slice_of((const char *)bytes, len);
    return true;
}

/* The header names a key in force and that key's own algorithm. */
static enum err
find_key(const struct key_ring *ring, struct slice header, int64_t now_s,
         const struct token_key **ret_key, struct diag *diag)
{
    enum { ALG, TYP, KID };
    struct member members[] = {
        [ALG] = {.name = "alg"}, [TYP] = {.name = "typ"}, [KID] = {.name = "kid"}};
    const struct token_key *key = NULL;
    enum err err = read_members(header, members, sizeof(members) / sizeof(members[0]), diag);

    if (err != ERR_OK)
        return err;
    if (!slice_equal(members[TYP].text, SLICE(TYPE)))
        return refuse(diag, "it is of another type; an access token is needed");
    key = key_ring_find(ring, members[KID].text, now_s);
    if (key == NULL)
        return refuse(diag, "the key that signed it is not in force; log in again");
    if (!slice_equal(members[ALG].text, token_alg_name(key->alg)))
        return refuse(diag, "its algorithm is not that of its key");
    *ret_key = key;
    return ERR_OK;
}

static enum err
check_times(int64_t issued_at_s, int64_t expires_at_s, int64_t now_s, struct diag *diag)
{
    if (expires_at_s <= now_s)
        return refuse(diag, "it has expired; log in again");
    if (issued_at_s > now_s + TOKEN_LEEWAY_S)
        return refuse(diag, "it was issued in the future: the clocks of two servers differ");
    if (expires_at_s <= issued_at_s || expires_at_s - issued_at_s > TOKEN_LIFE_S_MAX)
        return refuse(diag, "it lives longer than tokens may; log in again");
    return ERR_OK;
}

static enum err
read_claims(struct slice json, int64_t now_s, struct token_claims *ret_claims, struct diag *diag)
{
    enum { ISS, AUD, SUB, IAT, EXP, JTI };
    struct member members[] = {
        [ISS] = {.name = "iss"},
        [AUD] = {.name = "aud"},
        [SUB] = {.name = "sub"},
        [IAT] = {.name = "iat", .is_number = true},
        [EXP] = {.name = "exp", .is_number = true},
        [JTI] = {.name = "jti"},
    };
    enum err err = read_members(json, members, sizeof(members) / sizeof(members[0]), diag);

    if (err != ERR_OK)
        return err;
    if (!slice_equal(members[ISS].text, SLICE(TOKEN_ISSUER)))
        return refuse_member(diag, &members[ISS], "is not " TOKEN_ISSUER);
    if (!slice_equal(members[AUD].text, SLICE(TOKEN_AUDIENCE)))
        return refuse_member(diag, &members[AUD], "is not " TOKEN_AUDIENCE);
    if (!is_name(members[SUB].text))
        return refuse_member(diag, &members[SUB], "is not the id of an account");
    if (!is_name(members[JTI].text))
        return refuse_member(diag, &members[JTI], "is not the id of a token");
    err = check_times(members[IAT].number, members[EXP].number, now_s, diag);
    if (err != ERR_OK)
        return err;
    *ret_claims = (struct token_claims){.issued_at_s = members[IAT].number,
                                        .expires_at_s = members[EXP].number};
    memcpy(ret_claims->subject, members[SUB].text.ptr, members[SUB].text.len);
    memcpy(ret_claims->token_id, members[JTI].text.ptr, members[JTI].text.len);
    return ERR_OK;
}

enum err
token_verify(const struct key_ring *ring, struct slice text, int64_t now_s,
             struct token_claims *ret_claims, struct diag *diag)
{
    uint8_t json_bytes[DECODED_BYTES_MAX];
    uint8_t signature_bytes[TOKEN_SIGNATURE_BYTES_MAX];
    const struct token_key *key = NULL;
    struct slice json, signature;
    struct parts parts;
    enum err err = ERR_OK;

    assert(now_s >= 0 && now_s <= KEY_RING_TIME_S_MAX);
    if (text.len > TOKEN_BYTES_MAX)
        return refuse(diag, "it is over 4096 bytes");
    if (text.len == 0 || !cut(text, &parts) ||
        !decode(parts.header, json_bytes, sizeof(json_bytes), &json) ||
        !decode(parts.signature, signature_bytes, sizeof(signature_bytes), &signature))
        return refuse(diag, "it is not three parts of base64url joined by points");
    err = find_key(ring, json, now_s, &key, diag);
    if (err != ERR_OK)
        return err;
    if (!token_key_verifies(key, parts.is_signed, signature))
        return refuse(diag, "its signature is wrong");
    if (!decode(parts.claims, json_bytes, sizeof(json_bytes), &json))
        return refuse(diag, "it is not three parts of base64url joined by points");
    return read_claims(json, now_s, ret_claims, diag);
}
