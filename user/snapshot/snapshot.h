/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model between capture and everything else: what was alive at one moment, by stack, with what is
 * known about its completeness. Pure data; the capture side fills it, analyze and report read it.
 */
#ifndef TM_SNAPSHOT_SNAPSHOT_H
#define TM_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/intern.h"
#include "bpf/tmbpf.h" /* drop reasons */

enum snap_domain { SNAP_PYTHON = 0, SNAP_NATIVE = 1, SNAP_DOMAINS = 2 };

/*
 * tracemalloc's numbers for them (a C unsigned int), as they stand in its pickles and as a DomainFilter
 * names them: 0 is CPython's own, ours is "tmb" and a number, to avoid colliding with the numbers of
 * other libraries.
 */
#define SNAP_NUMBER_PYTHON 0u
#define SNAP_NUMBER_NATIVE 0x746d6201u
/* Domains of others in one snapshot: they are numbered from SNAP_DOMAINS. */
#define SNAP_FOREIGN_MAX 254

struct snap_frame {
	str_id_t file, function;
	int32_t line; /* 0 = none: a native frame, file = library, function = symbol */
};

struct snap_stack {		/* a distinct stack of one domain with what it holds now */
	uint32_t first_frame;	/* index into frames; innermost first */
	uint16_t frame_count;	/* 0: unknown stack */
	uint8_t domain;		/* enum snap_domain; from SNAP_DOMAINS on see foreign_domains */
	bool truncated;		/* cut at --frames */
	str_id_t thread;	/* 0: threads are not kept apart */
	uint64_t bytes, blocks; /* live now, born since attach */
	uint64_t alloc_bytes, alloc_blocks; /* allocated since attach, freed or not */
	uint64_t unfollowed_bytes;	    /* of bytes: struct snap_gap; not stored in files */
};

struct snap_coverage { /* per domain */
	bool known;
	uint64_t recorded; /* blocks born since attach and alive that have a record */
	uint64_t missed;   /* the same without a record */
	uint64_t moving;   /* pools that changed on every read: counted from the last read */
};

/* Probes were away for a while (--overhead): what was recorded before is not followed through it. */
struct snap_gap {
	int64_t from_ns; /* CLOCK_REALTIME; 0: there was none. The last one, if there were several */
	int64_t to_ns;	 /* 0: it goes on */
	bool malloc_only; /* only blocks of malloc are concerned */
	/*
	 * Upper bound of live bytes that were recorded before the gap, because a free in the gap goes unseen.
	 */
	uint64_t bytes, blocks;
};

/* slowdown_ratio ends here, because more cannot be measured; printed as "more than". */
#define SNAP_SLOWDOWN_MAX 9.0

struct snapshot {
	struct intern *strings; /* borrowed: belongs to the session */
	struct snap_frame *frames;
	size_t frame_count, frame_cap;
	struct snap_stack *stacks;
	size_t stack_count, stack_cap;
	uint64_t live_bytes, live_blocks;
	uint64_t rss_bytes;
	int64_t time_ns;       /* CLOCK_REALTIME */
	double elapsed_s;      /* since attach */
	double drain_s;	       /* how long reading the heap and the tables took */
	uint32_t seq;	       /* 1, 2, ... */
	const char *mode;      /* "exact", "pools" */
	double cost_cpu_ratio; /* of one CPU, this interval: events x calibrated ns; < 0 unknown */
	double slowdown_ratio; /* cost / (the target's CPU time - cost), this interval; < 0 unknown */
	double cost_uncertainty; /* +- relative, 0.2 = 20 % */
	uint64_t events;	 /* traps of this interval */
	struct snap_gap gap;
	struct snap_coverage coverage[SNAP_DOMAINS];
	uint64_t drops[TM_DROP_COUNT]; /* since attach, by reason */
	/* Numbers of the domains that are neither Python's nor ours; only a pickle has such. */
	uint32_t *foreign_domains;
	size_t foreign_count, foreign_cap;
};

struct snapshot *snapshot_new(struct intern *strings);
void snapshot_free(struct snapshot *s);
DEFINE_CLEANUP(struct snapshot *, snapshot_free);

/** Append a stack (frames copied). Returns: 0, -ENOMEM. Adds to live_bytes/live_blocks. */
int snapshot_add(struct snapshot *s, enum snap_domain domain, const struct snap_frame *frames,
		 size_t frame_count, bool truncated, uint64_t bytes, uint64_t blocks);

/* Add with the frames of an existing stack, which are shared. */
int snapshot_add_like(struct snapshot *s, enum snap_domain domain, size_t like, bool truncated,
		      uint64_t bytes, uint64_t blocks);

/** The domain for tracemalloc's number, made when it is new. Returns: 0, -ENOMEM, -ERANGE (too many). */
int snapshot_domain_of(struct snapshot *s, uint32_t number, uint8_t *domain);
/** "python" or "native". */
const char *snapshot_domain_name(enum snap_domain domain);
/** Is it a co_filename of Python code: a source, or a name in angles such as <string>? Else a mapped file. */
bool snapshot_file_is_python(const char *name, size_t len);

/** tracemalloc's number of a domain. */
uint32_t snapshot_domain_number(const struct snapshot *s, uint8_t domain);

#endif
