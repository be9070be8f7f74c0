/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Result sites: instructions inside a function at which what it is going to return is already known, so
 * that no return probe is needed. A return probe exchanges the return address on the target's stack, takes
 * minutes to detach where a thread sleeps in the call, and kills targets under strict seccomp filters
 * on kernels 6.11 to 6.13.
 */
#ifndef TM_SITES_FN_RESULT_H
#define TM_SITES_FN_RESULT_H

#include "sites/fn_graph.h"
#include "sites/sites.h"

struct result_query {
	uint64_t entry_site; /* instruction where the call is noticed: never a result site too */
	bool by_pointer;     /* posix_memalign: the block goes to where the first argument points */
};

/**
 * Choose sites so that every path from the entry to an exit runs at least one of them after the result is
 * known. Emulated instructions where there is one on the path, else the ret itself (single_step).
 * Returns: 0, -ENOENT: not provable, reason in *why (a constant).
 */
int fn_results_find(const struct fn_scope *scope, const struct fn_graph *g,
		    const struct result_query *q, struct fn_results *out, const char **why);

/** Out: at[i], bit set of the registers that hold the first argument before node i; g->count entries. */
void fn_first_argument(const struct fn_graph *g, uint16_t *at);

/** Every path either allocates nothing or goes on in a function that has probes of its own. */
bool fn_is_forwarder(const struct fn_scope *scope, const struct fn_graph *g);

#endif
