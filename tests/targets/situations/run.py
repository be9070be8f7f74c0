# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one case of cases.py, plain (to be probed) or under tracemalloc (the reference).

    run.py CASE plain
    run.py CASE tracemalloc OUTFILE

Both do the identical thing: warm up, collect, print READY, wait for "go", work, print "done", keep everything,
wait for "quit". READY says how many objects are in free lists. OUTFILE gets [[frames, {size: blocks}], ...].
"""
import gc
import os
import sys
import tempfile

gc.disable()
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402

KEEP = [None] * 4
FRAMES = 25


def in_free_lists():
    """What sys._debugmallocstats() says; it writes to descriptor 2."""
    with tempfile.TemporaryFile() as f:
        saved = os.dup(2)
        os.dup2(f.fileno(), 2)
        try:
            sys._debugmallocstats()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        f.seek(0)
        words = [line.split() for line in f.read().decode().splitlines()]
    return sum(int(w[0]) for w in words if len(w) > 2 and w[0].isdigit() and w[1] == "free")


def wait_for(word):
    got = b""
    while not got.endswith(b"\n"):
        piece = os.read(0, 64)
        if not piece:
            os._exit(0)
        got += piece
    if got.strip() != word:
        os._exit(9)


def write_traces(traces, path):
    import json
    table = {}
    for trace in traces:
        sizes = table.setdefault(trace[2], {})
        sizes[trace[1]] = sizes.get(trace[1], 0) + 1
    with open(path, "w") as f:
        json.dump([[[list(frame) for frame in frames], sizes] for frames, sizes in table.items()], f)


def main():
    case = getattr(cases, sys.argv[1])
    traced = sys.argv[2] == "tracemalloc"
    if traced:
        import tracemalloc
    for _ in range(2):
        KEEP[0] = case()
    KEEP[0] = None
    gc.collect()
    ready = ("READY %d\n" % in_free_lists()).encode()
    gc.collect()
    os.write(1, ready)
    wait_for(b"go")
    if traced:
        tracemalloc.start(FRAMES)
    KEEP[1] = case()
    if traced:
        traces = tracemalloc._get_traces()
        tracemalloc.stop()
        write_traces(traces, sys.argv[3])
    os.write(1, b"done\n")
    wait_for(b"quit")
    os._exit(0)


main()
