/*
 * erasure_inside - what the files of erasure jobs share: how a row is read, and who
 * missed a job.
 *
 * Layer 3 (account), not for other rooms.
 */
#ifndef POTIK_ACCOUNT_ERASURE_INSIDE_H
#define POTIK_ACCOUNT_ERASURE_INSIDE_H

#include "account/erasure.h"
#include "account/inside.h"

/* Of the columns of erasure-get.sql. ERR_CORRUPT: it was edited by hand. */
MUST_USE enum err erasure_of_row(const struct db_rows *rows, uint32_t row,
                                 struct erasure *ret_erasure, struct diag *diag);
/* PostgreSQL, within the transaction that ends a job: nodes that have no part in it will hear. */
MUST_USE enum err erasure_note_missed(struct account *account, uint64_t id, struct diag *diag);
/* Once it stands where it stays: the selection's person points into it. */
void erasure_point_to_person(struct erasure *erasure);

#endif
