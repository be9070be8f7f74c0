# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects taken from CPython's free lists are booked to the line that takes them."""
import pytest

import harness
import measure

N = 30000  # several times what the free lists hold

pytestmark = pytest.mark.free_threaded


@pytest.mark.parametrize("name", ["json_tuples_kept", "floats_from_temporaries", "lists_dicts_among_churn"])
def test_full_free_lists_at_attach(name, interpreter, tmp_path, show):
    """Unlike in test_exactness the free lists are full when the tool attaches: those blocks have no
    record in either run, the rest must agree."""
    result = measure.Exactness(interpreter, name, tmp_path, N, harness.target_env(TMBPF_KEEP_FREE_LISTS=1))
    assert not result.problems, "\n" + result.table(only_differences=True)
    show("free lists, %s" % interpreter.label, result.table())
    rows = result.rows.values()
    assert result.free > 0
    assert sum(r.ref_blocks for r in rows) > 5 * result.free, "the free lists could hide a wrong line"
    # Both sides ignore those blocks, so the lines themselves agree much better than that.
    assert sum(abs(r.blocks_diff) for r in rows if r.cause == "free-list") <= result.free
