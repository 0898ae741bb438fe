/*
 * dump_ledger - every stored event of a stopped server's ledger, a line each, for the client ledger
 * to judge.
 *
 * Usage: dump_ledger DATA_DIR. A line is the JSON array [event_id, event_type, user_id, occurred_at
 * in microseconds, properties as text]. Opens the store as the server does, so that recovery runs
 * here too. Exit 0, or 1 with a sentence.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/json_write.h"
#include "store/embedded/embedded.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void
on_fatal(void *state, const char *reason)
{
    (void)state;
    fprintf(stderr, "dump_ledger: %s\n", reason);
    exit(1);
}

static void
add_row(struct buf *buf, const struct event *event)
{
    buf_add_char(buf, '[');
    json_write_text(buf, event->event_id);
    buf_add_char(buf, ',');
    json_write_text(buf, event->event_type);
    buf_add_char(buf, ',');
    json_write_text(buf, event->user_id);
    buf_add_char(buf, ',');
    buf_add_i64(buf, event->occurred_at_us);
    buf_add_char(buf, ',');
    json_write_text(buf, event->properties);
    buf_add_text(buf, "]\n");
}

static enum err
dump(struct store *store, struct diag *diag)
{
    struct store_position after = {0};
    struct store_page page = {0};
    struct arena arena;
    struct buf buf;
    enum err err = ERR_OK;

    arena_init(&arena, 1U << 20, (size_t)1 << 30);
    buf_init(&buf, (size_t)1 << 30);
    while (err == ERR_OK && !page.is_caught_up) {
        arena_clear(&arena);
        buf_clear(&buf);
        err = store_read_after(store, after, 4096, 4U << 20, &arena, &page, diag);
        if (err != ERR_OK)
            break;
        for (uint32_t i = 0; i < page.count; i++)
            add_row(&buf, &page.rows[i].event);
        if (buf_failed(&buf))
            err = ERR_NOMEM;
        else
            fwrite(buf.ptr, 1, buf.len, stdout);
        after = page.next;
    }
    buf_fini(&buf);
    arena_fini(&arena);
    return err;
}

int
main(int argc, char **argv)
{
    struct diag diag = DIAG_INIT;
    struct embedded_config config = {.segment_bytes = UINT64_C(256) << 20,
                                     .young_ids_max = 1U << 22,
                                     .young_ids_seal = 1U << 20,
                                     .free_bytes_min = 0,
                                     .clock = clock_system(),
                                     .sink = log_sink_default(),
                                     .fatal = on_fatal};
    struct store *store = NULL;
    enum err err;

    if (argc != 2) {
        fprintf(stderr, "usage: dump_ledger DATA_DIR\n");
        return 2;
    }
    config.data_dir = argv[1];
    err = embedded_open(&config, &store, &diag);
    if (err == ERR_OK)
        err = dump(store, &diag);
    store_close(&store);
    if (err != ERR_OK) {
        fprintf(stderr, "dump_ledger: %s: %s\n", err_sentence(err), diag.message);
        return 1;
    }
    return 0;
}
