/*
 * erase_gather - which ids are to go: the next rows looked through, or the next ids looked up.
 *
 * Layer 3 (store/postgres), the keeper's thread; called by erase.c, one statement a call. What is
 * found is kept in the page; where it is only counted (a dry run) the server counts.
 */
#include "postgres_sql.h"
#include "store/postgres/erase_inside.h"

#define FIND_IDS 1000 /* a statement */

enum { LOOK_GENERATION, LOOK_XID, LOOK_SEQ, LOOK_EVENT_ID, LOOK_LOOKED, LOOK_SELECTED };

static enum err
take_ids(struct postgres_erase *erase, const PGresult *result, int column)
{
    const uint32_t count_before = erase->page.count;
    enum err err = ERR_OK;

    for (int row = 0; row < PQntuples(result) && err == ERR_OK; row++) {
        if (!PQgetisnull(result, row, column))
            err = erase_page_add(&erase->page, slice_of(PQgetvalue(result, row, column),
                                                        (size_t)PQgetlength(result, row, column)));
    }
    if (err != ERR_OK)
        erase->page.count = count_before; /* they will be looked for again */
    return err;
}

static uint32_t
room(const struct postgres_erase *erase)
{
    const uint32_t left = ERASE_PAGE_ROWS - erase->page.count;

    return left < erase->rows_max ? left : erase->rows_max;
}

enum err
erase_look(struct postgres_erase *erase, struct diag *diag)
{
    const struct selection *selection = &erase->erasure.selection;
    const bool is_received = selection->kind == SELECTION_RECEIVED;
    const bool is_occurred = selection->kind == SELECTION_OCCURRED;
    const struct postgres_parameter any_time = {POSTGRES_OID_TIMESTAMPTZ, NULL, 0};
    const uint32_t rows = room(erase);
    const char is_counted = (char)erase->erasure.is_dry_run;
    char numbers[7][8];
    char times[5][8];
    struct postgres_parameter parameters[] = {
        {POSTGRES_OID_INT4, numbers[0], 4},
        erase_time_parameter(times[0], selection->received_max_us),
        {POSTGRES_OID_TEXT, NULL, 0},
        is_received ? erase_time_parameter(times[1], selection->from_us) : any_time,
        is_received ? erase_time_parameter(times[2], selection->to_us) : any_time,
        is_occurred ? erase_time_parameter(times[3], selection->from_us) : any_time,
        is_occurred ? erase_time_parameter(times[4], selection->to_us) : any_time,
        {POSTGRES_OID_INT4, numbers[1], 4},
        {POSTGRES_OID_XID8, numbers[2], 8},
        {POSTGRES_OID_INT8, numbers[3], 8},
        {POSTGRES_OID_INT4, numbers[4], 4},
        {POSTGRES_OID_XID8, numbers[5], 8},
        {POSTGRES_OID_INT8, numbers[6], 8},
        {POSTGRES_OID_BOOL, &is_counted, 1},
    };
    CLEANUP(postgres_clear) PGresult *result = NULL;
    uint64_t looked = 0;
    int last = 0;
    enum err err = ERR_OK;

    postgres_put_u32(numbers[0], selection->project_id);
    if (selection->kind == SELECTION_PERSON)
        parameters[2] = (struct postgres_parameter){POSTGRES_OID_TEXT, selection->person.ptr,
                                                    (int)selection->person.len};
    postgres_put_u32(numbers[1], (uint32_t)erase->after.generation);
    postgres_put_u64(numbers[2], erase->after.major);
    postgres_put_u64(numbers[3], erase->after.minor);
    postgres_put_u32(numbers[4], (uint32_t)erase->end.generation);
    postgres_put_u64(numbers[5], erase->end.major);
    postgres_put_u64(numbers[6], rows);
    err = postgres_query(erase->conn, sql_erase_look, parameters, COUNT_OF(parameters),
                         erase_timeout_ms(erase), &result, diag);
    if (err == ERR_OK)
        err = take_ids(erase, result, LOOK_EVENT_ID);
    if (err != ERR_OK)
        return err;
    last = PQntuples(result) - 1;
    if (last >= 0) {
        looked = postgres_get_u64(PQgetvalue(result, last, LOOK_LOOKED));
        erase->after = (struct store_position){
            .generation = postgres_get_u32(PQgetvalue(result, last, LOOK_GENERATION)),
            .major = postgres_get_u64(PQgetvalue(result, last, LOOK_XID)),
            .minor = postgres_get_u64(PQgetvalue(result, last, LOOK_SEQ))};
        if (erase->erasure.is_dry_run)
            erase->progress.events += postgres_get_u64(PQgetvalue(result, last, LOOK_SELECTED));
    }
    erase->progress.done += looked;
    erase->is_all_seen = looked < rows;
    return ERR_OK;
}

enum err
erase_find(struct postgres_erase *erase, struct diag *diag)
{
    const struct selection *selection = &erase->erasure.selection;
    const uint32_t left = selection->id_count - erase->id_next;
    uint32_t count = room(erase) < FIND_IDS ? room(erase) : FIND_IDS;
    char project[4];
    char received_max[8];
    struct postgres_parameter parameters[3] = {
        {POSTGRES_OID_INT4, project, sizeof(project)},
        {0},
        erase_time_parameter(received_max, selection->received_max_us)};
    CLEANUP(postgres_clear) PGresult *result = NULL;
    enum err err = ERR_OK;

    count = count < left ? count : left;
    postgres_put_u32(project, selection->project_id);
    err = erase_ids_parameter(&erase->page, selection->ids + erase->id_next, count, &parameters[1]);
    if (err == ERR_OK)
        err = postgres_query(erase->conn, sql_erase_find, parameters, COUNT_OF(parameters),
                             erase_timeout_ms(erase), &result, diag);
    if (err == ERR_OK && erase->erasure.is_dry_run)
        erase->progress.events += (uint64_t)PQntuples(result);
    else if (err == ERR_OK)
        err = take_ids(erase, result, 0);
    if (err != ERR_OK)
        return err;
    erase->id_next += count;
    erase->progress.done += count;
    erase->is_all_seen = erase->id_next == selection->id_count;
    return ERR_OK;
}
