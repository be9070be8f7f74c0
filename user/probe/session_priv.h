/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this room share: the generated skeleton, and the ring reader's teardown. */
#ifndef TM_PROBE_SESSION_PRIV_H
#define TM_PROBE_SESSION_PRIV_H

#include "alloc/skeleton.h"
#include "probe/bpf_session.h"

void session_ring_close(struct bpf_session *s);

#endif
