/*
 * test_eraser - jobs from their rows to the end, with the real ledger, warehouse and accounts in a
 * folder, and a clock that the test moves: retentions, dry runs, the wait before a deleted
 * project's events are looked for, and a job that cannot go on for a while.
 */
#include "../test.h"

#include "account/account.h"
#include "account/erasure.h"
#include "app/eraser.h"
#include "base/random.h"
#include "store/embedded/embedded.h"
#include "warehouse/warehouse.h"

#define NOW_US (INT64_C(1700000000) * US_PER_S) /* 22:13:20 of its day in UTC */
#define TODAY_US (NOW_US / US_PER_DAY * US_PER_DAY)
#define HOUR_US (INT64_C(3600) * US_PER_S)

struct rooms {
    const char *dir;
    struct clock_fake clock;
    struct log_sink sink;
    char told[512]; /* names of what was told, each followed by a space */
    struct account *account;
    struct store *store;
    struct store_link *link;
    struct warehouse *warehouse;
    struct eraser *eraser;
};

static const struct account_actor tester = {.kind = ACCOUNT_ACTOR_CLI};

static void
note(void *state, enum log_level level, const char *event, const struct log_field *fields,
     size_t count)
{
    struct rooms *rooms = state;
    size_t len = strlen(rooms->told);

    (void)level;
    (void)fields;
    (void)count;
    if (strncmp(event, "erasure.", 8) == 0)
        (void)snprintf(rooms->told + len, sizeof(rooms->told) - len, "%s ", event);
}

static void
fatal(void *state, const char *reason)
{
    (void)state;
    fail_msg("%s", reason);
}

/* Two links: one is the eraser's. */
static void
start(struct rooms *rooms)
{
    const struct account_config account = {.data_dir = rooms->dir,
                                           .may_create = true,
                                           .clock = &rooms->clock.clock,
                                           .random = random_system()};
    const struct embedded_config store = {.data_dir = rooms->dir,
                                          .segment_bytes = 1 << 20,
                                          .young_ids_max = 1 << 16,
                                          .young_ids_seal = 1 << 15,
                                          .clock = &rooms->clock.clock,
                                          .sink = &rooms->sink,
                                          .fatal = fatal};
    struct warehouse_config warehouse = {.data_dir = rooms->dir,
                                         .query_threads = 1,
                                         .memory_limit_bytes = UINT64_C(256) << 20,
                                         .seal_rows = 1000,
                                         .seal_bytes = UINT64_C(16) << 20,
                                         .tail_bytes_max = UINT64_C(64) << 20,
                                         .seal_idle_ms = 300000,
                                         .clock = &rooms->clock.clock,
                                         .sink = &rooms->sink};
    struct eraser_config eraser = {.clock = &rooms->clock.clock, .sink = &rooms->sink};
    struct account_project project;
    struct account *erasers = NULL;
    bool is_new;

    assert_int_equal(account_open(&account, &rooms->account, NULL), ERR_OK);
    assert_int_equal(account_open(&account, &erasers, NULL), ERR_OK);
    assert_int_equal(account_project_ensure_default(rooms->account, "UTC", &project, &is_new, NULL),
                     ERR_OK);
    assert_int_equal(embedded_open(&store, &rooms->store, NULL), ERR_OK);
    assert_int_equal(store_link_open(rooms->store, &rooms->link, NULL), ERR_OK);
    warehouse.store = rooms->store;
    assert_int_equal(warehouse_open(&warehouse, &rooms->warehouse, NULL), ERR_OK);
    eraser.store = rooms->store;
    eraser.warehouse = rooms->warehouse;
    assert_int_equal(eraser_new(&erasers, &eraser, &rooms->eraser, NULL), ERR_OK);
    assert_null(erasers);
}

static void
stop(struct rooms *rooms)
{
    warehouse_stop(rooms->warehouse);
    eraser_free(&rooms->eraser);
    warehouse_close(&rooms->warehouse, 0);
    store_link_close(&rooms->link);
    store_close(&rooms->store);
    account_close(&rooms->account);
}

static int
setup(void **state)
{
    struct rooms *rooms = calloc(1, sizeof(*rooms));
    void *dir = NULL;

    if (rooms == NULL || test_dir_setup(&dir) != 0)
        return -1;
    rooms->dir = (const char *)dir;
    clock_fake_init(&rooms->clock, NOW_US);
    rooms->sink = (struct log_sink){note, rooms};
    start(rooms);
    *state = rooms;
    return 0;
}

static int
teardown(void **state)
{
    struct rooms *rooms = *state;
    void *dir = (void *)(uintptr_t)rooms->dir;

    stop(rooms);
    free(rooms);
    return test_dir_teardown(&dir);
}

static void
batch_done(struct store_batch *batch)
{
    (*(int *)batch->user)++;
}

/* `count` events of a project, received at that time; ids are made of the two. Returns how many
 * were new. */
static uint32_t
append(struct rooms *rooms, uint32_t project_id, int64_t received_at_us, uint32_t count)
{
    struct event *events = calloc(count, sizeof(*events));
    struct store_item *items = calloc(count, sizeof(*items));
    char(*ids)[48] = calloc(count, sizeof(*ids));
    int done = 0;
    struct store_batch batch = {.items = items, .count = count, .done = batch_done, .user = &done};

    assert_true(events != NULL && items != NULL && ids != NULL);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "%lld-%u", (long long)received_at_us, i);
        events[i] = (struct event){.project_id = project_id,
                                   .occurred_at_us = received_at_us - i,
                                   .received_at_us = received_at_us,
                                   .event_id = slice_of_text(ids[i]),
                                   .event_type = slice_of_text("view"),
                                   .user_id = slice_of_text(i % 4 == 0 ? "ann" : "bob")};
        items[i].event = &events[i];
    }
    store_link_submit(rooms->link, &batch);
    assert_int_equal(done, 1);
    assert_int_equal(batch.err, ERR_OK);
    free(events);
    free(items);
    free(ids);
    return batch.accepted_count;
}

/* Loader, keeper and eraser take turns, until nothing is under way; the clock stands. */
static void
work(struct rooms *rooms)
{
    uint32_t idle = 0;

    for (uint32_t i = 0; i < 10000 && idle < 3; i++) {
        bool did_fast = false;
        bool did_keep = false;
        bool did_erase = false;

        assert_int_equal(store_maintain_fast(rooms->store, &did_fast, NULL), ERR_OK);
        assert_int_equal(warehouse_load_step(rooms->warehouse, 0, NULL), ERR_OK);
        assert_int_equal(warehouse_keep_step(rooms->warehouse, &did_keep, NULL), ERR_OK);
        eraser_step(rooms->eraser, &did_erase);
        idle = did_keep || did_erase || eraser_is_busy(rooms->eraser) ? 0 : idle + 1;
    }
}

/* After a while that is longer than a poll. */
static void
work_later(struct rooms *rooms, int64_t after_us)
{
    clock_fake_move(&rooms->clock, after_us);
    work(rooms);
}

static uint64_t
ask(struct rooms *rooms, const struct erasure *erasure)
{
    uint64_t id = 0;

    assert_int_equal(erasure_add(rooms->account, &tester, erasure, &id, NULL), ERR_OK);
    return id;
}

static struct erasure
get(struct rooms *rooms, uint64_t id)
{
    struct erasure erasure;

    assert_int_equal(erasure_get(rooms->account, id, &erasure, NULL), ERR_OK);
    return erasure;
}

static uint64_t
warehouse_rows(struct rooms *rooms)
{
    struct warehouse_stats stats;

    warehouse_stats(rooms->warehouse, &stats);
    return stats.rows;
}

static uint64_t
store_rows(struct rooms *rooms)
{
    struct store_stats stats;

    store_stats(rooms->store, &stats);
    return stats.events;
}

static void
count_one(void *state, const struct erasure *erasure)
{
    (void)erasure;
    (*(uint32_t *)state)++;
}

static uint32_t
job_count(struct rooms *rooms)
{
    uint32_t count = 0;

    assert_int_equal(erasure_list(rooms->account, 0, 1000, count_one, &count, NULL), ERR_OK);
    return count;
}

static struct erasure
of_person(const char *person)
{
    return (struct erasure){
        .reason = ERASURE_PERSON,
        .selection = {.project_id = 1, .kind = SELECTION_PERSON, .person = slice_of_text(person)}};
}

/* --- tests ------------------------------------------------------------------------------------*/

static void
test_eraser__takes_a_job_to_its_end(void **state)
{
    struct rooms *rooms = *state;
    const struct erasure ann = of_person("ann");
    struct erasure job;
    uint64_t id;

    assert_int_equal(append(rooms, 1, NOW_US, 2000), 2000);
    work(rooms);
    id = ask(rooms, &ann);
    work_later(rooms, 2 * US_PER_S);
    job = get(rooms, id);
    assert_int_equal(job.state, ERASURE_DONE);
    assert_int_equal(job.events, 500);
    assert_string_equal(job.person, "");
    assert_int_equal(strlen(job.person_hash), ERASURE_HASH_TEXT);
    assert_int_equal(store_rows(rooms), 1500);
    assert_int_equal(warehouse_rows(rooms), 1500);
    assert_int_equal(append(rooms, 1, NOW_US, 2000), 0);
    assert_string_equal(rooms->told, "erasure.begun erasure.done ");
}

static void
test_eraser__a_dry_run_counts(void **state)
{
    struct rooms *rooms = *state;
    struct erasure ann = of_person("ann");
    struct erasure job;
    uint64_t id;

    ann.is_dry_run = true;
    assert_int_equal(append(rooms, 1, NOW_US, 2000), 2000);
    id = ask(rooms, &ann);
    work_later(rooms, 2 * US_PER_S);
    job = get(rooms, id);
    assert_int_equal(job.state, ERASURE_DONE);
    assert_int_equal(job.events, 500);
    assert_int_equal(store_rows(rooms), 2000);
    assert_int_equal(warehouse_rows(rooms), 2000);
}

/* What came after the job began is not covered, in whichever state a stop meets it. */
static void
test_eraser__goes_on_after_a_stop_with_the_same_bounds(void **state)
{
    struct rooms *rooms = *state;

    for (uint32_t steps = 1; steps <= 6; steps++) {
        const int64_t at_us = NOW_US + (int64_t)steps * US_PER_S;
        const struct erasure ann = of_person("ann");
        uint64_t before_rows;
        bool did_work;
        uint64_t id;

        assert_int_equal(append(rooms, 1, at_us, 1000), 1000);
        work(rooms);
        before_rows = store_rows(rooms);
        id = ask(rooms, &ann);
        clock_fake_move(&rooms->clock, 2 * US_PER_S);
        for (uint32_t i = 0; i < steps; i++)
            eraser_step(rooms->eraser, &did_work);
        assert_int_equal(append(rooms, 1, at_us + US_PER_S / 2, 8), 8); /* two of ann's */
        stop(rooms);
        start(rooms);
        work_later(rooms, 2 * US_PER_S);
        assert_int_equal(get(rooms, id).state, ERASURE_DONE);
        /* 250, and those two of the round before, which were outside of its bounds */
        assert_int_equal(before_rows + 8 - store_rows(rooms), steps == 1 ? 250 : 252);
        assert_int_equal(store_rows(rooms), warehouse_rows(rooms));
    }
}

static void
test_eraser__retention_takes_whole_days_once_a_day(void **state)
{
    struct rooms *rooms = *state;
    struct account_project project;

    for (int64_t day = 0; day < 6; day++) {
        const int64_t midnight_us = TODAY_US + day * US_PER_DAY;

        assert_int_equal(append(rooms, 1, midnight_us - 1, 100), 100);
        assert_int_equal(append(rooms, 1, midnight_us, 100), 100);
        assert_int_equal(append(rooms, 1, NOW_US + day * US_PER_DAY, 100), 100);
        work(rooms);
        if (day < 5)
            work_later(rooms, US_PER_DAY);
    }
    work_later(rooms, HOUR_US + US_PER_S);
    assert_int_equal(job_count(rooms), 0); /* kept for ever, unless somebody says so */
    assert_int_equal(store_rows(rooms), 1800);

    assert_int_equal(account_project_get(rooms->account, 1, &project, NULL), ERR_OK);
    project.retention_days = 3;
    assert_int_equal(account_project_change(rooms->account, &tester, &project, false, NULL),
                     ERR_OK);
    work_later(rooms, HOUR_US + US_PER_S); /* 0:13 of the next day: made now, taken at a poll */
    work_later(rooms, 2 * US_PER_S);
    assert_int_equal(job_count(rooms), 1);
    assert_int_equal(get(rooms, 1).reason, ERASURE_RETENTION);
    assert_int_equal(get(rooms, 1).state, ERASURE_DONE);
    /* Kept are the new day and the three before it: from midnight of the fourth day on. */
    assert_int_equal(get(rooms, 1).events, 1000);
    assert_int_equal(store_rows(rooms), 800);
    assert_int_equal(warehouse_rows(rooms), 800);
    work_later(rooms, HOUR_US + US_PER_S);
    assert_int_equal(job_count(rooms), 1);
    work_later(rooms, US_PER_DAY);
    work_later(rooms, 2 * US_PER_S);
    assert_int_equal(job_count(rooms), 2);
    assert_int_equal(store_rows(rooms), 500);
    assert_int_equal(warehouse_rows(rooms), 500);
}

static void
test_eraser__a_deleted_projects_events_are_looked_for_after_the_grace(void **state)
{
    struct rooms *rooms = *state;
    struct account_project project = {.name = "brief", .time_zone = "UTC"};
    uint64_t id;

    assert_int_equal(account_project_add(rooms->account, &tester, &project, &project, NULL),
                     ERR_OK);
    assert_int_equal(append(rooms, 1, NOW_US, 100), 100);
    assert_int_equal(append(rooms, project.id, NOW_US, 300), 300);
    work(rooms);
    assert_int_equal(erasure_delete_project(rooms->account, &tester, project.id, &id, NULL),
                     ERR_OK);
    clock_fake_move(&rooms->clock, INT64_C(1000) * (ERASER_PROJECT_GRACE_MS - 1));
    for (uint32_t i = 0; i < 5; i++) {
        bool did_work;

        eraser_step(rooms->eraser, &did_work);
        assert_false(did_work);
    }
    assert_int_equal(get(rooms, id).state, ERASURE_WAITING);
    work_later(rooms, 1000);
    assert_int_equal(get(rooms, id).state, ERASURE_DONE);
    assert_int_equal(get(rooms, id).events, 300);
    assert_int_equal(store_rows(rooms), 100);
    assert_int_equal(warehouse_rows(rooms), 100);
}

/* A damaged segment is in the way: told once, kept in the row, tried again, done when it is mended.
 */
static void
test_eraser__a_job_that_fails_tells_why_and_is_tried_again(void **state)
{
    struct rooms *rooms = *state;
    const struct erasure ann = of_person("ann");
    char path[FILE_PATH_MAX];
    FILE *file;
    uint64_t id;
    bool did_work;

    assert_int_equal(append(rooms, 1, NOW_US, 2000), 2000);
    work(rooms);
    assert_true(file_path(path, rooms->dir, "ledger/00000000000000000001.seg"));
    for (int round = 0; round < 2; round++) { /* one byte of the first frame: damaged, mended */
        int byte;

        file = fopen(path, "r+");
        assert_non_null(file);
        assert_int_equal(fseek(file, 400, SEEK_SET), 0);
        byte = fgetc(file);
        assert_int_equal(fseek(file, 400, SEEK_SET), 0);
        assert_int_equal(fputc(byte ^ 1, file), byte ^ 1);
        assert_int_equal(fclose(file), 0);
        if (round == 1)
            break;
        id = ask(rooms, &ann);
        clock_fake_move(&rooms->clock, 2 * US_PER_S);
        for (uint32_t i = 0; i < 50; i++)
            eraser_step(rooms->eraser, &did_work);
        assert_int_equal(get(rooms, id).state, ERASURE_IN_STORE);
        assert_non_null(strstr(get(rooms, id).error, "00000000000000000001.seg"));
        assert_false(eraser_is_busy(rooms->eraser));
        assert_string_equal(rooms->told, "erasure.begun erasure.failed ");
        clock_fake_move(&rooms->clock, INT64_C(1000) * ERASER_RETRY_MS);
        for (uint32_t i = 0; i < 50; i++)
            eraser_step(rooms->eraser, &did_work);
        assert_string_equal(rooms->told, "erasure.begun erasure.failed erasure.resumed ");
    }
    work_later(rooms, INT64_C(1000) * ERASER_RETRY_MS);
    assert_int_equal(get(rooms, 1).state, ERASURE_DONE);
    assert_string_equal(get(rooms, 1).error, "");
    assert_int_equal(get(rooms, 1).events, 500);
    assert_int_equal(store_rows(rooms), 1500);
    assert_int_equal(warehouse_rows(rooms), 1500);
}

/* Another node has begun the job, with bounds of its own: taken again at once, and nobody hears of
 * a failure. A deleted project's job is held for a while before it begins: time for another node.
 */
static void
test_eraser__takes_a_job_again_that_another_node_began(void **state)
{
    struct rooms *rooms = *state;
    const struct erasure wanted = {.reason = ERASURE_PROJECT,
                                   .selection = {.project_id = 1, .kind = SELECTION_ALL}};
    struct erasure *other = NULL;
    uint64_t id = ask(rooms, &wanted);
    bool did_work = false;

    eraser_step(rooms->eraser, &did_work);
    assert_true(eraser_is_busy(rooms->eraser));
    assert_int_equal(erasure_next(rooms->account, "", &other, NULL), ERR_OK);
    other->state = ERASURE_IN_STORE;
    other->selection.received_max_us = clock_wall_us(&rooms->clock.clock);
    store_position_format((struct store_position){.generation = 7, .minor = 5}, other->position);
    assert_int_equal(erasure_progress(rooms->account, "", other, NULL), ERR_OK);
    clock_fake_move(&rooms->clock, (ERASER_PROJECT_GRACE_MS + 1) * INT64_C(1000));
    eraser_step(rooms->eraser, &did_work);
    assert_false(eraser_is_busy(rooms->eraser)); /* let go of */
    assert_string_equal(rooms->told, "");
    eraser_step(rooms->eraser, &did_work); /* the clock stands still */
    assert_true(eraser_is_busy(rooms->eraser));
    assert_string_equal(rooms->told, "erasure.resumed ");
    assert_string_equal(get(rooms, id).position, other->position);
    assert_string_equal(get(rooms, id).error, "");
    erasure_free(&other);
}

int
main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_eraser__takes_a_job_to_its_end),
        EACH(test_eraser__a_dry_run_counts),
        EACH(test_eraser__goes_on_after_a_stop_with_the_same_bounds),
        EACH(test_eraser__retention_takes_whole_days_once_a_day),
        EACH(test_eraser__a_deleted_projects_events_are_looked_for_after_the_grace),
        EACH(test_eraser__a_job_that_fails_tells_why_and_is_tried_again),
        EACH(test_eraser__takes_a_job_again_that_another_node_began),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
