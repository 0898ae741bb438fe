/*
 * zone - the table of zones, the reader of TZif files, and where local days begin (zone.h says
 * why).
 *
 * A TZif file (RFC 9636) of version 2 or up is two blocks, each a header of 44 bytes and data, and
 * a footer. The first block has 32-bit times for old readers and is skipped, by its own counts.
 * Header, all big-endian: "TZif", version, 15 bytes unused, then six u32 counts: isut, isstd, leap,
 * time, type, char. Data of the second block:
 *
 *     i64 × time   when the offset changes, rising
 *     u8  × time   the type from then on
 *     6   × type   i32 offset from UTC in seconds, u8 is summer time, u8 place of the abbreviation
 *     char bytes of abbreviations, 12 × leap, isstd and isut bytes: not needed here
 *
 * Footer: newline, a POSIX TZ text for the times after the last change (zone_rule.h; empty: the
 * last offset stays), newline, end of file. Before the first change type 0 holds. Files that count
 * leap seconds ("right/") are refused: event times do not.
 *
 * The table: names sorted, a pointer to the parsed zone beside each, set once by compare-and-swap;
 * two threads that parse the same zone at once both succeed and the later result is dropped. No
 * lock.
 */
#include "codec/zone.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "codec/calendar.h"
#include "codec/zone_rule.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (256 * 1024)
#define HEADER_BYTES 44
#define CHANGES_MAX 10000
#define TYPES_MAX 256
#define ABBREVIATION_BYTES_MAX 4096
#define NAMES_MAX 4096
#define FOLDER_DEPTH_MAX 3

struct zone {
    char name[ZONE_NAME_MAX + 1];
    uint32_t change_count;
    int64_t *change_at_s;     /* rising */
    int32_t *change_offset_s; /* from that change on */
    int32_t first_offset_s;   /* before the first change */
    bool has_rule;            /* after the last change; without it the last offset stays */
    struct zone_rule rule;
};

/* --- reading a TZif file
 * ------------------------------------------------------------------------*/

struct tzif_header {
    uint8_t version;
    uint32_t isut_count;
    uint32_t isstd_count;
    uint32_t leap_count;
    uint32_t time_count;
    uint32_t type_count;
    uint32_t char_count;
};

static uint32_t
read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int32_t
read_i32(const uint8_t *bytes)
{
    return (int32_t)read_u32(bytes);
}

static int64_t
read_i64(const uint8_t *bytes)
{
    return (int64_t)((uint64_t)read_u32(bytes) << 32 | read_u32(bytes + 4));
}

/* The header at the start of `rest`, all its counts within bounds. NULL, or what is wrong. */
static const char *
read_header(struct slice rest, struct tzif_header *ret_header)
{
    const uint8_t *bytes = (const uint8_t *)rest.ptr;
    struct tzif_header header;

    if (rest.len < HEADER_BYTES || memcmp(bytes, "TZif", 4) != 0)
        return "no TZif header";
    header.version = bytes[4];
    header.isut_count = read_u32(bytes + 20);
    header.isstd_count = read_u32(bytes + 24);
    header.leap_count = read_u32(bytes + 28);
    header.time_count = read_u32(bytes + 32);
    header.type_count = read_u32(bytes + 36);
    header.char_count = read_u32(bytes + 40);
    if (header.version < '2')
        return "version 1, without 64-bit times";
    if (header.time_count > CHANGES_MAX || header.type_count > TYPES_MAX ||
        header.char_count > ABBREVIATION_BYTES_MAX || header.leap_count > CHANGES_MAX)
        return "a count is too large";
    if ((header.isut_count != 0 && header.isut_count != header.type_count) ||
        (header.isstd_count != 0 && header.isstd_count != header.type_count))
        return "counts do not agree";
    *ret_header = header;
    return NULL;
}

static size_t
data_bytes(const struct tzif_header *header, size_t time_bytes)
{
    return header->time_count * (time_bytes + 1) + header->type_count * (size_t)6 +
           header->char_count + header->leap_count * (time_bytes + 4) + header->isstd_count +
           header->isut_count;
}

/* Cuts `len` bytes off the front; the caller has checked that they are there. */
static const uint8_t *
cut(struct slice *rest, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)rest->ptr;

    assert(rest->len >= len);
    rest->ptr += len;
    rest->len -= len;
    return bytes;
}

/* Changes that keep the offset (another abbreviation, summer time by name alone) are left out. */
static const char *
read_changes(const uint8_t *times, const uint8_t *indexes, const uint8_t *types,
             const struct tzif_header *header, struct zone *zone)
{
    int32_t offset_s;

    for (uint32_t i = 0; i < header->type_count; i++) {
        offset_s = read_i32(types + 6 * (size_t)i);
        if (offset_s < -ZONE_OFFSET_MAX_S || offset_s > ZONE_OFFSET_MAX_S)
            return "an offset is out of range";
    }
    offset_s = zone->first_offset_s = read_i32(types);
    for (uint32_t i = 0; i < header->time_count; i++) {
        int64_t at_s = read_i64(times + 8 * (size_t)i);
        int32_t next_s;

        if (i > 0 && at_s <= read_i64(times + 8 * (size_t)(i - 1)))
            return "times do not rise";
        if (indexes[i] >= header->type_count)
            return "a type does not exist";
        next_s = read_i32(types + 6 * (size_t)indexes[i]);
        /* The last one stays in any case: the rule holds from there. */
        if (next_s == offset_s && i + 1 < header->time_count)
            continue;
        zone->change_at_s[zone->change_count] = at_s;
        zone->change_offset_s[zone->change_count++] = offset_s = next_s;
    }
    return NULL;
}

static const char *
read_footer(struct slice rest, struct zone *zone)
{
    if (rest.len < 2 || rest.ptr[0] != '\n' || rest.ptr[rest.len - 1] != '\n')
        return "no footer";
    rest = slice_of(rest.ptr + 1, rest.len - 2);
    if (rest.len == 0)
        return NULL;
    zone->has_rule = zone_rule_parse(rest, &zone->rule);
    return zone->has_rule ? NULL : "the footer is no rule";
}

static enum err
read_tzif(struct slice tzif, struct zone *zone, const char **ret_wrong)
{
    struct tzif_header header;
    struct slice rest = tzif;
    const uint8_t *times, *indexes, *types;

    if ((*ret_wrong = read_header(rest, &header)) != NULL)
        return ERR_CORRUPT;
    *ret_wrong = "it ends early";
    if (rest.len < HEADER_BYTES + data_bytes(&header, 4))
        return ERR_CORRUPT;
    (void)cut(&rest, HEADER_BYTES + data_bytes(&header, 4));
    if ((*ret_wrong = read_header(rest, &header)) != NULL)
        return ERR_CORRUPT;
    *ret_wrong = "it ends early";
    if (rest.len < HEADER_BYTES + data_bytes(&header, 8))
        return ERR_CORRUPT;
    *ret_wrong = "it has leap seconds";
    if (header.leap_count != 0)
        return ERR_CORRUPT;
    *ret_wrong = "it has no types";
    if (header.type_count == 0 || header.char_count == 0)
        return ERR_CORRUPT;
    (void)cut(&rest, HEADER_BYTES);
    times = cut(&rest, header.time_count * (size_t)8);
    indexes = cut(&rest, header.time_count);
    types = cut(&rest, header.type_count * (size_t)6);
    (void)cut(&rest, header.char_count + header.isstd_count + header.isut_count);
    zone->change_at_s = MEM_NEW(int64_t, header.time_count + 1);
    zone->change_offset_s = MEM_NEW(int32_t, header.time_count + 1);
    if (zone->change_at_s == NULL || zone->change_offset_s == NULL)
        return ERR_NOMEM;
    if ((*ret_wrong = read_changes(times, indexes, types, &header, zone)) != NULL ||
        (*ret_wrong = read_footer(rest, zone)) != NULL)
        return ERR_CORRUPT;
    return ERR_OK;
}

enum err
zone_parse(struct slice tzif, const char *name, struct zone **ret_zone, struct diag *diag)
{
    CLEANUP(zone_free) struct zone *zone = MEM_NEW(struct zone, 1);
    const char *wrong = NULL;
    enum err err;

    if (zone == NULL)
        return ERR_NOMEM;
    snprintf(zone->name, sizeof zone->name, "%s", name);
    err = read_tzif(tzif, zone, &wrong);
    if (err == ERR_CORRUPT)
        diag_set(diag, "time zone file of %s: %s", name, wrong);
    if (err != ERR_OK)
        return err;
    *ret_zone = MOVE(zone);
    return ERR_OK;
}

void
zone_free(struct zone **zone)
{
    if (*zone == NULL)
        return;
    mem_free((*zone)->change_at_s);
    mem_free((*zone)->change_offset_s);
    mem_free(*zone);
    *zone = NULL;
}

const struct zone *
zone_utc(void)
{
    static const struct zone utc = {.name = "UTC"};

    return &utc;
}

const char *
zone_name(const struct zone *zone)
{
    return zone->name;
}

/* --- asking a zone
 * ------------------------------------------------------------------------------*/

struct zone_span
zone_span_at(const struct zone *zone, int64_t unix_s)
{
    uint32_t low = 0, high = zone->change_count; /* changes at or before unix_s */
    struct zone_span span = {INT64_MIN, INT64_MAX, zone->first_offset_s};

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (zone->change_at_s[middle] <= unix_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == zone->change_count && zone->has_rule) {
        span = zone_rule_span_at(&zone->rule, unix_s);
        if (low > 0 && span.from_s < zone->change_at_s[low - 1])
            span.from_s = zone->change_at_s[low - 1];
        return span;
    }
    if (low > 0) {
        span.from_s = zone->change_at_s[low - 1];
        span.offset_s = zone->change_offset_s[low - 1];
    }
    if (low < zone->change_count)
        span.until_s = zone->change_at_s[low];
    return span;
}

/*
 * The first instant whose local time is at or past the day's midnight. Local time cannot be there
 * more than the greatest offset before midnight in UTC, so the spans are walked from that point.
 */
int64_t
zone_day_start_us(const struct zone *zone, int32_t day)
{
    int64_t midnight_s = (int64_t)day * 86400;
    struct zone_span span = zone_span_at(zone, midnight_s - ZONE_OFFSET_MAX_S - 1);

    while (midnight_s - span.offset_s >= span.until_s)
        span = zone_span_at(zone, span.until_s);
    midnight_s -= span.offset_s;
    return (midnight_s > span.from_s ? midnight_s : span.from_s) * 1000000;
}

int32_t
zone_day_at_us(const struct zone *zone, int64_t unix_us)
{
    int64_t unix_s = unix_us / 1000000 - (unix_us % 1000000 < 0);
    int64_t local_s = unix_s + zone_span_at(zone, unix_s).offset_s;
    int32_t day = (int32_t)(local_s / 86400 - (local_s % 86400 < 0));

    /* Where the clock went back over midnight the new day has begun already. */
    while (zone_day_start_us(zone, day + 1) <= unix_us)
        day++;
    return day;
}

/* --- the table
 * ----------------------------------------------------------------------------------*/

struct zone_entry {
    char name[ZONE_NAME_MAX + 1];
    struct zone *_Atomic zone; /* NULL until first asked for */
};
struct zones {
    char dir[FILE_PATH_MAX];
    struct zone_entry *entries; /* sorted by name; empty: only UTC */
    size_t count;
    size_t capacity;
};

/*
 * A part of a zone's name: "Europe", "Port-au-Prince", "GMT+5". All begin with a capital; what else
 * lies in the folder ("posix", "right", "localtime", "tzdata.zi") does not, or holds a dot.
 */
static bool
is_name_part(const char *text)
{
    if (text[0] < 'A' || text[0] > 'Z')
        return false;
    for (; *text != '\0'; text++)
        if (!((*text >= 'A' && *text <= 'Z') || (*text >= 'a' && *text <= 'z') ||
              (*text >= '0' && *text <= '9') || *text == '-' || *text == '+' || *text == '_'))
            return false;
    return true;
}

static enum err
add_name(struct zones *zones, const char *name)
{
    struct zone_entry *entries;

    if (zones->count == NAMES_MAX)
        return ERR_OK; /* twice and more what the world has: no tzdata we know */
    if (zones->count == zones->capacity) {
        size_t capacity = zones->capacity == 0 ? 64 : zones->capacity * 2;

        entries = mem_realloc(zones->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return ERR_NOMEM;
        zones->entries = entries;
        zones->capacity = capacity;
    }
    memset(&zones->entries[zones->count], 0, sizeof *entries);
    snprintf(zones->entries[zones->count++].name, ZONE_NAME_MAX + 1, "%s", name);
    return ERR_OK;
}

/* Lists the folder `dir`/`prefix`; ERR_ABSENT and ERR_IO: it is none (a file is a zone, then). */
static enum err
list_names(struct zones *zones, const char *prefix, uint32_t depth)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    char path[FILE_PATH_MAX];
    enum err err;

    if (!file_path(path, zones->dir, prefix))
        return ERR_IO;
    err = file_list_dir(path, &list, NULL);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < list.count; i++) {
        char name[ZONE_NAME_MAX + 1];
        int len = snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] != '\0' ? "/" : "",
                           list.names[i]);

        if (!is_name_part(list.names[i]) || len > ZONE_NAME_MAX)
            continue;
        err = depth < FOLDER_DEPTH_MAX ? list_names(zones, name, depth + 1) : ERR_IO;
        if (err == ERR_ABSENT || err == ERR_IO)
            err = add_name(zones, name);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static int
compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct zone_entry *)a)->name, ((const struct zone_entry *)b)->name);
}

enum err
zones_open(const char *dir, struct zones **ret_zones, struct diag *diag)
{
    CLEANUP(zones_free) struct zones *zones = MEM_NEW(struct zones, 1);

    if (zones == NULL)
        return ERR_NOMEM;
    snprintf(zones->dir, sizeof zones->dir, "%s", dir != NULL ? dir : ZONE_DIR_DEFAULT);
    if (list_names(zones, "", 0) == ERR_NOMEM)
        return ERR_NOMEM;
    if (zones->count > 0)
        qsort(zones->entries, zones->count, sizeof *zones->entries, compare_entries);
    else
        diag_set(
            diag,
            "no time zones in %s: only UTC is known (install the package tzdata and start again)",
            zones->dir);
    *ret_zones = MOVE(zones);
    return ERR_OK;
}

void
zones_free(struct zones **zones)
{
    if (*zones == NULL)
        return;
    for (size_t i = 0; i < (*zones)->count; i++) {
        struct zone *zone = atomic_load(&(*zones)->entries[i].zone);

        zone_free(&zone);
    }
    mem_free((*zones)->entries);
    mem_free(*zones);
    *zones = NULL;
}

bool
zones_has_only_utc(const struct zones *zones)
{
    return zones->count == 0;
}

size_t
zones_count(const struct zones *zones)
{
    return zones->count == 0 ? 1 : zones->count;
}

static struct zone_entry *
find_entry(struct zones *zones, struct slice name)
{
    size_t low = 0, high = zones->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(slice_of_text(zones->entries[middle].name), name);

        if (order == 0)
            return &zones->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Reads and parses the entry's file, and keeps the result unless another thread was faster. */
static enum err
load_entry(struct zones *zones, struct zone_entry *entry, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf bytes;
    CLEANUP(zone_free) struct zone *zone = NULL;
    struct zone *none = NULL;
    char path[FILE_PATH_MAX];
    enum err err;

    buf_init(&bytes, FILE_BYTES_MAX);
    if (!file_path(path, zones->dir, entry->name))
        return ERR_IO;
    err = file_read_whole(path, FILE_BYTES_MAX, &bytes, diag);
    if (err == ERR_NOMEM)
        return err;
    if (err != ERR_OK)
        return ERR_IO;
    err = zone_parse(buf_slice(&bytes), entry->name, &zone, diag);
    if (err != ERR_OK)
        return err;
    if (atomic_compare_exchange_strong(&entry->zone, &none, zone))
        zone = NULL; /* the table's now */
    return ERR_OK;
}

enum err
zones_find(struct zones *zones, struct slice name, const struct zone **ret_zone, struct diag *diag)
{
    struct zone_entry *entry = find_entry(zones, name);
    enum err err;

    if (slice_equal(name, SLICE("UTC"))) {
        *ret_zone = zone_utc();
        return ERR_OK;
    }
    if (entry == NULL && zones->count == 0) {
        diag_set(diag, "only UTC is known: this server has no time zone data (package tzdata)");
        return ERR_INVALID_PARAMETER;
    }
    if (entry == NULL) {
        diag_set(diag, "not the name of a time zone; give one such as Europe/Kyiv or UTC");
        return ERR_INVALID_PARAMETER;
    }
    if (atomic_load(&entry->zone) == NULL) {
        err = load_entry(zones, entry, diag);
        if (err != ERR_OK)
            return err;
    }
    *ret_zone = atomic_load(&entry->zone);
    return ERR_OK;
}
