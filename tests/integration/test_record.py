# SPDX-License-Identifier: GPL-2.0-or-later
"""record and snap on real processes: the file while it grows, how it ends, and who may do what with it."""
import json
import os
import random
import re
import signal
import sqlite3
import stat
import subprocess
import time

import pytest

import harness
from recording import Recorder, check_readable, held, meta, nobody, numbers, rows, sql_examples

KILLS = 200 if harness.FULL else 12


@pytest.fixture
def record(tmp_path):
    """Start recorders; all of them end with the test."""
    started = []

    def start(pid, out, *args, **kw):
        r = Recorder(pid, out, *args, log=tmp_path / ("log-%d" % len(started)), **kw)
        started.append(r)
        return r
    yield start
    for r in started:
        r.close()


@pytest.fixture
def leaky(debian, program, target_script):
    return program(debian.path, target_script("leaky_cache.py"), 300)


def bytes_by_line(path, snapshot=None):
    """{(file, line): bytes} of all traces of a snapshot, by plain SQL over the base tables."""
    sql = """SELECT file.text, f.line, sum(c.live_bytes)
             FROM (SELECT trace, max(snapshot), live_bytes FROM change WHERE snapshot <= ? GROUP BY trace) c
             JOIN trace t ON t.id = c.trace JOIN stack s ON s.id = t.stack JOIN frame f ON f.id = s.frame
             LEFT JOIN string file ON file.id = f.file GROUP BY 1, 2 HAVING sum(c.live_bytes) > 0"""
    return {(f, n): b for f, n, b in rows(path, sql, snapshot or numbers(path)[-1])}


# ---- a recording as it should be ----

def test_a_series_of_a_leaking_process(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "300ms")
    r.wait_snapshots(2)
    seen = []
    while len(seen) < 5 or seen[-1] < 6:  # readable while it is written
        seen.append(len(numbers(path)))
        out = harness.run_tool("report", "-j", path)
        assert out.returncode == 0, out.stderr
        time.sleep(0.1)
    assert seen == sorted(seen)
    assert r.stop() == 0
    said = r.said()
    assert "Next: tmbpf leaks %s" % path in said
    have = check_readable(path)
    assert have == list(range(1, len(have) + 1)) and len(have) == len(r.snapshots()) >= 7
    live = [b for b, in rows(path, "SELECT live_bytes FROM snapshot ORDER BY id")]
    assert live[-1] > live[0] > 0
    top = rows(path, "SELECT file, line, function, domain FROM top_lines LIMIT 1")[0]
    assert top[0].endswith("leaky_cache.py") and top[2] == "remember" and top[3] == "python"
    grown = rows(path, "SELECT line, growth_bytes FROM growth LIMIT 1")[0]
    assert grown[1] > 0
    # freed blocks count as allocated
    assert all(a >= n for a, n in rows(path, "SELECT alloc_bytes, live_bytes FROM snapshot"))
    assert leaky.alive()


def test_what_is_known_of_the_process(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    before = time.time_ns()
    r = record(leaky.pid, path, "--every", "200ms", "--frames", "7", "--mode", "exact", "--threads")
    r.wait_snapshots(1)
    assert r.stop(signal.SIGTERM) == 0
    m = meta(path)
    assert m["pid"] == leaky.pid and m["comm"] == "python3" and m["end_reason"] == "sigterm"
    assert m["python_version"].startswith("3.11") and m["mode"] == "exact" and m["frames"] == 7
    assert m["every_s"] == 0.2 and m["threads"] == 1 and m["python"] == 1 and m["native"] == 1
    assert m["libc"].startswith("glibc ") and os.path.isabs(m["program"])
    assert before < m["attach_ns"] < time.time_ns() and m["start_ns"] < before
    # the script, and no argument of it
    assert m["command"].endswith("leaky_cache.py") and "300" not in m["command"]
    threads = {t for t, in rows(path, "SELECT DISTINCT thread FROM traces")}
    assert any(t and str(leaky.pid) in t for t in threads)
    depth = rows(path, """WITH RECURSIVE w(stack, n) AS (SELECT stack, 1 FROM trace UNION ALL
                          SELECT s.parent, n + 1 FROM w JOIN stack s ON s.id = w.stack WHERE s.parent > 0)
                          SELECT max(n) FROM w""")[0][0]
    assert depth <= 7


def test_lines_whose_blocks_are_all_freed_are_kept(debian, program, record, tmp_path):
    """Who asks what was allocated wants them, too."""
    code = ("import sys\nprint('READY', flush=True)\nsys.stdin.readline()\nfor i in range(500):\n    bytes(3000 + i)\n"
            "print('done', flush=True)\nsys.stdin.readline()\n")
    path = tmp_path / "run.tmb"
    p = program(debian, "-c", code)
    r = record(p.pid, path, "--every", "300ms", "--mode", "exact")
    r.wait_snapshots(1)
    p.go()
    r.wait_snapshots(len(r.snapshots()) + 2)
    assert r.stop() == 0
    live, blocks, size = rows(path, """SELECT sum(live_blocks), sum(alloc_blocks), sum(alloc_bytes)
        FROM (SELECT *, max(snapshot) FROM change GROUP BY trace) c JOIN trace t ON t.id = c.trace
        JOIN stack s ON s.id = t.stack JOIN frame f ON f.id = s.frame WHERE f.line = 5""")[0]
    assert live <= 2 and blocks >= 500 and size >= 500 * 3000, (live, blocks, size)


def test_sql_tmbpf_and_the_views_agree(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "100ms", "-d", "1s")
    assert r.proc.wait(60) == 0
    assert meta(path)["end_reason"] == "duration"
    for n in numbers(path):
        out = harness.run_tool("report", "-j", "-T", 0, "--no-default-filters", "%s@%d" % (path, n))
        report = [json.loads(x) for x in out.stdout.splitlines()]
        want = {(s["file"].split("!")[0].replace("<native> ", ""), s["line"]): s["bytes"]
                for s in report if s["type"] == "statistic"}
        by_line = bytes_by_line(path, n)
        assert sum(by_line.values()) == rows(path, "SELECT live_bytes FROM snapshot WHERE id = ?", n)[0][0]
        python = {k: v for k, v in by_line.items() if k[1] > 0}
        assert python and python == {k: v for k, v in want.items() if k[1] > 0}
        assert rows(path, "SELECT sum(live_bytes) FROM sizes WHERE snapshot = ?", n)[0][0] == sum(by_line.values())
    top = {(f, n): b for f, n, b in rows(path, "SELECT file, line, sum(live_bytes) FROM top_lines GROUP BY 1, 2")}
    assert {k: v for k, v in top.items() if v} == bytes_by_line(path)


def test_every_example_of_the_document_answers(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "200ms", "-d", "1s")
    assert r.proc.wait(60) == 0
    examples = sql_examples("snapshot-format.md")
    assert len(examples) >= 9
    for sql in examples:
        out = subprocess.run(["sqlite3", "-readonly", "-header", str(path), sql], capture_output=True, text=True)
        assert out.returncode == 0, (sql, out.stderr)
        if "FROM loss" not in sql:
            assert len(out.stdout.splitlines()) >= 2, (sql, out.stdout)
    out = subprocess.run(["sqlite3", str(path), "select * from top_lines"], capture_output=True, text=True)
    assert "leaky_cache.py" in out.stdout
    # every table and view that there is, is in the document, and the other way round
    with open(os.path.join(harness.ROOT, "docs", "snapshot-format.md")) as f:
        documented = set(re.findall(r"^\| `(\w+)` \| (?:an? |the same|what |losses|how )", f.read(), re.M))
    assert documented == {n for n, in rows(path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}


def test_keep_thins_out_the_old_ones(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "50ms", "--keep", "6", "-d", "2s")
    assert r.proc.wait(60) == 0
    have, all_of_them = numbers(path), r.snapshots()
    assert len(all_of_them) > 12 and len(have) == 6
    assert have[0] == 1 and have[-2:] == all_of_them[-2:]
    out = harness.run_tool("leaks", "-j", path)
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout.splitlines()[0])["snapshots"] == 6
    gone = next(n for n in all_of_them if n not in have)
    out = harness.run_tool("report", "%s@%d" % (path, gone))
    assert out.returncode == 3 and "E315" in out.stderr


def test_snap_is_one_snapshot(leaky, tmp_path):
    path = tmp_path / "a.tmb"
    out = harness.run_tool("snap", "-p", leaky.pid, "-o", path, "-d", "500ms")
    assert out.returncode == 0, out.stderr
    assert out.stdout == "" and "since attach" in out.stderr and "Next: tmbpf report %s" % path in out.stderr
    assert numbers(path) == [1] and meta(path)["every_s"] == 0
    assert 0.4 < rows(path, "SELECT elapsed_s FROM snapshot")[0][0] < 5
    out = harness.run_tool("snap", "-q", "-p", leaky.pid, "-o", tmp_path / "b.tmb", "-d", "100ms")
    assert out.returncode == 0 and out.stderr == "" and out.stdout == ""


def test_a_directory_gets_a_file_by_pid_and_time(leaky, tmp_path):
    for where in (str(tmp_path), str(tmp_path) + "/", str(tmp_path)):
        out = harness.run_tool("snap", "-p", leaky.pid, "-o", where, "-d", "50ms")
        assert out.returncode == 0, out.stderr
    made = sorted(n for n in os.listdir(tmp_path) if n.endswith(".tmb"))
    assert len(made) == 3
    for name in made:
        assert re.fullmatch(r"tmbpf-%d-\d{8}T\d{6}Z(-\d+)?\.tmb" % leaky.pid, name)
        assert numbers(tmp_path / name) == [1]


def test_a_directory_takes_two_at_once(leaky, record, tmp_path):
    both = [record(leaky.pid, tmp_path, "-d", "1s", verb="snap") for _ in range(2)]
    for r in both:
        assert r.proc.wait(60) == 0, r.said()
    assert len([n for n in os.listdir(tmp_path) if n.endswith(".tmb")]) == 2


def test_the_end_of_the_target_is_a_last_snapshot(debian, program, target_script, record, tmp_path):
    p = program(debian.path, target_script("leaky_cache.py"), 300)
    path = tmp_path / "run.tmb"
    r = record(p.pid, path, "--every", "30s")
    deadline = time.monotonic() + 60
    while "recording to" not in r.said() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2.5)
    p.proc.kill()
    assert r.proc.wait(60) == 0, r.said()
    assert check_readable(path) == [1] and meta(path)["end_reason"] == "target-signal"
    assert rows(path, "SELECT live_bytes FROM snapshot")[0][0] > 0


def test_nothing_measured_is_3_and_leaves_no_file(tmp_path):
    p = subprocess.Popen(["/usr/bin/python3", "-c", "import time; time.sleep(60)"])
    path = tmp_path / "run.tmb"
    p.kill()
    p.wait()
    out = harness.run_tool("record", "-p", p.pid, "-o", path)
    assert out.returncode == 3 and "E301" in out.stderr
    assert not path.exists()


@pytest.mark.parametrize("args", [["record"], ["snap"], ["record", "-p", "0"], ["record", "-p", "1", "--every", "1ms"],
                                  ["record", "-p", "1", "--keep", "2"], ["record", "-p", "1", "more"],
                                  ["snap", "-p", "1", "-d", "x"], ["snap", "-p", "1", "--mode", "fast"],
                                  ["record", "-p", "1", "--every", "200000d"], ["snap", "-p", "1", "-d", "200000d"],
                                  ["record", "-p", "1", "-d", "3651d"], ["-p", "1", "200000d"],
                                  ["ls", "more"], ["record", "-p", "1", "--by", "lineno"]])
def test_wrong_usage_is_2(args):
    out = harness.run_tool(*args)
    assert out.returncode == 2, out.stderr
    assert out.stdout == "" and "tmbpf" in out.stderr


@pytest.fixture
def late_python(program, tmp_path):
    """A program that loads CPython when it is told to."""
    library = "/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0"
    if not os.path.exists(library):
        pytest.skip("no libpython3.11 on this machine")
    source = tmp_path / "late.c"
    source.write_text(r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
	static void *kept[1000000];
	char line[64];
	setvbuf(stdout, NULL, _IONBF, 0);
	puts("READY");
	for (int i = 0; i < 3000; i++) { kept[i] = malloc(2000); usleep(500); }
	if (!fgets(line, sizeof(line), stdin)) return 1;
	void *lib = dlopen("%s", RTLD_NOW | RTLD_GLOBAL);
	((void (*)(void))dlsym(lib, "Py_Initialize"))();
	puts("done");
	((int (*)(const char *))dlsym(lib, "PyRun_SimpleString"))(
		"import time\nx = []\nend = time.monotonic() + 60\n"
		"while time.monotonic() < end:\n x.append([1.5] * 100); time.sleep(0.001)\n");
	return 0;
}
""" % library)
    binary = tmp_path / "late"
    subprocess.run(["gcc", "-O1", "-o", binary, source, "-ldl"], check=True)
    return program(binary)


def test_an_interpreter_that_comes_later_gets_a_file_of_its_own(late_python, record, tmp_path):
    p = late_python
    path = tmp_path / "run.tmb"
    r = record(p.pid, path, "--every", "300ms", "--mode", "exact")
    r.wait_snapshots(2)
    p.go()
    second = tmp_path / "run-2.tmb"
    deadline = time.monotonic() + 60
    while not (second.exists() and len(numbers(second)) >= 2) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert r.stop() == 0, r.said()
    assert "W124" in r.said()
    assert "python_version" not in meta(path) and meta(path)["end_reason"] == "python-appeared"
    assert meta(second)["python_version"].startswith("3.11")
    assert rows(second, "SELECT count(*) FROM trace WHERE domain = 0")[0][0] > 0
    check_readable(path)
    check_readable(second)


def test_an_interpreter_that_comes_at_once_needs_no_second_file(late_python, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(late_python.pid, path, "--every", "5s", "--mode", "exact")
    late_python.go()
    r.wait_snapshots(1)
    if "W124" in r.said():  # else the interpreter was there before the attach
        assert not (tmp_path / "run-2.tmb").exists()
    assert r.stop() == 0, r.said()
    assert meta(path)["python_version"].startswith("3.11")


# ---- killed ----

@pytest.mark.timeout(3600 if harness.FULL else 300)
def test_sigkill_at_any_moment(leaky, record, tmp_path, show):
    rng = random.Random(4)
    cut_off = written = 0
    for i in range(KILLS):
        path = tmp_path / ("run-%d.tmb" % i)
        r = record(leaky.pid, path, "--every", "50ms", "--mode", ["exact", "pools"][i % 2])
        if i % 10 == 9:
            time.sleep(rng.random() * 1.5)  # also while it attaches
        else:
            r.wait_snapshots(1)
            time.sleep(rng.random())
        r.stop(signal.SIGKILL)
        said = r.snapshots()
        cut_off += os.path.exists("%s-journal" % path)
        if path.exists() and (said or path.stat().st_size):
            have = check_readable(path)
            # all that it said were written, and at most one that it had no time to tell of
            assert have[:len(said)] == said and len(have) <= len(said) + 1, (have, said)
            written += len(have)
        else:
            assert not said
        for suffix in ("", "-journal"):
            if os.path.exists("%s%s" % (path, suffix)):
                os.unlink("%s%s" % (path, suffix))
    assert leaky.alive()
    show("SIGKILL of the recorder", "%d kills, %d in the middle of a commit: all %d snapshots readable\n" %
         (KILLS, cut_off, written))


# ---- the disk ----

@pytest.fixture
def small_disk(tmp_path):
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "none", where], check=True)
    yield where
    subprocess.run(["umount", where], check=True)


def test_a_full_disk(leaky, record, small_disk):
    path = small_disk / "run.tmb"
    r = record(leaky.pid, path, "--every", "50ms")
    assert r.proc.wait(120) == 7, r.said()
    said = r.said()
    assert "E704" in said and "are complete" in said and "fix:" in said
    have = check_readable(path)
    assert len(have) >= 5 and have == r.snapshots()
    assert "the %d snapshots up to" % len(have) in said
    assert leaky.alive()


def test_a_full_disk_at_once(leaky, small_disk):
    (small_disk / "fill").write_bytes(b"x" * 158 * 1024)
    out = harness.run_tool("record", "-p", leaky.pid, "-o", small_disk / "run.tmb", "-d", "1s")
    assert out.returncode == 7 and "E704" in out.stderr, out.stderr
    assert os.listdir(small_disk) == ["fill"]


# What a recorder that is killed in a commit leaves: pages that are not all written, and the journal.
CUT_OFF = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE string SET text = text || text")
db.execute("UPDATE frame SET line = line + 1")
os._exit(0)
"""


def test_the_copy_of_a_file_that_was_cut_off(leaky, tmp_path, small_disk):
    path = tmp_path / "run.tmb"
    assert harness.run_tool("snap", "-p", leaky.pid, "-o", path, "-d", "300ms").returncode == 0
    subprocess.run(["/usr/bin/python3", "-c", CUT_OFF, path], check=True)
    assert os.path.exists("%s-journal" % path)
    env = harness.tool_env(TMPDIR=small_disk)
    os.truncate(path, 1 << 30)  # a hole is not copied
    out = harness.run_tool("report", path, env=env)
    assert out.returncode == 0 and "leaky_cache.py" in out.stdout, out.stderr
    assert os.listdir(small_disk) == []
    (small_disk / "fill").write_bytes(b"x" * 150 * 1024)
    out = harness.run_tool("report", path, env=env)
    assert out.returncode == 3 and "E317" in out.stderr and "No space" in out.stderr, out.stderr
    assert os.listdir(small_disk) == ["fill"]


def test_a_read_only_directory(leaky, record, tmp_path):
    where = tmp_path / "ro"
    where.mkdir()
    path = where / "run.tmb"
    out = harness.run_tool("snap", "-p", leaky.pid, "-o", path, "-d", "100ms")
    assert out.returncode == 0, out.stderr
    subprocess.run(["mount", "--bind", where, where], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", where], check=True)
        out = harness.run_tool("snap", "-p", leaky.pid, "-o", where / "b.tmb", "-d", "100ms")
        assert out.returncode == 7 and "E703" in out.stderr
        out = harness.run_tool("report", path)
        assert out.returncode == 0, out.stderr
        assert numbers(path) == [1]
    finally:
        subprocess.run(["umount", where], check=True)


# ---- who may do what ----

def test_nothing_is_overwritten(leaky, tmp_path):
    path = tmp_path / "precious"
    path.write_text("precious")
    for verb in ("record", "snap"):
        started = time.monotonic()
        out = harness.run_tool(verb, "-p", leaky.pid, "-o", path, "-d", "100ms")
        assert out.returncode == 7 and "E702" in out.stderr and "--force" in out.stderr
        assert "nothing is injected" not in out.stderr, "asked only after the attach"
        assert time.monotonic() - started < 10
        assert path.read_text() == "precious"
    # an attach that fails leaves it as well
    out = harness.run_tool("record", "-p", 2, "-o", path, "--force")
    assert out.returncode in (3, 5) and path.read_text() == "precious"
    out = harness.run_tool("snap", "-p", leaky.pid, "-o", path, "-d", "100ms", "--force")
    assert out.returncode == 0 and numbers(path) == [1]


def test_a_symlink_is_not_followed(leaky, tmp_path):
    victim, link = tmp_path / "victim", tmp_path / "run.tmb"
    victim.write_text("precious")
    link.symlink_to(victim)
    for force in ([], ["--force"]):
        out = harness.run_tool("snap", "-p", leaky.pid, "-o", link, "-d", "100ms", *force)
        assert out.returncode == 7 and "E703" in out.stderr and "link" in out.stderr
    assert victim.read_text() == "precious" and link.is_symlink()


def test_bad_places(leaky, tmp_path):
    out = harness.run_tool("snap", "-p", leaky.pid, "-o", tmp_path / "no" / "a.tmb", "-d", "100ms")
    assert out.returncode == 7 and "E703" in out.stderr and "directory" in out.stderr
    out = harness.run_tool("snap", "-p", leaky.pid, "-o", "/dev/full", "-d", "100ms", "--force")
    assert out.returncode == 7 and "E703" in out.stderr
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_the_file_belongs_to_the_caller_of_sudo(leaky, tmp_path, record):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "50ms", env=harness.tool_env(SUDO_UID=12345, SUDO_GID=23456))
    r.wait_snapshots(3)
    info = path.stat()
    assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (12345, 23456, 0o600)
    assert r.stop() == 0
    os.chown(path, 0, 0)
    out = nobody([harness.BINARY, "report", path])
    assert out.returncode in (3, 4) and re.search(r"E(311|411)", out.stderr), out.stderr


def test_anyone_with_read_permission_can_ask(leaky, tmp_path):
    where = tmp_path / "shared"
    where.mkdir(mode=0o555)
    path = where / "run.tmb"
    out = harness.run_tool("snap", "-p", leaky.pid, "-o", path, "-d", "200ms")
    assert out.returncode == 0, out.stderr
    binary = where / "tmbpf"
    with open(harness.BINARY, "rb") as f:
        binary.write_bytes(f.read())
    binary.chmod(0o555)
    parent = tmp_path
    while parent != parent.parent and parent.stat().st_uid == 0 and str(parent) != "/tmp":
        parent.chmod(parent.stat().st_mode | 0o055)
        parent = parent.parent
    out = nobody([binary, "report", path])
    assert out.returncode == 4 and "E411" in out.stderr and "fix:" in out.stderr, out.stderr
    path.chmod(0o444)
    out = nobody([binary, "report", path])
    assert out.returncode == 0 and "leaky_cache.py" in out.stdout, out.stderr


def test_two_recorders_on_one_file(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "100ms")
    r.wait_snapshots(2)
    for force in ([], ["--force"]):
        out = harness.run_tool("record", "-p", leaky.pid, "-o", path, *force)
        assert out.returncode == 7 and "E705" in out.stderr, out.stderr
    r.wait_snapshots(4)
    assert r.stop() == 0
    assert len(check_readable(path)) == len(r.snapshots())


def test_a_reader_that_stays_does_not_stop_it(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "200ms")
    r.wait_snapshots(2)
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, isolation_level=None)
    db.execute("BEGIN")
    held = db.execute("SELECT count(*) FROM snapshot").fetchone()[0]
    deadline = time.monotonic() + 30
    while "W701" not in r.said() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "W701" in r.said()
    out = harness.run_tool("report", path)  # others still get in
    assert out.returncode == 0, out.stderr
    assert len(numbers(path)) == held
    db.execute("COMMIT")
    db.close()
    r.wait_snapshots(len(r.snapshots()) + 2)
    assert r.stop() == 0
    assert len(check_readable(path)) == len(r.snapshots()) > held


def test_a_reader_that_stays_is_waited_for_once(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "100ms")
    r.wait_snapshots(1)
    with held(path):
        r.wait_said("W701")
        have = len(r.snapshots())
        started = time.monotonic()
        r.wait_snapshots(have + 5)
        assert time.monotonic() - started < 4
    assert r.stop() == 0
    assert len(check_readable(path)) == len(r.snapshots())


def test_a_reader_at_the_end_is_waited_for(leaky, record, tmp_path):
    path = tmp_path / "a.tmb"
    r = record(leaky.pid, path, "-d", "1s", verb="snap")
    r.wait_said("taking one snapshot")
    with held(path):
        r.wait_said("W701")
        time.sleep(1.5)  # detached by now, and still waiting
        assert r.proc.poll() is None
    assert r.proc.wait(60) == 0, r.said()
    assert "Next: tmbpf report %s" % path in r.said()
    assert numbers(path) == [1] and meta(path)["end_reason"] == "duration"
    assert leaky.alive()


def test_a_second_signal_waits_for_no_reader(leaky, record, tmp_path):
    path = tmp_path / "run.tmb"
    r = record(leaky.pid, path, "--every", "200ms")
    r.wait_snapshots(2)
    with held(path):
        r.wait_said("W701")
        r.proc.send_signal(signal.SIGINT)
        time.sleep(2)
        assert r.proc.poll() is None
        status = r.stop(timeout=3)
        # On a machine that is busy the message may come too late.
        assert (status == 7 and "E707" in r.said()) or status == 128 + signal.SIGINT, (status, r.said())
    assert check_readable(path)


# ---- signals ----

def test_sigusr1_is_a_snapshot_now(leaky, record, tmp_path):
    path, one = tmp_path / "run.tmb", tmp_path / "one.tmb"
    r = record(leaky.pid, path, "--every", "1h")
    r.wait_said("recording to")
    for n in (1, 2):
        r.proc.send_signal(signal.SIGUSR1)
        r.wait_snapshots(n)
    assert r.stop() == 0
    assert check_readable(path) == [1, 2, 3] and meta(path)["end_reason"] == "sigint"
    r = record(leaky.pid, one, "-d", "1h", verb="snap")
    r.wait_said("taking one snapshot")
    assert r.stop(signal.SIGUSR1) == 0
    assert numbers(one) == [1] and meta(one)["end_reason"] == "sigusr1"


def test_a_hangup_ends_it_unless_nohup(leaky, record, tmp_path):
    path, kept = tmp_path / "run.tmb", tmp_path / "kept.tmb"
    r = record(leaky.pid, path, "--every", "100ms")
    nohup = record(leaky.pid, kept, "--every", "100ms", prefix=["nohup"])
    for each in (r, nohup):
        each.wait_snapshots(1)
    assert r.stop(signal.SIGHUP) == 0
    assert meta(path)["end_reason"] == "sighup"
    nohup.proc.send_signal(signal.SIGHUP)
    nohup.wait_snapshots(len(nohup.snapshots()) + 3)
    assert nohup.stop(signal.SIGTERM) == 0
    assert meta(kept)["end_reason"] == "sigterm"


# ---- a file that goes away ----

@pytest.mark.parametrize("snapshots", [0, 2])
def test_another_file_under_its_name_is_left_alone(leaky, record, tmp_path, snapshots):
    path, moved = tmp_path / "run.tmb", tmp_path / "moved.tmb"
    r = record(leaky.pid, path, "--every", "200ms" if snapshots else "1h")
    r.wait_said("recording to")
    r.wait_snapshots(snapshots)
    have = numbers(path)
    path.rename(moved)
    path.write_text("precious")
    if not snapshots:
        r.proc.send_signal(signal.SIGTERM)
    assert r.proc.wait(60) == 7, r.said()
    assert path.read_text() == "precious"
    assert "E708" in r.said() and "are complete" not in r.said() and "Next:" not in r.said()
    assert len(numbers(moved)) >= len(have)
    assert leaky.alive()


# ---- files that are something else ----

def foreign(tmp_path, kind):
    path = tmp_path / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "elf":
        path.write_bytes(open("/bin/true", "rb").read())
    elif kind == "gzip":
        import gzip
        path.write_bytes(gzip.compress(b"\x0a\x04\x08\x01\x10\x02"))
    elif kind == "sqlite":
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE change(snapshot, trace)")
        db.commit()
        db.close()
    else:
        path.write_bytes({"empty": b"", "text": b"snapshot of\n", "json": b'{"a": 1}\n', "html": b"<html>",
                          "binary": bytes(range(1, 200)), "zeros": bytes(5000), "memray": b"memray\0\x0b\0",
                          "cut": b"SQLite format 3\0" + bytes(20)}[kind])
    return path


@pytest.mark.parametrize("kind,word", [("directory", "directory"), ("elf", "ELF"), ("gzip", "pprof"),
                                       ("sqlite", "another program"), ("empty", "empty"), ("text", "text"),
                                       ("json", "JSON"), ("html", "HTML"), ("binary", "binary"),
                                       ("zeros", "binary"), ("memray", "memray"), ("cut", "not a snapshot")])
def test_other_files_are_named(kind, word, tmp_path):
    path = foreign(tmp_path, kind)
    for args in (["report", path], ["diff", path, path], ["export", path, "-f", "csv"]):
        out = harness.run_tool(*args)
        assert out.returncode == 3 and out.stdout == "", (args, out)
        assert "E312" in out.stderr and word in out.stderr, out.stderr


def test_damaged_newer_and_missing_files(leaky, tmp_path):
    path = tmp_path / "run.tmb"
    assert harness.run_tool("snap", "-p", leaky.pid, "-o", path, "-d", "300ms").returncode == 0
    good = path.read_bytes()
    path.write_bytes(good[:len(good) // 2])
    out = harness.run_tool("report", path)
    assert out.returncode == 3 and "E314" in out.stderr, out.stderr
    path.write_bytes(good)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 7")
    db.close()
    out = harness.run_tool("report", path)
    assert out.returncode == 3 and "E313" in out.stderr and "version 7" in out.stderr
    out = harness.run_tool("report", tmp_path / "none.tmb")
    assert out.returncode == 3 and "E311" in out.stderr
    out = harness.run_tool("report", "%s@yesterday" % path)
    path.write_bytes(good)
    assert harness.run_tool("report", "%s@yesterday" % path).returncode == 2
    assert harness.run_tool("report", "%s@last" % path).returncode == 0


def test_a_name_with_an_at_sign(leaky, tmp_path):
    path = tmp_path / "run@14:02.tmb"
    assert harness.run_tool("snap", "-p", leaky.pid, "-o", path, "-d", "100ms").returncode == 0
    assert harness.run_tool("report", path).returncode == 0
    assert harness.run_tool("report", "%s@first" % path).returncode == 0
    missing = tmp_path / "a@b" / "typo.tmb"
    out = harness.run_tool("report", missing)
    assert out.returncode == 3 and "cannot read %s:" % missing in out.stderr


# ---- ls ----

def test_ls_knows_the_processes(leaky, tmp_path):
    out = harness.run_tool("ls", "-j")
    assert out.returncode == 0, out.stderr
    listed = {r["pid"]: r for r in (json.loads(line) for line in out.stdout.splitlines())}
    mine = listed[leaky.pid]
    assert mine["schema"] == "tmbpf/1" and mine["type"] == "process"
    assert mine["supported"] is True and mine["python"].startswith("3.11") and mine["reason"] is None
    assert mine["command"].endswith("leaky_cache.py") and mine["rss_bytes"] > 1 << 20
    assert os.getpid() in listed
    text = harness.run_tool("ls").stdout
    assert re.search(r"^ +%d  3\.11\S* .* yes +python3 .*leaky_cache\.py$" % leaky.pid, text, re.M), text


def test_ls_says_why_not(tmp_path):
    """Something that is called python3, and is not."""
    fake = tmp_path / "python3"
    fake.write_bytes(open("/bin/sleep", "rb").read())
    fake.chmod(0o755)
    p = subprocess.Popen([fake, "60", "0.001"])
    try:
        while os.readlink("/proc/%d/exe" % p.pid) != str(fake):
            time.sleep(0.01)
        time.sleep(0.2)
        out = harness.run_tool("ls", "-j")
        mine = next(r for r in (json.loads(x) for x in out.stdout.splitlines()) if r["pid"] == p.pid)
        assert mine["supported"] is False and "CPython" in mine["reason"]
        assert re.search(r"^ +%d .* no  " % p.pid, harness.run_tool("ls").stdout, re.M)
        # the script's place, and nothing behind it
        assert mine["command"] == "python3 60" and "0.001" not in out.stdout
    finally:
        p.kill()
        p.wait()


def test_ls_without_permission(leaky, tmp_path):
    binary = tmp_path / "tmbpf"
    binary.write_bytes(open(harness.BINARY, "rb").read())
    binary.chmod(0o555)
    parent = tmp_path
    while str(parent) not in ("/tmp", "/"):
        parent.chmod(parent.stat().st_mode | 0o055)
        parent = parent.parent
    out = nobody([binary, "ls", "-j"])
    assert out.returncode == 0, out.stderr
    mine = next(r for r in (json.loads(x) for x in out.stdout.splitlines()) if r["pid"] == leaky.pid)
    assert mine["supported"] is None and "permitted" in mine["reason"]
    assert mine["rss_bytes"] > 1 << 20
    assert "sudo" in nobody([binary, "ls"]).stderr
