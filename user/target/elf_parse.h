/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by elf_image.c (segments, sections, notes) and elf_symtab.c (symbols); for nobody else. */
#ifndef TM_TARGET_ELF_PARSE_H
#define TM_TARGET_ELF_PARSE_H

#include "base/cursor.h"
#include "target/elf_image.h"

struct elf_section {	  /* one section header whose bytes lie in the file */
	const char *name; /* borrowed from the file; "" unknown */
	uint32_t type;	  /* SHT_*; SHT_NULL when its range is a lie */
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
	bool mapped;  /* data is an mmap, else malloc'ed */
	char **names; /* copies of names that carried a version suffix; owned */
	size_t name_count, name_cap;
	size_t name_bytes; /* bounded by the size of the file */
};

/** Collect the symbols of an image whose segments and sections are known. Returns: 0, -ENOMEM. */
int elf_symtab_load(struct elf_image *img);

#endif
