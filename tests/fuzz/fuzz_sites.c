/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: any bytes as text segment. Build:
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -Iuser tests/fuzz/fuzz_sites.c \
 *	user/sites/{decode,flow,site_list,site_check,python_pops,refill,python_newrefs,fresh,fresh_known,fresh_doors,fresh_stack}.c \
 *	user/sites/{trace_word,python_sites,libc_sites,libc_slow}.c user/base/{buf,cursor,log}.c \
 *	user/target/elf_*.c -lZydis -lZycore
 */
#include <stdlib.h>
#include <string.h>

#include "sites/python_newrefs.h"
#include "sites/python_pops.h"
#include "sites/sites.h"
#include "tests/unit/sites/elf_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_code(const uint8_t *data, size_t len)
{
	struct trace_word words[] = {
		{.vaddr = 0x1000 + len, .width = 4},
		{.vaddr = 0x1000 + len, .width = 8},
		{.got_slot = 0x1000 + len, .base = 0x9000, .disp = 4, .vaddr = 0x9004, .width = 4},
	};
	struct site_list pops = {0}, newrefs = {0};
	struct newref_stats stats;
	struct refill refill;
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
	site_list_release(&pops);
	site_list_release(&newrefs);
	decode_release(&code);
}

/* The same bytes inside an ELF file, with symbols into them. */
static void fuzz_image(const uint8_t *data, size_t len)
{
	const struct fix_sym syms[] = {
		{"malloc", 0, len / 2},	       {"free", len / 2, 0},
		{"calloc", len / 4, 64},       {"reallocarray", len / 3, 64},
		{"PyTraceMalloc_Track", 0, 0}, {"PyRefTracer_GetTracer", len / 2, 0},
		{"_PyRuntime", 16, 0},	       {"PyObject_Malloc", len / 5, 64},
	};
	struct elf_image *img = fix_open(data, len, syms, ARRAY_LEN(syms));
	struct python_sites py;
	struct libc_sites libc;

	if (!img)
		return;
	for (unsigned minor = 7; minor < 15; minor += 3) {
		if (python_sites_find(img, minor, &py) == 0 && py.pop_count == 0)
			abort();
		python_sites_release(&py);
	}
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
