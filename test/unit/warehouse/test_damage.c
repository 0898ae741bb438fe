/*
 * test_damage - one bit flipped at 1,000 seeded places: always noticed and named, and rebuilt;
 * never a short result.
 */
#include "base/file.h"
#include "fixture.h"
#include <stdio.h>
#include <string.h>

#define FLIPS 1000
#define WHOLE_EVERY                                                                                \
    40 /* each so manieth flip goes through a start, a query and a rebuild as well */

struct victim {
    char path[FILE_PATH_MAX]; /* absolute */
    char name[256];           /* within the warehouse */
    uint64_t bytes;
};

static uint32_t
list_files(const char *dir, const char *prefix, struct victim *victims, uint32_t count,
           uint32_t most)
{
    struct file_list list;

    assert_int_equal(file_list_dir(dir, &list, NULL), ERR_OK);
    for (size_t i = 0; i < list.count; i++) {
        struct victim *victim = &victims[count];
        struct file_list inner = {0};

        assert_true(count < most);
        assert_true(file_path(victim->path, dir, list.names[i]));
        snprintf(victim->name, sizeof(victim->name), "%.120s%.120s", prefix, list.names[i]);
        if (file_list_dir(victim->path, &inner, NULL) == ERR_OK) {
            char deeper[300], path[FILE_PATH_MAX];

            file_list_free(&inner);
            snprintf(deeper, sizeof(deeper), "%s/", victim->name);
            snprintf(path, sizeof(path), "%s", victim->path);
            count = list_files(path, deeper, victims, count, most);
            continue;
        }
        assert_int_equal(file_size_of_path(victim->path, &victim->bytes, NULL), ERR_OK);
        count += victim->bytes != 0;
    }
    file_list_free(&list);
    return count;
}

static void
flip(const struct victim *victim, uint64_t offset, unsigned bit)
{
    CLOSE_FD int fd = -1;
    uint8_t byte = 0;

    assert_int_equal(file_open(victim->path, FILE_WRITE, &fd, NULL), ERR_OK);
    assert_int_equal(file_read_at(fd, victim->path, &byte, 1, offset, NULL), ERR_OK);
    byte = (uint8_t)(byte ^ (1u << bit));
    assert_int_equal(file_write_at(fd, victim->path, &byte, 1, offset, NULL), ERR_OK);
}

struct findings {
    const char *name;
    uint32_t count;
    uint32_t named;
};

static void
note(void *state, bool is_error, const char *file, const char *what)
{
    struct findings *findings = state;

    (void)what;
    findings->count += is_error;
    findings->named += is_error && strstr(file, findings->name) != NULL;
}

/* Whatever the query says of the damaged state (the right rows, or an error): afterwards all is
 * right again. */
static void
check_whole(const struct fixture *original)
{
    struct fixture fixture = *original;
    struct warehouse_view *view = NULL;
    struct seen seen = {0};
    void *states[] = {&seen};
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    const struct warehouse_scan scan = {.to_us = INT64_MAX,
                                        .parts = 1,
                                        .wants_type = true,
                                        .rows = seen_add,
                                        .part_states = states};
    enum err err = ERR_OK;

    fixture.warehouse = NULL;
    fixture_start(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    err = warehouse_scan(view, &scan, &control, NULL);
    if (err == ERR_OK && warehouse_view_watermark(view).position.minor == fixture.store.visible)
        assert_int_equal(seen.count, fixture.store.visible);
    seen_free(&seen);
    warehouse_view_close(&view);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(warehouse_load_step(fixture.warehouse, 0, NULL), ERR_OK);
    fixture_check(&fixture);
    fixture_stop(&fixture, 3000);
}

static void
test_damage__one_bit_anywhere(void **state)
{
    static struct victim victims[128];
    struct fixture fixture;
    struct random_source random;
    char root[FILE_PATH_MAX], pristine[FILE_PATH_MAX];
    uint32_t count = 0;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 31, 650, 60, 5, 30);
    fixture_load(&fixture);
    fixture_stop(&fixture, 3000);
    snprintf(root, sizeof(root), "%s/warehouse", fixture.dir);
    snprintf(pristine, sizeof(pristine), "%s/pristine", fixture.dir);
    copy_tree(root, pristine);
    count = list_files(root, "", victims, 0, COUNT_OF(victims));
    random_seeded_init(&random, 5);
    for (uint32_t i = 0; i < FLIPS; i++) {
        struct victim *victim = &victims[random_below(&random, count)];
        const uint64_t offset = random_below(&random, victim->bytes);
        const unsigned bit = (unsigned)random_below(&random, 8);
        struct findings findings = {.name = victim->name};

        flip(victim, offset, bit);
        const enum err err = warehouse_doctor(fixture.dir, note, &findings, NULL);

        /* A flip in "format" reads as a newer one: refused, in words. The secret has no finding: a
         * start makes all anew. */
        if (err != ERR_TOO_NEW && (err != ERR_CORRUPT || findings.named == 0))
            fail_msg("bit %u of byte %llu of %s: %s, %u findings", bit, (unsigned long long)offset,
                     victim->name, err_name(err), findings.count);
        if (i % WHOLE_EVERY == 0 && err != ERR_TOO_NEW) {
            check_whole(&fixture);
            assert_int_equal(file_remove_tree(root, NULL), ERR_OK);
            copy_tree(pristine, root);
        } else {
            flip(victim, offset, bit);
        }
    }
    fixture.warehouse = NULL;
    fixture_close(&fixture);
}

static void
test_damage__scrub_finds_it_and_it_is_rebuilt(void **state)
{
    static struct victim victims[128];
    struct fixture fixture;
    char root[FILE_PATH_MAX];
    uint32_t count = 0, flipped = 0;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 31, 650, 60, 5, 30);
    fixture_load(&fixture);
    fixture_keep(&fixture);
    snprintf(root, sizeof(root), "%s/warehouse", fixture.dir);
    count = list_files(root, "", victims, 0, COUNT_OF(victims));
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(victims[i].name, "7/0000000003.parquet") == 0) {
            flip(&victims[i], victims[i].bytes / 2, 3);
            flipped++;
        }
    }
    assert_int_equal(flipped, 1);
    clock_fake_move(&fixture.clock, 25 * 3600 * US_PER_S);
    fixture_keep(&fixture);
    assert_true(fixture.warnings > 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(warehouse_load_step(fixture.warehouse, 0, NULL), ERR_OK);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage__one_bit_anywhere),
        cmocka_unit_test(test_damage__scrub_finds_it_and_it_is_rebuilt),
    };

    return cmocka_run_group_tests_name("damage/ledger", tests, fake_store_is_ledger, NULL) +
           cmocka_run_group_tests_name("damage/database", tests, fake_store_is_database, NULL);
}
