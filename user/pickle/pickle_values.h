/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values that the opcodes of a pickle make, on a stack and in the memo. A value is a few bytes: values
 * that no snapshot contains are kept as placeholders. Private to the pickle reader.
 */
#ifndef TM_PICKLE_PICKLE_VALUES_H
#define TM_PICKLE_PICKLE_VALUES_H

#include "base/idmap.h"
#include "pickle/pickle_read.h"

/* Limits: 32 M memoised objects are a snapshot of some 30 M blocks, in half a GiB of ours. */
#define PICKLE_MEMO_MAX	 (1u << 25)
#define PICKLE_STACK_MAX (1u << 16) /* CPython hands over 1,000 at a time */
#define PICKLE_NESTS_MAX (1u << 16) /* lists, and dicts; a snapshot has one and two */

enum pvalue_kind {
	PV_UNSET = 0,
	PV_MARK,
	PV_OPAQUE, /* whatever a snapshot is not made of */
	PV_INT,	   /* number: 0 to 2^63-1 */
	PV_STR,	   /* id: in values.names */
	PV_EMPTY_TUPLE,
	PV_FRAME,     /* (str, int): id: file, number: line */
	PV_TRACEBACK, /* (frame, ...): id: in values.tracebacks */
	PV_TRACE,     /* (domain, size, traceback[, frames]): id: in values.sums, number: size */
	PV_OLD_TRACE, /* (size, traceback), of Python 3.4 and 3.5 */
	PV_LIST,      /* id: in values.lists */
	PV_DICT,      /* id: in values.dicts */
	PV_SNAPSHOT_CLASS,
	PV_TRACES_CLASS,
	PV_SNAPSHOT, /* number: 1 = has its state */
	PV_TRACES,   /* number: 1 = has its state; id: its list */
};

struct pvalue {
	enum pvalue_kind kind;
	uint32_t id;
	uint64_t number;
};

struct ptraceback {
	uint32_t first, count; /* in values.frames, innermost first */
	uint32_t next;	       /* another one with the same hash, + 1; 0: none */
	uint32_t stored[2]; /* a stack of the snapshot with its frames, + 1; [1]: as native ones */
};

struct psum {		    /* all blocks of one traceback and domain */
	uint32_t traceback; /* + 1; 0: of a trace without frames */
	uint8_t domain;	    /* of struct snap_stack */
	bool truncated;
	uint64_t bytes, blocks;
};

struct plist {
	bool other; /* holds something that is not a trace */
	bool old;   /* ... namely a trace of Python 3.4 or 3.5 */
};

struct pdict { /* the values of the keys that a snapshot has */
	struct pvalue traces, limit;
};

struct pframe {
	str_id_t file; /* in values.names */
	int32_t line;
};

struct pickle_values {
	struct intern *names;	   /* owned: all short strings, also those that are no file names */
	struct snapshot *snapshot; /* borrowed: knows the domains */
	struct pickle_info *info;  /* borrowed: takes the reason */
	struct pvalue *stack, *memo;
	size_t stack_count, stack_cap, memo_count, memo_cap;
	struct plist *lists;
	size_t list_count, list_cap;
	struct pdict *dicts;
	size_t dict_count, dict_cap;
	struct pframe *frames;
	size_t frame_count, frame_cap;
	struct ptraceback *tracebacks;
	size_t traceback_count, traceback_cap;
	struct psum *sums;
	size_t sum_count, sum_cap;
	struct idmap *traceback_index; /* hash of the frames -> the first traceback with it */
	struct idmap *sum_index;       /* traceback, domain, truncated -> sum */
	uint32_t trace_list; /* + 1: the only list whose traces are counted; 0: none yet */
	uint64_t bytes;	     /* of all counted traces */
	str_id_t name_traces, name_traces_inner, name_limit, name_unknown;
};

/** Returns: 0, -ENOMEM. Borrows snapshot and info. */
int pickle_values_init(struct pickle_values *v, struct snapshot *snapshot,
		       struct pickle_info *info);
void pickle_values_release(struct pickle_values *v);

/* Set info->reason and return err. */
int pickle_fault(struct pickle_values *v, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Each Returns: 0; -EBADMSG, -EFBIG with a reason; -ENOMEM. */

int pickle_push(struct pickle_values *v, struct pvalue value);
/** The top of the stack, which must not be a mark. */
int pickle_top(struct pickle_values *v, struct pvalue **top);
int pickle_pop(struct pickle_values *v, struct pvalue *value);
/** Take everything down to the mark, and the mark; good until the next push. */
int pickle_pop_mark(struct pickle_values *v, const struct pvalue **items, size_t *count);
/** The last n values become a tuple. */
int pickle_pop_tuple(struct pickle_values *v, size_t n);
int pickle_push_tuple(struct pickle_values *v, const struct pvalue *items, size_t count);
int pickle_push_list(struct pickle_values *v);
int pickle_push_dict(struct pickle_values *v);
int pickle_list_append(struct pickle_values *v, const struct pvalue *list,
		       const struct pvalue *items, size_t count);
/** items: key, value, key, value. */
int pickle_dict_set(struct pickle_values *v, const struct pvalue *dict, const struct pvalue *items,
		    size_t count);
/** Numbers are given out in order, as every writer does. */
int pickle_memo_put(struct pickle_values *v, uint64_t number);
int pickle_memo_get(struct pickle_values *v, uint64_t number);

/** Put what was counted into the snapshot. Returns: 0, -ENOMEM. */
int pickle_values_store(struct pickle_values *v);

#endif
