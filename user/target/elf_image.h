/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One ELF file, opened read-only and checked: segments, sections, symbols, build-id. The file is
 * hostile: every offset and count is checked through base/cursor, and nothing is read until it is
 * bounds-checked. 64-bit little-endian x86-64 only. Layouts: <elf.h>, System V ABI. Only the parts that are
 * asked for are read, each with the time limit of base/timed_io.h.
 */
#ifndef TM_TARGET_ELF_IMAGE_H
#define TM_TARGET_ELF_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define BUILD_ID_MAX	 32 /* bytes; SHA-1 notes have 20 */
#define BUILD_ID_HEX_LEN (2 * BUILD_ID_MAX + 1)

/* Bytes that all open images together may keep: parts of files, and symbols. PyTorch with CUDA takes 200 MiB. */
#define ELF_KEPT_MAX ((size_t)512 << 20)

struct elf_segment { /* one PT_LOAD */
	uint64_t vaddr, file_off, file_len, mem_len;
	bool exec, write;
};

struct elf_symbol {
	uint64_t vaddr;
	uint64_t len;	  /* st_size, 0 = unknown */
	const char *name; /* borrowed from the image */
	uint8_t type;	  /* STT_*; of STT_TLS vaddr is an offset in the TLS block */
	bool local;	  /* STB_LOCAL: other files cannot bind to it */
};

struct elf_image {
	const uint8_t *data; /* where the file lies when loaded: use elf_image_at(); owned */
	size_t len;	     /* of the file */
	uid_t owner;	     /* of the file, who can change it; of bytes in memory we are */
	uint16_t type;	     /* ET_EXEC or ET_DYN */
	struct elf_segment *segments;
	size_t segment_count;
	uint8_t build_id[BUILD_ID_MAX];
	size_t build_id_len; /* 0 = none */
	char build_id_hex[BUILD_ID_HEX_LEN];
	struct elf_symbol *symbols; /* .dynsym and .symtab, defined only, sorted by vaddr */
	size_t symbol_count;
	struct elf_symbol *by_name; /* the same, sorted by name */
	struct elf_priv *priv;
};

/**
 * Open from a descriptor (borrowed; may be closed after).
 * Returns: 0, -errno, -EBADMSG (not a sane ELF), -EFBIG (the file, or ELF_KEPT_MAX), -ETIMEDOUT.
 */
int elf_image_open_fd(int fd, struct elf_image **out);
int elf_image_open(const char *path, struct elf_image **out);
/** From bytes in memory, which are copied (the vdso, tests, fuzzing). Returns: as elf_image_open_fd(). */
int elf_image_open_bytes(const void *data, size_t len, struct elf_image **out);
void elf_image_free(struct elf_image *img);
DEFINE_CLEANUP(struct elf_image *, elf_image_free);

/**
 * A defined symbol by exact name (version suffixes dropped), NULL when there is none.
 * Of several: not local before local, the default version before old ones, .dynsym before .symtab.
 */
const struct elf_symbol *elf_image_symbol(const struct elf_image *img, const char *name);
/** The function symbol that covers vaddr (st_size 0: the nearest before it), NULL when none. */
const struct elf_symbol *elf_image_symbol_at(const struct elf_image *img, uint64_t vaddr);

/**
 * Section by name. Returns: true and its vaddr/file offset/length (checked against the file); false
 * also for one without bytes in the file (.bss) and when the section table is missing or malformed.
 */
bool elf_image_section(const struct elf_image *img, const char *name, uint64_t *vaddr,
		       uint64_t *file_off, uint64_t *len);

/**
 * The bytes [off, off + len) of the file, borrowed. NULL when they are not all in the file, cannot be read, or are
 * more than ELF_KEPT_MAX allows. In a file that was cut since opening they are zero.
 */
const uint8_t *elf_image_at(const struct elf_image *img, uint64_t off, uint64_t len);

/** How often something was not read because of ELF_KEPT_MAX. */
uint64_t elf_images_refused(void);

/** Bytes of the file that load at [vaddr, vaddr+len); NULL when not wholly file-backed. Borrowed. */
const uint8_t *elf_image_bytes(const struct elf_image *img, uint64_t vaddr, size_t len);

/** vaddr -> file offset. Returns: true when vaddr lies in the file part of a segment. */
bool elf_image_file_off(const struct elf_image *img, uint64_t vaddr, uint64_t *file_off);
bool elf_image_vaddr(const struct elf_image *img, uint64_t file_off, uint64_t *vaddr);

#endif
