# SPDX-License-Identifier: GPL-2.0-or-later
"""What tmbpf costs its target, against tracemalloc: one interleaved run, same interpreter, same program.

Thread CPU time of the target per item. tracemalloc has processes of its own: in a probed process it would
replace the allocator table and take the inlined copies out of use. Each round runs every configuration
once, in rotating order; medians over the rounds.
"""
import argparse
import os
import platform
import signal
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402

DEPTHS = (3, 20)
CONFIGS = ["none", "tracemalloc(1)", "tracemalloc(25)", "tmbpf exact", "tmbpf pools"]


def cpu_model():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


class Bench:
    def __init__(self, interpreter, items, extra, others):
        script = os.path.join(harness.TARGETS, "bench_target.py")
        self.items = items
        self.plain = harness.Program([interpreter.path, script, "0"])
        self.tm1 = harness.Program([interpreter.path, script, "1"])
        self.tm25 = harness.Program([interpreter.path, script, "25"])
        self.extra = extra
        self.others = others  # configuration -> another build of tmbpf
        self.events = {}

    def close(self):
        for p in (self.plain, self.tm1, self.tm25):
            p.close()

    def loop(self, p, depth):
        p.say("%d %d" % (depth, self.items))
        return int(p.expect("ns", 300)) / self.items

    def probed(self, depth, config, args):
        binary = self.others.get(config, harness.BINARY)
        with harness.Tool("-p", self.plain.pid, "--frames", 25, *args, 600, binary=binary) as t:
            t.hello()
            self.loop(self.plain, depth)  # new stacks are interned, sites are learned
            ns = self.loop(self.plain, depth)
            interval, _, end = t.stop(signal.SIGINT)
            if end is None or t.proc.returncode != 0:
                raise RuntimeError("tmbpf failed: %s" % t.stderr())
            if interval and "events" in interval:
                self.events.setdefault((config, depth), []).append(interval["events"] / (2 * self.items))
            if interval and harness.lost(interval):
                print("  lost in %s: %s" % (config, harness.lost(interval)), flush=True)
            return ns

    def learn(self, seconds=5):
        """Which new-reference sites matter is learned once and cached; do that first, with each build."""
        for binary in {harness.BINARY, *self.others.values()}:
            with harness.Tool("-p", self.plain.pid, "--mode", "exact", 600, binary=binary) as t:
                t.hello()
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    for depth in DEPTHS:
                        self.loop(self.plain, depth)
                t.stop(signal.SIGINT)

    def run(self, config, depth):
        if config == "none":
            return self.loop(self.plain, depth)
        if config == "tracemalloc(1)":
            return self.loop(self.tm1, depth)
        if config == "tracemalloc(25)":
            return self.loop(self.tm25, depth)
        if config == "tmbpf exact" or config in self.others:
            return self.probed(depth, config, ["--mode", "exact"])
        if config == "tmbpf pools":
            return self.probed(depth, config, ["--mode", "pools"])
        return self.probed(depth, config, self.extra[config])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--python", default="/usr/bin/python3", help="interpreter of the target")
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--items", type=int, default=20000, help="items per measurement")
    p.add_argument("--row", action="append", default=[], metavar="NAME=OPTIONS",
                   help='another configuration of tmbpf, e.g. --row "empty=--mode exact --empty"')
    p.add_argument("--against", action="append", default=[], metavar="NAME=BINARY",
                   help="another build of tmbpf in exact mode, in the same run")
    args = p.parse_args()
    interpreter = harness.probe_interpreter("target", args.python)
    if interpreter is None:
        sys.exit("bench: %s does not run" % args.python)
    extra = {"tmbpf " + r.split("=", 1)[0]: r.split("=", 1)[1].split() for r in args.row}
    others = {"exact, " + a.split("=", 1)[0]: a.split("=", 1)[1] for a in args.against}
    configs = CONFIGS + list(others) + list(extra)
    print("machine: Linux %s, %s, %d CPUs" % (platform.release(), cpu_model(), os.cpu_count()))
    print("target:  %s (%s), %d rounds of %d items, 25 frames, thread CPU time, medians" %
          (args.python, interpreter.version, args.rounds, args.items), flush=True)
    bench = Bench(interpreter, args.items, extra, others)
    results = {(c, d): [] for c in configs for d in DEPTHS}
    started = time.monotonic()
    try:
        bench.learn()
        for r in range(args.rounds):
            for depth in DEPTHS:
                for k in range(len(configs)):
                    config = configs[(k + r) % len(configs)]
                    results[config, depth].append(bench.run(config, depth))
    finally:
        bench.close()
    for depth in DEPTHS:
        none = statistics.median(results["none", depth])
        tm25 = statistics.median(results["tracemalloc(25)", depth])
        rows = []
        for config in configs:
            values = sorted(results[config, depth])
            median = statistics.median(values)
            events = bench.events.get((config, depth))
            rows.append([config, "%.0f" % median, "%.0f" % values[0], "%.0f" % values[-1],
                         "%.2f" % (median / tm25), "%.2f" % (median / none),
                         "%.2f" % statistics.median(events) if events else "-"])
        print("\ncall depth %d" % depth)
        print(harness.table(rows, ["configuration", "ns/item", "min", "max", "x tracemalloc(25)", "x none",
                                   "traps/item"]), end="")
    print("\n%.0f s" % (time.monotonic() - started))


main()
