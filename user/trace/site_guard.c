// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace/site_guard.h"

#include <errno.h>

#include "base/log.h"
#include "sites/site_memory.h"
#include "trace/tracer_watch.h"

struct tally {
	const struct capture *capture;
	unsigned no_end;	  /* parts whose blocks would have no end; of enum probe_part */
	unsigned sites, left_out; /* all */
	unsigned by[SITE_MEMORY_COUNT];
	bool no_death; /* of code objects */
};

/* Without a debugger an int3 is a uprobe of another tool, or one that was left: the kernel shares it. */
static enum site_memory spec_memory(const struct capture *c, const struct probe_spec *s)
{
	enum site_memory m = site_memory_at(c->target, s->object, s->vaddr);

	return m == SITE_BREAKPOINT && !tracer_sets_breakpoints(c) ? SITE_AS_FILE : m;
}

/*
 * Names the end of a block when one is left out, because it makes all births of its allocator
 * worthless.
 */
static unsigned parts_without_end(const struct capture *c, const struct probe_list *l)
{
	unsigned parts = 0;

	for (size_t i = 0; i < l->count; i++)
		if (l->specs[i].kind == TM_PROG_FREE && spec_memory(c, &l->specs[i]))
			parts |= l->specs[i].part;
	return parts;
}

static bool sees_births(const struct probe_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->specs[i].kind == TM_PROG_POP || l->specs[i].kind == TM_PROG_MALLOC)
			return true;
	return false;
}

static void warn_left_out(const struct capture *c, const struct tally *t)
{
	const unsigned *n = t->by;

	log_coded_warn("W142",
		       n[SITE_BREAKPOINT]
			       ? "delete the debugger's breakpoints, then start tmbpf again"
			       : NULL,
		       "%u of %u probe sites of process %d are left out: %u under a debugger's "
		       "breakpoint, %u in pages made writable, %u where memory differs from the "
		       "file, %u not mapped, %u because the end of their blocks would not be "
		       "seen. Blocks that pass there are not seen",
		       t->left_out, t->sites, (int)c->target->pid, n[SITE_BREAKPOINT],
		       n[SITE_WRITABLE], n[SITE_CHANGED], n[SITE_UNMAPPED],
		       t->left_out - n[SITE_BREAKPOINT] - n[SITE_WRITABLE] - n[SITE_CHANGED] -
			       n[SITE_UNMAPPED]);
}

static bool may_stand(void *ctx, const struct probe_spec *s)
{
	struct tally *t = ctx;
	enum site_memory m = spec_memory(t->capture, s);

	t->sites++;
	if (m == SITE_AS_FILE)
		return !(s->part & t->no_end);
	t->by[m]++;
	t->no_death |= s->kind == TM_PROG_DEATH;
	return false;
}

int site_guard_check(struct capture *c)
{
	struct probe_list *l = &c->alloc->probes;
	struct tally t = {.capture = c, .no_end = parts_without_end(c, l)};

	t.left_out = (unsigned)probe_list_filter(l, may_stand, &t);
	if (!t.left_out)
		return 0;
	warn_left_out(c, &t);
	if (!t.no_death && sees_births(l))
		return 0;
	return log_coded_err(-EBUSY, "E306",
			     "delete the breakpoints in the debugger, or detach it, then try again",
			     "process %d cannot be probed where it is needed: its memory differs "
			     "from its files there",
			     (int)c->target->pid);
}

unsigned site_guard_missing(const struct capture *c)
{
	const struct probe_list *l = &c->alloc->probes;
	unsigned role = c->probes ? probes_role(c->probes) : PROBE_OFF;
	unsigned away = c->probes ? probes_away(c->probes) : 0, n = 0;

	/* Those that learning chooses from come and go. */
	for (size_t i = 0; i < l->count; i++)
		n += l->specs[i].roles & role && !(l->specs[i].part & away) &&
		     !l->specs[i].choice &&
		     site_memory_at(c->target, l->specs[i].object, l->specs[i].vaddr) ==
			     SITE_AS_FILE;
	return n;
}
