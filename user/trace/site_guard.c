// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace/site_guard.h"

#include <errno.h>

#include "base/log.h"
#include "sites/site_memory.h"
#include "trace/tracer_watch.h"

struct tally {
	const struct capture *capture;
	const struct target_object *object;
	bool debugger; /* an int3 may be its breakpoint */
	unsigned sites, left_out[SITE_MEMORY_COUNT];
};

static bool may_stand(struct tally *t, uint64_t vaddr)
{
	enum site_memory m = site_memory_at(t->capture->target, t->object, vaddr);

	t->sites++;
	/* Without a debugger an int3 is a uprobe of another tool, or one that was left: the kernel shares it. */
	if (m == SITE_AS_FILE || (m == SITE_BREAKPOINT && !t->debugger))
		return true;
	t->left_out[m]++;
	return false;
}

static void keep_sound(struct tally *t, struct site *v, size_t *count)
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++)
		if (may_stand(t, v[i].vaddr))
			v[kept++] = v[i];
	*count = kept;
}

static void keep_sound_fn(struct tally *t, struct fn_site *f)
{
	if (f->present)
		f->present = may_stand(t, f->vaddr) &&
			     (f->ret_vaddr == f->vaddr || may_stand(t, f->ret_vaddr));
}

static unsigned left_out(const struct tally *t)
{
	unsigned n = 0;

	for (int m = 0; m < SITE_MEMORY_COUNT; m++)
		n += t->left_out[m];
	return n;
}

static void warn_left_out(const struct tally *t)
{
	unsigned n = left_out(t);

	if (n)
		log_coded_warn(
			"W142",
			t->left_out[SITE_BREAKPOINT]
				? "delete the debugger's breakpoints, then start tmbpf again"
				: NULL,
			"%u of %u probe sites in %s are left out: %u under a debugger's "
			"breakpoint, %u in pages made writable, %u where memory differs from "
			"the file, %u not mapped. Blocks that pass there are not seen",
			n, t->sites, t->object->path, t->left_out[SITE_BREAKPOINT],
			t->left_out[SITE_WRITABLE], t->left_out[SITE_CHANGED],
			t->left_out[SITE_UNMAPPED]);
}

/* Without it the numbers would be wrong, not only incomplete. */
static int needed_site(const struct capture *c, const char *what)
{
	return log_coded_err(
		-EBUSY, "E306",
		"delete the breakpoint in the debugger, or detach it, then try again",
		"%s of process %d cannot be probed: its memory differs from its file there", what,
		(int)c->target->pid);
}

static int check_python(struct capture *c, struct tally *t)
{
	uint64_t death = c->py.code_dealloc_addr - c->py.object->bias;
	size_t frees = c->mi_sites.free_count;

	keep_sound(t, c->py_sites.pops, &c->py_sites.pop_count);
	keep_sound(t, c->py_sites.newrefs, &c->py_sites.newref_count);
	keep_sound(t, c->py_sites.inits, &c->py_sites.init_count);
	keep_sound(t, c->mi_sites.pops, &c->mi_sites.pop_count);
	if (c->py_sites.refill_vaddr && !may_stand(t, c->py_sites.refill_vaddr))
		c->py_sites.refill_vaddr = 0;
	for (size_t i = 0; i < frees; i++)
		keep_sound_fn(t, &c->mi_sites.frees[i]);
	warn_left_out(t);
	for (size_t i = 0; i < frees; i++)
		if (!c->mi_sites.frees[i].present)
			return needed_site(c, "the interpreter's free()");
	return may_stand(t, death) ? 0 : needed_site(c, "code_dealloc()");
}

/* A malloc without free, or the other way round, is worse than none. */
static int check_libc(struct capture *c, struct tally *t)
{
	struct fn_site *fn = c->libc_sites.fn;

	for (size_t i = 0; i < FN_COUNT; i++)
		keep_sound_fn(t, &fn[i]);
	keep_sound_fn(t, &c->libc_sites.slow_malloc);
	warn_left_out(t);
	c->has_native = fn[FN_FREE].present && fn[FN_MALLOC].present;
	return c->has_native || c->has_python ? 0 : needed_site(c, "malloc() or free()");
}

int site_guard_check(struct capture *c)
{
	struct tally py = {.capture = c}, libc = {.capture = c};
	int err = 0;

	py.debugger = libc.debugger = tracer_sets_breakpoints(c);
	if (c->has_python) {
		py.object = c->py.object;
		err = check_python(c, &py);
	}
	if (!err && c->has_native) {
		libc.object = c->libc.object;
		err = check_libc(c, &libc);
	}
	return err;
}

static bool is_missing(const struct capture *c, const struct target_object *o, uint64_t vaddr)
{
	return site_memory_at(c->target, o, vaddr) == SITE_AS_FILE;
}

unsigned site_guard_missing(const struct capture *c)
{
	unsigned n = 0;

	if (c->pools_mode || !c->probes)
		return 0;
	for (size_t i = 0; c->has_python && i < c->py_sites.pop_count; i++)
		n += is_missing(c, c->py.object, c->py_sites.pops[i].vaddr);
	for (size_t i = 0; c->has_native && i < FN_COUNT; i++)
		n += c->libc_sites.fn[i].present &&
		     is_missing(c, c->libc.object, c->libc_sites.fn[i].vaddr);
	return n;
}
