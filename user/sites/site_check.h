/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks that hold for any site, freshly found or read from the cache. */
#ifndef TM_SITES_SITE_CHECK_H
#define TM_SITES_SITE_CHECK_H

#include "sites/decode.h"
#include "sites/sites.h"

/** vaddr and file_off agree, in an executable segment; the bytes are an emulated jcc; registers in range. */
bool site_is_sound(const struct elf_image *img, const struct site *s);

/** Does vaddr lie in the file part of an executable segment? */
bool address_is_code(const struct elf_image *img, uint64_t vaddr);

/** Does code at idx begin a function: nothing falls into it, padding or an end lies before it? */
bool is_function_entry(const struct code *code, size_t idx);

#endif
