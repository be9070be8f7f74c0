/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts that /proc shows any user about a process: container, memory limit, command. Opens nothing of
 * it.
 */
#ifndef TM_TARGET_PROCESS_INFO_H
#define TM_TARGET_PROCESS_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONTAINER_ID_LEN 64
#define CONTAINER_SHORT	 12 /* as docker ps shows it */

/**
 * Id of the container, from the path of its control group: the last 64 hex digits in a row, which is what
 * docker, containerd, cri-o and podman put there.
 * Returns: true and the id; false when there is none to be seen (also from inside the container).
 */
bool process_container(pid_t pid, char id[CONTAINER_ID_LEN + 1]);
/* Parse the text of /proc/PID/cgroup. */
bool container_id_parse(const char *cgroup, char id[CONTAINER_ID_LEN + 1]);

/** The lowest memory limit of its control group and those above it; 0: none, or not to be seen. */
uint64_t process_memory_limit(pid_t pid);

/**
 * Program and script ("python3 /srv/app.py", "python3 -m flask", "nginx"), never further arguments: they
 * hold passwords. Returns: out; "" when it cannot be read or has none (a kernel thread).
 */
const char *process_command(pid_t pid, char *out, size_t cap);
/* Parse the len bytes of /proc/PID/cmdline. */
const char *command_parse(const char *cmdline, size_t len, char *out, size_t cap);

/** RSS in bytes; 0: not to be seen, or a kernel thread. */
uint64_t process_rss(pid_t pid);

/** When it started, CLOCK_REALTIME, from field 22 of its stat. */
int64_t process_start_ns(uint64_t start_ticks);

#endif
