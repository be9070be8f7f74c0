# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects taken from CPython's free lists are booked to the line that takes them."""
import json
import os

import pytest

import exactness
import harness

N = 30000  # several times what the free lists hold
SCRIPT = os.path.join(harness.TARGETS, "run_workload.py")
MODULE = os.path.join(harness.TARGETS, "workloads.py")


@pytest.mark.parametrize("name", ["json_tuples_kept", "floats_from_temporaries", "lists_dicts_among_churn"])
def test_full_free_lists_at_attach(name, interpreter, program, tool, tmp_path, show):
    """Unlike in test_exactness the free lists are full when the tool attaches: those blocks have no
    record in either run, the rest must agree."""
    out = tmp_path / "traces.json"
    env = harness.target_env(TMBPF_KEEP_FREE_LISTS=1)
    a = program(interpreter.path, SCRIPT, name, N, "tracemalloc", 1, out, env=env)
    a.go()
    a.quit()
    b = program(interpreter.path, SCRIPT, name, N, "plain", env=env)
    free = max(exactness.free_blocks(a.ready_text), exactness.free_blocks(b.ready_text))
    t = tool("-p", b.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    b.go()
    interval, sites, _ = t.stop()
    with open(out) as f:
        rows = exactness.add_sites(exactness.reference_rows(json.load(f)), sites)
    bad = exactness.judge(rows, free, exactness.marked_lines(MODULE))
    assert not bad, "\n" + exactness.format_table(name, rows, free, only_differences=True)
    show("free lists, %s" % interpreter.label, exactness.format_table(name, rows, free))
    assert free > 0
    assert sum(r.ref_blocks for r in rows.values()) > 5 * free, "the free lists could hide a wrong line"
    # Both sides ignore those blocks, so the lines themselves agree much better than that.
    wrong = sum(abs(r.blocks_diff) for r in rows.values() if r.cause == "free-list")
    assert wrong <= free
