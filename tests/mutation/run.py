#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Break the program on purpose, one place at a time, and see which break no test notices.

    tests/mutation/run.py [-k WORD,WORD] [--list | --check]

Each mutation of mutations.py replaces one text of one file in a copy of the tree, builds it, and runs the tests that
are named for it. A mutation that no test notices lives: either a test is missing, or the mutation changes nothing and
says why. A test that fails without the mutation proves nothing and makes it invalid. The copy is build/mutation/tree;
the working tree is not touched. Root and a kernel with BPF, as for the tests.
"""
import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mutations  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TREE = os.path.join(ROOT, "build", "mutation", "tree")
TIMEOUT_S = 420


def run(argv, timeout=TIMEOUT_S):
    """Exit status and the end of the output; a run that does not end counts as failed."""
    try:
        p = subprocess.run(argv, cwd=TREE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired:
        return 124, "no end after %d s" % timeout
    return p.returncode, p.stdout


def copy_tree():
    """
    Tracked files as they are now. A file that is equal keeps its time, so that objects of earlier runs stay good; one
    that differs gets the time of now: an older one would leave the object of the last mutation in place.
    """
    os.makedirs(TREE, exist_ok=True)
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], check=True, stdout=subprocess.PIPE).stdout
    keep = set(names.decode().split("\0"))
    for folder, _, files in os.walk(TREE):
        for name in files:
            path = os.path.relpath(os.path.join(folder, name), TREE)
            if not path.startswith("build/") and path not in keep:
                os.unlink(os.path.join(TREE, path))
    for name in sorted(keep - {""}):
        source, copy = os.path.join(ROOT, name), os.path.join(TREE, name)
        if not os.path.exists(source) or (os.path.exists(copy) and filecmp.cmp(source, copy, shallow=False)):
            continue
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copy(source, copy)


def build(targets):
    return run(["make", "--no-print-directory", "-j2", *targets])


def unit_target(name):
    return "build/san/tests/unit/" + name


class Test:
    """A unit test ROOM/test_x, or a file of tests/integration with an optional choice of pytest's -k."""

    def __init__(self, spec):
        self.spec = spec
        self.is_unit = not spec.startswith("integration/")

    def build(self):
        if self.is_unit:
            return build(["SAN=1", "OUTPUT=build/san", unit_target(self.spec)])
        return build(["all", "drivers"])

    def run(self):
        if self.is_unit:
            return run([os.path.join(TREE, unit_target(self.spec))], 300)
        path, _, choice = self.spec.partition(" -k ")
        return run(["/usr/bin/python3", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout", "120",
                    os.path.join("tests", path)] + (["-k", choice] if choice else []))


    def outcome(self):
        """("passed" | "failed" | "broken", why)"""
        status, out = self.build()
        if status:
            return "broken", "it does not build: " + last_line(out)
        status, out = self.run()
        if status == 5 and not self.is_unit:
            return "broken", "%s chose no test" % self.spec
        return "failed" if status else "passed", last_line(out)


unchanged = {}


def passes_unchanged(spec):
    """Without a mutation; asked once a test."""
    if spec not in unchanged:
        unchanged[spec] = Test(spec).outcome()
    return unchanged[spec][0] == "passed"


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:100] if lines else ""


def judge(mutation):
    """("killed", by which test) | ("lived", "") | ("invalid", why)"""
    path = os.path.join(TREE, mutation.file)
    with open(path) as f:
        text = f.read()
    if text.count(mutation.old) != 1:
        return "invalid", "its text occurs %d times in %s" % (text.count(mutation.old), mutation.file)
    for spec in mutation.tests:
        if not passes_unchanged(spec):
            return "invalid", "%s fails without it: %s" % (spec, unchanged[spec][1])
    try:
        with open(path, "w") as f:
            f.write(text.replace(mutation.old, mutation.new))
        for spec in mutation.tests:
            result, why = Test(spec).outcome()
            if result == "broken":
                return "invalid", why
            if result == "failed":
                return "killed", spec
        return "lived", ""
    finally:
        with open(path, "w") as f:
            f.write(text)


def complaints(mutation):
    """What would make it invalid, as far as that shows without a build."""
    path = os.path.join(ROOT, mutation.file)
    if not os.path.exists(path):
        yield "%s is not there" % mutation.file
        return
    with open(path) as f:
        count = f.read().count(mutation.old)
    if count != 1:
        yield "its text occurs %d times in %s" % (count, mutation.file)
    if mutation.old == mutation.new:
        yield "it replaces a text by itself"
    for spec in mutation.tests:
        test = Test(spec)
        source = "unit/%s.c" % spec if test.is_unit else spec.partition(" -k ")[0]
        if not os.path.exists(os.path.join(ROOT, "tests", source)):
            yield "tests/%s is not there" % source


def check(chosen):
    bad = 0
    for m in chosen:
        for why in complaints(m):
            print("%s: %s" % (m.name, why))
            bad += 1
    print("mutations: %d, %d complaints" % (len(chosen), bad))
    return 1 if bad else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-k", default="", help="only those whose name has one of these words, with commas between")
    p.add_argument("--list", action="store_true", help="names and places only")
    p.add_argument("--check", action="store_true", help="only whether each text occurs once and each test is there")
    args = p.parse_args()
    chosen = [m for m in mutations.MUTATIONS if any(word in m.name for word in args.k.split(","))]
    if args.list:
        for m in chosen:
            print("%-28s %s" % (m.name, m.file))
        return 0
    if args.check:
        return check(chosen)
    copy_tree()
    count = {"killed": 0, "lived": 0, "invalid": 0}
    explained = 0
    for m in chosen:
        started = time.monotonic()
        verdict, by = judge(m)
        count[verdict] += 1
        if verdict == "lived" and m.lives_because:
            explained += 1
            by = "because " + m.lives_because
        print("%-8s %-28s %-36s %5.1f s  %s" % (verdict, m.name, m.file, time.monotonic() - started, by), flush=True)
    print("%d mutations: %d killed, %d lived (%d of them explained), %d invalid" % (
        len(chosen), count["killed"], count["lived"], explained, count["invalid"]))
    return 0 if count["invalid"] == 0 and count["lived"] <= mutations.LIVED_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
