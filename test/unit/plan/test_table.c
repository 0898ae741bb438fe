/*
 * Units of plan/check.c: the table of schemas and properties in test/data/plan_table.txt, whose
 * path is the argument. test/flow/plan.test.mjs sends the same through a server.
 *
 * Each text is handed over in a piece of memory of its own size, so that a step past its end is
 * seen by the sanitizers.
 */
#include "../test.h"

#include "base/mem.h"
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *table_path;

static struct plan *
compile(const char *schema)
{
    char *document = mem_alloc(strlen(schema) + 100);
    struct plan *plan = NULL;
    struct diag diag = DIAG_INIT;
    int len =
        sprintf(document, "{\"events\":{\"t\":{\"mode\":\"enforce\",\"properties\":%s}}}", schema);

    if (plan_compile(slice_of(document, (size_t)len), &plan, &diag) != ERR_OK)
        fail_msg("%s: %s", schema, diag.message);
    mem_free(document);
    return plan;
}

/* "fits", or the field. */
static void
check_line(const struct plan *plan, const char *wanted, const char *properties, unsigned line)
{
    static struct plan_scratch scratch;
    bool is_absent = strcmp(properties, "-") == 0;
    size_t len = strlen(properties);
    char *exact = mem_alloc(len);
    struct plan_type *type = NULL;
    struct diag diag = DIAG_INIT;
    enum plan_verdict verdict;

    memcpy(exact, properties, len);
    verdict = plan_check(plan, SLICE("t"), is_absent ? SLICE_NONE : slice_of(exact, len), &scratch,
                         &type, &diag);
    if (strcmp(wanted, "fits") == 0 ? verdict != PLAN_FITS
                                    : verdict != PLAN_REFUSED || strcmp(diag.field, wanted) != 0)
        fail_msg("line %u: %s: wanted %s, got %d %s (%s)", line, properties, wanted, (int)verdict,
                 diag.field, diag.message);
    if (verdict == PLAN_REFUSED) {
        assert_non_null(type);
        assert_memory_equal(diag.message, diag.field, strlen(diag.field));
    }
    mem_free(exact);
}

static void
test_table__every_row_has_its_verdict(void **state)
{
    static char text[16384];
    FILE *file = fopen(table_path, "r");
    struct plan *plan = NULL;
    unsigned rows = 0, line = 0;

    (void)state;
    assert_non_null(file);
    while (fgets(text, sizeof(text), file) != NULL) {
        char *rest = strchr(text, ' ');

        line++;
        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '#' || text[0] == '\0' || text[0] == '!')
            continue;
        assert_non_null(rest);
        *rest++ = '\0';
        if (strcmp(text, "schema") == 0) {
            plan_release(&plan);
            plan = compile(rest);
            continue;
        }
        check_line(plan, text, rest, line);
        rows++;
    }
    assert_true(rows >= 150);
    plan_release(&plan);
    (void)fclose(file);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table__every_row_has_its_verdict)};

    if (argc != 2)
        return 2;
    table_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
