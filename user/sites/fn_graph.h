/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control flow of one function, followed instruction by instruction from its entry. A function is all
 * code that control reaches, not a range of addresses, because compilers put cold parts elsewhere in
 * the text. The stack depth tells its parts from other functions: a jump at depth 0 is a tail call.
 */
#ifndef TM_SITES_FN_GRAPH_H
#define TM_SITES_FN_GRAPH_H

#include "sites/decode.h"
#include "sites/stack_depth.h"
#include "target/elf_image.h"

#define FN_NODES_MAX 12000 /* instructions of one function that are followed */
#define FN_NODE_NONE UINT32_MAX

enum fn_exit {
	FN_INSIDE = 0,
	FN_RET,	 /* returns to the caller */
	FN_TAIL, /* first instruction of a function that was jumped to and has probes of its own */
	FN_HOOK, /* jumps through a pointer, to a function that is not known */
	FN_LOST, /* control goes where decoding cannot follow */
};

/*
 * Known values of one integer argument: glibc's __libc_message(action, ...) comes back or not by its
 * first argument. Two paths that meet keep what they agree on.
 */
struct fn_facts {
	uint16_t held;	    /* registers that hold the constant that the function was called with */
	bool taken_nonzero; /* ZF is clear: such a register was tested, and it is not 0 */
	bool rdi_known;
	int32_t rdi; /* the constant in rdi, for a call from here */
};

struct fn_node {
	uint64_t vaddr;
	uint64_t target;      /* of a direct branch or call */
	struct insn in;	      /* imm of a branch is meaningless here: use target */
	uint32_t next, taken; /* successors, FN_NODE_NONE = none */
	struct stack_place stack;
	struct fn_facts facts;
	uint8_t exit; /* enum fn_exit */
	bool queued;
};

#define FN_OTHERS_MAX 16

struct fn_scope { /* borrowed by the graphs built in it */
	const struct elf_image *img;
	uint64_t others[FN_OTHERS_MAX]; /* entries of functions with probes of their own */
	size_t other_count;
	struct callee_verdict { /* memo of fn_graph_build() */
		uint64_t vaddr;
		int32_t arg;
		uint8_t level;
		bool returns;
	} verdicts[1024];
	size_t verdict_count;
};

struct fn_graph {
	struct fn_node *nodes; /* nodes[0] is the entry */
	size_t count, cap;
	uint32_t *slots; /* hash of vaddr -> index + 1 */
	size_t slot_count;
	uint32_t *todo;
	size_t todo_count, todo_cap;
	struct code *windows; /* decoded stretches of text */
	size_t window_count, window_cap;
	int32_t arg; /* first argument of the call that is looked at, 0 = not known */
	bool cut;    /* longer than FN_NODES_MAX: nothing is proven by it */
};

/** Follow the function at vaddr. Returns: 0, -ENOENT (no code there), -ENOMEM. Owns: fn_graph_release(). */
int fn_graph_build(struct fn_scope *scope, uint64_t vaddr, struct fn_graph *out);
void fn_graph_release(struct fn_graph *g);

/** Is this the entry of a function with probes of its own? */
bool fn_scope_has(const struct fn_scope *scope, uint64_t vaddr);

/** Index of the node at vaddr, FN_NODE_NONE when control does not reach it. */
uint32_t fn_graph_find(const struct fn_graph *g, uint64_t vaddr);

/** Is vaddr libc's memset, or a PLT entry that leads to it? It returns its first argument. */
bool fn_is_memset(const struct elf_image *img, uint64_t vaddr);

/** Is vaddr a PLT entry: a jump through a pointer, after an optional endbr64? */
bool fn_is_plt_entry(const struct elf_image *img, uint64_t vaddr);

#endif
