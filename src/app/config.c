/*
 * config - the table of settings and how its values are read. See config.h.
 *
 * Each row says where in `struct config` its value stands. A pass over defaults, file, environment
 * and flags, in that order, writes through the row; the later one wins.
 */
#include "app/config.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/slice.h"

#include <ctype.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define FILE_BYTES_MAX (64 * KIB)

enum setting_kind { SETTING_TEXT, SETTING_CHOICE, SETTING_COUNT, SETTING_BYTES, SETTING_MS };

struct setting {
    const char *name;
    enum setting_kind kind;
    size_t offset;        /* in struct config */
    const char *fallback; /* the default, as text; NULL: absent */
    uint64_t min;
    uint64_t max;
    const char *range; /* TEXT: what it may be; CHOICE: the words, '|' between; else NULL */
    bool is_of_folder; /* CONFIG_FOLDER has it too */
    bool is_auto;      /* 0 = chosen by the machine */
    const char *help;
};

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
static const struct setting settings[] = {
    TEXT_ROW("data-dir", data_dir, "./potik-data", "a folder", true,
             "everything is kept in it; made if absent"),
    TEXT_ROW("config", config, NULL, "a file", true,
             "settings, one `name = value` a line; potik.conf if it is there"),
    TEXT_ROW("listen", listen, "127.0.0.1:8700", "HOST:PORT, [IPv6]:PORT or unix:/path", false,
             "where to serve; port 0 picks a free one"),
    TEXT_ROW("store", store, "embedded", "embedded", false,
             "where events are stored"),
    TEXT_ROW("time-zone", time_zone, "UTC", "an IANA name, as Europe/Kyiv", false,
             "of project `default` when it is made"),
    CHOICE_ROW("log-format", log_format, "auto", "auto|text|json", "auto: text, coloured on a terminal"),
    CHOICE_ROW("log-level", log_level, "info", "debug|info|warn|error", "the lowest level written"),

    NUMBER_ROW(SETTING_COUNT, "loop-threads", loop_threads, "0", 0, 256, true,
               "threads that serve connections"),
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

    NUMBER_ROW(SETTING_BYTES, "segment-size", segment_bytes, "256MiB", MIB, 4 * GIB, false,
               "of one ledger file"),
    NUMBER_ROW(SETTING_COUNT, "young-ids-seal", young_ids_seal, "1000000", 1 << 9, 1 << 25, false,
               "ids kept in a table before they are sealed into a run"),
    NUMBER_ROW(SETTING_COUNT, "young-ids-max", young_ids_max, "4000000", 1 << 10, 1 << 26, false,
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

/* Variables of the client commands: not settings of the server, but known. */
static const char *const known_variables[] = {"POTIK_SERVER", "POTIK_KEY"};

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

/* "1MiB … 4GiB", "auto|text|json", "a folder"; numbers that may be 0 = auto say so. */
static void
format_range(char *out, size_t out_bytes, const struct setting *setting)
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

/* `where` names the place for a person: "--listen", "POTIK_LISTEN", "potik.conf:3: listen". */
static enum err
set_value(struct config *config, const struct setting *setting, const char *where,
          const char *value, struct diag *diag)
{
    char *place = (char *)config + setting->offset;
    char range[128];
    bool is_text = setting->kind == SETTING_TEXT || setting->kind == SETTING_CHOICE;

    if (is_text && value[0] != '\0' &&
        (setting->kind == SETTING_TEXT || is_one_of(setting->range, value))) {
        char *copy = mem_strdup(value);

        if (copy == NULL)
            return ERR_NOMEM;
        mem_free(*(char **)place);
        *(char **)place = copy;
        return ERR_OK;
    }
    if (!is_text && parse_number(setting, value, (uint64_t *)place))
        return ERR_OK;
    format_range(range, sizeof(range), setting);
    diag_set_field(diag, setting->name, "%s: \"%s\" will not do; it may be %s", where, value,
                   range);
    return ERR_INVALID;
}

static const struct setting *
find_setting(const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (strlen(settings[i].name) == len && memcmp(settings[i].name, name, len) == 0)
            return &settings[i];
    }
    return NULL;
}

/* --- the four sources -------------------------------------------------------------------------*/

static enum err
apply_defaults(struct config *config, struct diag *diag)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (settings[i].fallback != NULL) {
            enum err err =
                set_value(config, &settings[i], settings[i].name, settings[i].fallback, diag);

            if (err != ERR_OK)
                return err;
        }
    }
    return ERR_OK;
}

static enum err
apply_file_line(struct config *config, const char *path, unsigned number, char *line,
                struct diag *diag)
{
    struct slice whole = slice_trim(slice_of_text(line));
    char where[256];
    const struct setting *setting;
    const char *equals;
    struct slice name;
    struct slice value;

    if (whole.len == 0 || whole.ptr[0] == '#')
        return ERR_OK;
    equals = memchr(whole.ptr, '=', whole.len);
    if (equals == NULL) {
        diag_set(diag, "%s:%u: a line is `name = value`", path, number);
        return ERR_INVALID;
    }
    name = slice_trim(slice_of(whole.ptr, (size_t)(equals - whole.ptr)));
    value = slice_trim(slice_of(equals + 1, whole.len - (size_t)(equals + 1 - whole.ptr)));
    setting = find_setting(name.ptr, name.len);
    if (setting == NULL || setting->offset == AT(config)) {
        diag_set(diag, "%s:%u: there is no setting \"%.*s\"; potik serve --help lists them", path,
                 number, SLICE_ARGS(name));
        return ERR_INVALID;
    }
    line[(size_t)(value.ptr - line) + value.len] = '\0';
    snprintf(where, sizeof(where), "%s:%u: %s", path, number, setting->name);
    return set_value(config, setting, where, value.ptr, diag);
}

static enum err
apply_file(struct config *config, const char *path, bool must_exist, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf text;
    unsigned number = 0;
    char *rest;
    enum err err;

    buf_init(&text, FILE_BYTES_MAX + 1);
    if (!must_exist && !file_exists(path))
        return ERR_OK;
    err = file_read_whole(path, FILE_BYTES_MAX, &text, diag);
    if (err != ERR_OK)
        return err == ERR_NOMEM ? err : ERR_INVALID;
    if (text.len != 0 && memchr(text.ptr, '\0', text.len) != NULL) {
        diag_set(diag, "%s: holds a NUL byte; it must be text", path);
        return ERR_INVALID;
    }
    buf_add_char(&text, '\0');
    if (buf_failed(&text))
        return ERR_NOMEM;
    rest = text.ptr;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        size_t len = strlen(line);

        number++;
        if (len != 0 && line[len - 1] == '\r')
            line[len - 1] = '\0';
        err = apply_file_line(config, path, number, line, diag);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* POTIK_DATA_DIR for data-dir. */
static void
variable_name(char *out, size_t out_bytes, const char *name)
{
    int len = snprintf(out, out_bytes, "POTIK_%s", name);

    for (int i = 0; i < len && (size_t)i < out_bytes; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static const struct setting *
find_variable(const char *variable, size_t len)
{
    char name[64];

    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        variable_name(name, sizeof(name), settings[i].name);
        if (strlen(name) == len && memcmp(name, variable, len) == 0)
            return &settings[i];
    }
    return NULL;
}

static bool
is_known_variable(const char *variable, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(known_variables); i++) {
        if (strlen(known_variables[i]) == len && memcmp(known_variables[i], variable, len) == 0)
            return true;
    }
    return false;
}

static enum err
apply_environment(struct config *config, char *const *environment, struct diag *diag)
{
    for (size_t i = 0; environment[i] != NULL; i++) {
        const char *equals = strchr(environment[i], '=');
        size_t len = equals != NULL ? (size_t)(equals - environment[i]) : 0;
        const struct setting *setting;
        char where[64];
        enum err err;

        if (equals == NULL || strncmp(environment[i], "POTIK_", 6) != 0)
            continue;
        setting = find_variable(environment[i], len);
        if (setting == NULL) {
            if (!is_known_variable(environment[i], len))
                buf_printf(&config->warnings, "%.*s is set, but there is no such setting\n",
                           len < 200 ? (int)len : 200, environment[i]);
            continue;
        }
        variable_name(where, sizeof(where), setting->name);
        err = set_value(config, setting, where, equals + 1, diag);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* One flag at argv[*i]; moves *i over its value. */
static enum err
apply_flag(struct config *config, int argc, char *const *argv, int *i, enum config_scope scope,
           struct diag *diag)
{
    const char *word = argv[*i];
    const char *equals = strchr(word, '=');
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const struct setting *setting = NULL;
    char where[64];

    if (len > 2 && word[0] == '-' && word[1] == '-')
        setting = find_setting(word + 2, len - 2);
    if (setting == NULL || (scope == CONFIG_FOLDER && !setting->is_of_folder)) {
        diag_set(diag, "%s: there is no such %s; potik %s --help lists them", word,
                 word[0] == '-' ? "flag" : "argument", argv[0]);
        return ERR_INVALID;
    }
    snprintf(where, sizeof(where), "--%s", setting->name);
    if (equals != NULL)
        return set_value(config, setting, where, equals + 1, diag);
    if (*i + 1 >= argc) {
        diag_set_field(diag, setting->name, "%s: needs a value", where);
        return ERR_INVALID;
    }
    *i += 1;
    return set_value(config, setting, where, argv[*i], diag);
}

static enum err
apply_flags(struct config *config, int argc, char *const *argv, enum config_scope scope,
            struct diag *diag)
{
    for (int i = 1; i < argc; i++) {
        enum err err = apply_flag(config, argc, argv, &i, scope, diag);

        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* --- what the machine decides -----------------------------------------------------------------*/

static uint64_t
cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return count < 1 ? 1 : (uint64_t)count > 256 ? 256 : (uint64_t)count;
}

static uint64_t
clamp(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static void
resolve_auto(struct config *config)
{
    uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    if (config->loop_threads == 0)
        config->loop_threads = cores();
    if (config->duckdb_threads == 0)
        config->duckdb_threads = cores();
    if (config->duckdb_memory_bytes == 0)
        config->duckdb_memory_bytes = clamp(ram / 4, 256 * MIB, 4 * GIB);
    if (config->tail_bytes == 0)
        config->tail_bytes = clamp(ram / 8, 16 * MIB, 512 * MIB);
}

/* What one setting's range cannot say. */
static enum err
check_whole(const struct config *config, struct diag *diag)
{
    if (strncmp(config->store, "postgres://", 11) == 0 ||
        strncmp(config->store, "postgresql://", 13) == 0) {
        diag_set_field(diag, "store",
                       "store: this version keeps events in its own ledger only; PostgreSQL is "
                       "not built in yet, use --store embedded");
        return ERR_INVALID;
    }
    if (strcmp(config->store, "embedded") != 0) {
        diag_set_field(diag, "store", "store: \"%s\" will not do; it may be embedded",
                       config->store);
        return ERR_INVALID;
    }
    if (config->young_ids_seal > config->young_ids_max / 2) {
        diag_set_field(diag, "young-ids-seal",
                       "young-ids-seal: %llu will not do; it may be at most half of "
                       "young-ids-max, %llu",
                       (unsigned long long)config->young_ids_seal,
                       (unsigned long long)config->young_ids_max);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err
load(int argc, char *const *argv, char *const *environment, enum config_scope scope,
     struct config *config, struct diag *diag)
{
    bool is_named;
    char *named;
    enum err err = apply_defaults(config, diag);

    /* The file's name comes from the environment and the flags: these are read twice. */
    if (err == ERR_OK)
        err = apply_environment(config, environment, diag);
    if (err == ERR_OK)
        err = apply_flags(config, argc, argv, scope, diag);
    if (err != ERR_OK)
        return err;
    is_named = config->config != NULL;
    named = mem_strdup(is_named ? config->config : "potik.conf");
    if (named == NULL)
        return ERR_NOMEM;
    err = apply_file(config, named, is_named, diag);
    mem_free(named);
    buf_clear(&config->warnings);
    if (err == ERR_OK)
        err = apply_environment(config, environment, diag);
    if (err == ERR_OK)
        err = apply_flags(config, argc, argv, scope, diag);
    if (err != ERR_OK)
        return err;
    resolve_auto(config);
    return check_whole(config, diag);
}

enum err
config_load(int argc, char *const *argv, char *const *environment, enum config_scope scope,
            struct config *ret_config, struct diag *diag)
{
    struct config config = {0};
    enum err err;

    buf_init(&config.warnings, 16 * 1024);
    err = load(argc, argv, environment, scope, &config, diag);
    if (err != ERR_OK) {
        config_fini(&config);
        return err;
    }
    *ret_config = config;
    return ERR_OK;
}

void
config_fini(struct config *config)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (settings[i].kind == SETTING_TEXT || settings[i].kind == SETTING_CHOICE) {
            char **place = (char **)((char *)config + settings[i].offset);

            mem_free(*place);
            *place = NULL;
        }
    }
    buf_fini(&config->warnings);
}

void
config_write_help(FILE *out, enum config_scope scope)
{
    fprintf(out, "\nSettings (flag, over environment POTIK_…, over potik.conf, over default):\n\n");
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const struct setting *setting = &settings[i];
        char range[128];

        if (scope == CONFIG_FOLDER && !setting->is_of_folder)
            continue;
        format_range(range, sizeof(range), setting);
        fprintf(out, "  --%-18s %s\n  %20s (%s; %s)\n", setting->name, setting->help, "", range,
                setting->fallback == NULL ? "none"
                : setting->is_auto && strcmp(setting->fallback, "0") == 0
                    ? "default: by the machine"
                    : setting->fallback);
    }
}
