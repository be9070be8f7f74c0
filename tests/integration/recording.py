# SPDX-License-Identifier: GPL-2.0-or-later
"""Start `tmbpf record`, and read what it wrote without tmbpf's own reader."""
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time

import harness


class Recorder:
    """`tmbpf record` in the background; its talk goes to a file."""

    def __init__(self, pid, out, *args, log, env=None, verb="record", prefix=()):
        self.log = str(log)
        self.out = str(out)
        argv = list(prefix) + [harness.BINARY, verb, "-p", str(pid), "-o", self.out] + [str(a) for a in args]
        with open(self.log, "w") as f:
            self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=f,
                                         env=env or harness.tool_env(),
                                         # the tests themselves may run under nohup
                                         preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))

    def said(self):
        with open(self.log) as f:
            return f.read()

    def snapshots(self):
        """Numbers of the snapshots that it says are written."""
        return [int(n) for n in re.findall(r"\] snapshot (\d+):", self.said())]

    def wait_said(self, text, timeout=60):
        deadline = time.monotonic() + timeout
        while text not in self.said():
            assert self.proc.poll() is None and time.monotonic() < deadline, self.said()
            time.sleep(0.01)

    def wait_snapshots(self, n, timeout=60):
        deadline = time.monotonic() + timeout
        while len(self.snapshots()) < n:
            assert self.proc.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.01)

    def stop(self, sig=signal.SIGINT, timeout=60):
        self.proc.send_signal(sig)
        return self.proc.wait(timeout)

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


def rows(path, sql, *args):
    """Run SQL as a user would, read-only."""
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=30)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


@contextlib.contextmanager
def held(path):
    """A reader that keeps the file locked."""
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, isolation_level=None)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM snapshot").fetchone()
    try:
        yield
    finally:
        db.close()


def meta(path):
    return dict(rows(path, "SELECT key, value FROM meta"))


def numbers(path):
    return [n for n, in rows(path, "SELECT id FROM snapshot ORDER BY id")]


def check_readable(path):
    """Every snapshot of a series, read and checked by tmbpf; returns their numbers."""
    have = numbers_by_tmbpf(path)
    if len(have) >= 3:
        out = harness.run_tool("leaks", "-j", path)  # reads all of them
        assert out.returncode == 0, out.stderr
        assert json.loads(out.stdout.splitlines()[0])["snapshots"] == len(have)
    for n in have if len(have) < 3 else have[-1:]:
        out = harness.run_tool("report", "-j", "%s@%d" % (path, n))
        assert out.returncode == 0, out.stderr
    return have


def numbers_by_tmbpf(path):
    """Numbers of the first and last snapshot and all between, from a message: also with a journal beside."""
    out = harness.run_tool("report", "%s@4000000000" % path)
    assert out.returncode == 3 and "E315" in out.stderr, out.stderr
    m = re.search(r"holds (\d+) from \S+ \((\d+)\) to \S+ \((\d+)\)", out.stderr)
    if not m:
        assert "no snapshot yet" in out.stderr, out.stderr
        return []
    count, first, last = (int(x) for x in m.groups())
    assert last - first + 1 == count, out.stderr  # nothing was thinned out
    return list(range(first, last + 1))


def nobody(argv, **kw):
    """As a user without any permission."""
    return subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] +
                          [str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=harness.tool_env(XDG_CACHE_HOME="/nonexistent"), **kw)


def sql_examples(doc):
    with open(os.path.join(harness.ROOT, "docs", doc)) as f:
        return re.findall(r"```sql\n(.*?)```", f.read(), re.S)
