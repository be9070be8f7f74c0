/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Short walks over decoded code, against and along the flow of control. "Before" and "after" mean
 * by control flow, never by distance, because compilers move blocks about (profile-guided layout).
 */
#ifndef TM_SITES_FLOW_H
#define TM_SITES_FLOW_H

#include "sites/decode.h"

#define FLOW_SLOTS 8  /* stack words followed at a time */
#define FLOW_STACK 32 /* as flow_value.reg: the word at c(%rsp) at the start of the walk */

enum flow_step {
	FLOW_ON,   /* go on through this instruction */
	FLOW_CUT,  /* not this way */
	FLOW_DONE, /* found: end the whole walk */
};

/* A place of a backward walk: control was at idx, and reg holds our value after idx. */
struct flow_place {
	size_t idx;
	uint8_t reg;
	bool taken;    /* idx is a branch and control left it by its taken edge */
	unsigned left; /* instructions that the walk may still go back from here */
};

typedef enum flow_step (*flow_back_fn)(void *ctx, const struct code *code,
				       const struct flow_place *at);

/**
 * Visit what can run before `from`, up to `depth` instructions back on each path. The value in reg is
 * followed through register copies; a path ends where it is computed. Returns: true on FLOW_DONE.
 */
bool flow_back(const struct code *code, size_t from, uint8_t reg, unsigned depth, flow_back_fn fn,
	       void *ctx);

/* The content of a register or stack word, in terms of the registers at the start of the walk. */
struct flow_value {
	bool known; /* value = what register `reg` held + c; REG_NONE: the constant c; FLOW_STACK */
	uint8_t reg;
	int64_t c;
};

struct flow_state {
	struct flow_value reg[16];
	struct flow_value slot[FLOW_SLOTS]; /* at slot_disp(%rsp) */
	int32_t slot_disp[FLOW_SLOTS];
	unsigned slot_count;
	bool rsp_moved; /* slots of the start cannot be named any more */
};

/* st is the state before the instruction at idx. */
typedef enum flow_step (*flow_ahead_fn)(void *ctx, const struct code *code, size_t idx,
					const struct flow_state *st);

/**
 * Visit what can run from `from` on, up to `depth` instructions on each path, both ways at a
 * conditional jump (the fall-through first). Returns: true on FLOW_DONE.
 */
bool flow_ahead(const struct code *code, size_t from, unsigned depth, flow_ahead_fn fn, void *ctx);

#endif
