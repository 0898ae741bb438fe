/* Units of base/machine: control groups in a folder of the test's own. */
#include "../test.h"

#include "base/file.h"
#include "base/machine.h"
#include <sys/stat.h>

#define GIB (UINT64_C(1) << 30)

static void
put(void **state, const char *name, const char *text)
{
    assert_int_equal(file_replace_whole(test_path(state, name), slice_of_text(text), NULL), ERR_OK);
}

static void
assert_limits(void **state, uint64_t memory_bytes, uint32_t cores)
{
    struct machine machine = {.memory_bytes = 64 * GIB, .cores = 16};
    char own[512], root[512];

    (void)snprintf(own, sizeof(own), "%s/own", (const char *)*state);
    (void)snprintf(root, sizeof(root), "%s", (const char *)*state);
    machine_limit(&machine, own, root);
    assert_int_equal(machine.memory_bytes, memory_bytes);
    assert_int_equal(machine.cores, cores);
}

static void
test_machine__without_groups_the_machine_stands(void **state)
{
    assert_limits(state, 64 * GIB, 16);
    put(state, "own", "");
    assert_limits(state, 64 * GIB, 16);
    put(state, "own", "12:memory:/old\n1:name=systemd:/x\n");
    assert_limits(state, 64 * GIB, 16);
}

static void
test_machine__of_a_container_the_root_holds(void **state)
{
    put(state, "own", "0::/\n");
    put(state, "memory.max", "max\n");
    put(state, "cpu.max", "max 100000\n");
    assert_limits(state, 64 * GIB, 16);
    put(state, "memory.max", "1073741824\n");
    put(state, "cpu.max", "200000 100000\n");
    assert_limits(state, GIB, 2);
    put(state, "cpu.max", "200001 100000\n");
    assert_limits(state, GIB, 3);
    put(state, "cpu.max", "50000 100000\n");
    assert_limits(state, GIB, 1);
    put(state, "cpu.max", "1600000 100000\n"); /* as many as there are */
    assert_limits(state, GIB, 16);
    put(state, "cpu.max", "1600001 100000\n");
    assert_limits(state, GIB, 16);
    put(state, "own", "0::/../elsewhere\n"); /* outside of what is mounted: what is mounted holds */
    assert_limits(state, GIB, 16);
}

static void
test_machine__every_group_on_the_way_holds(void **state)
{
    assert_int_equal(mkdir(test_path(state, "system.slice"), 0700), 0);
    assert_int_equal(mkdir(test_path(state, "system.slice/potik.service"), 0700), 0);
    put(state, "own", "1:name=systemd:/x\n0::/system.slice/potik.service\n");
    put(state, "system.slice/potik.service/memory.max", "2147483648\n");
    put(state, "system.slice/potik.service/cpu.max", "max 100000\n");
    put(state, "system.slice/cpu.max", "400000 100000\n");
    assert_limits(state, 2 * GIB, 4);
    put(state, "system.slice/memory.max", "1073741824\n");
    assert_limits(state, GIB, 4);
}

static void
test_machine__what_makes_no_sense_limits_nothing(void **state)
{
    static const char *const wrong[] = {
        "", "0\n", "-1\n", "x", "99999999999999999999999999\n", "0 0\n", "5 0\n", "5"};

    put(state, "own", "0::/\n");
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        put(state, "cpu.max", wrong[i]);
        put(state, "memory.max", wrong[i][0] == '5' ? "" : wrong[i]);
        assert_limits(state, 64 * GIB, 16);
    }
}

static void
test_machine__this_one_has_something(void **state)
{
    struct machine machine = machine_now();

    (void)state;
    assert_true(machine.cores >= 1 && machine.cores <= 256);
    assert_true(machine.memory_bytes >= 1 << 20);
}

#define in_dir(function)                                                                           \
    cmocka_unit_test_setup_teardown(function, test_dir_setup, test_dir_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(test_machine__without_groups_the_machine_stands),
        in_dir(test_machine__of_a_container_the_root_holds),
        in_dir(test_machine__every_group_on_the_way_holds),
        in_dir(test_machine__what_makes_no_sense_limits_nothing),
        cmocka_unit_test(test_machine__this_one_has_something),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
