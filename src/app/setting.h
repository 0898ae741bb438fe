/*
 * setting - one row of the table of settings, and reading a value through it.
 *
 * Layer 7 (app), for config.c alone.
 */
#ifndef POTIK_APP_SETTING_H
#define POTIK_APP_SETTING_H

#include "app/config.h"

#include <stddef.h>

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

extern const struct setting settings[];
extern const size_t setting_count;

/* NULL: there is none of that name. */
const struct setting *setting_find(const char *name, size_t len);
/* The setting whose name is nearest, for who has mistyped it; NULL: none is near. */
const struct setting *setting_near(const char *name, size_t len);
/*
 * Reads `value` into its place, and notes where it came from (config.sources). ERR_INVALID: one
 * sentence in `diag` that begins with the source; ERR_NOMEM.
 */
MUST_USE enum err setting_set(struct config *config, const struct setting *setting, uint32_t source,
                              const char *value, struct diag *diag);
#define SETTING_WHERE_BYTES 256
/* "--listen", "POTIK_LISTEN", "potik.conf:3: listen"; of a default "listen". */
void setting_format_where(char *out, size_t out_bytes, const struct config *config,
                          const struct setting *setting, uint32_t source);
/* POTIK_DATA_DIR for data-dir. */
void setting_format_variable(char *out, size_t out_bytes, const char *name);
/* What may be wrong with a value that the file gave: begins with "; ", or is "". */
const char *setting_value_hint(uint32_t source, const char *value);
/* "1MiB … 4GiB", "auto|text|json", "a folder"; numbers that may be 0 = auto say so. */
void setting_format_range(char *out, size_t out_bytes, const struct setting *setting);
static inline bool
setting_is_text(const struct setting *setting)
{
    return setting->kind == SETTING_TEXT || setting->kind == SETTING_CHOICE;
}

#endif
