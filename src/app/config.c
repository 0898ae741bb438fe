/*
 * config - the four sources of settings, one over the other. See config.h; the table: setting.c.
 *
 * Each row says where in `struct config` its value stands. A pass over defaults, file, environment
 * and flags, in that order, writes through the row; the later one wins.
 */
#include "app/config.h"

#include "app/setting.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/slice.h"
#include "rejects/rejects.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

#define MIB (UINT64_C(1024) * 1024)
#define FILE_BYTES_MAX (64 * 1024)

_Static_assert(REJECTS_BYTES_MIN == 1048576, "check_whole says 1MiB");

/* Variables of the client commands: not settings of the server, but known. */
static const char *const known_variables[] = {"POTIK_SERVER", "POTIK_KEY", "POTIK_READ_KEY",
                                              "POTIK_TOKEN", "POTIK_CA"};

/* --- the four sources -------------------------------------------------------------------------*/

static enum err
apply_defaults(struct config *config, struct diag *diag)
{
    for (size_t i = 0; i < setting_count; i++) {
        if (settings[i].fallback != NULL) {
            enum err err = setting_set(config, &settings[i], 0, settings[i].fallback, diag);

            if (err != ERR_OK)
                return err;
        }
    }
    return ERR_OK;
}

static enum err
refuse_name(const char *path, unsigned number, struct slice name, struct diag *diag)
{
    const struct setting *near = setting_near(name.ptr, name.len);
    bool is_near = near != NULL && near->offset != offsetof(struct config, config);

    diag_set(diag, "%.200s:%u: there is no setting \"%.*s\"; %s%s%spotik serve --help lists them",
             path, number, name.len < 100 ? (int)name.len : 100, name.ptr,
             is_near ? "did you mean \"" : "", is_near ? near->name : "", is_near ? "\"? " : "");
    return ERR_INVALID;
}

static enum err
apply_file_line(struct config *config, const char *path, unsigned number, char *line,
                struct diag *diag)
{
    struct slice whole = slice_trim(slice_of_text(line));
    uint32_t earlier;
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
    setting = setting_find(name.ptr, name.len);
    if (setting == NULL || setting->offset == offsetof(struct config, config))
        return refuse_name(path, number, name, diag);
    earlier = config->sources[setting - settings];
    if (earlier != 0 && earlier < CONFIG_FROM_ENVIRONMENT) {
        diag_set_field(diag, setting->name, "%.200s:%u: %s stands in line %u already; keep one",
                       path, number, setting->name, earlier);
        return ERR_INVALID;
    }
    line[(size_t)(value.ptr - line) + value.len] = '\0';
    return setting_set(config, setting, number, value.ptr, diag);
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
    config->file = mem_strdup(path);
    if (buf_failed(&text) || config->file == NULL)
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

static const struct setting *
find_variable(const char *variable, size_t len)
{
    char name[64];

    for (size_t i = 0; i < setting_count; i++) {
        setting_format_variable(name, sizeof(name), settings[i].name);
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
        err = setting_set(config, setting, CONFIG_FROM_ENVIRONMENT, equals + 1, diag);
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

    if (len > 2 && word[0] == '-' && word[1] == '-')
        setting = setting_find(word + 2, len - 2);
    if (setting == NULL || (scope == CONFIG_FOLDER && !setting->is_of_folder)) {
        diag_set(diag, "%s: there is no such %s; potik %s --help lists them", word,
                 word[0] == '-' ? "flag" : "argument", argv[0]);
        return ERR_INVALID;
    }
    if (equals != NULL)
        return setting_set(config, setting, CONFIG_FROM_FLAG, equals + 1, diag);
    if (*i + 1 >= argc) {
        diag_set_field(diag, setting->name, "--%s: needs a value", setting->name);
        return ERR_INVALID;
    }
    *i += 1;
    return setting_set(config, setting, CONFIG_FROM_FLAG, argv[*i], diag);
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
clamp(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static void
resolve_auto(struct config *config)
{
    const struct machine machine = machine_now();
    uint64_t ram = machine.memory_bytes;

    if (config->loop_threads == 0)
        config->loop_threads = machine.cores < 4 ? 1 : machine.cores / 2; /* docs/adr/0006 */
    if (config->duckdb_threads == 0)
        config->duckdb_threads = machine.cores;
    if (config->duckdb_memory_bytes == 0)
        config->duckdb_memory_bytes = clamp(ram / 4, 256 * MIB, 4096 * MIB);
    if (config->tail_bytes == 0)
        config->tail_bytes = clamp(ram / 8, 16 * MIB, 512 * MIB);
}

bool
config_is_given(const struct config *config, const char *name)
{
    const struct setting *setting = setting_find(name, strlen(name));

    assert(setting != NULL);
    return config->sources[setting - settings] != 0;
}

void
config_name_source(const struct config *config, const char *name, struct diag *diag)
{
    const struct setting *setting = setting_find(name, strlen(name));
    char where[SETTING_WHERE_BYTES];
    const char *words;
    const char *hint = "";
    uint32_t source;
    size_t len = strlen(name);

    assert(setting != NULL);
    if (diag == NULL)
        return;
    source = config->sources[setting - settings];
    setting_format_where(where, sizeof(where), config, setting, source);
    words = diag->message;
    if (strncmp(words, name, len) == 0 && strncmp(words + len, ": ", 2) == 0)
        words += len + 2;
    if (setting_is_text(setting))
        hint = setting_value_hint(source, *(char *const *)((const char *)config + setting->offset));
    diag_set_field(diag, name, "%s: %s%s", where, words, hint);
}

static bool
is_postgres_url(const char *text)
{
    return strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0;
}

/* Schemes of which the rest may hold a password. */
static bool
may_hold_password(const char *text)
{
    return is_postgres_url(text) || strncmp(text, "redis://", 8) == 0;
}

bool
config_is_postgres(const struct config *config)
{
    return is_postgres_url(config->store);
}

/* user:PASSWORD@… and password=PASSWORD behind the question mark. A password that should have been
 * escaped may hold anything: it ends at the last @. */
static void
hide_password(char *url)
{
    char *user = strstr(url, "://") + 3;
    char *colon = strchr(user, ':');
    char *at = strrchr(user, '@');

    if (colon != NULL && at != NULL && colon < at)
        memset(colon + 1, 'x', (size_t)(at - colon - 1));
    for (char *found = url; (found = strstr(found, "password=")) != NULL;) {
        found += strlen("password=");
        memset(found, 'x', strcspn(found, "&"));
    }
}

void
config_hide_passwords(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value = strncmp(argv[i], "--", 2) == 0 && strchr(argv[i], '=') != NULL
                          ? strchr(argv[i], '=') + 1
                          : argv[i];

        if (may_hold_password(value))
            hide_password(value);
    }
}

/* What one setting's range cannot say. */
static enum err
check_whole(const struct config *config, struct diag *diag)
{
    if (!config_is_postgres(config) && strcmp(config->store, "embedded") != 0) {
        /* what follows a scheme may hold a password */
        size_t len = strcspn(config->store, ":@/ ");

        diag_set_field(diag, "store",
                       "store: \"%.*s%s\" will not do; it may be embedded, or "
                       "postgres://USER@HOST:PORT/DATABASE",
                       (int)(len < 64 ? len : 64), config->store,
                       config->store[len] != '\0' ? "…" : "");
        config_name_source(config, "store", diag);
        return ERR_INVALID;
    }
    if ((config->tls_cert == NULL) != (config->tls_key == NULL)) {
        const char *given = config->tls_cert != NULL ? "tls-cert" : "tls-key";
        const char *missing = config->tls_cert != NULL ? "tls-key" : "tls-cert";

        diag_set_field(diag, given, "%s: needs %s, too: a certificate and its key go together",
                       given, missing);
        config_name_source(config, given, diag);
        return ERR_INVALID;
    }
    if (config->keep_rejected_bytes != 0 && config->keep_rejected_bytes < REJECTS_BYTES_MIN) {
        diag_set_field(diag, "keep-rejected",
                       "keep-rejected: %llu will not do; it may be 0, or 1MiB and more",
                       (unsigned long long)config->keep_rejected_bytes);
        config_name_source(config, "keep-rejected", diag);
        return ERR_INVALID;
    }
    if (config->young_ids_seal > config->young_ids_max / 2) {
        diag_set_field(diag, "young-ids-seal",
                       "young-ids-seal: %llu will not do; it may be at most half of "
                       "young-ids-max, %llu",
                       (unsigned long long)config->young_ids_seal,
                       (unsigned long long)config->young_ids_max);
        config_name_source(config, "young-ids-seal", diag);
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
    for (size_t i = 0; i < setting_count; i++) {
        if (setting_is_text(&settings[i])) {
            char **place = (char **)((char *)config + settings[i].offset);

            mem_free(*place);
            *place = NULL;
        }
    }
    mem_free(config->file);
    config->file = NULL;
    buf_fini(&config->warnings);
}

void
config_write_help(FILE *out, enum config_scope scope)
{
    fprintf(out, "\nSettings (flag, over environment POTIK_…, over potik.conf, over default):\n\n");
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *setting = &settings[i];
        char range[128];

        if (scope == CONFIG_FOLDER && !setting->is_of_folder)
            continue;
        setting_format_range(range, sizeof(range), setting);
        fprintf(out, "  --%-22s %s\n  %24s (%s; %s)\n", setting->name, setting->help, "", range,
                setting->fallback == NULL ? "none"
                : setting->is_auto && strcmp(setting->fallback, "0") == 0
                    ? "default: by the machine"
                    : setting->fallback);
    }
    if (scope != CONFIG_FOLDER)
        fprintf(out, "\nSizes: a number of bytes, or with KiB, MiB, GiB or TiB. Times: with ms, s, "
                     "min or h.\n");
}
