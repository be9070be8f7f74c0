/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which allocator serves Python objects in a running interpreter. Read from its allocator tables;
 * where these cannot be found beyond doubt the answer is PY_ALLOC_UNKNOWN, never a guess.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "target/proc_fs.h"
#include "target/python_layout.h"

struct alloc_entry { /* PyMemAllocatorEx, Include/cpython/pymem.h */
	uint64_t ctx, malloc, calloc, realloc, free;
};

/* _PyRuntime.allocators.standard = {raw, mem, obj}; gdb on pyenv 3.12.1 and 3.13.0. 0: unknown. */
static uint64_t allocators_offset(unsigned minor)
{
	if (minor == 12)
		return 96; /* offsetof(_PyRuntimeState, allocators.standard.raw), 3.12.1 */
	if (minor == 13)
		return 704; /* the same, 3.13.0: obj at 784 */
	return 0;
}

static bool in_text(const struct target *t, const struct target_object *obj, uint64_t addr)
{
	const struct mapping *m = proc_maps_find(&t->maps, addr);

	return m && m->exec && m->inode == obj->inode && m->dev_major == obj->dev_major &&
	       m->dev_minor == obj->dev_minor;
}

static bool is_plain(const struct target *t, const struct target_object *obj,
		     const struct alloc_entry *e)
{
	return e->ctx == 0 && in_text(t, obj, e->malloc) && in_text(t, obj, e->calloc) &&
	       in_text(t, obj, e->realloc) && in_text(t, obj, e->free);
}

/* Every function pointer must be code of some file, else this is not the table. */
static bool looks_like_table(const struct target *t, const struct alloc_entry e[3])
{
	for (size_t i = 0; i < 3; i++) {
		const uint64_t fns[] = {e[i].malloc, e[i].calloc, e[i].realloc, e[i].free};

		for (size_t k = 0; k < ARRAY_LEN(fns); k++) {
			const struct mapping *m = proc_maps_find(&t->maps, fns[k]);

			if (!m || !m->exec)
				return false;
		}
	}
	return true;
}

/*
 * Three domains tell which allocator is set without knowing any function's address: pymalloc serves
 * mem and obj but never raw; PYTHONMALLOC=malloc serves all three; hooks (debug, tracemalloc,
 * memray) have a context or live in another file; mimalloc has different functions for mem and obj.
 */
static enum py_allocator classify_table(const struct target *t, const struct python_target *py,
					uint64_t off)
{
	struct alloc_entry e[3];

	if (target_read(t, py->runtime_addr + off, e, sizeof(e)) || !looks_like_table(t, e))
		return PY_ALLOC_UNKNOWN;
	for (size_t i = 0; i < 3; i++) {
		if (!is_plain(t, py->object, &e[i]))
			return PY_ALLOC_OTHER;
	}
	if (e[2].malloc == e[0].malloc)
		return PY_ALLOC_MALLOC;
	return e[2].malloc == e[1].malloc && e[2].free == e[1].free ? PY_ALLOC_PYMALLOC
								    : PY_ALLOC_OTHER;
}

/*
 * Up to 3.11 the tables are static variables without a symbol in stripped files. Next to them is the
 * state of the debug hooks, {'r', raw} {'m', mem} {'o', obj} (Objects/obmalloc.c: _PyMem_Debug),
 * which no other data looks like, and which keeps the default functions of each domain.
 */
struct debug_state {
	struct {
		uint64_t api_id; /* a char, padded */
		struct alloc_entry alloc;
	} raw, mem, obj;
};
_Static_assert(sizeof(struct debug_state) == 144, "three of {char, PyMemAllocatorEx}");

static bool is_debug_state(const struct target *t, const struct target_object *obj,
			   const struct debug_state *d)
{
	return d->raw.api_id == 'r' && d->mem.api_id == 'm' && d->obj.api_id == 'o' &&
	       is_plain(t, obj, &d->raw.alloc) && is_plain(t, obj, &d->mem.alloc) &&
	       memcmp(&d->mem.alloc, &d->obj.alloc, sizeof(d->mem.alloc)) == 0;
}

static const struct debug_state *find_debug_state(const struct target *t,
						  const struct target_object *obj,
						  const uint64_t *words, size_t count)
{
	const size_t need = sizeof(struct debug_state) / sizeof(*words);

	for (size_t i = 0; i + need <= count; i++) {
		const struct debug_state *d = (const struct debug_state *)(words + i);

		if (words[i] == 'r' && is_debug_state(t, obj, d))
			return d;
	}
	return NULL;
}

/* How often an entry stands in the data outside the debug state. */
static unsigned count_entries(const uint64_t *words, size_t count, const struct debug_state *d,
			      const struct alloc_entry *e)
{
	const size_t need = sizeof(*e) / sizeof(*words);
	unsigned found = 0;

	for (size_t i = 0; i + need <= count; i++) {
		const uint64_t *at = words + i;

		if (at >= (const uint64_t *)d && at < (const uint64_t *)(d + 1))
			continue;
		if (memcmp(at, e, sizeof(*e)) == 0)
			found++;
	}
	return found;
}

/*
 * Initialised data only: tracemalloc's copies of the former entries are in .bss. Untouched tables
 * are two entries of pymalloc (mem, obj) and one of malloc (raw).
 */
static enum py_allocator classify_data(const struct target *t, const struct python_target *py,
				       const struct elf_segment *s)
{
	const size_t count = s->file_len / sizeof(uint64_t);
	_cleanup_free_ uint64_t *words = malloc(count * sizeof(*words));
	uint64_t addr = s->vaddr + py->object->bias;
	uint64_t skip = (8 - addr % 8) % 8;

	if (!words || count < 2 || target_read(t, addr + skip, words, (count - 1) * sizeof(*words)))
		return PY_ALLOC_UNKNOWN;
	const struct debug_state *d = find_debug_state(t, py->object, words, count - 1);

	if (!d)
		return PY_ALLOC_UNKNOWN;
	unsigned pymalloc = count_entries(words, count - 1, d, &d->obj.alloc);
	unsigned raw = count_entries(words, count - 1, d, &d->raw.alloc);

	if (pymalloc == 2 && raw == 1)
		return PY_ALLOC_PYMALLOC;
	if (pymalloc == 0)
		return raw == 3 ? PY_ALLOC_MALLOC : PY_ALLOC_OTHER;
	return PY_ALLOC_UNKNOWN;
}

static enum py_allocator scan_data(const struct target *t, const struct python_target *py)
{
	const struct elf_image *img = py->object->image;

	for (size_t i = 0; i < img->segment_count; i++) {
		if (!img->segments[i].write)
			continue;
		enum py_allocator found = classify_data(t, py, &img->segments[i]);

		if (found != PY_ALLOC_UNKNOWN)
			return found;
	}
	return PY_ALLOC_UNKNOWN;
}

static const char *env_value(const struct buf *environ_text, const char *name)
{
	size_t name_len = strlen(name);

	for (size_t pos = 0; pos < environ_text->len;) {
		const char *var = environ_text->data + pos;
		size_t len = strnlen(var, environ_text->len - pos);

		if (len > name_len && strncmp(var, name, name_len) == 0 && var[name_len] == '=')
			return var + name_len + 1;
		pos += len + 1;
	}
	return NULL;
}

/* Only a hint: the program may have changed allocators since, so it never says "pymalloc". */
static enum py_allocator ask_environment(const struct target *t)
{
	struct buf env = {0};
	enum py_allocator found = PY_ALLOC_UNKNOWN;

	if (proc_read(t->pid, "environ", &env) == 0) {
		const char *malloc_name = env_value(&env, "PYTHONMALLOC");
		const char *dev_mode = env_value(&env, "PYTHONDEVMODE");

		if (malloc_name && strcmp(malloc_name, "malloc") == 0)
			found = PY_ALLOC_MALLOC;
		else if (malloc_name &&
			 (strstr(malloc_name, "debug") || strncmp(malloc_name, "mimalloc", 8) == 0))
			found = PY_ALLOC_OTHER;
		else if (!malloc_name && dev_mode && *dev_mode)
			found = PY_ALLOC_OTHER;
	}
	buf_release(&env);
	return found;
}

enum py_allocator python_allocator_find(const struct target *t, const struct python_target *py)
{
	uint64_t off = allocators_offset(py->minor);
	enum py_allocator found = off ? classify_table(t, py, off) : scan_data(t, py);

	return found == PY_ALLOC_UNKNOWN ? ask_environment(t) : found;
}
