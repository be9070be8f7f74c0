# SPDX-License-Identifier: GPL-2.0-or-later
"""One function for each thing that is measured of an interpreter.

A result carries problems, a list of sentences; the tests assert that it is empty, matrix.py prints it into its
cell: the two cannot disagree.
"""
import ast
import functools
import json
import os
import re
import subprocess
import sys

import exactness
import harness

sys.path.insert(0, harness.TARGETS)
import workloads  # noqa: E402

DRIVER = os.path.join(harness.TARGETS, "run_workload.py")
MODULE = os.path.join(harness.TARGETS, "workloads.py")
CONSTRUCTS = os.path.join(harness.TARGETS, "constructs.py")
MIXED = os.path.join(harness.TARGETS, "mixed.py")
DYING = os.path.join(harness.TARGETS, "dying_code.py")
INPLACE = exactness.marked_lines(MODULE)


class Refused(RuntimeError):
    """The tool does not trace this target; its code and its reason."""

    def __init__(self, code, reason):
        super().__init__("%s: %s" % (code, reason))
        self.code, self.reason = code, reason


def missing_workload(interpreter, name):
    """Why a workload cannot exist on a version, or None."""
    since = workloads.SINCE.get(name, (0, 0))
    return None if interpreter.v >= since else "%s needs CPython %d.%d" % ((name,) + since)


def uses_mimalloc(interpreter, env):
    """Are its objects blocks of mimalloc?"""
    return interpreter.free_threaded or (env or {}).get("PYTHONMALLOC", "").startswith("mimalloc")


def uses_malloc(interpreter, env):
    """Are its objects blocks of malloc? 3.6 has malloc behind the hooks of "debug": it counts no blocks then."""
    setting = (env or {}).get("PYTHONMALLOC", "")
    return setting.startswith("malloc") or (setting == "debug" and interpreter.v < (3, 7))


@functools.lru_cache(maxsize=None)
def plain_size_class(interpreter):
    """The smallest size class of pymalloc as the interpreter prints it without hooks."""
    code = "import sys; sys._debugmallocstats()"
    out = subprocess.run(harness.command(interpreter, "-c", code), capture_output=True, text=True,
                         env=harness.target_env(), stdin=subprocess.DEVNULL)
    return int(re.search(r"^ +0 +(\d+) ", out.stderr, re.M).group(1))


def sizes_in(interpreter, ready_text, hook, env):
    """How requests are rounded in a run. With hooks in front of pymalloc the interpreter prints no classes."""
    if hook and not uses_malloc(interpreter, env) and not uses_mimalloc(interpreter, env):
        ready_text = "class=%d" % plain_size_class(interpreter)
    return exactness.sizes_of(ready_text, hook, uses_mimalloc(interpreter, env))


# ---- runs ----

class Reference:
    """A run under tracemalloc."""

    def __init__(self, interpreter, name, n, frames, tmp, env=None):
        out = os.path.join(str(tmp), "traces.json")
        with harness.Program([interpreter, DRIVER, name, n, "tracemalloc", frames, out], env=env) as p:
            p.go()
            p.quit()
            self.ready_text = p.ready_text
        with open(out) as f:
            data = json.load(f)
        self.traces, self.notes = data["traces"], data["notes"]
        self.free = exactness.free_blocks(self.ready_text)


class Probed:
    """A run with the tool attached from before "go" to after "done"."""

    def __init__(self, argv, *args, env=None):
        with harness.Program(argv, env=env) as p:
            self.ready_text = p.ready_text
            self.free = exactness.free_blocks(p.ready_text)
            with harness.Tool("-p", p.pid, "-T", 0, "--mode", "exact", *args, 600) as t:
                try:
                    self.hello = t.hello()
                except RuntimeError:
                    said = re.search(r"error ([A-Z]\d+): (.*)", t.stderr())
                    if said:
                        raise Refused(*said.groups())
                    raise
                self.done_text = p.go()
                self.interval, self.sites, self.end = t.stop()
                self.warnings = t.warnings()
                self.stderr = t.stderr()
            self.problems = []
            if self.interval is None or self.end is None:
                raise RuntimeError("the tool ended without a report: %s" % self.stderr)
            if harness.lost(self.interval):
                self.problems.append("lost: %r" % harness.lost(self.interval))
            if not p.alive():
                self.problems.append("the target ended")
            elif p.quit() != 0:
                self.problems.append("the target ended with %d" % p.proc.returncode)


# ---- per line, two runs ----

class Exactness:
    """Blocks and bytes of each line: tracemalloc in one run, the tool on the other."""

    def __init__(self, interpreter, name, tmp, n=0, env=None, hook=0):
        self.name = name
        reference = Reference(interpreter, name, n, 1, tmp, env)
        self.probed = probed = Probed([interpreter, DRIVER, name, n, "plain"], env=env)
        sizes = sizes_in(interpreter, probed.ready_text, hook, env)
        self.rows = exactness.add_sites(exactness.reference_rows(reference.traces, sizes), probed.sites)
        self.free = max(reference.free, probed.free)
        self.bad = exactness.judge(self.rows, self.free, INPLACE, threads="threads" in name,
                                   mimalloc=uses_mimalloc(interpreter, env))
        self.problems = list(probed.problems)
        if self.bad:
            self.problems.append("%s: %d of %d lines differ" % (name, len(self.bad), len(self.lines)))

    @property
    def lines(self):
        """The rows of the workload itself and of the library below it."""
        return [r for r in self.rows.values() if exactness.is_python_file(r.file)
                and os.path.basename(r.file) != os.path.basename(DRIVER)]

    @property
    def equal(self):
        return [r for r in self.lines if not r.blocks_diff and not r.bytes_diff]

    def table(self, only_differences=False):
        return exactness.format_table(self.name, self.rows, self.free, only_differences)


# ---- per stack, two runs ----

class Tracebacks:
    """The stacks of a workload, frame by frame, by number of blocks; free lists are the only excuse."""

    def __init__(self, interpreter, name, tmp, n=0, env=None):
        reference = Reference(interpreter, name, n, 25, tmp, env)
        probed = Probed([interpreter, DRIVER, name, n, "plain"], "--by", "traceback", "--frames", 25, env=env)
        own = lambda k: "run_workload" not in k[0][0] and exactness.is_python_file(k[0][0])  # noqa: E731
        want = {k: v for k, v in exactness.reference_stacks(reference.traces).items() if own(k)}
        have = {k: v for k, v in exactness.tool_stacks(probed.sites).items() if own(k)}
        self.wrong = {k: (want.get(k, 0), have.get(k, 0)) for k in set(want) | set(have)
                      if want.get(k, 0) != have.get(k, 0)}
        self.problems = list(probed.problems)
        off = sum(abs(a - b) for a, b in self.wrong.values())
        budget = 2 * max(reference.free, probed.free)
        if off > budget:
            self.problems.append("%d blocks on other stacks, %d in free lists at attach:\n%s" % (
                off, budget // 2, self.explain()))

    def explain(self):
        return "\n".join("%d by tracemalloc, %d by tmbpf:\n    %s" % (
            v[0], v[1], "\n    ".join("%s:%d" % f for f in k)) for k, v in list(self.wrong.items())[:5])


def lines_of_functions(path, prefix):
    """Line numbers inside the functions of a file whose names start with prefix."""
    with open(path) as f:
        tree = ast.parse(f.read())
    lines = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith(prefix):
            lines.update(range(node.lineno, node.end_lineno + 1))
    return lines


class Stacks:
    """Stack equality: constructs.py, every frame's file and line."""

    FRAMES = 128
    ALLOCATIONS_MIN = 4000

    def __init__(self, interpreter, tmp, n=0, env=None, hook=0, reuse=True):
        """reuse: objects from free lists are booked to who takes them (not with PYTHONMALLOC=malloc)."""
        reference = Reference(interpreter, "constructs", n, self.FRAMES, tmp, env)
        self.probed = probed = Probed([interpreter, DRIVER, "constructs", n, "plain"], "--by", "traceback",
                                      "--frames", self.FRAMES, env=env)
        self.notes = reference.notes
        self.equality = e = exactness.StackEquality(self.kind(reuse), self.notes["sizes"])
        e.add_reference(reference.traces, sizes_in(interpreter, probed.ready_text, hook, env))
        e.add_tool(probed.sites)
        self.allocations = e.allocations()
        self.mismatches = len(e.wrong)
        self.deepest = max(len(k) for k in e.stacks)
        self.threaded = sum(1 for k in e.stacks if os.path.basename(k[-1][0]) == "threading.py")
        self.small_blocks = sum(r.ref_blocks for r in e.small.values())
        self.free = max(reference.free, probed.free)
        self.problems = list(probed.problems)
        self._judge(n)

    @staticmethod
    def kind(reuse):
        large = lines_of_functions(CONSTRUCTS, "form_")
        small = lines_of_functions(CONSTRUCTS, "small_")
        if not reuse:
            small -= lines_of_functions(CONSTRUCTS, "small_reused_")

        def of(frame):
            if frame[0] != CONSTRUCTS:
                return None
            return "large" if frame[1] in large else "small" if frame[1] in small else None
        return of

    def _judge(self, n):
        planned = len(self.notes["sizes"])
        e = self.equality
        if self.mismatches:
            self.problems.append("%d of %d stacks differ:\n%s" % (self.mismatches, len(e.stacks), e.explain()))
        if self.allocations != planned:
            self.problems.append("%d of %d sizes met once in the reference" % (self.allocations, planned))
        if not n and self.allocations < self.ALLOCATIONS_MIN:
            self.problems.append("only %d allocations" % self.allocations)
        if self.deepest >= self.FRAMES:
            self.problems.append("a stack of %d frames may be cut" % self.deepest)
        if not self.threaded:
            self.problems.append("no stack of a thread")
        if e.small_off > 2 * self.free:
            self.problems.append("small blocks: %d on other stacks, %d in free lists at attach" % (
                e.small_off, self.free))

    def __str__(self):
        e = self.equality
        return ("%d allocations, %d distinct stacks, %d frames compared, %d mismatches; %d constructs, at most %d "
                "frames deep, %d stacks of threads, %d equal but for temporaries; %d small blocks on %d stacks, %d off "
                "(free lists: %d)" % (
                    self.allocations, len(e.stacks), e.frames, self.mismatches, self.notes["constructs"],
                    self.deepest, self.threaded, e.temporaries, self.small_blocks, len(e.small), e.small_off, self.free))


# ---- coverage ----

class Coverage:
    """mixed.py: what has a record, against the pools and against the interpreter's own count.

    watched: something in the target allocates for each block of the program, from malloc, on the same line.
    """

    OFF_MAX = 100  # blocks: small ones of PyMem_Raw*, and those from before attach that were freed

    def __init__(self, interpreter, env=None, wrap=(), args=(), watched=False):
        self.watched = watched
        self.probed = probed = Probed([interpreter, *wrap, MIXED], *args, env=env)
        self.lost = harness.lost(probed.interval)
        self.problems = list(probed.problems)
        self.truth = int(probed.done_text)
        self.ratio = self.recorded = self.missed = self.large = None
        # The interpreter's requests above 512 bytes are malloc blocks with a Python line.
        self.with_line = sum(s["blocks"] for s in probed.sites if exactness.is_python_file(s["file"]))
        if uses_mimalloc(interpreter, env):
            self._judge_alone()
            return
        known = (probed.interval["coverage"] or {}).get("python")
        if known:
            self.ratio, self.recorded, self.missed = harness.coverage(probed.interval)
        if self.ratio is None:
            self.problems.append("the tool does not know the coverage: %r" % known)
            return
        self.large = self.with_line - self.recorded
        self._judge()

    def _judge_alone(self):
        """Of mimalloc's blocks the tool has no coverage of its own: the interpreter's count is the only witness. With a
        GIL it leaves out what other threads allocated (Objects/obmalloc.c, get_mimalloc_allocated_blocks())."""
        ratio = self.with_line / max(1, self.truth)
        self.ratio = min(1.0, ratio)
        self.recorded = self.with_line
        if not 0.999 <= ratio <= 1.05:
            self.problems.append("%d blocks with a line, sys.getallocatedblocks() %d" % (self.with_line, self.truth))

    def _judge(self):
        if self.ratio < 0.999:
            self.problems.append("coverage %.2f%%" % (100 * self.ratio))
        seen = self.recorded + self.missed
        if seen <= 300000:
            self.problems.append("only %d blocks" % seen)
        if abs(self.ratio - self.recorded / max(1, seen)) >= 1e-4:
            self.problems.append("the ratio %f is not %d of %d" % (self.ratio, self.recorded, seen))
        # The tool's own ratio is not the only witness: the interpreter counts its blocks itself, small and
        # large, and takes off what was freed from before attach. It does not count PyMem_Raw* blocks.
        if self.large < 0:
            self.problems.append("%d blocks with a line, %d recorded" % (self.with_line, self.recorded))
        if self.watched:  # those above 512 bytes are below 1.5 %
            off = seen - self.truth
            right = -0.015 * self.truth <= off <= 0.003 * self.truth
        else:
            off = seen + self.large - self.truth
            right = abs(off) <= self.OFF_MAX
        if not right:
            self.problems.append("%+d blocks against sys.getallocatedblocks() %d" % (off, self.truth))


# ---- code objects that die ----

class DeadCode:
    """dying_code.py: each of 2,000 short-lived code objects must be named, with its line."""

    N = 2000

    def __init__(self, interpreter, env=None, wrap=()):
        self.probed = probed = Probed([interpreter, *wrap, DYING], env=env)
        right, self.wrong = set(), []
        for s in probed.sites:
            m = re.fullmatch(r"/generated/([жf])(\d{4})\.py", s["file"])
            if not m:
                continue
            i = int(m.group(2))
            # two blocks, the list and its item array; a list that was in the free list at attach has no record
            if s["line"] == 1 + i % 50 and s["blocks"] >= 1 and (m.group(1) == "ж") == (i % 3 == 0):
                right.add(i)
            else:
                self.wrong.append(s)
        self.right = len(right)
        self.lost = harness.lost(probed.interval)
        self.problems = list(probed.problems)
        if self.wrong:
            self.problems.append("%d lines wrong: %r" % (len(self.wrong), self.wrong[:3]))
        if self.right != self.N:
            self.problems.append("%d of %d dead code objects named" % (self.right, self.N))
