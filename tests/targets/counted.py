# SPDX-License-Identifier: GPL-2.0-or-later
"""Loops with a known number of allocations and free-list re-uses, one at a time on demand.

Reads "NAME COUNT" lines, runs the loop, prints "done".
"""
import gc
import os

gc.disable()


class Cell:
    __slots__ = ("a", "b")


def allocate(n, keep):
    """n fresh small blocks, kept."""
    for i in range(n):
        keep[i] = Cell()


def release(n, keep):
    """n frees, no allocation."""
    for i in range(n):
        keep[i] = None


def reuse(n, keep):
    """n lists that live for one step: each takes the list object from the free list (no table: empty)."""
    for i in range(n):
        []


def nothing(n, keep):
    for i in range(n):
        keep[i] = None


def main():
    loops = {f.__name__: f for f in (allocate, release, reuse, nothing)}
    keep = [None] * 200000
    for f in loops.values():
        f(100, keep)
    for i in range(100):
        keep[i] = None
    os.write(1, b"READY\n")
    pending = b""
    while True:
        piece = os.read(0, 256)
        if not piece:
            return
        pending += piece
        while b"\n" in pending:
            line, pending = pending.split(b"\n", 1)
            words = line.decode().split()
            if words[0] == "quit":
                return
            loops[words[0]](int(words[1]), keep)
            os.write(1, b"done\n")


main()
