/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/text_id.h"

#include <nettle/sha2.h>
#include <nettle/version.h>
#include <string.h>

#include "base/keyed_hash.h"

static void hash_u64(struct sha256_ctx *c, uint64_t v)
{
	uint8_t le[8];

	for (size_t i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(v >> 8 * i);
	sha256_update(c, sizeof(le), le);
}

/* Lengths go first, so that no two lists of parts give one stream of bytes. */
static void hash_part(struct sha256_ctx *c, const void *data, size_t len)
{
	hash_u64(c, len);
	sha256_update(c, len, data);
}

/* Code that cannot be read has an id that no other process gives: nothing is cached for it. */
static void hash_text(struct sha256_ctx *c, const struct elf_image *img,
		      const struct elf_segment *s)
{
	const uint8_t *text = s->exec ? elf_image_at(img, s->file_off, s->file_len) : NULL;

	if (s->exec && !text)
		hash_u64(c, keyed_hash_point());
	hash_part(c, text, text ? s->file_len : 0);
}

static void hash_segments(struct sha256_ctx *c, const struct elf_image *img)
{
	hash_u64(c, img->segment_count);
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		hash_u64(c, s->vaddr);
		hash_u64(c, s->file_off);
		hash_u64(c, s->mem_len);
		hash_u64(c, s->exec);
		hash_text(c, img, s);
	}
}

static void hash_symbols(struct sha256_ctx *c, const struct elf_image *img)
{
	hash_u64(c, img->symbol_count);
	for (size_t i = 0; i < img->symbol_count; i++) {
		const struct elf_symbol *s = &img->symbols[i];

		hash_u64(c, s->vaddr);
		hash_u64(c, s->len);
		hash_u64(c, (uint64_t)s->type << 1 | s->local);
		hash_part(c, s->name, strlen(s->name));
	}
}

void text_id_of(const struct elf_image *img, struct text_id *out)
{
	static const char digits[] = "0123456789abcdef";
	struct sha256_ctx c;

	sha256_init(&c);
	hash_u64(&c, img->owner);
	hash_u64(&c, img->type);
	hash_segments(&c, img);
	hash_symbols(&c, img);
#if NETTLE_VERSION_MAJOR >= 4
	sha256_digest(&c, out->digest);
#else
	sha256_digest(&c, TEXT_ID_LEN, out->digest);
#endif
	for (size_t i = 0; i < TEXT_ID_LEN; i++) {
		out->hex[2 * i] = digits[out->digest[i] >> 4];
		out->hex[2 * i + 1] = digits[out->digest[i] & 15];
	}
	out->hex[TEXT_ID_HEX_LEN - 1] = '\0';
}
