# SPDX-License-Identifier: GPL-2.0-or-later
"""What an embedded interpreter runs: lines that hold a known number of blocks, free lists have no part in it.

A line marked "# N blocks" or "# N blocks of B bytes" holds that many when the file has been run once.
"""
KEEP = [None] * 9000
PAD = b"x"


class Slots(object):
    __slots__ = ("a", "b", "c")


def hold():
    for i in range(3000):
        KEEP[i] = PAD * 40  # 3000 blocks of 80 bytes
    for i in range(3000, 6000):
        KEEP[i] = Slots()  # 3000 blocks
    for i in range(6000, 9000):
        KEEP[i] = PAD * 600  # 3000 blocks of 633 bytes


hold()
import sys  # noqa: E402
sys.__dict__.setdefault("held", []).append(KEEP)
