# SPDX-License-Identifier: GPL-2.0-or-later
"""report and diff: the standard library's tracemalloc is asked the same and must say the same."""
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc

import pytest

import harness

DIFFERENTIAL = os.path.join(harness.ROOT, "tests", "differential")
DRIVER = os.path.join(harness.BUILD, "tests", "differential", "stats_driver")
sys.path.insert(0, DIFFERENTIAL)
import tracemalloc_diff  # noqa: E402

STOCK = "/usr/bin/python3"
VERSIONS = ["3.6.15", "3.7.16", "3.8.18", "3.9.18", "3.10.13", "3.11.7", "3.12.1", "3.13.0"]


def run_script(python, script, *args, timeout=280):
    return subprocess.run([python, os.path.join(DIFFERENTIAL, script)] + [str(a) for a in args], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, env=harness.target_env())


def pyenv(version):
    python = harness.pyenv_python(version)
    if python is None:
        pytest.skip("pyenv %s is not on this machine" % version)
    return python


# ---- the engine ----

@pytest.mark.timeout(3600 if harness.FULL else 300)
def test_random_trace_sets(show):
    sets = 100000 if harness.FULL else 4000
    out = run_script(STOCK, "tracemalloc_diff.py", DRIVER, "--sets", sets, "--seed", 20261,
                     timeout=3500 if harness.FULL else 280)
    show("statistics against the standard library", out.stdout)
    assert out.returncode == 0, out.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_random_trace_sets_of_other_versions(version):
    sets = 5000 if harness.FULL else 500
    out = run_script(pyenv(version), "tracemalloc_diff.py", DRIVER, "--sets", sets, "--seed", 7)
    assert out.returncode == 0, out.stdout
    assert "python %s" % version in out.stdout


def test_a_wrong_answer_is_noticed(tmp_path):
    """The comparison itself: one digit of one answer is changed on its way."""
    liar = tmp_path / "liar"
    liar.write_text("#!/bin/sh\n%s | sed '40s/size=\\([0-9]\\)/size=9\\1/'\n" % DRIVER)
    liar.chmod(0o755)
    out = run_script(STOCK, "tracemalloc_diff.py", liar, "--sets", 50)
    assert out.returncode == 1
    assert "DIFFERENT" in out.stdout and "tmbpf:" in out.stdout


def test_random_trace_sets_that_went_through_a_series():
    sets = 5000 if harness.FULL else 500
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # every file is synced: not on a disk
        out = run_script(STOCK, "tracemalloc_diff.py", DRIVER, "--sets", sets, "--seed", 99,
                         "--store", os.path.join(folder, "a.tmb"))
    assert out.returncode == 0, out.stdout


@pytest.mark.parametrize("how", ["engine", "series", "files"])
@pytest.mark.parametrize("version", ["stock"] + VERSIONS)
def test_cpythons_own_cases(version, how):
    python = STOCK if version == "stock" else pyenv(version)
    out = run_script(python, "cpython_cases.py", how, harness.BINARY if how == "files" else DRIVER)
    assert out.returncode == 0, out.stdout
    assert ", 0 failed, " in out.stdout


# ---- the command line, on pickles of tracemalloc ----

class Pickles:
    """Two snapshots with their files."""

    def __init__(self, folder, seed):
        generator = tracemalloc_diff.Generator(seed)
        while True:
            self.set = generator.set(0)
            if len(self.set.new.traces) > 5 and len(self.set.old.traces) > 5:
                break
        self.new, self.old = self.set.new.snapshot, self.set.old.snapshot
        self.new_path, self.old_path = str(folder / "new.pickle"), str(folder / "old.pickle")
        self.old.dump(self.old_path)
        self.new.dump(self.new_path)


@pytest.fixture(params=range(12))
def pickles(request, tmp_path):
    return Pickles(tmp_path, 500 + request.param)


def clean(text):
    return str(text).translate(tracemalloc_diff.CLEAN)


def run(*args, status=0):
    out = harness.run_tool(*args)
    assert out.returncode == status, out.stdout + out.stderr
    return out.stdout.split("\n")


def report_lines(*args):
    """The lines of the groups: behind the header, before what is said about completeness."""
    lines = run("report", "-T", 0, "--no-default-filters", *args)
    assert lines[0].startswith("[ Top ") and lines[0].endswith(" ]")
    end = next(i for i, line in enumerate(lines)
               if line.startswith(("coverage", "filtered out: ", "nothing that passes")))
    return lines[1:end]


def diff_lines(*args):
    lines = run("diff", "-T", 0, "--no-default-filters", *args)
    assert "   ->   " in lines[0]
    end = next(i for i, line in enumerate(lines) if line.startswith(("old: ", "nothing that passes")))
    return lines[1:end]


@pytest.mark.parametrize("key,cumulative", tracemalloc_diff.GROUPINGS)
def test_report_prints_what_statistics_prints(pickles, key, cumulative):
    args = ["--by", key] + (["--cumulative"] if cumulative else [])
    got = report_lines(pickles.new_path, *args)
    stats = pickles.new.statistics(key, cumulative)
    if key != "traceback":
        assert got == [clean(s) for s in stats]
        return
    total = sum(trace[1] for trace in pickles.new.traces._traces)
    expected = []
    for s in stats:
        share = " (%.1f%%)" % (100.0 * s.size / total) if total else ""
        expected.append("%d memory blocks: %s%s" % (s.count, tracemalloc._format_size(s.size, False), share))
        for f in s.traceback:
            expected.append(clean('  File "%s", line %s' % (f.filename, f.lineno)))
    assert got == expected


@pytest.mark.parametrize("key,cumulative", [g for g in tracemalloc_diff.GROUPINGS if g[0] != "traceback"])
def test_diff_prints_what_compare_to_prints(pickles, key, cumulative):
    args = ["--by", key] + (["--cumulative"] if cumulative else [])
    assert diff_lines(pickles.old_path, pickles.new_path, *args) == \
        [clean(s) for s in pickles.new.compare_to(pickles.old, key, cumulative)]


def test_diff_of_tracebacks(pickles):
    expected = []
    for s in pickles.new.compare_to(pickles.old, "traceback"):
        expected.append("%d memory blocks (%+d): %s (%s)" % (
            s.count, s.count_diff, tracemalloc._format_size(s.size, False),
            tracemalloc._format_size(s.size_diff, True)))
        for f in list(s.traceback)[-2:]:
            expected.append(clean('  File "%s", line %s' % (f.filename, f.lineno)))
    assert diff_lines(pickles.old_path, pickles.new_path, "--by", "traceback", "--limit-frames=2") == expected


FILTERS = [
    (["--include", "*.py"], [(True, "*.py", None, None)]),
    (["--include", "*.py:3"], [(True, "*.py", 3, None)]),
    (["--exclude", "*.py", "--exclude", "<unknown>"], [(False, "*.py", None, None), (False, "<unknown>", None, None)]),
    (["--include", "[a-c]*", "--exclude", "*.pyc"], [(True, "[a-c]*", None, None), (False, "*.pyc", None, None)]),
    (["--domain", "python"], [(True, None, None, 0)]),
    (["--domain", "0x746D6201", "--include", "a*"], [(True, None, None, 0x746D6201), (True, "a*", None, None)]),
    (["--exclude-domain", "native", "--exclude-domain", "1"], [(False, None, None, 0x746D6201), (False, None, None, 1)]),
]


@pytest.mark.parametrize("all_frames", [False, True])
@pytest.mark.parametrize("args,filters", FILTERS, ids=[" ".join(f[0]) for f in FILTERS])
def test_filters_take_what_filter_traces_takes(pickles, args, filters, all_frames):
    made = [tracemalloc.DomainFilter(inclusive, domain) if pattern is None else
            tracemalloc.Filter(inclusive, pattern, line, all_frames) for inclusive, pattern, line, domain in filters]
    args = args + (["--all-frames"] if all_frames else [])
    new, old = pickles.new.filter_traces(made), pickles.old.filter_traces(made)
    assert report_lines(pickles.new_path, *args) == [clean(s) for s in new.statistics("lineno")]
    assert diff_lines(pickles.old_path, pickles.new_path, *args) == \
        [clean(s) for s in new.compare_to(old, "lineno")]


def test_ndjson_has_the_same_numbers(pickles):
    records = [json.loads(line) for line in run("report", "-j", "-T", 0, "--no-default-filters",
                                                pickles.new_path) if line]
    stats = pickles.new.statistics("lineno")
    assert records[0]["type"] == "report" and records[0]["schema"] == "tmbpf/1"
    assert records[0]["groups"] == len(stats)
    assert records[-1] == {"type": "end", "reason": "done", "exit": 0}
    assert [(r["file"], r["line"], r["bytes"], r["blocks"]) for r in records[1:-1]] == \
        [(s.traceback[0].filename, s.traceback[0].lineno, s.size, s.count) for s in stats]
    records = [json.loads(line) for line in run("diff", "-j", "-T", 0, "--no-default-filters",
                                                pickles.old_path, pickles.new_path) if line]
    diffs = pickles.new.compare_to(pickles.old, "lineno")
    assert records[0]["bytes_diff"] == sum(s.size_diff for s in diffs)
    assert [(r["file"], r["line"], r["bytes"], r["bytes_diff"], r["blocks"], r["blocks_diff"])
            for r in records if r["type"] == "difference"] == \
        [(s.traceback[0].filename, s.traceback[0].lineno, s.size, s.size_diff, s.count, s.count_diff)
         for s in diffs]


# ---- options, thresholds, bad input ----

def make(path, *traces):
    """traces: (size, blocks, file, line), or with a domain behind."""
    made = []
    for size, blocks, filename, line, *domain in traces:
        made += [(domain[0] if domain else 0, size, ((filename, line), ("main.py", 1)), 2)] * blocks
    tracemalloc.Snapshot(made, 25).dump(str(path))
    return str(path)


@pytest.fixture
def small(tmp_path):
    frozen = "<frozen importlib._bootstrap>"
    return (make(tmp_path / "a.pickle", (100, 3, "a.py", 1), (50, 1, "b.py", 2), (7, 1, frozen, 241)),
            make(tmp_path / "b.pickle", (100, 9, "a.py", 1), (50, 1, "c.py", 2), (7, 1, frozen, 241)))


def test_importlib_is_excluded_by_default_and_that_is_said(small):
    lines = run("report", small[0])
    assert lines[0].startswith("[ Top 2 of 2, 350 B in 4 blocks, ")
    assert "filtered out: 7 B in 1 blocks of 1 stacks (imports; --no-default-filters shows them)" in lines
    assert json.loads(run("report", "-j", small[0])[0])["filtered"] == {
        "stacks": 1, "bytes": 7, "blocks": 1, "default_bytes": 7}
    assert "filtered out: 57 B in 2 blocks of 2 stacks (7 B of it imports; --no-default-filters shows them)" in \
        run("report", "--exclude", "b.py", small[0])
    lines_of_both = run("diff", *small)
    for side in ("old", "new"):
        assert side + ": filtered out: 7 B in 1 blocks of 1 stacks (imports; --no-default-filters shows them)" in \
            lines_of_both
    assert "filtered out: 50 B in 1 blocks of 1 stacks" in \
        run("report", "--no-default-filters", "--exclude", "b.py", small[0])
    assert not any(line.startswith("<frozen") for line in lines)
    lines = run("report", "--no-default-filters", small[0])
    assert lines[0].startswith("[ Top 3 of 3, 357 B in 5 blocks, ")
    assert not any(line.startswith("filtered out") for line in lines)


def test_only_the_top_is_shown_and_the_rest_summed_up(small):
    lines = run("report", "-T", 1, small[1])
    assert lines[1:3] == ["a.py:1: size=900 B, count=9, average=100 B", "1 other: size=50 B, count=1"]
    lines = run("diff", "-T", 1, *small)
    assert lines[1:3] == ["a.py:1: size=900 B (+600 B), count=9 (+6), average=100 B",
                          "2 other: size +0 B, count +0"]


def test_known_leaks_are_counted_apart(small, tmp_path):
    known = tmp_path / "known.txt"
    known.write_text("# ours\nleak:^a$\nleak:never\n")
    lines = run("report", "--suppressions", known, small[1])
    assert lines[1] == "c.py:2: size=50 B, count=1, average=50 B"
    assert "suppressed: 900 B in 9 blocks of 1 stacks" in lines
    assert "  leak:^a$: 900 B in 9 blocks of 1 stacks" in lines
    header = json.loads(run("report", "-j", "--suppressions", known, small[1])[0])
    assert header["suppressed"]["patterns"] == [
        {"pattern": "^a$", "stacks": 1, "bytes": 900, "blocks": 9},
        {"pattern": "never", "stacks": 0, "bytes": 0, "blocks": 0}]


@pytest.mark.parametrize("limit,status", [("599", 1), ("600", 0), ("1KiB", 0), ("0", 1)])
def test_growth_over_the_limit_is_1(small, limit, status):
    out = harness.run_tool("diff", "--fail-over", limit, *small)
    assert out.returncode == status
    assert ("--fail-over" in out.stderr) == bool(status)
    out = harness.run_tool("diff", "-j", "--fail-over", limit, *small)
    assert out.returncode == status
    assert json.loads(out.stdout.splitlines()[-1])["exit"] == status


def test_shrinking_is_never_over_the_limit(small):
    run("diff", "--fail-over", "0", small[1], small[0])


def test_source_lines_of_this_machine(tmp_path):
    source = tmp_path / "code.py"
    source.write_text("import x\n  value = [1, 2]\n")
    path = make(tmp_path / "s.pickle", (10, 1, str(source), 2))
    lines = run("report", "--by", "traceback", "--source", path)
    assert lines[2:5] == ['  File "main.py", line 1', '  File "%s", line 2' % source, "    value = [1, 2]"]
    assert "    value = [1, 2]" not in run("report", "--by", "traceback", path)


@pytest.mark.parametrize("args", [
    [], ["a", "b"], ["--by", "colour", "a"], ["--sort", "growth", "a"], ["-T", "x", "a"], ["--cumulative=all", "a"],
    ["--cumulative", "--by", "thread", "a"], ["--domain", "heap", "a"], ["--domain", "4294967296", "a"],
    ["--include", "x:99999999999", "a"], ["--limit-frames", "few", "a"], ["--max-lost", "2", "a"],
    ["--max-lost", "200%", "a"], ["--max-lost", "1%%", "a"], ["--source", "a"], ["--limit-frames", "3", "a"],
    ["--most-recent-first", "--by", "function", "a"]])
def test_wrong_usage_of_report_is_2(args):
    out = harness.run_tool("report", *args)
    assert out.returncode == 2, out.stdout + out.stderr
    assert not out.stdout and out.stderr


@pytest.mark.parametrize("args", [[], ["a"], ["a", "b", "c"], ["--sort", "age", "a", "b"],
                                  ["--fail-over", "much", "a", "b"], ["--source", "a", "b"]])
def test_wrong_usage_of_diff_is_2(args):
    out = harness.run_tool("diff", *args)
    assert out.returncode == 2, out.stdout + out.stderr
    assert not out.stdout and out.stderr


def test_options_of_tracebacks_say_so(small):
    for option in ("--source", "--most-recent-first", "--limit-frames=1"):
        assert "are for --by traceback" in harness.run_tool("report", option, small[0]).stderr
        run("report", "--by", "traceback", option, small[0])


def test_names_that_are_no_text_become_escapes(tmp_path):
    path = make(tmp_path / "odd.pickle", (10, 1, "a\udcff\x1b\0.py", 1))
    assert run("report", path)[1] == "a\\udcff?\\x00.py:1: size=10 B, count=1, average=10 B"
    assert json.loads(run("report", "-j", path)[1])["file"] == "a\\udcff\x1b\\x00.py"
    again = str(tmp_path / "again.pickle")
    run("export", path, "-o", again)
    assert tracemalloc.Snapshot.load(again).traces[0].traceback[-1].filename == "a\\udcff\x1b\\x00.py"


def test_a_local_time_is_said_in_utc(tmp_path):
    series = str(tmp_path / "a.tmb")
    subprocess.run([os.path.join(harness.BUILD, "tests", "leaks", "make_series"), "models", series, "1", "3"],
                   check=True)
    out = subprocess.run([harness.BINARY, "report", series + "@22:14"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, env=harness.tool_env(TZ="CET-1"))
    assert out.returncode == 3
    assert "no snapshot at '22:14' (local time, 2023-11-14T21:14:00Z): it holds 3 from 2023-11-14T22:13:20Z" in out.stderr
    assert "@22:14Z" in out.stderr
    assert "local time" in " ".join(run("report", "--help")) and "local time" in " ".join(run("diff", "--help"))


def test_files_that_cannot_be_read_are_3(small, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.write_text("this is no snapshot\n" * 10)
    for args in (["report", tmp_path / "none"], ["report", foreign], ["report", tmp_path],
                 ["diff", small[0], tmp_path / "none"], ["diff", foreign, small[0]],
                 ["report", "--suppressions", tmp_path / "none", small[0]]):
        out = harness.run_tool(*args)
        assert out.returncode == 3, out.stdout + out.stderr
        assert " error E3" in out.stderr
        out = harness.run_tool(*(args + ["-j"]))
        records = [json.loads(line) for line in out.stdout.splitlines()]
        assert records[-1]["type"] == "end" and records[-1]["exit"] == 3
        assert any(r["type"] == "warning" and r["code"].startswith("E3") for r in records)


def test_a_bad_suppression_names_its_line(small, tmp_path):
    known = tmp_path / "known.txt"
    known.write_text("leak:a\nrace:b\n")
    out = harness.run_tool("report", "--suppressions", known, small[0])
    assert out.returncode == 3
    assert "E322" in out.stderr and ":2: " in out.stderr


def test_output_that_cannot_be_written_is_7(small):
    for verb in (["report", small[0]], ["diff", *small], ["report", "-j", small[0]]):
        with open("/dev/full", "w") as full:
            out = subprocess.run([harness.BINARY] + verb, stdout=full, stderr=subprocess.PIPE, text=True)
        assert out.returncode == 7, out.stderr
        assert "E701" in out.stderr


def test_a_reader_that_leaves_is_no_error(tmp_path):
    path = make(tmp_path / "big.pickle", *[(1, 1, "file%d.py" % i, i) for i in range(20000)])
    out = subprocess.run("%s report -T 0 %s | head -n 1; exit ${PIPESTATUS[0]}" % (harness.BINARY, path),
                         shell=True, executable="/bin/bash", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    assert out.returncode == 0 and out.stderr == ""
    assert out.stdout.startswith("[ Top 20000 of 20000, ")


# ---- a live process, recorded ----

@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A series of a leaking process, and a snapshot of it from another attach."""
    folder = tmp_path_factory.mktemp("recorded")
    series, later = str(folder / "a.tmb"), str(folder / "b.tmb")
    with harness.Program([STOCK, os.path.join(harness.TARGETS, "leaky_cache.py"), "120"]) as p:
        run("record", "-q", "-p", p.pid, "-o", series, "--every", "1s", "-d", "4s")
        run("snap", "-q", "-p", p.pid, "-o", later, "-d", "2s", "--threads")
    return series, later


def as_pickled(line):
    """'<native> LIBRARY!FUNCTION: size=...' is LIBRARY!FUNCTION, line 0, in a pickle."""
    if not line.startswith("<native> "):
        return line
    name, numbers = line[len("<native> "):].split(": size=", 1)
    return "%s:0: size=%s" % (name, numbers)


def load_exported(spec, tmp_path):
    path = str(tmp_path / "exported.pickle")
    run("export", spec, "-f", "tracemalloc", "-o", path, "--python", "3.11", "--max-blocks", "0", "--force")
    return tracemalloc.Snapshot.load(path)


def test_a_report_agrees_with_the_exported_pickle(recorded, tmp_path):
    for spec in (recorded[0], recorded[0] + "@first", recorded[1]):
        snapshot = load_exported(spec, tmp_path)
        assert len(snapshot.traces) > 500
        assert [as_pickled(line) for line in report_lines(spec)] == \
            [clean(s) for s in snapshot.statistics("lineno")]
        assert [as_pickled(line) for line in report_lines(spec, "--exclude", "*!*", "--domain", "native")] == \
            [clean(s) for s in snapshot.filter_traces(
                [tracemalloc.Filter(False, "*!*"), tracemalloc.DomainFilter(True, tracemalloc_diff.NATIVE)]
            ).statistics("lineno")]


def test_a_diff_agrees_with_the_exported_pickles(recorded, tmp_path):
    old, new = recorded[0] + "@first", recorded[0] + "@last"
    want = [clean(s) for s in load_exported(new, tmp_path).compare_to(load_exported(old, tmp_path), "lineno")]
    assert [as_pickled(line) for line in diff_lines(old, new)] == want
    assert [as_pickled(line) for line in diff_lines(old, "@last")] == want


def test_the_leak_is_what_grew(recorded):
    out = harness.run_tool("diff", recorded[0] + "@first", "@last", "--by", "function", "--fail-over", "1K")
    assert out.returncode == 1
    lines = out.stdout.splitlines()
    assert lines[1].startswith("remember (") and "leaky_cache.py): size=" in lines[1], out.stdout
    assert "W204" not in out.stderr + out.stdout
    assert any(line.startswith("new: coverage python ") for line in lines)
    assert run("report", recorded[1], "--by", "thread")[1].startswith("python3 (")


def test_two_attaches_do_not_compare_well(recorded):
    out = harness.run_tool("diff", recorded[0], recorded[1])
    assert out.returncode == 0
    for text in (out.stdout, out.stderr):
        assert "warning W204: they were attached at different times" in text


def test_a_pickle_against_a_recording(recorded, tmp_path):
    path = make(tmp_path / "old.pickle", (10, 1, "a.py", 1))
    out = harness.run_tool("diff", path, recorded[0])
    assert out.returncode == 0 and "one side is tracemalloc's" in out.stderr


def test_too_much_missing_is_6_even_when_it_grew(recorded):
    header = json.loads(run("report", "-j", recorded[0])[0])
    ratio = header["lost_ratio"]
    assert header["coverage"]["python"]["ratio"] == pytest.approx(1 - ratio) or header["lost"]
    out = harness.run_tool("report", "--max-lost", "0", recorded[0])
    assert out.returncode == (6 if ratio else 0)
    assert ("E610" in out.stderr) == bool(ratio)
    run("report", "--max-lost", "100%", recorded[0])
    if ratio:
        run("diff", "--max-lost", "0%", "--fail-over", "0", recorded[0] + "@first", "@last", status=6)
