/*
 * random - getrandom(2), and xoshiro256++ seeded by splitmix64. See random.h.
 *
 * Source of the generators: Blackman and Vigna, "Scrambled linear pseudorandom number generators"
 * (2019), and prng.di.unimi.it. Seeded bytes are the outputs in little-endian order, 8 at a time, a
 * rest of a word thrown away: one call for n bytes is not two calls for its halves.
 */
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void
system_fill(struct random_source *source, void *bytes, size_t len)
{
    char *at = (char *)bytes;

    (void)source;
    while (len != 0) {
        ssize_t got = getrandom(at, len, 0);

        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort(); /* without randomness keys could be guessed: nothing may go on */
        }
        at += got;
        len -= (size_t)got;
    }
}

struct random_source *
random_system(void)
{
    static struct random_source source = {.fill = system_fill, .state = {0}};

    return &source;
}

static uint64_t
rotate(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static uint64_t
seeded_next(struct random_source *source)
{
    uint64_t *s = source->state;
    uint64_t result = rotate(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void
seeded_fill(struct random_source *source, void *bytes, size_t len)
{
    unsigned char *at = (unsigned char *)bytes;

    while (len != 0) {
        uint64_t word = seeded_next(source);
        size_t count = len < 8 ? len : 8;

        for (size_t i = 0; i < count; i++)
            at[i] = (unsigned char)(word >> (8 * i));
        at += count;
        len -= count;
    }
}

void
random_seeded_init(struct random_source *source, uint64_t seed)
{
    source->fill = seeded_fill;
    for (size_t i = 0; i < 4; i++) {
        uint64_t z;

        seed += UINT64_C(0x9E3779B97F4A7C15);
        z = seed;
        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        source->state[i] = z ^ (z >> 31);
    }
}

void
random_fill(struct random_source *source, void *bytes, size_t len)
{
    source->fill(source, bytes, len);
}

uint64_t
random_u64(struct random_source *source)
{
    unsigned char bytes[8];
    uint64_t value = 0;

    source->fill(source, bytes, sizeof(bytes));
    for (size_t i = 0; i < 8; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint64_t
random_below(struct random_source *source, uint64_t bound)
{
    uint64_t skip, value;

    assert(bound != 0);
    /* The lowest 2^64 mod bound values would make some remainders likelier: draw again. */
    skip = (UINT64_C(0) - bound) % bound;
    do {
        value = random_u64(source);
    } while (value < skip);
    return value % bound;
}

double
random_unit(struct random_source *source)
{
    return (double)(random_u64(source) >> 11) * 0x1.0p-53;
}

int64_t
random_backoff_ms(int64_t *wait_ms, int64_t min_ms, int64_t max_ms)
{
    *wait_ms = *wait_ms == 0 ? min_ms : *wait_ms * 2;
    if (*wait_ms > max_ms)
        *wait_ms = max_ms;
    return *wait_ms - (int64_t)random_below(random_system(), (uint64_t)*wait_ms / 2);
}
