/*
 * lexicon - the dictionary and the persons of a project, held together, and the dictionary's files.
 *
 * Layer 4. Files types.<number>: for each name a length (1 byte; at most 200; 0: a hole) and its
 * bytes, in order of id. Seals only ever add; where there are many, the next one writes all names
 * as one, and so does an erasure that took the last event of a type.
 * Their checksum stands in the manifest.
 */
#include "codec/crc32c.h"
#include "warehouse/inside.h"
#include <stdio.h>
#include <string.h>

#define TYPES_FILES_MANY 16
#define TYPES_BYTES_MAX ((size_t)TYPES_MAX * 256)

_Static_assert(TYPES_FILES_MANY < MANIFEST_TYPES_MAX, "a manifest holds them");

enum err
lexicon_new(struct project *project, uint64_t generation, uint32_t epoch,
            struct lexicon **ret_lexicon)
{
    struct lexicon *lexicon = MEM_NEW(struct lexicon, 1);
    char name[32];

    if (lexicon == NULL)
        return ERR_NOMEM;
    snprintf(name, sizeof(name), "persons-%u", (unsigned)epoch);
    if (!file_path(lexicon->runs_dir, project->dir, name)) {
        mem_free(lexicon);
        return ERR_INVALID;
    }
    if (types_new(&lexicon->types) != ERR_OK || learnt_new(&lexicon->learnt) != ERR_OK) {
        types_release(&lexicon->types);
        mem_free(lexicon);
        return ERR_NOMEM;
    }
    atomic_init(&lexicon->references, 1);
    lexicon->project = project;
    persons_init(&lexicon->persons, project->warehouse->secret);
    memcpy(lexicon->runs_owner, &generation, 8);
    memcpy(lexicon->runs_owner + 8, &project->id, 4);
    memcpy(lexicon->runs_owner + 12, &epoch, 4);
    *ret_lexicon = lexicon;
    return ERR_OK;
}

struct lexicon *
lexicon_hold(struct lexicon *lexicon)
{
    atomic_fetch_add_explicit(&lexicon->references, 1, memory_order_relaxed);
    return lexicon;
}

void
lexicon_release(struct lexicon **lexicon_place)
{
    struct lexicon *lexicon = *lexicon_place;

    *lexicon_place = NULL;
    if (lexicon == NULL ||
        atomic_fetch_sub_explicit(&lexicon->references, 1, memory_order_acq_rel) != 1)
        return;
    types_release(&lexicon->types);
    persons_fini(&lexicon->persons);
    learnt_free(&lexicon->learnt);
    /* What cannot be removed now is removed when the project is opened next. */
    if (atomic_load(&lexicon->is_dropped)) {
        if (file_exists(lexicon->runs_dir))
            (void)!file_remove_tree(lexicon->runs_dir, NULL);
        atomic_fetch_sub(&lexicon->project->dropped_lexicons, 1);
    }
    mem_free(lexicon);
}

static enum err
read_types_file(struct lexicon *lexicon, const char *path, const struct manifest_types *facts,
                struct buf *buf, struct diag *diag)
{
    enum err err = file_read_whole(path, TYPES_BYTES_MAX, buf, diag);
    size_t at = 0;

    if (err == ERR_ABSENT || err == ERR_FULL)
        return ERR_CORRUPT;
    if (err != ERR_OK)
        return err;
    if (buf->len != facts->bytes || crc32c(0, buf->ptr, buf->len) != facts->checksum) {
        diag_set(diag, "%s: not what the manifest says", path);
        return ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < facts->count; i++) {
        const size_t len = at < buf->len ? (uint8_t)buf->ptr[at] : 0;
        uint32_t id = 0;
        const uint32_t expected = lexicon->types->count;

        if (at >= buf->len || len > buf->len - at - 1)
            return ERR_CORRUPT;
        if (len == 0) {
            err = types_add_hole(lexicon->types);
            id = expected;
        } else {
            err = types_resolve(lexicon->types, slice_of(buf->ptr + at + 1, len), &id);
        }
        if (err != ERR_OK)
            return err;
        if (id != expected)
            return ERR_CORRUPT;
        at += 1 + len;
    }
    return ERR_OK;
}

enum err
lexicon_read_types(struct lexicon *lexicon, const char *dir, const struct manifest *manifest,
                   struct diag *diag)
{
    enum err err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < manifest->types_count; i++) {
        char name[32], path[FILE_PATH_MAX];
        struct buf buf;

        snprintf(name, sizeof(name), "types.%u", (unsigned)manifest->types[i].number);
        if (!file_path(path, dir, name))
            return ERR_INVALID;
        buf_init(&buf, TYPES_BYTES_MAX);
        err = read_types_file(lexicon, path, &manifest->types[i], &buf, diag);
        buf_fini(&buf);
    }
    return err;
}

enum err
lexicon_write_types(const struct types *types, const char *dir, struct manifest *manifest,
                    struct diag *diag)
{
    const uint32_t count = types->count;
    char name[32], path[FILE_PATH_MAX];
    struct buf buf;
    enum err err = ERR_NOMEM;
    uint32_t from = manifest->type_count;

    if (count == from)
        return ERR_OK;
    if (manifest->types_count >= TYPES_FILES_MANY) {
        manifest->types_count = 0;
        from = 0;
    }
    snprintf(name, sizeof(name), "types.%u", (unsigned)manifest->next_number);
    if (!file_path(path, dir, name))
        return ERR_INVALID;
    buf_init(&buf, TYPES_BYTES_MAX);
    for (uint32_t id = from; id < count; id++) {
        const struct slice text = types_name(types, id);

        buf_add_char(&buf, (char)(uint8_t)text.len);
        buf_add_slice(&buf, text);
    }
    if (!buf_failed(&buf))
        err = file_replace_whole(path, buf_slice(&buf), diag);
    if (err == ERR_OK) {
        manifest->types[manifest->types_count++] = (struct manifest_types){
            manifest->next_number++, count - from, buf.len, crc32c(0, buf.ptr, buf.len)};
        manifest->type_count = count;
    }
    buf_fini(&buf);
    return err;
}
