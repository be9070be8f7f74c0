/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding CPython in a target. In: the mapped files and the target's memory. Out: the addresses and
 * offsets by which BPF finds the running thread's frames. Everything is found through exported
 * symbols and checked against a second source; file names never decide.
 */
#include "target/python_target.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "base/log.h"
#include "target/libc_target.h"
#include "target/proc_fs.h"
#include "target/python_layout.h"

#define NATIVE_STILL "use --domains native: the C allocator of this process can be traced"

/* glibc x86-64: offsetof(struct pthread, specific_1stblock); python-frames.md section 2 */
#define GLIBC_FIRST_BLOCK 0x310
#define GLIBC_BLOCK_KEYS  32 /* PTHREAD_KEY_2NDLEVEL_SIZE */
#define GLIBC_ENTRY_BYTES 16 /* struct pthread_key_data {uintptr_t seq; void *data;} */

static int unsupported(const struct target *t, const char *what)
{
	return log_coded_err(-ENOTSUP, "E303", NATIVE_STILL,
			     "process %d runs %s; supported: " PY_SUPPORTED, t->pid, what);
}

/* _PyRuntime by symbol, else by the section of that name (static embedding without exports). */
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
	return NULL;
}

/* "python3.11", "libpython3.12.so.1.0" -> the version in the name. */
static bool is_python_name(const char *path, char version[8])
{
	const char *base = strrchr(path, '/');
	unsigned major = 0, minor = 0;

	base = base ? base + 1 : path;
	if (strncmp(base, "lib", 3) == 0)
		base += 3;
	if (strncmp(base, "python", 6) != 0)
		return false;
	version[0] = '\0';
	if (sscanf(base + 6, "%1u.%2u", &major, &minor) == 2)
		snprintf(version, 8, "%u.%u", major % 10, minor % 100);
	return true;
}

/* For messages only: an interpreter before 3.11 tells its version in nothing that we could read. */
static void name_by_path(const struct target_object *o, char what[64])
{
	char version[8];

	if (is_python_name(o->path, version) && *version)
		snprintf(what, 64, "CPython %s", version);
	else
		snprintf(what, 64, "a CPython before 3.11");
}

/* An interpreter without _PyRuntime: say which. Returns: -ENOTSUP, -ENOENT (no Python at all). */
static int report_other_python(struct target *t)
{
	struct target_object *o = target_object_defining(t, "Py_Initialize");
	char what[64];

	if (o) { /* CPython up to 3.6 */
		name_by_path(o, what);
		return unsupported(t, what);
	}
	if (target_object_defining(t, "pypy_execute_source") ||
	    target_object_defining(t, "rpython_startup_code"))
		return unsupported(t, "PyPy");
	return -ENOENT;
}

static int read_version(struct target *t, uint64_t runtime_vaddr, struct python_target *out)
{
	char what[64];

	if (!python_version_read(out->object, runtime_vaddr, out)) {
		name_by_path(out->object, what);
		return unsupported(t, what);
	}
	snprintf(what, sizeof(what), "CPython %s", out->version);
	out->offsets = out->major == 3 ? py_offsets_get(out->minor) : NULL;
	if (!out->offsets)
		return unsupported(t, what);
	int err = python_debug_offsets_check(t, runtime_vaddr, out);

	if (err == -ENOTSUP) {
		snprintf(what, sizeof(what), "free-threaded CPython %s", out->version);
		return unsupported(t, what);
	}
	if (err == -EBADMSG)
		return log_coded_err(err, "E304", NATIVE_STILL,
				     "%s says it is CPython %s, but its _Py_DebugOffsets table "
				     "(at _PyRuntime) is missing or damaged",
				     out->object->path, out->version);
	return err ? log_err(err, "cannot read the layout of CPython %s", out->version) : 0;
}

/* Py_tss_t {int is_initialized; pthread_key_t key}, Include/cpython/pythread.h */
static int read_tss_key(const struct target *t, struct python_target *out)
{
	uint32_t tss[2] = {0, 0};
	int err =
		target_read(t, out->runtime_addr + out->offsets->runtime_tsskey, tss, sizeof(tss));

	if (err)
		return log_err(err, "cannot read _PyRuntime of process %d at 0x%llx", t->pid,
			       (unsigned long long)out->runtime_addr);
	if (tss[0] != 1 && tss[0] != 0)
		return log_coded_err(
			-EBADMSG, "E304", NATIVE_STILL,
			"_PyRuntime of process %d does not look like that of CPython %s", t->pid,
			out->version);
	if (!tss[0])
		return log_coded_err(-EAGAIN, "E304", "wait until it has started and try again",
				     "CPython %s in process %d is not initialised yet",
				     out->version, t->pid);
	out->tss_key = tss[1];
	return 0;
}

/*
 * glibc tells debuggers where its key data is: {bits, count, off} of the array of 32 second level
 * pointers, in front of which the first block lies. Returns: the offset of the first block.
 */
static uint64_t glibc_first_block(struct target *t)
{
	static const char name[] = "_thread_db_pthread_specific";
	struct target_object *o = target_object_defining(t, name);
	const uint8_t *bytes =
		o ? elf_image_bytes(o->image, elf_image_symbol(o->image, name)->vaddr, 12) : NULL;

	if (!bytes)
		return GLIBC_FIRST_BLOCK;
	struct cursor c = cursor_init(bytes, 12);
	uint32_t bits = cursor_u32(&c);
	uint32_t count = cursor_u32(&c);
	uint32_t off = cursor_u32(&c);

	/* 32 pointers, told as one element of 2048 bits or as 32 of 64 */
	if ((uint64_t)bits * (count ? count : 1) < 2048 ||
	    off < GLIBC_BLOCK_KEYS * GLIBC_ENTRY_BYTES || off > 1 << 16)
		return 0;
	if (off != GLIBC_FIRST_BLOCK + GLIBC_BLOCK_KEYS * GLIBC_ENTRY_BYTES)
		log_info("struct pthread of this glibc has its keys at %u", off);
	return off - GLIBC_BLOCK_KEYS * GLIBC_ENTRY_BYTES;
}

static int find_tstate_slot(struct target *t, struct python_target *out)
{
	uint64_t first = libc_is_glibc(t) ? glibc_first_block(t) : 0;

	if (!first)
		return log_coded_err(
			-ENOTSUP, "E303", NATIVE_STILL,
			"CPython %s in process %d runs on a C library whose thread data "
			"we cannot read (musl?); supported: glibc",
			out->version, t->pid);
	if (out->tss_key >= GLIBC_BLOCK_KEYS)
		return log_coded_err(-ENOTSUP, "E303", NATIVE_STILL,
				     "process %d created so many thread keys before CPython that "
				     "its own is number %u; supported: below %d",
				     t->pid, out->tss_key, GLIBC_BLOCK_KEYS);
	out->tstate_slot_off = (int64_t)(first + GLIBC_ENTRY_BYTES * out->tss_key + 8);
	return 0;
}

static const struct elf_symbol *global_object(const struct target_object *o, const char *name)
{
	const struct elf_symbol *s = o->image ? elf_image_symbol(o->image, name) : NULL;

	return s && s->type == STT_OBJECT ? s : NULL;
}

static int find_code_type(struct target *t, struct python_target *out)
{
	/* An executable that is no PIE and mentions the type has the living copy (copy relocation). */
	struct target_object *o = t->objects[0];
	const struct elf_symbol *s = global_object(o, "PyCode_Type");

	if (!s) {
		o = out->object;
		s = global_object(o, "PyCode_Type");
	}
	if (!s)
		return log_coded_err(
			-EBADMSG, "E304", NATIVE_STILL,
			"CPython %s in %s has no symbol PyCode_Type (looked in .dynsym "
			"and .symtab)",
			out->version, out->object->path);
	out->code_type_addr = s->vaddr + o->bias;
	int err = target_read_u64(t, out->code_type_addr + out->offsets->type_dealloc,
				  &out->code_dealloc_addr);

	if (err)
		return log_err(err, "cannot read PyCode_Type of process %d", t->pid);
	const struct mapping *m = proc_maps_find(&t->maps, out->code_dealloc_addr);

	if (!m || !m->exec || target_object_at(t, out->code_dealloc_addr) != out->object)
		return log_coded_err(-EBADMSG, "E304", NATIVE_STILL,
				     "PyCode_Type of process %d has no destructor in %s: is it "
				     "initialised?",
				     t->pid, out->object->path);
	return 0;
}

int python_target_find(struct target *t, struct python_target *out)
{
	struct python_target py = {.allocator = PY_ALLOC_UNKNOWN};
	uint64_t runtime_vaddr = 0;

	py.object = find_runtime(t, &runtime_vaddr);
	if (!py.object)
		return report_other_python(t);
	py.runtime_addr = runtime_vaddr + py.object->bias;
	int err = read_version(t, runtime_vaddr, &py);

	if (!err)
		err = read_tss_key(t, &py);
	if (!err)
		err = find_tstate_slot(t, &py);
	if (!err)
		err = find_code_type(t, &py);
	if (err)
		return err;
	py.allocator = python_allocator_find(t, &py);
	log_info("CPython %s in %s, key %u, allocator %d", py.version, py.object->path, py.tss_key,
		 (int)py.allocator);
	*out = py;
	return 0;
}

struct child_search {
	pid_t parent;
	pid_t found;
	char version[8]; /* "3.11", "" unknown */
};

static bool is_python_child(pid_t pid, void *ctx)
{
	struct child_search *search = ctx;
	struct proc_stat st;
	_cleanup_free_ char *exe = NULL;
	struct proc_maps maps = {0};

	if (proc_stat_read(pid, &st) || st.ppid != search->parent || st.state == 'Z')
		return false;
	bool found = proc_readlink(pid, "exe", &exe) == 0 && is_python_name(exe, search->version);

	if (!found && proc_maps_read(pid, &maps) == 0) {
		for (size_t i = 0; i < maps.count && !found; i++)
			found = maps.items[i].exec &&
				is_python_name(maps.items[i].path, search->version);
	}
	proc_maps_release(&maps);
	if (found)
		search->found = pid;
	return found;
}

int python_target_hint_child(pid_t pid, char *out, size_t cap)
{
	struct child_search search = {.parent = pid};

	if (!proc_for_each(is_python_child, &search))
		return -ENOENT;
	snprintf(out, cap, "its child %d is CPython%s%s", search.found, *search.version ? " " : "",
		 search.version);
	return 0;
}
