// SPDX-License-Identifier: GPL-2.0-or-later
/* The malloc family of the C library, or of the library that stands in for it. */
#include <errno.h>

#include "alloc/provider.h"
#include "alloc/skeleton.h"
#include "base/log.h"
#include "base/text.h"
#include "target/return_probe.h"

static int not_found(const struct alloc_set *set, int err)
{
	if (set->python.found) {
		log_coded_warn("W121", NULL,
			       "no malloc found to probe: blocks above 512 bytes are not seen");
		return 0;
	}
	return log_coded_err(
		err, "E302", NULL,
		"%d (%s) has no allocator that tmbpf supports: neither CPython nor malloc",
		(int)set->target->pid, set->target->exe);
}

/*
 * The functions whose result cannot be seen inside them need a return probe. Where that would kill the target
 * they get no probe at all.
 */
static void return_probes_check(const struct alloc_set *set, struct libc_sites *sites)
{
	bool refused = return_probe_kills_process(set->target->pid);
	char names[128];
	size_t len = 0, count = 0;

	for (int fn = 0; fn < TM_FN_COUNT; fn++) {
		if (!sites->fn[fn].present || fn == TM_FN_FREE || sites->fn[fn].results.count)
			continue;
		len += (size_t)snprintf(names + len, len < sizeof(names) ? sizeof(names) - len : 0,
					"%s%s", count ? ", " : "", libc_fn_name((enum tm_fn)fn));
		len = len < sizeof(names) ? len : sizeof(names) - 1;
		count++;
		if (refused)
			sites->fn[fn].present = false;
	}
	if (refused && !sites->slow_malloc.results.count)
		sites->slow_malloc.present = false;
	if (count && refused)
		log_coded_warn(
			"W128", NULL,
			"not probed, as a return probe would kill process %d (this kernel, and a "
			"seccomp filter): %s",
			(int)set->target->pid, names);
	else
		log_info("%zu return probes in %s%s%s", count, set->libc.object->path,
			 count ? ": " : "", count ? names : "");
}

static void libc_release(void *state)
{
	free(state);
}

static int libc_find(struct alloc_set *set, void **state)
{
	struct libc_sites *sites = calloc(1, sizeof(*sites));
	struct libc_target libc;
	int err;

	if (!sites)
		return -ENOMEM;
	err = libc_target_find(set->target, &libc);
	if (!err)
		err = libc_sites_find(libc.object->image, sites);
	if (err) {
		free(sites);
		return not_found(set, err);
	}
	set->libc = libc;
	*state = sites;
	return_probes_check(set, sites);
	if (set->python.found && set->python.py.allocator == PY_ALLOC_MALLOC)
		log_coded_warn(
			"W120", NULL,
			"the interpreter runs with PYTHONMALLOC=malloc: all its blocks are "
			"seen in malloc; one that is re-used from a free list stays with the "
			"line that it was made for");
	return 0;
}

/*
 * malloc and calloc are seen where they reach the slow path when only growth is followed, if that was found.
 */
static unsigned roles_of(const struct libc_sites *libc, enum tm_fn fn)
{
	if (libc->slow_malloc.present && (fn == TM_FN_MALLOC || fn == TM_FN_CALLOC))
		return PROBE_EXACT;
	return PROBE_EXACT | PROBE_GROWTH;
}

static void add_enter(const struct alloc_set *set, const struct fn_site *f, uint32_t fn,
		      unsigned roles, struct probe_list *out)
{
	if (f->present)
		probe_list_add(out, &(struct probe_spec){.program = "alloc_enter",
							 .object = set->libc.object,
							 .part = PROBE_PART_MALLOC,
							 .vaddr = f->vaddr,
							 .offset = f->file_off,
							 .cookie = fn | (uint64_t)f->sp_bytes << 8,
							 .kind = TM_PROG_MALLOC,
							 .roles = roles});
}

/* A return probe may stand at any instruction where the return address is still on top of the stack. */
static void add_return(const struct alloc_set *set, const struct fn_site *f, unsigned roles,
		       struct probe_list *out)
{
	probe_list_add(out, &(struct probe_spec){.program = "record_site",
						 .object = set->libc.object,
						 .part = PROBE_PART_MALLOC,
						 .vaddr = f->ret_vaddr,
						 .offset = f->ret_off,
						 .cookie = TM_COOKIE(0, TM_KIND_ALLOC_RETURN, 0, 0),
						 .kind = TM_PROG_MALLOC,
						 .at_return = true,
						 .roles = roles});
}

/* Where the result of a function is seen: inside it, or by a return probe where that is not proven. */
static void add_results(const struct alloc_set *set, const struct fn_site *f, unsigned roles,
			struct probe_list *out)
{
	if (!f->present)
		return;
	if (!f->results.count)
		add_return(set, f, roles, out);
	for (size_t i = 0; i < f->results.count; i++) {
		const struct result_site *r = &f->results.v[i];

		probe_list_add(out, &(struct probe_spec){
					    .program = "record_site",
					    .object = set->libc.object,
					    .part = PROBE_PART_MALLOC,
					    .vaddr = r->vaddr,
					    .offset = r->file_off,
					    .cookie = TM_COOKIE(r->reg & 15, TM_KIND_ALLOC_RESULT,
								TM_RESULT_FLAGS(r->kind, r->cc),
								r->sp_bytes / 8),
					    .kind = TM_PROG_MALLOC,
					    .roles = roles});
	}
}

/* free first: a block whose end we miss would stay forever, one whose birth we miss is just not there. */
static void libc_plan(const struct alloc_set *set, const void *state, struct probe_list *out)
{
	const struct libc_sites *libc = state;
	const struct fn_site *free_site = &libc->fn[TM_FN_FREE];

	probe_list_add(out, &(struct probe_spec){.program = "free_enter",
						 .object = set->libc.object,
						 .part = PROBE_PART_MALLOC,
						 .vaddr = free_site->vaddr,
						 .offset = free_site->file_off,
						 .kind = TM_PROG_FREE,
						 .roles = PROBE_EXACT | PROBE_GROWTH});
	for (int fn = 0; fn < TM_FN_COUNT; fn++)
		if (fn != TM_FN_FREE)
			add_results(set, &libc->fn[fn], roles_of(libc, (enum tm_fn)fn), out);
	add_results(set, &libc->slow_malloc, PROBE_GROWTH, out);
	for (int fn = 0; fn < TM_FN_COUNT; fn++) {
		unsigned trial = fn == TM_FN_MALLOC ? PROBE_TRIAL : 0;

		if (fn != TM_FN_FREE)
			add_enter(set, &libc->fn[fn], (uint32_t)fn,
				  roles_of(libc, (enum tm_fn)fn) | trial, out);
	}
	add_enter(set, &libc->slow_malloc, TM_FN_SLOW_MALLOC, PROBE_GROWTH, out);
}

static void libc_configure(const struct alloc_set *set, const void *state, struct tmbpf_bpf *skel)
{
	const struct libc_sites *libc = state;

	for (size_t i = 0; i < libc->slow_call_count && i < TM_SLOW_CALLS; i++) {
		skel->rodata->cfg_slow_ret[i] =
			libc->slow_calls[i].ret_vaddr + set->libc.object->bias;
		skel->rodata->cfg_slow_up[i] = libc->slow_calls[i].up_bytes;
	}
}

static void libc_facts(const struct alloc_set *set, const void *state, struct alloc_facts *out)
{
	const struct libc_sites *libc = state;
	const struct interpreter *in = &set->python;

	for (int fn = 0; fn < TM_FN_COUNT; fn++)
		out->libc_functions += libc->fn[fn].present;
	out->growth_min_bytes = TM_GROWTH_MIN_BYTES;
	/* The interpreter's objects, or what tracemalloc keeps of each. */
	if (in->found && (in->py.allocator == PY_ALLOC_MALLOC || in->py.hooks.tracemalloc))
		out->objects_in_live_table = true;
}

static int libc_print(const struct alloc_set *set, const void *state, FILE *out, bool verbose)
{
	text_print_clean(out, set->libc.object->path);
	fprintf(out, "\n");
	return libc_sites_print(out, set->libc.object->image, state, verbose);
}

static int libc_print_file(const struct elf_image *img, FILE *out, bool verbose, bool use_cache)
{
	struct libc_sites sites;
	int err = libc_sites_find(img, &sites);

	return err ? err : libc_sites_print(out, img, &sites, verbose);
}

const struct alloc_provider alloc_libc = {
	.find = libc_find,
	.release = libc_release,
	.plan = libc_plan,
	.configure = libc_configure,
	.facts = libc_facts,
	.print = libc_print,
	.print_file = libc_print_file,
};
