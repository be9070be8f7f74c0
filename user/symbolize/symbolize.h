/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw frames -> file, function, line. Python frames are resolved from code objects, read from the
 * living target or taken from the record of a dying code object; native addresses from ELF
 * symbols. Strings go to the caller's intern pool.
 *
 * A code object is identified by (address, generation), because the address is re-used after death.
 */
#ifndef TM_SYMBOLIZE_SYMBOLIZE_H
#define TM_SYMBOLIZE_SYMBOLIZE_H

#include "base/intern.h"
#include "target/python_target.h"
#include "target/target.h"

/* Fields of a code object, copied out of the target or of a death record; all strings UTF-8. */
struct py_code {
	str_id_t filename, qualname;
	int32_t firstlineno;
	uint32_t firsttraceable; /* in code units */
	uint64_t bytecode_addr;	 /* code address + offset of co_code_adaptive; unused up to 3.10 */
	uint64_t copies_addr;	 /* free-threaded 3.14 on: its _PyCodeArray; 0 = none */
	uint64_t *copies;	 /* where the threads' own copies of the bytecode are; owned */
	uint32_t copy_count;
	const uint8_t *linetable; /* owned, unless table_is_shared */
	size_t linetable_len;
	bool table_is_shared;
	bool linetable_cut; /* its end is missing */
};
void py_code_release(struct py_code *code);

struct sym_frame {
	str_id_t file, function;
	int32_t line; /* 0 = unknown */
};

/**
 * Read a live code object, in three system calls; one that died and was replaced meanwhile is -EFAULT.
 * The caller still checks that it did not die before the first of them.
 * Returns: 0, -EFAULT (gone or not readable), -EBADMSG (not a code object), -ENOMEM, -ESRCH, -EPERM.
 */
int py_code_read(const struct target *t, const struct python_target *py, struct intern *strings,
		 uint64_t code_addr, struct py_code *out);

/**
 * Decode a death record: the raw bytes that BPF copied (bpf/tmbpf.h: struct tm_code_death).
 * Returns: 0, -EBADMSG, -ENOMEM.
 */
int py_code_from_death(const struct python_target *py, struct intern *strings, const void *rec,
		       size_t len, struct py_code *out);

/**
 * Line of an instruction, as PyCode_Addr2Line. instr is from the frame: prev_instr or instr_ptr, up to
 * 3.10 the index f_lasti. copy: which copy of the bytecode runs, 0 = the code object's own.
 * Returns: the line; 0 when the table has none for it, as tracemalloc prints it.
 */
int32_t py_code_line(const struct python_target *py, const struct py_code *code, uint64_t instr,
		     uint32_t copy);

/**
 * Read again where the copies of the bytecode are: threads make their own when they first run it.
 * Returns: 0 (also when there are none), -EFAULT, -ENOMEM, -ESRCH, -EPERM; on failure the old ones stay.
 */
int py_code_read_copies(const struct target *t, struct py_code *code);

/** An incomplete frame, which traceback and tracemalloc skip (before RESUME, not a generator's). */
bool py_code_frame_is_incomplete(const struct python_target *py, const struct py_code *code,
				 uint64_t instr, uint32_t copy, uint8_t owner);

/**
 * The 3.11+ location table (Objects/locations.md): line of the byte offset `addrq`.
 * Returns: line, -1 for none. Bounded; a malformed table gives -1. For tests and fuzzing too.
 */
int32_t py_linetable_line(const uint8_t *table, size_t len, int32_t firstlineno, int64_t addrq);
/* Line for co_lnotab (3.6 to 3.9) and for the ranges of 3.10. */
int32_t py_lnotab_line(const uint8_t *table, size_t len, int32_t firstlineno, int64_t lasti);
/** Offset of the last change of a co_lnotab. */
int64_t py_lnotab_end(const uint8_t *table, size_t len);
int32_t py_ranges_line(const uint8_t *table, size_t len, int32_t firstlineno, int64_t addrq);

/** Native: "libfoo.so" and "symbol" (or "+0x1a2f0" without one). Never fails: unknown is "[unknown]". */
void native_resolve(struct target *t, struct intern *strings, uint64_t addr, struct sym_frame *out);

#endif
