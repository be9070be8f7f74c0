/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No probe where the target's memory differs from its file, or where a debugger has a breakpoint. */
#ifndef TM_TRACE_SITE_GUARD_H
#define TM_TRACE_SITE_GUARD_H

#include "trace/capture.h"

/**
 * Compare every site with the target's memory and take out those where no probe may stand (W142). Before the
 * first probe is attached: later our own stand there.
 * Returns: 0, -EBUSY (E306, logged: one of those left out cannot be done without).
 */
int site_guard_check(struct capture *c);

/** How many sites that are attached now stand without their breakpoint. */
unsigned site_guard_missing(const struct capture *c);

#endif
