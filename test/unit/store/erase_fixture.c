/*
 * erase_fixture - see erase_fixture.h.
 */
#include "erase_fixture.h"
#include "store/embedded/store_embedded.h"

#define BATCH 500

struct selection
erase_person(uint32_t project_id)
{
    return (struct selection){.project_id = project_id,
                              .kind = SELECTION_PERSON,
                              .person = slice_of_text("anonymous-13")};
}

enum err
erase_run(struct fixture *fixture, struct selection *selection, bool frees_ids, bool is_dry_run,
          struct store_erasure_progress *ret_progress, struct diag *diag)
{
    struct store_position position;
    struct store_erase *erase = NULL;
    struct store_erasure erasure = {.frees_ids = frees_ids, .is_dry_run = is_dry_run};
    bool is_done = false;
    bool did_work = false;
    uint64_t done = 0;
    enum err err = ERR_OK;

    if (selection->seq_max == 0) {
        err = store_erase_bound(fixture->store, selection, &position, diag);
        assert_int_equal(err, ERR_OK);
        assert_int_equal(position.minor, selection->seq_max);
        assert_int_equal(selection->received_max_us, INT64_MAX);
    }
    erasure.selection = *selection;
    err = store_erase_open(fixture->store, &erasure, &erase, diag);
    while (err == ERR_OK && !is_done) {
        err = store_erase_step(erase, &is_done, ret_progress, diag);
        if (err == ERR_OK && frees_ids)
            err = store_maintain_fast(fixture->store, &did_work, diag);
        if (err != ERR_OK)
            break;
        assert_true(ret_progress->done >= done && ret_progress->done <= ret_progress->total);
        assert_true(!is_done || ret_progress->done == ret_progress->total);
        done = ret_progress->done;
    }
    store_erase_close(&erase);
    return err;
}

uint64_t
erase_all(struct fixture *fixture, struct selection *selection)
{
    struct store_erasure_progress progress = {0};
    struct diag diag = DIAG_INIT;
    const enum err err = erase_run(fixture, selection, false, false, &progress, &diag);

    if (err != ERR_OK)
        print_message("%s: %s\n", err_name(err), diag.message);
    assert_int_equal(err, ERR_OK);
    return progress.events;
}

void
erase_fill(struct fixture *fixture, uint64_t first, uint64_t count)
{
    for (uint64_t next = first; next < first + count; next += BATCH) {
        const uint64_t left = first + count - next;
        bool did_work = false;
        uint32_t accepted = 0;

        assert_int_equal(
            fixture_append(fixture, next, left < BATCH ? (uint32_t)left : BATCH, &accepted),
            ERR_OK);
        assert_int_equal(accepted, left < BATCH ? left : BATCH);
        assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    }
}

static bool
is_any(const struct selection *selections, size_t count, const struct event *event, uint64_t seq)
{
    for (size_t i = 0; i < count; i++)
        if (selection_matches(&selections[i], event, seq))
            return true;
    return false;
}

uint64_t
erase_read(struct fixture *fixture, const struct selection *selections, size_t selection_count,
           uint64_t count)
{
    struct store_position after = {0};
    struct store_page page = {.is_caught_up = false};
    struct arena arena;
    struct diag diag = DIAG_INIT;
    uint64_t next = 0; /* number of the event that may come */
    uint64_t selected = 0;

    arena_init(&arena, 65536, (size_t)1 << 30);
    while (!page.is_caught_up) {
        const enum err err =
            store_read_after(fixture->store, after, 777, 100000, &arena, &page, &diag);

        if (err != ERR_OK)
            print_message("%s: %s\n", err_name(err), diag.message);
        assert_int_equal(err, ERR_OK);
        for (uint32_t i = 0; i < page.count; i++) {
            const uint64_t number = page.rows[i].seq - 1;
            const struct event want = fixture_event(number);

            assert_true(number >= next && number < count);
            for (; next < number; next++) {
                const struct event gone = fixture_event(next);

                assert_true(is_any(selections, selection_count, &gone, next + 1));
            }
            next = number + 1;
            selected += is_any(selections, selection_count, &want, number + 1);
            assert_true(slice_equal(page.rows[i].event.event_id, want.event_id));
            assert_true(slice_equal(page.rows[i].event.user_id, want.user_id));
            assert_true(slice_equal(page.rows[i].event.anonymous_id, want.anonymous_id));
            assert_true(slice_equal(page.rows[i].event.properties, want.properties));
            assert_int_equal(page.rows[i].event.project_id, want.project_id);
            assert_int_equal(page.rows[i].event.received_at_us, want.received_at_us);
        }
        after = page.next;
        arena_clear(&arena);
    }
    for (; next < count; next++) {
        const struct event gone = fixture_event(next);

        assert_true(is_any(selections, selection_count, &gone, next + 1));
    }
    arena_fini(&arena);
    return selected;
}

void
erase_send_again(struct fixture *fixture, uint64_t count)
{
    for (uint64_t next = 0; next < count; next += BATCH) {
        uint32_t accepted = 1;

        assert_int_equal(fixture_append(fixture, next,
                                        count - next < BATCH ? (uint32_t)(count - next) : BATCH,
                                        &accepted),
                         ERR_OK);
        assert_int_equal(accepted, 0);
    }
}

uint32_t
erase_files_with(const struct fixture *fixture, const char *text)
{
    static const char *const dirs[] = {"ledger", "ids"};
    uint32_t count = 0;

    for (size_t k = 0; k < COUNT_OF(dirs); k++) {
        CLEANUP(file_list_free) struct file_list list = {0};
        char dir[FILE_PATH_MAX];
        char name[FILE_PATH_MAX];

        fixture_path(fixture, dirs[k], dir);
        if (file_list_dir(dir, &list, NULL) != ERR_OK)
            continue;
        for (size_t i = 0; i < list.count; i++) {
            struct buf bytes;

            assert_true(file_path(name, dirs[k], list.names[i]));
            read_file(fixture, name, &bytes);
            count += bytes.len != 0 && memmem(bytes.ptr, bytes.len, text, strlen(text)) != NULL;
            buf_fini(&bytes);
        }
    }
    return count;
}

void
erase_remove_ids(const struct fixture *fixture)
{
    char path[FILE_PATH_MAX];

    fixture_path(fixture, "ids", path);
    assert_int_equal(file_remove_tree(path, NULL), ERR_OK);
}

void
erase_assert_list(struct fixture *fixture)
{
    struct ledger *ledger = ((struct embedded *)fixture->store)->ledger;
    uint64_t all_rows = 0;
    uint64_t all_bytes = 0;

    for (uint32_t i = 0; i < ledger->segment_count; i++) {
        const struct ledger_segment *segment = &ledger->segments[i];
        struct segment_reader reader;
        struct segment_header header;
        struct segment_place place;
        struct segment_frame frame;
        enum segment_found found = SEGMENT_FRAME;
        char name[SEGMENT_NAME_BYTES];
        char path[FILE_PATH_MAX];
        uint64_t rows = 0;
        uint64_t tombstones = 0;
        bool was_gap = false;

        segment_name(segment->first_seq, name);
        assert_true(file_path(path, ledger->dir, name));
        assert_int_equal(segment_reader_open(&reader, path, NULL), ERR_OK);
        assert_int_equal(segment_read_header(&reader, &header, &place, NULL), ERR_OK);
        for (;;) {
            assert_int_equal(segment_read_frame(&reader, &place, &found, &frame, NULL), ERR_OK);
            if (found != SEGMENT_FRAME)
                break;
            rows += frame.header.kind == FRAME_ROWS ? frame.header.count : 0;
            tombstones += frame.header.kind == FRAME_TOMBSTONES ? frame.header.count : 0;
            assert_false(was_gap && frame.header.kind == FRAME_GAP); /* neighbours join */
            was_gap = frame.header.kind == FRAME_GAP;
        }
        assert_int_equal(found, SEGMENT_END);
        assert_int_equal(place.next_seq, segment->next_seq);
        assert_int_equal(rows, segment->rows);
        assert_int_equal(tombstones, segment->tombstones);
        all_rows += rows;
        all_bytes += segment->end;
        segment_reader_close(&reader);
    }
    assert_int_equal(atomic_load(&ledger->rows), all_rows);
    assert_int_equal(atomic_load(&ledger->bytes), all_bytes);
}

void
erase_damage(const struct fixture *fixture, const char *name)
{
    struct buf bytes;

    read_file(fixture, name, &bytes);
    bytes.ptr[64 + 40 + 60] ^= 1;
    write_file(fixture, name, bytes.ptr, bytes.len);
    buf_fini(&bytes);
}
