# SPDX-License-Identifier: GPL-2.0-or-later
"""One trap per object, none per free."""
import time

import pytest

import harness

N = 100000


@pytest.fixture
def counted(program, interpreter, target_script):
    p = program(interpreter.path, target_script("counted.py"))

    def run(loop, n=N):
        p.say("%s %d" % (loop, n))
        p.expect("done")
    return p, run


def test_hits_per_loop(counted, tool, show, interpreter):
    """Steps of range() make a new int each (above 256), so every loop has one allocation of its own."""
    p, run = counted
    t = tool("-p", p.pid, "--mode", "exact", "-T", 1, "--overhead", "100000%", 1)
    t.hello()
    for _ in range(3):  # the new-reference sites are learned meanwhile
        for loop in ("allocate", "release", "reuse", "nothing"):
            run(loop, N)
        time.sleep(0.5)
    rows = []
    for loop in ("nothing", "allocate", "release", "reuse"):
        t.drop_old()
        seen = len(t.records)
        run(loop, N)
        t.interval()  # the one it ran in, or the next
        t.interval()
        hits = sum(r["events"] for r in t.records[seen:] if r["type"] == "interval")
        rows.append([loop, N, hits])
    show("traps, %s" % interpreter.label, harness.table(
        [r + ["%.4f" % (r[2] / r[1])] for r in rows], ["loop", "steps", "traps", "per step"]))
    by = {r[0]: r[2] for r in rows}
    slack = 0.02 * N
    assert abs(by["nothing"] - N) <= slack, "one trap for the int of each step"
    assert abs(by["release"] - N) <= slack, "no trap for a free"
    assert abs(by["allocate"] - 2 * N) <= slack, "one trap for a fresh object"
    assert abs(by["reuse"] - 2 * N) <= slack, "one trap for an object from a free list"
    t.stop()
