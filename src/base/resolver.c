/*
 * resolver - see resolver.h.
 *
 * A request is held by two, who asks and the thread, and freed by the last to let go. The thread
 * writes the answer, then `is_answered`, then the eventfd.
 */
#include "base/resolver.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REQUESTS_MAX 256

struct resolver {
    struct pool *pool;
};

struct resolver_request {
    struct pool_job job; /* first */
    atomic_uint holders;
    atomic_bool is_answered;
    int fd;
    uint32_t wanted_count;
    struct resolver_address wanted[RESOLVER_ADDRESSES_MAX];
    /* the answer */
    uint32_t address_count;
    struct resolver_address addresses[RESOLVER_ADDRESSES_MAX];
    struct diag diag;
};

enum err
resolver_start(struct resolver **ret_resolver, struct diag *diag)
{
    const struct pool_config config = {
        .name = "resolver", .threads = 1, .jobs_max = REQUESTS_MAX, .priority = THREAD_NORMAL};
    struct resolver *resolver = MEM_NEW(struct resolver, 1);
    enum err err = ERR_NOMEM;

    if (resolver != NULL)
        err = pool_start(&config, &resolver->pool, diag);
    if (err != ERR_OK) {
        mem_free(resolver);
        return err;
    }
    *ret_resolver = resolver;
    return ERR_OK;
}

void
resolver_stop(struct resolver **resolver)
{
    if (*resolver == NULL)
        return;
    pool_stop(&(*resolver)->pool);
    mem_free(*resolver);
    *resolver = NULL;
}

static void
request_release(struct resolver_request *request)
{
    if (atomic_fetch_sub(&request->holders, 1) != 1)
        return;
    file_close(&request->fd);
    mem_free(request);
}

void
resolver_request_free(struct resolver_request **request)
{
    if (*request != NULL)
        request_release(*request);
    *request = NULL;
}

/* --- looking up ------------------------------------------------------------------------------ */

/* Nothing to look up: an address stands there, or a unix socket's folder, or nothing at all. */
static bool
is_plain(const struct resolver_address *wanted)
{
    static const struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    bool is_numeric = false;

    if (wanted->hostaddr[0] != 0 || wanted->host[0] == 0 || wanted->host[0] == '/' ||
        wanted->host[0] == '@')
        return true;
    is_numeric = getaddrinfo(wanted->host, NULL, &numeric, &found) == 0;
    if (found != NULL)
        freeaddrinfo(found);
    return is_numeric;
}

/* The addresses of one place join the answer. */
static void
look_up(struct resolver_request *request, const struct resolver_address *wanted)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int status = 0;

    if (is_plain(wanted)) {
        if (request->address_count < RESOLVER_ADDRESSES_MAX)
            request->addresses[request->address_count++] = *wanted;
        return;
    }
    status = getaddrinfo(wanted->host, NULL, &hints, &found);
    if (status != 0) {
        diag_set(&request->diag, "the host name \"%s\" has no address: %s", wanted->host,
                 gai_strerror(status));
        return;
    }
    for (const struct addrinfo *each = found; each != NULL; each = each->ai_next) {
        struct resolver_address *address = &request->addresses[request->address_count];

        if (request->address_count == RESOLVER_ADDRESSES_MAX)
            break;
        *address = *wanted;
        if (getnameinfo(each->ai_addr, each->ai_addrlen, address->hostaddr,
                        sizeof(address->hostaddr), NULL, 0, NI_NUMERICHOST) == 0)
            request->address_count++;
    }
    freeaddrinfo(found);
}

static void
request_answer(struct resolver_request *request)
{
    for (uint32_t i = 0; i < request->wanted_count; i++)
        look_up(request, &request->wanted[i]);
    atomic_store(&request->is_answered, true);
}

static void
run_job(struct pool_job *job, void *worker_state)
{
    struct resolver_request *request = (struct resolver_request *)job;
    const uint64_t one = 1;

    (void)worker_state;
    if (atomic_load(&request->holders) > 1) /* else nobody waits any more */
        request_answer(request);
    while (write(request->fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    request_release(request);
}

/* --- asking ---------------------------------------------------------------------------------- */

/* The i-th of a list with commas; of one with a single element, that. "" where there is none. */
static bool
list_get(const char *list, uint32_t i, char *ret_text, size_t bytes_max)
{
    const char *begin = list != NULL ? list : "";
    const char *end = NULL;

    if (strchr(begin, ',') == NULL)
        i = 0;
    for (; i != 0; i--) {
        begin = strchr(begin, ',');
        if (begin == NULL)
            return false;
        begin++;
    }
    end = strchrnul(begin, ',');
    if ((size_t)(end - begin) >= bytes_max)
        return false;
    memcpy(ret_text, begin, (size_t)(end - begin));
    ret_text[end - begin] = 0;
    return true;
}

static uint32_t
list_count(const char *list)
{
    uint32_t count = 1;

    for (; list != NULL && *list != 0; list++)
        count += *list == ',';
    return count;
}

static bool
parse_wanted(struct resolver_request *request, const char *hosts, const char *hostaddrs,
             const char *ports)
{
    const uint32_t count =
        list_count(hosts) > list_count(hostaddrs) ? list_count(hosts) : list_count(hostaddrs);

    if (count > RESOLVER_ADDRESSES_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct resolver_address *wanted = &request->wanted[i];

        if (!list_get(hosts, i, wanted->host, sizeof(wanted->host)) ||
            !list_get(hostaddrs, i, wanted->hostaddr, sizeof(wanted->hostaddr)) ||
            !list_get(ports, i, wanted->port, sizeof(wanted->port)))
            return false;
    }
    request->wanted_count = count;
    return true;
}

enum err
resolver_ask(struct resolver *resolver, const char *hosts, const char *hostaddrs, const char *ports,
             struct resolver_request **ret_request, struct diag *diag)
{
    CLEANUP(resolver_request_free)
    struct resolver_request *request = MEM_NEW(struct resolver_request, 1);
    bool is_all_plain = true;

    if (request == NULL)
        return ERR_NOMEM;
    atomic_store(&request->holders, 1);
    request->fd = -1;
    if (!parse_wanted(request, hosts, hostaddrs, ports)) {
        diag_set(diag, "the URL's hosts, addresses and ports do not go together, or are over %d",
                 RESOLVER_ADDRESSES_MAX);
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < request->wanted_count; i++)
        is_all_plain = is_all_plain && is_plain(&request->wanted[i]);
    if (is_all_plain) {
        request_answer(request);
        *ret_request = MOVE(request);
        return ERR_OK;
    }
    request->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (request->fd < 0) {
        diag_set(diag, "eventfd");
        diag_add_errno(diag, errno);
        return ERR_IO;
    }
    request->job.run = run_job;
    atomic_store(&request->holders, 2);
    if (!pool_submit(resolver->pool, &request->job)) {
        atomic_store(&request->holders, 1);
        diag_set(diag, "too many host names wait to be looked up");
        return ERR_FULL;
    }
    *ret_request = MOVE(request);
    return ERR_OK;
}

int
resolver_request_fd(const struct resolver_request *request)
{
    return request->fd;
}

bool
resolver_request_is_answered(const struct resolver_request *request)
{
    return atomic_load(&request->is_answered);
}

uint32_t
resolver_request_addresses(const struct resolver_request *request,
                           const struct resolver_address **ret_addresses, struct diag *diag)
{
    *ret_addresses = request->addresses;
    if (request->address_count == 0 && diag != NULL)
        *diag = request->diag;
    return request->address_count;
}
