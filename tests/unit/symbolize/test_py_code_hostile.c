/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code objects that lie, change while we read, or lie at the end of a mapping: made by hand, here, as each kind of
 * version lays them out.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "bpf/tmbpf.h"
#include "symbolize/symbolize.h"

#define TYPE_ADDR      0x4711000u
#define STATE_ASCII    (1u | 1u << 3 | 1u << 4) /* kind 1, compact, ascii */
#define STATE_LEGACY   1u			/* kind 1, characters elsewhere */
#define STATE_INTERNED 3u

/* One of each: the tables of 3.6 to 3.9 and of 3.11 on; longer heads; copies of the bytecode; ranges of 3.10. */
static const struct {
	unsigned minor;
	bool free_threaded;
} rows[] = {{7, false}, {12, false}, {13, true}, {14, true}, {10, false}};

static size_t row; /* the one that is tested now */

static struct target *self;
static struct intern *strings;
static struct python_target py;

/* Three objects; every part is 16 bytes aligned as malloc would. */
struct fake {
	uint8_t code[256], file[128], name[128], table[128];
};

static void put64(uint8_t *p, size_t off, uint64_t v)
{
	memcpy(p + off, &v, sizeof(v));
}

static void put32(uint8_t *p, size_t off, uint32_t v)
{
	memcpy(p + off, &v, sizeof(v));
}

static void fake_state(uint8_t *p, uint32_t state)
{
	put32(p, py.offsets->str_state, state << py.offsets->str_kind_shift | STATE_INTERNED);
}

static void fake_str(uint8_t *p, const char *s)
{
	put64(p, py.offsets->str_length, strlen(s));
	fake_state(p, STATE_ASCII);
	memcpy(p + py.offsets->str_ascii_data, s, strlen(s));
}

/* Where the name that we show stands. */
static uint16_t name_at(void)
{
	return py.offsets->code_qualname != PY_NONE ? py.offsets->code_qualname
						    : py.offsets->code_name;
}

static void fake_init(struct fake *f)
{
	const struct py_offsets *off = py.offsets;
	/* One unit of code, on the line behind the first. */
	static const uint8_t tables[][3] = {
		[PY_LINES_LNOTAB] = {0, 1},
		[PY_LINES_LINETABLE] = {2, 1},
		[PY_LINES_LOCATIONS] = {0x80 | 11 << 3, 0, 0},
	};
	size_t len = off->lines == PY_LINES_LOCATIONS ? 3 : 2;

	memset(f, 0, sizeof(*f));
	fake_str(f->file, "/srv/fake.py");
	fake_str(f->name, "fake.name");
	put64(f->table, off->bytes_size, len);
	memcpy(f->table + off->bytes_data, tables[off->lines], len);
	put64(f->code, off->obj_type, TYPE_ADDR);
	put32(f->code, off->code_firstlineno, 41);
	put64(f->code, off->code_filename, (uintptr_t)f->file);
	put64(f->code, name_at(), (uintptr_t)f->name);
	put64(f->code, off->code_linetable, (uintptr_t)f->table);
}

/* Line at an offset of the bytecode itself. */
static int32_t line_at(const struct py_code *code, int64_t offset)
{
	uint64_t instr = py.offsets->frame_objects ? (uint64_t)(offset / py.offsets->lasti_bytes)
						   : code->bytecode_addr + (uint64_t)offset;

	return py_code_line(&py, code, instr, 0);
}

static int read_fake(const struct fake *f, struct py_code *out)
{
	return py_code_read(self, &py, strings, (uintptr_t)f->code, out);
}

static void assert_refused(const struct fake *f, int err)
{
	struct py_code code = {.firstlineno = 77};

	assert_int_equal(read_fake(f, &code), err);
	assert_int_equal(code.firstlineno, 77);
	assert_null(code.linetable);
}

static void honest_object_is_read(void **state)
{
	struct fake f;
	struct py_code code;

	fake_init(&f);
	assert_int_equal(read_fake(&f, &code), 0);
	assert_string_equal(intern_get(strings, code.filename), "/srv/fake.py");
	assert_string_equal(intern_get(strings, code.qualname), "fake.name");
	assert_int_equal(line_at(&code, 0), 42);
	assert_int_equal(line_at(&code, -2), 41);
	/* co_lnotab has no end: its last line goes on */
	assert_int_equal(line_at(&code, 2), py.offsets->lines == PY_LINES_LNOTAB ? 42 : 0);
	py_code_release(&code);
}

static bool is_line_of_fake(int32_t line)
{
	return line == 0 || line == 41 || line == 42;
}

/* What a frame says may be anything. */
static void an_instruction_anywhere_gives_a_line_of_the_code_or_none(void **state)
{
	static const uint64_t far[] = {INT64_MAX, INT64_MIN, 1ull << 62, 1ull << 47, INT32_MAX};
	struct fake f;
	struct py_code code;

	fake_init(&f);
	assert_int_equal(read_fake(&f, &code), 0);
	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		assert_true(is_line_of_fake(py_code_line(&py, &code, far[i], 0)));
		assert_true(
			is_line_of_fake(py_code_line(&py, &code, code.bytecode_addr + far[i], 0)));
		(void)py_code_frame_is_incomplete(&py, &code, far[i], 0, 0);
	}
	py_code_release(&code);
}

static void empty_strings_and_table_are_read(void **state)
{
	struct fake f;
	struct py_code code;

	fake_init(&f);
	put64(f.file, py.offsets->str_length, 0);
	put64(f.name, py.offsets->str_length, 0);
	put64(f.table, py.offsets->bytes_size, 0);
	assert_int_equal(read_fake(&f, &code), 0);
	assert_string_equal(intern_get(strings, code.filename), "");
	assert_int_equal(line_at(&code, 0), py.offsets->lines == PY_LINES_LNOTAB ? 41 : 0);
	py_code_release(&code);
}

static void wild_pointers_are_refused(void **state)
{
	const uint16_t field[] = {py.offsets->code_filename, name_at(), py.offsets->code_linetable};
	const uint64_t wild[] = {0, 8, 0x1000, 1ull << 47, 1ull << 63, UINT64_MAX, UINT64_MAX - 15};

	for (size_t i = 0; i < ARRAY_LEN(field); i++) {
		for (size_t k = 0; k < ARRAY_LEN(wild); k++) {
			struct fake f;

			fake_init(&f);
			put64(f.code, field[i], wild[k]);
			assert_refused(&f, -EFAULT);
		}
	}
}

static void wild_lengths_are_refused(void **state)
{
	const uint64_t wild[] = {1ull << 31, 1ull << 32, 1ull << 63, UINT64_MAX,
				 UINT64_MAX / 4 + 2};

	for (size_t k = 0; k < ARRAY_LEN(wild); k++) {
		struct fake f;

		fake_init(&f);
		put64(f.file, py.offsets->str_length, wild[k]);
		assert_refused(&f, -EBADMSG);
		fake_init(&f);
		put64(f.name, py.offsets->str_length, wild[k]);
		assert_refused(&f, -EBADMSG);
		fake_init(&f);
		put64(f.table, py.offsets->bytes_size, wild[k]);
		assert_refused(&f, -EBADMSG);
	}
}

static void subclass_with_a_wild_pointer_is_refused(void **state)
{
	static const char text[] = "/srv/sub.py";
	struct py_code code;
	struct fake f;

	fake_init(&f);
	fake_state(f.file, STATE_LEGACY);
	put64(f.file, py.offsets->str_length, strlen(text));
	put64(f.file, py.offsets->str_compact_data, 8);
	assert_refused(&f, -EFAULT);
	put64(f.file, py.offsets->str_compact_data, (uintptr_t)text);
	assert_int_equal(read_fake(&f, &code), 0);
	assert_string_equal(intern_get(strings, code.filename), text);
	py_code_release(&code);
}

/* Reading a byte too many would fail: only what the objects hold may be read. */
static void nothing_behind_an_object_is_read(void **state)
{
	const struct py_offsets *off = py.offsets;
	uint8_t *pages =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct py_code code;
	struct fake f;

	assert_true(pages != MAP_FAILED);
	assert_int_equal(munmap(pages + 4096, 4096), 0);
	fake_init(&f);

	uint8_t *str = pages + 4096 - off->str_ascii_data - 1;
	fake_str(str, "x");
	put64(f.code, off->code_filename, (uintptr_t)str);
	put64(f.code, name_at(), (uintptr_t)str);
	assert_int_equal(read_fake(&f, &code), 0);
	assert_string_equal(intern_get(strings, code.filename), "x");
	py_code_release(&code);

	uint8_t *obj = pages + 4096 - off->code_bytes;
	memcpy(obj, f.code, off->code_bytes);
	put64(obj, off->code_filename, (uintptr_t)f.file);
	put64(obj, name_at(), (uintptr_t)f.name);
	assert_int_equal(py_code_read(self, &py, strings, (uintptr_t)obj, &code), 0);
	assert_string_equal(intern_get(strings, code.filename), "/srv/fake.py");
	py_code_release(&code);
	munmap(pages, 4096);
}

struct flipper { /* one address, two code objects in turn: death and re-use */
	struct fake *shown, a, b;
	atomic_bool stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;

	while (!atomic_load(&f->stop)) {
		memcpy(f->shown->code, f->b.code, sizeof(f->b.code));
		memcpy(f->shown->code, f->a.code, sizeof(f->a.code));
	}
	return NULL;
}

static void object_that_changes_is_whole_or_refused(void **state)
{
	struct flipper *f = calloc(1, sizeof(*f));
	size_t whole = 0;
	pthread_t thread;

	assert_non_null(f);
	f->shown = &(struct fake){0};
	fake_init(&f->a);
	fake_init(&f->b);
	fake_str(f->b.file, "/srv/other.py");
	fake_str(f->b.name, "other.name");
	put32(f->b.code, py.offsets->code_firstlineno, 1000);
	memcpy(f->shown->code, f->a.code, sizeof(f->a.code));
	assert_int_equal(pthread_create(&thread, NULL, flip, f), 0);

	for (int i = 0; i < 20000; i++) {
		struct py_code code = {0};
		int err = read_fake(f->shown, &code);

		assert_true(!err || err == -EFAULT);
		if (err)
			continue;
		whole++;
		/* Fields are torn by memcpy here, which CPython does not do; strings must be whole. */
		const char *file = intern_get(strings, code.filename);
		assert_true(!strcmp(file, "/srv/fake.py") || !strcmp(file, "/srv/other.py"));
		py_code_release(&code);
	}
	atomic_store(&f->stop, true);
	pthread_join(thread, NULL);
	assert_true(whole > 0);
	free(f);
}

/* ---- threads' own copies of the bytecode, free-threaded 3.14 on ---- */

#define COPIES 4

struct fake_copies { /* _PyCodeArray, Include/cpython/code.h, v3.14 */
	uint64_t size, entries[TM_FRAME_TLBC_MAX + 1];
};

static void give_copies(struct fake *f, const struct fake_copies *c)
{
	put64(f->code, py.offsets->code_tlbc, (uintptr_t)c);
}

static bool has_copies(void)
{
	return py.offsets->code_tlbc != PY_NONE;
}

static void an_instruction_in_a_copy_has_its_line(void **state)
{
	/* Entry 0 is the object's own; 2 was not made yet. */
	struct fake_copies c = {.size = COPIES, .entries = {0, 0x100000, 0, 0x300000}};
	struct py_code code;
	struct fake f;

	if (!has_copies())
		return;
	fake_init(&f);
	put32(f.code, py.offsets->code_firsttraceable, 1);
	give_copies(&f, &c);
	assert_int_equal(read_fake(&f, &code), 0);
	assert_int_equal(code.copy_count, COPIES);
	assert_int_equal(py_code_line(&py, &code, code.bytecode_addr, 0), 42);
	for (uint32_t copy = 1; copy < COPIES; copy += 2) {
		uint64_t start = c.entries[copy];

		assert_int_equal(py_code_line(&py, &code, start, copy), 42);
		assert_int_equal(py_code_line(&py, &code, start - 2, copy), 41);
		assert_int_equal(py_code_line(&py, &code, start + 2, copy), 0);
		assert_true(py_code_frame_is_incomplete(&py, &code, start, copy, 0));
		assert_false(py_code_frame_is_incomplete(&py, &code, start + 2, copy, 0));
	}
	py_code_release(&code);
	assert_null(code.copies);
}

static void an_unknown_copy_has_no_line(void **state)
{
	static const uint32_t unknown[] = {2, COPIES, TM_FRAME_TLBC_MAX - 1, TM_FRAME_TLBC_MAX,
					   UINT32_MAX};
	struct fake_copies c = {.size = COPIES, .entries = {0, 0x100000, 0, 0x300000}};
	struct py_code code;
	struct fake f;

	if (!has_copies())
		return;
	fake_init(&f);
	put32(f.code, py.offsets->code_firsttraceable, 1);
	give_copies(&f, &c);
	assert_int_equal(read_fake(&f, &code), 0);
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_int_equal(py_code_line(&py, &code, code.bytecode_addr, unknown[i]), 0);
		/* Not known to be incomplete: its name is right in any case. */
		assert_false(
			py_code_frame_is_incomplete(&py, &code, code.bytecode_addr, unknown[i], 0));
		assert_true(py_code_frame_is_incomplete(&py, &code, code.bytecode_addr, unknown[i],
							PY_OWNER_FIRST_NOT_PYTHON));
	}
	py_code_release(&code);
}

static void copies_that_are_made_later_are_read_again(void **state)
{
	struct fake_copies c = {.size = 2, .entries = {0, 0x100000}};
	struct py_code code;
	struct fake f;

	if (!has_copies())
		return;
	fake_init(&f);
	give_copies(&f, &c);
	assert_int_equal(read_fake(&f, &code), 0);
	assert_int_equal(py_code_line(&py, &code, 0x300000, 3), 0);
	c.size = COPIES;
	c.entries[3] = 0x300000;
	assert_int_equal(py_code_read_copies(self, &code), 0);
	assert_int_equal(py_code_line(&py, &code, 0x300000, 3), 42);
	/* The array moved, and cannot be read: the old ones stay. */
	code.copies_addr = 8;
	assert_int_equal(py_code_read_copies(self, &code), -EFAULT);
	assert_int_equal(code.copy_count, COPIES);
	assert_int_equal(py_code_line(&py, &code, 0x100000, 1), 42);
	py_code_release(&code);
	assert_int_equal(py_code_read_copies(self, &code), 0); /* there are none */
}

/* The object is good even where the array of its copies is not. */
static void a_wild_array_of_copies_spoils_no_name(void **state)
{
	static const uint64_t wild[] = {8, 1ull << 47, UINT64_MAX, UINT64_MAX - 7};
	struct fake_copies c = {.size = 0};
	struct py_code code;
	struct fake f;

	if (!has_copies())
		return;
	fake_init(&f);
	for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
		put64(f.code, py.offsets->code_tlbc, wild[i]);
		assert_int_equal(read_fake(&f, &code), 0);
		assert_int_equal(code.copy_count, 0);
		assert_int_equal(py_code_line(&py, &code, code.bytecode_addr, 0), 42);
		assert_int_equal(py_code_line(&py, &code, code.bytecode_addr, 1), 0);
		py_code_release(&code);
	}
	give_copies(&f, &c);
	assert_int_equal(read_fake(&f, &code), 0);
	assert_int_equal(code.copy_count, 0);
	py_code_release(&code);
	/* More than a frame can name: as many as it can. */
	c.size = UINT64_MAX;
	c.entries[TM_FRAME_TLBC_MAX - 1] = 0x100000;
	assert_int_equal(read_fake(&f, &code), 0);
	assert_int_equal(code.copy_count, TM_FRAME_TLBC_MAX);
	assert_int_equal(py_code_line(&py, &code, 0x100000, TM_FRAME_TLBC_MAX - 1), 42);
	assert_int_equal(py_code_line(&py, &code, 0x100000, TM_FRAME_TLBC_MAX), 0);
	py_code_release(&code);
}

/* An array that moves is no sign that another object is there now. */
static void copies_are_no_part_of_the_identity(void **state)
{
	struct fake_copies a = {.size = 1}, b = {.size = 1};
	struct flipper *f;
	pthread_t thread;
	size_t failed = 0;

	if (!has_copies())
		return;
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->shown = &(struct fake){0};
	fake_init(&f->a);
	memcpy(&f->b, &f->a, sizeof(f->b));
	memcpy(f->b.code, f->a.code, sizeof(f->b.code));
	give_copies(&f->a, &a);
	give_copies(&f->b, &b);
	memcpy(f->shown->code, f->a.code, sizeof(f->a.code));
	assert_int_equal(pthread_create(&thread, NULL, flip, f), 0);
	for (int i = 0; i < 2000; i++) {
		struct py_code code = {0};

		if (read_fake(f->shown, &code))
			failed++;
		py_code_release(&code);
	}
	atomic_store(&f->stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(failed, 0);
	free(f);
}

static int open_self(void **state)
{
	py = (struct python_target){
		.minor = rows[row].minor,
		.offsets = py_offsets_get(rows[row].minor, rows[row].free_threaded),
		.code_type_addr = TYPE_ADDR};
	strings = intern_new();
	return !py.offsets || !strings ? -1 : target_open(getpid(), &self);
}

static int close_self(void **state)
{
	target_free(self);
	intern_free(strings);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(honest_object_is_read),
		cmocka_unit_test(empty_strings_and_table_are_read),
		cmocka_unit_test(wild_pointers_are_refused),
		cmocka_unit_test(wild_lengths_are_refused),
		cmocka_unit_test(subclass_with_a_wild_pointer_is_refused),
		cmocka_unit_test(nothing_behind_an_object_is_read),
		cmocka_unit_test(object_that_changes_is_whole_or_refused),
		cmocka_unit_test(an_instruction_in_a_copy_has_its_line),
		cmocka_unit_test(an_unknown_copy_has_no_line),
		cmocka_unit_test(copies_that_are_made_later_are_read_again),
		cmocka_unit_test(a_wild_array_of_copies_spoils_no_name),
		cmocka_unit_test(copies_are_no_part_of_the_identity),
		cmocka_unit_test(an_instruction_anywhere_gives_a_line_of_the_code_or_none),
	};
	int failed = 0;

	for (row = 0; row < ARRAY_LEN(rows); row++) {
		char name[32];

		snprintf(name, sizeof(name), "3.%u%s", rows[row].minor,
			 rows[row].free_threaded ? "t" : "");
		failed += cmocka_run_group_tests_name(name, tests, open_self, close_self);
	}
	return failed;
}
