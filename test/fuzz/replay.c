/*
 * replay - a fuzzer's test without libFuzzer: feeds LLVMFuzzerTestOneInput every file of the
 * folders named (seeds, old crashes), then changed copies of them, the same ones at each run, for
 * at most some seconds.
 *
 * Linked with one fuzz_<what>.c each (test/fuzz/meson.build), run by `./dev test` and, under the
 * sanitizers, by `./dev asan`. An input stands in a block of exactly its size, so that a read
 * beyond it is seen. A crash is the failure; the last input is then left in replay-<what>.last.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHANGED_COPIES_MAX 20000
#define CHANGED_COPIES_SECONDS_MAX 5
#define INPUT_BYTES_MAX (1U << 20)
#define COPY_BYTES_MAX                                                                             \
    4096U /* of larger inputs only the start is changed: the test stays short                      \
           */
#define INPUTS_MAX 20000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct input {
    uint8_t *bytes;
    size_t len;
};

static struct input inputs[INPUTS_MAX];
static size_t input_count;
static uint64_t random_state = UINT64_C(0x9E3779B97F4A7C15);

static const uint8_t *last_bytes;
static size_t last_len;
static char last_path[256];

/* splitmix64 (Steele, Lea, Flood, 2014): fixed start, so that every run sees the same inputs. */
static uint64_t
random_next(void)
{
    uint64_t z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void
keep_last(int signal_number)
{
    int fd = open(last_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd >= 0 && write(fd, last_bytes, last_len) == (ssize_t)last_len)
        (void)close(fd);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static void
feed(const uint8_t *bytes, size_t len)
{
    uint8_t *exact = malloc(len != 0 ? len : 1);

    if (exact == NULL)
        abort();
    if (len != 0)
        memcpy(exact, bytes, len);
    last_bytes = exact;
    last_len = len;
    (void)LLVMFuzzerTestOneInput(exact, len);
    last_len = 0;
    free(exact);
}

static void
read_input(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_BYTES_MAX);

    if (file == NULL || bytes == NULL || input_count == INPUTS_MAX) {
        (void)fprintf(stderr, "replay: %s: cannot be read\n", path);
        exit(1);
    }
    inputs[input_count].len = fread(bytes, 1, INPUT_BYTES_MAX, file);
    inputs[input_count].bytes = bytes;
    input_count++;
    (void)fclose(file);
}

/* A folder that does not exist holds no inputs: crashes/<what> comes with the first crash. */
static void
read_folder(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    if (dir == NULL && errno == ENOENT)
        return;
    if (dir == NULL) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(dir)) != NULL) {
        char file[4096];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        read_input(file);
    }
    (void)closedir(dir);
}

/* One small change at a time: bits, bytes that mean something, runs cut, doubled or moved. */
static size_t
change(uint8_t *bytes, size_t len, size_t room)
{
    static const uint8_t telling[] = "\0\x01\x7f\x80\xff\xc0\xed\"\\{}[]:,\r\n \t%&=+-.0123eETZ/;";
    size_t place = len != 0 ? (size_t)(random_next() % len) : 0;
    size_t rest = len - place;
    size_t run = rest != 0 ? 1 + (size_t)(random_next() % (rest < 16 ? rest : 16)) : 0;

    switch (random_next() % 5) {
    case 0:
        if (len != 0)
            bytes[place] ^= (uint8_t)(1U << (random_next() % 8));
        return len;
    case 1:
        if (len != 0)
            bytes[place] = telling[random_next() % (sizeof(telling) - 1)];
        return len;
    case 2: /* cut a run */
        memmove(bytes + place, bytes + place + run, rest - run);
        return len - run;
    case 3: /* double a run */
        if (len + run > room)
            return place;
        memmove(bytes + place + run, bytes + place, rest);
        return len + run;
    default: /* put a byte between */
        if (len + 1 > room)
            return place;
        memmove(bytes + place + 1, bytes + place, rest);
        bytes[place] = telling[random_next() % (sizeof(telling) - 1)];
        return len + 1;
    }
}

static uint32_t
feed_changed_copies(void)
{
    static uint8_t copy[COPY_BYTES_MAX];
    time_t end = time(NULL) + CHANGED_COPIES_SECONDS_MAX;
    uint32_t i;

    for (i = 0; i < CHANGED_COPIES_MAX && time(NULL) <= end; i++) {
        size_t len = 0;

        if (input_count != 0) {
            const struct input *input = &inputs[random_next() % input_count];

            len = input->len < sizeof(copy) ? input->len : sizeof(copy);
            memcpy(copy, input->bytes, len);
        }
        for (uint64_t changes = 1 + random_next() % 4; changes != 0; changes--)
            len = change(copy, len, sizeof(copy));
        feed(copy, len);
    }
    return i;
}

int
main(int argc, char **argv)
{
    static const int fatal[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
    uint32_t copies;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: replay_WHAT WHAT FOLDER...\n");
        return 2;
    }
    (void)snprintf(last_path, sizeof(last_path), "replay-%s.last", argv[1]);
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        (void)signal(fatal[i], keep_last);
    for (int i = 2; i < argc; i++)
        read_folder(argv[i]);
    (void)printf("1..1\n");
    (void)fflush(stdout);
    feed(NULL, 0);
    for (size_t i = 0; i < input_count; i++)
        feed(inputs[i].bytes, inputs[i].len);
    copies = feed_changed_copies();
    if (input_count == 0)
        (void)printf("not ok 1 - %s: there are no seeds\n", argv[1]);
    else
        (void)printf("ok 1 - %s: %zu inputs, %" PRIu32 " changed copies\n", argv[1], input_count,
                     copies);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].bytes);
    return input_count == 0 ? 1 : 0;
}
