/* rooms: app */
/*
 * fuzz_backup - the list of a backup: any bytes, and lists that end as they should (the check at
 * the end would let nothing else through). Whatever is read names only files that a backup has.
 */
#include "app/backup.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
require_sound(const struct backup_manifest *manifest)
{
    if (manifest->made_at_us < 0)
        abort();
    for (size_t i = 0; i < manifest->file_count; i++) {
        const char *name = manifest->files[i].name;

        if (memchr(name, '\0', sizeof(manifest->files[i].name)) == NULL ||
            strstr(name, "..") != NULL || name[0] == '/' || strchr(name, '\n') != NULL)
            abort();
        if (strcmp(name, "accounts.db") != 0 && strcmp(name, "token-keys") != 0 &&
            strcmp(name, "secret") != 0 && strncmp(name, "ledger/", 7) != 0)
            abort();
    }
}

static void
parse(const char *bytes, size_t len)
{
    struct backup_manifest manifest = {0};
    struct diag diag = DIAG_INIT;
    const enum err err = backup_manifest_parse(slice_of(bytes, len), "MANIFEST", &manifest, &diag);

    if (err == ERR_OK)
        require_sound(&manifest);
    else if (diag.message[0] == '\0' || manifest.files != NULL)
        abort();
    mem_free(manifest.files);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *whole = malloc(len + 128);
    size_t files = 0;
    int more;

    if (whole == NULL)
        return 0;
    parse((const char *)bytes, len);
    memcpy(whole, bytes, len);
    for (size_t i = 0; i < len; i++)
        files += whole[i] == '\n';
    files = files < 2 ? 0 : files - 2;
    more = snprintf(whole + len, 128, "end %zu %08x\n", files, (unsigned)crc32c(0, whole, len));
    parse(whole, len + (size_t)more);
    free(whole);
    return 0;
}
