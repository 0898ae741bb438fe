/*
 * print_routes - the table of routes, for tests that go over all of them: a line each, METHOD
 * PATTERN WHO, where WHO is open, write, read, login, owner or admin.
 */
#include "api/api.h"

#include <stdio.h>

int
main(void)
{
    for (size_t i = 0; i < api_route_count(); i++) {
        struct api_route_facts facts = api_route_facts(i);

        printf("%s %s %s\n", facts.method, facts.pattern, facts.who);
    }
    return 0;
}
