# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs whose memory behaves in a known way, on a scaled clock: `programs.py MODE SECONDS`.

Prints READY, works for SECONDS after "go" and a tenth longer, so that a recording of SECONDS does not see
the end. Work is paced by a tick and not by the CPU, so that a slow machine sees the same program. The line that a verdict is asked for carries
the mark `# judge MODE`; what the right verdicts are stands in LABELS.
"""
import collections
import mmap
import random
import sys
import threading
import time

TICK = 0.02
HELD = []

# mode -> verdicts that are right for the marked line
LABELS = {
    "leak": {"LEAK"},
    "slow_leak": {"LEAK"},
    "big_block": {"LEAK"},
    "dict": {"LEAK"},
    "late_leak": {"LEAK"},
    "objects": {"LEAK"},
    "lru": {"PLATEAU"},
    "stopped_leak": {"PLATEAU"},
    "thread_caches": {"PLATEAU"},
    "warm_up": {"WARM-UP"},
    "idle": {"WARM-UP", "PLATEAU", "CHURN", None},
    "batch": {"CHURN"},
    "ttl": {"CHURN"},
    "queue": {"CHURN"},
    "requests": {"CHURN", "WARM-UP", "PLATEAU", None},
    "fragmentation": {"CHURN", "PLATEAU", None},  # what it keeps is little; where windows are few, it looks at rest
    "untraced": {"CHURN", "WARM-UP", "PLATEAU", None},
}
# these must say that RSS grows by more than what is traced
UNEXPLAINED = {"fragmentation", "untraced"}


class Clock:
    """Ticks until a tenth after the time; `at` is the share of it that has gone."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.start = time.monotonic()
        self.at = 0.0

    def ticks(self):
        number = 0
        while self.at < 1.1:
            yield number
            number += 1
            wake = self.start + number * TICK
            time.sleep(max(0.0, wake - time.monotonic()))
            self.at = (time.monotonic() - self.start) / self.seconds


def leak(clock):
    for _ in clock.ticks():
        HELD.append(bytearray(3000))  # judge leak


class Session:
    def __init__(self, number):
        self.number = number


def objects(clock):
    for n in clock.ticks():
        for k in range(3):
            HELD.append(Session(n * 1000 + k))  # judge objects


def slow_leak(clock):
    rng = random.Random(1)
    flying = collections.deque()
    for n in clock.ticks():
        flying.append(bytearray(rng.randrange(20000, 60000)))  # judge slow_leak
        while len(flying) > rng.randrange(8, 25):
            gone = flying.popleft()
            if rng.random() < 0.05:
                HELD.append(gone)  # one request in twenty is never let go


def big_block(clock):
    hours = 0
    for _ in clock.ticks():
        if clock.at * 10 >= hours + 0.5:  # ten "hours"
            HELD.append(bytearray(1 << 20))  # judge big_block
            hours += 1


def dict_growth(clock):
    table = {}
    HELD.append(table)
    for n in clock.ticks():
        for k in range(4):
            table["key %d %d" % (n, k)] = "value of the request %d" % n  # judge dict


def late_leak(clock):
    for _ in clock.ticks():
        if clock.at > 0.4:
            HELD.append(bytearray(5000))  # judge late_leak


def stopped_leak(clock):
    for _ in clock.ticks():
        if clock.at < 0.45:
            HELD.append(bytearray(5000))  # judge stopped_leak


def lru(clock):
    rng = random.Random(2)
    cache = collections.OrderedDict()
    capacity = int(clock.seconds / TICK * 0.35)
    for n in clock.ticks():
        cache[n] = bytearray(rng.randrange(2500, 3500))  # judge lru
        if len(cache) > capacity:
            cache.popitem(last=False)


def thread_caches(clock):
    local = threading.local()

    def work(start):
        while clock.at < start:
            time.sleep(TICK)
        local.cache = []
        for _ in range(60):
            local.cache.append(bytearray(4000))  # judge thread_caches
            time.sleep(TICK)
        while clock.at < 1.1:
            time.sleep(TICK)

    threads = [threading.Thread(target=work, args=(k * 0.08,)) for k in range(6)]
    for t in threads:
        t.start()
    for _ in clock.ticks():
        pass
    for t in threads:
        t.join()


def warm_up(clock):
    for n in clock.ticks():
        if n < 20:
            HELD.append(bytearray(50000))  # judge warm_up


def idle(clock):
    for n in clock.ticks():
        if n % 10 == 0:
            str(n) + "!"  # judge idle


def batch(clock):
    work = []
    period = int(4 / TICK)
    for n in clock.ticks():
        phase = n % period
        if phase == 0:
            work.clear()
        elif phase < period // 2:
            work.append(bytearray(4000))  # judge batch


def ttl(clock):
    cache = {}
    purge = int(3 / TICK)
    for n in clock.ticks():
        cache[n] = bytearray(4000)  # judge ttl
        if n % purge == 0:
            cache.clear()


def bounded_queue(clock):
    rng = random.Random(3)
    queue = collections.deque(maxlen=200)
    for _ in clock.ticks():
        for _ in range(rng.randrange(0, 40)):
            queue.append(bytearray(4000))  # judge queue
        for _ in range(rng.randrange(0, 40)):
            if queue:
                queue.popleft()


def requests(clock):
    for n in clock.ticks():
        rows = [bytes(500 + (n + k) % 100) for k in range(20)]  # judge requests
        b"".join(rows)


def fragmentation(clock):
    """In each round another size class fills pools of its own; one object a pool stays and keeps it."""
    sizes = list(range(512, 32, -16))
    rounds = 0
    for _ in clock.ticks():
        if clock.at * len(sizes) >= rounds and rounds < len(sizes):
            length = sizes[rounds] - 33  # what a bytes object has besides its bytes
            blocks = []
            for _ in range(60):
                HELD.append(b"x" * length)
                for _ in range(16384 // sizes[rounds] - 1):
                    blocks.append(b"x" * length)  # judge fragmentation
            del blocks
            rounds += 1


def untraced(clock):
    """Memory that tmbpf does not see: mapped by the program itself, touched bit by bit."""
    area = mmap.mmap(-1, 64 << 20)
    step = (64 << 20) // int(clock.seconds / TICK + 1) // 4096 * 4096
    for n in clock.ticks():
        for page in range(n * step, min((n + 1) * step, len(area) - 4096), 4096):
            area[page] = 1  # judge untraced
    HELD.append(area)


MODES = {
    "leak": leak, "objects": objects, "slow_leak": slow_leak, "big_block": big_block, "dict": dict_growth,
    "late_leak": late_leak, "stopped_leak": stopped_leak, "lru": lru, "thread_caches": thread_caches,
    "warm_up": warm_up, "idle": idle, "batch": batch, "ttl": ttl, "queue": bounded_queue,
    "requests": requests, "fragmentation": fragmentation, "untraced": untraced,
}


def main():
    mode, seconds = sys.argv[1], float(sys.argv[2])
    print("READY", flush=True)
    sys.stdin.readline()
    MODES[mode](Clock(seconds))


if __name__ == "__main__":
    main()
