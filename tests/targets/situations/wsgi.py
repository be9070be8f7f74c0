# SPDX-License-Identifier: GPL-2.0-or-later
"""An application for a WSGI server. Every request but /threads leaves what the marked lines say, for ever."""
import threading

KEEP = [None] * 4096
PAD = b"x"
THREADS = set()


def leak():
    i = KEEP.index(None)
    KEEP[i] = (PAD * 600)  # 1 blocks of 633 bytes
    KEEP[i + 1] = (PAD * 40)  # 1 blocks of 80 bytes


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/threads":
        return [b"%d" % len(THREADS)]
    leak()
    THREADS.add(threading.get_ident())
    return [b"ok"]
