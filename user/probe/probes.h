/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of probes as links: specs of one program and file share one. A role selects which are attached;
 * switching moves only what differs between the two roles.
 */
#ifndef TM_PROBE_PROBES_H
#define TM_PROBE_PROBES_H

#include "alloc/probe_list.h"
#include "probe/bpf_session.h"

struct probes;

/**
 * Nothing is attached yet. list and the others are borrowed for the life of the probes.
 * Returns: 0, -ENOMEM, -EINVAL (a spec names no program of bpf/; logged).
 */
int probes_new(struct bpf_session *s, const struct target *t, const struct probe_list *list,
	       struct probes **out);
void probes_free(struct probes *p); /* detaches everything */
DEFINE_CLEANUP(struct probes *, probes_free);

/**
 * Attach what the role selects of the parts that are not away, drop the rest; may be called again at any time, with
 * the same role to complete it. What goes altogether goes first, births before ends; then each other link whose
 * sites differ is attached before its former one is dropped.
 * Logs and codes: E401 E402 E502. Returns: 0, -ESRCH (the target ended; not logged), -errno: part of the role is
 * attached then.
 */
int probes_set_role(struct probes *p, enum probe_role role);
enum probe_role probes_role(const struct probes *p);

/**
 * Detach these parts (of enum probe_part); the others stay. While a part is away, nothing attaches a probe of it.
 * May be called from another thread than the others. Blocks for an RCU grace period.
 */
void probes_take_away(struct probes *p, unsigned parts);
/**
 * Remove the breakpoints that forked children have copied; the target's own stay. From any thread. Blocks as
 * above. Returns: 0, -errno.
 */
int probes_sweep_children(struct probes *p);
/** Parts that are away now. From any thread. */
unsigned probes_away(struct probes *p);
/**
 * No part is away from now on; probes_set_role() with the same role attaches them again. Returns: the parts that
 * were away.
 */
unsigned probes_readmit(struct probes *p);

/**
 * Let choices go: gone[choice - 1]; copied. cookie_bits are set in the cookies of those that stay, as long as
 * any is gone. Takes effect at once where the role has them. Returns: as probes_set_role(), -ENOMEM.
 */
int probes_let_go(struct probes *p, const bool *gone, size_t count, uint64_t cookie_bits);

/** How many sites of a kind are attached now. */
size_t probes_count(struct probes *p, enum tm_prog_kind kind);

#endif
