/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which snapshot of a full series goes, and how: the newest stay as they were taken, and the older a
 * stretch is the wider its snapshots stand apart. docs/snapshot-format.md, "Thinning".
 */
#include "store/store_priv.h"

size_t store_thin_choose(const struct store_times *t, size_t count)
{
	const double last = (double)t[count - 1].time_ns;
	double best = -1;
	size_t chosen = 1;

	/* The gap that a removal would leave, relative to its age: the smallest is missed least. */
	for (size_t i = 1; i + 2 < count; i++) {
		double age = last - (double)t[i].time_ns;
		double gap = (double)(t[i + 1].time_ns - t[i - 1].time_ns);
		double missed = age > 0 ? gap / age : gap;

		if (best < 0 || missed < best) {
			best = missed;
			chosen = i;
		}
	}
	return chosen;
}

static int run_for(struct store_db *db, const char *sql, uint32_t seq, uint32_t successor)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(db, sql, &st);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, seq);
	if (sqlite3_bind_parameter_count(st) > 1)
		sqlite3_bind_int64(st, 2, successor);
	return store_db_run(db, st);
}

int store_thin_remove(struct store_db *db, uint32_t seq, uint32_t successor)
{
	/*
	 * Changes hold values, not differences: what changed here and not in the successor has, seen
	 * from the one before, changed there to the value it has here.
	 */
	static const char *const steps[] = {
		"UPDATE OR IGNORE change SET snapshot = ?2 WHERE snapshot = ?1",
		"DELETE FROM change WHERE snapshot = ?1",
		"DELETE FROM base WHERE snapshot = ?1",
		"DELETE FROM loss WHERE snapshot = ?1",
		"DELETE FROM coverage WHERE snapshot = ?1",
		"DELETE FROM snapshot WHERE id = ?1",
	};
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_LEN(steps); i++)
		err = run_for(db, steps[i], seq, successor);
	return err;
}
