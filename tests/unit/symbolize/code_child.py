# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes code objects of every kind, tells what they hold, and waits until stdin ends.

One line an object, fields separated by blanks:
  code address, firstlineno, first traceable unit, file name, qualified name (both hex of UTF-8),
  bytecode as it stands in memory (hex), lines of the offsets -2, 0, 2, ... (commas; 0 = none)
The first line is "type" and the address of the code type; the last one is "end".
"""
import ctypes
import opcode
import sys
import types

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
    yield code.replace(co_filename="/a\0b.py")
    yield code.replace(co_filename=Str("/srv/subclass.py"), co_qualname=Str("sub.\u65e5"))
    yield compile("\n" * 100 + "f(\n" + "a.b,\n" * 4000 + ")", "big-table.py", "exec")


def first_traceable(code):
    resume = opcode.opmap["RESUME"]
    units = code.co_code[::2]
    return units.index(resume) if resume in units else len(units)


def text(s):
    return (s.encode("utf-8", "backslashreplace").replace(b"\0", rb"\x00")).hex() or "-"


def main():
    keep = list(made())
    sys.stdout.write("type %x\n" % id(types.CodeType))
    for code in keep:
        lines = (addr2line(code, 2 * i) for i in range(-1, len(code.co_code) // 2 + 1))
        sys.stdout.write("%x %d %d %s %s %s %s\n" % (
            id(code), code.co_firstlineno, first_traceable(code), text(code.co_filename),
            text(code.co_qualname), code._co_code_adaptive.hex(),
            ",".join(str(max(line, 0)) for line in lines)))
    sys.stdout.write("end\n")
    sys.stdout.flush()
    sys.stdin.read()


main()
