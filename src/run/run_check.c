/*
 * run_check - doctor's view of one run file: everything in it is read.
 *
 * Layer 2 (run). Any thread; beside a running server too, since runs never change.
 */
#include "base/mem.h"
#include "run/run_file.h"
#include <inttypes.h>

/* What a block must follow, and how many keys have been seen. */
struct check {
    const struct run_part *part;
    struct run_key last;
    uint64_t keys;
    uint32_t partition;
    uint32_t block;
    bool has_last;
};

static enum err
check_block(struct check *check, const uint8_t *bytes, uint32_t count, struct diag *diag)
{
    const struct run_file *file = check->part->file;
    const char *wrong = NULL;

    for (uint32_t i = 0; i < count && wrong == NULL; i++) {
        const struct run_entry entry = run_block_entry(bytes, i, file->info.payload_bytes);
        const struct filter_place place =
            filter_place_of(&check->part->filter, run_filter_key(entry.key));

        if (check->has_last && run_key_compare(check->last, entry.key) >= 0)
            wrong = "keys are out of order";
        else if (run_partition_of(entry.key, file->partition_bits) != check->partition)
            wrong = "a key stands in another's partition";
        else if (i == 0 && check->part->first_keys[check->block] != entry.key.hi)
            wrong = "the index names another key";
        else if (!filter_passes(&check->part->filter, &place))
            wrong = "the filter does not know a key";
        check->last = entry.key;
        check->has_last = true;
        check->keys++;
    }
    if (wrong == NULL)
        return ERR_OK;
    diag_set(diag, "%s: %s (offset %" PRIu64 ")", file->path, wrong,
             (check->part->first_block + check->block) * RUN_BLOCK_BYTES);
    return ERR_CORRUPT;
}

static enum err
check_blocks(struct run_part *const *parts, const struct run_file *file, uint64_t *ret_offset,
             struct diag *diag)
{
    struct check check = {.keys = 0};
    uint8_t bytes[RUN_BLOCK_BYTES];

    for (uint32_t i = 0; i < UINT32_C(1) << file->partition_bits; i++) {
        check.part = parts[i];
        check.partition = i;
        for (check.block = 0; check.part != NULL && check.block < check.part->block_count;
             check.block++) {
            uint32_t count = 0;
            enum err err = ERR_OK;

            *ret_offset = (check.part->first_block + check.block) * RUN_BLOCK_BYTES;
            err = run_block_read(file, check.part->first_block + check.block, bytes, &count, diag);
            if (err == ERR_OK)
                err = check_block(&check, bytes, count, diag);
            if (err != ERR_OK)
                return err;
        }
    }
    if (check.keys != file->info.keys) {
        *ret_offset = 0;
        diag_set(diag, "%s: holds %" PRIu64 " keys, its header tells %" PRIu64, file->path,
                 check.keys, file->info.keys);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

enum err
run_check_file(const char *path, struct run_info *ret_info, uint64_t *ret_offset, struct diag *diag)
{
    CLEANUP(run_file_free) struct run_file *file = NULL;
    struct run_part **parts = NULL;
    uint64_t offset = 0;
    enum err err = run_file_open(path, &file, &parts, &offset, diag);

    if (err == ERR_OK) {
        *ret_info = file->info;
        err = check_blocks(parts, file, &offset, diag);
        run_parts_free(&parts, file->partition_bits);
    }
    if (err != ERR_OK)
        *ret_offset = offset;
    return err;
}
