/*
 * test_eraser_nodes - a job that another node has begun meanwhile, with bounds of its own, is taken
 * again at once, and nobody hears of a failure.
 */
#include "../test.h"

#include "account/erasure.h"
#include "app/eraser.h"
#include "store/embedded/embedded.h"

/* The program's parts, on a folder and a clock of the test's. */
struct rig {
    struct clock_fake clock;
    struct log_sink sink;
    struct store *store;
    struct warehouse *warehouse;
    struct eraser *eraser;
    struct account *account; /* another link, as of another node */
    char heard[512];         /* names of what the sink was told, a space behind each */
};

static void
hear(void *state, enum log_level level, const char *event, const struct log_field *fields,
     size_t count)
{
    struct rig *rig = (struct rig *)state;
    size_t len = strlen(rig->heard);

    (void)level;
    (void)fields;
    (void)count;
    (void)snprintf(rig->heard + len, sizeof(rig->heard) - len, "%s ", event);
}

static struct account *
open_account(void **state, struct rig *rig)
{
    const struct account_config config = {.data_dir = (const char *)*state,
                                          .may_create = true,
                                          .clock = &rig->clock.clock,
                                          .random = random_system()};
    struct account *account = NULL;

    assert_int_equal(account_open(&config, &account, NULL), ERR_OK);
    return account;
}

static void
rig_open(void **state, struct rig *rig)
{
    const char *dir = (const char *)*state;
    const struct embedded_config embedded = {.data_dir = dir,
                                             .segment_bytes = 1 << 20,
                                             .young_ids_max = 1 << 16,
                                             .young_ids_seal = 1 << 15,
                                             .clock = &rig->clock.clock,
                                             .sink = &rig->sink};
    struct warehouse_config warehouse = {.data_dir = dir,
                                         .query_threads = 1,
                                         .memory_limit_bytes = UINT64_C(256) << 20,
                                         .seal_rows = 1000,
                                         .seal_bytes = 1 << 20,
                                         .tail_bytes_max = 1 << 24,
                                         .seal_idle_ms = 1000,
                                         .clock = &rig->clock.clock,
                                         .sink = &rig->sink};
    struct eraser_config eraser = {.clock = &rig->clock.clock, .sink = &rig->sink};
    struct account_project project;
    struct account *account = NULL;
    bool is_new = false;

    *rig = (struct rig){.sink = {.write = hear, .state = rig}};
    clock_fake_init(&rig->clock, INT64_C(1700000000) * US_PER_S);
    rig->account = open_account(state, rig);
    account = open_account(state, rig);
    assert_int_equal(account_project_ensure_default(account, "UTC", &project, &is_new, NULL),
                     ERR_OK);
    assert_int_equal(embedded_open(&embedded, &rig->store, NULL), ERR_OK);
    warehouse.store = eraser.store = rig->store;
    assert_int_equal(warehouse_open(&warehouse, &rig->warehouse, NULL), ERR_OK);
    eraser.warehouse = rig->warehouse;
    assert_int_equal(eraser_new(&account, &eraser, &rig->eraser, NULL), ERR_OK);
}

static void
rig_close(struct rig *rig)
{
    eraser_free(&rig->eraser);
    warehouse_close(&rig->warehouse, 0);
    store_close(&rig->store);
    account_close(&rig->account);
}

/* A deleted project's job is held for a while before it begins: time for another node. */
static void
test_eraser__takes_a_job_again_that_another_node_began(void **state)
{
    static const struct account_actor server = {.kind = ACCOUNT_ACTOR_SERVER};
    const struct erasure wanted = {.reason = ERASURE_PROJECT,
                                   .selection = {.project_id = 1, .kind = SELECTION_ALL}};
    struct erasure *other = NULL;
    struct erasure found;
    struct rig rig;
    uint64_t id = 0;
    bool did_work = false;

    rig_open(state, &rig);
    assert_int_equal(erasure_add(rig.account, &server, &wanted, &id, NULL), ERR_OK);
    eraser_step(rig.eraser, &did_work);
    assert_true(eraser_is_busy(rig.eraser));
    assert_int_equal(erasure_next(rig.account, "", &other, NULL), ERR_OK);
    other->state = ERASURE_IN_STORE;
    other->selection.received_max_us = clock_wall_us(&rig.clock.clock);
    store_position_format((struct store_position){.generation = 7, .minor = 5}, other->position);
    assert_int_equal(erasure_progress(rig.account, "", other, NULL), ERR_OK);
    clock_fake_move(&rig.clock, (ERASER_PROJECT_GRACE_MS + 1) * INT64_C(1000));
    eraser_step(rig.eraser, &did_work);
    assert_false(eraser_is_busy(rig.eraser)); /* let go of */
    assert_string_equal(rig.heard, "");
    eraser_step(rig.eraser, &did_work); /* the clock stands still */
    assert_true(eraser_is_busy(rig.eraser));
    assert_string_equal(rig.heard, "erasure.resumed ");
    assert_int_equal(erasure_get(rig.account, id, &found, NULL), ERR_OK);
    assert_string_equal(found.position, other->position);
    assert_string_equal(found.error, "");
    erasure_free(&other);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_eraser__takes_a_job_again_that_another_node_began),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
