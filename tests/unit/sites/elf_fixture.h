/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A minimal ELF file around some code: one executable segment, a symbol table, a build-id. */
#ifndef TEST_ELF_FIXTURE_H
#define TEST_ELF_FIXTURE_H

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "target/elf_image.h"

#define FIX_VADDR 0x400000u
#define FIX_SYMS  10

struct fix_sym {
	const char *name;
	uint64_t off, len; /* from the start of the code */
};

struct fix_file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		Elf64_Nhdr nh;
		char name[4];
		uint8_t id[20];
	} note;
	Elf64_Shdr sh[4];
	char shstr[32];
	Elf64_Sym sym[FIX_SYMS + 1];
	char str[256];
	uint8_t code[8192];
};

/* The code is at FIX_VADDR + offsetof(struct fix_file, code). */
static inline uint64_t fix_vaddr(uint64_t off)
{
	return FIX_VADDR + offsetof(struct fix_file, code) + off;
}

static inline void fix_sections(struct fix_file *f)
{
	memcpy(f->shstr, "\0.symtab\0.strtab\0.shstrtab", 27);
	f->sh[1] = (Elf64_Shdr){.sh_name = 1,
				.sh_type = SHT_SYMTAB,
				.sh_offset = offsetof(struct fix_file, sym),
				.sh_size = sizeof(f->sym),
				.sh_link = 2,
				.sh_info = 1,
				.sh_addralign = 8,
				.sh_entsize = sizeof(Elf64_Sym)};
	f->sh[2] = (Elf64_Shdr){.sh_name = 9,
				.sh_type = SHT_STRTAB,
				.sh_offset = offsetof(struct fix_file, str),
				.sh_size = sizeof(f->str),
				.sh_addralign = 1};
	f->sh[3] = (Elf64_Shdr){.sh_name = 17,
				.sh_type = SHT_STRTAB,
				.sh_offset = offsetof(struct fix_file, shstr),
				.sh_size = sizeof(f->shstr),
				.sh_addralign = 1};
}

static inline void fix_symbols(struct fix_file *f, const struct fix_sym *syms, size_t count)
{
	size_t at = 1;

	for (size_t i = 0; i < count; i++) {
		f->sym[i + 1] = (Elf64_Sym){.st_name = (Elf64_Word)at,
					    .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
					    .st_shndx = 1,
					    .st_value = fix_vaddr(syms[i].off),
					    .st_size = syms[i].len};
		memcpy(f->str + at, syms[i].name, strlen(syms[i].name) + 1);
		at += strlen(syms[i].name) + 1;
	}
}

/* Returns: an opened image, to be freed with elf_image_free(); NULL when it was refused. */
static inline struct elf_image *fix_open(const uint8_t *code, size_t len,
					 const struct fix_sym *syms, size_t sym_count)
{
	struct fix_file *f = calloc(1, sizeof(*f));
	struct elf_image *img = NULL;

	memcpy(f->eh.e_ident, ELFMAG, SELFMAG);
	f->eh.e_ident[EI_CLASS] = ELFCLASS64;
	f->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	f->eh.e_ident[EI_VERSION] = EV_CURRENT;
	f->eh.e_type = ET_EXEC;
	f->eh.e_machine = EM_X86_64;
	f->eh.e_version = EV_CURRENT;
	f->eh.e_ehsize = sizeof(Elf64_Ehdr);
	f->eh.e_phoff = offsetof(struct fix_file, ph);
	f->eh.e_phentsize = sizeof(Elf64_Phdr);
	f->eh.e_phnum = 2;
	f->eh.e_shoff = offsetof(struct fix_file, sh);
	f->eh.e_shentsize = sizeof(Elf64_Shdr);
	f->eh.e_shnum = 4;
	f->eh.e_shstrndx = 3;
	f->ph[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				.p_flags = PF_R | PF_X,
				.p_offset = offsetof(struct fix_file, code),
				.p_vaddr = fix_vaddr(0),
				.p_filesz = len,
				.p_memsz = len,
				.p_align = 1};
	f->ph[1] = (Elf64_Phdr){.p_type = PT_NOTE,
				.p_flags = PF_R,
				.p_offset = offsetof(struct fix_file, note),
				.p_filesz = sizeof(f->note),
				.p_align = 4};
	f->note.nh = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID};
	memcpy(f->note.name, "GNU", 4);
	memset(f->note.id, 0xab, sizeof(f->note.id));
	fix_sections(f);
	fix_symbols(f, syms, sym_count);
	memcpy(f->code, code, len);
	if (elf_image_open_bytes(f, sizeof(*f), &img))
		img = NULL;
	free(f);
	return img;
}

#endif
