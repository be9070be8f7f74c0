# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of process, files and functions that hold what steers a terminal. A leak that goes on until killed."""
import ctypes
import time

EVIL = "a\x1b]0;t\x07\u009b2J\x7f\u202e\u2066\u200f\u061c\nb\r"
ctypes.CDLL(None).prctl(15, "c\x1b\n\u009b\u202e".encode(), 0, 0, 0)
kept = []
names = {"kept": kept}
exec(compile("def f(n):\n    kept.append([bytes(600), bytearray(n), object()])\n", "/tmp/" + EVIL + ".py", "exec"), names)
leak = names["f"]
leak.__code__ = leak.__code__.replace(co_name="f" + EVIL)
if hasattr(leak.__code__, "co_qualname"):
    leak.__code__ = leak.__code__.replace(co_qualname="q" + EVIL)


def here():
    kept.append(bytes(900))


print("READY", flush=True)
while True:
    for _ in range(20):
        leak(700)
        here()
    time.sleep(0.02)
