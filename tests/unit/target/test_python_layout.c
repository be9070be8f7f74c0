/* SPDX-License-Identifier: GPL-2.0-or-later */
/* _Py_DebugOffsets of a real 3.13, spoilt byte by byte. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>

#include "base/buf.h"
#include "base/log.h"
#include "target/python_layout.h"

struct fixture {
	struct buf file;
	uint64_t runtime_vaddr, table_off;
};

static int set_up(void **state)
{
	static struct fixture f;
	struct elf_image *img = NULL;
	glob_t found;

	log_set_level(LOG_ERROR);
	if (glob("~/.pyenv/versions/3.13.*/lib/libpython3.13.so.1.0", GLOB_TILDE, NULL, &found) ==
	    0) {
		int fd = open(found.gl_pathv[0], O_RDONLY);

		assert_int_equal(buf_read_fd(&f.file, fd, (size_t)1 << 30), 0);
		close(fd);
		globfree(&found);
		assert_int_equal(elf_image_open_bytes(f.file.data, f.file.len, &img), 0);
		f.runtime_vaddr = elf_image_symbol(img, "_PyRuntime")->vaddr;
		assert_true(elf_image_file_off(img, f.runtime_vaddr, &f.table_off));
		elf_image_free(img);
	}
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	buf_release(&f->file);
	return 0;
}

/* Checks the file with one u64 of the table replaced. */
static int check_with(struct fixture *f, size_t at, uint64_t value, struct py_offsets *row)
{
	struct target t = {0};
	struct target_object o = {.path = "libpython"};
	struct python_target py = {.object = &o};
	uint64_t saved;
	char *word = f->file.data + f->table_off + at;

	memcpy(&saved, word, 8);
	memcpy(word, &value, 8);
	assert_int_equal(elf_image_open_bytes(f->file.data, f->file.len, &o.image), 0);
	memcpy(word, &saved, 8);
	assert_true(python_version_read(&o, f->runtime_vaddr, &py));
	assert_int_equal(py.minor, 13);
	py.offsets = py_offsets_get(13);
	int err = python_debug_offsets_check(&t, f->runtime_vaddr, &py);

	if (row)
		*row = *py.offsets;
	assert_int_equal(t.py_row != NULL, py.offsets != py_offsets_get(13));
	free(t.py_row);
	elf_image_free(o.image);
	return err;
}

static void an_equal_table_keeps_our_row(void **state)
{
	struct fixture *f = *state;
	struct py_offsets row;

	if (!f->file.len)
		skip();
	assert_int_equal(check_with(f, 184, 72, &row), 0); /* current_frame, as it is */
	assert_memory_equal(&row, py_offsets_get(13), sizeof(row));
}

static void another_offset_in_the_file_wins(void **state)
{
	struct fixture *f = *state;
	struct py_offsets row;

	if (!f->file.len)
		skip();
	assert_int_equal(check_with(f, 184, 88, &row), 0);
	assert_int_equal(row.tstate_current_frame, 88);
	assert_int_equal(row.frame_previous, 8);
	assert_int_equal(check_with(f, 344, 208, &row), 0);
	assert_int_equal(row.code_bytecode, 208);
	assert_int_equal(row.code_bytes, 208);
}

static void damaged_and_foreign_tables_are_refused(void **state)
{
	struct fixture *f = *state;

	if (!f->file.len)
		skip();
	assert_int_equal(check_with(f, 0, 0, NULL), -EBADMSG);		/* cookie */
	assert_int_equal(check_with(f, 8, 0x030e00f0, NULL), -EBADMSG); /* says 3.14 */
	assert_int_equal(check_with(f, 184, 1 << 20, NULL), -EBADMSG);	/* absurd */
	assert_int_equal(check_with(f, 16, 1, NULL), -ENOTSUP);		/* free-threaded */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_equal_table_keeps_our_row),
		cmocka_unit_test(another_offset_in_the_file_wins),
		cmocka_unit_test(damaged_and_foreign_tables_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
