/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets that an interpreter itself publishes: _Py_DebugOffsets in the file (3.13
 * on), and the member tables of its types in memory (every version; Objects/codeobject.c
 * code_memberlist, Objects/frameobject.c frame_memberlist). All of it is checked: a wrong offset
 * would give wrong stacks without any error.
 */
#include "target/python_layout.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "base/log.h"

#define FIELD_MAX 4096 /* no structure of interest is larger */

/* ---- rows of a target's own ---- */

/* The row to change: the target's own copy, made on the first difference. */
static struct py_offsets *own_row(struct target *t, struct python_target *py)
{
	if (t->py_row && py->offsets == t->py_row)
		return t->py_row;
	struct py_offsets *own = t->py_row ? t->py_row : malloc(sizeof(*own));

	if (!own)
		return NULL;
	*own = *py->offsets;
	t->py_row = own;
	py->offsets = own;
	return own;
}

int python_target_set_align(struct target *t, struct python_target *py, uint8_t shift)
{
	struct py_offsets *row;

	if (py->offsets->pool_align_shift == shift)
		return 0;
	row = own_row(t, py);
	if (!row)
		return -ENOMEM;
	row->pool_align_shift = shift;
	return 0;
}

static uint16_t row_get(const struct py_offsets *row, size_t field)
{
	uint16_t value;

	memcpy(&value, (const char *)row + field, sizeof(value));
	return value;
}

/* Returns: 0, -ENOMEM, -EBADMSG (no offset). */
static int take_field(struct target *t, struct python_target *py, size_t field, const char *name,
		      uint64_t value)
{
	uint16_t ours = row_get(py->offsets, field), theirs = (uint16_t)value;
	struct py_offsets *row;

	if (ours == value)
		return 0;
	if (value > FIELD_MAX)
		return -EBADMSG;
	log_warn("%s is at %u in this interpreter, at %u in CPython 3.%u as we know it: using %u",
		 name, theirs, ours, py->minor, theirs);
	row = own_row(t, py);
	if (!row)
		return -ENOMEM;
	memcpy((char *)row + field, &theirs, sizeof(theirs));
	row->code_bytes = row->frame_objects ? (uint16_t)(row->code_linetable + sizeof(uint64_t))
					     : row->code_bytecode;
	if (row->frame_objects)
		row->frame_bytes = (uint16_t)(row->frame_instr + sizeof(uint32_t));
	return 0;
}

/* ---- _Py_DebugOffsets ---- */

#define TABLE_VERSIONS 3 /* 3.13, 3.14, 3.15 */

/* sizeof(struct _Py_DebugOffsets), Include/internal/pycore_debug_offsets.h (3.13: pycore_runtime.h). */
static const uint16_t table_bytes[TABLE_VERSIONS] = {584, 760, 888};

/*
 * Where struct _Py_DebugOffsets keeps what a row has, u64 each. 0: not there. scripts/gen-py-offsets.py
 * compares these with the headers.
 * Fields are inserted in the middle from version to version.
 */
static const struct debug_field {
	uint16_t at[TABLE_VERSIONS];
	uint16_t row; /* in struct py_offsets, u16 */
	const char *name;
} debug_fields[] = {
#define FIELD(row, name, v13, v14, v15)                                 \
	{                                                               \
		{v13, v14, v15}, offsetof(struct py_offsets, row), name \
	}
	FIELD(tstate_frame, "thread_state.current_frame", 184, 208, 208),
	FIELD(frame_previous, "interpreter_frame.previous", 232, 256, 320),
	FIELD(frame_code, "interpreter_frame.executable", 240, 264, 328),
	FIELD(frame_instr, "interpreter_frame.instr_ptr", 248, 272, 336),
	FIELD(frame_bytes, "interpreter_frame.localsplus", 256, 280, 344),
	FIELD(frame_owner, "interpreter_frame.owner", 264, 288, 352),
	FIELD(frame_tlbc, "interpreter_frame.tlbc_index", 0, 304, 368),
	FIELD(code_filename, "code_object.filename", 280, 320, 384),
	FIELD(code_name, "code_object.name", 288, 328, 392),
	FIELD(code_qualname, "code_object.qualname", 296, 336, 400),
	FIELD(code_linetable, "code_object.linetable", 304, 344, 408),
	FIELD(code_firstlineno, "code_object.firstlineno", 312, 352, 416),
	FIELD(code_bytecode, "code_object.co_code_adaptive", 344, 384, 448),
	FIELD(code_tlbc, "code_object.co_tlbc", 0, 392, 456),
	FIELD(obj_type, "pyobject.ob_type", 360, 408, 472),
	FIELD(bytes_size, "bytes_object.ob_size", 520, 600, 696),
	FIELD(bytes_data, "bytes_object.ob_sval", 528, 608, 704),
	FIELD(str_state, "unicode_object.state", 544, 624, 720),
	FIELD(str_length, "unicode_object.length", 552, 632, 728),
	FIELD(str_ascii_data, "unicode_object.asciiobject_size", 560, 640, 736),
	FIELD(str_compact_data, "unicode_object.compactunicodeobject_size", 0, 0, 744),
#undef FIELD
};

static uint64_t table_u64(const uint8_t *table, size_t len, size_t at)
{
	struct cursor c = cursor_init(table, len);

	cursor_seek(&c, at);
	return cursor_u64(&c);
}

int python_debug_offsets_check(struct target *t, uint64_t runtime_vaddr, struct python_target *py)
{
	unsigned version = py->minor - 13;

	if (py->minor < 13)
		return 0;
	if (version >= TABLE_VERSIONS)
		return -EBADMSG;
	size_t len = table_bytes[version];
	const uint8_t *table = elf_image_bytes(py->object->image, runtime_vaddr, len);

	if (!table || memcmp(table, "xdebugpy", 8) != 0)
		return -EBADMSG;
	uint64_t hex = table_u64(table, len, 8);

	if (hex >> 24 != py->major || (hex >> 16 & 255) != py->minor)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_LEN(debug_fields); i++) {
		const struct debug_field *f = &debug_fields[i];
		uint64_t value = f->at[version] ? table_u64(table, len, f->at[version]) : 0;

		/* 0 means "not in this build" for a field that not every build has. */
		if (!f->at[version] || (!value && row_get(py->offsets, f->row) == PY_NONE))
			continue;
		int err = take_field(t, py, f->row, f->name, value);

		if (err)
			return err;
	}
	return 0;
}

/* ---- tables of types ---- */

#define MEMBERS_MAX	  48
#define MEMBER_NAME_MAX	  32
#define FRAME_OBJECT_HEAD 48 /* offsetof(PyFrameObject, _f_frame_data), 3.11.7 and 3.12.1 */
#define BYTES_BASIC_TAIL  1  /* PyBytesObject_SIZE = offsetof(ob_sval) + 1, Objects/bytesobject.c */
#define STR_BASIC_TAIL	  8  /* PyUnicodeObject has one union more than PyCompactUnicodeObject */

struct member { /* PyMemberDef, Include/structmember.h, v3.6; Include/descrobject.h, v3.12 on */
	uint64_t name;
	int32_t type;
	int32_t _pad0;
	int64_t offset;
	int32_t flags;
	int32_t _pad1;
	uint64_t doc;
};
_Static_assert(sizeof(struct member) == 40, "PyMemberDef has 40 bytes");

static const struct named_field {
	const char *type, *member;
	uint16_t row;
} named_fields[] = {
	{"PyCode_Type", "co_firstlineno", offsetof(struct py_offsets, code_firstlineno)},
	{"PyCode_Type", "co_filename", offsetof(struct py_offsets, code_filename)},
	{"PyCode_Type", "co_name", offsetof(struct py_offsets, code_name)},
	{"PyCode_Type", "co_qualname", offsetof(struct py_offsets, code_qualname)},
	{"PyCode_Type", "co_linetable", offsetof(struct py_offsets, code_linetable)},
	{"PyCode_Type", "co_lnotab", offsetof(struct py_offsets, code_linetable)},
	{"PyFrame_Type", "f_back", offsetof(struct py_offsets, frame_previous)},
	{"PyFrame_Type", "f_code", offsetof(struct py_offsets, frame_code)},
	{"PyFrame_Type", "f_lasti", offsetof(struct py_offsets, frame_instr)},
};

/*
 * Skip frame objects from 3.11 on, because they are a shell around the frame without its members.
 */
static bool is_asked(const struct python_target *py, const struct named_field *f, const char *type)
{
	return strcmp(f->type, type) == 0 &&
	       (py->offsets->frame_objects || strcmp(type, "PyFrame_Type") != 0);
}

static int take_member(struct target *t, struct python_target *py, const char *type,
		       const struct member *m, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(named_fields); i++) {
		const struct named_field *f = &named_fields[i];

		if (!is_asked(py, f, type) || strcmp(f->member, name) != 0)
			continue;
		return m->offset < 0 ? -EBADMSG
				     : take_field(t, py, f->row, f->member, (uint64_t)m->offset);
	}
	return 0;
}

/* A table that cannot be read is no error: then the row stands as it is. */
static int compare_members(struct target *t, struct python_target *py, const char *type,
			   uint64_t type_addr)
{
	uint64_t at = 0, table = type_addr + py_head_extra(py->offsets) + PY_TYPE_MEMBERS;

	if (!type_addr || target_read_u64(t, table, &at) || !at)
		return 0;
	for (int i = 0; i < MEMBERS_MAX; i++, at += sizeof(struct member)) {
		char name[MEMBER_NAME_MAX + 1] = "";
		struct member m;

		if (target_read(t, at, &m, sizeof(m)) || !m.name ||
		    target_read(t, m.name, name, MEMBER_NAME_MAX))
			return 0;
		int err = take_member(t, py, type, &m, name);

		if (err)
			return err;
	}
	return 0;
}

static bool basic_size(const struct target *t, const struct python_target *py, const char *type,
		       uint64_t *size)
{
	uint64_t addr = python_type_addr(t, py, type);

	return addr &&
	       target_read_u64(t, addr + py_head_extra(py->offsets) + PY_TYPE_BASICSIZE, size) ==
		       0 &&
	       *size;
}

/*
 * From 3.11 on tp_basicsize of code objects is where the bytecode begins (Objects/codeobject.c). Fields
 * before it have moved with it: _co_firsttraceable is two words in front in every version.
 */
static int compare_code_size(struct target *t, struct python_target *py)
{
	const struct py_offsets *o = py->offsets;
	uint64_t size;
	int moved, err;

	if (o->frame_objects || !basic_size(t, py, "PyCode_Type", &size) ||
	    size == o->code_bytecode)
		return 0;
	moved = (int)size - (int)o->code_bytecode;
	err = take_field(t, py, offsetof(struct py_offsets, code_bytecode), "co_code_adaptive",
			 size);
	return err ? err
		   : take_field(t, py, offsetof(struct py_offsets, code_firsttraceable),
				"_co_firsttraceable",
				(uint64_t)(py->offsets->code_firsttraceable + moved));
}

/*
 * 3.11 and 3.12 have no table of offsets, but the size of a frame object is its head and the fixed fields of
 * the frame in it (Objects/frameobject.c). Reject a frame of another size, because its fields are at unknown
 * offsets.
 */
static bool frame_size_is_known(const struct target *t, const struct python_target *py)
{
	uint64_t size;

	if (py->minor < 11 || py->minor > 12 || !basic_size(t, py, "PyFrame_Type", &size))
		return true;
	return size == FRAME_OBJECT_HEAD + (uint64_t)py->offsets->frame_bytes;
}

int python_members_check(struct target *t, struct python_target *py)
{
	uint64_t bytes_size, str_size;
	int err = compare_members(t, py, "PyCode_Type", py->code_type_addr);

	if (!err)
		err = compare_members(t, py, "PyFrame_Type",
				      python_type_addr(t, py, "PyFrame_Type"));
	if (!err)
		err = compare_code_size(t, py);
	if (err)
		return err;
	if (!frame_size_is_known(t, py))
		return -EBADMSG;
	if (basic_size(t, py, "PyBytes_Type", &bytes_size) &&
	    bytes_size != (uint64_t)py->offsets->bytes_data + BYTES_BASIC_TAIL)
		return -EBADMSG;
	if (basic_size(t, py, "PyUnicode_Type", &str_size) &&
	    str_size != (uint64_t)py->offsets->str_compact_data + STR_BASIC_TAIL)
		return -EBADMSG;
	return 0;
}
