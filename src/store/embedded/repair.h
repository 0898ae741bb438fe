/*
 * repair - makes a damaged segment whole again, without what cannot be read.
 *
 * Layer 3 (store/embedded). `potik doctor --repair`, the server stopped.
 */
#ifndef POTIK_STORE_EMBEDDED_REPAIR_H
#define POTIK_STORE_EMBEDDED_REPAIR_H

#include "store/embedded/segment.h"

struct repair {
    const char *dir;         /* ledger/ */
    uint64_t first_seq;      /* of the segment, by its name */
    uint64_t next_first_seq; /* of the one behind it; 0: it is the last */
    uint8_t ledger_id[LEDGER_ID_BYTES];
    uint64_t lost_seqs; /* out: events that could not be read; their seqs are gaps now */
    char kept_as[SEGMENT_NAME_BYTES + 16]; /* out: name of the copy */
};

/*
 * The segment is copied to NAME.damaged (synced; to NAME.1.damaged where an earlier repair has left
 * one), then written anew: its good frames, gaps for the
 * seqs of the others, a footer; it takes the old one's place at once, by a rename.
 */
MUST_USE enum err repair_segment(struct repair *repair, struct diag *diag);

#endif
