/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers of str objects, and code points to UTF-8. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "symbolize/py_str.h"

#define STR_ADDR 0x1000

/* kind:3, compact:1, ascii:1, from the shift of the build on; below it is "interned". */
#define COMPACT (1u << 3)
#define ASCII	(1u << 4)

/* Sizes of PyASCIIObject and PyCompactUnicodeObject, user/target/py_offsets_rows.h. */
static const struct build {
	unsigned minor;
	bool free_threaded;
	unsigned shift, length_at, state_at, ascii, compact;
} builds[] = {
	{6, false, 2, 16, 32, 48, 72},	{11, false, 2, 16, 32, 48, 72},
	{12, false, 2, 16, 32, 40, 56}, {15, false, 2, 16, 32, 40, 56},
	{13, true, 2, 32, 48, 56, 72},	{14, true, 8, 32, 48, 56, 72},
};

static void for_each_build(void (*check)(const struct build *b, const struct py_offsets *off))
{
	for (size_t i = 0; i < sizeof(builds) / sizeof(builds[0]); i++) {
		const struct py_offsets *off =
			py_offsets_get(builds[i].minor, builds[i].free_threaded);

		assert_non_null(off);
		check(&builds[i], off);
	}
}

/* A header with this state above the shift, and every interned bit below it set or none. */
static int parse_as(const struct build *b, const struct py_offsets *off, uint64_t length,
		    uint32_t state, bool interned, struct py_str *out)
{
	uint8_t header[PY_STR_HEADER_MAX] = {0};
	uint32_t word = state << b->shift | (interned ? (1u << b->shift) - 1 : 0);

	memcpy(header + b->length_at, &length, sizeof(length));
	memcpy(header + b->state_at, &word, sizeof(word));
	return py_str_parse(off, STR_ADDR, header, py_str_header_len(off), out);
}

/* What "interned" says, changes nothing. */
static int parse(const struct build *b, const struct py_offsets *off, uint64_t length,
		 uint32_t state, struct py_str *out)
{
	struct py_str other = {.kind = 99};
	int err = parse_as(b, off, length, state, false, out);

	assert_int_equal(parse_as(b, off, length, state, true, &other), err);
	if (!err) {
		assert_int_equal(other.data_addr, out->data_addr);
		assert_int_equal(other.data_ptr_addr, out->data_ptr_addr);
		assert_int_equal(other.bytes, out->bytes);
		assert_int_equal(other.kind, out->kind);
	}
	return err;
}

static void check_where(const struct build *b, const struct py_offsets *off)
{
	struct py_str s;

	assert_int_equal(py_str_header_len(off), b->state_at + 4);
	assert_int_equal(parse(b, off, 5, 1 | COMPACT | ASCII, &s), 0);
	assert_int_equal(s.data_addr, STR_ADDR + b->ascii);
	assert_int_equal(s.data_ptr_addr, 0);
	assert_int_equal(s.bytes, 5);
	for (unsigned kind = 1; kind <= 4; kind *= 2) {
		assert_int_equal(parse(b, off, 5, kind | COMPACT, &s), 0);
		assert_int_equal(s.data_addr, STR_ADDR + b->compact);
		assert_int_equal(s.bytes, 5 * kind);
		assert_int_equal(s.kind, kind);
	}
}

static void header_says_where_the_characters_are(void **state)
{
	for_each_build(check_where);
}

static void check_subclass(const struct build *b, const struct py_offsets *off)
{
	struct py_str s;

	assert_int_equal(parse(b, off, 5, 2, &s), 0);
	assert_int_equal(s.data_addr, 0);
	assert_int_equal(s.data_ptr_addr, STR_ADDR + b->compact);
	assert_int_equal(s.bytes, 10);
}

static void subclass_keeps_a_pointer(void **state)
{
	for_each_build(check_subclass);
}

static void check_impossible(const struct build *b, const struct py_offsets *off)
{
	struct py_str s = {.kind = 77};
	uint8_t header[PY_STR_HEADER_MAX] = {0};

	assert_int_equal(parse(b, off, 5, 0, &s),
			 -EBADMSG); /* kind 0: a wstr that was never made ready */
	for (unsigned kind = 0; kind < 8; kind++)
		if (kind != 1 && kind != 2 && kind != 4)
			assert_int_equal(parse(b, off, 5, kind | COMPACT, &s), -EBADMSG);
	assert_int_equal(parse(b, off, 5, 2 | COMPACT | ASCII, &s), -EBADMSG);
	assert_int_equal(parse(b, off, 5, 4 | COMPACT | ASCII, &s), -EBADMSG);
	assert_int_equal(parse(b, off, PY_STR_CODEPOINTS_MAX + 1, 1 | COMPACT | ASCII, &s),
			 -EBADMSG);
	assert_int_equal(parse(b, off, UINT64_MAX, 4 | COMPACT, &s), -EBADMSG);
	for (size_t len = 0; len < b->state_at + 4; len++)
		assert_int_equal(py_str_parse(off, STR_ADDR, header, len, &s), -EBADMSG);
	assert_int_equal(s.kind, 77);
	assert_int_equal(parse(b, off, PY_STR_CODEPOINTS_MAX, 4 | COMPACT, &s), 0);
	assert_int_equal(s.bytes, PY_STR_BYTES_MAX);
}

static void impossible_headers_are_refused(void **state)
{
	for_each_build(check_impossible);
}

/* A word written by one kind of build, read as of the other, is no string or another one. */
static void the_shift_of_the_build_counts(void **state)
{
	const struct py_offsets *usual = py_offsets_get(13, true), *wide = py_offsets_get(14, true);
	const uint32_t word = (1 | COMPACT | ASCII) << 8;
	uint8_t header[PY_STR_HEADER_MAX] = {0};
	struct py_str s;

	memcpy(header + 48, &word, sizeof(word));
	assert_int_equal(py_str_parse(wide, STR_ADDR, header, sizeof(header), &s), 0);
	assert_int_equal(s.kind, 1);
	assert_int_equal(py_str_parse(usual, STR_ADDR, header, sizeof(header), &s), -EBADMSG);
}

static void offsets_behind_any_header_are_unusable(void **state)
{
	struct py_offsets far = *py_offsets_get(12, false);

	far.str_state = PY_NONE;
	assert_int_equal(py_str_header_len(&far), 0);
	far.str_state = PY_STR_HEADER_MAX - 4;
	assert_int_equal(py_str_header_len(&far), PY_STR_HEADER_MAX);
	far.str_state = PY_STR_HEADER_MAX - 3;
	assert_int_equal(py_str_header_len(&far), 0);
	far.str_state = 32;
	far.str_length = PY_STR_HEADER_MAX - 7;
	assert_int_equal(py_str_header_len(&far), 0);
}

static void assert_text(const void *data, size_t bytes, unsigned kind, const char *want)
{
	struct intern *strings = intern_new();
	str_id_t id = {0};

	assert_non_null(strings);
	assert_int_equal(py_str_intern(strings, data, bytes, kind, &id), 0);
	assert_string_equal(intern_get(strings, id), want);
	assert_int_equal(intern_len(strings, id), strlen(want));
	intern_free(strings);
}

static void every_kind_gives_utf8(void **state)
{
	const uint8_t latin1[] = {'c', 'a', 'f', 0xe9, 0xff};
	const uint16_t ucs2[] = {'a', 0x7f, 0x80, 0x7ff, 0x800, 0x65e5, 0xffff};
	const uint32_t ucs4[] = {'a', 0xe9, 0x65e5, 0x10000, 0x1f40d, 0x10ffff};

	assert_text(latin1, sizeof(latin1), 1, "caf\xc3\xa9\xc3\xbf");
	assert_text(ucs2, sizeof(ucs2), 2,
		    "a\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xe6\x97\xa5\xef\xbf\xbf");
	assert_text(ucs4, sizeof(ucs4), 4,
		    "a\xc3\xa9\xe6\x97\xa5\xf0\x90\x80\x80\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbf");
	assert_text(latin1, 0, 1, "");
}

static void what_utf8_cannot_hold_is_escaped(void **state)
{
	const uint16_t pair[] = {0xd83d, 0xdc0d, 'x', 0xdcff, 0xdfff};
	const uint32_t high[] = {0xd800, 0x110000, UINT32_MAX, 'x'};
	const uint8_t nul[] = {'a', 0, 'b'};

	assert_text(pair, sizeof(pair), 2, "\\ud83d\\udc0dx\\udcff\\udfff");
	assert_text(high, sizeof(high), 4, "\\ud800\xef\xbf\xbd\xef\xbf\xbdx");
	assert_text(nul, sizeof(nul), 1, "a\\x00b");
}

static void cut_code_point_is_dropped(void **state)
{
	const uint8_t data[] = {'a', 0, 0, 0, 'b', 0, 0};

	assert_text(data, sizeof(data), 4, "a");
	assert_text(data, 3, 2, "a");
	assert_text(data, 3, 4, "");
}

static void unknown_kind_is_named_so(void **state)
{
	assert_text("abc", 3, 0, "<unknown>");
	assert_text("abc", 3, 3, "<unknown>");
	assert_text("abc", 3, 255, "<unknown>");
}

/* Every code point there is, and some that are none: always text that json_writer takes as it is. */
static void output_is_always_well_formed(void **state)
{
	struct intern *strings = intern_new();

	assert_non_null(strings);
	for (uint32_t cp = 0; cp < 0x110800; cp += cp < 0x10800 ? 1 : 257) {
		str_id_t id = {0};

		assert_int_equal(py_str_intern(strings, &cp, sizeof(cp), 4, &id), 0);
		const char *s = intern_get(strings, id);
		const char *end = s + intern_len(strings, id);

		assert_true(s < end);
		while (s < end) {
			size_t n = utf8_char_len(s);

			assert_true(n > 0 && *s);
			s += n;
		}
	}
	intern_free(strings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_says_where_the_characters_are),
		cmocka_unit_test(subclass_keeps_a_pointer),
		cmocka_unit_test(impossible_headers_are_refused),
		cmocka_unit_test(the_shift_of_the_build_counts),
		cmocka_unit_test(offsets_behind_any_header_are_unusable),
		cmocka_unit_test(every_kind_gives_utf8),
		cmocka_unit_test(what_utf8_cannot_hold_is_escaped),
		cmocka_unit_test(cut_code_point_is_dropped),
		cmocka_unit_test(unknown_kind_is_named_so),
		cmocka_unit_test(output_is_always_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
