/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The probes as data: allocators append specs to one list, probe/ attaches the ones that a role selects.
 * The order of the list is the order of attaching, and detaching goes backwards: an allocator appends the
 * ends of its blocks before their births, so that no block is seen born whose end is missed.
 */
#ifndef TM_ALLOC_PROBE_LIST_H
#define TM_ALLOC_PROBE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/tmbpf.h"
#include "target/target.h"

/* Events that a session follows. A spec names all roles in which it is attached. */
enum probe_role {
	PROBE_OFF = 0,	       /* nothing is attached */
	PROBE_TRIAL = 1 << 0,  /* what the event rate is measured at */
	PROBE_GROWTH = 1 << 1, /* new pools, and malloc's slow path */
	PROBE_EXACT = 1 << 2,  /* every block */
	PROBE_ALWAYS = PROBE_TRIAL | PROBE_GROWTH | PROBE_EXACT
};

/* Parts that can be detached while tracing goes on; probes of no part always stay. */
enum probe_part {
	PROBE_PART_OBJECTS = 1 << 0, /* the interpreter's allocator */
	PROBE_PART_MALLOC = 1 << 1,  /* malloc's family and free */
	PROBE_PART_ALL = PROBE_PART_OBJECTS | PROBE_PART_MALLOC,
};

struct probe_spec {
	const char *program;		    /* its name in bpf/; static */
	const struct target_object *object; /* the file; borrowed from the target */
	uint64_t vaddr, offset;		    /* the instruction; offset: in the file */
	uint64_t cookie;		    /* bpf/tmbpf.h: cookies */
	unsigned roles;			    /* of enum probe_role */
	enum probe_part part;		    /* 0: none */
	enum tm_prog_kind kind;		    /* what a hit counts as */
	bool at_return; /* a return probe: the offset is where the return address is on top of the stack */
	/*
	 * Specs of one program, file, part and at_return share a link unless this differs. A link whose sites
	 * change with the role is exchanged: keep sites apart that must not be hit twice meanwhile.
	 */
	uint8_t set;
	/* 1..TM_SITES_MAX: learning may let the site go when may_go; hits are counted in site_counts[choice - 1]. */
	uint16_t choice;
	bool may_go;
};

struct probe_list {
	struct probe_spec *specs;
	size_t count, cap;
	bool oom; /* an append failed; the planner checks once at the end */
};

void probe_list_add(struct probe_list *l, const struct probe_spec *spec);
void probe_list_release(struct probe_list *l);

/**
 * Drop the specs for which keep() is false; choices are numbered again from 1 on, in the cookies as well. Before
 * the list is lent to anyone. Returns: how many went.
 */
size_t probe_list_filter(struct probe_list *l, bool (*keep)(void *ctx, const struct probe_spec *s),
			 void *ctx);

/** Specs with a choice; they are numbered 1 to this. */
size_t probe_list_choices(const struct probe_list *l);

/** Do both belong to one link? */
bool probe_spec_shares_link(const struct probe_spec *a, const struct probe_spec *b);

struct probe_batch { /* the sites of one link */
	uint64_t *offsets, *cookies;
	size_t count;
	size_t of_kind[TM_PROG_COUNT];
};

/* Choices that learning let go, by choice - 1. */
struct probe_choice {
	bool *gone;
	size_t count;
	uint64_t cookie_bits; /* set in the cookies of the other choices while any is gone */
	bool any_gone;
};

/**
 * The sites that the link of `like` has in a role while parts are away; each offset once. Returns: 0, -ENOMEM.
 * Owns: *out, probe_batch_release().
 */
int probe_list_select(const struct probe_list *l, const struct probe_spec *like,
		      enum probe_role role, unsigned away, const struct probe_choice *choice,
		      struct probe_batch *out);
bool probe_batch_equal(const struct probe_batch *a, const struct probe_batch *b);
void probe_batch_release(struct probe_batch *b);

#endif
