/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: any bytes as text segment. Holds: no crash; every site is on an instruction and names a register;
 * a place of the thread state is of the kind of the version.
 */
#include <stdlib.h>
#include <string.h>

#include "sites/pool_init.h"
#include "sites/python_newrefs.h"
#include "sites/python_pops.h"
#include "sites/python_slot.h"
#include "sites/sites.h"
#include "tests/unit/sites/elf_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_inits(const struct code *code, const struct site_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		size_t idx = decode_find(code, l->v[i].vaddr);

		if (idx == CODE_NONE || l->v[i].reg > 15 || l->v[i].reg2 > 15 || !l->v[i].init ||
		    !(code->insns[idx].flags & INSN_EMULATED) ||
		    (i && l->v[i].vaddr <= l->v[i - 1].vaddr))
			abort();
	}
}

static void fuzz_code(const uint8_t *data, size_t len)
{
	struct trace_word words[] = {
		{.vaddr = 0x1000 + len, .width = 4},
		{.vaddr = 0x1000 + len, .width = 8},
		{.got_slot = 0x1000 + len, .base = 0x9000, .disp = 4, .vaddr = 0x9004, .width = 4},
	};
	struct site_list pops = {0}, newrefs = {0}, inits = {0};
	struct newref_stats stats;
	struct refill refill;
	size_t uncovered;
	struct code code;

	if (decode_bytes(data, len, 0x1000, &code))
		return;
	if (pops_find(&code, &pops) == 0)
		refill_find(&code, &pops, &refill);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		newrefs_find(&code, &words[i], &newrefs, &stats);
	for (size_t i = 0; i < pops.count; i++)
		if (decode_find(&code, pops.v[i].vaddr) == CODE_NONE || pops.v[i].reg > 15)
			abort();
	if (pool_inits_find(&code, &inits, &uncovered) == 0)
		check_inits(&code, &inits);
	site_list_release(&pops);
	site_list_release(&newrefs);
	site_list_release(&inits);
	decode_release(&code);
}

static void fuzz_slot(const struct elf_image *img)
{
	for (unsigned minor = 6; minor <= 15; minor++) {
		struct py_slot slot;

		if (python_slot_find(img, minor, &slot))
			continue;
		if (minor == 6		       ? slot.kind != PY_SLOT_KEY
		    : minor < 15	       ? slot.kind != PY_SLOT_TSS
		    : slot.kind == PY_SLOT_TLS ? slot.vaddr || slot.indirect
					       : slot.kind != PY_SLOT_TLS_INDEX || slot.indirect)
			abort();
	}
}

/* The same bytes inside an ELF file, with symbols into them. */
static void fuzz_image(const uint8_t *data, size_t len)
{
	const struct fix_sym syms[] = {
		{"malloc", 0, len / 2},
		{"free", len / 2, 0},
		{"calloc", len / 4, 64},
		{"reallocarray", len / 3, 64},
		{"PyTraceMalloc_Track", 0, 0},
		{"PyRefTracer_GetTracer", len / 2, 0},
		{"_PyRuntime", 16, 0},
		{"PyObject_Malloc", len / 5, 64},
		{"PyGILState_GetThisThreadState", 0, 64},
	};
	struct elf_image *img = fix_open(data, len, syms, ARRAY_LEN(syms));
	struct python_sites py;
	struct libc_sites libc;

	if (!img)
		return;
	for (unsigned minor = 7; minor < 16; minor += 4) { /* 7, 11, 15: each way of the finders */
		if (python_sites_find(img, minor, &py) == 0 &&
		    (py.pop_count == 0 || !py.refill_vaddr == !py.init_count))
			abort();
		python_sites_release(&py);
	}
	fuzz_slot(img);
	libc_sites_find(img, &libc);
	elf_image_free(img);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_code(data, len);
	if (len > 1 && len <= sizeof(((struct fix_file *)0)->code))
		fuzz_image(data, len);
	return 0;
}
