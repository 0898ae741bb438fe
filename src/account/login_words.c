/*
 * login_words - names of roles, and the form of an email. Pure. See login.h.
 */
#include "account/login.h"

#include "base/mem.h"
#include <string.h>

static const char *const role_names[] = {
    [LOGIN_ROLE_NONE] = "none",
    [LOGIN_ROLE_INGEST] = "ingest",
    [LOGIN_ROLE_ANALYST] = "analyst",
    [LOGIN_ROLE_OWNER] = "owner",
};

const char *
login_role_name(enum login_role role)
{
    return role_names[role];
}

bool
login_role_parse(struct slice text, enum login_role *ret_role)
{
    for (uint32_t i = LOGIN_ROLE_INGEST; i < COUNT_OF(role_names); i++) {
        if (slice_equal(text, slice_of_text(role_names[i]))) {
            *ret_role = (enum login_role)i;
            return true;
        }
    }
    return false;
}

enum err
login_email_check(struct slice text, char ret_email[LOGIN_EMAIL_BYTES + 1], struct diag *diag)
{
    const char *at = text.ptr != NULL ? memchr(text.ptr, '@', text.len) : NULL;
    bool is_good = at != NULL && text.len >= 3 && text.len <= LOGIN_EMAIL_BYTES && at != text.ptr &&
                   at != text.ptr + text.len - 1 &&
                   memchr(at + 1, '@', (size_t)(text.ptr + text.len - at - 1)) == NULL;

    for (size_t i = 0; is_good && i < text.len; i++)
        is_good = (unsigned char)text.ptr[i] > 0x20 && (unsigned char)text.ptr[i] < 0x7F;
    if (!is_good) {
        diag_set_field(diag, "email",
                       "email: must be 3 to %d characters of ASCII, as ann@example.com",
                       LOGIN_EMAIL_BYTES);
        return ERR_INVALID;
    }
    for (size_t i = 0; i < text.len; i++)
        ret_email[i] =
            text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? (char)(text.ptr[i] + 32) : text.ptr[i];
    ret_email[text.len] = '\0';
    return ERR_OK;
}
