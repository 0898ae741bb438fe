/*
 * thread - start, name, priority, join. See thread.h; channel.c and pool.c hand work over.
 */
#include "base/thread.h"

#include "base/mem.h"
#include <assert.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_BYTES 16 /* the kernel's: 15 and a NUL */
#define NICE_LOW 10
/* Since Linux 6.12 a thread may ask for a shorter slice than others have (2.8 ms and more): when it
 * is woken it then takes the core from one with a longer slice, although that is in the midst of
 * its own. Without, each of a loop's commits waits for the end of a query's slice. The least that
 * can be asked; it bounds no turn. Older kernels pass over it. */
#define PROMPT_SLICE_NS 100000

struct thread {
    pthread_t id;
    char name[NAME_BYTES];
    enum thread_priority priority;
    void (*run)(void *arg);
    void *arg;
};

/* The kernel's struct sched_attr, of its first version; glibc 2.36 has none. */
struct attributes {
    uint32_t bytes;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* of a normal thread: its slice */
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static bool
set_prompt(void)
{
    const struct attributes attributes = {.bytes = sizeof(attributes),
                                          .policy = SCHED_OTHER,
                                          .nice = getpriority(PRIO_PROCESS, 0),
                                          .runtime_ns = PROMPT_SLICE_NS};

    /* Started under another policy by whoever knows why: it stays. */
    return sched_getscheduler(0) != SCHED_OTHER ||
           syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
}

bool
thread_set_priority(enum thread_priority priority)
{
    const struct sched_param zero = {.sched_priority = 0};
    int policy = priority == THREAD_IDLE ? SCHED_IDLE : SCHED_OTHER;

    if (priority == THREAD_PROMPT)
        return set_prompt();
    if (pthread_setschedparam(pthread_self(), policy, &zero) != 0)
        return false;
    if (priority == THREAD_IDLE)
        return true;
    /* On Linux `who` 0 is the calling thread alone, not its process. */
    return setpriority(PRIO_PROCESS, 0, priority == THREAD_LOW ? NICE_LOW : 0) == 0;
}

static void *
enter(void *arg)
{
    struct thread *thread = (struct thread *)arg;

    (void)pthread_setname_np(pthread_self(), thread->name);
    if (thread->priority != THREAD_NORMAL)
        (void)thread_set_priority(thread->priority); /* refused: it runs, at its starter's own */
    thread->run(thread->arg);
    return NULL;
}

enum err
thread_start(const char *name, enum thread_priority priority, void (*run)(void *arg), void *arg,
             struct thread **ret_thread, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct thread *thread = MEM_NEW(struct thread, 1);
    sigset_t all, before;
    int failed;

    assert(strlen(name) < NAME_BYTES);
    if (thread == NULL) {
        diag_set(diag, "thread %s: out of memory", name);
        return ERR_NOMEM;
    }
    memcpy(thread->name, name, strlen(name) + 1);
    thread->priority = priority;
    thread->run = run;
    thread->arg = arg;
    /* The new thread inherits the mask: signals stay with main. */
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread->id, NULL, enter, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        diag_set(diag, "thread %s", name);
        diag_add_errno(diag, failed);
        return ERR_IO;
    }
    *ret_thread = MOVE(thread);
    return ERR_OK;
}

void
thread_join(struct thread **thread)
{
    int failed;

    if (*thread == NULL)
        return;
    failed = pthread_join((*thread)->id, NULL);
    assert(failed == 0);
    mem_free(*thread);
    *thread = NULL;
}
