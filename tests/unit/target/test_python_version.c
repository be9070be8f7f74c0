/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which CPython a file is, by each of the four signs: the exported number, the header of _Py_DebugOffsets, the text
 * of sys.version in the data of the process (here: this one), and "python3.N" in the file.
 */
#include "live_python.h"

#include <errno.h>

#include "base/cleanup.h"
#include "target/python_layout.h"
#include "tests/unit/said.h"
#include "tests/unit/sites/elf_fixture.h"

#define FILE_BYTES 4096 /* of the made file's only segment */
#define DATA_BYTES 1000
#define AT_VERSION 64	/* Py_Version in it */
#define AT_RUNTIME 128	/* _PyRuntime */
#define AT_NAME	   1024 /* where names are put */
#define FINAL	   0xf0

struct made { /* a file, and the data of a process that runs it */
	uint8_t bytes[FILE_BYTES];
	char data[DATA_BYTES];
	size_t data_len;
	bool exports_version;
};

static struct made *made_new(void)
{
	return calloc(1, sizeof(struct made));
}

static void put_hex(struct made *m, uint32_t hex)
{
	memcpy(m->bytes + AT_VERSION, &hex, sizeof(hex));
	m->exports_version = true;
}

static void put_table(struct made *m, const char *cookie, uint64_t hex, uint64_t free_threaded)
{
	memcpy(m->bytes + AT_RUNTIME, cookie, 8);
	memcpy(m->bytes + AT_RUNTIME + 8, &hex, 8);
	memcpy(m->bytes + AT_RUNTIME + 16, &free_threaded, 8);
}

static void put_name(struct made *m, size_t i, const char *name)
{
	snprintf((char *)m->bytes + AT_NAME + 64 * i, 64, "%s", name);
}

static void put_text(struct made *m, const char *text)
{
	m->data_len = strlen(text) + 1;
	memcpy(m->data, text, m->data_len);
}

static struct elf_image *made_open(const struct made *m)
{
	const struct fix_sym syms[] = {
		{"Py_GetVersion", 0, 16},
		{"PyGILState_GetThisThreadState", 16, 16},
		{"Py_Version", AT_VERSION, 4},
	};
	struct elf_image *img = fix_open(m->bytes, FILE_BYTES, syms, m->exports_version ? 3 : 2);

	assert_non_null(img);
	return img;
}

/* Reads; the data ends with a page, so that a byte too many cannot be read. Returns: found. */
static bool read_made(const struct made *m, uint64_t runtime, struct python_target *out,
		      struct said *said)
{
	struct elf_image *img = made_open(m);
	char *copy = malloc(m->data_len + 1);
	struct target t = {.pid = getpid()};
	struct target_object o = {.path = (char *)"/made/python", .image = img};

	assert_non_null(copy);
	memcpy(copy, m->data, m->data_len);
	img->segments[0].write = true;
	img->segments[0].mem_len = m->data_len;
	o.bias = (uintptr_t)copy - img->segments[0].vaddr;
	*out = (struct python_target){.major = 77};
	said_begin(said);
	bool found = python_version_read(&t, &o, runtime, out);

	said_end(said);
	free(copy);
	elf_image_free(img);
	return found;
}

/* Found, as this, without a word. */
static void assert_version(const struct made *m, uint64_t runtime, unsigned minor, unsigned micro,
			   const char *text)
{
	struct python_target py;
	struct said said;

	if (!read_made(m, runtime, &py, &said))
		fail_msg("%s is not found", text);
	assert_int_equal(py.major, 3);
	assert_int_equal(py.minor, minor);
	assert_int_equal(py.micro, micro);
	assert_string_equal(py.version, text);
	assert_string_equal(said.text, "");
	said_release(&said);
}

static void assert_none(const struct made *m, uint64_t runtime)
{
	struct python_target py;
	struct said said;

	if (read_made(m, runtime, &py, &said))
		fail_msg("found as %s", py.version);
	said_release(&said);
}

/* ---- the exported number ---- */

static void the_exported_number_says_it(void **state)
{
	static const struct {
		uint32_t hex;
		unsigned minor, micro;
		const char *text;
	} known[] = {
		{0x030b0200 | FINAL, 11, 2, "3.11.2"},
		{0x030f00a1, 15, 0, "3.15.0a1"},
		{0x030f00b3, 15, 0, "3.15.0b3"},
		{0x030d00c2, 13, 0, "3.13.0rc2"},
		{0x030d0000 | FINAL, 13, 0, "3.13.0"},
		{0x030c0a01, 12, 10, "3.12.10rc1"},
		{0x03ffff00 | FINAL, 255, 255, "3.255.255"},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct made *m = made_new();
		struct elf_image *img;
		unsigned minor = 77;

		put_hex(m, known[i].hex);
		assert_version(m, 0, known[i].minor, known[i].micro, known[i].text);
		img = made_open(m);
		assert_true(python_image_minor(img, &minor));
		assert_int_equal(minor, known[i].minor);
		elf_image_free(img);
		free(m);
	}
}

static void the_exported_number_goes_before_all_else(void **state)
{
	struct made *m = made_new();

	put_hex(m, 0x030b02f0);
	put_table(m, "xdebugpy", 0x030d00f0, 0);
	put_text(m, "3.9.2 (default) \n[GCC]");
	put_name(m, 0, "python3.8");
	assert_version(m, fix_vaddr(AT_RUNTIME), 11, 2, "3.11.2");
	free(m);
}

static void another_major_number_is_no_cpython_3(void **state)
{
	static const uint32_t others[] = {0x020712f0, 0x040000f0, 0, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct made *m = made_new();
		struct elf_image *img;
		unsigned minor;

		put_hex(m, others[i]);
		img = made_open(m);
		assert_false(python_image_minor(img, &minor));
		elf_image_free(img);
		free(m);
	}
}

/* ---- the table ---- */

static void the_table_says_it(void **state)
{
	struct made *m = made_new();
	struct elf_image *img;

	put_table(m, "xdebugpy", 0x030e08f0, 0);
	put_text(m, "3.9.2 (default) \n[GCC]");
	assert_version(m, fix_vaddr(AT_RUNTIME), 14, 8, "3.14.8");
	img = made_open(m);
	assert_false(python_is_free_threaded(img, fix_vaddr(AT_RUNTIME)));
	elf_image_free(img);
	put_table(m, "xdebugpy", 0x030e08f0, 1);
	img = made_open(m);
	assert_true(python_is_free_threaded(img, fix_vaddr(AT_RUNTIME)));
	assert_false(python_is_free_threaded(img, 0));
	/* Not all of its head is in the file. */
	assert_false(python_is_free_threaded(img, fix_vaddr(FILE_BYTES - 23)));
	elf_image_free(img);
	put_table(m, "xdebugpx", 0x030e08f0, 1);
	img = made_open(m);
	assert_false(python_is_free_threaded(img, fix_vaddr(AT_RUNTIME)));
	elf_image_free(img);
	assert_version(m, fix_vaddr(AT_RUNTIME), 9, 2, "3.9.2"); /* then the text does */
	free(m);
}

/* ---- the text ---- */

static void the_text_of_each_version_is_read(void **state)
{
	static const struct {
		const char *text;
		unsigned minor, micro;
		const char *version;
	} known[] = {
		{"3.6.15 (default, May  9 2026, 01:01:16) \n[GCC 12.2.0]", 6, 15, "3.6.15"},
		{"3.7.16 (default, May  9 2026, 01:01:16) \n[GCC 12.2.0]", 7, 16, "3.7.16"},
		{"3.9.2 (default, Feb 28 2021, 17:03:44) \n[GCC 10.2.1 20210110]", 9, 2, "3.9.2"},
		{"3.9.2+ (heads/3.9:1234, Feb 28 2021, 17:03:44) \n[Clang 14.0.6 ]", 9, 2,
		 "3.9.2+"},
		{"3.8.0rc1 (default, Sep  1 2019, 17:03:44) \n[GCC 9.2.1]", 8, 0, "3.8.0rc1"},
		{"3.8.0b4+ (default, Sep  1 2019, 17:03:44) \n[GCC 9.2.1]", 8, 0, "3.8.0b4+"},
		/* From 3.10 on the compiler is on the same line. */
		{"3.10.13 (main, May  9 2026, 01:01:16) [GCC 12.2.0]", 10, 13, "3.10.13"},
		{"3.10.0a7+ (heads/master, Apr  9 2021, 01:01:16) [Clang 12.0.1 ]", 10, 0,
		 "3.10.0a7+"},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct made *m = made_new();

		put_text(m, known[i].text);
		assert_version(m, 0, known[i].minor, known[i].micro, known[i].version);
		free(m);
	}
}

static void the_text_is_found_wherever_it_begins(void **state)
{
	static const char text[] = "3.9.2 (default, Feb 28 2021) \n[GCC 10.2.1]";
	struct made *m = made_new();

	for (size_t at = 0; at + sizeof(text) <= DATA_BYTES; at += at < 20 ? 1 : 97) {
		memset(m->data, 0, DATA_BYTES);
		memcpy(m->data + at, text, sizeof(text));
		m->data_len = DATA_BYTES;
		assert_version(m, 0, 9, 2, "3.9.2");
		/* At the very end, and without the NUL behind it. */
		m->data_len = at + sizeof(text) - 1;
		assert_version(m, 0, 9, 2, "3.9.2");
	}
	/* Other data that looks like the beginning of it is passed over. */
	memset(m->data, 0, DATA_BYTES);
	memcpy(m->data, "3.40.1\0003.\0003.9\0003.9.2 \0", 22);
	memcpy(m->data + 300, text, sizeof(text));
	m->data_len = DATA_BYTES;
	assert_version(m, 0, 9, 2, "3.9.2");
	free(m);
}

static void what_is_not_that_text_is_passed_over(void **state)
{
	static const char *const others[] = {
		"",
		"3",
		"3.",
		"3.9",
		"3.9.2",
		"3.9.2 ",
		"3.9.2 (",
		"3.9.2 (default, Feb 28 2021)",			/* no compiler */
		"3.9.2(default, Feb 28 2021) \n[GCC]",		/* no blank */
		"3.9.2  (default, Feb 28 2021) \n[GCC]",	/* two */
		"3.9 (default, Feb 28 2021) \n[GCC]",		/* no patch release */
		"3..2 (default, Feb 28 2021) \n[GCC]",		/* no minor */
		"3.x.2 (default, Feb 28 2021) \n[GCC]",		/* no number */
		"4.9.2 (default, Feb 28 2021) \n[GCC]",		/* no 3 */
		"13.9.2 (default, Feb 28 2021) \n[GCC]",	/* inside a number */
		"v3.9.2 (default, Feb 28 2021) \n[GCC]",	/* inside a word */
		"3.999.2 (default, Feb 28 2021) \n[GCC]",	/* three digits */
		"3.9.2abcdefgh (default, Feb 28 2021) \n[GCC]", /* longer than any suffix */
		"3.9.2-x (default, Feb 28 2021) \n[GCC]",	/* no such suffix */
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct made *m = made_new();

		put_text(m, others[i]);
		assert_none(m, 0);
		free(m);
	}
}

/* scanf() takes blanks and signs before a number, and leaves the digits behind its width. */
static void numbers_that_only_scanf_takes_are_no_version(void **state)
{
	static const char *const odd[] = {
		"3.-1.2 (default, Feb 28 2021) \n[GCC]",  "3.+9.2 (default, Feb 28 2021) \n[GCC]",
		"3. 9.2 (default, Feb 28 2021) \n[GCC]",  "3.9.-2 (default, Feb 28 2021) \n[GCC]",
		"3.9.+2 (default, Feb 28 2021) \n[GCC]",  "3.9. 2 (default, Feb 28 2021) \n[GCC]",
		"3.\n9.2 (default, Feb 28 2021) \n[GCC]", "3.9.2222 (default, Feb 28 2021) \n[GCC]",
	};

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct made *m = made_new();

		put_text(m, odd[i]);
		assert_none(m, 0);
		free(m);
	}
}

/* Py_GetVersion() has 250 bytes: what ends later is another text. */
static void a_text_that_does_not_end_is_none(void **state)
{
	struct made *m = made_new();

	memset(m->data, 'x', DATA_BYTES);
	memcpy(m->data, "3.9.2 (", 7);
	memcpy(m->data + 400, ") \n[GCC]", 8);
	m->data_len = DATA_BYTES;
	assert_none(m, 0);
	memcpy(m->data + 200, ") \n[GCC]", 8);
	assert_version(m, 0, 9, 2, "3.9.2");
	/* Nothing but beginnings. */
	for (size_t i = 0; i < DATA_BYTES; i++)
		m->data[i] = "3.\0"[i % 3];
	assert_none(m, 0);
	free(m);
}

static void without_readable_data_the_name_serves(void **state)
{
	struct made *m = made_new();
	struct elf_image *img;
	struct target t = {.pid = getpid()};
	struct target_object o = {.path = (char *)"/made/python"};
	struct python_target py = {0};

	put_name(m, 0, "/usr/lib/python3.9");
	img = made_open(m);
	img->segments[0].write = true;
	img->segments[0].mem_len = DATA_BYTES;
	o.image = img;
	o.bias = 8 - img->segments[0].vaddr; /* nothing is there */
	assert_true(python_version_read(&t, &o, 0, &py));
	assert_string_equal(py.version, "3.9");
	t.pid = -1; /* and nobody */
	assert_true(python_version_read(&t, &o, 0, &py));
	assert_string_equal(py.version, "3.9");
	assert_int_equal(py.major, 3);
	assert_int_equal(py.minor, 9);
	assert_int_equal(py.micro, 0);
	elf_image_free(img);
	free(m);
}

/* ---- names in the file ---- */

static void one_name_in_the_file_says_the_minor(void **state)
{
	static const char *const names[] = {"python3.9",	  "/usr/lib/python3.9/lib-dynload",
					    "libpython3.9.so",	  "python3.9m",
					    "xpython3.9python3.", "python3.09"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct made *m = made_new();
		struct elf_image *img;
		unsigned minor = 0;

		put_name(m, 0, names[i]);
		put_name(m, 1, names[i]);
		put_name(m, 2, "python3.");  /* no number */
		put_name(m, 3, "python3.x"); /* none either */
		put_name(m, 4, "python3.5"); /* no version that we know */
		put_name(m, 5, "python3.0");
		put_name(m, 6, "python3.100");
		put_name(m, 7, "python3.99999999999999999999");
		put_name(m, 8, "python 3.8");
		put_name(m, 9, "Python3.8");
		assert_version(m, 0, 9, 0, "3.9");
		img = made_open(m);
		assert_true(python_image_minor(img, &minor));
		assert_int_equal(minor, 9);
		elf_image_free(img);
		free(m);
	}
}

static void several_names_say_nothing(void **state)
{
	struct made *m = made_new();
	struct elf_image *img;
	unsigned minor = 77;

	put_name(m, 0, "python3.9");
	put_name(m, 1, "python3.10");
	assert_none(m, 0);
	img = made_open(m);
	assert_false(python_image_minor(img, &minor));
	elf_image_free(img);
	/* But the text does, and without a complaint: it names one of them. */
	put_text(m, "3.9.2 (default) \n[GCC]");
	assert_version(m, 0, 9, 2, "3.9.2");
	free(m);
}

static void a_name_at_the_end_of_the_file_is_read_to_there(void **state)
{
	/* The code is the last thing in the made file. */
	struct made *m = made_new();
	static const char *const cut[] = {"python3.", "python3", "python3.1", "python3.12"};

	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		memset(m->bytes, 0, FILE_BYTES);
		memcpy(m->bytes + FILE_BYTES - strlen(cut[i]), cut[i], strlen(cut[i]));
		struct elf_image *img = made_open(m);
		unsigned minor = 0;

		/* What lies behind it in the file is not its end here: let it end there. */
		img->len = (size_t)(memmem(img->data, img->len, cut[i], strlen(cut[i])) -
				    (const void *)img->data) +
			   strlen(cut[i]);
		assert_int_equal(python_image_minor(img, &minor), i == 3);
		assert_int_equal(minor, i == 3 ? 12 : 0);
		elf_image_free(img);
	}
	free(m);
}

static void a_text_that_contradicts_the_name_wins_and_is_said(void **state)
{
	struct made *m = made_new();
	struct python_target py;
	struct said said;

	put_name(m, 0, "python3.8");
	put_text(m, "3.9.2 (default) \n[GCC]");
	assert_true(read_made(m, 0, &py, &said));
	assert_string_equal(py.version, "3.9.2");
	assert_non_null(strstr(
		said.text, "/made/python contains the string python3.8 but reports version 3.9.2"));
	said_release(&said);
	free(m);
}

static void what_exports_no_interpreter_is_none(void **state)
{
	struct made *m = made_new();
	struct elf_image *img;
	const struct fix_sym one[] = {{"Py_GetVersion", 0, 16}};
	unsigned minor;

	put_name(m, 0, "python3.9");
	img = fix_open(m->bytes, FILE_BYTES, one, 1);
	assert_false(python_image_minor(img, &minor));
	elf_image_free(img);
	img = fix_open(m->bytes, FILE_BYTES, NULL, 0);
	assert_false(python_image_minor(img, &minor));
	elf_image_free(img);
	free(m);
}

/* ---- real files ---- */

static void the_files_of_this_machine_say_their_minor(void **state)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons);

	for (size_t i = 0; i < n; i++) {
		struct elf_image *img = NULL;
		unsigned minor = 77;

		assert_int_equal(elf_image_open(pythons[i].file, &img), 0);
		if (python_image_minor(img, &minor) != (pythons[i].major == 3) ||
		    (pythons[i].major == 3 && minor != pythons[i].minor))
			fail_msg("%s: %u", pythons[i].file, minor);
		elf_image_free(img);
	}
	if (!n)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_exported_number_says_it),
		cmocka_unit_test(the_exported_number_goes_before_all_else),
		cmocka_unit_test(another_major_number_is_no_cpython_3),
		cmocka_unit_test(the_table_says_it),
		cmocka_unit_test(the_text_of_each_version_is_read),
		cmocka_unit_test(the_text_is_found_wherever_it_begins),
		cmocka_unit_test(what_is_not_that_text_is_passed_over),
		cmocka_unit_test(numbers_that_only_scanf_takes_are_no_version),
		cmocka_unit_test(a_text_that_does_not_end_is_none),
		cmocka_unit_test(without_readable_data_the_name_serves),
		cmocka_unit_test(one_name_in_the_file_says_the_minor),
		cmocka_unit_test(several_names_say_nothing),
		cmocka_unit_test(a_name_at_the_end_of_the_file_is_read_to_there),
		cmocka_unit_test(a_text_that_contradicts_the_name_wins_and_is_said),
		cmocka_unit_test(what_exports_no_interpreter_is_none),
		cmocka_unit_test(the_files_of_this_machine_say_their_minor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
