# SPDX-License-Identifier: GPL-2.0-or-later
"""Two runs of the same program: tracemalloc in one, tmbpf on the other; per line the same numbers."""
import json
import os
import sys

import pytest

import exactness
import harness

sys.path.insert(0, harness.TARGETS)
import workloads  # noqa: E402

SCRIPT = os.path.join(harness.TARGETS, "run_workload.py")
MODULE = os.path.join(harness.TARGETS, "workloads.py")
INPLACE = exactness.marked_lines(MODULE)


def reference(program, interpreter, name, tmp_path, frames):
    out = tmp_path / "traces.json"
    p = program(interpreter.path, SCRIPT, name, "0", "tracemalloc", frames, out)
    p.go()
    p.quit()
    with open(out) as f:
        return json.load(f), exactness.free_blocks(p.ready_text)


def probed(program, tool, interpreter, name, *args):
    p = program(interpreter.path, SCRIPT, name, "0", "plain")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", *args, 600)
    t.hello()
    p.go()
    interval, sites, end = t.stop()
    assert interval is not None and end is not None, t.stderr()
    assert p.alive()
    assert p.quit() == 0
    return interval, sites, exactness.free_blocks(p.ready_text)


def write_table(interpreter, name, text):
    """One file per interpreter with all workloads, in the order of the module."""
    path = os.path.join(harness.BUILD, "exactness-%s.txt" % interpreter.label)
    parts = {}
    if os.path.exists(path):
        for part in open(path).read().split("\n\n"):
            parts[part.split(":", 1)[0].strip()] = part.strip("\n")
    parts[name] = text.strip("\n")
    with open(path, "w") as f:
        order = list(workloads.WORKLOADS)
        keys = sorted((k for k in parts if k), key=lambda k: order.index(k) if k in order else 99)
        f.write("\n\n".join(parts[k] for k in keys) + "\n")


@pytest.mark.parametrize("name", list(workloads.WORKLOADS))
def test_blocks_and_bytes_per_line_equal_tracemalloc(name, interpreter, program, tool, tmp_path):
    traces, free_a = reference(program, interpreter, name, tmp_path, 1)
    interval, sites, free_b = probed(program, tool, interpreter, name)
    assert harness.lost(interval) == {}
    rows = exactness.add_sites(exactness.reference_rows(traces), sites)
    free = max(free_a, free_b)
    bad = exactness.judge(rows, free, INPLACE)
    text = exactness.format_table(name, rows, free)
    write_table(interpreter, name, text)
    assert not bad, "\n" + exactness.format_table(name, rows, free, only_differences=True)


@pytest.mark.parametrize("name", ["recursion_depth_20", "closures_and_generators", "json_tuples_kept",
                                  "dataclass_instances", "linked_nodes"])
def test_tracebacks_equal_tracemalloc(name, interpreter, program, tool, tmp_path):
    """The same stacks, frame by frame, with the same block counts."""
    traces, free_a = reference(program, interpreter, name, tmp_path, 25)
    _, sites, free_b = probed(program, tool, interpreter, name, "--by", "traceback", "--frames", 25)
    want = {k: v for k, v in exactness.reference_stacks(traces).items() if "run_workload" not in k[0][0]}
    have = {k: v for k, v in exactness.tool_stacks(sites).items() if "run_workload" not in k[0][0]
            and exactness.is_python_file(k[0][0])}
    budget = 2 * max(free_a, free_b)
    wrong = {k: (want.get(k, 0), have.get(k, 0)) for k in set(want) | set(have)
             if want.get(k, 0) != have.get(k, 0)}
    off = sum(abs(a - b) for a, b in wrong.values())
    assert off <= budget, "\n".join("%d by tracemalloc, %d by tmbpf:\n    %s" % (
        v[0], v[1], "\n    ".join("%s:%d" % f for f in k)) for k, v in list(wrong.items())[:5])
