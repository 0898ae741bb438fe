/*
 * test_run - sorted runs: what is added is found, nothing else is, merges keep all, damage is
 * noticed.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "run/run.h"
#include "run_keys.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h> /* needs those above */

static char dir[64];
static int discarded_count;

static int
setup(void **state)
{
    (void)state;
    strcpy(dir,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/test_run.XXXXXX" : "/tmp/test_run.XXXXXX");
    discarded_count = 0;
    return mkdtemp(dir) == NULL;
}

static int
teardown(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL) != ERR_OK;
}

static void
count_discarded(void *state, const char *path, const char *why)
{
    (void)state;
    (void)path;
    (void)why;
    discarded_count++;
}

static struct run_set_config
config_of(uint8_t payload_bytes)
{
    return (struct run_set_config){.dir = dir,
                                   .owner = "owner",
                                   .payload_bytes = payload_bytes,
                                   .covered_max = UINT64_MAX,
                                   .partition_keys = 4096,
                                   .discarded = count_discarded};
}

/* Adds keys from … to − 1 as one run that covers up to `to`. */
static void
add(struct run_set *set, uint64_t from, uint64_t to)
{
    struct run_entry *entries = MEM_NEW(struct run_entry, to - from + 1);
    struct diag diag = DIAG_INIT;

    assert_non_null(entries);
    for (uint64_t i = from; i < to; i++)
        entries[i - from] = (struct run_entry){.key = key_of(i), .payload = (uint32_t)i};
    assert_int_equal(run_set_add(set, entries, to - from, to, &diag), ERR_OK);
    mem_free(entries);
}

static void
merge_all(struct run_set *set)
{
    bool did_work = true;
    struct diag diag = DIAG_INIT;

    while (did_work)
        assert_int_equal(run_set_merge_step(set, &did_work, &diag), ERR_OK);
}

/* Keys from … to − 1 are found (or are not), with their payload. */
static void
check(struct run_set *set, uint64_t from, uint64_t to, bool is_there, bool has_payload)
{
    struct run_snapshot *snapshot = run_set_snapshot(set);
    struct diag diag = DIAG_INIT;

    for (uint64_t first = from; first < to; first += 1000) {
        struct run_key keys[1000];
        uint8_t found[1000] = {0};
        uint32_t payloads[1000] = {0};
        const uint32_t count = to - first < 1000 ? (uint32_t)(to - first) : 1000;

        for (uint32_t i = 0; i < count; i++)
            keys[i] = key_of(first + i);
        assert_int_equal(run_snapshot_probe(snapshot, 0, keys, count, found, payloads, &diag),
                         ERR_OK);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(found[i], is_there);
            if (is_there && has_payload)
                assert_int_equal(payloads[i], first + i);
        }
    }
    run_snapshot_free(&snapshot);
}

static void
test_run__finds_what_was_added_and_nothing_else(void **state)
{
    struct run_set_config config = config_of(4);
    struct run_set *set = NULL;
    struct run_set_stats stats;
    struct diag diag = DIAG_INIT;

    (void)state;
    assert_int_equal(run_set_open(&config, &set, &diag), ERR_OK);
    check(set, 1, 100, false, true);
    add(set, 1, 20000);
    add(set, 20000, 20001);                                            /* a run of one key */
    assert_int_equal(run_set_add(set, NULL, 0, 30000, &diag), ERR_OK); /* and of none */
    add(set, 30000, 30255);
    add(set, 30255, 30255 + 204); /* exactly one block */
    check(set, 1, 20001, true, true);
    check(set, 20001, 30000, false, true);
    check(set, 30000, 30459, true, true);
    check(set, 30459, 40000, false, true);
    assert_int_equal(run_set_covered(set), 30459);
    run_set_stats(set, &stats);
    assert_int_equal(stats.keys, 20000 + 255 + 204);
    run_set_close(&set);
    /* the same from the files */
    assert_int_equal(run_set_open(&config, &set, &diag), ERR_OK);
    assert_int_equal(run_set_covered(set), 30459);
    check(set, 1, 20001, true, true);
    check(set, 20001, 30000, false, true);
    check(set, 30000, 30459, true, true);
    run_set_close(&set);
    assert_int_equal(discarded_count, 0);
}

static void
test_run__probe_after_a_point_asks_newer_runs_only(void **state)
{
    struct run_set_config config = config_of(0);
    struct run_set *set = NULL;
    struct run_snapshot *snapshot = NULL;
    struct run_key keys[2] = {key_of(5), key_of(15)};
    uint8_t found[2] = {0};

    (void)state;
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    add(set, 1, 10);
    add(set, 10, 20);
    snapshot = run_set_snapshot(set);
    assert_int_equal(run_snapshot_probe(snapshot, 10, keys, 2, found, NULL, NULL), ERR_OK);
    assert_int_equal(found[0], 0);
    assert_int_equal(found[1], 1);
    run_snapshot_free(&snapshot);
    run_set_close(&set);
}

static void
test_run__equal_and_patterned_keys_are_kept(void **state)
{
    struct run_set_config config = config_of(4);
    struct run_set *set = NULL;
    struct run_snapshot *snapshot = NULL;
    static struct run_entry entries[3000];

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) /* no hashes: equal hi, rising lo, each twice */
        entries[i] = (struct run_entry){.key = {.hi = i / 1500, .lo = i / 2}, .payload = i};
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    assert_int_equal(run_set_add(set, entries, 3000, 7, NULL), ERR_OK);
    snapshot = run_set_snapshot(set);
    for (uint32_t i = 0; i < 3000; i++) {
        const struct run_key key = {.hi = i / 1500, .lo = i / 2};
        uint8_t found = 0;
        uint32_t payload = 0;

        assert_int_equal(run_snapshot_probe(snapshot, 0, &key, 1, &found, &payload, NULL), ERR_OK);
        assert_int_equal(found, 1);
        assert_int_equal(payload, i / 2 * 2); /* the lowest of the two */
    }
    run_snapshot_free(&snapshot);
    run_set_close(&set);
}

static void
test_run__merges_keep_all_keys_at_every_step(void **state)
{
    struct run_set_config config = config_of(4);
    struct run_set *set = NULL;
    struct run_snapshot *old = NULL;
    struct run_set_stats stats;
    bool did_work = true;
    uint8_t found = 0;
    const struct run_key key = key_of(3);

    (void)state;
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    for (uint64_t i = 0; i < 4; i++)
        add(set, 1 + i * 10000, 1 + (i + 1) * 10000);
    old = run_set_snapshot(set);
    while (did_work) { /* a merge of 16 partitions: each step leaves every key in place */
        assert_int_equal(run_set_merge_step(set, &did_work, NULL), ERR_OK);
        check(set, 1, 40001, true, true);
        check(set, 50000, 60000, false, true);
    }
    run_set_stats(set, &stats);
    assert_int_equal(stats.runs, 1);
    assert_int_equal(stats.keys, 40000);
    assert_int_equal(run_snapshot_probe(old, 0, &key, 1, &found, NULL, NULL), ERR_OK);
    assert_int_equal(found, 1); /* the replaced files serve until their last holder leaves */
    {
        struct file_list list;

        assert_int_equal(file_list_dir(dir, &list, NULL), ERR_OK);
        assert_int_equal(list.count, 5);
        file_list_free(&list);
        run_snapshot_free(&old);
        assert_int_equal(file_list_dir(dir, &list, NULL), ERR_OK);
        assert_int_equal(list.count, 1);
        file_list_free(&list);
    }
    run_set_close(&set);
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    check(set, 1, 40001, true, true);
    run_set_close(&set);
}

static void
test_run__runs_stay_few(void **state)
{
    struct run_set_config config = config_of(0);
    struct run_set *set = NULL;
    struct run_set_stats stats;

    (void)state;
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    for (uint64_t i = 0; i < 200; i++) {
        add(set, 1 + i * 50, 1 + (i + 1) * 50);
        merge_all(set);
        run_set_stats(set, &stats);
        assert_in_range(stats.runs, 1, 13); /* 3 of each of 4 tiers, and one */
    }
    check(set, 1, 10001, true, false);
    run_set_close(&set);
}

static void
test_run__a_merge_called_off_loses_nothing(void **state)
{
    struct run_set_config config = config_of(4);

    (void)state;
    for (uint64_t nth = 1; nth < 400; nth += 7) {
        struct run_set *set = NULL;
        bool did_work = true;
        enum err err = ERR_OK;

        assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
        if (run_set_covered(set) == 0)
            for (uint64_t i = 0; i < 4; i++)
                add(set, 1 + i * 8000, 1 + (i + 1) * 8000);
        mem_fail_from(nth, nth % 2 == 0);
        while (did_work && err == ERR_OK)
            err = run_set_merge_step(set, &did_work, NULL);
        mem_fail_from(0, false);
        check(set, 1, 32001, true, true);
        run_set_close(&set);
        if (err == ERR_OK)
            break;
    }
}

static void
test_run__what_a_crash_leaves_is_cleared(void **state)
{
    struct run_set_config config = config_of(0);
    struct run_set *set = NULL;
    struct run_snapshot *old = NULL;
    struct file_list list;
    char path[FILE_PATH_MAX];
    struct buf kept[4];
    const char *names[4] = {"00000000000000000000-00000000000000001000.run",
                            "00000000000000001000-00000000000000002000.run",
                            "00000000000000002000-00000000000000003000.run",
                            "00000000000000003000-00000000000000004000.run"};

    (void)state;
    (void)old;
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    for (uint64_t i = 0; i < 4; i++)
        add(set, i * 1000 == 0 ? 1 : i * 1000, (i + 1) * 1000);
    for (int i = 0; i < 4; i++) {
        buf_init(&kept[i], 1 << 20);
        assert_true(file_path(path, dir, names[i]));
        assert_int_equal(file_read_whole(path, 1 << 20, &kept[i], NULL), ERR_OK);
    }
    merge_all(set);
    run_set_close(&set);
    for (int i = 0; i < 4; i++) { /* as if the old runs had not been unlinked */
        assert_true(file_path(path, dir, names[i]));
        assert_int_equal(file_replace_whole(path, buf_slice(&kept[i]), NULL), ERR_OK);
        buf_fini(&kept[i]);
    }
    assert_true(file_path(path, dir, "00000000000000004000-00000000000000005000.run.tmp"));
    assert_int_equal(file_replace_whole(path, SLICE("half"), NULL), ERR_OK);
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    check(set, 1, 4000, true, false);
    assert_int_equal(file_list_dir(dir, &list, NULL), ERR_OK);
    assert_int_equal(list.count, 1);
    file_list_free(&list);
    run_set_close(&set);
}

static void
test_run__foreign_and_excess_runs_are_discarded(void **state)
{
    struct run_set_config config = config_of(0);
    struct run_set *set = NULL;

    (void)state;
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    add(set, 1, 100);
    add(set, 100, 200);
    run_set_close(&set);
    config.covered_max = 199;
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    assert_int_equal(run_set_covered(set), 100);
    assert_int_equal(discarded_count, 1);
    check(set, 1, 100, true, false);
    check(set, 100, 200, false, false);
    run_set_close(&set);
    config.owner[0] = 'x';
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    assert_int_equal(run_set_covered(set), 0);
    assert_int_equal(discarded_count, 2);
    run_set_close(&set);
}

/* T6: any flipped bit is noticed: by the check of the whole, and by open or a probe where they
 * touch it. */
static void
test_run__every_flipped_bit_is_noticed(void **state)
{
    struct run_set_config config = config_of(4);
    struct run_set *set = NULL;
    struct random_source random;
    struct run_info info;
    struct buf bytes;
    char path[FILE_PATH_MAX];
    uint64_t offset = 0;
    struct diag diag = DIAG_INIT;

    (void)state;
    config.partition_keys = 1024;
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    add(set, 1, 3000);
    run_set_close(&set);
    assert_true(file_path(path, dir, "00000000000000000000-00000000000000003000.run"));
    assert_int_equal(run_check_file(path, &info, &offset, &diag), ERR_OK);
    assert_int_equal(info.keys, 2999);
    buf_init(&bytes, 1 << 24);
    assert_int_equal(file_read_whole(path, 1 << 24, &bytes, NULL), ERR_OK);
    random_seeded_init(&random, 42);
    for (int i = 0; i < 1000; i++) {
        const size_t place = random_below(&random, bytes.len);
        const char bit = (char)(1 << random_below(&random, 8));
        CLOSE_FD int fd = -1;

        bytes.ptr[place] ^= bit;
        assert_int_equal(file_open(path, FILE_WRITE, &fd, NULL), ERR_OK);
        assert_int_equal(file_write_at(fd, path, bytes.ptr + place, 1, place, NULL), ERR_OK);
        diag_clear(&diag);
        assert_int_equal(run_check_file(path, &info, &offset, &diag), ERR_CORRUPT);
        assert_non_null(strstr(diag.message, "offset"));
        assert_true(offset <= place);
        bytes.ptr[place] ^= bit;
        assert_int_equal(file_write_at(fd, path, bytes.ptr + place, 1, place, NULL), ERR_OK);
    }
    /* shorter, longer, empty */
    assert_int_equal(run_check_file(path, &info, &offset, &diag), ERR_OK);
    for (size_t cut = 0; cut < bytes.len; cut += 1021) {
        assert_int_equal(file_replace_whole(path, slice_of(bytes.ptr, bytes.len - cut - 1), NULL),
                         ERR_OK);
        assert_int_equal(run_check_file(path, &info, &offset, &diag), ERR_CORRUPT);
    }
    assert_int_equal(run_set_open(&config, &set, &diag), ERR_OK);
    assert_int_equal(run_set_covered(set), 0);
    assert_int_equal(discarded_count, 1);
    run_set_close(&set);
    buf_fini(&bytes);
}

static void
test_run__a_damaged_block_is_named_by_probe_scrub_and_merge(void **state)
{
    struct run_set_config config = config_of(0);
    struct run_set *set = NULL;
    CLOSE_FD int fd = -1;
    char path[FILE_PATH_MAX];
    struct diag diag = DIAG_INIT;
    struct run_snapshot *snapshot = NULL;
    bool flag = false;
    uint8_t found[300] = {0};
    struct run_key keys[300];

    (void)state;
    config.merge_width = 2;
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    add(set, 1, 255);
    add(set, 255, 510);
    assert_true(file_path(path, dir, "00000000000000000000-00000000000000000255.run"));
    assert_int_equal(file_open(path, FILE_WRITE, &fd, NULL), ERR_OK);
    assert_int_equal(file_write_at(fd, path, "!", 1, 4096 + 4000, NULL), ERR_OK);
    for (uint64_t i = 0; i < 254; i++)
        keys[i] = key_of(i + 1);
    snapshot = run_set_snapshot(set);
    assert_int_equal(run_snapshot_probe(snapshot, 0, keys, 254, found, NULL, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.message, "offset 4096"));
    run_snapshot_free(&snapshot);
    diag_clear(&diag);
    assert_int_equal(run_set_scrub_step(set, 1 << 20, &flag, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.message, "offset 4096"));
    diag_clear(&diag);
    assert_int_equal(run_set_merge_step(set, &flag, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.message, "offset 4096"));
    check(set, 255, 510, true, false); /* the other run serves on */
    run_set_close(&set);
}

static void
test_run__memory_stays_below_three_bytes_a_key(void **state)
{
    struct run_set_config config = config_of(0);
    struct run_set *set = NULL;
    struct run_set_stats stats;

    (void)state;
    config.partition_keys = 0; /* as in the program */
    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    for (uint64_t i = 0; i < 4; i++)
        add(set, 1 + i * 300000, 1 + (i + 1) * 300000);
    merge_all(set);
    run_set_stats(set, &stats);
    assert_int_equal(stats.keys, 1200000);
    assert_int_equal(stats.runs, 1);
    print_message("%.3f bytes a key in memory, %.2f on disk\n",
                  (double)stats.memory_bytes / (double)stats.keys,
                  (double)stats.file_bytes / (double)stats.keys);
    assert_true(stats.memory_bytes <= 3 * stats.keys);
    check(set, 1, 1200001, true, false);
    run_set_close(&set);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_run__finds_what_was_added_and_nothing_else),
        TEST(test_run__probe_after_a_point_asks_newer_runs_only),
        TEST(test_run__equal_and_patterned_keys_are_kept),
        TEST(test_run__merges_keep_all_keys_at_every_step),
        TEST(test_run__runs_stay_few),
        TEST(test_run__a_merge_called_off_loses_nothing),
        TEST(test_run__what_a_crash_leaves_is_cleared),
        TEST(test_run__foreign_and_excess_runs_are_discarded),
        TEST(test_run__every_flipped_bit_is_noticed),
        TEST(test_run__a_damaged_block_is_named_by_probe_scrub_and_merge),
        TEST(test_run__memory_stays_below_three_bytes_a_key),
    };

    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
