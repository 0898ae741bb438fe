/*
 * fault_plan - see fault_plan.h.
 */
#include "fault_plan.h"
#include <sys/wait.h>

struct fault_plan fault_plan;

/* Whether the operation fails; a kill does not come back. */
static bool
strikes(enum err *ret_err, struct diag *diag)
{
    if (fault_plan.fault == FAULT_NONE || ++fault_plan.count != fault_plan.at)
        return false;
    if (fault_plan.fault == FAULT_KILL)
        _exit(FAULT_KILLED);
    diag_set(diag, "the disk fails as the test wants it");
    *ret_err = fault_plan.fault == FAULT_FULL ? ERR_STORAGE_FULL : ERR_IO;
    return true;
}

#define WRAP_(name, parameters, arguments)                                                         \
    enum err __real_##name parameters;                                                             \
    enum err __wrap_##name parameters;                                                             \
    enum err __wrap_##name parameters                                                              \
    {                                                                                              \
        enum err err = ERR_OK;                                                                     \
                                                                                                   \
        return strikes(&err, diag) ? err : __real_##name arguments;                                \
    }
WRAP_(file_open, (const char *path, enum file_mode mode, int *ret_fd, struct diag *diag),
      (path, mode, ret_fd, diag))
WRAP_(file_write_parts_at,
      (int fd, const char *path, const struct slice *parts, size_t part_count, uint64_t offset,
       struct diag *diag),
      (fd, path, parts, part_count, offset, diag))
WRAP_(file_sync_bulk, (int fd, const char *path, struct diag *diag), (fd, path, diag))
WRAP_(file_write_back, (int fd, const char *path, uint64_t from, uint64_t to, struct diag *diag),
      (fd, path, from, to, diag))
WRAP_(file_truncate, (int fd, const char *path, uint64_t bytes, struct diag *diag),
      (fd, path, bytes, diag))
WRAP_(file_sync, (int fd, const char *path, struct diag *diag), (fd, path, diag))
WRAP_(file_sync_dir, (const char *dir, struct diag *diag), (dir, diag))
WRAP_(file_rename, (const char *from, const char *to, struct diag *diag), (from, to, diag))
WRAP_(file_unlink, (const char *path, struct diag *diag), (path, diag))

enum err __real_file_write_at(int fd, const char *path, const void *bytes, size_t len,
                              uint64_t offset, struct diag *diag);
enum err __wrap_file_write_at(int fd, const char *path, const void *bytes, size_t len,
                              uint64_t offset, struct diag *diag);
enum err
__wrap_file_write_at(int fd, const char *path, const void *bytes, size_t len, uint64_t offset,
                     struct diag *diag)
{
    enum err err = ERR_OK;

    if (fault_plan.fault != FAULT_NONE && fault_plan.count + 1 == fault_plan.at)
        assert_int_equal(__real_file_write_at(fd, path, bytes, len / 2, offset, NULL), ERR_OK);
    return strikes(&err, diag) ? err : __real_file_write_at(fd, path, bytes, len, offset, diag);
}

/* The folder `to` becomes what `from` is. */
static void
copy_dir(const char *from, const char *to)
{
    char command[3 * FILE_PATH_MAX + 64];

    snprintf(command, sizeof(command), "rm -rf %s && cp -a --sparse=always %s %s", to, from, to);
    assert_int_equal(system(command), 0);
}

static void
begin_path(const struct fixture *fixture, char ret_path[FILE_PATH_MAX])
{
    snprintf(ret_path, FILE_PATH_MAX, "%s.begin", fixture->dir);
}

void
fault_keep(struct fixture *fixture)
{
    char begin[FILE_PATH_MAX];

    fixture_close(fixture);
    begin_path(fixture, begin);
    copy_dir(fixture->dir, begin);
}

void
fault_take(struct fixture *fixture)
{
    char begin[FILE_PATH_MAX];

    fixture_close(fixture);
    begin_path(fixture, begin);
    copy_dir(begin, fixture->dir);
}

void
fault_forget(const struct fixture *fixture)
{
    char begin[FILE_PATH_MAX];

    begin_path(fixture, begin);
    assert_int_equal(file_remove_tree(begin, NULL), ERR_OK);
}

int
fault_kill_at(struct fixture *fixture, uint32_t at, enum err (*work)(struct fixture *fixture))
{
    const pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        enum err err = fixture_try_open(fixture, NULL);

        fault_plan = (struct fault_plan){.fault = FAULT_KILL, .at = at};
        if (err == ERR_OK)
            err = work(fixture);
        _exit(err == ERR_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
