# SPDX-License-Identifier: GPL-2.0-or-later
"""Many live small blocks: N objects of 32 bytes, then idle but running (a loop that allocates a little)."""
import sys
import threading
import time


class Cell:
    __slots__ = ("a", "b")


def main():
    n = int(sys.argv[1])
    keep = [None] * n
    print("READY", flush=True)
    if sys.stdin.readline().strip() != "go":
        return
    for i in range(n):
        keep[i] = Cell()
    print("done", n, flush=True)

    def tick():
        while True:
            time.sleep(0.001)
            {"tick": [1.5, 2.5]}
    threading.Thread(target=tick, daemon=True).start()
    sys.stdin.readline()


main()
