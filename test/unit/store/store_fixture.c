/*
 * store_fixture - see store_fixture.h.
 */
#include "store_fixture.h"
#include <inttypes.h>

#define EVENTS_KEPT 20000

static void
sink_write(void *state, enum log_level level, const char *event, const struct log_field *fields,
           size_t count)
{
    struct fixture *fixture = state;

    (void)level;
    (void)fields;
    (void)count;
    fixture->sink_lines++;
    snprintf(fixture->sink_last, sizeof(fixture->sink_last), "%s", event);
}

static void
count_fatal(void *state, const char *reason)
{
    (void)reason;
    ((struct fixture *)state)->fatal_count++;
}

int
fixture_setup(void **state)
{
    static struct log_sink sink = {.write = sink_write};
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL)
        return 1;
    strcpy(fixture->dir,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/test_store.XXXXXX" : "/tmp/test_store.XXXXXX");
    if (mkdtemp(fixture->dir) == NULL)
        return 1;
    clock_fake_init(&fixture->clock, INT64_C(1700000000) * US_PER_S);
    sink.state = fixture;
    fixture->config = (struct embedded_config){
        .data_dir = fixture->dir,
        .segment_bytes = 1 << 20,
        .young_ids_max = 1 << 16,
        .young_ids_seal = 1 << 15,
        .clock = &fixture->clock.clock,
        .sink = &sink,
        .fatal = count_fatal,
        .fatal_state = fixture,
    };
    *state = fixture;
    return 0;
}

int
fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    enum err err = ERR_OK;

    fixture_close(fixture);
    err = file_remove_tree(fixture->dir, NULL);
    free(fixture);
    return err != ERR_OK;
}

enum err
fixture_try_open(struct fixture *fixture, struct diag *diag)
{
    enum err err = embedded_open(&fixture->config, &fixture->store, diag);

    if (err == ERR_OK) {
        err = store_link_open(fixture->store, &fixture->link, diag);
        if (err != ERR_OK)
            store_close(&fixture->store);
    }
    return err;
}

void
fixture_open(struct fixture *fixture)
{
    struct diag diag = DIAG_INIT;
    const enum err err = fixture_try_open(fixture, &diag);

    if (err != ERR_OK)
        print_message("%s: %s\n", err_name(err), diag.message);
    assert_int_equal(err, ERR_OK);
}

void
fixture_close(struct fixture *fixture)
{
    store_link_close(&fixture->link);
    store_close(&fixture->store);
}

void
fixture_kill(struct fixture *fixture)
{
    char command[512];

    snprintf(command, sizeof(command), "cp -a --sparse=always %s %s.kill", fixture->dir,
             fixture->dir);
    assert_int_equal(system(command), 0);
    fixture_close(fixture);
    snprintf(command, sizeof(command), "rm -rf %s && mv %s.kill %s", fixture->dir, fixture->dir,
             fixture->dir);
    assert_int_equal(system(command), 0);
}

void
fixture_path(const struct fixture *fixture, const char *name, char ret_path[FILE_PATH_MAX])
{
    assert_true(file_path(ret_path, fixture->dir, name));
}

struct event
fixture_event(uint64_t number)
{
    static char texts[EVENTS_KEPT][8][96];
    static unsigned next;
    char(*text)[96] = texts[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % EVENTS_KEPT];
    struct event event = {.occurred_at_us = (int64_t)number * 1000,
                          .received_at_us = (int64_t)number * 1000 + 7,
                          .project_id = (uint32_t)(number % 3) + 1};

    snprintf(text[0], sizeof(text[0]), "event-%" PRIu64, number);
    snprintf(text[1], sizeof(text[1]), "type-%" PRIu64, number % 10);
    snprintf(text[2], sizeof(text[2]), "user-%" PRIu64, number % 1000);
    snprintf(text[3], sizeof(text[3]), "anonymous-%" PRIu64, number % 77);
    snprintf(text[4], sizeof(text[4]), "session-%" PRIu64, number / 5);
    snprintf(text[5], sizeof(text[5]), "{\"n\":%" PRIu64 ",\"text\":\"%.*s\"}", number,
             (int)(number % 40), "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop");
    event.event_id = slice_of_text(text[0]);
    event.event_type = slice_of_text(text[1]);
    if (number % 4 != 0)
        event.user_id = slice_of_text(text[2]);
    if (number % 4 == 0 || number % 5 == 0)
        event.anonymous_id = slice_of_text(text[3]);
    if (number % 2 == 0)
        event.session_id = slice_of_text(text[4]);
    if (number % 3 != 0)
        event.properties = slice_of_text(text[5]);
    return event;
}

static void
batch_done(struct store_batch *batch)
{
    (*(int *)batch->user)++;
}

enum err
fixture_append(struct fixture *fixture, uint64_t first, uint32_t count, uint32_t *ret_accepted)
{
    struct event *events = calloc(count + 1, sizeof(*events));
    struct store_item *items = calloc(count + 1, sizeof(*items));
    int done = 0;
    struct store_batch batch = {.items = items, .count = count, .done = batch_done, .user = &done};

    assert_non_null(events);
    assert_non_null(items);
    for (uint32_t i = 0; i < count; i++) {
        events[i] = fixture_event(first + i);
        items[i].event = &events[i];
    }
    store_link_submit(fixture->link, &batch);
    assert_int_equal(done, 1);
    if (ret_accepted != NULL)
        *ret_accepted = batch.accepted_count;
    free(events);
    free(items);
    return batch.err;
}

static void
assert_slices_equal(struct slice a, struct slice b)
{
    assert_int_equal(a.ptr == NULL, b.ptr == NULL);
    assert_true(slice_equal(a, b));
}

uint64_t
fixture_read_all(struct fixture *fixture, uint64_t first, uint32_t rows_max, size_t bytes_max)
{
    struct store_position after = {0};
    struct store_page page = {.is_caught_up = false};
    struct arena arena;
    struct diag diag = DIAG_INIT;
    uint64_t count = 0;

    arena_init(&arena, 65536, (size_t)1 << 30);
    while (!page.is_caught_up) {
        const enum err err =
            store_read_after(fixture->store, after, rows_max, bytes_max, &arena, &page, &diag);

        if (err != ERR_OK)
            print_message("%s: %s\n", err_name(err), diag.message);
        assert_int_equal(err, ERR_OK);
        assert_true(page.count <= rows_max);
        for (uint32_t i = 0; i < page.count; i++, count++) {
            const struct event want = fixture_event(first + count);
            const struct event *got = &page.rows[i].event;

            assert_int_equal(page.rows[i].seq, count + 1);
            assert_slices_equal(got->event_id, want.event_id);
            assert_slices_equal(got->event_type, want.event_type);
            assert_slices_equal(got->user_id, want.user_id);
            assert_slices_equal(got->anonymous_id, want.anonymous_id);
            assert_slices_equal(got->session_id, want.session_id);
            assert_slices_equal(got->properties, want.properties);
            assert_int_equal(got->occurred_at_us, want.occurred_at_us);
            assert_int_equal(got->received_at_us, want.received_at_us);
            assert_int_equal(got->project_id, want.project_id);
        }
        if (!page.is_caught_up)
            assert_false(store_position_at_or_before(page.next, after));
        after = page.next;
        arena_clear(&arena);
    }
    arena_fini(&arena);
    return count;
}

bool
fixture_find(const struct fixture *fixture, const char *dir, const char *prefix,
             char ret_path[FILE_PATH_MAX])
{
    CLEANUP(file_list_free) struct file_list list = {0};
    char path[FILE_PATH_MAX];

    fixture_path(fixture, dir, path);
    if (file_list_dir(path, &list, NULL) != ERR_OK)
        return false;
    for (size_t i = 0; i < list.count; i++)
        if (strncmp(list.names[i], prefix, strlen(prefix)) == 0)
            return file_path(ret_path, path, list.names[i]);
    return false;
}
