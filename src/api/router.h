/*
 * router - which resource a path names: matching of raw segments, then decoding of what a `{}`
 * caught.
 *
 * Layer 6, any thread, pure over a table. A pattern is literal segments and `{}`:
 * "/v1/users/{}/events".
 * `{}` takes one raw segment that is not empty (so `a%2Fb` is one), decoded afterwards.
 */
#ifndef POTIK_API_ROUTER_H
#define POTIK_API_ROUTER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/http.h"

#include <stdbool.h>
#include <stdint.h>

#define ROUTE_SEGMENTS_MAX 2 /* `{}` of one pattern */

/* Who may ask. An admin is owner of every project. */
enum route_auth {
    ROUTE_OPEN,
    ROUTE_WRITE, /* a write key; a token with role ingest or owner */
    ROUTE_READ,  /* a read key; a token with role analyst or owner */
    ROUTE_LOGIN, /* any token */
    ROUTE_OWNER, /* a token of the project's owner: of /v1/projects/{}…, or of project= */
    ROUTE_ADMIN, /* a token of an administrator */
};

struct api_request;
struct resource_kind;

/* What is called for a request, on its loop's thread. */
struct route_handler {
    /* The head has passed every question before the body; may reply. NULL: nothing. */
    void (*head)(struct api_request *request);
    /* A piece of the body. NULL: the body is ignored. */
    void (*body)(struct api_request *request, const char *bytes, size_t len);
    void (*end)(struct api_request *request);
    /* The client went away before the reply. NULL: nothing is to be done. */
    void (*gone)(struct api_request *request);
};

struct route {
    enum http_method method; /* GET takes HEAD too */
    const char *pattern;
    enum route_auth auth;
    bool is_ingest;                               /* CORS for any origin, OPTIONS */
    bool (*exists)(const struct slice *segments); /* is there such a thing? else 404. NULL: yes */
    const struct route_handler *handler;
    const struct resource_kind *resource; /* of resource_route_handler */
    bool may_ask_all; /* an admin without project= asks of all projects: project_id 0 */
};

struct route_match {
    const struct route *route; /* NULL: see err */
    struct slice segments[ROUTE_SEGMENTS_MAX];
    bool is_preflight; /* OPTIONS of an ingest path: no handler is called */
    bool has_cors;     /* some route of the path is for ingest */
};

/*
 * ERR_OK; ERR_NOT_FOUND; ERR_METHOD_NOT_ALLOWED and ERR_NOT_IMPLEMENTED (a method nobody knows),
 * for which router_allow tells the rest; ERR_BAD_REQUEST: a segment does not decode; ERR_NOMEM.
 */
MUST_USE enum err
router_find(const struct route *routes, size_t count, enum http_method method, struct slice path,
            struct arena *arena, struct route_match *ret_match);
const char *router_method_name(enum http_method method);
/* "GET, HEAD, POST": the methods of the path. */
void router_allow(const struct route *routes, size_t count, struct slice path, struct buf *allow);

#endif
