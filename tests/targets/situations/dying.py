# SPDX-License-Identifier: GPL-2.0-or-later
"""Code objects that die while their blocks live on.

    dying.py threads | interpreters | module | evals

Each is of a file of its own, /made/PART/NAME.py, and holds one block on line 2 + i % 50. "done" tells the number
of parts and of code objects in each.
"""
import gc
import os
import sys
import threading

gc.disable()
PARTS = 4
KEEP = [None] * 8

SOURCE = u'''
def made(part, first, count, keep):
    """Code that dies; the name has a character outside latin-1 in every third."""
    for i in range(first, first + count):
        name = u"/made/%d/%s%04d.py" % (part, u"\\u0436" if i % 3 == 0 else u"f", i)
        source = "\\n" * (1 + i % 50) + "keep[i] = pad * 40"
        exec(compile(source, name, "exec"), {"keep": keep, "i": i, "pad": b"x"})
'''
exec(SOURCE)


def threads(count=600):
    sys.setswitchinterval(1e-6)

    def run(part):
        KEEP[part] = [None] * count
        made(part, 0, count, KEEP[part])  # noqa: F821
    parts = [threading.Thread(target=run, args=(n,)) for n in range(PARTS)]
    for t in parts:
        t.start()
    for t in parts:
        t.join()
    return PARTS, count


def new_interpreter():
    """(id, run): its own GIL, and it lives until it is destroyed."""
    try:
        from concurrent import interpreters
        one = interpreters.create()
        return one, one.exec
    except ImportError:
        pass
    try:
        import _interpreters as low
    except ImportError:
        import _xxsubinterpreters as low
    one = low.create()
    return one, lambda text: low.run_string(one, text)


def in_interpreters(count=600):
    made_ones = [new_interpreter() for _ in range(PARTS)]
    for n, (one, run) in enumerate(made_ones):
        run(SOURCE + "\nimport builtins\nbuiltins.keep = keep = [None] * %d\n" % count)
    parts = [threading.Thread(target=run, args=(SOURCE + "\nmade(%d, 0, %d, keep)\n" % (n, count),))
             for n, (one, run) in enumerate(made_ones)]
    for t in parts:
        t.start()
    for t in parts:
        t.join()
    KEEP[0] = made_ones
    return PARTS, count


def module(count=3000):
    """A module with a function of each file, all called, and then forgotten at once."""
    import types
    one = types.ModuleType("one")
    one.keep = KEEP[0] = [None] * count
    one.pad = b"x"
    one.one = one
    for i in range(count):
        name = u"/made/0/%s%04d.py" % (u"\u0436" if i % 3 == 0 else u"f", i)
        source = "\n" * (i % 50) + "def f%d(i):\n    keep[i] = pad * 40" % i
        exec(compile(source, name, "exec"), one.__dict__)
    for i in range(count):
        getattr(one, "f%d" % i)(i)
    os.write(1, b"called\n")
    del one
    gc.collect()
    return 1, count


PAD = b"x"


def twenty(kept):
    kept[0] = PAD * 40, [
        PAD * 41, [
            PAD * 42, [
                PAD * 43]]]
    kept[1] = PAD * 40
    kept[2] = PAD * 40
    kept[3] = PAD * 40
    kept[4] = PAD * 40
    kept[5] = PAD * 40
    kept[6] = PAD * 40
    kept[7] = PAD * 40
    kept[8] = PAD * 40
    kept[9] = PAD * 40
    kept[10] = PAD * 40
    kept[11] = PAD * 40
    kept[12] = PAD * 40
    kept[13] = PAD * 40
    kept[14] = PAD * 40
    kept[15] = PAD * 40


def evals(count=16000):
    """As a program does that evaluates expressions all day: some lines that stay, and one code object that dies."""
    KEEP[0] = kept = [None] * 20
    for i in range(count):
        kept[16] = eval("pad * 40", {"pad": PAD})
        twenty(kept)
    return 1, count


def wait_for(word):
    if os.read(0, 64).strip() != word:
        os._exit(0)


work = {"threads": threads, "interpreters": in_interpreters, "module": module, "evals": evals}[sys.argv[1]]
os.write(1, b"READY\n")
wait_for(b"go")
os.write(1, ("done %d %d\n" % work()).encode())
wait_for(b"quit")
os._exit(0)
