/*
 * limits - every limit of the contract, once. Each is tested at n−1, n, n+1.
 *
 * Layer 2. Lengths count bytes of decoded UTF-8 unless "as sent".
 */
#ifndef POTIK_EVENT_LIMITS_H
#define POTIK_EVENT_LIMITS_H

#define LIMIT_EVENT_ID_BYTES 128
#define LIMIT_EVENT_TYPE_BYTES 200
#define LIMIT_USER_ID_BYTES 200
#define LIMIT_ANONYMOUS_ID_BYTES 200
#define LIMIT_SESSION_ID_BYTES 128
#define LIMIT_PROPERTIES_BYTES (64 * 1024)  /* as sent */
#define LIMIT_PROPERTIES_DEPTH 16           /* the object itself is 1 */
#define LIMIT_EVENT_BYTES (1024 * 1024)     /* as sent, checked first */
#define LIMIT_BODY_DEPTH 64                 /* the outermost value is 1 */
#define LIMIT_BODY_BYTES (16 * 1024 * 1024) /* as sent */
#define LIMIT_INFLATED_BYTES (64 * 1024 * 1024)
#define LIMIT_EVENTS_PER_REQUEST 10000
#define LIMIT_HEAD_BYTES (16 * 1024)
#define LIMIT_URL_BYTES (8 * 1024)
#define LIMIT_NUMBER_DIGITS 400
#define LIMIT_NUMBER_EXPONENT_MIN (-400)
#define LIMIT_FUTURE_US (INT64_C(24) * 3600 * 1000000) /* exactly this far ahead is accepted */
#define LIMIT_REQUEST_ID_BYTES 128
#define LIMIT_QUERY_DAYS 3660
#define LIMIT_ROWS 1000

#endif
