# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the seed pickles of the fuzzer and of the reader's unit test: gen_pickles.py DIRECTORY.

Run by each interpreter from 3.6 on; the name of a file says which one and which protocol. No f-strings
with =, no walrus: 3.6 reads this."""
import os
import pickle
import sys
import tracemalloc

FOUR = sys.version_info >= (3, 9)


def trace(domain, size, traceback, total=None):
    if FOUR:
        return (domain, size, traceback, len(traceback) if total is None else total)
    return (domain, size, traceback)


def story():
    """The snapshot of Lib/test/test_tracemalloc.py, and what else a file may hold."""
    tb = (("a.py", 2), ("b.py", 4))
    return [
        trace(0, 10, tb, 3),
        trace(0, 10, tb, 3),
        trace(0, 10, tb, 3),
        trace(1, 2, (("a.py", 5), ("b.py", 4)), 3),
        trace(2, 66, (("b.py", 1),)),
        trace(3, 7, (("<unknown>", 0),)),
        trace(0, 2**40 + 1, (("/srv/\u00fc\u4e2d\U0001f40d.py", 70000),)),
        trace(0, 0, (("/bad\udcff\ud800.py", 1), ("nul\0.py", 255), ("x" * 300, 256))),
        trace(0x746D6201, 4096, (("/usr/lib/libxml2.so.2!xmlNewNode", 0), ("b.py", 4))),
        trace(0x746D6201, 2**63 - 2**42, (("/usr/lib/libc.so.6", 0),)),
    ]


def extras(snapshot):
    snapshot.test_attr = "new"
    snapshot.more = [1, -5, 2**70, -2**90, 1.5, None, True, False, b"x" * 300, "y" * 300, (), (1, "a"),
                     {"traces": 3, "k": {1, 2}}, frozenset((1, 2, 3)), bytearray(b"z"), [tracemalloc] * 0]


def main():
    tag = "py%d%d" % sys.version_info[:2]
    plain = tracemalloc.Snapshot(story(), 2)
    plain.dump(os.path.join(sys.argv[1], tag))
    tracemalloc.Snapshot([], 1).dump(os.path.join(sys.argv[1], tag + "_empty"))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with open(os.path.join(sys.argv[1], "%s_p%d" % (tag, protocol)), "wb") as f:
            pickle.dump(plain, f, protocol)
    extras(plain)
    del plain.more[8]  # bytes want a function of their own before protocol 3
    plain.more = [m for m in plain.more if not isinstance(m, (set, frozenset, bytearray, dict))]
    with open(os.path.join(sys.argv[1], tag + "_attr_p2"), "wb") as f:
        pickle.dump(plain, f, 2)
    extras(plain)
    plain.more = [m for m in plain.more if sys.version_info >= (3, 8) or not isinstance(m, bytearray)]
    plain.dump(os.path.join(sys.argv[1], tag + "_attr"))


main()
