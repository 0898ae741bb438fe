/*
 * token - access tokens: who has logged in, signed, so that no request needs to ask a database.
 *
 * Layer 3, any thread, loops too: nothing is allocated, no file is read. A token is a JWT (RFC
 * 7519) in the compact form of a JWS (RFC 7515), made and read by this program alone: three parts
 * in base64 for URLs without padding, joined by points.
 *
 *     {"alg":"HS256","typ":"at+jwt","kid":"<of the key>"}
 *     {"iss":"potik","aud":"potik-api","sub":"<account>","iat":1,"exp":2,"jti":"<of the token>"}
 *     the signature over "<part 1>.<part 2>" as sent
 *
 * What is read is exactly that (RFC 8725): the members named here, each once, in any order, all of
 * them, no others; texts without escapes, whole numbers; base64 in its one canonical form. The key
 * is the one of `kid` in the ring, and it brings its algorithm: the header must name the same. A
 * member that is not known may limit a token (nbf, cnf, crit), so it is refused, not passed over.
 * Nothing of the second part is looked at before the signature is found to be right.
 */
#ifndef POTIK_ACCOUNT_TOKEN_H
#define POTIK_ACCOUNT_TOKEN_H

#include "account/key_ring.h"
#include "base/diag.h"

#define TOKEN_BYTES_MAX 4096     /* read; longer ones are refused */
#define TOKEN_MADE_BYTES_MAX 512 /* the longest that token_issue makes is shorter */
#define TOKEN_ISSUER "potik"
#define TOKEN_AUDIENCE "potik-api"
#define TOKEN_NAME_BYTES_MAX 64 /* of sub and jti */

struct token_claims {
    char subject[TOKEN_NAME_BYTES_MAX + 1]; /* the id of an account */
    char token_id[TOKEN_NAME_BYTES_MAX + 1];
    int64_t issued_at_s; /* Unix seconds */
    int64_t expires_at_s;
};

/*
 * subject, token_id: 1 … 64 letters, digits, '-', '_', '.', ':'; life_s: 1 … TOKEN_LIFE_S_MAX;
 * now_s: 0 … KEY_RING_TIME_S_MAX. ret_text gets a NUL. ERR_INVALID, told with the field.
 */
MUST_USE enum err
token_issue(const struct key_ring *ring, struct slice subject, struct slice token_id, int64_t now_s,
            int64_t life_s, char ret_text[TOKEN_MADE_BYTES_MAX + 1], struct diag *diag);
/*
 * ERR_UNAUTHORIZED for whatever is wrong, told in `diag` in words that may be sent to the client:
 * exp is not after now_s; iat is over TOKEN_LEEWAY_S ahead of it; from iat to exp it is not 1 s …
 * TOKEN_LIFE_S_MAX; and all said above. Whether the account still exists is the caller's question.
 */
MUST_USE enum err token_verify(const struct key_ring *ring, struct slice text, int64_t now_s,
                               struct token_claims *ret_claims, struct diag *diag);

#endif
