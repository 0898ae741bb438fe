/*
 * flags - see flags.h.
 */
#include "cli/flags.h"

#include "cli/command.h"
#include <string.h>

static const struct flag *
find(const struct flag *flags, size_t flag_count, const char *name, size_t len)
{
    for (size_t i = 0; i < flag_count; i++) {
        if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
            return &flags[i];
    }
    return NULL;
}

static enum err
take(const struct flag *flag, const char *value, struct diag *diag)
{
    if (flag->texts != NULL) {
        if (flag->texts->count == FLAG_TEXTS_MAX) {
            diag_set(diag, "--%s is given over %d times", flag->name, FLAG_TEXTS_MAX);
            return ERR_INVALID;
        }
        flag->texts->texts[flag->texts->count++] = value;
        return ERR_OK;
    }
    if (*flag->text != NULL) {
        diag_set(diag, "--%s is given twice", flag->name);
        return ERR_INVALID;
    }
    *flag->text = value;
    return ERR_OK;
}

enum err
flags_parse(int argc, char **argv, const struct flag *flags, size_t flag_count, size_t *ret_count,
            struct diag *diag)
{
    bool is_over = false;
    int words = 0;

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i] + 2;
        const char *equals;
        const struct flag *flag;
        enum err err;

        if (is_over || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[1 + words++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            is_over = true;
            continue;
        }
        equals = strchr(argv[i], '=');
        flag = argv[i][1] != '-' ? NULL
                                 : find(flags, flag_count, name,
                                        equals != NULL ? (size_t)(equals - name) : strlen(name));
        if (flag == NULL) {
            diag_set(diag, "unknown flag %s", argv[i]);
            return ERR_INVALID;
        }
        if (flag->is_set != NULL) {
            if (equals != NULL) {
                diag_set(diag, "--%s takes no value", flag->name);
                return ERR_INVALID;
            }
            *flag->is_set = true;
            continue;
        }
        if (equals == NULL && i + 1 == argc) {
            diag_set(diag, "--%s wants a value", flag->name);
            return ERR_INVALID;
        }
        err = take(flag, equals != NULL ? equals + 1 : argv[++i], diag);
        if (err != ERR_OK)
            return err;
    }
    *ret_count = (size_t)words;
    return ERR_OK;
}

enum err
flags_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *ret_value,
             struct diag *diag)
{
    uint64_t value = 0;
    bool is_good = true;

    if (text == NULL)
        return ERR_OK;
    for (const char *c = text; *c != '\0' && is_good; c++)
        is_good = *c >= '0' && *c <= '9' && !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
                  !__builtin_add_overflow(value, (uint64_t)(*c - '0'), &value);
    if (!is_good || *text == '\0' || value < min || value > max) {
        diag_set(diag, "--%s: must be a number from %llu to %llu, not \"%s\"", name,
                 (unsigned long long)min, (unsigned long long)max, text);
        return ERR_INVALID;
    }
    *ret_value = value;
    return ERR_OK;
}

int
flags_usage(const char *command, const char *sentence)
{
    fprintf(stderr, "potik %s: %s (potik %s --help tells more)\n", command, sentence, command);
    return COMMAND_USAGE;
}

int
flags_failed(const char *command, const char *sentence)
{
    fprintf(stderr, "potik %s: %s\n", command, sentence);
    return COMMAND_FAILED;
}
