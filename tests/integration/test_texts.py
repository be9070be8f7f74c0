# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts that a user acts on: fixes that can be pasted, one set of numbers, no suspect that does not grow."""
import os
import re
import shlex
import shutil
import subprocess

import pytest

import harness

# Two allocations on one line are two stacks of the tool and one traceback.
PAIRS = """
import time
def pair(keep):
    keep.append((bytes(3000), bytes(5000)))
keep = []
print("READY", flush=True)
while True:
    pair(keep)
    time.sleep(0.01)
"""

# A window that fills in the first report, and then stays as it is.
PLATEAU = """
import collections, time
print("READY", flush=True)
keep = collections.deque(maxlen=3000)
while True:
    for i in range(100):
        keep.append(bytes(1000))
    time.sleep(0.02)
"""

THREADS = """
import threading, time
keep = []
def work():
    while True:
        keep.append(bytes(2000))
        time.sleep(0.01)
threading.Thread(target=work, name="worker", daemon=True).start()
print("READY", flush=True)
while True:
    keep.append(bytes(1000))
    time.sleep(0.01)
"""


@pytest.fixture
def script(debian, program, tmp_path):
    def run(text):
        path = tmp_path / "target.py"
        path.write_text(text)
        return program(debian, str(path))
    return run


def fix_of(out):
    found = re.search(r"^tmbpf: +fix: (.*)$", out.stderr, re.M)
    assert found, out.stderr
    return found[1]


def run_fix(fix):
    words = shlex.split(fix)
    assert words[0] == "sudo", fix
    return subprocess.run(words[1:], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env=harness.tool_env())


def test_by_traceback_there_is_one_set_of_numbers(script):
    p = script(PAIRS)
    out = harness.run_tool("-p", p.pid, "--mode", "exact", "--by", "traceback", "-v", 1, 1)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    first = next(n for n, line in enumerate(lines) if re.match(r"  \+.*target\.py:4 ", line))
    blocks = re.search(r"\((\d+) blocks\)", lines[first])[1]
    below = []
    for line in lines[first + 1:]:
        if not line.startswith("    "):
            break
        below.append(line)
    assert below and 'File "' in "\n".join(below)
    numbers = re.findall(r"(\d+) blocks", "\n".join(below))
    assert numbers in ([], [blocks]), "%s, but below it:\n%s" % (lines[first], "\n".join(below))


def test_a_plateau_is_no_suspect(script):
    p = script(PLATEAU)
    out = harness.run_tool("-p", p.pid, "--mode", "exact", 3, 3)
    assert out.returncode == 0, out.stderr
    assert re.search(r"^  \+.*target\.py:7 \(30\d\d blocks\)", out.stdout, re.M), out.stdout
    assert "target.py:7" not in out.stdout.splitlines()[-2], out.stdout
    assert "Suspect: " not in out.stdout and "No suspect: nothing keeps growing." in out.stdout


@pytest.mark.parametrize("by,expected", [("function", r"target\.py .*<module>"), ("module", r"target \("),
                                         ("thread", r"worker|target|python3?"), ("domain", r"python \(")])
def test_the_live_report_takes_every_key_of_report(script, by, expected):
    p = script(THREADS)
    out = harness.run_tool("-p", p.pid, "--mode", "exact", "--by", by, 1, 1)
    assert out.returncode == 0, out.stderr
    assert re.search(r"^  \+[\d.]+ [KM]?i?B .*(%s)" % expected, out.stdout, re.M), out.stdout
    if by == "thread":
        groups = re.findall(r"^  \+[\d.]+ [KM]?i?B .*\(\d+ blocks?\)", out.stdout, re.M)
        assert len(groups) == 2, out.stdout


def test_a_fix_repeats_the_command_with_verb_and_sudo(script, tmp_path):
    p = script(PAIRS)
    path = tmp_path / "a file.tmb"
    path.write_text("")
    args = ["snap", "-p", p.pid, "-o", str(path), "-d", "200ms", "--mode", "exact"]
    out = harness.run_tool(*args, env=harness.tool_env(SUDO_UID=0, SUDO_GID=0))
    assert out.returncode == 7 and "E702" in out.stderr
    assert fix_of(out) == " ".join(["sudo", harness.BINARY, "snap", "-p", str(p.pid), "-o", "'%s'" % path, "-d", "200ms",
                                    "--mode", "exact", "--force"])
    again = run_fix(fix_of(out))
    assert again.returncode == 0, again.stderr
    assert path.stat().st_size > 0


def test_a_fix_replaces_the_option_that_is_wrong(tmp_path):
    p = subprocess.Popen(["sleep", "60"])
    try:
        out = harness.run_tool("-p", p.pid, "--domains=python", "200ms", 1, env=harness.tool_env(SUDO_UID=0))
        assert out.returncode == 3 and "E302" in out.stderr
        assert fix_of(out) == "sudo %s -p %d --domains native 200ms 1" % (harness.BINARY, p.pid)
        again = run_fix(fix_of(out))
        assert again.returncode == 0, again.stderr
    finally:
        p.kill()
        p.wait()


def test_without_privileges_the_fix_is_the_same_command_under_sudo(debian, script, tmp_path):
    p = script(PAIRS)
    copy = tmp_path / "tmbpf"
    shutil.copy(harness.BINARY, copy)
    os.chmod(copy, 0o755)
    for d in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(d, 0o755)
    out = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all",
                          str(copy), "record", "-p", str(p.pid), "-o", "/dev/shm", "--every", "5s"],
                         stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=30,
                         env=harness.tool_env(XDG_CACHE_HOME=tmp_path / "c"))
    assert out.returncode == 4, out.stderr
    assert fix_of(out) == "sudo %s record -p %d -o /dev/shm --every 5s" % (copy, p.pid)


def test_next_steps_repeat_the_command(script):
    p = script(PAIRS)
    out = harness.run_tool("-p", p.pid, "--mode", "exact", "1", "1", env=harness.tool_env(SUDO_UID=0))
    last = out.stdout.splitlines()[-1]
    start = "sudo %s -p %d --mode exact 1 1" % (harness.BINARY, p.pid)
    assert last == "Next: %s --by traceback -v      or: %s -j" % (start, start)


def test_explain_prints_the_row_and_names_the_closest():
    out = harness.run_tool("explain", "e301", "ring_full")
    assert out.returncode == 0
    assert out.stdout.startswith("E301: no such process") and "\nring_full: " in out.stdout
    assert "exit status: 3" in out.stdout and "remedy: " in out.stdout
    out = harness.run_tool("explain", "ring_fool")
    assert out.returncode == 2 and not out.stdout
    assert "the closest: ring_full" in out.stderr
    out = harness.run_tool("explain")
    assert out.returncode == 0 and len(out.stdout.splitlines()) > 60
