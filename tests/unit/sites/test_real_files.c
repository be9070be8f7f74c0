/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interpreters and C libraries of this machine, where they are present. */
#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sites/python_pops.h"
#include "sites/sites.h"

#define PYENV "~/.pyenv/versions/" /* expanded by glob */

struct expected {
	const char *path;
	unsigned minor;
	const char *build_id; /* counts are of this build; NULL: no count is checked */
	size_t pops, newrefs, proven;
};

static const struct expected pythons[] = {
	{"/usr/bin/python3.11", 11, "571d98e01096d5c1c32420d229a6731a0a50d2a0", 184, 269, 198},
	{PYENV "3.10.13/lib/libpython3.10.so.1.0", 10, NULL, 0, 0, 0},
	{PYENV "3.11.7/lib/libpython3.11.so.1.0", 11, NULL, 0, 0, 0},
	{PYENV "3.12.1/lib/libpython3.12.so.1.0", 12, NULL, 0, 0, 0},
	{PYENV "3.13.0/lib/libpython3.13.so.1.0", 13, NULL, 0, 0, 0},
};

/* Every call of the refill function lies behind a site, and every site leads to it. */
static void expect_complete(const struct elf_image *img)
{
	struct site_list pops = {0};
	struct refill r;
	struct code c;

	assert_int_equal(decode_image(img, &c), 0);
	assert_int_equal(pops_find(&c, &pops), 0);
	assert_int_equal(refill_find(&c, &pops, &r), 0);
	assert_int_equal(r.calls_missed, 0);
	assert_int_equal(r.votes, pops.count);
	site_list_release(&pops);
	decode_release(&c);
}

/* The image at e->path, with ~ expanded; NULL when there is none on this machine. */
static struct elf_image *open_expected(const struct expected *e)
{
	struct elf_image *img = NULL;
	glob_t g;

	if (!glob(e->path, GLOB_TILDE, NULL, &g))
		assert_int_equal(elf_image_open(g.gl_pathv[0], &img), 0);
	globfree(&g);
	return img;
}

static void expect_python(const struct expected *e, struct elf_image *img)
{
	struct python_sites s;
	size_t proven = 0;
	char text[4096];
	FILE *f;

	assert_int_equal(python_sites_find(img, e->minor, &s), 0);
	print_message("%s: %s\n", e->path, s.reason);
	assert_true(s.pop_count >= 2);
	assert_true(s.newref_count >= 1);
	for (size_t i = 0; i < s.newref_count; i++)
		proven += s.newrefs[i].fresh_proven;
	assert_int_equal(s.refill_calls, s.pop_count);
	assert_int_equal(s.newref_disagree, 0);
	if (e->build_id && strcmp(e->build_id, img->build_id_hex) == 0) {
		assert_int_equal(s.pop_count, e->pops);
		assert_int_equal(s.newref_count, e->newrefs);
		assert_int_equal(proven, e->proven);
	}
	/* one _Py_NewReference for all: its object is an argument */
	if (s.newref_count <= 2)
		assert_int_equal(proven, 0);
	for (size_t i = 0; i < s.pop_count; i++)
		assert_int_equal(s.pops[i].evidence, 2);
	expect_complete(img);
	f = fmemopen(text, sizeof(text), "w");
	assert_int_equal(python_sites_print(f, img, &s, false), 0);
	fclose(f);
	assert_non_null(strstr(text, "believed because:"));
	python_sites_release(&s);
	elf_image_free(img);
}

static void interpreters_have_complete_sites(void **state)
{
	unsigned seen = 0;

	for (size_t i = 0; i < ARRAY_LEN(pythons); i++) {
		struct elf_image *img = open_expected(&pythons[i]);

		if (!img)
			continue;
		expect_python(&pythons[i], img);
		seen++;
	}
	if (!seen)
		skip();
}

static void libc_has_cheap_sites(void **state)
{
	struct elf_image *img;
	struct libc_sites s;

	if (elf_image_open("/lib/x86_64-linux-gnu/libc.so.6", &img))
		skip();
	assert_int_equal(libc_sites_find(img, &s), 0);
	assert_int_equal(libc_sites_print(stdout, img, &s, true), 0);
	for (int f = FN_MALLOC; f <= FN_FREE; f++) {
		assert_true(s.fn[f].present);
		assert_false(s.fn[f].single_step);
		assert_true(s.fn[f].vaddr - s.fn[f].entry_vaddr < 32);
	}
	assert_true(s.slow_malloc.present);
	elf_image_free(img);
}

/* A program without Python's allocator, but with malloc, is not taken for an interpreter. */
static void libc_is_no_interpreter(void **state)
{
	struct elf_image *img;
	struct python_sites s;

	if (elf_image_open("/lib/x86_64-linux-gnu/libc.so.6", &img))
		skip();
	assert_int_equal(python_sites_find(img, 11, &s), -ENOENT);
	assert_true(strlen(s.reason) > 10);
	print_message("libc: %s\n", s.reason);
	python_sites_release(&s);
	elf_image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interpreters_have_complete_sites),
		cmocka_unit_test(libc_has_cheap_sites),
		cmocka_unit_test(libc_is_no_interpreter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
