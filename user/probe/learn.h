/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which new-reference sites matter. A site that only ever sees fresh blocks adds nothing (the pop has
 * recorded them) and is detached; one that sees re-use stays, and so does one that was never hit.
 * The verdict is taken in windows of 0.2 s in which all sites are attached: 1, 2, 4, ... 20 s apart.
 */
#ifndef TM_PROBE_LEARN_H
#define TM_PROBE_LEARN_H

#include "probe/probes.h"

struct learn;

/**
 * Select among the choices of the list. known: fresh-only sites remembered for this build (vaddrs; copied): they
 * are let go from the start. list is borrowed. Returns: 0, -ENOMEM.
 */
int learn_new(struct probes *p, struct bpf_session *s, const struct probe_list *list,
	      const uint64_t *known, size_t known_count, struct learn **out);
void learn_free(struct learn *l);
DEFINE_CLEANUP(struct learn *, learn_free);

/**
 * Look at the counts and move sites. Units: now_ns monotonic. Call every 100 ms or so.
 * Returns: 0, -errno; *changed when the fresh-only set is another than before.
 */
int learn_step(struct learn *l, int64_t now_ns, bool *changed);

/**
 * Invalidate all marks so far, because blocks changed hands unseen while all probes were away. Call before they
 * are attached again.
 */
void learn_resume(struct learn *l, int64_t now_ns);

/** The fresh-only sites known now, sorted; borrowed until the next learn_step(). */
const uint64_t *learn_fresh_only(struct learn *l, size_t *count);

/** The epoch that blocks are marked with now, 1..15. */
uint32_t learn_epoch(const struct learn *l);

/* Log at debug level which sites were hit while all were attached, and whether each was kept. */
void learn_log(const struct learn *l);

#endif
