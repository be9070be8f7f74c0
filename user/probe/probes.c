// SPDX-License-Identifier: GPL-2.0-or-later
/* Sites -> links. */
#include "probe/probes.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "probe/session_priv.h"
#include "target/target_task.h"

/* The cookie of alloc_enter carries sites/sites.h's number. */
#define SAME_FN(fn) _Static_assert((int)FN_##fn == (int)TM_FN_##fn, "one numbering")
SAME_FN(MALLOC);
SAME_FN(CALLOC);
SAME_FN(REALLOC);
SAME_FN(MEMALIGN);
SAME_FN(POSIX_MEMALIGN);
SAME_FN(VALLOC);
SAME_FN(PVALLOC);
SAME_FN(REALLOCARRAY);
SAME_FN(ALIGNED_ALLOC);
_Static_assert((int)FN_COUNT <= (int)TM_FN_SLOW_MALLOC, "one numbering");

struct probes {
	struct probe_plan plan;
	struct uprobe_link *pops, *newrefs, *refill, *inits, *death;
	struct uprobe_link *alloc_enter, *alloc_return, *free_enter;
	struct uprobe_link *mi_free;
	struct uprobe_link *trial_malloc;
	size_t newref_count;
};

struct site_batch { /* offsets and cookies on their way into a link */
	uint64_t offsets[TM_SITES_MAX];
	uint64_t cookies[TM_SITES_MAX];
	size_t count;
};

static void batch_add(struct site_batch *b, uint64_t off, uint64_t cookie)
{
	/* Two names of one address: one breakpoint, one hit. */
	for (size_t i = 0; i < b->count; i++)
		if (b->offsets[i] == off)
			return;
	if (b->count == TM_SITES_MAX)
		return;
	b->offsets[b->count] = off;
	b->cookies[b->count++] = cookie;
}

/* Say why, unless the target has just ended: then the caller knows better. */
static int attach_failed(const struct probes *p, int err, const struct bpf_program *prog,
			 const struct uprobe_sites *s)
{
	bool multi = p->plan.session->multi;
	char file[PATH_MAX] = "";

	/* uprobe_multi finds a process by its main thread only: what is attached stays. */
	if (!target_is_alive(p->plan.target) || target_main_thread_ended(p->plan.target))
		return -ESRCH;
	if (readlink(s->path, file, sizeof(file) - 1) < 0) /* the name of /proc/self/fd/N */
		*file = '\0';
	if (err == -EPERM || err == -EACCES)
		return log_coded_err(
			err, multi ? "E401" : "E402",
			multi ? "run as root, or with cap_bpf,cap_perfmon,cap_sys_ptrace"
			      : "add CAP_SYS_ADMIN, or use a kernel >= 6.6",
			"not permitted to attach %s to %zu sites of %s", bpf_program__name(prog),
			s->count, file);
	return log_coded_err(err, "E502", "tmbpf sites -p PID shows the sites; please report them",
			     "cannot attach %s to %zu sites of %s: %s", bpf_program__name(prog),
			     s->count, file, strerror(-err));
}

static int attach(const struct probes *p, const struct bpf_program *prog, const char *path,
		  const struct site_batch *b, bool ret, struct uprobe_link **out)
{
	struct uprobe_sites sites = {.path = path,
				     .offsets = b->offsets,
				     .cookies = b->cookies,
				     .count = b->count,
				     .ret = ret};
	int err;

	if (!b->count)
		return 0;
	(void)target_task_next(p->plan.target);
	sites.pid = target_task(p->plan.target);
	err = uprobe_link_attach(prog, &sites, p->plan.session->multi, out);
	return err ? attach_failed(p, err, prog, &sites) : 0;
}

static int attach_one(const struct probes *p, const struct bpf_program *prog, const char *path,
		      uint64_t off, uint64_t cookie, bool ret, struct uprobe_link **out)
{
	_cleanup_free_ struct site_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	batch_add(b, off, cookie);
	return attach(p, prog, path, b, ret, out);
}

static void drop_link(struct uprobe_link **link)
{
	uprobe_link_free(*link);
	*link = NULL;
}

int probes_new(const struct probe_plan *plan, struct probes **out)
{
	struct probes *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->plan = *plan;
	*out = p;
	return 0;
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	/* Where blocks are born first, so that no block is seen born and not seen freed. */
	drop_link(&p->trial_malloc);
	drop_link(&p->pops);
	drop_link(&p->newrefs);
	drop_link(&p->refill);
	drop_link(&p->inits);
	drop_link(&p->mi_free);
	drop_link(&p->alloc_enter);
	drop_link(&p->alloc_return);
	drop_link(&p->free_enter);
	drop_link(&p->death);
	free(p);
}

static void batch_add_pops(struct site_batch *b, const struct python_sites *py)
{
	for (size_t i = 0; i < py->pop_count; i++) {
		const struct site *s = &py->pops[i];

		batch_add(b, s->file_off,
			  s->after_pop ? TM_COOKIE(s->reg, TM_KIND_POP, TM_POP_AFTER, s->reg2)
				       : TM_COOKIE(s->reg, TM_KIND_POP, 0, 0));
	}
}

static int attach_pops(struct probes *p)
{
	const struct mimalloc_sites *mi = p->plan.mimalloc;
	_cleanup_free_ struct site_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	if (!p->plan.py_object || p->pops)
		return 0;
	if (!mi)
		batch_add_pops(b, p->plan.py_sites);
	for (size_t i = 0; mi && i < mi->pop_count; i++)
		batch_add(b, mi->pops[i].file_off,
			  TM_COOKIE(mi->pops[i].reg, TM_KIND_MI_POP, 0, mi->pops[i].reg2));
	return attach(p, p->plan.session->skel->progs.record_site, p->plan.py_object->attach_path,
		      b, false, &p->pops);
}

static bool listed(const uint64_t *sorted, size_t count, uint64_t value)
{
	size_t lo = 0, hi = count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sorted[mid] == value)
			return true;
		if (sorted[mid] < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

int probes_set_newrefs(struct probes *p, const uint64_t *skip, size_t skip_count, bool keep)
{
	const struct python_sites *py = p->plan.py_sites;
	_cleanup_free_ struct site_batch *b = calloc(1, sizeof(*b));
	struct uprobe_link *link = NULL;
	int err;

	if (!b)
		return -ENOMEM;
	if (!p->plan.py_object)
		return 0;
	for (size_t i = 0; i < py->newref_count; i++)
		if (!listed(skip, skip_count, py->newrefs[i].vaddr))
			batch_add(b, py->newrefs[i].file_off,
				  TM_COOKIE(py->newrefs[i].reg, TM_KIND_NEWREF,
					    keep ? TM_NEWREF_KEEP : 0, i));
	err = attach(p, p->plan.session->skel->progs.record_site, p->plan.py_object->attach_path, b,
		     false, &link);
	if (err)
		return err;
	drop_link(&p->newrefs);
	p->newrefs = link;
	p->newref_count = b->count;
	return 0;
}

size_t probes_newref_count(const struct probes *p)
{
	return p->newref_count;
}

/* The first blocks of new pools. */
static int attach_new_pools(struct probes *p)
{
	const struct python_sites *py = p->plan.py_sites;
	const struct bpf_program *prog = p->plan.session->skel->progs.record_site;
	const char *path = p->plan.py_object->attach_path;
	_cleanup_free_ struct site_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	if (py->refill_vaddr)
		return attach_one(p, prog, path, py->refill_off, TM_COOKIE(0, TM_KIND_REFILL, 0, 0),
				  true, &p->refill);
	for (size_t i = 0; i < py->init_count; i++)
		batch_add(b, py->inits[i].file_off,
			  TM_COOKIE(py->inits[i].reg, TM_KIND_POP, TM_POP_INIT, py->inits[i].reg2));
	return attach(p, prog, path, b, false, &p->inits);
}

static int attach_mi_free(struct probes *p)
{
	const struct mimalloc_sites *mi = p->plan.mimalloc;
	_cleanup_free_ struct site_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	for (size_t i = 0; i < mi->free_count; i++)
		batch_add(b, mi->frees[i].file_off, 0);
	return attach(p, p->plan.session->skel->progs.free_enter, p->plan.py_object->attach_path, b,
		      false, &p->mi_free);
}

static int attach_python_rest(struct probes *p)
{
	const struct tmbpf_bpf *skel = p->plan.session->skel;
	const char *path;
	int err;

	if (!p->plan.py_object)
		return 0;
	path = p->plan.py_object->attach_path;
	err = attach_one(p, skel->progs.code_dealloc, path, p->plan.code_dealloc_off, 0, false,
			 &p->death);
	if (!err && p->plan.mimalloc)
		err = attach_mi_free(p);
	else if (!err && p->plan.py_sites->pop_count)
		err = attach_new_pools(p);
	return err;
}

/* A return probe may stand at any instruction where the return address is still on top of the stack. */
static void batch_add_fn(struct site_batch *enter, struct site_batch *ret, const struct fn_site *f,
			 uint32_t fn)
{
	if (!f->present)
		return;
	batch_add(enter, f->file_off, fn | (uint64_t)f->sp_bytes << 8);
	batch_add(ret, f->ret_off, TM_COOKIE(0, TM_KIND_ALLOC_RETURN, 0, 0));
}

/* The malloc family; slow: malloc and calloc only where they reach _int_malloc. */
static int attach_libc(struct probes *p, bool slow)
{
	const struct tmbpf_bpf *skel = p->plan.session->skel;
	const struct libc_sites *libc = p->plan.libc_sites;
	_cleanup_free_ struct site_batch *enter = calloc(1, sizeof(*enter));
	_cleanup_free_ struct site_batch *ret = calloc(1, sizeof(*ret));
	const char *path;
	int err;

	if (!enter || !ret)
		return -ENOMEM;
	if (!p->plan.libc_object)
		return 0;
	path = p->plan.libc_object->attach_path;
	slow = slow && libc->slow_malloc.present;
	for (uint32_t fn = 0; fn < FN_COUNT; fn++) {
		if (fn == FN_FREE || (slow && (fn == FN_MALLOC || fn == FN_CALLOC)))
			continue;
		batch_add_fn(enter, ret, &libc->fn[fn], fn);
	}
	if (slow)
		batch_add_fn(enter, ret, &libc->slow_malloc, TM_FN_SLOW_MALLOC);
	/* free first: a block whose end we miss would stay forever, one whose birth we miss is just not there. */
	err = attach_one(p, skel->progs.free_enter, path, libc->fn[FN_FREE].file_off, 0, false,
			 &p->free_enter);
	if (!err)
		err = attach(p, skel->progs.record_site, path, ret, true, &p->alloc_return);
	if (!err)
		err = attach(p, skel->progs.alloc_enter, path, enter, false, &p->alloc_enter);
	return err;
}

int probes_attach_trial(struct probes *p)
{
	const struct fn_site *m = p->plan.libc_object ? &p->plan.libc_sites->fn[FN_MALLOC] : NULL;
	int err = attach_pops(p);

	if (!err && m)
		err = attach_one(p, p->plan.session->skel->progs.alloc_enter,
				 p->plan.libc_object->attach_path, m->file_off, FN_MALLOC, false,
				 &p->trial_malloc);
	return err;
}

int probes_attach_exact(struct probes *p, const uint64_t *skip, size_t skip_count)
{
	int err = attach_python_rest(p);

	if (!err)
		err = attach_libc(p, false);
	drop_link(&p->trial_malloc);
	if (!err)
		err = probes_set_newrefs(p, skip, skip_count, skip_count > 0);
	if (!err)
		err = attach_pops(p);
	return err;
}

int probes_attach_pools(struct probes *p)
{
	int err;

	drop_link(&p->trial_malloc);
	drop_link(&p->pops);
	err = attach_python_rest(p);
	if (!err)
		err = attach_libc(p, true);
	return err;
}
