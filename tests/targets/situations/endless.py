# SPDX-License-Identifier: GPL-2.0-or-later
"""Goes on for ever, a round a tenth of a second: each holds what the marked lines say."""
import os
import time

PAD = b"x"
KEEP = []


class Slots(object):
    __slots__ = ("a", "b", "c")


def hold():
    part = [None] * 900
    KEEP.append(part)
    for i in range(300):
        part[i] = PAD * 40  # 300 blocks
    for i in range(300, 600):
        part[i] = Slots()  # 300 blocks
    for i in range(600, 900):
        part[i] = PAD * 600  # 300 blocks


while True:
    hold()
    os.write(1, b"round\n")
    time.sleep(0.1)
