# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of living code objects, each holds a block; daemon threads that never stop; a normal end on "quit"."""
import os
import sys
import threading
import time

COUNT = 2500
PAD = b"x"
KEEP = [None] * COUNT
FUNCTIONS = []


def daemon(n):
    ring = [None] * 50
    while True:
        for i in range(50):
            ring[i] = PAD * 40
        time.sleep(0.002)


os.write(1, b"READY\n")
os.read(0, 64)
for i in range(COUNT):
    name = u"/made/0/%s%04d.py" % (u"\u0436" if i % 3 == 0 else u"f", i)
    scope = {"keep": KEEP, "pad": PAD}
    exec(compile("\n" * (i % 50) + "def f(i):\n    keep[i] = pad * 40", name, "exec"), scope)
    scope["f"](i)
    FUNCTIONS.append(scope)
for n in range(3):
    thread = threading.Thread(target=daemon, args=(n,))
    thread.daemon = True
    thread.start()
os.write(1, ("done 1 %d\n" % COUNT).encode())
os.read(0, 64)
sys.exit(0)
