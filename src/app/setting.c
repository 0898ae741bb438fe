/*
 * setting - the table of settings, and the forms of their values. See config.h and setting.h.
 */
#include "app/setting.h"

#include "base/mem.h"

#include <ctype.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

#define AT(member) offsetof(struct config, member)
#define TEXT_ROW(name_, member, fallback_, range_, folder_, help_)                                 \
    {                                                                                              \
        .name = name_, .kind = SETTING_TEXT, .offset = AT(member), .fallback = fallback_,          \
        .range = range_, .is_of_folder = folder_, .help = help_                                    \
    }
#define CHOICE_ROW(name_, member, fallback_, words_, help_)                                        \
    {                                                                                              \
        .name = name_, .kind = SETTING_CHOICE, .offset = AT(member), .fallback = fallback_,        \
        .range = words_, .help = help_                                                             \
    }
#define NUMBER_ROW(kind_, name_, member, fallback_, min_, max_, auto_, help_)                      \
    {                                                                                              \
        .name = name_, .kind = kind_, .offset = AT(member), .fallback = fallback_, .min = min_,    \
        .max = max_, .is_auto = auto_, .help = help_                                               \
    }

/* clang-format off */
const struct setting settings[] = {
    TEXT_ROW("data-dir", data_dir, "./potik-data", "a folder", true,
             "everything is kept in it; made if absent"),
    TEXT_ROW("config", config, NULL, "a file", true,
             "settings, one `name = value` a line; potik.conf if it is there"),
    TEXT_ROW("listen", listen, "127.0.0.1:8700", "HOST:PORT, [IPv6]:PORT or unix:/path", false,
             "where to serve; port 0 picks a free one"),
    TEXT_ROW("tls-cert", tls_cert, NULL, "a PEM file", false,
             "serve https with this certificate and what leads to its root; SIGHUP loads it anew"),
    TEXT_ROW("tls-key", tls_key, NULL, "a PEM file", false, "the private key of tls-cert"),
    TEXT_ROW("store", store, "embedded", "embedded or postgres://USER@HOST:PORT/DATABASE", true,
             "where events and keys are stored; the password best in PGPASSFILE"),
    NUMBER_ROW(SETTING_MS, "store-timeout", store_timeout_ms, "10s", 100, 10 * MINUTE, false,
               "PostgreSQL: for one statement"),
    NUMBER_ROW(SETTING_MS, "store-connect-timeout", store_connect_timeout_ms, "5s", 100, 10 * MINUTE,
               false, "PostgreSQL: for a connection to be made"),
    NUMBER_ROW(SETTING_MS, "auth-cache-max", auth_cache_max_ms, "1h", SECOND, 30 * 24 * HOUR, false,
               "PostgreSQL: keys serve from memory that long while it is away"),
    TEXT_ROW("time-zone", time_zone, "UTC", "an IANA name, as Europe/Kyiv", false,
             "of project `default` when it is made"),
    CHOICE_ROW("log-format", log_format, "auto", "auto|text|json", "auto: text, coloured on a terminal"),
    CHOICE_ROW("log-level", log_level, "info", "debug|info|warn|error", "the lowest level written"),
    TEXT_ROW("log-file", log_file, NULL, "a file", false,
             "instead of stderr; SIGHUP opens it anew, after it was renamed"),
    TEXT_ROW("access-log", access_log, NULL, "a file, or - for stderr", false,
             "one line of JSON a request; SIGHUP opens the file anew"),

    NUMBER_ROW(SETTING_MS, "token-life", token_life_ms, "15min", MINUTE, 24 * HOUR, false,
               "of an access token; what a login may do is looked up all the same"),
    NUMBER_ROW(SETTING_MS, "refresh-life", refresh_life_ms, "720h", HOUR, 365 * 24 * HOUR, false,
               "of a refresh token, from each use: who stays away longer logs in again"),
    NUMBER_ROW(SETTING_COUNT, "hash-memory", hash_memory_kib, "19456", 19456, 1048576, false,
               "KiB that hashing one password takes; one is hashed at a time"),
    NUMBER_ROW(SETTING_COUNT, "hash-passes", hash_passes, "2", 2, 10, false,
               "over that memory"),
    CHOICE_ROW("login-throttle", login_throttle, "on", "on|off", "slow down who fails to log in"),
    TEXT_ROW("origins", origins, NULL, "https://HOST[:PORT],…", false,
             "of web pages that may ask from a browser; sending events is open to all"),
    TEXT_ROW("trusted-proxy", trusted_proxy, NULL, "ADDRESS[/BITS],… or unix", false,
             "proxies whose X-Forwarded-For tells the client's address"),

    NUMBER_ROW(SETTING_COUNT, "limit-key-events", limits[LIMIT_KEY][LIMIT_EVENTS], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "events a second from one key, or one account; 0: no limit"),
    NUMBER_ROW(SETTING_COUNT, "limit-key-requests", limits[LIMIT_KEY][LIMIT_REQUESTS], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "requests a second from one key, or one account; 0: no limit"),
    NUMBER_ROW(SETTING_BYTES, "limit-key-bytes", limits[LIMIT_KEY][LIMIT_BYTES], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "bytes a second from one key, or one account; 0: no limit"),
    NUMBER_ROW(SETTING_COUNT, "limit-project-events", limits[LIMIT_PROJECT][LIMIT_EVENTS], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "events a second of one project; 0: no limit"),
    NUMBER_ROW(SETTING_COUNT, "limit-project-requests", limits[LIMIT_PROJECT][LIMIT_REQUESTS], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "requests a second of one project; 0: no limit"),
    NUMBER_ROW(SETTING_BYTES, "limit-project-bytes", limits[LIMIT_PROJECT][LIMIT_BYTES], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "bytes a second of one project; 0: no limit"),
    NUMBER_ROW(SETTING_COUNT, "limit-address-events", limits[LIMIT_ADDRESS][LIMIT_EVENTS], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "events a second from one address (IPv6: one /64 network); 0: no limit"),
    NUMBER_ROW(SETTING_COUNT, "limit-address-requests", limits[LIMIT_ADDRESS][LIMIT_REQUESTS], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "requests a second from one address (IPv6: one /64 network); 0: no limit"),
    NUMBER_ROW(SETTING_BYTES, "limit-address-bytes", limits[LIMIT_ADDRESS][LIMIT_BYTES], "0", 0,
               LIMIT_PER_SECOND_MAX, false, "bytes a second from one address (IPv6: one /64 network); 0: no limit"),
    NUMBER_ROW(SETTING_COUNT, "quota-events-month", quota_events_month, "0", 0, QUOTA_EVENTS_MAX, false,
               "events a month (UTC) of each project without a quota of its own; 0: no quota"),
    NUMBER_ROW(SETTING_MS, "limit-burst", limit_burst_ms, "2s", SECOND, LIMIT_BURST_MS_MAX, false,
               "limits: so much of a quiet time may come at once"),
    TEXT_ROW("redis", redis, NULL, "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] or unix:/path", false,
             "limits: kept together by all nodes that name the same Redis"),
    TEXT_ROW("redis-prefix", redis_prefix, "potik", "letters, digits, - _ .", false,
             "of the keys in it; nodes with one store have one prefix, others another"),
    NUMBER_ROW(SETTING_MS, "redis-timeout", redis_timeout_ms, "500ms", 10, MINUTE, false,
               "Redis: for a connection, and for each answer"),
    CHOICE_ROW("limit-fallback", limit_fallback, "local", "local|open|closed",
               "Redis away: each node limits alone, or lets all in, or nothing"),

    NUMBER_ROW(SETTING_COUNT, "loop-threads", loop_threads, "0", 0, 256, true,
               "threads that serve connections; auto: half the cores"),
    NUMBER_ROW(SETTING_COUNT, "connections-max", connections_max, "20000", 1, 1000000, false,
               "connections open at once"),
    NUMBER_ROW(SETTING_COUNT, "pipeline-max", pipeline_max, "16", 1, 64, false,
               "requests under way on one connection"),
    NUMBER_ROW(SETTING_MS, "head-timeout", head_timeout_ms, "10s", 100, 10 * MINUTE, false,
               "for a request's head, from its first byte"),
    NUMBER_ROW(SETTING_MS, "body-timeout", body_timeout_ms, "20s", 100, 10 * MINUTE, false,
               "without progress in a body (1 KiB/s)"),
    NUMBER_ROW(SETTING_MS, "request-timeout", request_timeout_ms, "5min", 100, 24 * HOUR, false,
               "for a whole request, from its first byte"),
    NUMBER_ROW(SETTING_MS, "idle-timeout", idle_timeout_ms, "75s", 100, 24 * HOUR, false,
               "for a connection without a request"),
    NUMBER_ROW(SETTING_MS, "write-timeout", write_timeout_ms, "30s", 100, 10 * MINUTE, false,
               "for a client that does not read its reply"),
    NUMBER_ROW(SETTING_BYTES, "turn-bytes", turn_bytes, "4MiB", 64 * KIB, GIB, false,
               "read before a commit, so that an import lets others in"),
    NUMBER_ROW(SETTING_BYTES, "gather-bytes", gather_bytes, "64MiB", MIB, 512 * MIB, false,
               "events held for the next commit, each thread; beyond: 503"),

    NUMBER_ROW(SETTING_BYTES, "keep-rejected", keep_rejected_bytes, "0", 0, 64 * GIB, false,
               "of refused events, kept to be found and sent again (1MiB or more); 0: none"),
    NUMBER_ROW(SETTING_MS, "keep-rejected-age", keep_rejected_age_ms, "168h", MINUTE, 366 * 24 * HOUR,
               false, "and for how long"),

    NUMBER_ROW(SETTING_BYTES, "segment-size", segment_bytes, "256MiB", MIB, 4 * GIB, false,
               "of one ledger file"),
    NUMBER_ROW(SETTING_COUNT, "young-ids-seal", young_ids_seal, "1000000", 1 << 9, 1 << 25, false,
               "ids kept in a table before they are sealed into a run"),
    NUMBER_ROW(SETTING_COUNT, "young-ids-max", young_ids_max, "4000000", 1 << 15, 1 << 26, false,
               "ids in that table at which ingest is told to wait"),
    NUMBER_ROW(SETTING_BYTES, "free-space-min", free_bytes_min, "512MiB", 0, 1024 * 1024 * GIB, false,
               "ingest stops while the disk has less than this"),

    NUMBER_ROW(SETTING_COUNT, "query-threads", query_threads, "2", 1, 64, false,
               "stats answered at the same time"),
    NUMBER_ROW(SETTING_COUNT, "query-queue", query_queue, "64", 1, 10000, false,
               "stats that may wait for a thread; beyond: 503"),
    NUMBER_ROW(SETTING_MS, "query-timeout", query_timeout_ms, "30s", 10, HOUR, false,
               "for one answer"),
    NUMBER_ROW(SETTING_COUNT, "duckdb-threads", duckdb_threads, "0", 0, 256, true,
               "of the query engine"),
    NUMBER_ROW(SETTING_BYTES, "duckdb-memory", duckdb_memory_bytes, "0", 64 * MIB, 1024 * GIB, true,
               "of the query engine"),
    NUMBER_ROW(SETTING_COUNT, "seal-rows", seal_rows, "500000", 1, 10000000, false,
               "rows of a tail before it becomes a Parquet file"),
    NUMBER_ROW(SETTING_BYTES, "seal-bytes", seal_bytes, "128MiB", 64 * KIB, 4 * GIB, false,
               "bytes of a tail before it becomes a Parquet file"),
    NUMBER_ROW(SETTING_MS, "seal-idle", seal_idle_ms, "5min", SECOND, 24 * HOUR, false,
               "after which a small tail becomes a file too"),
    NUMBER_ROW(SETTING_BYTES, "tail-bytes", tail_bytes, "0", 16 * MIB, 64 * GIB, true,
               "memory of all tails together"),
};
/* clang-format on */
const size_t setting_count = COUNT_OF(settings);
_Static_assert(COUNT_OF(settings) <= CONFIG_SETTINGS_MAX, "config.sources has one for each");

/* --- numbers with units -----------------------------------------------------------------------*/

struct unit {
    const char *name;
    uint64_t factor;
};

/* Digits, then one of `units`; a bare number where `allows_bare`, and a bare 0 always. */
static bool
parse_with_unit(const char *text, const struct unit *units, size_t unit_count, bool allows_bare,
                uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; isdigit((unsigned char)text[i]); i++) {
        if (i >= 19 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    if (i == 0)
        return false;
    if (text[i] == '\0') {
        *ret_value = value;
        return (allows_bare || value == 0) && value <= INT64_MAX;
    }
    for (size_t u = 0; u < unit_count; u++) {
        if (strcmp(text + i, units[u].name) == 0) {
            if (__builtin_mul_overflow(value, units[u].factor, &value) || value > INT64_MAX)
                return false;
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static const struct unit byte_units[] = {
    {"TiB", 1024 * GIB}, {"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"B", 1}};
static const struct unit ms_units[] = {{"h", HOUR}, {"min", MINUTE}, {"s", SECOND}, {"ms", 1}};

bool
config_parse_bytes(const char *text, uint64_t *ret_bytes)
{
    return parse_with_unit(text, byte_units, COUNT_OF(byte_units), true, ret_bytes);
}

bool
config_parse_ms(const char *text, uint64_t *ret_ms)
{
    return parse_with_unit(text, ms_units, COUNT_OF(ms_units), false, ret_ms);
}

/* The value with the greatest unit that leaves no rest. */
static void
format_with_unit(char *out, size_t out_bytes, uint64_t value, const struct unit *units,
                 size_t unit_count)
{
    for (size_t u = 0; u < unit_count; u++) {
        if (value != 0 && value % units[u].factor == 0) {
            snprintf(out, out_bytes, "%llu%s", (unsigned long long)(value / units[u].factor),
                     units[u].name);
            return;
        }
    }
    snprintf(out, out_bytes, "%llu", (unsigned long long)value);
}

static void
format_number(char *out, size_t out_bytes, const struct setting *setting, uint64_t value)
{
    if (setting->kind == SETTING_BYTES)
        format_with_unit(out, out_bytes, value, byte_units, COUNT_OF(byte_units));
    else if (setting->kind == SETTING_MS)
        format_with_unit(out, out_bytes, value, ms_units, COUNT_OF(ms_units));
    else
        snprintf(out, out_bytes, "%llu", (unsigned long long)value);
}

void
setting_format_range(char *out, size_t out_bytes, const struct setting *setting)
{
    char min[32];
    char max[32];

    if (setting->range != NULL) {
        snprintf(out, out_bytes, "%s", setting->range);
        return;
    }
    format_number(min, sizeof(min), setting, setting->min);
    format_number(max, sizeof(max), setting, setting->max);
    snprintf(out, out_bytes, "%s … %s%s", min, max,
             setting->is_auto && setting->min != 0 ? ", 0 = auto" : "");
}

/* --- one value --------------------------------------------------------------------------------*/

static bool
is_one_of(const char *words, const char *text)
{
    size_t len = strcspn(text, "|");

    if (text[len] != '\0')
        return false;
    for (const char *word = words; word != NULL; word = strchr(word, '|')) {
        word += *word == '|';
        if (len != 0 && strncmp(word, text, len) == 0 && (word[len] == '|' || word[len] == '\0'))
            return true;
    }
    return false;
}

static bool
parse_number(const struct setting *setting, const char *text, uint64_t *ret_value)
{
    uint64_t value;
    bool is_read = setting->kind == SETTING_BYTES ? config_parse_bytes(text, &value)
                   : setting->kind == SETTING_MS  ? config_parse_ms(text, &value)
                                                  : parse_with_unit(text, NULL, 0, true, &value);

    if (!is_read || value > setting->max ||
        (value < setting->min && !(setting->is_auto && value == 0)))
        return false;
    *ret_value = value;
    return true;
}

static enum err
set_text(char **place, const char *value)
{
    char *copy = mem_strdup(value);

    if (copy == NULL)
        return ERR_NOMEM;
    mem_free(*place);
    *place = copy;
    return ERR_OK;
}

void
setting_format_variable(char *out, size_t out_bytes, const char *name)
{
    int len = snprintf(out, out_bytes, "POTIK_%s", name);

    for (int i = 0; i < len && (size_t)i < out_bytes; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

void
setting_format_where(char *out, size_t out_bytes, const struct config *config,
                     const struct setting *setting, uint32_t source)
{
    if (source == CONFIG_FROM_ENVIRONMENT)
        setting_format_variable(out, out_bytes, setting->name);
    else if (source == CONFIG_FROM_FLAG)
        snprintf(out, out_bytes, "--%s", setting->name);
    else if (source != 0)
        snprintf(out, out_bytes, "%.200s:%u: %s", config->file, source, setting->name);
    else
        snprintf(out, out_bytes, "%s", setting->name);
}

const char *
setting_value_hint(uint32_t source, const char *value)
{
    bool is_of_file = source != 0 && source < CONFIG_FROM_ENVIRONMENT;

    if (is_of_file && (value[0] == '"' || value[0] == '\''))
        return "; values in the file take no quotes";
    if (is_of_file && (strstr(value, " #") != NULL || strstr(value, "\t#") != NULL))
        return "; a comment in the file takes a line of its own";
    return "";
}

enum err
setting_set(struct config *config, const struct setting *setting, uint32_t source,
            const char *value, struct diag *diag)
{
    char *place = (char *)config + setting->offset;
    char where[SETTING_WHERE_BYTES];
    char range[128];
    bool is_text = setting_is_text(setting);
    bool is_good = is_text ? value[0] != '\0' &&
                                 (setting->kind == SETTING_TEXT || is_one_of(setting->range, value))
                           : parse_number(setting, value, (uint64_t *)place);

    if (is_good) {
        config->sources[setting - settings] = source;
        return is_text ? set_text((char **)place, value) : ERR_OK;
    }
    setting_format_where(where, sizeof(where), config, setting, source);
    setting_format_range(range, sizeof(range), setting);
    diag_set_field(diag, setting->name, "%s: \"%.100s\" will not do; it may be %s%s", where, value,
                   range, setting_value_hint(source, value));
    return ERR_INVALID;
}

const struct setting *
setting_find(const char *name, size_t len)
{
    for (size_t i = 0; i < setting_count; i++) {
        if (strlen(settings[i].name) == len && memcmp(settings[i].name, name, len) == 0)
            return &settings[i];
    }
    return NULL;
}

/*
 * Letters to add, take away or exchange until one name is the other (Levenshtein 1966), row by row;
 * '-' and '_' are the same letter. Both are at most NEAR_NAME_MAX long.
 */
#define NEAR_NAME_MAX 40
#define NEAR_EDITS_MAX 2

static size_t
count_edits(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[NEAR_NAME_MAX + 1];

    for (size_t k = 0; k <= b_len; k++)
        row[k] = k;
    for (size_t i = 0; i < a_len; i++) {
        char letter = a[i] == '_' ? '-' : a[i];
        size_t corner = row[0];

        row[0] = i + 1;
        for (size_t k = 0; k < b_len; k++) {
            size_t least = corner + (letter != b[k]);

            corner = row[k + 1];
            if (corner + 1 < least)
                least = corner + 1;
            if (row[k] + 1 < least)
                least = row[k] + 1;
            row[k + 1] = least;
        }
    }
    return row[b_len];
}

const struct setting *
setting_near(const char *name, size_t len)
{
    const struct setting *nearest = NULL;
    size_t edits_min = NEAR_EDITS_MAX + 1;

    if (len < 3 || len > NEAR_NAME_MAX)
        return NULL;
    for (size_t i = 0; i < setting_count; i++) {
        size_t edits = count_edits(name, len, settings[i].name, strlen(settings[i].name));

        if (edits < edits_min) {
            edits_min = edits;
            nearest = &settings[i];
        }
    }
    return nearest;
}
