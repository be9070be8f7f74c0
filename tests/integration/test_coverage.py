# SPDX-License-Identifier: GPL-2.0-or-later
"""At least 99.9 % of the pymalloc blocks born since attach have a record, on everything mixed."""
import harness


def test_coverage_of_mixed_workload(interpreter, program, tool, target_script, show):
    p = program(interpreter.path, target_script("mixed.py"))
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    truth = int(p.go())
    interval, sites, _ = t.stop()
    ratio, recorded, missed = harness.coverage(interval)
    python_blocks = sum(s["blocks"] for s in sites if s["domain"] == "python")
    show("coverage, %s" % interpreter.label, harness.table(
        [[interpreter.label, truth, recorded, missed, "%.4f%%" % (100 * ratio),
          harness.lost(interval) or "nothing"]],
        ["interpreter", "sys.getallocatedblocks()", "recorded", "missed", "coverage", "lost"]))
    assert ratio >= 0.999
    assert recorded + missed > 300000
    assert abs(ratio - recorded / (recorded + missed)) < 1e-4
    # The tool's own ratio is not the only witness: the interpreter counts its blocks itself. It also
    # counts what was freed from before attach, so it may be a little lower.
    assert abs(recorded + missed - truth) <= 0.005 * truth
    assert abs(python_blocks - recorded) <= 0.001 * recorded
    assert harness.lost(interval) == {}
