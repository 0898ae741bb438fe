/* rooms: warehouse */
/*
 * fuzz_manifest - manifest.json and checkpoint.json: any bytes, under a checksum that is right.
 *
 * What is taken must be written again to the same bytes' meaning: parse, write, parse, compare.
 */
#include "base/mem.h"
#include "codec/crc32c.h"
#include "warehouse/manifest.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest = {0};
    struct checkpoint *checkpoint = NULL;
    struct buf text, again;

    buf_init(&text, (size_t)16 << 20);
    buf_init(&again, (size_t)64 << 20);
    buf_add(&text, data, size);
    buf_printf(&text, "\n\"crc32c\":\"%08x\"}\n", crc32c(0, data, size));
    if (manifest_parse(buf_slice(&text), &manifest, NULL) == ERR_OK) {
        struct manifest back = {0};

        manifest_write(&manifest, &again);
        if (manifest_parse(buf_slice(&again), &back, NULL) != ERR_OK ||
            back.rows != manifest.rows || back.file_count != manifest.file_count)
            abort();
        manifest_fini(&back);
        manifest_fini(&manifest);
    }
    if (checkpoint_parse(buf_slice(&text), &checkpoint, NULL) == ERR_OK) {
        buf_clear(&again);
        checkpoint_format(checkpoint, &again);
        checkpoint_free(&checkpoint);
        if (checkpoint_parse(buf_slice(&again), &checkpoint, NULL) != ERR_OK)
            abort();
        checkpoint_free(&checkpoint);
    }
    buf_fini(&text);
    buf_fini(&again);
    return 0;
}
