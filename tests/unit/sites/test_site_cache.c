/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "asm_code.h"
#include "elf_fixture.h"
#include "sites/sites.h"

ASM_CODE(popper, POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY(
			 "rax", "rdx", "rcx") "ret\n"
					      "9: call 8f\n ret\n 8: push %rbx\n ret\n");

#define FILE_OF_FIX "abababababababababababababababababababab.py311.sites"
#define LEARNED	    "abababababababababababababababababababab.learned"

static char dir[64], sub[80], path[256];

static int setup(void **state)
{
	struct elf_image *img;

	snprintf(dir, sizeof(dir), "/tmp/tmbpf-cache-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("XDG_CACHE_HOME", dir, 1);
	snprintf(sub, sizeof(sub), "%s/tmbpf", dir);
	snprintf(path, sizeof(path), "%s/" FILE_OF_FIX, sub);
	img = fix_open(popper, ASM_LEN(popper), NULL, 0);
	assert_non_null(img);
	*state = img;
	return 0;
}

static int teardown(void **state)
{
	char learned[256], link[256];

	elf_image_free(*state);
	snprintf(learned, sizeof(learned), "%s/" LEARNED, sub);
	snprintf(link, sizeof(link), "%s/real", sub);
	unlink(path);
	unlink(learned);
	unlink(link);
	rmdir(sub);
	return rmdir(dir);
}

/* Get through the cache. Returns: whether the answer came from it. */
static bool get(struct elf_image *img)
{
	struct python_sites s;
	bool cached;

	assert_int_equal(python_sites_get(img, 11, true, &s), 0);
	assert_int_equal(s.pop_count, 1);
	assert_int_equal(s.pops[0].reg, 0);
	assert_true(s.pops[0].file_off != 0);
	assert_int_equal(s.refill_calls, 1);
	cached = s.from_cache;
	python_sites_release(&s);
	return cached;
}

static void second_time_comes_from_the_cache(void **state)
{
	struct python_sites s;
	struct stat st;

	assert_false(get(*state));
	assert_true(get(*state));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(python_sites_get(*state, 11, false, &s), 0);
	assert_false(s.from_cache);
	python_sites_release(&s);
}

static void every_changed_byte_is_noticed(void **state)
{
	uint8_t good[4096], bad[4096];
	size_t len;
	FILE *f;

	get(*state);
	f = fopen(path, "rb");
	assert_non_null(f);
	len = fread(good, 1, sizeof(good), f);
	fclose(f);
	for (size_t i = 0; i < len; i++) {
		memcpy(bad, good, len);
		bad[i] ^= 1;
		f = fopen(path, "wb");
		assert_int_equal(fwrite(bad, 1, len, f), len);
		fclose(f);
		assert_false(get(*state)); /* and is written anew */
		assert_true(get(*state));
	}
	assert_int_equal(truncate(path, (off_t)len / 2), 0);
	assert_false(get(*state));
	assert_int_equal(truncate(path, 0), 0);
	assert_false(get(*state));
}

/* FNV-1a, as the cache has it: a forger can compute it too. */
static void forge(size_t at, uint8_t value)
{
	uint8_t b[4096];
	uint64_t h = 0xcbf29ce484222325u;
	size_t len;
	FILE *f = fopen(path, "rb");

	len = fread(b, 1, sizeof(b), f);
	fclose(f);
	b[at] = value;
	for (size_t i = 0; i < len - 8; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	memcpy(b + len - 8, &h, 8);
	f = fopen(path, "wb");
	fwrite(b, 1, len, f);
	fclose(f);
}

static void forged_content_is_ignored(void **state)
{
	/* header 56, refill 8, calls 8, word 8, disagree 8, reason, count 4, then vaddr 8, bits 4 */
	const size_t calls = 56 + 8, reason = calls + 24, count = reason + SITES_REASON_LEN,
		     vaddr = count + 4, bits = vaddr + 8;
	const struct {
		size_t at;
		uint8_t value;
	} lies[] = {
		{0, 'X'},	{8, 99},       {12, 12},       {16, 1},	      {24, 0xaa},
		{56 + 4, 1},	{calls, 77},   {reason, 0x1b}, {count, 0},    {count, 200},
		{count + 3, 1}, {vaddr, 0},    {vaddr + 5, 1}, {bits, 16},    {bits, 4},
		{bits + 1, 3},	{bits + 2, 1}, {bits + 2, 4},  {bits + 4, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		get(*state);
		forge(lies[i].at, lies[i].value);
		assert_false(get(*state));
	}
}

static void what_others_could_write_is_ignored(void **state)
{
	char real[256];

	get(*state);
	assert_int_equal(chmod(path, 0620), 0);
	assert_false(get(*state));
	assert_true(get(*state));
	assert_int_equal(chmod(sub, 0777), 0);
	assert_false(get(*state));
	assert_int_equal(chmod(sub, 0700), 0);
	assert_true(get(*state));
	snprintf(real, sizeof(real), "%s/real", sub);
	assert_int_equal(rename(path, real), 0);
	assert_int_equal(symlink(real, path), 0);
	assert_false(get(*state)); /* a link is replaced, not followed */
	assert_true(get(*state));
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 12345), 0);
		assert_false(get(*state));
	}
}

static void no_build_id_means_no_cache(void **state)
{
	struct elf_image *img = *state;

	img->build_id_len = 0;
	assert_false(get(img));
	assert_false(get(img));
	assert_int_equal(access(path, F_OK), -1);
}

static void learned_sites_come_back_sorted(void **state)
{
	uint64_t site, *back;
	struct python_sites s;
	size_t n;

	assert_int_equal(learned_sites_load(*state, &back, &n), -ENOENT);
	assert_int_equal(python_sites_find(*state, 11, &s), 0);
	site = s.pops[0].vaddr;
	python_sites_release(&s);
	assert_int_equal(learned_sites_save(*state, (uint64_t[]){site, site}, 2), 0);
	assert_int_equal(learned_sites_load(*state, &back, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(back[0], site);
	free(back);
	assert_int_equal(learned_sites_save(*state, &(uint64_t){site + 1}, 1), 0);
	assert_int_equal(learned_sites_load(*state, &back, &n), -ENOENT); /* no jump is there */
	assert_int_equal(learned_sites_save(*state, NULL, 0), 0);
	assert_int_equal(learned_sites_load(*state, &back, &n), 0);
	assert_int_equal(n, 0);
	free(back);
	assert_int_equal(learned_sites_save(*state, &site, SITES_MAX + 1), -EFBIG);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(second_time_comes_from_the_cache), CASE(every_changed_byte_is_noticed),
		CASE(forged_content_is_ignored),	CASE(what_others_could_write_is_ignored),
		CASE(no_build_id_means_no_cache),	CASE(learned_sites_come_back_sorted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
