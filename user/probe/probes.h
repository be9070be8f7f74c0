/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which program sits where: turns the sites of a target into links. One set a mode; switching modes
 * attaches the new links before the old ones go.
 */
#ifndef TM_PROBE_PROBES_H
#define TM_PROBE_PROBES_H

#include "probe/bpf_session.h"
#include "probe/uprobe_link.h"
#include "sites/mimalloc_sites.h"
#include "sites/sites.h"
#include "target/target.h"

struct probe_plan { /* everything borrowed for the life of the probes */
	struct bpf_session *session;
	const struct target *target;
	const struct target_object *py_object; /* NULL: no python domain */
	const struct mimalloc_sites *mimalloc; /* NULL: objects come from pymalloc*/
	const struct python_sites *py_sites;
	uint64_t code_dealloc_off;		 /* file offset in py_object */
	const struct target_object *libc_object; /* NULL: no native domain */
	const struct libc_sites *libc_sites;
};

struct probes;

int probes_new(const struct probe_plan *plan, struct probes **out);
void probes_free(struct probes *p); /* detaches everything */
DEFINE_CLEANUP(struct probes *, probes_free);

/** Only what the event rate is measured at: pop sites and malloc's entry. */
int probes_attach_trial(struct probes *p);
/** Everything. Links of the trial are kept and completed. Without the sites in skip (vaddrs, sorted). */
int probes_attach_exact(struct probes *p, const uint64_t *skip, size_t skip_count);
/** Pool refills and malloc's slow path only. Links of the trial go. */
int probes_attach_pools(struct probes *p);
/** Exchange the new-reference link: all sites but `skip`, every hit recorded when keep. */
int probes_set_newrefs(struct probes *p, const uint64_t *skip, size_t skip_count, bool keep);
/** How many new-reference sites are attached now. */
size_t probes_newref_count(const struct probes *p);

#endif
