/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: what the file of an interpreter, and the data of the process that runs it, say of its version and of
 * its layout. Input: one byte (which symbols there are), u16 bytes of the file, the file, the data of the process.
 * Holds: no crash; a version is text of a few kinds of characters; offsets that are taken lie in a structure.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "target/python_layout.h"

#define VADDR	   0x10000
#define OFFSET_MAX 4096

enum { HAS_VERSION = 1, HAS_FUNCTIONS = 2, HAS_RUNTIME = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_version(const struct python_target *py)
{
	size_t n = strnlen(py->version, sizeof(py->version));

	if (!n || n == sizeof(py->version) ||
	    strspn(py->version, "0123456789.abcdefghijklmnopqrstuvwxyz+") != n)
		abort();
}

static void check_layout(struct target_object *o, uint64_t runtime)
{
	for (unsigned minor = 13; minor <= 15; minor++) {
		struct target t = {.pid = getpid()};
		struct python_target py = {.object = o,
					   .major = 3,
					   .minor = minor,
					   .offsets = py_offsets_get(minor, false)};

		if (python_debug_offsets_check(&t, runtime, &py) == 0 &&
		    (py.offsets->tstate_frame > OFFSET_MAX ||
		     py.offsets->code_bytecode > OFFSET_MAX || py.offsets->obj_type > OFFSET_MAX))
			abort();
		free(t.py_row);
	}
}

/* The symbols that the first byte asks for, sorted by name. */
static size_t fill_symbols(struct elf_symbol *out, uint8_t which, size_t file_len)
{
	size_t n = 0;

	if (which & HAS_FUNCTIONS) {
		out[n++] = (struct elf_symbol){.name = "PyGILState_GetThisThreadState"};
		out[n++] = (struct elf_symbol){.name = "Py_GetVersion"};
	}
	if (which & HAS_VERSION) /* at the end: it may be cut */
		out[n++] = (struct elf_symbol){.name = "Py_Version",
					       .vaddr = VADDR + file_len - (which >> 4)};
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 3)
		return 0;
	const uint8_t which = data[0];
	size_t file_len = data[1] | (size_t)data[2] << 8;

	data += 3;
	len -= 3;
	file_len = file_len < len ? file_len : len;
	len -= file_len;
	uint8_t *file = malloc(file_len + !file_len), *memory = malloc(len + !len);

	if (!file || !memory)
		abort();
	memcpy(file, data, file_len);
	memcpy(memory, data + file_len, len);
	struct elf_segment segments[] = {
		{.vaddr = VADDR, .file_len = file_len, .mem_len = file_len},
		{.vaddr = 8 * VADDR, .mem_len = len, .write = true},
	};
	struct elf_symbol symbols[3];
	size_t symbol_count = fill_symbols(symbols, which, file_len);
	struct elf_image img = {.data = file,
				.len = file_len,
				.segments = segments,
				.segment_count = 2,
				.symbols = symbols,
				.by_name = symbols,
				.symbol_count = symbol_count};
	struct target t = {.pid = getpid()};
	struct target_object o = {
		.path = "fuzz", .image = &img, .bias = (uintptr_t)memory - 8 * VADDR};
	uint64_t runtime = which & HAS_RUNTIME ? VADDR : 0;
	struct python_target py = {.object = &o};
	unsigned minor;

	log_set_level(LOG_ERROR);
	if (python_version_read(&t, &o, runtime, &py))
		check_version(&py);
	if (python_image_minor(&img, &minor) && minor > 255)
		abort();
	(void)python_is_free_threaded(&img, runtime);
	check_layout(&o, VADDR);
	free(file);
	free(memory);
	return 0;
}
