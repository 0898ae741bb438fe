/* Units of cli/demo_shop: the same seed gives the same shop, and it is a believable one. */
#include "../test.h"

#include "cli/demo_shop.h"
#include "codec/calendar.h"
#include "codec/hash.h"
#include "codec/json.h"
#include "codec/rfc3339.h"

#define PEOPLE 2000

static struct demo_shop *
shop_of(uint64_t seed, const char *end, uint32_t people)
{
    struct demo_shop_config config = {.seed = seed, .people = people};
    struct demo_shop *shop = NULL;

    assert_true(calendar_day_parse(slice_of_text(end), &config.end_day));
    assert_int_equal(demo_shop_new(&config, &shop), ERR_OK);
    return shop;
}

static void
hash_of(const struct demo_shop *shop, char ret_text[33])
{
    uint8_t digest[HASH_BLAKE2B_128_BYTES];
    struct buf all;

    buf_init(&all, 1u << 30);
    for (uint32_t i = 0; i < demo_shop_count(shop); i++)
        buf_add_slice(&all, demo_shop_line(shop, i));
    assert_false(buf_failed(&all));
    hash_blake2b_128(buf_slice(&all), digest);
    hash_hex(digest, sizeof(digest), ret_text);
    ret_text[32] = '\0';
    buf_fini(&all);
}

static void
test_demo_shop__is_a_function_of_seed_and_end(void **state)
{
    struct demo_shop *a = shop_of(1, "2026-01-31", 200), *b = shop_of(1, "2026-01-31", 200);
    struct demo_shop *seed = shop_of(2, "2026-01-31", 200), *end = shop_of(1, "2026-01-30", 200);
    char hash[33], other[33];

    (void)state;
    hash_of(a, hash);
    hash_of(b, other);
    assert_string_equal(hash, other);
    /* The same on every machine. */
    assert_string_equal(hash, "ba9627e00466d05341493ab1422b2f53");
    hash_of(seed, other);
    assert_string_not_equal(hash, other);
    hash_of(end, other);
    assert_string_not_equal(hash, other);
    demo_shop_free(&a);
    demo_shop_free(&b);
    demo_shop_free(&seed);
    demo_shop_free(&end);
}

struct seen {
    uint32_t views, carts, checkouts, purchases, sign_ups;
    uint32_t per_day[DEMO_DAYS];
    int32_t first_day[PEOPLE + 1];
    bool is_seen[PEOPLE + 1][DEMO_DAYS];
    uint32_t late;
};

static struct slice
text_of(struct json_value object, const char *key)
{
    struct json_value value;
    struct slice text = SLICE_NONE;

    assert_true(json_get(object, key, &value));
    assert_true(json_as_text(value, &text));
    return text;
}

static void
look_at(struct json_value event, int32_t start_day, struct seen *seen, int64_t *newest_us)
{
    struct slice type = text_of(event, "event_type");
    struct slice user = text_of(event, "user_id");
    struct json_value properties, number;
    int64_t us = 0, day;
    double price;
    uint32_t person = (uint32_t)atoi(user.ptr + 5);

    assert_int_equal(rfc3339_parse(text_of(event, "occurred_at"), &us), ERR_OK);
    day = us / (INT64_C(86400) * 1000000) - start_day;
    assert_true(day >= 0 && day < DEMO_DAYS);
    assert_in_range(person, 1, PEOPLE);
    assert_true(json_get(event, "properties", &properties));
    assert_int_equal(json_kind(properties), JSON_OBJECT);
    if (slice_equal(type, SLICE("product_viewed"))) {
        seen->views++;
        assert_true(json_get(properties, "price", &number) && json_as_double(number, &price));
        assert_true(price > 0);
    }
    seen->carts += slice_equal(type, SLICE("cart_added"));
    seen->checkouts += slice_equal(type, SLICE("checkout_started"));
    seen->purchases += slice_equal(type, SLICE("purchase"));
    seen->sign_ups += slice_equal(type, SLICE("sign_up"));
    seen->per_day[day]++;
    seen->is_seen[person][day] = true;
    seen->late += us + INT64_C(1800) * 1000000 < *newest_us;
    if (us > *newest_us)
        *newest_us = us;
}

/* Persons seen again k days after their first, of all whose k-th day lies in the month; per mille.
 */
static uint32_t
came_back(const struct seen *seen, int k)
{
    uint32_t could = 0, did = 0;

    for (uint32_t person = 1; person <= PEOPLE; person++) {
        int first = 0;

        while (first < DEMO_DAYS && !seen->is_seen[person][first])
            first++;
        if (first + k >= DEMO_DAYS)
            continue;
        could++;
        did += seen->is_seen[person][first + k];
    }
    return did * 1000 / could;
}

static void
test_demo_shop__is_believable(void **state)
{
    static struct seen seen;
    struct demo_shop *shop = shop_of(1, "2026-01-31", PEOPLE);
    struct json_document *document = NULL;
    struct json_value event;
    uint32_t count = demo_shop_count(shop), weekend, midweek;
    int64_t newest_us = 0;
    int32_t end_day = 0;

    (void)state;
    assert_true(calendar_day_parse(SLICE("2026-01-31"), &end_day));
    assert_int_equal(json_document_new(&document, NULL), ERR_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(json_parse(document, demo_shop_line(shop, i), &event, NULL), ERR_OK);
        look_at(event, end_day - DEMO_DAYS + 1, &seen, &newest_us);
    }
    assert_in_range(count, PEOPLE * 8, PEOPLE * 40);
    /* the path narrows at every step */
    assert_true(seen.views > seen.carts * 3 && seen.carts > seen.checkouts &&
                seen.checkouts > seen.purchases && seen.purchases > PEOPLE / 20);
    assert_in_range(seen.sign_ups, PEOPLE / 3, PEOPLE);
    /* about 1 % come twice, about 2 % late */
    assert_in_range(demo_shop_duplicates(shop) * 1000 / count, 7, 14);
    assert_in_range(seen.late * 1000 / count, 12, 40);
    /* retention decays */
    assert_true(came_back(&seen, 1) > 200 && came_back(&seen, 1) > came_back(&seen, 3) &&
                came_back(&seen, 3) > came_back(&seen, 10) && came_back(&seen, 20) > 20);
    /* weeks have a rhythm: day 0 is Friday, 2 January */
    weekend = seen.per_day[15] + seen.per_day[16];
    midweek = seen.per_day[18] + seen.per_day[19];
    assert_true(weekend * 10 > midweek * 12);
    json_document_free(&document);
    demo_shop_free(&shop);
}

static void
test_demo_shop__people_who_pay_have_signed_up(void **state)
{
    struct demo_shop *shop = shop_of(3, "2026-01-31", 300);
    uint32_t purchases = 0;

    (void)state;
    for (uint32_t i = 0; i < demo_shop_count(shop); i++) {
        struct slice line = demo_shop_line(shop, i);

        assert_int_equal(line.ptr[line.len - 1], '\n');
        assert_null(memchr(line.ptr, '\n', line.len - 1));
        if (memmem(line.ptr, line.len, "\"purchase\"", 10) == NULL)
            continue;
        purchases++;
        assert_non_null(memmem(line.ptr, line.len, "\"is_member\":true", 16));
    }
    assert_true(purchases > 10);
    demo_shop_free(&shop);
}

static void
test_demo_shop__out_of_memory_is_told(void **state)
{
    struct demo_shop_config config = {.seed = 1, .end_day = 20000, .people = 50};
    struct demo_shop *shop = NULL;

    (void)state;
    for (uint64_t k = 1;; k++) {
        enum err err;

        mem_fail_from(k, false);
        err = demo_shop_new(&config, &shop);
        mem_fail_from(0, false);
        if (err == ERR_OK)
            break;
        assert_int_equal(err, ERR_NOMEM);
        assert_null(shop);
    }
    demo_shop_free(&shop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_demo_shop__is_a_function_of_seed_and_end),
        cmocka_unit_test(test_demo_shop__is_believable),
        cmocka_unit_test(test_demo_shop__people_who_pay_have_signed_up),
        cmocka_unit_test(test_demo_shop__out_of_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
