/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of `tmbpf sites`. */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/search.h"
#include "base/text.h"
#include "sites/sites.h"

static const char *const reg_names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					  "r8",	 "r9",	"r10", "r11", "r12", "r13", "r14", "r15"};

static const char *reg_name(uint8_t reg)
{
	return reg < 16 ? reg_names[reg] : "?";
}

/*
 * "_PyLong_New+0x130": the nearest function symbol before vaddr, "-" when there is none. In a stripped
 * file that is an exported one, good for finding the place, not the function it is in.
 */
static const char *near_symbol(const struct elf_image *img, uint64_t vaddr, char *out, size_t len)
{
	size_t after = first_index(i, img->symbol_count, img->symbols[i].vaddr > vaddr);

	while (after > 0 && img->symbols[after - 1].type != STT_FUNC)
		after--;
	if (after > 0)
		snprintf(out, len, "%s+0x%" PRIx64, img->symbols[after - 1].name,
			 vaddr - img->symbols[after - 1].vaddr);
	else
		snprintf(out, len, "-");
	return text_clean(out);
}

static void print_registers(FILE *out, const struct site *v, size_t count)
{
	size_t per_reg[16] = {0};
	const char *sep = "";

	for (size_t i = 0; i < count; i++)
		per_reg[v[i].reg & 15]++;
	for (unsigned r = 0; r < 16; r++) {
		if (!per_reg[r])
			continue;
		fprintf(out, "%s%s %zu", sep, reg_names[r], per_reg[r]);
		sep = ", ";
	}
	fputc('\n', out);
}

static void print_kind(FILE *out, const char *what, const char *held, const struct site *v,
		       size_t count)
{
	size_t strong = 0, after = 0;

	for (size_t i = 0; i < count; i++) {
		strong += v[i].evidence >= 2;
		after += v[i].after_pop;
	}
	fprintf(out, "  %-20s %5zu", what, count);
	if (count)
		fprintf(out, "  (%zu named by two independent signs%s", strong, after ? "" : ")");
	if (after)
		fprintf(out, ", %zu after the pop)", after);
	fputc('\n', out);
	if (!count)
		return;
	fprintf(out, "    %-24s ", held);
	print_registers(out, v, count);
}

static void print_proven(FILE *out, const struct site *v, size_t count)
{
	size_t proven = 0;

	for (size_t i = 0; i < count; i++)
		proven += v[i].fresh_proven;
	if (count)
		fprintf(out, "    %-24s %zu by decoding, on every path\n", "fresh objects only",
			proven);
}

static void print_refills(FILE *out, const struct python_sites *s)
{
	size_t slow = 0;

	for (size_t i = 0; i < s->refill_count; i++)
		slow += s->refills[i].single_step;
	fprintf(out, "    %-24s at %zu jumps after its calls", "its result",
		s->refill_count - slow);
	if (slow)
		fprintf(out, ", and at %zu single-stepped instructions where there is no jump",
			slow);
	fputc('\n', out);
}

static void print_list(FILE *out, const struct elf_image *img, const char *what,
		       const struct site *v, size_t count)
{
	char name[96], regs[16];

	for (size_t i = 0; i < count; i++) {
		if (v[i].after_pop || v[i].init)
			snprintf(regs, sizeof(regs), "%s,%s", reg_name(v[i].reg),
				 reg_name(v[i].reg2));
		else
			snprintf(regs, sizeof(regs), "%s", reg_name(v[i].reg));
		fprintf(out, "  %-6s 0x%-10" PRIx64 " %-7s %u  %-5s %s\n", what, v[i].vaddr, regs,
			v[i].evidence, v[i].fresh_proven ? "fresh" : "-",
			near_symbol(img, v[i].vaddr, name, sizeof(name)));
	}
}

int python_sites_print(FILE *out, const struct elf_image *img, const struct python_sites *s,
		       bool verbose)
{
	char name[96];

	fprintf(out, "python small-object allocator, build-id %s%s\n",
		img->build_id_len ? img->build_id_hex : "none",
		s->from_cache ? " (from cache)" : "");
	print_kind(out, "pop sites", "pool in", s->pops, s->pop_count);
	if (s->init_count)
		print_kind(out, "new-pool sites", "pool in", s->inits, s->init_count);
	print_kind(out, "new-reference sites", "object in", s->newrefs, s->newref_count);
	print_proven(out, s->newrefs, s->newref_count);
	if (s->newref_disagree)
		fprintf(out, "    %zu dropped: the two heuristics disagree on the register\n",
			s->newref_disagree);
	if (s->refill_vaddr) {
		fprintf(out,
			"  refill function      0x%" PRIx64 "  (%s; reached from %zu pop sites)\n",
			s->refill_vaddr, near_symbol(img, s->refill_vaddr, name, sizeof(name)),
			s->refill_calls);
		print_refills(out, s);
	}
	if (s->trace_word_vaddr)
		fprintf(out, "  trace word           0x%" PRIx64 "\n", s->trace_word_vaddr);
	fprintf(out, "  %s %s\n", s->pop_count ? "believed because:" : "not usable:", s->reason);
	if (verbose) {
		fprintf(out, "  kind   address      reg     signs proven nearest symbol\n");
		print_list(out, img, "pop", s->pops, s->pop_count);
		print_list(out, img, "init", s->inits, s->init_count);
		print_list(out, img, "refill", s->refills, s->refill_count);
		print_list(out, img, "newref", s->newrefs, s->newref_count);
	}
	return ferror(out) ? -EIO : 0;
}

static void print_results(FILE *out, const struct fn_site *f, bool verbose)
{
	static const char *const kinds[] = {
		[TM_RESULT_BLOCK] = "the block",
		[TM_RESULT_NOTHING] = "failed",
		[TM_RESULT_FORWARDED] = "goes on in another function",
		[TM_RESULT_BY_POINTER] = "status, the block by its pointer",
	};
	size_t slow = 0;

	for (size_t i = 0; i < f->results.count; i++)
		slow += f->results.v[i].single_step;
	if (!f->results.count) {
		fprintf(out, "    result: return probe, because %s\n", f->unproven);
		return;
	}
	fprintf(out, "    result: at %zu jumps inside, at most %u of them a call",
		f->results.count - slow, f->results.crossed);
	if (slow)
		fprintf(out, ", and at %zu single-stepped exits where no path has a jump", slow);
	fputc('\n', out);
	for (size_t i = 0; verbose && i < f->results.count; i++) {
		const struct result_site *r = &f->results.v[i];

		fprintf(out, "      0x%-10" PRIx64 " %-4s %s, return address at [rsp+%u]%s%s\n",
			r->vaddr, r->reg < 16 ? reg_names[r->reg] : "-", kinds[r->kind],
			r->sp_bytes, r->cc == TM_RESULT_ALWAYS ? "" : ", one way out only",
			r->single_step ? ", single-stepped" : "");
	}
}

static void print_fn(FILE *out, const char *name, const struct fn_site *f, bool verbose)
{
	if (!f->present)
		return;
	fprintf(out, "  %-16s 0x%-8" PRIx64 " probe at +0x%-3" PRIx64 " ", name, f->entry_vaddr,
		f->vaddr - f->entry_vaddr);
	if (f->single_step)
		fprintf(out, "single-stepped: expensive");
	else
		fprintf(out, "emulated, return address at [rsp+%u]", f->sp_bytes);
	fprintf(out, "%s\n", f->at_debugger ? "; a debugger breaks there, too" : "");
	if (f->results.count || f->unproven)
		print_results(out, f, verbose);
}

static void print_slow_calls(FILE *out, const struct elf_image *img, const struct libc_sites *s)
{
	char name[96];

	if (!s->slow_malloc.present)
		return;
	fprintf(out, "  stack known at %zu calls of the slow path\n", s->slow_call_count);
	for (size_t i = 0; i < s->slow_call_count; i++) {
		const struct slow_call *c = &s->slow_calls[i];

		fprintf(out,
			"  (slow call)      returns to 0x%-8" PRIx64
			" caller's address at [rsp+%u]  %s\n",
			c->ret_vaddr, c->up_bytes,
			near_symbol(img, c->ret_vaddr, name, sizeof(name)));
	}
}

static size_t return_probe_count(const struct libc_sites *s)
{
	size_t count = s->slow_malloc.present && !s->slow_malloc.results.count;

	for (int f = 0; f < TM_FN_COUNT; f++)
		count += s->fn[f].present && f != TM_FN_FREE && !s->fn[f].results.count;
	return count;
}

int libc_sites_print(FILE *out, const struct elf_image *img, const struct libc_sites *s,
		     bool verbose)
{
	fprintf(out, "C allocator, build-id %s\n", img->build_id_len ? img->build_id_hex : "none");
	for (int f = 0; f < TM_FN_COUNT; f++)
		print_fn(out, libc_fn_name((enum tm_fn)f), &s->fn[f], verbose);
	print_fn(out, "(slow malloc)", &s->slow_malloc, verbose);
	fprintf(out, "  %s\n", s->reason);
	fprintf(out, "  return probes: %zu\n", return_probe_count(s));
	if (!verbose)
		return ferror(out) ? -EIO : 0;
	print_slow_calls(out, img, s);
	for (int f = 0; f < TM_FN_COUNT; f++)
		if (!s->fn[f].present)
			fprintf(out, "  %-16s no probe: absent, an alias, or covered by another\n",
				libc_fn_name((enum tm_fn)f));
	return ferror(out) ? -EIO : 0;
}
