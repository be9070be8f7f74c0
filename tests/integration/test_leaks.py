# SPDX-License-Identifier: GPL-2.0-or-later
"""Verdicts on real programs: recorded on a scaled clock, judged, and set against what they are known to do."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import harness
import recording

sys.path.insert(0, os.path.join(harness.TARGETS, "leaks"))
import programs  # noqa: E402

SCRIPT = os.path.join(harness.TARGETS, "leaks", "programs.py")
SERIES = os.path.join(harness.BUILD, "tests", "leaks", "make_series")
SECONDS = 20
EVERY = "500ms"
AT_ONCE = 3
VERDICTS = ["LEAK", "UNKNOWN", "PLATEAU", "CHURN", "WARM-UP", "none"]
# what `make check` runs; TMBPF_FULL=1 runs all
SMALL = ["leak", "lru", "batch", "fragmentation", "late_leak", "warm_up"]


def marked_lines():
    with open(SCRIPT) as f:
        lines = f.read().splitlines()
    marks = [(re.search(r"  # judge (\w+)$", line), number) for number, line in enumerate(lines, 1)]
    return {mark.group(1): number for mark, number in marks if mark}


def test_every_program_has_a_label_and_a_mark():
    assert set(programs.LABELS) == set(programs.MODES) == set(marked_lines())
    assert len(programs.LABELS) >= 10
    assert set(SMALL) <= set(programs.LABELS)


# ---- real programs ----

class Labelled:
    """One program with its recorder."""

    def __init__(self, python, mode, tmp_path):
        self.mode = mode
        self.file = tmp_path / (mode + ".tmb")
        self.program = harness.Program([python, SCRIPT, mode, str(SECONDS)])
        self.recorder = recording.Recorder(self.program.pid, self.file, "--every", EVERY, "--mode", "exact",
                                           log=tmp_path / (mode + ".log"))

    def start(self):
        self.recorder.wait_snapshots(1, timeout=120)
        self.program.say("go")
        self.started = time.monotonic()

    def finish(self):
        time.sleep(max(0, self.started + SECONDS - time.monotonic()))
        self.recorder.stop()

    def close(self):
        self.recorder.close()
        self.program.close()

    def verdict(self):
        """(verdict of the marked line, all other leaks of the script, the process record)."""
        out = harness.run_tool("leaks", "-j", "-T", "0", self.file)
        assert out.returncode == 0, out.stderr
        records = [json.loads(line) for line in out.stdout.splitlines()]
        marked = marked_lines()[self.mode]
        verdict, others = None, []
        for r in records:
            if r["type"] != "verdict":
                continue
            if r["file"] == SCRIPT and r["line"] == marked:
                verdict = r
            elif r["verdict"] == "LEAK":
                others.append("%s:%s" % (os.path.basename(r["file"]), r["line"]))
        return verdict, others, next(r for r in records if r["type"] == "process")


def run_modes(python, modes, tmp_path):
    results = {}
    for first in range(0, len(modes), AT_ONCE):
        running = []
        try:
            for mode in modes[first:first + AT_ONCE]:
                running.append(Labelled(python, mode, tmp_path))
            for one in running:
                one.start()
            for one in running:
                one.finish()
            for one in running:
                results[one.mode] = one.verdict()
        finally:
            for one in running:
                one.close()
    return results


def test_a_pause_of_the_machine_is_left_out(program, target_script, tmp_path):
    """Target and recorder are stopped together, as by a suspended machine or a paused container."""
    p = program("/usr/bin/python3", target_script("leaky_cache.py"), 600)
    path = tmp_path / "run.tmb"
    r = recording.Recorder(p.pid, path, "--every", "250ms", "--mode", "exact", log=tmp_path / "log")
    try:
        r.wait_snapshots(12)
        for pid in (r.proc.pid, p.pid):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(10)
        for pid in (p.pid, r.proc.pid):
            os.kill(pid, signal.SIGCONT)
        r.wait_snapshots(16)
        assert r.stop() == 0
    finally:
        r.close()
    records = [json.loads(line) for line in harness.run_tool("leaks", "-j", "-T", "0", path).stdout.splitlines()]
    assert records[0]["pauses"] == 1 and 9 < records[0]["paused_s"] < 11, records[0]
    leaks = [v for v in records if v.get("verdict") == "LEAK" and v["file"].endswith("leaky_cache.py")]
    assert [v for v in leaks if v["function"] == "remember"], records
    assert not [v for v in records if v.get("verdict") == "PLATEAU" and v["bytes"] > 100000], records
    assert re.search(r"1 pause of (9\.\d|1\d) s in all left out", harness.run_tool("leaks", path).stdout)


def confusion(results):
    rows = []
    for mode, (verdict, others, process) in results.items():
        have = verdict["verdict"] if verdict else "none"
        right = (verdict["verdict"] if verdict else None) in programs.LABELS[mode]
        wanted = "/".join(sorted(v or "none" for v in programs.LABELS[mode]))
        rows.append([mode, wanted] + [("x" if v == have else "") for v in VERDICTS] +
                    ["yes" if process["unexplained"] else "", "" if right else "<-- wrong",
                     " ".join(others)])
    return harness.table(rows, ["program", "right"] + VERDICTS + ["RSS?", "", "other leaks"])


def test_labelled_programs(debian, tmp_path, show):
    modes = list(programs.LABELS) if harness.FULL else SMALL
    results = run_modes(debian.path, modes, tmp_path)
    show("verdicts on labelled programs (%s every %d s, %s)" % (EVERY, SECONDS, debian),
         confusion(results))
    for mode, (verdict, others, process) in results.items():
        have = verdict["verdict"] if verdict else None
        assert have in programs.LABELS[mode], "%s: %r" % (mode, verdict)
        assert process["unexplained"] == (mode in programs.UNEXPLAINED), "%s: %r" % (mode, process)


# ---- series that were made up: a line a model, known to the driver ----

def make(path, *args):
    out = subprocess.run([SERIES] + [str(a) for a in args[:1]] + [str(path)] + [str(a) for a in args[1:]],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=250)
    assert out.returncode == 0, out.stdout + out.stderr
    return path


def leaks(*args, status=0):
    out = harness.run_tool("leaks", *args, timeout=120)
    assert out.returncode == status, (out.returncode, out.stdout[-2000:], out.stderr)
    return out


def records(*args, status=0):
    return [json.loads(line) for line in leaks("-j", *args, status=status).stdout.splitlines()]


def verdicts(all_records):
    return {r["function"]: r["verdict"] for r in all_records if r["type"] == "verdict"}


def header(all_records):
    return next(r for r in all_records if r["type"] == "leaks")


@pytest.fixture
def models(tmp_path):
    return make(tmp_path / "models.tmb", "models", 770000005, 120)


def test_each_line_gets_its_own_verdict(models):
    have = verdicts(records("-T", 0, models))
    assert have["leak"] == have["growing dict"] == have["leak starts late"] == "LEAK"
    assert have["one big block an hour"] == "LEAK"
    assert have["LRU cache fills"] == have["leak stops"] == "PLATEAU"
    assert have["periodic batch"] == have["cache with TTL"] == have["load comes and goes"] == "CHURN"
    assert have["warm-up"] == "WARM-UP"
    # the same, read one by one: lines do not influence each other
    for number in (0, 8, 15):
        one = make(models.parent / "one.tmb", "models", 770000005, 120, "only=%d" % number)
        for function, verdict in verdicts(records("-T", 0, one)).items():
            assert have[function] == verdict


def test_text_and_ndjson_agree(models):
    text = leaks("-T", 0, models).stdout
    found = records("-T", 0, models)
    words = re.findall(r"^(LEAK|UNKNOWN|PLATEAU|CHURN|WARM-UP) +model\d+\.py:(\d+) ", text, re.M)
    assert words == [(r["verdict"], str(r["line"])) for r in found if r["type"] == "verdict"]
    first = next(r for r in found if r["type"] == "verdict")
    assert "%d/%d windows up" % (first["windows_up"], first["windows_compared"]) in text
    assert first["bytes_per_min_low"] <= first["bytes_per_min"] <= first["bytes_per_min_high"]
    head = header(found)
    assert head["schema"] == "tmbpf/1" and head["snapshots"] == 120 and head["windows"] == 60
    assert head["lines"] == len(words) == sum(head["verdicts"].values())
    assert found[-1] == {"type": "end", "reason": "done", "exit": 0}
    assert "docs/leak-verdict.md" not in text or os.path.exists(
        os.path.join(harness.ROOT, "docs", "leak-verdict.md"))


def test_top_limits_lines_but_not_leaks_first(models):
    found = [r["verdict"] for r in records("-T", 3, models) if r["type"] == "verdict"]
    assert found.count("LEAK") == 3
    assert all(found.count(v) <= 1 for v in ("UNKNOWN", "PLATEAU", "CHURN")) and "WARM-UP" not in found
    text = leaks("-T", 3, models).stdout
    assert re.search(r"^LEAK +\d+ more sites", text, re.M)
    assert re.search(r"^WARM-UP +2 sites +stopped growing within", text, re.M)


@pytest.mark.parametrize("key", ["lineno", "filename", "traceback", "function", "module", "thread", "domain"])
def test_every_key_groups(models, key):
    found = records("-T", 0, "--by", key, models)
    assert header(found)["by"] == key
    rows = [r for r in found if r["type"] == "verdict"]
    assert len(rows) == (20 if key in ("lineno", "traceback", "function") else 1)
    if key == "traceback":
        assert all(len(r["stack"]) == 10 for r in rows)
    assert leaks("--by", key, models).stdout


def test_fail_on(models, tmp_path):
    leaks("--fail-on", "leak", models, status=1)
    assert records("--fail-on", "leak", models, status=1)[-1]["exit"] == 1
    calm = make(tmp_path / "calm.tmb", "models", 770000005, 120, "only=15")
    leaks("--fail-on", "leak,unknown", calm)
    unsure = make(tmp_path / "unsure.tmb", "models", 770000005, 120, "only=12")
    have = set(verdicts(records(unsure)).values())
    leaks("--fail-on", "leak", unsure)
    leaks("--fail-on", "leak,unknown", unsure, status=1 if "UNKNOWN" in have else 0)
    leaks("--fail-on", "churn", models, status=2)


def test_rss_that_nothing_explains_is_unknown_to_fail_on(tmp_path):
    grows = make(tmp_path / "rss.tmb", "models", 770000005, 120, "only=14", "rss=119000000")
    found = records("-T", 0, "--fail-on", "leak,unknown", grows, status=1)
    assert header(found)["verdicts"]["LEAK"] == header(found)["verdicts"]["UNKNOWN"] == 0
    assert next(r for r in found if r["type"] == "process")["unexplained"] and found[-1]["exit"] == 1
    leaks("--fail-on", "unknown", grows, status=1)
    leaks("--fail-on", "leak", grows)


def test_nothing_is_hidden_by_default(tmp_path):
    imports = make(tmp_path / "imports.tmb", "models", 770000005, 120, "only=0",
                   "file=<frozen importlib._bootstrap>")
    out = leaks("--fail-on", "leak", imports, status=1).stdout
    assert re.search(r"^LEAK +<frozen importlib\._bootstrap>:1 leak ", out, re.M) and "filtered" not in out
    assert leaks("--no-default-filters", imports).stdout == out


def test_what_filters_leave_out_is_said(models, tmp_path):
    def left_out(found, key):
        sums = header(found)[key]
        return re.compile(r"^%s out: \S+ \w+ in %d blocks of %d stacks$" % (key, sums["blocks"], sums["stacks"]), re.M)

    args = ["-T", 0, "--exclude", "*/model0.py:1"]
    found = records(*args, models)
    assert header(found)["filtered"]["bytes"] > 0
    assert left_out(found, "filtered").search(leaks(*args, models).stdout)
    assert "filtered out" not in leaks("-T", 0, models).stdout
    known = tmp_path / "known.txt"
    known.write_text("leak:^leak$\nleak:never\n")
    lines = leaks("--suppressions", known, models).stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("suppressed: "))
    assert lines[at + 1] == "  leak:^leak$:" + lines[at][len("suppressed:"):]


def test_help_lists_what_is_taken():
    text = leaks("--help").stdout
    for option in ("--cumulative", "--sort", "--limit-frames", "--most-recent-first", "--source",
                   "--no-default-filters"):
        assert option not in text
    for option in ("--by", "--top", "--json", "--include", "--exclude", "--all-frames", "--domain",
                   "--exclude-domain", "--suppressions", "--max-lost", "--fail-on"):
        assert option in text
    assert "no WARM-UP" in text and "more than what is traced" in " ".join(text.split())


def test_known_leaks_are_suppressed(models, tmp_path):
    known = tmp_path / "known.txt"
    known.write_text("# ours\nleak:model*.py\n")
    out = leaks("--fail-on", "leak", "--suppressions", known, models).stdout
    assert "suppressed: " in out and "no line held anything" in out
    known.write_text("leak:^leak$\n")
    have = verdicts(records("-T", 0, "--suppressions", known, models))
    assert "leak" not in have and have["growing dict"] == "LEAK"
    assert verdicts(records("-T", 0, "--exclude", "*/model0.py:1", models)) == have


def test_fewer_than_three_snapshots(tmp_path):
    two = make(tmp_path / "two.tmb", "models", 1, 2)
    out = leaks(two, status=3)
    assert "error E331" in out.stderr and re.search(r"fix: record for longer: .*tmbpf record -p PID", out.stderr)
    assert out.stdout == ""
    found = records(two, status=3)
    assert found[0]["code"] == "E331" and found[-1] == {"type": "end", "reason": "error", "exit": 3}
    three = make(tmp_path / "three.tmb", "models", 1, 3, "only=0")
    assert "only 3 snapshots" in leaks(three).stdout or "LEAK" not in leaks(three).stdout


def test_incomplete_data(tmp_path):
    lossy = make(tmp_path / "lossy.tmb", "models", 770000005, 120, "missed=0.03")
    found = records("-T", 0, lossy)
    assert 0.029 < header(found)["missing_ratio"] < 0.031
    assert all(r["lossy"] for r in found if r["type"] == "verdict")
    for line in leaks("-T", 0, lossy).stdout.splitlines():
        if line.startswith("LEAK"):
            assert "3.0% of the data is missing" in line
    exact = make(tmp_path / "exact.tmb", "models", 770000005, 120)
    narrow = {r["function"]: r for r in records("-T", 0, exact) if r["type"] == "verdict"}
    for r in found:
        if r["type"] == "verdict" and r["verdict"] == "LEAK":
            assert r["bytes_per_min_low"] < narrow[r["function"]]["bytes_per_min_low"]
    out = leaks("--max-lost", "1%", lossy, status=6)
    assert "error E610" in out.stderr
    leaks("--max-lost", "5%", lossy)


def test_a_restart_of_tracing_is_a_new_stretch(tmp_path):
    # the second tracing starts from nothing: joined, the lines would fall and rise again
    first = make(tmp_path / "a.tmb", "models", 770000005, 50, "only=0")
    second = make(tmp_path / "b.tmb", "models", 770000005, 120, "only=0", "start=3600")
    for order in ([first, second], [second, first]):
        found = records("-T", 0, *order)
        head = header(found)
        assert head["stretches"] == 2 and head["snapshots"] == 120 and head["snapshots_left_out"] == 50
        assert verdicts(found) == {"leak": "LEAK"}
    assert "tracing was started 2 times" in leaks(first, second).stdout
    short = [make(tmp_path / ("s%d.tmb" % i), "models", 1, 1, "start=%d" % (i * 100)) for i in range(4)]
    assert "tracing was started 4 times here" in leaks(*short, status=3).stderr


def test_files_of_one_attach_are_one_stretch(tmp_path):
    whole = make(tmp_path / "whole.tmb", "models", 770000005, 60)
    # the same process and the same attach, one hour later
    later = make(tmp_path / "later.tmb", "models", 770000005, 60, "start=3600", "attach=3660")
    head = header(records(whole, later))
    assert head["stretches"] == 1 and head["snapshots"] == 120 and head["snapshots_left_out"] == 0
    # a file given twice adds nothing
    assert header(records(whole, whole))["snapshots"] == 60


def test_files_of_two_processes_are_refused(models, tmp_path):
    other = make(tmp_path / "other.tmb", "models", 1, 10, "pid=4712")
    out = leaks(models, other, status=3)
    assert "error E332" in out.stderr and "4711" in out.stderr and "4712" in out.stderr


def test_the_limit_and_what_rss_does(tmp_path):
    grows = make(tmp_path / "rss.tmb", "models", 770000005, 120, "only=14", "rss=119000000", "limit=500000000")
    process = next(r for r in records(grows) if r["type"] == "process")
    # 1,000,000 a minute, 281,000,000 left
    assert process["limit_rate"] == "rss" and 280 < process["limit_min"] < 282
    assert process["unexplained"] and process["limit_bytes"] == 500000000
    text = leaks(grows).stdout
    assert re.search(r"cgroup limit 477 MiB is reached in ~4\.7 h, from RSS 209 MiB at the rate of RSS ", text)
    assert re.search(r"^UNKNOWN +RSS grew 977 KiB/min but traced live only", text, re.M)
    above = make(tmp_path / "above.tmb", "models", 770000005, 120, "only=14", "rss=119000000", "limit=200000000")
    process = next(r for r in records(above) if r["type"] == "process")
    assert process["limit_min"] == 0 and process["limit_rate"] is None
    assert re.search(r"^ {10}RSS 209 MiB is at or above the cgroup limit 191 MiB ", leaks(above).stdout, re.M)
    calm = make(tmp_path / "calm.tmb", "models", 770000005, 120, "only=14")
    process = next(r for r in records(calm) if r["type"] == "process")
    assert process["limit_min"] is None and process["limit_bytes"] is None and not process["unexplained"]


def test_filters_do_not_delay_the_limit(tmp_path):
    one = make(tmp_path / "one.tmb", "models", 770000005, 120, "only=0", "limit=500000000")
    whole, part = [next(r for r in records(*args, one) if r["type"] == "process")
                   for args in ([], ["--exclude", "*"])]
    assert whole["limit_rate"] == "live" and whole == part
    assert "at the rate of all that is traced " in leaks("--exclude", "*", one).stdout
    # all of it fills up, some of its lines leak
    models = make(tmp_path / "models.tmb", "models", 770000005, 120, "limit=5000000000")
    assert "at the rate of the leaks " in leaks(models).stdout
    text = leaks("--exclude", "*/model0.py:1", models).stdout
    assert "at the rate of the leaks shown " in text and "\nfiltered out: " in text


def test_a_slow_leak_has_a_rate(tmp_path):
    slow = make(tmp_path / "slow.tmb", "models", 770000005, 120, "only=0", "every=20000000")
    leak = next(r for r in records(slow) if r["type"] == "verdict")
    assert 0 < leak["bytes_per_min"] < 1
    assert re.search(r" \+%.0f B/h \(" % (leak["bytes_per_min"] * 60), leaks(slow).stdout)


@pytest.mark.parametrize("args,status,word", [
    ((), 2, "which series"),
    (("/nonexistent",), 3, "E311"),
    (("/tmp",), 3, "E312"),
    (("/usr/bin/python3",), 3, "E312"),
    (("--sort", "size", "x"), 2, "unrecognized option '--sort'"),
    (("--cumulative", "x"), 2, "unrecognized option '--cumulative'"),
    (("--limit-frames", "3", "x"), 2, "unrecognized option '--limit-frames'"),
    (("--most-recent-first", "x"), 2, "unrecognized option '--most-recent-first'"),
    (("--source", "x"), 2, "unrecognized option '--source'"),
    (("--by", "color", "x"), 2, "--by color"),
    (("--fail-on", "", "x"), 2, "--fail-on"),
    (("--max-lost", "x", "x"), 2, "--max-lost"),
])
def test_wrong_use(args, status, word):
    assert word in leaks(*args, status=status).stderr


def test_output_that_cannot_be_written(models):
    with open("/dev/full", "w") as full:
        out = subprocess.run([harness.BINARY, "leaks", str(models)], stdout=full, stderr=subprocess.PIPE,
                             text=True, env=harness.tool_env())
    assert out.returncode == 7 and "E701" in out.stderr


def test_a_day_of_fifty_thousand_stacks(tmp_path, show):
    """1,440 snapshots, 1 % of the stacks change each time. FULL: the whole; else a tenth of the stacks."""
    stacks = 50000 if harness.FULL else 5000
    path = make(tmp_path / "day.tmb", "scale", stacks, 1440, 10)
    rows = []
    for key in ("lineno", "traceback"):
        before = os.times()
        out = subprocess.run(["/usr/bin/time", "-f", "%e %U %M", harness.BINARY, "leaks", "-j", "-T", "0",
                              "--by", key, str(path)], capture_output=True, text=True, timeout=250,
                             env=harness.tool_env())
        assert out.returncode == 0, out.stderr
        assert before
        wall, cpu, kib = out.stderr.split()[-3:]
        found = [json.loads(line) for line in out.stdout.splitlines()]
        head = header(found)
        rows.append([key, str(stacks), str(head["lines"]), wall, cpu, str(int(kib) // 1024),
                     str(head["verdicts"]["LEAK"])])
        assert head["snapshots"] == 1440 and head["lines"] == stacks
        leaking = {r["function"] for r in found if r["type"] == "verdict" and r["verdict"] == "LEAK"}
        wanted = {"fn%d" % i for i in range(0, stacks, 1000)}
        assert wanted <= leaking
        # the others jump at random, a dozen times: one in a few thousand may look like growth
        assert len(leaking - wanted) <= max(2, stacks // 5000)
        assert int(kib) < 200 * 1024
        assert float(cpu) < 10
    show("leaks: 1440 snapshots, 1 % changes", harness.table(
        rows, ["by", "stacks", "lines", "seconds", "cpu s", "MiB", "leaks"]))
