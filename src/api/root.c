/*
 * root - GET /: a plain page for who opens the address in a browser. Static: nothing of the
 * client's is in it.
 *
 * Layer 6, on the loops.
 */
#include "api/internal.h"

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Potik</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em}"
    "code{background:#eee;padding:0 .2em}</style></head>\n"
    "<body><h1>Potik</h1>\n"
    "<p>A product-analytics event server. It takes events, stores each exactly once, and answers "
    "questions about them.</p>\n"
    "<p><a href=\"docs\">The manual</a>, with requests to try; <a href=\"openapi.json\">the same "
    "for "
    "programs</a> (OpenAPI 3.1).</p>\n"
    "<ul>\n"
    "<li><code>POST /v1/events</code> &mdash; send events (write key)</li>\n"
    "<li><code>GET /v1/stats/dau</code>, <code>/v1/stats/top-events</code>, "
    "<code>/v1/stats/retention</code> &mdash; ask (read key)</li>\n"
    "<li><code>GET /v1/events</code>, <code>/v1/users/{id}/events</code> &mdash; look "
    "(read key)</li>\n"
    "<li><a href=\"/healthz\">/healthz</a> &mdash; alive</li>\n"
    "<li><a href=\"/readyz\">/readyz</a> &mdash; ready</li>\n"
    "<li><a href=\"/metrics\">/metrics</a> &mdash; Prometheus metrics</li>\n"
    "</ul></body></html>\n";

static void
root_end(struct api_request *request)
{
    http_reply_header(request->exchange, "Content-Security-Policy",
                      SLICE("default-src 'none'; style-src 'unsafe-inline'; "
                            "frame-ancestors 'none'"));
    http_reply(request->exchange, 200, "text/html; charset=utf-8",
               slice_of(page, sizeof(page) - 1));
}

const struct route_handler root_handler = {.end = root_end};
