# SPDX-License-Identifier: GPL-2.0-or-later
"""family.so in a Python process: each of its functions is called from a line of its own."""
import ctypes
import random
import sys
import threading

STEPS = 1500
lib = ctypes.CDLL(sys.argv[1])
lib.family_name.restype = ctypes.c_char_p
lib.family_held.restype = ctypes.c_size_t
NAMES = []
while lib.family_name(len(NAMES)):
    NAMES.append(lib.family_name(len(NAMES)).decode())
# one compiled line a function: line N of the file "family" belongs to function N - 1
scope = {"lib": lib}
exec(compile("\n".join("def f%d(t): lib.family_step(t, %d)" % (i, i) for i in range(len(NAMES))),
             "family", "exec"), scope)
CALLS = [scope["f%d" % i] for i in range(len(NAMES))]


def work(t):
    r = random.Random(t)
    for i in range(STEPS):
        r.choice(CALLS)(t)


print("READY", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=work, args=(t,)) for t in range(3)]
for t in threads:
    t.start()
for t in threads:
    t.join()
size = ctypes.c_size_t()
for i, name in enumerate(NAMES):
    blocks = lib.family_held(i, ctypes.byref(size))
    if blocks:
        print("ledger %d %d %d" % (i + 1, blocks, size.value), flush=True)
print("done", flush=True)
sys.stdin.readline()
