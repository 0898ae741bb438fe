/*
 * words - the small languages of flags and arguments that commands on the server's machine share:
 * times, expiries, roles, on and off, numbers of projects.
 *
 * Layer 8; pure. Each gives ERR_INVALID with one sentence in `diag` that names the flag, what it
 * may be and what it was. A time is RFC 3339, or a date alone: its first instant in UTC.
 */
#ifndef POTIK_CLI_WORDS_H
#define POTIK_CLI_WORDS_H

#include "account/account.h"
#include "account/login.h"

#define WORDS_EXPIRY_DAYS_MAX 36500

/* 1970-01-01T00:00:00Z or later, year 9999 at most. */
MUST_USE enum err
words_time(const char *flag, const char *text, int64_t *ret_us, struct diag *diag);
/* Both, from before to. */
MUST_USE enum err
words_range(const char *from_flag, const char *from, const char *to_flag, const char *to,
            int64_t *ret_from_us, int64_t *ret_to_us, struct diag *diag);
/* "36h", "90d": so long from now, 1 h … 36,500 d; or a time as above, after now. */
MUST_USE enum err
words_expiry(const char *text, int64_t now_us, int64_t *ret_us, struct diag *diag);

/* "owner", "analyst", "ingest", "none". */
MUST_USE enum err words_role(struct slice text, enum login_role *ret_role, struct diag *diag);
/* "PROJECT=ROLE" of --role: cut at the last '=', since a project's name may have one. *ret_project
 * is a slice of the text, not empty; the role is not none. */
MUST_USE enum err words_project_role(const char *text, struct slice *ret_project,
                                     enum login_role *ret_role, struct diag *diag);
MUST_USE enum err words_on_off(const char *text, bool *ret_is_on, struct diag *diag);
MUST_USE enum err
words_week_start(const char *text, enum account_week_start *ret_start, struct diag *diag);
const char *words_week_start_name(enum account_week_start start);

/* Digits alone, 1 … max without leading zeros: an id. Anything else is a name. */
bool words_is_id(struct slice text, uint64_t max, uint64_t *ret_id);
/* By its id, or else by its name; NULL: there is none. */
const struct account_project *
words_find_project(const struct account_list *list, struct slice word);

/* A person as events name one: user_id or anonymous_id, 1 … 200 bytes of UTF-8. */
MUST_USE enum err words_person(const char *text, struct diag *diag);

#endif
