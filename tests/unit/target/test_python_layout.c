/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an interpreter says of its own layout: _Py_DebugOffsets in the files of 3.13 on, spoilt word by word, and
 * the member tables of living processes of every version against rows that were made wrong.
 */
#include "live_python.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "target/python_layout.h"
#include "tests/unit/said.h"

static struct python pythons[PYTHONS_MAX];
static size_t python_count;

static uint16_t row_field(const struct py_offsets *row, size_t field)
{
	uint16_t v;

	memcpy(&v, (const char *)row + field, sizeof(v));
	return v;
}

static void row_set(struct py_offsets *row, size_t field, uint16_t v)
{
	memcpy((char *)row + field, &v, sizeof(v));
}

/* ---- _Py_DebugOffsets ---- */

#define FIRST_MINOR 13
#define VERSIONS    3

/* struct _Py_DebugOffsets of the headers: bytes of the table, and where each field of a row stands in it. */
static const size_t table_bytes[VERSIONS] = {584, 760, 888};
static const struct table_field {
	uint16_t at[VERSIONS];
	size_t row;
	const char *name;
} table_fields[] = {
	{{184, 208, 208}, offsetof(struct py_offsets, tstate_frame), "current_frame"},
	{{232, 256, 320}, offsetof(struct py_offsets, frame_previous), "previous"},
	{{240, 264, 328}, offsetof(struct py_offsets, frame_code), "executable"},
	{{248, 272, 336}, offsetof(struct py_offsets, frame_instr), "instr_ptr"},
	{{256, 280, 344}, offsetof(struct py_offsets, frame_bytes), "localsplus"},
	{{264, 288, 352}, offsetof(struct py_offsets, frame_owner), "owner"},
	{{0, 304, 368}, offsetof(struct py_offsets, frame_tlbc), "tlbc_index"},
	{{280, 320, 384}, offsetof(struct py_offsets, code_filename), "filename"},
	{{288, 328, 392}, offsetof(struct py_offsets, code_name), "code_object.name"},
	{{296, 336, 400}, offsetof(struct py_offsets, code_qualname), "qualname"},
	{{304, 344, 408}, offsetof(struct py_offsets, code_linetable), "linetable"},
	{{312, 352, 416}, offsetof(struct py_offsets, code_firstlineno), "firstlineno"},
	{{344, 384, 448}, offsetof(struct py_offsets, code_bytecode), "co_code_adaptive"},
	{{0, 392, 456}, offsetof(struct py_offsets, code_tlbc), "co_tlbc"},
	{{360, 408, 472}, offsetof(struct py_offsets, obj_type), "ob_type"},
	{{520, 600, 696}, offsetof(struct py_offsets, bytes_size), "ob_size"},
	{{528, 608, 704}, offsetof(struct py_offsets, bytes_data), "ob_sval"},
	{{544, 624, 720}, offsetof(struct py_offsets, str_state), "state"},
	{{552, 632, 728}, offsetof(struct py_offsets, str_length), "length"},
	{{560, 640, 736}, offsetof(struct py_offsets, str_ascii_data), "asciiobject_size"},
	{{0, 0, 744}, offsetof(struct py_offsets, str_compact_data), "compactunicodeobject_size"},
};

struct file { /* an interpreter's file, the bytes of which may be changed */
	const struct python *p;
	struct target_object object;
	const struct py_offsets *row;
	uint64_t runtime;
	uint8_t *table;
	unsigned version; /* 0..2 */
};

static void file_open(struct file *f, const struct python *p)
{
	*f = (struct file){.p = p, .object = {.path = (char *)(uintptr_t)p->file}};
	f->version = p->minor - FIRST_MINOR;
	f->row = py_offsets_get(p->minor, p->free_threaded);
	assert_int_equal(elf_image_open(p->file, &f->object.image), 0);
	f->runtime = elf_image_symbol(f->object.image, "_PyRuntime")->vaddr;
	/* A copy of the file, ours to spoil. */
	f->table = (uint8_t *)(uintptr_t)elf_image_bytes(f->object.image, f->runtime,
							 table_bytes[f->version]);
	assert_non_null(f->table);
}

/* Checks against a row; what it has become goes to *now. Returns: what the check returned. */
static int file_check(struct file *f, const struct py_offsets *row, struct py_offsets *now,
		      struct said *said)
{
	struct target t = {0};
	struct python_target py = {
		.object = &f->object, .major = 3, .minor = f->p->minor, .offsets = row};

	said_begin(said);
	int err = python_debug_offsets_check(&t, f->runtime, &py);

	said_end(said);
	*now = *py.offsets;
	assert_int_equal(t.py_row != NULL, py.offsets != row);
	if (t.py_row)
		assert_ptr_equal(py.offsets, t.py_row);
	free(t.py_row);
	return err;
}

static int file_check_with(struct file *f, size_t at, uint64_t value, struct py_offsets *now,
			   struct said *said)
{
	uint64_t saved;

	memcpy(&saved, f->table + at, sizeof(saved));
	memcpy(f->table + at, &value, sizeof(value));
	int err = file_check(f, f->row, now, said);

	memcpy(f->table + at, &saved, sizeof(saved));
	return err;
}

static void for_each_file(void (*check)(struct file *f))
{
	size_t seen = 0;

	for (size_t i = 0; i < python_count; i++) {
		struct file f;

		if (pythons[i].minor < FIRST_MINOR || pythons[i].minor >= FIRST_MINOR + VERSIONS ||
		    !py_offsets_get(pythons[i].minor, pythons[i].free_threaded))
			continue;
		file_open(&f, &pythons[i]);
		check(&f);
		elf_image_free(f.object.image);
		seen++;
	}
	if (!seen)
		skip();
}

static void check_equal(struct file *f)
{
	struct py_offsets now;
	struct said said;

	print_message("%s %s\n", f->p->name, f->p->file);
	assert_int_equal(file_check(f, f->row, &now, &said), 0);
	assert_memory_equal(&now, f->row, sizeof(now));
	assert_string_equal(said.text, "");
	said_release(&said);
}

static void an_equal_table_keeps_our_row(void **state)
{
	for_each_file(check_equal);
}

static const struct table_field *field_at(const struct file *f, size_t at)
{
	for (size_t i = 0; i < ARRAY_LEN(table_fields); i++)
		if (table_fields[i].at[f->version] == at && at)
			return &table_fields[i];
	return NULL;
}

static void check_each_word(struct file *f)
{
	const size_t version_at = 8;

	for (size_t at = version_at + 8; at < table_bytes[f->version]; at += 8) {
		const struct table_field *field = field_at(f, at);
		struct py_offsets now, want = *f->row;
		uint64_t value;
		struct said said;

		memcpy(&value, f->table + at, sizeof(value));
		/* Our numbers of the table's layout are right only if they find the row's value. */
		if (field && row_field(f->row, field->row) != PY_NONE)
			assert_int_equal(value, row_field(f->row, field->row));
		value += 8;
		if (field) {
			row_set(&want, field->row, (uint16_t)value);
			want.code_bytes = want.code_bytecode; /* up to where the object is read */
		}
		assert_int_equal(file_check_with(f, at, value, &now, &said), 0);
		assert_memory_equal(&now, &want, sizeof(now));
		if (field) {
			char using[32];

			snprintf(using, sizeof(using), "using %u\n", (unsigned)value);
			assert_non_null(strstr(said.text, "warning: "));
			assert_non_null(strstr(said.text, field->name));
			assert_non_null(strstr(said.text, using));
		} else {
			assert_string_equal(said.text, "");
		}
		said_release(&said);
	}
}

/* And each word that means nothing to us may be anything. */
static void each_offset_in_the_file_wins(void **state)
{
	for_each_file(check_each_word);
}

static void check_absurd(struct file *f)
{
	for (size_t i = 0; i < ARRAY_LEN(table_fields); i++) {
		const size_t at = table_fields[i].at[f->version];
		const uint16_t ours = row_field(f->row, table_fields[i].row);
		/* not in a structure; the same number in the low half; negative */
		const uint64_t absurd[] = {4097, 0x10000u + ours, UINT64_MAX, 1ull << 63};

		for (size_t k = 0; at && k < ARRAY_LEN(absurd); k++) {
			struct py_offsets now;
			struct said said;

			assert_int_equal(file_check_with(f, at, absurd[k], &now, &said), -EBADMSG);
			assert_memory_equal(&now, f->row, sizeof(now));
			said_release(&said);
		}
	}
}

static void absurd_offsets_are_refused(void **state)
{
	for_each_file(check_absurd);
}

static void assert_table_refused(struct file *f, size_t at, uint64_t value)
{
	struct py_offsets now;
	struct said said;

	assert_int_equal(file_check_with(f, at, value, &now, &said), -EBADMSG);
	assert_memory_equal(&now, f->row, sizeof(now));
	said_release(&said);
}

static void check_foreign(struct file *f)
{
	uint64_t cookie, version;
	struct py_offsets now;
	struct said said;

	memcpy(&cookie, f->table, 8);
	memcpy(&version, f->table + 8, 8);
	for (unsigned byte = 0; byte < 8; byte++)
		assert_table_refused(f, 0, cookie ^ 1ull << 8 * byte);
	assert_table_refused(f, 8, version + 0x10000); /* next and previous minor, another major */
	assert_table_refused(f, 8, version - 0x10000);
	assert_table_refused(f, 8, version + 0x1000000);
	assert_table_refused(f, 8, version | 1ull << 32);
	/* A patch release has the layout of its minor. */
	assert_int_equal(file_check_with(f, 8, version ^ 0x0fff, &now, &said), 0);
	said_release(&said);
}

static void damaged_and_foreign_tables_are_refused(void **state)
{
	for_each_file(check_foreign);
}

static void check_cut(struct file *f)
{
	const struct elf_image *img = f->object.image;
	const struct elf_segment *s = NULL;
	struct py_offsets now;
	struct said said;
	uint64_t real = f->runtime;

	for (size_t i = 0; i < img->segment_count; i++)
		if (img->segments[i].write)
			s = &img->segments[i];
	assert_non_null(s);
	/* The table moved to where the file ends with all but its last byte. */
	f->runtime = s->vaddr + s->file_len - table_bytes[f->version] + 1;
	uint8_t *end = (uint8_t *)(uintptr_t)elf_image_bytes(img, f->runtime, 16);

	assert_non_null(end);
	memcpy(end, f->table, 16);
	assert_int_equal(file_check(f, f->row, &now, &said), -EBADMSG);
	said_release(&said);
	f->runtime = 0x10;
	assert_int_equal(file_check(f, f->row, &now, &said), -EBADMSG);
	said_release(&said);
	f->runtime = real;
}

static void a_table_that_is_not_all_in_the_file_is_refused(void **state)
{
	for_each_file(check_cut);
}

static void check_all_wrong(struct file *f)
{
	struct py_offsets wrong = *f->row, now;
	struct said said;

	for (size_t i = 0; i < ARRAY_LEN(table_fields); i++) {
		const struct table_field *field = &table_fields[i];

		if (field->at[f->version] && row_field(f->row, field->row) != PY_NONE)
			row_set(&wrong, field->row,
				(uint16_t)(row_field(f->row, field->row) + 8 * (i + 1)));
	}
	assert_int_equal(file_check(f, &wrong, &now, &said), 0);
	assert_memory_equal(&now, f->row, sizeof(now));
	said_release(&said);
}

static void a_row_that_is_wrong_everywhere_is_put_right(void **state)
{
	for_each_file(check_all_wrong);
}

static void versions_without_a_table_need_none(void **state)
{
	struct target t = {0};
	struct target_object o = {.path = (char *)"none"}; /* has no image to look at */

	for (unsigned minor = 6; minor < FIRST_MINOR; minor++) {
		struct python_target py = {
			.object = &o, .minor = minor, .offsets = py_offsets_get(minor, false)};

		assert_int_equal(python_debug_offsets_check(&t, 0x1000, &py), 0);
		assert_ptr_equal(py.offsets, py_offsets_get(minor, false));
	}
	struct python_target future = {.object = &o,
				       .minor = FIRST_MINOR + VERSIONS,
				       .offsets = py_offsets_get(15, false)};

	assert_int_equal(python_debug_offsets_check(&t, 0x1000, &future), -EBADMSG);
}

/* ---- alignment ---- */

static void the_alignment_makes_a_row_of_its_own(void **state)
{
	const struct py_offsets *row = py_offsets_get(7, false);
	struct python_target py = {.minor = 7, .offsets = row};
	struct py_offsets want = *row;
	struct target t = {0};

	assert_int_equal(python_target_set_align(&t, &py, row->pool_align_shift), 0);
	assert_ptr_equal(py.offsets, row);
	assert_null(t.py_row);
	assert_int_equal(python_target_set_align(&t, &py, 4), 0);
	want.pool_align_shift = 4;
	assert_memory_equal(py.offsets, &want, sizeof(want));
	assert_ptr_equal(py.offsets, t.py_row);
	assert_int_equal(row->pool_align_shift, 3);
	/* Back again, in the same row; another target of this version is not concerned. */
	assert_int_equal(python_target_set_align(&t, &py, 3), 0);
	assert_ptr_equal(py.offsets, t.py_row);
	assert_memory_equal(py.offsets, row, sizeof(*row));
	free(t.py_row);
}

/* ---- member tables ---- */

#define IN_CODE	 1
#define IN_FRAME 2 /* frame objects, up to 3.10 */

/* Objects/codeobject.c code_memberlist, Objects/frameobject.c frame_memberlist */
static const struct named {
	size_t row;
	const char *name;
	int where;
	unsigned first, last; /* minor versions that have the member */
} named[] = {
	{offsetof(struct py_offsets, code_firstlineno), "co_firstlineno", IN_CODE, 6, 99},
	{offsetof(struct py_offsets, code_filename), "co_filename", IN_CODE, 6, 99},
	{offsetof(struct py_offsets, code_name), "co_name", IN_CODE, 6, 99},
	{offsetof(struct py_offsets, code_linetable), "co_lnotab", IN_CODE, 6, 9},
	{offsetof(struct py_offsets, code_linetable), "co_linetable", IN_CODE, 10, 99},
	{offsetof(struct py_offsets, code_qualname), "co_qualname", IN_CODE, 11, 99},
	{offsetof(struct py_offsets, frame_previous), "f_back", IN_FRAME, 6, 10},
	{offsetof(struct py_offsets, frame_code), "f_code", IN_FRAME, 6, 10},
	/* 3.10 multiplies it by two, so it is no plain member there */
	{offsetof(struct py_offsets, frame_instr), "f_lasti", IN_FRAME, 6, 9},
};

struct live {
	pid_t pid;
	struct target *t;
	struct python_target py; /* with the static row */
};

static struct live lives[PYTHONS_MAX];
static size_t live_count;

static int start_lives(void **state)
{
	python_count = pythons_find(pythons);
	for (size_t i = 0; i < python_count; i++) {
		struct live *l = &lives[live_count];

		if (pythons[i].major != 3)
			continue;
		*l = (struct live){.pid = live_start(&pythons[i], NULL)};
		assert_int_equal(target_open(l->pid, &l->t), 0);
		assert_int_equal(python_target_find(l->t, &l->py), 0);
		assert_ptr_equal(l->py.offsets,
				 py_offsets_get(pythons[i].minor, pythons[i].free_threaded));
		print_message("%s\n", pythons[i].name);
		live_count++;
	}
	return 0;
}

static int stop_lives(void **state)
{
	for (size_t i = 0; i < live_count; i++) {
		target_free(lives[i].t);
		child_stop(lives[i].pid);
	}
	return 0;
}

static void for_each_live(void (*check)(struct live *l))
{
	if (!live_count)
		skip();
	for (size_t i = 0; i < live_count; i++)
		check(&lives[i]);
}

/* Asks the process with another row. Returns: what the check returned; the row it came to in *now. */
static int members_with(struct live *l, const struct py_offsets *row, struct py_offsets *now,
			struct said *said)
{
	struct python_target py = l->py;

	py.offsets = row;
	said_begin(said);
	int err = python_members_check(l->t, &py);

	said_end(said);
	*now = *py.offsets;
	assert_int_equal(l->t->py_row != NULL, py.offsets != row);
	free(l->t->py_row);
	l->t->py_row = NULL;
	return err;
}

static void check_known(struct live *l)
{
	struct py_offsets now;
	struct said said;

	assert_int_equal(members_with(l, l->py.offsets, &now, &said), 0);
	assert_memory_equal(&now, l->py.offsets, sizeof(now));
	assert_string_equal(said.text, "");
	said_release(&said);
}

static void known_builds_say_what_we_know(void **state)
{
	for_each_live(check_known);
}

/* One field 8 bytes off to either side: noticed, said, and put right. */
static void assert_put_right(struct live *l, size_t field, const char *name, int by)
{
	const struct py_offsets *row = l->py.offsets;
	struct py_offsets wrong = *row, now;
	char line[160];
	struct said said;

	row_set(&wrong, field, (uint16_t)(row_field(row, field) + by));
	assert_int_equal(members_with(l, &wrong, &now, &said), 0);
	assert_memory_equal(&now, row, sizeof(now));
	snprintf(line, sizeof(line),
		 "warning: %s is at %u in this interpreter, at %u in CPython 3.%u as we know it: "
		 "using %u\n",
		 name, row_field(row, field), row_field(row, field) + by, l->py.minor,
		 row_field(row, field));
	assert_non_null(strstr(said.text, line));
	said_release(&said);
}

static void check_moved(struct live *l)
{
	unsigned minor = l->py.minor;

	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		if (minor < named[i].first || minor > named[i].last)
			continue;
		assert_put_right(l, named[i].row, named[i].name, 8);
		assert_put_right(l, named[i].row, named[i].name, -8);
	}
}

static void a_moved_member_is_put_right_and_said(void **state)
{
	for_each_live(check_moved);
}

/* From 3.11 on the bytecode begins where the object's fixed part ends, and what is before moves with it. */
static void check_bytecode(struct live *l)
{
	const struct py_offsets *row = l->py.offsets;
	struct py_offsets wrong = *row, now;
	struct said said;

	if (row->frame_objects)
		return;
	wrong.code_bytecode += 16;
	wrong.code_bytes += 16;
	wrong.code_firsttraceable += 16;
	assert_int_equal(members_with(l, &wrong, &now, &said), 0);
	assert_memory_equal(&now, row, sizeof(now));
	assert_non_null(strstr(said.text, "co_code_adaptive is at"));
	assert_non_null(strstr(said.text, "_co_firsttraceable is at"));
	said_release(&said);
}

static void moved_bytecode_is_put_right_with_what_is_before_it(void **state)
{
	for_each_live(check_bytecode);
}

static void check_all_members(struct live *l)
{
	const struct py_offsets *row = l->py.offsets;
	struct py_offsets wrong = *row, now;
	struct said said;

	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (l->py.minor >= named[i].first && l->py.minor <= named[i].last)
			row_set(&wrong, named[i].row,
				(uint16_t)(row_field(row, named[i].row) + 8 * (i + 1)));
	assert_int_equal(members_with(l, &wrong, &now, &said), 0);
	assert_memory_equal(&now, row, sizeof(now));
	said_release(&said);
}

static void all_members_at_once_are_put_right(void **state)
{
	for_each_live(check_all_members);
}

static void check_strings(struct live *l)
{
	const struct {
		size_t field;
		int by;
	} lies[] = {
		{offsetof(struct py_offsets, bytes_data), 8},
		{offsetof(struct py_offsets, bytes_data), -8},
		{offsetof(struct py_offsets, str_compact_data), 8},
		{offsetof(struct py_offsets, str_compact_data), -16},
	};

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct py_offsets wrong = *l->py.offsets, now;
		struct said said;

		row_set(&wrong, lies[i].field,
			(uint16_t)(row_field(&wrong, lies[i].field) + lies[i].by));
		assert_int_equal(members_with(l, &wrong, &now, &said), -EBADMSG);
		said_release(&said);
	}
}

static void strings_of_another_layout_are_refused(void **state)
{
	for_each_live(check_strings);
}

/* 3.11 and 3.12 have no table, and frames are no objects: the size of a frame object is all that is said. */
static void check_frame_size(struct live *l)
{
	for (int by = -8; by <= 8; by += 16) {
		struct py_offsets wrong = *l->py.offsets, now;
		struct said said;

		wrong.frame_bytes = (uint16_t)(wrong.frame_bytes + by);
		assert_int_equal(members_with(l, &wrong, &now, &said),
				 l->py.minor == 11 || l->py.minor == 12 ? -EBADMSG : 0);
		said_release(&said);
	}
}

static void frames_of_another_size_are_refused(void **state)
{
	for_each_live(check_frame_size);
}

/* ---- member tables made by hand, in this process ---- */

struct fake_member { /* PyMemberDef */
	const char *name;
	int64_t type, offset, flags;
	const char *doc;
};

#define FAKE_MEMBERS 64
#define NAME_ROOM    32 /* that many bytes of a name are read */

struct fake_type {
	uint8_t bytes[512];
	struct fake_member members[FAKE_MEMBERS];
	char names[FAKE_MEMBERS][NAME_ROOM];
};

static void fake_member(struct fake_type *f, size_t i, const char *name, int64_t offset)
{
	snprintf(f->names[i], NAME_ROOM, "%s", name);
	f->members[i] = (struct fake_member){.name = f->names[i], .offset = offset};
}

/* A type with nothing but members. */
static struct fake_type *fake_new(void)
{
	struct fake_type *f = calloc(1, sizeof(*f));
	uint64_t members = (uintptr_t)f->members;

	assert_non_null(f);
	memcpy(f->bytes + PY_TYPE_MEMBERS, &members, sizeof(members));
	return f;
}

/* Returns: what the check of a 3.8 whose code type this is returned. */
static int fake_check(const struct fake_type *f, struct py_offsets *now)
{
	struct target *t = NULL;
	struct said said;

	assert_int_equal(target_open(getpid(), &t), 0);
	assert_int_equal(target_object_open(t, t->objects[0]), 0);
	struct python_target py = {.object = t->objects[0],
				   .major = 3,
				   .minor = 8,
				   .offsets = py_offsets_get(8, false),
				   .code_type_addr = (uintptr_t)f->bytes};

	said_begin(&said);
	int err = python_members_check(t, &py);

	said_end(&said);
	said_release(&said);
	*now = *py.offsets;
	target_free(t);
	return err;
}

static void offsets_outside_of_any_structure_are_refused(void **state)
{
	static const int64_t absurd[] = {-1, -8, 4097, 65536 + 104, INT64_MAX, INT64_MIN};
	struct py_offsets now;

	for (size_t i = 0; i < ARRAY_LEN(absurd); i++) {
		struct fake_type *f = fake_new();

		fake_member(f, 0, "co_filename", absurd[i]);
		assert_int_equal(fake_check(f, &now), -EBADMSG);
		assert_memory_equal(&now, py_offsets_get(8, false), sizeof(now));
		free(f);
	}
}

static void members_that_mean_nothing_to_us_are_passed_over(void **state)
{
	struct fake_type *f = fake_new();
	struct py_offsets now, want = *py_offsets_get(8, false);

	fake_member(f, 0, "co_argcount", 9999);
	fake_member(f, 1, "co_filenam", 8);
	fake_member(f, 2, "co_filename_", 8);
	fake_member(f, 3, "f_back", 8); /* of the other type */
	fake_member(f, 4, "a_name_that_is_longer_than_what_is_read", -5);
	fake_member(f, 5, "co_filename", 120);
	assert_int_equal(fake_check(f, &now), 0);
	want.code_filename = 120;
	assert_memory_equal(&now, &want, sizeof(now));
	free(f);
}

static void a_table_without_an_end_is_left(void **state)
{
	struct fake_type *f = fake_new();
	struct py_offsets now;

	for (size_t i = 0; i < FAKE_MEMBERS; i++)
		fake_member(f, i, "x", 0);
	/* No code object has half as many members: the last ones are not looked at. */
	fake_member(f, FAKE_MEMBERS - 1, "co_filename", -1);
	assert_int_equal(fake_check(f, &now), 0);
	assert_memory_equal(&now, py_offsets_get(8, false), sizeof(now));
	free(f);
}

static void tables_that_cannot_be_read_change_nothing(void **state)
{
	static const uint64_t nowhere[] = {0, 8, 1ull << 47, UINT64_MAX - 7};
	struct py_offsets now;

	for (size_t i = 0; i < ARRAY_LEN(nowhere); i++) {
		struct fake_type *f = fake_new();

		memcpy(f->bytes + PY_TYPE_MEMBERS, &nowhere[i], 8);
		assert_int_equal(fake_check(f, &now), 0);
		assert_memory_equal(&now, py_offsets_get(8, false), sizeof(now));
		free(f);
		f = fake_new();
		fake_member(f, 0, "x", 0);
		f->members[0].name = (const char *)(uintptr_t)nowhere[i];
		fake_member(f, 1, "co_filename", 120);
		assert_int_equal(fake_check(f, &now), 0);
		free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_equal_table_keeps_our_row),
		cmocka_unit_test(each_offset_in_the_file_wins),
		cmocka_unit_test(absurd_offsets_are_refused),
		cmocka_unit_test(damaged_and_foreign_tables_are_refused),
		cmocka_unit_test(a_table_that_is_not_all_in_the_file_is_refused),
		cmocka_unit_test(a_row_that_is_wrong_everywhere_is_put_right),
		cmocka_unit_test(versions_without_a_table_need_none),
		cmocka_unit_test(the_alignment_makes_a_row_of_its_own),
		cmocka_unit_test(known_builds_say_what_we_know),
		cmocka_unit_test(a_moved_member_is_put_right_and_said),
		cmocka_unit_test(moved_bytecode_is_put_right_with_what_is_before_it),
		cmocka_unit_test(all_members_at_once_are_put_right),
		cmocka_unit_test(strings_of_another_layout_are_refused),
		cmocka_unit_test(frames_of_another_size_are_refused),
		cmocka_unit_test(offsets_outside_of_any_structure_are_refused),
		cmocka_unit_test(members_that_mean_nothing_to_us_are_passed_over),
		cmocka_unit_test(a_table_without_an_end_is_left),
		cmocka_unit_test(tables_that_cannot_be_read_change_nothing),
	};

	return cmocka_run_group_tests(tests, start_lives, stop_lives);
}
