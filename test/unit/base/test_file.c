/* Units of base/file: what each failure is called, and that bytes come back as they went. */
#include "../test.h"

#include "base/buf.h"
#include <sys/stat.h>
#include <unistd.h>

static void
test_file__open_tells_absent_and_exists(void **state)
{
    struct diag diag = DIAG_INIT;
    const char *path = test_path(state, "a");
    struct stat facts;
    int fd = -1;

    assert_int_equal(file_open(path, FILE_READ, &fd, &diag), ERR_ABSENT);
    assert_non_null(strstr(diag.message, path));
    assert_non_null(strstr(diag.message, "No such file"));
    assert_int_equal(file_open(path, FILE_WRITE, &fd, &diag), ERR_ABSENT);
    assert_int_equal(fd, -1);
    assert_int_equal(file_open(path, FILE_CREATE_NEW, &fd, &diag), ERR_OK);
    assert_int_equal(fstat(fd, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    file_close(&fd);
    assert_int_equal(fd, -1);
    file_close(&fd);
    assert_int_equal(file_open(path, FILE_CREATE_NEW, &fd, &diag), ERR_EXISTS);
    assert_int_equal(file_open((const char *)*state, FILE_WRITE, &fd, &diag), ERR_IO);
}

static void
test_file__modes_keep_or_empty(void **state)
{
    const char *path = test_path(state, "a");
    uint64_t bytes = 99;
    int fd = -1;

    assert_int_equal(file_open(path, FILE_CREATE, &fd, NULL), ERR_OK);
    assert_int_equal(file_write_at(fd, path, "hello", 5, 3, NULL), ERR_OK);
    file_close(&fd);
    assert_int_equal(file_open(path, FILE_CREATE, &fd, NULL), ERR_OK);
    assert_int_equal(file_size(fd, path, &bytes, NULL), ERR_OK);
    assert_int_equal(bytes, 8);
    file_close(&fd);
    assert_int_equal(file_open(path, FILE_REPLACE, &fd, NULL), ERR_OK);
    assert_int_equal(file_size(fd, path, &bytes, NULL), ERR_OK);
    assert_int_equal(bytes, 0);
    file_close(&fd);
}

static void
test_file__is_private_where_its_mode_names_the_owner_alone(void **state)
{
    const char *path = test_path(state, "a");
    bool is_private = true;

    assert_int_equal(file_is_private(path, &is_private, NULL), ERR_ABSENT);
    assert_int_equal(file_replace_whole(path, SLICE("x"), NULL), ERR_OK);
    for (mode_t mode = 0; mode <= 0777; mode++) {
        assert_int_equal(chmod(path, mode), 0);
        assert_int_equal(file_is_private(path, &is_private, NULL), ERR_OK);
        assert_int_equal(is_private, (mode & 077) == 0);
    }
}

static void
test_file__read_past_the_end_is_an_error_or_short(void **state)
{
    struct diag diag = DIAG_INIT;
    const char *path = test_path(state, "a");
    char bytes[8] = {0};
    size_t len = 0;
    int fd = -1;

    assert_int_equal(file_open(path, FILE_CREATE, &fd, &diag), ERR_OK);
    assert_int_equal(file_write_at(fd, path, "hello", 5, 0, &diag), ERR_OK);
    assert_int_equal(file_read_at(fd, path, bytes, 5, 0, &diag), ERR_OK);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(file_read_at(fd, path, bytes, 5, 1, &diag), ERR_IO);
    assert_non_null(strstr(diag.message, "ends early"));
    assert_int_equal(file_read_some_at(fd, path, bytes, 5, 1, &len, &diag), ERR_OK);
    assert_int_equal(len, 4);
    assert_int_equal(file_read_some_at(fd, path, bytes, 5, 100, &len, &diag), ERR_OK);
    assert_int_equal(len, 0);
    assert_int_equal(file_read_at(fd, path, bytes, 5, UINT64_MAX - 1, &diag), ERR_IO);
    assert_int_equal(file_write_at(fd, path, bytes, 5, UINT64_MAX - 1, &diag), ERR_IO);
    file_close(&fd);
}

static void
test_file__writes_many_parts_in_order(void **state)
{
    enum { PARTS = 200 };
    const char *path = test_path(state, "a");
    struct slice parts[PARTS];
    char text[PARTS][8];
    struct buf expected, got;
    int fd = -1;

    buf_init(&expected, 10000);
    buf_init(&got, 10000);
    buf_add_text(&expected, "ab");
    for (int i = 0; i < PARTS; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "<%d>", i);
        parts[i] = i % 7 == 3 ? SLICE_NONE : slice_of_text(text[i]);
        buf_add_slice(&expected, parts[i]);
    }
    assert_int_equal(file_open(path, FILE_CREATE, &fd, NULL), ERR_OK);
    assert_int_equal(file_write_at(fd, path, "abc", 3, 0, NULL), ERR_OK);
    assert_int_equal(file_write_parts_at(fd, path, parts, PARTS, 2, NULL), ERR_OK);
    assert_int_equal(file_sync_data(fd, path, NULL), ERR_OK);
    assert_int_equal(file_read_whole(path, 10000, &got, NULL), ERR_OK);
    assert_true(slice_equal(buf_slice(&expected), buf_slice(&got)));
    assert_int_equal(file_write_parts_at(fd, path, parts, 0, 0, NULL), ERR_OK);
    file_close(&fd);
    buf_fini(&expected);
    buf_fini(&got);
}

static void
test_file__reads_on_through_a_pipe(void **state)
{
    char bytes[8];
    size_t len = 9;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "abcdef", 6), 6);
    assert_int_equal(file_read_next(ends[0], "pipe", bytes, 4, &len, NULL), ERR_OK);
    assert_int_equal(len, 4);
    assert_int_equal(file_read_next(ends[0], "pipe", bytes, 4, &len, NULL), ERR_OK);
    assert_int_equal(len, 2);
    assert_memory_equal(bytes, "ef", 2);
    file_close(&ends[1]);
    assert_int_equal(file_read_next(ends[0], "pipe", bytes, 4, &len, NULL), ERR_OK);
    assert_int_equal(len, 0);
    file_close(&ends[0]);
    assert_int_equal(file_read_next(-1, "pipe", bytes, 4, &len, NULL), ERR_IO);
}

static void
test_file__full_disk_is_told_apart(void **state)
{
    struct diag diag = DIAG_INIT;
    int fd = -1;

    (void)state;
    assert_int_equal(file_open("/dev/full", FILE_WRITE, &fd, &diag), ERR_OK);
    assert_int_equal(file_write_at(fd, "/dev/full", "x", 1, 0, &diag), ERR_STORAGE_FULL);
    assert_non_null(strstr(diag.message, "No space left"));
    file_close(&fd);
}

static void
test_file__read_whole_stops_at_its_maximum(void **state)
{
    const char *path = test_path(state, "a");
    struct diag diag = DIAG_INIT;
    struct buf buf;

    assert_int_equal(file_replace_whole(path, SLICE("0123456789"), &diag), ERR_OK);
    for (size_t max = 9; max <= 11; max++) {
        buf_init(&buf, 100);
        buf_add_text(&buf, ">");
        assert_int_equal(file_read_whole(path, max, &buf, &diag), max < 10 ? ERR_FULL : ERR_OK);
        assert_slice_equal(buf_slice(&buf), max < 10 ? ">" : ">0123456789");
        buf_fini(&buf);
    }
    buf_init(&buf, 5);
    assert_int_equal(file_read_whole(path, 10, &buf, &diag), ERR_NOMEM);
    buf_fini(&buf);
    buf_init(&buf, 100000);
    assert_int_equal(file_read_whole("/proc/self/status", 100000, &buf, &diag), ERR_OK);
    assert_true(buf.len > 100);
    buf_fini(&buf);
}

static void
test_file__replace_leaves_no_temporary_behind(void **state)
{
    const char *path = test_path(state, "a");
    struct file_list list = {NULL, 0};
    struct buf buf;

    buf_init(&buf, 100);
    assert_int_equal(file_replace_whole(path, SLICE("old, and longer"), NULL), ERR_OK);
    assert_int_equal(file_replace_whole(path, SLICE("new"), NULL), ERR_OK);
    assert_int_equal(file_read_whole(path, 100, &buf, NULL), ERR_OK);
    assert_slice_equal(buf_slice(&buf), "new");
    assert_int_equal(file_make_dir(test_path(state, "folder"), NULL), ERR_OK);
    /* A folder of that name: the rename fails, and what was written goes. */
    assert_int_equal(file_replace_whole(test_path(state, "folder"), SLICE("x"), NULL), ERR_IO);
    assert_int_equal(file_list_dir((const char *)*state, &list, NULL), ERR_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.names[0], "a");
    assert_string_equal(list.names[1], "folder");
    file_list_free(&list);
    assert_int_equal(list.count, 0);
    assert_int_equal(file_replace_whole(test_path(state, "none/a"), SLICE("x"), NULL), ERR_ABSENT);
    buf_fini(&buf);
}

static void
test_file__replaced_alike_keeps_its_mode(void **state)
{
    const char *path = test_path(state, "a");
    struct stat facts;

    assert_int_equal(file_replace_whole_alike(path, SLICE("first"), NULL), ERR_OK);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(file_replace_whole_alike(path, SLICE("2nd"), NULL), ERR_OK);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0640);
    assert_int_equal(facts.st_size, 3);
    assert_int_equal(file_replace_whole(path, SLICE("x"), NULL), ERR_OK);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
}

static void
test_file__lists_in_byte_order(void **state)
{
    static const char *const names[] = {"b", "B", "a", "10", "9", ".hidden"};
    static const char *const sorted[] = {".hidden", "10", "9", "B", "a", "b"};
    struct file_list list = {NULL, 0};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_equal(file_replace_whole(test_path(state, names[i]), SLICE(""), NULL), ERR_OK);
    assert_int_equal(file_list_dir((const char *)*state, &list, NULL), ERR_OK);
    assert_int_equal(list.count, COUNT_OF(sorted));
    for (size_t i = 0; i < COUNT_OF(sorted); i++)
        assert_string_equal(list.names[i], sorted[i]);
    file_list_free(&list);
    for (uint64_t k = 1; k <= 3; k++) {
        mem_fail_from(k, true);
        assert_int_equal(file_list_dir((const char *)*state, &list, NULL), ERR_NOMEM);
        mem_fail_from(0, false);
        assert_null(list.names);
    }
    assert_int_equal(file_list_dir(test_path(state, "none"), &list, NULL), ERR_ABSENT);
}

static void
test_file__folders_are_made_and_removed_without_following_links(void **state)
{
    const char *dir = test_path(state, "d");
    const char *kept = test_path(state, "kept");
    char link[FILE_PATH_MAX];
    char inner[FILE_PATH_MAX];

    assert_int_equal(file_make_dir(dir, NULL), ERR_OK);
    assert_int_equal(file_make_dir(dir, NULL), ERR_OK);
    assert_int_equal(file_replace_whole(kept, SLICE("x"), NULL), ERR_OK);
    assert_int_equal(file_make_dir(kept, NULL), ERR_EXISTS);
    assert_int_equal(file_make_dir(test_path(state, "no/parent"), NULL), ERR_ABSENT);
    assert_true(file_path(link, dir, "link"));
    assert_true(file_path(inner, dir, "inner"));
    assert_int_equal(symlink((const char *)*state, link), 0);
    assert_int_equal(file_make_dir(inner, NULL), ERR_OK);
    assert_int_equal(file_remove_tree(dir, NULL), ERR_OK);
    assert_false(file_exists(dir));
    assert_true(file_exists(kept));
    assert_int_equal(file_remove_tree(dir, NULL), ERR_ABSENT);
    assert_int_equal(file_unlink(kept, NULL), ERR_OK);
    assert_int_equal(file_unlink(kept, NULL), ERR_ABSENT);
}

static void
test_file__lock_is_held_by_one(void **state)
{
    const char *path = test_path(state, "LOCK");
    struct diag diag = DIAG_INIT;
    int first = -1, second = -1;

    assert_int_equal(file_open(path, FILE_CREATE, &first, &diag), ERR_OK);
    assert_int_equal(file_open(path, FILE_CREATE, &second, &diag), ERR_OK);
    assert_int_equal(file_lock(first, path, &diag), ERR_OK);
    assert_int_equal(file_lock(second, path, &diag), ERR_LOCKED);
    file_close(&first);
    assert_int_equal(file_lock(second, path, &diag), ERR_OK);
    file_close(&second);
}

static void
test_file__sizes_and_room(void **state)
{
    const char *path = test_path(state, "a");
    uint64_t bytes = 0, free_bytes = 0, total_bytes = 0;
    int fd = -1;

    assert_int_equal(file_open(path, FILE_CREATE, &fd, NULL), ERR_OK);
    assert_int_equal(file_allocate(fd, path, 1000, 5000, NULL), ERR_OK);
    assert_int_equal(file_size_of_path(path, &bytes, NULL), ERR_OK);
    assert_int_equal(bytes, 6000);
    assert_int_equal(file_truncate(fd, path, 10, NULL), ERR_OK);
    assert_int_equal(file_size(fd, path, &bytes, NULL), ERR_OK);
    assert_int_equal(bytes, 10);
    assert_int_equal(file_truncate(fd, path, UINT64_MAX, NULL), ERR_IO);
    assert_int_equal(file_sync(fd, path, NULL), ERR_OK);
    assert_int_equal(file_sync_dir((const char *)*state, NULL), ERR_OK);
    assert_int_equal(file_disk_space(path, &free_bytes, &total_bytes, NULL), ERR_OK);
    assert_true(total_bytes >= free_bytes && total_bytes != 0);
    file_close(&fd);
}

static void
test_file__large_files_are_synced_in_pieces(void **state)
{
    const char *path = test_path(state, "a");
    const uint64_t piece = UINT64_C(1) << 20; /* one, and two, and a byte on both sides */
    uint64_t bytes = 0;
    int fd = -1;

    assert_int_equal(file_open(path, FILE_CREATE, &fd, NULL), ERR_OK);
    assert_int_equal(file_sync_bulk(fd, path, NULL), ERR_OK);
    for (uint64_t pieces = 1; pieces <= 2; pieces++)
        for (uint64_t size = pieces * piece - 1; size <= pieces * piece + 1; size++) {
            assert_int_equal(file_write_at(fd, path, "x", 1, size - 1, NULL), ERR_OK);
            assert_int_equal(file_write_back(fd, path, size - 2, size, NULL), ERR_OK);
            assert_int_equal(file_sync_bulk(fd, path, NULL), ERR_OK);
            assert_int_equal(file_size(fd, path, &bytes, NULL), ERR_OK);
            assert_int_equal(bytes, size);
        }
    assert_int_equal(file_write_back(fd, path, 5, 5, NULL), ERR_OK);
    file_close(&fd);
}

/* Where the kernel knows no such thing (a pipe), the sync tells. */
static void
test_file__what_cannot_be_written_back_is_left_to_the_sync(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(file_write_back(fds[1], "pipe", 0, 10, NULL), ERR_OK);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(file_write_back(fds[1], "closed", 0, 10, NULL), ERR_IO);
}

static void
test_file__one_file_under_several_names_is_known(void **state)
{
    char path[FILE_PATH_MAX], linked[FILE_PATH_MAX], hard[FILE_PATH_MAX], other[FILE_PATH_MAX];
    const char *dir = (const char *)*state;

    assert_true(file_path(path, dir, "a") && file_path(linked, dir, "linked"));
    assert_true(file_path(hard, dir, "hard") && file_path(other, dir, "other"));
    assert_int_equal(file_replace_whole(path, SLICE("x"), NULL), ERR_OK);
    assert_int_equal(file_replace_whole(other, SLICE("x"), NULL), ERR_OK);
    assert_int_equal(symlink("a", linked), 0);
    assert_int_equal(link(path, hard), 0);
    assert_true(file_is_same(path, path));
    assert_true(file_is_same(linked, path));
    assert_true(file_is_same(path, hard));
    assert_false(file_is_same(path, other));
    assert_false(file_is_same(path, "/nowhere/at/all"));
    assert_false(file_is_same("/nowhere/at/all", "/nowhere/at/all"));
    assert_true(file_is_regular(linked));
    assert_false(file_is_regular(dir));
    assert_false(file_is_regular("/dev/null"));
    assert_false(file_is_regular("/nowhere/at/all"));
}

static void
test_file__rename_replaces_and_tells_what_is_absent(void **state)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    struct buf buf;

    assert_true(file_path(from, (const char *)*state, "from"));
    assert_true(file_path(to, (const char *)*state, "to"));
    assert_int_equal(file_replace_whole(from, SLICE("new"), NULL), ERR_OK);
    assert_int_equal(file_replace_whole(to, SLICE("old"), NULL), ERR_OK);
    assert_int_equal(file_rename_synced(from, to, NULL), ERR_OK);
    assert_false(file_exists(from));
    buf_init(&buf, 16);
    assert_int_equal(file_read_whole(to, 16, &buf, NULL), ERR_OK);
    assert_true(slice_equal(buf_slice(&buf), SLICE("new")));
    buf_fini(&buf);
    assert_int_equal(file_rename_synced(from, to, NULL), ERR_ABSENT);
}

/* Who has a file open, or another name for it, keeps all of it; with neither it is gone. */
static void
test_file__what_is_unlinked_gently_stays_for_who_has_it(void **state)
{
    const uint64_t bytes = (UINT64_C(9) << 20) + 1;
    char path[FILE_PATH_MAX];
    char other[FILE_PATH_MAX];
    uint64_t found = 0;
    int fd = -1;
    int kept = -1;

    assert_true(file_path(path, (const char *)*state, "large"));
    assert_true(file_path(other, (const char *)*state, "other"));
    assert_int_equal(file_open(path, FILE_CREATE_NEW, &fd, NULL), ERR_OK);
    assert_int_equal(file_truncate(fd, path, bytes, NULL), ERR_OK);
    assert_int_equal(link(path, other), 0);
    file_close(&fd);
    assert_int_equal(file_unlink_gently(path, NULL), ERR_OK);
    assert_false(file_exists(path));
    assert_int_equal(file_size_of_path(other, &found, NULL), ERR_OK);
    assert_int_equal(found, bytes);

    assert_int_equal(file_open(other, FILE_READ, &fd, NULL), ERR_OK);
    assert_int_equal(file_unlink_gently(other, NULL), ERR_OK);
    assert_false(file_exists(other));
    assert_int_equal(file_size(fd, other, &found, NULL), ERR_OK);
    assert_int_equal(found, bytes);

    file_close(&fd);
    assert_int_equal(file_open(path, FILE_CREATE_NEW, &fd, NULL), ERR_OK);
    assert_int_equal(file_truncate(fd, path, bytes, NULL), ERR_OK);
    kept = dup(fd); /* of the same opening: it shows what became of the file */
    assert_int_equal(file_unlink(path, NULL), ERR_OK);
    file_close_gently(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(file_size(kept, path, &found, NULL), ERR_OK);
    assert_true(found <= UINT64_C(4) << 20);
    file_close(&kept);
    assert_int_equal(file_unlink_gently(path, NULL), ERR_ABSENT);
    file_close_gently(&kept);
}

static void
test_file__path_fits_or_says_no(void **state)
{
    static char name[FILE_PATH_MAX + 1];
    char path[FILE_PATH_MAX];

    (void)state;
    assert_true(file_path(path, "a", "b"));
    assert_string_equal(path, "a/b");
    assert_true(file_path(path, "/", "b"));
    assert_string_equal(path, "/b");
    for (size_t len = FILE_PATH_MAX - 4; len <= FILE_PATH_MAX - 2; len++) {
        memset(name, 'x', len);
        name[len] = '\0';
        assert_int_equal(file_path(path, "a", name), len + 2 < FILE_PATH_MAX);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_file__open_tells_absent_and_exists),
        test_in_dir(test_file__modes_keep_or_empty),
        test_in_dir(test_file__is_private_where_its_mode_names_the_owner_alone),
        test_in_dir(test_file__read_past_the_end_is_an_error_or_short),
        test_in_dir(test_file__writes_many_parts_in_order),
        cmocka_unit_test(test_file__reads_on_through_a_pipe),
        cmocka_unit_test(test_file__full_disk_is_told_apart),
        test_in_dir(test_file__read_whole_stops_at_its_maximum),
        test_in_dir(test_file__replace_leaves_no_temporary_behind),
        test_in_dir(test_file__replaced_alike_keeps_its_mode),
        test_in_dir(test_file__lists_in_byte_order),
        test_in_dir(test_file__folders_are_made_and_removed_without_following_links),
        test_in_dir(test_file__lock_is_held_by_one),
        test_in_dir(test_file__sizes_and_room),
        test_in_dir(test_file__large_files_are_synced_in_pieces),
        cmocka_unit_test(test_file__what_cannot_be_written_back_is_left_to_the_sync),
        test_in_dir(test_file__one_file_under_several_names_is_known),
        test_in_dir(test_file__rename_replaces_and_tells_what_is_absent),
        test_in_dir(test_file__what_is_unlinked_gently_stays_for_who_has_it),
        cmocka_unit_test(test_file__path_fits_or_says_no),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
