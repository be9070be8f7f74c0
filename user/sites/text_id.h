/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Identifies the text of a file by a SHA-256 of everything that the site finders read instead of the build-id,
 * which is a claim of the file's author. Two files with the same digest have the same sites.
 */
#ifndef TM_SITES_TEXT_ID_H
#define TM_SITES_TEXT_ID_H

#include "target/elf_image.h"

#define TEXT_ID_LEN	32
#define TEXT_ID_HEX_LEN (2 * TEXT_ID_LEN + 1)

struct text_id {
	uint8_t digest[TEXT_ID_LEN];
	char hex[TEXT_ID_HEX_LEN];
};

/**
 * Digest of the executable segments with their addresses, the sections and symbols where decoding starts,
 * and the owner of the file, so that sites learned from a file of one user are not used for that of
 * another.
 */
void text_id_of(const struct elf_image *img, struct text_id *out);

#endif
