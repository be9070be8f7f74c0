/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of this room: the generated skeleton, and the ring reader's teardown. */
#ifndef TM_PROBE_SESSION_PRIV_H
#define TM_PROBE_SESSION_PRIV_H

#include "alloc/skeleton.h"
#include "probe/bpf_session.h"

void session_ring_close(struct bpf_session *s);

/** The tables that grow. First sizes, before load; then the views, after it. Returns: 0, -errno. */
int session_tables_size(struct bpf_session *s, const struct session_opts *opts);
int session_tables_open(struct bpf_session *s, const struct session_opts *opts);
void session_tables_close(struct bpf_session *s);

/** Map a BPF map that user space may read; NULL: errno. */
void *session_map_view(int fd, size_t bytes);

#endif
