// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The mimalloc that CPython carries since 3.13: pops from pages, frees, new references. Its blocks, large ones
 * too, are in the live table.
 */
#include <errno.h>
#include <inttypes.h>

#include "alloc/provider.h"
#include "alloc/skeleton.h"
#include "base/log.h"
#include "base/text.h"
#include "sites/mimalloc_sites.h"

static const char *why_chosen(const struct interpreter *in)
{
	return in->py.free_threaded ? "a free-threaded build" : "PYTHONMALLOC=mimalloc";
}

/* Its blocks come from no place that we know. */
static int not_recognised(const struct alloc_set *set, const struct mimalloc_sites *sites)
{
	const char *why = why_chosen(&set->python);

	if (!set->libc.object)
		return log_coded_err(-ENOTSUP, "E303", NULL,
				     "the interpreter's blocks come from mimalloc (%s), which "
				     "cannot be followed: %s; and there is no malloc to probe",
				     why, sites->reason);
	log_coded_warn(
		"W126", NULL,
		"the interpreter's blocks come from mimalloc (%s), which cannot be followed: "
		"%s. Only what C code takes from malloc is seen, with its Python line",
		why, sites->reason);
	return 0;
}

static void mimalloc_release(void *state)
{
	mimalloc_sites_release(state);
	free(state);
}

static int mimalloc_find(struct alloc_set *set, void **state)
{
	const struct python_target *py = &set->python.py;
	uint64_t frees[ARRAY_LEN(py->domain_free)];
	struct mimalloc_sites *sites;
	int err;

	if (!set->python.found || py->allocator != PY_ALLOC_BY_DOMAIN)
		return 0;
	sites = calloc(1, sizeof(*sites));
	if (!sites)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(frees); i++)
		frees[i] = py->domain_free[i] - py->object->bias;
	err = mimalloc_sites_find(py->object->image, py->minor, frees, ARRAY_LEN(frees), sites);
	if (!err) {
		log_coded_warn("W127", NULL,
			       "the interpreter's blocks come from mimalloc (%s): every block is "
			       "seen, with the size class it occupies; how many were missed is not "
			       "measured",
			       why_chosen(&set->python));
		*state = sites;
		return 0;
	}
	err = err == -ENOENT ? not_recognised(set, sites)
			     : log_err(err, "cannot decode %s", py->object->path);
	mimalloc_release(sites);
	return err;
}

static void add_site(const struct alloc_set *set, const struct site *s, enum tm_prog_kind kind,
		     unsigned roles, uint64_t cookie, struct probe_list *out)
{
	probe_list_add(out, &(struct probe_spec){.program = "record_site",
						 .object = set->python.py.object,
						 .part = PROBE_PART_OBJECTS,
						 .vaddr = s->vaddr,
						 .offset = s->file_off,
						 .kind = kind,
						 .roles = roles,
						 .cookie = cookie});
}

/* Keep all sites, because it is unknown whether a new reference is to a fresh block. */
static void mimalloc_plan(const struct alloc_set *set, const void *state, struct probe_list *out)
{
	const struct mimalloc_sites *mi = state;
	const struct python_sites *py = &set->python.sites;

	for (size_t i = 0; i < mi->free_count; i++)
		probe_list_add(out, &(struct probe_spec){.program = "free_enter",
							 .object = set->python.py.object,
							 .part = PROBE_PART_OBJECTS,
							 .vaddr = mi->frees[i].vaddr,
							 .offset = mi->frees[i].file_off,
							 .kind = TM_PROG_FREE,
							 .roles = PROBE_EXACT});
	for (size_t i = 0; i < py->newref_count; i++)
		add_site(set, &py->newrefs[i], TM_PROG_NEWREF, PROBE_EXACT,
			 TM_COOKIE(py->newrefs[i].reg, TM_KIND_NEWREF, 0, i), out);
	for (size_t i = 0; i < mi->pop_count; i++)
		add_site(set, &mi->pops[i], TM_PROG_POP, PROBE_EXACT | PROBE_TRIAL,
			 TM_COOKIE(mi->pops[i].reg, TM_KIND_POP, 0, mi->pops[i].reg2), out);
}

static void mimalloc_configure(const struct alloc_set *set, const void *state,
			       struct tmbpf_bpf *skel)
{
	const struct mimalloc_sites *mi = state;

	skel->rodata->cfg_mi_size = mi->size_off;
	skel->rodata->cfg_mi_size_bytes = mi->size_bytes;
}

static void mimalloc_facts(const struct alloc_set *set, const void *state, struct alloc_facts *out)
{
	const struct mimalloc_sites *mi = state;

	out->objects_in_live_table = true;
	out->pop_sites += mi->pop_count;
}

static int mimalloc_print(const struct alloc_set *set, const void *state, FILE *out, bool verbose)
{
	const struct interpreter *in = &set->python;
	const struct mimalloc_sites *mi = state;

	text_print_clean(out, in->py.object->path);
	fprintf(out, " (CPython %s)\n", in->py.version);
	fprintf(out, "mimalloc (%s)\n", why_chosen(in));
	fprintf(out, "  %-20s %5zu\n", "pop sites", mi->pop_count);
	fprintf(out, "  %-20s %5zu\n", "new-reference sites", in->sites.newref_count);
	for (size_t i = 0; i < mi->free_count; i++)
		fprintf(out, "  %-20s 0x%" PRIx64 "  probe at +0x%" PRIx64 "\n", "free",
			mi->frees[i].entry_vaddr, mi->frees[i].vaddr - mi->frees[i].entry_vaddr);
	fprintf(out, "  block size           %u bytes at offset %u of the page\n", mi->size_bytes,
		mi->size_off);
	fprintf(out, "  believed because: %s\n", mi->reason);
	for (size_t i = 0; verbose && i < mi->pop_count; i++)
		fprintf(out, "  pop    0x%" PRIx64 "  page in register %u, block in %u\n",
			mi->pops[i].vaddr, mi->pops[i].reg, mi->pops[i].reg2);
	return ferror(out) ? -EIO : 0;
}

const struct alloc_provider alloc_mimalloc = {
	.find = mimalloc_find,
	.release = mimalloc_release,
	.plan = mimalloc_plan,
	.configure = mimalloc_configure,
	.facts = mimalloc_facts,
	.print = mimalloc_print,
};
