/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layouts of CPython by minor version. Sources of every number, x86-64 with GIL:
 *   [T] python-frames.md section 3: DWARF of unstripped builds and offsetof on Debian's headers,
 *       walked live on 3.11.7, 3.11.2, 3.12.1, 3.13.0 and 3.13.5; equal in all builds of a minor
 *   [D] also the value of _Py_DebugOffsets in 3.13.0 and 3.13.5, python-frames.md section 1
 *   [P] allocator-probes.md section 1, pool header and pool size
 *   [G] gdb on pyenv's libpython: p/d (long)&((struct pyruntimestate *)0)->_finalizing
 * Same minor, other patch release: equal wherever measured.
 */
#include "target/py_offsets.h"

#include <stddef.h>

#include "base/cleanup.h"

static const struct py_offsets rows[] = {
	{
		.minor = 11,
		.runtime_tsskey = 592,	   /* [T] _PyRuntime.gilstate.autoTSSkey, 3.11.7 */
		.runtime_finalizing = 24,  /* [G] _PyRuntime._finalizing, 3.11.7 */
		.tstate_cframe = 56,	   /* [T] tstate.cframe */
		.cframe_current_frame = 8, /* [T] cframe.current_frame */
		.tstate_current_frame = PY_NONE,
		.frame_code = 32,	     /* [T] iframe.f_code */
		.frame_previous = 48,	     /* [T] iframe.previous */
		.frame_instr = 56,	     /* [T] iframe.prev_instr */
		.frame_owner = 69,	     /* [T] iframe.owner */
		.frame_bytes = 72,	     /* [T] iframe.localsplus: all fixed fields */
		.frame_code_mask = 0,	     /* [T] plain pointer */
		.owner_first_not_python = 3, /* [T] "owner values": the rule for all versions */
		.owner_generator = 1,	     /* [T] FRAME_OWNED_BY_GENERATOR */
		.code_flags = 48,	     /* [T] code.co_flags */
		.code_firstlineno = 72,	     /* [T] code.co_firstlineno */
		.code_filename = 112,	     /* [T] code.co_filename */
		.code_name = 120,	     /* [T] code.co_name */
		.code_qualname = 128,	     /* [T] code.co_qualname */
		.code_linetable = 136,	     /* [T] code.co_linetable */
		.code_firsttraceable = 168,  /* [T] code._co_firsttraceable */
		.code_bytecode = 184,	     /* [T] code.co_code_adaptive */
		.code_bytes = 184,	     /* the same: all fixed fields */
		.type_dealloc = 48,	     /* [T] section 6; offsetof(PyTypeObject, tp_dealloc) */
		.bytes_size = 16,	     /* [T] bytes.ob_size */
		.bytes_data = 32,	     /* [T] bytes.ob_sval */
		.str_length = 16,	     /* [T] uni.length */
		.str_state = 32,	     /* [T] uni.state */
		.str_ascii_data = 48,	     /* [T] uni.sizeof_ascii */
		.str_compact_data = 72,	     /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	     /* [P] */
		.pool_header = 48,	     /* [P] */
		.pool_align_shift = 4,	     /* [P] size = (szidx+1)*16 since 3.8 */
	},
	{
		.minor = 12,
		.runtime_tsskey = 1544,	   /* [T] _PyRuntime.autoTSSkey, 3.12.1 */
		.runtime_finalizing = 24,  /* [G] _PyRuntime._finalizing, 3.12.1 */
		.tstate_cframe = 56,	   /* [T] tstate.cframe */
		.cframe_current_frame = 0, /* [T] cframe.current_frame */
		.tstate_current_frame = PY_NONE,
		.frame_code = 0,	     /* [T] iframe.f_code */
		.frame_previous = 8,	     /* [T] iframe.previous */
		.frame_instr = 56,	     /* [T] iframe.prev_instr */
		.frame_owner = 70,	     /* [T] iframe.owner */
		.frame_bytes = 72,	     /* [T] iframe.localsplus */
		.frame_code_mask = 0,	     /* [T] plain pointer */
		.owner_first_not_python = 3, /* [T] FRAME_OWNED_BY_CSTACK */
		.owner_generator = 1,	     /* [T] FRAME_OWNED_BY_GENERATOR */
		.code_flags = 48,	     /* [T] code.co_flags */
		.code_firstlineno = 68,	     /* [T] code.co_firstlineno */
		.code_filename = 112,	     /* [T] code.co_filename */
		.code_name = 120,	     /* [T] code.co_name */
		.code_qualname = 128,	     /* [T] code.co_qualname */
		.code_linetable = 136,	     /* [T] code.co_linetable */
		.code_firsttraceable = 176,  /* [T] code._co_firsttraceable */
		.code_bytecode = 192,	     /* [T] code.co_code_adaptive */
		.code_bytes = 192,	     /* the same: all fixed fields */
		.type_dealloc = 48,	     /* [T] section 6 */
		.bytes_size = 16,	     /* [T] bytes.ob_size */
		.bytes_data = 32,	     /* [T] bytes.ob_sval */
		.str_length = 16,	     /* [T] uni.length */
		.str_state = 32,	     /* [T] uni.state */
		.str_ascii_data = 40,	     /* [T] uni.sizeof_ascii: wstr is gone */
		.str_compact_data = 56,	     /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	     /* [P] */
		.pool_header = 48,	     /* [P] */
		.pool_align_shift = 4,	     /* [P] */
	},
	{
		.minor = 13,
		.runtime_tsskey = 2160,	   /* [T] _PyRuntime.autoTSSkey, 3.13.0 */
		.runtime_finalizing = 608, /* [D] runtime_state.finalizing @32 */
		.tstate_cframe = PY_NONE,
		.cframe_current_frame = PY_NONE,
		.tstate_current_frame = 72,  /* [T,D] thread_state.current_frame @184 */
		.frame_code = 0,	     /* [T,D] interpreter_frame.executable @240 */
		.frame_previous = 8,	     /* [T,D] interpreter_frame.previous @232 */
		.frame_instr = 56,	     /* [T,D] interpreter_frame.instr_ptr @248 */
		.frame_owner = 70,	     /* [T,D] interpreter_frame.owner @264 */
		.frame_bytes = 72,	     /* [T,D] interpreter_frame.localsplus @256 */
		.frame_code_mask = 0,	     /* [T] plain pointer until 3.14 */
		.owner_first_not_python = 3, /* [T] FRAME_OWNED_BY_CSTACK */
		.owner_generator = 1,	     /* [T] FRAME_OWNED_BY_GENERATOR */
		.code_flags = 48,	     /* [T] code.co_flags */
		.code_firstlineno = 68,	     /* [T,D] code_object.firstlineno @312 */
		.code_filename = 112,	     /* [T,D] code_object.filename @280 */
		.code_name = 120,	     /* [T,D] code_object.name @288 */
		.code_qualname = 128,	     /* [T,D] code_object.qualname @296 */
		.code_linetable = 136,	     /* [T,D] code_object.linetable @304 */
		.code_firsttraceable = 184,  /* [T] code._co_firsttraceable */
		.code_bytecode = 200,	     /* [T,D] code_object.co_code_adaptive @344 */
		.code_bytes = 200,	     /* the same: all fixed fields */
		.type_dealloc = 48,	     /* [T] section 6 */
		.bytes_size = 16,	     /* [T,D] bytes_object.ob_size @520 */
		.bytes_data = 32,	     /* [T,D] bytes_object.ob_sval @528 */
		.str_length = 16,	     /* [T,D] unicode_object.length @552 */
		.str_state = 32,	     /* [T,D] unicode_object.state @544 */
		.str_ascii_data = 40,	     /* [T,D] unicode_object.asciiobject_size @560 */
		.str_compact_data = 56,	     /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	     /* [P] */
		.pool_header = 48,	     /* [P] */
		.pool_align_shift = 4,	     /* [P] */
	},
};

const struct py_offsets *py_offsets_get(unsigned minor)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].minor == minor)
			return &rows[i];
	}
	return NULL;
}
