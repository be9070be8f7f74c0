/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cheap instruction of each libc allocation function: the first one that the kernel emulates,
 * that every call runs exactly once, with the arguments still in their registers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "sites/libc_slow.h"
#include "sites/site_check.h"
#include "sites/sites.h"

#define BODY_MAX   4096 /* bytes of one function that we decode */
#define BODY_GUESS 512	/* when its symbol has no size */
#define PLT_ENTRY  16	/* bytes, System V ABI 5.2 */

#define ARG1	   (1u << REG_RDI)
#define ARG2	   (ARG1 | 1u << REG_RSI)
#define ARG3	   (ARG2 | 1u << REG_RDX)

static const struct {
	const char *name;
	uint16_t args; /* registers that hold its arguments */
} fns[TM_FN_COUNT] = {
	[TM_FN_MALLOC] = {"malloc", ARG1},
	[TM_FN_CALLOC] = {"calloc", ARG2},
	[TM_FN_REALLOC] = {"realloc", ARG2},
	[TM_FN_FREE] = {"free", ARG1},
	[TM_FN_MEMALIGN] = {"memalign", ARG2},
	[TM_FN_POSIX_MEMALIGN] = {"posix_memalign", ARG3},
	[TM_FN_VALLOC] = {"valloc", ARG1},
	[TM_FN_PVALLOC] = {"pvalloc", ARG1},
	[TM_FN_REALLOCARRAY] = {"reallocarray", ARG3},
	[TM_FN_ALIGNED_ALLOC] = {"aligned_alloc", ARG2},
};

const char *libc_fn_name(enum tm_fn fn)
{
	return (unsigned)fn < TM_FN_COUNT ? fns[fn].name : "?";
}

/* Change of the stack pointer, or false when the instruction moves it in a way we do not follow. */
static bool stack_step(const struct insn *in, unsigned *sp_bytes)
{
	if (!insn_writes(in, REG_RSP))
		return true;
	if (in->op == OP_PUSH)
		*sp_bytes += 8;
	else if (in->op == OP_SUB && in->src == OPERAND_IMM && in->dst_reg == REG_RSP &&
		 in->imm > 0 && in->imm < UINT8_MAX)
		*sp_bytes += (unsigned)in->imm;
	else
		return false;
	return *sp_bytes <= UINT8_MAX;
}

/* A loop back to idx would hit the probe more than once per call. */
static bool is_looped_to(const struct code *body, size_t idx)
{
	size_t count;

	decode_branches_to(body, idx, &count);
	return count > 0;
}

static bool cheap_find(const struct code *body, uint16_t args, size_t *site, unsigned *sp_bytes)
{
	size_t idx = 0;

	*sp_bytes = 0;
	while (idx != CODE_NONE && !is_looped_to(body, idx)) {
		const struct insn *in = &body->insns[idx];

		if (in->flags & INSN_EMULATED) {
			*site = idx;
			return true;
		}
		if ((in->writes & args) || in->op == OP_CALL_IND || in->op == OP_JCC ||
		    !decode_falls_through(in) || !stack_step(in, sp_bytes))
			return false;
		idx = decode_next(body, idx);
	}
	return false;
}

int fn_body_decode(const struct elf_image *img, uint64_t vaddr, uint64_t len, struct code *out)
{
	uint64_t want = len ? len : BODY_GUESS;
	const uint8_t *p = NULL;

	want = want > BODY_MAX ? BODY_MAX : want;
	for (; want && !p; want = p ? want : want / 2)
		p = elf_image_bytes(img, vaddr, want);
	return p ? decode_bytes(p, want, vaddr, out) : -ENOENT;
}

int fn_site_at(const struct elf_image *img, uint64_t vaddr, uint64_t len, uint16_t args,
	       struct fn_site *out)
{
	struct fn_site s = {.present = true, .entry_vaddr = vaddr, .vaddr = vaddr};
	struct code body;
	unsigned sp_bytes;
	size_t site;
	int err;

	if (!address_is_code(img, vaddr) || !elf_image_file_off(img, vaddr, &s.entry_off))
		return -ENOENT;
	err = fn_body_decode(img, vaddr, len, &body);
	if (err)
		return err;
	if (body.count && cheap_find(&body, args, &site, &sp_bytes)) {
		s.vaddr = insn_vaddr(&body, site);
		s.sp_bytes = (uint8_t)sp_bytes;
	} else {
		s.single_step = true;
	}
	decode_release(&body);
	s.file_off = s.entry_off + (s.vaddr - s.entry_vaddr);
	s.ret_vaddr = s.sp_bytes ? s.entry_vaddr : s.vaddr;
	s.ret_off = s.sp_bytes ? s.entry_off : s.file_off;
	*out = s;
	return 0;
}

/* Aliases share an address: only the first name gets a probe. */
static bool is_taken(const struct libc_sites *s, uint64_t vaddr)
{
	for (int f = 0; f < TM_FN_COUNT; f++)
		if (s->fn[f].present && s->fn[f].entry_vaddr == vaddr)
			return true;
	return false;
}

static bool is_plt_entry(const struct elf_image *img, uint64_t vaddr)
{
	struct code stub;
	bool found = false;

	if (!address_is_code(img, vaddr) || fn_body_decode(img, vaddr, PLT_ENTRY, &stub))
		return false;
	for (size_t k = 0; k < stub.count && !found; k++)
		found = stub.insns[k].op == OP_JMP_IND;
	decode_release(&stub);
	return found;
}

/*
 * glibc's reallocarray only checks the product and jumps to realloc (through the PLT, as realloc may be
 * interposed), musl's valloc jumps to memalign: those have probes of their own, and a single-stepped
 * probe here would see the same call a second time.
 */
static bool is_covered(const struct elf_image *img, const struct libc_sites *s, int fn)
{
	const struct elf_symbol *sym = elf_image_symbol(img, fns[fn].name);
	struct code body;
	bool found = false;

	if (!sym || fn_body_decode(img, sym->vaddr, sym->len, &body))
		return false;
	for (size_t i = 0; i < body.count && !found; i++) {
		uint64_t to = insn_target_vaddr(&body, i);

		if (body.insns[i].op != OP_JMP || decode_target(&body, i) != CODE_NONE)
			continue;
		for (int f = 0; f < TM_FN_COUNT && !found; f++)
			found = f != fn && s->fn[f].present && !s->fn[f].single_step &&
				s->fn[f].entry_vaddr == to;
		found = found || (fn == TM_FN_REALLOCARRAY && is_plt_entry(img, to));
	}
	decode_release(&body);
	return found;
}

static void reason_write(struct libc_sites *s, const char *slow)
{
	unsigned present = 0, cheap = 0;

	for (int f = 0; f < TM_FN_COUNT; f++) {
		present += s->fn[f].present;
		cheap += s->fn[f].present && !s->fn[f].single_step;
	}
	snprintf(s->reason, sizeof(s->reason),
		 "%u functions, %u of them at an emulated instruction; %s", present, cheap, slow);
}

int libc_sites_find(const struct elf_image *img, struct libc_sites *out)
{
	struct libc_sites s = {0};
	char slow[SITES_REASON_LEN - 64];

	for (int f = 0; f < TM_FN_COUNT; f++) {
		const struct elf_symbol *sym = elf_image_symbol(img, fns[f].name);

		if (sym && !is_taken(&s, sym->vaddr))
			fn_site_at(img, sym->vaddr, sym->len, fns[f].args, &s.fn[f]);
	}
	for (int f = 0; f < TM_FN_COUNT; f++)
		if (s.fn[f].present && s.fn[f].single_step && is_covered(img, &s, f))
			s.fn[f].present = false;
	if (!s.fn[TM_FN_MALLOC].present || !s.fn[TM_FN_FREE].present)
		return -ENOENT;
	slow_malloc_find(img, &s, slow, sizeof(slow));
	reason_write(&s, slow);
	*out = s;
	return 0;
}
