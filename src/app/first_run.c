/*
 * first_run - keys made and told once. See first_run.h.
 */
#include "app/first_run.h"

#include "app/run_file.h"
#include "base/mem.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

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
read_untold(const char *data_dir, struct first_run *run, struct diag *diag)
{
    struct buf file;
    enum err err = run_file_read(data_dir, &file, diag);

    if (err == ERR_OK)
        run->is_first =
            run_file_value(&file, "server").ptr == NULL &&
            take_key(run_file_value(&file, "write_key"), ACCOUNT_KEY_WRITE, run->write_key) &&
            take_key(run_file_value(&file, "read_key"), ACCOUNT_KEY_READ, run->read_key);
    run_file_wipe(&file);
    return err;
}

static enum err
make_texts(struct account *account, const char *data_dir, struct first_run *run, struct diag *diag)
{
    const struct run_line lines[] = {
        {"server", NULL}, {"write_key", run->write_key}, {"read_key", run->read_key}};
    enum err err;

    account_key_make_text(account, ACCOUNT_KEY_WRITE, run->write_key);
    account_key_make_text(account, ACCOUNT_KEY_READ, run->read_key);
    err = run_file_update(data_dir, lines, COUNT_OF(lines), diag);
    run->is_first = err == ERR_OK;
    return err;
}

/* Another node was first: what stands in the file was never in force. */
static enum err
forget_texts(const char *data_dir, struct first_run *run, struct diag *diag)
{
    static const struct run_line gone[] = {{"write_key", NULL}, {"read_key", NULL}};

    run->is_first = false;
    sodium_memzero(run->write_key, sizeof(run->write_key));
    sodium_memzero(run->read_key, sizeof(run->read_key));
    return run_file_update(data_dir, gone, COUNT_OF(gone), diag);
}

static enum err
put_in_force(struct account *account, const char *data_dir, struct first_run *run,
             struct diag *diag)
{
    const struct slice texts[2] = {slice_of(run->write_key, ACCOUNT_KEY_TEXT_BYTES),
                                   slice_of(run->read_key, ACCOUNT_KEY_TEXT_BYTES)};
    bool is_first = false;
    enum err err = account_keys_add_first(account, ACCOUNT_PROJECT_DEFAULT, "first run", texts,
                                          &is_first, diag);

    if (err != ERR_OK)
        return err;
    return is_first ? ERR_OK : forget_texts(data_dir, run, diag);
}

enum err
first_run_ensure(struct account *account, const char *data_dir, const char *time_zone,
                 struct first_run *ret_run, struct diag *diag)
{
    struct account_list list;
    bool is_new;
    enum err err;

    memset(ret_run, 0, sizeof(*ret_run));
    err = account_project_ensure_default(account, time_zone, &ret_run->project, &is_new, diag);
    if (err == ERR_OK)
        err = read_untold(data_dir, ret_run, diag);
    if (err == ERR_OK)
        err = account_list(account, &list, diag);
    if (err != ERR_OK)
        return err;
    if (!ret_run->is_first && list.key_count == 0)
        err = make_texts(account, data_dir, ret_run, diag);
    account_list_free(&list);
    if (err == ERR_OK && ret_run->is_first)
        err = put_in_force(account, data_dir, ret_run, diag);
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
    const struct run_line line = {"server", address};
    struct buf file;
    bool is_known;
    enum err err = run_file_read(data_dir, &file, diag);

    is_known = err == ERR_OK && run_file_value(&file, "server").ptr != NULL;
    run_file_wipe(&file);
    if (err == ERR_OK)
        err = run_file_update(data_dir, &line, 1, diag);

    if (run->is_first)
        tell(run, data_dir, address);
    else if (run->is_shared && !is_known)
        tell_where_keys_are(data_dir);
    sodium_memzero(run, sizeof(*run));
    return err;
}
