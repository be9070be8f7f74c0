/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PyGILState_GetThisThreadState() (CPython Python/pystate.c) is a few instructions in every build:
 *
 *	3.6       return PyThread_get_key_value(autoTLSkey);
 *	3.7-3.14  return PyThread_tss_get(&...autoTSSkey);   or, inlined, pthread_getspecific(key)
 *	3.15      return _Py_tss_gilstate;                   %fs:disp, or through __tls_get_addr()
 *
 * So the first call gets the key or its address, unless a word of the thread is read before.
 */
#include "sites/python_slot.h"

#include <errno.h>
#include <string.h>

#include "sites/decode.h"
#include "target/py_offsets.h"

#define FUNCTION_BYTES 96 /* of the function looked at */
#define FUNCTION_INSNS 20

/*
 * Content of a register: vaddr + c; indirect: the word at vaddr (a GOT slot) + c; loaded: the 32-bit integer
 * at that place.
 */
struct holds {
	bool known, indirect, loaded;
	uint64_t vaddr;
	int64_t c;
};

static struct holds memory_operand(const struct code *code, const struct insn *in,
				   const struct holds reg[16])
{
	struct holds none = {.known = false};
	uint64_t vaddr;

	if (in->flags & INSN_FS_DISP)
		return none;
	if (decode_mem_vaddr(code, in, &vaddr))
		return (struct holds){.known = true, .vaddr = vaddr};
	if (in->base > 15 || in->index != REG_NONE || !reg[in->base].known || reg[in->base].loaded)
		return none;
	none = reg[in->base];
	none.c += in->disp;
	return none;
}

static struct holds value_of(const struct code *code, const struct insn *in,
			     const struct holds reg[16])
{
	struct holds v = {.known = false}, sum;

	if (in->width < 4) /* the rest of the register stays */
		return v;
	if (in->op == OP_ADD && in->src == OPERAND_MEM && in->width == 8 && in->dst_reg < 16) {
		sum = reg[in->dst_reg];
		v = memory_operand(code, in, reg); /* clang: a constant, and the address to it */
		if (!sum.known || sum.indirect || sum.loaded || !v.known || v.indirect)
			return (struct holds){.known = false};
		return (struct holds){.known = true,
				      .indirect = true,
				      .vaddr = v.vaddr + (uint64_t)v.c,
				      .c = (int64_t)sum.vaddr + sum.c};
	}
	if (in->op == OP_ADD && in->src == OPERAND_IMM && in->dst_reg < 16) {
		v = reg[in->dst_reg];
		v.c += in->imm;
		return v.loaded ? (struct holds){.known = false} : v;
	}
	if (in->op != OP_MOV && in->op != OP_LEA)
		return v;
	if (in->src == OPERAND_IMM && in->imm > 0)
		return (struct holds){.known = true, .vaddr = (uint64_t)in->imm};
	if (in->src == OPERAND_REG && in->src_reg < 16)
		return reg[in->src_reg];
	if (in->src != OPERAND_MEM)
		return v;
	v = memory_operand(code, in, reg);
	if (in->op == OP_LEA || !v.known)
		return v;
	if (in->width == 8 && !v.indirect)
		return (struct holds){
			.known = true, .indirect = true, .vaddr = v.vaddr + (uint64_t)v.c};
	v.loaded = true;
	v.known = in->width == 4;
	return v;
}

static bool take_slot(const struct holds *h, enum py_thread_slot kind, struct py_slot *out)
{
	if (!h->known)
		return false;
	*out = (struct py_slot){.vaddr = h->vaddr, .off = h->c, .indirect = h->indirect};
	if (kind == PY_THREAD_TLS) {
		out->kind = PY_SLOT_TLS_INDEX;
		return !h->loaded && !h->indirect;
	}
	out->kind = kind == PY_THREAD_KEY ? PY_SLOT_KEY : PY_SLOT_TSS;
	if (!h->loaded)
		return kind != PY_THREAD_KEY;
	/* Inlined: the key itself, which follows is_initialized. */
	if (kind != PY_THREAD_KEY)
		out->off -= 4;
	return true;
}

/* A call of __tls_get_addr() is followed by the load of the variable, for LD with its offset. */
static void add_tls_disp(const struct code *code, size_t call, struct py_slot *out)
{
	size_t next = decode_next(code, call);

	for (int n = 0; next != CODE_NONE && n < 3; n++, next = decode_next(code, next)) {
		const struct insn *in = &code->insns[next];

		if (in->op == OP_MOV && in->src == OPERAND_MEM && in->base == REG_RAX &&
		    in->index == REG_NONE && in->width == 8) {
			out->tls_disp = in->disp;
			return;
		}
	}
}

static int walk_getter(const struct code *code, enum py_thread_slot kind, struct py_slot *out)
{
	struct holds reg[16] = {{.known = false}};
	size_t idx = 0;

	for (int n = 0; idx != CODE_NONE && n < FUNCTION_INSNS; n++) {
		const struct insn *in = &code->insns[idx];

		if (in->op == OP_RET || in->op == OP_BAD || in->op == OP_CALL_IND ||
		    in->op == OP_JMP_IND || in->op == OP_TRAP)
			return -ENOENT;
		if (kind == PY_THREAD_TLS && (in->flags & INSN_FS_DISP) && in->op == OP_MOV &&
		    in->src == OPERAND_MEM && in->dst_reg == REG_RAX && in->width == 8 &&
		    in->disp < 0) { /* above the thread pointer is struct pthread */
			*out = (struct py_slot){.kind = PY_SLOT_TLS, .off = in->disp};
			return 0;
		}
		if (in->op == OP_CALL ||
		    (in->op == OP_JMP && decode_target(code, idx) == CODE_NONE)) {
			if (!take_slot(&reg[REG_RDI], kind, out))
				return -ENOENT;
			if (out->kind == PY_SLOT_TLS_INDEX)
				add_tls_disp(code, idx, out);
			return 0;
		}
		struct holds v = value_of(code, in, reg);

		for (unsigned r = 0; r < 16; r++)
			if (insn_writes(in, (uint8_t)r))
				reg[r] = (struct holds){.known = false};
		if (in->dst == OPERAND_REG && in->dst_reg < 16 && insn_writes(in, in->dst_reg))
			reg[in->dst_reg] = v;
		idx = in->op == OP_JMP ? decode_target(code, idx) : decode_next(code, idx);
	}
	return -ENOENT;
}

int python_slot_find(const struct elf_image *img, unsigned minor, struct py_slot *out)
{
	const struct elf_symbol *f = elf_image_symbol(img, "PyGILState_GetThisThreadState");
	const struct py_offsets *row = py_offsets_get(minor, false);
	size_t len = FUNCTION_BYTES;
	const uint8_t *bytes = NULL;
	struct code code;
	int err;

	/* At the end of the text there may be less after it. */
	while (f && len && !(bytes = elf_image_bytes(img, f->vaddr, len)))
		len--;
	if (!bytes || !row)
		return -ENOENT;
	err = decode_bytes(bytes, len, f->vaddr, &code);
	if (err)
		return err;
	err = walk_getter(&code, (enum py_thread_slot)row->thread_slot, out);
	decode_release(&code);
	return err;
}
