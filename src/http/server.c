/*
 * server - loops together: start, address, drain, stop. See http.h.
 *
 * Layer 5 (http), on the caller's thread (main).
 */
#include "http/connection.h"

#include "base/file.h"
#include "http/tls.h"
#include <assert.h>
#include <stdio.h>

#define LOOPS_MAX 256

static enum err
check_config(const struct http_config *config, struct diag *diag)
{
    if (config->loops < 1 || config->loops > LOOPS_MAX || config->connections_max < 1 ||
        config->pipeline_max < 1 || config->pipeline_max > HTTP_PIPELINE_LIMIT ||
        config->head_bytes_max < 64 || config->head_bytes_max > HTTP_HEAD_BYTES_LIMIT ||
        config->url_bytes_max < 1 || config->turn_bytes_max < 1 || config->head_timeout_ms < 1 ||
        config->body_progress_timeout_ms < 1 || config->request_timeout_ms < 1 ||
        config->idle_timeout_ms < 1 || config->write_timeout_ms < 1) {
        diag_set(diag, "http: a limit is out of its range");
        return ERR_INVALID;
    }
    assert(config->clock != NULL && config->sink != NULL && config->handler != NULL);
    return ERR_OK;
}

/* Loops that never ran, or have ended. */
static void
free_server(struct http_server *server)
{
    for (uint32_t i = 0; i < server->config.loops; i++) {
        struct http_loop *loop = &server->loops[i];

        if (!loop->listener.is_shared)
            file_close(&loop->listener.fd);
        loop_fini(loop);
    }
    if (atomic_load(&server->shared_users) > 0)
        file_close(&server->shared_fd);
    tls_free(&server->tls);
    pthread_cond_destroy(&server->start_moved);
    pthread_mutex_destroy(&server->start_lock);
    mem_free(server->address);
    mem_free(server->unix_path);
    mem_free(server->loops);
    mem_free(server);
}

static struct http_server *
new_server(const struct http_config *config)
{
    struct http_server *server = MEM_NEW(struct http_server, 1);

    if (server == NULL)
        return NULL;
    server->loops = MEM_NEW(struct http_loop, config->loops);
    if (server->loops == NULL) {
        mem_free(server);
        return NULL;
    }
    server->config = *config;
    server->shared_fd = -1;
    for (uint32_t i = 0; i < config->loops; i++) {
        server->loops[i].listener.fd = -1;
        server->loops[i].epoll_fd = -1;
        server->loops[i].mailbox.wake_fd = -1;
    }
    pthread_mutex_init(&server->start_lock, NULL);
    pthread_cond_init(&server->start_moved, NULL);
    return server;
}

static enum err
start_threads(struct http_server *server, struct diag *diag)
{
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < server->config.loops && err == ERR_OK; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "loop-%u", i % 1000);
        err = thread_start(name, THREAD_PROMPT, loop_run, &server->loops[i],
                           &server->loops[i].thread, diag);
        if (err == ERR_OK)
            server->started_loops++;
    }
    pthread_mutex_lock(&server->start_lock);
    while (server->ready_loops < server->started_loops)
        pthread_cond_wait(&server->start_moved, &server->start_lock);
    if (err == ERR_OK && server->start_err != ERR_OK) {
        err = server->start_err;
        if (diag != NULL)
            *diag = server->start_diag;
    }
    pthread_mutex_unlock(&server->start_lock);
    return err;
}

enum err
http_server_start(const struct http_config *config, struct http_server **ret_server,
                  struct diag *diag)
{
    struct http_server *server;
    enum err err = check_config(config, diag);

    if (err != ERR_OK)
        return err;
    server = new_server(config);
    if (server == NULL)
        return ERR_NOMEM;
    err = config->tls_cert == NULL ? ERR_OK
                                   : tls_new(config->tls_cert, config->tls_key, &server->tls, diag);
    if (err == ERR_OK)
        err = server_listen(server, diag);
    for (uint32_t i = 0; i < config->loops && err == ERR_OK; i++)
        err = loop_init(&server->loops[i], server, i, diag);
    if (err == ERR_OK)
        err = start_threads(server, diag);
    if (err != ERR_OK) {
        http_server_stop(&server, 0);
        return err;
    }
    server->config.listen = NULL; /* the caller's texts may go */
    server->config.tls_cert = server->config.tls_key = NULL;
    *ret_server = server;
    return ERR_OK;
}

const char *
http_server_address(const struct http_server *server)
{
    return server->address;
}

enum err
http_check_tls(const char *cert_path, const char *key_path, struct diag *diag)
{
    struct tls *tls = NULL;
    enum err err = tls_new(cert_path, key_path, &tls, diag);

    tls_free(&tls);
    return err;
}

enum err
http_server_reload_tls(struct http_server *server, struct diag *diag)
{
    assert(server->tls != NULL);
    return tls_reload(server->tls, diag);
}

struct http_tls_facts
http_server_tls_facts(struct http_server *server)
{
    assert(server->tls != NULL);
    return tls_facts(server->tls);
}

bool
http_server_tls_name(struct http_server *server, char ret_name[HTTP_TLS_NAME_BYTES])
{
    const char *host = strstr(server->address, "://");
    const char *port = strrchr(server->address, ':');
    char text[HTTP_TLS_NAME_BYTES];

    assert(server->tls != NULL);
    if (host == NULL || port <= host || (size_t)(port - host - 3) >= sizeof(text))
        return false; /* a unix socket */
    host += 3;
    if (*host == '[' && port[-1] == ']') {
        host++;
        port--;
    }
    memcpy(text, host, (size_t)(port - host));
    text[port - host] = '\0';
    return tls_other_name(server->tls, text, ret_name);
}

/* Gone already is well; anything else is told, and the next start clears it up. */
static void
remove_unix_path(struct http_server *server)
{
    struct diag diag = DIAG_INIT;
    enum err err = file_unlink(server->unix_path, &diag);

    if (err != ERR_OK && err != ERR_ABSENT)
        SINK(server->config.sink, LOG_LEVEL_WARN, "http.socket_not_removed",
             LOG_TEXT("reason", diag.message));
}

void
http_server_drain(struct http_server *server, int64_t drain_ms)
{
    if (server->is_drained)
        return;
    server->is_drained = true;
    atomic_store(&server->drain_ms, drain_ms);
    atomic_store(&server->is_stopping, true);
    /* The name goes first: who comes now is told that nobody is there. */
    if (server->unix_path != NULL)
        remove_unix_path(server);
    for (uint32_t i = 0; i < server->started_loops; i++)
        mailbox_wake(&server->loops[i].mailbox);
    for (uint32_t i = 0; i < server->started_loops; i++)
        thread_join(&server->loops[i].thread);
}

void
http_server_stop(struct http_server **server, int64_t drain_ms)
{
    if (*server == NULL)
        return;
    http_server_drain(*server, drain_ms);
    free_server(*server);
    *server = NULL;
}

void
http_server_stats(struct http_server *server, struct http_server_stats *ret_stats)
{
    struct http_server_stats stats = {0};

    for (uint32_t i = 0; i < server->config.loops; i++) {
        struct http_loop *loop = &server->loops[i];

        stats.connections += atomic_load_explicit(&loop->connection_count, memory_order_relaxed);
        stats.requests += atomic_load_explicit(&loop->requests, memory_order_relaxed);
        stats.refused += atomic_load_explicit(&loop->refused, memory_order_relaxed);
        stats.timeouts += atomic_load_explicit(&loop->timeouts, memory_order_relaxed);
    }
    *ret_stats = stats;
}
