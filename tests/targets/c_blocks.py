# SPDX-License-Identifier: GPL-2.0-or-later
"""C code called from Python takes blocks from malloc; the interpreter makes small and large objects."""
import ctypes
import os
import sys

N = 300
KEEP = []
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
malloc.argtypes = [ctypes.c_size_t]


def work():
    for i in range(N):
        malloc(5000)  # malloc
        KEEP.append("number %d" % i)  # small
        KEEP.append(bytearray(3000))  # large


malloc(1)
os.write(1, b"READY\n")
for line in sys.stdin:
    if line.strip() == "quit":
        break
    work()
    os.write(1, b"done\n")
