/*
 * events: POST /v1/events between a mocked HTTP and a mocked store that answers late: replies wait
 * for the commit, errors reach the client as they are, and a client that went away takes nothing
 * along.
 */
#include "../test.h"

#include "api/internal.h"

/* --- the HTTP server, as far as this room asks it
 * --------------------------------------------------*/

struct http_exchange {
    struct arena arena;
    const char *content_type;
    const char *query;
    int status; /* 0: no reply yet */
    enum err err;
    const char *message;
    char body[512];
};

struct arena *
http_arena(struct http_exchange *exchange)
{
    return &exchange->arena;
}

struct slice
http_header(const struct http_exchange *exchange, const char *name)
{
    return slice_of_text(strcmp(name, "content-type") == 0 ? exchange->content_type : NULL);
}

uint32_t
http_header_count(const struct http_exchange *exchange, const char *name)
{
    return http_header(exchange, name).ptr != NULL ? 1 : 0;
}

struct slice
http_authorization(const struct http_exchange *exchange, uint32_t *ret_count)
{
    struct slice value = http_header(exchange, "authorization");

    *ret_count = value.ptr == NULL ? 0 : http_header_count(exchange, "authorization");
    return value;
}

struct slice
http_query(const struct http_exchange *exchange)
{
    return slice_of_text(exchange->query);
}

int64_t
http_content_length(const struct http_exchange *exchange)
{
    (void)exchange;
    return -1;
}

uint64_t
http_waiting_bytes(const struct http_exchange *exchange)
{
    (void)exchange;
    return 7;
}

struct slice
http_request_id(const struct http_exchange *exchange)
{
    (void)exchange;
    return SLICE("r-1");
}

void
http_reply(struct http_exchange *exchange, int status, const char *content_type, struct slice body)
{
    (void)content_type;
    assert_int_equal(exchange->status, 0); /* one reply */
    exchange->status = status;
    assert_true(body.len < sizeof(exchange->body));
    memcpy(exchange->body, body.ptr, body.len);
    exchange->body[body.len] = '\0';
}

void
http_reply_error(struct http_exchange *exchange, enum err err, const char *message,
                 const char *field)
{
    (void)field;
    assert_int_equal(exchange->status, 0);
    exchange->message = message;
    exchange->status = err_status(err);
    exchange->err = err;
}

void
http_reply_header(struct http_exchange *exchange, const char *name, struct slice value)
{
    (void)exchange, (void)name, (void)value;
}

/* Asked by other files of the room, never in these tests. */
struct slice
http_peer(const struct http_exchange *exchange)
{
    (void)exchange;
    fail();
    return SLICE_NONE;
}

void
http_note_error(struct http_exchange *exchange, enum err err)
{
    exchange->err = err;
}

struct slice
http_header_at(const struct http_exchange *exchange, const char *name, uint32_t i)
{
    (void)exchange, (void)name, (void)i;
    fail();
    return SLICE_NONE;
}

struct slice
http_method_text(const struct http_exchange *exchange)
{
    (void)exchange;
    fail();
    return SLICE_NONE;
}

struct http_outcome
http_outcome(const struct http_exchange *exchange)
{
    (void)exchange;
    fail();
    return (struct http_outcome){0};
}

uint64_t
http_peer_network(const struct http_exchange *exchange)
{
    (void)exchange;
    return 0;
}

enum http_method
http_method(const struct http_exchange *exchange)
{
    (void)exchange;
    return HTTP_POST;
}

struct slice
http_path(const struct http_exchange *exchange)
{
    (void)exchange;
    return SLICE("/v1/events");
}

void
http_set_user(struct http_exchange *exchange, void *user)
{
    (void)exchange, (void)user;
    fail();
}

void *
http_user(const struct http_exchange *exchange)
{
    (void)exchange;
    fail();
    return NULL;
}

bool
http_loop_post(struct http_loop *loop, void (*run)(void *loop_state, void *arg), void *arg)
{
    (void)loop, (void)run, (void)arg;
    fail();
    return false;
}

int64_t
http_loop_now_ns(const struct http_loop *loop)
{
    (void)loop;
    return NS_PER_S;
}

enum err
http_loop_watch(struct http_loop *loop, int fd, uint32_t events,
                void (*ready)(void *loop_state, void *arg, uint32_t events), void *arg)
{
    (void)loop, (void)fd, (void)events, (void)ready, (void)arg;
    fail();
    return ERR_IO;
}

/* --- the store: answers when told to -----------------------------------------------------------*/

static bool store_is_away;
static bool has_warning;

struct mock_link {
    struct store_link link;
    struct store_batch *batch;
};

static void
mock_submit(struct store_link *link, struct store_batch *batch)
{
    ((struct mock_link *)link)->batch = batch;
}

static struct store_position
mock_durable(struct store *store)
{
    (void)store;
    return (struct store_position){1, 0, 99};
}

static enum err
mock_is_ready(struct store *store, struct diag *diag)
{
    (void)store;
    if (store_is_away)
        diag_set(diag, "PostgreSQL is away");
    return store_is_away ? ERR_NOT_READY : ERR_OK;
}

static bool
mock_warning(struct store *store, struct diag *ret_words)
{
    (void)store;
    if (has_warning)
        diag_set(ret_words, "pid 123 holds \"loading\" back");
    return has_warning;
}

static const struct store_vtable vtable = {
    .not_ready_sentence = "the event store is away; send the same again",
    .link_submit = mock_submit,
    .durable = mock_durable,
    .is_ready = mock_is_ready,
    .warning = mock_warning,
};

static void
mock_answer(struct mock_link *mock, enum err err)
{
    struct store_batch *batch = mock->batch;

    assert_non_null(batch);
    mock->batch = NULL;
    batch->err = err;
    batch->position = (struct store_position){1, 0, 5};
    for (uint32_t i = 0; i < batch->count; i++)
        batch->items[i].verdict = batch->items[i].is_probe ? STORE_ABSENT : STORE_ACCEPTED;
    batch->done(batch);
}

/* --- one loop, and requests to it
 * ---------------------------------------------------------------*/

struct fixture {
    struct clock_fake clock;
    struct store store;
    struct mock_link mock;
    struct api api;
    struct api_loop loop;
};

static int
setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct ingest_config config = {.gather_bytes_max = 1 << 20, .gather_events_max = 2};

    if (fixture == NULL)
        return -1;
    clock_fake_init(&fixture->clock, INT64_C(1770000000000000));
    fixture->store.vtable = &vtable;
    fixture->mock.link.vtable = &vtable;
    fixture->api.config.clock = &fixture->clock.clock;
    fixture->api.config.store = &fixture->store;
    fixture->loop.api = &fixture->api;
    fixture->loop.links[0] = &fixture->mock.link;
    fixture->loop.link_count = 1;
    fixture->loop.uploads.bytes_max = 1 << 20;
    buf_init(&fixture->loop.reply, 1 << 20);
    config.links[0] = fixture->loop.links[0];
    config.link_count = 1;
    if (ingest_new(&config, &fixture->loop.ingest, NULL) != ERR_OK ||
        event_decoder_new(&fixture->loop.decoder, NULL) != ERR_OK)
        return -1;
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *fixture = *state;

    ingest_free(&fixture->loop.ingest);
    event_decoder_free(&fixture->loop.decoder);
    buf_fini(&fixture->loop.reply);
    free(fixture);
    return 0;
}

static struct api_request *
begin(struct fixture *fixture, struct http_exchange *exchange)
{
    struct api_request *request;

    arena_init(&exchange->arena, 4096, 1 << 20);
    request = ARENA_NEW(&exchange->arena, struct api_request, 1);
    assert_non_null(request);
    request->loop = &fixture->loop;
    request->exchange = exchange;
    request->arrived_at_us = clock_wall_us(fixture->api.config.clock);
    request->project_id = 7;
    request->query = http_query(exchange);
    events_post_handler.head(request);
    return request;
}

static struct api_request *
post(struct fixture *fixture, struct http_exchange *exchange, const char *body)
{
    struct api_request *request = begin(fixture, exchange);

    assert_int_equal(exchange->status, 0);
    events_post_handler.body(request, body, strlen(body));
    events_post_handler.end(request);
    return request;
}

static const char one[] = "{\"event_id\":\"e1\",\"event_type\":\"v\",\"user_id\":\"u\"}";

static void
test_events__the_reply_waits_for_the_commit(void **state)
{
    struct fixture *fixture = *state;
    struct http_exchange exchange = {0};

    post(fixture, &exchange, one);
    ingest_flush(fixture->loop.ingest);
    assert_int_equal(exchange.status, 0);
    assert_int_equal(fixture->mock.batch->items[0].event->project_id, 7);
    mock_answer(&fixture->mock, ERR_OK);
    assert_int_equal(exchange.status, 200);
    assert_non_null(strstr(exchange.body, "\"accepted\":1,"));
    assert_int_equal(fixture->loop.uploads.bytes, 0);
    arena_fini(&exchange.arena);
}

static void
test_events__a_failed_commit_is_told_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct http_exchange exchange = {0};

    post(fixture, &exchange, one);
    ingest_flush(fixture->loop.ingest);
    mock_answer(&fixture->mock, ERR_STORAGE_FULL);
    assert_int_equal(exchange.err, ERR_STORAGE_FULL);
    assert_int_equal(exchange.status, 503);
    arena_fini(&exchange.arena);
}

/* A 503 asks to come again: what it did not store must not make that a 429. */
static void
test_events__what_was_not_stored_is_owed_no_more(void **state)
{
    static const char two[] = "[{\"event_id\":\"a\",\"event_type\":\"v\",\"user_id\":\"u\"},"
                              "{\"event_id\":\"b\",\"event_type\":\"v\",\"user_id\":\"u\"}]";
    const struct limit_config config = {.per_second[LIMIT_KEY][LIMIT_EVENTS] = 2,
                                        .burst_ms = 1000,
                                        .entries_max = 64,
                                        .random = random_system()};
    const struct route route = {.is_ingest = true};
    struct fixture *fixture = *state;

    assert_int_equal(limit_new(&config, &fixture->api.limit, NULL), ERR_OK);
    for (int i = 0; i < 4; i++) {
        struct http_exchange exchange = {0};
        struct api_request *request = begin(fixture, &exchange);

        request->route = &route;
        request->actor = (struct account_actor){.kind = ACCOUNT_ACTOR_KEY, .id = 5};
        if (i == 3) { /* what was stored is owed */
            assert_false(limits_take_head(request));
            assert_int_equal(exchange.status, 429);
            arena_fini(&exchange.arena);
            break;
        }
        assert_true(limits_take_head(request));
        events_post_handler.body(request, two, strlen(two));
        events_post_handler.end(request);
        ingest_flush(fixture->loop.ingest);
        mock_answer(&fixture->mock, i < 2 ? ERR_STORAGE_FULL : ERR_OK);
        assert_int_equal(exchange.status, i < 2 ? 503 : 200);
        arena_fini(&exchange.arena);
    }
    limit_free(&fixture->api.limit);
}

static void
test_events__a_store_that_is_away_is_told_as_the_cause(void **state)
{
    static const char *const reasons[] = {NULL, "the server is stopping"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        struct http_exchange exchange = {0};

        atomic_store(&fixture->api.unready_reason, reasons[i]);
        post(fixture, &exchange, one);
        ingest_flush(fixture->loop.ingest);
        mock_answer(&fixture->mock, ERR_NOT_READY);
        assert_int_equal(exchange.err, ERR_NOT_READY);
        assert_non_null(exchange.message);
        assert_string_equal(exchange.message,
                            reasons[i] != NULL ? reasons[i] : vtable.not_ready_sentence);
        arena_fini(&exchange.arena);
    }
}

static void
test_events__gone_after_it_was_gathered_is_stored_all_the_same(void **state)
{
    struct fixture *fixture = *state;
    struct http_exchange exchange = {0};
    struct api_request *request = post(fixture, &exchange, one);

    ingest_flush(fixture->loop.ingest);
    events_post_handler.gone(request);
    arena_fini(&exchange.arena); /* the exchange is recycled; the events must still stand */
    assert_slice_equal(fixture->mock.batch->items[0].event->event_id, "e1");
    mock_answer(&fixture->mock, ERR_OK);
    assert_int_equal(exchange.status, 0);
    assert_true(ingest_is_idle(fixture->loop.ingest));
}

static void
test_events__gone_before_the_end_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct http_exchange exchange = {0};
    struct api_request *request = begin(fixture, &exchange);

    events_post_handler.body(request, one, 10);
    assert_int_equal(fixture->loop.uploads.bytes, 10);
    events_post_handler.gone(request);
    assert_int_equal(fixture->loop.uploads.bytes, 0);
    assert_true(ingest_is_idle(fixture->loop.ingest));
    arena_fini(&exchange.arena);
}

static void
test_events__overload_and_refusals(void **state)
{
    struct fixture *fixture = *state;
    static struct http_exchange exchanges[6];

    for (size_t i = 0; i < 3; i++) /* two events may be gathered */
        post(fixture, &exchanges[i], one);
    assert_int_equal(exchanges[1].status, 0);
    assert_int_equal(exchanges[2].err, ERR_OVERLOADED);
    exchanges[3].content_type = "image/png";
    begin(fixture, &exchanges[3]);
    assert_int_equal(exchanges[3].err, ERR_UNSUPPORTED_MEDIA_TYPE);
    exchanges[4].query = "detail=some";
    begin(fixture, &exchanges[4]);
    assert_int_equal(exchanges[4].err, ERR_INVALID_PARAMETER);
    post(fixture, &exchanges[5], "[");
    assert_int_equal(exchanges[5].err, ERR_INVALID_JSON);
    ingest_flush(fixture->loop.ingest);
    mock_answer(&fixture->mock, ERR_OK);
    for (size_t i = 0; i < COUNT_OF(exchanges); i++)
        arena_fini(&exchanges[i].arena);
}

/* More is being read than the loop takes in time: refused at the head, whatever its length is (it
 * is not known here), and nothing is held. */
static void
test_events__a_crowd_is_refused_before_its_bodies_are_read(void **state)
{
    struct fixture *fixture = *state;
    struct crowd *crowd = &fixture->loop.uploads.crowd;
    struct http_exchange refused = {0};
    struct http_exchange served = {0};

    crowd->busy_until_ns = NS_PER_S + 1;
    crowd->stretch_ends_ns = NS_PER_S + 1;
    crowd->received[0] = CROWD_FLOOR_BYTES + 1;
    begin(fixture, &refused);
    assert_int_equal(refused.err, ERR_OVERLOADED);
    assert_int_equal(refused.status, 503);
    assert_int_equal(fixture->loop.uploads.bytes, 0);
    crowd->received[0] = CROWD_FLOOR_BYTES;
    post(fixture, &served, one);
    ingest_flush(fixture->loop.ingest);
    mock_answer(&fixture->mock, ERR_OK);
    assert_int_equal(served.status, 200);
    arena_fini(&refused.arena);
    arena_fini(&served.arena);
}

static void
test_events__nothing_to_store_tells_what_is_durable(void **state)
{
    struct fixture *fixture = *state;
    struct http_exchange exchange = {0};
    char position[STORE_POSITION_TEXT];

    post(fixture, &exchange, "[]");
    ingest_flush(fixture->loop.ingest);
    assert_null(fixture->mock.batch);
    assert_int_equal(exchange.status, 200);
    store_position_format((struct store_position){1, 0, 99}, position);
    assert_non_null(strstr(exchange.body, position));
    arena_fini(&exchange.arena);
}

static void
test_readyz__ready_warned_and_away(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 4; i++) {
        struct http_exchange exchange = {0};
        struct api_request request = {.loop = &fixture->loop, .exchange = &exchange};

        has_warning = (i & 1) != 0;
        store_is_away = (i & 2) != 0;
        readyz_handler.end(&request);
        assert_int_equal(exchange.status, store_is_away ? 503 : 200);
        if (store_is_away)
            assert_int_equal(exchange.err, ERR_NOT_READY);
        else
            assert_string_equal(
                exchange.body,
                has_warning
                    ? "{\"status\":\"ready\",\"warning\":\"pid 123 holds \\\"loading\\\" back\"}\n"
                    : "{\"status\":\"ready\"}\n");
    }
    has_warning = store_is_away = false;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events__the_reply_waits_for_the_commit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_events__a_failed_commit_is_told_as_it_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_events__what_was_not_stored_is_owed_no_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_events__a_store_that_is_away_is_told_as_the_cause,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_events__gone_after_it_was_gathered_is_stored_all_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events__gone_before_the_end_leaves_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_events__overload_and_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events__a_crowd_is_refused_before_its_bodies_are_read,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_events__nothing_to_store_tells_what_is_durable, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_readyz__ready_warned_and_away, setup, teardown),
    };

    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
