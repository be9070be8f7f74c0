/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hook is a table entry that was put in place of another one: its context is, or holds, the entry that it
 * replaced. So every hook that calls on leads to the entry that it replaced. Because the tables are the
 * target's and hostile, every followed address must lie in its maps, and the number of hops is bounded.
 */
#include "target/python_alloc_chain.h"

#include <string.h>

#include "base/text.h"

#define CONTEXT_BYTES 160 /* of a foreign hook's context: that far its saved entry is looked for */

enum owner { OWNER_NONE, OWNER_INTERPRETER, OWNER_OTHER };

static const struct mapping *code_at(const struct target *t, uint64_t addr)
{
	const struct mapping *m = proc_maps_find(&t->maps, addr);

	return m && m->exec ? m : NULL;
}

static bool in_object(const struct mapping *m, const struct target_object *obj)
{
	return m->inode && m->inode == obj->inode && m->dev_major == obj->dev_major &&
	       m->dev_minor == obj->dev_minor;
}

bool alloc_entry_is_sane(const struct target *t, const struct alloc_entry *e)
{
	const struct mapping *data = e->ctx ? proc_maps_find(&t->maps, e->ctx) : NULL;

	return code_at(t, e->malloc) && code_at(t, e->calloc) && code_at(t, e->realloc) &&
	       code_at(t, e->free) && (!e->ctx || (data && data->read));
}

/*
 * Owner of the functions; *other: the code outside the interpreter. An entry with both is foreign.
 */
static enum owner owner_of(const struct alloc_place *p, const struct alloc_entry *e,
			   const struct mapping **other)
{
	const uint64_t fns[] = {e->malloc, e->calloc, e->realloc, e->free};

	*other = NULL;
	if (!alloc_entry_is_sane(p->t, e))
		return OWNER_NONE;
	for (size_t i = 0; i < ARRAY_LEN(fns) && !*other; i++) {
		const struct mapping *m = code_at(p->t, fns[i]);

		if (m && !in_object(m, p->object))
			*other = m;
	}
	return *other ? OWNER_OTHER : OWNER_INTERPRETER;
}

static void name_file(struct py_hooks *hooks, const struct mapping *code)
{
	const char *base = *code->path ? text_base_name(code->path) : "code without a file";

	/* The interpreter's own module, where it is not built in. */
	if (strncmp(base, "_tracemalloc.", 13) == 0) {
		hooks->tracemalloc = true;
		return;
	}
	if (*hooks->file)
		return;
	snprintf(hooks->file, sizeof(hooks->file), "%s", base);
	text_clean(hooks->file);
}

static bool read_entry(const struct alloc_place *p, uint64_t addr, struct alloc_entry *out)
{
	return target_read(p->t, addr, out, sizeof(*out)) == 0 && alloc_entry_is_sane(p->t, out);
}

void alloc_fence_add(struct alloc_place *p, const struct alloc_entry *e)
{
	if (e->ctx && p->fence_count < ALLOC_FENCES_MAX)
		p->fences[p->fence_count++] = e->ctx;
}

static uint64_t context_end(const struct alloc_place *p, uint64_t ctx)
{
	uint64_t end = ctx + CONTEXT_BYTES;

	for (unsigned i = 0; i < p->fence_count; i++)
		if (p->fences[i] > ctx && p->fences[i] < end)
			end = p->fences[i];
	return end;
}

/* The entry that a foreign hook has saved: at its context, else the only one inside of that. */
static bool find_saved(const struct alloc_place *p, uint64_t ctx, struct alloc_entry *out)
{
	uint64_t end = context_end(p, ctx);
	struct alloc_entry e, seen;
	bool found = false;

	if (read_entry(p, ctx, out))
		return true;
	for (uint64_t at = ctx + 8; at + sizeof(e) <= end; at += 8) {
		if (!read_entry(p, at, &e))
			continue;
		if (found && memcmp(&e, &seen, sizeof(e)) != 0)
			return false;
		seen = e;
		found = true;
	}
	if (found)
		*out = seen;
	return found;
}

static bool is_debug_domain(const struct alloc_place *p, uint64_t ctx)
{
	uint64_t off = ctx - p->debug_addr;

	return off < sizeof(struct alloc_debug) && off % sizeof(struct alloc_debug_domain) == 0;
}

/* The entry that e replaced, with a context. Returns: false when none can be believed. */
static bool chain_step(const struct alloc_place *p, enum owner owner, const struct alloc_entry *e,
		       struct py_hooks *hooks, struct alloc_entry *next)
{
	if (owner == OWNER_OTHER)
		return find_saved(p, e->ctx, next);
	if (!is_debug_domain(p, e->ctx)) {
		/* The interpreter has no other hooks of its own (Modules/_tracemalloc.c, Python/tracemalloc.c). */
		if (!read_entry(p, e->ctx, next))
			return false;
		hooks->tracemalloc = true;
		return true;
	}
	hooks->debug_bytes = p->row->debug_bytes;
	return read_entry(p, e->ctx + offsetof(struct alloc_debug_domain, alloc), next);
}

void alloc_follow(const struct alloc_place *p, const struct alloc_entry *e, struct alloc_end *out)
{
	struct alloc_entry at = *e, next;
	const struct mapping *other;

	memset(out, 0, sizeof(*out));
	for (;;) {
		enum owner owner = owner_of(p, &at, &other);

		if (owner == OWNER_NONE)
			return;
		if (owner == OWNER_OTHER)
			name_file(&out->hooks, other);
		if (!at.ctx && owner == OWNER_INTERPRETER)
			break;
		out->elsewhere = owner == OWNER_OTHER;
		if (!at.ctx || out->hops == ALLOC_HOPS_MAX ||
		    !chain_step(p, owner, &at, &out->hooks, &next))
			return;
		out->ctx[out->hops++] = at.ctx;
		at = next;
	}
	out->elsewhere = false;
	out->known = true;
	out->inner = at;
}

bool alloc_same(const struct alloc_end *a, const struct alloc_end *b)
{
	return a->known && b->known && memcmp(&a->inner, &b->inner, sizeof(a->inner)) == 0;
}

bool alloc_share_context(const struct alloc_end *a, const struct alloc_end *b)
{
	for (unsigned i = 0; i < a->hops; i++)
		for (unsigned k = 0; k < b->hops; k++)
			if (a->ctx[i] == b->ctx[k])
				return true;
	return false;
}

void alloc_hooks_add(struct py_hooks *a, const struct py_hooks *b)
{
	if (b->debug_bytes)
		a->debug_bytes = b->debug_bytes;
	a->tracemalloc |= b->tracemalloc;
	if (!*a->file)
		memcpy(a->file, b->file, sizeof(a->file));
}
