/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code objects that lie, change while we read, or lie at the end of a mapping: made by hand, here. */
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

#include "symbolize/symbolize.h"

#define TYPE_ADDR 0x4711000u
#define MINOR	  12
#define ASCII	  (1u << 2 | 1u << 5 | 1u << 6) /* kind 1, compact, ascii */
#define LEGACY	  (1u << 2)			/* kind 1, characters elsewhere */

static struct target *self;
static struct intern *strings;
static struct python_target py;

/* Three objects as 3.12 lays them out; every part is 16 bytes aligned as malloc would. */
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

static void fake_str(uint8_t *p, const char *s)
{
	put64(p, py.offsets->str_length, strlen(s));
	put32(p, py.offsets->str_state, ASCII);
	memcpy(p + py.offsets->str_ascii_data, s, strlen(s));
}

static void fake_init(struct fake *f)
{
	const struct py_offsets *off = py.offsets;
	const uint8_t table[] = {0x80 | 11 << 3, 0, 0}; /* one unit, line + 1 */

	memset(f, 0, sizeof(*f));
	fake_str(f->file, "/srv/fake.py");
	fake_str(f->name, "fake.name");
	put64(f->table, off->bytes_size, sizeof(table));
	memcpy(f->table + off->bytes_data, table, sizeof(table));
	put64(f->code, 8, TYPE_ADDR);
	put32(f->code, off->code_firstlineno, 41);
	put64(f->code, off->code_filename, (uintptr_t)f->file);
	put64(f->code, off->code_qualname, (uintptr_t)f->name);
	put64(f->code, off->code_linetable, (uintptr_t)f->table);
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
	assert_int_equal(py_code_line(&py, &code, code.bytecode_addr), 42);
	assert_int_equal(py_code_line(&py, &code, code.bytecode_addr - 2), 41);
	assert_int_equal(py_code_line(&py, &code, code.bytecode_addr + 2), 0);
	assert_int_equal(py_code_line(&py, &code, 0), 41);
	assert_int_equal(py_code_line(&py, &code, code.bytecode_addr + INT64_MAX), 0);
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
	assert_int_equal(py_code_line(&py, &code, code.bytecode_addr), 0);
	py_code_release(&code);
}

static void wild_pointers_are_refused(void **state)
{
	const uint16_t field[] = {py.offsets->code_filename, py.offsets->code_qualname,
				  py.offsets->code_linetable};
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
	put32(f.file, py.offsets->str_state, LEGACY);
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
	put64(f.code, off->code_qualname, (uintptr_t)str);
	assert_int_equal(read_fake(&f, &code), 0);
	assert_string_equal(intern_get(strings, code.filename), "x");
	py_code_release(&code);

	uint8_t *obj = pages + 4096 - off->code_bytecode;
	memcpy(obj, f.code, off->code_bytecode);
	put64(obj, off->code_filename, (uintptr_t)f.file);
	put64(obj, off->code_qualname, (uintptr_t)f.name);
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

static int open_self(void **state)
{
	py = (struct python_target){
		.minor = MINOR, .offsets = py_offsets_get(MINOR), .code_type_addr = TYPE_ADDR};
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
	};

	return cmocka_run_group_tests(tests, open_self, close_self);
}
