# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare what tmbpf saw in one run with what tracemalloc saw in another run of the same program.

Per line: block counts equal; bytes equal after rounding tracemalloc's sizes up to 512 to the size class,
larger blocks with the exact requested size. Every difference needs a cause from CAUSES, and each cause has
a bound that does not come from the measurement itself.

Per stack: the same, without rounding, for blocks whose sizes occur once in the program.
"""
import os
import re

CLASS = 16
SMALL_MAX = 512


class Sizes:
    """What a request occupies. step: the size classes are its multiples (16, or 8 in some builds before 3.8; 1:
    there are no classes, all is malloc's). hook: bytes that debug hooks add to each request; raw_hook: and once
    more where pymalloc passes it on to the raw domain, which has hooks of its own."""

    def __init__(self, step=CLASS, hook=0, mimalloc=False, raw_hook=0):
        self.step = step
        self.hook = hook
        self.mimalloc = mimalloc
        self.raw_hook = raw_hook

    def occupied(self, size):
        size += self.hook
        if self.mimalloc:
            return mimalloc_block(size)
        if self.small(size):
            return (size + self.step - 1) // self.step * self.step
        return size + self.raw_hook

    def small(self, occupied):
        return self.step > 1 and occupied <= SMALL_MAX


def mimalloc_block(size):
    """The block that mimalloc 2 gives for a request: four classes for every power of two (_mi_bin()), from 128 KiB on
    whole pages (_mi_os_good_alloc_size()); CPython v3.13 Objects/mimalloc/page-queue.c and os.c."""
    if size > 128 << 10:
        for limit, step in ((512 << 10, 4 << 10), (2 << 20, 64 << 10), (8 << 20, 256 << 10), (32 << 20, 1 << 20)):
            if size < limit:
                return (size + step - 1) // step * step
        return (size + (4 << 20) - 1) // (4 << 20) * (4 << 20)
    words = max(1, (size + 7) // 8)
    if words <= 8:
        return 8 * (words if words == 1 else (words + 1) // 2 * 2)
    step = 1 << ((words - 1).bit_length() - 3)
    return 8 * ((words + step - 1) // step * step)


def sizes_of(ready_text, hook=0, mimalloc=False):
    """From the program's READY line: class=16, or class=0 where there is no pymalloc."""
    step = int(re.search(r"class=(\d+)", ready_text).group(1)) or 1
    return Sizes(step, hook, mimalloc, hook if step > 1 else 0)


CAUSES = {
    "free-list": "blocks that sat in free lists at attach",
    "in-place": "realloc that stays in place: the block keeps its class (line marked '# inplace')",
    "thread": "threading.py: locks and libc's blocks of a new thread, order of threads",
    "raw": "a small block of PyMem_Raw*: malloc has no size class (fewer than 16 bytes a block)",
    "mimalloc": "another size class, or a block that realloc left in place; blocks are equal or in free lists",
    "driver": "the driver's own lines: one of the runs does more there",
    "native": "blocks of C code that tracemalloc does not see",
}
MIMALLOC_SLACK = 0.3  # a class is at most a quarter larger than the request, a large block a slice of 64 KiB
THREAD_BLOCKS_MAX = 28  # 4 threads, 7 lines of start and bootstrap that allocate
RAW_BLOCKS_MAX = 8
NATIVE_BLOCKS_MAX = 64


class Row:
    def __init__(self, file, line):
        self.file, self.line = file, line
        self.ref_blocks = self.ref_bytes = self.ref_small_bytes = 0
        self.blocks = self.bytes = 0
        self.cause = ""
        self.bad = False

    @property
    def blocks_diff(self):
        return self.blocks - self.ref_blocks

    @property
    def bytes_diff(self):
        return self.bytes - self.ref_bytes


def round_size(size):
    return Sizes().occupied(size)


def reference_rows(traces, sizes=Sizes()):
    """traces: [[[[file, line], ...], {size: blocks}], ...] innermost first -> {(file, line): Row}"""
    rows = {}
    for frames, table in traces:
        key = tuple(frames[0])
        row = rows.setdefault(key, Row(*key))
        for size, blocks in table.items():
            size = sizes.occupied(int(size))
            row.ref_blocks += blocks
            row.ref_bytes += size * blocks
            if sizes.small(size):
                row.ref_small_bytes += size * blocks
    return rows


def add_sites(rows, sites):
    for site in sites:
        key = (site.get("file") or "<unknown>", site.get("line") or 0)
        row = rows.setdefault(key, Row(*key))
        row.blocks += site["blocks"]
        row.bytes += site["bytes"]
    return rows


def marked_lines(path, mark="# inplace"):
    lines = set()
    with open(path) as f:
        for number, text in enumerate(f, 1):
            if text.rstrip().endswith(mark):
                lines.add((os.path.abspath(path), number))
    return lines


def is_python_file(file):
    return file.endswith(".py") or (file.startswith("<") and file != "<unknown>")


def judge(rows, free_blocks, inplace, driver="run_workload.py", threads=False, mimalloc=False):
    """Give every differing row its cause; row.bad when there is none. Returns the bad rows.

    threads: the order in which threads take from free lists is another in each run, so a line may have a block
    of one class too much and one of another class too little.
    mimalloc: its classes differ between its versions, and a block that realloc leaves in place stays with its first
    line, so bytes count only roughly; blocks count exactly.
    """
    free_left = 2 * free_blocks  # a block may miss on one line and surplus on another
    thread_left = THREAD_BLOCKS_MAX
    native_left = NATIVE_BLOCKS_MAX
    for key in sorted(rows):
        row = rows[key]
        d_blocks, d_bytes = row.blocks_diff, row.bytes_diff
        if d_blocks == 0 and d_bytes == 0:
            continue
        if os.path.basename(row.file) == driver:
            row.cause = "driver"
        elif not is_python_file(row.file):
            if row.ref_blocks == 0 and row.blocks <= native_left:
                row.cause = "native"
                native_left -= row.blocks
        elif os.path.basename(row.file) == "threading.py":
            if abs(d_blocks) <= thread_left:
                row.cause = "thread"
                thread_left -= abs(d_blocks)
        elif mimalloc and abs(d_blocks) <= free_left and abs(d_bytes) <= MIMALLOC_SLACK * row.ref_bytes:
            row.cause = "mimalloc"
            free_left -= abs(d_blocks)
        elif d_blocks == 0:
            if key in inplace and 0 < d_bytes <= row.ref_small_bytes / 3:
                row.cause = "in-place"
            elif d_bytes < 0 and -d_bytes < CLASS * min(row.ref_blocks, RAW_BLOCKS_MAX):
                row.cause = "raw"
            elif threads and free_left >= 2 and 0 < abs(d_bytes) < SMALL_MAX and d_bytes % CLASS == 0:
                row.cause = "free-list"
                free_left -= 2
        elif abs(d_blocks) <= free_left and _plausible_bytes(d_blocks, d_bytes, key in inplace, row):
            row.cause = "free-list"
            free_left -= abs(d_blocks)
        row.bad = not row.cause
    return [r for _, r in sorted(rows.items()) if r.bad]


def _plausible_bytes(d_blocks, d_bytes, inplace, row):
    """Blocks from free lists are small ones: each missing block is 16 to 512 bytes, same sign."""
    slack = row.ref_small_bytes / 3 if inplace else 0
    low, high = sorted((d_blocks * CLASS, d_blocks * SMALL_MAX))
    return low - slack <= d_bytes <= high + slack


def free_blocks(ready_text):
    """Sum of the free lists in the program's READY line: ... free=[('PyFloatObjects', 3), ...]"""
    return sum(int(n) for n in re.findall(r", (\d+)\)", ready_text))


def format_table(name, rows, free, only_differences=False):
    out = ["%s: %d blocks by tracemalloc, %d by tmbpf, %d blocks in free lists at attach\n" % (
        name, sum(r.ref_blocks for r in rows.values()), sum(r.blocks for r in rows.values()), free)]
    out.append("  %9s %9s %7s %11s %11s %9s  %-9s %s\n" % (
        "tm.blocks", "blocks", "diff", "tm.bytes", "bytes", "diff", "cause", "line"))
    for _, r in sorted(rows.items(), key=lambda kv: (-kv[1].ref_bytes, kv[0])):
        if only_differences and not r.cause and not r.bad:
            continue
        out.append("  %9d %9d %+7d %11d %11d %+9d  %-9s %s:%d\n" % (
            r.ref_blocks, r.blocks, r.blocks_diff, r.ref_bytes, r.bytes, r.bytes_diff,
            "NOT OK" if r.bad else r.cause, short(r.file), r.line))
    return "".join(out)


def short(path):
    parts = path.split("/")
    return path if len(parts) <= 3 else ".../" + "/".join(parts[-2:])


# ---- by traceback ----

def reference_stacks(traces):
    """{((file, line), ...): blocks}"""
    stacks = {}
    for frames, table in traces:
        key = tuple((f, n) for f, n in frames)
        stacks[key] = stacks.get(key, 0) + sum(table.values())
    return stacks


def tool_stacks(sites):
    stacks = {}
    for site in sites:
        if not site.get("stack"):
            continue
        key = tuple((f[0], f[1] or 0) for f in site["stack"])
        stacks[key] = stacks.get(key, 0) + site["blocks"]
    return stacks


class StackRow:
    def __init__(self):
        self.ref_blocks = self.ref_bytes = 0  # of the planned allocations
        self.others = self.other_bytes = 0  # what else tracemalloc saw there
        self.blocks = self.bytes = 0


class StackEquality:
    """The same allocations by their stacks in two runs, frame by frame.

    Each planned allocation has a size of its own, so equal numbers and equal sums of bytes on a stack mean that
    the same allocations are there. A line that makes a temporary object beside the planned one may keep it, or
    not, in a free list, and threads share these lists: whole blocks of that kind are the only thing that may be
    there in addition. The sizes that are planned are odd, theirs are not.

    kind() tells of an innermost frame what ends there: "large", "small" (by number only), or None for neither.
    """

    OTHER_MAX = 1024  # bytes of such a block: a frame object of CPython 3.10 is one of the largest
    OTHER_STEP = 8

    def __init__(self, kind, planned):
        self.kind = kind
        self.planned = set(planned)
        self.large = {}
        self.small = {}
        self.met = {}  # planned size: how often

    def add_reference(self, traces, sizes):
        for frames, table in traces:
            rows = self._rows(frames)
            if rows is None:
                continue
            row = rows.setdefault(self._key(frames), StackRow())
            for size, blocks in table.items():
                size = int(size)
                if size in self.planned or rows is self.small:
                    row.ref_blocks += blocks
                    row.ref_bytes += sizes.occupied(size) * blocks
                    self.met[size] = self.met.get(size, 0) + blocks
                else:
                    row.others += blocks
                    row.other_bytes += sizes.occupied(size) * blocks

    def add_tool(self, sites):
        for site in sites:
            frames = site.get("stack")
            rows = self._rows(frames)
            if rows is not None:
                row = rows.setdefault(self._key(frames), StackRow())
                row.blocks += site["blocks"]
                row.bytes += site["bytes"]

    def _rows(self, frames):
        kind = self.kind((frames[0][0], frames[0][1] or 0)) if frames else None
        return {"large": self.large, "small": self.small}.get(kind)

    @staticmethod
    def _key(frames):
        return tuple((f[0], f[1] or 0) for f in frames)

    @classmethod
    def is_equal(cls, row):
        blocks, size = row.blocks - row.ref_blocks, row.bytes - row.ref_bytes
        return blocks >= 0 and size % cls.OTHER_STEP == 0 and \
            blocks * cls.OTHER_STEP <= size <= blocks * cls.OTHER_MAX

    @property
    def stacks(self):
        """Those of planned allocations, in either run."""
        return {k: r for k, r in self.large.items() if r.ref_blocks or not self.is_equal(r)}

    @property
    def wrong(self):
        return {k: r for k, r in self.large.items() if not self.is_equal(r)}

    @property
    def temporaries(self):
        """Stacks where the two runs agree but for temporaries beside the planned blocks."""
        return sum(1 for r in self.stacks.values() if self.is_equal(r) and (r.blocks, r.bytes) !=
                   (r.ref_blocks + r.others, r.ref_bytes + r.other_bytes))

    @property
    def small_off(self):
        return sum(abs(r.ref_blocks - r.blocks) for r in self.small.values())

    @property
    def frames(self):
        return sum(len(k) for k in self.stacks)

    def allocations(self):
        """How many of the planned sizes were met, each exactly once."""
        return sum(1 for size in self.planned if self.met.get(size) == 1)

    def explain(self, limit=5):
        """The first wrong stacks; next to a missing one the stack that has its bytes instead."""
        out = []
        by_bytes = {r.bytes: k for k, r in self.wrong.items() if r.bytes and not r.ref_blocks}
        for key, r in sorted(self.wrong.items(), key=lambda kv: -kv[1].ref_blocks)[:limit]:
            out.append("%d blocks, %d bytes (and %d, %d) by tracemalloc; %d blocks, %d bytes by tmbpf" % (
                r.ref_blocks, r.ref_bytes, r.others, r.other_bytes, r.blocks, r.bytes))
            other = by_bytes.get(r.ref_bytes) if not r.blocks else None
            for n in range(max(len(key), len(other or ()))):
                a = "%s:%d" % key[n] if n < len(key) else "-"
                b = ("%s:%d" % other[n] if n < len(other) else "-") if other else a
                out.append("    %s%s" % (a, "" if a == b else "    BUT tmbpf: " + b))
        return "\n".join(out)
