/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The story's snapshots, grouped and selected as the verbs do it. */
#ifndef TM_TEST_STATS_FIXTURE_H
#define TM_TEST_STATS_FIXTURE_H

#include "report_fixture.h"

#include "report/report_stats.h"

struct fixture_side {
	struct snapshot *snap;
	struct store_meta meta;
	struct selection sel;
	struct statistics stats;
	struct stats_side view;
};

static UNUSED_OK struct fixture_side *side_new(struct snapshot *snap, const char *name,
					       enum stat_key key, const struct filter_set *filters,
					       const struct suppressions *known)
{
	struct fixture_side *side = calloc(1, sizeof(*side));
	struct stat_opts opts = {.key = key};

	assert_non_null(side);
	side->snap = snap;
	side->meta = (struct store_meta){
		.pid = 4711,
		.comm = "gunicorn",
		.python_version = "3.12.4",
		.attach_ns = ATTACH_NS,
		.mode = "exact",
		.frames = 25,
		.domains = {true, true},
	};
	assert_int_equal(selection_make(snap, filters, known, &side->sel), 0);
	opts.skip = side->sel.skip;
	assert_int_equal(statistics_make(snap, &opts, &side->stats), 0);
	side->view = (struct stats_side){name, snap, &side->meta, &side->sel, &side->stats};
	return side;
}

static UNUSED_OK void side_free(struct fixture_side *side)
{
	statistics_release(&side->stats);
	selection_release(&side->sel);
	snapshot_free(side->snap);
	free(side);
}

#endif
