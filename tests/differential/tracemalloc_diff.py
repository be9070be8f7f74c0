#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Random trace sets through the standard library's tracemalloc and through our statistics engine.

    tracemalloc_diff.py DRIVER [--sets N] [--seed N] [--store FILE]

With --store every snapshot is written to a series and read back before it is asked.

Both print what they know about a set: groups, numbers, order, text; not one byte may differ. Runs on
CPython 3.6 to 3.15 and says on which. What differs between these versions, and is allowed for here:
  * 3.6 sorts equal tracebacks, prints str(Traceback) and formats from the innermost frame on, and its
    format() has other limits; we do as 3.7 and later, so here its results are put in their order.
  * up to 3.8 a trace has three elements, from 3.9 on four.
  * up to 3.10 fnmatch raises re.error for a range that runs backwards ("[z-a]"): not asked there.
"""
import argparse
import fnmatch
import itertools
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings

NATIVE = 0x746D6201
MAGIC = 0x54415453
ONE_POOL, FLUSH = 1, 2
GROUPINGS = [("lineno", False), ("filename", False), ("traceback", False),
             ("lineno", True), ("filename", True)]
ASK_STATISTICS, ASK_COMPARE, ASK_KEPT = 0, 8, 16
ASK_ALL = 0x1f | 0x1f << ASK_COMPARE
VERSION = sys.version_info[:2]
TRACE_HAS_DEPTH = VERSION >= (3, 9)
RANGES_MAY_RUN_BACKWARDS = VERSION >= (3, 11)
# We print "?" for what could steer a terminal.
CLEAN = {c: "?" for c in itertools.chain(range(0x20), range(0x7f, 0xa0))}

NAMES = [
    "a.py", "b.py", "c.py", "aa.py", "a.pyc", "ab.pyc", ".pyc", ".py", "a", "", " ", "a b.py",
    "/usr/lib/python3.11/json/decoder.py", "/usr/lib/python3/dist-packages/x/__init__.py",
    "/srv/shop/cache.py", "/srv/shop/views.py", "/srv/shop", "<unknown>", "<string>",
    "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>",
    "libxml2.so.2!xmlNewNode", "/usr/lib/libc.so.6!malloc", "[x].py", "a[b", "a]b", "!x", "^x", "a-b",
    "*", "?", "\\", "a\\b.py", "a\tb", "\x1b[31m.py", "x\x85y", "x\u2028y", "\xfcn\xef.py",
    "e\u0301.py", "\xe9.py", "\u65e5\u672c/\u8a9e.py", "\ud7ff.py", "\ue000.py", "\uffee.py",
    "\U00010000.py", "\U0001f600.py", "\U0010ffff", "\U0001f600\U0001f601/a.py",
]
ALPHABET = "ab/._-!^[]*?\\<>0z\xe9\u65e5\uffee\U0001f600"


class Traces:
    """One side: what tracemalloc sees, and what we are told."""

    def __init__(self, traces, merge):
        if TRACE_HAS_DEPTH:
            self.traces = [(d, s, t, len(t)) for d, s, t in traces]
        else:
            self.traces = list(traces)
        if merge:
            sums = {}
            for domain, size, tb in traces:
                entry = sums.setdefault((domain, tb), [0, 0])
                entry[0] += size
                entry[1] += 1
            self.stacks = [(d, size, count, tb) for (d, tb), (size, count) in sums.items()]
        else:
            self.stacks = [(d, size, 1, tb) for d, size, tb in traces]
        self.snapshot = tracemalloc.Snapshot(self.traces, 128)


class TraceSet:
    def __init__(self, number):
        self.number = number
        self.one_pool = False
        self.merge = False
        self.new = self.old = None
        self.filters = []  # dictionaries, see make_filter()
        self.limit = None
        self.most_recent_first = False
        self.source = False
        self.top = None  # how many of each list

    def filter_objects(self):
        made = []
        for f in self.filters:
            if f["pattern"] is None:
                made.append(tracemalloc.DomainFilter(f["inclusive"], f["domain"]))
            else:
                made.append(tracemalloc.Filter(f["inclusive"], f["pattern"], f["lineno"],
                                               f["all_frames"], f["domain"]))
        return made


# ---- random sets ----

class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.sources = [p for p in (os.__file__, fnmatch.__file__, random.__file__)
                        if p.endswith(".py")]

    def chance(self, p):
        return self.random.random() < p

    def name(self):
        if self.chance(0.85):
            return self.random.choice(NAMES)
        return "".join(self.random.choice(ALPHABET) for _ in range(self.random.randrange(8)))

    def frame(self):
        r = self.random.random()
        if r < 0.1:
            return ("<unknown>", 0)
        line = self.random.randrange(6) if r < 0.9 else self.random.randrange(2 ** 31)
        return (self.random.choice(self.names), line)

    def traceback(self):
        r = self.random.random()
        if r < 0.5:
            depth = 1 + self.random.randrange(4)
        elif r < 0.97:
            depth = 1 + self.random.randrange(25)
        else:
            depth = self.random.choice((127, 128, 1 + self.random.randrange(128)))
        if self.stacks and self.chance(0.5):  # callers in common
            base = self.random.choice(self.stacks)
            return ((self.frame(),) + base[self.random.randrange(len(base)):])[:128]
        if self.chance(0.2):  # recursion
            cycle = [self.frame() for _ in range(1 + self.random.randrange(3))]
            return tuple(itertools.islice(itertools.cycle(cycle), depth))
        return tuple(self.frame() for _ in range(depth))

    def size(self):
        r = self.random.random()
        if r < 0.5:
            return self.random.choice(self.sizes)  # ties
        if r < 0.6:
            return self.random.choice((0, 1, 99, 100, 10239, 10240, 102399, 102400, 2 ** 40))
        return self.random.randrange(2 ** self.random.randrange(1, 41))

    def traces(self, count):
        made = []
        for _ in range(count):
            stack = self.random.choice(self.stacks)
            made.append((self.random.choice(self.domains), self.size(), stack))
        return made

    def pattern(self):
        base = self.random.choice(self.names)
        r = self.random.random()
        if r < 0.25:
            pattern = base
        elif r < 0.7:
            chars = list(base) or ["a"]
            for _ in range(1 + self.random.randrange(3)):
                at = self.random.randrange(len(chars))
                end = at + self.random.randrange(1, 4)
                chars[at:end] = [self.random.choice(("*", "?", "**", self.sequence()))]
                chars = chars or ["*"]
            pattern = "".join(chars)
        elif r < 0.9:
            pattern = "*" + self.sequence() + "*"
        else:
            pattern = "".join(self.random.choice(ALPHABET) for _ in range(self.random.randrange(9)))
        if not RANGES_MAY_RUN_BACKWARDS:
            try:
                re.compile(fnmatch.translate(pattern))
            except re.error:
                return base
        return pattern

    def sequence(self):
        inside = "".join(self.random.choice("ab-!^]z\\&~|[-" + "\xe9\uffee\U0001f600")
                         for _ in range(1 + self.random.randrange(5)))
        return self.random.choice(("[", "[!", "[^")) + inside + self.random.choice(("]", "]", ""))

    def filter(self):
        f = {"inclusive": self.chance(0.5), "pattern": None, "lineno": None,
             "all_frames": self.chance(0.4), "domain": None}
        if self.chance(0.8):
            f["pattern"] = self.pattern()
            if self.chance(0.3):
                f["lineno"] = self.random.randrange(6)
        if f["pattern"] is None or self.chance(0.25):
            f["domain"] = self.random.choice(self.domains + [7])
        return f

    def pattern_set(self, number):
        """Many short names against one pattern of character sets, where fnmatch has its corners."""
        s = TraceSet(number)
        chars = "ab-!]^z\\[\uffee\U0001f600"
        names = {"".join(self.random.choice(chars) for _ in range(self.random.choice((1, 1, 2))))
                 for _ in range(30)}
        names.update(chars)
        self.names = sorted(names)
        s.new = Traces([(0, i, ((name, 1),)) for i, name in enumerate(self.names)], False)
        s.old = Traces([], False)
        while not s.filters:
            pattern = "[" + "".join(self.random.choice("ab---!z" if self.chance(0.9) else chars)
                                    for _ in range(1 + self.random.randrange(8))) + "]"
            pattern = self.random.choice(("", "", "*", "?")) + pattern
            try:
                re.compile(fnmatch.translate(pattern))
            except re.error:
                continue
            s.filters = [{"inclusive": True, "pattern": pattern, "lineno": None, "all_frames": False,
                          "domain": None}]
        return s

    def set(self, number):
        if self.chance(0.1):
            return self.pattern_set(number)
        s = TraceSet(number)
        r = self.random
        self.names = [self.name() for _ in range(1 + r.randrange(8))]
        s.source = self.chance(0.05)
        if s.source:
            self.names += self.sources
        self.domains = r.choice(([0], [0, NATIVE], [0, 1, 2, NATIVE, 389047, 2 ** 32 - 1]))
        self.sizes = [r.randrange(2 ** r.randrange(1, 41)) for _ in range(3)]
        self.stacks = []
        for _ in range(1 + r.randrange(r.choice((3, 8, 20)))):
            self.stacks.append(self.traceback())
        most = r.choice((2, 10, 30, 30, 100))
        s.merge = self.chance(0.5)
        s.one_pool = self.chance(0.5)
        s.new = Traces(self.traces(r.randrange(most)), s.merge)
        s.old = Traces(self.traces(r.randrange(most)), s.merge)
        if self.chance(0.6):
            s.filters = [self.filter() for _ in range(1 + r.randrange(4))]
        if self.chance(0.5):
            s.limit = r.randrange(-6, 7)
        s.most_recent_first = self.chance(0.3)
        if self.chance(0.2):
            s.top = 1 + r.randrange(4)
        return s


# ---- a request for the driver ----

def pack(s, ask, flush=False):
    """u32 magic, flags, questions, top; then strings, two snapshots, filters, how to format tracebacks."""
    ids, texts = {}, []

    def string(text):
        if text not in ids:
            ids[text] = len(texts)
            texts.append(text.encode("utf-8", "surrogatepass"))
        return ids[text]

    sides = []
    for side in (s.new, s.old):
        parts = [struct.pack("<I", len(side.stacks))]
        for domain, size, count, tb in side.stacks:
            parts.append(struct.pack("<IQQI", domain, size, count, len(tb)))
            flat = []
            for filename, lineno in tb:
                flat.append(string(filename))
                flat.append(lineno)
            parts.append(struct.pack("<%dI" % len(flat), *flat))
        sides.append(b"".join(parts))
    filters = [struct.pack("<I", len(s.filters))]
    for f in s.filters:
        bits = (f["inclusive"] | (f["pattern"] is not None) << 1 | (f["lineno"] is not None) << 2
                | f["all_frames"] << 3 | (f["domain"] is not None) << 4)
        filters.append(struct.pack("<IIqI", bits, string(f["pattern"] or ""), f["lineno"] or 0,
                                   f["domain"] or 0))
    head = struct.pack("<IIII", MAGIC, (ONE_POOL if s.one_pool else 0) | (FLUSH if flush else 0), ask,
                       s.top or 0)
    strings = [struct.pack("<I", len(texts))]
    for text in texts:
        strings.append(struct.pack("<I", len(text)) + text)
    tail = struct.pack("<IIIq", s.limit is not None, s.most_recent_first, s.source, s.limit or 0)
    return b"".join([head] + strings + sides + filters + [tail])


# ---- what the standard library says ----

def modern_order(statistics, key):
    """3.6 keeps tracebacks innermost first: the order of 3.7 and later."""
    if VERSION >= (3, 7):
        return statistics

    def sort_key(stat):
        return key(stat)[:-1] + (tuple((f.filename, f.lineno) for f in reversed(stat.traceback)),)

    return sorted(statistics, key=sort_key, reverse=True)


def modern_str(stat):
    if VERSION >= (3, 7):
        return str(stat)
    return str(type(stat)(*[tracemalloc.Traceback(tuple(reversed(stat.traceback._frames)))
                            if name == "traceback" else getattr(stat, name)
                            for name in stat.__slots__]))


def format_traceback(tb, s):
    if VERSION >= (3, 7):
        return tb.format(s.limit, s.most_recent_first)
    frames = list(reversed(tb._frames))
    if s.limit is not None:
        frames = frames[-s.limit:] if s.limit > 0 else frames[:s.limit]
    # 3.6 prints in the order of the frames it has
    return tracemalloc.Traceback(tuple(reversed(frames) if s.most_recent_first else frames)).format()


def put_stat(lines, numbers, stat, key, s):
    lines.append(" ".join(map(str, numbers)))
    lines.append(modern_str(stat).translate(CLEAN))
    if key == "traceback":
        lines.extend(line.translate(CLEAN) for line in format_traceback(stat.traceback, s))


def expected(s, ask):
    filters = s.filter_objects()
    new, old = s.new.snapshot, s.old.snapshot
    if filters:
        new, old = new.filter_traces(filters), old.filter_traces(filters)
    lines = []
    for g, (key, cumulative) in enumerate(GROUPINGS):
        name = key + (" cumulative" if cumulative else "")
        if ask & 1 << (ASK_STATISTICS + g):
            lines.append("= statistics " + name)
            for stat in modern_order(new.statistics(key, cumulative),
                                     tracemalloc.Statistic._sort_key)[:s.top]:
                put_stat(lines, (stat.size, stat.count), stat, key, s)
        if ask & 1 << (ASK_COMPARE + g):
            lines.append("= compare " + name)
            for stat in modern_order(new.compare_to(old, key, cumulative),
                                     tracemalloc.StatisticDiff._sort_key)[:s.top]:
                put_stat(lines, (stat.size, stat.size_diff, stat.count, stat.count_diff), stat, key, s)
    if ask & 1 << ASK_KEPT:
        lines.append("= kept")
        kept, text = iter(new.traces._traces), ""
        wanted = next(kept, None)
        for i, trace in enumerate(s.new.traces):
            if trace is wanted:
                text += "%d " % i
                wanted = next(kept, None)
        assert wanted is None
        lines.append(text)
    lines.append(".")
    return "\n".join(lines) + "\n"


# ---- the comparison ----

def describe(s):
    yield "set %d: merge=%s one_pool=%s limit=%s most_recent_first=%s source=%s top=%s" % (
        s.number, s.merge, s.one_pool, s.limit, s.most_recent_first, s.source, s.top)
    for name, side in (("new", s.new), ("old", s.old)):
        for trace in side.traces:
            yield "  %s %r" % (name, trace)
    for f in s.filters:
        yield "  filter %r" % (f,)


def first_difference(want, got):
    section = "?"
    for w, g in itertools.zip_longest(want.splitlines(), got.splitlines(), fillvalue="(nothing)"):
        if w != g:
            return "%s\n  tracemalloc: %s\n  tmbpf:       %s" % (section, ascii(w), ascii(g))
        if w.startswith("= "):
            section = w
    return "no line differs"


def run_batch(command, sets):
    """The first difference as text, or None; also the number of lines compared."""
    # a series keeps equal stacks once, and in no order
    asked = [ASK_ALL | (0 if s.merge or len(command) > 1 else 1 << ASK_KEPT) for s in sets]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    getline = tracemalloc.linecache.getline
    wants = []
    try:
        got, _ = process.communicate(b"".join(pack(s, ask) for s, ask in zip(sets, asked)))
        for s, ask in zip(sets, asked):
            tracemalloc.linecache.getline = getline if s.source else lambda filename, lineno: ""
            wants.append(expected(s, ask))
    finally:
        tracemalloc.linecache.getline = getline
    got = got.decode("utf-8", "surrogatepass")
    if process.returncode == 0 and got == "".join(wants):
        return None, sum(want.count("\n") for want in wants)
    at = 0
    for s, want in zip(sets, wants):
        if got[at:at + len(want)] != want:
            rest = got[at:]
            end = rest.find("\n.\n")
            return "\n".join(itertools.chain(
                [first_difference(want, rest if end < 0 else rest[:end + 3])], describe(s))), 0
        at += len(want)
    return "the driver ended with %d, or said too much: %r" % (process.returncode, got[at:at + 200]), 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("driver")
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--store", metavar="FILE")
    args = parser.parse_args()
    command = [os.path.abspath(args.driver)] + ([os.path.abspath(args.store)] if args.store else [])
    warnings.simplefilter("ignore", FutureWarning)  # odd character sets in patterns
    generator = Generator(args.seed)
    started, lines, done = time.time(), 0, 0
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # so that "a.py" is no file
        while done < args.sets:
            count = min(args.batch, args.sets - done)
            difference, compared = run_batch(command, [generator.set(done + i) for i in range(count)])
            if difference:
                print(difference)
                print("python %s, seed %d: DIFFERENT" % (sys.version.split()[0], args.seed))
                os.chdir("/")
                return 1
            done += count
            lines += compared
        os.chdir("/")
    print("python %s, seed %d: %d trace sets, %d lines of results, all equal, %.0f s"
          % (sys.version.split()[0], args.seed, done, lines, time.time() - started))
    return 0


if __name__ == "__main__":
    sys.exit(main())
