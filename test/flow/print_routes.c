/*
 * print_routes - the table of routes, for tests that go over all of them: a line each, METHOD
 * PATTERN WHO PARAMETER..., where WHO is open, write, read, login, owner or admin, and the
 * parameters of the query string are told of the routes that a table has them of ("-": none, "?":
 * not told).
 */
#include "api/api.h"

#include <stdio.h>

int
main(void)
{
    for (size_t i = 0; i < api_route_count(); i++) {
        struct api_route_facts facts = api_route_facts(i);

        printf("%s %s %s", facts.method, facts.pattern, facts.who);
        if (facts.parameters == NULL)
            printf(" ?");
        else if (facts.parameters[0] == NULL)
            printf(" -");
        for (size_t k = 0; facts.parameters != NULL && facts.parameters[k] != NULL; k++)
            printf(" %s", facts.parameters[k]);
        printf("\n");
    }
    return 0;
}
