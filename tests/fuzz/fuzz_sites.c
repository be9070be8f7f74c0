/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: any bytes as text segment. Build:
 * clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -Iuser tests/fuzz/fuzz_sites.c \
 *	user/sites/{decode,flow,site_list,site_check,python_pops,refill,python_newrefs}.c \
 *	user/sites/{trace_word,python_sites,libc_sites,libc_slow}.c user/base/{buf,cursor,log}.c \
 *	user/target/elf_*.c -lZydis
 */
#include <stdlib.h>
#include <string.h>

#include "sites/python_newrefs.h"
#include "sites/python_pops.h"
#include "sites/sites.h"

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

/* The same bytes inside an image, with two symbols into them. */
static void fuzz_image(const uint8_t *data, size_t len)
{
	struct elf_segment seg = {.vaddr = 0x1000, .file_len = len, .mem_len = len, .exec = true};
	struct elf_symbol syms[] = {
		{.vaddr = 0x1000, .len = len / 2, .name = "malloc", .type = 2},
		{.vaddr = 0x1000 + len / 2, .name = "free", .type = 2},
	};
	struct elf_symbol names[] = {syms[1], syms[0]};
	struct elf_image img = {.data = data,
				.len = len,
				.segments = &seg,
				.segment_count = 1,
				.symbols = syms,
				.symbol_count = 2,
				.by_name = names};
	struct python_sites py;
	struct libc_sites libc;

	for (unsigned minor = 7; minor < 15; minor += 3) {
		if (python_sites_find(&img, minor, &py) == 0 && py.pop_count == 0)
			abort();
		python_sites_release(&py);
	}
	libc_sites_find(&img, &libc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_code(data, len);
	if (len > 1)
		fuzz_image(data, len);
	return 0;
}
