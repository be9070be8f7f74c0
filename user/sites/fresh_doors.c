/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/fresh_doors.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "sites/site_check.h"

#define TABLE_MAX 4096 /* entries of one jump table */

static void mark_entry(const struct code *code, uint8_t *doors, size_t idx)
{
	if (idx != CODE_NONE && idx < code->count)
		doors[idx / 8] |= (uint8_t)(1u << (idx % 8));
}

static void mark_vaddr(const struct code *code, uint8_t *doors, uint64_t vaddr)
{
	mark_entry(code, doors, decode_find(code, vaddr));
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
		mark_entry(code, doors, idx);
	}
}

/* Addresses that instructions take: calls, lea, immediates. */
static void mark_code(const struct elf_image *img, const struct code *code, uint8_t *doors)
{
	uint64_t vaddr;

	for (size_t i = 0; i < code->count; i++) {
		const struct insn *in = &code->insns[i];

		if (in->op == OP_ENDBR)
			mark_entry(code, doors, i);
		else if (in->op == OP_CALL)
			mark_entry(code, doors, decode_target(code, i));
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

/* The instruction that the word at `at` of the segment points to, CODE_NONE when it points to none. */
static size_t pointed_to(const struct code *code, const uint8_t *p, uint64_t at, uint64_t len)
{
	uint64_t v;

	if (at >= len || len - at < sizeof(v))
		return CODE_NONE;
	memcpy(&v, p + at, sizeof(v));
	return decode_find(code, v);
}

/* Is the word at `at` one of several: in an array of pointers, or an addend among relocations? */
static bool has_neighbour(const struct code *code, const uint8_t *p, uint64_t at, uint64_t len)
{
	static const uint64_t far[] = {sizeof(uint64_t), sizeof(Elf64_Rela)};

	for (size_t i = 0; i < ARRAY_LEN(far); i++)
		if (pointed_to(code, p, at + far[i], len) != CODE_NONE ||
		    pointed_to(code, p, at - far[i], len) != CODE_NONE)
			return true;
	return false;
}

/*
 * Addresses stored in data: pointers to functions, computed gotos, relocations with addends. Pairs of
 * small numbers (tables of characters) look like addresses too: into the middle of a function only
 * tables lead, and they have more than one entry.
 */
static void mark_data(const struct elf_image *img, const struct code *code, uint8_t *doors)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];
		const uint8_t *p = elf_image_bytes(img, s->vaddr, s->file_len);

		if (!p || s->exec)
			continue;
		for (uint64_t at = -s->vaddr & 7; at < s->file_len; at += 8) {
			size_t idx = pointed_to(code, p, at, s->file_len);

			if (idx != CODE_NONE && (is_function_entry(code, idx) ||
						 has_neighbour(code, p, at, s->file_len)))
				mark_entry(code, doors, idx);
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
