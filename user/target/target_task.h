/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads of a target. Needed because a process lives as long as one of its threads: when the main
 * thread has ended, /proc/PID and process_vm_readv(PID) show no memory any more, those of another thread
 * do.
 */
#ifndef TM_TARGET_TARGET_TASK_H
#define TM_TARGET_TARGET_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct target;

/** Hold on to the process by a pidfd (Linux 5.3), so that a re-used pid is noticed. Returns: 0, -ESRCH, -ENOMEM. */
int target_task_open(struct target *t);
void target_task_close(struct target *t);

/** The thread through which memory and /proc are reached: the main one while it lives. */
pid_t target_task(const struct target *t);
/** The main thread has ended, others run. */
bool target_main_thread_ended(const struct target *t);
/**
 * Choose another living thread after ESRCH. Returns: true when there is one and it is not the one that
 * target_task() named before.
 */
bool target_task_next(const struct target *t);

/**
 * The process that traces the target by ptrace(2), 0 when none does. Looks at the main thread; with all,
 * at TRACER_THREADS_MAX threads: a debugger attaches to each, strace -p TID to one.
 */
pid_t target_tracer(const struct target *t, bool all);
#define TRACER_THREADS_MAX 4096

/** TracerPid of the text of /proc/PID/status; 0: none, or no such line. */
pid_t proc_tracer_parse(const char *status);

/**
 * Processes that share the memory of the target and are no threads of it (CLONE_VM without CLONE_THREAD).
 * Out: *first, one of them. Returns: how many; 0 also when the kernel has no kcmp(2).
 */
unsigned target_memory_sharers(const struct target *t, pid_t *first);

#endif
