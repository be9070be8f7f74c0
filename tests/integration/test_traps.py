# SPDX-License-Identifier: GPL-2.0-or-later
"""One trap per object, none per free."""
import time

import pytest

import harness

N = 100000
SHORT = 20000


def start_counted(program, interpreter, target_script):
    p = program(interpreter, target_script("counted.py"))

    def run(loop, n=N):
        p.say("%s %d" % (loop, n))
        p.expect("done")
    return p, run


@pytest.fixture
def counted(program, interpreter, target_script):
    return start_counted(program, interpreter, target_script)


def options(p):
    return ("-p", p.pid, "--mode", "exact", "-T", 1, "--overhead", "100000%", "150ms")


def traps_per_loop(t, run):
    """Traps of N steps of each loop. Steps of range() make a new int each (above 256): each loop has that."""
    until = time.monotonic() + 4
    while time.monotonic() < until:  # the new-reference sites are learned meanwhile
        for loop in ("allocate", "release", "reuse", "nothing"):
            run(loop, N // 5)
    traps = {}
    for loop in ("nothing", "allocate", "release", "reuse"):
        hits = []
        # All sites are attached for 0.2 s every 1, 2, 4 ... 20 s. A run is shorter than that distance, at 8 us a trap
        # too, so that of five the lowest has no such moment in it.
        for _ in range(5):
            t.drop_old()
            seen = len(t.records)
            run(loop, SHORT)
            t.drop_old()  # those printed while it ran; they are counted
            t.interval()  # the one it ended in, or the next
            t.interval()
            hits.append(sum(r["events"] for r in t.records[seen:] if r["type"] == "interval"))
        traps[loop] = min(hits)
    return traps


def check_traps(traps, interpreter):
    own = traps["nothing"]  # the int of each step
    slack = 0.02 * SHORT
    assert abs(traps["release"] - own) <= slack, "no trap for a free"
    assert abs(traps["reuse"] - own - SHORT) <= slack, "one trap for an object from a free list"
    # Where the interpreter is built so that one new-reference site serves fresh and re-used objects (not
    # LTO), that site stays attached and a fresh object passes two probes.
    fresh = (traps["allocate"] - own) / SHORT
    if interpreter.stock:
        # But for those that the interpreter keeps: up to 256, from 3.15 on up to 1,024.
        assert 0 <= SHORT - own <= 1024 + slack, "one trap for the int of each step"
        assert abs(fresh - 1) <= 0.02, "one trap for a fresh object"
    else:
        assert 0.98 <= fresh <= 2.02


def test_hits_per_loop(counted, tool, show, interpreter, tmp_path):
    p, run = counted
    t = tool(*options(p), env=harness.tool_env(XDG_CACHE_HOME=tmp_path))
    t.hello()
    traps = traps_per_loop(t, run)
    show("traps, %s" % interpreter.label, harness.table(
        [[loop, SHORT, n, "%.4f" % (n / SHORT)] for loop, n in traps.items()], ["loop", "steps", "traps", "per step"]))
    check_traps(traps, interpreter)
    t.stop()


def test_what_another_program_taught_does_not_make_objects_dearer(debian, program, target_script, tool, tmp_path):
    """A run on a program that made nothing but ints remembers their sites alone."""
    p, run = start_counted(program, debian, target_script)
    env = harness.tool_env(XDG_CACHE_HOME=tmp_path)
    t = tool(*options(p), env=env)
    t.hello()
    for _ in range(4):
        run("nothing", N)
        time.sleep(0.3)
    t.stop()
    t = tool(*options(p), env=env)
    t.hello()
    check_traps(traps_per_loop(t, run), debian)
    t.stop()


def test_learning_keeps_sites_that_see_reuse_later(counted, tool, program, interpreter, tmp_path):
    """A site that saw only fresh objects for a long time must not be let go for good: what the tool
    remembers by build-id is used by the next run, on another program."""
    p, run = counted
    env = harness.tool_env(XDG_CACHE_HOME=tmp_path)
    t = tool("-p", p.pid, "--mode", "exact", "-T", 1, 1, env=env)
    t.hello()
    for _ in range(5):  # nothing but fresh objects
        run("allocate", N)
        time.sleep(0.3)
    t.stop()
    t = tool("-p", p.pid, "--mode", "exact", "-T", 1, 1, env=env)
    t.hello()
    t.interval()
    t.drop_old()
    seen = len(t.records)
    run("reuse", N)
    t.drop_old()
    t.interval()
    t.interval()
    hits = sum(r["events"] for r in t.records[seen:] if r["type"] == "interval")
    t.stop()
    assert hits >= 1.95 * N, "%d traps for %d ints and %d re-uses" % (hits, N, N)
