/*
 * lifecycle - start order, signals, stop order. See lifecycle.h.
 *
 * Start: signals are blocked (every thread inherits that; only this one takes them), then
 * everything is wired, then loader and keeper run, then first-run.txt, then the one line on stdout.
 *
 * Stop, within STOP_MS of the signal: /readyz says 503; the server drains (requests under way are
 * answered); loader and keeper end; tails are sealed for what time is left; the store closes with
 * its footer. A watchdog ends the process should a disk hang: what was acknowledged is durable at
 * every moment, so that loses nothing.
 *
 * When the store cannot go on (a sync failed): those waiting get 503, and the process exits 1
 * within 1 s.
 */
#include "app/lifecycle.h"

#include "app/certificate.h"
#include "app/disk.h"
#include "app/wire.h"
#include "app/workers.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STOP_MS 4700
#define DRAIN_MS 1500
#define SEAL_MS_MAX 3000
#define CLOSE_RESERVE_MS 700 /* kept back from sealing for the rest of the stop */
#define FATAL_MS 700
#define FATAL_DRAIN_MS 200
#define LOOK_S 5 /* at the disk */
#define NS_PER_MS INT64_C(1000000)

GAUGE_DEFINE(http_connections, "potik_http_connections", "connections open");
GAUGE_DEFINE(http_requests, "potik_http_requests", "requests since the start");
GAUGE_DEFINE(http_refused, "potik_http_connections_refused",
             "connections over connections-max since the start");
GAUGE_DEFINE(http_timeouts, "potik_http_timeouts",
             "connections ended by a deadline since the start, idle ones left out");

/* What the store's fatal call leaves for the main thread. */
static _Atomic bool is_fatal;

static void
on_fatal(void *state, const char *reason)
{
    (void)state;
    LOG_ERROR("store.fatal", LOG_TEXT("reason", reason));
    atomic_store(&is_fatal, true);
    kill(getpid(), SIGTERM); /* wakes the main thread */
}

/* --- the watchdog -----------------------------------------------------------------------------*/

struct watchdog {
    int limit_ms;
    int exit_status;
};

static void
watch_stop(void *arg)
{
    const struct watchdog *watchdog = arg;

    poll(NULL, 0, watchdog->limit_ms);
    LOG_WARN("stop.forced", LOG_I64("after_ms", watchdog->limit_ms));
    _exit(watchdog->exit_status);
}

/* Never joined: the process ends before it, or by it. */
static void
start_watchdog(int limit_ms, int exit_status)
{
    static struct watchdog watchdog;
    struct thread *thread;

    watchdog = (struct watchdog){limit_ms, exit_status};
    if (thread_start("watchdog", THREAD_NORMAL, watch_stop, &watchdog, &thread, NULL) != ERR_OK)
        LOG_WARN("stop.no_watchdog");
}

/* --- the process ------------------------------------------------------------------------------*/

static void
prepare_process(sigset_t *ret_signals)
{
    struct rlimit files;

    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGTERM);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGHUP);
    sigprocmask(SIG_BLOCK, ret_signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGIO, SIG_IGN); /* somebody opens a file under a lease (base/file.c) */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* Few arenas: a dozen threads with one each would hold on to memory that others could use. */
    mallopt(M_ARENA_MAX, 4);
}

static enum err
configure_log(const struct config *config, struct diag *diag)
{
    enum log_level level = strcmp(config->log_level, "debug") == 0   ? LOG_LEVEL_DEBUG
                           : strcmp(config->log_level, "warn") == 0  ? LOG_LEVEL_WARN
                           : strcmp(config->log_level, "error") == 0 ? LOG_LEVEL_ERROR
                                                                     : LOG_LEVEL_INFO;
    enum log_format format = strcmp(config->log_format, "json") == 0   ? LOG_FORMAT_JSON
                             : strcmp(config->log_format, "text") == 0 ? LOG_FORMAT_TEXT
                                                                       : LOG_FORMAT_AUTO;

    enum err err = ERR_OK;

    log_configure(level, format, STDERR_FILENO);
    if (config->log_file != NULL)
        err = log_to_file(config->log_file, diag);
    if (err != ERR_OK && err != ERR_NOMEM)
        config_name_source(config, "log-file", diag);
    return err;
}

static void
log_warnings(const struct config *config)
{
    const char *at = config->warnings.ptr;
    const char *end = at != NULL ? at + config->warnings.len : NULL;

    while (at != end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        LOG_WARN("config.unknown", LOG_SLICE("reason", slice_of(at, (size_t)(newline - at))));
        at = newline + 1;
    }
}

static bool
is_loopback(const char *listen)
{
    return strncmp(listen, "unix:", 5) == 0 || strncmp(listen, "127.", 4) == 0 ||
           strncmp(listen, "[::1]:", 6) == 0 || strncmp(listen, "localhost:", 10) == 0;
}

static int
fail(enum err err, const struct diag *diag)
{
    fprintf(stderr, "potik: %s\n", diag->message[0] != '\0' ? diag->message : err_sentence(err));
    return err == ERR_INVALID ? 2 : 1;
}

/* --- serving ----------------------------------------------------------------------------------*/

/* Every LOOK_S: the disk, and the server's own numbers for /metrics. */
static void
look_around(const struct program *program, struct disk_watch *watch)
{
    struct http_server_stats server = {0};
    struct store_stats store = {0};
    struct warehouse_stats warehouse = {0};

    http_server_stats(program->server, &server);
    gauge_set(&http_connections, (double)server.connections);
    gauge_set(&http_requests, (double)server.requests);
    gauge_set(&http_refused, (double)server.refused);
    gauge_set(&http_timeouts, (double)server.timeouts);
    store_stats(program->store, &store);
    warehouse_stats(program->warehouse, &warehouse);
    disk_look(watch, program->config->data_dir, clock_steady_ns(clock_system()),
              store.bytes + warehouse.file_bytes, log_sink_default());
}

static void
reopen_log(const char *path)
{
    struct diag diag = DIAG_INIT;

    if (log_to_file(path, &diag) == ERR_OK)
        LOG_INFO("log.reopened", LOG_TEXT("file", path));
    else
        LOG_WARN("log.not_reopened", LOG_TEXT("reason", diag.message),
                 LOG_TEXT("next", "lines go to the file as it was"));
}

static void
reopen_access_log(const struct program *program)
{
    struct diag diag = DIAG_INIT;
    const char *path = program->config->access_log;

    if (access_log_reopen(program->access_log, &diag) == ERR_OK)
        LOG_INFO("access_log.reopened", LOG_TEXT("file", path));
    else
        LOG_WARN("access_log.not_reopened", LOG_TEXT("reason", diag.message),
                 LOG_TEXT("next", "lines go to the file as it was"));
}

/* SIGHUP: what can be opened or loaded anew is. false: there is no such thing, and the signal means
 * that the terminal was closed. */
static bool
take_up_anew(const struct program *program)
{
    const struct config *config = program->config;
    bool has_access_file = config->access_log != NULL && strcmp(config->access_log, "-") != 0;

    if (config->log_file != NULL)
        reopen_log(config->log_file);
    if (has_access_file)
        reopen_access_log(program);
    if (config->tls_cert != NULL)
        certificate_reload(program->server, config);
    return config->log_file != NULL || config->tls_cert != NULL || has_access_file;
}

/* Returns when the program is to stop. */
static void
wait_for_signal(const struct program *program, const sigset_t *signals)
{
    static struct disk_watch watch;
    const struct timespec pause = {.tv_sec = LOOK_S};

    for (;;) {
        int number;

        look_around(program, &watch);
        number = sigtimedwait(signals, NULL, &pause);
        if (number == SIGHUP && take_up_anew(program))
            continue;
        if (number > 0 || (errno != EAGAIN && errno != EINTR))
            return;
    }
}

static int
stop_fatal(struct program *program)
{
    start_watchdog(FATAL_MS, 1);
    api_set_unready(program->api, "the store has failed; the process is ending");
    http_server_drain(program->server, FATAL_DRAIN_MS);
    (void)fputs("potik: the store failed (see the log above); start again to recover\n", stderr);
    _exit(1);
}

static void
stop(struct program *program, struct workers **workers)
{
    const struct clock *clock = clock_system();
    int64_t started_ns = clock_steady_ns(clock);
    int64_t left_ms;

    start_watchdog(STOP_MS, 0);
    LOG_INFO("stop.begun");
    api_set_unready(program->api, "the server is stopping");
    http_server_drain(program->server, DRAIN_MS);
    workers_stop(workers);
    left_ms = STOP_MS - CLOSE_RESERVE_MS - (clock_steady_ns(clock) - started_ns) / NS_PER_MS;
    if (left_ms > SEAL_MS_MAX)
        left_ms = SEAL_MS_MAX;
    wire_close(program, left_ms > 0 ? left_ms : 0);
    LOG_INFO("stop.done", LOG_I64("took_ms", (clock_steady_ns(clock) - started_ns) / NS_PER_MS));
}

static enum err
announce(struct program *program, struct diag *diag)
{
    const char *address = http_server_address(program->server);
    char name[HTTP_TLS_NAME_BYTES];
    const bool has_name =
        program->config->tls_cert != NULL && http_server_tls_name(program->server, name);
    enum err err = first_run_tell(&program->first_run, program->config->data_dir, address,
                                  program->config->tls_cert, has_name ? name : NULL, diag);

    if (err != ERR_OK)
        return err;
    if (program->config->tls_cert != NULL)
        certificate_look(program->server, program->config);
    else if (!is_loopback(program->config->listen))
        LOG_WARN("listen.no_tls", LOG_TEXT("address", address),
                 LOG_TEXT("reason", "keys and events travel in the clear; set tls-cert and "
                                    "tls-key, or put TLS in front"));
    LOG_INFO("start.done", LOG_TEXT("address", address),
             LOG_TEXT("data_dir", program->config->data_dir));
    printf("listening on %s\n", address);
    (void)fflush(stdout);
    return ERR_OK;
}

int
lifecycle_serve(const struct config *config)
{
    struct workers *workers = NULL;
    struct diag diag = DIAG_INIT;
    struct program program;
    sigset_t signals;
    enum err err;

    prepare_process(&signals);
    err = configure_log(config, &diag);
    if (err != ERR_OK)
        return fail(err, &diag);
    log_warnings(config);
    err = wire_open(config, on_fatal, NULL, &program, &diag);
    if (err != ERR_OK)
        return fail(err, &diag);
    err = workers_start(program.store, program.warehouse, program.rejects, &program.eraser,
                        &workers, &diag);
    if (err == ERR_OK)
        err = announce(&program, &diag);
    if (err != ERR_OK) {
        stop(&program, &workers);
        return fail(err, &diag);
    }
    wait_for_signal(&program, &signals);
    if (atomic_load(&is_fatal))
        return stop_fatal(&program);
    stop(&program, &workers);
    return 0;
}
