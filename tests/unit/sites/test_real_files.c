/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interpreters and C libraries of this machine, where they are present. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sites/python_pops.h"
#include "sites/sites.h"
#include "tests/unit/pythons.h"

/* Counts of builds that were looked through; of others only the rules are checked. */
static const struct counted {
	const char *build_id;
	size_t pops, newrefs, proven, disagree;
} counted[] = {
	/* Debian 3.11.2 */
	{"571d98e01096d5c1c32420d229a6731a0a50d2a0", 184, 269, 198, 0},
	/* Debian 3.9.2: each second sign of 25 sites names another register; they are left out */
	{"f902f8a561c3abdb9c8d8c859d4243bd8c3f928f", 210, 271, 179, 25},
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

static const struct counted *counted_build(const struct elf_image *img)
{
	for (size_t i = 0; i < ARRAY_LEN(counted); i++)
		if (strcmp(counted[i].build_id, img->build_id_hex) == 0)
			return &counted[i];
	return NULL;
}

/* A new pool is opened by a function; up to 3.8, and where that is inlined, by the allocator itself. */
static void expect_new_pools(const struct python *p, const struct elf_image *img,
			     const struct python_sites *s)
{
	if (s->refill_vaddr) {
		size_t slow = 0;

		for (size_t i = 0; i < s->refill_count; i++)
			slow += s->refills[i].single_step;
		assert_true(s->refill_count >= 1 && slow <= 3);
		assert_true(p->minor > 8);
		assert_int_equal(s->refill_calls, s->pop_count);
		assert_int_equal(s->init_count, 0);
		assert_null(s->inits);
		expect_complete(img);
		return;
	}
	assert_true(p->minor <= 8 || strncmp(p->name, "clang", 5) == 0);
	assert_int_equal(s->refill_calls, 0);
	assert_true(s->init_count >= 2);
	assert_non_null(strstr(s->reason, "ways into a new pool, 0 without a jump to probe"));
	for (size_t i = 0; i < s->init_count; i++) {
		assert_true(s->inits[i].init && s->inits[i].file_off);
		assert_int_equal(s->inits[i].evidence, 2);
	}
}

static void expect_python(const struct python *p, struct elf_image *img)
{
	const struct counted *known = counted_build(img);
	struct python_sites s;
	size_t proven = 0;
	char text[4096];
	FILE *f;

	assert_int_equal(python_sites_find(img, p->minor, &s), 0);
	print_message("%s: %s\n", p->name, s.reason);
	assert_true(s.pop_count >= 1);
	for (size_t i = 0; i < s.newref_count; i++)
		proven += s.newrefs[i].fresh_proven;
	assert_int_equal(s.newref_disagree, known ? known->disagree : 0);
	if (known) {
		assert_int_equal(s.pop_count, known->pops);
		assert_int_equal(s.newref_count, known->newrefs);
		assert_int_equal(proven, known->proven);
	}
	if (p->minor >= 8) /* before, nothing tells a new reference from outside */
		assert_true(s.newref_count >= 1);
	/* one _Py_NewReference for all: its object is an argument */
	if (s.newref_count <= 2)
		assert_int_equal(proven, 0);
	for (size_t i = 0; i < s.pop_count; i++)
		assert_int_equal(s.pops[i].evidence, 2);
	expect_new_pools(p, img, &s);
	f = fmemopen(text, sizeof(text), "w");
	assert_int_equal(python_sites_print(f, img, &s, false), 0);
	fclose(f);
	assert_non_null(strstr(text, "believed because:"));
	python_sites_release(&s);
}

static void interpreters_have_complete_sites(void **state)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons), seen = 0;

	for (size_t i = 0; i < n; i++) {
		struct elf_image *img = NULL;

		if (pythons[i].major != 3)
			continue;
		assert_int_equal(elf_image_open(pythons[i].file, &img), 0);
		expect_python(&pythons[i], img);
		elf_image_free(img);
		seen++;
	}
	if (!seen)
		skip();
}

/* Every function's result is seen inside it; the ones that people break on are probed beside that place. */
static void expect_proven(const char *path, bool glibc)
{
	struct elf_image *img;
	struct libc_sites s;

	if (elf_image_open(path, &img))
		return;
	assert_int_equal(libc_sites_find(img, &s), 0);
	for (int f = 0; f < TM_FN_COUNT; f++) {
		const struct fn_site *fn = &s.fn[f];

		if (!fn->present || f == TM_FN_FREE)
			continue;
		if (fn->unproven)
			fail_msg("%s: %s: %s", path, libc_fn_name((enum tm_fn)f), fn->unproven);
		assert_in_range(fn->results.count, 1, RESULT_SITES_MAX);
		for (size_t i = 0; i < fn->results.count; i++) {
			assert_int_not_equal(fn->results.v[i].vaddr, fn->vaddr);
			assert_int_equal(fn->results.v[i].sp_bytes % 8, 0);
		}
	}
	for (int f = TM_FN_MALLOC; glibc && f <= TM_FN_FREE; f++)
		assert_false(s.fn[f].at_debugger);
	assert_true(!s.slow_malloc.present || s.slow_malloc.results.count);
	print_message("%s: %u sites of malloc, %u of realloc\n", path,
		      (unsigned)s.fn[TM_FN_MALLOC].results.count,
		      (unsigned)s.fn[TM_FN_REALLOC].results.count);
	elf_image_free(img);
}

static void every_libc_is_proven(void **state)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons);
	char path[2 * PYTHONS_PATH];

	expect_proven("/lib/x86_64-linux-gnu/libc.so.6", true);
	expect_proven("/lib/ld-musl-x86_64.so.1", false);
	for (size_t i = 0; i < n; i++) {
		if (!*pythons[i].root)
			continue;
		snprintf(path, sizeof(path), "%s/usr/lib/x86_64-linux-gnu/libc.so.6",
			 pythons[i].root);
		expect_proven(path, true);
	}
}

static void libc_has_cheap_sites(void **state)
{
	struct elf_image *img;
	struct libc_sites s;

	if (elf_image_open("/lib/x86_64-linux-gnu/libc.so.6", &img))
		skip();
	assert_int_equal(libc_sites_find(img, &s), 0);
	assert_int_equal(libc_sites_print(stdout, img, &s, true), 0);
	for (int f = TM_FN_MALLOC; f <= TM_FN_FREE; f++) {
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
		cmocka_unit_test(every_libc_is_proven),
		cmocka_unit_test(libc_has_cheap_sites),
		cmocka_unit_test(libc_is_no_interpreter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
