/*
 * backup - a copy of an embedded store beside a running server, and a data folder made from one.
 *
 * Layer 7, the main thread.
 *
 * A backup is a folder:
 *
 *   accounts.db, token-keys    projects, keys, people, jobs; the keys of access tokens
 *   secret, ledger/<seq>.seg   the events (store/embedded/backup.c)
 *   MANIFEST                   what there is: text, written last
 *
 * All of it is as secret as the data folder. What is derived is left out, and made again by the
 * first start. The ledger's bound is found first, then accounts.db is copied, then the ledger: an
 * erasure that ends between the last two is under way in the copy, and is done again there (the
 * other way round it would be taken for done, with its events back); and a project that is made
 * between the first two has no events in the copy.
 *
 * MANIFEST is lines of words:
 *
 *   potik-backup 1
 *   made_at 1767225600000000              Unix microseconds: all that was acked before is in it
 *   file BYTES CRC32C NAME                one a file; CRC as 8 hexadecimal digits
 *   end FILES CRC32C                      of all the text before this line
 *
 * Both are made under another name (FOLDER.partial, beside it) and renamed when they are whole: a
 * backup or a data folder of that name is never half of one.
 */
#ifndef POTIK_APP_BACKUP_H
#define POTIK_APP_BACKUP_H

#include "base/diag.h"
#include "base/err.h"
#include "base/file.h"
#include "base/slice.h"

#include <stdint.h>

#define BACKUP_MANIFEST "MANIFEST"
#define BACKUP_FIRST_LINE "potik-backup 1"
#define BACKUP_PARTIAL ".partial"
#define BACKUP_MANIFEST_BYTES_MAX ((size_t)64 << 20)

/* Told now and then how many bytes are copied of how many, which is an estimate while it is 0. */
typedef void backup_show(void *state, uint64_t done, uint64_t total);

struct backup_facts {
    uint64_t files;
    uint64_t bytes;
    int64_t made_at_us;
};

/*
 * Copies data_dir to the folder `to`, which must be absent or empty, and reads the copy through as
 * doctor does. ERR_ABSENT: no ledger there; ERR_EXISTS: `to` is in use; ERR_CORRUPT: the copy does
 * not read (the words say what; nothing stands at `to`); ERR_IO, ERR_STORAGE_FULL.
 */
MUST_USE enum err backup_run(const char *data_dir, const char *to, backup_show *show, void *state,
                             struct backup_facts *ret_facts, struct diag *diag);
/*
 * Makes data_dir, which must be absent or empty, from the backup in `from`. ERR_ABSENT: there is no
 * backup; ERR_TOO_NEW: of a newer program; ERR_CORRUPT: a file is missing, or is not what was
 * written.
 */
MUST_USE enum err backup_restore(const char *from, const char *data_dir, backup_show *show,
                                 void *state, struct backup_facts *ret_facts, struct diag *diag);

/* A file that a manifest names: one of those above, never another. */
struct backup_file {
    uint64_t bytes;
    uint32_t crc;
    char name[40];
};
struct backup_manifest {
    int64_t made_at_us;
    struct backup_file *files; /* freed by mem_free */
    size_t file_count;
    uint64_t bytes; /* of all files; saturates */
};
/* Takes any bytes. ERR_CORRUPT, ERR_TOO_NEW with words that begin with `path`; ERR_NOMEM. Pure. */
MUST_USE enum err backup_manifest_parse(struct slice text, const char *path,
                                        struct backup_manifest *ret_manifest, struct diag *diag);

/* backup.c, for both: a folder that is being made, "PLACE.partial", locked against a second one. */
struct backup_folder {
    char place[FILE_PATH_MAX];
    char partial[FILE_PATH_MAX];
    int fd;
};
/* Made anew and empty. ERR_EXISTS: `place` is in use, or cannot be replaced by a rename;
 * ERR_LOCKED: another is at it. */
MUST_USE enum err
backup_begin_folder(const char *place, struct backup_folder *ret_folder, struct diag *diag);
/* Renames it to its place, durably, if all went well; else removes it. Gives that error, or `err`.
 */
MUST_USE enum err backup_end_folder(struct backup_folder *folder, enum err err, struct diag *diag);

#endif
