# SPDX-License-Identifier: GPL-2.0-or-later
"""Every workload one after the other, all results kept: what coverage is measured on."""
import gc
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import workloads  # noqa: E402

KEEP = [None] * len(workloads.WORKLOADS)


def main():
    for function, n in workloads.WORKLOADS.values():
        function(64)
    gc.collect()  # garbage of the start would be taken off what the interpreter counts
    print("READY", flush=True)
    if sys.stdin.readline().strip() != "go":
        return
    before = sys.getallocatedblocks()
    for slot, (function, n) in enumerate(workloads.WORKLOADS.values()):
        KEEP[slot] = function(n)
    print("done", sys.getallocatedblocks() - before, flush=True)
    sys.stdin.readline()


main()
