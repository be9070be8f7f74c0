/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: any bytes as an entry of the cache, with the right header in front. Holds: no crash; what is accepted
 * has the probes that decoding the text finds, and no others; a learned site is an emulated jump of the text.
 */
#include <stdlib.h>
#include <string.h>

#include "sites/cache_file.h"
#include "sites/site_check.h"
#include "sites/site_proof.h"
#include "tests/unit/sites/asm_code.h"
#include "tests/unit/sites/elf_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

ASM_CODE(popper, POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY(
			 "rax", "rdx", "rcx") "ret\n"
					      "9: call 8f\n ret\n 8: push %rbx\n ret\n");

#define MINOR 11

static struct elf_image *img;
static struct text_id id;
static struct python_sites right;

static void set_up(void)
{
	img = fix_open(popper, ASM_LEN(popper), NULL, 0);
	if (!img || python_sites_find(img, MINOR, &right) || !right.proof)
		abort();
	text_id_of(img, &id);
}

/* magic, version, minor, digest; the magic of sites or of learned sites. */
static void put_header(struct buf *b, const char magic[8], uint32_t minor)
{
	const uint32_t version = 4;

	buf_append(b, magic, 8);
	buf_append(b, &version, sizeof(version));
	buf_append(b, &minor, sizeof(minor));
	buf_append(b, id.digest, sizeof(id.digest));
}

static void fuzz_sites(const uint8_t *data, size_t len)
{
	struct buf b = {0};
	struct python_sites s;

	put_header(&b, "TMPSITES", MINOR);
	buf_append(&b, data, len);
	if (!b.oom && python_sites_parse(img, &id, MINOR, &b, &s) == 0) {
		if (!proof_agrees(&right, &s))
			abort();
		python_sites_release(&s);
	}
	buf_release(&b);
}

static void fuzz_learned(const uint8_t *data, size_t len)
{
	struct buf b = {0};
	uint64_t *list;
	size_t count;

	put_header(&b, "TMPLEARN", 0);
	buf_append(&b, data, len);
	if (!b.oom && learned_sites_parse(img, &id, &b, &list, &count) == 0) {
		for (size_t i = 0; i < count; i++) {
			struct site s = {.vaddr = list[i]};

			if (!elf_image_file_off(img, s.vaddr, &s.file_off) ||
			    !site_is_sound(img, &s))
				abort();
		}
		free(list);
	}
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!img)
		set_up();
	fuzz_sites(data, len);
	fuzz_learned(data, len);
	return 0;
}
