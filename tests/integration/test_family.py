# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole malloc family, random calls, threads, failures: live blocks and bytes equal the program's own."""
import os
import re
import subprocess

import pytest

import harness

SOURCE = os.path.join(harness.TARGETS, "family.c")
# One interpreter with each C library: glibc 2.31, 2.36, 2.41, 2.43.
LIBCS = ["debian-3.9", "debian-3.11", "debian-3.13", "debian-3.14"]


def compiled(folder, name, *flags):
    path = os.path.join(str(folder), name)
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-g", "-fno-optimize-sibling-calls", "-o", path, SOURCE,
                    *flags], check=True)
    return path


def ledger(p):
    p.say("go")
    table = {}
    while True:
        line = p.lines.take(120)
        assert line is not None
        if line == "done":
            return table
        words = line.split()
        table[words[1]] = (int(words[2]), int(words[3]))


def add(table, key, site):
    blocks, size = table.get(key, (0, 0))
    table[key] = (blocks + site["blocks"], size + site["bytes"])


def shown(want, have):
    return harness.table([[f, *want[f], *have.get(f, (0, 0))] for f in want],
                         ["function", "held", "bytes", "tmbpf", "bytes "])


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("family"), "family", "-DFAMILY_PROGRAM", "-pthread")


def test_family_in_c(family, program, tool, show):
    p = program(family)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    want = ledger(p)
    interval, sites, _ = t.stop()
    have = {}
    for s in sites:
        name = re.sub(r"^.*!", "", s["function"] or "")
        # the caller of malloc there; its block is kept by step_longjmp
        add(have, "step_longjmp" if name == "allocate_and_jump" else name, s)
    show("family in C", shown(want, have))
    assert {f: have.get(f) for f in want} == want
    # what the threads themselves cost: their stacks' bookkeeping
    rest = {f: b for f, b in have.items() if f not in want}
    assert sum(blocks for blocks, _ in rest.values()) <= 2 * 3, rest
    assert harness.lost(interval) == {}
    assert p.quit() == 0


@pytest.mark.parametrize("name", LIBCS)
def test_family_on_every_glibc(name, program, tool, show, tmp_path):
    interpreter, reason = harness.interpreter_named(name)
    if not interpreter:
        pytest.skip("%s: %s" % (name, reason))
    library = compiled(tmp_path, "family.so", "-shared", "-fPIC")
    p = program(interpreter, os.path.join(harness.TARGETS, "family.py"), library)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    want = ledger(p)
    interval, sites, _ = t.stop()
    have = {}
    for s in sites:
        if s["domain"] == "native" and s["file"] == "family":
            add(have, str(s["line"]), s)
    show("family, %s" % name, shown(want, have))
    assert have == want
    assert harness.lost(interval) == {}
