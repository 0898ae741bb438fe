/*
 * redis_ask - what is said to Redis: the greeting of a new connection, and the tellings.
 *
 * Layer 3 (limit), on the loop's thread that opened the link. All of a greeting leaves at once:
 * AUTH and SELECT where the URL asks for them, then the script, whose SHA-1 comes back and names it
 * from then on. A telling is one EVALSHA over all that was counted (sql/redis/limits.lua); answers
 * are read with care, since nobody vouches for what listens there. A Redis that has forgotten the
 * script (SCRIPT FLUSH, a restart behind a proxy) is greeted anew by connecting anew.
 */
#include "limit/redis_inside.h"

#include "base/counter.h"
#include "limit_lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEY_BYTES_MAX (REDIS_PREFIX_BYTES_MAX + 64)
#define ARGUMENT_BYTES_MAX 96

COUNTER_DEFINE(exchanges, "potik_redis_exchanges_total",
               "times Redis was told what was counted, and answered");

/* --- the greeting ----------------------------------------------------------------------------- */

static void
refuse(struct limit_redis *redis, const char *what, const redisReply *reply)
{
    struct diag diag = DIAG_INIT;

    if (reply->type == REDIS_REPLY_ERROR)
        diag_set(&diag, "%s: %.160s", what, reply->str);
    else
        diag_set(&diag, "%s: an answer that Redis does not give", what);
    redis_drop(redis, diag.message);
}

/* Of AUTH and of SELECT. */
static void
take_status(redisAsyncContext *context, void *answer, void *what)
{
    const redisReply *reply = answer; /* NULL: the connection is going */

    if (reply != NULL && reply->type != REDIS_REPLY_STATUS)
        refuse(context->data, what, reply);
}

static void
take_script(redisAsyncContext *context, void *answer, void *what)
{
    struct limit_redis *redis = context->data;
    const redisReply *reply = answer;

    if (reply == NULL || redis->words[0] != '\0') /* refused before */
        return;
    if (reply->type != REDIS_REPLY_STRING || reply->len != sizeof(redis->script) - 1) {
        refuse(redis, what, reply);
        return;
    }
    memcpy(redis->script, reply->str, sizeof(redis->script));
    redis_note_greeted(redis);
}

void
redis_greet(struct limit_redis *redis)
{
    static char auth[] = "AUTH";
    static char choose[] = "SELECT";
    static char load[] = "SCRIPT LOAD";
    const struct redis_url *url = &redis->url;
    int status = REDIS_OK;

    redis_enter(redis, REDIS_GREETING, redis->config.timeout_ms);
    if (url->user[0] != '\0')
        status = redisAsyncCommand(redis->context, take_status, auth, "AUTH %s %s", url->user,
                                   url->password);
    else if (url->password[0] != '\0')
        status = redisAsyncCommand(redis->context, take_status, auth, "AUTH %s", url->password);
    if (status == REDIS_OK && url->database != 0)
        status = redisAsyncCommand(redis->context, take_status, choose, "SELECT %u", url->database);
    if (status == REDIS_OK)
        status = redisAsyncCommand(redis->context, take_script, load, "SCRIPT LOAD %s", lua_limits);
    (void)status; /* no memory: the time for the answers will pass; hiredis is in a call of ours */
}

/* --- a telling -------------------------------------------------------------------------------- */

static void
add_bulk(struct buf *command, const char *text, int len)
{
    buf_add_char(command, '$');
    buf_add_i64(command, len);
    buf_add_text(command, "\r\n");
    buf_add(command, text, (size_t)len);
    buf_add_text(command, "\r\n");
}

static void
write_command(struct limit_redis *redis)
{
    struct buf *command = &redis->command;
    char text[KEY_BYTES_MAX > ARGUMENT_BYTES_MAX ? KEY_BYTES_MAX : ARGUMENT_BYTES_MAX];

    buf_clear(command);
    buf_add_char(command, '*');
    buf_add_u64(command, 3 + 2 * redis->part_count);
    buf_add_text(command, "\r\n");
    add_bulk(command, "EVALSHA", 7);
    add_bulk(command, redis->script, (int)strlen(redis->script));
    add_bulk(command, text, snprintf(text, sizeof(text), "%zu", redis->part_count));
    for (size_t i = 0; i < redis->part_count; i++) {
        const struct share_part *part = &redis->parts[i];

        add_bulk(command, text,
                 snprintf(text, sizeof(text), "%s:limit:%s:%" PRIx64, redis->prefix,
                          limit_who_name(part->who), part->id));
    }
    for (size_t i = 0; i < redis->part_count; i++) {
        const struct share_part *part = &redis->parts[i];

        add_bulk(command, text,
                 snprintf(text, sizeof(text), "%d %" PRId64 " %" PRId64 " %" PRId64, part->is_all,
                          part->told_ns[LIMIT_EVENTS], part->told_ns[LIMIT_REQUESTS],
                          part->told_ns[LIMIT_BYTES]));
    }
    buf_add_char(command, '\0'); /* hiredis looks for the name by strchr */
}

static bool
is_right(const struct limit_redis *redis, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != redis->part_count * LIMIT_WHAT_COUNT)
        return false;
    for (size_t i = 0; i < reply->elements; i++)
        if (reply->element[i]->type != REDIS_REPLY_INTEGER || reply->element[i]->integer < 0)
            return false;
    return true;
}

static void
take_owed(redisAsyncContext *context, void *answer, void *what)
{
    struct limit_redis *redis = context->data;
    const redisReply *reply = answer;
    /* It was told some time between the asking and now. */
    const int64_t told_ns =
        redis->asked_ns + (clock_steady_ns(redis->config.clock) - redis->asked_ns) / 2;

    if (reply == NULL)
        return;
    if (!is_right(redis, reply)) {
        refuse(redis, what, reply);
        return;
    }
    for (size_t i = 0; i < redis->part_count; i++) {
        int64_t owed_ns[LIMIT_WHAT_COUNT];

        for (size_t k = 0; k < LIMIT_WHAT_COUNT; k++)
            owed_ns[k] = reply->element[i * LIMIT_WHAT_COUNT + k]->integer;
        limit_settle(redis->config.limit, &redis->parts[i], owed_ns, told_ns);
    }
    counter_add(&exchanges, 1);
    redis_note_told(redis);
    redis_enter(redis, REDIS_IDLE, 0);
    if (redis->part_count == REDIS_PARTS_MAX)
        redis_tell(redis);
    else if (redis->is_more)
        redis_tell_soon(redis);
}

void
redis_tell(struct limit_redis *redis)
{
    static char name[] = "EVALSHA";
    const int64_t now_ns = clock_steady_ns(redis->config.clock);

    redis->is_more = false;
    redis->asked_ns = now_ns;
    redis->part_count = limit_collect(redis->config.limit, redis->parts, REDIS_PARTS_MAX, now_ns);
    if (redis->part_count == 0) {
        redis_enter(redis, REDIS_IDLE, 0);
        return;
    }
    write_command(redis);
    redis_enter(redis, REDIS_ASKING, redis->config.timeout_ms);
    if (buf_failed(&redis->command) ||
        redisAsyncFormattedCommand(redis->context, take_owed, name, redis->command.ptr,
                                   redis->command.len - 1) != REDIS_OK)
        redis_drop(redis, "out of memory");
}
