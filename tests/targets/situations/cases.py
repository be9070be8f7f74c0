# SPDX-License-Identifier: GPL-2.0-or-later
"""Situations a Python program gets into. Each function works, and returns what it keeps.

Lines that end in "# exact" make blocks in which free lists of objects have no part: there tmbpf must say exactly
what tracemalloc says, stack by stack. Lines that end in "# native" take memory from libc behind Python's back:
tracemalloc does not see it. Lines that end in "# raw" take large blocks by PyMem_RawMalloc() beside small objects;
"+ 6 of 64144" is what libbz2 takes from libc there itself.
"""
import asyncio
import bz2
import ctypes
import hashlib
import lzma
import sys
import threading
import zlib

PAD = b"x"
N = 400


class Slots(object):
    __slots__ = ("a", "b", "c")


def hold(kept, i):
    """Three blocks: two small ones and one from malloc."""
    kept[i] = PAD * 40  # exact
    kept[i + 1] = Slots()  # exact
    kept[i + 2] = PAD * 600  # exact


def room(count=N):
    return [None] * (3 * count)


# ---- threads that allocate without the GIL ----

RAW = bytes(bytearray((i * 7919 >> 3) & 255 for i in range(120000)))
XZ, BZ2, ZLIB = lzma.compress(RAW, preset=1), bz2.compress(RAW, 1), zlib.compress(RAW)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]


def lzma_thread(kept):
    for i in range(4):
        kept[i] = lzma.LZMACompressor(preset=1)  # raw
        kept[i + 4] = kept[i].compress(RAW)  # raw
        kept[i + 8] = lzma.LZMADecompressor()  # raw
        kept[i + 8].decompress(XZ[:3000])  # raw


def bz2_thread(kept):
    for i in range(6):
        kept[i] = bz2.BZ2Compressor(1)  # raw
        kept[i].compress(RAW)  # raw
        kept[i + 8] = bz2.BZ2Decompressor()  # raw + 6 of 64144
        kept[i + 8].decompress(BZ2[:3000])  # raw + 6 of 400000


def zlib_thread(kept):
    for i in range(8):
        kept[i] = zlib.compressobj()  # raw
        kept[i].compress(RAW)  # raw
        kept[i + 8] = zlib.decompressobj()  # raw
        kept[i + 8].decompress(ZLIB[:3000])  # raw
        kept[i + 16] = hashlib.sha256(RAW).digest()  # raw


def malloc_thread(kept):
    for i in range(50):
        kept[i] = libc.malloc(5000)  # native


def busy_thread(kept):
    """Holds the GIL whenever another thread lets go of it."""
    for n in range(30):
        for i in range(100):
            kept[i] = PAD * 40  # exact
        for i in range(3000):
            i * i


def run_threads(functions):
    slots = [[None] * 128 for _ in functions]
    threads = [threading.Thread(target=f, args=(kept,)) for f, kept in zip(functions, slots)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return slots


def without_the_gil():
    return run_threads([lzma_thread, bz2_thread, zlib_thread, malloc_thread, busy_thread])


# ---- generators and coroutines ----

def producer(kept, count):
    for i in range(count):
        hold(kept, 3 * i)
        yield i


def delegating(kept, count):
    yield from producer(kept, count)


def generators():
    kept = [room(), room(), room()]
    for _ in producer(kept[0], N):
        pass
    list(delegating(kept[1], N))
    sum(1 for _ in (hold(kept[2], 3 * i) for i in range(N)))
    return kept


class Later:
    def __await__(self):
        yield


async def leaf(kept, i):
    await Later()
    hold(kept, 3 * i)


async def coroutine(kept, count):
    for i in range(count):
        await leaf(kept, i)


async def async_producer(kept, count):
    for i in range(count):
        await Later()
        hold(kept, 3 * i)
        yield i


async def consumer(kept, count):
    async for _ in async_producer(kept, count):
        pass
    return [i async for i in async_producer(kept, 2)]


def drive(coro):
    try:
        while True:
            coro.send(None)
    except StopIteration:
        pass


def coroutines():
    """By hand, two of them in turn: no loop of asyncio."""
    kept = [room() for _ in range(4)]
    drive(coroutine(kept[0], N))
    drive(consumer(kept[1], N))
    pair = [coroutine(kept[2], N), coroutine(kept[3], N)]
    for _ in range(N):
        for c in pair:
            c.send(None)
    for c in pair:
        c.close()
    return kept


def context_variables():
    import contextvars
    var = contextvars.ContextVar("var")
    kept = room()

    def work(i):
        var.set(i)
        hold(kept, 3 * i)
    contexts = []
    for i in range(N):
        context = contextvars.copy_context()
        context.run(work, i)
        contexts.append(context)
    return kept, contexts


# ---- loops ----

async def worker(kept, first, count, event):
    for i in range(first, first + count):
        await asyncio.sleep(0)
        hold(kept, 3 * i)
        if i == first + count // 2:
            await event.wait()


async def workers(kept):
    event = asyncio.Event()
    tasks = [asyncio.ensure_future(worker(kept, k * N // 8, N // 8, event)) for k in range(8)]
    await asyncio.sleep(0.01)
    event.set()
    await asyncio.gather(*tasks)


def run_loop(loop):
    kept = room()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(workers(kept))
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    return kept


def asyncio_loop():
    return run_loop(asyncio.new_event_loop())


def uvloop_loop():
    import uvloop
    return run_loop(uvloop.new_event_loop())


def greenlets():
    """Eight stacks that take turns, each some calls deep."""
    import greenlet
    kept = room()
    main = greenlet.getcurrent()

    def turn(k, i, depth):
        if depth:
            return turn(k, i, depth - 1)
        main.switch()
        hold(kept, 3 * (k * N // 8 + i))

    def body(k):
        for i in range(N // 8):
            turn(k, i, k)
    stacks = [greenlet.greenlet(body) for _ in range(8)]
    for k, g in enumerate(stacks):
        g.switch(k)
    while not all(g.dead for g in stacks):
        for g in stacks:
            g.switch()
    return kept


# ---- tracers ----

def watched(kept):
    for i in range(100):
        hold(kept, 3 * i)
        kept[3 * i] = [PAD *
                       40][
                           0]
    jumped(kept, 300)


def jumped(kept, i):
    x = 0
    x = 1 / x  # a tracer that can jump leaves this out
    kept[i] = PAD * 40  # exact
    return x


def trace_with(install, tracer):
    kept = room(N)
    seen = []
    install(tracer(seen))
    try:
        watched(kept)
    except ZeroDivisionError:
        kept[300] = PAD * 40  # exact
    finally:
        install(None)
    return kept, seen


def plain_tracer(seen):
    def trace(frame, event, arg):
        seen.append(PAD * 40)  # exact
        return trace
    return trace


def jumping_tracer(seen):
    line = jumped.__code__.co_firstlineno + 2

    def trace(frame, event, arg):
        if frame.f_code is jumped.__code__ and event == "line" and frame.f_lineno == line:
            frame.f_lineno = line + 1
            seen.append(PAD * 40)  # exact
        return trace
    return trace


def settrace():
    return trace_with(sys.settrace, plain_tracer)


def settrace_that_jumps():
    return trace_with(sys.settrace, jumping_tracer)


def setprofile():
    return trace_with(sys.setprofile, plain_tracer)


def monitoring():
    """3.12 on: every instruction of it is replaced by an instrumented one."""
    events = sys.monitoring.events
    seen = []

    def on_line(code, line):
        seen.append(PAD * 40)  # exact

    def on_instruction(code, offset):
        pass

    def install(tracer):
        if tracer:
            sys.monitoring.use_tool_id(3, "situations")
            sys.monitoring.register_callback(3, events.LINE, on_line)
            sys.monitoring.register_callback(3, events.INSTRUCTION, on_instruction)
            sys.monitoring.set_local_events(3, watched.__code__, events.LINE | events.INSTRUCTION)
            sys.monitoring.set_local_events(3, hold.__code__, events.LINE | events.INSTRUCTION)
        else:
            sys.monitoring.set_local_events(3, watched.__code__, 0)
            sys.monitoring.set_local_events(3, hold.__code__, 0)
            sys.monitoring.free_tool_id(3)
    return trace_with(install, lambda _: True), seen


# ---- shapes of code ----

def recurse(kept, depth):
    if depth:
        return recurse(kept, depth - 1)
    hold(kept, 0)
    hold(kept, 3)


def deep_recursion():
    kept = room(2)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(3000)
    recurse(kept, 1000)
    sys.setrecursionlimit(limit)
    return kept


def made(source, name):
    scope = {"PAD": PAD, "Slots": Slots}
    exec(compile(source, name, "exec"), scope)
    return scope


BIG_LINES = 6000
HUGE = made("def f(kept):\n" + "".join("    kept[%d] = PAD * 40\n" % i for i in range(BIG_LINES)), "/made/huge.py")
ARGUMENT_COUNT = 300 if sys.version_info >= (3, 7) else 255  # 3.6 allows no more
ARGUMENTS = made("def f(%s):\n    return [PAD * 40, a0]\ndef g():\n    return f(%s)\n" % (
    ", ".join("a%d" % i for i in range(ARGUMENT_COUNT)),
    ", ".join("PAD * %d" % (600 + i) for i in range(ARGUMENT_COUNT))), "/made/arguments.py")
FAR = made("def f(kept):\n    kept[0] = PAD * 40\n" + "\n" * 100000 + "    kept[1] = PAD * 40\n" +
           "\n" * 70000 + "    kept[2] = PAD * 40\n", "/made/far.py")
NAMES = {
    "latin": u"/made/d\xe4\xf6\xfc.py",
    "cyrillic": u"/made/\u0436\u0438\u0437\u043d\u044c.py",
    "astral": u"/made/\U0001f40d.py",
    "surrogate": u"/made/lone\udc80.py",
    "long": "/made/" + "n" * 600 + ".py",
}
NAMED = {key: made(u"def f\u0436(kept, i):\n    kept[i] = PAD * 40\n    kept[i + 1] = PAD * 600\n", name)
         for key, name in NAMES.items()}


def huge_code():
    """A line table of tens of KiB; every line of it allocates."""
    kept = [None] * BIG_LINES
    HUGE["f"](kept)
    return kept


def many_arguments():
    return [ARGUMENTS["g"]() for _ in range(20)]


def far_lines():
    kept = [None] * 3
    FAR["f"](kept)
    return kept


def odd_names():
    kept = [None] * (4 * len(NAMED))
    for n, key in enumerate(sorted(NAMED)):
        NAMED[key][u"f\u0436"](kept, 4 * n)
    return kept
