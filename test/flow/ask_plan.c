/*
 * ask_plan - asks the checker of tracking plans without a server, for plan_ajv.test.mjs: a line
 * `schema SCHEMA` is answered `taken`, or why not; a line `event PROPERTIES` behind it `fits` or
 * the field that differs.
 */
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

#define LINE_BYTES_MAX (1 << 20)

static struct plan *
compile(struct slice schema)
{
    static char document[LINE_BYTES_MAX + 100];
    struct plan *plan = NULL;
    struct diag diag = DIAG_INIT;
    int len = snprintf(document, sizeof(document),
                       "{\"events\":{\"t\":{\"mode\":\"enforce\",\"properties\":%.*s}}}",
                       SLICE_ARGS(schema));

    puts(plan_compile(slice_of(document, (size_t)len), &plan, &diag) == ERR_OK ? "taken"
                                                                               : diag.message);
    return plan;
}

int
main(void)
{
    static char line[LINE_BYTES_MAX];
    static struct plan_scratch scratch;
    struct plan *plan = NULL;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        size_t len = strcspn(line, "\n");
        struct plan_type *type;
        struct diag diag = DIAG_INIT;

        if (strncmp(line, "schema ", 7) == 0) {
            plan_release(&plan);
            plan = compile(slice_of(line + 7, len - 7));
        } else if (plan == NULL || strncmp(line, "event ", 6) != 0) {
            return 1;
        } else {
            puts(plan_check(plan, SLICE("t"), slice_of(line + 6, len - 6), &scratch, &type,
                            &diag) == PLAN_FITS
                     ? "fits"
                     : diag.field);
        }
    }
    plan_release(&plan);
    return 0;
}
