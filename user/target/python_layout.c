/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a Python file says of itself: its version and, since 3.13, where its structures have what.
 * All of it is checked: a wrong offset would give wrong stacks without any error.
 */
#include "target/python_layout.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "base/log.h"

/* PY_VERSION_HEX: major, minor, micro, then level (a, b, c, f) and serial; Include/patchlevel.h */
static void set_version_hex(struct python_target *out, uint32_t hex)
{
	char suffix[8] = "";
	unsigned level = hex >> 4 & 15;

	if (level != 15)
		snprintf(suffix, sizeof(suffix), "%s%u",
			 level == 10   ? "a"
			 : level == 11 ? "b"
				       : "rc",
			 hex & 15);
	out->major = hex >> 24;
	out->minor = hex >> 16 & 255;
	out->micro = hex >> 8 & 255;
	snprintf(out->version, sizeof(out->version), "%u.%u.%u%s", out->major, out->minor,
		 out->micro, suffix);
}

/* The table at _PyRuntime of 3.13+ begins: cookie[8], u64 version = PY_VERSION_HEX, u64 free_threaded. */
static const uint8_t *debug_table(const struct elf_image *img, uint64_t runtime_vaddr, size_t len)
{
	const uint8_t *table = elf_image_bytes(img, runtime_vaddr, len);

	return table && memcmp(table, "xdebugpy", 8) == 0 ? table : NULL;
}

static uint64_t table_u64(const uint8_t *table, size_t at)
{
	struct cursor c = cursor_init(table + at, 8);

	return cursor_u64(&c);
}

bool python_image_minor(const struct elf_image *img, unsigned *minor)
{
	const struct elf_symbol *s = elf_image_symbol(img, "Py_Version");
	const uint8_t *bytes = s ? elf_image_bytes(img, s->vaddr, 4) : NULL;
	struct cursor c;
	uint32_t hex;

	if (!bytes)
		return false;
	c = cursor_init(bytes, 4);
	hex = cursor_u32(&c); /* PY_VERSION_HEX, Include/patchlevel.h: major, minor, micro, level */
	*minor = hex >> 16 & 0xff;
	return hex >> 24 == 3;
}

bool python_version_read(const struct target_object *obj, uint64_t runtime_vaddr,
			 struct python_target *out)
{
	const struct elf_symbol *s = elf_image_symbol(obj->image, "Py_Version");
	const uint8_t *bytes = s ? elf_image_bytes(obj->image, s->vaddr, 4) : NULL;

	if (bytes) {
		struct cursor c = cursor_init(bytes, 4);

		set_version_hex(out, cursor_u32(&c));
		return true;
	}
	bytes = debug_table(obj->image, runtime_vaddr, 16);
	if (bytes)
		set_version_hex(out, (uint32_t)table_u64(bytes, 8));
	return bytes != NULL;
}

/* Where struct _Py_DebugOffsets of 3.13 keeps what a row has; python-frames.md section 1 */
static const struct debug_field {
	uint16_t at;  /* in the table, u64 */
	uint16_t row; /* in struct py_offsets, u16 */
	const char *name;
} debug_fields_313[] = {
	{184, offsetof(struct py_offsets, tstate_current_frame), "thread_state.current_frame"},
	{232, offsetof(struct py_offsets, frame_previous), "interpreter_frame.previous"},
	{240, offsetof(struct py_offsets, frame_code), "interpreter_frame.executable"},
	{248, offsetof(struct py_offsets, frame_instr), "interpreter_frame.instr_ptr"},
	{264, offsetof(struct py_offsets, frame_owner), "interpreter_frame.owner"},
	{256, offsetof(struct py_offsets, frame_bytes), "interpreter_frame.localsplus"},
	{280, offsetof(struct py_offsets, code_filename), "code_object.filename"},
	{288, offsetof(struct py_offsets, code_name), "code_object.name"},
	{296, offsetof(struct py_offsets, code_qualname), "code_object.qualname"},
	{304, offsetof(struct py_offsets, code_linetable), "code_object.linetable"},
	{312, offsetof(struct py_offsets, code_firstlineno), "code_object.firstlineno"},
	{344, offsetof(struct py_offsets, code_bytecode), "code_object.co_code_adaptive"},
	{520, offsetof(struct py_offsets, bytes_size), "bytes_object.ob_size"},
	{528, offsetof(struct py_offsets, bytes_data), "bytes_object.ob_sval"},
	{544, offsetof(struct py_offsets, str_state), "unicode_object.state"},
	{552, offsetof(struct py_offsets, str_length), "unicode_object.length"},
	{560, offsetof(struct py_offsets, str_ascii_data), "unicode_object.asciiobject_size"},
};

#define DEBUG_OFFSETS_313_BYTES 584  /* python-frames.md section 1, "sizes" */
#define DEBUG_FINALIZING_AT	32   /* runtime_state.finalizing, the same in 3.13 to 3.15 */
#define FIELD_MAX		4096 /* no structure of interest is larger */

static void take_field(struct py_offsets *row, const struct debug_field *f, uint64_t value,
		       unsigned *changed)
{
	uint16_t ours;

	memcpy(&ours, (const char *)row + f->row, sizeof(ours));
	if (ours == value)
		return;
	(*changed)++;
	log_warn("%s is at %llu in this interpreter, at %u in CPython 3.%u as we know it: "
		 "using %llu",
		 f->name, (unsigned long long)value, ours, row->minor, (unsigned long long)value);
	ours = (uint16_t)value;
	memcpy((char *)row + f->row, &ours, sizeof(ours));
}

static int compare_table(struct target *t, const uint8_t *table, struct python_target *out)
{
	struct py_offsets row = *out->offsets;
	unsigned changed = 0;

	for (size_t i = 0; i < ARRAY_LEN(debug_fields_313); i++) {
		uint64_t value = table_u64(table, debug_fields_313[i].at);

		if (value > FIELD_MAX)
			return -EBADMSG;
		take_field(&row, &debug_fields_313[i], value, &changed);
	}
	uint64_t finalizing = table_u64(table, DEBUG_FINALIZING_AT);

	if (finalizing != row.runtime_finalizing && finalizing < UINT32_MAX) {
		row.runtime_finalizing = (uint32_t)finalizing;
		changed++;
	}
	if (!changed)
		return 0;
	row.code_bytes = row.code_bytecode;
	struct py_offsets *own = t->py_row ? t->py_row : malloc(sizeof(*own));

	if (!own)
		return -ENOMEM;
	*own = row;
	t->py_row = own;
	out->offsets = own;
	return 0;
}

int python_debug_offsets_check(struct target *t, uint64_t runtime_vaddr, struct python_target *out)
{
	if (out->minor < 13)
		return 0;
	const uint8_t *table =
		debug_table(out->object->image, runtime_vaddr, DEBUG_OFFSETS_313_BYTES);

	if (!table)
		return -EBADMSG;
	uint64_t hex = table_u64(table, 8);

	if (hex >> 24 != out->major || (hex >> 16 & 255) != out->minor)
		return -EBADMSG;
	if (table_u64(table, 16) != 0)
		return -ENOTSUP;
	return compare_table(t, table, out);
}
