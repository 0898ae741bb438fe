/* rooms: plan */
/*
 * fuzz_plan - a plan and an event: a line is the document, the rest the properties of type "t".
 * Whatever comes, compiling ends with a plan or with words; asking it ends with a verdict, with a
 * field and words where it differs, and is the same when asked again.
 *
 * Properties are only asked about if they are what the decoder lets through: one JSON object,
 * sound, no key twice.
 */
#include "codec/json_reader.h"
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

static bool
is_sound(struct slice text)
{
    const struct json_rules rules = {
        .root = SLICE("properties"), .depth = 1, .content_depth_max = 16};
    struct json_scratch scratch = {0};
    struct json_notes notes = {0};
    struct json_reader reader;
    struct arena arena;
    bool is_good;

    if (text.len == 0 || text.len > PLAN_SCRATCH_BYTES || text.ptr[0] != '{')
        return false;
    arena_init(&arena, 1024, (size_t)1 << 26);
    json_reader_init(&reader, text, &scratch, &arena);
    is_good = json_reader_value(&reader, &rules, &notes) && reader.at == reader.end &&
              notes.encoding.err == ERR_OK && notes.key.err == ERR_OK &&
              notes.content.err == ERR_OK;
    json_scratch_fini(&scratch);
    arena_fini(&arena);
    return is_good;
}

static void
ask(const struct plan *plan, struct slice properties)
{
    static struct plan_scratch scratch;
    struct diag first = DIAG_INIT, second = DIAG_INIT;
    struct plan_type *type = NULL;
    enum plan_verdict verdict = plan_check(plan, SLICE("t"), properties, &scratch, &type, &first);

    if (verdict == PLAN_UNDECIDED)
        return;
    if (verdict != PLAN_FITS && (type == NULL || first.field[0] == '\0' ||
                                 strncmp(first.message, first.field, strlen(first.field)) != 0))
        abort();
    if (plan_check(plan, SLICE("t"), properties, &scratch, &type, &second) != verdict ||
        strcmp(first.message, second.message) != 0)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const uint8_t *end = len != 0 ? memchr(bytes, '\n', len) : NULL;
    size_t cut = end != NULL ? (size_t)(end - bytes) : len;
    size_t rest = end != NULL ? len - cut - 1 : 0;
    /* Each in memory of its own size: a step beyond it is seen. */
    char *document = malloc(cut + 1), *properties = malloc(rest + 1);
    struct plan *plan = NULL;
    struct diag diag = DIAG_INIT;
    enum err err;

    if (document == NULL || properties == NULL)
        abort();
    document = realloc(document, cut != 0 ? cut : 1);
    properties = realloc(properties, rest != 0 ? rest : 1);
    memcpy(document, bytes, cut);
    if (rest != 0)
        memcpy(properties, end + 1, rest);
    err = plan_compile(slice_of(document, cut), &plan, &diag);
    if (err != ERR_OK && err != ERR_NOMEM &&
        (err != ERR_INVALID_PLAN || diag.message[0] == '\0' || plan != NULL))
        abort();
    if (err == ERR_OK && is_sound(slice_of(properties, rest)))
        ask(plan, slice_of(properties, rest));
    if (err == ERR_OK)
        ask(plan, SLICE_NONE);
    plan_release(&plan);
    free(document);
    free(properties);
    return 0;
}
