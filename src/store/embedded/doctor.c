/*
 * doctor - reads the secret, every segment and every run whole, and says what it finds. See
 * embedded.h.
 *
 * Layer 3 (store/embedded). `potik doctor`, a process of its own, beside a running server or
 * without one. It changes nothing unless is_repair; then what is damaged is kept under another
 * name, and runs, which can be made again, are made again at the next start.
 */
#include "base/mem.h"
#include "base/random.h"
#include "run/run.h"
#include "store/embedded/embedded.h"
#include "store/embedded/repair.h"
#include "store/embedded/secret.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct doctor {
    const char *data_dir;
    char ledger_dir[FILE_PATH_MAX];
    char ids_dir[FILE_PATH_MAX];
    bool is_server_running;
    bool is_repair;
    void (*found)(void *state, const struct embedded_finding *finding);
    void *state;
    uint64_t errors; /* found and not repaired */
    bool has_ledger_id;
    uint8_t ledger_id[LEDGER_ID_BYTES];
    bool are_runs_removed;
    bool is_secret_new;
};

__attribute__((format(printf, 6, 7))) static void
tell(struct doctor *doctor, bool is_error, const char *dir, const char *name, uint64_t offset,
     const char *format, ...)
{
    char file[300];
    char what[600];
    struct embedded_finding finding = {
        .is_error = is_error, .file = file, .offset = offset, .what = what};
    va_list arguments;

    (void)snprintf(file, sizeof(file), "%s%s%s", dir, dir[0] != '\0' ? "/" : "", name);
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof(what), format, arguments); /* too long a text is cut */
    va_end(arguments);
    doctor->found(doctor->state, &finding);
}

static void
tell_error(struct doctor *doctor, const char *dir, const char *name, uint64_t offset,
           const char *what)
{
    doctor->errors++;
    tell(doctor, true, dir, name, offset, "%s", what);
}

/* --- secret -------------------------------------------------------------------------------- */

static enum err
check_secret(struct doctor *doctor, bool has_segments, struct diag *diag)
{
    uint8_t secret[SECRET_BYTES];
    struct diag why = DIAG_INIT;
    char path[FILE_PATH_MAX];
    char aside[FILE_PATH_MAX];
    enum err err = secret_read(doctor->data_dir, secret, &why);

    if (err == ERR_OK || (err == ERR_ABSENT && !has_segments))
        return ERR_OK;
    if (err != ERR_ABSENT && err != ERR_CORRUPT) {
        tell_error(doctor, "", "secret", 0, why.message);
        return ERR_OK;
    }
    if (!doctor->is_repair) {
        tell_error(doctor, "", "secret", 0,
                   "the secret is missing or fails its check; put it back from a backup, or let "
                   "`potik doctor --repair` make a new one (the id index is then built anew)");
        return ERR_OK;
    }
    if (err == ERR_CORRUPT) {
        if (!file_path(path, doctor->data_dir, "secret") ||
            !file_path(aside, doctor->data_dir, "secret.damaged"))
            return ERR_INVALID;
        err = file_rename(path, aside, diag);
        if (err != ERR_OK)
            return err;
    }
    err = secret_make(doctor->data_dir, secret, diag);
    doctor->is_secret_new = err == ERR_OK;
    if (err == ERR_OK)
        tell(doctor, false, "", "secret", 0,
             "a new secret was made; the id index is built anew at the next start");
    return err;
}

/* --- segments ------------------------------------------------------------------------------ */

/* What reading one segment whole has shown. what NULL: nothing is wrong with it. */
struct examined {
    const char *what;
    uint64_t offset;
    uint64_t next_seq;
    bool is_torn; /* bad bytes with no sound frame behind them */
    bool has_footer;
    bool is_too_new;
};

static enum err
examine_frames(struct segment_reader *reader, struct segment_place place, struct examined *examined,
               struct diag *diag)
{
    struct segment_frame frame;
    enum segment_found found = SEGMENT_FRAME;
    enum err err = ERR_OK;

    while (err == ERR_OK && found == SEGMENT_FRAME && !examined->has_footer) {
        err = segment_read_frame(reader, &place, &found, &frame, diag);
        if (err == ERR_OK && found == SEGMENT_FRAME)
            examined->has_footer = frame.header.kind == FRAME_FOOTER;
    }
    examined->next_seq = place.next_seq;
    examined->offset = place.offset;
    if (err == ERR_OK && found == SEGMENT_BAD) {
        bool is_found = false;
        uint64_t offset = 0;

        examined->what = frame.what;
        examined->offset = frame.offset;
        err = segment_find_behind(reader, frame.offset, place.next_seq, &is_found, &offset, diag);
        examined->is_torn = !is_found;
    } else if (err == ERR_OK && examined->has_footer && place.offset != reader->file_bytes) {
        examined->what = "bytes stand behind the footer";
    }
    return err;
}

static enum err
examine_segment(struct doctor *doctor, const char *path, uint64_t first_seq,
                struct examined *ret_examined, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct segment_header header;
    struct segment_place place;
    bool is_found = false;
    uint64_t offset = 0;
    enum err err = segment_reader_open(&reader, path, diag);

    *ret_examined = (struct examined){.next_seq = first_seq};
    if (err != ERR_OK)
        return err;
    err = segment_read_header(&reader, &header, &place, NULL);
    if (err == ERR_TOO_NEW) {
        ret_examined->what = "written by a newer version of the program";
        ret_examined->is_too_new = true;
        return ERR_OK;
    }
    if (err == ERR_CORRUPT) {
        ret_examined->what = "the segment's header fails its check";
        err = segment_find_behind(&reader, 0, first_seq, &is_found, &offset, diag);
        ret_examined->is_torn = !is_found;
        return err;
    }
    if (err != ERR_OK)
        return err;
    if (header.first_seq != first_seq ||
        (doctor->has_ledger_id &&
         memcmp(doctor->ledger_id, header.ledger_id, LEDGER_ID_BYTES) != 0)) {
        ret_examined->what = "the segment belongs to another place or ledger";
        return ERR_OK;
    }
    memcpy(doctor->ledger_id, header.ledger_id, LEDGER_ID_BYTES);
    doctor->has_ledger_id = true;
    return examine_frames(&reader, place, ret_examined, diag);
}

/* Before a segment loses rows: runs know their ids, and whoever sends those events again would be
 * told `duplicate`, if the repair ended between the two. Runs are made again at the next start. */
static enum err
remove_runs(struct doctor *doctor, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    char path[FILE_PATH_MAX];
    enum err err = ERR_OK;

    if (doctor->are_runs_removed)
        return ERR_OK;
    err = file_list_dir(doctor->ids_dir, &list, diag);
    if (err == ERR_ABSENT)
        return ERR_OK;
    for (size_t i = 0; i < list.count && err == ERR_OK; i++) {
        const size_t len = strlen(list.names[i]);

        if (len <= 4 || strcmp(list.names[i] + len - 4, ".run") != 0)
            continue;
        if (!file_path(path, doctor->ids_dir, list.names[i]))
            return ERR_INVALID;
        err = file_unlink(path, diag);
        if (err == ERR_OK)
            tell(doctor, false, "ids", list.names[i], 0, "removed; built anew at the next start");
    }
    if (err == ERR_OK)
        err = file_sync_dir(doctor->ids_dir, diag);
    doctor->are_runs_removed = err == ERR_OK;
    return err;
}

/* Events that are lost are an error, though the segment is sound again. */
static void
tell_of_repair(struct doctor *doctor, const char *name, const struct examined *examined,
               const struct repair *work)
{
    char file[SEGMENT_NAME_BYTES + 16];
    char what[600];
    const struct embedded_finding finding = {.is_error = work->lost_seqs != 0,
                                             .file = file,
                                             .offset = examined->offset,
                                             .what = what,
                                             .lost = work->lost_seqs};

    (void)snprintf(file, sizeof(file), "ledger/%s", name);
    (void)snprintf(what, sizeof(what),
                   "%s; written anew without %" PRIu64
                   " events that could not be read%s, the old file is kept as %s; what is derived "
                   "is made anew at the next start",
                   examined->what, work->lost_seqs, work->lost_seqs != 0 ? " and are lost" : "",
                   work->kept_as);
    doctor->found(doctor->state, &finding);
}

static enum err
repair(struct doctor *doctor, const char *name, uint64_t first_seq, uint64_t next_first_seq,
       const struct examined *examined, struct diag *diag)
{
    struct repair work = {
        .dir = doctor->ledger_dir, .first_seq = first_seq, .next_first_seq = next_first_seq};
    enum err err = remove_runs(doctor, diag);

    if (err != ERR_OK)
        return err;
    if (!doctor->has_ledger_id) { /* the only segment has lost its header: a ledger of a new name */
        random_fill(random_system(), doctor->ledger_id, LEDGER_ID_BYTES);
        doctor->ledger_id[0] |= 1;
        doctor->has_ledger_id = true;
    }
    memcpy(work.ledger_id, doctor->ledger_id, LEDGER_ID_BYTES);
    err = repair_segment(&work, diag);
    if (err != ERR_OK)
        return err;
    tell_of_repair(doctor, name, examined, &work);
    return ERR_OK;
}

/* first_seqs[i] of count. */
static enum err
check_segment(struct doctor *doctor, const uint64_t *first_seqs, size_t i, size_t count,
              bool is_last_empty, struct diag *diag)
{
    const bool is_last = i + 1 == count;
    const uint64_t next_first_seq = is_last ? 0 : first_seqs[i + 1];
    const bool may_be_torn = is_last || (i + 2 == count && is_last_empty);
    struct examined examined;
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    enum err err = ERR_OK;

    segment_name(first_seqs[i], name);
    if (!file_path(path, doctor->ledger_dir, name))
        return ERR_INVALID;
    err = examine_segment(doctor, path, first_seqs[i], &examined, diag);
    if (err != ERR_OK)
        return err;
    if (examined.what == NULL && !is_last && examined.next_seq != next_first_seq)
        examined.what = "the next segment does not begin where this one ends";
    else if (examined.what == NULL && !examined.has_footer && !may_be_torn)
        examined.what = "the segment lacks its footer";
    if (examined.what == NULL)
        return ERR_OK;
    if (may_be_torn && examined.is_torn && (is_last || examined.next_seq == next_first_seq)) {
        tell(doctor, false, "ledger", name, examined.offset,
             doctor->is_server_running
                 ? "%s: a commit in flight"
                 : "%s: a torn end after an unclean stop, never answered; the next start cuts it "
                   "off and sets it aside",
             examined.what);
        return ERR_OK;
    }
    if (doctor->is_repair && !examined.is_too_new)
        return repair(doctor, name, first_seqs[i], next_first_seq, &examined, diag);
    tell_error(doctor, "ledger", name, examined.offset, examined.what);
    if (!examined.is_too_new)
        tell(doctor, false, "ledger", name, examined.offset,
             "put the file back from a backup, or stop the server and run `potik doctor --repair`: "
             "it keeps the file, and goes on without the events that cannot be read");
    return ERR_OK;
}

/* Whether no sound frame stands in the last segment. */
static enum err
is_segment_empty(struct doctor *doctor, uint64_t first_seq, bool *ret_is_empty, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    bool is_found = false;
    uint64_t offset = 0;
    enum err err = ERR_OK;

    segment_name(first_seq, name);
    if (!file_path(path, doctor->ledger_dir, name))
        return ERR_INVALID;
    err = segment_reader_open(&reader, path, diag);
    if (err == ERR_OK)
        err = segment_find_behind(&reader, 0, 0, &is_found, &offset, diag);
    *ret_is_empty = !is_found;
    return err;
}

static void
tell_of_set_aside(struct doctor *doctor, const char *dir, const char *name)
{
    const size_t len = strlen(name);

    if (strncmp(name, "cut-", 4) == 0)
        tell(doctor, false, dir, name, 0,
             "bytes of a commit that was never answered, cut off at a start; may be deleted");
    else if (len > 8 && strcmp(name + len - 8, ".damaged") == 0)
        tell(doctor, false, dir, name, 0, "a damaged file that was set aside; may be deleted");
}

static enum err
check_ledger(struct doctor *doctor, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    CLEANUP(mem_free_ptr) uint64_t *first_seqs = NULL;
    size_t count = 0;
    bool is_last_empty = false;
    enum err err = file_list_dir(doctor->ledger_dir, &list, diag);

    if (err == ERR_ABSENT)
        return check_secret(doctor, false, diag);
    if (err != ERR_OK)
        return err;
    first_seqs = MEM_NEW(uint64_t, list.count + 1);
    if (first_seqs == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < list.count; i++) {
        if (segment_name_parse(list.names[i], &first_seqs[count]))
            count++;
        else
            tell_of_set_aside(doctor, "ledger", list.names[i]);
    }
    err = check_secret(doctor, count != 0, diag);
    if (err == ERR_OK && count != 0 && first_seqs[0] != 1)
        tell_error(doctor, "ledger", "", 0,
                   "the first segment is missing; put it back from a backup");
    if (err == ERR_OK && count != 0)
        err = is_segment_empty(doctor, first_seqs[count - 1], &is_last_empty, diag);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = check_segment(doctor, first_seqs, i, count, is_last_empty, diag);
    return err;
}

/* --- runs ---------------------------------------------------------------------------------- */

static enum err
check_run(struct doctor *doctor, const char *name, struct diag *diag)
{
    struct run_info info;
    struct diag why = DIAG_INIT;
    char path[FILE_PATH_MAX];
    char aside[FILE_PATH_MAX];
    uint64_t offset = 0;
    int len = 0;
    enum err err = ERR_OK;

    if (!file_path(path, doctor->ids_dir, name))
        return ERR_INVALID;
    if (doctor->is_repair && doctor->is_secret_new) {
        err = file_unlink(path, diag); /* it belongs to the old secret */
        if (err == ERR_OK)
            tell(doctor, false, "ids", name, 0, "removed; built anew at the next start");
        return err;
    }
    err = run_check_file(path, &info, &offset, &why);
    if (err == ERR_OK || (err == ERR_ABSENT && doctor->is_server_running)) /* just merged */
        return ERR_OK;
    if (err != ERR_CORRUPT || !doctor->is_repair) {
        tell_error(doctor, "ids", name, offset,
                   why.message[0] != '\0' ? why.message : err_sentence(err));
        if (err == ERR_CORRUPT)
            tell(doctor, false, "ids", name, offset,
                 "it can be made again: stop the server, run `potik doctor --repair`, start again");
        return ERR_OK;
    }
    len = snprintf(aside, sizeof(aside), "%s.damaged", path);
    if (len < 0 || len >= (int)sizeof(aside))
        return ERR_INVALID;
    err = file_rename(path, aside, diag);
    if (err == ERR_OK)
        tell(doctor, false, "ids", name, offset,
             "damaged; set aside as %s.damaged and built anew at the next start", name);
    return err;
}

static enum err
check_runs(struct doctor *doctor, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    enum err err = file_list_dir(doctor->ids_dir, &list, diag);

    if (err == ERR_ABSENT)
        return ERR_OK;
    for (size_t i = 0; i < list.count && err == ERR_OK; i++) {
        const size_t len = strlen(list.names[i]);

        if (len > 4 && strcmp(list.names[i] + len - 4, ".run") == 0)
            err = check_run(doctor, list.names[i], diag);
        else
            tell_of_set_aside(doctor, "ids", list.names[i]);
    }
    return err;
}

enum err
embedded_doctor(const char *data_dir, bool is_server_running, bool is_repair,
                void (*found)(void *state, const struct embedded_finding *finding), void *state,
                struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct doctor *doctor = MEM_NEW(struct doctor, 1);
    enum err err = ERR_OK;

    if (doctor == NULL)
        return ERR_NOMEM;
    doctor->data_dir = data_dir;
    doctor->is_server_running = is_server_running;
    doctor->is_repair = is_repair;
    doctor->found = found;
    doctor->state = state;
    if (!file_path(doctor->ledger_dir, data_dir, "ledger") ||
        !file_path(doctor->ids_dir, data_dir, "ids"))
        return ERR_INVALID;
    err = check_ledger(doctor, diag);
    if (err == ERR_OK)
        err = check_runs(doctor, diag);
    if (err == ERR_OK && doctor->errors != 0) {
        diag_set(diag, "%" PRIu64 " errors in the ledger or its id index", doctor->errors);
        err = ERR_CORRUPT;
    }
    return err;
}
