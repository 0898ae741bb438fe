/* rooms: postgres */
/*
 * fuzz_postgres_node - postgres-node.json: any bytes, under a checksum that is right.
 *
 * What is taken must be written again to the same meaning.
 */
#include "codec/crc32c.h"
#include "store/postgres/store_postgres.h"
#include <inttypes.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct postgres_node node = {0};
    struct postgres_node back = {0};
    struct buf text;
    struct buf again;

    buf_init(&text, 1 << 20);
    buf_init(&again, 1 << 20);
    buf_add(&text, data, size);
    buf_printf(&text, "\"crc32c\":%" PRIu32 "\n}\n", crc32c(0, data, size));
    if (!buf_failed(&text) && postgres_node_parse(buf_slice(&text), &node)) {
        postgres_node_write(&node, &again);
        if (!postgres_node_parse(buf_slice(&again), &back) ||
            memcmp(&node.identity, &back.identity, sizeof(node.identity)) != 0 ||
            memcmp(&node.cursor, &back.cursor, sizeof(node.cursor)) != 0 ||
            strcmp(node.uuid, back.uuid) != 0 || strcmp(node.store_id, back.store_id) != 0)
            abort();
    }
    buf_fini(&text);
    buf_fini(&again);
    return 0;
}
