# SPDX-License-Identifier: GPL-2.0-or-later
"""What other programs make of exported snapshots, and what they should make of it: the latter always from
the NDJSON export, which the unit tests hold against the snapshot itself."""
import collections
import json
import os
import re
import shutil
import subprocess
import sys

import harness

HERE = os.path.join(harness.ROOT, "tests", "export")
VALUES = ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]
SPEEDSCOPE = "1.25.0"


def export(spec, form, out, *args):
    """Through the command line, onto a file that is not there yet."""
    run = harness.run_tool("export", spec, "-f", form, "-o", out, *args)
    assert run.returncode == 0, run.stderr
    return out


def make_series(path, seed, stacks, growth, *flags):
    """A series with a made-up snapshot, written by the C driver with the code of `tmbpf snap`."""
    driver = os.path.join(harness.BUILD, "tests", "export", "export_driver")
    assert os.access(driver, os.X_OK), "%s is missing: run make drivers first" % driver
    subprocess.run([driver, path, str(seed), str(stacks), str(growth)] + list(flags), check=True)
    return path


class Truth:
    """The NDJSON export, read back."""

    def __init__(self, path):
        self.frames, self.stacks, self.sites = {}, {}, []
        with open(path) as f:
            records = [json.loads(line) for line in f]
        self.header, self.end = records[0], records[-1]
        assert self.header["schema"] == "tmbpf/1" and self.header["type"] == "snapshot"
        for r in records[1:-1]:
            if r["type"] == "frame":
                assert r["id"] == len(self.frames)
                self.frames[r["id"]] = r
            elif r["type"] == "stack":
                assert r["id"] == len(self.stacks)
                self.stacks[r["id"]] = [self.frames[i] for i in r["frames"]]
            else:
                assert r["type"] == "site"
                self.sites.append(r)
        self.check()

    def check(self):
        assert self.end == {"type": "end", "reason": "complete", "exit": 0, "frames": len(self.frames),
                            "stacks": len(self.stacks), "sites": len(self.sites)}
        assert sum(s["bytes"] for s in self.sites) == self.header["live_bytes"]
        assert sum(s["blocks"] for s in self.sites) == self.header["live_blocks"]
        for s in self.sites:
            leaf = self.stacks[s["stack_id"]][0]
            assert [s[k] for k in ("file", "line", "function")] == [leaf[k] for k in ("file", "line", "function")]
        assert len({json.dumps(s, sort_keys=True) for s in self.stacks.values()}) == len(self.stacks)

    def values(self, site):
        """As pprof has them: what was allocated is at least what is alive."""
        alloc = (site["alloc_blocks"], site["alloc_bytes"])
        return [max(alloc[0] or 0, site["blocks"]), max(alloc[1] or 0, site["bytes"]), site["blocks"],
                site["bytes"]]

    # ---- tracemalloc's view ----

    def pickle_frames(self, site):
        """[(file, line)], most recent first; a symbol stands behind its library."""
        out = []
        for f in self.stacks[site["stack_id"]]:
            native = site["domain"] != "python" and f["line"] == 0 and f["function"]
            out.append((f["file"] + "!" + f["function"] if native else f["file"], f["line"]))
        return tuple(out)

    def group(self, key, domain=None):
        groups = collections.defaultdict(lambda: [0, 0])
        for s in self.sites:
            if s["blocks"] and domain in (None, s["domain"]):
                g = groups[key(s)]
                g[0] += s["bytes"]
                g[1] += s["blocks"]
        return dict((k, tuple(v)) for k, v in groups.items())

    # ---- the view of profilers ----

    def frame_name(self, f):
        base = f["file"].rsplit("/", 1)[-1] or f["file"]
        if f["function"]:
            return f["function"]
        return "[%s]" % base if f["domain"] == "native" and not f["file"].startswith("<") else base

    def weights(self, value, names):
        """{name of a frame: (own, total)} of one value; names(frame) -> hashable."""
        own, total = collections.Counter(), collections.Counter()
        for s in self.sites:
            v = self.values(s)[VALUES.index(value)]
            stack = [names(f) for f in self.stacks[s["stack_id"]]]
            own[stack[0]] += v
            for name in set(stack):
                total[name] += v
        return {n: (own[n], total[n]) for n in total if total[n]}

    def sum(self, value):
        return sum(self.values(s)[VALUES.index(value)] for s in self.sites)


# ---- interpreters ----

class Python:
    def __init__(self, name, version, root, program):
        self.name, self.root, self.program = name, root, program
        self.minor = int(version.split(".")[1])

    def run(self, tmp, script, path, *names):
        """Run tests/export/script on a copy of path; what it writes under `names` is fetched. -> text"""
        room = os.path.join(self.root, "tmp", "tmbpf-export-%d" % os.getpid())
        os.makedirs(room, exist_ok=True)
        try:
            shutil.copy(os.path.join(HERE, script), room)
            shutil.copy(path, os.path.join(room, "in"))
            inside = "/" + os.path.relpath(room, self.root)
            argv = [] if self.root == "/" else ["chroot", self.root]
            argv += [self.program, inside + "/" + script, inside + "/in"] + [inside + "/" + n for n in names]
            run = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=harness.target_env())
            assert run.returncode == 0, "%s: %s" % (self.name, run.stderr)
            for n in names:
                shutil.copy(os.path.join(room, n), os.path.join(tmp, n))
            return run.stdout
        finally:
            shutil.rmtree(room)


def pythons():
    """(found, missing) of scripts/interpreters, or at least the system's."""
    found, missing = [], []
    run = subprocess.run([os.path.join(harness.ROOT, "scripts", "interpreters"), "list"],
                         capture_output=True, text=True)
    for line in run.stdout.splitlines():
        words = line.split("\t")
        if len(words) == 4 and words[1] != "missing":
            found.append(Python(*words))
        else:
            missing.append(words[0])
    if not found:
        found.append(Python("system", "%d.%d" % sys.version_info[:2], "/", "/usr/bin/python3"))
    return found, missing


def unescape_text(text):
    """A C escape of protoc's text format, as bytes -> str."""
    out = bytearray()
    for m in re.finditer(rb"\\([0-7]{3})|\\(.)|([^\\]+)", text.encode()):
        if m.group(1):
            out.append(int(m.group(1), 8))
        elif m.group(2):
            out += {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(m.group(2), m.group(2))
        else:
            out += m.group(3)
    return out.decode()


def parse_text_format(text):
    """protoc's text format -> {field: [values]}; messages are dictionaries again."""
    root = collections.defaultdict(list)
    stack = [root]
    for line in text.splitlines():
        line = line.strip()
        m = re.fullmatch(r'(\w+): (?:"(.*)"|(\S+))', line)
        if line.endswith("{"):
            message = collections.defaultdict(list)
            stack[-1][line[:-1].strip()].append(message)
            stack.append(message)
        elif line == "}":
            stack.pop()
        else:
            assert m, line
            value = unescape_text(m.group(2)) if m.group(2) is not None else m.group(3)
            if m.group(3) is not None:
                value = {"true": True, "false": False}.get(value)
                value = int(m.group(3)) if value is None else value
            stack[-1][m.group(1)].append(value)
    assert stack == [root]
    return root


# ---- go tool pprof ----

def pprof_top(path, value, *args, by="-lines"):
    """{"function file:line": (own, total)} as `go tool pprof -top -lines` prints it; without a network."""
    argv = ["unshare", "-n", "go", "tool", "pprof", "-top", by, "-nodecount=0", "-nodefraction=0",
            "-edgefraction=0", "-unit=" + ("B" if "space" in value else "count"), "-sample_index=" + value]
    env = dict(os.environ, HOME="/nonexistent", PPROF_TMPDIR="/tmp", LC_ALL="C.UTF-8")
    run = subprocess.run(argv + list(args) + [path], capture_output=True, text=True, timeout=120, env=env)
    assert run.returncode == 0, run.stderr
    assert "rror" not in run.stderr, run.stderr
    rows = run.stdout.split("cum%\n", 1)[1]
    out = {}
    for line in rows.splitlines():
        m = re.fullmatch(r"\s*(-?[\d.]+)B?\s+\S+%\s+\S+%\s+(-?[\d.]+)B?\s+\S+%\s+(.*)", line)
        assert m, line
        assert m.group(3) not in out, "twice: %s" % m.group(3)
        out[m.group(3)] = (int(m.group(1)), int(m.group(2)))
    return out, run.stdout


# ---- speedscope ----

def speedscope_package():
    """(directory, None), or (None, why it is not here)."""
    home = os.path.join(harness.BUILD, "node")
    package = os.path.join(home, "node_modules", "speedscope")
    if os.path.isdir(package):
        return package, None
    if not shutil.which("npm") or not shutil.which("node"):
        return None, "node and npm are not on this machine"
    os.makedirs(home, exist_ok=True)
    try:
        run = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", home,
                              "speedscope@" + SPEEDSCOPE], capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        return None, "npm install did not end within 180 s"
    if run.returncode or not os.path.isdir(package):
        return None, "npm could not install speedscope: %s" % run.stderr.strip().splitlines()[-1:]
    return package, None


def speedscope_import(package, path):
    run = subprocess.run(["node", os.path.join(HERE, "speedscope_import.js"), package, path],
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)
