/*
 * postgres_row - values on their way to PostgreSQL and back, in its binary form.
 *
 * Layer 3 (account), for postgres.c alone. Integers are big-endian; a timestamptz is microseconds
 * since 2000-01-01 (PostgreSQL's documentation, "COPY", binary format;
 * src/include/datatype/timestamp.h).
 */
#ifndef POTIK_ACCOUNT_POSTGRES_ROW_H
#define POTIK_ACCOUNT_POSTGRES_ROW_H

#include "store/postgres/store_postgres.h"

#define ACCOUNT_PARAMETERS_MAX 8
struct account_parameters {
    struct postgres_parameter list[ACCOUNT_PARAMETERS_MAX];
    char numbers[ACCOUNT_PARAMETERS_MAX][8];
    int count;
};
/* $1, $2 … in turn; texts and bytes are borrowed until the statement has run. */
void account_add_i64(struct account_parameters *parameters, int64_t value);
void account_add_time(struct account_parameters *parameters, int64_t unix_us);
void account_add_text(struct account_parameters *parameters, const char *text);
void account_add_bytes(struct account_parameters *parameters, const void *bytes, size_t len);

/* An integer or a bigint; 0: NULL. */
int64_t account_number_of(const PGresult *result, int row, int column);
/* Unix microseconds; 0: NULL. */
int64_t account_time_of(const PGresult *result, int row, int column);
/* "": NULL. The rows are ours, but may have been edited: what does not fit is cut. */
void account_copy_text(const PGresult *result, int row, int column, char *ret_text, size_t size);

#endif
