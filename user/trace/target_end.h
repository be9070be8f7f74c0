/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the target still run the program that was attached to, and if not: how did that end? */
#ifndef TM_TRACE_TARGET_END_H
#define TM_TRACE_TARGET_END_H

#include "probe/bpf_session.h"
#include "snapshot/trace_end.h"
#include "target/target.h"

/**
 * s may be NULL: then only /proc is asked. A process on its way out can be TARGET_ENDED for a moment before
 * the kernel tells how it ended.
 */
struct target_end target_end_now(const struct target *t, const struct bpf_session *s);

/** The reason that it gives a session to end; TRACE_END_NONE while it runs. */
enum trace_end_reason target_end_reason(const struct target_end *end);

#endif
