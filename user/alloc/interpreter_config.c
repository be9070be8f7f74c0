// SPDX-License-Identifier: GPL-2.0-or-later
/* The interpreter's layout as constants of the programs. */
#include "alloc/interpreter.h"
#include "alloc/skeleton.h"
#include "base/cleanup.h"

static uint16_t or_zero(uint16_t offset)
{
	return offset != PY_NONE ? offset : 0;
}

void interpreter_configure(const struct interpreter *in, struct tmbpf_bpf *skel)
{
	const struct python_target *py = &in->py;
	const struct py_offsets *o = py->offsets;

	skel->rodata->cfg_python = 1;
	skel->rodata->cfg_tstate_hops = py->tstate.hops;
	for (size_t i = 0; i < ARRAY_LEN(py->tstate.off); i++)
		skel->rodata->cfg_tstate_off[i] = py->tstate.off[i];
	skel->rodata->cfg_frame_objects = o->frame_objects;
	skel->rodata->cfg_has_cframe = o->cframe_frame != PY_NONE;
	skel->rodata->cfg_tstate_frame = o->tstate_frame;
	skel->rodata->cfg_cframe_frame = or_zero(o->cframe_frame);
	skel->rodata->cfg_frame_code = o->frame_code;
	skel->rodata->cfg_frame_previous = o->frame_previous;
	skel->rodata->cfg_frame_instr = o->frame_instr;
	skel->rodata->cfg_frame_owner = or_zero(o->frame_owner);
	skel->rodata->cfg_frame_tlbc = or_zero(o->frame_tlbc);
	skel->rodata->cfg_frame_bytes = o->frame_bytes;
	skel->rodata->cfg_frame_code_mask = o->frame_code_mask;
	skel->rodata->cfg_owner_not_python = PY_OWNER_FIRST_NOT_PYTHON;
	skel->rodata->cfg_code_bytes = o->code_bytes;
	skel->rodata->cfg_code_filename = o->code_filename;
	skel->rodata->cfg_code_qualname =
		o->code_qualname != PY_NONE ? o->code_qualname : o->code_name;
	skel->rodata->cfg_code_linetable = o->code_linetable;
	skel->rodata->cfg_str_length = o->str_length;
	skel->rodata->cfg_str_state = o->str_state;
	skel->rodata->cfg_str_kind_shift = o->str_kind_shift;
	skel->rodata->cfg_str_ascii_data = o->str_ascii_data;
	skel->rodata->cfg_str_compact_data = o->str_compact_data;
	skel->rodata->cfg_bytes_size = o->bytes_size;
	skel->rodata->cfg_bytes_data = o->bytes_data;
	for (size_t i = 0; i < py->object->image->segment_count; i++) {
		const struct elf_segment *seg = &py->object->image->segments[i];

		if (!seg->exec)
			continue;
		skel->rodata->cfg_interp_lo = seg->vaddr + py->object->bias;
		skel->rodata->cfg_interp_hi = seg->vaddr + seg->mem_len + py->object->bias;
	}
}
