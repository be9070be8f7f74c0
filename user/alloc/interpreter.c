// SPDX-License-Identifier: GPL-2.0-or-later
#include "alloc/interpreter.h"

#include <errno.h>

#include "alloc/heap_reader.h"
#include "base/command.h"
#include "base/log.h"
#include "sites/python_slot.h"

static void warn_not_python(const struct target *t)
{
	char child[512] = "";

	(void)python_target_hint_child(t->pid, child, sizeof(child));
	log_coded_warn("W302", child[0] ? child : NULL,
		       "%d is %s, not CPython: only native blocks are traced", (int)t->pid, t->exe);
}

static int settle_alignment(struct target *t, struct python_target *py)
{
	uint8_t shift;
	int err;

	if (!py->offsets->align_by_patch)
		return 0;
	err = heap_reader_align_shift(t, py->offsets, &shift);
	if (err == -ENOENT)
		return 0; /* no small object yet: the row's is the rule */
	return err ? err : python_target_set_align(t, py, shift);
}

/* Which thread runs what: the place is decoded, the key read. Returns: also -EAGAIN, not initialised. */
static int find_threads(struct target *t, struct python_target *py)
{
	struct py_slot slot = {.kind = PY_SLOT_NONE};
	int err = python_slot_find(py->object->image, py->minor, &slot);

	if (err && err != -ENOENT)
		return log_err(err, "cannot decode %s", py->object->path);
	return python_target_set_slot(t, py, &slot);
}

static int not_found(const struct target *t, const struct alloc_opts *opts, struct interpreter *in)
{
	if (!opts->native)
		return log_coded_err(-ENOENT, "E302", command_with("--domains", "native"),
				     "%d is %s, not CPython", (int)t->pid, t->exe);
	warn_not_python(t);
	in->later = true;
	return 0;
}

/* Only the C allocator is traced until then. */
static int not_ready(const struct target *t, const struct alloc_opts *opts, struct interpreter *in)
{
	if (!opts->native)
		return log_coded_err(-EAGAIN, "E304", "wait until it has started and try again",
				     "CPython %s in process %d is not initialised yet",
				     in->py.version, (int)t->pid);
	log_coded_warn("W123", NULL,
		       "CPython %s in process %d is not initialised yet: until it is, only native "
		       "blocks are traced",
		       in->py.version, (int)t->pid);
	in->later = true;
	return 0;
}

int interpreter_open(struct target *t, const struct alloc_opts *opts, struct interpreter *out)
{
	struct interpreter in = {0};
	int err = python_target_find(t, &in.py);

	if (err == -ENOENT)
		err = not_found(t, opts, &in);
	else if (!err)
		err = find_threads(t, &in.py);
	if (err == -EAGAIN)
		err = not_ready(t, opts, &in);
	if (!err && !in.later)
		err = settle_alignment(t, &in.py);
	if (err || in.later) {
		*out = in;
		return err;
	}
	err = python_sites_get(in.py.object->image, in.py.minor, opts->use_cache, &in.sites);
	if (err && err != -ENOENT)
		return log_err(err, "cannot decode %s", in.py.object->path);
	interpreter_warn_hooks(&in.py);
	in.found = true;
	*out = in;
	return 0;
}

void interpreter_release(struct interpreter *in)
{
	python_sites_release(&in->sites);
	*in = (struct interpreter){0};
}

/* Ended and initialised again, up to 3.14 an interpreter may have another thread key than before. */
static bool has_moved(const struct interpreter *in, struct target *t)
{
	struct python_target py = in->py;
	const struct py_tstate_path *was = &in->py.tstate, *is = &py.tstate;

	if (!in->found || find_threads(t, &py))
		return false;
	return is->hops != was->hops || is->off[0] != was->off[0] || is->off[1] != was->off[1];
}

bool interpreter_appeared(struct interpreter *in, struct target *t)
{
	struct python_target py;
	int err;

	if (!in->later)
		return has_moved(in, t);
	if (!target_maps_due(t) || target_refresh_maps(t) || !python_target_mapped(t))
		return false;
	err = python_target_find(t, &py);
	if (!err)
		err = find_threads(t, &py);
	/*
	 * Stop waiting, because it is either ready or permanently unusable, which has been logged.
	 */
	in->later = err == -EAGAIN;
	return !err;
}

int interpreter_plan(const struct interpreter *in, struct probe_list *out)
{
	uint64_t vaddr = in->py.code_dealloc_addr - in->py.object->bias, off;

	if (!elf_image_file_off(in->py.object->image, vaddr, &off))
		return log_coded_err(-EBADMSG, "E304", command_with("--domains", "native"),
				     "code_dealloc is not in %s", in->py.object->path);
	probe_list_add(out, &(struct probe_spec){.program = "code_dealloc",
						 .object = in->py.object,
						 .vaddr = vaddr,
						 .offset = off,
						 .roles = PROBE_ALWAYS,
						 .kind = TM_PROG_DEATH});
	return 0;
}
