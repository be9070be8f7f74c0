/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to elf_image.c (segments, sections, notes) and elf_symtab.c (symbols). */
#ifndef TM_TARGET_ELF_PARSE_H
#define TM_TARGET_ELF_PARSE_H

#include "base/cursor.h"
#include "target/elf_image.h"

struct elf_section {	  /* one section header whose bytes lie in the file */
	const char *name; /* borrowed from the file; "" unknown */
	uint32_t type;	  /* SHT_*; SHT_NULL when its range is malformed */
	uint32_t link;	  /* index of the string table */
	uint64_t vaddr, file_off, len;
};

struct elf_dynamic { /* PT_DYNAMIC, as a range of the file; len 0 = none */
	uint64_t file_off, len;
};

struct elf_priv {
	struct elf_section *sections; /* by section number; owned */
	size_t section_count;
	struct elf_dynamic dynamic;
	uint8_t *loaded; /* a bit a block that was read; NULL: data is malloc'ed and whole; owned */
	int fd;		 /* of the file; owned, -1 none */
	int load_err;	 /* of the first block that could not be read */
	size_t charged;	 /* bytes of ELF_KEPT_MAX */
	char **names;	 /* copies of names that carried a version suffix; owned */
	size_t name_count, name_cap;
	size_t name_bytes; /* bounded by the size of the file */
};

#define SECTIONS_MAX 65536 /* a file with more is taken as one without a section table */
#define SYMBOLS_MAX  ((size_t)2 << 20) /* of one file; the rest has no names */

/** Count bytes that an image keeps. Returns: false when that is more than ELF_KEPT_MAX. */
bool elf_image_charge(size_t bytes);
/** A cursor over a part of the file; bad when elf_image_at() gives NULL. */
struct cursor elf_image_cursor(const struct elf_image *img, uint64_t off, uint64_t len);

/** Collect the symbols of an image whose segments and sections are known. Returns: 0, -ENOMEM, -EFBIG. */
int elf_symtab_load(struct elf_image *img);

#endif
