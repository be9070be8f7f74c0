/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code objects of real interpreters: read live, and taken from a death record made of their bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bpf/tmbpf.h"
#include "symbolize/py_str.h"
#include "symbolize/symbolize.h"

#include "code_child.h"

#define LINES_CHECKED 500 /* of a large code object: each look-up reads the table from its start */

struct scene { /* one interpreter, looked at */
	struct code_child child;
	struct target *target;
	struct python_target py;
	struct intern *strings;
};

static void scene_open(struct scene *s, const struct python *p)
{
	assert_int_equal(code_child_start(&s->child, p, __FILE__), 0);
	assert_true(s->child.count > 80);
	assert_int_equal(target_open(s->child.pid, &s->target), 0);
	s->py = (struct python_target){.major = 3,
				       .minor = p->minor,
				       .offsets = py_offsets_get(p->minor, p->free_threaded),
				       .code_type_addr = s->child.type_addr};
	s->strings = intern_new();
	assert_non_null(s->strings);
}

static void scene_close(struct scene *s)
{
	intern_free(s->strings);
	target_free(s->target);
	code_child_stop(&s->child);
}

static size_t cut_wrong;
static struct scene scenes[PYTHONS_MAX];
static size_t scene_count;

static int open_scenes(void **state)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons);

	for (size_t i = 0; i < n; i++) {
		if (pythons[i].major != 3)
			continue;
		scene_open(&scenes[scene_count], &pythons[i]);
		print_message("%s: %zu code objects\n", pythons[i].name,
			      scenes[scene_count++].child.count);
	}
	return 0;
}

static int close_scenes(void **state)
{
	for (size_t i = 0; i < scene_count; i++)
		scene_close(&scenes[i]);
	return 0;
}

static void for_each_python(void (*check)(struct scene *))
{
	if (!scene_count)
		skip();
	for (size_t i = 0; i < scene_count; i++)
		check(&scenes[i]);
}

static bool is_old(const struct scene *s)
{
	return s->py.offsets->frame_objects;
}

/* What a frame says that stands at this offset of the bytecode; -2: it has not run. */
static uint64_t instr_at(const struct scene *s, const struct py_code *code, int64_t offset)
{
	if (is_old(s))
		return (uint64_t)(offset / s->py.offsets->lasti_bytes);
	return code->bytecode_addr + (uint64_t)offset;
}

static int32_t line_at(const struct scene *s, const struct py_code *code, int64_t offset)
{
	return py_code_line(&s->py, code, instr_at(s, code, offset), 0);
}

static void assert_same_lines(const struct scene *s, const struct py_code *code,
			      const struct said_code *said)
{
	size_t step = said->line_count / LINES_CHECKED + 1;

	for (size_t i = 0; i < said->line_count; i += step)
		assert_int_equal(line_at(s, code, 2 * (int64_t)i - 2), said->lines[i]);
	if (is_old(s)) /* f_lasti begins with it */
		assert_int_equal(py_code_line(&s->py, code, (uint64_t)-1, 0), said->firstlineno);
}

static void assert_same(const struct scene *s, const struct py_code *code,
			const struct said_code *said)
{
	assert_string_equal(intern_get(s->strings, code->filename), said->filename);
	assert_string_equal(intern_get(s->strings, code->qualname), said->qualname);
	assert_int_equal(code->firstlineno, said->firstlineno);
	assert_int_equal(code->firsttraceable, said->firsttraceable);
	assert_same_lines(s, code, said);
}

static void read_all_live(struct scene *s)
{
	for (size_t i = 0; i < s->child.count; i++) {
		const struct said_code *said = &s->child.codes[i];
		struct py_code code = {0};

		assert_int_equal(py_code_read(s->target, &s->py, s->strings, said->addr, &code), 0);
		assert_same(s, &code, said);

		/* The bytecode is where we say it is, or the lines agree by accident. */
		if (is_old(s)) {
			py_code_release(&code);
			continue;
		}
		uint8_t *bytecode = malloc(said->bytecode_len);

		assert_int_equal(
			target_read(s->target, code.bytecode_addr, bytecode, said->bytecode_len),
			0);
		assert_memory_equal(bytecode, said->bytecode, said->bytecode_len);
		free(bytecode);
		py_code_release(&code);
		assert_null(code.linetable);
	}
}

static void live_code_is_what_python_says(void **state)
{
	for_each_python(read_all_live);
}

#define THREAD 0 /* FRAME_OWNED_BY_THREAD */

static bool is_incomplete(const struct scene *s, const struct py_code *code, int64_t offset,
			  uint8_t owner)
{
	return py_code_frame_is_incomplete(&s->py, code, instr_at(s, code, offset), 0, owner);
}

/* Up to 3.10 a frame is whole from its first instruction on. */
static void no_frame_rule(struct scene *s)
{
	for (size_t i = 0; i < s->child.count; i++) {
		struct py_code code = {0};

		assert_int_equal(
			py_code_read(s->target, &s->py, s->strings, s->child.codes[i].addr, &code),
			0);
		assert_int_equal(code.firsttraceable, 0);
		for (uint8_t owner = 0; owner < 8; owner++) {
			assert_false(is_incomplete(s, &code, -2, owner));
			assert_false(is_incomplete(s, &code, 0, owner));
		}
		py_code_release(&code);
	}
}

static void frame_rule(struct scene *s)
{
	size_t late = 0;

	if (is_old(s)) {
		no_frame_rule(s);
		return;
	}
	for (size_t i = 0; i < s->child.count; i++) {
		const struct said_code *said = &s->child.codes[i];
		int64_t resume = 2 * (int64_t)said->firsttraceable;
		struct py_code code = {0};

		assert_int_equal(py_code_read(s->target, &s->py, s->strings, said->addr, &code), 0);
		late += said->firsttraceable > 0;
		assert_true(is_incomplete(s, &code, -2, THREAD));
		assert_true(is_incomplete(s, &code, resume - 2, THREAD));
		assert_false(is_incomplete(s, &code, resume, THREAD));
		assert_false(is_incomplete(s, &code, resume - 2, PY_OWNER_GENERATOR));
		assert_true(is_incomplete(s, &code, resume, PY_OWNER_FIRST_NOT_PYTHON));
		assert_true(is_incomplete(s, &code, resume, PY_OWNER_FIRST_NOT_PYTHON + 1));
		py_code_release(&code);
	}
	assert_true(late > 5); /* generators and closures start with other instructions */
}

static void incomplete_frames_are_those_before_resume(void **state)
{
	for_each_python(frame_rule);
}

static uint64_t field(const uint8_t *obj, uint16_t off)
{
	uint64_t v;

	memcpy(&v, obj + off, sizeof(v));
	return v;
}

/* What BPF does with a str: raw code points, cut at TM_CODE_STR_MAX. */
static size_t copy_str(const struct scene *s, uint64_t addr, uint8_t *out, uint8_t *kind)
{
	uint8_t header[PY_STR_HEADER_MAX];
	size_t len = py_str_header_len(s->py.offsets);
	struct py_str str;

	assert_int_equal(target_read(s->target, addr, header, len), 0);
	assert_int_equal(py_str_parse(s->py.offsets, addr, header, len, &str), 0);
	*kind = str.kind;
	if (str.data_ptr_addr) { /* BPF does not follow a subclass */
		*kind = 0;
		return 0;
	}
	len = str.bytes < TM_CODE_STR_MAX ? str.bytes : TM_CODE_STR_MAX;
	assert_int_equal(target_read(s->target, str.data_addr, out, len), 0);
	return len;
}

static void make_death(const struct scene *s, uint64_t addr, struct tm_code_death *d)
{
	const struct py_offsets *off = s->py.offsets;
	uint8_t *p = d->data;

	*d = (struct tm_code_death){.hdr.type = TM_REC_CODE_DEATH, .code = addr};
	d->code_len = off->code_bytes;
	assert_int_equal(target_read(s->target, addr, p, d->code_len), 0);
	uint64_t file = field(p, off->code_filename);
	uint64_t name = field(p, is_old(s) ? off->code_name : off->code_qualname);
	uint64_t table = field(p, off->code_linetable), table_len;

	p += d->code_len;
	d->filename_len = (uint32_t)copy_str(s, file, p, &d->filename_kind);
	p += d->filename_len;
	d->qualname_len = (uint32_t)copy_str(s, name, p, &d->qualname_kind);
	p += d->qualname_len;
	assert_int_equal(target_read_u64(s->target, table + off->bytes_size, &table_len), 0);
	d->table_full_len = (uint32_t)table_len;
	d->table_len = table_len < TM_CODE_TABLE_MAX ? (uint32_t)table_len : TM_CODE_TABLE_MAX;
	assert_int_equal(target_read(s->target, table + off->bytes_data, p, d->table_len), 0);
	p += d->table_len;
	d->hdr.len = (uint32_t)(p - (const uint8_t *)d);
}

/* Cut or unreadable strings cannot be equal: "<unknown>", or a head of the full one. */
static void assert_same_head(const char *got, const char *want, unsigned kind, size_t bytes)
{
	if (!kind)
		assert_string_equal(got, "<unknown>");
	else if (bytes == TM_CODE_STR_MAX)
		assert_memory_equal(got, want, strlen(got));
	else
		assert_string_equal(got, want);
}

static void die_all(struct scene *s)
{
	struct tm_code_death *d = malloc(sizeof(*d));
	size_t whole = 0;

	assert_non_null(d);
	for (size_t i = 0; i < s->child.count; i++) {
		const struct said_code *said = &s->child.codes[i];
		struct py_code code = {0};

		make_death(s, said->addr, d);
		assert_int_equal(py_code_from_death(&s->py, s->strings, d, d->hdr.len, &code), 0);
		assert_same_head(intern_get(s->strings, code.filename), said->filename,
				 d->filename_kind, d->filename_len);
		assert_same_head(intern_get(s->strings, code.qualname), said->qualname,
				 d->qualname_kind, d->qualname_len);
		assert_int_equal(code.firstlineno, said->firstlineno);
		assert_int_equal(code.firsttraceable, said->firsttraceable);
		if (d->table_len == d->table_full_len) {
			assert_same_lines(s, &code, said);
			whole++;
		} else { /* the head of the table still answers */
			assert_int_equal(line_at(s, &code, 2), said->lines[2]);
		}
		py_code_release(&code);
	}
	assert_int_equal(whole, s->child.count - 1);
	free(d);
}

static void death_record_tells_the_same(void **state)
{
	for_each_python(die_all);
}

/* "Some lines are 0", docs say of a table that was cut: better than a wrong one. */
static void lines_of_cut_tables(struct scene *s)
{
	struct tm_code_death *d = malloc(sizeof(*d));
	const struct said_code *said = &s->child.codes[s->child.count - 1];
	struct py_code code = {0};

	assert_non_null(d);
	make_death(s, said->addr, d);
	assert_true(d->table_len < d->table_full_len);
	assert_int_equal(py_code_from_death(&s->py, s->strings, d, d->hdr.len, &code), 0);
	size_t known = 0, wrong = 0;

	for (size_t i = 1; i + 1 < said->line_count; i += said->line_count / LINES_CHECKED + 1) {
		int32_t line = line_at(s, &code, 2 * (int64_t)i - 2);

		known += line != 0;
		wrong += line != 0 && line != said->lines[i];
	}
	if (wrong)
		print_error("3.%u: %zu lines of a cut table are wrong\n", s->py.minor, wrong);
	assert_true(known > 10);
	cut_wrong += wrong;
	py_code_release(&code);
	free(d);
}

static void lines_behind_a_cut_are_none(void **state)
{
	cut_wrong = 0;
	for_each_python(lines_of_cut_tables);
	assert_int_equal(cut_wrong, 0);
}

static void cut_everywhere(struct scene *s)
{
	struct tm_code_death *d = malloc(sizeof(*d));

	assert_non_null(d);
	make_death(s, s->child.codes[1].addr, d);
	for (size_t len = 0; len < d->hdr.len; len++) {
		struct py_code code = {.firstlineno = 77};
		uint8_t *exact = malloc(len + 1); /* ASan sees a read behind it */

		memcpy(exact, d, len);
		assert_int_equal(py_code_from_death(&s->py, s->strings, exact, len, &code),
				 -EBADMSG);
		if (len >= sizeof(d->hdr)) { /* the header says it, too */
			memcpy(exact + 4, &(uint32_t){(uint32_t)len}, 4);
			assert_int_equal(py_code_from_death(&s->py, s->strings, exact, len, &code),
					 -EBADMSG);
		}
		assert_int_equal(code.firstlineno, 77);
		free(exact);
	}
	free(d);
}

static void cut_death_record_is_refused(void **state)
{
	for_each_python(cut_everywhere);
}

static void lie_in_record(struct scene *s)
{
	struct tm_code_death *d = malloc(sizeof(*d)), *lie = malloc(sizeof(*lie));
	struct py_code code = {0};

	assert_true(d && lie);
	make_death(s, s->child.codes[1].addr, d);
	size_t len = d->hdr.len;

#define REFUSED(change)                                                                   \
	do {                                                                              \
		*lie = *d;                                                                \
		change;                                                                   \
		assert_int_equal(py_code_from_death(&s->py, s->strings, lie, len, &code), \
				 -EBADMSG);                                               \
	} while (0)

	REFUSED(lie->hdr.type = TM_REC_STACK);
	REFUSED(lie->hdr.len = len + 1);
	REFUSED(lie->hdr.len = 0);
	REFUSED(lie->code_len = UINT16_MAX);
	REFUSED(lie->code_len = 8);
	REFUSED(lie->filename_len = UINT32_MAX);
	REFUSED(lie->qualname_len = UINT32_MAX);
	REFUSED(lie->table_len = UINT32_MAX);
	REFUSED(lie->filename_len = lie->qualname_len = lie->table_len = UINT32_MAX);
	REFUSED(lie->data[s->py.offsets->obj_type] ^= 0xff);
	REFUSED(lie->data[s->py.offsets->obj_type + 7] ^= 0x80);
	REFUSED(lie->code_len = s->py.offsets->code_linetable + 7); /* a byte short */
	if (!is_old(s))
		REFUSED(memset(lie->data + s->py.offsets->code_firsttraceable, 0xff, 4));

	*lie = *d;
	lie->filename_kind = 3;
	assert_int_equal(py_code_from_death(&s->py, s->strings, lie, len, &code), 0);
	assert_string_equal(intern_get(s->strings, code.filename), "<unknown>");
	py_code_release(&code);
	free(d);
	free(lie);
}

static void lying_death_record_is_refused(void **state)
{
	for_each_python(lie_in_record);
}

static void other_addresses(struct scene *s)
{
	struct py_code code = {.firstlineno = 77};
	uint64_t real = s->child.codes[0].addr;

#define READ(addr) py_code_read(s->target, &s->py, s->strings, addr, &code)
	assert_int_equal(READ(0), -EFAULT);
	assert_int_equal(READ(8), -EFAULT);
	assert_int_equal(READ(UINT64_MAX), -EFAULT);
	assert_int_equal(READ(UINT64_MAX - 64), -EFAULT);
	assert_int_equal(READ(0x00ff000000000000), -EFAULT);
	assert_int_equal(READ(s->child.type_addr), -EBADMSG); /* a type, not a code object */
	assert_int_equal(READ(real + 8), -EBADMSG);
	s->py.code_type_addr++;
	assert_int_equal(READ(real), -EBADMSG);
	s->py.code_type_addr--;
#undef READ
	assert_int_equal(code.firstlineno, 77);
}

static void what_is_no_code_object_is_refused(void **state)
{
	for_each_python(other_addresses);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_code_is_what_python_says),
		cmocka_unit_test(incomplete_frames_are_those_before_resume),
		cmocka_unit_test(death_record_tells_the_same),
		cmocka_unit_test(lines_behind_a_cut_are_none),
		cmocka_unit_test(cut_death_record_is_refused),
		cmocka_unit_test(lying_death_record_is_refused),
		cmocka_unit_test(what_is_no_code_object_is_refused),
	};

	return cmocka_run_group_tests(tests, open_scenes, close_scenes);
}
