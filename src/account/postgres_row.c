/*
 * postgres_row - see postgres_row.h.
 */
#include "account/postgres_row.h"

#include <assert.h>
#include <string.h>

#define OID_TIMESTAMPTZ 1184

static void
add(struct account_parameters *parameters, Oid type, const void *bytes, size_t len)
{
    assert(parameters->count < ACCOUNT_PARAMETERS_MAX);
    parameters->list[parameters->count++] =
        (struct postgres_parameter){.type = type, .bytes = bytes, .len = (int)len};
}

static void
add_number(struct account_parameters *parameters, Oid type, int64_t value)
{
    char *place = parameters->numbers[parameters->count];

    postgres_put_u64(place, (uint64_t)value);
    add(parameters, type, place, 8);
}

void
account_add_i64(struct account_parameters *parameters, int64_t value)
{
    add_number(parameters, POSTGRES_OID_INT8, value);
}

void
account_add_time(struct account_parameters *parameters, int64_t unix_us)
{
    add_number(parameters, OID_TIMESTAMPTZ, unix_us - POSTGRES_EPOCH_US);
}

void
account_add_text(struct account_parameters *parameters, const char *text)
{
    add(parameters, POSTGRES_OID_TEXT, text, strlen(text));
}

void
account_add_bytes(struct account_parameters *parameters, const void *bytes, size_t len)
{
    add(parameters, POSTGRES_OID_BYTEA, bytes, len);
}

int64_t
account_number_of(const PGresult *result, int row, int column)
{
    const char *bytes = PQgetvalue(result, row, column);

    switch (PQgetlength(result, row, column)) {
    case 4:
        return (int32_t)postgres_get_u32(bytes);
    case 8:
        return (int64_t)postgres_get_u64(bytes);
    default:
        return 0;
    }
}

int64_t
account_time_of(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column)
               ? 0
               : account_number_of(result, row, column) + POSTGRES_EPOCH_US;
}

void
account_copy_text(const PGresult *result, int row, int column, char *ret_text, size_t size)
{
    size_t len = (size_t)PQgetlength(result, row, column);

    if (len >= size)
        len = size - 1;
    if (len != 0)
        memcpy(ret_text, PQgetvalue(result, row, column), len);
    ret_text[len] = '\0';
}
