# SPDX-License-Identifier: GPL-2.0-or-later
"""Exported snapshots, opened by the programs they are for."""
import collections
import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys

import pytest

import export_oracles as oracles
import harness

FORMATS = {"pprof": "pb.gz", "tracemalloc": "pickle", "folded": "folded", "speedscope": "speedscope.json",
           "ndjson": "ndjson", "csv": "csv"}
PYTHONS, MISSING = oracles.pythons()


class Exported:
    """One snapshot in every format."""

    def __init__(self, folder, spec):
        self.folder, self.spec = str(folder), spec
        self.truth = oracles.Truth(self.get("ndjson"))

    def get(self, form, *args):
        name = "-".join(["out"] + [re.sub(r"\W", "", a) for a in args])
        path = os.path.join(self.folder, "%s.%s" % (name, FORMATS[form]))
        return path if os.path.exists(path) else oracles.export(self.spec, form, path, *args)


SNAPSHOTS = {
    "hostile names": (1, 300, 0),
    "allocations known": (2, 300, 0, "alloc"),
    "empty": (3, 0, 0),
    "one stack": (4, 1, 0, "alloc"),
    "many": (5, 1200, 0, "plain"),
}


@pytest.fixture(scope="module", params=sorted(SNAPSHOTS))
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return Exported(folder, oracles.make_series(str(folder / "a.tmb"), *SNAPSHOTS[request.param]))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Two snapshots of one program, the second later: names that a text output shows as they are."""
    out = []
    for growth in (0, 50):
        folder = tmp_path_factory.mktemp("plain")
        out.append(Exported(folder, oracles.make_series(str(folder / "a.tmb"), 7, 400, growth, "plain", "alloc")))
    return out


# ---- tracemalloc ----

def check_python(result, truth, minor):
    assert result["count"] == truth.header["live_blocks"]
    assert result["size"] == truth.header["live_bytes"]
    by_line = truth.group(lambda s: truth.pickle_frames(s)[0])
    got = {(f, line): (size, count) for f, line, size, count in result["lineno"]}
    assert got == by_line
    by_stack = truth.group(truth.pickle_frames)
    got = {tuple(map(tuple, frames)): (size, count) for frames, size, count in result["traceback"]}
    assert got == by_stack
    python = truth.group(lambda s: "", "python").get("", (0, 0))
    assert tuple(result["domain0"]) == python
    cut = sum(s["blocks"] for s in truth.sites if s["truncated"])
    assert result["cut"] == (cut if minor >= 9 else 0)
    assert result["comment"].startswith("tmbpf ")


@pytest.mark.parametrize("python", PYTHONS, ids=[p.name for p in PYTHONS])
def test_tracemalloc_opens_it(exported, python, tmp_path):
    path = exported.get("tracemalloc", "--max-blocks=0", "--python=3.%d" % python.minor)
    result = json.loads(python.run(str(tmp_path), "tracemalloc_load.py", path, "again"))
    assert result["version"] == [3, python.minor]
    check_python(result, exported.truth, python.minor)
    # What that Python dumps, we read: the same numbers once more.
    again = oracles.Truth(oracles.export(str(tmp_path / "again"), "ndjson", str(tmp_path / "again.ndjson")))
    assert again.group(again.pickle_frames) == exported.truth.group(exported.truth.pickle_frames)
    for key in ("live_bytes", "live_blocks"):
        assert again.header[key] == exported.truth.header[key]


def test_interpreters_from_3_6_to_3_15(show):
    minors = sorted({p.minor for p in PYTHONS})
    show("tracemalloc.Snapshot.load()", "opened by: %s\n%s" % (
        ", ".join("%s (3.%d)" % (p.name, p.minor) for p in PYTHONS),
        "NOT TESTED, not on this machine: %s\n" % ", ".join(MISSING) if MISSING else ""))
    assert minors


def test_the_form_follows_the_target_unless_told(plain):
    load = ("import tracemalloc, sys\ns = tracemalloc.Snapshot.load(sys.argv[1])\n"
            "print(len(s.traces._traces[0]))")
    for args, items in (((), 4), (("--python=3.8",), 3), (("--python=3.15.1",), 4)):  # the target: 3.12.4
        run = subprocess.run([sys.executable, "-c", load, plain[0].get("tracemalloc", *args)],
                             capture_output=True, text=True)
        assert run.stdout.strip() == str(items), run.stderr


def test_pickletools_knows_every_opcode(exported):
    run = subprocess.run([sys.executable, "-m", "pickletools", exported.get("tracemalloc", "--max-blocks=5000")],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.rstrip().endswith("highest protocol among opcodes = 4")


def test_too_many_blocks_keep_their_bytes(exported, tmp_path):
    truth = exported.truth
    if truth.header["live_blocks"] < 10000:
        limit = 1
    else:
        limit = truth.header["live_blocks"] // 3
    path = str(tmp_path / "out.pickle")
    run = harness.run_tool("export", exported.spec, "-o", path, "--max-blocks", limit)
    assert run.returncode == 0
    assert ("W711" in run.stderr) == (truth.header["live_blocks"] > limit)
    result = json.loads(PYTHONS[0].run(str(tmp_path), "tracemalloc_load.py", path))
    assert result["size"] == truth.header["live_bytes"]
    stacks = [s for s in truth.sites if s["blocks"]]
    assert result["count"] <= limit + len(stacks)
    assert ("scaled down" in result["comment"]) == (truth.header["live_blocks"] > limit)


# ---- pprof ----

def decode(path):
    with gzip.open(path) as f:
        raw = f.read()
    run = subprocess.run(["protoc", "--decode=perftools.profiles.Profile", "-I" + oracles.HERE,
                          os.path.join(oracles.HERE, "profile.proto")], input=raw, capture_output=True)
    assert run.returncode == 0, run.stderr
    return oracles.parse_text_format(run.stdout.decode())


def one(message, field, default=0):
    values = message.get(field, [])
    assert len(values) <= 1
    return values[0] if values else default


def test_protoc_decodes_the_profile(exported):
    p = decode(exported.get("pprof"))
    truth = exported.truth
    strings = p["string_table"]
    assert strings[0] == "" and len(set(strings)) == len(strings)
    assert [strings[one(t, "type")] for t in p["sample_type"]] == oracles.VALUES
    assert [strings[one(t, "unit")] for t in p["sample_type"]] == ["count", "bytes"] * 2
    assert strings[one(p, "default_sample_type")] == "inuse_space"
    assert one(p, "period") == 1 and len(p["mapping"]) >= 1
    functions = {one(f, "id"): f for f in p["function"]}
    locations = {one(loc, "id"): loc for loc in p["location"]}
    want = collections.Counter()
    for s in truth.sites:
        if any(truth.values(s)):
            frames = tuple((truth.frame_name(f), f["file"], f["line"]) for f in truth.stacks[s["stack_id"]])
            want[frames, tuple(truth.values(s)), s["domain"], s["thread"]] += 1
    got = collections.Counter()
    for s in p["sample"]:
        frames = []
        for i in s["location_id"]:
            line = one(locations[i], "line")
            f = functions[one(line, "function_id")]
            assert one(locations[i], "mapping_id") in range(1, len(p["mapping"]) + 1)
            assert one(locations[i], "address") == 0
            frames.append((strings[one(f, "name")], strings[one(f, "filename")], one(line, "line")))
        labels = {strings[one(l, "key")]: l for l in s["label"]}
        assert len(labels) == len(s["label"])
        assert one(labels["pid"], "num") == 4711
        thread = labels.get("thread")
        got[tuple(frames), tuple(s["value"]), strings[one(labels["domain"], "str")],
            strings[one(thread, "str")] if thread else None] += 1
    assert got == want
    for f in p["function"]:
        if strings[one(f, "name")].startswith("<"):
            assert one(f, "system_name") == 0
    note = [strings[c] for c in p["comment"] if "lower bound" in strings[c]]
    assert bool(note) == (not truth.header["alloc_known"])


def pprof_name(truth):
    """"function file:line", as pprof -lines shows it; without a line there is none."""
    def name(f):
        line = ":%d" % f["line"] if f["line"] else ""
        return "%s %s%s" % (truth.frame_name(f), f["file"], line)
    return name


@pytest.mark.parametrize("value", oracles.VALUES)
def test_pprof_agrees(plain, value):
    truth = plain[0].truth
    top, _ = oracles.pprof_top(plain[0].get("pprof"), value)
    assert top == truth.weights(value, pprof_name(truth))


@pytest.mark.parametrize("value", ["inuse_space", "alloc_objects"])
def test_pprof_subtracts(plain, value):
    old, new = (p.truth.weights(value, pprof_name(p.truth)) for p in plain)
    want = {}
    for name in set(old) | set(new):
        diff = tuple(b - a for a, b in zip(old.get(name, (0, 0)), new.get(name, (0, 0))))
        if any(diff):
            want[name] = diff
    top, _ = oracles.pprof_top(plain[1].get("pprof"), value, "-diff_base", plain[0].get("pprof"))
    assert {n: v for n, v in top.items() if any(v)} == want
    # A profile less itself is nothing: no frame is told apart from itself.
    top, _ = oracles.pprof_top(plain[0].get("pprof"), value, "-diff_base", plain[0].get("pprof"))
    assert not any(any(v) for v in top.values())


def test_pprof_shows_names_that_are_no_templates(plain):
    top, text = oracles.pprof_top(plain[0].get("pprof"), "inuse_space")
    for name in ("<module>", "<lambda>", "<listcomp>", "C.<locals>.f"):
        assert any(n.startswith(name + " ") for n in top), text
    assert text.startswith("File: python3.12")


def test_pprof_knows_the_labels(plain):
    run = subprocess.run(["go", "tool", "pprof", "-tags", plain[0].get("pprof")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for label in ("bytes:", "domain:", "pid:", "thread:"):
        assert re.search(r"^ *" + label, run.stdout, re.M), run.stdout


def test_pprof_with_lines_in_the_names(plain):
    top, _ = oracles.pprof_top(plain[0].get("pprof", "--frames-as=file:line"), "inuse_space", by="-functions")
    truth = plain[0].truth

    def name(f):
        base = f["file"].rsplit("/", 1)[-1]
        if base == "<unknown>":
            return base
        where = base if f["domain"] == "native" and not f["line"] else "%s:%d" % (base, f["line"])
        return "%s (%s)" % (truth.frame_name(f), where)
    assert top == truth.weights("inuse_space", name)


# ---- speedscope ----

NAMES = {"live bytes": "inuse_space", "live blocks": "inuse_objects", "allocated bytes": "alloc_space",
         "allocations": "alloc_objects"}


def test_speedscope_file_is_sound(exported):
    with open(exported.get("speedscope")) as f:
        doc = json.load(f)
    truth = exported.truth
    assert doc["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = doc["shared"]["frames"]
    assert len({json.dumps(f, sort_keys=True) for f in frames}) == len(frames)
    assert [p["unit"] for p in doc["profiles"]] == ["bytes", "none"] * 2
    for p in doc["profiles"]:
        value = NAMES[p["name"].split(" (")[0]]
        assert ("not recorded" in p["name"]) == (value.startswith("alloc") and not truth.header["alloc_known"])
        assert len(p["samples"]) == len(p["weights"]) and all(w > 0 for w in p["weights"])
        assert p["endValue"] - p["startValue"] == sum(p["weights"]) == truth.sum(value)
        want = collections.Counter()
        for s in truth.sites:
            stack = truth.stacks[s["stack_id"]]
            want[tuple((truth.frame_name(f), f["file"], f["line"]) for f in reversed(stack))] += \
                truth.values(s)[oracles.VALUES.index(value)]
        got = {tuple((frames[i]["name"], frames[i]["file"], frames[i].get("line", 0)) for i in sample): w
               for sample, w in zip(p["samples"], p["weights"])}
        assert got == {k: v for k, v in want.items() if v}


def check_speedscope(exported):
    package, why = oracles.speedscope_package()
    if not package:
        pytest.skip("the importer of speedscope was not run: %s" % why)
    group = oracles.speedscope_import(package, exported.get("speedscope"))
    truth = exported.truth
    assert group["name"].startswith("%s %d 20" % (truth.header["comm"], truth.header["pid"]))
    assert group["index"] == 0 and len(group["profiles"]) == 4
    for p in group["profiles"]:
        value = NAMES[p["name"].split(" (")[0]]
        assert p["total"] == truth.sum(value)
        got = {(name, f, line): (own, total) for name, f, line, own, total in p["frames"]}
        want = truth.weights(value, lambda f: (truth.frame_name(f), f["file"], f["line"]))
        assert {k: v for k, v in got.items() if v[1]} == want


def test_speedscope_imports_it(exported):
    check_speedscope(exported)


# ---- text ----

def test_csv_reads_back(exported):
    truth = exported.truth
    with open(exported.get("csv"), newline="") as f:
        rows = list(csv.DictReader(f, strict=True))
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    known = collections.defaultdict(lambda: True)
    for s in truth.sites:
        key = (s["file"], s["line"], s["function"] or "", s["domain"])
        for i, v in enumerate(truth.values(s)):
            sums[key][i] += v
        known[key] &= s["alloc_bytes"] is not None
    # names are cleaned for a terminal, so two of them may become one text
    want = collections.Counter()
    for key, (alloc_blocks, alloc_bytes, blocks, size) in sums.items():
        allocs = (str(alloc_bytes), str(alloc_blocks)) if known[key] else ("", "")
        want[(harness.clean(key[0]), key[1], harness.clean(key[2]), key[3], size, blocks) + allocs] += 1
    assert want == collections.Counter((r["file"], int(r["line"]), r["function"], r["domain"], int(r["bytes"]),
                                        int(r["blocks"]), r["alloc_bytes"], r["allocs"]) for r in rows)
    sizes = [int(r["bytes"]) for r in rows]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("value", oracles.VALUES)
def test_folded_adds_up(exported, value):
    truth = exported.truth
    with open(exported.get("folded", "--value=" + value)) as f:
        lines = f.read().split("\n")
    assert lines.pop() == ""
    total = 0
    for line in lines:
        m = re.fullmatch(r"(.+) (\d+)", line)
        assert m and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line), line
        total += int(m.group(2))
    assert total == truth.sum(value)
    stacks = {s["stack_id"] for s in truth.sites if truth.values(s)[oracles.VALUES.index(value)]}
    assert len(lines) == len(stacks)


def test_the_same_bytes_again(exported, tmp_path):
    for form, suffix in FORMATS.items():
        again = oracles.export(exported.spec, form, str(tmp_path / ("again." + suffix)))
        with open(again, "rb") as a, open(exported.get(form), "rb") as b:
            assert a.read() == b.read(), form


# ---- the command line ----

def test_filters_leave_out_and_say_so(plain, tmp_path):
    path = oracles.export(plain[0].spec, "ndjson", str(tmp_path / "a.ndjson"), "--include", "/srv/a.py",
                          "--domain", "python")
    part, whole = oracles.Truth(path), plain[0].truth
    want = [s for s in whole.sites if s["file"] == "/srv/a.py" or s["domain"] == "python"]
    assert part.header["filtered"]["stacks"] == len(whole.sites) - len(part.sites) > 0
    assert part.header["filtered"]["bytes"] == whole.header["live_bytes"] - part.header["live_bytes"] > 0
    assert sorted(s["bytes"] for s in part.sites) == sorted(s["bytes"] for s in want)
    path = oracles.export(plain[0].spec, "tracemalloc", str(tmp_path / "a.pickle"), "--exclude", "/srv/*")
    result = json.loads(PYTHONS[0].run(str(tmp_path), "tracemalloc_load.py", path))
    assert "filters left out" in result["comment"]
    assert not any(f.startswith("/srv/") for f, _, _, _ in result["lineno"])


def test_the_format_comes_from_the_name(plain, tmp_path):
    for form, suffix in FORMATS.items():
        path = str(tmp_path / ("a." + suffix))
        assert harness.run_tool("export", plain[0].spec, "-o", path).returncode == 0
        with open(path, "rb") as a, open(plain[0].get(form), "rb") as b:
            assert a.read() == b.read(), form


def test_stdout_is_the_default(plain):
    run = harness.run_tool("export", plain[0].spec, "-f", "csv")
    with open(plain[0].get("csv")) as f:
        assert run.stdout == f.read() and run.stderr == "" and run.returncode == 0


@pytest.mark.parametrize("args", [
    (), ("-f", "csv"), ("FILE",), ("FILE", "-o", "a.json"), ("FILE", "-f", "html"), ("FILE", "FILE", "-f", "csv"),
    ("FILE", "-f", "csv", "--value", "inuse_space"), ("FILE", "-f", "folded", "--value", "space"),
    ("FILE", "-f", "pprof", "--python", "3.8"), ("FILE", "-f", "tracemalloc", "--python", "3.5"),
    ("FILE", "-f", "tracemalloc", "--python", "2.7"), ("FILE", "-f", "tracemalloc", "--max-blocks", "-1"),
    ("FILE", "-f", "folded", "--frames-as", "function"), ("FILE", "-f", "pprof", "--frames-as", "line"),
    ("FILE", "-f", "csv", "-o", ""),
])
def test_usage(plain, args):
    run = harness.run_tool("export", *[plain[0].spec if a == "FILE" else a for a in args])
    assert run.returncode == 2 and run.stdout == "" and "tmbpf export" in run.stderr


def test_nothing_is_replaced_without_force(plain, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("mine")
    run = harness.run_tool("export", plain[0].spec, "-o", path)
    assert run.returncode == 7 and "E702" in run.stderr and "--force" in run.stderr
    assert path.read_text() == "mine"
    assert harness.run_tool("export", plain[0].spec, "-o", path, "--force").returncode == 0
    assert path.read_text().startswith("file,line")
    assert path.stat().st_mode & 0o7777 == 0o600
    assert os.listdir(str(tmp_path)) == ["a.csv"]


def test_links_devices_and_directories_are_left_alone(plain, tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "target")
    os.mkfifo(str(tmp_path / "fifo.csv"))
    (tmp_path / "dir.csv").mkdir()
    before = sorted(os.listdir(str(tmp_path)))
    for name in ("link.csv", "fifo.csv", "dir.csv", "no/a.csv"):
        run = harness.run_tool("export", plain[0].spec, "-f", "csv", "-o", tmp_path / name, "--force")
        assert run.returncode == 7 and "E703" in run.stderr, name
    assert sorted(os.listdir(str(tmp_path))) == before


def test_a_full_disk(plain):
    with open("/dev/full", "w") as full:
        for form in FORMATS:
            run = subprocess.run([harness.BINARY, "export", plain[0].spec, "-f", form], stdout=full,
                                 stderr=subprocess.PIPE, text=True)
            assert run.returncode == 7 and "E701" in run.stderr, form


def test_a_full_disk_leaves_nothing(plain, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], check=True)
    try:
        (small / "old.ndjson").write_text("mine")
        for args in (("a.ndjson",), ("old.ndjson", "--force")):
            run = harness.run_tool("export", plain[0].spec, "-o", small / args[0], *args[1:])
            assert run.returncode == 7 and "E704" in run.stderr
        assert os.listdir(str(small)) == ["old.ndjson"]
        assert (small / "old.ndjson").read_text() == "mine"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_reader_that_goes_away_is_no_error(plain):
    p = subprocess.Popen([harness.BINARY, "export", plain[0].spec, "-f", "ndjson"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    p.stdout.readline()
    p.stdout.close()
    assert p.stderr.read() == b""
    assert p.wait(30) == 0


def test_no_binary_on_a_terminal(plain):
    for form in ("pprof", "tracemalloc"):
        run = subprocess.run(["script", "-qec", "%s export %s -f %s" % (harness.BINARY, plain[0].spec, form),
                              "/dev/null"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert run.returncode == 7 and "E706" in run.stdout, run.stdout[:200]


def test_what_was_not_recorded_is_said_on_stderr(exported):
    run = harness.run_tool("export", exported.spec, "-f", "folded", "--value", "alloc_space")
    assert run.returncode == 0
    assert ("W712" in run.stderr) == (not exported.truth.header["alloc_known"])


@pytest.mark.parametrize("text, why", [
    (b"\x80\x04cos\nsystem\n(X\x02\x00\x00\x00idtR.", "os.system"),
    (b"\x80\x04]\x94.", "not of a tracemalloc.Snapshot"),
    (b"\x80\x04\x95", "ends in the middle"),
])
def test_other_pickles_are_refused(tmp_path, text, why):
    path = tmp_path / "a.pickle"
    path.write_bytes(text)
    run = harness.run_tool("export", path, "-f", "csv")
    assert run.returncode == 3 and why in run.stderr and run.stdout == ""


# ---- a process ----

LIVE = """
import sys, threading
class Cache:
    def put(self, n):
        self.kept = [bytes(1000 + i % 7) for i in range(n)]
        self.small = [bytes(i % 100) for i in range(n)]
        self.table = {i: (lambda: i) for i in range(200)}
cache = Cache()
print("READY", flush=True)
sys.stdin.readline()
cache.put(3000)
eval("cache.__setattr__('more', ['x' * i for i in range(600)])")
thread = threading.Thread(target=cache.put, args=(500,), name="worker")
thread.start()
thread.join()
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A snapshot that `tmbpf snap` took of a process of the system's Python."""
    folder = tmp_path_factory.mktemp("live")
    script = folder / "live.py"
    script.write_text(LIVE)
    spec = str(folder / "live.tmb")
    with harness.Program(["/usr/bin/python3", str(script)]) as target:
        argv = [harness.BINARY, "snap", "-p", str(target.pid), "-o", spec, "-d", "60s", "--mode", "exact",
                "--threads"]
        snap = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                env=harness.tool_env())
        first = snap.stderr.readline()  # said when every probe is live
        assert snap.poll() is None, first + snap.stderr.read()
        target.go()
        snap.send_signal(signal.SIGINT)  # now
        rest = snap.communicate(timeout=60)[1]
        assert snap.returncode == 0, first + rest
        target.quit()
    exported = Exported(folder, spec)
    exported.script = str(script)
    return exported


def test_a_live_process_is_in_the_file(live):
    truth = live.truth
    put = [s for s in truth.sites if s["file"] == live.script and s["function"] and "put" in s["function"]]
    assert sum(s["blocks"] for s in put) >= 2 * 500
    assert truth.header["python"].startswith("3.") and truth.header["alloc_known"]
    assert {"python", "native"} >= {s["domain"] for s in truth.sites}
    assert any(s["thread"] for s in truth.sites)
    assert all(s["alloc_bytes"] >= s["bytes"] and s["alloc_blocks"] >= s["blocks"] for s in truth.sites)


@pytest.mark.parametrize("python", PYTHONS, ids=[p.name for p in PYTHONS])
def test_tracemalloc_opens_a_live_process(live, python, tmp_path):
    path = live.get("tracemalloc", "--max-blocks=0", "--python=3.%d" % python.minor)
    check_python(json.loads(python.run(str(tmp_path), "tracemalloc_load.py", path)), live.truth, python.minor)


@pytest.mark.parametrize("value", oracles.VALUES)
def test_pprof_agrees_on_a_live_process(live, value):
    top, text = oracles.pprof_top(live.get("pprof"), value)
    assert top == live.truth.weights(value, pprof_name(live.truth)), text


def test_speedscope_imports_a_live_process(live):
    check_speedscope(live)


def test_text_of_a_live_process(live):
    test_csv_reads_back(live)
    for value in oracles.VALUES:
        test_folded_adds_up(live, value)
