/*
 * machine - how much memory and how many cores this process may use.
 *
 * Layer 0, any thread. What the machine has, or what the process's control groups allow it,
 * whichever is less: in a container, or under a MemoryMax= of systemd's, defaults made of the whole
 * machine would be the process's death. Control groups version 2 (Linux,
 * Documentation/admin-guide/cgroup-v2.rst): each group from the process's own up to the root may
 * have a memory.max and a cpu.max, and all of them hold. Version 1 is not looked at.
 */
#ifndef POTIK_BASE_MACHINE_H
#define POTIK_BASE_MACHINE_H

#include <stdint.h>

struct machine {
    uint64_t memory_bytes;
    uint32_t cores; /* 1 … 256; a share of time counts as the whole cores it makes up, rounded up */
};

/* Asked now; limits that are changed later are not seen. */
struct machine machine_now(void);

/* Lowers *machine to what the groups allow. `own_path`: /proc/self/cgroup; `root_dir`: where the
 * groups are mounted. What cannot be read limits nothing. */
void machine_limit(struct machine *machine, const char *own_path, const char *root_dir);

#endif
