/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The main thread's side of the governor: marks the gap, reports it, attaches again. */
#ifndef TM_TRACE_CAPTURE_PAUSE_H
#define TM_TRACE_CAPTURE_PAUSE_H

#include "trace/capture.h"

/** Call in every step of the capture. Returns: 0, -ESRCH (target gone), -ENOMEM, -errno. */
int capture_pause_step(struct capture *c);

/** Are all probes that record away? Then nothing is learned and no probe is moved. */
bool capture_is_paused(const struct capture *c);

#endif
