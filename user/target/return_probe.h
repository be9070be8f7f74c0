/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a process have return probes? From 6.11 on it comes back from a probed function through a system call
 * of its own, uretprobe(2), number 335. A seccomp filter that does not know it kills the process; from 6.14 on
 * filters do not see it (Linux kernel/seccomp.c, "seccomp: passthrough uretprobe systemcall without
 * filtering").
 */
#ifndef TM_TARGET_RETURN_PROBE_H
#define TM_TARGET_RETURN_PROBE_H

#include <stdbool.h>
#include <sys/types.h>

/** By the kernel's release ("6.12.9-amd64") and the text of /proc/PID/status. */
bool return_probe_kills(const char *release, const char *status);

/* Check for a process; true also when its status cannot be read on such a kernel. */
bool return_probe_kills_process(pid_t pid);

#endif
