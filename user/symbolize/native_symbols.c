/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A native return address -> name of the object and of the function. Never fails. */
#include "base/text.h"
#include "symbolize/symbolize.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN "[unknown]"

/* No ELF object there: "[vdso]", the name of a mapped file, or nothing (code of a JIT). */
static const char *mapping_name(const struct target *t, uint64_t addr)
{
	const struct mapping *m = proc_maps_find(&t->maps, addr);
	const char *name = m ? text_base_name(m->path) : "";

	return name[0] ? name : UNKNOWN;
}

/* Out of memory leaves the id at 0, which prints as "". */
static str_id_t intern_or_none(struct intern *strings, const char *s)
{
	str_id_t id = {0};

	if (intern_str(strings, s, &id))
		return (str_id_t){0};
	return id;
}

void native_resolve(struct target *t, struct intern *strings, uint64_t addr, struct sym_frame *out)
{
	/*
	 * addr is where the call returns to. When the call is the last instruction of its function
	 * (the callee does not return), that is already the next function: look up the call itself.
	 */
	uint64_t call_addr = addr ? addr - 1 : 0;
	struct target_object *obj = call_addr ? target_object_at(t, call_addr) : NULL;

	*out = (struct sym_frame){0};
	if (!obj || !obj->image) {
		out->file = intern_or_none(strings, obj ? text_base_name(obj->path)
							: mapping_name(t, call_addr));
		out->function = intern_or_none(strings, UNKNOWN);
		return;
	}

	uint64_t vaddr = call_addr - obj->bias;
	const struct elf_symbol *sym = elf_image_symbol_at(obj->image, vaddr);
	char offset[32];

	snprintf(offset, sizeof(offset), "+0x%" PRIx64, vaddr + 1);
	out->file = intern_or_none(strings, text_base_name(obj->path));
	out->function = intern_or_none(strings, sym && sym->name[0] ? sym->name : offset);
}
