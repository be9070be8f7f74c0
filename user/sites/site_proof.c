/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/site_proof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "sites/trace_word.h"

/* Why an instruction belongs to a stretch; 0 = it does not. */
enum mark { MARK_FIRST = 1, MARK_JUMP = 2 };

struct marks {
	const struct code *code;
	uint8_t *need;
	size_t reach;
};

static void mark_near(struct marks *m, size_t idx, size_t reach, uint8_t mark)
{
	size_t lo, hi;

	if (idx == CODE_NONE)
		return;
	lo = idx > reach ? idx - reach : 0;
	hi = m->code->count - idx > reach ? idx + reach : m->code->count;
	for (size_t i = lo; i < hi; i++)
		if (!m->need[i])
			m->need[i] = mark;
}

static void mark_around(struct marks *m, size_t idx)
{
	mark_near(m, idx, m->reach, MARK_FIRST);
}

/* Add the stretches that these jump to and that jump into them, because data flow follows jumps. */
static void mark_jumps(struct marks *m)
{
	const struct code *code = m->code;

	for (size_t i = 0; i < code->count; i++) {
		const struct code_branch *from;
		size_t count;

		if (m->need[i] != MARK_FIRST)
			continue;
		if (code->insns[i].op == OP_JCC || code->insns[i].op == OP_JMP)
			mark_near(m, decode_target(code, i), m->reach, MARK_JUMP);
		from = decode_branches_to(code, i, &count);
		for (size_t k = 0; k < count; k++)
			mark_near(m, from[k].from_idx, m->reach, MARK_JUMP);
	}
}

static void mark_sites(struct marks *m, const struct site *v, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t idx = decode_find(m->code, v[i].vaddr);

		mark_around(m, idx);
		if (idx != CODE_NONE)
			mark_around(m, decode_target(m->code, idx));
	}
}

static int ranges_of(const struct marks *m, struct code_range **out, size_t *count)
{
	_cleanup_free_ struct code_range *list = NULL;
	const struct code *code = m->code;
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < code->count; i++) {
		struct code_range *grown;

		if (!m->need[i])
			continue;
		if (n && i && m->need[i - 1] && decode_next(code, i - 1) == i) {
			list[n - 1].len += code->insns[i].len;
			continue;
		}
		if (n == PROOF_RANGES_MAX)
			return -EFBIG;
		grown = array_grow(list, &cap, n + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		list = grown;
		list[n++] = (struct code_range){insn_vaddr(code, i), code->insns[i].len};
	}
	*out = take_ptr(list);
	*count = n;
	return 0;
}

int proof_ranges(const struct elf_image *img, const struct code *code, const struct python_sites *s,
		 size_t reach, struct code_range **out, size_t *count)
{
	static const char *const named[] = TRACE_WORD_FUNCTIONS;
	_cleanup_free_ uint8_t *need = calloc(code->count + 1, 1);
	struct marks m = {.code = code, .need = need, .reach = reach};

	if (!need)
		return -ENOMEM;
	mark_sites(&m, s->pops, s->pop_count);
	mark_sites(&m, s->newrefs, s->newref_count);
	mark_sites(&m, s->inits, s->init_count);
	mark_sites(&m, s->refills, s->refill_count);
	if (s->refill_vaddr)
		mark_around(&m, decode_find(code, s->refill_vaddr));
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		const struct elf_symbol *f = elf_image_symbol(img, named[i]);

		if (f)
			mark_around(&m, decode_find(code, f->vaddr));
	}
	mark_jumps(&m);
	return ranges_of(&m, out, count);
}

static bool same_sites(const struct site *a, size_t a_count, const struct site *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (a[i].vaddr != b[i].vaddr || a[i].file_off != b[i].file_off ||
		    a[i].reg != b[i].reg || a[i].reg2 != b[i].reg2 ||
		    a[i].evidence != b[i].evidence || a[i].after_pop != b[i].after_pop ||
		    a[i].init != b[i].init || a[i].refill != b[i].refill ||
		    a[i].single_step != b[i].single_step)
			return false;
	return true;
}

bool proof_agrees(const struct python_sites *a, const struct python_sites *b)
{
	return a->refill_vaddr == b->refill_vaddr && a->refill_calls == b->refill_calls &&
	       a->trace_word_vaddr == b->trace_word_vaddr &&
	       same_sites(a->pops, a->pop_count, b->pops, b->pop_count) &&
	       same_sites(a->newrefs, a->newref_count, b->newrefs, b->newref_count) &&
	       same_sites(a->inits, a->init_count, b->inits, b->init_count) &&
	       same_sites(a->refills, a->refill_count, b->refills, b->refill_count);
}
