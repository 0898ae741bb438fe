/* Units of base/thread, channel and pool. */
#include "../test.h"

#include "base/thread.h"
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool
is_readable(int fd)
{
    struct pollfd place = {.fd = fd, .events = POLLIN};

    return poll(&place, 1, 0) == 1;
}

struct facts {
    char name[16];
    int policy;
    int nice;
    bool is_blocked;
};

static void
look_around(void *arg)
{
    struct facts *facts = (struct facts *)arg;
    struct sched_param param;
    sigset_t mask;

    (void)pthread_getname_np(pthread_self(), facts->name, sizeof(facts->name));
    (void)pthread_getschedparam(pthread_self(), &facts->policy, &param);
    facts->nice = getpriority(PRIO_PROCESS, 0);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    facts->is_blocked = sigismember(&mask, SIGTERM) == 1;
}

static void
test_thread__has_name_priority_and_no_signals(void **state)
{
    struct thread *thread = NULL;
    struct facts facts;
    int own_nice = getpriority(PRIO_PROCESS, 0);

    (void)state;
    assert_int_equal(
        thread_start("fifteen-letters", THREAD_LOW, look_around, &facts, &thread, NULL), ERR_OK);
    thread_join(&thread);
    assert_null(thread);
    thread_join(&thread);
    assert_string_equal(facts.name, "fifteen-letters");
    assert_int_equal(facts.nice, own_nice > 10 ? own_nice : 10);
    assert_true(facts.is_blocked);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), own_nice);
    assert_int_equal(thread_start("idle", THREAD_IDLE, look_around, &facts, &thread, NULL), ERR_OK);
    thread_join(&thread);
    assert_int_equal(facts.policy, SCHED_IDLE);
}

/* The fields are those of the kernel's struct sched_attr; what it does not know stays 0. */
static void
ask_for_slice(void *arg)
{
    uint64_t attributes[7] = {0};

    assert_int_equal(syscall(SYS_sched_getattr, 0, attributes, sizeof(attributes), 0), 0);
    *(uint64_t *)arg = attributes[3];
    assert_int_equal(attributes[0] >> 32, SCHED_OTHER);
}

static void
test_thread__prompt_has_a_short_slice_and_its_starters_nice(void **state)
{
    const int own_nice = getpriority(PRIO_PROCESS, 0);
    struct thread *thread = NULL;
    struct facts facts;
    uint64_t slice_ns = 1;

    (void)state;
    assert_int_equal(thread_start("p", THREAD_PROMPT, ask_for_slice, &slice_ns, &thread, NULL),
                     ERR_OK);
    thread_join(&thread);
    assert_true(slice_ns == 100000 || slice_ns == 0); /* 0: a kernel before 6.12 */
    assert_int_equal(thread_start("p", THREAD_PROMPT, look_around, &facts, &thread, NULL), ERR_OK);
    thread_join(&thread);
    assert_int_equal(facts.policy, SCHED_OTHER);
    assert_int_equal(facts.nice, own_nice);
}

static void
test_thread__out_of_memory_starts_nothing(void **state)
{
    struct thread *thread = NULL;
    struct channel *channel = NULL;
    struct pool *pool = NULL;
    const struct pool_config config = {.name = "p", .threads = 2, .jobs_max = 1};

    (void)state;
    mem_fail_from(1, true);
    assert_int_equal(thread_start("x", THREAD_NORMAL, look_around, NULL, &thread, NULL), ERR_NOMEM);
    assert_int_equal(channel_new(1, &channel, NULL), ERR_NOMEM);
    assert_int_equal(pool_start(&config, &pool, NULL), ERR_NOMEM);
    mem_fail_from(3, true); /* the pool, the first thread, and not the second */
    assert_int_equal(pool_start(&config, &pool, NULL), ERR_NOMEM);
    mem_fail_from(0, false);
    assert_null(thread);
    assert_null(channel);
    assert_null(pool);
}

static void
test_channel__is_bounded_and_in_order(void **state)
{
    static int messages[4];
    struct channel *channel = NULL;

    (void)state;
    assert_int_equal(channel_new(3, &channel, NULL), ERR_OK);
    assert_false(is_readable(channel_fd(channel)));
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < 3; i++)
            assert_true(channel_send(channel, &messages[i]));
        assert_false(channel_send(channel, &messages[3]));
        for (size_t i = 0; i < 3; i++) {
            assert_true(is_readable(channel_fd(channel)));
            assert_ptr_equal(channel_receive(channel), &messages[i]);
        }
        assert_null(channel_receive(channel));
        assert_false(is_readable(channel_fd(channel)));
        assert_null(channel_receive(channel));
    }
    /* Sent between the last message and the NULL: still readable. */
    assert_true(channel_send(channel, &messages[0]));
    assert_ptr_equal(channel_receive(channel), &messages[0]);
    assert_true(channel_send(channel, &messages[1]));
    assert_true(is_readable(channel_fd(channel)));
    assert_ptr_equal(channel_receive(channel), &messages[1]);
    channel_free(&channel);
    assert_null(channel);
}

enum { SENDERS = 4, EACH = 20000 };

static char sent[SENDERS][EACH];

struct sender {
    struct channel *channel;
    char *messages;
};

static void
send_all(void *arg)
{
    struct sender *sender = (struct sender *)arg;

    for (size_t i = 0; i < EACH; i++) {
        while (!channel_send(sender->channel, sender->messages + i))
            sched_yield();
    }
}

static void
test_channel__many_senders_lose_and_double_nothing(void **state)
{
    struct channel *channel = NULL;
    struct thread *threads[SENDERS] = {NULL};
    struct sender senders[SENDERS];
    size_t got = 0;

    (void)state;
    assert_int_equal(channel_new(64, &channel, NULL), ERR_OK);
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){channel, sent[i]};
        assert_int_equal(
            thread_start("sender", THREAD_NORMAL, send_all, &senders[i], &threads[i], NULL),
            ERR_OK);
    }
    while (got < (size_t)SENDERS * EACH) {
        struct pollfd place = {.fd = channel_fd(channel), .events = POLLIN};
        char *message;

        assert_int_equal(poll(&place, 1, 10000), 1); /* a lost wake-up would show here */
        while ((message = (char *)channel_receive(channel)) != NULL) {
            assert_int_equal(*message, 0);
            *message = 1;
            got++;
        }
    }
    for (size_t i = 0; i < SENDERS; i++)
        thread_join(&threads[i]);
    assert_null(channel_receive(channel));
    channel_free(&channel);
}

static _Atomic int started, stopped, ran;

static enum err
worker_start(void *arg, void **ret_worker_state, struct diag *diag)
{
    int number = atomic_fetch_add(&started, 1);
    const int *fails_at = (const int *)arg;

    if (fails_at != NULL && number == *fails_at) {
        diag_set(diag, "worker %d fails", number);
        return ERR_IO;
    }
    *ret_worker_state = &ran;
    return ERR_OK;
}

static void
worker_stop(void *worker_state)
{
    assert_ptr_equal(worker_state, &ran);
    atomic_fetch_add(&stopped, 1);
}

struct gate_job {
    struct pool_job job; /* first: the pool gives it back */
    pthread_mutex_t *gate;
    struct channel *running;
};

static void
wait_at_gate(struct pool_job *job, void *worker_state)
{
    struct gate_job *gated = (struct gate_job *)job;

    if (!channel_send(gated->running, job))
        abort();
    pthread_mutex_lock(gated->gate);
    pthread_mutex_unlock(gated->gate);
    atomic_fetch_add((_Atomic int *)worker_state, 1);
}

static void
test_pool__is_bounded_and_finishes_what_it_took(void **state)
{
    struct pool_config config = {.name = "twelve-bytes",
                                 .threads = 2,
                                 .jobs_max = 3,
                                 .priority = THREAD_LOW,
                                 .worker_start = worker_start,
                                 .worker_stop = worker_stop};
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct channel *running = NULL;
    struct gate_job jobs[6];
    struct pool *pool = NULL;

    (void)state;
    atomic_store(&started, 0);
    assert_int_equal(channel_new(6, &running, NULL), ERR_OK);
    assert_int_equal(pool_start(&config, &pool, NULL), ERR_OK);
    assert_int_equal(atomic_load(&started), 2);
    pthread_mutex_lock(&gate);
    for (size_t i = 0; i < 6; i++)
        jobs[i] = (struct gate_job){{wait_at_gate}, &gate, running};
    /* Two are running and wait at the gate ... */
    for (size_t i = 0; i < 2; i++) {
        struct pollfd place = {.fd = channel_fd(running), .events = POLLIN};

        assert_true(pool_submit(pool, &jobs[i].job));
        assert_int_equal(poll(&place, 1, 10000), 1);
        assert_ptr_equal(channel_receive(running), &jobs[i]);
        assert_null(channel_receive(running));
    }
    /* ... three wait in the queue, and one more is too many. */
    for (size_t i = 2; i < 6; i++)
        assert_int_equal(pool_submit(pool, &jobs[i].job), i < 5);
    pthread_mutex_unlock(&gate);
    pool_stop(&pool);
    assert_null(pool);
    assert_int_equal(atomic_load(&ran), 5);
    assert_int_equal(atomic_load(&stopped), 2);
    while (channel_receive(running) != NULL)
        continue;
    channel_free(&running);
}

static void
test_pool__does_not_start_if_a_worker_fails(void **state)
{
    static int fails_at = 2;
    struct pool_config config = {.name = "p",
                                 .threads = 4,
                                 .jobs_max = 1,
                                 .worker_start = worker_start,
                                 .worker_stop = worker_stop,
                                 .arg = &fails_at};
    struct diag diag = DIAG_INIT;
    struct pool *pool = NULL;

    (void)state;
    atomic_store(&started, 0);
    atomic_store(&stopped, 0);
    assert_int_equal(pool_start(&config, &pool, &diag), ERR_IO);
    assert_string_equal(diag.message, "worker 2 fails");
    assert_null(pool);
    assert_int_equal(atomic_load(&stopped), 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread__has_name_priority_and_no_signals),
        cmocka_unit_test(test_thread__prompt_has_a_short_slice_and_its_starters_nice),
        cmocka_unit_test(test_thread__out_of_memory_starts_nothing),
        cmocka_unit_test(test_channel__is_bounded_and_in_order),
        cmocka_unit_test(test_channel__many_senders_lose_and_double_nothing),
        cmocka_unit_test(test_pool__is_bounded_and_finishes_what_it_took),
        cmocka_unit_test(test_pool__does_not_start_if_a_worker_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
