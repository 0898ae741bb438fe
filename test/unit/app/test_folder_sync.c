/*
 * folder: the data folder's name is synced in the folder above, seen at fsync, which this program
 * puts before libc's.
 */
#include "../test.h"

#include "app/folder.h"

#include <sys/syscall.h>
#include <unistd.h>

/* The folders that were synced, a line each. */
static char synced[4096];

int fsync(int fd);
int
fsync(int fd)
{
    char link[64];
    const size_t used = strlen(synced);
    ssize_t len;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, synced + used, sizeof(synced) - used - 2);
    if (len > 0)
        memcpy(synced + used + len, "\n", 2);
    return (int)syscall(SYS_fsync, fd);
}

/* A power cut must not take the whole data folder for want of its name in the one above. */
static void
test_folder_sync__each_new_name_is_synced(void **state)
{
    struct diag diag = DIAG_INIT;
    const char *dir = test_path(state, "a/b");
    char above[FILE_PATH_MAX];
    char wanted[2 * FILE_PATH_MAX + 8];
    int fd = -1;

    assert_non_null(realpath((const char *)*state, above));
    synced[0] = '\0';
    assert_int_equal(folder_lock(dir, true, &fd, &diag), ERR_OK);
    snprintf(wanted, sizeof(wanted), "%s\n%s/a\n", above, above);
    assert_string_equal(synced, wanted);
    file_close(&fd);
    synced[0] = '\0';
    assert_int_equal(folder_lock(dir, true, &fd, &diag), ERR_OK); /* a kill came before, say */
    snprintf(wanted, sizeof(wanted), "%s/a\n", above);
    assert_string_equal(synced, wanted);
    file_close(&fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_folder_sync__each_new_name_is_synced),
    };

    return cmocka_run_group_tests_name("folder_sync", tests, NULL, NULL);
}
