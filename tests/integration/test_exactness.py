# SPDX-License-Identifier: GPL-2.0-or-later
"""Two runs of the same program: tracemalloc in one, tmbpf on the other; per line the same numbers."""
import os

import pytest

import harness
import measure
from measure import workloads

pytestmark = pytest.mark.free_threaded


def needs(interpreter, name):
    reason = measure.missing_workload(interpreter, name)
    if reason:
        pytest.skip("%s: %s" % (interpreter, reason))


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
def test_blocks_and_bytes_per_line_equal_tracemalloc(name, interpreter, tmp_path):
    needs(interpreter, name)
    result = measure.Exactness(interpreter, name, tmp_path)
    write_table(interpreter, name, result.table())
    assert not result.problems, "\n" + result.table(only_differences=True)


@pytest.mark.parametrize("name", ["recursion_depth_20", "closures_and_generators", "json_tuples_kept",
                                  "dataclass_instances", "linked_nodes"])
def test_tracebacks_equal_tracemalloc(name, interpreter, tmp_path):
    """The same stacks, frame by frame, with the same block counts."""
    needs(interpreter, name)
    result = measure.Tracebacks(interpreter, name, tmp_path)
    assert not result.problems, "\n".join(result.problems)
