/*
 * test_store_sync - what must be on the disk before a start or a roll goes on, seen at the system
 * calls: this program's own fsync and pwrite stand before libc's, watch one folder, and
 * fail where a test wants it.
 */
#include "damage.h"
#include "store/embedded/store_embedded.h"
#include <errno.h>
#include <sys/syscall.h>

/* What the watched folder has seen. */
static struct watch {
    const char *dir;      /* NULL: nothing is watched */
    const char *full_at;  /* a write to a path with this in it: ENOSPC */
    const char *full_but; /* … unless this is in it too; may be NULL */
    const char *copy_at;  /* before a sync of a path that ends so: cp to <dir>.kill */
    bool is_copied_again; /* before each of them: the last stays */
    bool has_copied;
    uint32_t data_dir_syncs;
    uint32_t ledger_dir_syncs;
    uint32_t segment_1_syncs;
    uint32_t segments_at_sync; /* files of the ledger folder when it was synced last */
    uint32_t ids_dir_syncs;
    uint32_t runs_at_sync; /* files of the runs' folder when it was synced last */
    bool is_ledger_named;  /* the data folder was synced while ledger/ stood in it */
} watch;

static bool
path_of(int fd, char path[FILE_PATH_MAX])
{
    char link[64];
    ssize_t len = 0;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = watch.dir != NULL ? readlink(link, path, FILE_PATH_MAX - 1) : -1;
    path[len < 0 ? 0 : len] = '\0';
    return len > 0 && strncmp(path, watch.dir, strlen(watch.dir)) == 0;
}

static uint32_t
count_names(const char *dir)
{
    CLEANUP(file_list_free) struct file_list list = {0};

    assert_int_equal(file_list_dir(dir, &list, NULL), ERR_OK);
    return (uint32_t)list.count;
}

static void
copy_folder(void)
{
    char command[512];

    watch.has_copied = true;
    snprintf(command, sizeof(command), "rm -rf %s.kill && cp -a --sparse=always %s %s.kill",
             watch.dir, watch.dir, watch.dir);
    assert_int_equal(system(command), 0);
}

int fsync(int fd);
int
fsync(int fd)
{
    char path[FILE_PATH_MAX];
    const char *name = NULL;

    if (path_of(fd, path)) {
        name = path + strlen(watch.dir);
        if (watch.copy_at != NULL && (!watch.has_copied || watch.is_copied_again) &&
            strlen(name) >= strlen(watch.copy_at) &&
            strcmp(name + strlen(name) - strlen(watch.copy_at), watch.copy_at) == 0)
            copy_folder();
        watch.segment_1_syncs += strcmp(name, "/" SEGMENT_1) == 0;
        if (strcmp(name, "/ledger") == 0) {
            watch.ledger_dir_syncs++;
            watch.segments_at_sync = count_names(path);
        }
        if (strcmp(name, "/ids") == 0) {
            watch.ids_dir_syncs++;
            watch.runs_at_sync = count_names(path);
        }
        if (name[0] == '\0') {
            watch.data_dir_syncs++;
            strcat(path, "/ledger");
            watch.is_ledger_named |= file_exists(path);
        }
    }
    return (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    char path[FILE_PATH_MAX];

    if (watch.full_at != NULL && path_of(fd, path) && strstr(path, watch.full_at) != NULL &&
        (watch.full_but == NULL || strstr(path, watch.full_but) == NULL)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

static int
watch_setup(void **state)
{
    const int failed = fixture_setup(state);

    if (failed == 0)
        watch = (struct watch){.dir = ((struct fixture *)*state)->dir};
    return failed;
}

static int
watch_teardown(void **state)
{
    watch = (struct watch){.dir = NULL};
    return fixture_teardown(state);
}

/* The folder becomes what copy_folder took. */
static void
take_copy(struct fixture *fixture)
{
    char command[512];

    assert_true(watch.has_copied);
    fixture_close(fixture);
    snprintf(command, sizeof(command), "rm -rf %s && mv %s.kill %s", fixture->dir, fixture->dir,
             fixture->dir);
    assert_int_equal(system(command), 0);
    watch = (struct watch){.dir = fixture->dir};
}

/* --- names --------------------------------------------------------------------------------- */

/* A file is found after a power cut only if each name on its way has been synced in its folder. */
static void
test_sync__the_ledgers_name_is_synced_before_the_first_answer(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    assert_true(watch.is_ledger_named);
    assert_true(watch.ledger_dir_syncs > 0);
}

/* A kill may come between a name and its sync, so a start cannot know: it syncs once more. */
static void
test_sync__names_left_by_a_kill_are_synced_at_the_start(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 10, NULL), ERR_OK);
    fixture_kill(fixture);
    watch = (struct watch){.dir = fixture->dir};
    fixture_open(fixture);
    assert_true(watch.data_dir_syncs > 0);
    assert_true(watch.ledger_dir_syncs > 0);
    assert_int_equal(fixture_read_all(fixture, 0, 100, SIZE_MAX), 10);
}

/* The same of a segment's header: it may stand in the page cache alone. */
static void
test_sync__a_segment_without_frames_is_synced_before_it_is_used(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fixture_kill(fixture);
    watch = (struct watch){.dir = fixture->dir};
    fixture_open(fixture);
    assert_true(watch.segment_1_syncs > 0);
    assert_int_equal(fixture_append(fixture, 0, 10, NULL), ERR_OK);
}

/* --- rolling ------------------------------------------------------------------------------- */

/* Appends until the second segment is there. Returns how many events were stored. */
static uint64_t
append_until_rolled(struct fixture *fixture)
{
    const struct embedded *store = (struct embedded *)fixture->store;
    uint64_t next = 0;

    while (ledger_segment_count(store->ledger) == 1) {
        assert_int_equal(fixture_append(fixture, next, 300, NULL), ERR_OK);
        next += 300;
        assert_true(next < 20000);
    }
    return next;
}

/* Killed after the old segment's footer was written, before it was synced: once the new segment has
 * frames, a footer lost to a power cut would stop the start. */
static void
test_sync__a_footer_left_by_a_kill_is_written_again(void **state)
{
    struct fixture *fixture = *state;
    uint64_t stored = 0;

    fixture_open(fixture);
    watch.copy_at = SEGMENT_1;
    stored = append_until_rolled(fixture) - 300; /* the last batch came after the copy */
    take_copy(fixture);
    fixture_open(fixture);
    assert_true(watch.segment_1_syncs > 0);
    assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), stored);
    assert_int_equal(fixture_append(fixture, stored, 10, NULL), ERR_OK);
    fixture_kill(fixture);
    fixture_open(fixture);
    assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), stored + 10);
}

/* No room for the footer (or for the new segment's header): the new segment goes again, for good,
 * or a power cut could bring it back beside an old one that has grown meanwhile. */
static void
check_failed_roll(struct fixture *fixture, const char *full_at, const char *full_but)
{
    const struct embedded *store = NULL;
    enum err err = ERR_OK;
    uint64_t next = 0;
    uint64_t before = 0;
    uint64_t batch_bytes = 0;
    uint32_t accepted = 0;

    fixture_open(fixture);
    store = (struct embedded *)fixture->store;
    while (ledger_segment_count(store->ledger) == 1 && err == ERR_OK) {
        batch_bytes = store->ledger->end - before;
        before = store->ledger->end;
        if (before + batch_bytes > 1 << 20) { /* the next batch rolls */
            watch.full_at = full_at;
            watch.full_but = full_but;
            watch.ledger_dir_syncs = 0;
        }
        err = fixture_append(fixture, next, 300, &accepted);
        next += accepted;
        assert_true(next < 20000);
    }
    assert_int_equal(err, ERR_STORAGE_FULL);
    assert_int_equal(fixture->fatal_count, 0);
    assert_true(watch.ledger_dir_syncs > 0);
    assert_int_equal(watch.segments_at_sync, 1);
    watch.full_at = NULL;
    assert_int_equal(fixture_append(fixture, next, 1, NULL), ERR_OK); /* goes on in the old one */
    assert_int_equal(ledger_segment_count(store->ledger), 1);
    assert_int_equal(fixture_append(fixture, next + 1, 300, NULL), ERR_OK);
    assert_int_equal(ledger_segment_count(store->ledger), 2);
    fixture_kill(fixture);
    fixture_open(fixture);
    assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), next + 301);
}

static void
test_sync__a_roll_without_room_for_the_footer_leaves_no_name(void **state)
{
    check_failed_roll(*state, SEGMENT_1, NULL);
}

static void
test_sync__a_roll_without_room_for_the_header_leaves_no_name(void **state)
{
    check_failed_roll(*state, "ledger/", SEGMENT_1);
}

/* --- recovery and failure ------------------------------------------------------------------ */

/* A disk too full to set a torn end aside stops the start, however often it is tried; then it goes
 * on, with one file set aside. */
static void
test_sync__a_full_disk_leaves_no_half_of_what_is_set_aside(void **state)
{
    struct fixture *fixture = *state;
    char path[FILE_PATH_MAX];
    uint64_t bytes = 0;
    CLOSE_FD int fd = -1;

    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 10, NULL), ERR_OK);
    bytes = ((struct embedded *)fixture->store)->ledger->end;
    fixture_kill(fixture);
    fixture_path(fixture, SEGMENT_1, path);
    assert_int_equal(file_open(path, FILE_WRITE, &fd, NULL), ERR_OK);
    assert_int_equal(file_write_at(fd, path, "torn", 4, bytes, NULL), ERR_OK);
    watch.full_at = "/cut-";
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_try_open(fixture, NULL), ERR_STORAGE_FULL);
        assert_false(fixture_find(fixture, "ledger", "cut-", path));
    }
    watch.full_at = NULL;
    fixture_open(fixture);
    assert_true(fixture_find(fixture, "ledger", "cut-", path));
    assert_int_equal(fixture_read_all(fixture, 0, 100, SIZE_MAX), 10);
}

/* A ledger that ends earlier than a run (its last frame was lost, or it comes from a backup) gives
 * the same seqs to other events. Were the run to come back after a power cut, it would seem to
 * cover those: ids told `duplicate` that are not stored, and others stored twice. */
static void
test_sync__a_run_beyond_the_ledger_goes_for_good(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct layout layout;
    bool did_work = false;
    char path[FILE_PATH_MAX];

    fixture->config.young_ids_seal = 1;
    make_killed(fixture, &bytes, &layout);
    fixture_open(fixture);
    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_true(fixture_find(fixture, "ids", "0", path));
    fixture_close(fixture);
    write_file(fixture, SEGMENT_1, bytes.ptr, layout.offsets[layout.count - 1]);
    watch.ids_dir_syncs = 0;
    fixture_open(fixture);
    assert_false(fixture_find(fixture, "ids", "0", path));
    assert_true(watch.ids_dir_syncs > 0);
    assert_int_equal(watch.runs_at_sync, 0);
    buf_fini(&bytes);
}

/* Killed as soon as the repaired segment has its name: the ids of what was lost with it must be
 * gone from the runs already, or those events could never be sent again. */
static void
test_sync__a_repair_cut_short_refuses_no_lost_event(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct layout layout;
    struct findings findings;
    bool did_work = false;
    char path[FILE_PATH_MAX];
    uint32_t accepted = 0;
    uint32_t all = 0;

    fixture->config.young_ids_seal = 1;
    make_killed(fixture, &bytes, &layout);
    all = (uint32_t)(layout.next_seqs[layout.count] - 1);
    fixture_open(fixture);
    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_true(fixture_find(fixture, "ids", "0", path));
    fixture_close(fixture);
    bytes.ptr[layout.offsets[5] + 50] ^= 1; /* frame 5 has 3 rows */
    write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
    watch.copy_at = "/ledger";
    watch.is_copied_again = true;
    assert_int_equal(doctor(fixture, false, true, &findings), ERR_OK);
    take_copy(fixture);
    assert_int_equal(doctor(fixture, false, true, &findings), ERR_OK);
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, all, &accepted), ERR_OK);
    assert_int_equal(accepted, 3);
    buf_fini(&bytes);
}

/* Killed while the damaged segment was being copied: the next repair does not stumble over it. */
static void
test_sync__a_repair_after_one_cut_short_goes_through(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct layout layout;
    struct findings findings;
    char path[FILE_PATH_MAX];

    make_killed(fixture, &bytes, &layout);
    bytes.ptr[layout.offsets[5] + 50] ^= 1;
    write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
    write_file(fixture, SEGMENT_1 ".damaged", bytes.ptr, bytes.len / 2);
    assert_int_equal(doctor(fixture, false, true, &findings), ERR_OK);
    assert_non_null(strstr(findings.what, "kept as 00000000000000000001.seg.1.damaged"));
    assert_true(fixture_find(fixture, "ledger", "00000000000000000001.seg.1.damaged", path));
    assert_int_equal(doctor(fixture, false, false, &findings), ERR_OK);
    buf_fini(&bytes);
}

static void
keep_reason(void *state, const char *reason)
{
    snprintf(state, 128, "%s", reason);
}

/* A loop that waited for the lock while another's sync failed may be the first to tell. */
static void
test_sync__whoever_tells_of_a_failed_sync_has_a_reason(void **state)
{
    struct fixture *fixture = *state;
    char reason[128] = "";

    fixture->config.fatal = keep_reason;
    fixture->config.fatal_state = reason;
    fixture_open(fixture);
    atomic_store(&((struct embedded *)fixture->store)->is_fatal, true);
    assert_int_equal(fixture_append(fixture, 0, 1, NULL), ERR_FATAL);
    assert_string_not_equal(reason, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, watch_setup, watch_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sync__the_ledgers_name_is_synced_before_the_first_answer),
        TEST(test_sync__names_left_by_a_kill_are_synced_at_the_start),
        TEST(test_sync__a_segment_without_frames_is_synced_before_it_is_used),
        TEST(test_sync__a_footer_left_by_a_kill_is_written_again),
        TEST(test_sync__a_roll_without_room_for_the_footer_leaves_no_name),
        TEST(test_sync__a_roll_without_room_for_the_header_leaves_no_name),
        TEST(test_sync__a_full_disk_leaves_no_half_of_what_is_set_aside),
        TEST(test_sync__a_run_beyond_the_ledger_goes_for_good),
        TEST(test_sync__a_repair_cut_short_refuses_no_lost_event),
        TEST(test_sync__a_repair_after_one_cut_short_goes_through),
        TEST(test_sync__whoever_tells_of_a_failed_sync_has_a_reason),
    };

    return cmocka_run_group_tests_name("store_sync", tests, NULL, NULL);
}
