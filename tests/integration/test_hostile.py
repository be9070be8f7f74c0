# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets that mean harm to who looks at them: memory, time and the terminal of tmbpf stay its own."""
import os
import signal
import subprocess
import time
import unicodedata

import pytest

import harness
import recording

HOSTILE = os.path.join(harness.TARGETS, "hostile")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """built(NAME, PROGRAM): tests/targets/hostile/NAME.c as a program of that name."""
    def build(name, program):
        binary = tmp_path_factory.mktemp(name) / program
        subprocess.run(["gcc", "-O1", "-o", str(binary), os.path.join(HOSTILE, name + ".c")], check=True)
        return str(binary)
    return build


def run_measured(*args, seconds=30):
    """(exit status, stderr, KiB of the biggest resident set): None for the status when it did not end in time."""
    out = subprocess.Popen([harness.BINARY] + [str(a) for a in args], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=harness.tool_env())
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status, usage = os.wait4(out.pid, os.WNOHANG)
        if pid:
            out.returncode = os.waitstatus_to_exitcode(status)
            return out.returncode, out.stderr.read(), usage.ru_maxrss
        time.sleep(0.02)
    out.kill()
    pid, status, usage = os.wait4(out.pid, 0)
    out.returncode = os.waitstatus_to_exitcode(status)
    return None, out.stderr.read(), usage.ru_maxrss


def test_sparse_files_cost_no_memory(built, program):
    p = program(built("sparse", "python3.11"), 40, 64 << 20)
    _, _, few = run_measured("ls")
    status, stderr, kib = run_measured("-p", p.pid, 1, 1)
    assert status == 0, stderr
    # 40 files of 64 MiB; of each the header is read
    assert kib < 100 << 10, "%d KiB; ls takes %d" % (kib, few)


def test_equal_line_tables_are_kept_once(debian, program, tool, show):
    p = program(debian, os.path.join(HOSTILE, "line_tables.py"), 60)
    t = tool("-p", p.pid, 1, "--mode", "exact", "--overhead", "10000%")
    t.hello()
    p.go()
    t.drop_old()
    t.interval()
    kib = harness.status_kib(t.pid, "VmHWM")
    _, sites, _ = t.stop()
    named = {s["function"] for s in sites if s["file"] == "shared.py"}
    assert named, "no line of shared.py in %r" % sites[:3]
    assert kib < 250 << 10, "%d KiB" % kib  # 60 tables of 15 MiB
    show("hostile: 60 functions with one line table of 15 MiB", "VmHWM %d KiB\n" % kib)


@pytest.mark.parametrize("args", [("-p", "PID", 1, 1), ("ls",), ("sites", "-p", "PID")])
def test_a_page_that_blocks_is_given_up(built, program, args):
    p = program(built("blocked_page", "python3.11"))
    start = time.monotonic()
    status, stderr, _ = run_measured(*[p.pid if a == "PID" else a for a in args], seconds=15)
    assert status is not None, "did not end within 15 s: %s" % stderr
    assert time.monotonic() - start < 15
    if args != ("ls",):
        assert "W131" in stderr, stderr
    assert p.alive()


def test_a_file_that_blocks_is_given_up(program, tmp_path):
    """The program runs from a mount whose server answers until tmbpf comes."""
    fuse = harness.Program(("/usr/bin/python3", os.path.join(HOSTILE, "stuck_fuse.py"), tmp_path, "python3.11",
                            "/bin/sleep"))
    try:
        p = program(tmp_path / "python3.11", 1000, ready=False)
        while "libc" not in open("/proc/%d/maps" % p.pid).read():
            time.sleep(0.01)
        fuse.say("stick")
        for args in (("ls",), ("-p", p.pid, 1, 1)):
            status, stderr, _ = run_measured(*args, seconds=20)
            assert status == 0, stderr
        fuse.expect("asked", 1)
        assert "W131" in stderr and "python3.11" in stderr, stderr
    finally:
        fuse.say("quit")
        fuse.proc.wait(10)
        fuse.close()


def io_bytes(pid):
    """Bytes read by a process and its children."""
    total = 0
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        pids = [pid] + [int(n) for n in f.read().split()]
    for n in pids:
        with open("/proc/%d/io" % n) as f:
            total += int(f.readline().split()[1])
    return total


def test_many_mappings_are_read_rarely(debian, program, tool, show):
    p = program(debian, os.path.join(HOSTILE, "mappings.py"), timeout=60)
    with open("/proc/%d/maps" % p.pid) as f:
        maps_bytes = len(f.read())
    alone = p.go_for(3)
    t = tool("-p", p.pid, 1, "--mode", "exact", "--overhead", "10000%")
    t.hello()
    t.interval()
    before = io_bytes(t.pid)
    traced = p.go_for(5)
    read = io_bytes(t.pid) - before
    t.stop()
    show("hostile: 60,000 mappings, mmap() and munmap() of the target in us (median, p99, max)",
         "alone  %s\ntraced %s\nread of /proc by tmbpf in 5 s: %d bytes; its maps are %d\n" %
         (alone, traced, read, maps_bytes))
    assert read < 2 * maps_bytes, "%d bytes read in 5 s, the maps have %d" % (read, maps_bytes)


# ---- the terminal ----

def bad_characters(data):
    """What steers a terminal in bytes that go to one; tab and newline are allowed."""
    text = data.decode("utf-8", "surrogateescape")
    bad = {c for c in text if c not in "\t\n" and (unicodedata.category(c) in ("Cc", "Cs") or
                                                   0xdc80 <= ord(c) <= 0xdcff or
                                                   c in "\u061c\u200e\u200f" or
                                                   "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069")}
    return {"U+%04X" % ord(c) for c in bad}


def clean_run(*args, status=(0,)):
    """Run; what it prints is clean. Returns: its stdout."""
    run = subprocess.run([harness.BINARY] + [str(a) for a in args], stdin=subprocess.DEVNULL, capture_output=True,
                         timeout=60, env=harness.tool_env())
    for stream, data in (("stdout", run.stdout), ("stderr", run.stderr)):
        assert not bad_characters(data), (args, stream, bad_characters(data), data[-300:])
    assert run.returncode in status, (args, run.returncode, run.stderr[-300:])
    return run.stdout.decode()


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """(pid of a process with hostile names, directory with a hostile name, recording in it)."""
    here = tmp_path_factory.mktemp("evil") / "d\x1b[31m\u009b\u202e\n\x7f"
    here.mkdir()
    script = here / "s\x1bc\u2067\n.py"
    with open(os.path.join(HOSTILE, "names.py")) as f:
        script.write_text(f.read())
    p = harness.Program(("/usr/bin/python3", script))
    file = here / "r\x1b\u0085.tmb"
    record = recording.Recorder(p.pid, file, "--every", "1s", log=here / "log")
    record.wait_snapshots(3)
    record.stop()
    with open(str(here / "log"), "rb") as f:
        assert not bad_characters(f.read())
    yield p.pid, here, file
    record.close()
    p.close()


def test_names_do_not_steer_the_terminal(evil):
    pid, here, file = evil
    for by in ("lineno", "traceback", "filename"):
        assert "?" in clean_run("-p", pid, 1, 1, "--by", by, "-v")
    assert "\\u009b" in clean_run("-p", pid, 1, 1, "-j")
    listed = [line for line in clean_run("ls").splitlines() if str(pid) in line]
    assert len(listed) == 1, listed
    clean_run("ls", "--json")
    for by in ("lineno", "traceback", "filename", "function", "module"):
        assert "?" in clean_run("report", file, "--by", by)
        clean_run("report", file, "--by", by, "-j")
        clean_run("diff", "%s@first" % file, "%s@last" % file, "--by", by)
    clean_run("diff", "%s@first" % file, "%s@last" % file, "-j")
    clean_run("leaks", file, status=(0, 1, 6))
    clean_run("leaks", file, "-j", status=(0, 1, 6))
    for form in ("folded", "csv", "ndjson", "speedscope"):
        clean_run("export", file, "-f", form)
    clean_run("sites", "-p", pid)


@pytest.mark.parametrize("args", [("report", "EVIL"), ("leaks", "EVIL"), ("diff", "EVIL", "EVIL"), ("sites", "EVIL"),
                                  ("export", "EVIL", "-f", "csv"), ("EVIL",), ("--EVIL",), ("report", "--EVIL"),
                                  ("-p", "1", "EVIL"), ("-p", "EVIL"), ("report", "x", "EVIL"), ("export", "x", "-f", "EVIL"),
                                  ("record", "-p", "1", "-o", "/nonexistent/EVIL"), ("ls", "EVIL"),
                                  ("report", "x", "--sort", "EVIL"), ("leaks", "x", "--fail-on", "EVIL")])
def test_the_command_line_is_echoed_clean(args):
    """A glob of the shell brings names of files that others chose."""
    evil = "x\x1b[2J\u009b\u202e\x7f\nforged"
    clean_run(*[a.replace("EVIL", evil) for a in args], status=range(1, 8))
