/*
 * test_link_rows - which rows a batch becomes, their bytes, and which verdicts come of the answers.
 * No server: what it would answer is said by the test.
 */
#include "store/postgres/link_rows.h"
#include "test.h"
#include <endian.h>

static const uint8_t secret[HASH_SIPHASH_KEY_BYTES] = {1, 2, 3};

struct fixture {
    struct link_rows rows;
    struct store_batch batch;
    struct store_item items[20001];
    struct event events[20001];
    char ids[20001][16];
};

static int
setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL)
        return 1;
    link_rows_init(&fixture->rows);
    memcpy(fixture->rows.hash_secret, secret, sizeof(secret));
    fixture->batch.items = fixture->items;
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *fixture = *state;

    link_rows_fini(&fixture->rows);
    free(fixture);
    return 0;
}

static void
add(struct fixture *fixture, const char *id, bool is_probe)
{
    const uint32_t i = fixture->batch.count++;

    (void)snprintf(fixture->ids[i], sizeof(fixture->ids[i]), "%s", id);
    fixture->events[i] = (struct event){.event_id = slice_of_text(fixture->ids[i]),
                                        .event_type = SLICE("t"),
                                        .user_id = SLICE("u"),
                                        .project_id = 1};
    fixture->items[i] = (struct store_item){.event = &fixture->events[i], .is_probe = is_probe};
}

static void
take(struct fixture *fixture)
{
    assert_int_equal(link_rows_take(&fixture->rows, &fixture->batch), ERR_OK);
}

static uint32_t
read_u32(const char *place)
{
    uint32_t value;

    memcpy(&value, place, sizeof(value));
    return be32toh(value);
}

/* How many rows all pieces of a kind hold together, by their heads. */
static uint32_t
send_all(struct fixture *fixture, enum link_row_kind kind, uint32_t *ret_pieces)
{
    uint32_t sum = 0;
    uint32_t count = 0;

    *ret_pieces = 0;
    for (;;) {
        assert_int_equal(link_rows_next(&fixture->rows, kind, 4711, &count), ERR_OK);
        if (count == 0)
            return sum;
        assert_int_equal(read_u32(fixture->rows.piece.ptr + 8), 4711);
        assert_int_equal(read_u32(fixture->rows.piece.ptr + 12), count);
        sum += count;
        (*ret_pieces)++;
    }
}

static bool
tell(struct fixture *fixture, enum link_row_kind kind, const char *id)
{
    return link_rows_tell(&fixture->rows, kind, 1, slice_of_text(id));
}

static void
assert_verdicts(struct fixture *fixture, const enum store_verdict *wanted)
{
    (void)link_rows_judge(&fixture->rows, &fixture->batch);
    for (uint32_t i = 0; i < fixture->batch.count; i++)
        assert_int_equal(fixture->items[i].verdict, wanted[i]);
}

static void
test_link_rows__copies_in_a_batch_are_duplicates_of_the_first(void **state)
{
    static const enum store_verdict wanted[] = {STORE_ACCEPTED, STORE_DUPLICATE, STORE_DUPLICATE,
                                                STORE_DUPLICATE};
    uint32_t pieces = 0;

    add(*state, "b", false);
    add(*state, "a", false);
    add(*state, "b", false);
    add(*state, "a", false);
    take(*state);
    assert_int_equal(send_all(*state, LINK_ROW_STORE, &pieces), 2);
    assert_true(tell(*state, LINK_ROW_STORE, "b")); /* "a" was stored before */
    assert_verdicts(*state, wanted);
}

static void
test_link_rows__a_probe_before_its_twin_asks_and_behind_it_is_a_duplicate(void **state)
{
    static const enum store_verdict wanted[] = {STORE_ABSENT,    STORE_ABSENT, STORE_ACCEPTED,
                                                STORE_DUPLICATE, STORE_ABSENT, STORE_DUPLICATE};
    uint32_t pieces = 0;

    add(*state, "x", true);
    add(*state, "x", true);
    add(*state, "x", false);
    add(*state, "x", true);
    add(*state, "y", true);
    add(*state, "z", true);
    take(*state);
    assert_int_equal(send_all(*state, LINK_ROW_ASK, &pieces), 3);
    assert_true(tell(*state, LINK_ROW_ASK, "z"));
    assert_int_equal(send_all(*state, LINK_ROW_STORE, &pieces), 1);
    assert_true(tell(*state, LINK_ROW_STORE, "x"));
    assert_verdicts(*state, wanted);
}

static void
test_link_rows__rows_told_in_any_order_find_their_items(void **state)
{
    struct fixture *fixture = *state;
    uint32_t pieces = 0;
    char id[16];

    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(id, sizeof(id), "id%04u", i * 7 % 1000);
        add(fixture, id, false);
    }
    take(fixture);
    assert_int_equal(send_all(fixture, LINK_ROW_STORE, &pieces), 1000);
    for (unsigned i = 1000; i-- != 0;) {
        (void)snprintf(id, sizeof(id), "id%04u", i * 3 % 1000);
        assert_true(tell(fixture, LINK_ROW_STORE, id));
        assert_false(tell(fixture, LINK_ROW_STORE, id)); /* once */
    }
    assert_int_equal(link_rows_judge(&fixture->rows, &fixture->batch), 1000);
}

static void
test_link_rows__a_row_that_was_not_sent_is_noticed(void **state)
{
    uint32_t pieces = 0;

    add(*state, "a", false);
    add(*state, "c", true);
    take(*state);
    assert_int_equal(send_all(*state, LINK_ROW_STORE, &pieces), 1);
    assert_false(tell(*state, LINK_ROW_STORE, "b"));
    assert_false(tell(*state, LINK_ROW_STORE, "c"));
    assert_false(link_rows_tell(&((struct fixture *)*state)->rows, LINK_ROW_STORE, 2, SLICE("a")));
    assert_true(tell(*state, LINK_ROW_STORE, "a"));
}

static void
test_link_rows__order_is_project_then_bytes(void **state)
{
    static const char *const ids[] = {"aaaaaaaab", "aaaaaaaa", "aaaaaaaaa", "\xd1\x97", "a", "Z"};
    static const uint32_t wanted[] = {5, 4, 1, 2, 0, 3}; /* bytes, shorter first */
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(ids); i++)
        add(fixture, ids[i], false);
    add(fixture, "0", false);
    fixture->events[6].project_id = 2;
    take(fixture);
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        assert_int_equal(fixture->rows.rows[i].index, wanted[i]);
    assert_int_equal(fixture->rows.rows[6].index, 6);
}

static void
test_link_rows__a_piece_ends_at_its_rows_and_its_bytes(void **state)
{
    struct fixture *fixture = *state;
    char *text = malloc(LINK_PIECE_BYTES / 2);
    uint32_t pieces = 0;
    char id[16];

    for (unsigned i = 0; i < 2 * LINK_PIECE_ROWS + 1; i++) {
        (void)snprintf(id, sizeof(id), "%05u", i);
        add(fixture, id, false);
    }
    take(fixture);
    assert_int_equal(send_all(fixture, LINK_ROW_STORE, &pieces), 2 * LINK_PIECE_ROWS + 1);
    assert_int_equal(pieces, 3);
    fixture->batch.count = LINK_PIECE_ROWS;
    take(fixture);
    assert_int_equal(send_all(fixture, LINK_ROW_STORE, &pieces), LINK_PIECE_ROWS);
    assert_int_equal(pieces, 1);
    assert_non_null(text);
    memset(text, ' ', LINK_PIECE_BYTES / 2);
    fixture->batch.count = 5;
    for (unsigned i = 0; i < 5; i++)
        fixture->events[i].properties = slice_of(text, LINK_PIECE_BYTES / 2);
    take(fixture);
    assert_int_equal(send_all(fixture, LINK_ROW_STORE, &pieces), 5);
    assert_int_equal(pieces, 5); /* two such rows and their heads are over the limit */
    free(text);
}

static void
test_link_rows__rewinding_forgets_what_was_told(void **state)
{
    static const enum store_verdict wanted[] = {STORE_DUPLICATE, STORE_ACCEPTED};
    uint32_t pieces = 0;

    add(*state, "a", false);
    add(*state, "b", false);
    take(*state);
    assert_int_equal(send_all(*state, LINK_ROW_STORE, &pieces), 2);
    assert_true(tell(*state, LINK_ROW_STORE, "a"));
    link_rows_rewind(&((struct fixture *)*state)->rows);
    assert_int_equal(send_all(*state, LINK_ROW_STORE, &pieces), 2);
    assert_true(tell(*state, LINK_ROW_STORE, "b"));
    assert_verdicts(*state, wanted);
}

static void
test_link_rows__out_of_memory_is_overloaded(void **state)
{
    struct fixture *fixture = *state;
    uint32_t count = 0;

    add(fixture, "a", false);
    mem_fail_from(1, true);
    assert_int_equal(link_rows_take(&fixture->rows, &fixture->batch), ERR_OVERLOADED);
    mem_fail_from(0, false);
    take(fixture);
    mem_fail_from(1, true);
    assert_int_equal(link_rows_next(&fixture->rows, LINK_ROW_STORE, 1, &count), ERR_OVERLOADED);
    mem_fail_from(0, false);
    assert_int_equal(link_rows_next(&fixture->rows, LINK_ROW_STORE, 1, &count), ERR_OK);
    assert_int_equal(count, 1);
}

int
main(void)
{
#define ROWS_TEST(name) cmocka_unit_test_setup_teardown(test_link_rows__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROWS_TEST(copies_in_a_batch_are_duplicates_of_the_first),
        ROWS_TEST(a_probe_before_its_twin_asks_and_behind_it_is_a_duplicate),
        ROWS_TEST(rows_told_in_any_order_find_their_items),
        ROWS_TEST(a_row_that_was_not_sent_is_noticed),
        ROWS_TEST(order_is_project_then_bytes),
        ROWS_TEST(a_piece_ends_at_its_rows_and_its_bytes),
        ROWS_TEST(rewinding_forgets_what_was_told),
        ROWS_TEST(out_of_memory_is_overloaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
