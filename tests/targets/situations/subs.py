# SPDX-License-Identifier: GPL-2.0-or-later
"""Three sub-interpreters that hold blocks, made by Python code; they live until the end."""
import os

COUNT = 1500
KEEP = [None] * COUNT
PAD = b"x"
INSIDE = '''
import builtins
pad = b"x"
builtins.kept = kept = [None] * (2 * %d)
for i in range(%d):
    kept[i] = pad * 40
for i in range(%d, 2 * %d):
    kept[i] = pad * 600
''' % (COUNT, COUNT, COUNT, COUNT)
CODE = "exec(compile(%r, '/made/inside.py', 'exec'))" % INSIDE
try:
    import _interpreters as low
except ImportError:
    import _xxsubinterpreters as low


def hold():
    for i in range(COUNT):
        KEEP[i] = PAD * 40  # main


def main():
    ones = [low.create() for _ in range(3)]
    hold()
    for one in ones:
        low.run_string(one, CODE)  # runs
    return ones


os.write(1, b"READY\n")
os.read(0, 64)
ones = main()
os.write(1, ("done %d\n" % COUNT).encode())
os.read(0, 64)
os._exit(0)
