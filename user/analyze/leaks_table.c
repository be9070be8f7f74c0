/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "analyze/leaks_table.h"

#include <errno.h>
#include <stdlib.h>

static double row_weight(const struct leak_row *row)
{
	const struct leak_finding *f = &row->finding;

	switch (f->verdict) {
	case LEAK_YES:
		return f->trend.per_min;
	case LEAK_UNKNOWN:
		return (double)f->kept_bytes;
	case LEAK_CHURN:
		return f->turnover >= 0 ? f->turnover * (double)f->peak_bytes
					: (double)(f->peak_bytes - f->bottom_bytes);
	default:
		return (double)f->level_bytes;
	}
}

static int cmp_row(const void *pa, const void *pb)
{
	const struct leak_row *a = pa, *b = pb;
	double wa = row_weight(a), wb = row_weight(b);

	if (a->finding.verdict != b->finding.verdict)
		return a->finding.verdict < b->finding.verdict ? -1 : 1;
	if (wa < wb || wa > wb)
		return wa > wb ? -1 : 1;
	return (a->line > b->line) - (a->line < b->line);
}

static void add_row(struct leak_table *t, const struct leak_row *row)
{
	const struct leak_finding *f = &row->finding;

	t->counts[f->verdict]++;
	t->bytes[f->verdict] += f->level_bytes;
	if (f->verdict == LEAK_YES) {
		t->leaks.lines++;
		t->leaks.per_min += f->trend.per_min;
		t->leaks.per_min_low += f->trend.per_min_low;
		t->leaks.per_min_high += f->trend.per_min_high;
	}
	t->rows[t->count++] = *row;
}

int leak_table_make(struct leak_series *s, double missing_ratio, uint64_t grain_bytes,
		    struct leak_table *out)
{
	size_t lines = leak_series_lines(s);
	struct leak_table t = {.rows = calloc(lines + 1, sizeof(*t.rows))};

	if (!t.rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < lines; i++) {
		struct leak_row row = {.line = i};
		struct leak_line line;

		leak_series_line(s, i, &line);
		line.missing_ratio = missing_ratio;
		line.grain_bytes = grain_bytes;
		leak_judge(&line, &row.finding);
		if (!row.finding.peak_bytes)
			continue;
		leak_series_ages(s, i, &row.ages);
		add_row(&t, &row);
	}
	qsort(t.rows, t.count, sizeof(*t.rows), cmp_row);
	*out = t;
	return 0;
}

void leak_table_release(struct leak_table *t)
{
	free(t->rows);
	*t = (struct leak_table){0};
}
