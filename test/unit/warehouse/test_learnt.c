/* Units of warehouse/learnt.c: what is counted, bounds at n − 1, n, n + 1, the file, memory that
 * runs out. */
#include "../test.h"

#include "base/buf.h"
#include "warehouse/learnt.h"

struct told {
    uint32_t types;
    struct warehouse_learnt_type last;
};

static void
note(void *state, const struct warehouse_learnt_type *type)
{
    struct told *told = state;

    told->types++;
    told->last = *type;
}

static struct types *
some_types(uint32_t count)
{
    struct types *types = NULL;

    assert_int_equal(types_new(&types), ERR_OK);
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        uint32_t id = 0;
        int len = snprintf(name, sizeof(name), "t%u", (unsigned)i);

        assert_int_equal(types_resolve(types, slice_of(name, (size_t)len), &id), ERR_OK);
        assert_int_equal(id, i);
    }
    return types;
}

static void
add(struct learnt *learnt, uint32_t type_id, struct slice properties, int64_t at_us)
{
    const struct event event = {.properties = properties, .received_at_us = at_us};

    assert_int_equal(learnt_prepare(learnt, type_id, &event), ERR_OK);
    learnt_add(learnt, type_id, at_us);
}

static struct told
ask(struct learnt *learnt, const struct types *types, uint32_t count)
{
    struct told told = {0};

    learnt_each(learnt, types, count, note, &told);
    return told;
}

static void
test_learnt__kinds_and_times(void **state)
{
    static const struct {
        const char *value;
        enum warehouse_learnt_kind kind;
    } rows[] = {{"null", WAREHOUSE_LEARNT_NULL},         {"true", WAREHOUSE_LEARNT_BOOLEAN},
                {"false", WAREHOUSE_LEARNT_BOOLEAN},     {"5", WAREHOUSE_LEARNT_INTEGER},
                {"-0", WAREHOUSE_LEARNT_INTEGER},        {"1.0", WAREHOUSE_LEARNT_INTEGER},
                {"15e-1", WAREHOUSE_LEARNT_NUMBER},      {"1e2", WAREHOUSE_LEARNT_INTEGER},
                {"1.5", WAREHOUSE_LEARNT_NUMBER},        {"\"\\\"}\"", WAREHOUSE_LEARNT_STRING},
                {"[{\"a\":1}]", WAREHOUSE_LEARNT_ARRAY}, {"{\"a\":[]}", WAREHOUSE_LEARNT_OBJECT}};
    struct types *types = some_types(1);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct learnt *learnt = NULL;
        struct told told;
        char text[64];
        int len = snprintf(text, sizeof(text), "{ \"\\u0061\" : %s }", rows[i].value);

        assert_int_equal(learnt_new(&learnt), ERR_OK);
        add(learnt, 0, slice_of(text, (size_t)len), 200);
        add(learnt, 0, SLICE_NONE, 100);
        told = ask(learnt, types, 1);
        assert_int_equal(told.types, 1);
        assert_int_equal(told.last.count, 2);
        assert_int_equal(told.last.first_us, 100);
        assert_int_equal(told.last.last_us, 200);
        assert_int_equal(told.last.property_count, 1);
        assert_slice_equal(told.last.properties[0].name, "a");
        assert_int_equal(told.last.properties[0].counts[rows[i].kind], 1);
        learnt_free(&learnt);
    }
    types_release(&types);
}

/* Between the two steps of a row somebody may look: what only that row has is not there yet. */
static void
test_learnt__a_property_comes_with_its_row(void **state)
{
    CLEANUP(learnt_free) struct learnt *learnt = NULL;
    struct types *types = some_types(1);
    const struct event event = {.properties = SLICE("{\"b\":1,\"a\":2}"), .received_at_us = 2};

    (void)state;
    assert_int_equal(learnt_new(&learnt), ERR_OK);
    add(learnt, 0, SLICE("{\"a\":1}"), 1);
    assert_int_equal(learnt_prepare(learnt, 0, &event), ERR_OK);
    assert_int_equal(ask(learnt, types, 1).last.property_count, 1);
    learnt_add(learnt, 0, 2);
    assert_int_equal(ask(learnt, types, 1).last.property_count, 2);
    types_release(&types);
}

static void
test_learnt__bounds(void **state)
{
    struct types *types = some_types(LEARNT_TYPES_MAX + 1);

    (void)state;
    for (int off = -1; off <= 1; off++) {
        CLEANUP(learnt_free) struct learnt *learnt = NULL;
        CLEANUP(buf_fini) struct buf buf;
        const uint32_t count = (uint32_t)(LEARNT_PROPERTIES_MAX + off);
        struct told told;

        buf_init(&buf, 1 << 20);
        assert_int_equal(learnt_new(&learnt), ERR_OK);
        for (uint32_t i = 0; i < count; i++)
            buf_printf(&buf, "%s\"p%u\":1", i == 0 ? "{" : ",", (unsigned)i);
        buf_add_char(&buf, '}');
        add(learnt, 0, buf_slice(&buf), 1);
        told = ask(learnt, types, 1);
        assert_int_equal(told.last.property_count, off < 1 ? count : LEARNT_PROPERTIES_MAX);
        assert_int_equal(told.last.is_complete, off < 1);

        buf_clear(&buf);
        buf_add_text(&buf, "{\"");
        for (int i = 0; i < LEARNT_NAME_BYTES_MAX + off; i++)
            buf_add_char(&buf, 'x');
        buf_add_text(&buf, "\":1}");
        add(learnt, 1, buf_slice(&buf), 1);
        told = ask(learnt, types, 2);
        assert_int_equal(told.last.property_count, off < 1 ? 1 : 0);
        assert_int_equal(told.last.is_complete, off < 1);

        for (uint32_t id = 0; id < (uint32_t)(LEARNT_TYPES_MAX + off); id++)
            add(learnt, id, SLICE("{}"), 1);
        assert_int_equal(ask(learnt, types, LEARNT_TYPES_MAX + 1).types,
                         off < 0 ? LEARNT_TYPES_MAX - 1 : LEARNT_TYPES_MAX);
    }
    types_release(&types);
}

/* All properties of a project, and all bytes of their names. */
static void
test_learnt__bounds_of_all(void **state)
{
    struct types *types = some_types(LEARNT_TYPES_MAX);

    (void)state;
    for (int is_bytes = 0; is_bytes <= 1; is_bytes++) {
        CLEANUP(learnt_free) struct learnt *learnt = NULL;
        const uint32_t len = is_bytes ? 250 : 10;
        const uint32_t max =
            is_bytes ? LEARNT_ALL_NAMES_BYTES_MAX / len : LEARNT_ALL_PROPERTIES_MAX;
        struct told told;
        uint32_t made = 0;

        assert_int_equal(learnt_new(&learnt), ERR_OK);
        for (uint32_t id = 0; made <= max; id++) {
            for (uint32_t i = 0; i < LEARNT_PROPERTIES_MAX && made <= max; i++, made++) {
                char text[300];
                int bytes = snprintf(text, sizeof(text), "{\"%0*u\":1}", (int)len, (unsigned)i);

                add(learnt, id, slice_of(text, (size_t)bytes), 1);
            }
            told = ask(learnt, types, id + 1);
            assert_int_equal(told.last.is_complete, made <= max);
        }
        learnt_free(&learnt);
    }
    types_release(&types);
}

static void
test_learnt__the_file_is_read_back_and_damage_is_noticed(void **state)
{
    struct types *types = some_types(3);
    CLEANUP(learnt_free) struct learnt *learnt = NULL;
    CLEANUP(buf_fini) struct buf buf;
    struct manifest manifest = {.next_number = 7};
    const bool is_gone[3] = {false, false, true};
    const char *path = test_path(state, "learnt.7");

    buf_init(&buf, 1 << 20);
    assert_int_equal(learnt_new(&learnt), ERR_OK);
    add(learnt, 0, SLICE("{\"a\":1,\"b\":[]}"), 10);
    add(learnt, 2, SLICE("{\"c\":null}"), 20);
    add(learnt, 1, SLICE_NONE, 30);
    assert_int_equal(learnt_write(learnt, *state, &manifest, NULL), ERR_OK);
    assert_int_equal(manifest.learnt.number, 7);
    assert_int_equal(manifest.next_number, 8);
    learnt_free(&learnt);

    assert_int_equal(learnt_new(&learnt), ERR_OK);
    assert_int_equal(learnt_read(learnt, *state, &manifest, NULL), ERR_OK);
    assert_int_equal(ask(learnt, types, 3).types, 3);
    assert_slice_equal(ask(learnt, types, 3).last.properties[0].name, "c");
    assert_int_equal(ask(learnt, types, 1).last.properties[1].counts[WAREHOUSE_LEARNT_ARRAY], 1);
    learnt_forget(learnt, is_gone, 3);
    assert_int_equal(ask(learnt, types, 3).types, 2);
    learnt_free(&learnt);

    assert_int_equal(file_read_whole(path, 1 << 20, &buf, NULL), ERR_OK);
    for (size_t i = 0; i <= buf.len; i++) {
        const size_t len = i < buf.len ? buf.len : buf.len - 1;

        if (i < buf.len)
            buf.ptr[i] ^= 1;
        assert_int_equal(file_replace_whole(path, slice_of(buf.ptr, len), NULL), ERR_OK);
        assert_int_equal(learnt_new(&learnt), ERR_OK);
        assert_int_equal(learnt_read(learnt, *state, &manifest, NULL), ERR_CORRUPT);
        learnt_free(&learnt);
        if (i < buf.len)
            buf.ptr[i] ^= 1;
    }
    assert_int_equal(learnt_unlink(*state, &manifest, NULL), ERR_OK);
    assert_int_equal(learnt_unlink(*state, &manifest, NULL), ERR_OK);
    assert_int_equal(learnt_new(&learnt), ERR_OK);
    assert_int_equal(learnt_read(learnt, *state, &manifest, NULL), ERR_CORRUPT);
    types_release(&types);
}

/* However often preparing fails, the row is counted once. */
static void
test_learnt__out_of_memory_counts_nothing(void **state)
{
    struct types *types = some_types(1);
    CLEANUP(learnt_free) struct learnt *learnt = NULL;
    const struct event event = {.properties =
                                    SLICE("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,"
                                          "\"g\":7,\"h\":8,\"i\":9}"),
                                .received_at_us = 5};
    enum err err = ERR_NOMEM;
    uint32_t failed = 0;

    (void)state;
    assert_int_equal(learnt_new(&learnt), ERR_OK);
    while (err == ERR_NOMEM) {
        mem_fail_from(failed + 1, false);
        err = learnt_prepare(learnt, 0, &event);
        mem_fail_from(0, false);
        assert_int_equal(ask(learnt, types, 1).types, 0);
        failed += err == ERR_NOMEM;
    }
    assert_int_equal(err, ERR_OK);
    assert_true(failed > 3);
    learnt_add(learnt, 0, 5);
    assert_int_equal(ask(learnt, types, 1).last.count, 1);
    assert_int_equal(ask(learnt, types, 1).last.property_count, 9);
    for (int i = 0; i < 9; i++)
        assert_int_equal(ask(learnt, types, 1).last.properties[i].counts[WAREHOUSE_LEARNT_INTEGER],
                         1);
    types_release(&types);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learnt__kinds_and_times),
        cmocka_unit_test(test_learnt__a_property_comes_with_its_row),
        cmocka_unit_test(test_learnt__bounds),
        cmocka_unit_test(test_learnt__bounds_of_all),
        test_in_dir(test_learnt__the_file_is_read_back_and_damage_is_noticed),
        cmocka_unit_test(test_learnt__out_of_memory_counts_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
