# SPDX-License-Identifier: GPL-2.0-or-later
"""Line tables of the standard library and CPython's own answers for every instruction. CPython 3.6 on.

    python3 gen_linetable_vectors.py MAX_CODE_OBJECTS > vectors

Tables are co_lnotab up to 3.9, then co_linetable. Answers come from the C function PyCode_Addr2Line
(through ctypes) and are checked here against co.co_lines(), up to 3.9 against dis.findlinestarts().
Format, little endian, one record a code object:

    i32 firstlineno  u32 table bytes  u32 code units  table  i32 line[1 + code units + 1]

line[0] answers offset -2 (a frame that has not run), line[1 + i] answers offset 2 * i, the last one
the offset behind the code. -1 = no line.
"""
import array
import ctypes
import dis
import glob
import importlib.util
import marshal
import os
import random
import struct
import sys
import sysconfig
import types

# Steps of a line table before 3.11 are a byte: a jump over a million lines would be a table of its own.
FAR_LINES = [5000, 300000, 2 ** 27] if sys.version_info >= (3, 11) else [200, 5000, 30000]

addr2line = ctypes.pythonapi.PyCode_Addr2Line
addr2line.argtypes = [ctypes.py_object, ctypes.c_int]
addr2line.restype = ctypes.c_int


def made_up_sources():
    """What the library may lack: far jumps, long lines, columns past 80 and 255, deep nesting."""
    yield "x = 1\n" + "\n" * 70000 + "def f():\n    return (x,\n" + "\n" * 5000 + "  x)\n"
    yield "def f(a, b):\n    return " + "(" * 40 + "a" + "\n + b)" * 40 + "\n"
    yield "def f(a):\n    return [" + ", ".join("a.b%d(a)" % i for i in range(300)) + "]\n"
    yield "def f(a):\n    x = [\n" + "".join("        a(%d),\n" % i for i in range(300)) + "    ]\n"
    yield "def f():\n  with a as b:\n    for i in b:\n      try:\n        yield i\n" \
          "      except E as e:\n        raise F from e\n      finally:\n        del i\n"
    yield "class C:\n  def m(self):\n    x = 1\n    def g():\n      nonlocal x\n      return x\n    return g\n"
    yield "async def f():\n  async with a as b:\n    async for i in b:\n      await i\n  return [j async for j in b]\n"
    rng = random.Random(1)
    for _ in range(50):  # lines in random order: far jumps forwards and backwards
        yield made_up_jumps(rng)


def made_up_jumps(rng):
    import ast
    tree = ast.parse("\n".join("def f%d(a):\n    a.b(a, a + a)\n    return a" % i for i in range(8)))
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = rng.choice([1, 2, 30, 64] + FAR_LINES)
            node.end_lineno += rng.choice([0, 0, 1, 100])
            node.col_offset = rng.choice([0, 5, 79, 80, 127, 128, 300])
            node.end_col_offset = node.col_offset + rng.choice([0, 1, 15, 16, 200])
    return tree


def load(path):
    """The module's code: from its .pyc (fast), or compiled; the latter under no_debug_ranges too."""
    try:
        with open(importlib.util.cache_from_source(path), "rb") as f:
            if not sys._xoptions.get("no_debug_ranges"):
                return marshal.loads(f.read()[16 if sys.version_info >= (3, 7) else 12:])
    except (OSError, ValueError, EOFError):
        pass
    with open(path, "rb") as f:
        return compile(f.read(), path, "exec")


def codes(code):
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from codes(const)


def all_codes():
    for source in made_up_sources():
        yield from codes(compile(source, "made-up", "exec"))
    lib = sysconfig.get_paths()["stdlib"]
    for path in sorted(glob.glob(lib + "/*.py") + glob.glob(lib + "/[a-s]*/*.py")):
        if "/site-packages/" in path or "/test/" in path:
            continue
        try:
            yield from codes(load(path))
        except (OSError, SyntaxError, ValueError):
            continue


def check_against_co_lines(code, lines):
    for start, end, line in code.co_lines():
        for offset in range(start, end, 2):
            want = -1 if line is None else line
            assert lines[1 + offset // 2] == want, (code, offset, want)


def check_against_line_starts(code, lines):
    starts = dict(dis.findlinestarts(code))
    want = code.co_firstlineno
    for offset in range(0, len(code.co_code), 2):
        want = starts.get(offset, want)
        assert lines[1 + offset // 2] == want, (code, offset, want)


def main():
    left = int(sys.argv[1])
    out = sys.stdout.buffer
    for code in all_codes():
        if left == 0:
            break
        left -= 1
        table = code.co_linetable if hasattr(code, "co_linetable") else code.co_lnotab
        units = len(code.co_code) // 2
        lines = array.array("i", (addr2line(code, 2 * i) for i in range(-1, units + 1)))
        assert lines.itemsize == 4
        if hasattr(code, "co_lines"):
            check_against_co_lines(code, lines)
        else:
            check_against_line_starts(code, lines)
        out.write(struct.pack("<iII", code.co_firstlineno, len(table), units))
        out.write(table)
        out.write(lines.tobytes())
    out.flush()


main()
