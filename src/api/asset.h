/*
 * asset - files that the server hands out as they are: compressed at build time by
 * tools/embed_files, which makes the table; manual.c serves it.
 *
 * Layer 6, read-only.
 */
#ifndef POTIK_API_ASSET_H
#define POTIK_API_ASSET_H

#include "base/slice.h"

#include <stddef.h>

#define ASSETS_MAX 8

struct asset {
    const char *path;
    const char *type;
    struct slice gzip;
    size_t plain_bytes;    /* once inflated */
    const char *plain_tag; /* ETag, quotes included */
    const char *gzip_tag;
};

extern const struct asset assets[];
extern const size_t asset_count; /* 1 … ASSETS_MAX */

#endif
