/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the thread pointer to the PyThreadState of a thread: what pthread_getspecific(key) or a thread
 * variable reads, as offsets that BPF can follow. Layouts: docs/cpython-internals.md, "Thread state".
 */
#include <errno.h>

#include "base/cursor.h"
#include "base/log.h"
#include "target/libc_target.h"
#include "target/python_layout.h"

/* glibc x86-64: offsetof(struct pthread, specific_1stblock), and of specific[] after it */
#define GLIBC_FIRST_BLOCK 0x310
#define GLIBC_BLOCK_KEYS  32 /* PTHREAD_KEY_2NDLEVEL_SIZE */
#define GLIBC_ENTRY_BYTES 16 /* struct pthread_key_data {uintptr_t seq; void *data;} */
#define GLIBC_ENTRY_DATA  8
#define GLIBC_KEYS	  1024 /* PTHREAD_KEYS_MAX */
#define TCB_DTV		  8    /* offsetof(tcbhead_t, dtv), glibc sysdeps/x86_64/nptl/tls.h */
#define DTV_ENTRY_BYTES	  16   /* dtv_t {void *val; void *to_free;} */
#define TLS_MODULES_MAX	  65536

/*
 * glibc tells debuggers where its key data is: {bits, count, off} of the array of 32 second level
 * pointers, in front of which the first block lies. Returns: the offset of that array, 0 unusable.
 */
static uint64_t glibc_level2(struct target *t)
{
	static const char name[] = "_thread_db_pthread_specific";
	const uint64_t usual = GLIBC_FIRST_BLOCK + GLIBC_BLOCK_KEYS * GLIBC_ENTRY_BYTES;
	struct target_object *o = target_object_defining(t, name);
	const uint8_t *bytes =
		o ? elf_image_bytes(o->image, elf_image_symbol(o->image, name)->vaddr, 12) : NULL;

	if (!bytes)
		return usual;
	struct cursor c = cursor_init(bytes, 12);
	uint32_t bits = cursor_u32(&c);
	uint32_t count = cursor_u32(&c);
	uint32_t off = cursor_u32(&c);

	/* 32 pointers, reported as one element of 2048 bits or as 32 of 64 */
	if ((uint64_t)bits * (count ? count : 1) < 2048 ||
	    off < GLIBC_BLOCK_KEYS * GLIBC_ENTRY_BYTES || off > 1 << 16)
		return 0;
	if (off != usual)
		log_info("struct pthread of this glibc has its keys at %u", off);
	return off;
}

static int path_by_key(struct target *t, struct python_target *py, uint32_t key)
{
	uint64_t level2 = libc_is_glibc(t) ? glibc_level2(t) : 0;
	int64_t entry = (int64_t)(key % GLIBC_BLOCK_KEYS) * GLIBC_ENTRY_BYTES + GLIBC_ENTRY_DATA;

	if (!level2)
		return log_coded_err(
			-ENOTSUP, "E303", PY_NATIVE_STILL,
			"CPython %s in process %d runs on a C library whose thread data "
			"we cannot read (musl?); supported: glibc",
			py->version, t->pid);
	if (key >= GLIBC_KEYS)
		return log_coded_err(
			-EBADMSG, "E304", PY_NATIVE_STILL,
			"CPython %s in process %d reports thread key %u, which cannot exist",
			py->version, t->pid, key);
	if (key < GLIBC_BLOCK_KEYS)
		py->tstate = (struct py_tstate_path){
			.off = {(int64_t)level2 - GLIBC_BLOCK_KEYS * GLIBC_ENTRY_BYTES + entry}};
	else
		py->tstate = (struct py_tstate_path){
			.hops = 1,
			.off = {(int64_t)(level2 + 8 * (key / GLIBC_BLOCK_KEYS)), entry}};
	log_debug("thread key %u", key);
	return 0;
}

static int state_unreadable(const struct target *t, const struct python_target *py, int err)
{
	return log_err(err, "cannot read the runtime of CPython %s in process %d", py->version,
		       t->pid);
}

/* An int that is -1 until PyThread_create_key() gave it a key; Python/pystate.c, v3.6 */
static int path_by_plain_key(struct target *t, struct python_target *py, uint64_t addr)
{
	uint32_t key = 0;
	int err = target_read(t, addr, &key, sizeof(key));

	if (err)
		return state_unreadable(t, py, err);
	return key == UINT32_MAX ? -EAGAIN : path_by_key(t, py, key);
}

/* Py_tss_t {int is_initialized; pthread_key_t key}, Include/cpython/pythread.h, v3.7 on */
static int path_by_tss(struct target *t, struct python_target *py, uint64_t addr)
{
	uint32_t tss[2] = {0, 0};
	int err = target_read(t, addr, tss, sizeof(tss));

	if (err)
		return state_unreadable(t, py, err);
	if (tss[0] > 1)
		return log_coded_err(
			-EBADMSG, "E304", PY_NATIVE_STILL,
			"the thread key of process %d does not look like that of CPython %s",
			t->pid, py->version);
	return tss[0] ? path_by_key(t, py, tss[1]) : -EAGAIN;
}

/* struct tls_index {unsigned long ti_module, ti_offset}: what a library hands to __tls_get_addr(). */
static int path_by_tls_index(struct target *t, struct python_target *py, uint64_t addr,
			     int64_t disp)
{
	uint64_t index[2] = {0, 0};
	int err = target_read(t, addr, index, sizeof(index));

	if (err)
		return state_unreadable(t, py, err);
	if (!libc_is_glibc(t) || !index[0] || index[0] > TLS_MODULES_MAX)
		return log_coded_err(
			-ENOTSUP, "E303", PY_NATIVE_STILL,
			"the thread variable of CPython %s in process %d cannot be reached from outside",
			py->version, t->pid);
	py->tstate = (struct py_tstate_path){
		.hops = 2,
		.off = {TCB_DTV, (int64_t)(index[0] * DTV_ENTRY_BYTES), (int64_t)index[1] + disp}};
	return 0;
}

/*
 * Decoding decides; the row is used only when it finds nothing and this version has a fixed place.
 */
static int place_of(struct target *t, const struct python_target *py, const struct py_slot *slot,
		    uint64_t *addr)
{
	if (slot->kind == PY_SLOT_NONE) {
		*addr = py->runtime_addr + py->offsets->runtime_tsskey;
		return py->runtime_addr && py->offsets->runtime_tsskey != PY_NONE ? 0 : -ENOENT;
	}
	*addr = slot->vaddr + py->object->bias;
	if (slot->indirect) {
		int err = target_read_u64(t, *addr, addr);

		if (err)
			return err;
	}
	*addr += (uint64_t)slot->off;
	return 0;
}

static void compare_with_row(const struct python_target *py, uint64_t addr)
{
	uint16_t ours = py->offsets->runtime_tsskey;

	/* Log once, because a living interpreter is asked again and again. */
	if (ours != PY_NONE && py->runtime_addr && addr != py->runtime_addr + ours &&
	    log_ratelimit(1))
		log_warn(
			"the thread key is at _PyRuntime+%lld in CPython %s, at +%u as we know it: "
			"using the place that the interpreter's code reads",
			(long long)(addr - py->runtime_addr), py->version, ours);
}

int python_target_set_slot(struct target *t, struct python_target *py, const struct py_slot *slot)
{
	uint64_t addr = 0;
	int err;

	if (slot->kind == PY_SLOT_TLS) {
		py->tstate = (struct py_tstate_path){.off = {slot->off}};
		return 0;
	}
	err = place_of(t, py, slot, &addr);
	if (err == -ENOENT)
		return log_coded_err(
			-ENOTSUP, "E303", PY_NATIVE_STILL,
			"%s does not show how CPython %s finds its threads (PyGILState_GetThisThreadState "
			"is of an unknown shape)",
			py->object->path, py->version);
	if (err)
		return state_unreadable(t, py, err);
	switch (slot->kind) {
	case PY_SLOT_KEY:
		return path_by_plain_key(t, py, addr);
	case PY_SLOT_TLS_INDEX:
		return path_by_tls_index(t, py, addr, slot->tls_disp);
	case PY_SLOT_NONE:
	case PY_SLOT_TSS:
	case PY_SLOT_TLS:
		break;
	}
	compare_with_row(py, addr);
	return path_by_tss(t, py, addr);
}
