# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of the interpreter's allocator: what the tool says of each, and that its numbers are right with it.

The reference is always tracemalloc in a plain run of the same program. tracemalloc does not count what stands
between it and the allocator, so with hooks in the target the sizes differ by what the hooks add, the blocks not.
"""
import os
import re
import subprocess

import pytest

import exactness
import harness
import measure

HOOKED = os.path.join(harness.TARGETS, "hooked.py")
GIVE_BACK = os.path.join(harness.TARGETS, "give_back.py")
C_BLOCKS = os.path.join(harness.TARGETS, "c_blocks.py")
LINES = ["json_tuples_kept", "sessions_ring", "strings_and_bytes"]
WITHOUT_REUSE = ["strings_and_bytes", "regex_matches_kept", "linked_nodes"]

PLAIN = {}
DEBUG = {"PYTHONMALLOC": "pymalloc_debug"}
DEVMODE = {"PYTHONDEVMODE": "1"}
TRACEMALLOC = {"PYTHONTRACEMALLOC": "1"}
BOTH = {"PYTHONMALLOC": "pymalloc_debug", "PYTHONTRACEMALLOC": "1"}
MALLOC = {"PYTHONMALLOC": "malloc"}
MALLOC_DEBUG = {"PYTHONMALLOC": "malloc_debug"}
MIMALLOC = {"PYTHONMALLOC": "mimalloc"}
SETTINGS = {"plain": PLAIN, "debug": DEBUG, "devmode": DEVMODE, "tracemalloc": TRACEMALLOC, "both": BOTH,
            "malloc": MALLOC, "malloc_debug": MALLOC_DEBUG}

# tracemalloc follows each block with two of its own from malloc, for which the tool prepares a quarter of --blocks.
PREPARE = {"tracemalloc": ("--blocks", "8M"), "both": ("--blocks", "8M")}


def some(values, count):
    """The first ones, all with TMBPF_FULL=1."""
    return values if harness.FULL else values[:count]


def environment(setting):
    return harness.target_env(**SETTINGS[setting])


def is_debug(setting):
    return setting in ("debug", "devmode", "both", "malloc_debug")


def hook_bytes(interpreter, setting):
    """Bytes that the debug hooks add to a block."""
    return 0 if not is_debug(setting) else 32 if interpreter.v < (3, 8) else 24


def tables(interpreter):
    """Blocks of tracemalloc for each that it follows."""
    return 1 if interpreter.v < (3, 9) else 2


class Occupied:
    """exactness.Sizes of a process with hooks: pymalloc takes a large block from the raw domain, hooks included."""

    def __init__(self, step, hook, raw_hook):
        self.step, self.hook, self.raw_hook = step, hook, raw_hook

    def occupied(self, size):
        size += self.hook
        if self.small(size):
            return (size + self.step - 1) // self.step * self.step
        return size + self.raw_hook

    def small(self, size):
        return self.step > 1 and size <= exactness.SMALL_MAX


def occupied(reference, interpreter, setting):
    hook = hook_bytes(interpreter, setting)
    if setting.startswith("malloc"):
        return Occupied(1, hook, 0)
    return Occupied(exactness.sizes_of(reference.ready_text).step, hook, hook)


def codes(warnings):
    """Those of the allocator; W140 (cost) depends on the machine."""
    return {w["code"]: w["message"] for w in warnings if w["code"] in ("W120", "W121", "W122", "W126", "W127")}


def line_of(path, mark):
    with open(path) as f:
        return 1 + next(n for n, text in enumerate(f) if text.rstrip().endswith("# " + mark))


def at(sites, path, mark):
    """(blocks, bytes) of the line with that mark."""
    line = line_of(path, mark)
    found = [s for s in sites if s["file"] == path and s["line"] == line]
    return sum(s["blocks"] for s in found), sum(s["bytes"] for s in found)


def skip_unknown(interpreter, setting):
    if setting == "devmode" and interpreter.v < (3, 7):
        pytest.skip("no PYTHONDEVMODE before 3.7")


# ---- what is said ----

@pytest.mark.parametrize("setting", list(SETTINGS))
def test_what_is_said(setting, interpreter, program):
    skip_unknown(interpreter, setting)
    p = program(interpreter, GIVE_BACK, env=environment(setting))
    out = harness.run_tool("-p", p.pid, "--mode", "exact", "300ms", 1)
    assert out.returncode == 0, out.stderr
    said = dict(re.findall(r"warning (W12\d): (.*)", out.stderr))
    want = {"W120"} if setting.startswith("malloc") else set()
    if is_debug(setting) or "tracemalloc" in setting:
        want.add("W122")
    assert set(said) == want, out.stderr
    hooks = said.get("W122", "")
    size = hook_bytes(interpreter, setting)
    assert ("debug (every block is %d bytes larger" % size in hooks) == is_debug(setting)
    assert (", above 512 bytes %d)" % (2 * size) in hooks) == (is_debug(setting) and "W120" not in said)
    assert ("tracemalloc (its own tables are in the numbers" in hooks) == (setting in ("tracemalloc", "both"))
    assert "allocator unknown" not in hooks
    assert p.alive()
    assert p.quit() == 0


# ---- blocks and bytes per line, two runs ----

def compare(interpreter, name, tmp_path, argv, setting, *args):
    """(probed run, rows, bad rows, free lists) of a workload."""
    reference = measure.Reference(interpreter, name, 0, 1, tmp_path)
    probed = measure.Probed([interpreter, *argv, measure.DRIVER, name, 0, "plain"], *args, env=environment(setting))
    rows = exactness.add_sites(
        exactness.reference_rows(reference.traces, occupied(reference, interpreter, setting)), probed.sites)
    free = max(reference.free, probed.free)
    return probed, rows, exactness.judge(rows, free, measure.INPLACE), free


@pytest.mark.parametrize("name", some(LINES, 1))
def test_lines_with_debug_hooks(name, interpreter, tmp_path):
    probed, rows, bad, free = compare(interpreter, name, tmp_path, [], "debug")
    assert not probed.problems, probed.problems
    assert not bad, "\n" + exactness.format_table(name, rows, free, only_differences=True)
    assert probed.interval["coverage"]["python"]["ratio"] >= 0.999


@pytest.mark.parametrize("name", some(WITHOUT_REUSE, 1))
@pytest.mark.parametrize("setting", ["malloc", "malloc_debug"])
def test_lines_with_malloc(setting, name, interpreter, tmp_path):
    """Every block, with the size that was asked for; for re-use see the next test."""
    probed, rows, bad, free = compare(interpreter, name, tmp_path, [], setting)
    assert not probed.problems, probed.problems
    assert not bad, "\n" + exactness.format_table(name, rows, free, only_differences=True)
    coverage = probed.interval["coverage"]["python"]
    assert not coverage or not coverage["recorded"] + coverage["missed"]


def test_reuse_with_malloc(interpreter, tmp_path):
    """Blocks re-used from a free list stay where they were made, as W120 says: the sum of the lines is right."""
    probed, rows, _, free = compare(interpreter, "json_tuples_kept", tmp_path, [], "malloc")
    assert not probed.problems, probed.problems
    python = [r for r in rows.values() if exactness.is_python_file(r.file)]
    assert abs(sum(r.blocks_diff for r in python)) <= free
    assert "re-used from a free list" in codes(probed.warnings)["W120"]


def test_lines_with_tracemalloc(interpreter, tmp_path):
    """Every block with tracemalloc's own behind it, on the same line."""
    probed, rows, _, free = compare(interpreter, "strings_and_bytes", tmp_path, [], "tracemalloc",
                                    *PREPARE["tracemalloc"])
    assert not probed.problems, probed.problems
    assert probed.interval["coverage"]["python"]["ratio"] >= 0.999
    each = 1 + tables(interpreter)
    big = [r for r in rows.values() if r.ref_blocks >= 1000]
    assert len(big) >= 6
    for r in big:
        assert abs(r.blocks - each * r.ref_blocks) <= 2 * each, "%s:%d: %d, %d" % (
            r.file, r.line, r.ref_blocks, r.blocks)
    # Small blocks alone: the pools know them.
    small = probed.interval["coverage"]["python"]["recorded"]
    assert abs(small - sum(r.ref_blocks for r in rows.values())) <= free


# ---- coverage, with the interpreter's own count as witness ----

@pytest.mark.parametrize("setting", some(["both", "debug", "tracemalloc"], 1))
def test_coverage(setting, interpreter, show):
    probed = measure.Probed([interpreter, measure.MIXED], *PREPARE.get(setting, ()), env=environment(setting))
    truth = int(probed.done_text)
    ratio, recorded, missed = harness.coverage(probed.interval)
    show("coverage with %s, %s" % (setting, interpreter), harness.table(
        [[str(interpreter), setting, truth, recorded, missed, "%.4f%%" % (100 * ratio),
          harness.lost(probed.interval) or "nothing"]],
        ["interpreter", "setting", "sys.getallocatedblocks()", "recorded", "missed", "coverage", "lost"]))
    assert not probed.problems, probed.problems
    assert ratio >= 0.999
    # The interpreter counts the large ones as well: below 1.5 % here.
    assert 0.985 * truth <= recorded + missed <= 1.003 * truth


# ---- freed blocks ----

def interval_with_sites(tool):
    """A new interval with all its sites."""
    tool.drop_old()
    tool.interval()
    interval = tool.interval()
    tool.interval()
    return [r for r in tool.records if r.get("type") == "site" and r["seq"] == interval["seq"]]


@pytest.mark.parametrize("setting", some(["malloc_debug", "tracemalloc", "debug", "malloc"], 2))
def test_freed_blocks_are_seen_as_freed(setting, interpreter, program, tool):
    p = program(interpreter, GIVE_BACK, env=environment(setting))
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", *PREPARE.get(setting, ()), "500ms")
    t.hello()
    each = 1 + (tables(interpreter) if setting == "tracemalloc" else 0)
    for _ in range(2):
        p.go()
        sites = interval_with_sites(t)
        # bytearray: the object and its buffer; the list's table is on either line
        assert abs(at(sites, GIVE_BACK, "small")[0] - each * 20000) <= 2 * each
        assert abs(at(sites, GIVE_BACK, "large")[0] - each * 2000) <= 2 * each
        p.say("free")
        p.expect("done")
        sites = interval_with_sites(t)
        assert at(sites, GIVE_BACK, "small")[0] <= 2 * each
        assert at(sites, GIVE_BACK, "large")[0] <= 2 * each
    interval, _, _ = t.stop()
    assert harness.lost(interval) == {}
    assert p.alive()
    assert p.quit() == 0


# ---- hooks of other files ----

@pytest.fixture(scope="module")
def hooks_library(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("hooks") / "libsomehooks.so")
    subprocess.run(["gcc", "-Wall", "-O2", "-shared", "-fPIC", "-nostdlib", "-o", path,
                    os.path.join(harness.TARGETS, "alloc_hooks.c")], check=True)
    return path


@pytest.mark.parametrize("kind", some(["inside", "nothing", "entry", "shared"], 2))
def test_hooks_of_another_file(kind, interpreter, tmp_path, hooks_library):
    """They are named; where their context does not lead on, the tool says so, and the pools tell how much it sees."""
    probed, rows, bad, free = compare(interpreter, "json_tuples_kept", tmp_path, [HOOKED, hooks_library, kind], "plain")
    assert not probed.problems, probed.problems
    said = codes(probed.warnings)
    assert list(said) == ["W122"]
    assert "libsomehooks.so (its own blocks are in the numbers" in said["W122"]
    assert ("allocator unknown" in said["W122"]) == (kind in ("shared", "nothing"))
    assert not bad, "\n" + exactness.format_table("json_tuples_kept", rows, free, only_differences=True)
    assert probed.interval["coverage"]["python"]["ratio"] >= 0.999


def interpreter_named(name):
    found = [i for i in harness.interpreter_list()[0] if i.name == name]
    if not found:
        pytest.skip("no %s here" % name)
    return found[0]


@pytest.mark.parametrize("name", ["sessions_ring", "json_tuples_kept", "big_blocks"])
@pytest.mark.parametrize("traced", [False, True])
def test_memray(traced, name, tmp_path, show):
    """Its hooks stand in the tables only when it traces Python's allocators; else it exchanges malloc in the
    interpreter's own table of imports, which no probe notices."""
    interpreter = interpreter_named("debian-3.13")
    if subprocess.run(harness.command(interpreter, "-c", "import memray"), capture_output=True).returncode:
        pytest.skip("no python3-memray in the root of debian-3.13")
    argv = ["-m", "memray", "run", "--force", "-q", "-o", tmp_path / "out.bin"]
    argv += ["--trace-python-allocators"] if traced else []
    probed, rows, bad, free = compare(interpreter, name, tmp_path, argv, "plain")
    show("memray%s, %s" % (" --trace-python-allocators" if traced else "", name),
         exactness.format_table(name, rows, free, only_differences=True))
    assert not probed.problems, probed.problems
    said = codes(probed.warnings)
    assert list(said) == (["W122"] if traced else [])
    if traced:
        assert re.search(r"hooks: _memray\.cpython-313.*\.so \(its own blocks", said["W122"])
        assert "allocator unknown" not in said["W122"]
    assert not bad, "\n" + exactness.format_table(name, rows, free, only_differences=True)
    assert probed.interval["coverage"]["python"]["ratio"] >= 0.999
    # What goes from the interpreter to malloc comes through memray.
    large = [r for r in probed.sites if r["domain"] == "native" and r["file"] == measure.MODULE]
    assert name != "big_blocks" or sum(r["blocks"] for r in large) > 4000


# ---- mimalloc ----

# Builds whose mimalloc may be of an unknown shape; all others must be known.
SHAPE_UNKNOWN = ["debian-3.14-sid", "clang-plain-3.13"]


def check_refused(probed, said, why):
    """The interpreter's blocks are not seen, what C code takes from malloc is."""
    assert "mimalloc (%s), which cannot be followed" % why in said["W126"]
    assert at(probed.sites, C_BLOCKS, "small")[0] == 0
    assert at(probed.sites, C_BLOCKS, "large")[0] == 0
    coverage = probed.interval["coverage"]["python"]
    assert not coverage or not coverage["recorded"] + coverage["missed"]


def check_mimalloc(interpreter, why, debug):
    env = harness.target_env(PYTHONMALLOC="mimalloc_debug" if debug else "mimalloc")
    probed = measure.Probed([interpreter, C_BLOCKS], env=env)
    assert not probed.problems, probed.problems
    said = codes(probed.warnings)
    assert at(probed.sites, C_BLOCKS, "malloc") == (300, 300 * 5000)
    assert ("W122" in said) == debug
    if interpreter.name in SHAPE_UNKNOWN and "W126" in said:
        check_refused(probed, said, why)
        return
    assert set(said) - {"W122"} == {"W127"}
    assert "mimalloc (%s): every block is seen" % why in said["W127"]
    # the bytearray and its buffer; the list's table is on either line
    blocks, size = at(probed.sites, C_BLOCKS, "small")
    assert 300 <= blocks <= 301
    assert 300 * 50 <= size <= 300 * 150 + 5000
    blocks, size = at(probed.sites, C_BLOCKS, "large")
    assert 600 <= blocks <= 601
    assert 300 * 3050 <= size <= 300 * 4000 + 5000


def check_mimalloc_lines(interpreter, name, debug, tmp_path):
    """The numbers of blocks; their sizes are mimalloc's classes."""
    env = harness.target_env(PYTHONMALLOC="mimalloc_debug" if debug else "mimalloc")
    reference = measure.Reference(interpreter, name, 0, 1, tmp_path)
    probed = measure.Probed([interpreter, measure.DRIVER, name, 0, "plain"], "--blocks", "1M", env=env)
    assert not probed.problems, probed.problems
    if interpreter.name in SHAPE_UNKNOWN and "W126" in codes(probed.warnings):
        pytest.skip(codes(probed.warnings)["W126"])
    rows = exactness.add_sites(exactness.reference_rows(reference.traces), probed.sites)
    big = [r for r in rows.values() if r.ref_blocks >= 1000 or r.blocks >= 1000]
    assert len(big) >= 2
    budget = 2 * max(reference.free, probed.free) + 8
    assert sum(abs(r.blocks_diff) for r in big) <= budget, exactness.format_table(name, rows, budget)


def check_mimalloc_frees(interpreter, program, tool):
    p = program(interpreter, GIVE_BACK, env=harness.target_env(**MIMALLOC))
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", "--blocks", "1M", "500ms")
    t.hello()
    p.go()
    sites = interval_with_sites(t)
    if interpreter.name in SHAPE_UNKNOWN and "W126" in codes(t.warnings()):
        pytest.skip(codes(t.warnings())["W126"])
    assert abs(at(sites, GIVE_BACK, "small")[0] - 20000) <= 2
    assert abs(at(sites, GIVE_BACK, "large")[0] - 2000) <= 2
    p.say("free")
    p.expect("done")
    sites = interval_with_sites(t)
    assert at(sites, GIVE_BACK, "small")[0] <= 2
    assert at(sites, GIVE_BACK, "large")[0] <= 2
    t.stop()
    assert p.alive()
    assert p.quit() == 0


FREE_THREADED = ["nogil-3.13t", "nogil-3.14t"]


def has_mimalloc(interpreter):
    if interpreter.v < (3, 13):
        pytest.skip("no mimalloc before 3.13")


@pytest.mark.parametrize("debug", [False, True])
def test_mimalloc(debug, interpreter):
    has_mimalloc(interpreter)
    check_mimalloc(interpreter, "PYTHONMALLOC=mimalloc", debug)


@pytest.mark.parametrize("debug", some([True, False], 1))
@pytest.mark.parametrize("name", some(LINES, 1))
def test_lines_with_mimalloc(name, debug, interpreter, tmp_path):
    has_mimalloc(interpreter)
    check_mimalloc_lines(interpreter, name, debug, tmp_path)


def test_freed_blocks_with_mimalloc(interpreter, program, tool):
    has_mimalloc(interpreter)
    check_mimalloc_frees(interpreter, program, tool)


def test_sites_of_mimalloc(interpreter, program, tool):
    """What is listed is what is probed: mimalloc's pops, not those of the pymalloc that serves nothing."""
    has_mimalloc(interpreter)
    p = program(interpreter, GIVE_BACK, env=harness.target_env(**MIMALLOC))
    out = harness.run_tool("sites", "-p", p.pid)
    if interpreter.name in SHAPE_UNKNOWN and "W126" in out.stderr:
        pytest.skip(out.stderr)
    assert out.returncode == 0, out.stderr
    listed = re.search(r"^mimalloc \(PYTHONMALLOC=mimalloc\)\n  pop sites +(\d+)$", out.stdout, re.M)
    assert listed, out.stdout
    assert "python small-object allocator" not in out.stdout
    t = tool("-p", p.pid, "--mode", "exact", "500ms")
    assert t.hello()["sites"]["pop"] == int(listed[1])
    t.stop()
    assert p.alive()


@pytest.mark.parametrize("build", FREE_THREADED)
def test_free_threaded(build, tmp_path, program, tool):
    interpreter = interpreter_named(build)
    check_mimalloc(interpreter, "a free-threaded build", False)
    for name in LINES:
        check_mimalloc_lines(interpreter, name, False, tmp_path)
    check_mimalloc_frees(interpreter, program, tool)
