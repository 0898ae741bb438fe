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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address__ipv4_counts_whole),
        cmocka_unit_test(test_address__ipv6_counts_by_its_network),
        cmocka_unit_test(test_address__anything_else_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
