/*
 * crash_hook - a stop at any call to the disk, or a call that fails.
 *
 * The linker puts the functions below in place of base/file's (--wrap): each can copy the folder
 * before it goes on (what a kill at that moment would leave), or fail instead. Included once by
 * each such test.
 */
#ifndef POTIK_TEST_WAREHOUSE_CRASH_HOOK_H
#define POTIK_TEST_WAREHOUSE_CRASH_HOOK_H

#include "base/file.h"
#include "fixture.h"
#include <stdio.h>

enum hook_mode { HOOK_OFF, HOOK_COUNT, HOOK_COPY, HOOK_FAIL };
static struct {
    enum hook_mode mode;
    const char *dir;    /* of the warehouse */
    const char *copies; /* where copies go */
    uint32_t calls;
    uint32_t fail_at;
} hook;

/* false: the call fails. */
static bool
hook_call(void)
{
    char to[512];

    if (hook.mode == HOOK_OFF)
        return true;
    hook.calls++;
    if (hook.mode == HOOK_COPY) {
        hook.mode = HOOK_OFF;
        snprintf(to, sizeof(to), "%s/%u", hook.copies, hook.calls);
        assert_int_equal(file_make_dir(to, NULL), ERR_OK);
        copy_tree(hook.dir, to);
        hook.mode = HOOK_COPY;
    }
    return hook.mode != HOOK_FAIL || hook.calls != hook.fail_at;
}

#define WRAP(name, parameters, arguments)                                                          \
    enum err __real_##name parameters;                                                             \
    enum err __wrap_##name parameters;                                                             \
    enum err __wrap_##name parameters                                                              \
    {                                                                                              \
        return hook_call() ? __real_##name arguments : ERR_STORAGE_FULL;                           \
    }

WRAP(file_rename, (const char *from, const char *to, struct diag *diag), (from, to, diag))
WRAP(file_unlink, (const char *path, struct diag *diag), (path, diag))
WRAP(file_sync, (int fd, const char *path, struct diag *diag), (fd, path, diag))
WRAP(file_sync_dir, (const char *dir, struct diag *diag), (dir, diag))
WRAP(file_replace_whole, (const char *path, struct slice bytes, struct diag *diag),
     (path, bytes, diag))
WRAP(file_remove_tree, (const char *path, struct diag *diag), (path, diag))

#endif
