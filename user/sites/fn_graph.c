/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/fn_graph.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "sites/site_check.h"

#define WINDOW_BYTES  1024 /* decoded at a time */
#define WINDOWS_MAX   512
#define INSN_MAX      15 /* bytes of the longest instruction; Intel SDM vol. 2, 2.3.11 */
#define CALLEE_LEVELS 2
#define CALLEE_NODES  1500 /* a callee that is longer is taken to return */
#define PLT_BYTES     16   /* System V ABI 5.2 */
#define PLT_RELOCS    4096

/* First bytes of a PLT entry: jmp *mem, bnd jmp *mem, endbr64; Intel SDM vol. 2, appendix A */
#define OPCODE_GROUP5 0xff
#define PREFIX_BND    0xf2
#define PREFIX_ENDBR  0xf3

/* Functions that never return, by name: where the search for such callees ends. */
static const char *const noreturn_names[] = {
	"abort",
	"exit",
	"_exit",
	"__assert_fail",
	"__assert",
	"__chk_fail",
	"__stack_chk_fail",
	"__libc_fatal",
	"__fortify_fail",
	"longjmp",
	"__longjmp_chk",
	"Py_FatalError",
	"_Py_FatalErrorFunc",
};

static uint64_t vaddr_hash(uint64_t vaddr)
{
	return hash_finish(vaddr);
}

uint32_t fn_graph_find(const struct fn_graph *g, uint64_t vaddr)
{
	for (uint64_t h = vaddr_hash(vaddr);; h++) {
		uint32_t at = g->slots[h & (g->slot_count - 1)];

		if (!at)
			return FN_NODE_NONE;
		if (g->nodes[at - 1].vaddr == vaddr)
			return at - 1;
	}
}

static void slot_set(struct fn_graph *g, uint32_t idx)
{
	uint64_t h = vaddr_hash(g->nodes[idx].vaddr);

	while (g->slots[h & (g->slot_count - 1)])
		h++;
	g->slots[h & (g->slot_count - 1)] = idx + 1;
}

/* The file bytes at vaddr, as many as its segment has, up to WINDOW_BYTES. */
static const uint8_t *window_bytes(const struct elf_image *img, uint64_t vaddr, size_t *len)
{
	if (!address_is_code(img, vaddr))
		return NULL;
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];
		uint64_t left = s->file_len - (vaddr - s->vaddr);

		if (!s->exec || vaddr < s->vaddr || vaddr - s->vaddr >= s->file_len)
			continue;
		*len = left < WINDOW_BYTES ? left : WINDOW_BYTES;
		return elf_image_bytes(img, vaddr, *len);
	}
	return NULL;
}

/* Its last instructions may be cut off, unless the segment ends there. */
static bool window_has(const struct elf_image *img, const struct code *w, uint64_t vaddr,
		       size_t *idx)
{
	const struct insn *last = &w->insns[w->count - 1];
	uint64_t end = w->base_vaddr + last->off + last->len;

	*idx = decode_find(w, vaddr);
	return *idx != CODE_NONE && (vaddr + INSN_MAX <= end || !address_is_code(img, end));
}

/* Decode the instruction at vaddr. Returns: 0, -ENOENT, -ENOMEM, -EFBIG. */
static int insn_fetch(const struct elf_image *img, struct fn_graph *g, struct fn_node *n)
{
	struct code *bigger, *w;
	const uint8_t *p;
	size_t len, idx;
	int err;

	for (size_t i = g->window_count; i-- > 0;) {
		if (!window_has(img, &g->windows[i], n->vaddr, &idx))
			continue;
		n->in = g->windows[i].insns[idx];
		n->target = insn_target_vaddr(&g->windows[i], idx);
		return 0;
	}
	p = window_bytes(img, n->vaddr, &len);
	if (!p)
		return -ENOENT;
	if (g->window_count == WINDOWS_MAX)
		return -EFBIG;
	bigger = array_grow(g->windows, &g->window_cap, g->window_count + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	g->windows = bigger;
	w = &g->windows[g->window_count];
	err = decode_bytes(p, len, n->vaddr, w);
	if (err)
		return err;
	g->window_count++;
	if (!w->count)
		return -ENOENT;
	n->in = w->insns[0];
	n->target = insn_target_vaddr(w, 0);
	return 0;
}

static int todo_push(struct fn_graph *g, uint32_t idx)
{
	uint32_t *bigger;

	if (g->nodes[idx].queued)
		return 0;
	bigger = array_grow(g->todo, &g->todo_cap, g->todo_count + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	g->todo = bigger;
	g->todo[g->todo_count++] = idx;
	g->nodes[idx].queued = true;
	return 0;
}

/* The facts after the instruction. */
static struct fn_facts facts_after(const struct fn_graph *g, const struct fn_node *n)
{
	const struct insn *in = &n->in;
	struct fn_facts f = n->facts;
	bool from_held =
		in->src == OPERAND_REG && in->src_reg < 16 && (n->facts.held >> in->src_reg & 1);

	f.held &= (uint16_t)~in->writes;
	if (in->dst == OPERAND_REG && in->dst_reg < 16 && in->width >= 4) {
		bool kept = in->op == OP_AND && in->src == OPERAND_IMM &&
			    (n->facts.held >> in->dst_reg & 1) && (g->arg & in->imm) == g->arg;

		if ((in->op == OP_MOV && from_held) || kept)
			f.held |= (uint16_t)(1u << in->dst_reg);
		if (in->op == OP_TEST && from_held && in->src_reg == in->dst_reg)
			f.taken_nonzero = true;
		else if (in->flags & INSN_FLAGS_WRITE)
			f.taken_nonzero = false;
	} else if (in->flags & INSN_FLAGS_WRITE || in->op == OP_CALL || in->op == OP_CALL_IND) {
		f.taken_nonzero = false;
	}
	if (insn_writes(in, REG_RDI)) {
		f.rdi_known = in->op == OP_MOV && in->src == OPERAND_IMM && in->width >= 4 &&
			      in->imm > 0 && in->imm <= INT16_MAX;
		f.rdi = f.rdi_known ? (int32_t)in->imm : 0;
	}
	return f;
}

static bool facts_merge(struct fn_facts *at, const struct fn_facts *from)
{
	struct fn_facts was = *at;

	at->held &= from->held;
	at->taken_nonzero &= from->taken_nonzero;
	at->rdi_known &= from->rdi_known && at->rdi == from->rdi;
	return at->held != was.held || at->taken_nonzero != was.taken_nonzero ||
	       at->rdi_known != was.rdi_known;
}

/* Control reaches vaddr in the state of `from` (stack and facts). Out: *idx, its node. */
static int node_reach(const struct fn_scope *scope, struct fn_graph *g, uint64_t vaddr,
		      const struct fn_node *from, uint32_t *idx)
{
	struct fn_node *bigger;
	bool changed;
	int err;

	*idx = fn_graph_find(g, vaddr);
	if (*idx != FN_NODE_NONE) {
		changed = stack_merge(&g->nodes[*idx].stack, &from->stack);
		changed |= facts_merge(&g->nodes[*idx].facts, &from->facts);
		return changed ? todo_push(g, *idx) : 0;
	}
	if (g->count >= FN_NODES_MAX) {
		g->cut = true;
		return 0;
	}
	bigger = array_grow(g->nodes, &g->cap, g->count + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	g->nodes = bigger;
	g->nodes[g->count] = (struct fn_node){.vaddr = vaddr,
					      .next = FN_NODE_NONE,
					      .taken = FN_NODE_NONE,
					      .stack = from->stack,
					      .facts = from->facts};
	err = insn_fetch(scope->img, g, &g->nodes[g->count]);
	if (err == -ENOENT || err == -EFBIG) {
		g->nodes[g->count].exit = FN_LOST;
		err = 0;
	}
	if (err)
		return err;
	*idx = (uint32_t)g->count++;
	slot_set(g, *idx);
	return todo_push(g, *idx);
}

bool fn_scope_has(const struct fn_scope *scope, uint64_t vaddr)
{
	for (size_t i = 0; i < scope->other_count; i++)
		if (scope->others[i] == vaddr)
			return true;
	return false;
}

static bool is_other_entry(const struct fn_scope *scope, const struct fn_graph *g, uint64_t vaddr)
{
	if (vaddr == g->nodes[0].vaddr)
		return false;
	return fn_scope_has(scope, vaddr) || fn_is_memset(scope->img, vaddr) ||
	       fn_is_plt_entry(scope->img, vaddr);
}

/* Does control leave the function at this node? */
static enum fn_exit exit_of(const struct fn_scope *scope, const struct fn_graph *g,
			    const struct fn_node *n, bool is_branched_to)
{
	bool outermost = n->stack.depth == 0 || n->stack.depth == STACK_LOST;

	if (outermost && is_branched_to && is_other_entry(scope, g, n->vaddr))
		return FN_TAIL;
	switch (n->in.op) {
	case OP_RET:
		return outermost ? FN_RET : FN_INSIDE;
	case OP_JMP_IND:
		return n->stack.depth == 0 ? FN_HOOK : FN_LOST;
	case OP_BAD:
		return FN_LOST;
	default:
		return FN_INSIDE;
	}
}

static int graph_follow(struct fn_scope *scope, struct fn_graph *g, unsigned level);

static int graph_start(const struct fn_scope *scope, uint64_t vaddr, int32_t arg,
		       struct fn_graph *g)
{
	const struct fn_node entry = {
		.stack = {.depth = 0, .frame = STACK_LOST},
		.facts = {.held = arg ? (uint16_t)(1u << REG_RDI) : (uint16_t)0}};
	uint32_t idx;

	*g = (struct fn_graph){.slot_count = 2 * 16384, .arg = arg};
	if (!address_is_code(scope->img, vaddr))
		return -ENOENT;
	g->slots = calloc(g->slot_count, sizeof(*g->slots));
	return g->slots ? node_reach(scope, g, vaddr, &entry, &idx) : -ENOMEM;
}

static bool has_exit(const struct fn_graph *g)
{
	for (size_t i = 0; i < g->count; i++)
		if (g->nodes[i].exit)
			return true;
	return false;
}

static bool is_named_noreturn(const struct elf_image *img, uint64_t vaddr)
{
	for (size_t i = 0; i < ARRAY_LEN(noreturn_names); i++) {
		const struct elf_symbol *sym = elf_image_symbol(img, noreturn_names[i]);

		if (sym && sym->vaddr == vaddr)
			return true;
	}
	return false;
}

/*
 * Does a callee come back? One that ends in a call of abort() has no way to a ret at depth 0: what
 * follows that call in memory is another function, and runs at the wrong depth.
 */
static bool callee_returns(struct fn_scope *scope, uint64_t vaddr, int32_t arg, unsigned level)
{
	struct fn_graph g;
	bool returns;

	for (size_t i = 0; i < scope->verdict_count; i++)
		if (scope->verdicts[i].vaddr == vaddr && scope->verdicts[i].arg == arg &&
		    scope->verdicts[i].level == level)
			return scope->verdicts[i].returns;
	if (is_named_noreturn(scope->img, vaddr)) {
		returns = false;
	} else {
		returns = graph_start(scope, vaddr, arg, &g) || graph_follow(scope, &g, level) ||
			  has_exit(&g) || g.cut;
		fn_graph_release(&g);
	}
	if (scope->verdict_count < ARRAY_LEN(scope->verdicts))
		scope->verdicts[scope->verdict_count++] =
			(struct callee_verdict){vaddr, arg, (uint8_t)level, returns};
	return returns;
}

/* Callees of callees are looked into, too; below them only the names tell. */
static bool comes_back(struct fn_scope *scope, const struct fn_node *n, unsigned level)
{
	if (n->in.op != OP_CALL)
		return true;
	if (level == CALLEE_LEVELS)
		return !is_named_noreturn(scope->img, n->target);
	return callee_returns(scope, n->target, n->facts.rdi_known ? n->facts.rdi : 0, level + 1);
}

/* Follow control until nothing changes. A node is visited again when its stack is lost: at most 3 times. */
static int graph_follow(struct fn_scope *scope, struct fn_graph *g, unsigned level)
{
	int err = 0;

	while (g->todo_count && !g->cut && !err) {
		uint32_t idx = g->todo[--g->todo_count], to;
		struct fn_node n = g->nodes[idx];
		const struct fn_node after = {.stack = stack_after(&n.in, &n.stack),
					      .facts = facts_after(g, &n)};

		g->nodes[idx].queued = false;
		if (n.exit != FN_LOST && n.exit != FN_TAIL)
			n.exit = (uint8_t)exit_of(scope, g, &n, idx > 0);
		g->nodes[idx].exit = n.exit;
		if (level && (n.exit || g->count > CALLEE_NODES)) {
			g->cut |= !n.exit;
			return 0;
		}
		if (n.exit)
			continue;
		if (decode_falls_through(&n.in) && comes_back(scope, &n, level) &&
		    !(n.facts.taken_nonzero && n.in.op == OP_JCC && n.in.cc == CC_NE)) {
			err = node_reach(scope, g, n.vaddr + n.in.len, &after, &to);
			g->nodes[idx].next = to;
		}
		if (!err && (n.in.op == OP_JCC || n.in.op == OP_JMP) &&
		    !(n.facts.taken_nonzero && n.in.op == OP_JCC && n.in.cc == CC_E)) {
			err = node_reach(scope, g, n.target, &after, &to);
			g->nodes[idx].taken = to;
		}
	}
	return err;
}

int fn_graph_build(struct fn_scope *scope, uint64_t vaddr, struct fn_graph *out)
{
	int err = graph_start(scope, vaddr, 0, out);

	if (!err)
		err = graph_follow(scope, out, 0);
	if (err)
		fn_graph_release(out);
	return err;
}

void fn_graph_release(struct fn_graph *g)
{
	for (size_t i = 0; i < g->window_count; i++)
		decode_release(&g->windows[i]);
	free(g->windows);
	free(g->nodes);
	free(g->slots);
	free(g->todo);
	*g = (struct fn_graph){.cut = true};
}

/* The jump through a pointer that a PLT entry is. Out: *slot, the address of the pointer. */
static bool plt_slot(const struct elf_image *img, uint64_t vaddr, uint64_t *slot)
{
	const uint8_t *p =
		address_is_code(img, vaddr) ? elf_image_bytes(img, vaddr, PLT_BYTES) : NULL;
	struct code stub;
	bool found = false;
	size_t k = 0;

	if (!p || (p[0] != OPCODE_GROUP5 && p[0] != PREFIX_BND && p[0] != PREFIX_ENDBR))
		return false;
	if (decode_bytes(p, PLT_BYTES, vaddr, &stub))
		return false;
	if (stub.count > 1 && stub.insns[0].op == OP_ENDBR)
		k = 1;
	if (k < stub.count && stub.insns[k].op == OP_JMP_IND)
		found = decode_mem_vaddr(&stub, &stub.insns[k], slot);
	decode_release(&stub);
	return found;
}

bool fn_is_plt_entry(const struct elf_image *img, uint64_t vaddr)
{
	uint64_t slot;

	return plt_slot(img, vaddr, &slot);
}

/* Which function an IRELATIVE relocation (System V ABI x86-64, table 4.9) fills the slot from. */
static uint64_t slot_resolver(const struct elf_image *img, uint64_t slot)
{
	uint64_t vaddr, off, len;

	if (!elf_image_section(img, ".rela.plt", &vaddr, &off, &len))
		return 0;
	if (len > PLT_RELOCS * sizeof(Elf64_Rela))
		len = PLT_RELOCS * sizeof(Elf64_Rela);
	const uint8_t *table = elf_image_at(img, off, len);

	for (uint64_t i = 0; table && i < len / sizeof(Elf64_Rela); i++) {
		Elf64_Rela rel;

		memcpy(&rel, table + i * sizeof(rel), sizeof(rel));
		if (rel.r_offset == slot && ELF64_R_TYPE(rel.r_info) == R_X86_64_IRELATIVE)
			return (uint64_t)rel.r_addend;
	}
	return 0;
}

bool fn_is_memset(const struct elf_image *img, uint64_t vaddr)
{
	const struct elf_symbol *sym = elf_image_symbol(img, "memset");
	uint64_t slot;

	if (!sym)
		return false;
	return sym->vaddr == vaddr ||
	       (plt_slot(img, vaddr, &slot) && slot_resolver(img, slot) == sym->vaddr);
}
