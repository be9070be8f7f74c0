/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A code object, from the living target or from the record of its death -> struct py_code.
 *
 * Every pointer and length may be stale or hostile, because the living target runs on while we
 * read. A read costs three system calls (object; the headers of its strings; their contents) and
 * the last one reads the object again: when its fields moved meanwhile, the code object died under
 * us.
 */
#include "symbolize/symbolize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "bpf/tmbpf.h"
#include "symbolize/py_str.h"

#define CODE_UNIT	 2	     /* sizeof(_Py_CODEUNIT) */
#define LINETABLE_MAX	 (16u << 20) /* bytes; far above what a compiler makes */
#define BYTES_HEADER_MAX 64
#define COPIES_MAX	 TM_FRAME_TLBC_MAX /* a frame cannot name more */
#define COPIES_ENTRIES	 8 /* offsetof(_PyCodeArray, entries), Include/cpython/code.h, v3.14 */

/* The fields of a PyCodeObject that we use, as they stand in it; also a mark of its identity. */
struct code_fields {
	uint64_t filename, qualname, linetable; /* PyObject * */
	uint64_t copies; /* _PyCodeArray *; no part of the identity because it moves */
	int32_t firstlineno;
	uint32_t firsttraceable; /* code units */
};

struct code_parts { /* where the contents of those objects are */
	struct py_str filename, qualname;
	uint64_t table_addr;
	size_t table_len;
	bool table_cut;
};

void py_code_release(struct py_code *code)
{
	if (!code->table_is_shared)
		free((void *)(uintptr_t)code->linetable);
	free(code->copies);
	*code = (struct py_code){0};
}

static uint64_t field_u64(struct cursor *c, uint16_t off)
{
	cursor_seek(c, off);
	return cursor_u64(c);
}

static uint32_t field_u32(struct cursor *c, uint16_t off)
{
	cursor_seek(c, off);
	return cursor_u32(c);
}

static int code_fields_parse(const struct python_target *py, const void *obj, size_t len,
			     struct code_fields *out)
{
	const struct py_offsets *off = py->offsets;
	struct cursor c = cursor_init(obj, len);
	uint16_t name = off->code_qualname != PY_NONE ? off->code_qualname : off->code_name;

	uint64_t type = field_u64(&c, off->obj_type);
	struct code_fields f = {
		.filename = field_u64(&c, off->code_filename),
		.qualname = field_u64(&c, name),
		.linetable = field_u64(&c, off->code_linetable),
		.firstlineno = (int32_t)field_u32(&c, off->code_firstlineno),
	};

	if (off->code_firsttraceable != PY_NONE)
		f.firsttraceable = field_u32(&c, off->code_firsttraceable);
	if (off->code_tlbc != PY_NONE)
		f.copies = field_u64(&c, off->code_tlbc);

	if (!cursor_ok(&c) || type != py->code_type_addr)
		return -EBADMSG;
	if (f.firsttraceable > INT32_MAX) /* an int >= 0 in CPython */
		return -EBADMSG;
	*out = f;
	return 0;
}

static bool code_fields_equal(const struct code_fields *a, const struct code_fields *b)
{
	return a->filename == b->filename && a->qualname == b->qualname &&
	       a->linetable == b->linetable && a->firstlineno == b->firstlineno &&
	       a->firsttraceable == b->firsttraceable;
}

/* One batch, all of it or -EFAULT. */
static int read_all(const struct target *t, const struct iovec *local, const struct iovec *remote,
		    size_t count)
{
	size_t want = 0;

	for (size_t i = 0; i < count; i++)
		want += local[i].iov_len;
	if (!want)
		return 0;

	ssize_t got = target_readv(t, local, remote, count);
	if (got < 0)
		return (int)got;
	return (size_t)got == want ? 0 : -EFAULT;
}

static struct iovec remote_range(uint64_t addr, size_t len)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)addr, .iov_len = len};
}

/* A str subclass keeps its code points elsewhere; only replace(co_filename=...) makes one. */
static int find_characters(const struct target *t, struct py_str *s)
{
	return s->data_ptr_addr ? target_read_u64(t, s->data_ptr_addr, &s->data_addr) : 0;
}

static int read_headers(const struct target *t, const struct py_offsets *off,
			const struct code_fields *f, struct code_parts *out)
{
	uint8_t file_hdr[PY_STR_HEADER_MAX], name_hdr[PY_STR_HEADER_MAX];
	uint8_t table_hdr[BYTES_HEADER_MAX];
	size_t str_len = py_str_header_len(off);
	size_t table_len = off->bytes_size + sizeof(uint64_t);

	if (!str_len || table_len > sizeof(table_hdr))
		return -EBADMSG;
	struct iovec local[] = {{file_hdr, str_len}, {name_hdr, str_len}, {table_hdr, table_len}};
	struct iovec remote[] = {remote_range(f->filename, str_len),
				 remote_range(f->qualname, str_len),
				 remote_range(f->linetable, table_len)};
	int err = read_all(t, local, remote, ARRAY_LEN(local));

	if (!err)
		err = py_str_parse(off, f->filename, file_hdr, str_len, &out->filename);
	if (!err)
		err = py_str_parse(off, f->qualname, name_hdr, str_len, &out->qualname);
	if (err)
		return err;

	struct cursor c = cursor_init(table_hdr, table_len);
	uint64_t len = field_u64(&c, off->bytes_size);

	if (!cursor_ok(&c) || len > LINETABLE_MAX)
		return -EBADMSG;
	out->table_addr = f->linetable + off->bytes_data;
	out->table_len = (size_t)len;
	err = find_characters(t, &out->filename);
	return err ? err : find_characters(t, &out->qualname);
}

/* The code object itself, up to its bytecode. */
static int read_object(const struct python_target *py, const struct target *t, uint64_t code_addr,
		       struct code_fields *out)
{
	uint8_t obj[TM_CODE_OBJ_MAX];
	size_t len = py->offsets->code_bytes;

	if (len > sizeof(obj))
		return -EBADMSG;
	int err = target_read(t, code_addr, obj, len);

	return err ? err : code_fields_parse(py, obj, len, out);
}

/* Contents of file name, name, table and the object again, in this order. */
static int read_contents(const struct target *t, const struct python_target *py, uint64_t code_addr,
			 const struct code_fields *f, const struct code_parts *parts, uint8_t *out)
{
	uint8_t obj[TM_CODE_OBJ_MAX];
	size_t obj_len = py->offsets->code_bytes;
	const struct py_str *file = &parts->filename, *name = &parts->qualname;
	struct iovec local[] = {
		{out, file->bytes},
		{out + file->bytes, name->bytes},
		{out + file->bytes + name->bytes, parts->table_len},
		{obj, obj_len},
	};
	struct iovec remote[] = {
		remote_range(file->data_addr, file->bytes),
		remote_range(name->data_addr, name->bytes),
		remote_range(parts->table_addr, parts->table_len),
		remote_range(code_addr, obj_len),
	};
	struct code_fields now;
	int err = read_all(t, local, remote, ARRAY_LEN(local));

	if (err)
		return err;
	if (code_fields_parse(py, obj, obj_len, &now) || !code_fields_equal(f, &now))
		return -EFAULT;
	return 0;
}

static int code_fill(const struct python_target *py, struct intern *strings, uint64_t code_addr,
		     const struct code_fields *f, const struct code_parts *parts,
		     const uint8_t *contents, struct py_code *out)
{
	const uint8_t *name = contents + parts->filename.bytes;
	const uint8_t *table = name + parts->qualname.bytes;
	struct py_code code = {
		.firstlineno = f->firstlineno,
		.firsttraceable = f->firsttraceable,
		.bytecode_addr = code_addr + py->offsets->code_bytecode,
		.copies_addr = f->copies,
		.linetable_len = parts->table_len,
		.linetable_cut = parts->table_cut,
	};
	int err = py_str_intern(strings, contents, parts->filename.bytes, parts->filename.kind,
				&code.filename);

	if (!err)
		err = py_str_intern(strings, name, parts->qualname.bytes, parts->qualname.kind,
				    &code.qualname);
	if (err)
		return err;
	if (parts->table_len) {
		uint8_t *copy = malloc(parts->table_len);

		if (!copy)
			return -ENOMEM;
		memcpy(copy, table, parts->table_len);
		code.linetable = copy;
	}
	*out = code;
	return 0;
}

int py_code_read(const struct target *t, const struct python_target *py, struct intern *strings,
		 uint64_t code_addr, struct py_code *out)
{
	struct code_fields fields;
	struct code_parts parts = {.table_cut = false};
	int err = read_object(py, t, code_addr, &fields);

	if (err)
		return err;
	err = read_headers(t, py->offsets, &fields, &parts);
	if (err)
		return err;

	/* One byte more: malloc(0) may be NULL. */
	size_t len = parts.filename.bytes + parts.qualname.bytes + parts.table_len;
	_cleanup_free_ uint8_t *contents = malloc(len + 1);

	if (!contents)
		return -ENOMEM;
	err = read_contents(t, py, code_addr, &fields, &parts, contents);
	if (err)
		return err;
	err = code_fill(py, strings, code_addr, &fields, &parts, contents, out);
	/* Without them the lines of some threads are unknown, and are read again when they are asked for. */
	if (!err)
		(void)py_code_read_copies(t, out);
	return err;
}

int py_code_read_copies(const struct target *t, struct py_code *code)
{
	_cleanup_free_ uint64_t *copies = NULL;
	uint64_t count = 0;
	int err = code->copies_addr ? target_read_u64(t, code->copies_addr, &count) : 0;

	if (err || !count)
		return err;
	if (count > COPIES_MAX)
		count = COPIES_MAX;
	copies = calloc(count, sizeof(*copies));
	if (!copies)
		return -ENOMEM;
	err = target_read(t, code->copies_addr + COPIES_ENTRIES, copies, count * sizeof(*copies));
	if (err)
		return err;
	free(code->copies);
	code->copies = take_ptr(copies);
	code->copy_count = (uint32_t)count;
	return 0;
}

int py_code_from_death(const struct python_target *py, struct intern *strings, const void *rec,
		       size_t len, struct py_code *out)
{
	struct cursor c = cursor_init(rec, len);

	/* struct tm_code_death, field by field, because the record need not be aligned. */
	uint32_t type = cursor_u32(&c);
	uint32_t rec_len = cursor_u32(&c);
	uint64_t code_addr = cursor_u64(&c);
	cursor_skip(&c, sizeof(uint32_t)); /* deaths_lost is the caller's */
	uint16_t code_len = cursor_u16(&c);
	struct code_parts parts = {0};

	parts.filename.kind = cursor_u8(&c);
	parts.qualname.kind = cursor_u8(&c);
	parts.filename.bytes = cursor_u32(&c);
	parts.qualname.bytes = cursor_u32(&c);
	parts.table_len = cursor_u32(&c);
	parts.table_cut = cursor_u32(&c) > parts.table_len; /* the drain counts these */

	if (!cursor_ok(&c) || type != TM_REC_CODE_DEATH || rec_len > len || rec_len < c.pos)
		return -EBADMSG;

	/* Three u32 in a size_t: their sum does not wrap. */
	struct cursor data = cursor_sub(&c, c.pos, rec_len - c.pos);
	const uint8_t *obj = cursor_bytes(&data, code_len);
	const uint8_t *contents =
		cursor_bytes(&data, parts.filename.bytes + parts.qualname.bytes + parts.table_len);
	if (!cursor_ok(&data))
		return -EBADMSG;

	struct code_fields fields;
	int err = code_fields_parse(py, obj, code_len, &fields);

	return err ? err : code_fill(py, strings, code_addr, &fields, &parts, contents, out);
}

/* Where the instruction is, in bytes from the first of the bytecode; false: in a copy we do not know. */
static bool instr_offset(const struct python_target *py, const struct py_code *code, uint64_t instr,
			 uint32_t copy, int64_t *offset)
{
	uint64_t start = code->bytecode_addr;

	if (py->offsets->frame_objects) {
		*offset = (int64_t)(int32_t)instr * py->offsets->lasti_bytes; /* an int */
		return true;
	}
	if (copy) {
		if (copy >= code->copy_count || !code->copies[copy])
			return false;
		start = code->copies[copy];
	}
	*offset = (int64_t)(instr - start);
	return true;
}

int32_t py_code_line(const struct python_target *py, const struct py_code *code, uint64_t instr,
		     uint32_t copy)
{
	/*
	 * PyUnstable_InterpreterFrame_GetLine(), Python/frame.c: 3.11 and 3.12 take prev_instr, 3.13
	 * instr_ptr, and none of them subtracts anything else. A frame that has not run yet has
	 * prev_instr one unit before the code: a negative offset, which gives the first line.
	 */
	const uint8_t *table = code->linetable;
	size_t len = code->linetable_len;
	int64_t offset;
	int32_t line;

	if (!instr_offset(py, code, instr, copy, &offset))
		return 0;
	/* co_lnotab has no end: its last line would go on where the rest is missing. */
	if (py->offsets->lines == PY_LINES_LNOTAB && code->linetable_cut &&
	    offset >= py_lnotab_end(table, len))
		return 0;
	if (py->offsets->lines == PY_LINES_LNOTAB)
		line = py_lnotab_line(table, len, code->firstlineno, offset);
	else if (py->offsets->lines == PY_LINES_LINETABLE)
		line = py_ranges_line(table, len, code->firstlineno, offset);
	else
		line = py_linetable_line(table, len, code->firstlineno, offset);
	return line < 0 ? 0 : line; /* tracemalloc_get_frame(), Modules/_tracemalloc.c, v3.11.7 */
}

bool py_code_frame_is_incomplete(const struct python_target *py, const struct py_code *code,
				 uint64_t instr, uint32_t copy, uint8_t owner)
{
	int64_t offset;

	/*
	 * _PyFrame_IsIncomplete(), Include/internal/pycore_frame.h. 3.13 has it true for every
	 * frame on the C stack; the ones of 3.12 run a trampoline and stay before its first
	 * traceable unit.
	 */
	if (py->offsets->frame_objects)
		return false;
	if (owner >= PY_OWNER_FIRST_NOT_PYTHON)
		return true;
	if (owner == PY_OWNER_GENERATOR || !instr_offset(py, code, instr, copy, &offset))
		return false;
	return offset < (int64_t)code->firsttraceable * CODE_UNIT;
}
