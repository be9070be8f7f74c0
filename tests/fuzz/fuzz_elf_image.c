/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as an ELF file: open, then use everything a caller uses. */
#include <string.h>

#include "target/elf_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct elf_image *img = NULL;
	uint64_t vaddr = 0, off = 0, n = 0;
	volatile uint8_t sink = 0;

	if (elf_image_open_bytes(data, len, &img))
		return 0;
	if (elf_image_section(img, ".text", &vaddr, &off, &n) && n)
		sink ^= img->data[off + n - 1];
	for (size_t i = 0; i < img->symbol_count; i++) {
		const struct elf_symbol *s = &img->symbols[i];
		const uint8_t *bytes = elf_image_bytes(img, s->vaddr, s->len);

		if (bytes && s->len)
			sink ^= (uint8_t)(bytes[0] ^ bytes[s->len - 1]);
		if (!elf_image_symbol(img, s->name))
			__builtin_trap();
		elf_image_symbol_at(img, s->vaddr + 1);
		elf_image_symbol_at(img, s->vaddr + s->len);
	}
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (elf_image_file_off(img, s->vaddr, &off) && off >= img->len)
			__builtin_trap();
		elf_image_vaddr(img, s->file_off, &vaddr);
	}
	if (strlen(img->build_id_hex) != 2 * img->build_id_len)
		__builtin_trap();
	elf_image_free(img);
	return 0;
}
