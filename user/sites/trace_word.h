/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The global word that every _Py_NewReference tests, traced or not, and the instructions that read it.
 */
#ifndef TM_SITES_TRACE_WORD_H
#define TM_SITES_TRACE_WORD_H

#include "sites/decode.h"

/* The functions whose text names the word. */
#define TRACE_WORD_FUNCTIONS                                   \
	{                                                      \
		"PyTraceMalloc_Track", "PyRefTracer_GetTracer" \
	}

struct trace_word {
	uint64_t vaddr;		/* 0: only known through the GOT slot */
	uint64_t base;		/* symbol it lies after; 0 = none exported */
	uint64_t got_slot;	/* GOT entry that holds base; 0 = accessed directly */
	int32_t disp;		/* vaddr - base */
	uint64_t creator_vaddr; /* _Py_NewReference(), which tests it too; 0 = not exported */
	uint8_t width;		/* 4 (tracing flag) or 8 (tracer function) */
};

/** Which word, by version and exported symbols. Returns: 0, -ENOENT. */
int trace_word_find(const struct elf_image *img, const struct code *code, unsigned minor,
		    struct trace_word *out);

/** Does the instruction read the word (load it or compare it)? */
bool trace_word_read(const struct code *code, size_t idx, const struct trace_word *w);

#endif
