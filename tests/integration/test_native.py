# SPDX-License-Identifier: GPL-2.0-or-later
"""A C program: blocks and bytes per function equal its own ledger."""
import os
import re
import subprocess

import pytest

import harness


@pytest.fixture(scope="module")
def native_leak(tmp_path_factory):
    binary = tmp_path_factory.mktemp("native") / "native_leak"
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-g", "-fno-optimize-sibling-calls", "-o", binary,
                    os.path.join(harness.TARGETS, "native_leak.c")], check=True)
    return binary


def ledger(p):
    p.say("go")
    table = {}
    while True:
        line = p.lines.take(60)
        assert line is not None
        if line == "done":
            return table
        words = line.split()
        table[words[1]] = (int(words[2]), int(words[3]))


def test_ledger(native_leak, program, tool, show):
    p = program(native_leak)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    hello = t.hello()
    assert not hello.get("python")
    want = ledger(p)
    interval, sites, _ = t.stop()
    have = {}
    for s in sites:
        name = re.sub(r"^.*!", "", s["function"] or "")
        blocks, size = have.get(name, (0, 0))
        have[name] = (blocks + s["blocks"], size + s["bytes"])
    show("native", harness.table(
        [[f, *want[f], *have.get(f, (0, 0))] for f in want],
        ["function", "ledger blocks", "ledger bytes", "blocks", "bytes"]))
    assert {f: have.get(f) for f in want} == want
    assert set(have) - set(want) == set(), "blocks that the program does not hold"
    assert interval["live_blocks"] == sum(b for b, _ in want.values())
    assert interval["live_bytes"] == sum(b for _, b in want.values())
    assert harness.lost(interval) == {}
    for s in sites:
        assert s["domain"] == "native" and "native_leak" in s["file"]
    assert p.quit() == 0


def test_stripped_binary_shows_library_and_offset(native_leak, program, tool, tmp_path):
    stripped = tmp_path / "native_leak"
    subprocess.run(["strip", "-o", stripped, native_leak], check=True)
    p = program(stripped)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    want = ledger(p)
    interval, sites, _ = t.stop()
    assert interval["live_blocks"] == sum(b for b, _ in want.values())
    assert all("native_leak" in s["file"] for s in sites)


def test_full_live_table_is_counted_not_silent(native_leak, program, tool):
    """With far too few --blocks every block is either in the report or in the losses."""
    p = program(native_leak)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", "--blocks", 256, 600)
    t.hello()
    want = ledger(p)
    interval, _, _ = t.stop()
    total = sum(b for b, _ in want.values())
    assert interval["live_blocks"] <= total
    if interval["live_blocks"] < total:
        assert sum(harness.lost(interval).values()) >= total - interval["live_blocks"]


def test_malloc_before_attach_freed_later_changes_nothing(debian, program, tool):
    code = ("import ctypes\nlibc = ctypes.CDLL(None)\nlibc.malloc.restype = ctypes.c_void_p\n"
            "libc.free.argtypes = [ctypes.c_void_p]\nold = [libc.malloc(1000) for i in range(500)]\n"
            "print('READY', flush=True)\nimport sys\nsys.stdin.readline()\nfor a in old: libc.free(a)\n"
            "def hold():\n    return [libc.malloc(3000) for i in range(700)]\nnew = hold()\n"
            "print('done', flush=True)\nsys.stdin.readline()\n")
    p = program(debian, "-c", code)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    p.go()
    _, sites, _ = t.stop()
    big = [s for s in sites if s["domain"] == "native" and s["bytes"] >= 700 * 3000]
    assert big and 700 <= big[0]["blocks"] <= 710
    assert big[0]["file"] == "<string>" and big[0]["line"] == 11


def test_perf_links_give_the_same_ledger(native_leak, program, tool):
    """The way of kernels without uprobe_multi: one perf event a site."""
    p = program(native_leak)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", "--links", "perf", 600)
    t.hello()
    want = ledger(p)
    interval, _, _ = t.stop()
    assert interval["live_blocks"] == sum(b for b, _ in want.values())
    assert interval["live_bytes"] == sum(size for _, size in want.values())


@pytest.mark.parametrize("options", [("--mode", "pools"), ("--links", "perf")], ids=["pools", "perf"])
def test_a_process_without_pools_is_followed_whole(options, native_leak, program, tool):
    """Mode pools would leave out all of its small blocks, and "nothing lost" would be printed beside it."""
    p = program(native_leak)
    t = tool("-p", p.pid, "-T", 0, *options, "--overhead", "900%", 600)
    assert t.hello()["mode"] == "exact"
    want = ledger(p)
    interval, _, _ = t.stop()
    assert interval["live_blocks"] == sum(b for b, _ in want.values())
    assert harness.lost(interval) == {}


def test_perf_links_choose_pools_for_python(debian, program, tool, target_script):
    p = program(debian, target_script("leaky_cache.py"), 60)
    t = tool("-p", p.pid, "--links", "perf", 1, 1)
    hello = t.hello()
    assert hello["mode"] == "pools" and "uprobe_multi" in hello["mode_reason"]
    t.interval()
