# SPDX-License-Identifier: GPL-2.0-or-later
"""At least 99.9 % of the pymalloc blocks born since attach have a record, on everything mixed."""
import exactness
import harness


def test_coverage_of_mixed_workload(interpreter, program, tool, target_script, show):
    p = program(interpreter.path, target_script("mixed.py"))
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    truth = int(p.go())
    interval, sites, _ = t.stop()
    ratio, recorded, missed = harness.coverage(interval)
    # The interpreter's requests above 512 bytes are malloc blocks with a Python line.
    with_line = sum(s["blocks"] for s in sites if exactness.is_python_file(s["file"]))
    large_blocks = with_line - recorded
    show("coverage, %s" % interpreter.label, harness.table(
        [[interpreter.label, truth, recorded, missed, "%.4f%%" % (100 * ratio), large_blocks,
          harness.lost(interval) or "nothing"]],
        ["interpreter", "sys.getallocatedblocks()", "recorded", "missed", "coverage", "+ above 512 B", "lost"]))
    assert ratio >= 0.999
    assert recorded + missed > 300000
    assert abs(ratio - recorded / (recorded + missed)) < 1e-4
    # The tool's own ratio is not the only witness: the interpreter counts its blocks itself, small and
    # large, and takes off what was freed from before attach. It does not count PyMem_Raw* blocks.
    assert large_blocks >= 0
    assert -0.001 * truth <= recorded + missed + large_blocks - truth <= 0.003 * truth
    assert harness.lost(interval) == {}
