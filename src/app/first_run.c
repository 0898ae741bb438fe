/*
 * first_run - keys made and told once. See first_run.h.
 */
#include "app/first_run.h"

#include "base/file.h"
#include "base/mem.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define FIRST_RUN_BYTES_MAX 4096

static enum err
make_key(struct account *account, enum account_key_kind kind,
         char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1], struct diag *diag)
{
    struct account_key key;

    return account_key_new(account, ACCOUNT_PROJECT_DEFAULT, kind, "first run", ret_text, &key,
                           diag);
}

enum err
first_run_ensure(struct account *account, const char *time_zone, struct first_run *ret_run,
                 struct diag *diag)
{
    struct account_project project;
    struct account_list list;
    bool is_new;
    bool has_keys;
    enum err err = account_project_ensure_default(account, time_zone, &project, &is_new, diag);

    memset(ret_run, 0, sizeof(*ret_run));
    if (err == ERR_OK)
        err = account_list(account, &list, diag);
    if (err != ERR_OK)
        return err;
    /* Asked of the keys, not of the project: a start that was cut off between the two is made good.
     */
    has_keys = list.key_count != 0;
    account_list_free(&list);
    if (has_keys)
        return ERR_OK;
    err = make_key(account, ACCOUNT_KEY_WRITE, ret_run->write_key, diag);
    if (err == ERR_OK)
        err = make_key(account, ACCOUNT_KEY_READ, ret_run->read_key, diag);
    ret_run->is_first = err == ERR_OK;
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

enum err
first_run_tell(struct first_run *run, const char *data_dir, const char *address, struct diag *diag)
{
    enum err err = write_file(run, data_dir, address, diag);

    if (run->is_first)
        tell(run, data_dir, address);
    sodium_memzero(run, sizeof(*run));
    return err;
}
