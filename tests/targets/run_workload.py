# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one workload, either plain (to be probed) or under tracemalloc (the reference).

    run_workload.py NAME N plain
    run_workload.py NAME N tracemalloc NFRAME OUTFILE

NAME is one of workloads.py, or "constructs"; N 0 is its usual size. The READY line says which size classes the
interpreter's allocator has and what is in its free lists.

Both do the identical thing: import, warm up, collect, print READY, wait for "go", work, print "done", keep
everything alive, wait for "quit". Everything that only one of the two needs happens before READY or after
the snapshot. Control uses os.read and os.write: no buffers of the io module that grow in between.
"""
import gc
import os
import sys
import tempfile
import tracemalloc

gc.disable()

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

KEEP = [None] * 8


def free_list_text():
    """What sys._debugmallocstats() says about free lists; it writes to descriptor 2."""
    with tempfile.TemporaryFile() as f:
        saved = os.dup(2)
        os.dup2(f.fileno(), 2)
        try:
            sys._debugmallocstats()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        f.seek(0)
        return f.read().decode()


def free_list_counts(text):
    """'12 free PyFloatObjects * 24 bytes each = ...' -> {'PyFloatObject': 12}"""
    counts = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0].isdigit() and words[1] == "free":
            kind = " ".join(words[2:words.index("*")]) if "*" in words else words[-1]
            counts[kind] = int(words[0])
    return counts


def size_class(text):
    """The smallest size class, which all others are multiples of; 0 without pymalloc."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 5 and words[0] == "0":
            return int(words[1])
    return 0


def find(name):
    """(function, usual n, module with notes() or None)"""
    if name == "constructs":
        import constructs
        return constructs.run, constructs.DEFAULT_N, constructs
    import workloads
    function, n = workloads.WORKLOADS[name]
    return function, n, None


def aggregate(traces):
    """Raw traces -> [[frames, {size: blocks}], ...]; frames = [[file, line], ...] innermost first."""
    table = {}
    for trace in traces:
        frames = trace[2]
        sizes = table.setdefault(frames, {})
        sizes[trace[1]] = sizes.get(trace[1], 0) + 1
    return [[[[f, n] for f, n in frames], sizes] for frames, sizes in table.items()]


def wait_for(word):
    got = b""
    while not got.endswith(b"\n"):
        piece = os.read(0, 64)
        if not piece:
            os._exit(0)
        got += piece
    if got.strip() != word:
        os._exit(9)


def main():
    name, n, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    function, default_n, noted = find(name)
    n = n or default_n
    nframe = int(sys.argv[4]) if mode == "tracemalloc" else 0
    for i in range(3):
        KEEP[0] = function(64)
    # The last warm-up has the full size: arrays inside the interpreter have grown by then.
    KEEP[0] = function(n)
    KEEP[0] = None
    keep_caches = os.environ.get("TMBPF_KEEP_FREE_LISTS")
    if not keep_caches:
        gc.collect()  # a full collection empties the free lists
    text = free_list_text()
    counts = free_list_counts(text)
    ready = ("READY class=%d free=%r\n" % (size_class(text), sorted(counts.items()))).encode()
    done = b"done\n"
    del text, counts
    if not keep_caches:
        gc.collect()
    os.write(1, ready)
    wait_for(b"go")
    if nframe:
        tracemalloc.start(nframe)
    KEEP[1] = function(n)
    if nframe:
        traces = tracemalloc._get_traces()
        tracemalloc.stop()
        import json
        with open(sys.argv[5], "w") as f:
            json.dump({"traces": aggregate(traces), "notes": noted.notes(n) if noted else {}}, f)
    os.write(1, done)
    wait_for(b"quit")
    os._exit(0)


main()
