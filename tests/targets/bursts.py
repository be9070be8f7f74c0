# SPDX-License-Identifier: GPL-2.0-or-later
"""Idles until a line comes on stdin, does what it asks, prints "done" and the CPU seconds that it took.

    load SECONDS     small objects are made and dropped, for so long; prints how many as well
    request N        N of them, once
    big SECONDS      blocks of 2 to 6 KB from malloc, replaced all the time; prints how many as well
    hash SECONDS     works without making objects
    keep N           N small objects stay alive
    fork N           a child makes N small objects; prints the CPU seconds of the child
"""
import hashlib
import os
import sys
import time

kept = []
NOISE = b"x" * (16 << 20)


def churn(count):
    row = [str(i) for i in range(count)]
    del row
    return count


def load(seconds):
    end, made = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        made += churn(2000)
    return made


def big(seconds):
    end, made = time.monotonic() + seconds, 0
    row = [b""] * 64
    while time.monotonic() < end:
        for i in range(2000):
            row[i % 64] = bytearray(2000 + i * 2)
        made += 2000
    return made


def hash_for(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        hashlib.sha256(NOISE).digest()
    return 0


def keep(count):
    for i in range(count):
        kept.append(str(i) * 3)
    return count


def fork(count):
    before = os.times().children_user + os.times().children_system
    pid = os.fork()
    if pid == 0:
        for _ in range(20):
            churn(count // 20)
        os._exit(0)
    os.waitpid(pid, 0)
    return os.times().children_user + os.times().children_system - before


VERBS = {"load": load, "request": churn, "big": big, "hash": hash_for, "keep": keep, "fork": fork}


def main():
    print("READY", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            break
        argument = float(words[1])
        before = time.process_time()
        result = VERBS[words[0]](argument if words[0] in ("load", "big", "hash") else int(argument))
        print("done %.6f %s" % (time.process_time() - before, result), flush=True)


main()
