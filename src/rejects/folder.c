/*
 * folder - the files there are, what they hold, and both bounds. See rejects.h and inside.h.
 *
 * What is known of a file is its name, its size and its salt: ids are times, so that names alone
 * tell how old files are. Only the newest file of each project is read whole at a start, since only
 * that may have a torn end, which is cut.
 */
#include "rejects/inside.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define SUFFIX ".rej"
#define NAME_DIGITS 20
#define PROJECTS_FIRST 8
#define FILES_FIRST 4

/* --- what is known ----------------------------------------------------------------------------*/

bool
folder_path(const struct rejects *rejects, uint32_t project_id, uint64_t first_id,
            char ret_path[FILE_PATH_MAX])
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%" PRIu32 "/%020" PRIu64 SUFFIX, project_id, first_id);
    return file_path(ret_path, rejects->dir, name);
}

static bool
project_path(const struct rejects *rejects, uint32_t project_id, char ret_path[FILE_PATH_MAX])
{
    char name[16];

    (void)snprintf(name, sizeof(name), "%" PRIu32, project_id);
    return file_path(ret_path, rejects->dir, name);
}

/* The place of a project, or where it would stand. */
static uint32_t
find_place(const struct rejects *rejects, uint32_t project_id)
{
    uint32_t low = 0;
    uint32_t high = rejects->project_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (rejects->projects[middle].id < project_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kept_project *
folder_project(struct rejects *rejects, uint32_t project_id)
{
    uint32_t place = find_place(rejects, project_id);

    return place < rejects->project_count && rejects->projects[place].id == project_id
               ? &rejects->projects[place]
               : NULL;
}

/* Room for one more of `size` bytes in a list that has `count`. */
static void *
grow(void *list, uint32_t count, uint32_t *capacity, uint32_t first, size_t size)
{
    uint32_t wanted = *capacity == 0 ? first : *capacity * 2;
    void *grown;

    if (count < *capacity)
        return list;
    grown = mem_realloc(list, wanted * size);
    if (grown != NULL)
        *capacity = wanted;
    return grown;
}

static struct kept_project *
add_project(struct rejects *rejects, uint32_t project_id)
{
    struct kept_project *found = folder_project(rejects, project_id);
    uint32_t place = find_place(rejects, project_id);
    struct kept_project *list;

    if (found != NULL)
        return found;
    list = grow(rejects->projects, rejects->project_count, &rejects->project_capacity,
                PROJECTS_FIRST, sizeof(*list));
    if (list == NULL)
        return NULL;
    rejects->projects = list;
    memmove(list + place + 1, list + place, (rejects->project_count - place) * sizeof(*list));
    list[place] = (struct kept_project){.id = project_id};
    rejects->project_count++;
    return &list[place];
}

/* Without files it is not known. */
static void
forget_project(struct rejects *rejects, struct kept_project *project)
{
    uint32_t at = (uint32_t)(project - rejects->projects);

    mem_free(project->files);
    rejects->project_count--;
    memmove(project, project + 1, (rejects->project_count - at) * sizeof(*project));
}

static bool
add_file(struct rejects *rejects, struct kept_project *project, struct kept_file file)
{
    struct kept_file *files =
        grow(project->files, project->count, &project->capacity, FILES_FIRST, sizeof(*files));

    if (files == NULL) {
        if (project->count == 0)
            forget_project(rejects, project);
        return false;
    }
    project->files = files;
    files[project->count++] = file;
    project->bytes += file.bytes;
    rejects->bytes += file.bytes;
    return true;
}

struct kept_file *
folder_file(struct kept_project *project, uint64_t before)
{
    uint32_t low = 0;
    uint32_t high = project->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (project->files[middle].first_id < before)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &project->files[low - 1] : NULL;
}

void
folder_forget(struct rejects *rejects)
{
    for (uint32_t i = 0; i < rejects->project_count; i++)
        mem_free(rejects->projects[i].files);
    mem_free(rejects->projects);
    rejects->projects = NULL;
    rejects->project_count = 0;
    rejects->project_capacity = 0;
    rejects->bytes = 0;
}

/* --- going ------------------------------------------------------------------------------------*/

static void
forget_file(struct rejects *rejects, struct kept_project *project, uint32_t place)
{
    rejects->bytes -= project->files[place].bytes;
    project->bytes -= project->files[place].bytes;
    project->count--;
    memmove(project->files + place, project->files + place + 1,
            (project->count - place) * sizeof(*project->files));
    if (project->count == 0)
        forget_project(rejects, project);
}

enum err
folder_drop(struct rejects *rejects, uint32_t project_id, uint64_t first_id, struct diag *diag)
{
    struct kept_project *project = folder_project(rejects, project_id);
    char path[FILE_PATH_MAX];
    enum err err;

    for (uint32_t i = 0; project != NULL && i < project->count; i++) {
        if (project->files[i].first_id != first_id)
            continue;
        if (!folder_path(rejects, project_id, first_id, path))
            return ERR_IO;
        err = file_unlink(path, diag);
        if (err != ERR_OK && err != ERR_ABSENT)
            return err;
        forget_file(rejects, project, i);
        return ERR_OK;
    }
    return ERR_OK;
}

enum err
folder_make_room(struct rejects *rejects, uint64_t need, struct diag *diag)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && rejects->project_count != 0 &&
           rejects->bytes + need > rejects->config.bytes_max) {
        const struct kept_project *most = &rejects->projects[0];

        for (uint32_t i = 1; i < rejects->project_count; i++) {
            if (rejects->projects[i].bytes > most->bytes)
                most = &rejects->projects[i];
        }
        err = folder_drop(rejects, most->id, most->files[0].first_id, diag);
    }
    return err;
}

/* The newest id that a file can have: a file is written to for an eighth of the age at most,
 * however long the next one was not begun. */
static uint64_t
newest_id(const struct rejects *rejects, const struct kept_project *project, uint32_t place)
{
    const uint64_t written_to =
        project->files[place].first_id + (uint64_t)rejects->config.age_us / FILES_OF_AGE;
    uint64_t last_id;

    if (place + 1 == project->count)
        return project->last_id;
    last_id = project->files[place + 1].first_id - 1;
    return written_to < last_id ? written_to : last_id;
}

uint64_t
folder_oldest_id(const struct rejects *rejects)
{
    int64_t oldest_us = clock_wall_us(rejects->config.clock) - rejects->config.age_us;

    return oldest_us > 0 ? (uint64_t)oldest_us : 0;
}

void
folder_expire(struct rejects *rejects, int64_t now_us)
{
    const int64_t oldest_us = now_us - rejects->config.age_us;

    for (uint32_t i = rejects->project_count; oldest_us > 0 && i > 0; i--) {
        const struct kept_project *project = &rejects->projects[i - 1];
        const uint32_t project_id = project->id;

        /* The project goes with its last file. */
        while (i <= rejects->project_count && project->id == project_id &&
               newest_id(rejects, project, 0) < (uint64_t)oldest_us) {
            if (folder_drop(rejects, project_id, project->files[0].first_id, NULL) != ERR_OK)
                break; /* tried again at the next look */
        }
    }
}

/* --- coming -----------------------------------------------------------------------------------*/

struct kept_file *
folder_open_file(struct rejects *rejects, uint32_t project_id, uint64_t id, uint64_t need)
{
    struct kept_project *project = folder_project(rejects, project_id);
    struct kept_file *file;

    if (project == NULL || project->is_closed)
        return NULL;
    file = &project->files[project->count - 1];
    return file->bytes + need <= rejects->file_bytes_max &&
                   id - file->first_id <= (uint64_t)rejects->config.age_us / FILES_OF_AGE
               ? file
               : NULL;
}

static enum err
make_folders(const struct rejects *rejects, uint32_t project_id, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    enum err err;

    if (!project_path(rejects, project_id, path))
        return ERR_IO;
    err = file_make_dir(path, diag);
    if (err != ERR_ABSENT)
        return err;
    err = file_make_dir(rejects->dir, diag);
    return err == ERR_OK ? file_make_dir(path, diag) : err;
}

enum err
folder_new_file(struct rejects *rejects, uint32_t project_id, uint64_t id, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    struct record_file header = {.project_id = project_id, .first_id = id};
    struct kept_project *project;
    char bytes[RECORD_FILE_HEADER_BYTES];
    char path[FILE_PATH_MAX];
    enum err err = make_folders(rejects, project_id, diag);

    if (err == ERR_OK && !folder_path(rejects, project_id, id, path))
        err = ERR_IO;
    if (err != ERR_OK)
        return err;
    header.salt = (uint32_t)random_u64(rejects->config.random);
    record_make_file_header(&header, bytes);
    err = file_open(path, FILE_REPLACE, &fd, diag);
    if (err == ERR_OK)
        err = file_write_at(fd, path, bytes, sizeof(bytes), 0, diag);
    if (err == ERR_OK) {
        project = add_project(rejects, project_id);
        if (project == NULL ||
            !add_file(rejects, project, (struct kept_file){id, sizeof(bytes), header.salt}))
            err = ERR_NOMEM;
        else
            project->is_closed = false;
    }
    if (err != ERR_OK && fd >= 0)
        (void)!file_unlink(path, NULL);
    return err;
}

enum err
folder_append(struct rejects *rejects, uint32_t project_id, uint64_t last_id, struct slice records,
              struct diag *diag)
{
    CLOSE_FD int fd = -1;
    struct kept_project *project = folder_project(rejects, project_id);
    struct kept_file *file;
    char path[FILE_PATH_MAX];
    enum err err;

    if (project == NULL)
        return ERR_ABSENT;
    file = &project->files[project->count - 1];
    if (!folder_path(rejects, project_id, file->first_id, path))
        return ERR_IO;
    err = file_open(path, FILE_WRITE, &fd, diag);
    if (err == ERR_OK)
        err = file_write_at(fd, path, records.ptr, records.len, file->bytes, diag);
    if (err != ERR_OK) {
        project->is_closed = true;
        if (file->bytes == RECORD_FILE_HEADER_BYTES)
            (void)!folder_drop(rejects, project_id, file->first_id, NULL);
        else if (fd >= 0)
            (void)!file_truncate(fd, path, file->bytes, NULL);
        return err;
    }
    file->bytes += records.len;
    project->bytes += records.len;
    rejects->bytes += records.len;
    project->last_id = last_id;
    return ERR_OK;
}

/* --- the start --------------------------------------------------------------------------------*/

/* Digits alone, as many as `name` has before `suffix`. */
static bool
parse_name(const char *name, const char *suffix, uint64_t *ret_number)
{
    const size_t len = strlen(name);
    const size_t digits = len - (len < strlen(suffix) ? len : strlen(suffix));
    uint64_t number = 0;

    if (digits == 0 || digits > NAME_DIGITS || strcmp(name + digits, suffix) != 0)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (name[i] < '0' || name[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(name[i] - '0'), &number))
            return false;
    }
    *ret_number = number;
    return true;
}

/* The newest file of a project: what is torn at its end is cut off. */
static enum err
recover(int fd, const char *path, uint64_t *bytes, uint64_t *ret_last_id, struct diag *diag)
{
    CLEANUP(buf_fini) struct buf text;
    struct record_reader reader;
    struct record record;
    enum err err;

    buf_init(&text, FILE_READ_BYTES_MAX);
    err = file_read_whole(path, FILE_READ_BYTES_MAX, &text, diag);
    if (err != ERR_OK)
        return err;
    if (!record_reader_init(&reader, buf_slice(&text)))
        return ERR_CORRUPT;
    while (record_next(&reader, &record))
        continue;
    rejects_count_damage(reader.damaged);
    *ret_last_id = reader.last_id;
    if (reader.good_end == *bytes)
        return ERR_OK;
    *bytes = reader.good_end;
    return file_truncate(fd, path, reader.good_end, diag);
}

/* ERR_CORRUPT: what it is cannot be told. */
static enum err
load_file(struct rejects *rejects, uint32_t project_id, uint64_t first_id, bool is_newest,
          struct diag *diag)
{
    CLOSE_FD int fd = -1;
    struct kept_project *project;
    struct record_file header;
    char bytes[RECORD_FILE_HEADER_BYTES];
    char path[FILE_PATH_MAX];
    size_t len = 0;
    uint64_t size = 0;
    uint64_t last_id = 0;
    enum err err = folder_path(rejects, project_id, first_id, path) ? ERR_OK : ERR_IO;

    if (err == ERR_OK)
        err = file_open(path, FILE_WRITE, &fd, diag);
    if (err == ERR_OK)
        err = file_size(fd, path, &size, diag);
    if (err == ERR_OK)
        err = file_read_some_at(fd, path, bytes, sizeof(bytes), 0, &len, diag);
    if (err == ERR_OK &&
        (size > FILE_READ_BYTES_MAX || !record_read_file_header(slice_of(bytes, len), &header) ||
         header.project_id != project_id || header.first_id != first_id))
        err = ERR_CORRUPT;
    if (err == ERR_OK && is_newest)
        err = recover(fd, path, &size, &last_id, diag);
    if (err != ERR_OK)
        return err;
    project = add_project(rejects, project_id);
    if (project == NULL ||
        !add_file(rejects, project, (struct kept_file){first_id, size, header.salt}))
        return ERR_NOMEM;
    if (last_id < first_id)
        last_id = first_id;
    project->last_id = last_id;
    if (last_id > rejects->last_id)
        rejects->last_id = last_id;
    return ERR_OK;
}

/* Files whose header does not pass are of no use to anybody, and would stand outside the bound. */
static enum err
load_project(struct rejects *rejects, uint32_t project_id, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {NULL, 0};
    char dir[FILE_PATH_MAX];
    char path[FILE_PATH_MAX];
    size_t newest = 0;
    uint64_t first_id;
    enum err err =
        project_path(rejects, project_id, dir) ? file_list_dir(dir, &list, diag) : ERR_IO;

    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        if (parse_name(list.names[i], SUFFIX, &first_id))
            newest = i;
    }
    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        if (!file_path(path, dir, list.names[i]))
            return ERR_IO;
        if (!parse_name(list.names[i], SUFFIX, &first_id)) {
            (void)!file_unlink(path, NULL); /* of an erasure that was broken off */
            continue;
        }
        err = load_file(rejects, project_id, first_id, i == newest, diag);
        if (err == ERR_CORRUPT) {
            SINK(rejects->config.sink, LOG_LEVEL_WARN, "rejected.file_dropped",
                 LOG_TEXT("file", path), LOG_TEXT("reason", "its header fails its check"));
            rejects_count_damage(1);
            err = file_unlink(path, diag);
        }
    }
    return err;
}

enum err
folder_load(struct rejects *rejects, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {NULL, 0};
    enum err err = ERR_OK;

    folder_forget(rejects);
    if (!file_exists(rejects->dir))
        return ERR_OK; /* made with the first file */
    err = file_list_dir(rejects->dir, &list, diag);
    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        uint64_t project_id;

        if (parse_name(list.names[i], "", &project_id) && project_id <= UINT32_MAX)
            err = load_project(rejects, (uint32_t)project_id, diag);
    }
    if (err == ERR_OK)
        err = folder_make_room(rejects, 0, diag);
    if (err != ERR_OK)
        folder_forget(rejects);
    return err;
}
