// SPDX-License-Identifier: GPL-2.0-or-later
/* Selecting from the one list of probes. */
#include "alloc/probe_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

void probe_list_add(struct probe_list *l, const struct probe_spec *spec)
{
	struct probe_spec *grown = array_grow(l->specs, &l->cap, l->count + 1, sizeof(*grown));

	if (!grown) {
		l->oom = true;
		return;
	}
	l->specs = grown;
	l->specs[l->count++] = *spec;
}

size_t probe_list_filter(struct probe_list *l, bool (*keep)(void *ctx, const struct probe_spec *s),
			 void *ctx)
{
	size_t kept = 0, before = l->count;
	uint16_t choices = 0;

	for (size_t i = 0; i < before; i++) {
		struct probe_spec s = l->specs[i];

		if (!keep(ctx, &s))
			continue;
		if (s.choice) {
			s.choice = ++choices;
			s.cookie = TM_COOKIE_WITH_IDX(s.cookie, choices - 1u);
		}
		l->specs[kept++] = s;
	}
	l->count = kept;
	return before - kept;
}

void probe_list_release(struct probe_list *l)
{
	free(l->specs);
	*l = (struct probe_list){0};
}

size_t probe_list_choices(const struct probe_list *l)
{
	size_t most = 0;

	for (size_t i = 0; i < l->count; i++)
		if (l->specs[i].choice > most)
			most = l->specs[i].choice;
	return most;
}

bool probe_spec_shares_link(const struct probe_spec *a, const struct probe_spec *b)
{
	/* Give choices links of their own, because learning exchanges them often. */
	return a->object == b->object && a->at_return == b->at_return && a->set == b->set &&
	       a->part == b->part && !a->choice == !b->choice &&
	       strcmp(a->program, b->program) == 0;
}

static bool is_gone(const struct probe_choice *c, const struct probe_spec *s)
{
	return s->choice && s->choice <= c->count && c->gone[s->choice - 1];
}

/* Merge two names of one address, because they would count each hit twice. */
static bool batch_has(const struct probe_batch *b, uint64_t offset)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->offsets[i] == offset)
			return true;
	return false;
}

int probe_list_select(const struct probe_list *l, const struct probe_spec *like,
		      enum probe_role role, unsigned away, const struct probe_choice *choice,
		      struct probe_batch *out)
{
	struct probe_batch b = {.offsets = calloc(l->count + 1, sizeof(*b.offsets)),
				.cookies = calloc(l->count + 1, sizeof(*b.cookies))};

	if (!b.offsets || !b.cookies) {
		probe_batch_release(&b);
		return -ENOMEM;
	}
	for (size_t i = 0; i < l->count; i++) {
		const struct probe_spec *s = &l->specs[i];

		if (!(s->roles & role) || s->part & away || !probe_spec_shares_link(s, like) ||
		    is_gone(choice, s) || batch_has(&b, s->offset))
			continue;
		b.offsets[b.count] = s->offset;
		b.cookies[b.count] = s->cookie;
		if (s->choice && choice->any_gone)
			b.cookies[b.count] |= choice->cookie_bits;
		b.of_kind[s->kind]++;
		b.count++;
	}
	*out = b;
	return 0;
}

bool probe_batch_equal(const struct probe_batch *a, const struct probe_batch *b)
{
	return a->count == b->count &&
	       (!a->count || (memcmp(a->offsets, b->offsets, a->count * sizeof(*a->offsets)) == 0 &&
			      memcmp(a->cookies, b->cookies, a->count * sizeof(*a->cookies)) == 0));
}

void probe_batch_release(struct probe_batch *b)
{
	free(b->offsets);
	free(b->cookies);
	*b = (struct probe_batch){0};
}
