/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CPU clock of a process. */
#ifndef TM_TARGET_PROCESS_CPU_H
#define TM_TARGET_PROCESS_CPU_H

#include <stdint.h>
#include <sys/types.h>

/**
 * CPU time of all threads of a process, ended ones included. Units: ns; late by up to a tick (4 ms) for each
 * thread that runs. Any user may ask. Returns: 0 when there is no such process.
 */
uint64_t process_cpu_ns(pid_t pid);

#endif
