/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
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
#include "sites/cache_file.h"
#include "sites/site_proof.h"
#include "sites/sites.h"
#include "sites/text_id.h"

ASM_CODE(popper, POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY(
			 "rax", "rdx", "rcx") "ret\n"
					      "9: call 8f\n ret\n 8: push %rbx\n ret\n");

/* As popper, with another instruction at the end and the refill function one byte further. */
ASM_CODE(twin, POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY(
		       "rax", "rdx", "rcx") "ret\n"
					    "9: call 8f\n ret\n nop\n 8: push %rbx\n ret\n");

/* Up to 3.8 the allocator sets up the pool itself: two ways into that, in rdx and ebx. */
#define SET_UP                                                      \
	"mov %ebx,0x24(%rdx)\n add $1,%ebx\n lea 0x30(%rdx),%rsi\n" \
	"mov %ebx,0x28(%rdx)\n mov %rsi,0x8(%rdx)\n mov %ecx,0x2c(%rdx)\n ret\n"
ASM_CODE(old_popper,
	 POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY("rax", "rdx",
						    "rcx") "ret\n"
							   "9: cmp %ecx,%ebx\n je 2f\n 1:" SET_UP
							   "2: ret\n"
							   "movl $1,(%rdx)\n jmp 1b\n");

static char dir[64], sub[80], path[256], learned[256];

static void set_paths(const struct elf_image *img, unsigned minor)
{
	struct text_id id;

	text_id_of(img, &id);
	snprintf(path, sizeof(path), "%s/%s.py3%u.sites", sub, id.hex, minor);
	snprintf(learned, sizeof(learned), "%s/%s.learned", sub, id.hex);
}

static int setup(void **state)
{
	struct elf_image *img;

	snprintf(dir, sizeof(dir), "/tmp/tmbpf-cache-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("XDG_CACHE_HOME", dir, 1);
	snprintf(sub, sizeof(sub), "%s/tmbpf", dir);
	img = fix_open(popper, ASM_LEN(popper), NULL, 0);
	assert_non_null(img);
	set_paths(img, 11);
	*state = img;
	return 0;
}

/* The same with a file of 3.8. */
static int setup_old(void **state)
{
	if (setup(state))
		return -1;
	elf_image_free(*state);
	*state = fix_open(old_popper, ASM_LEN(old_popper), NULL, 0);
	assert_non_null(*state);
	set_paths(*state, 8);
	return 0;
}

static int teardown(void **state)
{
	char link[256];

	elf_image_free(*state);
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

/* The same of 3.8, with all that is kept of a way into a new pool. */
static bool get_old(struct elf_image *img)
{
	struct python_sites s, fresh;
	bool cached;

	assert_int_equal(python_sites_get(img, 8, true, &s), 0);
	assert_int_equal(python_sites_find(img, 8, &fresh), 0);
	assert_int_equal(s.pop_count, 1);
	assert_int_equal(s.refill_vaddr, 0);
	assert_int_equal(s.refill_calls, 0);
	assert_int_equal(s.init_count, 2);
	for (size_t i = 0; i < s.init_count; i++) {
		assert_int_equal(s.inits[i].vaddr, fresh.inits[i].vaddr);
		assert_int_equal(s.inits[i].file_off, fresh.inits[i].vaddr - FIX_VADDR);
		assert_int_equal(s.inits[i].reg, 2);
		assert_int_equal(s.inits[i].reg2, 3);
		assert_true(s.inits[i].init);
		assert_false(s.inits[i].after_pop);
		assert_int_equal(s.inits[i].evidence, 2);
	}
	assert_string_equal(s.reason, fresh.reason);
	cached = s.from_cache;
	python_sites_release(&s);
	python_sites_release(&fresh);
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

static void change_every_byte(struct elf_image *img, bool (*look)(struct elf_image *img))
{
	uint8_t good[4096], bad[4096];
	size_t len;
	FILE *f;

	look(img);
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
		assert_false(look(img)); /* and is written anew */
		assert_true(look(img));
	}
	assert_int_equal(truncate(path, (off_t)len / 2), 0);
	assert_false(look(img));
	assert_int_equal(truncate(path, 0), 0);
	assert_false(look(img));
}

static void every_changed_byte_is_noticed(void **state)
{
	change_every_byte(*state, get);
}

static void every_changed_byte_of_new_pools_is_noticed(void **state)
{
	change_every_byte(*state, get_old);
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

static uint8_t byte_at(size_t at)
{
	FILE *f = fopen(path, "rb");
	uint8_t b = 0;

	assert_non_null(f);
	assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
	assert_int_equal(fread(&b, 1, 1, f), 1);
	fclose(f);
	return b;
}

static void entry_path(const struct elf_image *img, unsigned minor, char out[256])
{
	struct text_id id;

	text_id_of(img, &id);
	snprintf(out, 256, "%s/%s.py3%u.sites", sub, id.hex, minor);
}

static void unlink_entry(const struct elf_image *img, unsigned minor)
{
	char name[256];

	entry_path(img, minor, name);
	assert_int_equal(unlink(name), 0);
}

static void rename_entry(const struct elf_image *from, const struct elf_image *to, unsigned minor)
{
	char a[256], b[256];

	entry_path(from, minor, a);
	entry_path(to, minor, b);
	assert_int_equal(rename(a, b), 0);
}

static void forged_content_is_ignored(void **state)
{
	/* header 48, refill 8, calls 8, word 8, disagree 8, reason, count 4, then vaddr 8, bits 4 */
	const size_t calls = 48 + 8, reason = calls + 24, count = reason + SITES_REASON_LEN,
		     vaddr = count + 4, bits = vaddr + 8;
	const struct {
		size_t at;
		uint8_t value;
	} lies[] = {
		{0, 'X'},	{8, 99},       {12, 12},       {16, 1},	      {24, 0xaa},
		{48 + 4, 1},	{calls, 77},   {reason, 0x1b}, {count, 0},    {count, 200},
		{count + 3, 1}, {vaddr, 0},    {vaddr + 5, 1}, {bits, 16},    {bits, 4},
		{bits + 1, 3},	{bits + 2, 1}, {bits + 2, 4},  {bits + 4, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		get(*state);
		forge(lies[i].at, lies[i].value);
		assert_false(get(*state));
	}
}

/* header 48, refill 8, calls 8, word 8, disagree 8, reason; then per kind of site: count 4, each 12 */
#define AT_REFILL 48
#define AT_POPS	  (AT_REFILL + 32 + SITES_REASON_LEN)
#define AT_NEWREF (AT_POPS + 4 + 12)
#define AT_INITS  (AT_NEWREF + 4)
#define SITE_REG  8 /* in one site */
#define SITE_BITS 10
#define SITE_REG2 11

static void forged_new_pools_are_ignored(void **state)
{
	const size_t first = AT_INITS + 4, second = first + 12;
	const struct {
		size_t at;
		uint8_t value;
	} lies[] = {
		{AT_INITS, 0},
		{AT_INITS, 1},
		{AT_INITS, 3},
		{AT_INITS + 3, 1},
		{first, 0},
		{first + 5, 1},
		{second + 1, 0},
		{second + 5, 1},
		{first + SITE_REG, 4},
		{first + SITE_REG, 16},
		{first + SITE_REG2, 16},
		{first + SITE_REG2, 255},
		{first + SITE_BITS, 5},
		{first + SITE_BITS, 6},
		{first + SITE_BITS, 8},
		{first + SITE_BITS, 12},
		{first + SITE_REG + 1, 3},
		{AT_NEWREF, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		get_old(*state);
		forge(lies[i].at, lies[i].value);
		if (get_old(*state))
			fail_msg("lie %zu is believed", i);
	}
	/* What is no lie is read, or this proves nothing. */
	get_old(*state);
	forge(first + SITE_REG, 5);
	forge(first + SITE_REG, 2);
	assert_true(get_old(*state));
}

/* There is a refill function, or there are places that set up a pool. */
static void both_ways_into_a_pool_are_ignored(void **state)
{
	struct python_sites s;

	get_old(*state);
	assert_int_equal(python_sites_find(*state, 8, &s), 0);
	for (size_t i = 0; i < 8; i++)
		forge(AT_REFILL + i, (uint8_t)(s.pops[0].vaddr >> 8 * i));
	python_sites_release(&s);
	assert_false(get_old(*state));
}

/* A jump that only a way into a pool may stand on is none for a pop; and the other way round. */
static void a_site_of_one_kind_is_none_of_another(void **state)
{
	get_old(*state);
	forge(AT_POPS + 4 + SITE_REG2, 3);
	forge(AT_POPS + 4 + SITE_BITS, 4);
	assert_false(get_old(*state));
	forge(AT_INITS + 4 + SITE_BITS, 0);
	assert_false(get_old(*state));
}

static void sites_of_new_pools_come_back(void **state)
{
	assert_false(get_old(*state));
	assert_true(get_old(*state));
	assert_int_equal(access(path, R_OK), 0);
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

static void a_file_without_build_id_is_kept_too(void **state)
{
	struct elf_image *img = *state;

	img->build_id_len = 0;
	assert_false(get(img));
	assert_true(get(img));
}

/*
 * The build-id and the length are what the author of a file says they are. Here the text of the second differs in
 * one instruction that is no site, and in where its refill function is.
 */
static void a_forged_build_id_opens_no_entry(void **state)
{
	struct elf_image *other = fix_open(twin, ASM_LEN(twin), NULL, 0), *img = *state;
	struct python_sites mine, twins;

	assert_non_null(other);
	assert_int_equal(other->len, img->len);
	assert_memory_equal(other->build_id, img->build_id, sizeof(img->build_id));
	assert_int_equal(python_sites_get(img, 11, true, &mine), 0);
	assert_int_equal(python_sites_get(other, 11, true, &twins), 0);
	assert_false(twins.from_cache);
	assert_int_not_equal(mine.refill_vaddr, twins.refill_vaddr);
	python_sites_release(&mine);
	python_sites_release(&twins);
	unlink_entry(other, 11);
	elf_image_free(other);
}

/* The same text, owned by another user: what was learned from one is not found for the other. */
static void owners_are_kept_apart(void **state)
{
	struct elf_image *img = *state;
	uid_t mine = img->owner;

	assert_false(get(img));
	img->owner = mine + 1;
	assert_false(get(img));
	unlink_entry(img, 11);
	img->owner = mine;
	assert_true(get(img));
}

/* The file of one text under the name of another, with a header and a checksum that fit. */
static void an_entry_of_another_text_is_no_probe(void **state)
{
	struct elf_image *img = *state, *other = fix_open(twin, ASM_LEN(twin), NULL, 0);
	struct python_sites right, s;
	struct text_id id;

	assert_int_equal(python_sites_find(other, 11, &right), 0);
	assert_false(get(img));
	text_id_of(other, &id);
	for (size_t i = 0; i < sizeof(id.digest); i++)
		forge(16 + i, id.digest[i]);
	set_paths(img, 11);
	rename_entry(img, other, 11);
	assert_int_equal(python_sites_get(other, 11, true, &s), 0);
	assert_false(s.from_cache);
	assert_int_equal(s.refill_vaddr, right.refill_vaddr);
	python_sites_release(&s);
	python_sites_release(&right);
	unlink_entry(other, 11);
	elf_image_free(other);
}

/* Each byte changed in each way that one bit makes, with a checksum that fits: the probes stay the right ones. */
static void no_forged_byte_becomes_a_probe(void **state)
{
	struct python_sites right;
	struct stat st;

	assert_false(get(*state));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(python_sites_find(*state, 11, &right), 0);
	for (size_t at = 0; at < (size_t)st.st_size - 8; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct python_sites s;

			forge(at, (uint8_t)(byte_at(at) ^ 1u << bit));
			assert_int_equal(python_sites_get(*state, 11, true, &s), 0);
			if (!proof_agrees(&right, &s))
				fail_msg("byte %zu, bit %u: another probe", at, bit);
			python_sites_release(&s);
			assert_int_equal(unlink(path), 0);
			assert_false(get(*state));
		}
	}
	python_sites_release(&right);
}

static void only_ranges_of_the_text_are_decoded(void **state)
{
	const uint64_t text = fix_vaddr(0);
	const struct code_range bad[][2] = {
		{{text - 1, 2}, {text + 4, 1}},		      /* before it */
		{{text, 4}, {text + ASM_LEN(popper) - 1, 2}}, /* behind it */
		{{text, 4}, {text + 3, 4}},		      /* twice the same byte */
		{{text + 4, 4}, {text, 4}},		      /* not sorted */
		{{text, 0}, {text + 4, 4}},
		{{text, UINT32_MAX}, {text + 4, 4}},
		{{UINT64_MAX, 1}, {text, 4}},
	};
	const struct code_range good[] = {{text, 4}, {text + 4, 4}};
	struct code code;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(decode_ranges(*state, bad[i], 2, &code), -EBADMSG);
	assert_int_equal(decode_ranges(*state, good, 2, &code), 0);
	assert_true(code.count > 0);
	decode_release(&code);
}

static void the_number_of_entries_is_bounded(void **state)
{
	struct elf_image *img = *state;
	struct text_id id;
	unsigned files = 0;
	DIR *d;

	text_id_of(img, &id);
	for (unsigned i = 0; i < CACHE_FILES_MAX + 20; i++) {
		struct buf b = {0};

		buf_append(&b, &i, sizeof(i));
		snprintf(id.hex, sizeof(id.hex), "%064x", i);
		assert_int_equal(cache_file_write(&id, "learned", &b), 0);
		buf_release(&b);
	}
	d = opendir(sub);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		files++;
		unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
	assert_in_range(files, CACHE_FILES_MAX - 1, CACHE_FILES_MAX);
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
#define OLD(f)	cmocka_unit_test_setup_teardown(f, setup_old, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(second_time_comes_from_the_cache),
		CASE(every_changed_byte_is_noticed),
		CASE(forged_content_is_ignored),
		CASE(what_others_could_write_is_ignored),
		CASE(a_file_without_build_id_is_kept_too),
		CASE(a_forged_build_id_opens_no_entry),
		CASE(owners_are_kept_apart),
		CASE(an_entry_of_another_text_is_no_probe),
		CASE(no_forged_byte_becomes_a_probe),
		CASE(only_ranges_of_the_text_are_decoded),
		CASE(the_number_of_entries_is_bounded),
		CASE(learned_sites_come_back_sorted),
		OLD(sites_of_new_pools_come_back),
		OLD(every_changed_byte_of_new_pools_is_noticed),
		OLD(forged_new_pools_are_ignored),
		OLD(both_ways_into_a_pool_are_ignored),
		OLD(a_site_of_one_kind_is_none_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
