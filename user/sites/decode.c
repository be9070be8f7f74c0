/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linear decoding of executable segments with Zydis. Decoding starts again at sections and symbols,
 * so that padding or data in the text costs at most the rest of one function.
 */
#include "sites/decode.h"

#include <Zydis/Zydis.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/search.h"

#define CALLER_SAVED 0x0fc7 /* rax rcx rdx rsi rdi r8-r11, System V ABI 3.2.1 */
#define BOUNDS	     20
#define MEAN_LEN     3 /* bytes; only sizes the first allocation. Python 3.11: 4.03 */

struct decoder {
	ZydisDecoder zydis;
	uint8_t reg[ZYDIS_REGISTER_MAX_VALUE + 1]; /* Zydis register -> our number */
	struct code *code;
	size_t cap;
	uint64_t bounds[BOUNDS]; /* where sections begin and end; 0 = unused */
	ZydisDecodedInstruction raw;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

static int decoder_init(struct decoder *d, struct code *code)
{
	if (!ZYAN_SUCCESS(
		    ZydisDecoderInit(&d->zydis, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return -EINVAL;
	for (int r = 0; r <= ZYDIS_REGISTER_MAX_VALUE; r++) {
		ZydisRegister big = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64,
								     (ZydisRegister)r);

		d->reg[r] = REG_NONE;
		if (big >= ZYDIS_REGISTER_RAX && big <= ZYDIS_REGISTER_R15)
			d->reg[r] = (uint8_t)(big - ZYDIS_REGISTER_RAX);
		else if (r == ZYDIS_REGISTER_RIP)
			d->reg[r] = REG_RIP;
	}
	d->code = code;
	d->cap = 0;
	return 0;
}

static uint8_t op_of(const ZydisDecodedInstruction *raw)
{
	bool direct = raw->raw.imm[0].is_relative;

	if (raw->meta.category == ZYDIS_CATEGORY_COND_BR)
		return OP_JCC;
	if (raw->meta.category == ZYDIS_CATEGORY_RET)
		return OP_RET;
	switch ((int)raw->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return OP_MOV;
	case ZYDIS_MNEMONIC_LEA:
		return OP_LEA;
	case ZYDIS_MNEMONIC_ADD:
		return OP_ADD;
	case ZYDIS_MNEMONIC_SUB:
		return OP_SUB;
	case ZYDIS_MNEMONIC_INC:
		return OP_INC;
	case ZYDIS_MNEMONIC_CMP:
		return OP_CMP;
	case ZYDIS_MNEMONIC_TEST:
		return OP_TEST;
	case ZYDIS_MNEMONIC_XOR:
		return OP_XOR;
	case ZYDIS_MNEMONIC_AND:
		return OP_AND;
	case ZYDIS_MNEMONIC_PUSH:
		return OP_PUSH;
	case ZYDIS_MNEMONIC_POP:
		return OP_POP;
	case ZYDIS_MNEMONIC_NOP:
		return OP_NOP;
	case ZYDIS_MNEMONIC_ENDBR64:
		return OP_ENDBR;
	case ZYDIS_MNEMONIC_JMP:
		return direct ? OP_JMP : OP_JMP_IND;
	case ZYDIS_MNEMONIC_CALL:
		return direct ? OP_CALL : OP_CALL_IND;
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_INT3:
		return OP_TRAP;
	default:
		return OP_OTHER;
	}
}

/*
 * Instructions that push_setup_xol_ops() and branch_setup_xol_ops() accept (Linux
 * arch/x86/kernel/uprobes.c) on every version we support. Nops longer than one byte are left out
 * because some kernels single-step them, and 6.18 turns a five-byte one into a call that destroys
 * the red zone.
 */
static bool is_emulated(const uint8_t *p, uint8_t len)
{
	switch (p[0]) {
	case 0x90:
		return len == 1;
	case 0xe8:
	case 0xe9:
		return len == 5;
	case 0xeb:
		return len == 2;
	case 0x41:
		return len == 2 && p[1] >= 0x50 && p[1] <= 0x57;
	case 0x0f:
		return len == 6 && p[1] >= 0x80 && p[1] <= 0x8f;
	default:
		return (len == 1 && p[0] >= 0x50 && p[0] <= 0x57) ||
		       (len == 2 && p[0] >= 0x70 && p[0] <= 0x7f);
	}
}

static void take_mem(const struct decoder *d, const ZydisDecodedOperand *op, struct insn *in)
{
	in->base = d->reg[op->mem.base];
	in->index = d->reg[op->mem.index];
	in->scale = op->mem.scale;
	in->disp = op->mem.disp.has_displacement ? (int32_t)op->mem.disp.value : 0;
	/*
	 * Name no register, because a segment base or a 64-bit absolute address is not what disp
	 * holds.
	 */
	if (op->mem.segment == ZYDIS_REGISTER_FS && op->mem.base == ZYDIS_REGISTER_NONE &&
	    op->mem.index == ZYDIS_REGISTER_NONE && (int64_t)in->disp == op->mem.disp.value)
		in->flags |= INSN_FS_DISP;
	if (op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS ||
	    (int64_t)in->disp != op->mem.disp.value)
		in->index = in->base = REG_RIP;
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		in->flags |= INSN_MEM_WRITE;
}

static uint8_t take_operand(const struct decoder *d, const ZydisDecodedOperand *op, struct insn *in,
			    uint8_t *reg)
{
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		*reg = d->reg[op->reg.value];
		return OPERAND_REG;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		take_mem(d, op, in);
		return OPERAND_MEM;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		in->imm = op->imm.value.s;
		return OPERAND_IMM;
	default:
		return OPERAND_NONE;
	}
}

static void take_registers(const struct decoder *d, struct insn *in)
{
	for (unsigned i = 0; i < d->raw.operand_count; i++) {
		const ZydisDecodedOperand *op = &d->ops[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			uint8_t base = d->reg[op->mem.base], index = d->reg[op->mem.index];

			in->reads |= (uint16_t)((base < 16 ? 1u << base : 0) |
						(index < 16 ? 1u << index : 0));
		} else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && d->reg[op->reg.value] < 16) {
			uint16_t bit = (uint16_t)(1u << d->reg[op->reg.value]);

			if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
				in->reads |= bit;
			if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
				in->writes |= bit;
		}
	}
	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		in->writes |= CALLER_SAVED;
}

static void take_insn(struct decoder *d, const uint8_t *p, struct insn *in)
{
	const ZydisDecodedInstruction *raw = &d->raw;
	const ZydisAccessedFlags *f = raw->cpu_flags;

	in->len = raw->length;
	in->op = op_of(raw);
	in->dst_reg = in->src_reg = in->base = in->index = REG_NONE;
	if (raw->operand_count_visible > 0) {
		in->width = (uint8_t)(d->ops[0].size / 8);
		in->dst = take_operand(d, &d->ops[0], in, &in->dst_reg);
	}
	if (raw->operand_count_visible > 1)
		in->src = take_operand(d, &d->ops[1], in, &in->src_reg);
	if (raw->operand_count_visible > 2 && in->op != OP_OTHER)
		in->op = OP_OTHER;
	take_registers(d, in);
	if (f && ((f->modified | f->set_0 | f->set_1 | f->undefined) & ZYDIS_CPUFLAG_ZF))
		in->flags |= INSN_FLAGS_WRITE;
	if (is_emulated(p, in->len))
		in->flags |= INSN_EMULATED;
	if (in->op == OP_JCC)
		in->cc = raw->opcode & 0x0f;
	/* loop and jrcxz are conditional branches too, without a condition that we could read */
	if (in->op == OP_JCC && !(in->flags & INSN_EMULATED))
		in->cc = REG_NONE;
	if (in->op == OP_JCC || in->op == OP_JMP || in->op == OP_CALL)
		in->imm += (int64_t)in->off + in->len;
}

static int insns_grow(struct decoder *d)
{
	struct insn *bigger =
		array_grow(d->code->insns, &d->cap, d->code->count + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	d->code->insns = bigger;
	return 0;
}

/* Decode [vaddr, vaddr + len) from its first byte on. */
static int decode_run(struct decoder *d, const uint8_t *p, size_t len, uint64_t vaddr)
{
	for (size_t pos = 0; pos < len;) {
		struct insn *in;

		if (d->code->count == d->cap && insns_grow(d))
			return -ENOMEM;
		in = &d->code->insns[d->code->count++];
		*in = (struct insn){.off = (uint32_t)(vaddr + pos - d->code->base_vaddr)};
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d->zydis, p + pos, len - pos, &d->raw,
							d->ops))) {
			take_insn(d, p + pos, in);
		} else {
			in->len = 1;
			in->op = OP_BAD;
			in->dst_reg = in->src_reg = in->base = in->index = REG_NONE;
			d->code->bad_count++;
		}
		pos += in->len;
	}
	return 0;
}

static int branch_cmp(const void *a, const void *b)
{
	const struct code_branch *x = a, *y = b;

	if (x->target_off != y->target_off)
		return x->target_off < y->target_off ? -1 : 1;
	return x->from_idx < y->from_idx ? -1 : x->from_idx > y->from_idx;
}

static bool is_inner_branch(const struct insn *in, size_t end)
{
	return (in->op == OP_JCC || in->op == OP_JMP) && in->imm >= 0 && (uint64_t)in->imm < end;
}

static int branches_index(struct code *code)
{
	size_t n = 0, end;

	if (code->count == 0)
		return 0;
	end = code->insns[code->count - 1].off + (size_t)code->insns[code->count - 1].len;
	for (size_t i = 0; i < code->count; i++)
		n += is_inner_branch(&code->insns[i], end);
	code->branches = calloc(n ? n : 1, sizeof(*code->branches));
	if (!code->branches)
		return -ENOMEM;
	for (size_t i = 0; i < code->count; i++)
		if (is_inner_branch(&code->insns[i], end))
			code->branches[code->branch_count++] =
				(struct code_branch){.target_off = (uint32_t)code->insns[i].imm,
						     .from_idx = (uint32_t)i};
	qsort(code->branches, code->branch_count, sizeof(*code->branches), branch_cmp);
	return 0;
}

/* Begin and end of the sections that may stand next to each other in one executable segment. */
static void bounds_init(struct decoder *d, const struct elf_image *img)
{
	static const char *const names[BOUNDS / 2] = {
		".init", ".plt",      ".plt.got",   ".plt.sec",	      ".text",
		".fini", ".text.hot", ".text.cold", ".text.unlikely", ".bolt.org.text"};
	uint64_t vaddr, off, len;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!elf_image_section(img, names[i], &vaddr, &off, &len))
			continue;
		d->bounds[2 * i] = vaddr;
		d->bounds[2 * i + 1] = vaddr + len;
	}
}

/* The next address above vaddr where an instruction surely starts; end when there is none. */
static uint64_t next_start(const struct decoder *d, const struct elf_image *img, size_t *sym,
			   uint64_t vaddr, uint64_t end)
{
	uint64_t best = end;

	while (*sym < img->symbol_count &&
	       (img->symbols[*sym].vaddr <= vaddr || img->symbols[*sym].type != STT_FUNC))
		(*sym)++;
	if (*sym < img->symbol_count && img->symbols[*sym].vaddr < best)
		best = img->symbols[*sym].vaddr;
	for (size_t i = 0; i < BOUNDS; i++)
		if (d->bounds[i] > vaddr && d->bounds[i] < best)
			best = d->bounds[i];
	return best;
}

static int decode_segment(struct decoder *d, const struct elf_image *img,
			  const struct elf_segment *seg)
{
	const uint8_t *p = elf_image_bytes(img, seg->vaddr, seg->file_len);
	uint64_t end = seg->vaddr + seg->file_len;
	size_t sym = 0;
	int err = 0;

	if (!p)
		return 0;
	for (uint64_t at = seg->vaddr, to; at < end && !err; at = to) {
		to = next_start(d, img, &sym, at, end);
		err = decode_run(d, p + (at - seg->vaddr), to - at, at);
	}
	return err;
}

/* The span of all executable segments. Returns: 0, -ENOENT, -EFBIG. */
static int exec_span(const struct elf_image *img, uint64_t *lo, uint64_t *bytes)
{
	uint64_t hi = 0, prev_end = 0;

	*lo = UINT64_MAX;
	*bytes = 0;
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (!s->exec || s->file_len == 0)
			continue;
		if (s->vaddr < prev_end || s->vaddr + s->file_len < s->vaddr)
			return -EFBIG; /* overlapping or wrapping: not a linker's work */
		prev_end = s->vaddr + s->file_len;
		*lo = s->vaddr < *lo ? s->vaddr : *lo;
		hi = prev_end;
		*bytes += s->file_len;
	}
	if (*bytes == 0)
		return -ENOENT;
	return *bytes > CODE_SPAN_MAX || hi - *lo > UINT32_MAX ? -EFBIG : 0;
}

int decode_image(const struct elf_image *img, struct code *out)
{
	_cleanup_free_ struct decoder *d = calloc(1, sizeof(*d));
	struct code code = {0};
	uint64_t bytes;
	int err;

	if (!d)
		return -ENOMEM;
	err = exec_span(img, &code.base_vaddr, &bytes);
	if (!err)
		err = decoder_init(d, &code);
	if (err)
		return err;
	bounds_init(d, img);
	d->cap = bytes / MEAN_LEN + 64;
	code.insns = calloc(d->cap, sizeof(*code.insns));
	if (!code.insns)
		return -ENOMEM;
	for (size_t i = 0; i < img->segment_count && !err; i++)
		if (img->segments[i].exec && img->segments[i].file_len)
			err = decode_segment(d, img, &img->segments[i]);
	if (!err)
		err = branches_index(&code);
	if (err)
		decode_release(&code);
	else
		*out = code;
	return err;
}

static const uint8_t *range_bytes(const struct elf_image *img, const struct code_range *r)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (s->exec && r->vaddr >= s->vaddr && r->vaddr - s->vaddr < s->file_len &&
		    r->len <= s->file_len - (r->vaddr - s->vaddr))
			return elf_image_bytes(img, r->vaddr, r->len);
	}
	return NULL;
}

static int decode_each_range(struct decoder *d, const struct elf_image *img,
			     const struct code_range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct code_range *r = &ranges[i];
		const uint8_t *p = r->len ? range_bytes(img, r) : NULL;

		if (!p || (i && r->vaddr < ranges[i - 1].vaddr + ranges[i - 1].len))
			return -EBADMSG;
		if (decode_run(d, p, r->len, r->vaddr))
			return -ENOMEM;
	}
	return branches_index(d->code);
}

int decode_ranges(const struct elf_image *img, const struct code_range *ranges, size_t count,
		  struct code *out)
{
	_cleanup_free_ struct decoder *d = calloc(1, sizeof(*d));
	struct code code = {0};
	uint64_t bytes;
	int err;

	if (!d)
		return -ENOMEM;
	err = exec_span(img, &code.base_vaddr, &bytes);
	if (!err)
		err = decoder_init(d, &code);
	if (!err)
		err = decode_each_range(d, img, ranges, count);
	if (err)
		decode_release(&code);
	else
		*out = code;
	return err;
}

int decode_bytes(const uint8_t *bytes, size_t len, uint64_t vaddr, struct code *out)
{
	_cleanup_free_ struct decoder *d = calloc(1, sizeof(*d));
	struct code code = {.base_vaddr = vaddr};
	int err;

	if (!d)
		return -ENOMEM;
	if (len > CODE_SPAN_MAX)
		return -EFBIG;
	err = decoder_init(d, &code);
	if (!err)
		err = decode_run(d, bytes, len, vaddr);
	if (!err)
		err = branches_index(&code);
	if (err)
		decode_release(&code);
	else
		*out = code;
	return err;
}

void decode_release(struct code *code)
{
	free(code->insns);
	free(code->branches);
	*code = (struct code){0};
}

size_t decode_find_off(const struct code *code, uint64_t off)
{
	size_t at = first_index(i, code->count, code->insns[i].off >= off);

	return at < code->count && code->insns[at].off == off ? at : CODE_NONE;
}

size_t decode_find(const struct code *code, uint64_t vaddr)
{
	return vaddr < code->base_vaddr ? CODE_NONE
					: decode_find_off(code, vaddr - code->base_vaddr);
}

size_t decode_next(const struct code *code, size_t idx)
{
	const struct insn *in = &code->insns[idx];

	if (idx + 1 >= code->count || code->insns[idx + 1].off != in->off + in->len)
		return CODE_NONE;
	return idx + 1;
}

size_t decode_target(const struct code *code, size_t idx)
{
	const struct insn *in = &code->insns[idx];

	if ((in->op != OP_JCC && in->op != OP_JMP && in->op != OP_CALL) || in->imm < 0)
		return CODE_NONE;
	return decode_find_off(code, (uint64_t)in->imm);
}

bool decode_falls_through(const struct insn *in)
{
	return in->op != OP_JMP && in->op != OP_JMP_IND && in->op != OP_RET && in->op != OP_TRAP &&
	       in->op != OP_BAD;
}

const struct code_branch *decode_branches_to(const struct code *code, size_t idx, size_t *count)
{
	uint32_t off = code->insns[idx].off;
	size_t first = first_index(i, code->branch_count, code->branches[i].target_off >= off);
	size_t end = first;

	while (end < code->branch_count && code->branches[end].target_off == off)
		end++;
	*count = end - first;
	return code->branches + first;
}

bool decode_mem_vaddr(const struct code *code, const struct insn *in, uint64_t *vaddr)
{
	if ((in->dst != OPERAND_MEM && in->src != OPERAND_MEM) || in->index != REG_NONE)
		return false;
	if (in->base == REG_RIP)
		*vaddr = code->base_vaddr + in->off + in->len + (uint64_t)(int64_t)in->disp;
	else if (in->base == REG_NONE)
		*vaddr = (uint64_t)(int64_t)in->disp;
	else
		return false;
	return true;
}
