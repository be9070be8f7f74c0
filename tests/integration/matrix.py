#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every interpreter in every allocator configuration, a row each: what the tool does and how right it is.

    matrix.py [--write FILE] [--configuration NAME]... [INTERPRETER...]

The cells come from measure.py, as do the tests. Exits with 1 when a cell says FAIL.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import measure  # noqa: E402

COLUMNS = ["interpreter", "version", "build", "configuration", "tmbpf says", "pop sites", "new-reference sites",
           "coverage", "lines equal", "stacks", "dead code", "seconds"]
WORKLOADS = ["lists_tuples_strs", "json_tuples_kept", "big_blocks", "recursion_depth_20"]
FEW_WORKLOADS = ["lists_tuples_strs", "big_blocks"]
WITHOUT_REUSE = ["strings_and_bytes", "linked_nodes"]
DETAILS = os.path.join(harness.BUILD, "matrix-failures.txt")
CELLS = {"dead": "dead code", "coverage": "coverage", "lines": "lines equal", "stacks": "stacks"}
QUIET = {"W140"}  # "tracing costs more than the budget": these programs do nothing but allocate


# ---- configurations ----

class Configuration:
    """env and wrap make it; cells are what can be measured in it; since which version it exists."""

    def __init__(self, name, env=None, wrap=(), args=(), cells=tuple(CELLS), since=(3, 6), only=None, hooked=False,
                 workloads=FEW_WORKLOADS):
        self.name = name
        self.env = harness.target_env(**(env or {}))
        self.wrap = wrap
        self.args = args
        self.cells = cells
        self.since = since
        self.only = only
        self.hooked = hooked
        self.workloads = workloads

    def exists_on(self, interpreter):
        if interpreter.free_threaded and self.name != "default":
            return False  # mimalloc is all there is
        return interpreter.v >= self.since and (not self.only or interpreter.name in self.only)

    def has_pools(self, interpreter):
        """Else all is malloc's: there is no coverage, and a re-used object stays with its first line."""
        return not measure.uses_malloc(interpreter, self.env)

    def hook(self, interpreter):
        """Bytes that debug hooks add to a request: a serial number more before 3.8."""
        return 0 if not self.hooked else 24 if interpreter.v >= (3, 8) else 32


# With tracemalloc or memray in the target there is no second run to compare with.
WATCHED = ("dead", "coverage")
PREPARED = ("--blocks", "8M")
MEMRAY = ("-m", "memray", "run", "-q", "-f", "-o", "/tmp/tmbpf-matrix.%d.memray" % os.getpid())
CONFIGURATIONS = [
    Configuration("default", workloads=WORKLOADS),
    Configuration("PYTHONMALLOC=malloc", {"PYTHONMALLOC": "malloc"}),
    Configuration("PYTHONMALLOC=debug", {"PYTHONMALLOC": "debug"}, hooked=True),
    Configuration("PYTHONMALLOC=pymalloc_debug", {"PYTHONMALLOC": "pymalloc_debug"}, hooked=True),
    Configuration("PYTHONDEVMODE=1", {"PYTHONDEVMODE": "1"}, hooked=True, since=(3, 7)),
    Configuration("PYTHONMALLOC=mimalloc", {"PYTHONMALLOC": "mimalloc"}, since=(3, 13)),
    Configuration("PYTHONTRACEMALLOC=1", {"PYTHONTRACEMALLOC": "1"}, args=PREPARED, cells=WATCHED),
    Configuration("memray run", wrap=MEMRAY, args=PREPARED, cells=WATCHED, only=["debian-3.13"]),
    Configuration("memray run --trace-python-allocators", wrap=MEMRAY + ("--trace-python-allocators",),
                  args=PREPARED, cells=WATCHED, only=["debian-3.13"]),
]


# ---- what is known of a build ----

ASK = """
import json, os, platform, sys, sysconfig
var = sysconfig.get_config_var
library = os.path.join(var("LIBDIR") or "", var("INSTSONAME") or "")
print(json.dumps({"shared": bool(var("Py_ENABLE_SHARED")) and var("INSTSONAME") or "", "library": library,
                  "args": var("CONFIG_ARGS") or "", "compiler": platform.python_compiler(),
                  "program": os.path.realpath(sys.executable)}))
"""


def readelf(option, path):
    return subprocess.run(["readelf", option, path], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def build_of(interpreter):
    """'static, stripped, GCC 12.2.0, PGO+LTO'; Debian's programs are static although a libpython exists."""
    out = subprocess.run(harness.command(interpreter, "-c", ASK), capture_output=True, text=True,
                         env=harness.target_env(), stdin=subprocess.DEVNULL)
    if out.returncode:
        return "?"
    said = json.loads(out.stdout)
    root = interpreter.root.rstrip("/")
    shared = said["shared"] and said["shared"] in readelf("-dW", root + said["program"])
    sections = readelf("-SW", root + said["library" if shared else "program"])
    how = [word for option, word in (("--enable-optimizations", "PGO"), ("--with-lto", "LTO")) if
           option in said["args"] or interpreter.stock]  # Debian takes them out of what sysconfig says
    return ", ".join(["shared libpython" if shared else "static",
                      "symbols" if " .symtab " in sections else "stripped", said["compiler"].split(" (")[0].strip(),
                      "+".join(how) or "plain"])


# ---- cells ----

class Row:
    def __init__(self, interpreter, configuration, notes):
        self.interpreter = interpreter
        self.configuration = configuration
        self.notes = notes
        self.cells = dict.fromkeys(COLUMNS, "")
        self.failures = []

    def note(self, text):
        """A footnote; the same text has the same number in all rows."""
        if text not in self.notes:
            self.notes.append(text)
        return "[%d]" % (self.notes.index(text) + 1)

    def take(self, column, result, text):
        """A measured cell: what it says, or FAIL with the first problem."""
        hello = result.probed.hello
        warned = [w for w in result.probed.warnings if w["code"] not in QUIET]
        said = [hello["mode"]]
        if "python" not in hello["domains"]:
            said.append("native only")
        said += ["%s %s" % (w["code"], self.note(w["message"])) for w in warned]
        self.cells["tmbpf says"] = ", ".join(dict.fromkeys(said))
        self.cells["pop sites"] = hello["sites"]["pop"]
        self.cells["new-reference sites"] = hello["sites"]["newref"]
        if result.problems:
            self.fail(column, result.problems[0], text)
        elif not self.cells[column].startswith("FAIL"):
            self.cells[column] = text

    def fail(self, column, reason, text=""):
        self.failures.append("%s, %s, %s: %s" % (self.interpreter, self.configuration.name, column, reason.rstrip(":")))
        self.cells[column] = ("FAIL %s %s" % (text, self.note(reason.splitlines()[0]))).replace("  ", " ")

    def measure(self, tmp):
        i, c = self.interpreter, self.configuration
        for cell, column in CELLS.items():
            if cell not in c.cells or (cell == "coverage" and not c.has_pools(i)):
                self.cells[column] = "n/a"
                continue
            try:
                getattr(self, "measure_" + cell)(i, c, tmp)
            except measure.Refused as e:
                self.cells["tmbpf says"] = "refused, %s %s" % (e.code, self.note(e.reason))
                if c.name == "default":
                    self.fail("tmbpf says", str(e), "refused")
                return
            except (RuntimeError, TimeoutError, OSError, ValueError) as e:
                self.fail(column, "%s: %s" % (type(e).__name__, e))

    def measure_dead(self, i, c, tmp):
        d = measure.DeadCode(i, c.env, c.wrap)
        self.take("dead code", d, "%d/%d" % (d.right, d.N))

    def measure_coverage(self, i, c, tmp):
        r = measure.Coverage(i, c.env, c.wrap, c.args, watched=c.cells == WATCHED)
        self.take("coverage", r, "?" if r.ratio is None else "%.3f%%" % (100 * r.ratio))

    def measure_lines(self, i, c, tmp):
        equal = lines = 0
        for name in c.workloads if c.has_pools(i) else WITHOUT_REUSE:
            if measure.missing_workload(i, name):
                continue
            e = measure.Exactness(i, name, tmp, env=c.env, hook=c.hook(i))
            equal += len(e.equal)
            lines += len(e.lines)
            self.take("lines equal", e, "%d/%d" % (equal, lines))

    def measure_stacks(self, i, c, tmp):
        s = measure.Stacks(i, tmp, env=c.env, hook=c.hook(i), reuse=c.has_pools(i))
        self.take("stacks", s, "%d/%d" % (s.mismatches, s.allocations))


def row_of(interpreter, build, configuration, notes):
    row = Row(interpreter, configuration, notes)
    row.cells.update({"interpreter": interpreter.name, "version": interpreter.version, "build": build,
                      "configuration": configuration.name})
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tmbpf-matrix-") as tmp:
        row.measure(tmp)
    row.cells["seconds"] = "%.0f" % (time.monotonic() - started)
    return row


def missing_row(name, reason):
    cells = dict.fromkeys(COLUMNS, "")
    cells.update({"interpreter": name, "tmbpf says": "not tested: " + reason})
    return cells


# ---- output ----

HEAD = """# Interpreters

Made by `/usr/bin/python3 tests/integration/matrix.py --write docs/interpreters.md`%(arguments)s on %(date)s with %(tool)s, Linux %(kernel)s, %(cpus)d CPUs, in %(minutes).0f minutes. Do not edit; run it again.

| column | meaning |
|---|---|
| tmbpf says | the mode and the codes of warnings, or the code of the refusal; [n]: its text, below the table |
| pop sites, new-reference sites | instructions that are probed |
| coverage | of `tests/targets/mixed.py`: blocks of the interpreter's allocator that have a record, checked against the interpreter's own count; with mimalloc that count is all there is |
| lines equal | two runs of %(workloads)s, tracemalloc in the first: lines with the same blocks and bytes / all lines. The others differ by one of the causes of `docs/testing.md`, within its bound. In the other configurations %(few)s; where all is malloc's %(without)s, which re-use nothing from free lists |
| stacks | two runs of `tests/targets/constructs.py`: stacks that differ in any file or line / allocations |
| dead code | of 2,000 code objects that died before the report: named with the right file and line |
| n/a | nothing to compare: there are no pools, or the target itself runs tracemalloc or memray |

"""


def markdown(rows, notes):
    cell = lambda value: str(value).replace("|", "\\|")  # noqa: E731
    out = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    out += ["| " + " | ".join(cell(r[c]) for c in COLUMNS) + " |" for r in rows]
    if notes:
        out.append("")
        out += ["* [%d] %s" % (n, text) for n, text in enumerate(notes, 1)]
    return "\n".join(out) + "\n"


def head(names, configurations, seconds):
    tool = subprocess.run([harness.BINARY, "--version"], capture_output=True, text=True).stdout.strip()
    arguments = "".join(" --configuration " + c for c in configurations) + "".join(" " + n for n in names)
    return HEAD % {"arguments": " with `%s`" % arguments.strip() if arguments else "",
                   "date": time.strftime("%Y-%m-%d"), "tool": tool, "kernel": os.uname().release,
                   "cpus": os.cpu_count(), "minutes": seconds / 60,
                   "workloads": ", ".join(WORKLOADS), "few": ", ".join(FEW_WORKLOADS), "without": ", ".join(WITHOUT_REUSE)}


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("--configuration", action="append", default=[], choices=[c.name for c in CONFIGURATIONS])
    parser.add_argument("names", nargs="*", metavar="INTERPRETER")
    args = parser.parse_args()
    found, missing = harness.find_interpreters(full=True)
    known = {i.name for i in found} | {name for name, _ in missing}
    if set(args.names) - known:
        parser.error("no such interpreter: %s" % ", ".join(sorted(set(args.names) - known)))
    wanted = lambda name: not args.names or name in args.names  # noqa: E731
    started = time.monotonic()
    rows, notes, failures = [], [], []
    for interpreter in filter(lambda i: wanted(i.name), found):
        build = build_of(interpreter)
        for configuration in CONFIGURATIONS:
            if not configuration.exists_on(interpreter):
                continue
            if args.configuration and configuration.name not in args.configuration:
                continue
            row = row_of(interpreter, build, configuration, notes)
            rows.append(row.cells)
            failures += row.failures
            print("  ".join(str(row.cells[c]) for c in COLUMNS if row.cells[c] != ""), file=sys.stderr, flush=True)
    rows += [missing_row(name, reason) for name, reason in missing if wanted(name)]
    text = markdown(rows, notes)
    seconds = time.monotonic() - started
    if args.write:
        with open(args.write, "w") as f:
            f.write(head(args.names, args.configuration, seconds) + text)
    else:
        print(text)
    print("%d rows, %d cells FAIL, %.1f minutes" % (len(rows), len(failures), seconds / 60))
    with open(DETAILS, "w") as f:
        f.write("\n\n".join(failures))
    for failure in failures:
        print("FAIL: " + failure.splitlines()[0])
    if failures:
        print("in full: " + DETAILS)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
