# SPDX-License-Identifier: GPL-2.0-or-later
"""The small-object loop of the cost measurement; lives long and runs the loop on demand.

    bench_target.py NFRAME     (0 = no tracemalloc)

Reads "DEPTH ITEMS" lines, runs ITEMS items at call depth DEPTH, prints "ns NANOSECONDS" of thread CPU time.
An item is about 7 fresh small blocks and 3 re-uses from free lists.
"""
import gc
import sys
import time
import tracemalloc

gc.disable()
RING = [None] * 1000


class Item:
    __slots__ = ("number", "name", "row")


def work(items):
    ring = RING
    size = len(ring)
    started = time.thread_time_ns()
    for i in range(items):
        item = Item()                                # an instance
        item.number = i + 1000000                    # an int
        item.name = "item-%d" % i                    # a str and a temporary
        item.row = [(i, item.name), {"k": i * 0.5}]  # list and table, tuple, dict, float
        ring[i % size] = item
    return time.thread_time_ns() - started


def descend(more, items):
    if more > 1:
        return descend(more - 1, items)
    return work(items)


def run(depth, items):
    """depth counts every Python frame of the allocating stack: <module>, main, ..., work."""
    return descend(depth - 4, items) if depth > 4 else work(items)


def main():
    frames = int(sys.argv[1])
    if frames:
        tracemalloc.start(frames)
    work(2000)
    print("READY", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            return
        depth, items = int(words[0]), int(words[1])
        # <module>, main, work: 3; <module>, main, run, descend ..., work: more
        print("ns", run(depth, items) if depth > 3 else work(items), flush=True)


main()
