/*
 * diag - the words that go with an error, for a person: what, where (the field's path), and the
 * cure.
 *
 * Layer 0. Plain data on the caller's stack; every function that takes `struct diag *` takes NULL.
 */
#ifndef POTIK_BASE_DIAG_H
#define POTIK_BASE_DIAG_H

#define DIAG_MESSAGE_MAX 512
#define DIAG_FIELD_MAX 256

struct diag {
    char message[DIAG_MESSAGE_MAX]; /* "" = nothing said; cut at the end, always valid UTF-8 */
    char field[DIAG_FIELD_MAX];     /* "properties.a.b", a parameter's or setting's name, or "" */
};

#define DIAG_INIT                                                                                  \
    {                                                                                              \
        {0},                                                                                       \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

void diag_clear(struct diag *diag);
void diag_set(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));
void diag_set_field(struct diag *diag, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends ": " and strerror(errno_value). The one place where errno becomes words. */
void diag_add_errno(struct diag *diag, int errno_value);

#endif
