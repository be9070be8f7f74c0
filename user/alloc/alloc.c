// SPDX-License-Identifier: GPL-2.0-or-later
/* Asks every provider in turn. */
#include "alloc/alloc.h"

#include <errno.h>
#include <poll.h>

#include "alloc/provider.h"
#include "alloc/skeleton.h"
#include "base/log.h"

/* How long a process may take to load its libraries. */
#define STARTUP_LOOKS	10
#define STARTUP_LOOK_MS 30

static const struct alloc_provider *const providers[] = {
#define X(name) &alloc_##name,
	TM_ALLOCATOR_LIST(X)
#undef X
};

#define for_each_found(i, set)                            \
	for (size_t i = 0; i < ARRAY_LEN(providers); i++) \
		if ((set)->states[i])

/*
 * A process that has just started has nothing mapped but itself and its linker: give it the moment that
 * the linker takes. A static program without malloc pays it in vain.
 */
static void wait_for_libraries(struct target *t)
{
	struct libc_target libc;

	for (int i = 0; i < STARTUP_LOOKS; i++) {
		if (libc_target_find(t, &libc) != -ENOENT)
			return;
		(void)poll(NULL, 0, STARTUP_LOOK_MS);
		if (target_refresh_maps(t))
			return;
	}
}

/* Set the allocator's row as owner of the specs from `first` on. */
static void set_owner(struct probe_list *list, size_t first, size_t row)
{
	for (size_t i = first; i < list->count; i++)
		list->specs[i].cookie |= TM_COOKIE_OWNER(row, list->specs[i].kind);
}

static int plan_probes(struct alloc_set *set)
{
	int err = set->python.found ? interpreter_plan(&set->python, &set->probes) : 0;

	if (err)
		return err;
	for_each_found(i, set)
	{
		size_t first = set->probes.count;

		providers[i]->plan(set, set->states[i], &set->probes);
		set_owner(&set->probes, first, i);
	}
	return set->probes.oom ? -ENOMEM : 0;
}

int alloc_find(struct target *t, const struct alloc_opts *opts, struct alloc_set **out)
{
	_cleanup_(alloc_freep) struct alloc_set *set = calloc(1, sizeof(*set));
	int err = 0;

	if (!set)
		return -ENOMEM;
	set->target = t;
	set->opts = *opts;
	set->states = calloc(ARRAY_LEN(providers), sizeof(*set->states));
	if (!set->states)
		return -ENOMEM;
	wait_for_libraries(t);
	if (opts->python)
		err = interpreter_open(t, opts, &set->python);
	for (size_t i = 0; !err && i < ARRAY_LEN(providers); i++)
		err = providers[i]->find(set, &set->states[i]);
	if (!err)
		err = plan_probes(set);
	if (err)
		return err;
	*out = take_ptr(set);
	return 0;
}

void alloc_free(struct alloc_set *set)
{
	if (!set)
		return;
	if (set->states)
		for_each_found(i, set) providers[i]->release(set->states[i]);
	free(set->states);
	interpreter_release(&set->python);
	probe_list_release(&set->probes);
	free(set);
}

struct alloc_facts alloc_facts(const struct alloc_set *set)
{
	struct alloc_facts facts = {0};

	for_each_found(i, set)
	{
		if (providers[i]->facts)
			providers[i]->facts(set, set->states[i], &facts);
	}
	return facts;
}

void alloc_configure(const struct alloc_set *set, struct tmbpf_bpf *skel)
{
	if (set->python.found)
		interpreter_configure(&set->python, skel);
	for_each_found(i, set)
	{
		skel->rodata->cfg_allocators |= 1u << i;
		if (providers[i]->configure)
			providers[i]->configure(set, set->states[i], skel);
	}
}

int alloc_liveness(const struct alloc_set *set, struct heap_reader **out)
{
	*out = NULL;
	for_each_found(i, set)
	{
		if (providers[i]->liveness)
			return providers[i]->liveness(set, out);
	}
	return 0;
}

int alloc_print(const struct alloc_set *set, FILE *out, bool verbose)
{
	int err = 0;

	for_each_found(i, set)
	{
		if (!err && providers[i]->print)
			err = providers[i]->print(set, set->states[i], out, verbose);
	}
	return err;
}

int alloc_print_file(const struct elf_image *img, FILE *out, bool verbose, bool use_cache)
{
	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		int err = providers[i]->print_file
				  ? providers[i]->print_file(img, out, verbose, use_cache)
				  : -ENOENT;

		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}
