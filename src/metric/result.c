/*
 * result - rows, partial cells and summary of an answer, in the query's arena.
 *
 * Everything has its final size when made; a metric then fills cells in any order.
 */
#include "metric/query.h"

#include <assert.h>

/*
 * The result's arrays are const for readers; these are the same memory for the metric that fills
 * them.
 */
static void *
writable(const void *ptr)
{
    return (void *)(uintptr_t)ptr;
}

enum err
result_make(const struct metric_query *query, uint32_t columns, uint32_t rows,
            uint32_t partials_max, uint32_t summaries, struct metric_result *result)
{
    *result = (struct metric_result){.params = query->params,
                                     .column_count = columns,
                                     .row_count = rows,
                                     .summary_count = summaries};
    result->columns = ARENA_NEW(query->arena, struct metric_column, columns);
    result->cells = ARENA_NEW(query->arena, struct metric_cell, (size_t)rows * columns);
    result->partials = ARENA_NEW(query->arena, struct metric_partial, partials_max);
    result->summaries = ARENA_NEW(query->arena, struct metric_summary, summaries);
    if (result->columns == NULL || result->cells == NULL || result->partials == NULL ||
        result->summaries == NULL)
        return ERR_NOMEM;
    return ERR_OK;
}

void
result_set_column(struct metric_result *result, uint32_t column, struct slice name,
                  enum metric_type type)
{
    struct metric_column *columns = writable(result->columns);

    assert(column < result->column_count);
    columns[column] = (struct metric_column){name, type};
}

struct metric_cell *
result_cell(struct metric_result *result, uint32_t row, uint32_t column)
{
    struct metric_cell *cells = writable(result->cells);

    assert(row < result->row_count && column < result->column_count);
    return &cells[(size_t)row * result->column_count + column];
}

void
result_add_partial(struct metric_result *result, uint32_t row, int32_t column)
{
    struct metric_partial *partials = writable(result->partials);

    partials[result->partial_count++] = (struct metric_partial){row, column};
}

void
result_set_summary(struct metric_result *result, uint32_t i, const char *name,
                   struct metric_cell *cells, uint32_t count, bool is_list)
{
    struct metric_summary *summaries = writable(result->summaries);

    assert(i < result->summary_count);
    summaries[i] = (struct metric_summary){name, is_list, cells, count};
}

struct metric_cell
cell_ratio(uint128 numerator, uint128 denominator)
{
    struct metric_cell cell = {.kind = METRIC_CELL_NULL};

    if (denominator == 0)
        return cell;
    cell.kind = METRIC_CELL_HUNDREDTHS;
    cell.value.integer = (uint64_t)((numerator * 200 + denominator) / (denominator * 2));
    return cell;
}
