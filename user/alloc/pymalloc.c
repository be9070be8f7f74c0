// SPDX-License-Identifier: GPL-2.0-or-later
/* CPython's allocator of small objects: pops from pools, first blocks of new pools, new references. */
#include <errno.h>

#include "alloc/provider.h"
#include "alloc/skeleton.h"
#include "base/command.h"
#include "base/log.h"
#include "base/text.h"
#include "sites/python_pops.h"

#define ROLES_GROWTH (PROBE_EXACT | PROBE_GROWTH)
#define SET_INITS    1 /* not hit twice while pop sites come and go */

/*
 * The allocator of small objects was not recognised in this build. What goes through malloc still gets its
 * Python line.
 */
static int not_recognised(const struct alloc_set *set)
{
	const struct interpreter *in = &set->python;
	char fix[512];

	snprintf(fix, sizeof(fix), "please report the build, with the output of: %s",
		 command_other("sites -p %d", (int)set->target->pid));
	if (!set->opts.native)
		return log_coded_err(-ENOENT, "E304", fix, "no allocation sites in %s: %s",
				     in->py.object->path, in->sites.reason);
	log_coded_warn(
		"W125", fix,
		"no allocation sites in %s: %s. Small objects are not seen; blocks from malloc "
		"are, by their Python line",
		in->py.object->path, in->sites.reason);
	return 0;
}

/* Its sites are the interpreter's; there is nothing else to keep. */
static int pymalloc_find(struct alloc_set *set, void **state)
{
	const struct interpreter *in = &set->python;

	if (!in->found || in->py.allocator == PY_ALLOC_BY_DOMAIN)
		return 0;
	if (!in->sites.pop_count)
		return not_recognised(set);
	*state = &set->python;
	return 0;
}

static void pymalloc_release(void *state)
{
	(void)state;
}

static struct probe_spec spec_at(const struct alloc_set *set, const struct site *s,
				 enum tm_prog_kind kind, unsigned roles)
{
	return (struct probe_spec){.program = "record_site",
				   .object = set->python.py.object,
				   .part = PROBE_PART_OBJECTS,
				   .vaddr = s->vaddr,
				   .offset = s->file_off,
				   .kind = kind,
				   .roles = roles};
}

/*
 * A jump after each of some 200 calls; where few probes are wanted the rets of the function that they call,
 * two or three, which are single-stepped once for each new pool.
 */
static void plan_refills(const struct alloc_set *set, struct probe_list *out)
{
	const struct python_sites *py = &set->python.sites;
	const struct elf_image *img = set->python.py.object->image;
	struct site_list rets = {0};
	const struct site *v = py->refills;
	size_t count = py->refill_count;

	if (set->opts.few_probes && count && !refill_rets_find(img, py->refill_vaddr, &rets) &&
	    rets.count < count) {
		v = rets.v;
		count = rets.count;
	}
	for (size_t i = 0; i < count; i++) {
		struct probe_spec s = spec_at(set, &v[i], TM_PROG_REFILL, ROLES_GROWTH);

		s.set = SET_INITS;
		s.cookie = TM_COOKIE(v[i].reg, TM_KIND_REFILL, 0, 0);
		probe_list_add(out, &s);
	}
	site_list_release(&rets);
}

static void plan_new_pools(const struct alloc_set *set, struct probe_list *out)
{
	const struct python_sites *py = &set->python.sites;

	plan_refills(set, out);
	for (size_t i = 0; i < py->init_count; i++) {
		struct probe_spec s = spec_at(set, &py->inits[i], TM_PROG_POP, ROLES_GROWTH);

		s.set = SET_INITS;
		s.cookie = TM_COOKIE(py->inits[i].reg, TM_KIND_POP, TM_POP_INIT, py->inits[i].reg2);
		probe_list_add(out, &s);
	}
}

static void pymalloc_plan(const struct alloc_set *set, const void *state, struct probe_list *out)
{
	const struct python_sites *py = &set->python.sites;

	plan_new_pools(set, out);
	for (size_t i = 0; i < py->newref_count && i < TM_SITES_MAX; i++) {
		struct probe_spec s = spec_at(set, &py->newrefs[i], TM_PROG_NEWREF, PROBE_EXACT);

		s.cookie = TM_COOKIE(py->newrefs[i].reg, TM_KIND_NEWREF, 0, i);
		s.choice = (uint16_t)(i + 1);
		s.may_go = py->newrefs[i].fresh_proven;
		probe_list_add(out, &s);
	}
	for (size_t i = 0; i < py->pop_count; i++) {
		const struct site *p = &py->pops[i];
		struct probe_spec s = spec_at(set, p, TM_PROG_POP, PROBE_EXACT | PROBE_TRIAL);

		s.cookie = TM_COOKIE(p->reg, TM_KIND_POP, p->after_pop ? TM_POP_AFTER : 0,
				     p->after_pop ? p->reg2 : 0);
		probe_list_add(out, &s);
	}
}

static void pymalloc_configure(const struct alloc_set *set, const void *state,
			       struct tmbpf_bpf *skel)
{
	skel->rodata->cfg_pool_bytes = set->python.py.offsets->pool_bytes;
	skel->rodata->cfg_pool_align_shift = set->python.py.offsets->pool_align_shift;
}

static int pymalloc_liveness(const struct alloc_set *set, struct heap_reader **out)
{
	return heap_reader_new(set->target, set->python.py.offsets, out);
}

static void pymalloc_facts(const struct alloc_set *set, const void *state, struct alloc_facts *out)
{
	out->has_pools = true;
	out->pop_sites += set->python.sites.pop_count;
	out->learns = set->python.sites.newref_count > 0;
}

static int pymalloc_print(const struct alloc_set *set, const void *state, FILE *out, bool verbose)
{
	const struct interpreter *in = &set->python;

	text_print_clean(out, in->py.object->path);
	fprintf(out, " (CPython %s)\n", in->py.version);
	return python_sites_print(out, in->py.object->image, &in->sites, verbose);
}

static int pymalloc_print_file(const struct elf_image *img, FILE *out, bool verbose, bool use_cache)
{
	struct python_sites sites;
	unsigned minor;
	int err;

	if (!python_image_minor(img, &minor))
		return -ENOENT;
	err = python_sites_get(img, minor, use_cache, &sites);
	if (err == -ENOENT)
		return log_coded_err(-EBADMSG, "E304", NULL, "no allocation sites of CPython: %s",
				     sites.reason);
	if (err)
		return log_err(err, "cannot decode it");
	err = python_sites_print(out, img, &sites, verbose);
	python_sites_release(&sites);
	return err;
}

const struct alloc_provider alloc_pymalloc = {
	.find = pymalloc_find,
	.release = pymalloc_release,
	.plan = pymalloc_plan,
	.configure = pymalloc_configure,
	.liveness = pymalloc_liveness,
	.facts = pymalloc_facts,
	.print = pymalloc_print,
	.print_file = pymalloc_print_file,
};
