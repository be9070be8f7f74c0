# SPDX-License-Identifier: GPL-2.0-or-later
"""How a session ends: what became of the target, signals, an output that nobody reads or that is closed."""
import contextlib
import json
import os
import re
import resource
import signal
import struct
import subprocess
import time

import pytest

import harness
from harness import run_tool

LEAK = ("import sys, time\nprint('READY', flush=True)\nkept = []\n"
        "while True:\n    kept.append(bytes(3000)); time.sleep(0.002)\n")


def ended(t, timeout=60):
    """Read to the end; (last interval, its sites, end record, stderr)."""
    t.read_to_end(timeout)
    return t.last() + (t.stderr(),)


# ---- what became of the target ----

@pytest.mark.parametrize("how,reason,key,value,text", [
    ("sys.exit(7)", "target-exit", "target_status", 7, "has exited with status 7"),
    ("os.kill(os.getpid(), 11)", "target-signal", "target_signal", 11, "was ended by signal 11 (Segmentation fault)"),
    ("import threading; threading.Thread(target=lambda: (time.sleep(1), os._exit(9))).start();"
     "ctypes.CDLL(None).pthread_exit(None)", "target-exit", "target_status", 9, "has exited with status 9"),
], ids=["status", "signal", "last-thread"])
def test_the_end_is_told_as_the_kernel_knows_it(how, reason, key, value, text, debian, program, tool):
    code = ("import ctypes, os, sys, time\nprint('READY', flush=True)\nkept = []\nend = time.monotonic() + 3.5\n"
            "while time.monotonic() < end:\n    kept.append(bytes(3000)); time.sleep(0.002)\n%s\n" % how)
    p = program(debian, "-c", code)
    t = tool("-p", p.pid, "--mode", "exact", 1)
    interval, sites, end, stderr = ended(t)
    assert end["reason"] == reason and end[key] == value, end
    assert t.proc.returncode == 0 and 0 <= end["age_s"] < 3
    assert re.search(r"W150: process %d %s: " % (p.pid, re.escape(text)), stderr), stderr
    assert interval["rss_bytes"], "an interval of a process that has ended has the RSS that was read last"
    assert sites


@contextlib.contextmanager
def memory_group(limit_mb):
    """A control group with a memory limit, of version 1 or 2."""
    v1 = os.path.isdir("/sys/fs/cgroup/memory")
    path = "%s/tmbpf-test-%d" % ("/sys/fs/cgroup/memory" if v1 else "/sys/fs/cgroup", os.getpid())
    os.mkdir(path)
    try:
        with open(path + ("/memory.limit_in_bytes" if v1 else "/memory.max"), "w") as f:
            f.write(str(limit_mb << 20))
        yield path
    finally:
        for _ in range(50):
            try:
                os.rmdir(path)
                break
            except OSError:
                time.sleep(0.1)


@pytest.mark.parametrize("mode,blocks_each,rate", [("small", 1, 0), ("big", 2, 40)])
def test_out_of_memory_is_named_and_the_line_is_right(mode, blocks_each, rate, debian, program, tool, target_script, tmp_path):
    truth = tmp_path / "truth"
    with memory_group(60) as group:
        p = program(debian, target_script("fill_memory.py"), mode, truth, rate)
        with open(group + "/cgroup.procs", "w") as f:
            f.write(str(p.pid))
        t = tool("-p", p.pid, "--mode", "exact", 1)
        t.hello()
        p.say("go")
        interval, sites, end, stderr = ended(t, 100)
        assert p.proc.wait(10) == -signal.SIGKILL
    kept = struct.unpack("q", truth.read_bytes()[:8])[0]
    line = next(n for n, text in enumerate(open(target_script("fill_memory.py")), 1)
                if "LEAK" in text and (mode == "big") == ("bytearray" in text))
    blocks = sum(s["blocks"] for s in sites if s["line"] == line)
    assert end["reason"] == "target-oom", end
    assert "was killed by the kernel because memory ran out (OOM)" in stderr, stderr
    assert kept > 500
    blocks /= blocks_each  # a bytearray has its object and its buffer
    assert abs(blocks - kept) <= 0.02 * kept, (blocks, kept, end, stderr)


# ---- what was asked for ----

@pytest.mark.parametrize("count", [1, 3])
def test_as_many_reports_as_asked_for_and_no_more(count, debian, program, tool):
    p = program(debian, "-c", LEAK)
    t = tool("-p", p.pid, "--mode", "exact", "300ms", count)
    t.read_to_end(60)
    assert sum(r["type"] == "interval" for r in t.records) == count
    assert t.last()[2]["reason"] == "count"
    assert t.proc.returncode == 0 and p.alive()


# ---- signals ----

def cpu_state(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def wait_end(proc, seconds):
    """Seconds until it has ended, or None."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if proc.poll() is not None:
            return time.monotonic() - start
        time.sleep(0.01)
    return None


def start_unread(pid, *args):
    """The tool with a pipe that nobody reads: soon every report waits for room in it."""
    r, w = os.pipe()
    proc = subprocess.Popen([harness.BINARY, "-p", str(pid)] + [str(a) for a in args], stdin=subprocess.DEVNULL,
                            stdout=w, stderr=subprocess.PIPE, text=True, env=harness.tool_env())
    os.close(w)
    return proc, r


def wait_until_full(proc, r, timeout=60):
    """Until it has filled the pipe and waits."""
    import array
    import fcntl
    import termios
    deadline = time.monotonic() + timeout
    last, same = -1, 0
    while same < 8:
        n = array.array("i", [0])
        fcntl.ioctl(r, termios.FIONREAD, n)
        same = same + 1 if n[0] == last and n[0] > 50000 else 0
        last = n[0]
        assert proc.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)


def test_a_signal_ends_it_while_its_output_is_not_read(debian, program):
    p = program(debian, "-c", LEAK)
    proc, r = start_unread(p.pid, "--mode", "exact", "-j", "-T", "0", "--by", "traceback", "20ms")
    try:
        wait_until_full(proc, r)
        proc.send_signal(signal.SIGINT)
        took = wait_end(proc, 10)
        assert took is not None, "still there after 10 s"
        assert proc.returncode == 0
        assert took < 5
        assert "W152" in proc.stderr.read()
    finally:
        proc.kill()
        os.close(r)
    assert p.alive()


def test_reports_that_came_too_late_are_skipped_and_counted(debian, program):
    p = program(debian, "-c", LEAK)
    proc, r = start_unread(p.pid, "--mode", "exact", "-j", "-T", "0", "--by", "traceback", "20ms", 100000)
    try:
        wait_until_full(proc, r)
        time.sleep(1)
        os.set_blocking(r, False)
        with contextlib.suppress(BlockingIOError):
            while os.read(r, 65536):
                pass
        time.sleep(0.5)
        os.set_blocking(r, True)
        proc.send_signal(signal.SIGTERM)
        rest = b""
        while True:
            piece = os.read(r, 65536)
            if not piece:
                break
            rest += piece
        assert proc.wait(20) == 0
    finally:
        proc.kill()
        os.close(r)
    text = proc.stderr.read()
    skipped = re.findall(r"W151: skipped (\d+) reports?: one took ([0-9.]+) s", text)
    assert sum(int(n) for n, _ in skipped) >= 20 and max(float(s) for _, s in skipped) > 0.5, text
    assert json.loads(rest.splitlines()[-1])["reason"] == "sigterm"


def test_a_second_signal_ends_it_at_once(debian, program, tmp_path):
    """While `record` waits for a reader of its file, and would for 10 s."""
    from recording import Recorder, held
    p = program(debian, "-c", LEAK)
    path = tmp_path / "run.tmb"
    r = Recorder(p.pid, path, "--every", "1s", "--mode", "exact", log=tmp_path / "log")
    try:
        r.wait_snapshots(1)
        with held(path):
            r.proc.send_signal(signal.SIGINT)
            time.sleep(1)
            assert r.proc.poll() is None, r.said()
            r.proc.send_signal(signal.SIGINT)
            assert wait_end(r.proc, 5) is not None, "still there 5 s after the second signal"
    finally:
        r.close()
    assert p.alive()


@contextlib.contextmanager
def slow_cpu():
    """A control group, and a function that takes the CPU away from it: so many percent of one are left."""
    v1 = os.path.isdir("/sys/fs/cgroup/cpu")
    path = "%s/tmbpf-test-cpu-%d" % ("/sys/fs/cgroup/cpu" if v1 else "/sys/fs/cgroup", os.getpid())
    os.mkdir(path)

    def limit(percent):
        quota = "%d" % (percent * 10000)
        for name, text in [("cpu.cfs_period_us", "1000000"), ("cpu.cfs_quota_us", quota)] if v1 else \
                [("cpu.max", quota + " 1000000")]:
            with open(os.path.join(path, name), "w") as f:
                f.write(text)
    try:
        yield path, limit
    finally:
        with open(os.path.dirname(path) + "/cgroup.procs", "w") as f:
            for pid in open(path + "/cgroup.procs").read().split():
                with contextlib.suppress(OSError):
                    f.write(pid)
                    f.flush()
        for _ in range(50):
            try:
                os.rmdir(path)
                break
            except OSError:
                time.sleep(0.1)


MANY = ("import sys, time\nkept = []\nprint('READY', flush=True)\nsys.stdin.readline()\n"
        "for i in range(400000):\n    kept.append((i, kept))\nprint('done', flush=True)\n"
        "while True:\n    time.sleep(0.1)\n")


def test_a_signal_cuts_a_long_report_short(debian, program, tool):
    """With a thousandth of a CPU a look at the heap takes longer than an end may: the numbers of the report
    before stay, and the end says so."""
    p = program(debian, "-c", MANY)
    with slow_cpu() as (group, limit):
        # From its start on: a thread that has got a real-time priority cannot be moved there.
        t = tool("-p", p.pid, "--mode", "exact", "-vv", 1, wrap=["sh", "-c", 'echo $$ >"$0" && exec "$@"',
                                                                group + "/cgroup.procs"])
        t.hello()
        p.go()
        t.drop_old()
        before = t.interval()
        limit(0.1)
        looks = t.stderr().count("drain: ")
        t.proc.send_signal(signal.SIGTERM)
        time.sleep(6)
    start = time.monotonic()
    t.read_to_end()
    took = time.monotonic() - start
    interval = [r for r in t.records if r["type"] == "interval"][-1]
    end = [r for r in t.records if r["type"] == "end"][-1]
    assert before["live_blocks"] >= 400000
    assert end.get("interrupted") is True and end["reason"] == "sigterm", end
    assert interval["live_blocks"] >= 400000
    assert t.stderr().count("drain: ") == looks, "the look at the heap was not cut but went on to its end"
    assert t.proc.returncode == 0 and took < 60


# ---- outputs ----

@pytest.mark.parametrize("stdout", ["closed", "full"])
def test_an_output_that_cannot_be_written_is_status_7(stdout, debian, program):
    p = program(debian, "-c", LEAK)
    argv = [harness.BINARY, "-p", str(p.pid), "1", "1"]
    redirect = ">&-" if stdout == "closed" else ">/dev/full"
    r = subprocess.run(["sh", "-c", 'exec "$0" "$@" ' + redirect] + argv, stdin=subprocess.DEVNULL, text=True,
                       stderr=subprocess.PIPE, timeout=60, env=harness.tool_env())
    assert r.returncode == 7 and "E701" in r.stderr, (r.returncode, r.stderr)


def test_a_recording_goes_to_a_pipe(debian, program, tmp_path):
    p = program(debian, "-c", LEAK)
    path = tmp_path / "piped.tmb"
    with open(path, "wb") as out:
        r = subprocess.run([harness.BINARY, "snap", "-p", str(p.pid), "-d", "2s", "-o", "-"],
                           stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60,
                           env=harness.tool_env(TMPDIR=tmp_path))
    assert r.returncode == 0, r.stderr
    assert [n.name for n in tmp_path.iterdir()] == ["piped.tmb"], "what it needed meanwhile is gone"
    r = run_tool("report", path)
    assert r.returncode == 0 and "<string>:5" in r.stdout, r.stdout + r.stderr


def test_a_recording_does_not_go_to_a_terminal(debian, program):
    p = program(debian, "-c", LEAK)
    ours, theirs = os.openpty()
    try:
        r = subprocess.run([harness.BINARY, "snap", "-p", str(p.pid), "-d", "1s", "-o", "-"], stdin=subprocess.DEVNULL,
                           stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60, env=harness.tool_env())
    finally:
        os.close(ours)
        os.close(theirs)
    assert r.returncode == 2 and "E201" in r.stderr, r.stderr


def test_few_open_files_are_raised_or_named(debian, program):
    p = program(debian, "-c", LEAK)

    def run(soft, hard):
        return subprocess.run([harness.BINARY, "-p", str(p.pid), "--mode", "exact", "1", "1"], text=True, timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True, env=harness.tool_env(),
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
    raised = run(12, 1024)
    assert raised.returncode == 0, raised.stderr
    short = run(12, 12)
    assert short.returncode == 6 and "E602" in short.stderr and "ulimit -n" in short.stderr, short.stderr


# ---- a hostile neighbour ----

SQUATTER = """
import os, sys, time
d = sys.argv[1]; done = set()
os.setgid(65534); os.setuid(65534)
print("READY", flush=True)
while True:
    for f in os.listdir(d):
        if f.endswith(".tmb") and f not in done:
            try:
                os.close(os.open(d + "/" + f + "-journal", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                done.add(f)
            except OSError:
                pass
    time.sleep(0.001)
"""


def test_another_user_cannot_stop_a_recording(debian, program, tmp_path):
    """In a sticky directory such as /tmp, by a file of the journal's name between two snapshots."""
    import recording
    os.chmod(tmp_path.parent, 0o755)
    os.chmod(tmp_path, 0o755)
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    os.chmod(sticky, 0o1777)
    for parent in sticky.parents:
        if parent.stat().st_uid == 0 and str(parent) != "/":
            os.chmod(parent, parent.stat().st_mode | 0o055)
    p = program(debian, "-c", LEAK)
    program("/usr/bin/python3", "-c", SQUATTER, str(sticky))
    r = recording.Recorder(p.pid, sticky / "run.tmb", "--every", "300ms", "--mode", "exact", log=tmp_path / "log")
    try:
        r.wait_snapshots(4)
        assert r.stop() == 0, r.said()
    finally:
        r.close()
    assert recording.meta(sticky / "run.tmb")["end_reason"] == "sigint"


def test_source_lines_are_read_with_the_rights_of_the_caller(debian, program, tmp_path):
    """The paths come from the target: through sudo it must not show what its caller could not read."""
    os.chmod(tmp_path.parent, 0o755)
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and str(parent) != "/":
            os.chmod(parent, parent.stat().st_mode | 0o055)
    secret = tmp_path / "secret.txt"
    secret.write_text("the root password is tiger\n")
    secret.chmod(0o600)
    open_file = tmp_path / "open.txt"
    open_file.write_text("a line for everyone\n")
    code = ("import time\nprint('READY', flush=True)\nkept = []\n"
            "fs = [eval(compile('lambda: kept.append(bytes(3000))', f, 'eval')) for f in (%r, %r)]\n"
            "while True:\n    [f() for f in fs]; time.sleep(0.002)\n" % (str(secret), str(open_file)))
    p = program(debian, "-c", code)
    path = tmp_path / "run.tmb"
    assert run_tool("snap", "-p", p.pid, "-d", "1s", "--mode", "exact", "-o", path).returncode == 0
    as_root = run_tool("report", "--by", "traceback", "--source", path)
    assert "tiger" in as_root.stdout and "a line for everyone" in as_root.stdout, as_root.stdout
    through_sudo = run_tool("report", "--by", "traceback", "--source", path, env=harness.tool_env(SUDO_UID=65534, SUDO_GID=65534))
    assert "a line for everyone" in through_sudo.stdout, through_sudo.stdout + through_sudo.stderr
    assert "tiger" not in through_sudo.stdout
