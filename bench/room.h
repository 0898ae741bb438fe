/*
 * room - a file whose room has been written once, so that a sync of an append costs no journal
 * commit: what the ledger does for small frames, given to the yardsticks too.
 *
 * Bench only.
 */
#ifndef POTIK_BENCH_ROOM_H
#define POTIK_BENCH_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#define ROOM_BYTES ((off_t)64 << 20)

/* Zeros to ROOM_BYTES, synced. false: errno tells why. */
static inline bool
room_make(int fd)
{
    static const char zeros[1 << 16];

    for (off_t offset = 0; offset < ROOM_BYTES; offset += (off_t)sizeof(zeros))
        if (pwrite(fd, zeros, sizeof(zeros), offset) != (ssize_t)sizeof(zeros))
            return false;
    return fsync(fd) == 0;
}

#endif
