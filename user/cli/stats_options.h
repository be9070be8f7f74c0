/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options that `report`, `diff` and `leaks` share: grouping, filters, output. */
#ifndef TM_CLI_STATS_OPTIONS_H
#define TM_CLI_STATS_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "analyze/selection.h"
#include "analyze/stats.h"
#include "report/report_stats.h"

struct stats_options {
	enum stat_key by;
	bool is_cumulative;
	enum stat_cumulative cumulative; /* given; STAT_OWN: what suits the key */
	const char *sort;		 /* as given; NULL: the default of the verb */
	unsigned top;			 /* 0 = all */
	bool has_limit;
	int64_t limit; /* --limit-frames */
	bool most_recent_first, source, json;
	double max_lost; /* ratio; < 0: not asked */

	struct filter_spec *filters; /* patterns are borrowed from argv or owned by `patterns` */
	size_t filter_count, filter_cap;
	char **patterns; /* cut from GLOB:LINE */
	size_t pattern_count, pattern_cap;
	bool all_frames, no_default_filters;
	const char *suppressions; /* file; NULL: none */
};

/** Defaults; then argp_parse() with stats_options_argp as a child whose input it is. */
void stats_options_init(struct stats_options *o);
void stats_options_release(struct stats_options *o);
extern const struct argp stats_options_argp;
/**
 * The options of these names, for a verb that does not have all of them. out has room for count and for an
 * end.
 */
void stats_options_take(const char *const *names, size_t count, struct argp_option *out);

/** The grouping that the options ask for. sort is the verb's. */
struct stat_opts stats_options_grouping(const struct stats_options *o);

/**
 * Build the filters; the usual ones of importlib are among them unless --no-default-filters.
 * Returns: 0, -ENOMEM (logged). Owns: *out.
 */
int stats_options_filters(const struct stats_options *o, struct filter_set **out);

/**
 * Read the suppressions.
 * Returns: 0, *out NULL when there are none to read; what open(2) and read(2) give (E321), -EBADMSG
 * (E322); all logged. Owns: *out.
 */
int stats_options_suppressions(const struct stats_options *o, struct suppressions **out);

/** How it is to be shown; source is borrowed, and NULL without --source. sort: name of the order. */
struct stats_view stats_options_view(const struct stats_options *o, const char *sort,
				     struct source_lines *source);

/**
 * --max-lost for one side.
 * Returns: 0; -ENODATA when more than that is missing (E610, exit status 6; logged).
 */
int stats_options_check_lost(const struct stats_options *o, const struct snapshot *s,
			     const char *name);

#endif
