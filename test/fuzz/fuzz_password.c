/* rooms: account */
/*
 * fuzz_password - stored hashes of passwords: what is read is a text of its length, and names its
 * cost in one way only.
 */
#include "account/password.h"
#include "codec/utf8.h"
#include <stdio.h>
#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const struct password_cost cost = PASSWORD_COST_DEFAULT;
    struct slice text = slice_of((const char *)bytes, len);
    struct diag diag = DIAG_INIT;
    char copy[PASSWORD_HASH_TEXT_BYTES + 1];
    unsigned long memory_kib = 0;
    unsigned long passes = 0;
    bool needs = false;
    enum err err = password_needs_rehash(text, &cost, &needs, &diag);

    if (password_check(text, &diag) == ERR_OK && !utf8_is_valid(text))
        abort();
    if (err == ERR_CORRUPT)
        return 0;
    if (err != ERR_OK || len > PASSWORD_HASH_TEXT_BYTES)
        abort();
    for (size_t i = 0; i < len; i++)
        if (bytes[i] <= ' ' || bytes[i] >= 0x7F)
            abort();
    /* Only a text that names a lower cost than is asked for needs to be made anew. */
    (void)snprintf(copy, sizeof(copy), "%.*s", (int)len, (const char *)bytes);
    if (sscanf(copy, "$argon2id$v=19$m=%lu,t=%lu,p=1$", &memory_kib, &passes) != 2 ||
        needs != (memory_kib < cost.memory_kib || passes < cost.passes))
        abort();
    return 0;
}
