/*
 * sample - see sample.h. Any thread; no state.
 */
#include "sample.h"
#include <string.h>

/* splitmix64 (Steele, Lea, Flood, 2014): a bijection, so different counters give different halves
 * of the id. */
uint64_t
sample_mix(uint64_t number)
{
    number += UINT64_C(0x9E3779B97F4A7C15);
    number = (number ^ (number >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94D049BB133111EB);
    return number ^ (number >> 31);
}

static char *
put_hex(char *place, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i-- != 0; value >>= 4)
        place[i] = "0123456789abcdef"[value & 15];
    return place + digits;
}

static char *
put_decimal(char *place, uint32_t value, unsigned digits)
{
    for (unsigned i = digits; i-- != 0; value /= 10)
        place[i] = (char)('0' + value % 10);
    return place + digits;
}

/* A UUID of version 4 by its look: random to an index, which is what matters. */
static char *
put_uuid(char *place, uint64_t high, uint64_t low)
{
    high = (high & ~UINT64_C(0xF000)) | UINT64_C(0x4000);
    low = (low & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62);
    place = put_hex(place, high >> 32, 8);
    *place++ = '-';
    place = put_hex(place, high >> 16, 4);
    *place++ = '-';
    place = put_hex(place, high, 4);
    *place++ = '-';
    place = put_hex(place, low >> 48, 4);
    *place++ = '-';
    return put_hex(place, low, 12);
}

#define PUT(place, literal)                                                                        \
    (memcpy((place), (literal), sizeof(literal) - 1), (place) + sizeof(literal) - 1)

size_t
sample_render(const struct sample_config *config, uint64_t counter, char *place)
{
    static const char *const types[16] = {
        "page_view",    "page_view", "page_view",   "page_view",   "product_view", "product_view",
        "product_view", "search",    "search",      "add_to_cart", "add_to_cart",  "checkout",
        "purchase",     "sign_up",   "share_click", "refund"};
    static const char countries[8][3] = {"UA", "DE", "FR", "US", "PL", "GB", "IN", "BR"};
    uint64_t high = sample_mix(config->seed * UINT64_C(0xD1342543DE82EF95) + counter);
    uint64_t low = sample_mix(high ^ config->seed);
    uint64_t pick = sample_mix(low);
    const char *type = types[pick & 15];
    size_t type_len = strlen(type);
    uint32_t person = (uint32_t)((pick >> 32) % config->users);
    uint32_t time_ms = (uint32_t)(counter * 7 % 86400000);
    char *start = place;

    place = PUT(place, "{\"event_id\":\"");
    place = put_uuid(place, high, low);
    place = PUT(place, "\",\"event_type\":\"");
    memcpy(place, type, type_len);
    place += type_len;
    place = PUT(place, "\",\"user_id\":\"user-");
    place = put_decimal(place, person, 8);
    place = PUT(place, "\",\"session_id\":\"s-");
    place = put_hex(place, pick >> 24, 10);
    place = PUT(place, "\",\"occurred_at\":\"");
    memcpy(place, config->date, 10);
    place += 10;
    *place++ = 'T';
    place = put_decimal(place, time_ms / 3600000, 2);
    *place++ = ':';
    place = put_decimal(place, time_ms / 60000 % 60, 2);
    *place++ = ':';
    place = put_decimal(place, time_ms / 1000 % 60, 2);
    *place++ = '.';
    place = put_decimal(place, time_ms % 1000, 3);
    place = PUT(place, "Z\",\"properties\":{\"path\":\"/catalog/item-");
    place = put_decimal(place, (uint32_t)(pick >> 8) % 10000, 4);
    place = PUT(place, "\",\"referrer\":\"https://search.example/?q=shoes\",\"country\":\"");
    memcpy(place, countries[(pick >> 20) & 7], 2);
    place += 2;
    place = PUT(place, "\",\"device\":\"mobile\",\"price\":");
    place = put_decimal(place, 10 + (uint32_t)(pick >> 40) % 90, 2);
    place = PUT(place, ".95,\"quantity\":");
    place = put_decimal(place, 1 + (uint32_t)(pick >> 48) % 9, 1);
    place = PUT(place, ",\"is_member\":true}}");
    return (size_t)(place - start);
}
