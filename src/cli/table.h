/*
 * table - rows and columns as text a person reads: aligned, under a rule, numbers to the right.
 *
 * Layer 8, the main thread. Cells are cleaned: control characters of stored text must not reach a
 * terminal, so they are shown as \u00xx. Width counts characters, not bytes.
 *
 *     day             users
 *     --------------  -----
 *     2026-01-01 Thu  1,209
 */
#ifndef POTIK_CLI_TABLE_H
#define POTIK_CLI_TABLE_H

#include "base/arena.h"
#include "base/buf.h"

#define TABLE_COLUMNS_MAX 400

struct table;

/* Rows live in the arena. NULL: out of memory. column_count ≤ TABLE_COLUMNS_MAX. */
struct table *table_new(struct arena *arena, uint32_t column_count);
/* `is_right`: numbers. The title is copied. */
void table_column(struct table *table, uint32_t column, struct slice title, bool is_right);
/* Begins a row of empty cells. */
void table_row(struct table *table);
/* A rule across, before the next row. */
void table_rule(struct table *table);
/* Into the current row; copied and cleaned. */
void table_cell(struct table *table, uint32_t column, struct slice text);
void table_cell_printf(struct table *table, uint32_t column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* false: memory ran out somewhere on the way; nothing sensible was drawn. */
MUST_USE bool table_draw(const struct table *table, struct buf *buf);

/* "1,234,567"; at most 27 bytes with the NUL. */
#define TABLE_NUMBER_TEXT 32
const char *table_number(uint64_t value, char ret_text[TABLE_NUMBER_TEXT]);
/* Appends the text with control characters and broken UTF-8 made visible. */
void table_clean(struct buf *buf, struct slice text);

#endif
