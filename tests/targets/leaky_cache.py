# SPDX-License-Identifier: GPL-2.0-or-later
"""A small service with a leak, for the demo: it renders pages at a moderate rate and remembers too many.

The cache key contains a request number, so the cache is never hit and never shrinks. Ends by itself after
SECONDS (default 300).
"""
import sys
import time

CACHE = {}
RECENT = [None] * 50


class Page:
    __slots__ = ("key", "title", "rows")

    def __init__(self, key, title, rows):
        self.key = key
        self.title = title
        self.rows = rows


def render(number):
    title = "order %d" % number
    rows = [title.upper(), number * 1.25]
    return title, rows


def remember(key, title, rows):
    CACHE[key] = Page(key, title, list(rows))  # the leak: nothing ever leaves CACHE


def handle(number):
    title, rows = render(number)
    RECENT[number % len(RECENT)] = (title, rows)
    remember("/order/%d?request=%d" % (number % 100, number), title, rows)


def main():
    end = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 300)
    print("READY", flush=True)
    number = 0
    while time.monotonic() < end:
        for _ in range(10):
            handle(number)
            number += 1
        time.sleep(0.05)


main()
