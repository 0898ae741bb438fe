/*
 * find - listing what is kept, and finding one. See rejects.h.
 *
 * On the desk. A file is read whole, with the lock held for that alone, and then walked: forward,
 * since that is how records can be found, noting where those stand that were asked for; then
 * backward, newest first.
 */
#include "rejects/inside.h"

#include "base/mem.h"

struct page {
    const struct rejects_question *question;
    rejects_take_fn *take;
    void *state;
    uint64_t before;
    uint64_t oldest_id;
    uint32_t count;
};

/* The newest file of the project with ids below `before`. ERR_ABSENT: there is none. */
static enum err
read_file(struct rejects *rejects, uint32_t project_id, uint64_t before, struct buf *text,
          uint64_t *ret_first_id, struct diag *diag)
{
    struct kept_project *project;
    const struct kept_file *file;
    char path[FILE_PATH_MAX];
    enum err err = ERR_ABSENT;

    buf_clear(text);
    pthread_mutex_lock(&rejects->lock);
    project = folder_project(rejects, project_id);
    file = project != NULL ? folder_file(project, before) : NULL;
    if (file != NULL && folder_path(rejects, project_id, file->first_id, path)) {
        *ret_first_id = file->first_id;
        err = file_read_whole(path, FILE_READ_BYTES_MAX, text, diag);
        if (err == ERR_ABSENT)
            err = ERR_OK; /* somebody has removed it: as if it were empty */
    }
    pthread_mutex_unlock(&rejects->lock);
    return err;
}

static void
write_queued(struct rejects *rejects)
{
    pthread_mutex_lock(&rejects->lock);
    rejects_write_queued(rejects);
    pthread_mutex_unlock(&rejects->lock);
}

static bool
is_asked_for(const struct page *page, const struct record *record)
{
    const struct rejects_question *question = page->question;
    const struct reject *reject = &record->reject;

    return !record->is_gone && reject->id < page->before && reject->id >= page->oldest_id &&
           (question->code.ptr == NULL || slice_equal(question->code, reject->code)) &&
           (question->event_id.ptr == NULL ||
            (reject->event_id.ptr != NULL && slice_equal(question->event_id, reject->event_id)));
}

/* Where the records stand that were asked for: offsets, 32 bits each. */
static enum err
gather(struct page *page, struct slice text, struct buf *offsets)
{
    struct record_reader reader;
    struct record record;

    buf_clear(offsets);
    if (!record_reader_init(&reader, text))
        return ERR_OK; /* empty, or damaged since the start */
    while (record_next(&reader, &record)) {
        const uint32_t offset = (uint32_t)record.offset;

        if (is_asked_for(page, &record))
            buf_add(offsets, &offset, sizeof(offset));
    }
    rejects_count_damage(reader.damaged);
    return buf_failed(offsets) ? ERR_NOMEM : ERR_OK;
}

static enum err
show_backward(struct page *page, struct slice text, const struct buf *offsets)
{
    enum err err = ERR_OK;

    for (size_t i = offsets->len / sizeof(uint32_t);
         err == ERR_OK && i > 0 && page->count < page->question->limit; i--) {
        struct record_reader reader;
        struct record record;
        uint32_t offset;

        memcpy(&offset, offsets->ptr + (i - 1) * sizeof(offset), sizeof(offset));
        if (!record_reader_init(&reader, text))
            return ERR_CORRUPT;
        reader.at = offset;
        if (!record_next(&reader, &record))
            return ERR_CORRUPT;
        err = page->take(page->state, &record.reject);
        page->before = record.reject.id;
        page->count++;
    }
    return err;
}

enum err
rejects_list(struct rejects *rejects, const struct rejects_question *question,
             rejects_take_fn *take, void *state, uint64_t *ret_next, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf text;
    CLEANUP(buf_fini) struct buf offsets;
    struct page page = {
        .question = question,
        .take = take,
        .state = state,
        .before = question->before != 0 ? question->before : UINT64_MAX,
    };
    uint64_t scanned = 0;
    uint64_t first_id = 0;
    enum err err = ERR_OK;

    buf_init(&text, FILE_READ_BYTES_MAX);
    buf_init(&offsets, FILE_READ_BYTES_MAX / RECORD_HEADER_BYTES * sizeof(uint32_t));
    *ret_next = 0;
    err = rejects_must_be_loaded(rejects, diag);
    if (err != ERR_OK)
        return err;
    write_queued(rejects);
    page.oldest_id = folder_oldest_id(rejects);
    while (page.count < question->limit && scanned < REJECTS_SCAN_BYTES) {
        err = read_file(rejects, question->project_id, page.before, &text, &first_id, diag);
        if (err == ERR_ABSENT)
            return ERR_OK;
        if (err == ERR_OK)
            err = gather(&page, buf_slice(&text), &offsets);
        if (err == ERR_OK)
            err = show_backward(&page, buf_slice(&text), &offsets);
        if (err != ERR_OK)
            return err;
        scanned += text.len + 1;
        if (page.count < question->limit)
            page.before = first_id;
    }
    *ret_next = page.before;
    return ERR_OK;
}

enum err
rejects_find(struct rejects *rejects, uint32_t project_id, uint64_t id, rejects_take_fn *take,
             void *state, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf text;
    struct record_reader reader;
    struct record record;
    uint64_t first_id;
    enum err err = rejects_must_be_loaded(rejects, diag);

    buf_init(&text, FILE_READ_BYTES_MAX);
    if (err != ERR_OK)
        return err;
    write_queued(rejects);
    if (id < folder_oldest_id(rejects))
        return ERR_ABSENT;
    err = read_file(rejects, project_id, id + 1, &text, &first_id, diag);
    if (err != ERR_OK)
        return err;
    if (!record_reader_init(&reader, buf_slice(&text)))
        return ERR_ABSENT;
    while (record_next(&reader, &record)) {
        if (record.reject.id == id)
            return record.is_gone ? ERR_ABSENT : take(state, &record.reject);
    }
    return ERR_ABSENT;
}
