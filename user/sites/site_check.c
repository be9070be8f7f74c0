/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/site_check.h"

#define INSN_EMULATED_MAX 6 /* bytes: a jcc rel32 */

static bool in_exec_segment(const struct elf_image *img, uint64_t vaddr, uint64_t len)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (s->exec && vaddr >= s->vaddr && vaddr - s->vaddr < s->file_len &&
		    len <= s->file_len - (vaddr - s->vaddr))
			return true;
	}
	return false;
}

bool address_is_code(const struct elf_image *img, uint64_t vaddr)
{
	return in_exec_segment(img, vaddr, 1);
}

/* Does an instruction that the kernel emulates begin there? */
static bool is_emulated_at(const struct elf_image *img, uint64_t vaddr)
{
	const uint8_t *p = NULL;
	struct code code;
	bool emulated;
	size_t len;

	for (len = INSN_EMULATED_MAX; len && !p; len = p ? len : len - 1)
		p = elf_image_bytes(img, vaddr, len);
	if (!p || !in_exec_segment(img, vaddr, len) || decode_bytes(p, len, vaddr, &code))
		return false;
	emulated = code.count && (code.insns[0].flags & INSN_EMULATED);
	decode_release(&code);
	return emulated;
}

bool site_is_sound(const struct elf_image *img, const struct site *s)
{
	const uint8_t *p = elf_image_bytes(img, s->vaddr, 2);
	uint64_t off;

	if (!p || !elf_image_file_off(img, s->vaddr, &off) || off != s->file_off)
		return false;
	if (s->reg > 15 || s->reg == REG_RSP || ((s->after_pop || s->init) && s->reg2 > 15))
		return false;
	if (s->refill)
		return s->single_step ? in_exec_segment(img, s->vaddr, 1)
				      : is_emulated_at(img, s->vaddr);
	if (s->init && (p[0] == 0xeb || (p[0] >= 0x70 && p[0] <= 0x7f))) /* jmp, jcc rel8 */
		return in_exec_segment(img, s->vaddr, 2);
	if (s->init && p[0] == 0xe9) /* jmp rel32 */
		return in_exec_segment(img, s->vaddr, 5);
	if (s->init && p[0] == 0x0f && p[1] >= 0x80 && p[1] <= 0x8f) /* jcc rel32 */
		return in_exec_segment(img, s->vaddr, 6);
	if (p[0] == 0x74 || p[0] == 0x75) /* je, jne rel8; Intel SDM vol. 2 */
		return in_exec_segment(img, s->vaddr, 2);
	if (p[0] == 0x0f && (p[1] == 0x84 || p[1] == 0x85)) /* je, jne rel32 */
		return in_exec_segment(img, s->vaddr, 6);
	return false;
}

bool is_function_entry(const struct code *code, size_t idx)
{
	const struct insn *before;

	if (idx == CODE_NONE || code->insns[idx].op == OP_BAD || code->insns[idx].op == OP_TRAP)
		return false;
	if (idx == 0 || code->insns[idx].op == OP_ENDBR)
		return true;
	before = &code->insns[idx - 1];
	/* A call that does not return may end the function before. */
	return !decode_falls_through(before) || before->op == OP_NOP || before->op == OP_CALL ||
	       (before->op == OP_OTHER && code->insns[idx].off % 16 == 0);
}
