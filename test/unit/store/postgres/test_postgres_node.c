/*
 * The node's file: what is written is read back, and nothing else is.
 */
#include "store/postgres/store_postgres.h"
#include "test.h"

static const struct postgres_node whole = {
    .uuid = "0190a5c0-0000-7000-8000-00000000abcd",
    .store_id = "6f1f0c2e-1111-4222-8333-444455556666",
    .identity = {.system_identifier = UINT64_MAX,
                 .timeline = UINT32_MAX,
                 .generation = INT32_MAX,
                 .counter = INT64_MAX},
    .cursor = {INT32_MAX, UINT64_MAX, INT64_MAX},
    .is_clean = true,
    .is_stale = true,
};

static void
write_node(const struct postgres_node *node, struct buf *buf)
{
    buf_init(buf, 4096);
    postgres_node_write(node, buf);
    assert_false(buf_failed(buf));
}

static void
test_node__is_read_back(void **state)
{
    struct postgres_node node = {0};
    struct buf buf;

    (void)state;
    write_node(&whole, &buf);
    assert_true(postgres_node_parse(buf_slice(&buf), &node));
    assert_string_equal(node.uuid, whole.uuid);
    assert_string_equal(node.store_id, whole.store_id);
    assert_memory_equal(&node.identity, &whole.identity, sizeof(node.identity));
    assert_memory_equal(&node.cursor, &whole.cursor, sizeof(node.cursor));
    assert_memory_equal(&node.read_to, &whole.cursor, sizeof(node.cursor));
    assert_true(node.is_clean);
    assert_true(node.is_stale);
    assert_false(node.is_new);
    buf_fini(&buf);
}

static void
test_node__is_refused_when_cut_or_changed(void **state)
{
    struct postgres_node node = {0};
    struct buf buf;

    (void)state;
    write_node(&whole, &buf);
    for (size_t len = 0; len < buf.len; len++)
        assert_false(postgres_node_parse(slice_of(buf.ptr, len), &node));
    for (size_t i = 0; i < buf.len * 8; i++) {
        buf.ptr[i / 8] = (char)(buf.ptr[i / 8] ^ (1 << i % 8));
        assert_false(postgres_node_parse(buf_slice(&buf), &node));
        buf.ptr[i / 8] = (char)(buf.ptr[i / 8] ^ (1 << i % 8));
    }
    assert_true(postgres_node_parse(buf_slice(&buf), &node));
    buf_fini(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node__is_read_back),
        cmocka_unit_test(test_node__is_refused_when_cut_or_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
