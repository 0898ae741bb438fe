/*
 * words - see words.h.
 */
#include "cli/words.h"

#include "base/mem.h"
#include "codec/calendar.h"
#include "codec/rfc3339.h"
#include "codec/utf8.h"
#include "event/limits.h"

#define US_PER_HOUR (3600 * US_PER_S)

static bool
read_time(struct slice text, int64_t *ret_us)
{
    int32_t day;

    if (calendar_day_parse(text, &day)) {
        *ret_us = day * US_PER_DAY;
        return true;
    }
    return rfc3339_parse(text, ret_us) == ERR_OK;
}

enum err
words_time(const char *flag, const char *text, int64_t *ret_us, struct diag *diag)
{
    int64_t us;

    if (read_time(slice_of_text(text), &us) && us >= 0 && us <= RFC3339_US_MAX) {
        *ret_us = us;
        return ERR_OK;
    }
    diag_set_field(diag, flag,
                   "--%s: must be a time as 2026-01-31T12:00:00Z or a date as 2026-01-31 (its "
                   "first instant, UTC), 1970 or later, not \"%.64s\"",
                   flag, text);
    return ERR_INVALID;
}

enum err
words_range(const char *from_flag, const char *from, const char *to_flag, const char *to,
            int64_t *ret_from_us, int64_t *ret_to_us, struct diag *diag)
{
    int64_t from_us, to_us;
    enum err err = words_time(from_flag, from, &from_us, diag);

    if (err == ERR_OK)
        err = words_time(to_flag, to, &to_us, diag);
    if (err != ERR_OK)
        return err;
    if (from_us >= to_us) {
        diag_set_field(diag, to_flag,
                       "--%s: must be after --%s (which is included, unlike --%s): %.64s is not "
                       "after %.64s",
                       to_flag, from_flag, to_flag, to, from);
        return ERR_INVALID;
    }
    *ret_from_us = from_us;
    *ret_to_us = to_us;
    return ERR_OK;
}

/* "90d", "36h" */
static bool
read_span(struct slice text, int64_t *ret_us)
{
    const char unit = text.len != 0 ? text.ptr[text.len - 1] : '\0';
    const int64_t unit_us = unit == 'd' ? US_PER_DAY : US_PER_HOUR;
    const int64_t max = WORDS_EXPIRY_DAYS_MAX * US_PER_DAY / unit_us;
    uint64_t count;

    if ((unit != 'd' && unit != 'h') ||
        !words_is_id(slice_of(text.ptr, text.len - 1), (uint64_t)max, &count))
        return false;
    *ret_us = (int64_t)count * unit_us;
    return true;
}

enum err
words_expiry(const char *text, int64_t now_us, int64_t *ret_us, struct diag *diag)
{
    int64_t us;

    if (read_span(slice_of_text(text), &us)) {
        *ret_us = now_us + us;
        return ERR_OK;
    }
    if (!read_time(slice_of_text(text), &us) || us > RFC3339_US_MAX) {
        diag_set_field(diag, "expires",
                       "--expires: must be a span as 90d or 36h (up to %dd), a date as 2027-01-31 "
                       "(its first instant, UTC) or a time as 2027-01-31T12:00:00Z, not \"%.64s\"",
                       WORDS_EXPIRY_DAYS_MAX, text);
        return ERR_INVALID;
    }
    if (us <= now_us) {
        diag_set_field(diag, "expires", "--expires: %.64s is past already", text);
        return ERR_INVALID;
    }
    *ret_us = us;
    return ERR_OK;
}

enum err
words_role(struct slice text, enum login_role *ret_role, struct diag *diag)
{
    if (slice_equal(text, SLICE("none"))) {
        *ret_role = LOGIN_ROLE_NONE;
        return ERR_OK;
    }
    if (login_role_parse(text, ret_role))
        return ERR_OK;
    diag_set_field(diag, "role", "role: must be owner, analyst, ingest or none, not \"%.*s\"",
                   (int)(text.len < 64 ? text.len : 64), text.ptr);
    return ERR_INVALID;
}

enum err
words_project_role(const char *text, struct slice *ret_project, enum login_role *ret_role,
                   struct diag *diag)
{
    const char *equals = strrchr(text, '=');

    if (equals != NULL && equals != text && login_role_parse(slice_of_text(equals + 1), ret_role)) {
        *ret_project = slice_of(text, (size_t)(equals - text));
        return ERR_OK;
    }
    diag_set_field(diag, "role",
                   "--role: must be PROJECT=ROLE with owner, analyst or ingest as the role, as "
                   "default=analyst, not \"%.64s\"",
                   text);
    return ERR_INVALID;
}

enum err
words_on_off(const char *text, bool *ret_is_on, struct diag *diag)
{
    const bool is_on = strcmp(text, "on") == 0;

    if (!is_on && strcmp(text, "off") != 0) {
        diag_set(diag, "must be on or off, not \"%.64s\"", text);
        return ERR_INVALID;
    }
    *ret_is_on = is_on;
    return ERR_OK;
}

enum err
words_week_start(const char *text, enum account_week_start *ret_start, struct diag *diag)
{
    const bool is_sunday = strcmp(text, "sunday") == 0;

    if (!is_sunday && strcmp(text, "monday") != 0) {
        diag_set_field(diag, "week_start", "--week-start: must be monday or sunday, not \"%.64s\"",
                       text);
        return ERR_INVALID;
    }
    *ret_start = is_sunday ? ACCOUNT_WEEK_SUNDAY : ACCOUNT_WEEK_MONDAY;
    return ERR_OK;
}

const char *
words_week_start_name(enum account_week_start start)
{
    return start == ACCOUNT_WEEK_SUNDAY ? "sunday" : "monday";
}

bool
words_is_id(struct slice text, uint64_t max, uint64_t *ret_id)
{
    uint64_t id = 0;

    if (text.len == 0 || text.ptr[0] == '0')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' ||
            __builtin_mul_overflow(id, UINT64_C(10), &id) ||
            __builtin_add_overflow(id, (uint64_t)(text.ptr[i] - '0'), &id))
            return false;
    }
    if (id > max)
        return false;
    *ret_id = id;
    return true;
}

const struct account_project *
words_find_project(const struct account_list *list, struct slice word)
{
    uint64_t id;

    if (words_is_id(word, UINT32_MAX, &id)) {
        for (size_t i = 0; i < list->project_count; i++) {
            if (list->projects[i].id == id)
                return &list->projects[i];
        }
    }
    for (size_t i = 0; i < list->project_count; i++) {
        if (slice_equal(slice_of_text(list->projects[i].name), word))
            return &list->projects[i];
    }
    return NULL;
}

enum err
words_person(const char *text, struct diag *diag)
{
    const struct slice person = slice_of_text(text);

    if (person.len >= 1 && person.len <= LIMIT_USER_ID_BYTES && utf8_is_valid(person))
        return ERR_OK;
    diag_set_field(diag, "user", "--user: must be 1 to %d bytes of UTF-8", LIMIT_USER_ID_BYTES);
    return ERR_INVALID;
}
