/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The completeness lines of every text report: coverage by domain, losses by reason. */
#include "report/report_completeness.h"

#include <inttypes.h>
#include <math.h>

#include "analyze/completeness.h"
#include "base/codes.h"
#include "report/report_cost.h"
#include "snapshot/trace_end.h"

#define COVERAGE_GOOD 0.99 /* below this the numbers are called too low */

/* "python 99.98% (recorded 141233, missed 3)" */
static void write_coverage(struct buf *out, enum snap_domain domain, const struct snap_coverage *c)
{
	double ratio = coverage_ratio(c);

	(void)buf_printf(out, "%s ", snapshot_domain_name(domain));
	if (isnan(ratio))
		(void)buf_append_str(out, "n/a");
	else if (!c->missed)
		(void)buf_append_str(out, "100%");
	else /* rounded down: 100% stands for "all of them" */
		(void)buf_printf(out, "%.2f%%", (int)(ratio * 10000) / 100.0);
	if (!c->known)
		return;
	(void)buf_printf(out, " (recorded %" PRIu64 ", missed %" PRIu64, c->recorded, c->missed);
	if (c->moving)
		(void)buf_printf(out, ", moving %" PRIu64, c->moving);
	(void)buf_append_str(out, ")");
}

/* "; lost: ring_full 12, pool_malformed 3" or "; lost: nothing" */
static void write_losses(struct buf *out, const struct snapshot *s)
{
	const char *sep = "";

	(void)buf_append_str(out, "; lost: ");
	for (int i = 0; i < TM_DROP_COUNT; i++) {
		if (!s->drops[i])
			continue;
		(void)buf_printf(out, "%s%s %" PRIu64, sep, losses_get((enum tm_drop)i)->key,
				 s->drops[i]);
		sep = ", ";
	}
	if (!*sep)
		(void)buf_append_str(out, "nothing");
}

static size_t count_truncated(const struct snapshot *s)
{
	size_t count = 0;

	for (size_t i = 0; i < s->stack_count; i++)
		count += s->stacks[i].truncated;
	return count;
}

void completeness_write(struct buf *out, const struct snapshot *s, unsigned frames)
{
	const struct lost_lines lost = completeness_without_line(s);
	size_t truncated = count_truncated(s);

	cost_write_gap(out, s);
	(void)buf_append_str(out, "coverage ");
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		if (d)
			(void)buf_append_str(out, ", ");
		write_coverage(out, (enum snap_domain)d, &s->coverage[d]);
	}
	if (trace_mode_of(s->mode) == TRACE_MODE_POOLS)
		(void)buf_printf(out, " (blocks of malloc below %d B left out)",
				 TM_GROWTH_MIN_BYTES);
	write_losses(out, s);
	if (lost.blocks)
		(void)buf_printf(out, "; no line for %.1f%% of the live bytes (<lost>)",
				 lost.bytes ? 100.0 * (double)lost.bytes / (double)s->live_bytes
					    : 0.0);
	if (truncated)
		(void)buf_printf(out, "; %zu of %zu stacks cut at %u frames", truncated,
				 s->stack_count, frames);
	(void)buf_append_str(out, "\n");
	for (int i = 0; i < TM_DROP_COUNT; i++) {
		const struct loss_row *loss = losses_get((enum tm_drop)i);

		if (s->drops[i])
			(void)buf_printf(out, "  lost %s: %s\n", loss->key, loss->text);
	}
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		const struct snap_coverage *c = &s->coverage[d];

		if (coverage_ratio(c) < COVERAGE_GOOD)
			(void)buf_printf(out,
					 "  the %s numbers are too low: %" PRIu64 " of %" PRIu64
					 " live blocks have no record\n",
					 snapshot_domain_name((enum snap_domain)d), c->missed,
					 c->recorded + c->missed);
	}
}
