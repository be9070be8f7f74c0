/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Found and learned sites, kept by the digest of the text. A file of the cache is a hint where to look:
 * the sites are found again in the text of the file that is going to be probed, by the same rules, in the
 * stretches that the hint names. Sites that are not found there, at the same addresses with the same registers,
 * never become probes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/log.h"
#include "sites/cache_file.h"
#include "sites/site_check.h"
#include "sites/site_proof.h"
#include "sites/sites.h"

#define MAGIC	      0x5345544953504d54u /* "TMPSITES" */
#define LEARNED_MAGIC 0x4e5241454c504d54u /* "TMPLEARN" */
#define CACHE_VERSION 5			  /* raise it when the finders or this layout change */
#define SITE_BYTES    12
#define RANGE_BYTES   12

static void put_u32(struct buf *b, uint32_t v)
{
	buf_append(b, &v, sizeof(v));
}

static void put_u64(struct buf *b, uint64_t v)
{
	buf_append(b, &v, sizeof(v));
}

/* Which text this is about; the digest covers the owner of the file as well. */
static void put_header(struct buf *b, const struct text_id *id, uint64_t magic, uint32_t minor)
{
	put_u64(b, magic);
	put_u32(b, CACHE_VERSION);
	put_u32(b, minor);
	buf_append(b, id->digest, sizeof(id->digest));
}

static bool header_matches(struct cursor *c, const struct text_id *id, uint64_t magic,
			   uint32_t minor)
{
	bool same = cursor_u64(c) == magic;
	const uint8_t *digest;

	same &= cursor_u32(c) == CACHE_VERSION;
	same &= cursor_u32(c) == minor;
	digest = cursor_bytes(c, sizeof(id->digest));
	return same && digest && memcmp(digest, id->digest, sizeof(id->digest)) == 0;
}

static void put_sites(struct buf *b, const struct site *v, size_t count)
{
	put_u32(b, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		put_u64(b, v[i].vaddr);
		put_u32(b, (uint32_t)v[i].reg | (uint32_t)v[i].evidence << 8 |
				   (uint32_t)v[i].after_pop << 16 |
				   (uint32_t)v[i].fresh_proven << 17 | (uint32_t)v[i].init << 18 |
				   (uint32_t)v[i].refill << 19 | (uint32_t)v[i].single_step << 20 |
				   (uint32_t)v[i].reg2 << 24);
	}
}

/* A site is at most one of: after a pop, proven fresh, a way into a new pool, after a refill. */
static bool is_one_kind(uint32_t bits)
{
	return (bits & (bits - 1)) == 0 ? bits <= 8 : bits == (8 | 16);
}

/* Returns: 0, -EBADMSG (not sorted, not on an emulated jump, counts out of range), -ENOMEM. */
static int get_sites(struct cursor *c, const struct elf_image *img, bool inits, bool refills,
		     struct site **v, size_t *count)
{
	uint32_t n = cursor_u32(c);
	struct site *list;

	if (n > SITES_MAX || n * (size_t)SITE_BYTES > cursor_left(c))
		return -EBADMSG;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct site *s = &list[i];
		uint32_t bits;

		s->vaddr = cursor_u64(c);
		bits = cursor_u32(c);
		s->reg = (uint8_t)bits;
		s->evidence = (uint8_t)(bits >> 8);
		s->after_pop = bits >> 16 & 1;
		s->fresh_proven = bits >> 17 & 1;
		s->init = bits >> 18 & 1;
		s->refill = bits >> 19 & 1;
		s->single_step = bits >> 20 & 1;
		s->reg2 = (uint8_t)(bits >> 24);
		if (!is_one_kind(bits >> 16 & 0xff) || s->init != inits || s->refill != refills ||
		    s->evidence > 2 || (i && s->vaddr <= list[i - 1].vaddr) ||
		    !elf_image_file_off(img, s->vaddr, &s->file_off) || !site_is_sound(img, s)) {
			free(list);
			return -EBADMSG;
		}
	}
	*v = list;
	*count = n;
	return 0;
}

static void put_proof(struct buf *b, const struct python_sites *s)
{
	put_u32(b, (uint32_t)s->proof_count);
	for (size_t i = 0; i < s->proof_count; i++) {
		put_u64(b, s->proof[i].vaddr);
		put_u32(b, s->proof[i].len);
	}
}

/* decode_ranges() refuses ranges that are not sorted, or not inside the text. */
static int get_proof(struct cursor *c, struct python_sites *s)
{
	uint32_t n = cursor_u32(c);

	if (!n || n > PROOF_RANGES_MAX || n * (size_t)RANGE_BYTES > cursor_left(c))
		return -EBADMSG;
	s->proof = calloc(n, sizeof(*s->proof));
	if (!s->proof)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		s->proof[i].vaddr = cursor_u64(c);
		s->proof[i].len = cursor_u32(c);
	}
	s->proof_count = n;
	return 0;
}

static int put_all(const struct text_id *id, unsigned minor, const struct python_sites *s,
		   struct buf *b)
{
	put_header(b, id, MAGIC, minor);
	put_u64(b, s->refill_vaddr);
	put_u64(b, s->refill_calls);
	put_u64(b, s->trace_word_vaddr);
	put_u64(b, s->newref_disagree);
	buf_append(b, s->reason, sizeof(s->reason));
	put_sites(b, s->pops, s->pop_count);
	put_sites(b, s->newrefs, s->newref_count);
	put_sites(b, s->inits, s->init_count);
	put_sites(b, s->refills, s->refill_count);
	put_proof(b, s);
	return b->oom ? -ENOMEM : 0;
}

static bool get_reason(struct cursor *c, char out[SITES_REASON_LEN])
{
	const uint8_t *p = cursor_bytes(c, SITES_REASON_LEN);

	if (!p || !memchr(p, '\0', SITES_REASON_LEN))
		return false;
	memcpy(out, p, SITES_REASON_LEN);
	for (char *s = out; *s; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			return false;
	return true;
}

/* The layout of an entry; nothing is believed yet. */
static int parse_entry(struct cursor *c, const struct elf_image *img, struct python_sites *s)
{
	int err;

	s->refill_vaddr = cursor_u64(c);
	s->refill_calls = cursor_u64(c);
	s->trace_word_vaddr = cursor_u64(c);
	s->newref_disagree = cursor_u64(c);
	if (!get_reason(c, s->reason))
		return -EBADMSG;
	err = get_sites(c, img, false, false, &s->pops, &s->pop_count);
	if (err)
		return err;
	err = get_sites(c, img, false, false, &s->newrefs, &s->newref_count);
	if (err)
		return err;
	err = get_sites(c, img, true, false, &s->inits, &s->init_count);
	if (err)
		return err;
	err = get_sites(c, img, false, true, &s->refills, &s->refill_count);
	if (err)
		return err;
	err = get_proof(c, s);
	if (err)
		return err;
	return cursor_ok(c) && !cursor_left(c) && s->pop_count ? 0 : -EBADMSG;
}

/*
 * Find it all again in the text. fresh_proven stays as it was written because it takes the whole text to prove, and
 * decides only which sites learning may let go, not where a probe stands.
 */
static int prove_entry(const struct elf_image *img, unsigned minor, struct python_sites *s)
{
	struct python_sites found = {0};
	int err = python_sites_find_in(img, minor, s->proof, s->proof_count, &found);

	if (!err && !proof_agrees(s, &found))
		err = -EBADMSG;
	python_sites_release(&found);
	return err == -ENOENT ? -EBADMSG : err;
}

int python_sites_parse(const struct elf_image *img, const struct text_id *id, unsigned minor,
		       const struct buf *b, struct python_sites *out)
{
	struct cursor c = cursor_init(b->data, b->len);
	struct python_sites s = {.from_cache = true};
	int err = header_matches(&c, id, MAGIC, minor) ? 0 : -EBADMSG;

	if (!err)
		err = parse_entry(&c, img, &s);
	if (!err)
		err = prove_entry(img, minor, &s);
	if (err)
		python_sites_release(&s);
	else
		*out = s;
	return err;
}

int python_sites_get(const struct elf_image *img, unsigned minor, bool use_cache,
		     struct python_sites *out)
{
	struct buf b = {0};
	struct text_id id;
	char kind[32];
	int err;

	if (!use_cache)
		return python_sites_find(img, minor, out);
	snprintf(kind, sizeof(kind), "py3%u.sites", minor);
	text_id_of(img, &id);
	if (cache_file_read(&id, kind, &b) == 0) {
		err = python_sites_parse(img, &id, minor, &b, out);
		buf_release(&b);
		if (!err)
			return 0;
		log_info("cached %s.%s does not fit the text: found again", id.hex, kind);
		b = (struct buf){0};
	}
	err = python_sites_find(img, minor, out);
	if (err)
		return err;
	if (!out->proof || put_all(&id, minor, out, &b) || cache_file_write(&id, kind, &b))
		log_debug("sites: not kept for text %s", id.hex);
	buf_release(&b);
	return 0;
}

static int vaddr_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int learned_sites_parse(const struct elf_image *img, const struct text_id *id, const struct buf *b,
			uint64_t **out, size_t *count)
{
	struct cursor c = cursor_init(b->data, b->len);
	uint64_t *list;
	uint32_t n;

	if (!header_matches(&c, id, LEARNED_MAGIC, 0))
		return -EBADMSG;
	n = cursor_u32(&c);
	if (n > SITES_MAX || n * sizeof(*list) != cursor_left(&c))
		return -EBADMSG;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct site s = {.vaddr = list[i] = cursor_u64(&c)};

		if ((i && list[i] <= list[i - 1]) ||
		    !elf_image_file_off(img, s.vaddr, &s.file_off) || !site_is_sound(img, &s)) {
			free(list);
			return -EBADMSG;
		}
	}
	*out = list;
	*count = n;
	return 0;
}

int learned_sites_load(const struct elf_image *img, uint64_t **fresh_only, size_t *count)
{
	struct buf b = {0};
	struct text_id id;
	int err;

	text_id_of(img, &id);
	err = cache_file_read(&id, "learned", &b);
	if (!err)
		err = learned_sites_parse(img, &id, &b, fresh_only, count);
	buf_release(&b);
	return err == -EBADMSG || err == -EPERM ? -ENOENT : err; /* nothing that can be believed */
}

int learned_sites_save(const struct elf_image *img, const uint64_t *fresh_only, size_t count)
{
	uint64_t *sorted;
	struct buf b = {0};
	struct text_id id;
	size_t kept = 0;
	int err;

	if (count > SITES_MAX)
		return -EFBIG;
	sorted = calloc(count + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	if (count)
		memcpy(sorted, fresh_only, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), vaddr_cmp);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || sorted[i] != sorted[kept - 1])
			sorted[kept++] = sorted[i];
	text_id_of(img, &id);
	put_header(&b, &id, LEARNED_MAGIC, 0);
	put_u32(&b, (uint32_t)kept);
	for (size_t i = 0; i < kept; i++)
		put_u64(&b, sorted[i]);
	err = b.oom ? -ENOMEM : cache_file_write(&id, "learned", &b);
	buf_release(&b);
	free(sorted);
	return err;
}
