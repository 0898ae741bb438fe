/*
 * sequence - see sequence.h.
 */
#include "plan/sequence.h"

#define REPEATS_MAX 1000 /* RE2's own */

struct scan {
    const char *at;
    const char *end;
};

static void
set_add(uint64_t set[2], unsigned char c)
{
    set[c >> 6] |= UINT64_C(1) << (c & 63);
}

static bool
set_has(const uint64_t set[2], unsigned char c)
{
    return c < 0x80 && (set[c >> 6] >> (c & 63) & 1) != 0;
}

static void
set_add_range(uint64_t set[2], unsigned char from, unsigned char to)
{
    for (unsigned c = from; c <= to; c++)
        set_add(set, (unsigned char)c);
}

static bool
is_plain(unsigned char c)
{
    return c > 0x20 && c < 0x7F;
}

static bool
is_alphanumeric(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* At the character behind a backslash. *ret_single: the one it stands for; −1: a class, which is
 * in the set. */
static bool
read_escape(struct scan *scan, uint64_t set[2], int *ret_single)
{
    unsigned char c;

    if (scan->at == scan->end)
        return false;
    c = (unsigned char)*scan->at++;
    *ret_single = -1;
    if (c == 'd' || c == 'w') {
        set_add_range(set, '0', '9');
        if (c == 'w') {
            set_add_range(set, 'a', 'z');
            set_add_range(set, 'A', 'Z');
            set_add(set, '_');
        }
        return true;
    }
    if (!is_plain(c) || is_alphanumeric(c))
        return false;
    *ret_single = c;
    return true;
}

/* One character or escape of a class. */
static bool
read_member(struct scan *scan, uint64_t set[2], int *ret_single)
{
    unsigned char c;

    if (scan->at == scan->end)
        return false;
    c = (unsigned char)*scan->at++;
    if (c == '\\')
        return read_escape(scan, set, ret_single);
    *ret_single = c;
    return is_plain(c) && strchr("[]^-", c) == NULL;
}

/* Behind '['. A '-' only between two ends of a range. */
static bool
read_class(struct scan *scan, uint64_t set[2])
{
    int from, to;

    while (scan->at < scan->end && *scan->at != ']') {
        if (!read_member(scan, set, &from))
            return false;
        to = from;
        if (scan->at < scan->end && *scan->at == '-') {
            scan->at++;
            if (from < 0 || !read_member(scan, set, &to) || to < from)
                return false;
        }
        if (from >= 0)
            set_add_range(set, (unsigned char)from, (unsigned char)to);
    }
    if (scan->at == scan->end || (set[0] | set[1]) == 0)
        return false;
    scan->at++;
    return true;
}

static bool
read_number(struct scan *scan, uint32_t *ret_number)
{
    const char *begin = scan->at;
    uint32_t number = 0;

    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++) {
        number = number * 10 + (uint32_t)(*scan->at - '0');
        if (number > REPEATS_MAX)
            return false;
    }
    *ret_number = number;
    /* With a leading zero it is no count to RE2. */
    return scan->at != begin && (*begin != '0' || scan->at - begin == 1);
}

static bool
read_braces(struct scan *scan, struct sequence_item *item)
{
    if (!read_number(scan, &item->min))
        return false;
    item->max = item->min;
    if (scan->at < scan->end && *scan->at == ',') {
        scan->at++;
        item->max = UINT32_MAX;
        if (scan->at < scan->end && *scan->at != '}' && !read_number(scan, &item->max))
            return false;
    }
    return scan->at < scan->end && *scan->at++ == '}' && item->min <= item->max;
}

static bool
is_quantifier(char c)
{
    return c == '?' || c == '*' || c == '+' || c == '{';
}

/* One behind another means something else. */
static bool
read_quantifier(struct scan *scan, struct sequence_item *item)
{
    item->min = item->max = 1;
    if (scan->at == scan->end || !is_quantifier(*scan->at))
        return true;
    switch (*scan->at++) {
    case '?':
        item->min = 0;
        break;
    case '*':
        item->min = 0;
        item->max = UINT32_MAX;
        break;
    case '+':
        item->max = UINT32_MAX;
        break;
    default:
        if (!read_braces(scan, item))
            return false;
    }
    return scan->at == scan->end || !is_quantifier(*scan->at);
}

static bool
read_item(struct scan *scan, struct sequence_item *item)
{
    unsigned char c = (unsigned char)*scan->at++;
    int single = c;

    *item = (struct sequence_item){.literal = SLICE_NONE};
    if (c == '[') {
        if (!read_class(scan, item->set))
            return false;
        single = -1;
    } else if (c == '\\') {
        if (!read_escape(scan, item->set, &single))
            return false;
    } else if (c != ' ' && (!is_plain(c) || strchr(".()|^$?*+{}]", c) != NULL)) {
        return false;
    }
    if (single >= 0)
        set_add(item->set, (unsigned char)single);
    return read_quantifier(scan, item);
}

/* No item that varies shares a character with what may follow it. */
static bool
is_forced(const struct sequence *sequence)
{
    for (uint32_t i = 0; i < sequence->count; i++) {
        const struct sequence_item *item = &sequence->items[i];

        if (item->min == item->max)
            continue;
        for (uint32_t j = i + 1; j < sequence->count; j++) {
            const struct sequence_item *next = &sequence->items[j];

            if (((item->set[0] & next->set[0]) | (item->set[1] & next->set[1])) != 0)
                return false;
            if (next->min != 0)
                break;
        }
    }
    return true;
}

/* The only character of an item that stands once; −1: it is no such item. */
static int
single_of(const struct sequence_item *item)
{
    unsigned count =
        (unsigned)__builtin_popcountll(item->set[0]) + (unsigned)__builtin_popcountll(item->set[1]);

    if (count != 1 || item->min != 1 || item->max != 1)
        return -1;
    return item->set[0] != 0 ? __builtin_ctzll(item->set[0]) : 64 + __builtin_ctzll(item->set[1]);
}

/* Single characters that follow one another become one literal. false: out of memory. */
static bool
join_literals(struct sequence *sequence, struct arena *arena)
{
    char bytes[SEQUENCE_ITEMS_MAX];
    uint32_t kept = 0;

    for (uint32_t i = 0; i < sequence->count;) {
        uint32_t len = 0;

        while (i + len < sequence->count && single_of(&sequence->items[i + len]) >= 0) {
            bytes[len] = (char)single_of(&sequence->items[i + len]);
            len++;
        }
        sequence->items[kept] = sequence->items[i];
        if (len > 1) {
            sequence->items[kept].literal = arena_copy(arena, slice_of(bytes, len));
            if (sequence->items[kept].literal.ptr == NULL)
                return false;
        }
        kept++;
        i += len > 1 ? len : 1;
    }
    sequence->count = kept;
    return true;
}

bool
sequence_compile(struct slice expression, struct arena *arena, const struct sequence **ret_sequence)
{
    struct scan scan = {expression.ptr, expression.ptr + expression.len};
    struct sequence *sequence;

    *ret_sequence = NULL;
    if (expression.len < 2 || scan.at[0] != '^' || scan.end[-1] != '$')
        return true;
    sequence = ARENA_NEW(arena, struct sequence, 1);
    if (sequence == NULL)
        return false;
    scan.at++;
    scan.end--;
    while (scan.at < scan.end) {
        if (sequence->count == SEQUENCE_ITEMS_MAX ||
            !read_item(&scan, &sequence->items[sequence->count++]))
            return true;
    }
    if (!is_forced(sequence))
        return true;
    if (!join_literals(sequence, arena))
        return false;
    *ret_sequence = sequence;
    return true;
}

bool
sequence_matches(const struct sequence *sequence, struct slice text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;

    for (uint32_t i = 0; i < sequence->count; i++) {
        const struct sequence_item *item = &sequence->items[i];
        const char *begin = at;
        const char *stop = end;

        if (item->literal.len != 0) {
            if ((size_t)(end - at) < item->literal.len ||
                memcmp(at, item->literal.ptr, item->literal.len) != 0)
                return false;
            at += item->literal.len;
            continue;
        }
        if ((size_t)(end - at) > item->max)
            stop = at + item->max;
        while (at < stop && set_has(item->set, (unsigned char)*at))
            at++;
        if ((size_t)(at - begin) < item->min)
            return false;
    }
    return at == end;
}
