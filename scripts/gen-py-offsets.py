#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of user/target/py_offsets_rows.h from CPython's own headers.

gen-py-offsets.py --write     compile offsetof() against every version's headers and write the rows
gen-py-offsets.py             the same for the versions whose headers are on this machine, compared with the rows
gen-py-offsets.py --self-test the comparison refuses a wrong row

Headers: pyenv's 3.6 to 3.13 (include/ of each version below `pyenv root`), Debian's for 3.14 and 3.15
(scripts/interpreters headers). A free-threaded row comes from the same headers with Py_GIL_DISABLED.
What no header holds (POOL_SIZE before 3.12, the facts of FACTS) stands here, with its source.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROWS = os.path.join(ROOT, "user/target/py_offsets_rows.h")
CACHE = os.environ.get("TMBPF_INTERPRETERS") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tmbpf/interpreters")
NONE = "PY_NONE"
VERSIONS = [(minor, False) for minor in range(6, 14)] + [(13, True), (14, False), (14, True), (15, False)]

# Facts that are no layout, by first version in which they hold: (since, value, source).
FACTS = {
    "frame_objects": [(6, "true", "PyFrameObject is the running frame"),
                      (11, "false", "_PyInterpreterFrame, Include/internal/pycore_frame.h")],
    "lasti_bytes": [(6, 1, "f_lasti counts bytes"), (10, 2, "f_lasti counts code units, bpo-27129"),
                    (11, 0, "no f_lasti: a pointer into the bytecode")],
    "lines": [(6, "PY_LINES_LNOTAB", "Objects/lnotab_notes.txt"), (10, "PY_LINES_LINETABLE", "PEP 626"),
              (11, "PY_LINES_LOCATIONS", "Objects/locations.md, Objects/codeobject.c")],
    "frame_code_mask": [(6, 0, "a plain pointer"), (14, 3, "tag bits of a _PyStackRef, pycore_stackref.h")],
    "align_by_patch": [(6, "true", "ALIGNMENT of Objects/obmalloc.c: 8, and 16 in later patch releases"),
                       (8, "false", "16, Objects/obmalloc.c")],
    "inline_pool_init": [(6, "true", "pymalloc_alloc() of Objects/obmalloc.c sets up pools itself"),
                         (9, "false", "allocate_from_new_pool() does")],
    "trace_word": [(6, "PY_TRACE_NONE", "_Py_NewReference() does not read a word of tracemalloc"),
                   (8, "PY_TRACE_CONFIG", "_Py_tracemalloc_config.tracing, Objects/object.c"),
                   (12, "PY_TRACE_RUNTIME", "_PyRuntime.tracemalloc.config.tracing, Objects/object.c"),
                   (13, "PY_TRACE_TRACER", "_PyRuntime.ref_tracer.tracer_func, Objects/object.c")],
    "thread_slot": [(6, "PY_THREAD_KEY", "autoTLSkey, an int, Python/pystate.c"),
                    (7, "PY_THREAD_TSS", "autoTSSkey, a Py_tss_t, Python/pystate.c"),
                    (15, "PY_THREAD_TLS", "_Py_tss_tstate, a thread variable, Python/pystate.c")],
    "alloc_in_runtime": [(6, "false", "_PyMem_Raw and the like are static in Objects/obmalloc.c"),
                         (12, "true", "_PyRuntime.allocators, Include/internal/pycore_pymem.h")],
    "has_mimalloc": [(6, "false", "pymalloc or malloc"), (13, "true", "Include/internal/mimalloc, PEP 703")],
    "debug_bytes": [(6, 32, "_PyMem_DebugRawAlloc(): 4 words around a block, Objects/obmalloc.c"),
                    (8, 24, "3 words, PYMEM_DEBUG_SERIALNO is off")],
}
# Objects/obmalloc.c until 3.11, Include/internal/pycore_obmalloc.h from 3.12 on (then compiled, not taken from here).
POOLS = {"pool_bytes": [(6, 4096, "POOL_SIZE, Objects/obmalloc.c"), (10, 16384, "POOL_SIZE, Objects/obmalloc.c")],
         "pool_align_shift": [(6, 3, "ALIGNMENT_SHIFT, Objects/obmalloc.c"),
                              (8, 4, "ALIGNMENT_SHIFT, Objects/obmalloc.c")]}


def at(table, minor):
    return [row for row in table if row[0] <= minor][-1]


def layout(minor, gil_free):
    """field -> (C expression, what it is); in the order of struct py_offsets."""
    off = lambda struct, member: ("offsetof(%s, %s)" % (struct, member), "%s.%s" % (struct, member))  # noqa: E731
    old = minor < 11
    frame = "PyFrameObject" if old else "_PyInterpreterFrame"
    tlbc = gil_free and minor >= 14
    key = "gilstate.autoTSSkey" if minor < 12 else "autoTSSkey"
    table = "co_lnotab" if minor < 10 else "co_linetable"
    cframe = "CFrame" if minor == 11 else "_PyCFrame"
    return {
        "runtime_tsskey": off("_PyRuntimeState", key) if 7 <= minor < 15 else None,
        "tstate_frame": off("PyThreadState", "frame" if old else "cframe" if minor < 13 else "current_frame"),
        "cframe_frame": off("_PyCFrame", "current_frame") if minor in (11, 12) else None,
        "frame_code": off(frame, "f_code" if minor < 13 else "f_executable"),
        "frame_previous": off(frame, "f_back" if old else "previous"),
        "frame_instr": off(frame, "f_lasti" if old else "prev_instr" if minor < 13 else "instr_ptr"),
        "frame_owner": off(frame, "owner") if not old else None,
        "frame_bytes": ("offsetof(PyFrameObject, f_lasti) + sizeof(int)", "the end of f_lasti") if old else
                       ("offsetof(_PyInterpreterFrame, localsplus)", "localsplus: all fixed fields"),
        "frame_tlbc": off(frame, "tlbc_index") if tlbc else None,
        "code_firstlineno": off("PyCodeObject", "co_firstlineno"),
        "code_filename": off("PyCodeObject", "co_filename"),
        "code_name": off("PyCodeObject", "co_name"),
        "code_qualname": off("PyCodeObject", "co_qualname") if not old else None,
        "code_linetable": off("PyCodeObject", table),
        "code_firsttraceable": off("PyCodeObject", "_co_firsttraceable") if not old else None,
        "code_bytecode": off("PyCodeObject", "co_code_adaptive") if not old else None,
        "code_bytes": ("offsetof(PyCodeObject, %s) + sizeof(void *)" % table, "the end of the line table's pointer")
        if old else ("offsetof(PyCodeObject, co_code_adaptive)", "all fixed fields"),
        "code_tlbc": off("PyCodeObject", "co_tlbc") if tlbc else None,
        "obj_type": off("PyObject", "ob_type"),
        "bytes_size": off("PyVarObject", "ob_size"),
        "bytes_data": off("PyBytesObject", "ob_sval"),
        "str_length": off("PyASCIIObject", "length"),
        "str_state": off("PyASCIIObject", "state"),
        "str_ascii_data": ("sizeof(PyASCIIObject)", "sizeof(PyASCIIObject)"),
        "str_compact_data": ("sizeof(PyCompactUnicodeObject)", "sizeof(PyCompactUnicodeObject)"),
        "str_kind_shift": ("kind_shift()", "PyASCIIObject.state.kind"),
    }, cframe


PROGRAM = r"""
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
%(includes)s
/* The bit of the first byte of kind:3 in the bit field. */
__attribute__((unused)) static unsigned long kind_shift(void)
{
	PyASCIIObject o;
	unsigned long word = 0;

	memset(&o, 0, sizeof(o));
	o.state.kind = 1;
	memcpy(&word, &o.state, sizeof(o.state) < sizeof(word) ? sizeof(o.state) : sizeof(word));
	return (unsigned long)__builtin_ctzl(word);
}
/* The constants of py_offsets.h that are the same in all versions. */
_Static_assert(offsetof(PyTypeObject, tp_basicsize) - sizeof(PyVarObject) + 24 == 32, "PY_TYPE_BASICSIZE");
_Static_assert(offsetof(PyTypeObject, tp_dealloc) - sizeof(PyVarObject) + 24 == 48, "PY_TYPE_DEALLOC");
_Static_assert(offsetof(PyTypeObject, tp_members) - sizeof(PyVarObject) + 24 == 240, "PY_TYPE_MEMBERS");
int main(void)
{
%(prints)s
	return 0;
}
"""


def include_flags(minor):
    """-I flags for the headers of 3.minor and where they come from; None when they are not here."""
    if minor >= 14:
        base = os.path.join(CACHE, "headers", "libpython3.%d-dev" % minor)
        version = os.path.join(base, ".version")
        if not os.path.exists(version):
            return None
        with open(version, encoding="utf-8") as f:
            name = "libpython3.%d-dev %s" % (minor, f.read().strip())
        top = os.path.join(base, "usr/include")
        return ["-I" + top, "-I%s/python3.%d" % (top, minor), "-I%s/python3.%d/internal" % (top, minor)], name
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    found = sorted(glob.glob(os.path.join(root, "versions", "3.%d.*" % minor, "include", "python3.%d*" % minor)))
    if not found:
        return None
    version = found[0].split(os.sep)[-3]
    return ["-I" + found[0], "-I" + os.path.join(found[0], "internal")], "CPython %s, make install" % version


def includes(minor):
    names = ["frameobject.h"]
    if minor == 7:
        names += ["internal/pystate.h"]
    if minor >= 8:
        names += ["internal/pycore_pystate.h"]
    if minor >= 9:
        names += ["internal/pycore_runtime.h"]
    if minor >= 11:
        names += ["internal/pycore_frame.h", "internal/pycore_code.h"]
    if minor >= 12:
        names += ["internal/pycore_obmalloc.h"]
    if minor >= 14:
        names += ["internal/pycore_interpframe_structs.h", "internal/pycore_interpframe.h"]
    return "".join('#include "%s"\n' % n for n in names)


def measure(minor, gil_free):
    """field -> value, by compiling and running; None without headers."""
    headers = include_flags(minor)
    if not headers:
        return None
    fields, _ = layout(minor, gil_free)
    wanted = {name: field[0] for name, field in fields.items() if field}
    if minor >= 12:
        wanted["pool_bytes"] = "POOL_SIZE"
        wanted["pool_align_shift"] = "ALIGNMENT_SHIFT"
    prints = "".join('\tprintf("%s %%lu\\n", (unsigned long)(%s));\n' % item for item in wanted.items())
    with tempfile.TemporaryDirectory() as tmp:
        source = os.path.join(tmp, "offsets.c")
        with open(source, "w", encoding="utf-8") as f:
            f.write(PROGRAM % {"includes": includes(minor), "prints": prints})
        flags = ["-DPy_GIL_DISABLED=1"] if gil_free else []
        command = ["gcc", "-std=gnu11", "-w"] + flags + headers[0] + ["-o", source[:-2], source]
        subprocess.run(command, check=True)
        text = subprocess.run([source[:-2]], check=True, capture_output=True, text=True).stdout
    values = {line.split()[0]: int(line.split()[1]) for line in text.splitlines()}
    return values, headers[1]


def debug_table():
    """Of user/target/python_layout.c: size and fields of struct _Py_DebugOffsets for 3.13, 3.14, 3.15."""
    with open(os.path.join(ROOT, "user/target/python_layout.c"), encoding="utf-8") as f:
        text = f.read()
    sizes = [int(n) for n in re.search(r"table_bytes\[TABLE_VERSIONS\] = \{([^}]*)\}", text)[1].split(",")]
    fields = re.findall(r'FIELD\(\w+, "([\w.]+)", (\d+), (\d+), (\d+)\)', text)
    return sizes, [(f[0], [int(n) for n in f[1:]]) for f in fields]


def check_debug_table(complaints):
    sizes, fields = debug_table()
    for i, minor in enumerate((13, 14, 15)):
        headers = include_flags(minor)
        if not headers:
            continue
        extra = '#include "internal/%s"\n' % ("pycore_runtime.h" if minor == 13 else "pycore_debug_offsets.h")
        lines = ['_Static_assert(sizeof(struct _Py_DebugOffsets) == %d, "size");' % sizes[i]]
        lines += ['_Static_assert(offsetof(struct _Py_DebugOffsets, %s) == %d, "%s");' % (name, values[i], name)
                  for name, values in fields if values[i]]
        source = "#define Py_BUILD_CORE 1\n#include <Python.h>\n#include <stddef.h>\n" + extra + "\n".join(lines)
        done = subprocess.run(["gcc", "-std=gnu11", "-w", "-fsyntax-only", "-x", "c"] + headers[0] + ["-"],
                              input=source + "\n", capture_output=True, text=True, check=False)
        if done.returncode:
            complaints.append("3.%d: debug_fields of python_layout.c: %s" % (minor, done.stderr.strip()[:400]))


def row_of(minor, gil_free, values):
    """(field, value, comment) in the order of the struct."""
    fields, _ = layout(minor, gil_free)
    out = [("minor", minor, None)]
    if gil_free:
        out.append(("free_threaded", "true", None))
    out += [(name,) + at(FACTS[name], minor)[1:] for name in FACTS]
    for name, field in fields.items():
        out.append((name, NONE, None) if field is None else (name, values[name], field[1]))
    for name in POOLS:
        if name in values:
            out.append((name, values[name], "Include/internal/pycore_obmalloc.h"))
        else:
            out.append((name,) + at(POOLS[name], minor)[1:])
    return out


def write():
    out = ["/* SPDX-License-Identifier: GPL-2.0-or-later */\n",
           "/* Generated by scripts/gen-py-offsets.py --write; do not edit. One row a minor version and build, x86-64. */\n",
           "/* clang-format off */\n\n"]
    for minor, gil_free in VERSIONS:
        measured = measure(minor, gil_free)
        if measured is None:
            sys.exit("gen-py-offsets: no headers of 3.%d: scripts/interpreters headers, or pyenv" % minor)
        values, source = measured
        out.append("/* 3.%d%s: headers of %s%s */\n{\n" % (minor, "t" if gil_free else "", source,
                                                          ", with -DPy_GIL_DISABLED=1" if gil_free else ""))
        for name, value, comment in row_of(minor, gil_free, values):
            out.append("\t.%s = %s,%s\n" % (name, value, "\t/* %s */" % comment if comment else ""))
        out.append("},\n")
    with open(ROWS, "w", encoding="utf-8") as f:
        f.write("".join(out))
    return 0


def read_rows(text):
    """(minor, free-threaded) -> field -> value as text."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    rows = {}
    for body in re.findall(r"\{(.*?)\}", text, flags=re.S):
        row = dict(re.findall(r"\.(\w+)\s*=\s*(\w+)\s*,", body))
        rows[int(row["minor"]), row.get("free_threaded") == "true"] = row
    return rows


def check(text, versions=None):
    """Returns: complaints, how many rows were compared, the versions without headers."""
    rows, complaints, compared, missing = read_rows(text), [], 0, []
    for minor, gil_free in versions or VERSIONS:
        name = "3.%d%s" % (minor, "t" if gil_free else "")
        measured = measure(minor, gil_free)
        if measured is None:
            missing.append(name)
            continue
        if (minor, gil_free) not in rows:
            complaints.append("%s has no row" % name)
            continue
        row = rows[minor, gil_free]
        compared += 1
        for field, value, _ in row_of(minor, gil_free, measured[0]):
            if row.get(field) != str(value):
                complaints.append("%s: %s is %s, headers of %s say %s" % (name, field, row.get(field), measured[1],
                                                                        value))
    return complaints, compared, missing


def main():
    if sys.argv[1:] == ["--write"]:
        return write()
    with open(ROWS, encoding="utf-8") as f:
        text = f.read()
    if sys.argv[1:] == ["--self-test"]:
        here = [v for v in VERSIONS if include_flags(v[0])][:1]
        if not here:
            print("gen-py-offsets: self-test: no headers on this machine")
            return 0
        wrong = re.sub(r"(\.code_name\s*=\s*)\d+", r"\g<1>7", text)
        return 0 if any("code_name is 7" in c for c in check(wrong, here)[0]) else 1
    complaints, compared, missing = check(text)
    check_debug_table(complaints)
    for line in complaints:
        print("gen-py-offsets: " + line, file=sys.stderr)
    print("gen-py-offsets: %d rows equal to the headers on this machine%s" % (
        compared - len({c.split(":")[0] for c in complaints}),
        "; no headers here of " + ", ".join(missing) if missing else ""))
    return 1 if complaints else 0


sys.exit(main())
