/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/gzip_out.h"

static char *text;
static size_t text_len;

static void compress_parts(size_t parts, size_t part_len)
{
	FILE *out = open_memstream(&text, &text_len);
	struct gzip_out g;
	struct buf b = {0};

	assert_non_null(out);
	assert_int_equal(gzip_out_open(&g, out), 0);
	for (size_t i = 0; i < parts; i++) {
		char *room = buf_extend(&b, part_len);

		for (size_t k = 0; k < part_len; k++)
			room[k] = (char)(i * 31 + k * k);
		assert_int_equal(gzip_out_write(&g, &b), 0);
		assert_int_equal(b.len, 0);
	}
	assert_int_equal(gzip_out_finish(&g), 0);
	gzip_out_release(&g);
	gzip_out_release(&g);
	buf_release(&b);
	fclose(out);
}

static void check_parts(size_t parts, size_t part_len)
{
	unsigned char *plain = malloc(parts * part_len + 1);
	z_stream z = {.next_in = (unsigned char *)text, .avail_in = (unsigned)text_len};

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_out = plain;
	z.avail_out = (unsigned)(parts * part_len + 1);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, parts * part_len);
	assert_int_equal(z.avail_in, 0);
	for (size_t i = 0; i < parts; i++)
		for (size_t k = 0; k < part_len; k++)
			assert_int_equal((char)plain[i * part_len + k], (char)(i * 31 + k * k));
	inflateEnd(&z);
	free(plain);
	free(text);
	text = NULL;
}

static void what_goes_in_comes_out(void **state)
{
	compress_parts(1, 10);
	check_parts(1, 10);
	compress_parts(50, 20000);
	check_parts(50, 20000);
	compress_parts(0, 1);
	check_parts(0, 1);
}

static void the_header_has_no_time_and_no_name(void **state)
{
	compress_parts(1, 10);
	/* RFC 1952: magic, deflate, no flags, MTIME 0 */
	assert_memory_equal(text, "\x1f\x8b\x08\x00\x00\x00\x00\x00", 8);
	free(text);
}

static void errors_are_passed_on(void **state)
{
	FILE *out = fopen("/dev/full", "we");
	struct gzip_out g;
	struct buf b = {0};

	assert_non_null(out);
	setbuf(out, NULL);
	assert_int_equal(gzip_out_open(&g, out), 0);
	b.oom = true;
	assert_int_equal(gzip_out_write(&g, &b), -ENOMEM);
	assert_int_equal(gzip_out_finish(&g), -ENOSPC);
	gzip_out_release(&g);
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(the_header_has_no_time_and_no_name),
		cmocka_unit_test(errors_are_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
