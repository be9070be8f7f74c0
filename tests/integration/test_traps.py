# SPDX-License-Identifier: GPL-2.0-or-later
"""One trap per object, none per free."""
import time

import pytest

import harness

N = 100000


def events(interval):
    if "hits" in interval:
        return sum(interval["hits"].values())
    return interval["events"]


@pytest.fixture
def counted(program, interpreter, target_script):
    p = program(interpreter.path, target_script("counted.py"))

    def run(loop, n=N):
        p.say("%s %d" % (loop, n))
        p.expect("done")
    return p, run


def measure(t, run, loop, count):
    """Events of one loop alone: the target idles before and after, so intervals cannot mix."""
    quiet = t.interval()
    run(loop, count)
    total = 0
    seen = 0
    while seen < 2:  # the interval that contained it, and one more
        i = t.interval()
        total += events(i)
        seen += 1
    assert quiet["seq"] + 2 == i["seq"]
    return total


def test_hits_per_loop(counted, tool, show, interpreter):
    p, run = counted
    t = tool("-p", p.pid, "--mode", "exact", "-T", 0, 1)
    t.hello()
    run("reuse", 200000)  # let the new-reference sites be learned
    run("allocate", N)
    run("release", N)
    time.sleep(2.5)
    rows = []
    for loop in ("nothing", "allocate", "release", "reuse", "nothing"):
        rows.append([loop, N, measure(t, run, loop, N)])
    show("traps, %s" % interpreter.label, harness.table(
        [r + ["%.4f" % (r[2] / r[1])] for r in rows], ["loop", "steps", "events", "per step"]))
    by = {r[0]: r[2] for r in rows}
    noise = by["nothing"] + N * 0.02  # ints above 256 of the loop counter re-use one block
    assert by["release"] <= noise
    assert N <= by["allocate"] <= N + noise
    assert by["reuse"] <= N + noise
    t.stop()
