/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every allocation of mimalloc ends in _mi_page_malloc(), inlined in a few dozen places (CPython v3.13
 * Objects/mimalloc/alloc.c; struct mi_page_s, Include/internal/mimalloc/mimalloc/types.h):
 *
 *	block = page->free; if (block == NULL) return _mi_malloc_generic(...);
 *	page->used++; page->free = block->next;
 *
 * and _mi_malloc_generic() comes back to it with a page that has a block. Anchor: the 32-bit increment
 * of used with the load from and the store to free around it. Site: the jump on block == NULL; taken, the
 * block is NULL and nothing was handed out. Frees all go through mi_free(): the functions in the
 * allocator tables jump to it.
 */
#include "sites/mimalloc_sites.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sites/flow.h"
#include "sites/libc_slow.h"
#include "sites/site_check.h"
#include "sites/site_list.h"

#define PAGE_FREE \
	16 /* offsetof(struct mi_page_s, free), release builds: no padding, no encoded lists */

/*
 * struct mi_page_s, Include/internal/mimalloc/mimalloc/types.h: mimalloc 2.1 in v3.13.5 and v3.14, 2.2 in
 * v3.15 (there read off Debian's build).
 */
static const struct page_layout {
	unsigned from_minor;
	uint8_t used, used_bytes; /* the count of blocks handed out */
	uint8_t size, size_bytes; /* of a block */
} layouts[] = {
	{15, 32, 2, 40, 8},
	{13, 24, 4, 28, 4},
};

#define POP_SPAN  14
#define THUNK_MAX 4 /* instructions of a function that only passes its argument on */
#define POPS_MIN  1 /* code that is never run in the profile calls one copy */

static const struct page_layout *layout_of(unsigned minor)
{
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(layouts) && minor < layouts[i].from_minor)
		i++;
	return &layouts[i];
}

static bool is_anchor(const struct insn *in, const struct page_layout *l)
{
	bool one = in->op == OP_INC || (in->op == OP_ADD && in->src == OPERAND_IMM && in->imm == 1);

	return one && in->dst == OPERAND_MEM && in->width == l->used_bytes && in->base < 16 &&
	       in->base != REG_RSP && insn_mem_is(in, in->base, l->used);
}

struct pop {
	uint8_t block; /* register that the block was loaded into */
	size_t load;
	bool stored; /* page->free was written */
};

static enum flow_step load_before(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct pop *p = ctx;
	const struct insn *in = &code->insns[at->idx];

	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	if (!insn_is_load(in, at->reg, PAGE_FREE))
		return FLOW_ON;
	p->load = at->idx;
	p->block = in->dst_reg;
	return FLOW_DONE;
}

static enum flow_step store_behind(void *ctx, const struct code *code, size_t idx,
				   const struct flow_state *st)
{
	struct pop *p = ctx;
	const struct insn *in = &code->insns[idx];

	(void)st;
	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	if (in->op != OP_MOV || in->dst != OPERAND_MEM || in->width != 8 || in->disp != PAGE_FREE ||
	    in->base > 15 || in->index != REG_NONE)
		return FLOW_ON;
	p->stored = true;
	return FLOW_DONE;
}

struct page_walk {
	size_t jump;
	uint8_t page;
};

/* Which register holds the page at the jump. */
static enum flow_step page_at(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct page_walk *w = ctx;

	(void)code;
	if (at->idx != w->jump)
		return FLOW_ON;
	w->page = at->reg;
	return FLOW_DONE;
}

struct null_walk {
	const struct pop *pop;
	size_t jump;
	uint8_t block;
};

static enum flow_step null_test(void *ctx, const struct code *code, const struct flow_place *at)
{
	const struct insn *in = &code->insns[at->idx];
	bool *tested = ctx;

	if (!(in->flags & INSN_FLAGS_WRITE))
		return FLOW_ON;
	*tested = in->op == OP_TEST && in->width == 8 && in->dst_reg == at->reg &&
		  in->src_reg == at->reg;
	return *tested ? FLOW_DONE : FLOW_CUT;
}

/* Backwards from the anchor: the jump on block == NULL, which control left by its not-equal edge. */
static enum flow_step null_jump(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct null_walk *w = ctx;
	const struct insn *in = &code->insns[at->idx];
	bool tested = false;

	if (at->idx == w->pop->load)
		return FLOW_CUT;
	if (in->op != OP_JCC || (in->cc != CC_E && in->cc != CC_NE))
		return FLOW_ON;
	flow_back(code, at->idx, at->reg, POP_SPAN, null_test, &tested);
	if (!tested || !(in->flags & INSN_EMULATED) || at->taken != (in->cc == CC_NE))
		return FLOW_ON;
	w->jump = at->idx;
	w->block = at->reg;
	return FLOW_DONE;
}

static int add_pop(const struct code *code, size_t anchor, struct site_list *out, size_t *uncovered)
{
	struct pop p = {.load = CODE_NONE, .block = REG_NONE};
	struct null_walk null = {.pop = &p, .jump = CODE_NONE};
	struct page_walk page = {.page = REG_NONE};

	flow_back(code, anchor, code->insns[anchor].base, POP_SPAN, load_before, &p);
	flow_ahead(code, anchor, POP_SPAN, store_behind, &p);
	if (p.load == CODE_NONE || p.block > 15 || !p.stored)
		return 0;
	flow_back(code, anchor, p.block, POP_SPAN, null_jump, &null);
	page.jump = null.jump;
	if (null.jump != CODE_NONE)
		flow_back(code, anchor, code->insns[anchor].base, POP_SPAN, page_at, &page);
	if (page.page > 15) {
		(*uncovered)++;
		return 0;
	}
	return site_list_add(out, &(struct site){.vaddr = insn_vaddr(code, null.jump),
						 .reg = page.page,
						 .reg2 = null.block,
						 .after_pop = true,
						 .evidence = 2});
}

static int reject_sites(struct mimalloc_sites *s, const char *why)
{
	mimalloc_sites_release(s);
	snprintf(s->reason, sizeof(s->reason), "%s", why);
	return -ENOENT;
}

static int find_pops(const struct elf_image *img, const struct page_layout *l,
		     struct mimalloc_sites *s, size_t *uncovered)
{
	struct site_list list = {0};
	struct code code;
	int err = decode_image(img, &code);

	if (err)
		return err == -ENOENT ? reject_sites(s, "no executable segment") : -EBADMSG;
	for (size_t i = 0; i < code.count && !err; i++)
		if (is_anchor(&code.insns[i], l))
			err = add_pop(&code, i, &list, uncovered);
	decode_release(&code);
	if (!err)
		site_list_sort(&list);
	s->pops = list.v;
	s->pop_count = list.count;
	for (size_t i = 0; !err && i < list.count; i++)
		if (!elf_image_file_off(img, list.v[i].vaddr, &list.v[i].file_off) ||
		    !site_is_sound(img, &list.v[i]))
			return reject_sites(s, "a pop site is not on an emulated jump");
	return err;
}

/* _PyObject_MiFree(ctx, block) is "mov %rsi,%rdi; jmp mi_free": where does it go? 0: it is no such thing. */
static uint64_t thunk_target(const struct elf_image *img, uint64_t vaddr)
{
	uint64_t target = 0;
	bool passed = false;
	struct code body;

	if (fn_body_decode(img, vaddr, 0, &body))
		return 0;
	for (size_t i = 0, n = 0; i < body.count && n < THUNK_MAX && !target; n++) {
		const struct insn *in = &body.insns[i];

		passed |= insn_is_copy(in) && in->dst_reg == REG_RDI && in->src_reg == REG_RSI;
		if (in->op == OP_JMP)
			target = insn_target_vaddr(&body, i);
		else if (in->op != OP_MOV && in->op != OP_ENDBR && in->op != OP_NOP)
			break;
		i = decode_next(&body, i);
		if (i == CODE_NONE)
			break;
	}
	decode_release(&body);
	return passed ? target : 0;
}

static bool have_free(const struct mimalloc_sites *s, uint64_t vaddr)
{
	for (size_t i = 0; i < s->free_count; i++)
		if (s->frees[i].entry_vaddr == vaddr)
			return true;
	return false;
}

static int find_frees(const struct elf_image *img, const uint64_t *frees, size_t count,
		      struct mimalloc_sites *s)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t target = thunk_target(img, frees[i]);
		int err;

		if (!target)
			return reject_sites(
				s, "mi_free() is inlined: frees cannot be seen at one place");
		if (have_free(s, target))
			continue;
		if (s->free_count == MI_FREES_MAX)
			return reject_sites(s, "more than one mi_free()");
		err = fn_site_at(img, target, 0, 1u << REG_RDI, &s->frees[s->free_count]);
		if (err)
			return err == -ENOMEM ? err
					      : reject_sites(s, "mi_free() cannot be decoded");
		s->free_count++;
	}
	return s->free_count == 1 ? 0 : reject_sites(s, "no single mi_free()");
}

int mimalloc_sites_find(const struct elf_image *img, unsigned minor, const uint64_t *frees,
			size_t free_count, struct mimalloc_sites *out)
{
	const struct page_layout *l = layout_of(minor);
	struct mimalloc_sites s = {.size_off = l->size, .size_bytes = l->size_bytes};
	size_t uncovered = 0;
	int err = find_pops(img, l, &s, &uncovered);

	if (!err && s.pop_count < POPS_MIN)
		err = reject_sites(&s, "no pop of a page's free list found");
	if (!err && uncovered)
		err = reject_sites(&s, "a pop of a page's free list has no jump to probe");
	if (!err)
		err = find_frees(img, frees, free_count, &s);
	if (!err)
		snprintf(s.reason, sizeof(s.reason),
			 "%zu pops of a page's free list; mi_free() at 0x%" PRIx64, s.pop_count,
			 s.frees[0].entry_vaddr);
	if (err && err != -ENOENT)
		mimalloc_sites_release(&s);
	*out = s;
	return err;
}

void mimalloc_sites_release(struct mimalloc_sites *s)
{
	free(s->pops);
	s->pops = NULL;
	s->pop_count = s->free_count = 0;
}
