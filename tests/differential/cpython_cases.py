#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""CPython's own cases for tracemalloc's snapshots, filters and formatting, answered by tmbpf.

    cpython_cases.py engine DRIVER       statistics(), compare_to(), filter_traces(), the filters' matching
                                         and Traceback.format() are replaced by calls of our engine
    cpython_cases.py series DRIVER       the same, and statistics() and compare_to() ask a series that the
                                         snapshot was written to first
    cpython_cases.py files TMBPF         create_snapshots() gives snapshots that went through `tmbpf export`

Runs the classes TestSnapshot and TestFilters of this interpreter's Lib/test/test_tracemalloc.py.
"""
import os
import subprocess
import sys
import tempfile
import tracemalloc
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tracemalloc_diff as diff  # noqa: E402

try:
    from test import test_tracemalloc as cases
except ImportError as error:
    print("SKIPPED: this interpreter has no Lib/test: %s" % error)
    sys.exit(77)

CLASSES = ["TestSnapshot", "TestFilters"]
# 3.6 keeps and formats tracebacks innermost first; the engine does as 3.7 and later.
NOT_ASKED_OF_3_6 = ["test_format_traceback", "test_trace_format"]


class Engine:
    """The driver, kept running; one question at a time."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.questions = 0

    def ask(self, ask, new, old=(), filters=(), **formatting):
        s = diff.TraceSet(self.questions)
        s.new = diff.Traces([t[:3] for t in new], False)
        s.old = diff.Traces([t[:3] for t in old], False)
        s.filters = list(filters)
        for name, value in formatting.items():
            setattr(s, name, value)
        self.process.stdin.write(diff.pack(s, ask, flush=True))
        self.process.stdin.flush()
        self.questions += 1
        lines = []
        while True:
            line = self.process.stdout.readline().decode()
            if not line:
                raise RuntimeError("the driver has ended")
            if line == ".\n":
                return lines
            lines.append(line[:-1])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


ENGINE = SERIES = None


def read_traceback(text, frame_lines):
    if not frame_lines:  # one frame: "FILE:LINE: size=..."
        filename, lineno = text.split(": size=")[0].rsplit(":", 1)
        return tracemalloc.Traceback(((filename, int(lineno)),))
    frames = []
    for line in frame_lines:
        filename, lineno = line[len('  File "'):].rsplit('", line ', 1)
        frames.append((filename, int(lineno)))
    return tracemalloc.Traceback(tuple(reversed(frames)))


def read_statistics(lines, cls):
    """Objects of the standard library's classes whose numbers, order and text are ours."""

    class Ours(cls):
        def __str__(self):
            return TEXTS[id(self)]

    made, at = [], 1  # behind "= statistics lineno"
    while at < len(lines):
        numbers, text = [int(n) for n in lines[at].split()], lines[at + 1]
        at += 2
        frame_lines = []
        while at < len(lines) and lines[at].startswith('  File "'):
            frame_lines.append(lines[at])
            at += 1
        stat = Ours(read_traceback(text, frame_lines), *numbers)
        TEXTS[id(stat)] = text
        KEPT.append(stat)
        made.append(stat)
    return made


TEXTS, KEPT = {}, []


def grouping(key_type, cumulative):
    if (key_type, cumulative) not in diff.GROUPINGS:
        raise ValueError("cumulative mode cannot by used with key type %r" % key_type)
    return diff.GROUPINGS.index((key_type, cumulative))


def statistics(self, key_type, cumulative=False):
    bit = 1 << (diff.ASK_STATISTICS + grouping(key_type, cumulative))
    return read_statistics(SERIES.ask(bit, self.traces._traces), tracemalloc.Statistic)


def compare_to(self, old_snapshot, key_type, cumulative=False):
    bit = 1 << (diff.ASK_COMPARE + grouping(key_type, cumulative))
    return read_statistics(SERIES.ask(bit, self.traces._traces, old_snapshot.traces._traces),
                           tracemalloc.StatisticDiff)


def describe_filter(f):
    if isinstance(f, tracemalloc.DomainFilter):
        return {"inclusive": f.inclusive, "pattern": None, "lineno": None, "all_frames": False,
                "domain": f.domain}
    return {"inclusive": f.inclusive, "pattern": f.filename_pattern, "lineno": f.lineno,
            "all_frames": f.all_frames, "domain": f.domain}


def kept_by(traces, filters):
    lines = ENGINE.ask(1 << diff.ASK_KEPT, traces, filters=[describe_filter(f) for f in filters])
    return [int(n) for n in lines[1].split()]


def filter_traces(self, filters):
    traces = self.traces._traces
    return tracemalloc.Snapshot([traces[i] for i in kept_by(traces, list(filters))],
                                self.traceback_limit)


def match_frame(self, filename, lineno):
    trace = (self.domain or 0, 1, ((filename, lineno),))
    return bool(kept_by([trace], [self]))


def match_traceback(self, traceback):
    return bool(kept_by([(self.domain or 0, 1, traceback)], [self]))


def format_traceback(self, limit=None, most_recent_first=False):
    frames = tuple(reversed(self._frames))
    lines = ENGINE.ask(1 << (diff.ASK_STATISTICS + 2), [(0, 1, frames)], limit=limit,
                       most_recent_first=most_recent_first, source=True)
    return lines[3:]


def use_engine(driver, through_series):
    global ENGINE, SERIES
    ENGINE = Engine(driver)
    SERIES = Engine(driver, os.path.abspath("series.tmb")) if through_series else ENGINE
    tracemalloc.Snapshot.statistics = statistics
    tracemalloc.Snapshot.compare_to = compare_to
    tracemalloc.Snapshot.filter_traces = filter_traces
    tracemalloc.Filter._match_frame = match_frame
    tracemalloc.Filter._match_traceback = match_traceback
    if diff.VERSION >= (3, 7):
        tracemalloc.Traceback.format = format_traceback
    # what test_format_traceback's getline() says of these lines
    for filename, lineno in (("a.py", 2), ("b.py", 4)):
        with open(filename, "w") as f:
            f.write("\n" * (lineno - 1) + "  <%s, %s>\n" % (filename, lineno))


def use_files(tmbpf):
    create = cases.create_snapshots

    def through_files():
        snapshots = []
        for snapshot in create():
            snapshot.dump("in.pickle")
            if os.path.exists("out.pickle"):
                os.unlink("out.pickle")
            done = subprocess.run([tmbpf, "export", "in.pickle", "-f", "tracemalloc", "-o", "out.pickle",
                                   "--python", "%d.%d" % diff.VERSION], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            if done.returncode:
                raise RuntimeError("tmbpf export: " + done.stdout.decode())
            snapshots.append(tracemalloc.Snapshot.load("out.pickle"))
            through_files.count += 1
        return tuple(snapshots)

    through_files.count = 0
    cases.create_snapshots = through_files
    return through_files


def main():
    how, program = sys.argv[1], os.path.abspath(sys.argv[2])
    suite = unittest.TestSuite()
    for name in CLASSES:
        for case in unittest.defaultTestLoader.loadTestsFromTestCase(getattr(cases, name)):
            if diff.VERSION < (3, 7) and how != "files" and case._testMethodName in NOT_ASKED_OF_3_6:
                print("not asked: %s (3.6 formats innermost first)" % case.id())
                continue
            suite.addTest(case)
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        files = use_files(program) if how == "files" else use_engine(program, how == "series")
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=1).run(suite)
        os.chdir("/")
    engines = set(filter(None, (ENGINE, SERIES)))
    for engine in engines:
        engine.close()
    used = sum(engine.questions for engine in engines) if engines else files.count
    print("python %s, %s: %d cases, %d failed, %d answers were tmbpf's"
          % (sys.version.split()[0], how, result.testsRun, len(result.failures) + len(result.errors),
             used))
    return 0 if result.wasSuccessful() and result.testsRun >= 10 and used >= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
