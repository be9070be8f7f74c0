#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Time and peak memory of report and diff, by number of stacks. Not pass or fail.

    stats_scale.py [STACKS ...]       made-up snapshots of so many stacks (5000 50000 500000)
    stats_scale.py --series FILE      the first and the last snapshot of a series that is there

Run `make` first; OUTPUT names its directory. The snapshots are made by tests/export/export_driver.c.
"""
import argparse
import os
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("OUTPUT", "build"))
QUESTIONS = [
    ["report", "{new}"],
    ["report", "{new}", "--by", "traceback"],
    ["report", "{new}", "--cumulative"],
    ["report", "{new}", "--by", "module", "--exclude", "*/package1*", "--all-frames"],
    ["report", "{new}", "--by", "traceback", "-T", "0"],
    ["diff", "{old}", "{new}"],
    ["diff", "{old}", "{new}", "--by", "traceback"],
    ["diff", "{old}", "{new}", "-T", "0", "-j"],
]


def build(work):
    objects = []
    for room in ("base", "snapshot"):
        folder = os.path.join(BUILD, "user", room)
        objects += [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.endswith(".o")
                    and os.path.exists(os.path.join(ROOT, "user", room, f[:-2] + ".c"))]
    program = os.path.join(work, "export_driver")
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pie", "-I" + ROOT,
                    "-I" + os.path.join(ROOT, "user"), "-o", program,
                    os.path.join(ROOT, "tests", "export", "export_driver.c")] + objects + ["-lsqlite3", "-lz"],
                   check=True)
    return program


def measure(argv):
    """(seconds, CPU seconds, peak MiB, bytes of output)"""
    started = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError("%r: %d" % (argv, process.returncode))
        size = os.fstat(out.fileno()).st_size
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size


def ask(old, new):
    print("  %8s %8s %9s %11s" % ("seconds", "CPU s", "peak MiB", "output KiB"))
    for question in QUESTIONS:
        argv = [a.format(old=old, new=new) for a in question]
        took, cpu, peak, size = measure([os.path.join(BUILD, "tmbpf")] + argv)
        print("  %8.2f %8.2f %9.1f %11.0f  %s" % (took, cpu, peak, size / 1024,
                                                  " ".join(question).format(old="OLD", new="NEW")), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("stacks", type=int, nargs="*", default=[5000, 50000, 500000])
    parser.add_argument("--series")
    args = parser.parse_args()
    if args.series:
        print("%s: %.1f MiB" % (args.series, os.path.getsize(args.series) / 2.0 ** 20))
        ask(args.series + "@first", args.series + "@last")
        return
    with tempfile.TemporaryDirectory() as work:
        program = build(work)
        for stacks in args.stacks:
            paths = []
            for growth in (0, 5):
                paths.append(os.path.join(work, "%d.tmb" % growth))
                subprocess.run([program, paths[-1], "1", str(stacks), str(growth), "plain"], check=True)
            print("two snapshots of %d stacks, %.1f MiB each" % (stacks, os.path.getsize(paths[0]) / 2.0 ** 20))
            ask(*paths)
            for path in paths:
                os.unlink(path)


if __name__ == "__main__":
    main()
