/*
 * erasure_missed - jobs that ended without a node: it was away, and its warehouse may hold what
 * they erased. See erasure.h.
 *
 * Whoever ends a job notes each node that has no part in it, in the same transaction, once a
 * project: what the job named is wiped by then, so the node can only let go of all it has of the
 * project. A node that begins later reads a store without those events, and is not noted. The
 * embedded store has one node, which every job waits for.
 */
#include "account/erasure_inside.h"
#include "base/mem.h"
#include "erasure_missed_sql.h"

static const struct db_statement erasure_miss = {NULL, sql_erasure_miss};
static const struct db_statement missed_list = {NULL, sql_erasure_missed};
static const struct db_statement missed_done = {NULL, sql_erasure_missed_done};

enum err
erasure_note_missed(struct account *account, uint64_t id, struct diag *diag)
{
    struct db_values values = {0};

    if (account->db->driver->is_sqlite)
        return ERR_OK;
    db_add_number(&values, (int64_t)id);
    return db_run(account->db, &erasure_miss, &values, diag);
}

enum err
erasure_missed_list(struct account *account, const char *node, struct erasure_missed **ret_list,
                    uint32_t *ret_count, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    struct erasure_missed *list = NULL;
    enum err err = ERR_OK;

    if (!account->db->driver->is_sqlite) {
        db_add_text(&values, node);
        err = db_ask(account->db, &missed_list, &values, &rows, diag);
    }
    if (err == ERR_OK && rows != NULL && db_count(rows) != 0) {
        list = MEM_NEW(struct erasure_missed, db_count(rows));
        if (list == NULL) {
            diag_set(diag, "missed erasures: out of memory");
            err = ERR_NOMEM;
        }
    }
    if (err != ERR_OK)
        return err;
    *ret_count = list != NULL ? db_count(rows) : 0;
    for (uint32_t row = 0; row < *ret_count; row++)
        list[row] = (struct erasure_missed){.project_id = (uint32_t)db_number(rows, row, 0),
                                            .erasure_id = (uint64_t)db_number(rows, row, 1)};
    *ret_list = list;
    return ERR_OK;
}

enum err
erasure_missed_done(struct account *account, const char *node, const struct erasure_missed *missed,
                    struct diag *diag)
{
    struct db_values values = {0};

    db_add_text(&values, node);
    db_add_number(&values, missed->project_id);
    db_add_number(&values, (int64_t)missed->erasure_id);
    return db_run(account->db, &missed_done, &values, diag);
}
