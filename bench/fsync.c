/*
 * fsync - what the disk gives: a write of BYTES and a fdatasync, COUNT times, into a zero-written
 * file.
 *
 *     fsync FOLDER [COUNT [BYTES]]      one JSON line: p50, p99, max in microseconds
 *
 * Every durable reply costs at least this, shared by all requests of a turn; it stands beside every
 * rate.
 */
#include "load/histogram.h"
#include "room.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t
now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int
main(int argc, char **argv)
{
    static struct histogram latency;
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
    size_t bytes = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 4096;
    char path[512];
    char *block;
    off_t offset = 0;
    int fd;

    if (argc < 2 || argc > 4 || bytes == 0 || bytes > (size_t)ROOM_BYTES) {
        (void)fprintf(stderr, "usage: fsync FOLDER [COUNT [BYTES]]\n");
        return 2;
    }
    (void)snprintf(path, sizeof(path), "%s/fsync", argv[1]);
    block = calloc(1, bytes);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (block == NULL || fd < 0 || !room_make(fd)) {
        perror(path);
        free(block);
        return 1;
    }
    for (unsigned long i = 0; i < count; i++) {
        uint64_t began;

        memset(block, (int)(i & 0xFF), bytes);
        if (offset + (off_t)bytes > ROOM_BYTES)
            offset = 0;
        began = now_ns();
        if (pwrite(fd, block, bytes, offset) != (ssize_t)bytes || fdatasync(fd) != 0) {
            perror(path);
            free(block);
            return 1;
        }
        histogram_add(&latency, now_ns() - began);
        offset += (off_t)bytes;
    }
    (void)close(fd);
    (void)unlink(path);
    free(block);
    (void)printf("{\"count\":%lu,\"bytes\":%zu,\"p50_us\":%.0f,\"p99_us\":%.0f,\"max_us\":%.0f}\n",
                 count, bytes, (double)histogram_quantile(&latency, 0.5) / 1e3,
                 (double)histogram_quantile(&latency, 0.99) / 1e3, (double)latency.max_ns / 1e3);
    return 0;
}
