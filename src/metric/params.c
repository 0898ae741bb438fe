/*
 * params - the parameters of every metric, in one table: name, type, default, range, words.
 *
 * The table drives parsing (metric_params_parse), the `params` object of the reply
 * (metric_params_write) and help (metric_parameter_at). A parameter is of the metrics whose bits it
 * has; any other name is refused, and so is one given twice unless it may repeat. Defaults that
 * hang on the clock or on other parameters (dates, zone, cohorts) are filled in after the whole
 * list has been read.
 */
#include "metric/metric.h"

#include "base/mem.h"
#include "event/limits.h"
#include "metric/query.h"
#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#define DAU (1u << METRIC_DAU)
#define TOP (1u << METRIC_TOP_EVENTS)
#define RETENTION (1u << METRIC_RETENTION)
#define ALL (DAU | TOP | RETENTION)

#define DEFAULT_DAYS 30

enum parameter_type {
    PARAMETER_DATE,
    PARAMETER_ZONE,
    PARAMETER_TYPES, /* names of event types; may repeat */
    PARAMETER_INTEGER,
    PARAMETER_CHOICE,
    PARAMETER_POSITION,
};

enum parameter_id {
    FROM,
    TO,
    START_DATE,
    TZ,
    EVENT_TYPE,
    RETURN_EVENT_TYPE,
    UNIT,
    WEEK_START,
    WINDOWS,
    COHORTS,
    COHORT,
    WINDOW,
    MODE,
    MEASURE,
    LIMIT,
    BY,
    FORMAT,
    MIN_POSITION,
    WAIT_MS,
    PARAMETER_COUNT
};

struct parameter {
    const char *name;
    enum parameter_type type;
    uint32_t metrics;
    size_t offset; /* in struct metric_params; unused for the zone and the position */
    uint32_t min;  /* of an integer */
    uint32_t max;
    uint32_t initial;       /* default of an integer or a choice */
    const char *choices[4]; /* in the order of the enum behind it, NULL at the end */
    const char *values;     /* words for help */
    const char *default_value;
    const char *help;
};

#define AT(member) offsetof(struct metric_params, member)

static const struct parameter table[PARAMETER_COUNT] = {
    [FROM] = {"from", PARAMETER_DATE, DAU | TOP, AT(from_day), .values = "date",
              .default_value = "to − 29 days", .help = "first day, included"},
    [TO] = {"to", PARAMETER_DATE, DAU | TOP, AT(to_day), .values = "date", .default_value = "today",
            .help = "last day, included"},
    [START_DATE] = {"start_date", PARAMETER_DATE, RETENTION, AT(start_day), .values = "date",
                    .default_value = "so that the last cohort is the current one",
                    .help = "any day of the first cohort's bucket"},
    [TZ] = {"tz", PARAMETER_ZONE, ALL, 0, .values = "zone", .default_value = "the project's",
            .help = "time zone that cuts days, weeks, months"},
    [EVENT_TYPE] = {"event_type", PARAMETER_TYPES, ALL, AT(event_types), .values = "name",
                    .default_value = "any", .help = "count these events only"},
    [RETURN_EVENT_TYPE] = {"return_event_type", PARAMETER_TYPES, RETENTION, AT(return_event_types),
                           .values = "name", .default_value = "event_type's",
                           .help = "what counts as coming back"},
    [UNIT] = {"unit", PARAMETER_CHOICE, RETENTION, AT(unit), .initial = CALENDAR_DAY,
              .choices = {"day", "week", "month"}, .values = "day, week, month",
              .default_value = "day", .help = "size of a bucket"},
    [WEEK_START] = {"week_start", PARAMETER_CHOICE, RETENTION, AT(week_start),
                    .choices = {"monday", "sunday"}, .values = "monday, sunday",
                    .default_value = "the project's", .help = "where a week begins"},
    [WINDOWS] = {"windows", PARAMETER_INTEGER, RETENTION, AT(windows), .min = 1,
                 .max = METRIC_WINDOWS_MAX, .initial = 8, .values = "1–370", .default_value = "8",
                 .help = "offsets, w0 included"},
    [COHORTS] = {"cohorts", PARAMETER_INTEGER, RETENTION, AT(cohorts), .min = 1,
                 .max = METRIC_WINDOWS_MAX, .values = "1–370", .default_value = "windows",
                 .help = "rows"},
    [COHORT] = {"cohort", PARAMETER_CHOICE, RETENTION, AT(cohort),
                .initial = METRIC_COHORT_FIRST_TIME, .choices = {"first_time"},
                .values = "first_time", .default_value = "first_time",
                .help = "a person belongs to the bucket of their first event ever"},
    [WINDOW] = {"window", PARAMETER_CHOICE, RETENTION, AT(window),
                .initial = METRIC_WINDOW_CALENDAR, .choices = {"calendar"}, .values = "calendar",
                .default_value = "calendar", .help = "offsets are differences of buckets"},
    [MODE] = {"mode", PARAMETER_CHOICE, RETENTION, AT(mode), .initial = METRIC_MODE_ON,
              .choices = {"on"}, .values = "on", .default_value = "on",
              .help = "came back in exactly that bucket"},
    [MEASURE] = {"measure", PARAMETER_CHOICE, RETENTION, AT(measure),
                 .initial = METRIC_MEASURE_USERS, .choices = {"users", "percent"},
                 .values = "users, percent", .default_value = "users", .help = "what cells hold"},
    [LIMIT] = {"limit", PARAMETER_INTEGER, TOP, AT(limit), .min = 1, .max = LIMIT_ROWS,
               .initial = 10, .values = "1–1000", .default_value = "10", .help = "rows"},
    [BY] = {"by", PARAMETER_CHOICE, TOP, AT(by), .initial = METRIC_BY_EVENTS,
            .choices = {"events", "users"}, .values = "events, users", .default_value = "events",
            .help = "what orders the rows"},
    [FORMAT] = {"format", PARAMETER_CHOICE, ALL, AT(format), .initial = METRIC_FORMAT_JSON,
                .choices = {"json", "csv", "ndjson"}, .values = "json, csv, ndjson",
                .default_value = "json", .help = "form of the answer"},
    [MIN_POSITION] = {"min_position", PARAMETER_POSITION, ALL, 0, .values = "position",
                      .default_value = "",
                      .help = "answer once this position of an ingest reply is counted"},
    [WAIT_MS] = {"wait_ms", PARAMETER_INTEGER, ALL, AT(wait_ms), .min = 0,
                 .max = METRIC_WAIT_MS_MAX, .initial = 0, .values = "0–10000", .default_value = "0",
                 .help = "how long to wait for min_position"},
};

static void *
member(struct metric_params *params, const struct parameter *parameter)
{
    return (char *)params + parameter->offset;
}

static const void *
const_member(const struct metric_params *params, const struct parameter *parameter)
{
    return (const char *)params + parameter->offset;
}

/* --- parsing
 * ------------------------------------------------------------------------------------*/

struct parse {
    const struct metric_context *context;
    struct arena *arena;
    struct metric_params *params;
    struct diag *diag;
    uint32_t pair_count;
    bool is_given[PARAMETER_COUNT];
};

static enum err
refuse_unknown(const struct parse *parse, struct slice name)
{
    struct slice field = arena_copy(parse->arena, name); /* with a NUL behind it */
    char names[400];
    size_t len = 0;

    for (uint32_t i = 0; i < PARAMETER_COUNT; i++)
        if ((table[i].metrics & (1u << parse->params->metric->id)) != 0)
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? ", " : "",
                                    table[i].name);
    if (field.ptr == NULL)
        return ERR_NOMEM;
    diag_set_field(parse->diag, field.ptr, "%s has no such parameter; it takes %s",
                   parse->params->metric->name, names);
    return ERR_INVALID_PARAMETER;
}

static enum err
parse_date(const struct parse *parse, const struct parameter *parameter, struct slice value)
{
    int32_t *day = member(parse->params, parameter);

    if (calendar_day_parse(value, day))
        return ERR_OK;
    diag_set_field(parse->diag, parameter->name,
                   "%s: not a date of the calendar; give one as YYYY-MM-DD, such as 2026-01-31",
                   parameter->name);
    return ERR_INVALID_PARAMETER;
}

static enum err
parse_zone(const struct parse *parse, struct slice value)
{
    struct diag why = DIAG_INIT;
    enum err err = zones_find(parse->context->zones, value, &parse->params->zone, &why);

    if (err != ERR_OK)
        diag_set_field(parse->diag, "tz", "tz: %s", why.message);
    return err;
}

/* Adds a name, once. */
static enum err
parse_type(const struct parse *parse, const struct parameter *parameter, struct slice value)
{
    struct metric_texts *texts = member(parse->params, parameter);
    struct slice *list = (struct slice *)(uintptr_t)texts->texts;

    if (value.len < 1 || value.len > LIMIT_EVENT_TYPE_BYTES) {
        diag_set_field(parse->diag, parameter->name, "%s: must be 1 to %d bytes long",
                       parameter->name, LIMIT_EVENT_TYPE_BYTES);
        return ERR_INVALID_PARAMETER;
    }
    if (list == NULL) {
        list = ARENA_NEW(parse->arena, struct slice, parse->pair_count);
        if (list == NULL)
            return ERR_NOMEM;
        texts->texts = list;
    }
    for (uint32_t i = 0; i < texts->count; i++)
        if (slice_equal(list[i], value))
            return ERR_OK;
    list[texts->count++] = value;
    return ERR_OK;
}

static enum err
parse_integer(const struct parse *parse, const struct parameter *parameter, struct slice value)
{
    uint32_t *number = member(parse->params, parameter);
    uint64_t sum = 0;
    bool is_number = value.len >= 1 && value.len <= 9;

    for (size_t i = 0; is_number && i < value.len; i++) {
        is_number = value.ptr[i] >= '0' && value.ptr[i] <= '9';
        sum = sum * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    if (!is_number || sum < parameter->min || sum > parameter->max) {
        diag_set_field(parse->diag, parameter->name, "%s: must be a whole number from %u to %u",
                       parameter->name, parameter->min, parameter->max);
        return ERR_INVALID_PARAMETER;
    }
    *number = (uint32_t)sum;
    return ERR_OK;
}

static enum err
parse_choice(const struct parse *parse, const struct parameter *parameter, struct slice value)
{
    uint32_t *choice = member(parse->params, parameter);

    for (uint32_t i = 0; i < COUNT_OF(parameter->choices) && parameter->choices[i] != NULL; i++)
        if (slice_equal(slice_of_text(parameter->choices[i]), value)) {
            *choice = i;
            return ERR_OK;
        }
    diag_set_field(parse->diag, parameter->name, "%s: must be %s%s", parameter->name,
                   parameter->choices[1] != NULL ? "one of " : "", parameter->values);
    return ERR_INVALID_PARAMETER;
}

static enum err
parse_position(const struct parse *parse, struct slice value)
{
    struct metric_params *params = parse->params;

    if (store_position_parse(value, &params->min_position) != ERR_OK) {
        diag_set_field(parse->diag, "min_position",
                       "min_position: not a position; give back `position` of an ingest reply");
        return ERR_INVALID_PARAMETER;
    }
    params->has_min_position = true;
    params->min_position_text = value;
    return ERR_OK;
}

static enum err
parse_value(const struct parse *parse, const struct parameter *parameter, struct slice value)
{
    switch (parameter->type) {
    case PARAMETER_DATE:
        return parse_date(parse, parameter, value);
    case PARAMETER_ZONE:
        return parse_zone(parse, value);
    case PARAMETER_TYPES:
        return parse_type(parse, parameter, value);
    case PARAMETER_INTEGER:
        return parse_integer(parse, parameter, value);
    case PARAMETER_CHOICE:
        return parse_choice(parse, parameter, value);
    case PARAMETER_POSITION:
        break;
    }
    return parse_position(parse, value);
}

static enum err
parse_pair(struct parse *parse, const struct metric_pair *pair)
{
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        if ((table[i].metrics & (1u << parse->params->metric->id)) == 0 ||
            !slice_equal(slice_of_text(table[i].name), pair->name))
            continue;
        if (parse->is_given[i] && table[i].type != PARAMETER_TYPES) {
            diag_set_field(parse->diag, table[i].name, "%s: given twice; give it once",
                           table[i].name);
            return ERR_INVALID_PARAMETER;
        }
        parse->is_given[i] = true;
        return parse_value(parse, &table[i], pair->value);
    }
    return refuse_unknown(parse, pair->name);
}

/* --- defaults that hang on others
 * ---------------------------------------------------------------*/

static enum err
finish_range(const struct parse *parse, int32_t today)
{
    struct metric_params *params = parse->params;
    char from[CALENDAR_DAY_TEXT], to[CALENDAR_DAY_TEXT];

    if (!parse->is_given[TO])
        params->to_day = today;
    if (!parse->is_given[FROM]) {
        params->from_day = params->to_day - (DEFAULT_DAYS - 1);
        if (params->from_day < CALENDAR_DAY_MIN)
            params->from_day = CALENDAR_DAY_MIN;
    }
    calendar_day_format(params->from_day, from);
    calendar_day_format(params->to_day, to);
    if (params->from_day > params->to_day) {
        diag_set_field(parse->diag, "from", "from: %s lies after `to` (%s%s)", from, to,
                       parse->is_given[TO] ? "" : ", today");
        return ERR_INVALID_PARAMETER;
    }
    if (params->to_day - params->from_day >= LIMIT_QUERY_DAYS) {
        diag_set_field(parse->diag, "from",
                       "from: %s to %s is more than %d days; ask for a shorter range", from, to,
                       LIMIT_QUERY_DAYS);
        return ERR_INVALID_PARAMETER;
    }
    return ERR_OK;
}

static enum err
finish_cohorts(const struct parse *parse, int32_t today)
{
    struct metric_params *params = parse->params;
    int32_t first;

    if (!parse->is_given[WEEK_START])
        params->week_start = parse->context->week_start;
    params->bucket_unit = params->unit == CALENDAR_WEEK && params->week_start == METRIC_WEEK_SUNDAY
                              ? CALENDAR_WEEK_FROM_SUNDAY
                              : params->unit;
    if (!parse->is_given[COHORTS])
        params->cohorts = params->windows;
    if (!parse->is_given[RETURN_EVENT_TYPE])
        params->return_event_types = params->event_types;
    if (!parse->is_given[START_DATE]) {
        int32_t current = calendar_bucket_of_day(params->bucket_unit, today);

        params->start_day =
            calendar_bucket_first_day(params->bucket_unit, current - (int32_t)params->cohorts + 1);
    }
    first = calendar_bucket_of_day(params->bucket_unit, params->start_day);
    if (calendar_bucket_first_day(params->bucket_unit, first) < CALENDAR_DAY_MIN ||
        calendar_bucket_first_day(params->bucket_unit,
                                  first + (int32_t)(params->cohorts + params->windows)) >
            CALENDAR_DAY_MAX) {
        diag_set_field(parse->diag, "start_date",
                       "start_date: the report leaves the years 0001 to 9999; begin elsewhere");
        return ERR_INVALID_PARAMETER;
    }
    return ERR_OK;
}

static enum err
finish(const struct parse *parse)
{
    struct metric_params *params = parse->params;
    int32_t today;
    enum err err;

    if (!parse->is_given[TZ]) {
        err = parse_zone(parse, parse->context->project_zone);
        if (err != ERR_OK)
            return err;
    }
    today = zone_day_at_us(params->zone, parse->context->now_us);
    return params->metric->id == METRIC_RETENTION ? finish_cohorts(parse, today)
                                                  : finish_range(parse, today);
}

enum err
metric_params_parse(const struct metric *metric, const struct metric_pair *pairs,
                    uint32_t pair_count, const struct metric_context *context, struct arena *arena,
                    struct metric_params **ret_params, struct diag *diag)
{
    struct metric_params *params = ARENA_NEW(arena, struct metric_params, 1);
    struct parse parse = {.context = context,
                          .arena = arena,
                          .params = params,
                          .diag = diag,
                          .pair_count = pair_count};
    enum err err = ERR_OK;

    if (params == NULL)
        return ERR_NOMEM;
    params->metric = metric;
    params->now_us = context->now_us;
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++)
        if ((table[i].metrics & (1u << metric->id)) != 0 &&
            (table[i].type == PARAMETER_INTEGER || table[i].type == PARAMETER_CHOICE))
            *(uint32_t *)member(params, &table[i]) = table[i].initial;
    for (uint32_t i = 0; i < pair_count && err == ERR_OK; i++)
        err = parse_pair(&parse, &pairs[i]);
    if (err == ERR_OK)
        err = finish(&parse);
    if (err == ERR_OK)
        *ret_params = params;
    return err;
}

/* --- the way back
 * -------------------------------------------------------------------------------*/

static void
write_texts(const struct metric_texts *texts, struct buf *body)
{
    if (texts->count == 0) {
        buf_add_text(body, "null");
        return;
    }
    for (uint32_t i = 0; i < texts->count; i++) {
        buf_add_char(body, i == 0 ? '[' : ',');
        metric_text_write(texts->texts[i], body);
    }
    buf_add_char(body, ']');
}

static void
write_value(const struct metric_params *params, const struct parameter *parameter, struct buf *body)
{
    const void *value = const_member(params, parameter);
    char day[CALENDAR_DAY_TEXT];

    switch (parameter->type) {
    case PARAMETER_DATE:
        calendar_day_format(*(const int32_t *)value, day);
        buf_printf(body, "\"%s\"", day);
        return;
    case PARAMETER_ZONE:
        buf_printf(body, "\"%s\"", zone_name(params->zone));
        return;
    case PARAMETER_TYPES:
        write_texts(value, body);
        return;
    case PARAMETER_INTEGER:
        buf_add_u64(body, *(const uint32_t *)value);
        return;
    case PARAMETER_CHOICE:
        buf_printf(body, "\"%s\"", parameter->choices[*(const uint32_t *)value]);
        return;
    case PARAMETER_POSITION:
        break;
    }
    if (params->has_min_position)
        metric_text_write(params->min_position_text, body);
    else
        buf_add_text(body, "null");
}

void
metric_params_write(const struct metric_params *params, struct buf *body)
{
    char before = '{';

    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        if ((table[i].metrics & (1u << params->metric->id)) == 0)
            continue;
        buf_add_char(body, before);
        buf_printf(body, "\"%s\":", table[i].name);
        write_value(params, &table[i], body);
        before = ',';
    }
    buf_add_char(body, '}');
}

bool
metric_parameter_at(const struct metric *metric, uint32_t i, struct metric_parameter_help *ret_help)
{
    for (uint32_t k = 0; k < PARAMETER_COUNT; k++) {
        if ((table[k].metrics & (1u << metric->id)) == 0 || i-- > 0)
            continue;
        *ret_help =
            (struct metric_parameter_help){.name = table[k].name,
                                           .values = table[k].values,
                                           .default_value = table[k].default_value,
                                           .help = table[k].help,
                                           .is_repeatable = table[k].type == PARAMETER_TYPES};
        return true;
    }
    return false;
}
