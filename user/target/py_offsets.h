/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout of one CPython minor version: a row a minor and build, every number with its source. Bytes from
 * the start of the struct. PY_NONE = the field does not exist in that version.
 */
#ifndef TM_TARGET_PY_OFFSETS_H
#define TM_TARGET_PY_OFFSETS_H

#include <stdbool.h>
#include <stdint.h>

#define PY_NONE	       0xffff

#define PY_POOL_HEADER 48 /* sizeof(struct pool_header), Objects/obmalloc.c, 3.6 to 3.15 */

enum py_lines {			    /* how a code object keeps its line numbers */
		PY_LINES_LNOTAB,    /* 3.6 - 3.9: co_lnotab, deltas */
		PY_LINES_LINETABLE, /* 3.10: ranges */
		PY_LINES_LOCATIONS, /* 3.11 on: Objects/locations.md */
};

struct py_offsets {
	uint16_t minor; /* 3.minor */
	bool free_threaded;
	/*
	 * 3.6 - 3.10: the running frames are PyFrameObjects, and where one is is an index, f_lasti.
	 * 3.11 on: they are _PyInterpreterFrames, with a pointer into the bytecode.
	 */
	bool frame_objects;
	uint8_t lasti_bytes; /* frame_objects: bytes of bytecode that one of f_lasti stands for */
	uint8_t lines;	     /* enum py_lines */
	/* _PyRuntime */
	uint16_t runtime_tsskey; /* of Py_tss_t {int is_initialized; pthread_key_t key} */
	/* PyThreadState */
	uint16_t tstate_frame; /* the newest frame, in 3.11 and 3.12 the _PyCFrame that has it */
	uint16_t cframe_frame; /* 3.11, 3.12: 8, 0 */
	/* PyFrameObject or _PyInterpreterFrame */
	uint16_t frame_code, frame_previous, frame_instr, frame_owner, frame_bytes;
	uint16_t frame_tlbc;	 /* free-threaded 3.14 on: which copy of the bytecode runs */
	uint8_t frame_code_mask; /* low bits to clear from the code pointer: 3 since 3.14 */
	/* PyCodeObject */
	uint16_t code_firstlineno, code_filename, code_name, code_qualname, code_linetable;
	uint16_t code_firsttraceable, code_bytecode, code_bytes;
	uint16_t code_tlbc; /* free-threaded 3.14 on: _PyCodeArray * */
	/* objects */
	uint16_t obj_type; /* PyObject.ob_type */
	uint16_t bytes_size, bytes_data;
	uint16_t str_length, str_state, str_ascii_data, str_compact_data;
	uint8_t str_kind_shift; /* of kind in state: kind:3, compact:1, ascii:1 from there */
	/* pymalloc */
	uint16_t pool_bytes;	  /* 16384 since 3.10 */
	uint8_t pool_align_shift; /* size class bytes = (szidx + 1) << shift; 4 since 3.8 */
};

/* enum _frameowner, Include/internal/pycore_frame.h. From the third on it is no Python frame: 3.12, 3.13 */
#define PY_OWNER_GENERATOR	  1 /* FRAME_OWNED_BY_GENERATOR */
#define PY_OWNER_FIRST_NOT_PYTHON 3 /* have FRAME_OWNED_BY_CSTACK, 3.14 on two; 3.11 has none */

/* PyTypeObject behind its PyVarObject head, Include/cpython/object.h, 3.6 to 3.15. */
#define PY_TYPE_BASICSIZE 32  /* tp_basicsize, with a head of 24 bytes */
#define PY_TYPE_DEALLOC	  48  /* tp_dealloc */
#define PY_TYPE_MEMBERS	  240 /* tp_members */

/** Bytes by which a free-threaded build's objects are longer in front. */
static inline uint16_t py_head_extra(const struct py_offsets *o)
{
	return (uint16_t)(o->obj_type - 8);
}

/** Row of CPython 3.minor, NULL when not supported. */
const struct py_offsets *py_offsets_get(unsigned minor, bool free_threaded);

#endif
