/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold of every row, whatever its numbers: rules of CPython's history and of our readers. */
#include "child.h"

#include "base/cleanup.h"
#include "bpf/tmbpf.h"
#include "target/py_offsets.h"

#define OLDEST	     6
#define NEWEST	     15
#define STR_HEAD_MAX 128 /* symbolize/py_str.h: PY_STR_HEADER_MAX */
#define WINDOW_FRAME 256 /* bpf/stack_python.bpf.h: the room for one frame behind a window */

static const struct {
	unsigned minor;
	bool free_threaded;
} all_rows[] = {{6, false},  {7, false},  {8, false},  {9, false},  {10, false}, {11, false},
		{12, false}, {13, false}, {14, false}, {15, false}, {13, true},	 {14, true}};

static void for_each_row(void (*check)(const struct py_offsets *o))
{
	for (size_t i = 0; i < ARRAY_LEN(all_rows); i++) {
		const struct py_offsets *o =
			py_offsets_get(all_rows[i].minor, all_rows[i].free_threaded);

		assert_non_null(o);
		check(o);
	}
}

static void supported_minors_have_rows(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(all_rows); i++) {
		const struct py_offsets *o =
			py_offsets_get(all_rows[i].minor, all_rows[i].free_threaded);

		assert_non_null(o);
		assert_int_equal(o->minor, all_rows[i].minor);
		assert_int_equal(o->free_threaded, all_rows[i].free_threaded);
	}
}

static void other_minors_have_none(void **state)
{
	assert_null(py_offsets_get(0, false));
	assert_null(py_offsets_get(OLDEST - 1, false));
	assert_null(py_offsets_get(NEWEST + 1, false));
	assert_null(py_offsets_get(UINT32_MAX, false));
	assert_null(py_offsets_get(12, true)); /* there is no such build */
	assert_null(py_offsets_get(NEWEST, true));
}

static void check_pointer(uint16_t at, uint16_t end)
{
	assert_true(at != PY_NONE && at % 8 == 0 && at + 8 <= end);
}

static void check_int(uint16_t at, uint16_t end)
{
	assert_true(at != PY_NONE && at % 4 == 0 && at + 4 <= end);
}

static void check_frame(const struct py_offsets *o)
{
	assert_int_equal(o->frame_objects, o->minor <= 10);
	assert_true(o->frame_bytes <= WINDOW_FRAME);
	check_pointer(o->frame_code, o->frame_bytes);
	check_pointer(o->frame_previous, o->frame_bytes);
	assert_int_equal(o->frame_code_mask, o->minor >= 14 ? 3 : 0);
	if (o->frame_objects) {
		check_int(o->frame_instr, o->frame_bytes);
		assert_int_equal(o->frame_bytes, o->frame_instr + 4);
		assert_int_equal(o->frame_owner, PY_NONE);
		assert_int_equal(o->lasti_bytes, o->minor == 10 ? 2 : 1);
	} else {
		check_pointer(o->frame_instr, o->frame_bytes);
		assert_true(o->frame_owner < o->frame_bytes);
		assert_int_equal(o->frame_bytes % 8, 0);
	}
	if (o->free_threaded && o->minor >= 14)
		check_int(o->frame_tlbc, o->frame_bytes);
	else
		assert_int_equal(o->frame_tlbc, PY_NONE);
}

static void frames_fit_their_window(void **state)
{
	for_each_row(check_frame);
}

static void check_code(const struct py_offsets *o)
{
	assert_true(o->code_bytes <= TM_CODE_OBJ_MAX);
	check_int(o->code_firstlineno, o->code_bytes);
	check_pointer(o->code_filename, o->code_bytes);
	check_pointer(o->code_name, o->code_bytes);
	check_pointer(o->code_linetable, o->code_bytes);
	assert_int_equal(o->code_name, o->code_filename + 8); /* neighbours in all versions */
	if (o->frame_objects) {
		assert_int_equal(o->code_linetable, o->code_name + 8);
		assert_int_equal(o->code_bytes, o->code_linetable + 8);
		assert_int_equal(o->code_qualname, PY_NONE);
		assert_int_equal(o->code_firsttraceable, PY_NONE);
		assert_int_equal(o->code_bytecode, PY_NONE);
	} else {
		check_pointer(o->code_qualname, o->code_bytes);
		assert_int_equal(o->code_qualname, o->code_name + 8);
		assert_int_equal(o->code_linetable, o->code_qualname + 8);
		check_int(o->code_firsttraceable, o->code_bytes);
		assert_int_equal(o->code_bytes, o->code_bytecode);
		assert_int_equal(o->code_bytecode % 8, 0);
	}
	if (o->free_threaded && o->minor >= 14)
		check_pointer(o->code_tlbc, o->code_bytes);
	else
		assert_int_equal(o->code_tlbc, PY_NONE);
}

static void code_objects_fit_a_death_record(void **state)
{
	for_each_row(check_code);
}

static void check_lines(const struct py_offsets *o)
{
	assert_int_equal(o->lines, o->minor <= 9    ? PY_LINES_LNOTAB
				   : o->minor == 10 ? PY_LINES_LINETABLE
						    : PY_LINES_LOCATIONS);
}

static void lines_are_of_the_format_of_the_version(void **state)
{
	for_each_row(check_lines);
}

static void check_objects(const struct py_offsets *o)
{
	const unsigned head = o->free_threaded ? 16 : 0;

	assert_int_equal(py_head_extra(o), head);
	assert_int_equal(o->obj_type, 8 + head);
	assert_int_equal(o->bytes_size, 16 + head);
	assert_int_equal(o->bytes_data, 32 + head);
	assert_int_equal(o->str_length, 16 + head);
	assert_int_equal(o->str_state, 32 + head);
	/* 3.12 dropped wstr and wstr_length */
	assert_int_equal(o->str_ascii_data, (o->minor >= 12 ? 40 : 48) + head);
	assert_int_equal(o->str_compact_data, (o->minor >= 12 ? 56 : 72) + head);
	assert_int_equal(o->str_kind_shift, o->free_threaded && o->minor >= 14 ? 8 : 2);
	assert_true(o->str_state + 4u <= STR_HEAD_MAX && o->str_length + 8u <= STR_HEAD_MAX);
}

static void objects_have_the_head_of_the_build(void **state)
{
	for_each_row(check_objects);
}

static void check_threads(const struct py_offsets *o)
{
	assert_int_equal(o->tstate_frame % 8, 0);
	/* a _PyCFrame stands between in two versions only */
	assert_int_equal(o->cframe_frame != PY_NONE, o->minor == 11 || o->minor == 12);
	if (o->minor == 6 || o->minor == 15)
		assert_int_equal(o->runtime_tsskey, PY_NONE);
	if (o->runtime_tsskey != PY_NONE)
		assert_int_equal(o->runtime_tsskey % 8, 0);
}

static void the_way_to_the_newest_frame_is_of_the_version(void **state)
{
	for_each_row(check_threads);
}

static void check_pools(const struct py_offsets *o)
{
	assert_int_equal(o->pool_bytes, o->minor >= 10 ? 16384 : 4096);
	assert_int_equal(o->pool_align_shift, o->minor >= 8 ? 4 : 3);
	assert_true(512 >> o->pool_align_shift <= TM_SIZE_CLASSES);
	assert_true((o->pool_bytes - PY_POOL_HEADER) >> o->pool_align_shift <= TM_POOL_SLOTS_MAX);
	assert_int_equal(PY_POOL_HEADER, TM_POOL_HEADER);
}

static void pools_fit_their_shadow(void **state)
{
	for_each_row(check_pools);
}

/* Every object of a free-threaded build begins 16 bytes later, and nothing else is different in 3.13. */
static void free_threaded_rows_are_shifted(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(all_rows); i++) {
		const struct py_offsets *ft = py_offsets_get(all_rows[i].minor, true);
		const struct py_offsets *o = py_offsets_get(all_rows[i].minor, false);

		if (!ft)
			continue;
		assert_int_equal(ft->code_firstlineno, o->code_firstlineno + 16);
		assert_int_equal(ft->code_filename, o->code_filename + 16);
		assert_int_equal(ft->code_linetable, o->code_linetable + 16);
		assert_int_equal(ft->code_firsttraceable, o->code_firsttraceable + 16);
		/* the pointer to the copies stands before it */
		assert_int_equal(ft->code_bytecode,
				 o->code_bytecode + 16 + (ft->code_tlbc != PY_NONE ? 8 : 0));
		assert_int_equal(ft->tstate_frame, o->tstate_frame);
		assert_int_equal(ft->frame_code, o->frame_code);
		assert_int_equal(ft->frame_previous, o->frame_previous);
		assert_int_equal(ft->frame_instr, o->frame_instr);
		assert_int_equal(ft->frame_owner,
				 o->frame_owner + (ft->frame_tlbc != PY_NONE ? 4 : 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(supported_minors_have_rows),
		cmocka_unit_test(other_minors_have_none),
		cmocka_unit_test(frames_fit_their_window),
		cmocka_unit_test(code_objects_fit_a_death_record),
		cmocka_unit_test(lines_are_of_the_format_of_the_version),
		cmocka_unit_test(objects_have_the_head_of_the_build),
		cmocka_unit_test(the_way_to_the_newest_frame_is_of_the_version),
		cmocka_unit_test(pools_fit_their_shadow),
		cmocka_unit_test(free_threaded_rows_are_shifted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
