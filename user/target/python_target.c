/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding CPython in a target. In: the mapped files and the target's memory. Out: the addresses and
 * offsets by which BPF finds the running thread's frames. Everything is found through exported
 * symbols, without file names, and checked against a second source.
 */
#include "target/python_target.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/command.h"
#include "base/log.h"
#include "target/proc_fs.h"
#include "target/python_layout.h"
#include "target/python_process.h"

static int version_unsupported(const struct target *t, const char *what)
{
	return log_coded_err(-ENOTSUP, "E303", PY_NATIVE_STILL,
			     "process %d runs %s; supported: " PY_SUPPORTED, t->pid, what);
}

/*
 * _PyRuntime by symbol, else by the section of that name (static embedding without exports, 3.11 on). 3.6
 * has none: there the global thread state, which no other version exports, identifies it.
 */
static struct target_object *find_runtime(struct target *t, uint64_t *vaddr)
{
	struct target_object *o = target_object_defining(t, "_PyRuntime");

	if (o) {
		*vaddr = elf_image_symbol(o->image, "_PyRuntime")->vaddr;
		return o;
	}
	for (size_t i = 0; i < t->object_count; i++) {
		uint64_t off = 0, len = 0;

		o = t->objects[i];
		if (o->exec && target_object_open(t, o) == 0 &&
		    elf_image_section(o->image, ".PyRuntime", vaddr, &off, &len))
			return o;
	}
	*vaddr = 0;
	return target_object_defining(t, "_PyThreadState_Current");
}

bool python_target_mapped(struct target *t)
{
	uint64_t vaddr;

	return find_runtime(t, &vaddr) != NULL;
}

/* For messages only. */
static void name_by_path(const struct target_object *o, char what[64])
{
	char version[PYTHON_NAME_VERSION];

	if (python_name(o->path, version) && *version)
		snprintf(what, 64, "CPython %s", version);
	else
		snprintf(what, 64, "a CPython of an unknown version");
}

/* A program with CPython in it, nothing exported and stripped: its texts are all that is left of it. */
static bool has_python_texts(struct target *t)
{
	struct target_object *exe = t->object_count ? t->objects[0] : NULL;

	return exe && exe->exec && target_object_open(t, exe) == 0 && python_texts_in(exe->image);
}

/*
 * Log which version an interpreter without _PyRuntime has. Returns: -ENOTSUP, -ENOENT (no Python at
 * all).
 */
static int report_other_python(struct target *t)
{
	struct target_object *o = target_object_defining(t, "Py_Initialize");
	char what[64];

	if (o) { /* CPython 2, up to 3.5 */
		name_by_path(o, what);
		return version_unsupported(t, what);
	}
	if (target_object_defining(t, "pypy_execute_source") ||
	    target_object_defining(t, "rpython_startup_code"))
		return version_unsupported(t, "PyPy");
	if (has_python_texts(t))
		return version_unsupported(t, "a CPython without symbols");
	return -ENOENT;
}

static int read_version(struct target *t, uint64_t runtime_vaddr, struct python_target *out)
{
	char what[64];

	if (!python_version_read(t, out->object, runtime_vaddr, out)) {
		name_by_path(out->object, what);
		return version_unsupported(t, what);
	}
	/* The table of a version is checked before it is believed: 3.5 exports that symbol too. */
	if (!runtime_vaddr && out->minor != 6) {
		snprintf(what, sizeof(what), "CPython %s", out->version);
		return version_unsupported(t, what);
	}
	out->free_threaded = python_is_free_threaded(out->object->image, runtime_vaddr);
	snprintf(what, sizeof(what), "%sCPython %s", out->free_threaded ? "free-threaded " : "",
		 out->version);
	out->offsets = out->major == 3 ? py_offsets_get(out->minor, out->free_threaded) : NULL;
	if (!out->offsets)
		return version_unsupported(t, what);
	int err = python_debug_offsets_check(t, runtime_vaddr, out);

	if (err == -EBADMSG)
		return log_coded_err(err, "E304", PY_NATIVE_STILL,
				     "%s reports CPython %s, but its _Py_DebugOffsets table "
				     "(at _PyRuntime) is missing or damaged",
				     out->object->path, out->version);
	return err ? log_err(err, "cannot read the layout of CPython %s", out->version) : 0;
}

static const struct elf_symbol *global_object(const struct target_object *o, const char *name)
{
	const struct elf_symbol *s = o->image ? elf_image_symbol(o->image, name) : NULL;

	return s && s->type == STT_OBJECT ? s : NULL;
}

uint64_t python_type_addr(const struct target *t, const struct python_target *py, const char *name)
{
	/* An executable that is no PIE and mentions the type has the living copy (copy relocation). */
	const struct target_object *o = t->objects[0];
	const struct elf_symbol *s = global_object(o, name);

	if (!s) {
		o = py->object;
		s = global_object(o, name);
	}
	return s ? s->vaddr + o->bias : 0;
}

static int find_code_type(struct target *t, struct python_target *out)
{
	out->code_type_addr = python_type_addr(t, out, "PyCode_Type");
	if (!out->code_type_addr)
		return log_coded_err(
			-EBADMSG, "E304", PY_NATIVE_STILL,
			"CPython %s in %s has no symbol PyCode_Type (looked in .dynsym "
			"and .symtab)",
			out->version, out->object->path);
	int err = target_read_u64(
		t, out->code_type_addr + py_head_extra(out->offsets) + PY_TYPE_DEALLOC,
		&out->code_dealloc_addr);

	if (err)
		return log_err(err, "cannot read PyCode_Type of process %d", t->pid);
	const struct mapping *m = proc_maps_find(&t->maps, out->code_dealloc_addr);

	if (!m || !m->exec || target_object_at(t, out->code_dealloc_addr) != out->object)
		return log_coded_err(-EBADMSG, "E304", PY_NATIVE_STILL,
				     "PyCode_Type of process %d has no destructor in %s", t->pid,
				     out->object->path);
	err = python_members_check(t, out);
	if (err == -EBADMSG)
		return log_coded_err(err, "E304", PY_NATIVE_STILL,
				     "CPython %s in process %d keeps its objects in another layout "
				     "than we know",
				     out->version, t->pid);
	return err;
}

int python_target_find(struct target *t, struct python_target *out)
{
	struct python_target py = {.allocator = PY_ALLOC_UNKNOWN};
	uint64_t runtime_vaddr = 0;

	py.object = find_runtime(t, &runtime_vaddr);
	if (!py.object)
		return report_other_python(t);
	if (runtime_vaddr)
		py.runtime_addr = runtime_vaddr + py.object->bias;
	int err = read_version(t, runtime_vaddr, &py);

	if (!err)
		err = find_code_type(t, &py);
	if (err)
		return err;
	py.allocator = python_allocator_find(t, &py);
	log_info("CPython %s in %s, allocator %d", py.version, py.object->path, (int)py.allocator);
	*out = py;
	return 0;
}

struct child_search {
	pid_t parent;
	pid_t found;
	char version[PYTHON_NAME_VERSION];
};

static bool is_python_child(pid_t pid, void *ctx)
{
	struct child_search *search = ctx;
	struct proc_stat st;

	if (proc_stat_read(pid, &st) || st.ppid != search->parent || st.state == 'Z' ||
	    python_process_kind(pid, search->version) != PYTHON_CPYTHON)
		return false;
	search->found = pid;
	return true;
}

int python_target_hint_child(pid_t pid, char *out, size_t cap)
{
	struct child_search search = {.parent = pid};
	char child[16];

	if (!proc_for_each(is_python_child, &search))
		return -ENOENT;
	snprintf(child, sizeof(child), "%d", search.found);
	snprintf(out, cap, "its child %d is CPython%s%s: %s", search.found,
		 *search.version ? " " : "", search.version, command_with("-p", child));
	return 0;
}
