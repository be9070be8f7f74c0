# SPDX-License-Identifier: GPL-2.0-or-later
"""No return probes; breakpoints of a debugger beside ours."""
import os
import re
import signal
import subprocess
import time

import pytest

import harness


def compiled(folder, name):
    path = os.path.join(str(folder), name)
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-g", "-fno-optimize-sibling-calls", "-o", path,
                    os.path.join(harness.TARGETS, name + ".c")], check=True)
    return path


def links(t):
    """How many links of each type the tool holds: {'uprobe_multi': 5}."""
    count = {}
    for _, info in harness.fd_infos(t.pid):
        m = re.search(r"^link_type:\s*(\w+)", info, re.M)
        if m:
            count[m.group(1)] = count.get(m.group(1), 0) + 1
    return count


@pytest.mark.parametrize("mode", ["exact", "pools"])
def test_no_return_probe_is_set(interpreter, mode, program, tool, target_script):
    p = program(interpreter, target_script("leaky_cache.py"), 60)
    t = tool("-p", p.pid, "-T", 0, "--mode", mode, 600)
    t.hello()
    have = links(t)
    assert have.get("uprobe_multi", 0) >= 2
    assert have.get("uretprobe_multi", 0) == 0
    t.stop()


def test_strict_seccomp_filter_is_survived(program, tool, tmp_path):
    p = program(compiled(tmp_path, "strict_seccomp"), 500)
    with open("/proc/%d/status" % p.pid) as f:
        assert re.search(r"^Seccomp:\s*2$", f.read(), re.M)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    assert links(t).get("uretprobe_multi", 0) == 0
    p.say("go")
    assert p.lines.take(30) == "done"
    interval, sites, _ = t.stop()
    kept = [s for s in sites if s["function"].endswith("keep")]
    assert [(s["blocks"], s["bytes"]) for s in kept] == [(500, 500 * 3000)]
    assert interval["live_blocks"] == 500
    assert p.quit() == 0


def test_debugger_breakpoints_and_ours_do_not_meet(program, tool, tmp_path):
    """The tool ends while gdb has breakpoints at the same functions: each removes its own."""
    p = program(compiled(tmp_path, "native_leak"))
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    names = ["malloc", "free", "calloc", "realloc", "posix_memalign", "memalign"]
    gdb = subprocess.Popen(
        ["gdb", "-nx", "-batch", "-p", str(p.pid), "-ex", "set breakpoint always-inserted on"]
        + [x for n in names for x in ("-ex", "break " + n)]
        + ["-ex", "shell touch %s/in; while [ ! -e %s/out ]; do sleep 0.1; done" % (tmp_path, tmp_path),
           "-ex", "detach"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    deadline = time.monotonic() + 60
    while not os.path.exists("%s/in" % tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        t.proc.send_signal(signal.SIGINT)
        t.proc.wait(60)
    finally:
        with open("%s/out" % tmp_path, "w"):
            pass
    said = gdb.communicate(timeout=60)[0]
    assert said.count("Breakpoint ") >= len(names), said
    # what stays in place while there is a debugger goes after it has detached
    deadline = time.monotonic() + 20
    while harness.text_mismatches(p.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert harness.text_mismatches(p.pid) == []
    p.say("go")
    while True:
        line = p.lines.take(60)
        assert line is not None, "the target died"
        if line == "done":
            break
    assert p.quit() == 0
