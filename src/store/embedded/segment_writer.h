/*
 * segment_writer - an ended segment written anew: by repair, and where events are erased.
 *
 * Layer 3 (store/embedded). Frames in order, seqs without a hole (gaps for what is gone), a footer;
 * beside the old file as NAME.tmp, which the caller renames over it. What a crash leaves of it is
 * removed at the next start.
 */
#ifndef POTIK_STORE_EMBEDDED_SEGMENT_WRITER_H
#define POTIK_STORE_EMBEDDED_SEGMENT_WRITER_H

#include "store/embedded/ledger.h"

struct segment_writer {
    struct ledger_segment segment; /* as it is so far; its marks are the caller's in the end */
    char path[FILE_PATH_MAX];
    int fd;
    uint64_t end;
    uint64_t written_back;
    uint32_t chain;
};

/* Begins with this header. ERR_IO, ERR_STORAGE_FULL, ERR_INVALID (path). */
MUST_USE enum err segment_writer_open(struct segment_writer *writer, const char *segment_path,
                                      const struct segment_header *header, struct diag *diag);
/* One frame, its seq and chain made new. `payload` has its zeros. */
MUST_USE enum err segment_writer_frame(struct segment_writer *writer, struct frame_header header,
                                       const uint8_t *payload, struct diag *diag);
/* Gaps up to `until_seq` (not included); *ret_seqs grows by them. */
MUST_USE enum err segment_writer_gap(struct segment_writer *writer, uint64_t until_seq,
                                     uint64_t *ret_seqs, struct diag *diag);
/* Footer, synced. */
MUST_USE enum err segment_writer_finish(struct segment_writer *writer, struct diag *diag);
/* Closes, and removes the file if it was not renamed. Marks that were not taken are freed. */
void segment_writer_close(struct segment_writer *writer);

/* At start: what a crash has left. */
MUST_USE enum err segment_writer_remove_leftovers(const char *dir, struct diag *diag);

#endif
