#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How a series grows, and what asking it takes: a day of minutes (1,440 snapshots, 1 % of the stacks change in
each) for 5,000, 50,000 and 500,000 stacks. Usage: store_scale.py [STACKS...]; needs make first.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUTPUT = os.path.join(ROOT, os.environ.get("OUTPUT", "build"))
BINARY = os.path.join(OUTPUT, "tmbpf")
DRIVER = os.path.join(OUTPUT, "tests", "bench", "store_scale")
SNAPSHOTS = 1440
CHANGED_PERMILLE = 10


def run_verb(args):
    """(milliseconds, peak MiB) of a verb, the best of three."""
    best = None
    for _ in range(3):
        started = time.monotonic()
        p = subprocess.Popen([BINARY] + args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = status
        took = (time.monotonic() - started) * 1000
        if status:
            sys.exit("%s failed" % args)
        if best is None or took < best[0]:
            best = (took, usage.ru_maxrss / 1024)
    return best


def measure(stacks, where):
    path = os.path.join(where, "scale-%d.tmb" % stacks)
    out = subprocess.run([DRIVER, path, str(stacks), str(SNAPSHOTS), str(CHANGED_PERMILLE)], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    row = dict(re.findall(r"(\w+)=([\d.]+)", out))
    row["report"] = run_verb(["report", path])
    row["diff"] = run_verb(["diff", path + "@first", path])
    row["leaks"] = run_verb(["leaks", path])
    os.unlink(path)
    return row


def main():
    sizes = [int(a.replace(",", "")) for a in sys.argv[1:]] or [5000, 50000, 500000]
    rows = []
    with tempfile.TemporaryDirectory(dir=OUTPUT) as where:
        for stacks in sizes:
            rows.append(measure(stacks, where))
            print("%d stacks: %s" % (stacks, rows[-1]), file=sys.stderr)
    lines = [
        ("file, MB", "%s", lambda r: r["file_mb"]),
        ("append: first, ms", "%s", lambda r: r["first_append_ms"]),
        ("append: median, ms", "%s", lambda r: r["append_median_ms"]),
        ("recorder's part, peak MiB", "%s", lambda r: r["write_mib"]),
        ("load the last, ms", "%s", lambda r: r["last_ms"]),
        ("load one in the middle, ms", "%s", lambda r: r["middle_ms"]),
        ("walk over all, ms", "%s", lambda r: r["walk_ms"]),
        ("tmbpf report, ms / peak MiB", "%.0f / %.0f", lambda r: r["report"]),
        ("tmbpf diff first last, ms / peak MiB", "%.0f / %.0f", lambda r: r["diff"]),
        ("tmbpf leaks, ms / peak MiB", "%.0f / %.0f", lambda r: r["leaks"]),
    ]
    print("| %d snapshots, 1 %% of the stacks change in each | %s |" %
          (SNAPSHOTS, " | ".join("%s stacks" % format(s, ",") for s in sizes)))
    print("|---|%s" % ("---|" * len(sizes)))
    for title, form, get in lines:
        print("| %s | %s |" % (title, " | ".join(form % get(r) for r in rows)))


main()
