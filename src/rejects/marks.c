/*
 * marks - what was stored at last, or refused anew, is marked as gone in its file, in place.
 *
 * Layer 3, with `lock` held. Marks come one by one with requests that
 * anybody with a write key may send, and each is about a record somewhere in up to `bytes_max` of
 * files. So they gather, sorted by project and id; then each file is read once, whatever the number
 * of its marks, and a step reads at most MARK_FILES_A_STEP files. What is left waits for the next
 * step. Beyond MARKS_MAX they are let go: the record stays in the list, and sent again it is a
 * duplicate.
 */
#include "rejects/inside.h"

#include <stdlib.h>

struct mark {
    uint32_t project_id;
    uint64_t id;
};

_Static_assert(MARKS_BYTES_MAX == MARKS_MAX * sizeof(struct mark), "as many have room");

static size_t
count_of(const struct rejects *rejects)
{
    return rejects->marks.len / sizeof(struct mark);
}

static struct mark *
list_of(struct rejects *rejects)
{
    return (struct mark *)(void *)rejects->marks.ptr;
}

void
marks_add(struct rejects *rejects, uint32_t project_id, uint64_t id)
{
    const struct mark mark = {.project_id = project_id, .id = id};
    const struct kept_project *project = folder_project(rejects, project_id);

    if (project == NULL || id > project->last_id || id < project->files[0].first_id ||
        count_of(rejects) == MARKS_MAX)
        return;
    buf_add(&rejects->marks, &mark, sizeof(mark));
    if (buf_failed(&rejects->marks)) /* out of memory */
        rejects->marks.is_failed = false;
    rejects->are_marks_sorted = false;
}

static int
compare(const void *left, const void *right)
{
    const struct mark *a = (const struct mark *)left;
    const struct mark *b = (const struct mark *)right;

    if (a->project_id != b->project_id)
        return a->project_id < b->project_id ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Ids of one file's records rise, and so do those of the marks. */
static void
mark_in_file(struct rejects *rejects, const struct kept_file *file, const struct mark *marks,
             size_t count)
{
    static const uint64_t gone = UINT64_MAX;
    CLOSE_FD int fd = -1;
    struct record_reader reader;
    struct record record;
    char path[FILE_PATH_MAX];
    size_t i = 0;

    buf_clear(&rejects->read);
    if (!folder_path(rejects, marks->project_id, file->first_id, path) ||
        file_read_whole(path, FILE_READ_BYTES_MAX, &rejects->read, NULL) != ERR_OK ||
        !record_reader_init(&reader, buf_slice(&rejects->read)))
        return;
    while (i < count && record_next(&reader, &record)) {
        while (i < count && marks[i].id < record.reject.id)
            i++;
        if (i == count || marks[i].id != record.reject.id || record.is_gone)
            continue;
        if (fd < 0 && file_open(path, FILE_WRITE, &fd, NULL) != ERR_OK)
            return;
        (void)!file_write_at(fd, path, &gone, sizeof(gone), record.offset + RECORD_STATE_OFFSET,
                             NULL);
    }
}

void
marks_apply(struct rejects *rejects)
{
    const size_t count = count_of(rejects);
    struct mark *marks = list_of(rejects);
    size_t at = 0;

    if (count == 0)
        return;
    if (!rejects->are_marks_sorted)
        qsort(marks, count, sizeof(*marks), compare);
    rejects->are_marks_sorted = true;
    for (size_t files = 0; at < count && files < MARK_FILES_A_STEP;) {
        struct kept_project *project = folder_project(rejects, marks[at].project_id);
        const struct kept_file *file =
            project != NULL ? folder_file(project, marks[at].id + 1) : NULL;
        size_t end = at + 1;

        if (file != NULL) {
            const bool is_last = file + 1 == project->files + project->count;

            while (end < count && marks[end].project_id == project->id &&
                   (is_last || marks[end].id < file[1].first_id))
                end++;
            mark_in_file(rejects, file, marks + at, end - at);
            files++;
        }
        at = end;
    }
    memmove(marks, marks + at, (count - at) * sizeof(*marks));
    rejects->marks.len = (count - at) * sizeof(*marks);
}
