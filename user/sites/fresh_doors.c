/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/fresh_doors.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MAX 4096 /* entries of one jump table */

static void mark(const struct code *code, uint8_t *doors, size_t idx)
{
	if (idx != CODE_NONE && idx < code->count)
		doors[idx / 8] |= (uint8_t)(1u << (idx % 8));
}

static void mark_vaddr(const struct code *code, uint8_t *doors, uint64_t vaddr)
{
	mark(code, doors, decode_find(code, vaddr));
}

/* Relative jump table at vaddr: 32-bit distances from its own start, as long as they lead to code. */
static void mark_table(const struct elf_image *img, const struct code *code, uint8_t *doors,
		       uint64_t vaddr)
{
	for (uint64_t n = 0; n < TABLE_MAX; n++) {
		const uint8_t *p = elf_image_bytes(img, vaddr + 4 * n, 4);
		int32_t d;
		size_t idx;

		if (!p)
			return;
		memcpy(&d, p, sizeof(d));
		idx = decode_find(code, vaddr + (uint64_t)(int64_t)d);
		if (idx == CODE_NONE)
			return;
		mark(code, doors, idx);
	}
}

/* Addresses that instructions take: calls, lea, immediates. */
static void mark_code(const struct elf_image *img, const struct code *code, uint8_t *doors)
{
	uint64_t vaddr;

	for (size_t i = 0; i < code->count; i++) {
		const struct insn *in = &code->insns[i];

		if (in->op == OP_ENDBR)
			mark(code, doors, i);
		else if (in->op == OP_CALL)
			mark(code, doors, decode_target(code, i));
		else if (in->op == OP_JCC || in->op == OP_JMP)
			continue;
		else if (in->op == OP_LEA && decode_mem_vaddr(code, in, &vaddr)) {
			mark_vaddr(code, doors, vaddr);
			mark_table(img, code, doors, vaddr);
		} else if (in->src == OPERAND_IMM || in->dst == OPERAND_IMM) {
			mark_vaddr(code, doors, (uint64_t)in->imm);
		}
	}
}

/* Unwind tables hold distances only; where two of them look like an address it is chance. */
static bool in_unwind_table(const struct elf_image *img, uint64_t vaddr, uint64_t *end)
{
	static const char *const names[] = {".eh_frame_hdr", ".eh_frame"};
	uint64_t from, off, len;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (elf_image_section(img, names[i], &from, &off, &len) && vaddr >= from &&
		    vaddr - from < len) {
			*end = from + len;
			return true;
		}
	return false;
}

/* Addresses stored in data: pointers to functions, computed gotos, relocations with addends. */
static void mark_data(const struct elf_image *img, const struct code *code, uint8_t *doors)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];
		const uint8_t *p = elf_image_bytes(img, s->vaddr, s->file_len);
		size_t skip = -s->vaddr & 7, at = skip;
		uint64_t v, end;

		if (!p || s->exec)
			continue;
		for (; at + 8 <= s->file_len; at += 8) {
			if (in_unwind_table(img, s->vaddr + at, &end)) {
				at = (size_t)(((end - s->vaddr - skip) & ~(uint64_t)7) + skip);
				at -= 8;
				continue;
			}
			memcpy(&v, p + at, sizeof(v));
			mark_vaddr(code, doors, v);
		}
	}
}

uint8_t *fresh_doors(const struct elf_image *img, const struct code *code)
{
	uint8_t *doors = calloc(code->count / 8 + 1, 1);

	if (!doors)
		return NULL;
	mark_code(img, code, doors);
	mark_data(img, code, doors);
	for (size_t i = 0; i < img->symbol_count; i++)
		if (img->symbols[i].type == STT_FUNC && !strstr(img->symbols[i].name, ".cold"))
			mark_vaddr(code, doors, img->symbols[i].vaddr);
	return doors;
}
