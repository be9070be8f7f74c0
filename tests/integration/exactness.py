# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare what tmbpf saw in one run with what tracemalloc saw in another run of the same program.

Per line: block counts equal; bytes equal after rounding tracemalloc's sizes up to 512 to the size class
(16), larger blocks with the exact requested size. Every difference needs a cause from CAUSES, and each
cause has a bound that does not come from the measurement itself.
"""
import os
import re

CLASS = 16
SMALL_MAX = 512

CAUSES = {
    "free-list": "blocks that sat in free lists at attach",
    "in-place": "realloc that stays in place: the block keeps its class (line marked '# inplace')",
    "thread": "threading.py: locks and libc's blocks of a new thread, order of threads",
    "raw": "a small block of PyMem_Raw*: malloc has no size class (fewer than 16 bytes a block)",
    "driver": "the driver's own lines: one of the runs does more there",
    "native": "blocks of C code that tracemalloc does not see",
}
THREAD_BLOCKS_MAX = 16  # 4 threads, start and bootstrap
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
    return (size + CLASS - 1) // CLASS * CLASS if size <= SMALL_MAX else size


def reference_rows(traces):
    """traces: [[[[file, line], ...], {size: blocks}], ...] innermost first -> {(file, line): Row}"""
    rows = {}
    for frames, sizes in traces:
        key = tuple(frames[0])
        row = rows.setdefault(key, Row(*key))
        for size, blocks in sizes.items():
            size = int(size)
            row.ref_blocks += blocks
            row.ref_bytes += round_size(size) * blocks
            if size <= SMALL_MAX:
                row.ref_small_bytes += round_size(size) * blocks
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


def judge(rows, free_blocks, inplace, driver="run_workload.py"):
    """Give every differing row its cause; row.bad when there is none. Returns the bad rows."""
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
        elif d_blocks == 0:
            if key in inplace and 0 < d_bytes <= row.ref_small_bytes / 3:
                row.cause = "in-place"
            elif d_bytes < 0 and -d_bytes < CLASS * min(row.ref_blocks, RAW_BLOCKS_MAX):
                row.cause = "raw"
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
    """Sum of the free lists in the program's READY line: [('PyFloatObjects', 3), ...]"""
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
    for frames, sizes in traces:
        key = tuple((f, n) for f, n in frames)
        stacks[key] = stacks.get(key, 0) + sum(sizes.values())
    return stacks


def tool_stacks(sites):
    stacks = {}
    for site in sites:
        if not site.get("stack"):
            continue
        key = tuple((f[0], f[1] or 0) for f in site["stack"])
        stacks[key] = stacks.get(key, 0) + site["blocks"]
    return stacks
