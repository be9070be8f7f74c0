# SPDX-License-Identifier: GPL-2.0-or-later
"""2,000 code objects that live for one call each; what they allocate is kept. Most share one address."""
import gc
import sys

N = 2000
gc.disable()
keep = [None] * N
print("READY", flush=True)
for line in sys.stdin:
    if line.strip() == "quit":
        break
    for i in range(N):
        # line 1 + i % 50 of a file of its own; the name has a character outside latin-1 in every third
        name = "/generated/%s%04d.py" % ("ж" if i % 3 == 0 else "f", i)
        source = "\n" * (i % 50) + "keep[i] = [keep]"
        exec(compile(source, name, "exec"), {"keep": keep, "i": i})
    print("done", flush=True)
