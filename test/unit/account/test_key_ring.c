/* Units of account/key_ring: the file in all its damage, who may read it, and turns of keys. */
#include "../test.h"

#include "account/key_ring.h"
#include "codec/crc32c.h"
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW INT64_C(1800000000)

static struct random_source seeded;
static struct key_ring_config config;

static int
setup(void **state)
{
    int failed = test_dir_setup(state);

    random_seeded_init(&seeded, 11);
    config = (struct key_ring_config){
        .dir = (const char *)*state, .may_create = true, .alg = TOKEN_HS256, .random = &seeded};
    return failed;
}

static const char *
ring_path(void **state)
{
    return test_path(state, KEY_RING_FILE);
}

static struct key_ring *
open_ring(void)
{
    struct key_ring *ring = NULL;

    assert_int_equal(key_ring_open(&config, NOW, &ring, NULL), ERR_OK);
    return ring;
}

static void
read_file(void **state, struct buf *buf)
{
    buf_init(buf, 1 << 16);
    assert_int_equal(file_read_whole(ring_path(state), 1 << 16, buf, NULL), ERR_OK);
}

/* The file of these bytes, its last line made right. */
static void
write_lines(void **state, const char *lines)
{
    struct buf buf;

    buf_init(&buf, 1 << 16);
    buf_printf(&buf, "%scrc32c %08x\n", lines, crc32c(0, lines, strlen(lines)));
    assert_int_equal(file_replace_whole(ring_path(state), buf_slice(&buf), NULL), ERR_OK);
    buf_fini(&buf);
}

static enum err
try_open(struct diag *diag)
{
    struct key_ring *ring = NULL;
    enum err err = key_ring_open(&config, NOW, &ring, diag);

    assert_true((err == ERR_OK) == (ring != NULL));
    key_ring_close(&ring);
    return err;
}

static void
assert_same(const struct key_ring *a, const struct key_ring *b)
{
    assert_int_equal(a->key_count, b->key_count);
    assert_memory_equal(a->keys, b->keys, a->key_count * sizeof(a->keys[0]));
}

static void
test_key_ring__is_made_once_and_private(void **state)
{
    struct key_ring *first = NULL;
    struct key_ring *second = NULL;
    struct stat facts;

    config.may_create = false;
    assert_int_equal(try_open(NULL), ERR_ABSENT);
    assert_false(file_exists(ring_path(state)));
    config.may_create = true;
    first = open_ring();
    assert_int_equal(first->key_count, 1);
    assert_int_equal(key_ring_signer(first)->alg, TOKEN_HS256);
    assert_int_equal(key_ring_signer(first)->created_at_s, NOW);
    assert_int_equal(stat(ring_path(state), &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    config.may_create = false;
    second = open_ring();
    assert_same(first, second);
    key_ring_close(&first);
    assert_null(first);
    key_ring_close(&first);
    key_ring_close(&second);
    config.dir = test_path(state, "none");
    config.may_create = true;
    assert_int_equal(try_open(NULL), ERR_ABSENT);
}

/* The bytes of a known ring, as they were written down. */
static void
test_key_ring__file_is_these_lines(void **state)
{
    static const char lines[] =
        "potik-token-keys 1\n"
        "new-1 EdDSA nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A 1800000000 0\n"
        "old_1 HS256 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 1700000000 1800086460\n";
    struct key_ring *ring = NULL;
    const struct token_key *key = NULL;
    struct buf before, after;

    write_lines(state, lines);
    ring = open_ring();
    assert_int_equal(ring->key_count, 2);
    assert_string_equal(key_ring_signer(ring)->kid, "new-1");
    assert_int_equal(key_ring_signer(ring)->alg, TOKEN_EDDSA);
    key = key_ring_find(ring, SLICE("old_1"), NOW);
    assert_non_null(key);
    assert_int_equal(key->alg, TOKEN_HS256);
    assert_int_equal(key->created_at_s, 1700000000);
    assert_int_equal(key->retire_at_s, 1800086460);
    for (uint8_t i = 0; i < 32; i++)
        assert_int_equal(key->secret[i], i);
    read_file(state, &before);
    buf_init(&after, 1 << 16);
    key_ring_format(ring, &after);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.ptr, after.ptr, before.len);
    buf_fini(&before);
    buf_fini(&after);
    key_ring_close(&ring);
}

static void
test_key_ring__find_ends_at_the_retire_time(void **state)
{
    struct key_ring *ring = NULL;

    write_lines(state, "potik-token-keys 1\n"
                       "a HS256 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 1 0\n"
                       "b HS256 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 1 1000\n");
    ring = open_ring();
    assert_non_null(key_ring_find(ring, SLICE("b"), 999));
    assert_null(key_ring_find(ring, SLICE("b"), 1000));
    assert_null(key_ring_find(ring, SLICE("b"), 1001));
    assert_non_null(key_ring_find(ring, SLICE("a"), KEY_RING_TIME_S_MAX));
    assert_null(key_ring_find(ring, SLICE("c"), 1));
    assert_null(key_ring_find(ring, SLICE(""), 1));
    assert_null(key_ring_find(ring, SLICE("aa"), 1));
    key_ring_close(&ring);
}

static void
test_key_ring__refuses_what_others_may_read_or_change(void **state)
{
    struct key_ring *ring = open_ring();

    for (mode_t mode = 0; mode < 0100; mode++) {
        struct diag diag = DIAG_INIT;
        struct key_ring *rotated = NULL;

        assert_int_equal(chmod(ring_path(state), 0600 | mode), 0);
        assert_int_equal(try_open(&diag), mode == 0 ? ERR_OK : ERR_INVALID);
        if (mode == 0)
            continue;
        assert_non_null(strstr(diag.message, ring_path(state)));
        assert_non_null(strstr(diag.message, "chmod 600"));
        assert_int_equal(key_ring_rotate(&config, 0, NOW, &rotated, NULL), ERR_INVALID);
        assert_null(rotated);
    }
    assert_int_equal(chmod(ring_path(state), 0400), 0);
    assert_int_equal(try_open(NULL), ERR_OK);
    key_ring_close(&ring);
}

/* Every byte as some others, every length. What is damaged stays as it is. */
static void
test_key_ring__every_damage_is_told(void **state)
{
    struct key_ring *ring = open_ring();
    struct buf whole, after;

    read_file(state, &whole);
    for (size_t at = 0; at < whole.len; at++) {
        const char was = whole.ptr[at];

        for (unsigned bit = 0; bit < 8; bit++) {
            struct key_ring parsed;
            enum err err;

            whole.ptr[at] = (char)((unsigned char)was ^ (1U << bit));
            err = key_ring_parse(buf_slice(&whole), &parsed, NULL);
            assert_true(err == ERR_CORRUPT || (err == ERR_TOO_NEW && at == 17));
            assert_int_equal(parsed.key_count, 0);
            assert_true(sodium_is_zero((const uint8_t *)&parsed, sizeof(parsed)));
        }
        whole.ptr[at] = was;
        assert_int_equal(file_replace_whole(ring_path(state), slice_of(whole.ptr, at), NULL),
                         ERR_OK);
        assert_int_equal(try_open(NULL), ERR_CORRUPT);
    }
    whole.ptr[30] ^= 1;
    assert_int_equal(file_replace_whole(ring_path(state), buf_slice(&whole), NULL), ERR_OK);
    {
        struct diag diag = DIAG_INIT;
        struct key_ring *rotated = NULL;

        assert_int_equal(try_open(&diag), ERR_CORRUPT);
        assert_non_null(strstr(diag.message, "damaged"));
        assert_int_equal(key_ring_rotate(&config, 0, NOW, &rotated, NULL), ERR_CORRUPT);
        assert_null(rotated);
    }
    read_file(state, &after);
    assert_int_equal(after.len, whole.len);
    assert_memory_equal(after.ptr, whole.ptr, whole.len);
    buf_fini(&after);
    buf_fini(&whole);
    key_ring_close(&ring);
}

#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define FIRST "potik-token-keys 1\n"

static void
test_key_ring__lines_are_read_strictly(void **state)
{
    static const struct {
        enum err err;
        const char *lines;
    } cases[] = {
        {ERR_OK, FIRST "a HS256 " SECRET " 0 0\n"},
        {ERR_OK, FIRST "a HS256 " SECRET " 253402300799 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 253402300800 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 18446744073709551616 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 01 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " -1 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 1e3 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET "  0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 \n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 0 \n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 0\r\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 0"},
        {ERR_CORRUPT, FIRST " a HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST "a  HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST "a\tHS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST " HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST "a/b HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST "a none " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS384 " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256  0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET "= 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\xFFh8 0 0\n"},
        {ERR_OK, FIRST "a HS256 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd_h8 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd/h8 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg 0 0\n"},
        {ERR_OK, FIRST "a HS256 " SECRET "A 0 0\n"}, /* 33 bytes */
        {ERR_CORRUPT, FIRST "a EdDSA " SECRET "A 0 0\n"},
        {ERR_CORRUPT, FIRST},
        {ERR_CORRUPT, FIRST "\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 0\n\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 0\nb"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 1\n"},
        {ERR_OK, FIRST "a HS256 " SECRET " 0 0\nb HS256 " SECRET " 0 1\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 1\nb HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 0\nb HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, FIRST "a HS256 " SECRET " 0 0\na EdDSA " SECRET " 0 1\n"},
        {ERR_CORRUPT, "potik-token-keys 0\na HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, "potik-token-keys 01\na HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, "potik-token-keys  1\na HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, "potik-token-keys\na HS256 " SECRET " 0 0\n"},
        {ERR_TOO_NEW, "potik-token-keys 2\nanything\n"},
        {ERR_TOO_NEW, "potik-token-keys 10\na HS256 " SECRET " 0 0\n"},
        {ERR_CORRUPT, "a HS256 " SECRET " 0 0\n"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct diag diag = DIAG_INIT;

        write_lines(state, cases[i].lines);
        if (try_open(&diag) != cases[i].err)
            fail_msg("case %zu: %s", i, cases[i].lines);
        if (cases[i].err != ERR_OK)
            assert_non_null(strstr(diag.message, ring_path(state)));
        /* what is secret is not told */
        assert_null(strstr(diag.message, "AAECAwQF"));
    }
}

static void
test_key_ring__holds_16_keys_and_4_kib(void **state)
{
    struct buf lines;

    buf_init(&lines, 1 << 16);
    for (unsigned count = 15; count <= 17; count++) {
        buf_clear(&lines);
        buf_add_text(&lines, FIRST);
        for (unsigned i = 0; i < count; i++)
            buf_printf(
                &lines,
                "abcdefghijklmnopqrstuvwxyz0123%02u HS256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA 253402300799 %s\n",
                i, i == 0 ? "0" : "253402300799");
        buf_add_char(&lines, '\0');
        write_lines(state, lines.ptr);
        assert_int_equal(try_open(NULL), count <= 16 ? ERR_OK : ERR_CORRUPT);
    }
    /* a file of 4,096 bytes is read to its end, one of 4,097 is not */
    for (size_t len = 4095; len <= 4097; len++) {
        struct diag diag = DIAG_INIT;

        buf_clear(&lines);
        assert_true(buf_reserve(&lines, len));
        memset(lines.ptr, 'x', len);
        assert_int_equal(file_replace_whole(ring_path(state), slice_of(lines.ptr, len), NULL),
                         ERR_OK);
        assert_int_equal(try_open(&diag), ERR_CORRUPT);
        assert_true((strstr(diag.message, "over 4096") != NULL) == (len > 4096));
    }
    buf_fini(&lines);
}

static void
test_key_ring__rotation_keeps_old_keys_until_they_retire(void **state)
{
    struct key_ring *first = open_ring();
    struct key_ring *second = NULL;
    struct key_ring *third = NULL;
    struct key_ring *reread = NULL;
    const char *first_kid = key_ring_signer(first)->kid;

    (void)state;
    config.alg = TOKEN_EDDSA;
    assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW + 10, &second, NULL),
                     ERR_OK);
    assert_int_equal(second->key_count, 2);
    assert_string_not_equal(key_ring_signer(second)->kid, first_kid);
    assert_int_equal(key_ring_signer(second)->alg, TOKEN_EDDSA);
    assert_int_equal(key_ring_signer(second)->created_at_s, NOW + 10);
    assert_int_equal(second->keys[1].retire_at_s, NOW + 10 + 86460);
    assert_memory_equal(second->keys[1].secret, first->keys[0].secret, 64);
    /* the ring that was open is as it was */
    assert_int_equal(first->key_count, 1);
    assert_int_equal(first->keys[0].retire_at_s, 0);
    reread = open_ring();
    assert_same(reread, second);
    /* a second turn leaves the first key its time */
    assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW + 100, &third, NULL),
                     ERR_OK);
    assert_int_equal(third->key_count, 3);
    assert_int_equal(third->keys[1].retire_at_s, NOW + 100 + 86460);
    assert_int_equal(third->keys[2].retire_at_s, NOW + 10 + 86460);
    key_ring_close(&third);
    /* one second before its time it is kept, at its time it is dropped */
    assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW + 10 + 86459, &third, NULL),
                     ERR_OK);
    assert_int_equal(third->key_count, 4);
    assert_non_null(key_ring_find(third, slice_of_text(first_kid), NOW + 10 + 86459));
    key_ring_close(&third);
    assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW + 10 + 86460, &third, NULL),
                     ERR_OK);
    assert_int_equal(third->key_count, 4);
    assert_null(key_ring_find(third, slice_of_text(first_kid), NOW));
    key_ring_close(&third);
    /* a leak: all at once */
    assert_int_equal(key_ring_rotate(&config, 0, NOW + 200, &third, NULL), ERR_OK);
    assert_int_equal(third->key_count, 1);
    key_ring_close(&third);
    key_ring_close(&reread);
    key_ring_close(&second);
    key_ring_close(&first);
}

/* The server may run as another user than the one who rotates: it must be able to read the new
 * file. A link put at the temporary name is not followed: what it leads to would be given away. */
static void
test_key_ring__rotation_by_root_keeps_owner_and_mode(void **state)
{
    const uid_t owner = 65534;
    const gid_t group = 65533;
    char bait[FILE_PATH_MAX], temporary[FILE_PATH_MAX];
    struct key_ring *ring = open_ring();
    struct stat facts;

    key_ring_close(&ring);
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    assert_true(file_path(temporary, (const char *)*state, KEY_RING_FILE ".tmp"));
    assert_true(file_path(bait, (const char *)*state, "bait"));
    assert_int_equal(file_replace_whole(bait, SLICE("precious"), NULL), ERR_OK);
    assert_int_equal(symlink(bait, temporary), 0);
    assert_int_equal(chown(ring_path(state), owner, group), 0);
    assert_int_equal(chmod(ring_path(state), 0400), 0);
    assert_int_equal(key_ring_rotate(&config, 0, NOW, &ring, NULL), ERR_OK);
    assert_int_equal(stat(ring_path(state), &facts), 0);
    assert_int_equal(facts.st_uid, owner);
    assert_int_equal(facts.st_gid, group);
    assert_int_equal(facts.st_mode & 07777, 0400);
    assert_int_equal(lstat(bait, &facts), 0);
    assert_int_equal(facts.st_size, 8);
    assert_int_equal(facts.st_uid, 0);
    assert_false(file_exists(temporary));
    key_ring_close(&ring);
}

static void
test_key_ring__keep_has_limits_and_shortens_all(void **state)
{
    static const struct {
        int64_t keep_s;
        enum err err;
    } cases[] = {{-1, ERR_INVALID},    {86459, ERR_OK}, {86460, ERR_OK},
                 {86461, ERR_INVALID}, {1, ERR_OK},     {0, ERR_OK}};
    struct key_ring *ring = open_ring();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct diag diag = DIAG_INIT;

        key_ring_close(&ring);
        assert_int_equal(key_ring_rotate(&config, cases[i].keep_s, NOW, &ring, &diag),
                         cases[i].err);
        if (cases[i].err != ERR_OK) {
            assert_string_equal(diag.field, "keep_s");
            continue;
        }
        for (uint32_t k = 1; k < ring->key_count; k++)
            assert_true(ring->keys[k].retire_at_s <= NOW + cases[i].keep_s);
    }
    assert_int_equal(ring->key_count, 1); /* the last one kept none */
    key_ring_close(&ring);
}

static void
test_key_ring__seventeenth_key_is_refused(void **state)
{
    struct key_ring *ring = open_ring();
    struct diag diag = DIAG_INIT;
    struct buf before, after;

    for (uint32_t count = 2; count <= 16; count++) {
        key_ring_close(&ring);
        assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW + count, &ring, NULL),
                         ERR_OK);
        assert_int_equal(ring->key_count, count);
    }
    key_ring_close(&ring);
    read_file(state, &before);
    assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW + 20, &ring, &diag),
                     ERR_FULL);
    assert_non_null(strstr(diag.message, "16 keys"));
    assert_null(ring);
    read_file(state, &after);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.ptr, after.ptr, before.len);
    buf_fini(&before);
    buf_fini(&after);
    /* the oldest retires at NOW + 2 + 86460: then there is room again */
    assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW + 86461, &ring, NULL),
                     ERR_FULL);
    assert_int_equal(key_ring_rotate(&config, KEY_RING_KEEP_S_MAX, NOW + 86462, &ring, NULL),
                     ERR_OK);
    assert_int_equal(ring->key_count, 16);
    key_ring_close(&ring);
}

static void
test_key_ring__one_process_writes_at_a_time(void **state)
{
    struct key_ring *ring = NULL;
    int fd = -1;

    assert_int_equal(file_open((const char *)*state, FILE_READ, &fd, NULL), ERR_OK);
    assert_int_equal(file_lock(fd, "", NULL), ERR_OK);
    assert_int_equal(try_open(NULL), ERR_LOCKED); /* it would be made */
    assert_false(file_exists(ring_path(state)));
    file_close(&fd);
    assert_int_equal(key_ring_rotate(&config, 0, NOW, &ring, NULL), ERR_ABSENT);
    assert_int_equal(try_open(NULL), ERR_OK);
    assert_int_equal(file_open((const char *)*state, FILE_READ, &fd, NULL), ERR_OK);
    assert_int_equal(file_lock(fd, "", NULL), ERR_OK);
    assert_int_equal(key_ring_rotate(&config, 0, NOW, &ring, NULL), ERR_LOCKED);
    assert_int_equal(try_open(NULL), ERR_OK); /* reading needs no lock */
    file_close(&fd);
}

static void
test_key_ring__out_of_memory_changes_nothing(void **state)
{
    struct key_ring *ring = NULL;
    uint32_t failures = 0;
    enum err err = ERR_NOMEM;

    for (uint64_t nth = 1; err == ERR_NOMEM; nth++) {
        mem_fail_from(nth, false);
        err = key_ring_open(&config, NOW, &ring, NULL);
        mem_fail_from(0, false);
        assert_true(err == ERR_OK || !file_exists(ring_path(state)));
        failures += err != ERR_OK;
    }
    assert_int_equal(err, ERR_OK);
    assert_true(failures >= 2);
    err = ERR_NOMEM;
    failures = 0;
    for (uint64_t nth = 1; err == ERR_NOMEM; nth++) {
        struct key_ring *rotated = NULL;
        struct key_ring *reread = NULL;

        mem_fail_from(nth, false);
        err = key_ring_rotate(&config, 60, NOW, &rotated, NULL);
        mem_fail_from(0, false);
        failures += err != ERR_OK;
        reread = open_ring();
        assert_same(reread, err == ERR_OK ? rotated : ring);
        key_ring_close(&rotated);
        key_ring_close(&reread);
    }
    assert_int_equal(err, ERR_OK);
    assert_true(failures >= 4);
    key_ring_close(&ring);
}

#define in_dir(function) cmocka_unit_test_setup_teardown(function, setup, test_dir_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(test_key_ring__is_made_once_and_private),
        in_dir(test_key_ring__file_is_these_lines),
        in_dir(test_key_ring__find_ends_at_the_retire_time),
        in_dir(test_key_ring__refuses_what_others_may_read_or_change),
        in_dir(test_key_ring__every_damage_is_told),
        in_dir(test_key_ring__lines_are_read_strictly),
        in_dir(test_key_ring__holds_16_keys_and_4_kib),
        in_dir(test_key_ring__rotation_keeps_old_keys_until_they_retire),
        in_dir(test_key_ring__rotation_by_root_keeps_owner_and_mode),
        in_dir(test_key_ring__keep_has_limits_and_shortens_all),
        in_dir(test_key_ring__seventeenth_key_is_refused),
        in_dir(test_key_ring__one_process_writes_at_a_time),
        in_dir(test_key_ring__out_of_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
