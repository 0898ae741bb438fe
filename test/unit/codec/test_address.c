/* Units of codec/address: what counts as one address, and what as two. */
#include "../test.h"

#include "codec/address.h"

static uint64_t
network(const char *text)
{
    return address_network(slice_of_text(text));
}

static void
test_address__ipv4_counts_whole(void **state)
{
    (void)state;
    assert_true(network("192.0.2.7") != 0);
    assert_true(network("192.0.2.7") == network("192.0.2.7"));
    assert_true(network("192.0.2.7") != network("192.0.2.8"));
    assert_true(network("::ffff:192.0.2.7") == network("192.0.2.7"));
    assert_true(network("0.0.0.0") != 0);
}

static void
test_address__ipv6_counts_by_its_network(void **state)
{
    (void)state;
    assert_true(network("2001:db8::1") != 0);
    assert_true(network("2001:db8::1") == network("2001:db8::ffff:ffff:ffff:ffff"));
    assert_true(network("2001:db8::1") != network("2001:db8:0:1::1"));
    assert_true(network("fe80::1%eth0") == network("fe80::2"));
    assert_true(network("::1") != 0);
    assert_true(network("::1") != network("0.0.0.0"));
}

static void
test_address__anything_else_is_none(void **state)
{
    static const char *const texts[] = {
        "",
        "unix",
        "192.0.2",
        "192.0.2.256",
        "2001:db8::1::2",
        "1.2.3.4, 5.6.7.8",
        "0000:0000:0000:0000:0000:ffff:192.168.100.228x",
        "[::1]",
        "127.0.0.1:80",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_true(network(texts[i]) == 0);
    assert_true(address_network(SLICE_NONE) == 0);
}

/* --- one address
 * --------------------------------------------------------------------------------*/

static const char *
text_of(const char *text)
{
    static char room[ADDRESS_TEXT_BYTES];
    struct address address;

    if (!address_parse(slice_of_text(text), &address))
        return NULL;
    address_format(&address, room);
    return room;
}

static void
test_address__parses_what_proxies_write(void **state)
{
    (void)state;
    assert_string_equal(text_of("192.0.2.7"), "192.0.2.7");
    assert_string_equal(text_of("192.0.2.7:65535"), "192.0.2.7");
    assert_string_equal(text_of("::ffff:192.0.2.7"), "192.0.2.7");
    assert_string_equal(text_of("2001:DB8:0::1"), "2001:db8::1");
    assert_string_equal(text_of("[2001:db8::1]"), "2001:db8::1");
    assert_string_equal(text_of("[2001:db8::1]:8700"), "2001:db8::1");
    assert_string_equal(text_of("fe80::1%eth0"), "fe80::1");
    assert_string_equal(text_of("::"), "::");
}

static void
test_address__parses_nothing_else(void **state)
{
    static const char *const texts[] = {
        "",           "unix",        "unknown",          "_hidden",          "192.0.2",
        "192.0.2.7:", "192.0.2.7:x", "192.0.2.7:65536",  "192.0.2.7:123456", "[192.0.2.7]",
        "[::1",       "[]",          "[::1]x",           "[::1]:",           "::1]",
        "[[::1]]",    " ::1",        "1.2.3.4, 5.6.7.8", "2001:db8::1::2",   ":80",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_null(text_of(texts[i]));
    assert_null(text_of("0000:0000:0000:0000:0000:ffff:192.168.100.228x"));
    assert_false(address_parse(slice_of("1.2.3.4\0x", 9), &(struct address){{0}}));
    assert_string_equal(text_of("0000:0000:0000:0000:0000:ffff:192.168.100.228"),
                        "192.168.100.228"); /* the longest */
}

/* --- sets
 * ---------------------------------------------------------------------------------------*/

static struct address_set
set_of(const char *text)
{
    struct address_set set;
    struct diag diag = DIAG_INIT;

    assert_int_equal(address_set_parse(slice_of_text(text), &set, &diag), ERR_OK);
    return set;
}

static bool
has(const char *set_text, const char *text)
{
    struct address_set set = set_of(set_text);
    struct address address;

    assert_true(address_parse(slice_of_text(text), &address));
    return address_set_has(&set, &address);
}

static void
test_address__set_has_what_lies_in_its_networks(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_false(has("10.0.0.0/8", "9.255.255.255"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(has("192.0.2.4/30", "192.0.2.7"));
    assert_false(has("192.0.2.4/30", "192.0.2.8"));
    assert_false(has("192.0.2.4/31", "192.0.2.6"));
    assert_true(has("192.0.2.7", "192.0.2.7"));
    assert_false(has("192.0.2.7/32", "192.0.2.6"));
    assert_true(has("0.0.0.0/0", "203.0.113.9"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "203.0.113.9"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("::1 , 10.0.0.1,unix", "10.0.0.1"));
    assert_true(set_of("unix").has_unix);
    assert_false(set_of("::1").has_unix);
}

static void
test_address__set_names_what_will_not_do(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } rows[] = {
        {"", "missing"},
        {"10.0.0.1,,::1", "missing"},
        {"10.0.0.1,", "missing"},
        {"on", "\"on\" is no address"},
        {"10.0.0.0/33", "0 to 32"},
        {"10.0.0.0/", "0 to 32"},
        {"10.0.0.0/08", "0 to 32"},
        {"10.0.0.0/+8", "0 to 32"},
        {"::/129", "0 to 128"},
        {"10.0.0.1/8", "\"10.0.0.1/8\" is no network"},
        {"2001:db8::1/64", "is no network"},
        {"fe80::1%eth0", "is no address"},
        {"10.0.0.1:80", "is no address"},
    };
    struct address_set set;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct diag diag = DIAG_INIT;

        assert_int_equal(address_set_parse(slice_of_text(rows[i].text), &set, &diag), ERR_INVALID);
        assert_non_null(strstr(diag.message, rows[i].words));
    }
}

/* `count` networks and unix. */
static enum err
parse_many(unsigned count)
{
    char text[(ADDRESS_SET_MAX + 2) * 16] = "unix";
    struct address_set set;
    struct diag diag = DIAG_INIT;
    enum err err;

    for (unsigned i = 0; i < count; i++) {
        char item[24];

        (void)snprintf(item, sizeof(item), ",10.0.0.%u", i);
        strcat(text, item);
    }
    err = address_set_parse(slice_of_text(text), &set, &diag);
    if (err == ERR_OK)
        assert_int_equal(set.count, count);
    else
        assert_non_null(strstr(diag.message, "more than 64"));
    return err;
}

static void
test_address__set_has_a_maximum(void **state)
{
    (void)state;
    assert_int_equal(parse_many(ADDRESS_SET_MAX - 1), ERR_OK);
    assert_int_equal(parse_many(ADDRESS_SET_MAX), ERR_OK);
    assert_int_equal(parse_many(ADDRESS_SET_MAX + 1), ERR_INVALID);
}

static enum address_walk
walk(const char *list, const char **ret_text)
{
    static char room[ADDRESS_TEXT_BYTES];
    struct address_set set = set_of("10.0.0.0/8,::1");
    struct address address;
    enum address_walk found = address_walk(&set, slice_of_text(list), &address);

    *ret_text = "";
    if (found == ADDRESS_CLIENT || found == ADDRESS_PROXY) {
        address_format(&address, room);
        *ret_text = room;
    }
    return found;
}

static void
test_address__client_is_the_rightmost_not_trusted(void **state)
{
    const char *text;

    (void)state;
    assert_int_equal(walk("192.0.2.7", &text), ADDRESS_CLIENT);
    assert_string_equal(text, "192.0.2.7");
    assert_int_equal(walk("6.6.6.6, 192.0.2.7 ,10.0.0.1,\t::1", &text), ADDRESS_CLIENT);
    assert_string_equal(text, "192.0.2.7");
    /* what a client has made up before it is not looked at */
    assert_int_equal(walk("nonsense, 192.0.2.7:1234", &text), ADDRESS_CLIENT);
    assert_string_equal(text, "192.0.2.7");
    assert_int_equal(walk("10.0.0.9, 10.0.0.1", &text), ADDRESS_PROXY);
    assert_string_equal(text, "10.0.0.9");
    assert_int_equal(walk("192.0.2.7, unknown, 10.0.0.1", &text), ADDRESS_BROKEN);
    assert_int_equal(walk("", &text), ADDRESS_NONE);
    assert_int_equal(walk(" , ,", &text), ADDRESS_NONE);
    assert_int_equal(walk("192.0.2.7,,", &text), ADDRESS_CLIENT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address__ipv4_counts_whole),
        cmocka_unit_test(test_address__ipv6_counts_by_its_network),
        cmocka_unit_test(test_address__anything_else_is_none),
        cmocka_unit_test(test_address__parses_what_proxies_write),
        cmocka_unit_test(test_address__parses_nothing_else),
        cmocka_unit_test(test_address__set_has_what_lies_in_its_networks),
        cmocka_unit_test(test_address__set_names_what_will_not_do),
        cmocka_unit_test(test_address__set_has_a_maximum),
        cmocka_unit_test(test_address__client_is_the_rightmost_not_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
