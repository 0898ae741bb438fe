/*
 * new_password - see new_password.h.
 *
 * Read by read(2) itself: stdio would keep a copy in its buffer.
 */
#include "cli/new_password.h"

#include "cli/client.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void
new_password_wipe(struct new_password *password)
{
    sodium_memzero(password, sizeof(*password));
}

/* Up to the line end or the end; what is longer than the password may be is left unread. */
static enum err
read_line(struct new_password *password, struct diag *diag)
{
    bool is_ended = false;

    password->len = 0;
    while (!is_ended && password->len < sizeof(password->text) - 1) {
        ssize_t got = read(STDIN_FILENO, password->text + password->len, 1);

        if (client_is_interrupted())
            return ERR_CANCELLED;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            diag_set(diag, "standard input");
            diag_add_errno(diag, errno);
            return ERR_IO;
        }
        is_ended = got == 0 || password->text[password->len] == '\n';
        password->len += is_ended ? 0 : 1;
    }
    if (password->len != 0 && password->text[password->len - 1] == '\r')
        password->len--;
    password->text[password->len] = '\0';
    return ERR_OK;
}

static enum err
ask(const char *prompt, struct new_password *password, struct diag *diag)
{
    struct termios before, silent;
    enum err err;

    if (tcgetattr(STDIN_FILENO, &before) != 0) {
        diag_set(diag, "the terminal");
        diag_add_errno(diag, errno);
        return ERR_IO;
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    silent.c_lflag |= ECHONL;
    fprintf(stderr, "%s: ", prompt);
    (void)fflush(stderr);
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) != 0) {
        diag_set(diag, "the terminal's echo cannot be turned off");
        return ERR_IO;
    }
    err = read_line(password, diag);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    return err;
}

enum err
new_password_ask(struct new_password *ret_password, struct diag *diag)
{
    enum err err;

    client_catch_interrupt();
    err = isatty(STDIN_FILENO) == 1 ? ask("password", ret_password, diag)
                                    : read_line(ret_password, diag);
    if (err == ERR_CANCELLED)
        diag_set(diag, "interrupted");
    if (err != ERR_OK)
        new_password_wipe(ret_password);
    return err;
}

static enum err
ask_twice(struct new_password *password, struct diag *diag)
{
    struct new_password again;
    enum err err;

    client_catch_interrupt(); /* so that ^C leaves no terminal without echo */
    err = ask("new password", password, diag);
    if (err == ERR_OK)
        err = password_check(slice_of(password->text, password->len), diag);
    if (err == ERR_OK)
        err = ask("the same again", &again, diag);
    if (err == ERR_OK && (again.len != password->len ||
                          sodium_memcmp(again.text, password->text, password->len) != 0)) {
        diag_set_field(diag, "password", "password: the two are not the same; nothing was changed");
        err = ERR_INVALID;
    }
    new_password_wipe(&again);
    return err;
}

enum err
new_password_read(struct new_password *ret_password, struct diag *diag)
{
    enum err err;

    if (isatty(STDIN_FILENO) == 1) {
        err = ask_twice(ret_password, diag);
    } else {
        err = read_line(ret_password, diag);
        if (err == ERR_OK)
            err = password_check(slice_of(ret_password->text, ret_password->len), diag);
    }
    if (err == ERR_CANCELLED)
        diag_set(diag, "interrupted; nothing was changed");
    if (err != ERR_OK)
        new_password_wipe(ret_password);
    return err;
}

void
new_password_make(struct new_password *ret_password)
{
    password_generate(random_system(), ret_password->text);
    ret_password->len = PASSWORD_GENERATED_BYTES;
}
