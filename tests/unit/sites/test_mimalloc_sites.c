/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pops and frees of mimalloc: in code written here, one instruction at a time spoilt, and in real interpreters. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "elf_fixture.h"
#include "sites/decode.h"
#include "sites/mimalloc_sites.h"
#include "tests/unit/pythons.h"

#define R8 8

/* _mi_page_malloc() of gcc 12, then _PyObject_MiFree(), then a mi_free(). */
static const uint8_t code[] = {
	0x4c, 0x8b, 0x46, 0x10,		    /* 00 mov 0x10(%rsi),%r8 */
	0x4d, 0x85, 0xc0,		    /* 04 test %r8,%r8 */
	0x74, 0x0f,			    /* 07 je 18 */
	0x83, 0x46, 0x18, 0x01,		    /* 09 addl $1,0x18(%rsi) */
	0x49, 0x8b, 0x10,		    /* 0d mov (%r8),%rdx */
	0x48, 0x89, 0x56, 0x10,		    /* 10 mov %rdx,0x10(%rsi) */
	0x4c, 0x89, 0xc0,		    /* 14 mov %r8,%rax */
	0xc3,				    /* 17 ret */
	0x31, 0xc0,			    /* 18 xor %eax,%eax */
	0xc3,				    /* 1a ret */
	0x90, 0x90, 0x90, 0x90, 0x90,	    /* 1b */
	0x48, 0x89, 0xf7,		    /* 20 mov %rsi,%rdi */
	0xeb, 0x0b,			    /* 23 jmp 30 */
	0x90, 0x90, 0x90, 0x90, 0x90, 0x90, /* 25 */
	0x90, 0x90, 0x90, 0x90, 0x90,	    /* 2b */
	0x48, 0x89, 0xf9,		    /* 30 mov %rdi,%rcx */
	0x48, 0x85, 0xff,		    /* 33 test %rdi,%rdi */
	0x74, 0x01,			    /* 36 je 39 */
	0x90,				    /* 38 nop */
	0xc3,				    /* 39 ret */
};

/* The result with one byte of the code replaced (at >= its length: none). */
static int find_with(size_t at, uint8_t byte, struct mimalloc_sites *out)
{
	uint8_t copy[sizeof(code)];
	const struct fix_sym sym = {"f", 0, sizeof(code)};
	uint64_t frees[2] = {fix_vaddr(0x20), fix_vaddr(0x20)};
	struct elf_image *img;
	int err;

	memcpy(copy, code, sizeof(code));
	if (at < sizeof(code))
		copy[at] = byte;
	img = fix_open(copy, sizeof(copy), &sym, 1);
	assert_non_null(img);
	err = mimalloc_sites_find(img, 13, frees, 2, out);
	elf_image_free(img);
	return err;
}

static void pop_and_free_are_found(void **state)
{
	struct mimalloc_sites s;

	assert_int_equal(find_with(SIZE_MAX, 0, &s), 0);
	assert_int_equal(s.pop_count, 1);
	assert_int_equal(s.pops[0].vaddr, fix_vaddr(7));
	assert_int_equal(s.pops[0].reg, REG_RSI);
	assert_int_equal(s.pops[0].reg2, R8);
	assert_int_equal(s.free_count, 1);
	assert_int_equal(s.frees[0].entry_vaddr, fix_vaddr(0x30));
	assert_int_equal(s.frees[0].vaddr, fix_vaddr(0x36)); /* the je: the block is still in rdi */
	assert_false(s.frees[0].single_step);
	assert_int_equal(s.size_off, 28);
	assert_int_equal(s.size_bytes, 4);
	mimalloc_sites_release(&s);
}

static void other_code_is_not_believed(void **state)
{
	static const struct {
		size_t at;
		uint8_t byte;
		const char *what;
	} spoilt[] = {
		{0x03, 0x18, "loads something else than page->free"},
		{0x0b, 0x20, "counts something else than page->used"},
		{0x0c, 0x02, "adds two"},
		{0x13, 0x18, "stores something else than page->free"},
		{0x06, 0xc8, "tests another register"},
		{0x07, 0x72, "a jump that is no je"},
		{0x22, 0xfe, "free hands on another argument"},
		{0x20, 0xc3, "free is no jump to mi_free"},
	};
	struct mimalloc_sites s;

	for (size_t i = 0; i < sizeof(spoilt) / sizeof(*spoilt); i++) {
		int err = find_with(spoilt[i].at, spoilt[i].byte, &s);

		if (err != -ENOENT)
			fail_msg("%s: %d", spoilt[i].what, err);
		assert_true(s.reason[0]);
		assert_null(s.pops);
	}
}

static void layouts_differ_by_version(void **state)
{
	const struct fix_sym sym = {"f", 0, sizeof(code)};
	uint64_t frees[1] = {fix_vaddr(0x20)};
	struct elf_image *img = fix_open(code, sizeof(code), &sym, 1);
	struct mimalloc_sites s;

	/* 3.15 counts in 16 bits, elsewhere: this code is not its. */
	assert_int_equal(mimalloc_sites_find(img, 15, frees, 1, &s), -ENOENT);
	assert_int_equal(mimalloc_sites_find(img, 14, frees, 1, &s), 0);
	mimalloc_sites_release(&s);
	assert_int_equal(mimalloc_sites_find(img, 14, frees, 0, &s), -ENOENT);
	elf_image_free(img);
}

static void real_interpreters_have_sites(void **state)
{
	static struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons), seen = 0;

	for (size_t i = 0; i < n; i++) {
		struct elf_image *img = NULL;
		struct mimalloc_sites s;
		const struct elf_symbol *f;
		uint64_t vaddr;

		if (pythons[i].minor < 13 || elf_image_open(pythons[i].file, &img))
			continue;
		f = elf_image_symbol(img, "_PyObject_MiFree"); /* not in stripped files */
		vaddr = f ? f->vaddr : 0;
		if (f && mimalloc_sites_find(img, pythons[i].minor, &vaddr, 1, &s) == 0) {
			const struct elf_symbol *to =
				elf_image_symbol_at(img, s.frees[0].entry_vaddr);

			assert_true(s.pop_count >= 1);
			assert_string_equal(to->name, "mi_free");
			seen++;
			mimalloc_sites_release(&s);
		} else if (f) {
			print_message("%s: %s\n", pythons[i].name, s.reason);
		}
		elf_image_free(img);
	}
	if (!seen) {
		print_message("no interpreter from 3.13 on with symbols here\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pop_and_free_are_found),
		cmocka_unit_test(other_code_is_not_believed),
		cmocka_unit_test(layouts_differ_by_version),
		cmocka_unit_test(real_interpreters_have_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
