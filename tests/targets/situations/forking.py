# SPDX-License-Identifier: GPL-2.0-or-later
"""Children that free what they inherited and fill the same addresses; the parent works on meanwhile."""
import os

PAD = b"x"
KEEP = [None] * 6000


def hold(kept, first, count):
    for i in range(first, first + count):
        kept[i] = PAD * 40  # 3000 blocks
    for i in range(first + count, first + 2 * count):
        kept[i] = PAD * 600  # 3000 blocks


def child():
    for i in range(len(KEEP)):
        KEEP[i] = None
    kept = [PAD * 40 for i in range(20000)]  # child
    kept += [PAD * 600 for i in range(20000)]  # child
    return len(kept) % 251


os.write(1, b"READY\n")
os.read(0, 64)
bad = 0
pids = []
for n in range(3):
    hold(KEEP, n * 2000, 1000)
    pid = os.fork()
    if pid == 0:
        os._exit(child())
    pids.append(pid)
for pid in pids:
    bad += os.waitpid(pid, 0)[1] != (40000 % 251) << 8
os.write(1, ("done %d\n" % bad).encode())
os.read(0, 64)
os._exit(0)
