# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets the hooks of alloc_hooks.c, then runs a script: hooked.py LIBRARY KIND SCRIPT [ARGS...]"""
import ctypes
import sys

KINDS = ["entry", "inside", "shared", "nothing"]

ctypes.PyDLL(sys.argv[1]).install(KINDS.index(sys.argv[2]))
del sys.argv[:3]
__file__ = sys.argv[0]
with open(__file__) as f:
    code = compile(f.read(), __file__, "exec")
exec(code)
