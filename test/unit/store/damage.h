/*
 * damage - tests' hands on the files of a store: reading, changing, cutting them, and asking
 * doctor.
 */
#ifndef POTIK_TEST_STORE_DAMAGE_H
#define POTIK_TEST_STORE_DAMAGE_H

#include "store/embedded/ledger.h"
#include "store_fixture.h"

#define SEGMENT_1 "ledger/00000000000000000001.seg"

struct findings {
    uint64_t errors;
    uint64_t infos;
    uint64_t lost;   /* events given up by a repair */
    uint64_t offset; /* of the last error */
    char file[128];
    char what[700]; /* of all, one after the other, as far as there is room */
};

/* Offsets of the frames of a segment's bytes, and one behind the last; seqs before each. */
struct layout {
    uint64_t offsets[64];
    uint64_t next_seqs[64];
    uint32_t count; /* of frames */
};

/* Bytes of a file, changed and put back by tests. */
void read_file(const struct fixture *fixture, const char *name, struct buf *ret_bytes);
void write_file(const struct fixture *fixture, const char *name, const char *bytes, size_t len);
void remove_asides(const struct fixture *fixture);
enum err doctor(const struct fixture *fixture, bool is_running, bool is_repair,
                struct findings *ret_findings);
/* A ledger of some small frames, as after kill -9; bytes of its only segment without the room
 * behind. */
void make_killed(struct fixture *fixture, struct buf *ret_bytes, struct layout *ret_layout);
void lay_out(const struct buf *bytes, struct layout *ret_layout);

#endif
