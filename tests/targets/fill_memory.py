# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep blocks until memory runs out. argv: small or big, a file for the count, MB/s (0: as fast as it goes).

The count of blocks that are kept stands in the first 8 bytes of the file, which outlives the process.
"""
import mmap
import os
import struct
import sys
import time

mode, rate = sys.argv[1], float(sys.argv[3])
fd = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 4096)
truth = mmap.mmap(fd, 4096)
kept = []
print("READY", flush=True)
sys.stdin.readline()


def small(n):
    for i in range(n):
        kept.append(b"x" * 100 + b"%d" % i)  # LEAK


def big(n):
    for _ in range(n):
        kept.append(bytearray(b"\1") * 65536)  # LEAK


step, size, fill = {"small": (500, 150, small), "big": (4, 65600, big)}[mode]
count, start = 0, time.monotonic()
while True:
    fill(step)
    count += step
    truth[0:8] = struct.pack("q", count)
    ahead = count * size / (rate * 1e6) - (time.monotonic() - start) if rate else 0
    if ahead > 0:
        time.sleep(ahead)
