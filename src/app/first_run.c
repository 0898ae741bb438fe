/*
 * first_run - keys and an administrator made and told once. See first_run.h.
 */
#include "app/first_run.h"

#include "account/login.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/hash.h"

#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_RUN_BYTES_MAX 4096

/* The value of a line `name=…`; ptr NULL: there is none. */
static struct slice
line_value(struct slice text, const char *name)
{
    size_t name_len = strlen(name);

    for (size_t i = 0; i < text.len;) {
        const char *line = text.ptr + i;
        const char *newline = memchr(line, '\n', text.len - i);
        size_t len = newline != NULL ? (size_t)(newline - line) : text.len - i;

        if (len > name_len && memcmp(line, name, name_len) == 0 && line[name_len] == '=')
            return slice_of(line + name_len + 1, len - name_len - 1);
        i += len + 1;
    }
    return SLICE_NONE;
}

static bool
take_key(struct slice text, enum account_key_kind kind, char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1])
{
    enum account_key_kind found;

    if (text.ptr == NULL || !account_key_is_wellformed(text, &found) || found != kind)
        return false;
    memcpy(ret_text, text.ptr, ACCOUNT_KEY_TEXT_BYTES);
    ret_text[ACCOUNT_KEY_TEXT_BYTES] = '\0';
    return true;
}

/* Keys that stand in the file and were never told. */
static enum err
read_untold(const char *path, struct first_run *run, struct diag *diag)
{
    struct buf buf;
    enum err err = ERR_OK;

    buf_init(&buf, FIRST_RUN_BYTES_MAX);
    if (file_exists(path))
        err = file_read_whole(path, FIRST_RUN_BYTES_MAX, &buf, diag);
    if (err == ERR_OK) {
        struct slice text = buf_slice(&buf);

        run->is_first =
            line_value(text, "server").ptr == NULL &&
            take_key(line_value(text, "write_key"), ACCOUNT_KEY_WRITE, run->write_key) &&
            take_key(line_value(text, "read_key"), ACCOUNT_KEY_READ, run->read_key);
    }
    buf_wipe(&buf);
    return err;
}

static enum err
make_texts(struct account *account, const char *path, struct first_run *run, struct diag *diag)
{
    char text[2 * ACCOUNT_KEY_TEXT_BYTES + 64];
    enum err err;

    account_key_make_text(account, ACCOUNT_KEY_WRITE, run->write_key);
    account_key_make_text(account, ACCOUNT_KEY_READ, run->read_key);
    (void)snprintf(text, sizeof(text), "write_key=%s\nread_key=%s\n", run->write_key,
                   run->read_key);
    err = file_replace_whole(path, slice_of_text(text), diag);
    sodium_memzero(text, sizeof(text));
    run->is_first = err == ERR_OK;
    return err;
}

/* Another node was first: what stands in the file was never in force. */
static enum err
forget_texts(const char *path, struct first_run *run, struct diag *diag)
{
    run->is_first = false;
    sodium_memzero(run->write_key, sizeof(run->write_key));
    sodium_memzero(run->read_key, sizeof(run->read_key));
    return file_unlink(path, diag);
}

static enum err
put_in_force(struct account *account, const char *path, struct first_run *run, struct diag *diag)
{
    const struct slice texts[2] = {slice_of(run->write_key, ACCOUNT_KEY_TEXT_BYTES),
                                   slice_of(run->read_key, ACCOUNT_KEY_TEXT_BYTES)};
    bool is_first = false;
    enum err err = account_keys_add_first(account, ACCOUNT_PROJECT_DEFAULT, "first run", texts,
                                          &is_first, diag);

    if (err != ERR_OK)
        return err;
    return is_first ? ERR_OK : forget_texts(path, run, diag);
}

/* --- the file's lines -------------------------------------------------------------------------*/

/* All lines of `old` that do not begin with `name`. */
static void
add_other_lines(struct buf *text, const struct buf *old, const char *name)
{
    const char *at = old->ptr;
    const char *end = at != NULL ? at + old->len : NULL;
    size_t name_len = strlen(name);

    while (at != end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;

        if ((size_t)(next - at) < name_len || memcmp(at, name, name_len) != 0)
            buf_add(text, at, (size_t)(next - at));
        at = next;
    }
}

/* The file with `first` before the lines that do not begin with `name`, and `last` behind. */
static enum err
rewrite(const char *path, const char *first, const char *name, const char *last, struct diag *diag)
{
    CLEANUP(buf_wipe) struct buf old;
    CLEANUP(buf_wipe) struct buf text;
    enum err err = ERR_OK;

    buf_init(&old, FIRST_RUN_BYTES_MAX);
    buf_init(&text, 2 * FIRST_RUN_BYTES_MAX);
    if (file_exists(path))
        err = file_read_whole(path, FIRST_RUN_BYTES_MAX, &old, diag);
    if (err != ERR_OK)
        return err;
    buf_add_text(&text, first);
    add_other_lines(&text, &old, name);
    buf_add_text(&text, last);
    if (buf_failed(&text))
        return ERR_NOMEM;
    return text.len == 0 ? file_unlink(path, diag)
                         : file_replace_whole(path, buf_slice(&text), diag);
}

/* --- the administrator ------------------------------------------------------------------------*/

/* The password in the file, if there is one. */
static enum err
read_password(const char *path, struct first_run *run, struct diag *diag)
{
    CLEANUP(buf_wipe) struct buf old;
    struct slice kept;
    enum err err = ERR_OK;

    buf_init(&old, FIRST_RUN_BYTES_MAX);
    if (file_exists(path))
        err = file_read_whole(path, FIRST_RUN_BYTES_MAX, &old, diag);
    if (err != ERR_OK)
        return err;
    kept = line_value(buf_slice(&old), "admin_password");
    if (kept.ptr != NULL && kept.len == PASSWORD_GENERATED_BYTES) {
        memcpy(run->admin_password, kept.ptr, kept.len);
        run->admin_password[kept.len] = '\0';
    }
    return ERR_OK;
}

/* A password of the file that was never in force; else a new one, written down. */
static enum err
make_password(const char *path, struct first_run *run, struct diag *diag)
{
    char lines[sizeof("admin_email=\nadmin_password=\n") + sizeof(LOGIN_FIRST_EMAIL) +
               PASSWORD_GENERATED_BYTES];
    enum err err = read_password(path, run, diag);

    if (err != ERR_OK || run->admin_password[0] != '\0')
        return err;
    password_generate(random_system(), run->admin_password);
    (void)snprintf(lines, sizeof(lines), "admin_email=%s\nadmin_password=%s\n", LOGIN_FIRST_EMAIL,
                   run->admin_password);
    err = rewrite(path, "", "admin_", lines, diag);
    sodium_memzero(lines, sizeof(lines));
    return err;
}

/* Another node was first, or somebody logs in already: what stands in the file is nobody's. */
static enum err
forget_password(const char *path, struct first_run *run, struct diag *diag)
{
    sodium_memzero(run->admin_password, sizeof(run->admin_password));
    return rewrite(path, "", "admin_", "", diag);
}

static enum err
ensure_admin(struct account *account, const char *path, const struct password_cost *cost,
             struct first_run *run, struct diag *diag)
{
    const struct account_actor by = {.kind = ACCOUNT_ACTOR_SERVER};
    struct login_list list = {0};
    struct password_hash hash;
    struct login login;
    bool is_first = false;
    size_t count;
    enum err err = login_list(account, &list, diag);

    if (err != ERR_OK)
        return err;
    count = list.login_count;
    login_list_free(&list);
    if (count != 0) {
        /* Keys that were not told: then the server never listened, and the password was not told
         * either. */
        err = run->is_first ? read_password(path, run, diag) : ERR_OK;
        run->is_admin_new = run->admin_password[0] != '\0';
        return err;
    }
    err = make_password(path, run, diag);
    if (err == ERR_OK)
        err = password_hash(slice_of_text(run->admin_password), cost, random_system(), &hash, diag);
    if (err == ERR_OK)
        err = login_add_first(account, &by, LOGIN_FIRST_EMAIL, &hash, &is_first, &login, diag);
    if (err != ERR_OK)
        return err;
    run->is_admin_new = is_first;
    return is_first ? ERR_OK : forget_password(path, run, diag);
}

/* --- both -------------------------------------------------------------------------------------*/

static enum err
ensure_keys(struct account *account, const char *path, struct first_run *run, struct diag *diag)
{
    struct account_list list;
    enum err err = read_untold(path, run, diag);

    if (err == ERR_OK)
        err = account_list(account, &list, diag);
    if (err != ERR_OK)
        return err;
    if (!run->is_first && list.key_count == 0)
        err = make_texts(account, path, run, diag);
    account_list_free(&list);
    if (err == ERR_OK && run->is_first)
        err = put_in_force(account, path, run, diag);
    return err;
}

enum err
first_run_ensure(struct account *account, const char *data_dir, const char *time_zone,
                 const struct password_cost *cost, struct first_run *ret_run, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    bool is_new;
    enum err err;

    memset(ret_run, 0, sizeof(*ret_run));
    if (!file_path(path, data_dir, "first-run.txt"))
        return ERR_IO;
    err = account_project_ensure_default(account, time_zone, &ret_run->project, &is_new, diag);
    if (err == ERR_OK)
        err = ensure_keys(account, path, ret_run, diag);
    if (err == ERR_OK)
        err = ensure_admin(account, path, cost, ret_run, diag);
    return err;
}

static enum err
write_address(const char *data_dir, const char *address, const char *ca, const char *name,
              struct diag *diag)
{
    char path[FILE_PATH_MAX];
    char line[FILE_PATH_MAX + 16];
    enum err err;

    if (!file_path(path, data_dir, "first-run.txt") ||
        snprintf(line, sizeof(line), "server=%s\n", address) >= (int)sizeof(line))
        return ERR_IO;
    err = rewrite(path, line, "server=", "", diag);
    if (err != ERR_OK)
        return err;
    line[0] = '\0';
    if (ca != NULL && snprintf(line, sizeof(line), "ca=%s\n", ca) >= (int)sizeof(line))
        return ERR_IO;
    err = rewrite(path, "", "ca=", line, diag);
    line[0] = '\0';
    if (err != ERR_OK)
        return err;
    if (name != NULL && snprintf(line, sizeof(line), "tls_name=%s\n", name) >= (int)sizeof(line))
        return ERR_IO;
    return rewrite(path, "", "tls_name=", line, diag);
}

/* stderr is systemd's journal (systemd.exec(5), JOURNAL_STREAM): kept for long, and read by more
 * people than first-run.txt. */
static bool
is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat facts;
    char own[64];

    if (stream == NULL || fstat(STDERR_FILENO, &facts) != 0)
        return false;
    (void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)facts.st_dev, (uintmax_t)facts.st_ino);
    return strcmp(own, stream) == 0;
}

static void
tell(const struct first_run *run, const char *data_dir, const char *address, const char *ca,
     const char *name)
{
    const bool is_unix = strncmp(address, "unix:", 5) == 0;
    const char *port = strrchr(address, ':');
    char where[2 * FILE_PATH_MAX]; /* what stands between curl and the path */

    if (is_unix)
        (void)snprintf(where, sizeof(where), "--unix-socket %s http://localhost", address + 5);
    else if (ca == NULL)
        (void)snprintf(where, sizeof(where), "%s", address);
    else if (name == NULL)
        (void)snprintf(where, sizeof(where), "--cacert %s %s", ca, address);
    else
        (void)snprintf(where, sizeof(where), "--cacert %s --connect-to ::%s https://%s%s", ca,
                       address + strlen("https://"), name, port);
    fprintf(stderr,
            "\n"
            "First start: project `default` was made. Its keys, shown here once and kept in\n"
            "%s/first-run.txt:\n"
            "\n"
            "  write key  %s   (sends events)\n"
            "  read key   %s   (reads stats)\n"
            "\n"
            "Try it:\n"
            "\n"
            "  curl %s/v1/events -H 'Authorization: Bearer %s' \\\n"
            "    -d '{\"event_id\":\"1\",\"event_type\":\"hello\",\"user_id\":\"me\"}'\n"
            "  curl %s/v1/stats/dau -H 'Authorization: Bearer %s'\n"
            "\n",
            data_dir, run->write_key, run->read_key, where, run->write_key, where, run->read_key);
}

static void
tell_admin(const struct first_run *run, const char *data_dir)
{
    fprintf(stderr,
            "\n"
            "An administrator was made, shown here once and kept in %s/first-run.txt:\n"
            "\n"
            "  email      %s\n"
            "  password   %s   (change it: POST /v1/auth/password)\n",
            data_dir, LOGIN_FIRST_EMAIL, run->admin_password);
}

static void
tell_where_keys_are(const char *data_dir)
{
    fprintf(stderr,
            "\n"
            "First start of this node. Its keys are those of the database: they were shown when it "
            "was\n"
            "used first, and stand in first-run.txt of the node that made them. To make more, with "
            "the\n"
            "same --store (or POTIK_STORE):\n"
            "\n"
            "  potik key new --data-dir %s --store postgres://…\n"
            "\n",
            data_dir);
}

/* The file has the address of an earlier start. */
static bool
is_known_node(const char *data_dir)
{
    CLEANUP(buf_wipe) struct buf old;
    char path[FILE_PATH_MAX];

    buf_init(&old, FIRST_RUN_BYTES_MAX);
    return file_path(path, data_dir, "first-run.txt") && file_exists(path) &&
           file_read_whole(path, FIRST_RUN_BYTES_MAX, &old, NULL) == ERR_OK &&
           line_value(buf_slice(&old), "server").ptr != NULL;
}

enum err
first_run_tell(struct first_run *run, const char *data_dir, const char *address, const char *cert,
               const char *name, struct diag *diag)
{
    char place[PATH_MAX];
    /* Whoever reads it stands in another folder, perhaps. */
    const char *ca = cert != NULL ? realpath(cert, place) : NULL;
    bool is_known = is_known_node(data_dir);
    enum err err = write_address(data_dir, address, ca, name, diag);

    if (is_journal() && (run->is_admin_new || run->is_first)) {
        fprintf(stderr,
                "First start: keys and the administrator's password stand in "
                "%s/first-run.txt\n",
                data_dir);
    } else {
        if (run->is_admin_new)
            tell_admin(run, data_dir);
        if (run->is_first)
            tell(run, data_dir, address, ca, name);
    }
    if (!run->is_first && run->is_shared && !is_known)
        tell_where_keys_are(data_dir);
    sodium_memzero(run, sizeof(*run));
    return err;
}

enum err
first_run_forget_password(const char *data_dir, const char *email, bool *ret_told,
                          struct diag *diag)
{
    CLEANUP(buf_wipe) struct buf old;
    char path[FILE_PATH_MAX];
    enum err err;

    *ret_told = false;
    buf_init(&old, FIRST_RUN_BYTES_MAX);
    if (!file_path(path, data_dir, "first-run.txt") || !file_exists(path))
        return ERR_OK;
    err = file_read_whole(path, FIRST_RUN_BYTES_MAX, &old, diag);
    if (err != ERR_OK || line_value(buf_slice(&old), "admin_password").ptr == NULL ||
        !slice_equal(line_value(buf_slice(&old), "admin_email"), slice_of_text(email)))
        return err;
    err = rewrite(path, "", "admin_password=", "", diag);
    *ret_told = err == ERR_OK;
    return err;
}
