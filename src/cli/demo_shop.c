/*
 * demo_shop - see demo_shop.h. Chances are in thousandths. Never two draws in one expression: their
 * order would be the compiler's choice, and the shop another.
 */
#include "cli/demo_shop.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/calendar.h"
#include "codec/rfc3339.h"
#include "codec/uuid.h"
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX ((size_t)1 << 30)
#define SENDINGS_MAX ((uint32_t)1 << 24)
#define PRODUCTS 240
#define COMEBACK_DAYS 30

struct sending {
    int64_t sent_at_us;
    uint32_t start; /* of the line in the text */
    uint32_t len;
    uint32_t order; /* made as the n-th: settles equal times */
};

struct demo_shop {
    struct random_source random;
    int32_t end_day;
    struct buf text;
    struct sending *sendings;
    uint32_t count;
    uint32_t capacity;
    uint32_t duplicates;
    bool is_failed;
};

struct person {
    uint32_t number;
    uint32_t loyalty; /* percent: chance of coming back against the average */
    bool is_member;   /* has signed up */
    uint32_t purchases;
    const char *device;
    const char *country;
    const char *source;
    char anonymous_id[24];
};

struct visit {
    struct person *person;
    int64_t now_us;
    char session_id[20];
};

static const uint32_t weekday_percent[7] = {128, 92, 90, 92, 98, 112, 138}; /* from Sunday */

/* How likely a person is seen on the k-th day after the first, in thousandths; a week later a bit
 * more. */
static const uint32_t comeback[COMEBACK_DAYS] = {1000, 265, 205, 172, 150, 136, 130, 148, 112, 101,
                                                 94,   88,  84,  82,  96,  76,  72,  69,  67,  65,
                                                 64,   75,  60,  58,  57,  56,  55,  54,  62,  52};

static const uint32_t hour_weights[24] = {6,  3,  2,  1,  1,  2,  6,  14, 26, 36, 42, 46,
                                          52, 48, 42, 40, 42, 48, 58, 70, 76, 64, 38, 18};

static uint32_t
below(struct demo_shop *shop, uint32_t bound)
{
    return (uint32_t)random_below(&shop->random, bound);
}

static bool
chance(struct demo_shop *shop, uint32_t thousandths)
{
    return below(shop, 1000) < thousandths;
}

static uint32_t
pick(struct demo_shop *shop, const uint32_t *weights, uint32_t count)
{
    uint32_t total = 0, at;

    for (uint32_t i = 0; i < count; i++)
        total += weights[i];
    at = below(shop, total);
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (at < weights[i])
            return i;
        at -= weights[i];
    }
    return count - 1;
}

static const char *
word(struct demo_shop *shop, const char *const *words, const uint32_t *weights, uint32_t count)
{
    return words[pick(shop, weights, count)];
}

static void
add_sending(struct demo_shop *shop, int64_t sent_at_us, uint32_t start, uint32_t len)
{
    if (shop->count == shop->capacity) {
        uint32_t wanted = shop->capacity == 0 ? 4096 : shop->capacity * 2;
        void *grown = wanted <= SENDINGS_MAX
                          ? mem_realloc(shop->sendings, wanted * sizeof(*shop->sendings))
                          : NULL;

        if (grown == NULL) {
            shop->is_failed = true;
            return;
        }
        shop->sendings = (struct sending *)grown;
        shop->capacity = wanted;
    }
    shop->sendings[shop->count] = (struct sending){sent_at_us, start, len, shop->count};
    shop->count++;
}

/* An event of the visit now; `properties` are members of a JSON object, or "". */
static void
add_event(struct demo_shop *shop, struct visit *visit, const char *type, const char *properties)
{
    struct person *person = visit->person;
    uint8_t bytes[UUID_BYTES];
    char id[UUID_TEXT_BYTES], time[RFC3339_TEXT_BYTES];
    uint32_t start = (uint32_t)shop->text.len;
    int64_t delay_us = (1 + below(shop, 20)) * US_PER_S;
    uint32_t len;

    random_fill(&shop->random, bytes, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0F) | 0x40); /* RFC 9562: version 4 */
    bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80);
    uuid_format(bytes, id);
    rfc3339_format(visit->now_us, time);
    buf_printf(&shop->text,
               "{\"event_id\":\"%.36s\",\"event_type\":\"%s\",\"user_id\":\"user-%05u\","
               "\"anonymous_id\":\"%s\",\"session_id\":\"%s\",\"occurred_at\":\"%.27s\","
               "\"properties\":{\"device\":\"%s\",\"country\":\"%s\",\"is_member\":%s%s%s}}\n",
               id, type, person->number, person->anonymous_id, visit->session_id, time,
               person->device, person->country, person->is_member ? "true" : "false",
               properties[0] != '\0' ? "," : "", properties);
    len = (uint32_t)shop->text.len - start;
    if (chance(shop, 20))
        delay_us += (3600 + below(shop, 3 * 86400)) * US_PER_S;
    add_sending(shop, visit->now_us + delay_us, start, len);
    if (chance(shop, 10)) {
        add_sending(shop, visit->now_us + delay_us + (5 + below(shop, 600)) * US_PER_S, start, len);
        shop->duplicates++;
    }
    visit->now_us += (4 + below(shop, 90)) * US_PER_S;
    visit->now_us += below(shop, 1000) * INT64_C(1000);
}

static uint32_t
price_cents(uint32_t product)
{
    return 499 + product * 7919 % 18000;
}

static void
product_properties(struct demo_shop *shop, uint32_t product, char *ret_text, size_t size)
{
    static const char *const categories[] = {"books", "kitchen", "garden",
                                             "toys",  "music",   "sports"};
    uint32_t cents = price_cents(product);

    (void)snprintf(ret_text, size,
                   "\"product_id\":\"p-%03u\",\"category\":\"%s\",\"price\":%u.%02u,"
                   "\"currency\":\"EUR\",\"in_stock\":%s",
                   product, categories[product % COUNT_OF(categories)], cents / 100, cents % 100,
                   chance(shop, 940) ? "true" : "false");
}

static void
sign_up(struct demo_shop *shop, struct visit *visit)
{
    static const char *const methods[] = {"email", "google", "apple"};
    static const uint32_t weights[] = {62, 26, 12};
    const char *method;
    char text[128];

    if (visit->person->is_member)
        return;
    method = word(shop, methods, weights, 3);
    (void)snprintf(text, sizeof(text), "\"method\":\"%s\",\"newsletter\":%s", method,
                   chance(shop, 380) ? "true" : "false");
    visit->person->is_member = true;
    add_event(shop, visit, "sign_up", text);
}

/* From the cart on: check out, sign up if need be, pay. */
static void
check_out(struct demo_shop *shop, struct visit *visit, uint32_t cents, uint32_t items)
{
    char text[256];
    uint32_t discount = chance(shop, 150) ? 10 : 0;

    (void)snprintf(text, sizeof(text), "\"items\":%u,\"value\":%u.%02u,\"currency\":\"EUR\"", items,
                   cents / 100, cents % 100);
    add_event(shop, visit, "checkout_started", text);
    if (!chance(shop, 740))
        return;
    sign_up(shop, visit);
    cents -= cents * discount / 100;
    (void)snprintf(text, sizeof(text),
                   "\"order_id\":\"o-%08x\",\"items\":%u,\"value\":%u.%02u,\"currency\":\"EUR\","
                   "\"order_number\":%u%s",
                   (uint32_t)random_u64(&shop->random), items, cents / 100, cents % 100,
                   ++visit->person->purchases, discount != 0 ? ",\"coupon\":\"JANUARY10\"" : "");
    add_event(shop, visit, "purchase", text);
    if (chance(shop, 60)) {
        uint32_t stars = 5 - below(shop, 10) / 5;

        stars -= below(shop, 7) / 5;
        (void)snprintf(text, sizeof(text), "\"stars\":%u", stars);
        visit->now_us += (60 + below(shop, 240)) * US_PER_S;
        add_event(shop, visit, "review_written", text);
    }
}

static void
make_visit(struct demo_shop *shop, struct person *person, int32_t day, bool is_first)
{
    static const char *const queries[] = {"lamp", "tea pot", "green chair", "ukulele",
                                          "running shoes"};
    static const uint32_t query_weights[] = {30, 25, 15, 10, 20};
    struct visit visit = {.person = person, .now_us = day * US_PER_DAY};
    uint32_t products = 1 + below(shop, 4), cents = 0, items = 0;
    char text[256];

    visit.now_us += pick(shop, hour_weights, 24) * INT64_C(3600) * US_PER_S;
    visit.now_us += below(shop, 45 * 60) * US_PER_S;
    visit.now_us += below(shop, 1000) * INT64_C(1000);
    products += below(shop, 3);
    (void)snprintf(visit.session_id, sizeof(visit.session_id), "s-%016llx",
                   (unsigned long long)random_u64(&shop->random));
    (void)snprintf(text, sizeof(text), "\"path\":\"/\",\"source\":\"%s\"", person->source);
    add_event(shop, &visit, "page_viewed", text);
    if (chance(shop, 160)) {
        const char *query = word(shop, queries, query_weights, 5);

        (void)snprintf(text, sizeof(text), "\"query\":\"%s\",\"results\":%u", query,
                       below(shop, 40));
        add_event(shop, &visit, "searched", text);
    }
    if (chance(shop, is_first ? 420 : 180))
        sign_up(shop, &visit);
    for (uint32_t i = 0; i < products; i++) {
        uint32_t product = below(shop, PRODUCTS);
        size_t len;

        product = product * below(shop, PRODUCTS) / PRODUCTS; /* some sell better */
        product_properties(shop, product, text, sizeof(text));
        add_event(shop, &visit, "product_viewed", text);
        if (!chance(shop, 75))
            continue;
        len = strlen(text);
        (void)snprintf(text + len, sizeof(text) - len, ",\"quantity\":%u", 1 + below(shop, 5) / 4);
        items++;
        cents += price_cents(product);
        add_event(shop, &visit, "cart_added", text);
    }
    if (items != 0 && chance(shop, 610))
        check_out(shop, &visit, cents, items);
}

static void
make_person(struct demo_shop *shop, uint32_t number, const uint32_t *day_weights)
{
    static const char *const devices[] = {"mobile", "desktop", "tablet"};
    static const uint32_t device_weights[] = {61, 33, 6};
    static const char *const countries[] = {"UA", "PL", "DE", "GB", "US", "NL", "FR"};
    static const uint32_t country_weights[] = {34, 19, 16, 11, 9, 6, 5};
    static const char *const sources[] = {"search", "direct", "newsletter", "social", "ad"};
    static const uint32_t source_weights[] = {38, 27, 9, 15, 11};
    uint32_t first = pick(shop, day_weights, DEMO_DAYS);
    int32_t start_day = shop->end_day - (DEMO_DAYS - 1);
    struct person person = {.number = number + 1, .loyalty = 35 + below(shop, 131)};

    person.device = word(shop, devices, device_weights, 3);
    person.country = word(shop, countries, country_weights, 7);
    person.source = word(shop, sources, source_weights, 5);
    (void)snprintf(person.anonymous_id, sizeof(person.anonymous_id), "device-%08x",
                   (uint32_t)random_u64(&shop->random));
    for (uint32_t k = 0; first + k < DEMO_DAYS; k++) {
        int32_t day = start_day + (int32_t)(first + k);
        uint32_t percent = weekday_percent[calendar_weekday(day)];
        uint32_t thousandths = k == 0 ? 1000 : comeback[k] * person.loyalty / 100 * percent / 100;

        if (!chance(shop, thousandths))
            continue;
        make_visit(shop, &person, day, k == 0);
        if (chance(shop, 180))
            make_visit(shop, &person, day, false);
    }
}

static int
compare_sendings(const void *a, const void *b)
{
    const struct sending *x = (const struct sending *)a, *y = (const struct sending *)b;

    if (x->sent_at_us != y->sent_at_us)
        return x->sent_at_us < y->sent_at_us ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

enum err
demo_shop_new(const struct demo_shop_config *config, struct demo_shop **ret_shop)
{
    CLEANUP(demo_shop_free) struct demo_shop *shop = MEM_NEW(struct demo_shop, 1);
    uint32_t day_weights[DEMO_DAYS];

    if (shop == NULL)
        return ERR_NOMEM;
    buf_init(&shop->text, TEXT_BYTES_MAX);
    /* The day is a part of the seed: two months in one server must not share ids. */
    random_seeded_init(&shop->random,
                       config->seed * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)config->end_day);
    shop->end_day = config->end_day;
    for (int32_t i = 0; i < DEMO_DAYS; i++)
        day_weights[i] = weekday_percent[calendar_weekday(config->end_day - (DEMO_DAYS - 1) + i)] *
                         (100 + 2 * (uint32_t)i);
    for (uint32_t i = 0; i < config->people; i++)
        make_person(shop, i, day_weights);
    if (shop->is_failed || buf_failed(&shop->text))
        return ERR_NOMEM;
    if (shop->count != 0)
        qsort(shop->sendings, shop->count, sizeof(*shop->sendings), compare_sendings);
    *ret_shop = MOVE(shop);
    return ERR_OK;
}

void
demo_shop_free(struct demo_shop **shop)
{
    if (*shop == NULL)
        return;
    buf_fini(&(*shop)->text);
    mem_free((*shop)->sendings);
    mem_free(*shop);
    *shop = NULL;
}

uint32_t
demo_shop_count(const struct demo_shop *shop)
{
    return shop->count;
}

uint32_t
demo_shop_duplicates(const struct demo_shop *shop)
{
    return shop->duplicates;
}

struct slice
demo_shop_line(const struct demo_shop *shop, uint32_t i)
{
    return slice_of(shop->text.ptr + shop->sendings[i].start, shop->sendings[i].len);
}
