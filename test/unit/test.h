/*
 * test - what every unit test includes: cmocka with the headers it needs, and a folder of its own.
 *
 * A test that needs files takes test_dir_setup and test_dir_teardown; *state is then the folder's
 * path.
 */
#ifndef POTIK_TEST_H
#define POTIK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int
test_dir_setup(void **state)
{
    const char *parent = getenv("TMPDIR");
    char *dir = NULL;

    if (asprintf(&dir, "%s/potik-test-XXXXXX", parent != NULL ? parent : "/tmp") < 0)
        return -1;
    *state = mkdtemp(dir);
    return *state != NULL ? 0 : -1;
}

static inline int
test_dir_teardown(void **state)
{
    char *dir = (char *)*state;
    enum err err = file_remove_tree(dir, NULL);

    free(dir);
    return err == ERR_OK ? 0 : -1;
}

/* dir/name, for the next few calls. */
static inline const char *
test_path(void **state, const char *name)
{
    static char paths[4][FILE_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    assert_true(file_path(path, (const char *)*state, name));
    return path;
}

#define test_in_dir(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, test_dir_setup, test_dir_teardown)

#define assert_slice_equal(slice_, text_)                                                          \
    do {                                                                                           \
        struct slice got_ = (slice_);                                                              \
        assert_non_null(got_.ptr);                                                                 \
        assert_int_equal(got_.len, strlen(text_));                                                 \
        assert_memory_equal(got_.ptr, (text_), got_.len);                                          \
    } while (0)

#endif
