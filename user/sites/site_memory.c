/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/site_memory.h"

#include <string.h>

#define INT3	     0xcc /* Intel SDM vol. 2 */
#define INSN_LEN_MAX 6	  /* of those that sites are on */

/*
 * Length of a jump, call or push; 1 for all others, because the next byte may be another tool's
 * site.
 */
static size_t site_insn_len(const uint8_t *p, size_t have)
{
	if (have >= 6 && p[0] == 0x0f && (p[1] & 0xf0) == 0x80) /* jcc rel32 */
		return 6;
	if (have >= 5 && (p[0] == 0xe8 || p[0] == 0xe9)) /* call, jmp rel32 */
		return 5;
	if (have >= 2 && ((p[0] & 0xf0) == 0x70 || p[0] == 0xeb)) /* jcc, jmp rel8 */
		return 2;
	return have >= 2 && p[0] == 0x41 && (p[1] & 0xf8) == 0x50 ? 2 : 1; /* push r8..r15 */
}

static bool is_mapping_of(const struct mapping *m, const struct target_object *o)
{
	return m->exec && m->inode == o->inode && m->dev_major == o->dev_major &&
	       m->dev_minor == o->dev_minor;
}

enum site_memory site_memory_at(const struct target *t, const struct target_object *o,
				uint64_t vaddr)
{
	const struct mapping *m = proc_maps_find(&t->maps, vaddr + o->bias);
	uint8_t have[INSN_LEN_MAX];
	const uint8_t *want = NULL;
	size_t room = INSN_LEN_MAX + 1, len;

	while (!want && --room)
		want = elf_image_bytes(o->image, vaddr, room);
	if (!want || !m || !is_mapping_of(m, o))
		return SITE_UNMAPPED;
	if (m->write)
		return SITE_WRITABLE;
	len = site_insn_len(want, room);
	if (target_read(t, vaddr + o->bias, have, len))
		return SITE_UNMAPPED;
	if (memcmp(have, want, len) == 0)
		return SITE_AS_FILE;
	return have[0] == INT3 && memcmp(have + 1, want + 1, len - 1) == 0 ? SITE_BREAKPOINT
									   : SITE_CHANGED;
}
