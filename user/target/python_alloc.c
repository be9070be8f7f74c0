/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which allocator serves Python objects in a running interpreter, and which hooks stand in front of it. Read
 * from its allocator tables, an entry a domain: raw, mem, obj. Where these cannot be found or followed beyond
 * doubt the answer is PY_ALLOC_UNKNOWN, never a guess; the environment is not asked, a program may have set
 * another allocator since.
 *
 * The tables are found by their neighbour: the state of the debug hooks, {'r', raw} {'m', mem}
 * {'o', obj}, which no other data looks like. From 3.12 on both are in _PyRuntime, the tables right in front
 * (raw at 96 in 3.12, 704 in 3.13, 880 in 3.14, 1008 in 3.15). Up to 3.11 they are static variables near it,
 * where depends on the compiler: gcc -O2 has {obj, mem, raw} in front, Debian's have {obj, mem} in front and
 * raw after.
 */
#include <string.h>

#include "target/python_alloc_chain.h"
#include "target/python_layout.h"

#define DEBUG_WORDS    (sizeof(struct alloc_debug) / sizeof(uint64_t))
#define ENTRY_WORDS    (sizeof(struct alloc_entry) / sizeof(uint64_t))
#define RUNTIME_WORDS  512	   /* of _PyRuntime: that far the tables are looked for */
#define DATA_BYTES_MAX (256 << 20) /* of a segment; no interpreter has so much initialised data */
#define NEAR_WORDS     128 /* from the debug state to a static table; 24 at most were seen */
#define NEAR_MAX       16  /* entries there; 4 at most were seen */

struct alloc_tables { /* where everything leads */
	struct alloc_end raw, mem, obj;
	struct alloc_end debug_raw, debug_obj;
};

static bool is_debug_state(const struct target *t, const uint64_t *words)
{
	const struct alloc_debug *d = (const struct alloc_debug *)words;

	return d->raw.api_id == 'r' && d->mem.api_id == 'm' && d->obj.api_id == 'o' &&
	       alloc_entry_is_sane(t, &d->raw.alloc) && alloc_entry_is_sane(t, &d->mem.alloc) &&
	       alloc_entry_is_sane(t, &d->obj.alloc);
}

/* The only debug state in the words; false also when there are two. */
static bool find_debug_state(const struct target *t, const uint64_t *words, size_t count,
			     size_t *at)
{
	bool found = false;

	for (size_t i = 0; i + DEBUG_WORDS <= count; i++) {
		if (words[i] != 'r' || !is_debug_state(t, words + i))
			continue;
		if (found)
			return false;
		*at = i;
		found = true;
	}
	return found;
}

/* Needs the fences of the tables. */
static void follow_debug_state(struct alloc_place *p, const uint64_t *words,
			       struct alloc_tables *out)
{
	const struct alloc_debug *d = (const struct alloc_debug *)words;

	alloc_fence_add(p, &d->raw.alloc);
	alloc_fence_add(p, &d->mem.alloc);
	alloc_fence_add(p, &d->obj.alloc);
	alloc_follow(p, &d->raw.alloc, &out->debug_raw);
	alloc_follow(p, &d->obj.alloc, &out->debug_obj);
}

static bool all_differ(const struct alloc_entry *a, const struct alloc_entry *b)
{
	return a->malloc != b->malloc && a->calloc != b->calloc && a->realloc != b->realloc &&
	       a->free != b->free;
}

/*
 * No function's address is known. But the debug state has what the interpreter was built with, or what its
 * hooks were put in front of: an allocator of the program's own, linked into the same file, is not there.
 * pymalloc serves mem and obj, never raw; malloc all three; others have
 * functions for each.
 */
static enum py_allocator judge_allocator(const struct alloc_place *p, const struct alloc_tables *a)
{
	if (!a->mem.known || !a->obj.known || !a->debug_raw.known)
		return PY_ALLOC_UNKNOWN;
	if (alloc_share_context(&a->mem, &a->obj) || alloc_share_context(&a->raw, &a->mem) ||
	    alloc_share_context(&a->raw, &a->obj))
		return PY_ALLOC_UNKNOWN;
	if (alloc_same(&a->mem, &a->obj)) {
		if (alloc_same(&a->obj, &a->debug_raw))
			return alloc_same(&a->obj, &a->raw) ? PY_ALLOC_MALLOC : PY_ALLOC_UNKNOWN;
		return alloc_same(&a->obj, &a->debug_obj) ? PY_ALLOC_PYMALLOC : PY_ALLOC_UNKNOWN;
	}
	return p->row->has_mimalloc && all_differ(&a->mem.inner, &a->obj.inner) &&
			       all_differ(&a->mem.inner, &a->debug_raw.inner) &&
			       all_differ(&a->obj.inner, &a->debug_raw.inner)
		       ? PY_ALLOC_BY_DOMAIN
		       : PY_ALLOC_UNKNOWN;
}

/* 3.12 on. */
static enum py_allocator find_in_runtime(struct alloc_place *p, struct python_target *py)
{
	uint64_t words[RUNTIME_WORDS];
	const struct alloc_entry *tables;
	struct alloc_tables a = {0};
	size_t at;

	if (target_read(p->t, py->runtime_addr, words, sizeof(words)) ||
	    !find_debug_state(p->t, words, RUNTIME_WORDS, &at) || at < 3 * ENTRY_WORDS)
		return PY_ALLOC_UNKNOWN;
	p->debug_addr = py->runtime_addr + at * sizeof(*words);
	tables = (const struct alloc_entry *)(words + at - 3 * ENTRY_WORDS);
	for (size_t i = 0; i < 3; i++)
		alloc_fence_add(p, &tables[i]);
	follow_debug_state(p, words + at, &a);
	alloc_follow(p, &tables[0], &a.raw);
	alloc_follow(p, &tables[1], &a.mem);
	alloc_follow(p, &tables[2], &a.obj);
	alloc_hooks_add(&py->hooks, &a.obj.hooks);
	alloc_hooks_add(&py->hooks, &a.mem.hooks);
	alloc_hooks_add(&py->hooks, &a.raw.hooks);
	py->domain_free[0] = a.mem.known ? a.mem.inner.free : 0;
	py->domain_free[1] = a.obj.known ? a.obj.inner.free : 0;
	return judge_allocator(p, &a);
}

/* Candidates for entries near the debug state. Returns: how many, at most NEAR_MAX. */
static size_t list_near(const struct target *t, const uint64_t *words, size_t count,
			size_t debug_at, const struct alloc_entry *out[NEAR_MAX])
{
	size_t from = debug_at < NEAR_WORDS ? 0 : debug_at - NEAR_WORDS;
	size_t to = debug_at + DEBUG_WORDS + NEAR_WORDS, n = 0;

	for (size_t i = from; i < to && i + ENTRY_WORDS <= count && n < NEAR_MAX; i++) {
		const struct alloc_entry *e = (const struct alloc_entry *)(words + i);

		if (i + ENTRY_WORDS > debug_at && i < debug_at + DEBUG_WORDS)
			continue;
		if (alloc_entry_is_sane(t, e))
			out[n++] = e;
	}
	return n;
}

/*
 * Up to 3.11: the entries near the debug state that lead where it leads. Which is mem and which obj is not
 * known and does not matter, both have the same allocator; three entries of malloc cannot be
 * distinguished.
 */
static enum py_allocator find_near(struct alloc_place *p, const uint64_t *words, size_t count,
				   size_t debug_at, struct py_hooks *hooks)
{
	const struct alloc_entry *near[NEAR_MAX];
	size_t near_count = list_near(p->t, words, count, debug_at, near), found = 0, others = 0;
	struct alloc_tables a = {0};
	struct alloc_end e, objects[3];

	for (size_t i = 0; i < near_count; i++)
		alloc_fence_add(p, near[i]);
	follow_debug_state(p, words + debug_at, &a);
	for (size_t i = 0; i < near_count; i++) {
		alloc_follow(p, near[i], &e);
		bool is_raw = alloc_same(&e, &a.debug_raw);

		if (!is_raw && !alloc_same(&e, &a.debug_obj) && !e.elsewhere)
			continue;
		alloc_hooks_add(hooks, &e.hooks);
		if (is_raw && !a.raw.known)
			a.raw = e;
		else if (!e.elsewhere && found < ARRAY_LEN(objects))
			objects[found++] = e;
		else
			others++;
	}
	if (found != 2 || others)
		return PY_ALLOC_UNKNOWN;
	a.mem = objects[0];
	a.obj = objects[1];
	return judge_allocator(p, &a);
}

static enum py_allocator find_in_segment(struct alloc_place *p, const struct elf_segment *s,
					 struct py_hooks *hooks)
{
	uint64_t addr = (s->vaddr + p->object->bias + 7) & ~7ull;
	size_t count = s->file_len / sizeof(uint64_t), at;

	if (s->file_len > DATA_BYTES_MAX || count < DEBUG_WORDS)
		return PY_ALLOC_UNKNOWN;
	count--; /* the first may be cut */
	_cleanup_free_ uint64_t *words = malloc(count * sizeof(*words));

	/* Initialised data only: tracemalloc's copies of the former entries are in .bss. */
	if (!words || target_read(p->t, addr, words, count * sizeof(*words)) ||
	    !find_debug_state(p->t, words, count, &at))
		return PY_ALLOC_UNKNOWN;
	p->debug_addr = addr + at * sizeof(*words);
	return find_near(p, words, count, at, hooks);
}

static enum py_allocator find_in_data(struct alloc_place *p, struct py_hooks *hooks)
{
	const struct elf_image *img = p->object->image;

	for (size_t i = 0; i < img->segment_count; i++) {
		if (!img->segments[i].write)
			continue;
		enum py_allocator found = find_in_segment(p, &img->segments[i], hooks);

		if (found != PY_ALLOC_UNKNOWN)
			return found;
	}
	return PY_ALLOC_UNKNOWN;
}

enum py_allocator python_allocator_find(const struct target *t, struct python_target *py)
{
	struct alloc_place p = {.t = t, .object = py->object, .row = py->offsets};

	memset(&py->hooks, 0, sizeof(py->hooks));
	return p.row->alloc_in_runtime ? find_in_runtime(&p, py) : find_in_data(&p, &py->hooks);
}
