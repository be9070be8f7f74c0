# SPDX-License-Identifier: GPL-2.0-or-later
"""COUNT functions, each with its own code object, that share one line table of 15 MiB. After "go" each allocates."""
import sys

keep = []
functions = []
table = None
for i in range(int(sys.argv[1])):
    names = {"keep": keep}
    exec(compile("def f():\n    keep.append(bytes(700))\n", "shared.py", "exec"), names)
    code = names["f"].__code__
    table = table or code.co_linetable + b"\x80" + b"\x00" * (15 << 20)
    names["f"].__code__ = code.replace(co_name="n%d" % i, co_linetable=table)
    functions.append(names["f"])
print("READY", flush=True)
for line in sys.stdin:
    if line.strip() != "go":
        break
    for f in functions:
        f()
    print("done", flush=True)
