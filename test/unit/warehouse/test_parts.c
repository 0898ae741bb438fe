/*
 * test_parts - the pieces alone: dictionary, persons, sort, tail, manifest text, statements.
 */
#include "base/file.h"
#include "fixture.h"
#include "warehouse/inside.h"
#include "warehouse/sql.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
test_parts__types_are_dense_and_found(void **state)
{
    struct types types;
    char name[32];
    uint32_t id = 0;

    (void)state;
    types_init(&types);
    assert_false(types_find(&types, SLICE("type-0"), &id));
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "type-%u", i);
        assert_int_equal(types_resolve(&types, slice_of_text(name), &id), ERR_OK);
        assert_int_equal(id, i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "type-%u", i);
        assert_int_equal(types_resolve(&types, slice_of_text(name), &id), ERR_OK);
        assert_int_equal(id, i);
        assert_true(slice_equal(types_name(&types, i), slice_of_text(name)));
    }
    types_fini(&types);
}

static int
compare_keys(const void *a, const void *b)
{
    const struct order_key *left = a, *right = b;

    if (left->person != right->person)
        return left->person < right->person ? -1 : 1;
    if (left->time != right->time)
        return left->time < right->time ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

static void
test_parts__sort_equals_qsort(void **state)
{
    static const uint32_t counts[] = {0, 1, 2, 63, 64, 65, 1000, 20000};
    static const uint64_t bounds[] = {1, 2, 3000, UINT64_C(1) << 43, UINT64_MAX};
    struct random_source random;

    (void)state;
    random_seeded_init(&random, 1);
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        for (size_t k = 0; k < COUNT_OF(bounds); k++) {
            const uint32_t count = counts[i];
            struct order_key *keys = malloc((count * 2 + 1) * sizeof(*keys));
            struct order_key *expected = malloc((count + 1) * sizeof(*keys));

            for (uint32_t n = 0; n < count; n++)
                keys[n] = (struct order_key){random_below(&random, bounds[k]),
                                             (uint32_t)random_below(&random, bounds[k]), n};
            memcpy(expected, keys, count * sizeof(*keys));
            qsort(expected, count, sizeof(*keys), compare_keys);
            order_sort(keys, keys + count, count);
            for (uint32_t n = 0; n < count; n++)
                assert_int_equal(keys[n].index, expected[n].index);
            free(keys);
            free(expected);
        }
    }
}

static void
test_parts__tail_rows_are_found_by_number(void **state)
{
    struct tail *tail = NULL;
    const struct tail_block **blocks = NULL;
    char id[32];

    (void)state;
    assert_int_equal(tail_new(&tail), ERR_OK);
    for (uint32_t i = 0; i < 40000; i++) {
        struct event event = {.user_id = SLICE("u"), .occurred_at_us = i};

        snprintf(id, sizeof(id), "id-%u", i);
        event.event_id = slice_of_text(id);
        assert_int_equal(tail_append(tail, &event, i + 1, i, i % 7, NULL), ERR_OK);
    }
    blocks = tail_blocks(tail, tail->rows);
    assert_non_null(blocks);
    for (uint32_t i = 0; i < 40000; i++) {
        const struct tail_block *block = blocks[tail_block_of(i)];
        struct event event;

        assert_true(i >= block->first_row && i < block->first_row + block->capacity);
        assert_int_equal(block->seq[i - block->first_row], i + 1);
        tail_row_event(block, i - block->first_row, &event);
        snprintf(id, sizeof(id), "id-%u", i);
        assert_true(slice_equal(event.event_id, slice_of_text(id)));
        assert_null(event.properties.ptr);
    }
    mem_free(blocks);
    tail_release(&tail);
}

static void
test_parts__texts_at_their_limits(void **state)
{
    static const size_t lengths[] = {1, 11, 12, 13, 127, 128, 199, 200};
    struct fixture fixture;
    static char text[65536];

    (void)state;
    memset(text, 'x', sizeof(text));
    fixture_open_small(&fixture, 9, 9); /* eight rows and one large, sealed and read back */
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        char id[150];
        struct event event = {.project_id = PROJECT,
                              .event_type = slice_of(text, lengths[i]),
                              .user_id = slice_of(text, lengths[i]),
                              .anonymous_id = slice_of(text, lengths[i]),
                              .session_id = slice_of(text, lengths[i] < 128 ? lengths[i] : 128),
                              .properties = slice_of(text, lengths[i] * 300),
                              .occurred_at_us = DAY_ZERO_US,
                              .received_at_us = DAY_ZERO_US};

        snprintf(id, sizeof(id), "%zu-%.*s", i, i == 7 ? 126 : 1, text);
        event.event_id = slice_of_text(id);
        fake_store_add(&fixture.store, &event);
        if (i == 0) {
            event.properties = slice_of(text, sizeof(text));
            fake_store_add(&fixture.store, &event);
        }
    }
    fixture_load(&fixture);
    assert_int_equal(fixture_file_count(&fixture), 1);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_parts__manifest_comes_back(void **state)
{
    struct manifest manifest = {.generation = UINT64_MAX,
                                .project_id = 3,
                                .epoch = 4,
                                .number = 5,
                                .next_number = 6,
                                .covered = {UINT64_MAX, 1, UINT64_MAX},
                                .seq_max = UINT64_MAX,
                                .rows = 10,
                                .persons = UINT32_MAX,
                                .type_count = 7,
                                .received_min_us = INT64_MIN,
                                .types = {{1, 7, 100, 0xabcdef01}},
                                .types_count = 1,
                                .file_count = 1};
    struct manifest_file file = {.number = 5, .rows = 10, .time_min_us = -1, .marks = {1, 2, 3}};
    struct manifest back = {0};
    struct buf buf;

    (void)state;
    manifest.files = &file;
    buf_init(&buf, 1 << 20);
    manifest_write(&manifest, &buf);
    assert_int_equal(manifest_parse(buf_slice(&buf), &back, NULL), ERR_OK);
    assert_int_equal(back.seq_max, UINT64_MAX);
    assert_int_equal(back.covered.minor, UINT64_MAX);
    assert_int_equal(back.received_min_us, INT64_MIN);
    assert_int_equal(back.types[0].checksum, 0xabcdef01);
    assert_memory_equal(back.files, &file, sizeof(file));
    manifest_fini(&back);
    for (size_t i = 0; i < buf.len; i++) /* cut anywhere: never taken for whole */
        assert_int_equal(manifest_parse(slice_of(buf.ptr, i), &back, NULL), ERR_CORRUPT);
    buf_fini(&buf);
}

static void
test_parts__statements_quote_paths(void **state)
{
    static const char *const paths[] = {"/tmp/it's/a.parquet", "b"};
    static const uint32_t types[] = {1, 20};
    const struct sql_value values[] = {
        {.name = "files", .kind = SQL_PATHS, .paths = paths, .count = 2},
        {.name = "path", .kind = SQL_PATH, .paths = paths, .count = 1},
        {.name = "types", .kind = SQL_TYPES, .types = types, .count = 2},
        SQL_FROM_I64("low", INT64_MIN),
    };
    struct buf sql;

    (void)state;
    buf_init(&sql, 4096);
    assert_int_equal(sql_fill(&sql, "-- words {path}\nX {files} {path} {types} {low} {other}",
                              values, COUNT_OF(values)),
                     ERR_OK);
    assert_string_equal(sql.ptr, "X ['/tmp/it''s/a.parquet','b'] '/tmp/it''s/a.parquet' "
                                 "type_id IN (1,20) -9223372036854775808 {other}");
    buf_fini(&sql);
}

/* Ids in the order of first appearance, through seals, a restart, and more persons than one seal
 * holds. */
static void
test_parts__persons_are_dense_and_found_again(void **state)
{
    static const uint8_t secret[PERSONS_SECRET_BYTES] = {1, 2, 3};
    static const uint8_t owner[RUN_OWNER_BYTES] = {4};
    char dir[256];
    struct persons persons;
    struct persons_runs runs = {dir, owner};
    char name[32];
    uint32_t id = 0;

    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/potik-persons-%d", (int)getpid());
    persons_init(&persons, secret);
    for (uint32_t i = 0; i < 9000; i++) {
        snprintf(name, sizeof(name), "person-%u", i);
        assert_int_equal(persons_resolve(&persons, slice_of_text(name), &id, NULL), ERR_OK);
        assert_int_equal(id, i);
        if (i % 2000 == 1999)
            assert_int_equal(persons_seal(&persons, &runs, NULL), ERR_OK);
    }
    assert_int_equal(persons_find(&persons, SLICE("person-1"), &id, NULL), ERR_OK);
    assert_int_equal(persons_find(&persons, SLICE("person-8999"), &id, NULL), ERR_OK);
    assert_int_equal(id, 8999);
    assert_int_equal(persons_find(&persons, SLICE("nobody"), &id, NULL), ERR_ABSENT);
    persons_fini(&persons);
    /* The last 1,000 were never sealed; a manifest that knows 6,000 discards the run beyond it. */
    persons_init(&persons, secret);
    assert_int_equal(persons_open_runs(&persons, &runs, 6000, NULL), ERR_OK);
    for (uint32_t i = 0; i < 9000; i++) {
        snprintf(name, sizeof(name), "person-%u", i);
        assert_int_equal(persons_resolve(&persons, slice_of_text(name), &id, NULL), ERR_OK);
        assert_int_equal(id, i);
    }
    persons_fini(&persons);
    persons_init(&persons, secret);
    assert_int_equal(persons_open_runs(&persons, &runs, 7000, NULL), ERR_CORRUPT);
    persons_fini(&persons);
    assert_int_equal(file_remove_tree(dir, NULL), ERR_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts__types_are_dense_and_found),
        cmocka_unit_test(test_parts__sort_equals_qsort),
        cmocka_unit_test(test_parts__tail_rows_are_found_by_number),
        cmocka_unit_test(test_parts__texts_at_their_limits),
        cmocka_unit_test(test_parts__manifest_comes_back),
        cmocka_unit_test(test_parts__statements_quote_paths),
        cmocka_unit_test(test_parts__persons_are_dense_and_found_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
