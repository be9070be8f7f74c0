# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocates on "go", small blocks on one line and large ones on another, and gives all back on "free"."""
import os
import sys

N = 20000
KEEP = []


def fill():
    for i in range(N):
        KEEP.append("number %d of many" % i)  # small
        if i % 20 == 0:
            KEEP.append(bytearray(700 + i % 50))  # large


def read_word():
    return sys.stdin.readline().strip()


def main():
    fill()
    del KEEP[:]
    os.write(1, b"READY\n")
    for word in iter(read_word, "quit"):
        if word == "go":
            fill()
        elif word == "free":
            del KEEP[:]
        else:
            break
        os.write(1, b"done\n")


main()
