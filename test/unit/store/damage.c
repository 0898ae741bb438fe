/*
 * damage - see damage.h.
 */
#include "damage.h"

void
read_file(const struct fixture *fixture, const char *name, struct buf *ret_bytes)
{
    char path[FILE_PATH_MAX];

    fixture_path(fixture, name, path);
    buf_init(ret_bytes, 1 << 26);
    assert_int_equal(file_read_whole(path, 1 << 26, ret_bytes, NULL), ERR_OK);
}

void
write_file(const struct fixture *fixture, const char *name, const char *bytes, size_t len)
{
    char path[FILE_PATH_MAX];
    CLOSE_FD int fd = -1;

    fixture_path(fixture, name, path);
    assert_int_equal(file_open(path, FILE_REPLACE, &fd, NULL), ERR_OK);
    assert_int_equal(file_write_at(fd, path, bytes, len, 0, NULL), ERR_OK);
}

void
remove_asides(const struct fixture *fixture)
{
    char path[FILE_PATH_MAX];

    while (fixture_find(fixture, "ledger", "cut-", path))
        assert_int_equal(file_unlink(path, NULL), ERR_OK);
}

static void
collect(void *state, const struct embedded_finding *finding)
{
    struct findings *findings = state;
    const size_t used = strlen(findings->what);

    findings->lost += finding->lost;
    if (finding->is_error) {
        findings->errors++;
        findings->offset = finding->offset;
        snprintf(findings->file, sizeof(findings->file), "%s", finding->file);
    } else {
        findings->infos++;
    }
    snprintf(findings->what + used, sizeof(findings->what) - used, "%s\n", finding->what);
}

enum err
doctor(const struct fixture *fixture, bool is_running, bool is_repair,
       struct findings *ret_findings)
{
    memset(ret_findings, 0, sizeof(*ret_findings));
    return embedded_doctor(fixture->dir, is_running, is_repair, collect, ret_findings, NULL);
}

void
lay_out(const struct buf *bytes, struct layout *ret_layout)
{
    struct segment_reader reader;
    struct segment_header header;
    struct segment_place place;
    struct segment_frame frame;
    enum segment_found found = SEGMENT_FRAME;

    memset(ret_layout, 0, sizeof(*ret_layout));
    segment_reader_over(&reader, bytes->ptr, bytes->len);
    assert_int_equal(segment_read_header(&reader, &header, &place, NULL), ERR_OK);
    for (;;) {
        ret_layout->offsets[ret_layout->count] = place.offset;
        ret_layout->next_seqs[ret_layout->count] = place.next_seq;
        assert_int_equal(segment_read_frame(&reader, &place, &found, &frame, NULL), ERR_OK);
        if (found != SEGMENT_FRAME)
            break;
        ret_layout->count++;
    }
    assert_int_equal(found, SEGMENT_END);
    segment_reader_close(&reader);
}

void
make_killed(struct fixture *fixture, struct buf *ret_bytes, struct layout *ret_layout)
{
    fixture_open(fixture);
    for (uint32_t i = 0, next = 0; i < 12; next += 1 + i % 3, i++)
        assert_int_equal(fixture_append(fixture, next, 1 + i % 3, NULL), ERR_OK);
    fixture_kill(fixture);
    read_file(fixture, SEGMENT_1, ret_bytes);
    lay_out(ret_bytes, ret_layout);
    ret_bytes->len = ret_layout->offsets[ret_layout->count];
    assert_int_equal(ret_layout->count, 12);
}
