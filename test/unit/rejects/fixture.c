/* fixture - see fixture.h. */
#include "fixture.h"

static void
note(void *state, enum log_level level, const char *event, const struct log_field *fields,
     size_t count)
{
    struct place *place = state;
    size_t len = strlen(place->told);

    (void)level;
    (void)fields;
    (void)count;
    (void)snprintf(place->told + len, sizeof(place->told) - len, "%s ", event);
}

static void
wake(void *state)
{
    ((struct place *)state)->wakes++;
}

void
place_init(struct place *place, void **state)
{
    *place = (struct place){.sink = {note, place}};
    clock_fake_init(&place->clock, NOW_US);
    place->config = (struct rejects_config){
        .data_dir = *state,
        .bytes_max = REJECTS_BYTES_MIN,
        .age_us = 8 * HOUR_US,
        .queue_bytes = REJECTS_QUEUE_BYTES,
        .wake = wake,
        .wake_state = place,
        .clock = &place->clock.clock,
        .sink = &place->sink,
        .random = random_system(),
    };
    place_open(place);
}

void
place_open(struct place *place)
{
    assert_int_equal(rejects_new(&place->config, &place->rejects, NULL), ERR_OK);
}

void
place_close(struct place *place)
{
    rejects_free(&place->rejects);
    assert_null(place->rejects);
}

struct reject
reject_of(uint32_t project_id, const char *event_id, const char *original)
{
    return (struct reject){
        .received_at_us = NOW_US,
        .project_id = project_id,
        .index = 3,
        .sender_id = 7,
        .sender_kind = 1,
        .code = SLICE("too_long"),
        .field = SLICE("user_id"),
        .message = SLICE("user_id: too long"),
        .event_id = slice_of_text(event_id),
        .request_id = SLICE("r-1"),
        .original = slice_of_text(original),
    };
}

void
place_add(struct place *place, uint32_t project_id, const char *event_id, const char *original)
{
    const struct reject reject = reject_of(project_id, event_id, original);

    rejects_add(place->rejects, &reject);
}

static enum err
take_id(void *state, const struct reject *reject)
{
    buf_add_slice(state, reject->event_id);
    buf_add_char(state, ' ');
    return ERR_OK;
}

const char *
place_list(struct place *place, uint32_t project_id)
{
    static struct buf ids = {.bytes_max = 1 << 20};
    struct rejects_question question = {.project_id = project_id, .limit = 1000};

    buf_clear(&ids);
    do {
        assert_int_equal(
            rejects_list(place->rejects, &question, take_id, &ids, &question.before, NULL), ERR_OK);
    } while (question.before != 0);
    buf_add_char(&ids, '\0');
    return ids.ptr;
}

uint64_t
place_bytes(struct place *place)
{
    return place->rejects->bytes;
}

void
place_only_file(void **state, uint32_t project_id, char ret_path[FILE_PATH_MAX])
{
    struct file_list list;
    char name[64];
    char dir[FILE_PATH_MAX];

    (void)snprintf(name, sizeof(name), "rejected/%u", project_id);
    assert_true(file_path(dir, *state, name));
    assert_int_equal(file_list_dir(dir, &list, NULL), ERR_OK);
    assert_int_equal(list.count, 1);
    assert_true(file_path(ret_path, dir, list.names[0]));
    file_list_free(&list);
}

uint64_t
place_counter(const char *start)
{
    struct buf text;
    const char *found;
    uint64_t value;

    buf_init(&text, 1 << 20);
    counter_write_all(&text);
    buf_add_char(&text, '\0');
    found = strstr(text.ptr, start);
    assert_non_null(found);
    value = strtoull(found + strlen(start), NULL, 10);
    buf_fini(&text);
    return value;
}
