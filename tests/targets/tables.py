# SPDX-License-Identifier: GPL-2.0-or-later
"""Fills the tables of the tool: "pools N K" makes N blocks in one line and keeps each K-th; "stacks FIRST N KEEP"
calls a leaf through N stacks that nothing else has, and keeps its blocks or not; "late" keeps 500 blocks."""
import sys

kept = []


def fill(n):
    return [bytes(400) for _ in range(n)]  # FILL


def left(depth, path, keep):
    return leaf(keep) if not depth else (left if path & 1 else right)(depth - 1, path >> 1, keep)


def right(depth, path, keep):
    return leaf(keep) if not depth else (left if path & 1 else right)(depth - 1, path >> 1, keep)


def leaf(keep):
    block = bytes(2000)  # LEAF
    if keep:
        kept.append(block)


def late():
    kept.append([bytes(2000) for _ in range(500)])  # LATE


print("READY", flush=True)
for line in sys.stdin:
    word, *numbers = line.split()
    if word == "quit":
        break
    numbers = [int(n) for n in numbers]
    if word == "pools":
        blocks = fill(numbers[0])
        kept.append(blocks[::numbers[1]])
        del blocks
    elif word == "stacks":
        for path in range(numbers[0], numbers[0] + numbers[1]):
            left(17, path, numbers[2])
    elif word == "late":
        late()
    print("done", flush=True)
