/*
 * import - `potik import FILE…`: events of CSV and NDJSON files into a running server.
 *
 * Layer 8, the main thread. A file is cut into rows (import_file.c), a row becomes one line of JSON
 * (import_row.c), 1,000 lines a batch (sender.c).
 * Every event has an id before it is first sent, so a retry, or the whole command again, stores
 * nothing twice. Refused rows are told with their line, counted by reason, and written to
 * --rejected as they stood (import_rejected.c).
 */
#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/import_file.h"
#include "cli/import_rejected.h"
#include "cli/progress.h"
#include "cli/sender.h"
#include "cli/table.h"
#include <string.h>
#include <unistd.h>

#define TOLD_MAX 10
#define REASONS_MAX 64

struct reason {
    char code[48];
    uint64_t count;
};

struct import {
    /* asked for */
    struct client_flags client_flags;
    const char *rejected_path;
    uint32_t in_flight;
    /* the work */
    struct client *client;
    struct sender *sender;
    struct sender_batch *batch; /* being filled, or NULL */
    struct progress progress;
    struct import_file file; /* the one under way */
    uint64_t bytes_before;   /* of the files already done */
    uint64_t rows_before;
    uint64_t rows; /* sent, or refused here */
    /* refusals */
    struct import_rejected rejected;
    uint64_t refused_here;
    struct reason reasons[REASONS_MAX];
    size_t reason_count;
    uint64_t told;
    bool is_terminal;
    bool is_of_file; /* the error is one of the input: its words need the file's name */
};

static void
count_refusal(struct import *import, uint64_t line, struct slice code, struct slice message)
{
    size_t i = 0;

    if (code.len >= sizeof(import->reasons[0].code))
        code.len = sizeof(import->reasons[0].code) - 1;
    while (i < import->reason_count && !slice_equal(slice_of_text(import->reasons[i].code), code))
        i++;
    if (i == import->reason_count && i < REASONS_MAX) {
        if (code.len != 0)
            memcpy(import->reasons[i].code, code.ptr, code.len);
        import->reason_count++;
    }
    if (i < REASONS_MAX)
        import->reasons[i].count++;
    if (import->told++ < TOLD_MAX) {
        struct buf clean;

        buf_init(&clean, 16 * 1024);
        table_clean(&clean, message.len > 1000 ? slice_of(message.ptr, 1000) : message);
        fprintf(stderr, "%s%s line %llu: %.*s (%.*s)\n", import->is_terminal ? "\r\x1B[K" : "",
                import->file.source.path, (unsigned long long)line, SLICE_ARGS(buf_slice(&clean)),
                SLICE_ARGS(code));
        buf_fini(&clean);
    }
    if (import->told == TOLD_MAX + 1)
        fprintf(stderr, "more refusals are counted, not listed\n");
}

/* By the server. */
static void
take_refusal(void *state, const struct sender_refusal *refusal)
{
    struct import *import = (struct import *)state;
    const struct sender_batch *batch = refusal->batch;
    uint32_t i = refusal->index;

    count_refusal(import, batch->rows[i], refusal->code, refusal->message);
    if (batch->originals.len != 0) {
        uint32_t start = i != 0 ? batch->original_ends[i - 1] : 0;

        import_rejected_add(&import->rejected, slice_of(batch->originals.ptr + start,
                                                        batch->original_ends[i] - start));
    }
}

/* Here, before it was sent. */
static void
refuse_here(struct import *import, uint64_t line, enum err err, const char *message,
            struct slice original)
{
    import->refused_here++;
    import->rows++;
    count_refusal(import, line, slice_of_text(err_code(err)), slice_of_text(message));
    import_rejected_add(&import->rejected, original);
}

static uint64_t
answered_rows(const struct import *import)
{
    const struct sender_totals *totals = sender_totals(import->sender);

    return totals->accepted + totals->duplicates + totals->rejected + import->refused_here;
}

/* Bytes of the input whose rows have an answer: of those read, as great a share as of the rows. */
static uint64_t
answered_bytes(const struct import *import)
{
    uint64_t rows = import->rows - import->rows_before;
    uint64_t answered = answered_rows(import) - import->rows_before;

    if (rows == 0)
        return import->bytes_before;
    return import->bytes_before +
           (uint64_t)((double)import->file.source.read_bytes * (double)answered / (double)rows);
}

/* Nothing is drawn before the first answer: until then there is none, and an error may come. */
static void
show_progress(void *state)
{
    struct import *import = (struct import *)state;

    if (import->sender != NULL && answered_rows(import) != 0)
        progress_update(&import->progress, answered_bytes(import), answered_rows(import));
}

static void
tell_silence(void *state, const char *reason)
{
    const struct import *import = (const struct import *)state;

    fprintf(stderr, "%sno reply from %s%s (%s); trying again\n",
            import->is_terminal ? "\r\x1B[K" : "",
            import->client->unix_path[0] != '\0' ? "unix:" : import->client->shown,
            import->client->unix_path, reason);
}

/* A batch with room. ERR_IO: the sender has failed; sender_finish has the words. */
static enum err
need_batch(struct import *import)
{
    if (import->batch == NULL)
        import->batch = sender_take(import->sender);
    return import->batch != NULL ? ERR_OK : ERR_IO;
}

static void
submit_if_full(struct import *import)
{
    if (import->batch->events < SENDER_BATCH_EVENTS && import->batch->body.len < SENDER_BATCH_BYTES)
        return;
    sender_submit(import->sender, import->batch);
    import->batch = NULL;
}

static void
count_event(struct import *import, uint64_t line)
{
    struct sender_batch *batch = import->batch;

    batch->rows[batch->events] = line;
    batch->original_ends[batch->events] = (uint32_t)batch->originals.len;
    batch->events++;
    import->rows++;
    submit_if_full(import);
}

static enum err
take_header(void *state, const struct csv_row *row, struct diag *diag)
{
    struct import *import = (struct import *)state;
    struct buf original;

    (void)diag;
    buf_init(&original, 8 * IMPORT_ROW_BYTES_MAX);
    import_row_add_csv(&original, row->cells, row->count, import->file.delimiter);
    import_rejected_add_header(&import->rejected, buf_slice(&original));
    buf_fini(&original);
    return ERR_OK;
}

static enum err
take_csv_row(void *state, const struct csv_row *row, struct diag *diag)
{
    struct import *import = (struct import *)state;
    struct diag why = DIAG_INIT;
    struct sender_batch *batch;
    size_t originals;
    enum err err;

    err = need_batch(import);
    if (err != ERR_OK)
        return err;
    batch = import->batch;
    originals = batch->originals.len;
    if (import_rejected_is_open(&import->rejected))
        import_row_add_csv(&batch->originals, row->cells, row->count, import->file.delimiter);
    err = import_row_csv(import->file.columns, row->cells, row->count, import->file.ids,
                         &batch->body, &why);
    if (err == ERR_NOMEM || err == ERR_FULL) {
        diag_set(diag, "%s", err_sentence(err));
        return err;
    }
    if (err != ERR_OK) {
        refuse_here(import, row->line, err, why.message,
                    slice_of(buf_slice(&batch->originals).ptr + originals,
                             batch->originals.len - originals));
        batch->originals.len = originals;
        return ERR_OK;
    }
    count_event(import, row->line);
    return ERR_OK;
}

static enum err
take_line(void *state, const struct ndjson_line *line, struct diag *diag)
{
    struct import *import = (struct import *)state;
    enum err err = need_batch(import);

    if (err != ERR_OK)
        return err;
    if (line->len > IMPORT_LINE_BYTES_MAX) {
        refuse_here(import, line->number, ERR_EVENT_TOO_LARGE, err_sentence(ERR_EVENT_TOO_LARGE),
                    SLICE_NONE);
        return ERR_OK;
    }
    if (import_rejected_is_open(&import->rejected)) {
        buf_add_slice(&import->batch->originals, line->text);
        buf_add_char(&import->batch->originals, '\n');
    }
    err = import_row_ndjson(line->text, import->file.ids, &import->batch->body);
    if (err != ERR_OK) {
        diag_set(diag, "%s", err_sentence(err));
        return err;
    }
    count_event(import, line->number);
    return ERR_OK;
}

/* One file, all of it sent and answered. */
static enum err
import_file(struct import *import, const char *path, struct diag *diag)
{
    struct diag sender_diag = DIAG_INIT;
    enum err err, sender_err;

    import->rows_before = import->rows;
    err = import_file_run(&import->file, path, diag);
    /* What was read before the fault is sent all the same. */
    if (import->batch != NULL)
        sender_submit(import->sender, import->batch);
    import->batch = NULL;
    import->is_of_file = err != ERR_OK && !import->file.source.tells_path;
    sender_err = sender_finish(import->sender, &sender_diag);
    if (sender_err != ERR_OK) {
        err = sender_err;
        *diag = sender_diag;
        import->is_of_file = false;
    }
    import_file_end(&import->file);
    return err;
}

static void
tell_totals(const struct import *import)
{
    const struct sender_totals *totals = sender_totals(import->sender);
    uint64_t refused = totals->rejected + import->refused_here;
    char total[TABLE_NUMBER_TEXT], accepted[TABLE_NUMBER_TEXT], duplicates[TABLE_NUMBER_TEXT],
        refused_text[TABLE_NUMBER_TEXT];

    printf("%s event%s: %s stored, %s were there already, %s refused\n",
           table_number(answered_rows(import), total), answered_rows(import) == 1 ? "" : "s",
           table_number(totals->accepted, accepted), table_number(totals->duplicates, duplicates),
           table_number(refused, refused_text));
    for (size_t i = 0; i < import->reason_count; i++)
        printf("  %s refused: %s\n", table_number(import->reasons[i].count, total),
               import->reasons[i].code);
}

/* All rows were sent and answered. */
static int
end_whole(struct import *import)
{
    struct diag diag = DIAG_INIT;
    const char *place = NULL;
    enum err err = import_rejected_finish(&import->rejected, true, &place, &diag);

    if (place != NULL && err == ERR_OK)
        printf("refused rows stand in %s\n", place);
    if (err != ERR_OK) {
        fprintf(
            stderr, "potik import: the file of refused rows could not be written whole: %s%s%s\n",
            diag.message[0] != '\0' ? diag.message : err_sentence(err),
            place != NULL ? "; what there is of it stands in " : "", place != NULL ? place : "");
        return COMMAND_FAILED;
    }
    return sender_totals(import->sender)->rejected + import->refused_here != 0 ? COMMAND_FAILED
                                                                               : COMMAND_DONE;
}

/* It broke off; `diag` has the words. The last line names the rows refused so far, too. */
static void
end_early(struct import *import, enum err err, const struct diag *diag)
{
    const char *place = NULL;
    struct buf words;

    buf_init(&words, 16 * 1024);
    if (err == ERR_CANCELLED)
        buf_add_text(&words, "interrupted; the same command again sends the rest and stores "
                             "nothing twice");
    else
        buf_printf(&words, "%s%s%s", import->is_of_file ? import->file.source.path : "",
                   import->is_of_file ? ": " : "",
                   diag->message[0] != '\0' ? diag->message : err_sentence(err));
    if (err == ERR_QUOTA_EXCEEDED)
        buf_add_text(&words, "; the same command again, once there is room, sends the rest and "
                             "stores nothing twice");
    /* Whether or not their file is whole: what is in it is told, and this run has failed anyway. */
    if (import_rejected_finish(&import->rejected, false, &place, NULL) != ERR_OK)
        buf_add_text(&words, "; not all refused rows could be written");
    if (place != NULL)
        buf_printf(&words, "; the rows refused so far stand in %s", place);
    fprintf(stderr, "potik import: %.*s\n", SLICE_ARGS(buf_slice(&words)));
    buf_fini(&words);
}

static int
run_files(struct import *import, char **paths, size_t count)
{
    const struct sender_config config = {.client = import->client,
                                         .clock = clock_system(),
                                         .in_flight = import->in_flight,
                                         .refused = take_refusal,
                                         .silent = tell_silence,
                                         .turn = show_progress,
                                         .state = import};
    struct diag diag = DIAG_INIT;
    uint64_t total_bytes = 0;
    enum err err = sender_new(&config, &import->sender, &diag);

    if (err != ERR_OK) {
        end_early(import, err, &diag);
        return COMMAND_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = source_bytes(paths[i]);

        if (bytes == 0) {
            total_bytes = 0;
            break;
        }
        total_bytes += bytes;
    }
    progress_start(&import->progress, clock_system(), stderr, import->is_terminal, "import",
                   "event", total_bytes);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        err = import_file(import, paths[i], &diag);
        if (err == ERR_OK)
            import->bytes_before += import->file.source.read_bytes;
    }
    /* What was not answered has no share, so that only a whole import ends at 100 %. */
    if (err == ERR_OK)
        progress_end(&import->progress, total_bytes, answered_rows(import));
    else if (answered_rows(import) != 0)
        progress_end(&import->progress, answered_bytes(import), answered_rows(import));
    if (err == ERR_OK || answered_rows(import) != 0)
        tell_totals(import);
    if (err == ERR_OK)
        return end_whole(import);
    end_early(import, err, &diag);
    return COMMAND_FAILED;
}

static enum err
parse_flags(struct import *import, int argc, char **argv, size_t *ret_files, struct diag *diag)
{
    const char *delimiter = NULL, *format = NULL, *in_flight = NULL;
    const struct flag flags[] = {
        CLIENT_FLAGS(import->client_flags),
        {.name = "text", .texts = &import->file.text_columns},
        {.name = "delimiter", .text = &delimiter},
        {.name = "format", .text = &format},
        {.name = "rejected", .text = &import->rejected_path},
        {.name = "in-flight", .text = &in_flight},
    };
    uint64_t number = import->in_flight;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), ret_files, diag);

    if (err == ERR_OK)
        err = flags_number("in-flight", in_flight, 1, SENDER_IN_FLIGHT_MAX, &number, diag);
    if (err != ERR_OK)
        return err;
    import->in_flight = (uint32_t)number;
    if (*ret_files == 0) {
        diag_set(diag, "name a file, or - for standard input");
        return ERR_INVALID;
    }
    if (import->rejected_path != NULL && *ret_files != 1) {
        diag_set(diag, "--rejected goes with one file at a time");
        return ERR_INVALID;
    }
    return import_file_set_flags(&import->file, format, delimiter, diag);
}

static int
run_import(int argc, char **argv)
{
    struct import import = {.in_flight = 4, .rejected = IMPORT_REJECTED_NONE};
    struct diag diag = DIAG_INIT;
    size_t files = 0;
    int status;
    enum err err = parse_flags(&import, argc, argv, &files, &diag);

    if (err == ERR_OK && import.rejected_path != NULL)
        err = import_rejected_check(import.rejected_path, argv + 1, files, &diag);
    if (err != ERR_OK)
        return flags_usage("import", diag.message);
    err = client_open(&import.client_flags, CLIENT_WRITE_KEY, &import.client, &diag);
    if (err == ERR_INVALID)
        return flags_usage("import", diag.message);
    if (err == ERR_OK && import.rejected_path != NULL)
        err = import_rejected_open(&import.rejected, import.rejected_path, &diag);
    if (err != ERR_OK) {
        client_close(&import.client);
        return flags_failed("import", diag.message);
    }
    import.is_terminal = isatty(STDERR_FILENO) == 1;
    import.file.take_header = take_header;
    import.file.take_row = take_csv_row;
    import.file.take_line = take_line;
    import.file.state = &import;
    client_catch_interrupt();
    status = run_files(&import, argv + 1, files);
    sender_free(&import.sender);
    client_close(&import.client);
    return status;
}

const struct command command_import = {
    .name = "import",
    .summary = "send the events of CSV and NDJSON files",
    .help =
        "usage: potik import [OPTION…] FILE…\n"
        "\n"
        "Sends the events of the files (`-`: standard input) to a running server, gzip and zstd\n"
        "undone. Exit 1 if any row was refused.\n"
        "\n"
        "An event without an event_id is given one made of its row's content and of its ordinal\n"
        "among the equal rows of that file. So the same command again stores nothing twice; equal\n"
        "rows of one file are different events; and the same row in another file, with the same\n"
        "ordinal there, is the same event.\n"
        "\n"
        "CSV (RFC 4180): columns named event_id, event_type, user_id, anonymous_id, session_id,\n"
        "occurred_at are these fields; `properties` is a JSON object; every other column becomes "
        "a\n"
        "property: number, true and false by their look, else text; an empty cell is absent.\n"
        "NDJSON: one event a line.\n"
        "\n"
        "  --format F       csv or ndjson; else by the name of the file, else by its first byte\n"
        "  --delimiter C    of CSV, one byte (\\t: tab); else ',', and tab for .tsv\n"
        "  --text COLUMN    this column's cells stay text, whatever they look like; repeatable\n"
        "  --rejected FILE  refused rows, as they stood, for another try; with one input file at "
        "a\n"
        "                   time. FILE is replaced at the end, and only if rows were refused\n"
        "  --in-flight N    batches of 1,000 under way at once (4)\n" CLIENT_FLAGS_HELP "\n"
        "example:\n"
        "\n"
        "  potik import --rejected refused.csv purchases.csv.gz\n",
    .run = run_import,
};
