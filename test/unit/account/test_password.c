/* Units of account/password: limits, strings of others, damage, and what an absent account costs.
 */
#include "../test.h"

#include "account/password.h"
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Made by the reference implementation (libargon2), not by this code. */
static const char reference[] = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
                                "U7+5o3eokn+KUV3PTtQA88C9ldLXbUPLMdKSEPPPHiM";
static const char reference_password[] = "Пароль для потоку";

static struct random_source seeded;

static bool
verify(const char *text, const char *password)
{
    bool is_right = false;

    assert_int_equal(password_verify(slice_of_text(text), slice_of_text(password), &is_right, NULL),
                     ERR_OK);
    return is_right;
}

static void
test_password__hash_is_verified(void **state)
{
    const struct password_cost cost = PASSWORD_COST_DEFAULT;
    struct password_hash hash, again;

    (void)state;
    random_seeded_init(&seeded, 1);
    assert_int_equal(password_hash(SLICE("hunter2hunter2"), &cost, &seeded, &hash, NULL), ERR_OK);
    assert_memory_equal(hash.text, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
    assert_int_equal(strlen(hash.text), 97);
    assert_true(verify(hash.text, "hunter2hunter2"));
    assert_false(verify(hash.text, "hunter2hunter3"));
    assert_false(verify(hash.text, "hunter2hunter"));
    assert_false(verify(hash.text, "Hunter2hunter2"));
    /* a salt of its own each time */
    assert_int_equal(password_hash(SLICE("hunter2hunter2"), &cost, &seeded, &again, NULL), ERR_OK);
    assert_string_not_equal(hash.text, again.text);
    assert_true(verify(again.text, "hunter2hunter2"));
}

static void
test_password__strings_of_the_reference_are_read(void **state)
{
    static const char dearer[] = "$argon2id$v=19$m=19457,t=3,p=1$8PHy8/T19vf4+fr7/P3+/w$"
                                 "LYMiTVOjJNBIXouBg6vujX5uARmWbizNhoId0xnmwRk";
    static const char cheap[] = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$"
                                "55PWTvddWPUD1GMbKxSff4ASfF85k9ibHJt4HlHQtBM";

    (void)state;
    assert_true(verify(reference, reference_password));
    assert_false(verify(reference, "Пароль для потокy"));
    assert_true(verify(dearer, "correct horse battery staple"));
    assert_true(verify(cheap, "password"));
    assert_false(verify(cheap, "passwore"));
}

/* The same salt makes the same text as the reference does. */
static void
fill_with_reference_salt(struct random_source *source, void *bytes, size_t len)
{
    (void)source;
    assert_int_equal(len, 16);
    memcpy(bytes, "0123456789abcdef", 16);
}

static void
test_password__hash_is_that_of_the_reference(void **state)
{
    const struct password_cost cost = PASSWORD_COST_DEFAULT;
    struct random_source fixed = {.fill = fill_with_reference_salt, .state = {0}};
    struct password_hash hash;

    (void)state;
    assert_int_equal(password_hash(slice_of_text(reference_password), &cost, &fixed, &hash, NULL),
                     ERR_OK);
    assert_string_equal(hash.text, reference);
}

static void
test_password__passwords_have_limits(void **state)
{
    static const struct slice bad[] = {
        {"1234567\n", 8},   {"1234567\0", 8},   {"1234567\x7F", 8},
        {"1234567\xFF", 8}, {"1234567\xC3", 8}, {NULL, 0},
    };
    const struct password_cost cost = PASSWORD_COST_DEFAULT;
    struct password_hash hash = {.text = "untouched"};
    char password[PASSWORD_BYTES_MAX + 2];

    (void)state;
    memset(password, 'p', sizeof(password));
    for (size_t len = 0; len <= sizeof(password) - 1; len++)
        assert_int_equal(password_check(slice_of(password, len), NULL),
                         len >= 8 && len <= 256 ? ERR_OK : ERR_INVALID);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct diag diag = DIAG_INIT;

        assert_int_equal(password_hash(bad[i], &cost, random_system(), &hash, &diag), ERR_INVALID);
        assert_string_equal(diag.field, "password");
        assert_string_equal(hash.text, "untouched");
    }
    assert_int_equal(password_check(SLICE("пароль"), NULL), ERR_OK);
    assert_int_equal(password_check(SLICE("a b  c d"), NULL), ERR_OK);
}

static void
test_password__longest_and_shortest_are_hashed_whole(void **state)
{
    const struct password_cost cost = PASSWORD_COST_DEFAULT;
    struct password_hash hash;
    char password[PASSWORD_BYTES_MAX + 2];

    (void)state;
    memset(password, 'p', sizeof(password));
    password[256] = '\0';
    assert_int_equal(password_hash(slice_of_text(password), &cost, random_system(), &hash, NULL),
                     ERR_OK);
    assert_true(verify(hash.text, password));
    password[255] = 'q';
    assert_false(verify(hash.text, password));
    password[255] = '\0';
    assert_false(verify(hash.text, password));
    assert_int_equal(password_hash(SLICE("12345678"), &cost, random_system(), &hash, NULL), ERR_OK);
    assert_true(verify(hash.text, "12345678"));
}

static void
test_password__costs_have_limits(void **state)
{
    static const struct {
        uint32_t memory_kib;
        uint32_t passes;
        const char *field;
    } cases[] = {
        {19455, 2, "memory_kib"},
        {19456, 2, NULL},
        {19457, 2, NULL},
        {1048575, 2, NULL},
        {1048576, 2, NULL},
        {1048577, 2, "memory_kib"},
        {19456, 1, "passes"},
        {19456, 3, NULL},
        {19456, 9, NULL},
        {19456, 10, NULL},
        {19456, 11, "passes"},
        {0, 0, "memory_kib"},
        {UINT32_MAX, 2, "memory_kib"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct password_cost cost = {cases[i].memory_kib, cases[i].passes};
        const enum err expected = cases[i].field == NULL ? ERR_OK : ERR_INVALID;
        struct diag diag = DIAG_INIT;
        struct password_hash hash;

        assert_int_equal(password_cost_check(&cost, &diag), expected);
        if (cases[i].field == NULL)
            continue;
        assert_string_equal(diag.field, cases[i].field);
        assert_int_equal(password_hash(SLICE("12345678"), &cost, random_system(), &hash, NULL),
                         ERR_INVALID);
        assert_int_equal(password_verify_dummy(&cost, NULL), ERR_INVALID);
    }
}

static enum err
read_text(struct slice text)
{
    const struct password_cost cost = PASSWORD_COST_DEFAULT;
    bool needs = false;

    return password_needs_rehash(text, &cost, &needs, NULL);
}

/* A row must not be able to take all memory, nor mean what another row means. */
static void
test_password__stored_texts_are_read_strictly(void **state)
{
#define SALT "$c29tZXNhbHRzb21lc2FsdA$"
#define KEY "55PWTvddWPUD1GMbKxSff4ASfF85k9ibHJt4HlHQtBM"
    static const char *const good[] = {
        "$argon2id$v=19$m=8,t=1,p=1" SALT KEY,
        "$argon2id$v=19$m=9,t=1,p=1" SALT KEY,
        "$argon2id$v=19$m=1048575,t=9,p=1" SALT KEY,
        "$argon2id$v=19$m=1048576,t=10,p=1" SALT KEY,
    };
    static const char *const bad[] = {
        "",
        "$argon2id$",
        /* limits */
        "$argon2id$v=19$m=7,t=1,p=1" SALT KEY,
        "$argon2id$v=19$m=1048577,t=1,p=1" SALT KEY,
        "$argon2id$v=19$m=4294975488,t=1,p=1" SALT KEY,           /* 8192 modulo 2^32 */
        "$argon2id$v=19$m=18446744073709559808,t=1,p=1" SALT KEY, /* 8192 modulo 2^64 */
        "$argon2id$v=19$m=64,t=0,p=1" SALT KEY,
        "$argon2id$v=19$m=64,t=11,p=1" SALT KEY,
        "$argon2id$v=19$m=64,t=1,p=0" SALT KEY,
        "$argon2id$v=19$m=64,t=1,p=2" SALT KEY,
        /* other algorithms and versions */
        "$argon2i$v=19$m=64,t=3,p=1" SALT KEY,
        "$argon2d$v=19$m=64,t=3,p=1" SALT KEY,
        "$argon2id$v=16$m=64,t=1,p=1" SALT KEY,
        "$argon2id$m=64,t=1,p=1" SALT KEY,
        "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D",
        "$2b$12$c29tZXNhbHRzb21lc2FsdOeB5Vv8o1nYbq6iEw1vRQCmYg1x7P2S2",
        /* numbers written otherwise */
        "$argon2id$v=19$m=064,t=1,p=1" SALT KEY,
        "$argon2id$v=19$m=+64,t=1,p=1" SALT KEY,
        "$argon2id$v=19$m=,t=1,p=1" SALT KEY,
        "$argon2id$v=19$m=64,t=01,p=1" SALT KEY,
        "$argon2id$v=19$t=1,m=64,p=1" SALT KEY,
        "$argon2id$v=19$m=64, t=1,p=1" SALT KEY,
        "$argon2id$v=19$m=64,t=1,p=1,keyid=a" SALT KEY,
        /* lengths: a salt of 15 bytes and of 17, a hash of 31 and of 33 */
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2Fs$" KEY,
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdHQ$" KEY,
        "$argon2id$v=19$m=64,t=1,p=1" SALT "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=64,t=1,p=1" SALT "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        /* padding, the other alphabet, bits that no byte has, something behind */
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA==$" KEY,
        "$argon2id$v=19$m=64,t=1,p=1$-_9tZXNhbHRzb21lc2FsdA$" KEY,
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdB$" KEY,
        "$argon2id$v=19$m=64,t=1,p=1" SALT "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        "$argon2id$v=19$m=64,t=1,p=1" SALT KEY " ",
        " $argon2id$v=19$m=64,t=1,p=1" SALT KEY,
    };
    bool is_right = true;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(read_text(slice_of_text(good[i])), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(read_text(slice_of_text(bad[i])), ERR_CORRUPT);
        assert_int_equal(password_verify(slice_of_text(bad[i]), SLICE("password"), &is_right, NULL),
                         ERR_CORRUPT);
    }
    assert_true(is_right); /* written only on success */
    assert_int_equal(password_verify(SLICE_NONE, SLICE("password"), &is_right, NULL), ERR_CORRUPT);
}

/* Hashes of "" and "short", by the reference: what cannot be a password is never the right one. */
static void
test_password__what_is_no_password_is_never_right(void **state)
{
    static const char *const texts[] = {
        "$argon2id$v=19$m=64,t=1,p=1" SALT "3fUQ941rsmo3/Cpi+6K2zMNtfMLWcfukgfsepsnYCw4",
        "$argon2id$v=19$m=64,t=1,p=1" SALT "15v9UkK2jEKknjjpfLBMPeuz/whoJbgdunkOdGdP5wI",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(read_text(slice_of_text(texts[i])), ERR_OK);
        assert_false(verify(texts[i], ""));
        assert_false(verify(texts[i], "short"));
        assert_false(verify(texts[i], "1234567\n"));
    }
}

/* Each character as each other one where no hash is made of it, as some others where one is. */
static void
test_password__damaged_text_never_verifies(void **state)
{
    /* with both characters that are neither letters nor digits */
    char cheap[] = "$argon2id$v=19$m=64,t=1,p=1$8PHy8/T19vf4+fr7/P3+/w$"
                   "VGZEcEWP/hotT9cbViKZGgKBug1C2oyqO2E8BOvh+Yk";
    const size_t len = strlen(cheap);
    size_t read_count = 0;

    (void)state;
    assert_true(verify(cheap, "password10"));
    for (size_t at = 0; at < len; at++) {
        const char whole = cheap[at];

        for (int c = 0; c < 256; c++) {
            bool is_right = false;
            enum err err;

            if ((char)c == whole)
                continue;
            cheap[at] = (char)c;
            err = password_verify(slice_of(cheap, len), SLICE("password10"), &is_right, NULL);
            assert_true(err == ERR_OK || err == ERR_CORRUPT);
            assert_false(is_right);
            read_count += err == ERR_OK;
        }
        cheap[at] = whole;
        assert_int_equal(read_text(slice_of(cheap, at)), ERR_CORRUPT); /* cut here */
    }
    assert_true(read_count > 64UL * 60); /* most of base64's other characters are texts */
}

static void
test_password__needs_rehash_where_the_cost_has_risen(void **state)
{
    static const struct {
        struct password_cost cost;
        bool needs;
    } cases[] = {
        {{19456, 2}, false}, {{19457, 2}, true}, {{19456, 3}, true},
        {{19456, 1}, false}, {{65536, 2}, true}, {{19455, 2}, false},
        {{65536, 1}, true},  {{19455, 3}, true}, {{19455, 1}, false},
    };
    bool needs = false;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        needs = !cases[i].needs;
        assert_int_equal(
            password_needs_rehash(slice_of_text(reference), &cases[i].cost, &needs, NULL), ERR_OK);
        assert_int_equal(needs, cases[i].needs);
    }
}

static int64_t
cpu_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

enum work { WORK_WRONG, WORK_TOO_LONG, WORK_ABSENT, WORK_COUNT };

static void
do_work(enum work work)
{
    static char long_password[300];
    const struct password_cost cost = PASSWORD_COST_DEFAULT;

    memset(long_password, 'p', sizeof(long_password) - 1);
    if (work == WORK_ABSENT)
        assert_int_equal(password_verify_dummy(&cost, NULL), ERR_OK);
    else
        assert_false(verify(reference, work == WORK_TOO_LONG ? long_password : "wrong password"));
}

/* Time of the processor, the least of some turns: other programs do not count. */
static void
test_password__absent_account_costs_the_same(void **state)
{
    int64_t least[WORK_COUNT] = {INT64_MAX, INT64_MAX, INT64_MAX};

    (void)state;
    for (int turn = 0; turn < 5; turn++) {
        for (int work = 0; work < WORK_COUNT; work++) {
            int64_t began = cpu_ns();
            int64_t took;

            do_work((enum work)work);
            took = cpu_ns() - began;
            least[work] = took < least[work] ? took : least[work];
        }
    }
    for (int work = 0; work < WORK_COUNT; work++) {
        assert_true(least[work] > least[WORK_WRONG] / 2);
        assert_true(least[work] < least[WORK_WRONG] * 2);
    }
}

/* In a process of its own, which may not have the memory. */
static void
test_password__short_memory_is_told_as_such(void **state)
{
    pid_t pid = 0;
    int status = 0;

    (void)state;
    (void)fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct password_cost cost = {PASSWORD_MEMORY_KIB_MAX, 2};
        const struct rlimit limit = {512UL << 20, 512UL << 20};
        struct password_hash hash = {.text = "untouched"};
        bool is_right = true;
        int failed = setrlimit(RLIMIT_AS, &limit) != 0;

        failed |=
            password_hash(SLICE("12345678"), &cost, random_system(), &hash, NULL) != ERR_NOMEM ||
            strcmp(hash.text, "untouched") != 0;
        failed |= password_verify(SLICE("$argon2id$v=19$m=1048576,t=10,p=1" SALT KEY),
                                  SLICE("12345678"), &is_right, NULL) != ERR_NOMEM ||
                  !is_right;
        failed |= password_verify_dummy(&cost, NULL) != ERR_NOMEM;
        _exit(failed);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void
test_password__generated_is_100_bits_of_the_source(void **state)
{
    char text[PASSWORD_GENERATED_BYTES + 1];
    char again[PASSWORD_GENERATED_BYTES + 1];
    size_t seen[256] = {0};
    size_t kinds = 0;

    (void)state;
    random_seeded_init(&seeded, 5);
    password_generate(&seeded, text);
    assert_int_equal(strlen(text), 20);
    assert_int_equal(password_check(slice_of_text(text), NULL), ERR_OK);
    password_generate(&seeded, again);
    assert_string_not_equal(text, again);
    random_seeded_init(&seeded, 5);
    password_generate(&seeded, again);
    assert_string_equal(text, again);
    for (int i = 0; i < 1000; i++) {
        password_generate(&seeded, text);
        assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyz234567"), 20);
        for (size_t at = 0; at < 20; at++)
            seen[(unsigned char)text[at]]++;
    }
    for (size_t c = 0; c < 256; c++) {
        kinds += seen[c] != 0;
        assert_true(seen[c] == 0 || (seen[c] > 500 && seen[c] < 750)); /* 625 each */
    }
    assert_int_equal(kinds, 32);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_password__hash_is_verified),
        cmocka_unit_test(test_password__strings_of_the_reference_are_read),
        cmocka_unit_test(test_password__hash_is_that_of_the_reference),
        cmocka_unit_test(test_password__passwords_have_limits),
        cmocka_unit_test(test_password__longest_and_shortest_are_hashed_whole),
        cmocka_unit_test(test_password__costs_have_limits),
        cmocka_unit_test(test_password__stored_texts_are_read_strictly),
        cmocka_unit_test(test_password__what_is_no_password_is_never_right),
        cmocka_unit_test(test_password__damaged_text_never_verifies),
        cmocka_unit_test(test_password__needs_rehash_where_the_cost_has_risen),
        cmocka_unit_test(test_password__absent_account_costs_the_same),
        cmocka_unit_test(test_password__short_memory_is_told_as_such),
        cmocka_unit_test(test_password__generated_is_100_bits_of_the_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
