/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does this line leak? A pure function over what the line held in each window of the time observed.
 * The rules and the reason of every threshold: docs/leak-verdict.md.
 */
#ifndef TM_ANALYZE_LEAKS_H
#define TM_ANALYZE_LEAKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyze/leaks_trend.h"

#define LEAKS_WINDOWS_MAX   60 /* 12 x 5: also looked at in twelve coarse windows */
#define LEAKS_SNAPSHOTS_MIN 3

enum leak_verdict {
	LEAK_YES = 0,
	LEAK_UNKNOWN = 1,
	LEAK_PLATEAU = 2,
	LEAK_CHURN = 3,
	LEAK_WARM_UP = 4,
	LEAK_VERDICTS = 5,
};

enum leak_why {				/* what decided; the report words it */
		LEAK_WHY_KEEPS_GROWING, /* LEAK */
		LEAK_WHY_FEW_BUT_EVEN,	/* LEAK from fewer windows than chance would need */
		LEAK_WHY_SHORT,		/* UNKNOWN: grows, but for less than a third of the time */
		LEAK_WHY_FEW,	   /* UNKNOWN: grew, in too few steps or too unevenly to tell */
		LEAK_WHY_PAUSED,   /* UNKNOWN: stands still for longer than ever before */
		LEAK_WHY_SLOWING,  /* UNKNOWN: still grows, much slower than before */
		LEAK_WHY_LOSSES,   /* UNKNOWN: what was not recorded may explain the growth */
		LEAK_WHY_STOPPED,  /* PLATEAU, WARM-UP: grew, then stopped */
		LEAK_WHY_FLAT,	   /* WARM-UP: held all it holds before the first snapshot */
		LEAK_WHY_RELEASED, /* PLATEAU, WARM-UP: only fell */
		LEAK_WHY_SWINGS,   /* CHURN: what it holds goes up and down */
		LEAK_WHY_TURNOVER, /* CHURN: level, but allocated many times over */
		LEAK_WHYS
};

struct leak_line {		/* what one line held; windows without a snapshot are left out */
	const int64_t *time_ns; /* of each window, ascending: mean of its snapshots */
	const uint64_t *low, *high; /* least and most bytes held in each window */
	size_t count;		    /* windows, at most LEAKS_WINDOWS_MAX */
	uint64_t first, last;	    /* bytes at the first and the last snapshot */
	double fell_bytes;	    /* sum of all decreases from snapshot to snapshot */
	double alloc_bytes;   /* allocated from the first to the last snapshot; < 0: unknown */
	double missing_ratio; /* largest share of the domain's blocks without a record, 0..1 */
	uint64_t grain_bytes; /* growth below this is none: a page, or four pools in pools mode */
};

struct leak_finding {
	enum leak_verdict verdict;
	enum leak_why why;
	bool trend_known;     /* not for CHURN, where a fitted line would mean nothing */
	struct trend trend;   /* of the window minima since `since_ns` */
	uint64_t kept_bytes;  /* growth that was never given back */
	uint64_t level_bytes; /* held at the last snapshot */
	uint64_t peak_bytes, bottom_bytes; /* most and least that was seen */
	double span_s;			   /* time observed */
	int64_t since_ns; /* growth began (LEAK, SHORT); it is flat from here (PLATEAU, WARM-UP) */
	double turnover;  /* times its peak that it allocated; < 0 unknown */
	bool lossy;	  /* coverage below 99 % in a snapshot: must be printed with a LEAK */
};

/**
 * Needs: count >= LEAKS_SNAPSHOTS_MIN, else the verdict is UNKNOWN (FEW). No allocation, no state.
 */
void leak_judge(const struct leak_line *line, struct leak_finding *out);

/** "LEAK", "PLATEAU", "CHURN", "WARM-UP", "UNKNOWN". */
const char *leak_verdict_name(enum leak_verdict v);

#endif
