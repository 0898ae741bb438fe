/*
 * learnt - what was seen of a project: of each event type how many, when, and which properties with
 * which types of JSON. Names and counts; never a value.
 *
 * Layer 4. The loader adds each row as it gives it to the tail, so that ingest pays nothing, and
 * every node, and a rebuild, learn the same from the same rows in the same order. It is derived: a
 * file beside the manifest, which names it, covers exactly the rows that are sealed; those of the
 * tail are learnt again as they are loaded again. Readers ask through a view (warehouse.h).
 *
 * Bounded, by what came first: types by their id, properties of a type and of all, bytes of names.
 * What is beyond is counted by its type alone, and the type says that its list is not complete.
 * Only properties themselves are named, not what is nested in them.
 *
 * File learnt.<number>, little-endian, checksum in the manifest; types in order of id:
 * u32 id, u64 count, i64 first and i64 last received_at, u8 is_complete, u16 properties; each of
 * them: u16 length, name, u64 count of null, boolean, integer, number, string, array, object.
 */
#ifndef POTIK_WAREHOUSE_LEARNT_H
#define POTIK_WAREHOUSE_LEARNT_H

#include "event/event.h"
#include "warehouse/manifest.h"
#include "warehouse/types.h"
#include "warehouse/warehouse.h"

#define LEARNT_TYPES_MAX 1000 /* ids below it */
/* of a type; of one event no more are looked at */
#define LEARNT_PROPERTIES_MAX WAREHOUSE_LEARNT_PROPERTIES_MAX
#define LEARNT_ALL_PROPERTIES_MAX 20000      /* of a project */
#define LEARNT_NAME_BYTES_MAX 256            /* decoded; longer ones are not learnt */
#define LEARNT_ALL_NAMES_BYTES_MAX (1 << 20) /* of a project */

struct learnt;

MUST_USE enum err learnt_new(struct learnt **ret_learnt);
void learnt_free(struct learnt **place);
/*
 * The loader's, two steps a row, so that a row that fails half way is not counted: before it is
 * given to the tail room is made for its names (ERR_NOMEM; it may be prepared again), afterwards it
 * is counted.
 */
MUST_USE enum err
learnt_prepare(struct learnt *learnt, uint32_t type_id, const struct event *event);
void learnt_add(struct learnt *learnt, uint32_t type_id, int64_t received_at_us);
/* The loader's: types that nobody uses any more, where is_gone[id] of `count`. */
void learnt_forget(struct learnt *learnt, const bool *is_gone, uint32_t count);

/* Into an empty one what the manifest names, if anything. ERR_CORRUPT, ERR_IO, ERR_NOMEM. */
MUST_USE enum err learnt_read(struct learnt *learnt, const char *dir,
                              const struct manifest *manifest, struct diag *diag);
/* A further file, named by `manifest` from here on. */
MUST_USE enum err
learnt_write(struct learnt *learnt, const char *dir, struct manifest *manifest, struct diag *diag);
/* The file that a manifest named, if any: it is named no more. */
MUST_USE enum err
learnt_unlink(const char *dir, const struct manifest *manifest, struct diag *diag);

/* Any thread: types below type_count that have a name, by id. `each` is called under the lock: the
 * loader waits. */
void learnt_each(struct learnt *learnt, const struct types *types, uint32_t type_count,
                 warehouse_learnt_fn *each, void *state);

#endif
