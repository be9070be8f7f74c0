/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leave probes in place until a debugger has gone.
 *
 * Why: a debugger that sets a breakpoint on an instruction that is probed reads our int3 as the byte to restore.
 * Were the probe gone by then, it would write an int3 without a handler, and the target would die of SIGTRAP at
 * its next hit (seen with gdb 13: break malloc, end of tmbpf, detach). As long as the probe is there, that byte is
 * right; once the debugger has gone, the kernel restores the instruction.
 */
#ifndef TM_PROBE_LINK_HOLD_H
#define TM_PROBE_LINK_HOLD_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * Start a process that holds all links that are open now, and nothing else of ours, until no process traces the
 * thread tid any more, or it has ended; SIGTERM ends it at once. The caller frees its own links as always.
 * Returns: its pid, -errno. It is not waited for.
 */
pid_t link_hold_start(pid_t tid);

#endif
