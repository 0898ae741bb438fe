/*
 * first_run - keys made and told once. See first_run.h.
 */
#include "app/first_run.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/hash.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

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
    if (buf.ptr != NULL)
        sodium_memzero(buf.ptr, buf.len);
    buf_fini(&buf);
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

enum err
first_run_ensure(struct account *account, const char *data_dir, const char *time_zone,
                 struct first_run *ret_run, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct account_list list;
    bool is_new;
    enum err err;

    memset(ret_run, 0, sizeof(*ret_run));
    if (!file_path(path, data_dir, "first-run.txt"))
        return ERR_IO;
    err = account_project_ensure_default(account, time_zone, &ret_run->project, &is_new, diag);
    if (err == ERR_OK)
        err = read_untold(path, ret_run, diag);
    if (err == ERR_OK)
        err = account_list(account, &list, diag);
    if (err != ERR_OK)
        return err;
    if (!ret_run->is_first && list.key_count == 0)
        err = make_texts(account, path, ret_run, diag);
    account_list_free(&list);
    if (err == ERR_OK && ret_run->is_first)
        err = put_in_force(account, path, ret_run, diag);
    return err;
}

/* All lines of `old` but `server=`. */
static void
add_other_lines(struct buf *text, const struct buf *old)
{
    const char *at = old->ptr;
    const char *end = at != NULL ? at + old->len : NULL;

    while (at != end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;

        if ((size_t)(next - at) < 7 || memcmp(at, "server=", 7) != 0)
            buf_add(text, at, (size_t)(next - at));
        at = next;
    }
}

static enum err
write_file(const struct first_run *run, const char *data_dir, const char *address,
           struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct buf old;
    struct buf text;
    enum err err = ERR_OK;

    if (!file_path(path, data_dir, "first-run.txt"))
        return ERR_IO;
    buf_init(&old, FIRST_RUN_BYTES_MAX);
    buf_init(&text, 2 * FIRST_RUN_BYTES_MAX);
    buf_printf(&text, "server=%s\n", address);
    if (run->is_first) {
        buf_printf(&text, "write_key=%s\nread_key=%s\n", run->write_key, run->read_key);
    } else if (file_exists(path)) {
        err = file_read_whole(path, FIRST_RUN_BYTES_MAX, &old, diag);
        add_other_lines(&text, &old);
    }
    if (err == ERR_OK)
        err = buf_failed(&text) ? ERR_NOMEM : file_replace_whole(path, buf_slice(&text), diag);
    if (text.ptr != NULL)
        sodium_memzero(text.ptr, text.len);
    if (old.ptr != NULL)
        sodium_memzero(old.ptr, old.len);
    buf_fini(&text);
    buf_fini(&old);
    return err;
}

static void
tell(const struct first_run *run, const char *data_dir, const char *address)
{
    bool is_unix = strncmp(address, "unix:", 5) == 0;

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
            "  curl %s%s%s/v1/events -H 'Authorization: Bearer %s' \\\n"
            "    -d '{\"event_id\":\"1\",\"event_type\":\"hello\",\"user_id\":\"me\"}'\n"
            "  curl %s%s%s/v1/stats/dau -H 'Authorization: Bearer %s'\n"
            "\n",
            data_dir, run->write_key, run->read_key, is_unix ? "--unix-socket " : "",
            is_unix ? address + 5 : address, is_unix ? " http://localhost" : "", run->write_key,
            is_unix ? "--unix-socket " : "", is_unix ? address + 5 : address,
            is_unix ? " http://localhost" : "", run->read_key);
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

enum err
first_run_tell(struct first_run *run, const char *data_dir, const char *address, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    bool is_known = file_path(path, data_dir, "first-run.txt") && file_exists(path);
    enum err err = write_file(run, data_dir, address, diag);

    if (run->is_first)
        tell(run, data_dir, address);
    else if (run->is_shared && !is_known)
        tell_where_keys_are(data_dir);
    sodium_memzero(run, sizeof(*run));
    return err;
}
