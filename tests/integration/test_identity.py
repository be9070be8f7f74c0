# SPDX-License-Identifier: GPL-2.0-or-later
"""Is it the same program, the same file, the same text: what looks like a change and is none, and the other way."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import harness


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    binary = tmp_path_factory.mktemp("identity") / "identity"
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-pthread", "-o", binary,
                    os.path.join(harness.TARGETS, "identity.c")], check=True)
    return binary


def codes(t):
    return re.findall(r"(?:warning|error) ([EW]\d\d\d)", t.stderr())


def made_by(sites, function):
    return sum(s["blocks"] for s in sites if s["function"] == function)


# ---- the program ----

def test_a_lower_mapping_is_no_exec(identity, program, tool):
    p = program(identity, "low")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 1)
    t.hello()
    p.go()
    time.sleep(1)
    interval, sites, end = t.stop()
    assert end["reason"] == "sigint", end
    assert made_by(sites, "make_blocks") == 100
    assert harness.lost(interval) == {} and p.quit() == 0


def test_main_thread_ends_while_traced(identity, program, tool):
    """A process lives as long as one of its threads; its memory is reached through that one."""
    p = program(identity, "leader-ends")
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 1)
    t.hello()
    p.go()
    time.sleep(1.5)
    interval, sites, end = t.stop()
    assert end["reason"] == "sigint", end
    # Another test that ends its probes of malloc takes those of this process along: the kernel's doing, and said.
    assert made_by(sites, "make_blocks") == 100 or "W144" in codes(t), t.stderr()
    assert interval["rss_bytes"] > 0 and harness.text_mismatches_of_thread(p.pid) == []
    assert p.quit() == 0


def test_attach_when_the_main_thread_has_ended(identity, program, tool):
    p = program(identity, "leader-ends")
    p.say("go")
    deadline = time.monotonic() + 10
    while harness.process_state(p.pid) != "Z" and time.monotonic() < deadline:
        time.sleep(0.005)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    p.expect("done")
    _, sites, end = t.stop()
    assert end["reason"] == "sigint", (end, t.stderr())
    assert 0 < made_by(sites, "make_blocks") <= 100
    assert harness.text_mismatches_of_thread(p.pid) == []
    assert p.quit() == 0


def test_memory_shared_by_another_process_is_reported(identity, program, tool):
    """clone(CLONE_VM) without CLONE_THREAD: not seen, and said. vfork and posix_spawn only exec: nothing to say."""
    for case, want in (("shared-memory", 1), ("vforks", 0)):
        p = program(identity, case)
        t = tool("-p", p.pid, "--mode", "exact", 600)
        t.hello()
        p.go()
        time.sleep(1.2)
        t.stop()
        assert codes(t).count("W145") == want, (case, t.stderr())
        assert p.quit() == 0


# ---- the file ----

SPLIT = r"""
import ctypes, sys, time
with open("/proc/self/maps") as f:
    text = [line.split() for line in f if "r-xp" in line and line.rstrip().endswith(sys.argv[1])][0]
page = int(text[0].split("-")[0], 16)
libc = ctypes.CDLL(None)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
kept = []
def leak():
    kept.append([1.5, 2.5])
print("READY", flush=True)
sys.stdin.readline()
assert libc.mprotect(page, 4096, 7) == 0
print("done", flush=True)
while True:
    leak()
    time.sleep(0.001)
"""


def test_a_split_mapping_ends_nothing(debian, program, tool):
    """One page of the text made writable: its mapping becomes two, and the first range of addresses is no more."""
    p = program(debian, "-c", SPLIT, os.path.realpath(debian.path))
    t = tool("-p", p.pid, "-T", 5, "--mode", "exact", 1)
    t.hello()
    p.go()
    time.sleep(3)  # sites are attached and let go again in windows
    interval, sites, end = t.stop()
    assert end["reason"] == "sigint" and t.proc.returncode == 0, t.stderr()
    assert harness.coverage(interval)[0] >= 0.99
    assert any(s["function"] == "leak" and s["blocks"] > 1000 for s in sites), sites
    assert p.alive() and "E502" not in codes(t)


def test_a_page_made_writable_before_is_left_out(debian, program, tool):
    p = program(debian, "-c", SPLIT.replace("4096, 7", "1 << 20, 7"), os.path.realpath(debian.path))
    p.go()
    t = tool("-p", p.pid, "--mode", "exact", 1, 1)
    assert t.read_to_end() == 0, t.stderr()
    out = re.search(r"W142: (\d+) of (\d+) probe sites .* (\d+) in pages made writable", t.stderr())
    assert out and 0 < int(out.group(1)) == int(out.group(3)) < int(out.group(2)), t.stderr()
    assert p.alive()


def test_a_file_swapped_while_traced(debian, program, tool, tmp_path):
    """Another file at the path: what is attached later still goes to the one that is mapped."""
    copy = tmp_path / "python3"
    shutil.copy(os.path.realpath(debian.path), copy)
    p = program(copy, "-c", SPLIT.replace("assert", "0 and"), str(copy))
    t = tool("-p", p.pid, "-T", 5, "--mode", "exact", 1)
    t.hello()
    os.rename(copy, tmp_path / "old")
    shutil.copy("/bin/true", copy)
    p.go()
    time.sleep(2.5)
    interval, sites, end = t.stop()
    assert end["reason"] == "sigint" and t.proc.returncode == 0, t.stderr()
    assert any(s["function"] == "leak" and s["blocks"] > 500 for s in sites), sites
    assert p.alive() and harness.text_mismatches(p.pid) == []


# ---- the cache ----

def pop_sites(file, env):
    out = harness.run_tool("sites", "-v", file, env=env)
    assert out.returncode == 0, out.stderr
    return re.findall(r"^  pop +(0x[0-9a-f]+)", out.stdout, re.M)


IDLE = ["-c", "import time\nprint('READY', flush=True)\ntime.sleep(100)"]


def start_forged(real, pops, program, tmp_path):
    """A copy owned by another user, without the jump of a pop that an idle interpreter does not come by."""
    forged = tmp_path / "python3"
    for pop in reversed(pops):
        data = bytearray(open(real, "rb").read())
        at = int(pop, 16) - text_bias(real)
        data[at:at + 2] = b"\x90\x90" if data[at] & 0xf0 == 0x70 else data[at:at + 2]
        forged.unlink(missing_ok=True)
        forged.write_bytes(data)
        forged.chmod(0o755)
        os.chown(forged, 12345, 12345)
        try:
            if data != open(real, "rb").read():
                return program(forged, *IDLE)
        except RuntimeError:
            pass  # it does come by
    raise AssertionError("every pop is needed")


def test_a_file_with_a_borrowed_build_id_teaches_nothing(debian, program, tool, tmp_path):
    """Same build-id, same length, one pop of another text: what was found there is not used for the real file."""
    real = os.path.realpath(debian.path)
    plain = harness.tool_env(XDG_CACHE_HOME=tmp_path / "plain")
    want = pop_sites(real, plain)
    env = harness.tool_env(XDG_CACHE_HOME=tmp_path / "cache")
    for p in (start_forged(real, want, program, tmp_path), program(real, *IDLE)):
        t = tool("-p", p.pid, "--mode", "exact", 1, 1, env=env)
        assert t.read_to_end() == 0, t.stderr()
    have = harness.run_tool("sites", "-C", "-v", real, env=env)
    assert re.findall(r"^  pop +(0x[0-9a-f]+)", have.stdout, re.M) == want, have.stdout[:500]


def text_bias(path):
    """vaddr - file offset of the executable segment."""
    out = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        words = line.split()
        if words[:1] == ["LOAD"] and "E" in "".join(words[6:-1]):
            return int(words[2], 16) - int(words[1], 16)
    raise AssertionError(out)


# ---- debuggers ----

class Gdb:
    def __init__(self, pid):
        env = dict(os.environ, DEBUGINFOD_URLS="")
        self.proc = subprocess.Popen(["gdb", "-q", "-nx", "-ex", "set pagination off", "-ex", "set confirm off",
                                      "-p", str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, env=env)
        self.lines = harness.Lines(self.proc.stdout)
        self.say()

    def say(self, *commands, timeout=60):
        """Run commands; what they print."""
        for c in commands + ("echo \\n=ready=\\n",):
            self.proc.stdin.write(c + "\n")
        self.proc.stdin.flush()
        out = []
        while True:
            line = self.lines.take(timeout)
            assert line is not None, out
            if line.endswith("=ready="):
                return out
            out.append(line)

    def interrupt(self, timeout=60):
        """Stop the program; a SIGINT that gdb has not seen yet would end it at the detach."""
        self.proc.stdin.write("interrupt\n")
        self.proc.stdin.flush()
        while "received signal SIGINT" not in (self.lines.take(timeout) or "received signal SIGINT"):
            pass

    def leave(self):
        self.proc.stdin.write("detach\nquit\n")
        self.proc.stdin.flush()
        self.proc.wait(30)

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


@pytest.fixture
def gdb():
    started = []

    def start(pid):
        started.append(Gdb(pid))
        return started[-1]
    yield start
    for g in started:
        g.close()


def helper_of(text):
    """The process that keeps the breakpoints, by the warning that names it."""
    found = re.search(r"W143: .* process (\d+) keeps them", text)
    return int(found.group(1)) if found else 0


def site_addresses(pid):
    """Where malloc and free are probed in a process."""
    out = harness.run_tool("sites", "-p", pid).stdout
    with open("/proc/%d/maps" % pid) as f:
        base = min(int(line.split("-")[0], 16) for line in f if "/libc.so.6" in line)
    return [base + int(v, 16) + int(off, 16) for v, off in
            re.findall(r"^  (?:malloc|free) +(0x[0-9a-f]+) +probe at \+(0x[0-9a-f]+)", out, re.M)]


def ended(pid, timeout=10):
    deadline = time.monotonic() + timeout
    while os.path.exists("/proc/%d" % pid) and harness.process_state(pid) != "Z":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def settle(p, helper):
    """After the debugger has gone: the target runs on, the helper ends, and the text is the file's."""
    time.sleep(0.3)
    assert p.alive(), "ended with %r" % p.proc.poll()
    assert helper and ended(helper)
    time.sleep(0.3)
    assert p.alive(), "ended with %r" % p.proc.poll()
    assert harness.text_mismatches(p.pid) == []


@pytest.mark.parametrize("where", ["malloc", "site"])
def test_gdb_comes_while_traced_and_leaves_after(identity, program, tool, gdb, where):
    """gdb takes our int3 for the program's byte, and writes it back at its detach."""
    p = program(identity, "steady")
    t = tool("-p", p.pid, "--mode", "exact", 600)
    t.hello()
    g = gdb(p.pid)
    if where == "malloc":
        g.say("break malloc if 0")
    else:
        g.say(*["break *%#x if 0" % a for a in site_addresses(p.pid)])
    g.say("continue &")
    time.sleep(1.3)
    t.stop()
    text = t.stderr()
    g.interrupt()
    g.leave()
    settle(p, helper_of(text))
    assert t.proc.returncode == 0 and codes(t).count("W141") == 1, text


def test_gdb_is_there_first(identity, program, tool, gdb):
    p = program(identity, "steady")
    g = gdb(p.pid)
    g.say(*["break *%#x if 0" % a for a in site_addresses(p.pid)])
    t = tool("-p", p.pid, "--mode", "exact", 600)  # it is stopped: gdb has taken its breakpoints out
    t.hello()
    g.say("continue &")
    time.sleep(1.3)
    t.stop()
    text = t.stderr()
    g.interrupt()
    g.leave()
    settle(p, helper_of(text))
    assert t.proc.returncode == 0 and "W141" in text, text


def test_breakpoints_that_stand_before_are_left_alone(identity, program, tool, gdb):
    """Both sites of a C program are gdb's: refused, with the reason, and gdb's breakpoints work on."""
    p = program(identity, "steady")
    sites = site_addresses(p.pid)
    g = gdb(p.pid)
    g.say(*["break *%#x if 0" % a for a in sites])
    g.say("continue &")
    time.sleep(0.5)
    t = tool("-p", p.pid, "--mode", "exact", 1, 1)
    assert t.read_to_end() == 3
    assert codes(t).count("W141") == 1 and "W142" in codes(t) and "E306" in codes(t), t.stderr()
    with open("/proc/%d/mem" % p.pid, "rb", 0) as mem:
        for a in sites:
            mem.seek(a)
            assert mem.read(1) == b"\xcc"
    g.interrupt()
    g.leave()
    time.sleep(0.3)
    assert p.alive() and harness.text_mismatches(p.pid) == []


def test_gdb_that_takes_a_breakpoint_out_is_noticed(identity, program, tool, gdb):
    p = program(identity, "steady")
    g = gdb(p.pid)
    site = site_addresses(p.pid)[0]
    t = tool("-p", p.pid, "--mode", "exact", 1)
    t.hello()
    g.say("set var *(unsigned char *)%#x = %d" % (site, byte_in_file(p.pid, site)))
    g.say("continue &")
    time.sleep(2.5)
    g.interrupt()
    t.stop()
    assert codes(t).count("W144") == 1, t.stderr()
    g.leave()
    settle(p, helper_of(t.stderr()))


def byte_in_file(pid, address):
    with open("/proc/%d/maps" % pid) as f:
        for line in f:
            words = line.split()
            start, end = (int(x, 16) for x in words[0].split("-"))
            if start <= address < end:
                with open(words[5], "rb") as file:
                    file.seek(int(words[2], 16) + address - start)
                    return file.read(1)[0]
    raise AssertionError(hex(address))


def test_strace_beside(identity, program, tool):
    """It sets no breakpoints: nothing is kept for it."""
    p = program(identity, "steady")
    s = subprocess.Popen(["strace", "-f", "-o", "/dev/null", "-p", str(p.pid)], stdin=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        t = tool("-p", p.pid, "--mode", "exact", 1, 2)
        assert t.read_to_end() == 0, t.stderr()
        assert "W143" not in codes(t)
        assert harness.text_mismatches(p.pid) == []
    finally:
        s.send_signal(signal.SIGINT)
        s.wait(10)
    assert p.alive()
