# SPDX-License-Identifier: GPL-2.0-or-later
"""Five million live small blocks: the tool's own memory and the time of a drain. TMBPF_FULL=1 only."""
import os
import time

import pytest

import harness

BLOCKS = int(os.environ.get("TMBPF_SCALE_BLOCKS", "5000000"))

pytestmark = pytest.mark.skipif(not harness.FULL, reason="TMBPF_FULL=1 runs it (minutes, 1 GiB)")


@pytest.mark.quick_set
@pytest.mark.timeout(900)
def test_memory_per_block_and_drain_time(interpreter, program, tool, target_script, show):
    p = program(interpreter, target_script("scale.py"), BLOCKS)
    t = tool("-p", p.pid, "--mode", "exact", "-T", 3, 2)
    t.hello()
    t.interval()
    t.interval()
    rss0 = harness.status_kib(t.pid, "VmRSS") * 1024
    maps0 = t.map_memory()
    p.go(600)
    # wait for an interval that has seen everything, then take two more
    while t.interval(120)["live_blocks"] < BLOCKS:
        pass
    # an interval is 2 s; what is above it is the drain
    arrivals = []
    for _ in range(4):
        interval = t.interval(120)
        arrivals.append((time.monotonic(), interval))
    rss = harness.status_kib(t.pid, "VmRSS") * 1024
    peak = harness.status_kib(t.pid, "VmHWM") * 1024
    maps = t.map_memory()
    drains = [i["drain_s"] for _, i in arrivals if "drain_s" in i]
    gaps = [b[0] - a[0] for a, b in zip(arrivals, arrivals[1:])]
    drain = max(drains) if drains else max(gaps) - 2.0
    blocks = arrivals[-1][1]["live_blocks"]
    per_block = (rss - rss0 + maps - maps0) / blocks
    show("scale, %s" % interpreter.label, harness.table(
        [[blocks, rss0 >> 20, rss >> 20, peak >> 20, maps0 >> 20, maps >> 20, "%.2f" % per_block,
          "%.2f" % drain, "drain_s" if drains else "gap - interval"]],
        ["live blocks", "RSS before MiB", "RSS MiB", "peak MiB", "maps before MiB", "maps MiB", "bytes/block",
         "drain s", "drain by"]))
    assert per_block <= 8
    assert drain < 2
    assert harness.lost(arrivals[-1][1]) == {}
    assert harness.coverage(arrivals[-1][1])[0] >= 0.999
    t.stop(timeout=120)
    assert p.alive()
