# SPDX-License-Identifier: GPL-2.0-or-later
"""Four busy threads that allocate all the time and compute a checksum that depends on every step.

Each thread does ROUNDS rounds (argument; 0 = until "stop" on stdin). A round's result is a pure function
of (thread, round), so the checksum printed for R rounds is the same in every run: "done ROUNDS CHECKSUM".
"""
import hashlib
import json
import sys
import threading

THREADS = 4
stop = threading.Event()


def one_round(slot, number):
    """Allocates small objects, big blocks, dicts, strings; returns a number that depends on all of them."""
    rows = []
    for i in range(60):
        rows.append({"id": i * number, "name": "row-%d-%d" % (slot, i), "value": i * 0.5 + number})
    text = json.dumps(rows)
    back = json.loads(text)
    block = bytearray(700 + number % 300)
    for i, row in enumerate(back):
        block[(i * 7) % len(block)] = row["id"] & 0xff
    numbers = sorted((r["value"], r["name"]) for r in back)
    digest = hashlib.sha1(bytes(block))
    digest.update(repr(numbers).encode())
    digest.update(text.encode())
    return int.from_bytes(digest.digest()[:8], "big")


def run(slot, rounds, sums, counts):
    total = 0
    number = 0
    while (number < rounds) if rounds else not stop.is_set():
        total = (total * 31 + one_round(slot, number)) & 0xffffffffffffffff
        number += 1
    sums[slot] = total
    counts[slot] = number


def reference(slot, rounds):
    total = 0
    for number in range(rounds):
        total = (total * 31 + one_round(slot, number)) & 0xffffffffffffffff
    return total


def main():
    if sys.argv[1] == "check":  # check COUNT...: what the checksums should have been
        counts = [int(c) for c in sys.argv[2:]]
        print("done", *counts, *[reference(s, c) for s, c in enumerate(counts)], flush=True)
        return
    rounds = int(sys.argv[1])
    sums = [0] * THREADS
    counts = [0] * THREADS
    threads = [threading.Thread(target=run, args=(s, rounds, sums, counts)) for s in range(THREADS)]
    for t in threads:
        t.start()
    print("READY", flush=True)
    if not rounds:
        sys.stdin.readline()
        stop.set()
    for t in threads:
        t.join()
    print("done", *counts, *sums, flush=True)


main()
