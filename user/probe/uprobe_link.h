/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attach one BPF program to many instructions of one file. uprobe_multi where the kernel has it (6.6):
 * any number of sites attach in about 10 ms and detach in 25-40 ms; perf events otherwise, which take
 * 0.1 s each to detach.
 */
#ifndef TM_PROBE_UPROBE_LINK_H
#define TM_PROBE_UPROBE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct bpf_program;

struct uprobe_sites {
	const char *path;	 /* of the file, as we can open it */
	const uint64_t *offsets; /* file offsets */
	const uint64_t *cookies; /* NULL: all 0 */
	size_t count;
	bool ret;  /* at return; offsets are function entries */
	pid_t pid; /* only this process, as numbered in our pid namespace */
};

struct uprobe_link;

/** Does this kernel have uprobe_multi links? */
bool uprobe_multi_supported(void);

/**
 * Attach. multi must be what the program was loaded for.
 * Returns: 0, -errno. Owns: *out, freed (and detached) by uprobe_link_free().
 */
int uprobe_link_attach(const struct bpf_program *prog, const struct uprobe_sites *sites, bool multi,
		       struct uprobe_link **out);
void uprobe_link_free(struct uprobe_link *link);

/**
 * Detach and free all of them at the same time, because one after the other each would wait for an RCU grace
 * period, 25 to 60 ms. Entries may be NULL.
 */
void uprobe_links_free(struct uprobe_link **links, size_t count);

/**
 * Attach another program to the sites and the process of a uprobe_multi link, at the instruction itself.
 * Returns: 0, -errno; -EOPNOTSUPP for perf events. Owns: *out.
 */
int uprobe_link_like(const struct uprobe_link *link, const struct bpf_program *prog,
		     struct uprobe_link **out);

DEFINE_CLEANUP(struct uprobe_link *, uprobe_link_free);

#endif
