/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A code object, from the living target or from the record of its death -> struct py_code.
 *
 * The living target runs on while we read: every pointer and length may be stale or hostile. A read
 * costs three system calls (object; the headers of its strings; their contents) and the last one
 * reads the object again: when its fields moved meanwhile, the code object died under us.
 */
#include "symbolize/symbolize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "bpf/tmbpf.h"
#include "symbolize/py_str.h"

#define OB_TYPE		 8	     /* offsetof(PyObject, ob_type), Include/object.h, v3.11.7 */
#define CODE_UNIT	 2	     /* sizeof(_Py_CODEUNIT) */
#define LINETABLE_MAX	 (16u << 20) /* bytes; far above what a compiler makes */
#define BYTES_HEADER_MAX 64

/* The fields of a PyCodeObject that we use, as they stand in it; also a mark of its identity. */
struct code_fields {
	uint64_t filename, qualname, linetable; /* PyObject * */
	int32_t firstlineno;
	uint32_t firsttraceable; /* code units */
};

struct code_parts { /* where the contents of those objects are */
	struct py_str filename, qualname;
	uint64_t table_addr;
	size_t table_len;
};

void py_code_release(struct py_code *code)
{
	free(code->linetable);
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

	uint64_t type = field_u64(&c, OB_TYPE);
	struct code_fields f = {
		.filename = field_u64(&c, off->code_filename),
		.qualname = field_u64(&c, name),
		.linetable = field_u64(&c, off->code_linetable),
		.firstlineno = (int32_t)field_u32(&c, off->code_firstlineno),
		.firsttraceable = field_u32(&c, off->code_firsttraceable),
	};

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

/* A str subclass keeps its code points elsewhere; nobody but replace(co_filename=...) makes one. */
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
	size_t len = py->offsets->code_bytecode;

	if (len > sizeof(obj))
		return -EBADMSG;
	int err = target_read(t, code_addr, obj, len);

	return err ? err : code_fields_parse(py, obj, len, out);
}

/* Contents of file name, name, table and the object again, in this order, one behind the other. */
static int read_contents(const struct target *t, const struct python_target *py, uint64_t code_addr,
			 const struct code_fields *f, const struct code_parts *parts, uint8_t *out)
{
	uint8_t obj[TM_CODE_OBJ_MAX];
	size_t obj_len = py->offsets->code_bytecode;
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
		.linetable_len = parts->table_len,
	};
	int err = py_str_intern(strings, contents, parts->filename.bytes, parts->filename.kind,
				&code.filename);

	if (!err)
		err = py_str_intern(strings, name, parts->qualname.bytes, parts->qualname.kind,
				    &code.qualname);
	if (err)
		return err;
	if (parts->table_len) {
		code.linetable = malloc(parts->table_len);
		if (!code.linetable)
			return -ENOMEM;
		memcpy(code.linetable, table, parts->table_len);
	}
	*out = code;
	return 0;
}

int py_code_read(const struct target *t, const struct python_target *py, struct intern *strings,
		 uint64_t code_addr, struct py_code *out)
{
	struct code_fields fields;
	struct code_parts parts;
	int err = read_object(py, t, code_addr, &fields);

	if (!err)
		err = read_headers(t, py->offsets, &fields, &parts);
	if (err)
		return err;

	/* One byte more: malloc(0) may be NULL. */
	size_t len = parts.filename.bytes + parts.qualname.bytes + parts.table_len;
	_cleanup_free_ uint8_t *contents = malloc(len + 1);

	if (!contents)
		return -ENOMEM;
	err = read_contents(t, py, code_addr, &fields, &parts, contents);
	return err ? err : code_fill(py, strings, code_addr, &fields, &parts, contents, out);
}

int py_code_from_death(const struct python_target *py, struct intern *strings, const void *rec,
		       size_t len, struct py_code *out)
{
	struct cursor c = cursor_init(rec, len);

	/* struct tm_code_death, field by field: the record need not be aligned. */
	uint32_t type = cursor_u32(&c);
	uint32_t rec_len = cursor_u32(&c);
	uint64_t code_addr = cursor_u64(&c);
	cursor_skip(&c, sizeof(uint32_t)); /* death_gen is the caller's */
	uint16_t code_len = cursor_u16(&c);
	struct code_parts parts = {0};

	parts.filename.kind = cursor_u8(&c);
	parts.qualname.kind = cursor_u8(&c);
	parts.filename.bytes = cursor_u32(&c);
	parts.qualname.bytes = cursor_u32(&c);
	parts.table_len = cursor_u32(&c);
	cursor_skip(&c, sizeof(uint32_t)); /* table_full_len: the drain counts what was cut */

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

int32_t py_code_line(const struct python_target *py, const struct py_code *code,
		     uint64_t instr_addr)
{
	/*
	 * PyUnstable_InterpreterFrame_GetLine(), Python/frame.c: 3.11 and 3.12 take prev_instr, 3.13
	 * instr_ptr, and none of them subtracts anything else. A frame that has not run yet has
	 * prev_instr one unit before the code: a negative offset, which gives the first line.
	 */
	int64_t addrq = (int64_t)(instr_addr - code->bytecode_addr);
	int32_t line =
		py_linetable_line(code->linetable, code->linetable_len, code->firstlineno, addrq);
	return line < 0 ? 0 : line; /* tracemalloc_get_frame(), Modules/_tracemalloc.c, v3.11.7 */
}

bool py_code_frame_is_incomplete(const struct python_target *py, const struct py_code *code,
				 uint64_t instr_addr, uint8_t owner)
{
	/*
	 * _PyFrame_IsIncomplete(), Include/internal/pycore_frame.h. 3.13 says it of every frame on
	 * the C stack; the ones of 3.12 run a trampoline and stay before its first traceable unit.
	 */
	if (owner >= py->offsets->owner_first_not_python)
		return true;
	return owner != py->offsets->owner_generator &&
	       instr_addr < code->bytecode_addr + (uint64_t)code->firsttraceable * CODE_UNIT;
}
