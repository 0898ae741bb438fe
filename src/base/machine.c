/*
 * machine - see machine.h.
 */
#include "base/machine.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUP_BYTES_MAX 4096
#define CORES_MAX 256

/* A small file of the kernel's, as text; false: it is not there, or not small. */
static bool
read_text(const char *path, struct buf *text)
{
    buf_clear(text);
    if (!file_exists(path) || file_read_whole(path, GROUP_BYTES_MAX, text, NULL) != ERR_OK)
        return false;
    buf_add_char(text, '\0');
    return !buf_failed(text);
}

/* A number at *text, moved behind it; false: "max", or no number. */
static bool
take_number(const char **text, uint64_t *ret_number)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    *ret_number =
        strtoull(*text, &end, 10); /* too many digits: the greatest, which limits nothing */
    *text = end;
    return true;
}

static void
limit_memory(struct machine *machine, const char *text)
{
    uint64_t bytes;

    if (take_number(&text, &bytes) && bytes != 0 && bytes < machine->memory_bytes)
        machine->memory_bytes = bytes;
}

/* "QUOTA PERIOD", both in microseconds. */
static void
limit_cores(struct machine *machine, const char *text)
{
    uint64_t quota, period;

    if (!take_number(&text, &quota) || *text++ != ' ' || !take_number(&text, &period) ||
        quota == 0 || period == 0)
        return;
    if ((quota - 1) / period < machine->cores)
        machine->cores = (uint32_t)((quota - 1) / period) + 1;
}

static void
limit_by_group(struct machine *machine, const char *dir, struct buf *text)
{
    char path[FILE_PATH_MAX];

    if (file_path(path, dir, "memory.max") && read_text(path, text))
        limit_memory(machine, text->ptr);
    if (file_path(path, dir, "cpu.max") && read_text(path, text))
        limit_cores(machine, text->ptr);
}

/* The line "0::/path" of version 2, without its end; "": there is none, or it lies outside of what
 * is mounted here. */
static void
own_group(const char *text, char ret_group[FILE_PATH_MAX])
{
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    size_t len;

    ret_group[0] = '\0';
    if (line == NULL)
        return;
    line = strchr(line, '/');
    len = line != NULL ? strcspn(line, "\n") : 0;
    if (len >= FILE_PATH_MAX)
        return;
    if (len != 0)
        memcpy(ret_group, line, len);
    ret_group[len] = '\0';
    if (strstr(ret_group, "/..") != NULL || (len == 1 && ret_group[0] == '/'))
        ret_group[0] = '\0';
}

void
machine_limit(struct machine *machine, const char *own_path, const char *root_dir)
{
    CLEANUP(buf_fini) struct buf text;
    char group[FILE_PATH_MAX];
    char dir[FILE_PATH_MAX];

    buf_init(&text, GROUP_BYTES_MAX + 1);
    if (!read_text(own_path, &text))
        return;
    own_group(text.ptr, group);
    for (;;) {
        char *last;
        int len = snprintf(dir, sizeof(dir), "%s%s", root_dir, group);

        if (len > 0 && (size_t)len < sizeof(dir))
            limit_by_group(machine, dir, &text);
        last = strrchr(group, '/');
        if (last == NULL)
            return;
        *last = '\0';
    }
}

struct machine
machine_now(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    struct machine machine = {
        .memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
        .cores = count < 1           ? 1
                 : count > CORES_MAX ? CORES_MAX
                                     : (uint32_t)count,
    };

    machine_limit(&machine, "/proc/self/cgroup", "/sys/fs/cgroup");
    return machine;
}
