# SPDX-License-Identifier: GPL-2.0-or-later
"""Opens a pickle with the tracemalloc of the interpreter that runs this, and prints what it says, as JSON:
tracemalloc_load.py FILE [OUT]. Frames come most recent first. OUT: where it dumps the snapshot again."""
import json
import sys
import tracemalloc


def frames(traceback):
    out = [[f.filename, f.lineno] for f in traceback]
    return out if sys.version_info < (3, 7) else out[::-1]


def main():
    snapshot = tracemalloc.Snapshot.load(sys.argv[1])
    if len(sys.argv) > 2:
        snapshot.dump(sys.argv[2])
    total = [getattr(t.traceback, "total_nframe", None) for t in snapshot.traces]
    only = snapshot.filter_traces([tracemalloc.DomainFilter(True, 0)])
    json.dump({
        "version": list(sys.version_info[:2]),
        "count": len(snapshot.traces),
        "size": sum(t.size for t in snapshot.traces),
        "lineno": [[s.traceback[0].filename, s.traceback[0].lineno, s.size, s.count]
                   for s in snapshot.statistics("lineno")],
        "traceback": [[frames(s.traceback), s.size, s.count] for s in snapshot.statistics("traceback")],
        "domain0": [sum(t.size for t in only.traces), len(only.traces)],
        "limit": snapshot.traceback_limit,
        "cut": sum(n is not None and n > len(t.traceback) for t, n in zip(snapshot.traces, total)),
        "comment": snapshot.tmbpf,
    }, sys.stdout)


main()
