# SPDX-License-Identifier: GPL-2.0-or-later
"""CPython inside other programs: linked, loaded late, exported or not, in another root; and what is no CPython.

The host is tests/targets/host.c, a list of steps. What it runs, tests/targets/situations/embedded.py, says on
its lines how many blocks they hold; free lists have no part in these lines, so the numbers are exact.
"""
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import harness

HOST = os.path.join(harness.TARGETS, "host.c")
EMBEDDED = os.path.join(harness.TARGETS, "situations", "embedded.py")
ENDLESS = os.path.join(harness.TARGETS, "situations", "endless.py")
MARK = re.compile(r"# (\d+) blocks(?: of (\d+) bytes)?$")

# ---- the parts of a CPython ----

def shared_library(python):
    """libpython3.X.so.1.0 as a path on this system, or None."""
    folder = os.path.join(os.path.dirname(os.path.dirname(python.path)), "lib")
    for pattern in (folder, folder + "/x86_64-linux-gnu"):
        found = glob.glob("%s%s/libpython%d.%d*.so.1.0" % (python.root.rstrip("/"), pattern, *python.v))
        if found:
            return found[0]
    return None


def static_library(python):
    """(libpython3.X.a, kind of program it can be linked into), or None. Debian's is no code for a PIE."""
    prefix = os.path.dirname(os.path.dirname(python.path))
    found = glob.glob("%s/lib/python%d.%d/config-*/libpython%d.%d*.a" % (prefix, *python.v, *python.v))
    found = [f for f in found if not f.endswith("-pic.a")]
    if python.root != "/" or not found:
        return None
    return found[0], "-no-pie" if python.name == "system" else "-pie"


def inside(python, path):
    """A path on this system as the interpreter sees it."""
    return path[len(python.root):] if python.root != "/" else path


def home(python):
    """pyenv's libraries do not know where they are."""
    if python.name.startswith("pyenv-"):
        return {"PYTHONHOME": os.path.dirname(os.path.dirname(python.path))}
    return {}


# ---- which are tested ----

# A few in every `make check`, chosen by test; the others with TMBPF_FULL=1.
FEW = ["system", "pyenv-3.8", "debian-3.15"]
ALL = [i for i in harness.find_interpreters(full=True)[0] if not i.free_threaded]
SHARED = [i for i in ALL if shared_library(i)]


def interpreters(names=FEW, since=(3, 0), among=SHARED):
    """Parametrize `python`: those with these names, with TMBPF_FULL=1 all."""
    chosen = [i for i in among if (harness.FULL or i.name in names) and i.v >= since]
    return pytest.mark.parametrize("python", chosen, ids=[i.name for i in chosen])


def kinds_of_host():
    """(python, kind, keys): each interpreter in one of two programs, with TMBPF_FULL=1 in both."""
    kinds = [("pie", 0), ("no-pie", 40)]
    few = [i for i in SHARED if harness.FULL or i.name in FEW + ["pyenv-3.12", "pyenv-3.13", "debian-3.14"]]
    every = [(i, *k) for n, i in enumerate(few) for m, k in enumerate(kinds) if harness.FULL or n % 2 == m]
    return pytest.mark.parametrize("python,kind,keys", every, ids=["%s-%s" % (i.name, kind) for i, kind, _ in every])


def test_the_parts_of_this_system_are_here():
    """Without them the tests below would silently be fewer."""
    system = [i for i in ALL if i.name == "system"][0]
    assert shared_library(system) and static_library(system), "libpython3-dev is missing: sudo make deps"


# ---- hosts ----

@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """build(NAME, compiler flags...): the host, compiled once."""
    folder, built = tmp_path_factory.mktemp("hosts"), {}

    def make(name, *flags, strip=False):
        path = str(folder / name)
        if name not in built:
            built[name] = subprocess.run(["gcc", "-std=gnu11", "-O1", "-g", "-o", path, HOST] + list(flags),
                                         stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if strip and built[name].returncode == 0:
                subprocess.run(["strip", path], check=True)
        assert built[name].returncode == 0, built[name].stderr
        return path
    return make


def in_root(python, path):
    """The host as a program in the root of that interpreter; skips where its libc is too old for it."""
    host = harness.Interpreter("host", python.version, python.root, path)
    out = subprocess.run(harness.command(host), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if "GLIBC_" in out.stderr:
        pytest.skip("what is compiled here does not run in %s: %s" % (python.root, out.stderr.splitlines()[0]))
    assert out.returncode == 0, out.stderr
    return host


def marked(path):
    """{line: (blocks, bytes of each or None)}"""
    with open(path) as f:
        found = [(n, MARK.search(text)) for n, text in enumerate(f, 1)]
    return {n: (int(m.group(1)), m.group(2) and int(m.group(2))) for n, m in found if m}


def by_line(sites, file):
    """{line: (blocks, bytes)} of a file, both domains together."""
    lines = {}
    for s in sites:
        if s["file"] == file:
            blocks, size = lines.get(s["line"], (0, 0))
            lines[s["line"]] = (blocks + s["blocks"], size + s["bytes"])
    return lines


def check(p, interval, sites, times=1, lost_max=0):
    """Every marked line holds exactly what it says, nothing is missing, and the target is well."""
    have = by_line(sites, EMBEDDED)
    want = marked(EMBEDDED)
    assert len(want) == 3
    for line, (blocks, size) in want.items():
        assert have.get(line, (0, 0))[0] == times * blocks, (line, have)
        if size:
            assert have[line][1] == times * blocks * size, (line, have)
    assert harness.coverage(interval)[0] >= 0.999, interval
    assert harness.coverage(interval)[1] >= times * 6000
    assert sum(harness.lost(interval).values()) <= lost_max, harness.lost(interval)
    assert p.alive()


def codes(t):
    return [w["code"] for w in t.warnings()]


def proceed(p, *words):
    """Let the host go on to its next lines."""
    for word in words:
        p.say("go")
        p.expect(word)


def traced(tool, p, *args):
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", *args, 600)
    return t, t.hello()


# ---- loaded late ----

@kinds_of_host()
def test_library_loaded_after_attach(python, kind, keys, build, program, tool):
    """Neither the library nor a thread key is there at attach; with 40 keys before it Python's is key 40."""
    library = shared_library(python)
    host = in_root(python, build("late-" + kind, "-" + kind))
    p = program(host, "say=READY", "wait", "keys=%d" % keys, "load=" + inside(python, library), "init", "say=up",
                "wait", "run=" + EMBEDDED, "say=done", "wait", env=harness.target_env(**home(python)))
    t, hello = traced(tool, p)
    assert hello["python"] is None
    proceed(p, "up")
    hello = t.hello()
    # Up to 3.10 the patch release stands in a text that may not be there yet.
    assert hello["python"] in (python.version, "%d.%d" % python.v) and hello["sites"]["pop"] > 0
    proceed(p, "done")
    interval, sites, _ = t.stop()
    assert codes(t)[:2] == ["W302", "W124"]
    check(p, interval, sites)
    assert p.quit() == 0


@interpreters(["system", "debian-3.14"])
def test_interpreter_that_works_while_it_comes_up(python, build, program, tool):
    """It does not wait for us: what is born after the second hello is seen completely."""
    library = shared_library(python)
    host = in_root(python, build("late-pie", "-pie"))
    p = program(host, "say=READY", "wait", "load=" + inside(python, library), "init", "run=" + ENDLESS,
                env=harness.target_env(**home(python)))
    t, hello = traced(tool, p)
    assert hello["python"] is None
    proceed(p, "round")
    assert t.hello()["python"]
    time.sleep(0.6)
    interval, sites, _ = t.stop()
    assert p.alive()
    assert harness.coverage(interval)[0] >= 0.999, interval
    assert set(harness.lost(interval)) <= {"pools_moving"}, "it runs while its heap is read"
    have, want = by_line(sites, ENDLESS), marked(ENDLESS)
    rounds = [have[line][0] / blocks for line, (blocks, _) in want.items()]
    # It runs on while the report is made: the lines may be one round apart.
    assert min(rounds) >= 3 and max(rounds) - min(rounds) <= 1, have


# ---- linked ----

def linked(build, python, kind, strip):
    library = shared_library(python)
    name = "linked-%s-%s%s" % (python.name, kind, "-stripped" if strip else "")
    path = build(name, "-" + kind, "-DLINKED", library, "-Wl,--allow-shlib-undefined",
                 "-Wl,-rpath," + os.path.dirname(inside(python, library)), strip=strip)
    return in_root(python, path)


@interpreters()
def test_linked_and_not_yet_initialised(python, build, program, tool):
    """The library is mapped, the interpreter is not there: said, and traced when it comes."""
    p = program(linked(build, python, "pie", strip=False), "say=READY", "wait", "keys=40", "init", "say=up", "wait",
                "run=" + EMBEDDED, "say=done", "wait", env=harness.target_env(**home(python)))
    t, hello = traced(tool, p)
    proceed(p, "up")
    if python.v >= (3, 15):  # its thread variable is there from the start: nothing to wait for
        assert hello["python"] == python.version
    else:
        assert hello["python"] is None
        assert t.hello()["python"]
    proceed(p, "done")
    interval, sites, _ = t.stop()
    assert [c for c in codes(t) if c != "W140"] == ([] if python.v >= (3, 15) else ["W123", "W124"])
    check(p, interval, sites)
    assert p.quit() == 0


@pytest.mark.parametrize("kind,strip", [("no-pie", False), ("no-pie", True), ("pie", True)],
                         ids=["no-pie", "no-pie-stripped", "pie-stripped"])
@interpreters(["pyenv-3.8", "debian-3.14"])
def test_linked_host(python, kind, strip, build, program, tool):
    p = program(linked(build, python, kind, strip), "keys=40", "init", "say=READY", "wait", "run=" + EMBEDDED,
                "say=done", "wait", env=harness.target_env(**home(python)))
    t, hello = traced(tool, p)
    assert hello["python"] == python.version
    proceed(p, "done")
    interval, sites, _ = t.stop()
    assert set(codes(t)) <= {"W140"}
    check(p, interval, sites)
    assert p.quit() == 0


# ---- the interpreter in the program itself ----

def static(build, python, kind):
    library = static_library(python)
    flags = ["-DLINKED", library[1], library[0], "-lm", "-lz", "-lexpat", "-lutil", "-ldl", "-pthread"]
    if kind.startswith("exported"):
        flags.append("-rdynamic")
    return build("static-%s-%s" % (python.name, kind), *flags, strip=kind.endswith("stripped"))


def start_static(build, program, python, kind):
    return program(static(build, python, kind), "keys=40", "init", "say=READY", "wait", "run=" + EMBEDDED,
                   "say=done", "wait", env=harness.target_env(**home(python)))


def listed(p):
    """What `tmbpf ls` says of it."""
    lines = [json.loads(line) for line in harness.run_tool("ls", "-j").stdout.splitlines()]
    return [line for line in lines if line["pid"] == p.pid][0]


@pytest.mark.parametrize("kind", ["exported", "exported-stripped", "hidden"])
@interpreters(["system", "pyenv-3.8"], among=[i for i in ALL if static_library(i)])
def test_static_host(python, kind, build, program, tool):
    p = start_static(build, program, python, kind)
    assert listed(p)["supported"] is True  # by its symbols: no name says Python
    t, hello = traced(tool, p)
    assert hello["python"] == python.version
    proceed(p, "done")
    interval, sites, _ = t.stop()
    assert set(codes(t)) <= {"W140"}
    check(p, interval, sites)
    assert p.quit() == 0


@interpreters(["system", "pyenv-3.8"], among=[i for i in ALL if static_library(i)])
def test_static_host_without_any_symbol(python, build, program):
    """Nothing exported and stripped: PyCode_Type and what else we go by cannot be found. That is said."""
    p = start_static(build, program, python, "hidden-stripped")
    assert listed(p)["supported"] is False
    out = harness.run_tool("-p", p.pid, "--mode", "exact", 1, 1)
    assert out.returncode == 3 and not out.stdout
    text = ("E304: CPython %s .* has no symbol PyCode_Type" % python.version if python.v >= (3, 10) else
            "E303: .* a CPython without symbols")
    assert re.search("error " + text, out.stderr), out.stderr
    assert "--domains native" in out.stderr
    out = harness.run_tool("-p", p.pid, "--mode", "exact", "--domains", "native", 1, 1)
    assert out.returncode == 0 and "tracing native" in out.stdout, (out.stdout, out.stderr)
    assert p.alive()


# ---- ended and started again, and two at once ----

@interpreters(["system", "pyenv-3.12"])
def test_finalized_and_initialised_again(python, build, program, tool):
    """What the first life held is gone with it; the second one's lines are right."""
    library = shared_library(python)
    p = program(in_root(python, build("late-pie", "-pie")), "load=" + inside(python, library), "init", "say=READY",
                "wait", "run=" + EMBEDDED, "say=first", "wait", "finalize", "init", "run=" + EMBEDDED, "say=done",
                "wait", env=harness.target_env(**home(python)))
    t, _ = traced(tool, p)
    proceed(p, "first", "done")
    interval, sites, _ = t.stop()
    assert set(codes(t)) <= {"W140"}
    # Between the end and the new beginning the thread's slot still has the old thread state, which is freed: what
    # is born there has frames that cannot be read, which is counted (seen in 3.6 only).
    check(p, interval, sites, lost_max=5)
    assert set(harness.lost(interval)) <= {"code_unreadable"}
    assert p.quit() == 0


@interpreters(["system", "pyenv-3.13", "debian-3.15"])
def test_initialised_again_with_another_thread_key(python, build, program, tool):
    """The program has taken the key meanwhile: Python gets another, and tracing starts again."""
    library = shared_library(python)
    p = program(in_root(python, build("late-pie", "-pie")), "load=" + inside(python, library), "init", "say=READY",
                "wait", "run=" + EMBEDDED, "finalize", "keys=40", "init", "say=up", "wait", "run=" + EMBEDDED,
                "say=done", "wait", env=harness.target_env(**home(python)))
    t, _ = traced(tool, p)
    proceed(p, "up")
    if python.v < (3, 15):  # that has none
        assert t.hello()["python"] == python.version
        assert codes(t).count("W124") == 1
    proceed(p, "done")
    interval, sites, _ = t.stop()
    check(p, interval, sites)
    assert p.quit() == 0


def pair():
    """Two versions to be loaded into one process."""
    names = ("pyenv-3.11", "pyenv-3.12")
    found = {i.name: i for i in harness.interpreter_list()[0]}
    if not all(n in found and shared_library(found[n]) for n in names):
        pytest.skip("needs %s and %s" % names)
    return [found[n] for n in names]


@pytest.mark.parametrize("runs", [1, 2])
def test_two_interpreters_in_one_process(runs, build, program, tool):
    """The one that was loaded first is traced; of the other every block is missed, which is counted, not hidden."""
    first, second = pair()
    p = program(build("late-pie", "-pie"), "home=" + home(first)["PYTHONHOME"],
                "load-local=" + shared_library(first), "init", "home=" + home(second)["PYTHONHOME"],
                "load-local=" + shared_library(second), "init", "use=%d" % runs, "say=READY", "wait",
                "run=" + EMBEDDED, "say=done", "wait")
    t, hello = traced(tool, p)
    assert hello["python"] == first.version
    proceed(p, "done")
    interval, sites, _ = t.stop()
    if runs == 1:
        check(p, interval, sites)
    else:
        ratio, recorded, missed = harness.coverage(interval)
        assert ratio == 0 and recorded == 0 and missed >= 6000
        assert by_line(sites, EMBEDDED) == {}
        # What it takes from malloc is native, with the library's name.
        leaf = [s for s in sites if s["file"] == "libpython3.12.so.1.0"]
        assert {s["domain"] for s in leaf} == {"native"}
        assert 3000 <= sum(s["blocks"] for s in leaf) == interval["live_blocks"]
    assert harness.lost(interval) == {}
    assert p.quit() == 0


# ---- threads and interpreters that C makes ----

def start_late(build, program, python, *steps):
    """The dlopen host, its interpreter up; "go" makes it do these steps."""
    library = shared_library(python)
    return program(in_root(python, build("late-pie", "-pie")), "load=" + inside(python, library), "init",
                   "say=READY", "wait", *steps, "say=done", "wait", env=harness.target_env(**home(python)))


@interpreters()
def test_threads_that_python_did_not_make(python, build, program, tool):
    """One runs Python code with PyGILState_Ensure(), one only mallocs: lines there, a native leaf here."""
    p = start_late(build, program, python, "thread=" + EMBEDDED, "native=700")
    t, _ = traced(tool, p)
    p.go()
    interval, sites, _ = t.stop()
    check(p, interval, sites)
    leaf = [s for s in sites if s["function"] == "hold_native"]
    assert {(s["file"], s["domain"]) for s in leaf} == {("late-pie", "native")}
    assert sum(s["blocks"] for s in leaf) == 701 and sum(s["bytes"] for s in leaf) == 700 * 3000 + 700 * 8
    assert p.quit() == 0


def held_by(sites, file):
    return sum(s["blocks"] for s in sites if s["file"] == file and s["domain"] == "python")


@interpreters(["system", "debian-3.15"])
def test_sub_interpreter_made_by_c(python, build, program, tool):
    """Up to 3.11 a thread's slot keeps the state that it got first, that of the main interpreter.

    No frame runs there, so the blocks of the sub-interpreter are <unknown>: complete, but without their line.
    """
    p = start_late(build, program, python, "run=" + EMBEDDED, "sub", "run=" + EMBEDDED, "main")
    t, _ = traced(tool, p)
    p.go()
    interval, sites, _ = t.stop()
    if python.v >= (3, 12):
        check(p, interval, sites, times=2)
    else:
        check(p, interval, sites)
        assert held_by(sites, "<unknown>") >= 9000


@interpreters(["pyenv-3.12", "debian-3.15"], since=(3, 12))
def test_interpreters_with_a_gil_and_an_allocator_of_their_own(python, build, program, tool):
    """3.12 on: each has its own arenas. Three of them and the main one."""
    run = "run=" + EMBEDDED
    p = start_late(build, program, python, run, "sub-own", run, "main", "sub-own", run, "sub-own", run)
    t, _ = traced(tool, p)
    p.go()
    interval, sites, _ = t.stop()
    check(p, interval, sites, times=4)


# ---- a server with a plugin ----

REQUESTS = 300
WSGI = os.path.join(harness.TARGETS, "situations", "wsgi.py")


def get(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        c.request("GET", path)
        r = c.getresponse()
        assert r.status == 200
        return r.read()
    finally:
        c.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def uwsgi(tmp_path):
    """uwsgi with two threads: (process, port)."""
    if not shutil.which("uwsgi"):
        pytest.fail("Debian's uwsgi-core and uwsgi-plugin-python3 are missing: sudo make deps")
    port = free_port()
    with open(tmp_path / "log", "w") as log:
        p = subprocess.Popen(["uwsgi", "--plugin", "python3", "--http-socket", "127.0.0.1:%d" % port, "--wsgi-file",
                              WSGI, "--enable-threads", "--threads", "2"], stdin=subprocess.DEVNULL, stdout=log,
                             stderr=log, env=harness.target_env())
    for _ in range(100):
        try:
            get(port, "/")
            break
        except OSError:
            time.sleep(0.1)
    yield p, port
    p.send_signal(signal.SIGINT)
    p.wait(30)


def test_uwsgi_names_the_line_that_leaks(uwsgi, tool, show):
    """CPython in a plugin of a C server, requests in threads that C made."""
    p, port = uwsgi
    t, hello = traced(tool, p)
    assert hello["python"] == "3.11.2"
    for _ in range(REQUESTS):
        get(port, "/")
    threads = get(port, "/threads")
    interval, sites, _ = t.stop()
    have, want = by_line(sites, WSGI), marked(WSGI)
    assert len(want) == 2
    for line, (blocks, size) in want.items():
        assert have[line] == (blocks * REQUESTS, blocks * REQUESTS * size), have
    assert int(threads) == 2, "both threads had requests"
    # uwsgi 2.0.21 interns texts of each request, a string a port number: blocks of C code that no Python frame stands
    # behind, and the table of interned strings, which may grow meanwhile. tracemalloc says <unknown> as well.
    unknown = [s for s in sites if s["file"] == "<unknown>"]
    show("uwsgi", "%d requests: %r; <unknown> %r\n" % (
        REQUESTS, have, [(s["domain"], s["blocks"], s["bytes"]) for s in unknown]))
    assert all(s["domain"] == "python" and s["blocks"] <= 2 * REQUESTS for s in unknown)
    lines = [s for s in sites if s["line"]]
    assert (lines[0]["file"], lines[0]["function"]) == (WSGI, "leak")
    assert harness.coverage(interval)[0] >= 0.999 and harness.lost(interval) == {}
    assert p.poll() is None


# ---- another root ----

def debian_root():
    """The newest Debian root that is here."""
    found = [i for i in harness.interpreter_list()[0] if i.root != "/"]
    if not found:
        pytest.skip("no root of another Debian: scripts/interpreters fetch")
    return max(found, key=lambda i: i.v)


PLAIN = """
import os, sys
KEEP = [None] * 4000
PAD = b"x"
def hold():
    for i in range(2000):
        KEEP[i] = PAD * 40
    for i in range(2000, 4000):
        KEEP[i] = PAD * 600
os.write(1, b"READY\\n")
os.read(0, 100)
hold()
os.write(1, b"done\\n")
os.read(0, 100)
"""


@pytest.mark.parametrize("how", ["chroot", "unshare -m", "unshare -m and chroot"])
def test_other_root_and_other_mounts(how, debian, program, tool):
    """The files of the target are found under its own root, in its own mounts."""
    python = debian if how == "unshare -m" else debian_root()
    if how == "unshare -m and chroot":
        p = program(python, "-c", PLAIN)
    else:
        words = ["unshare", "-m", python.path] if how == "unshare -m" else ["chroot", python.root, python.path]
        p = program(*words, "-c", PLAIN)
    same_mounts = os.readlink("/proc/%d/ns/mnt" % p.pid) == os.readlink("/proc/self/ns/mnt")
    assert same_mounts == (how == "chroot")
    assert (os.readlink("/proc/%d/root" % p.pid) == "/") == (how == "unshare -m")
    t, hello = traced(tool, p)
    assert hello["python"] == python.version
    p.go()
    interval, sites, _ = t.stop()
    assert set(codes(t)) <= {"W140"}
    have = by_line(sites, "<string>")
    assert have[7] == (2000, 2000 * 80) and have[9] == (2000, 2000 * 633), have
    assert harness.coverage(interval)[0] >= 0.999 and harness.lost(interval) == {}
    assert harness.text_mismatches(p.pid) == []
    assert p.quit() == 0


# ---- what is no CPython that we know ----

@pytest.fixture
def refused():
    """refused(argv, code, words): the tool names the reason and leaves; with --domains native it works."""
    def run(argv, code, words, native=True):
        p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert p.stdout.readline() == "READY\n"
            out = harness.run_tool("-p", p.pid, "--mode", "exact", 1, 1)
            assert out.returncode == 3 and out.stdout == "", out.stdout
            assert re.search("error %s: .*%s" % (code, words), out.stderr), out.stderr
            assert "--domains native" in out.stderr
            out = harness.run_tool("-p", p.pid, "--mode", "exact", "--domains", "native", 1, 1)
            assert out.returncode == 0 and "tracing native" in out.stdout, (out.stdout, out.stderr)
            assert p.poll() is None
        finally:
            p.kill()
            p.wait()
            p.stdin.close()
            p.stdout.close()
    return run


WAITS = "import sys; sys.stdout.write('READY\\n'); sys.stdout.flush(); sys.stdin.readline()"


def test_pypy_is_named(refused):
    path = shutil.which("pypy3")
    if not path:
        pytest.fail("Debian's pypy3 is missing: sudo make deps")
    refused([path, "-c", WAITS], "E303", "runs PyPy; supported: CPython 3.6 to")


def test_python_2_is_named(refused):
    path = harness.pyenv_python("2.7.18")
    if not path:
        pytest.skip("no pyenv-built 2.7.18 on this machine")
    refused([path, "-c", WAITS], "E303", "runs CPython 2.7; supported: CPython 3.6 to")


OLD_PYTHON = """
char version[] = "3.5.10 (default, Sep  5 2020, 10:00:00) \\n[GCC 8.3.0]";
void *_PyThreadState_Current;
void Py_Initialize(void) {}
const char *Py_GetVersion(void) { return version; }
"""


def test_python_3_5_is_named(build, refused, tmp_path):
    """No 3.5 is to be had here: a library with what 3.5 exports, and the text of its version."""
    source, library = tmp_path / "old.c", tmp_path / "libpython3.5m.so.1.0"
    source.write_text(OLD_PYTHON)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    refused([build("late-pie", "-pie"), "load=%s" % library, "say=READY", "wait"], "E303",
            "runs CPython 3.5.10; supported: CPython 3.6 to")


def test_no_python_at_all(build, program, tool):
    """A C program: what it is, and its blocks by function."""
    p = program(build("late-pie", "-pie"), "say=READY", "wait", "hold=500", "native=500", "say=done", "wait")
    t, hello = traced(tool, p)
    assert hello["python"] is None and hello["domains"] == ["native"]
    p.go()
    interval, sites, _ = t.stop()
    assert codes(t)[0] == "W302" and "late-pie, not CPython" in t.warnings()[0]["message"]
    held = [s for s in sites if s["function"] == "hold_native"]
    assert sum(s["blocks"] for s in held) == 2 * 501
    assert sum(s["bytes"] for s in held) == 2 * (500 * 3000 + 500 * 8)
    assert harness.lost(interval) == {}
    assert p.quit() == 0
