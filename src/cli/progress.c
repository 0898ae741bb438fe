/*
 * progress - see progress.h.
 */
#include "cli/progress.h"

#include "cli/table.h"

#define BAR_CELLS 24
#define TERMINAL_NS (NS_PER_S / 10)
#define PLAIN_NS (5 * NS_PER_S)

void
progress_start(struct progress *progress, const struct clock *clock, FILE *out, bool is_terminal,
               const char *label, const char *noun, uint64_t total)
{
    int64_t now = clock_steady_ns(clock);

    *progress = (struct progress){.clock = clock,
                                  .out = out,
                                  .label = label,
                                  .noun = noun,
                                  .total = total,
                                  .started_ns = now,
                                  .shown_ns = now,
                                  .is_terminal = is_terminal,
                                  .is_shown = false};
}

/* "12 s", "3 min 05 s", "2 h 10 min" */
static void
write_duration(FILE *out, uint64_t seconds)
{
    if (seconds < 60)
        fprintf(out, "%llu s", (unsigned long long)seconds);
    else if (seconds < 3600)
        fprintf(out, "%llu min %02llu s", (unsigned long long)seconds / 60,
                (unsigned long long)seconds % 60);
    else
        fprintf(out, "%llu h %02llu min", (unsigned long long)seconds / 3600,
                (unsigned long long)seconds / 60 % 60);
}

static void
show(struct progress *progress, uint64_t done, uint64_t count, int64_t now, bool is_end)
{
    double seconds = (double)(now - progress->started_ns) / 1e9;
    double share = 0;
    char number[TABLE_NUMBER_TEXT], rate[TABLE_NUMBER_TEXT];

    if (progress->total != 0)
        share = done >= progress->total ? 1.0 : (double)done / (double)progress->total;
    /* `total` may be an estimate; that all is done is told at the end alone. */
    if (!is_end && share > 0.99)
        share = 0.99;
    (void)table_number(count, number);
    (void)table_number(seconds > 0.001 ? (uint64_t)((double)count / seconds) : 0, rate);
    fprintf(progress->out, "%s%s  ", progress->is_terminal ? "\r" : "", progress->label);
    if (progress->is_terminal && progress->total != 0) {
        (void)fputc('[', progress->out);
        for (int i = 0; i < BAR_CELLS; i++)
            (void)fputc(i < (int)(share * BAR_CELLS) ? '#' : '.', progress->out);
        (void)fputs("] ", progress->out);
    }
    if (progress->total != 0)
        fprintf(progress->out, "%3d %%  ", (int)(share * 100));
    fprintf(progress->out, "%s %s%s  %s/s  ", number, progress->noun, count == 1 ? "" : "s", rate);
    if (is_end) {
        (void)fputs("in ", progress->out);
        write_duration(progress->out, (uint64_t)(seconds + 0.5));
    } else if (share > 0.01 && done < progress->total) {
        write_duration(progress->out, (uint64_t)(seconds / share * (1 - share) + 0.5));
        (void)fputs(" left", progress->out);
    }
    /* To the end of the line: what a longer line before left there goes. */
    (void)fputs(progress->is_terminal ? "\x1B[K" : "\n", progress->out);
    if (progress->is_terminal && is_end)
        (void)fputc('\n', progress->out);
    (void)fflush(progress->out);
    progress->shown_ns = now;
    progress->is_shown = true;
}

void
progress_update(struct progress *progress, uint64_t done, uint64_t count)
{
    int64_t now = clock_steady_ns(progress->clock);

    if (now - progress->shown_ns >= (progress->is_terminal ? TERMINAL_NS : PLAIN_NS))
        show(progress, done, count, now, false);
}

void
progress_end(struct progress *progress, uint64_t done, uint64_t count)
{
    show(progress, done, count, clock_steady_ns(progress->clock), true);
}
