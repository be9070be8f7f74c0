/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc's _int_malloc(arena, bytes) in a stripped libc: what malloc() calls most often with its own
 * argument in rsi. Believed only when calloc() calls it too and it is no exported function.
 */
#include "sites/libc_slow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "sites/flow.h"

#define TARGETS_MAX 32	/* distinct functions called from one body */
#define TRACE_BACK  250 /* instructions from a call back to the function's entry */
#define ARGS_BACK   10	/* the second argument is set this shortly before the call */

struct callee {
	uint64_t vaddr;
	unsigned calls;	    /* with both arguments set, rsi = the caller's rdi */
	unsigned all_calls; /* with rsi set */
};

static enum flow_step is_first_argument(void *ctx, const struct code *code,
					const struct flow_place *at)
{
	const struct insn *in = &code->insns[at->idx];

	if (insn_writes(in, at->reg))
		return insn_is_copy(in)
			       ? (at->idx == 0 && in->src_reg == REG_RDI ? FLOW_DONE : FLOW_ON)
			       : FLOW_CUT;
	return at->idx == 0 && at->reg == REG_RDI ? FLOW_DONE : FLOW_ON;
}

static enum flow_step is_set(void *ctx, const struct code *code, const struct flow_place *at)
{
	const struct insn *in = &code->insns[at->idx];

	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	return insn_writes(in, at->reg) ? FLOW_DONE : FLOW_ON;
}

/* Functions called from a body with both arguments set. Returns: number of them. */
static size_t callees_collect(const struct code *body, struct callee *list)
{
	size_t n = 0;

	for (size_t i = 0; i < body->count; i++) {
		const struct insn *in = &body->insns[i];
		uint64_t target;
		size_t k;

		if (in->op != OP_CALL)
			continue;
		target = insn_target_vaddr(body, i);
		if (!flow_back(body, i, REG_RSI, ARGS_BACK, is_set, NULL) ||
		    !flow_back(body, i, REG_RDI, ARGS_BACK, is_set, NULL))
			continue;
		for (k = 0; k < n && list[k].vaddr != target; k++)
			;
		if (k == TARGETS_MAX)
			continue;
		if (k == n)
			list[n++] = (struct callee){.vaddr = target};
		list[k].all_calls++;
		list[k].calls += flow_back(body, i, REG_RSI, TRACE_BACK, is_first_argument, NULL);
	}
	return n;
}

static unsigned calls_from(const struct elf_image *img, const char *caller, uint64_t callee)
{
	const struct elf_symbol *sym = elf_image_symbol(img, caller);
	struct callee list[TARGETS_MAX];
	unsigned calls = 0;
	struct code body;
	size_t n;

	if (!sym || fn_body_decode(img, sym->vaddr, sym->len, &body))
		return 0;
	n = callees_collect(&body, list);
	for (size_t k = 0; k < n; k++)
		if (list[k].vaddr == callee)
			calls = list[k].all_calls;
	decode_release(&body);
	return calls;
}

/* The best candidate in malloc's body. Returns: number of calls of it; 0 = none, or two are alike. */
static unsigned best_callee(const struct elf_image *img, uint64_t *vaddr)
{
	const struct elf_symbol *sym = elf_image_symbol(img, "malloc");
	struct callee list[TARGETS_MAX];
	unsigned best = 0, second = 0;
	struct code body;
	size_t n;

	if (!sym || fn_body_decode(img, sym->vaddr, sym->len, &body))
		return 0;
	n = callees_collect(&body, list);
	for (size_t k = 0; k < n; k++) {
		if (list[k].calls > best) {
			second = best;
			best = list[k].calls;
			*vaddr = list[k].vaddr;
		} else if (list[k].calls > second) {
			second = list[k].calls;
		}
	}
	decode_release(&body);
	return best > second ? best : 0;
}

void slow_malloc_find(const struct elf_image *img, struct libc_sites *s, char *reason, size_t len)
{
	const struct elf_symbol *at;
	unsigned from_malloc, from_calloc;
	struct fn_site site;
	uint64_t vaddr = 0;

	s->slow_malloc = (struct fn_site){.present = false};
	from_malloc = best_callee(img, &vaddr);
	if (from_malloc < 2) {
		snprintf(reason, len,
			 "slow path not found: malloc calls nothing twice with its size");
		return;
	}
	from_calloc = calls_from(img, "calloc", vaddr);
	at = elf_image_symbol_at(img, vaddr);
	if (from_calloc == 0) {
		snprintf(reason, len, "slow path not proven: calloc does not call 0x%llx",
			 (unsigned long long)vaddr);
		return;
	}
	if (at && at->vaddr == vaddr && strcmp(at->name, "_int_malloc") != 0) {
		snprintf(reason, len, "slow path not proven: it would be %.40s", at->name);
		return;
	}
	if (fn_site_at(img, vaddr, 0, 1u << REG_RDI | 1u << REG_RSI, &site)) {
		snprintf(reason, len, "slow path not proven: 0x%llx is not code",
			 (unsigned long long)vaddr);
		return;
	}
	s->slow_malloc = site;
	snprintf(reason, len, "slow path 0x%llx (%u calls in malloc, %u in calloc)",
		 (unsigned long long)vaddr, from_malloc, from_calloc);
}
