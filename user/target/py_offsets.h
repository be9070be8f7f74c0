/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout of one CPython minor version: a row a minor, every number with its source. Bytes from the
 * start of the struct. PY_NONE = the field does not exist in that version.
 */
#ifndef TM_TARGET_PY_OFFSETS_H
#define TM_TARGET_PY_OFFSETS_H

#include <stdint.h>

#define PY_NONE 0xffff

struct py_offsets {
	uint16_t minor; /* 3.minor */
	/* _PyRuntime */
	uint32_t runtime_tsskey; /* of Py_tss_t {int is_initialized; pthread_key_t key} */
	uint32_t runtime_finalizing;
	/* PyThreadState */
	uint16_t tstate_cframe;	       /* 3.11, 3.12; else PY_NONE */
	uint16_t cframe_current_frame; /* 8 in 3.11, 0 in 3.12 */
	uint16_t tstate_current_frame; /* 3.13+ */
	/* _PyInterpreterFrame */
	uint16_t frame_code, frame_previous, frame_instr, frame_owner, frame_bytes;
	uint8_t frame_code_mask;	/* low bits to clear from the code pointer: 3 since 3.14 */
	uint8_t owner_first_not_python; /* owner >= this is no Python frame */
	uint8_t owner_generator;	/* FRAME_OWNED_BY_GENERATOR */
	/* PyCodeObject */
	uint16_t code_flags, code_firstlineno, code_filename, code_name, code_qualname,
		code_linetable;
	uint16_t code_firsttraceable, code_bytecode, code_bytes;
	/* objects */
	uint16_t type_dealloc; /* PyTypeObject.tp_dealloc */
	uint16_t bytes_size, bytes_data;
	uint16_t str_length, str_state, str_ascii_data, str_compact_data;
	/* pymalloc */
	uint32_t pool_bytes;	  /* 16384 since 3.10 */
	uint32_t pool_header;	  /* 48 */
	uint8_t pool_align_shift; /* size class bytes = (szidx + 1) << shift; 4 since 3.8 */
};

/** Row of CPython 3.minor, NULL when not supported. */
const struct py_offsets *py_offsets_get(unsigned minor);

#endif
