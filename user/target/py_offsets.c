/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layouts of CPython by minor version, x86-64. Sources of every number:
 *   [T] python-frames.md section 3: DWARF of unstripped builds and offsetof on Debian's headers,
 *       walked live on 3.6.15 3.7.16 3.8.18 3.9.18 3.9.2 3.10.13 3.11.7 3.11.2 3.12.1 3.13.0 3.13.5
 *       3.14.8 3.14.10 3.15.2 and 3.13.15t; equal in all builds of a minor
 *   [O] the same section, offsetof on headers of 3.14t, not in its table
 *   [D] also the value in _Py_DebugOffsets of 3.13 on, python-frames.md section 1
 *   [M] also in the type's own member table, which is read from each target (python_layout.c)
 *   [P] allocator-probes.md section 1, pool size and alignment
 * What the target itself says ([D], [M]) wins over the row.
 */
#include "target/py_offsets.h"

#include <stddef.h>

#include "base/cleanup.h"

static const struct py_offsets rows[] = {
	{
		.minor = 6,
		.frame_objects = true,
		.lasti_bytes = 1, /* [T] f_lasti counts bytes */
		.lines = PY_LINES_LNOTAB,
		.runtime_tsskey = PY_NONE, /* a static int */
		.tstate_frame = 24,	   /* [T] tstate.frame */
		.cframe_frame = PY_NONE,
		.frame_code = 32,     /* [T] frameobj.f_code */
		.frame_previous = 24, /* [T] frameobj.f_back */
		.frame_instr = 120,   /* [T] frameobj.f_lasti */
		.frame_owner = PY_NONE,
		.frame_tlbc = PY_NONE,
		.frame_bytes = 124,	/* the end of f_lasti */
		.frame_code_mask = 0,	/* [T] plain pointer */
		.code_firstlineno = 36, /* [T,M] code.co_firstlineno */
		.code_filename = 96,	/* [T,M] code.co_filename */
		.code_name = 104,	/* [T,M] code.co_name */
		.code_qualname = PY_NONE,
		.code_linetable = 112, /* [T,M] code.co_lnotab */
		.code_firsttraceable = PY_NONE,
		.code_tlbc = PY_NONE,
		.code_bytecode = PY_NONE,
		.code_bytes = 120,	/* the end of the line table's pointer */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 48,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 72, /* [T] uni.sizeof_compact */
		.pool_bytes = 4096,	/* [P] */
		.pool_align_shift = 3,	/* [P] */
	},
	{
		.minor = 7,
		.frame_objects = true,
		.lasti_bytes = 1, /* [T] f_lasti counts bytes */
		.lines = PY_LINES_LNOTAB,
		.runtime_tsskey = 1504, /* [T] gilstate.autoTSSkey */
		.tstate_frame = 24,	/* [T] tstate.frame */
		.cframe_frame = PY_NONE,
		.frame_code = 32,     /* [T] frameobj.f_code */
		.frame_previous = 24, /* [T] frameobj.f_back */
		.frame_instr = 104,   /* [T] frameobj.f_lasti */
		.frame_owner = PY_NONE,
		.frame_tlbc = PY_NONE,
		.frame_bytes = 108,	/* the end of f_lasti */
		.frame_code_mask = 0,	/* [T] plain pointer */
		.code_firstlineno = 36, /* [T,M] code.co_firstlineno */
		.code_filename = 96,	/* [T,M] code.co_filename */
		.code_name = 104,	/* [T,M] code.co_name */
		.code_qualname = PY_NONE,
		.code_linetable = 112, /* [T,M] code.co_lnotab */
		.code_firsttraceable = PY_NONE,
		.code_tlbc = PY_NONE,
		.code_bytecode = PY_NONE,
		.code_bytes = 120,	/* the end of the line table's pointer */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 48,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 72, /* [T] uni.sizeof_compact */
		.pool_bytes = 4096,	/* [P] */
		.pool_align_shift = 3,	/* [P] */
	},
	{
		.minor = 8,
		.frame_objects = true,
		.lasti_bytes = 1, /* [T] f_lasti counts bytes */
		.lines = PY_LINES_LNOTAB,
		.runtime_tsskey = 1392, /* [T] gilstate.autoTSSkey */
		.tstate_frame = 24,	/* [T] tstate.frame */
		.cframe_frame = PY_NONE,
		.frame_code = 32,     /* [T] frameobj.f_code */
		.frame_previous = 24, /* [T] frameobj.f_back */
		.frame_instr = 104,   /* [T] frameobj.f_lasti */
		.frame_owner = PY_NONE,
		.frame_tlbc = PY_NONE,
		.frame_bytes = 108,	/* the end of f_lasti */
		.frame_code_mask = 0,	/* [T] plain pointer */
		.code_firstlineno = 40, /* [T,M] code.co_firstlineno */
		.code_filename = 104,	/* [T,M] code.co_filename */
		.code_name = 112,	/* [T,M] code.co_name */
		.code_qualname = PY_NONE,
		.code_linetable = 120, /* [T,M] code.co_lnotab */
		.code_firsttraceable = PY_NONE,
		.code_tlbc = PY_NONE,
		.code_bytecode = PY_NONE,
		.code_bytes = 128,	/* the end of the line table's pointer */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 48,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 72, /* [T] uni.sizeof_compact */
		.pool_bytes = 4096,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
	{
		.minor = 9,
		.frame_objects = true,
		.lasti_bytes = 1, /* [T] f_lasti counts bytes */
		.lines = PY_LINES_LNOTAB,
		.runtime_tsskey = 584, /* [T] gilstate.autoTSSkey */
		.tstate_frame = 24,    /* [T] tstate.frame */
		.cframe_frame = PY_NONE,
		.frame_code = 32,     /* [T] frameobj.f_code */
		.frame_previous = 24, /* [T] frameobj.f_back */
		.frame_instr = 104,   /* [T] frameobj.f_lasti */
		.frame_owner = PY_NONE,
		.frame_tlbc = PY_NONE,
		.frame_bytes = 108,	/* the end of f_lasti */
		.frame_code_mask = 0,	/* [T] plain pointer */
		.code_firstlineno = 40, /* [T,M] code.co_firstlineno */
		.code_filename = 104,	/* [T,M] code.co_filename */
		.code_name = 112,	/* [T,M] code.co_name */
		.code_qualname = PY_NONE,
		.code_linetable = 120, /* [T,M] code.co_lnotab */
		.code_firsttraceable = PY_NONE,
		.code_tlbc = PY_NONE,
		.code_bytecode = PY_NONE,
		.code_bytes = 128,	/* the end of the line table's pointer */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 48,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 72, /* [T] uni.sizeof_compact */
		.pool_bytes = 4096,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
	{
		.minor = 10,
		.frame_objects = true,
		.lasti_bytes = 2, /* [T] f_lasti counts code units */
		.lines = PY_LINES_LINETABLE,
		.runtime_tsskey = 584, /* [T] gilstate.autoTSSkey */
		.tstate_frame = 24,    /* [T] tstate.frame */
		.cframe_frame = PY_NONE,
		.frame_code = 32,     /* [T] frameobj.f_code */
		.frame_previous = 24, /* [T] frameobj.f_back */
		.frame_instr = 96,    /* [T] frameobj.f_lasti */
		.frame_owner = PY_NONE,
		.frame_tlbc = PY_NONE,
		.frame_bytes = 100,	/* the end of f_lasti */
		.frame_code_mask = 0,	/* [T] plain pointer */
		.code_firstlineno = 40, /* [T,M] code.co_firstlineno */
		.code_filename = 104,	/* [T,M] code.co_filename */
		.code_name = 112,	/* [T,M] code.co_name */
		.code_qualname = PY_NONE,
		.code_linetable = 120, /* [T,M] code.co_linetable */
		.code_firsttraceable = PY_NONE,
		.code_tlbc = PY_NONE,
		.code_bytecode = PY_NONE,
		.code_bytes = 128,	/* the end of the line table's pointer */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 48,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 72, /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
	{
		.minor = 11,
		.lines = PY_LINES_LOCATIONS,
		.runtime_tsskey = 592, /* [T] gilstate.autoTSSkey */
		.tstate_frame = 56,    /* [T] tstate.cframe */
		.cframe_frame = 8,     /* [T] cframe.current_frame */
		.frame_code = 32,      /* [T] iframe.f_code */
		.frame_previous = 48,  /* [T] iframe.previous */
		.frame_instr = 56,     /* [T] iframe.prev_instr */
		.frame_owner = 69,     /* [T] iframe.owner */
		.frame_tlbc = PY_NONE,
		.frame_bytes = 72,	    /* [T] iframe.localsplus: all fixed fields */
		.frame_code_mask = 0,	    /* [T] plain pointer */
		.code_firstlineno = 72,	    /* [T,M] code.co_firstlineno */
		.code_filename = 112,	    /* [T,M] code.co_filename */
		.code_name = 120,	    /* [T,M] code.co_name */
		.code_qualname = 128,	    /* [T,M] code.co_qualname */
		.code_linetable = 136,	    /* [T,M] code.co_linetable */
		.code_firsttraceable = 168, /* [T] code._co_firsttraceable */
		.code_tlbc = PY_NONE,
		.code_bytecode = 184,	/* [T] code.co_code_adaptive */
		.code_bytes = 184,	/* the same: all fixed fields */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 48,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 72, /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
	{
		.minor = 12,
		.lines = PY_LINES_LOCATIONS,
		.runtime_tsskey = 1544, /* [T] _PyRuntime.autoTSSkey */
		.tstate_frame = 56,	/* [T] tstate.cframe */
		.cframe_frame = 0,	/* [T] cframe.current_frame */
		.frame_code = 0,	/* [T] iframe.f_code */
		.frame_previous = 8,	/* [T] iframe.previous */
		.frame_instr = 56,	/* [T] iframe.prev_instr */
		.frame_owner = 70,	/* [T] iframe.owner */
		.frame_tlbc = PY_NONE,
		.frame_bytes = 72,	    /* [T] iframe.localsplus: all fixed fields */
		.frame_code_mask = 0,	    /* [T] plain pointer */
		.code_firstlineno = 68,	    /* [T,M] code.co_firstlineno */
		.code_filename = 112,	    /* [T,M] code.co_filename */
		.code_name = 120,	    /* [T,M] code.co_name */
		.code_qualname = 128,	    /* [T,M] code.co_qualname */
		.code_linetable = 136,	    /* [T,M] code.co_linetable */
		.code_firsttraceable = 176, /* [T] code._co_firsttraceable */
		.code_tlbc = PY_NONE,
		.code_bytecode = 192,	/* [T] code.co_code_adaptive */
		.code_bytes = 192,	/* the same: all fixed fields */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 40,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 56, /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
	{
		.minor = 13,
		.lines = PY_LINES_LOCATIONS,
		.runtime_tsskey = 2160, /* [T] _PyRuntime.autoTSSkey */
		.tstate_frame = 72,	/* [T,D] tstate.current_frame */
		.cframe_frame = PY_NONE,
		.frame_code = 0,     /* [T,D] iframe.f_executable */
		.frame_previous = 8, /* [T,D] iframe.previous */
		.frame_instr = 56,   /* [T,D] iframe.instr_ptr */
		.frame_owner = 70,   /* [T] iframe.owner */
		.frame_tlbc = PY_NONE,
		.frame_bytes = 72,	    /* [T] iframe.localsplus: all fixed fields */
		.frame_code_mask = 0,	    /* [T] plain pointer */
		.code_firstlineno = 68,	    /* [T,M] code.co_firstlineno */
		.code_filename = 112,	    /* [T,M] code.co_filename */
		.code_name = 120,	    /* [T,M] code.co_name */
		.code_qualname = 128,	    /* [T,M] code.co_qualname */
		.code_linetable = 136,	    /* [T,M] code.co_linetable */
		.code_firsttraceable = 184, /* [T] code._co_firsttraceable */
		.code_tlbc = PY_NONE,
		.code_bytecode = 200,	/* [T] code.co_code_adaptive */
		.code_bytes = 200,	/* the same: all fixed fields */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 40,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 56, /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
	{
		.minor = 13,
		.free_threaded = true,
		.lines = PY_LINES_LOCATIONS,
		.runtime_tsskey = 2160, /* [T] _PyRuntime.autoTSSkey */
		.tstate_frame = 72,	/* [T,D] tstate.current_frame */
		.cframe_frame = PY_NONE,
		.frame_code = 0,     /* [T,D] iframe.f_executable */
		.frame_previous = 8, /* [T,D] iframe.previous */
		.frame_instr = 56,   /* [T,D] iframe.instr_ptr */
		.frame_owner = 70,   /* [T] iframe.owner */
		.frame_tlbc = PY_NONE,
		.frame_bytes = 72,	    /* [T] iframe.localsplus: all fixed fields */
		.frame_code_mask = 0,	    /* [T] plain pointer */
		.code_firstlineno = 84,	    /* [T,M] code.co_firstlineno */
		.code_filename = 128,	    /* [T,M] code.co_filename */
		.code_name = 136,	    /* [T,M] code.co_name */
		.code_qualname = 144,	    /* [T,M] code.co_qualname */
		.code_linetable = 152,	    /* [T,M] code.co_linetable */
		.code_firsttraceable = 200, /* [T] code._co_firsttraceable */
		.code_tlbc = PY_NONE,
		.code_bytecode = 216,	/* [T] code.co_code_adaptive */
		.code_bytes = 216,	/* the same: all fixed fields */
		.obj_type = 24,		/* [T] obj.ob_type */
		.bytes_size = 32,	/* [T] bytes.ob_size */
		.bytes_data = 48,	/* [T] bytes.ob_sval */
		.str_length = 32,	/* [T] uni.length */
		.str_state = 48,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 56,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 72, /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
	{
		.minor = 14,
		.lines = PY_LINES_LOCATIONS,
		.runtime_tsskey = 2336, /* [T] _PyRuntime.autoTSSkey */
		.tstate_frame = 72,	/* [T,D] tstate.current_frame */
		.cframe_frame = PY_NONE,
		.frame_code = 0,     /* [T,D] iframe.f_executable */
		.frame_previous = 8, /* [T,D] iframe.previous */
		.frame_instr = 56,   /* [T,D] iframe.instr_ptr */
		.frame_owner = 74,   /* [T] iframe.owner */
		.frame_tlbc = PY_NONE,
		.frame_bytes = 80,	    /* [T] iframe.localsplus: all fixed fields */
		.frame_code_mask = 3,	    /* [T] tag bits of a _PyStackRef */
		.code_firstlineno = 68,	    /* [T,M] code.co_firstlineno */
		.code_filename = 112,	    /* [T,M] code.co_filename */
		.code_name = 120,	    /* [T,M] code.co_name */
		.code_qualname = 128,	    /* [T,M] code.co_qualname */
		.code_linetable = 136,	    /* [T,M] code.co_linetable */
		.code_firsttraceable = 192, /* [T] code._co_firsttraceable */
		.code_tlbc = PY_NONE,
		.code_bytecode = 208,	/* [T] code.co_code_adaptive */
		.code_bytes = 208,	/* the same: all fixed fields */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 40,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 56, /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
	{
		.minor = 14,
		.free_threaded = true,
		.lines = PY_LINES_LOCATIONS,
		.runtime_tsskey = PY_NONE, /* not measured: decoded */
		.tstate_frame = 72,	   /* [T,D] tstate.current_frame */
		.cframe_frame = PY_NONE,
		.frame_code = 0,	    /* [T,D] iframe.f_executable */
		.frame_previous = 8,	    /* [T,D] iframe.previous */
		.frame_instr = 56,	    /* [T,D] iframe.instr_ptr */
		.frame_owner = 78,	    /* [T] iframe.owner */
		.frame_tlbc = 72,	    /* [O] iframe.tlbc_index */
		.frame_bytes = 80,	    /* [T] iframe.localsplus: all fixed fields */
		.frame_code_mask = 3,	    /* [T] tag bits of a _PyStackRef */
		.code_firstlineno = 84,	    /* [T,M] code.co_firstlineno */
		.code_filename = 128,	    /* [T,M] code.co_filename */
		.code_name = 136,	    /* [T,M] code.co_name */
		.code_qualname = 144,	    /* [T,M] code.co_qualname */
		.code_linetable = 152,	    /* [T,M] code.co_linetable */
		.code_firsttraceable = 208, /* [T] code._co_firsttraceable */
		.code_tlbc = 224,	    /* [O] code.co_tlbc */
		.code_bytecode = 232,	    /* [T] code.co_code_adaptive */
		.code_bytes = 232,	    /* the same: all fixed fields */
		.obj_type = 24,		    /* [T] obj.ob_type */
		.bytes_size = 32,	    /* [T] bytes.ob_size */
		.bytes_data = 48,	    /* [T] bytes.ob_sval */
		.str_length = 32,	    /* [T] uni.length */
		.str_state = 48,	    /* [T] uni.state */
		.str_kind_shift = 8,	    /* [O] interned is a whole byte */
		.str_ascii_data = 56,	    /* [T] uni.sizeof_ascii */
		.str_compact_data = 72,	    /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	    /* [P] */
		.pool_align_shift = 4,	    /* [P] */
	},
	{
		.minor = 15,
		.lines = PY_LINES_LOCATIONS,
		.runtime_tsskey = PY_NONE, /* a thread variable */
		.tstate_frame = 72,	   /* [T,D] tstate.current_frame */
		.cframe_frame = PY_NONE,
		.frame_code = 0,     /* [T,D] iframe.f_executable */
		.frame_previous = 8, /* [T,D] iframe.previous */
		.frame_instr = 56,   /* [T,D] iframe.instr_ptr */
		.frame_owner = 74,   /* [T] iframe.owner */
		.frame_tlbc = PY_NONE,
		.frame_bytes = 80,	    /* [T] iframe.localsplus: all fixed fields */
		.frame_code_mask = 3,	    /* [T] tag bits of a _PyStackRef */
		.code_firstlineno = 68,	    /* [T,M] code.co_firstlineno */
		.code_filename = 112,	    /* [T,M] code.co_filename */
		.code_name = 120,	    /* [T,M] code.co_name */
		.code_qualname = 128,	    /* [T,M] code.co_qualname */
		.code_linetable = 136,	    /* [T,M] code.co_linetable */
		.code_firsttraceable = 192, /* [T] code._co_firsttraceable */
		.code_tlbc = PY_NONE,
		.code_bytecode = 208,	/* [T] code.co_code_adaptive */
		.code_bytes = 208,	/* the same: all fixed fields */
		.obj_type = 8,		/* [T] obj.ob_type */
		.bytes_size = 16,	/* [T] bytes.ob_size */
		.bytes_data = 32,	/* [T] bytes.ob_sval */
		.str_length = 16,	/* [T] uni.length */
		.str_state = 32,	/* [T] uni.state */
		.str_kind_shift = 2,	/* [T] interned is two bits */
		.str_ascii_data = 40,	/* [T] uni.sizeof_ascii */
		.str_compact_data = 56, /* [T] uni.sizeof_compact */
		.pool_bytes = 16384,	/* [P] */
		.pool_align_shift = 4,	/* [P] */
	},
};

const struct py_offsets *py_offsets_get(unsigned minor, bool free_threaded)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].minor == minor && rows[i].free_threaded == free_threaded)
			return &rows[i];
	}
	return NULL;
}
