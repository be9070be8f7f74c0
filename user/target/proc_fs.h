/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small reads from /proc/PID. */
#ifndef TM_TARGET_PROC_FS_H
#define TM_TARGET_PROC_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct proc_stat { /* of /proc/PID/stat, see proc_pid_stat(5) */
	char comm[16];
	char state;	      /* field 3 */
	pid_t ppid;	      /* field 4 */
	uint64_t start_ticks; /* field 22 */
	uint64_t start_stack; /* field 28; 0 without ptrace access */
};

/** /proc/PID/name into out (NUL-terminated). Returns: 0, -ESRCH (no such process), -errno. */
int proc_read(pid_t pid, const char *name, struct buf *out);
/** readlink of /proc/PID/name; *out is owned by the caller. Returns: 0, -ESRCH, -errno. */
int proc_readlink(pid_t pid, const char *name, char **out);
/** Returns: 0, -ESRCH, -EBADMSG. */
int proc_stat_read(pid_t pid, struct proc_stat *out);
/** comm may hold spaces and parentheses: everything up to the last ')' is comm. Returns: 0, -EBADMSG. */
int proc_stat_parse(const char *text, struct proc_stat *out);
/** First and last number of the NSpid: line of status text. Returns: how many numbers, 0 = no such line. */
unsigned proc_nspid_parse(const char *status, pid_t *outer, pid_t *inner);
/** Calls fn for each process; stops when it returns true. Returns: true when stopped. */
bool proc_for_each(bool (*fn)(pid_t pid, void *ctx), void *ctx);

#endif
