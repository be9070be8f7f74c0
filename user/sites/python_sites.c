/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All sites of one interpreter, and the rules under which a match is believed. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sites/fresh.h"
#include "sites/pool_init.h"
#include "sites/python_newrefs.h"
#include "sites/python_pops.h"
#include "sites/site_check.h"
#include "sites/site_proof.h"
#include "sites/sites.h"
#include "target/py_offsets.h"

#define REFILL_VOTES_PCT 80 /* of the pop sites must agree on the refill function */
#define REFILL_MISS_PCT	 2  /* of its calls may lie outside the pop sites (rounded up) */

/* Instructions to both sides of a site. 16 are enough for Debian's 3.11: 12 % of its text. */
static const size_t proof_reach[] = {16, 48, 160};

__attribute__((format(printf, 2, 3))) static int reject(struct python_sites *s, const char *fmt,
							...)
{
	char text[SITES_REASON_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	python_sites_release(s);
	*s = (struct python_sites){.refill_calls = 0};
	memcpy(s->reason, text, sizeof(text));
	return -ENOENT;
}

/* Every site must lie in an executable segment, on an instruction that the kernel emulates. */
static const struct site *first_unsound(const struct elf_image *img, struct site *v, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!elf_image_file_off(img, v[i].vaddr, &v[i].file_off) ||
		    !site_is_sound(img, &v[i]))
			return &v[i];
	return NULL;
}

/* Where what the refill function returns is seen: after each call of it, else at its rets. */
static int take_refill_results(const struct elf_image *img, const struct code *code, uint64_t vaddr,
			       struct python_sites *s)
{
	struct site_list list = {0};
	size_t uncovered;
	int err = refill_results_find(code, vaddr, &list, &uncovered);

	if (!err && uncovered) {
		site_list_release(&list);
		err = refill_rets_find(img, vaddr, &list);
	}
	if (!err && (!list.count || first_unsound(img, list.v, list.count)))
		err = -ENOENT;
	if (err) {
		site_list_release(&list);
		return err;
	}
	s->refills = list.v;
	s->refill_count = list.count;
	return 0;
}

/* Set the refill function when it is certain; otherwise set `doubt` to the cause. */
static bool take_refill(const struct elf_image *img, const struct code *code,
			const struct refill *r, struct python_sites *s,
			char doubt[SITES_REASON_LEN])
{
	size_t idx = r->vaddr ? decode_find(code, r->vaddr) : CODE_NONE;

	*doubt = '\0';
	if (!r->vaddr)
		snprintf(doubt, SITES_REASON_LEN,
			 "%zu pop sites, but none leads to a call: no refill function",
			 s->pop_count);
	else if (r->votes * 100 < s->pop_count * REFILL_VOTES_PCT || r->best_other * 4 > r->votes)
		snprintf(doubt, SITES_REASON_LEN,
			 "no single refill function: of %zu pop sites %zu reach 0x%" PRIx64
			 ", %zu another one",
			 s->pop_count, r->votes, r->vaddr, r->best_other);
	else if (r->calls_missed * 100 > r->calls * REFILL_MISS_PCT + 99)
		snprintf(doubt, SITES_REASON_LEN,
			 "%zu of %zu calls of the refill function 0x%" PRIx64
			 " do not follow a pop site",
			 r->calls_missed, r->calls, r->vaddr);
	else if (!is_function_entry(code, idx))
		snprintf(doubt, SITES_REASON_LEN,
			 "refill target 0x%" PRIx64 " does not look like a function", r->vaddr);
	if (!*doubt && take_refill_results(img, code, r->vaddr, s))
		snprintf(doubt, SITES_REASON_LEN,
			 "no place to see what the refill function 0x%" PRIx64 " returns",
			 r->vaddr);
	if (*doubt)
		return false;
	if (code->insns[idx].op == OP_ENDBR && decode_next(code, idx) != CODE_NONE)
		idx++;
	s->refill_vaddr = insn_vaddr(code, idx);
	s->refill_calls = r->votes;
	snprintf(s->reason, sizeof(s->reason),
		 "%zu pop sites; %zu of %zu calls of refill 0x%" PRIx64 " after them;  ",
		 s->pop_count, r->calls - r->calls_missed, r->calls, r->vaddr);
	return true;
}

/*
 * No refill function: the allocator sets up the pool itself, up to 3.8 by its source, later where a compiler
 * inlined that function (clang with link-time optimization). doubt: why there is none, where there ought to
 * be; then every way into a new pool must have its jump.
 */
static int find_inits(const struct elf_image *img, const struct code *code, const char *doubt,
		      struct python_sites *s)
{
	struct site_list list = {0};
	const struct site *bad;
	size_t uncovered;
	int err = pool_inits_find(code, &list, &uncovered);

	s->inits = list.v;
	s->init_count = list.count;
	if (err == -EFBIG)
		return reject(s, "more than %d places that set up a pool", SITES_MAX);
	if (err)
		return err;
	bad = first_unsound(img, s->inits, s->init_count);
	if (*doubt && (!s->init_count || uncovered || bad))
		return reject(s, "%s", doubt);
	if (!s->init_count)
		return reject(s, "%zu pop sites, but no place where a new pool is set up",
			      s->pop_count);
	if (bad)
		return reject(s, "set-up site 0x%" PRIx64 " is not on an emulated jump",
			      bad->vaddr);
	snprintf(s->reason, sizeof(s->reason),
		 "%zu pop sites; %zu ways into a new pool, %zu without a jump to probe; ",
		 s->pop_count, s->init_count, uncovered);
	return 0;
}

static int find_pops(const struct elf_image *img, const struct code *code, unsigned minor,
		     struct python_sites *s, struct pop_blocks *blocks)
{
	struct site_list pops = {0};
	const struct site *bad;
	struct refill refill = {0};
	char doubt[SITES_REASON_LEN] = "";
	const struct py_offsets *row = py_offsets_get(minor, false);
	bool has_refill = !row || !row->inline_pool_init;
	int err = pops_find_blocks(code, &pops, blocks);

	if (!err && pops.count && has_refill)
		err = refill_find(code, &pops, &refill);
	s->pops = pops.v;
	s->pop_count = pops.count;
	if (err == -EFBIG)
		return reject(s, "more than %d pop sites: the anchor matched something else",
			      SITES_MAX);
	if (err)
		return err;
	if (s->pop_count == 0)
		return reject(s, "no pop site: no increment of a pool header in %zu instructions",
			      code->count);
	bad = first_unsound(img, s->pops, s->pop_count);
	if (bad)
		return reject(s, "pop site 0x%" PRIx64 " is not on an emulated jump", bad->vaddr);
	if (has_refill && take_refill(img, code, &refill, s, doubt))
		return 0;
	return find_inits(img, code, doubt, s);
}

/* The function's first instruction again, because refill_vaddr is after its endbr64. */
static uint64_t refill_entry(const struct code *code, const struct python_sites *s)
{
	size_t idx = decode_find(code, s->refill_vaddr);

	return idx != CODE_NONE && idx > 0 && code->insns[idx - 1].op == OP_ENDBR &&
			       decode_next(code, idx - 1) == idx
		       ? insn_vaddr(code, idx - 1)
		       : s->refill_vaddr;
}

/* New-reference sites are worth having, but their absence is no failure: lines get less exact. */
static int find_newrefs(const struct elf_image *img, const struct code *code, unsigned minor,
			struct python_sites *s)
{
	size_t used = strlen(s->reason), room = sizeof(s->reason) - used;
	struct newref_stats stats = {0};
	struct site_list list = {0};
	struct trace_word word;
	int err;

	if (trace_word_find(img, code, minor, &word)) {
		snprintf(s->reason + used, room, "no trace word");
		return 0;
	}
	s->trace_word_vaddr = word.vaddr;
	err = newrefs_find(code, &word, &list, &stats);
	if (err == -ENOMEM || err == -EFBIG || first_unsound(img, list.v, list.count)) {
		site_list_release(&list);
		snprintf(s->reason + used, room, "new-reference sites rejected: not credible");
		return err == -ENOMEM ? err : 0;
	}
	s->newrefs = list.v;
	s->newref_count = list.count;
	s->newref_disagree = stats.disagree;
	snprintf(s->reason + used, room, "%zu new-reference sites of %zu tests (%zu disagree)",
		 list.count, stats.reads, stats.disagree);
	return 0;
}

/* Pops, refill and new references of decoded text. Returns: 0, -ENOENT (reason is set), -ENOMEM. */
static int find_in_code(const struct elf_image *img, const struct code *code, unsigned minor,
			struct python_sites *s, struct pop_blocks *blocks)
{
	int err = find_pops(img, code, minor, s, blocks);

	return err ? err : find_newrefs(img, code, minor, s);
}

int python_sites_find_in(const struct elf_image *img, unsigned minor,
			 const struct code_range *ranges, size_t count, struct python_sites *out)
{
	struct pop_blocks blocks = {0};
	struct python_sites s = {0};
	struct code code;
	int err = decode_ranges(img, ranges, count, &code);

	if (err)
		return err;
	err = find_in_code(img, &code, minor, &s, &blocks);
	pop_blocks_release(&blocks);
	decode_release(&code);
	if (err)
		python_sites_release(&s);
	else
		*out = s;
	return err;
}

/* Keep the shortest stretches that show the same sites; without any the sites cannot be kept in a cache. */
static int find_proof(const struct elf_image *img, const struct code *code, unsigned minor,
		      struct python_sites *s)
{
	for (size_t i = 0; i < ARRAY_LEN(proof_reach); i++) {
		struct python_sites again = {0};
		struct code_range *ranges = NULL;
		size_t count = 0;
		int err = proof_ranges(img, code, s, proof_reach[i], &ranges, &count);
		bool same = !err && !python_sites_find_in(img, minor, ranges, count, &again) &&
			    proof_agrees(s, &again);

		python_sites_release(&again);
		if (same) {
			s->proof = ranges;
			s->proof_count = count;
			return 0;
		}
		free(ranges);
		if (err == -ENOMEM)
			return err;
	}
	return 0;
}

int python_sites_find(const struct elf_image *img, unsigned minor, struct python_sites *out)
{
	struct pop_blocks blocks = {0};
	struct python_sites s = {0};
	struct code code;
	int err = decode_image(img, &code);

	if (err == -ENOENT || err == -EFBIG) {
		reject(&s,
		       err == -EFBIG ? "text is too large or overlaps" : "no executable segment");
		*out = s;
		return err == -EFBIG ? -EBADMSG : -ENOENT;
	}
	if (err)
		return err;
	err = find_in_code(img, &code, minor, &s, &blocks);
	if (!err && s.newref_count)
		err = fresh_prove(img, &code, &blocks, refill_entry(&code, &s), s.newrefs,
				  s.newref_count);
	if (!err)
		err = find_proof(img, &code, minor, &s);
	pop_blocks_release(&blocks);
	decode_release(&code);
	if (err && err != -ENOENT) {
		python_sites_release(&s);
		return err;
	}
	*out = s; /* on -ENOENT only the reason is set */
	return err;
}

void python_sites_release(struct python_sites *s)
{
	free(s->pops);
	free(s->newrefs);
	free(s->inits);
	free(s->refills);
	free(s->proof);
	*s = (struct python_sites){0};
}
