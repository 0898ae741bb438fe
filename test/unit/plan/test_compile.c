/* Units of plan/compile.c and schema.c: what is refused, where and why; bounds; counts. */
#include "../test.h"

#include "base/buf.h"
#include "base/mem.h"
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

#define BUF CLEANUP(buf_fini) struct buf
#define BUF_BYTES (16 * 1024 * 1024)

static enum err
compile(struct slice document, struct diag *diag)
{
    struct plan *plan = NULL;
    enum err err = plan_compile(document, &plan, diag);

    assert_true((err == ERR_OK) == (plan != NULL));
    assert_true(err == ERR_OK || err == ERR_INVALID_PLAN);
    assert_true(err == ERR_OK || diag->message[0] != '\0');
    plan_release(&plan);
    return err;
}

static void
test_compile__what_is_wrong_is_named_by_its_path(void **state)
{
#define IN(schema) "{\"events\":{\"p\":{\"properties\":" schema "}}}"
    static const struct {
        const char *document;
        const char *field;
        const char *words; /* in the message */
    } rows[] = {
        {"", "", "not valid JSON"},
        {"{", "", "not valid JSON"},
        {"{} x", "", "text behind the end"},
        {"[]", "", "must be an object"},
        {"5", "", "must be an object"},
        {"{\"event\":{}}", "event", "unknown_events, events"},
        {"{\"events\":[]}", "events", "must be an object"},
        {"{\"events\":{},\"events\":{}}", "events", "twice"},
        {IN("{\"properties\":{\"a\":{},\"b\":{}},\"propertie\\u0073\":{\"c\":{},\"d\":{}}}"),
         "events.p.properties.properties", "twice"},
        {"{\"unknown_events\":\"off\"}", "unknown_events", "\"warn\""},
        {"{\"unknown_events\":null}", "unknown_events", "\"warn\""},
        {"{\"events\":{\"p\":5}}", "events.p", "must be an object"},
        {"{\"events\":{\"\":{}}}", "events.", "0 bytes"},
        {"{\"events\":{\"p\":{\"mode\":\"strict\"}}}", "events.p.mode", "\"enforce\""},
        {"{\"events\":{\"p\":{\"description\":5}}}", "events.p.description", "must be a text"},
        {"{\"events\":{\"p\":{\"schema\":{}}}}", "events.p.schema",
         "mode, description, properties"},
        {IN("5"), "events.p.properties", "must be a JSON Schema"},
        {IN("true"), "events.p.properties", "must be a JSON Schema"},
        {IN("{\"type\":\"string\"}"), "events.p.properties", "nothing but \"object\""},
        {IN("{\"propertys\":{}}"), "events.p.properties.propertys", "\"propertys\" is not known"},
        {IN("{\"properties\":[]}"), "events.p.properties.properties",
         "must be an object of schemas"},
        {IN("{\"properties\":{\"a\":5}}"), "events.p.properties.properties.a",
         "must be a JSON Schema"},
        {IN("{\"properties\":{\"a\":{\"minimun\":0}}}"), "events.p.properties.properties.a.minimun",
         "the keyword \"minimun\" is not known"},
        {IN("{\"properties\":{\"a\":{\"minimum\":\"0\"}}}"),
         "events.p.properties.properties.a.minimum", "must be a number, not a text"},
        {IN("{\"properties\":{\"a\":{\"minimum\":1e999}}}"),
         "events.p.properties.properties.a.minimum", "out of range"},
        {IN("{\"properties\":{\"a\":{\"minimum\":0,\"exclusiveMinimum\":0}}}"),
         "events.p.properties.properties.a.exclusiveMinimum", "counterpart"},
        {IN("{\"properties\":{\"a\":{\"type\":\"text\"}}}"),
         "events.p.properties.properties.a.type", "no type \"text\""},
        {IN("{\"properties\":{\"a\":{\"type\":[]}}}"), "events.p.properties.properties.a.type",
         "empty"},
        {IN("{\"properties\":{\"a\":{\"type\":[\"null\",\"null\"]}}}"),
         "events.p.properties.properties.a.type", "twice"},
        {IN("{\"properties\":{\"a\":{\"type\":5}}}"), "events.p.properties.properties.a.type",
         "in quotes"},
        {IN("{\"properties\":{\"a\":{\"enum\":[]}}}"), "events.p.properties.properties.a.enum",
         "0 values"},
        {IN("{\"properties\":{\"a\":{\"enum\":5}}}"), "events.p.properties.properties.a.enum",
         "a list of values"},
        {IN("{\"properties\":{\"a\":{\"enum\":[{}]}}}"), "events.p.properties.properties.a.enum",
         "not an object"},
        {IN("{\"properties\":{\"a\":{\"enum\":[1],\"const\":1}}}"),
         "events.p.properties.properties.a.const", "one of the two"},
        {IN("{\"properties\":{\"a\":{\"minLength\":-1}}}"),
         "events.p.properties.properties.a.minLength", "whole number"},
        {IN("{\"properties\":{\"a\":{\"minLength\":1.5}}}"),
         "events.p.properties.properties.a.minLength", "whole number"},
        {IN("{\"properties\":{\"a\":{\"maxItems\":\"3\"}}}"),
         "events.p.properties.properties.a.maxItems", "must be a number"},
        {IN("{\"properties\":{\"a\":{\"pattern\":\"(\"}}}"),
         "events.p.properties.properties.a.pattern", "missing )"},
        {IN("{\"properties\":{\"a\":{\"pattern\":\"(?=a)\"}}}"),
         "events.p.properties.properties.a.pattern", "no backreferences nor lookaround"},
        {IN("{\"properties\":{\"a\":{\"pattern\":\"(a)\\\\1\"}}}"),
         "events.p.properties.properties.a.pattern", "no backreferences nor lookaround"},
        {IN("{\"properties\":{\"a\":{\"items\":[{}]}}}"), "events.p.properties.properties.a.items",
         "one schema"},
        {IN("{\"required\":\"a\"}"), "events.p.properties.required", "a list of names"},
        {IN("{\"required\":[5]}"), "events.p.properties.required", "in quotes"},
        {IN("{\"required\":[\"a\",\"a\"]}"), "events.p.properties.required", "\"a\" twice"},
        {IN("{\"additionalProperties\":5}"), "events.p.properties.additionalProperties",
         "must be a JSON Schema"},
        {IN("{\"$ref\":\"#\"}"), "events.p.properties.$ref", "is not known"},
        {IN("{\"properties\":{\"a\":{\"format\":\"email\"}}}"),
         "events.p.properties.properties.a.format", "is not known"},
        {IN("{\"properties\":{\"a\\u0000\":{}}}"), "events.p.properties.properties.a?", "U+0000"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct diag diag = DIAG_INIT;

        if (compile(slice_of_text(rows[i].document), &diag) != ERR_INVALID_PLAN)
            fail_msg("taken: %s", rows[i].document);
        if (strcmp(diag.field, rows[i].field) != 0 || strstr(diag.message, rows[i].words) == NULL)
            fail_msg("%s: %s: %s", rows[i].document, diag.field, diag.message);
    }
}

static void
test_compile__good_plans_are_taken(void **state)
{
    static const char *const rows[] = {
        "{}",
        " {\"events\":{}} ",
        "{\"unknown_events\":\"enforce\"}",
        "{\"events\":{\"a\":{}}}",
        "{\"events\":{\"a\":{\"mode\":\"warn\",\"description\":\"d\",\"properties\":{}}}}",
        IN("{\"type\":\"object\",\"properties\":{\"a\":{\"minLength\":1e1,\"maxLength\":10.0}}}"),
        IN("{\"type\":[\"object\"],\"required\":[]}"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct diag diag = DIAG_INIT;

        if (compile(slice_of_text(rows[i]), &diag) != ERR_OK)
            fail_msg("%s: %s", rows[i], diag.message);
    }
}

/* --- bounds, each at n − 1, n, n + 1 ----------------------------------------------------------*/

typedef void make_fn(struct buf *buf, uint32_t n);

static void
make_bytes(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, "{}");
    while (buf->len < n)
        buf_add_char(buf, ' ');
}

static void
make_types(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, "{\"events\":{");
    for (uint32_t i = 0; i < n; i++)
        buf_printf(buf, "%s\"t%u\":{}", i != 0 ? "," : "", i);
    buf_add_text(buf, "}}");
}

static void
make_type_name(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, "{\"events\":{\"");
    for (uint32_t i = 0; i < n; i++)
        buf_add_char(buf, 'x');
    buf_add_text(buf, "\":{}}}");
}

#define BEGIN "{\"events\":{\"p\":{\"properties\":"

static void
make_depth(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, BEGIN);
    for (uint32_t i = 1; i < n; i++)
        buf_add_text(buf, "{\"properties\":{\"a\":");
    buf_add_text(buf, "{}");
    for (uint32_t i = 1; i < n; i++)
        buf_add_text(buf, "}}");
    buf_add_text(buf, "}}}");
}

/* The same plan, its keywords written with escapes: names have room all the same. */
static void
test_compile__keywords_with_escapes_are_the_same(void **state)
{
    (void)state;
    for (uint32_t n = 0; n <= 20; n++) {
        struct diag diag = DIAG_INIT;
        BUF document;

        buf_init(&document, BUF_BYTES);
        buf_add_text(&document, "{\"events\":{\"p\":{\"properties\":{\"requ\\u0069red\":[");
        for (uint32_t i = 0; i < n; i++)
            buf_printf(&document, "%s\"required%u\"", i != 0 ? "," : "", i);
        buf_add_text(&document, "],\"propertie\\u0073\":{");
        for (uint32_t i = 0; i < n; i++)
            buf_printf(&document, "%s\"property%u\":{}", i != 0 ? "," : "", i);
        buf_add_text(&document, "}}}}}");
        assert_int_equal(compile(buf_slice(&document), &diag), ERR_OK);
    }
}

static void
make_properties(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, BEGIN "{\"required\":[\"r\"],\"properties\":{");
    for (uint32_t i = 1; i < n; i++)
        buf_printf(buf, "%s\"p%u\":{}", i != 1 ? "," : "", i);
    buf_add_text(buf, "}}}}}");
}

static void
make_required(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, BEGIN "{\"required\":[");
    for (uint32_t i = 0; i < n; i++)
        buf_printf(buf, "%s\"p%u\"", i != 0 ? "," : "", i);
    buf_add_text(buf, "]}}}}");
}

static void
make_name(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, BEGIN "{\"properties\":{\"");
    for (uint32_t i = 0; i < n; i++)
        buf_add_char(buf, 'x');
    buf_add_text(buf, "\":{}}}}}}");
}

static void
make_enum(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, BEGIN "{\"properties\":{\"a\":{\"enum\":[");
    for (uint32_t i = 0; i < n; i++)
        buf_printf(buf, "%s%u", i != 0 ? "," : "", i);
    buf_add_text(buf, "]}}}}}}");
}

static void
make_pattern(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, BEGIN "{\"properties\":{\"a\":{\"pattern\":\"");
    for (uint32_t i = 0; i < n; i++)
        buf_add_char(buf, 'x');
    buf_add_text(buf, "\"}}}}}}");
}

static void
make_patterns(struct buf *buf, uint32_t n)
{
    buf_add_text(buf, BEGIN "{\"properties\":{");
    for (uint32_t i = 0; i < n; i++)
        buf_printf(buf, "%s\"p%u\":{\"pattern\":\"^x%u$\"}", i != 0 ? "," : "", i, i);
    buf_add_text(buf, "}}}}}");
}

static void
make_length(struct buf *buf, uint32_t n)
{
    buf_printf(buf, BEGIN "{\"properties\":{\"a\":{\"maxLength\":%u}}}}}}", n);
}

static void
test_compile__bounds_are_kept(void **state)
{
    static const struct {
        const char *name;
        make_fn *make;
        uint32_t max;
    } rows[] = {
        {"bytes", make_bytes, PLAN_BYTES_MAX},
        {"types", make_types, PLAN_TYPES_MAX},
        {"bytes of a type", make_type_name, PLAN_TYPE_BYTES_MAX},
        {"depth", make_depth, PLAN_DEPTH_MAX},
        {"properties", make_properties, PLAN_PROPERTIES_MAX},
        {"required", make_required, PLAN_REQUIRED_MAX},
        {"bytes of a name", make_name, PLAN_NAME_BYTES_MAX},
        {"enum", make_enum, PLAN_ENUM_MAX},
        {"bytes of a pattern", make_pattern, PLAN_PATTERN_BYTES_MAX},
        {"patterns", make_patterns, PLAN_PATTERNS_MAX},
        {"length", make_length, PLAN_LENGTH_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int off = -1; off <= 1; off++) {
            struct diag diag = DIAG_INIT;
            BUF buf;
            enum err wanted = off <= 0 ? ERR_OK : ERR_INVALID_PLAN;

            buf_init(&buf, BUF_BYTES);
            rows[i].make(&buf, (uint32_t)((int)rows[i].max + off));
            if (compile(buf_slice(&buf), &diag) != wanted)
                fail_msg("%s %+d: %s", rows[i].name, off, diag.message);
        }
    }
}

/* All of them are required: the last word of the bits, too. */
static void
test_compile__as_many_required_ones_as_may_be_are_all_asked(void **state)
{
    static struct plan_scratch scratch;
    struct plan *plan = NULL;
    struct plan_type *type = NULL;
    struct diag diag = DIAG_INIT;
    BUF document, properties;

    (void)state;
    buf_init(&document, BUF_BYTES);
    buf_init(&properties, BUF_BYTES);
    buf_add_text(&document, "{\"events\":{\"p\":{\"mode\":\"enforce\",\"properties\":"
                            "{\"additionalProperties\":true,\"required\":[");
    for (uint32_t i = 0; i < PLAN_REQUIRED_MAX; i++)
        buf_printf(&document, "%s\"p%u\"", i != 0 ? "," : "", i);
    buf_add_text(&document, "]}}}}");
    assert_int_equal(plan_compile(buf_slice(&document), &plan, &diag), ERR_OK);
    for (uint32_t gone = 0; gone <= PLAN_REQUIRED_MAX; gone++) {
        char field[40];
        enum plan_verdict verdict;

        buf_clear(&properties);
        buf_add_text(&properties, "{\"z\":1");
        for (uint32_t i = PLAN_REQUIRED_MAX; i-- > 0;) {
            if (i != gone)
                buf_printf(&properties, ",\"p%u\":0", i);
        }
        buf_add_char(&properties, '}');
        verdict = plan_check(plan, SLICE("p"), buf_slice(&properties), &scratch, &type, &diag);
        assert_int_equal(verdict, gone == PLAN_REQUIRED_MAX ? PLAN_FITS : PLAN_REFUSED);
        (void)snprintf(field, sizeof(field), "properties.p%u", gone);
        if (gone != PLAN_REQUIRED_MAX)
            assert_string_equal(diag.field, field);
    }
    plan_release(&plan);
}

/* --- modes and counts -------------------------------------------------------------------------*/

#define MODES                                                                                      \
    "{\"unknown_events\":\"%s\",\"events\":{\"seen\":{\"properties\":{}},"                         \
    "\"told\":{\"mode\":\"warn\",\"properties\":{}},"                                              \
    "\"kept\":{\"mode\":\"enforce\",\"properties\":{}},\"named\":{\"mode\":\"enforce\"}}}"

static struct plan *
compile_modes(const char *unknown)
{
    char text[400];
    struct plan *plan = NULL;
    struct diag diag = DIAG_INIT;
    int len = snprintf(text, sizeof(text), MODES, unknown);

    assert_int_equal(plan_compile(slice_of(text, (size_t)len), &plan, &diag), ERR_OK);
    return plan;
}

static enum plan_verdict
ask(const struct plan *plan, const char *type_name, struct plan_type **ret_type, struct diag *diag)
{
    static struct plan_scratch scratch;

    return plan_check(plan, slice_of_text(type_name), SLICE("{\"x\":1}"), &scratch, ret_type, diag);
}

static void
test_compile__each_type_has_its_mode(void **state)
{
    static const struct {
        const char *unknown;
        enum plan_verdict verdict;
    } rows[] = {{"observe", PLAN_FITS}, {"warn", PLAN_WARNED}, {"enforce", PLAN_REFUSED}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct plan *plan = compile_modes(rows[i].unknown);
        struct plan_type *type = NULL;
        struct diag diag = DIAG_INIT;

        assert_int_equal(ask(plan, "seen", &type, &diag), PLAN_FITS);
        assert_int_equal(ask(plan, "named", &type, &diag), PLAN_FITS);
        assert_int_equal(ask(plan, "told", &type, &diag), PLAN_WARNED);
        assert_string_equal(diag.field, "properties.x");
        assert_int_equal(ask(plan, "kept", &type, &diag), PLAN_REFUSED);
        assert_int_equal(ask(plan, "other", &type, &diag), rows[i].verdict);
        if (rows[i].verdict != PLAN_FITS)
            assert_string_equal(diag.field, "event_type");
        plan_release(&plan);
    }
}

static void
test_compile__counts_go_on_in_the_next_plan(void **state)
{
    struct plan *plan = compile_modes("warn"), *next = compile_modes("observe");
    struct plan_type *type = NULL;
    struct plan_violations counts;
    struct diag diag = DIAG_INIT;

    (void)state;
    assert_int_equal(ask(plan, "told", &type, &diag), PLAN_WARNED);
    plan_note(type, &diag, 100);
    plan_note(type, &diag, 200);
    assert_int_equal(ask(plan, "other", &type, &diag), PLAN_WARNED);
    plan_note(type, &diag, 300);
    plan_carry_counts(next, plan);
    plan_release(&plan);
    assert_int_equal(plan_type_count(next), 4);
    plan_type_violations(next, 1, &counts);
    assert_int_equal(counts.count, 2);
    assert_int_equal(counts.last_us, 200);
    assert_string_equal(counts.last.field, "properties.x");
    plan_type_violations(next, 4, &counts);
    assert_int_equal(counts.count, 1);
    assert_string_equal(counts.last.field, "event_type");
    plan_type_violations(next, 0, &counts);
    assert_int_equal(counts.count, 0);
    plan_release(&next);
}

/* Every allocation fails once: no leak, and an error with no plan. */
static void
test_compile__out_of_memory_is_told(void **state)
{
    const struct slice document = SLICE(
        IN("{\"required\":[\"b\"],\"properties\":{\"a\":{\"enum\":[1,\"x\"]},\"b\":{\"pattern\":"
           "\"x\",\"minimum\":1}}}"));

    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct plan *plan = NULL;
        struct diag diag = DIAG_INIT;
        enum err err;

        mem_fail_from(nth, false);
        err = plan_compile(document, &plan, &diag);
        mem_fail_from(0, false);
        if (err == ERR_OK) {
            plan_release(&plan);
            assert_true(nth > 2);
            return;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_null(plan);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compile__what_is_wrong_is_named_by_its_path),
        cmocka_unit_test(test_compile__good_plans_are_taken),
        cmocka_unit_test(test_compile__keywords_with_escapes_are_the_same),
        cmocka_unit_test(test_compile__bounds_are_kept),
        cmocka_unit_test(test_compile__as_many_required_ones_as_may_be_are_all_asked),
        cmocka_unit_test(test_compile__each_type_has_its_mode),
        cmocka_unit_test(test_compile__counts_go_on_in_the_next_plan),
        cmocka_unit_test(test_compile__out_of_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
