/*
 * err - every way a call can fail, in one table.
 *
 * Layer 0. One row makes the enum, the code a client reads, the HTTP status, whether a retry can
 * help, and a sentence for people. docs/ERRORS.md, the error bodies and the metrics' `code` label
 * come from it. Internal failures share the client code `internal_error`, so that nothing of the
 * inside shows outside. Source: the HTTP contract (README, "Errors").
 *
 * X(name, code, HTTP status, retryable, sentence)
 */
#ifndef POTIK_BASE_ERR_H
#define POTIK_BASE_ERR_H

#include <stdbool.h>

#define ERR_TABLE(X)                                                                               \
    X(OK, "ok", 200, false, "no error")                                                            \
    /* of one event */                                                                             \
    X(MISSING_FIELD, "missing_field", 400, false, "a required field is absent")                    \
    X(EMPTY_FIELD, "empty_field", 400, false, "a text field is empty; leave it out instead")       \
    X(TOO_LONG, "too_long", 400, false, "a text field is longer than its limit")                   \
    X(INVALID_TYPE, "invalid_type", 400, false, "a value has the wrong JSON type")                 \
    X(UNKNOWN_FIELD, "unknown_field", 400, false, "a field of that name does not exist")           \
    X(DUPLICATE_KEY, "duplicate_key", 400, false, "a key stands twice in one object")              \
    X(INVALID_JSON, "invalid_json", 400, false, "the text is not JSON")                            \
    X(INVALID_UTF8, "invalid_utf8", 400, false, "the text is not valid UTF-8")                     \
    X(NUL_CHARACTER, "nul_character", 400, false, "U+0000 cannot be stored")                       \
    X(INVALID_NUMBER, "invalid_number", 400, false, "the number is out of range; send it as text") \
    X(INVALID_TIMESTAMP, "invalid_timestamp", 400, false,                                          \
      "the time is not RFC 3339 nor milliseconds")                                                 \
    X(TIMESTAMP_TOO_EARLY, "timestamp_too_early", 400, false, "the time is before 1970-01-01")     \
    X(TIMESTAMP_TOO_LATE, "timestamp_too_late", 400, false, "the time is over 24 h ahead")         \
    X(TOO_DEEP, "too_deep", 400, false, "objects or arrays are nested too deep")                   \
    X(PROPERTIES_TOO_LARGE, "properties_too_large", 400, false, "properties are over 64 KiB")      \
    X(EVENT_TOO_LARGE, "event_too_large", 400, false, "the event is over 1 MiB")                   \
    X(PLAN_VIOLATION, "plan_violation", 400, false, "the event differs from the tracking plan")    \
    X(QUOTA_EXCEEDED, "quota_exceeded", 429, true,                                                 \
      "the project's quota of events for this month is used up")                                   \
    /* of a request */                                                                             \
    X(BAD_REQUEST, "bad_request", 400, false, "the request is not valid HTTP")                     \
    X(EMPTY_BODY, "empty_body", 400, false, "the body is empty")                                   \
    X(BAD_COMPRESSION, "bad_compression", 400, false, "the body does not decompress")              \
    X(INVALID_PARAMETER, "invalid_parameter", 400, false,                                          \
      "a parameter is unknown or out of range")                                                    \
    X(ALL_REJECTED, "all_rejected", 400, false, "every event was refused")                         \
    X(INVALID_PLAN, "invalid_plan", 400, false, "the tracking plan is not one")                    \
    X(UNAUTHORIZED, "unauthorized", 401, false, "a valid key or token is needed")                  \
    X(WRONG_KEY_KIND, "wrong_key_kind", 403, false, "this key is of the other kind")               \
    X(FORBIDDEN, "forbidden", 403, false, "not allowed")                                           \
    X(NOT_FOUND, "not_found", 404, false, "there is nothing at this address")                      \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, false, "the method is not allowed here")      \
    X(ALREADY_EXISTS, "already_exists", 409, false, "it exists already")                           \
    X(CONFLICT, "conflict", 409, false, "what stands now does not allow it")                       \
    X(PRECONDITION_FAILED, "precondition_failed", 412, false,                                      \
      "it was changed meanwhile; read it again")                                                   \
    X(REQUEST_TIMEOUT, "request_timeout", 408, true, "the request came too slowly")                \
    X(BODY_TOO_LARGE, "body_too_large", 413, false,                                                \
      "the body is over 16 MiB; send fewer events at once")                                        \
    X(TOO_MANY_EVENTS, "too_many_events", 413, false, "over 10,000 events in a request; split it") \
    X(URI_TOO_LONG, "uri_too_long", 414, false, "the URL is over 8 KiB")                           \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, false,                                \
      "send Content-Type: application/json or application/x-ndjson (or none: JSON)")               \
    X(UNSUPPORTED_ENCODING, "unsupported_encoding", 415, false, "send gzip, zstd or identity")     \
    X(EXPECTATION_FAILED, "expectation_failed", 417, false, "only 100-continue is known")          \
    X(RATE_LIMITED, "rate_limited", 429, true, "too many requests; honour Retry-After")            \
    X(HEADER_TOO_LARGE, "header_too_large", 431, false, "the head is over 16 KiB")                 \
    X(INTERNAL_ERROR, "internal_error", 500, true,                                                 \
      "a fault of the server; its log has the reason")                                             \
    X(NOT_IMPLEMENTED, "not_implemented", 501, false,                                              \
      "the server does not know this method or coding")                                            \
    X(STORAGE_FULL, "storage_full", 503, true, "the disk is full; retry later, same ids")          \
    X(OVERLOADED, "overloaded", 503, true, "the server is overloaded; retry later, same ids")      \
    X(NOT_READY, "not_ready", 503, true, "the server is starting, stopping or has failed")         \
    X(QUERY_TIMEOUT, "query_timeout", 503, true, "the query took too long; ask for less")          \
    X(BEHIND, "behind", 503, true, "that position is not loaded yet; retry")                       \
    X(HTTP_VERSION_NOT_SUPPORTED, "http_version_not_supported", 505, false,                        \
      "speak HTTP/1.1 or 1.0")                                                                     \
    /* inside only */                                                                              \
    X(NOMEM, "internal_error", 500, true, "out of memory")                                         \
    X(IO, "internal_error", 500, true, "a file could not be read or written")                      \
    X(CORRUPT, "internal_error", 500, false, "stored bytes fail their check")                      \
    X(INVALID, "internal_error", 500, false, "a setting or argument is not valid")                 \
    X(ABSENT, "internal_error", 500, false, "there is no such thing")                              \
    X(EXISTS, "internal_error", 500, false, "it exists already")                                   \
    X(LOCKED, "internal_error", 500, true, "another process holds it")                             \
    X(FULL, "internal_error", 500, true, "a bounded queue, table or buffer is full")               \
    X(TIMEOUT, "internal_error", 500, true, "a deadline passed")                                   \
    X(CANCELLED, "internal_error", 500, true, "the work was called off")                           \
    X(STALE, "not_ready", 503, true, "the store went back to an older state")                      \
    X(TOO_NEW, "internal_error", 500, false, "written by a newer version of the program")          \
    X(FATAL, "internal_error", 500, false, "this process must stop; a restart recovers")

enum err {
#define ERR_ENUM_(name, code, status, retryable, sentence) ERR_##name,
    ERR_TABLE(ERR_ENUM_)
#undef ERR_ENUM_
        ERR_COUNT
};

#define MUST_USE __attribute__((warn_unused_result))

/* All of these take any enum err; out of range is answered as ERR_INTERNAL_ERROR. */
const char *err_name(enum err err);     /* "MISSING_FIELD": for logs and tests */
const char *err_code(enum err err);     /* "missing_field": for clients and metrics */
const char *err_sentence(enum err err); /* for people */
int err_status(enum err err);           /* HTTP status */
bool err_is_retryable(enum err err);

#endif
