/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPython in a target as far as allocators need it: found, its thread state located, its allocation
 * sites decoded. Kept beside the allocators, because several of them serve one interpreter.
 */
#ifndef TM_ALLOC_INTERPRETER_H
#define TM_ALLOC_INTERPRETER_H

#include "alloc/probe_list.h"
#include "sites/sites.h"
#include "target/python_target.h"

struct alloc_opts {
	bool python, native; /* --domains */
	bool use_cache;	     /* --no-cache leaves it out */
	bool few_probes;     /* few, since each takes 0.1 s to detach */
};

struct interpreter {
	bool found; /* and ready: py is valid */
	bool later; /* none yet, or not initialised: look again */
	struct python_target py;
	struct python_sites
		sites; /* owned; empty when unrecognised, with the cause in sites.reason */
};

/**
 * Find the interpreter. A target without one is no error while its malloc can be traced.
 * Logs and codes: W122 W123 W302, E302 E303 E304. Returns: 0, -errno.
 * Owns: interpreter_release().
 */
int interpreter_open(struct target *t, const struct alloc_opts *opts, struct interpreter *out);
void interpreter_release(struct interpreter *in);

/** W122: what is called in place of the allocator, and what that means for the numbers. */
void interpreter_warn_hooks(const struct python_target *py);

/** Has one appeared, become ready, or moved its thread data? Call it rarely, because it reads maps
 * and memory. */
bool interpreter_appeared(struct interpreter *in, struct target *t);

/** Probe the death of code objects, whose names the records need. Returns: 0, -EBADMSG (E304). */
int interpreter_plan(const struct interpreter *in, struct probe_list *out);

struct tmbpf_bpf;

/** Offsets of frames, code objects and strings, and where the interpreter's text is. Before loading. */
void interpreter_configure(const struct interpreter *in, struct tmbpf_bpf *skel);

#endif
