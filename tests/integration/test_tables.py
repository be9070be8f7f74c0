# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables between BPF and the tool: nothing is lost at low load, and what is lost is counted to the block."""
import os
import signal
import subprocess
import time

import pytest

import harness

SCRIPT = os.path.join(harness.TARGETS, "tables.py")


@pytest.fixture(scope="module")
def strides(tmp_path_factory):
    binary = tmp_path_factory.mktemp("strides") / "strides"
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-g", "-o", binary, os.path.join(harness.TARGETS, "strides.c")],
                   check=True)
    return binary


def marked(mark):
    with open(SCRIPT) as f:
        return [n for n, line in enumerate(f, 1) if line.rstrip().endswith("# " + mark)][0]


def at_line(sites, mark):
    """(blocks, bytes) of a marked line of the script."""
    found = [s for s in sites if s["file"] == SCRIPT and s["line"] == marked(mark)]
    return sum(s["blocks"] for s in found), sum(s["bytes"] for s in found)


def ask(p, *words):
    p.say(" ".join(str(w) for w in words))
    p.expect("done")


@pytest.mark.parametrize("bytes_each", [56, 120])
def test_blocks_at_one_distance_are_all_there(strides, program, tool, bytes_each):
    count = 1000000
    p = program(strides)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    ask(p, "go", count, bytes_each)
    interval, sites, _ = t.stop()
    assert harness.lost(interval) == {}
    mine = [s for s in sites if "keep_blocks" in (s["function"] or "")]
    assert sum(s["blocks"] for s in mine) == count
    assert sum(s["bytes"] for s in mine) == count * bytes_each


def test_a_table_that_cannot_grow_counts_each_block_that_it_loses(strides, program, tool):
    """While the tool stands still nothing is added to its tables; they have a reserve, and then an account."""
    count = 500000
    p = program(strides)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    t.proc.send_signal(signal.SIGSTOP)
    ask(p, "go", count, 56)
    t.proc.send_signal(signal.SIGCONT)
    interval, sites, _ = t.stop()
    lost = harness.lost(interval)
    mine = sum(s["blocks"] for s in sites if "keep_blocks" in (s["function"] or ""))
    assert set(lost) == {"live_table_full"}
    assert mine + lost["live_table_full"] == count
    assert mine > 330000, "both levels are used to the last bucket"


def test_a_ring_that_is_not_read_counts_its_stacks(debian, program, tool):
    p = program(debian, SCRIPT)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    ask(p, "stacks", 1 << 20, 10, 1)
    t.proc.send_signal(signal.SIGSTOP)
    ask(p, "stacks", 0, 14000, 1)
    t.proc.send_signal(signal.SIGCONT)
    interval, sites, _ = t.stop()
    without_line = sum(s["blocks"] for s in sites if s["file"] == "<lost>")
    assert set(harness.lost(interval)) == {"ring_full"}
    assert 0 < without_line <= harness.lost(interval)["ring_full"]
    assert at_line(sites, "LEAF")[0] + without_line >= 14010


def test_untouched_memory_is_no_fault_and_is_told(strides, program, tool):
    p = program(strides)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    ask(p, "untouched", 300 << 20)
    interval, _, _ = t.stop()
    assert interval["live_bytes"] >= 300 << 20 and interval["rss_bytes"] < 100 << 20
    assert [w["code"] for w in t.warnings() if w["code"] in ("W104", "W105")] == ["W105"]
    assert "has not been written to" in t.stderr()


@pytest.mark.parametrize("name", ["system", "pyenv-3.8"])
def test_pools_that_are_empty_again_add_nothing(name, program, tool):
    """Thousands of pools that one line opened and that are empty now: the line holds what it holds, once."""
    interpreter, why = harness.interpreter_named(name)
    assert interpreter, why
    made, each = 60000, 2000
    p = program(interpreter, SCRIPT)
    t = tool("-p", p.pid, "-T", 0, "--mode", "pools", 600)
    t.hello()
    ask(p, "pools", made, each)
    interval, sites, _ = t.stop()
    blocks, size = at_line(sites, "FILL")
    # The pool that was open at attach is not known; the interpreter's own tables of arenas grow in this line.
    assert made // each - 2 <= blocks <= made // each + 3
    assert (made // each - 2) * 448 <= size <= (made // each) * 448 + 65536
    assert interval["live_bytes"] <= interval["rss_bytes"]
    assert harness.lost(interval) == {}
    assert not [w for w in t.warnings() if w["code"] == "W104"]


def test_a_full_stack_table_is_told_and_blames_nobody(debian, program, tool):
    p = program(debian, SCRIPT)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", "--stacks", 1000, 600)
    t.hello()
    ask(p, "stacks", 0, 4000, 1)
    interval, sites, _ = t.stop()
    without_line = sum(s["blocks"] for s in sites if s["file"] == "<lost>")
    assert 4000 <= at_line(sites, "LEAF")[0] + without_line <= 4010
    assert without_line > 2500
    assert set(harness.lost(interval)) == {"stack_table_full"}
    assert without_line <= harness.lost(interval)["stack_table_full"]
    assert "W106" in [w["code"] for w in t.warnings()]
    text = tool("-p", p.pid, "--mode", "exact", "--stacks", 1000, 600, json_output=False)
    text.lines.take(60)
    time.sleep(1)
    ask(p, "stacks", 1 << 17, 4000, 1)
    text.proc.send_signal(signal.SIGINT)
    text.proc.wait(60)
    end = []
    while True:
        line = text.lines.take(10)
        if line is None:
            break
        end.append(line)
    closing = [line for line in end if "still alive from" in line][-1]
    assert "No suspect:" in closing and "the stack table was full (stack_table_full)" in closing
    assert "Suspect: " not in closing


def test_ids_of_stacks_that_hold_nothing_are_given_out_again(debian, program, tool):
    """More stacks than there are ids, but few of them hold anything at a time."""
    p = program(debian, SCRIPT)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", "--stacks", 2048, "250ms")
    t.hello()
    for part in range(6):
        ask(p, "stacks", part * 600, 600, 0)
        t.drop_old()
        for _ in range(8):  # an id is free after four looks at it
            t.interval()
    ask(p, "late")
    interval, sites, _ = t.stop()
    assert harness.lost(interval) == {}
    assert at_line(sites, "LATE")[0] in (500, 501, 502)
    assert at_line(sites, "LEAF") == (0, 0)
