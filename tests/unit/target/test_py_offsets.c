/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include "target/py_offsets.h"

static void supported_minors_have_rows(void **state)
{
	for (unsigned minor = 11; minor <= 13; minor++) {
		const struct py_offsets *o = py_offsets_get(minor);

		assert_non_null(o);
		assert_int_equal(o->minor, minor);
		/* exactly one way from the thread state to the frame */
		assert_true((o->tstate_cframe == PY_NONE) != (o->tstate_current_frame == PY_NONE));
		assert_true(o->frame_owner < o->frame_bytes && o->frame_instr < o->frame_bytes);
		assert_true(o->code_firsttraceable < o->code_bytes);
		assert_true(o->code_bytecode >= o->code_bytes);
		assert_int_equal(o->pool_bytes & (o->pool_bytes - 1), 0);
	}
}

static void other_minors_have_none(void **state)
{
	assert_null(py_offsets_get(10));
	assert_null(py_offsets_get(14));
	assert_null(py_offsets_get(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(supported_minors_have_rows),
		cmocka_unit_test(other_minors_have_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
