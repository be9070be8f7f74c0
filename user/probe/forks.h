/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Children that the target forks while probes are live: how many, and what the breakpoints may have cost them. */
#ifndef TM_PROBE_FORKS_H
#define TM_PROBE_FORKS_H

#include "probe/bpf_session.h"

/**
 * Watch for forks. Call before the first probe, once a session. Perf events need it not: a hit in a child
 * removes the breakpoint there. Returns: 0, -errno (children are not seen; the caller goes on).
 */
int forks_watch(struct bpf_session *s);

/** Children forked since the session began. Cheap: a mapped page. */
uint64_t forks_count(const struct bpf_session *s);

/**
 * Forget the children seen so far. Call after their breakpoints have been removed.
 * Returns: the CPU time that they have used, ns: at most that is what the breakpoints cost them.
 */
uint64_t forks_settle(struct bpf_session *s);

#endif
