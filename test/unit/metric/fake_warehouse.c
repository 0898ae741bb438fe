/* The fake of fake_warehouse.h. */
#include "fake_warehouse.h"

#include "base/mem.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_MAX 4096

uint32_t
warehouse_view_type_count(const struct warehouse_view *view)
{
    return view->type_count;
}

struct slice
warehouse_view_type_name(const struct warehouse_view *view, uint32_t type_id)
{
    assert(type_id < view->type_count);
    return slice_of_text(view->types[type_id]);
}

bool
warehouse_view_type_find(const struct warehouse_view *view, struct slice name,
                         uint32_t *ret_type_id)
{
    for (uint32_t i = 0; i < view->type_count; i++)
        if (slice_equal(slice_of_text(view->types[i]), name)) {
            *ret_type_id = i;
            return true;
        }
    return false;
}

int64_t
warehouse_view_history_from_us(const struct warehouse_view *view)
{
    return view->history_from_us;
}

/* The store room's, small enough to stand in here. */
void
store_position_format(struct store_position position, char ret_text[STORE_POSITION_TEXT])
{
    snprintf(ret_text, STORE_POSITION_TEXT, "%llu.%llu.%llu",
             (unsigned long long)position.generation, (unsigned long long)position.major,
             (unsigned long long)position.minor);
}

enum err
store_position_parse(struct slice text, struct store_position *ret_position)
{
    unsigned long long generation, major, minor;
    char copy[STORE_POSITION_TEXT];
    int end = 0;

    snprintf(copy, sizeof copy, "%.*s", SLICE_ARGS(text));
    if (sscanf(copy, "%llu.%llu.%llu%n", &generation, &major, &minor, &end) != 3 ||
        (size_t)end != text.len)
        return ERR_INVALID_PARAMETER;
    *ret_position = (struct store_position){generation, major, minor};
    return ERR_OK;
}

static int
compare_rows(const void *a, const void *b)
{
    const struct fake_row *x = a, *y = b;

    if (x->person != y->person)
        return x->person < y->person ? -1 : 1;
    return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

static bool
is_wanted(const struct warehouse_scan *scan, uint32_t type)
{
    for (uint32_t i = 0; i < scan->type_count; i++)
        if (scan->types[i] == type)
            return true;
    return scan->types == NULL;
}

/* The rows of one part, in chunks, from `rows` (in order). */
static enum err
hand_over(const struct warehouse_view *view, const struct warehouse_scan *scan, uint32_t part,
          const struct fake_row *rows, uint32_t count, bool wants_type)
{
    static uint32_t persons[CHUNK_MAX], types[CHUNK_MAX];
    static int64_t times[CHUNK_MAX];
    uint32_t chunk_rows = view->chunk_rows != 0 ? view->chunk_rows : 7;

    for (uint32_t i = 0; i < count; i += chunk_rows) {
        struct warehouse_rows chunk = {persons, times, wants_type ? types : NULL, 0};
        enum err err;

        for (; chunk.count < chunk_rows && i + chunk.count < count; chunk.count++) {
            persons[chunk.count] = rows[i + chunk.count].person;
            types[chunk.count] = rows[i + chunk.count].type;
            times[chunk.count] = rows[i + chunk.count].at_us;
        }
        err = scan->rows(scan->part_states[part], &chunk);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err
scan_sorted(struct warehouse_view *view, const struct warehouse_scan *scan, bool is_first)
{
    struct fake_row *kept = MEM_NEW(struct fake_row, view->row_count + 1);
    enum err err = ERR_OK;

    assert(scan->parts >= 1 && scan->parts <= 64 && scan->from_us < scan->to_us);
    assert(scan->types == NULL || scan->type_count > 0);
    if (kept == NULL)
        return ERR_NOMEM;
    if (view->row_count > 0)
        qsort(view->rows, view->row_count, sizeof *view->rows, compare_rows);
    for (uint32_t part = 0; part < scan->parts && err == ERR_OK; part++) {
        uint32_t count = 0;

        for (uint32_t i = 0; i < view->row_count; i++) {
            const struct fake_row *row = &view->rows[i];

            if (row->person % scan->parts != part || !is_wanted(scan, row->type))
                continue;
            if (!is_first && (row->at_us < scan->from_us || row->at_us >= scan->to_us))
                continue;
            if (is_first && count > 0 && kept[count - 1].person == row->person)
                continue;
            kept[count++] = *row;
        }
        err = hand_over(view, scan, part, kept, count, !is_first && scan->wants_type);
    }
    mem_free(kept);
    return err;
}

enum err
warehouse_scan(struct warehouse_view *view, const struct warehouse_scan *scan,
               struct query_control *control, struct diag *diag)
{
    (void)control;
    (void)diag;
    view->scan_count++;
    return view->scan_err != ERR_OK ? view->scan_err : scan_sorted(view, scan, false);
}

enum err
warehouse_scan_first(struct warehouse_view *view, const struct warehouse_scan *scan,
                     struct query_control *control, struct diag *diag)
{
    (void)control;
    (void)diag;
    view->first_scan_count++;
    return view->scan_err != ERR_OK ? view->scan_err : scan_sorted(view, scan, true);
}
