# SPDX-License-Identifier: GPL-2.0-or-later
"""Situations a Python program gets into, each compared stack by stack with tracemalloc in another run of it.

The cases are tests/targets/situations/cases.py. A few interpreters in every `make check`, all of them with
TMBPF_FULL=1.
"""
import json
import os
import re
import signal
import subprocess
import time

import pytest

import harness

SITUATIONS = os.path.join(harness.TARGETS, "situations")
RUN = os.path.join(SITUATIONS, "run.py")
CASES = os.path.join(SITUATIONS, "cases.py")

ALL = [i for i in harness.find_interpreters(full=True)[0] if not i.free_threaded]
FEW = ["system", "debian-3.15"]
OLD = ["pyenv-3.8"]  # frames are objects, other line tables, smaller size classes before


def interpreters(names=FEW, since=(3, 0), only=False):
    """Parametrize `python`: those with these names; with TMBPF_FULL=1 all from this version on, but for only."""
    chosen = [i for i in ALL if (harness.FULL and not only or i.name in names) and i.v >= since]
    return pytest.mark.parametrize("python", chosen, ids=[i.name for i in chosen])


def lines_marked(mark, path=CASES):
    with open(path) as f:
        return {n for n, text in enumerate(f, 1) if text.rstrip().endswith(mark)}


EXACT, NATIVE = lines_marked("# exact"), lines_marked("# native")
RAW = {}
with open(CASES) as cases:
    for n, text in enumerate(cases, 1):
        m = re.search(r"# raw(?: \+ (\d+) of (\d+))?$", text.rstrip())
        if m:
            RAW[n] = int(m.group(1) or 0), int(m.group(2) or 0)


RAW_SLACK = 4  # small objects of such a line that came from a free list, or went to one


# ---- two runs ----

def reference(program, python, case, tmp_path):
    """{stack: {size: blocks}} by tracemalloc, and how many objects were in free lists."""
    out = tmp_path / "traces.json"
    p = program(python, RUN, case, "tracemalloc", out)
    p.go()
    p.quit()
    with open(out) as f:
        traces = json.load(f)
    return {tuple((printable(f), n) for f, n in frames): {int(s): b for s, b in sizes.items()}
            for frames, sizes in traces}, int(p.ready_text)


def printable(name):
    """Half a surrogate pair is no text: as Python's backslashreplace."""
    return name.encode("utf-8", "backslashreplace").decode()


class Seen:
    """What the tool said of one run: stacks = {((file, line), ...): [blocks, bytes]}, the report, the free lists."""

    def __init__(self, program, tool, python, case, *args, frames=25):
        p = program(python, RUN, case, "plain")
        t = tool("-p", p.pid, "-T", 0, "--mode", "exact", "--by", "traceback", "--frames", frames, *args, 600)
        t.hello()
        p.go()
        self.interval, self.sites, _ = t.stop()
        self.free = int(p.ready_text)
        self.stacks = {}
        for s in self.sites:
            key = tuple((f[0], f[1] or 0) for f in s["stack"]) or (("<unknown>", 0),)
            total = self.stacks.setdefault(key, [0, 0])
            total[0] += s["blocks"]
            total[1] += s["bytes"]
        assert p.alive()
        assert p.quit() == 0
        assert harness.coverage(self.interval)[0] >= 0.999, self.interval
        assert harness.lost(self.interval) == {}


def occupied(size, step):
    return (size + step - 1) // step * step if size <= 512 else size


def size_step(python):
    """Size classes; before 3.8 builds differ."""
    return (16,) if python.v >= (3, 8) else (8, 16)


def is_exact(stack):
    file, line = stack[0]
    return file == CASES and line in EXACT or file.startswith("/made/")


def compare(want, seen, python, known=lambda stack: False):
    """Stacks that end in an exact line: blocks and bytes equal. Others: equal but for what free lists hold.

    known(stack): explained in the test, left out. Returns a text for the report.
    """
    wrong, off, equal, off_lines = [], 0, 0, []
    for stack in set(want) | set(seen.stacks):
        sizes, (blocks, size) = want.get(stack, {}), seen.stacks.get(stack, (0, 0))
        want_blocks = sum(sizes.values())
        want_bytes = [sum(occupied(s, step) * b for s, b in sizes.items()) for step in size_step(python)]
        if known(stack) or os.path.basename(stack[0][0]) == "run.py":
            continue
        if is_exact(stack):
            if blocks != want_blocks or size not in want_bytes:
                wrong.append((stack, want_blocks, blocks, want_bytes, size))
            equal += want_blocks
        elif stack[0][0] == CASES and stack[0][1] in RAW:
            # Small blocks of malloc are not rounded to a class, and small objects may come from free lists.
            more, each = RAW[stack[0][1]]
            off_bytes = size - want_bytes[-1] - more * each
            if abs(blocks - want_blocks - more) > RAW_SLACK or abs(off_bytes) > 16 * blocks + 512 * RAW_SLACK:
                wrong.append((stack, want_blocks, blocks, want_bytes, size))
            equal += want_blocks
        elif stack[0][0] == CASES and stack[0][1] not in NATIVE and blocks != want_blocks:
            off += abs(blocks - want_blocks)
            off_lines.append((stack[0][1], want_blocks, blocks))
    assert not wrong, "\n".join("%d blocks by tracemalloc, %d by tmbpf; %s and %d bytes:\n    %s" % (
        w, h, wb, hb, "\n    ".join("%s:%d" % f for f in s)) for s, w, h, wb, hb in sorted(wrong)[:6])
    assert equal > 0
    # A free list that was full in one run and not in the other: at most what it can hold, twice.
    assert off <= 2 * seen.free + 16, sorted(off_lines)
    return "%d blocks of exact lines equal in %d stacks; other lines off by %d blocks (free lists held %d)" % (
        equal, sum(1 for s in want if is_exact(s)), off, seen.free)


@pytest.fixture
def both(program, tool, tmp_path, show):
    """both(python, case): run it twice, compare, say so; what the tool saw."""
    def run(python, case, **kw):
        want, _ = reference(program, python, case, tmp_path)
        seen = Seen(program, tool, python, case)
        show("situation %s, %s" % (case, python.name), compare(want, seen, python, **kw) + "\n")
        return want, seen
    return run


# ---- generators, coroutines, loops ----

@pytest.mark.parametrize("case", ["generators", "coroutines"])
@interpreters(FEW + OLD)
def test_generators_and_coroutines(python, case, both):
    """Their frames lie in objects of their own, and the callers change from step to step."""
    both(python, case)


@interpreters(since=(3, 7))
def test_context_variables(python, both):
    both(python, "context_variables")


@interpreters()
def test_asyncio(python, both):
    both(python, "asyncio_loop")


def need_module(python, name):
    argv = harness.command(python, "-c", "import " + name)
    out = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=harness.target_env())
    if out.returncode:
        pytest.fail("%s has no %s, a Debian package: sudo make deps" % (python, name))


@interpreters(["system"], only=True)
def test_uvloop(python, both):
    """The loop is C: python3-uvloop of Debian."""
    need_module(python, "uvloop")
    both(python, "uvloop_loop")


@interpreters(["system", "debian-3.13"], only=True)
def test_greenlets(python, both):
    """Stacks that are exchanged under the interpreter's feet: python3-greenlet of Debian."""
    need_module(python, "greenlet")
    both(python, "greenlets")


# ---- threads ----

@interpreters(FEW + OLD)
def test_threads_that_allocate_without_the_gil(python, both):
    """Compressors take memory with the GIL released while another thread runs Python: each on its own line."""
    want, seen = both(python, "without_the_gil")
    native = [s for s in seen.sites if s["file"] == CASES and s["line"] in NATIVE and s["domain"] == "native"]
    # libc.malloc() through ctypes: with the GIL released, and nothing that tracemalloc would see.
    assert [(s["blocks"], s["bytes"]) for s in native] == [(50, 50 * 5000)]


# ---- tracers ----

@pytest.mark.parametrize("case", ["settrace", "setprofile", "settrace_that_jumps"])
@interpreters(FEW + OLD)
def test_tracers(python, case, both):
    """With a tracer up to 3.9 tracemalloc reports f_lineno, which the tracer may set; we read the table.

    It can only be set by a jump, which moves the instruction too, so both say the same.
    """
    both(python, case)


@interpreters(["pyenv-3.12", "debian-3.15"], since=(3, 12))
def test_monitoring(python, both):
    both(python, "monitoring")


# ---- shapes of code ----

@pytest.mark.parametrize("case", ["huge_code", "many_arguments", "far_lines"])
@interpreters()
def test_shapes_of_code(python, case, both):
    """A line table of tens of KiB, 300 arguments, lines 100,000 apart."""
    both(python, case)


@interpreters()
def test_odd_names(python, both):
    """Latin-1, Cyrillic, astral, a lone surrogate, and 600 characters."""
    both(python, "odd_names")


@interpreters()
def test_deep_recursion(python, program, tool, tmp_path, show):
    """A thousand frames, of which we keep as many as asked for, and say that there are more."""
    want, _ = reference(program, python, "deep_recursion", tmp_path)
    seen = Seen(program, tool, python, "deep_recursion")
    show("situation deep_recursion, %s" % python.name, compare(want, seen, python) + "\n")
    seen = Seen(program, tool, python, "deep_recursion", frames=128)
    deep = {s: b for s, b in seen.stacks.items() if is_exact(s)}
    assert sorted(len(s) for s in deep) == [128] * 6
    assert all(line == s[2][1] for s in deep for _, line in s[2:]), "the calls of recurse()"


def test_cut_stacks_are_counted(debian, program, tool):
    """The text report says how many stacks have more frames than were kept."""
    p = program(debian, RUN, "deep_recursion", "plain")
    t = tool("-p", p.pid, "--mode", "exact", 600, json_output=False)
    while "a trial of" not in t.lines.take(30):
        pass
    p.go()
    t.proc.send_signal(signal.SIGINT)
    text = []
    while True:
        line = t.lines.take(30)
        if line is None:
            break
        text.append(line)
    assert t.proc.wait(10) == 0
    cut = re.search(r"; (\d+) of \d+ stacks cut at 25 frames", "\n".join(text))
    assert cut and int(cut.group(1)) >= 6, text


# ---- code objects that die ----

MADE = re.compile(r"/made/(\d)/([\u0436f])(\d{4})\.py")


# The block that needs a new arena may double pymalloc's table of arenas: 16 entries of 48 bytes at first.
ARENAS = 16 * 48


def check_made(sites, parts, count, lost):
    """Each of parts x count code objects has one block on the line that its name says; above may be its def."""
    right, wrong = set(), []
    for s in sites:
        m = MADE.fullmatch(s["file"])
        if not m:
            continue
        i = int(m.group(3))
        if s["line"] == 1 + i % 50:
            continue
        one = s["blocks"] == 1 or s["blocks"] == 2 and (s["bytes"] - 80) % ARENAS == 0
        if s["line"] == 2 + i % 50 and one and (m.group(2) == "\u0436") == (i % 3 == 0):
            right.add((m.group(1), i))
        else:
            wrong.append(s)
    assert not wrong, wrong[:5]
    missing = parts * count - len(right)
    assert missing <= sum(lost.values()), (missing, lost)
    return "%d of %d right, none wrong, lost %r" % (len(right), parts * count, lost), missing


@interpreters()
def test_code_objects_that_die_in_threads(python, program, tool, show):
    """Four threads that take turns within microseconds, each with code objects that live for one call."""
    p = program(python, os.path.join(SITUATIONS, "dying.py"), "threads")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    parts, count = (int(n) for n in p.go().split())
    interval, sites, _ = t.stop()
    text, missing = check_made(sites, parts, count, harness.lost(interval))
    show("code objects that die in threads, %s" % python.name, text + "\n")
    assert missing == 0 and harness.lost(interval) == {}
    assert p.quit() == 0


@interpreters(["pyenv-3.12", "debian-3.15"], since=(3, 12))
def test_code_objects_that_die_at_the_same_time(python, program, tool, show):
    """Interpreters with a GIL of their own: now two really die at once."""
    p = program(python, os.path.join(SITUATIONS, "dying.py"), "interpreters")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    parts, count = (int(n) for n in p.go().split())
    interval, sites, _ = t.stop()
    text, missing = check_made(sites, parts, count, harness.lost(interval))
    show("code objects that die at once, %s" % python.name, text + "\n")
    assert missing == 0 and harness.lost(interval) == {}


@interpreters()
def test_module_with_thousands_of_code_objects_is_collected(python, program, tool, show):
    p = program(python, os.path.join(SITUATIONS, "dying.py"), "module")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    parts, count = (int(n) for n in p.go().split())
    interval, sites, _ = t.stop()
    text, missing = check_made(sites, parts, count, harness.lost(interval))
    show("module that is collected, %s" % python.name, text + "\n")
    assert missing == 0 and harness.lost(interval) == {}
    assert p.quit() == 0


@interpreters(["system"])
def test_a_death_leaves_the_stacks_of_the_others_alone(python, program, tool):
    """16,000 expressions evaluated, between them twenty lines that stay: their stacks stay the same ones.

    Were each of them a new stack after every death, the table of 262,144 stacks would be full.
    """
    script = os.path.join(SITUATIONS, "dying.py")
    p = program(python, script, "evals")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    p.go()
    interval, sites, _ = t.stop()
    assert harness.lost(interval) == {}
    held = {s["line"]: s["blocks"] for s in sites if s["file"] == script and s["function"] == "twenty"}
    assert [b for _, b in sorted(held.items())][-15:] == [1] * 15, held
    assert harness.coverage(interval)[0] >= 0.999
    assert p.quit() == 0


# ---- the end ----

@interpreters(FEW + OLD)
def test_program_ends_while_traced(python, program, tool, show):
    """Thousands of code objects, daemon threads, a normal end: the last report is right and complete."""
    p = program(python, os.path.join(SITUATIONS, "ending.py"))
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 1)
    t.hello()
    parts, count = (int(n) for n in p.go().split())
    t.drop_old()
    t.interval()
    assert p.quit() == 0
    assert t.read_to_end(60) == 0
    interval, sites, end = t.last()
    assert (end["reason"], end["exit"]) == ("target-exit", 0)
    text, missing = check_made(sites, parts, count, harness.lost(interval))
    unknown = sum(s["blocks"] for s in sites if s["file"] == "<unknown>")
    show("program that ends, %s" % python.name, "%s; <unknown> %d blocks\n" % (text, unknown))
    assert missing == 0 and harness.lost(interval) == {}
    assert unknown <= 50, "locks and thread states of the daemon threads"
    assert "error" not in t.stderr(), t.stderr()


# ---- fork and exec ----

@interpreters()
def test_fork_leaves_the_numbers_of_the_parent(python, program, tool):
    """The child has the same addresses: what it allocates and frees there is not the parent's."""
    p = program(python, os.path.join(SITUATIONS, "forking.py"))
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    assert p.go() == "0", "exit status of the children"
    interval, sites, _ = t.stop()
    have = {s["line"]: s["blocks"] for s in sites if s["file"].endswith("forking.py")}
    with open(os.path.join(SITUATIONS, "forking.py")) as f:
        for n, text in enumerate(f, 1):
            m = re.search(r"# (\d+) blocks$", text)
            if m:
                assert have.get(n, 0) == int(m.group(1)), (n, have)
            if text.rstrip().endswith("# child"):
                assert n not in have
    assert harness.coverage(interval)[0] >= 0.999 and harness.lost(interval) == {}
    assert harness.text_mismatches(p.pid) == []
    assert p.quit() == 0


@interpreters()
def test_exec_of_the_same_program_ends_the_trace(python, program, tool):
    """The same file at the same addresses is another program: the numbers of the first are the last report."""
    script = os.path.join(SITUATIONS, "again.py")
    p = program(python, script, "first")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    p.go()
    time.sleep(1.6)  # numbers are read once a second, so that the end finds fresh ones
    p.say("exec")
    assert t.read_to_end(60) == 0
    interval, sites, end = t.last()
    assert (end["reason"], end["exit"]) == ("target-exec", 0)
    p.expect("READY")
    held = {s["line"]: s["blocks"] for s in sites if s["file"].endswith("again.py")}
    assert [held.get(n) for n in lines_marked("# held", script)] == [2000], held
    assert harness.coverage(interval)[0] >= 0.999 and harness.lost(interval) == {}
    assert p.alive() and p.go() == ""
    assert p.quit() == 0


# ---- sub-interpreters ----

@interpreters(["system", "pyenv-3.12", "debian-3.15"], since=(3, 8))
def test_sub_interpreters_made_by_python(python, program, tool, show):
    """Up to 3.11 the frames of the outer interpreter are reported for code that runs in a sub-interpreter: the
    thread's slot keeps the state that it got first. From 3.12 on the lines are its own."""
    script = os.path.join(SITUATIONS, "subs.py")
    p = program(python, script)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    count = int(p.go())
    interval, sites, _ = t.stop()
    have = {}
    for s in sites:
        have[s["file"], s["line"]] = have.get((s["file"], s["line"]), 0) + s["blocks"]
    inner = [have.get(("/made/inside.py", line), 0) for line in (6, 8)]
    outer = sum(have.get((script, n), 0) for n in lines_marked("# runs", script))
    show("sub-interpreters, %s" % python.name, "lines inside %r, the line that runs them %d blocks\n" % (inner, outer))
    if python.v >= (3, 12):
        assert inner == [3 * count] * 2
    else:
        assert inner == [0, 0] and outer >= 2 * 3 * count
    assert [have[script, n] for n in lines_marked("# main", script)] == [count], "the main interpreter"
    assert harness.coverage(interval)[0] >= 0.999 and harness.lost(interval) == {}
