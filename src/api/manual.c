/*
 * manual - see manual.h.
 *
 * Static: nothing of the client's is in it. Kept copies are asked for again each time (no-cache)
 * and mostly answered by 304: so a new version of the program is seen at once.
 */
#include "api/manual.h"

#include "api/internal.h"
#include "base/mem.h"
#include "codec/compress.h"

#include <assert.h>
#include <string.h>

/* Of the page alone. Scripts and styles are files of this server, nothing else is loaded, and
 * requests go nowhere else. Pictures in the style sheet are data: URLs. */
#define PAGE_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
#define PAGE_PATH "/docs"

/* --- fields -----------------------------------------------------------------------------------*/

/* The next element of a list; *at moves behind it. */
static struct slice
next_element(const char **at, const char *end)
{
    const char *comma = memchr(*at, ',', (size_t)(end - *at));
    struct slice element = slice_trim(slice_of(*at, (size_t)((comma != NULL ? comma : end) - *at)));

    *at = comma != NULL ? comma + 1 : end;
    return element;
}

/* ";q=0", "; Q=0.000": not wanted. */
static bool
is_refused(struct slice weight)
{
    bool is_zero = true;

    weight = slice_trim(weight);
    if (weight.len < 3 || (weight.ptr[0] != 'q' && weight.ptr[0] != 'Q') || weight.ptr[1] != '=')
        return false;
    for (size_t i = 2; i < weight.len; i++)
        is_zero = is_zero && (weight.ptr[i] == '0' || weight.ptr[i] == '.');
    return is_zero;
}

bool
manual_takes_gzip(struct slice accept_encoding)
{
    const char *at = accept_encoding.ptr;
    const char *end = at != NULL ? at + accept_encoding.len : NULL;
    bool takes_any = false;

    while (at != end) {
        struct slice element = next_element(&at, end);
        const char *semicolon = element.len != 0 ? memchr(element.ptr, ';', element.len) : NULL;
        struct slice weight = SLICE("");

        if (semicolon != NULL) {
            const size_t len = (size_t)(semicolon - element.ptr);

            weight = slice_of(semicolon + 1, element.len - len - 1);
            element = slice_trim(slice_of(element.ptr, len));
        }
        if (slice_equal_nocase(element, SLICE("gzip")))
            return !is_refused(weight);
        if (slice_equal(element, SLICE("*")))
            takes_any = !is_refused(weight);
    }
    return takes_any;
}

bool
manual_lists_tag(struct slice if_none_match, const char *tag)
{
    const char *at = if_none_match.ptr;
    const char *end = at != NULL ? at + if_none_match.len : NULL;

    while (at != end) {
        struct slice element = next_element(&at, end);

        if (element.len > 2 && memcmp(element.ptr, "W/", 2) == 0)
            element = slice_of(element.ptr + 2, element.len - 2);
        if (slice_equal(element, slice_of_text(tag)) || slice_equal(element, SLICE("*")))
            return true;
    }
    return false;
}

/* --- for who takes no gzip --------------------------------------------------------------------*/

struct inflating {
    char *text;
    size_t len;
    size_t room;
};

static enum err
take(void *state, const char *bytes, size_t len)
{
    struct inflating *inflating = state;

    assert(len <= inflating->room - inflating->len);
    memcpy(inflating->text + inflating->len, bytes, len);
    inflating->len += len;
    return ERR_OK;
}

static enum err
inflate(const struct asset *asset, char *text)
{
    CLEANUP(decompress_free) struct decompress *decompress = NULL;
    struct decompress_config config = {.kind = COMPRESS_GZIP,
                                       .output_bytes_max = asset->plain_bytes};
    struct inflating inflating = {text, 0, asset->plain_bytes};
    struct diag diag = DIAG_INIT;
    enum err err = decompress_new(&config, &decompress, &diag);

    if (err == ERR_OK)
        err =
            decompress_feed(decompress, asset->gzip.ptr, asset->gzip.len, take, &inflating, &diag);
    if (err == ERR_OK)
        err = decompress_end(decompress, &diag);
    assert(err == ERR_NOMEM || (err == ERR_OK && inflating.len == asset->plain_bytes));
    return err;
}

enum err
manual_plain(struct manual *manual, size_t i, struct slice *ret_text)
{
    const struct asset *asset = &assets[i];
    char *text = atomic_load(&manual->plain[i]);

    assert(i < asset_count && asset_count <= ASSETS_MAX);
    if (text == NULL) {
        char *fresh = mem_alloc(asset->plain_bytes);
        enum err err = fresh != NULL ? inflate(asset, fresh) : ERR_NOMEM;

        if (err != ERR_OK) {
            mem_free(fresh);
            return err;
        }
        /* Another loop may have been quicker: its copy is the one, then. */
        if (atomic_compare_exchange_strong(&manual->plain[i], &text, fresh))
            text = fresh;
        else
            mem_free(fresh);
    }
    *ret_text = slice_of(text, asset->plain_bytes);
    return ERR_OK;
}

void
manual_fini(struct manual *manual)
{
    for (size_t i = 0; i < ASSETS_MAX; i++) {
        mem_free(atomic_load(&manual->plain[i]));
        atomic_store(&manual->plain[i], NULL);
    }
}

/* --- the routes -------------------------------------------------------------------------------*/

/* SIZE_MAX: there is none. */
static size_t
find_asset(struct slice path)
{
    for (size_t i = 0; i < asset_count; i++) {
        if (slice_equal(slice_of_text(assets[i].path), path))
            return i;
    }
    return SIZE_MAX;
}

static void
manual_end(struct api_request *request)
{
    struct http_exchange *exchange = request->exchange;
    const size_t i = find_asset(http_path(exchange));
    const struct asset *asset = &assets[i];
    const struct slice known = http_header(exchange, "if-none-match");
    const bool is_gzip = manual_takes_gzip(http_header(exchange, "accept-encoding"));
    const char *tag = is_gzip ? asset->gzip_tag : asset->plain_tag;
    struct slice body = asset->gzip;

    assert(i != SIZE_MAX); /* the route is there because the file is */
    if (!is_gzip && manual_plain(&request->loop->api->manual, i, &body) != ERR_OK) {
        http_reply_error(exchange, ERR_NOMEM, NULL, NULL);
        return;
    }
    http_reply_header(exchange, "ETag", slice_of_text(tag));
    http_reply_header(exchange, "Cache-Control", SLICE("no-cache"));
    http_reply_header(exchange, "Vary", SLICE("Accept-Encoding"));
    if (strcmp(asset->path, PAGE_PATH) == 0)
        http_reply_header(exchange, "Content-Security-Policy", SLICE(PAGE_POLICY));
    if (manual_lists_tag(known, tag)) {
        http_reply(exchange, 304, NULL, SLICE(""));
        return;
    }
    if (is_gzip)
        http_reply_header(exchange, "Content-Encoding", SLICE("gzip"));
    http_reply_still(exchange, 200, asset->type, body);
}

/* As the path names it raw: the names are plain. */
bool
docs_file_exists(const struct slice *segments)
{
    for (size_t i = 0; i < asset_count; i++) {
        const char *name = assets[i].path + sizeof(PAGE_PATH);

        if (strncmp(assets[i].path, PAGE_PATH "/", sizeof(PAGE_PATH)) == 0 &&
            slice_equal(slice_of_text(name), segments[0]))
            return true;
    }
    return false;
}

const struct route_handler openapi_handler = {.end = manual_end};
const struct route_handler docs_handler = {.end = manual_end};
const struct route_handler docs_file_handler = {.end = manual_end};
