# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes code objects of every kind, tells what they hold, and waits until stdin ends. CPython 3.6 on.

One line an object, fields separated by blanks:
  code address, firstlineno, first traceable unit, file name, qualified name (both hex of UTF-8),
  bytecode as it stands in memory (hex), lines of the offsets -2, 0, 2, ... (commas; 0 = none)
Up to 3.10 there are no qualified names, all units can be traced, and the bytecode is an object of its own.
The first line is "type" and the address of the code type; the last one is "end".
"""
import ctypes
import dis
import opcode
import sys
import types

IN_OBJECT = sys.version_info >= (3, 11)

addr2line = ctypes.pythonapi.PyCode_Addr2Line
addr2line.argtypes = [ctypes.py_object, ctypes.c_int]
addr2line.restype = ctypes.c_int

SOURCE = '''
def plain(a):
    b = [a,
         a + 1]
    return b


def generator(a):
    yield a


def closure(a):
    def inner():
        return a
    return inner


class Outer:
    class Inner:
        def method(self):
            return [x for x in (self, 1)]


def \u00fcn\u00efc\u00f6de(): pass
def \u65e5\u672c\u8a9e(): pass
def \U00010400\U00010401(): pass
'''

FILENAMES = [
    "/srv/app/plain.py",
    "/srv/app/caf\u00e9.py",
    "/srv/app/\u65e5\u672c.py",
    "/srv/app/\U0001f40d.py",
    "/srv/app/not-utf8-\udcff\udc80.py",
    "<string>",
    "",
    "\u00ff",
    "/" + "long/" * 1600 + "x.py",
    "/" + "\U0001f40d/" * 9000 + "x.py",
]


class Str(str):
    pass


def codes(code):
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from codes(const)


def made():
    for name in FILENAMES:
        yield from codes(compile(SOURCE, name, "exec"))
    code = compile(SOURCE, "x", "exec")
    yield renamed(code, "/a\0b.py", None)
    yield renamed(code, Str("/srv/subclass.py"), Str("sub.\u65e5"))
    yield compile("\n" * 100 + "[\n" + "a.b,\n" * 9000 + "]", "big-table.py", "exec")


def renamed(code, filename, name):
    if IN_OBJECT:
        return code.replace(co_filename=filename, co_qualname=name or code.co_qualname)
    return types.CodeType(
        code.co_argcount, *([code.co_posonlyargcount] if sys.version_info >= (3, 8) else []),
        code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize, code.co_flags, code.co_code,
        code.co_consts, code.co_names, code.co_varnames, filename, name or code.co_name,
        code.co_firstlineno, code.co_linetable if hasattr(code, "co_linetable") else code.co_lnotab,
        code.co_freevars, code.co_cellvars)


def first_traceable(code):
    if not IN_OBJECT:
        return 0
    resume = opcode.opmap["RESUME"]
    units = code.co_code[::2]
    return units.index(resume) if resume in units else len(units)


def lines_of(code):
    """Of the offsets -2, 0, 2, ... up to the one behind the code."""
    if len(code.co_code) < 4000:
        return [addr2line(code, 2 * i) for i in range(-1, len(code.co_code) // 2 + 1)]
    if hasattr(code, "co_lines"):  # addr2line reads the table from its start every time
        starts = [(start, line or 0) for start, _, line in code.co_lines()]
    else:
        starts = list(dis.findlinestarts(code))
    lines, line = [code.co_firstlineno], 0
    starts.reverse()
    for offset in range(0, len(code.co_code), 2):
        while starts and starts[-1][0] <= offset:
            line = starts.pop()[1]
        lines.append(line)
    return lines + [addr2line(code, len(code.co_code))]


def text(s):
    return (s.encode("utf-8", "backslashreplace").replace(b"\0", rb"\x00")).hex() or "-"


def main():
    keep = list(made())
    sys.stdout.write("type %x\n" % id(types.CodeType))
    for code in keep:
        lines = lines_of(code)
        sys.stdout.write("%x %d %d %s %s %s %s\n" % (
            id(code), code.co_firstlineno, first_traceable(code), text(code.co_filename),
            text(code.co_qualname if IN_OBJECT else code.co_name),
            (code._co_code_adaptive if IN_OBJECT else code.co_code).hex(),
            ",".join(str(max(line, 0)) for line in lines)))
    sys.stdout.write("end\n")
    sys.stdout.flush()
    sys.stdin.read()


main()
