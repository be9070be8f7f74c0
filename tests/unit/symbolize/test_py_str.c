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

/* CPython 3.11.7 and 3.12.1: sizes of PyASCIIObject and PyCompactUnicodeObject differ. */
static const struct py_offsets v311 = {.minor = 11,
				       .str_length = 16,
				       .str_state = 32,
				       .str_ascii_data = 48,
				       .str_compact_data = 72};
static const struct py_offsets v312 = {.minor = 12,
				       .str_length = 16,
				       .str_state = 32,
				       .str_ascii_data = 40,
				       .str_compact_data = 56};

#define STR_ADDR     0x1000
#define STATE(kind)  ((uint32_t)((kind) << 2 | 1u << 5))
#define STATE_ASCII  (STATE(1) | 1u << 6)
#define STATE_LEGACY (2u << 2) /* kind 2, not compact */
#define INTERNED     3u

static int parse(const struct py_offsets *off, uint64_t length, uint32_t state, struct py_str *out)
{
	uint8_t header[PY_STR_HEADER_MAX] = {0};

	memcpy(header + 16, &length, sizeof(length));
	memcpy(header + 32, &state, sizeof(state));
	return py_str_parse(off, STR_ADDR, header, py_str_header_len(off), out);
}

static void header_says_where_the_characters_are(void **state)
{
	struct py_str s;

	assert_int_equal(py_str_header_len(&v312), 36);
	assert_int_equal(parse(&v311, 5, STATE_ASCII | INTERNED, &s), 0);
	assert_int_equal(s.data_addr, STR_ADDR + 48);
	assert_int_equal(s.bytes, 5);
	assert_int_equal(parse(&v312, 5, STATE_ASCII, &s), 0);
	assert_int_equal(s.data_addr, STR_ADDR + 40);
	assert_int_equal(parse(&v312, 5, STATE(1), &s), 0);
	assert_int_equal(s.data_addr, STR_ADDR + 56);
	assert_int_equal(parse(&v311, 5, STATE(4), &s), 0);
	assert_int_equal(s.data_addr, STR_ADDR + 72);
	assert_int_equal(s.bytes, 20);
	assert_int_equal(s.kind, 4);
}

static void subclass_keeps_a_pointer(void **state)
{
	struct py_str s;

	assert_int_equal(parse(&v312, 5, STATE_LEGACY, &s), 0);
	assert_int_equal(s.data_addr, 0);
	assert_int_equal(s.data_ptr_addr, STR_ADDR + 56);
	assert_int_equal(s.bytes, 10);
}

static void impossible_headers_are_refused(void **state)
{
	struct py_str s = {.kind = 77};
	uint8_t header[PY_STR_HEADER_MAX] = {0};
	struct py_offsets far = v312;

	far.str_state = PY_NONE;
	assert_int_equal(parse(&v312, 5, 0, &s),
			 -EBADMSG); /* kind 0: a wstr that was never made ready */
	assert_int_equal(parse(&v312, 5, STATE(3), &s), -EBADMSG);
	assert_int_equal(parse(&v312, 5, STATE(7), &s), -EBADMSG);
	assert_int_equal(parse(&v312, 5, STATE(2) | 1u << 6, &s), -EBADMSG);
	assert_int_equal(parse(&v312, PY_STR_CODEPOINTS_MAX + 1, STATE_ASCII, &s), -EBADMSG);
	assert_int_equal(parse(&v312, UINT64_MAX, STATE(4), &s), -EBADMSG);
	assert_int_equal(py_str_parse(&v312, STR_ADDR, header, 20, &s), -EBADMSG);
	assert_int_equal(py_str_header_len(&far), 0);
	assert_int_equal(s.kind, 77);
	assert_int_equal(parse(&v312, PY_STR_CODEPOINTS_MAX, STATE(4), &s), 0);
	assert_int_equal(s.bytes, PY_STR_BYTES_MAX);
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
		cmocka_unit_test(every_kind_gives_utf8),
		cmocka_unit_test(what_utf8_cannot_hold_is_escaped),
		cmocka_unit_test(cut_code_point_is_dropped),
		cmocka_unit_test(unknown_kind_is_named_so),
		cmocka_unit_test(output_is_always_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
