# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaching, detaching and killing the tool leaves no trace in the target or the kernel.

Short in `make check`; TMBPF_FULL=1 makes it 200 cycles and 50 SIGKILLs.
"""
import os
import random
import signal
import subprocess
import time

import pytest

import harness

CYCLES = 200 if harness.FULL else 10
KILLS = 50 if harness.FULL else 5


def finish(p, interpreter, target_script):
    """Stop the busy target; its checksums must be those of an undisturbed run of the same rounds."""
    p.say("stop")
    words = p.expect("done", 120).split()
    counts, sums = words[:4], words[4:]
    assert p.proc.wait(30) == 0
    out = subprocess.run(harness.command(interpreter, target_script("busy4.py"), "check", *counts), text=True,
                         capture_output=True, env=harness.target_env(), timeout=900)
    assert out.stdout.split() == ["done"] + counts + sums
    assert min(int(c) for c in counts) > 0
    return sum(int(c) for c in counts)


def merge(all_ids, ids):
    for kind in all_ids:
        all_ids[kind] |= ids[kind]


@pytest.mark.quick_set
def test_cycles_and_sigkills_on_a_busy_target(interpreter, program, tool, target_script, show):
    if harness.FULL is False and interpreter.name != "system":
        cycles, kills = 3, 2
    else:
        cycles, kills = CYCLES, KILLS
    p = program(interpreter, target_script("busy4.py"), 0)
    rng = random.Random(1)
    ids = {"prog": set(), "link": set(), "map": set()}
    threads_before = len(os.listdir("/proc/%d/task" % p.pid))
    for n in range(cycles):
        with harness.Tool("-p", p.pid, "--mode", ["exact", "pools"][n % 2], 600) as t:
            t.hello()
            merge(ids, t.bpf_ids())
            time.sleep(rng.random() * 0.1)
            _, _, end = t.stop()
            assert t.proc.returncode == 0 and end["reason"] == "sigint", t.stderr()
        assert p.alive()
    for n in range(kills):
        with harness.Tool("-p", p.pid, "--mode", ["exact", "pools"][n % 2], 600) as t:
            if n % 5 == 4:  # in the middle of attaching
                time.sleep(rng.random() * 0.3)
            else:
                t.hello()
                merge(ids, t.bpf_ids())
                time.sleep(rng.random() * 0.1)
            t.proc.send_signal(signal.SIGKILL)
            t.proc.wait()
        assert p.alive()
    assert len(ids["prog"]) >= cycles and len(ids["link"]) >= cycles
    left = harness.bpf_objects_left(ids)
    assert left == {}, "still in the kernel: %s" % left
    assert harness.text_mismatches(p.pid) == []
    assert len(os.listdir("/proc/%d/task" % p.pid)) == threads_before
    rounds = finish(p, interpreter, target_script)
    show("harmless, %s" % interpreter.label,
         "%d attach/detach cycles, %d SIGKILLs, %d rounds of the target, checksums unchanged, "
         "%d programs and %d links gone, text equals the files\n" %
         (cycles, kills, rounds, len(ids["prog"]), len(ids["link"])))


def uprobes_leaked():
    """Breakpoints that the kernel said it could not remove; None where its log cannot be read."""
    run = subprocess.run(["dmesg"], capture_output=True, text=True)
    return run.stdout.count("leaking uprobe") if run.returncode == 0 else None


def wait_for_plain_text(pid, timeout=20):
    """Differences of the target's code from its files after a while: a detach may be under way."""
    deadline = time.monotonic() + timeout
    while True:
        bad = harness.text_mismatches(pid)
        if not bad or time.monotonic() > deadline:
            return bad
        time.sleep(0.02)


def processes_of(pid, timeout=10):
    """Processes of ours that still trace this target after a while: helpers end when their parent has died."""
    deadline = time.monotonic() + timeout
    while True:
        left = [line for line in subprocess.run(["ps", "-eo", "pid=,args="], text=True, capture_output=True)
                .stdout.splitlines() if harness.BINARY in line and "-p %d" % pid in line]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


@pytest.mark.parametrize("links", ["multi", "perf"])
@pytest.mark.parametrize("moment", ["attaching", "detaching"])
def test_sigkill_while_attaching_and_detaching(debian, program, target_script, show, moment, links):
    """The kernel leaves breakpoints behind when SIGKILL meets the task that sets or removes them (14 of 150
    kills without user/probe/shielded.c). The next run on the same target mends it, so look after every kill."""
    kills = 100 if harness.FULL else 12 if links == "multi" else 4
    p = program(debian, target_script("busy4.py"), 0)
    rng = random.Random(7)
    before, met = uprobes_leaked(), 0
    options = ("-p", p.pid, "--mode", "exact" if links == "multi" else "pools", "--links", links, 600)
    started = time.monotonic()
    with harness.Tool(*options) as t:
        t.hello()
        attached_s = time.monotonic() - started  # on this machine, with what else it does
        t.stop()
    for n in range(kills):
        t = harness.Tool(*options)
        try:
            if moment == "attaching" and n % 2:  # as soon as the first breakpoints are seen
                deadline = time.monotonic() + 2 * attached_s
                while not harness.text_mismatches(p.pid) and time.monotonic() < deadline:
                    pass
            elif moment == "attaching":
                time.sleep(attached_s * (0.5 + 0.6 * (n + rng.random()) / kills))
            else:
                t.hello()
                t.proc.send_signal(signal.SIGINT)
                time.sleep(rng.random() * 0.25)
            met += t.proc.poll() is None and bool(harness.text_mismatches(p.pid))
            t.proc.kill()
            t.proc.wait()
            assert wait_for_plain_text(p.pid) == []
        finally:
            t.close()
    assert processes_of(p.pid) == [], "left behind"
    assert met > 0, "no kill met a half attached target: the moments are wrong"
    # Perf events are set one by one, unshielded: the kernel complains of the one that it then did not set.
    complaints = 0 if before is None else uprobes_leaked() - before
    assert complaints <= (kills if (links, moment) == ("perf", "attaching") else 0)
    finish(p, debian, target_script)
    show("harmless, SIGKILL while %s, %s links" % (moment, links), "%d kills, %d with breakpoints set, none left%s\n" %
         (kills, met, "" if before is not None else "; the kernel log could not be read"))


def gdb_once(pid):
    """A breakpoint at malloc, hit once; then gdb leaves."""
    return ["gdb", "-nx", "-q", "-batch", "-p", str(pid), "-ex", "set confirm off", "-ex", "break malloc",
            "-ex", "continue", "-ex", "delete", "-ex", "detach"]


def strace_a_while(pid):
    return ["timeout", "-s", "INT", "1", "strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid)]


def test_cycles_with_random_signals_and_debuggers_beside(debian, program, target_script, show):
    """As users and supervisors end it, gdb or strace beside in every fifth cycle."""
    cycles = 300 if harness.FULL else 10
    p = program(debian, target_script("busy4.py"), 0)
    rng = random.Random(11)
    before, ended = uprobes_leaked(), {}
    for n in range(cycles):
        beside = None
        if n % 5 == 2:
            argv = gdb_once(p.pid) if n % 10 == 2 else strace_a_while(p.pid)
            beside = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with harness.Tool("-p", p.pid, "--mode", rng.choice(["exact", "pools"]), 600) as t:
            if rng.random() < 0.8:
                t.hello()
            time.sleep(rng.random() * 0.2)
            number = rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGKILL])
            t.proc.send_signal(number)
            if number == signal.SIGUSR1:
                time.sleep(0.1)
                t.proc.send_signal(signal.SIGTERM)
            t.proc.wait(60)
            ended[number.name] = ended.get(number.name, 0) + 1
        if beside:
            beside.wait(60)
        assert p.alive(), "cycle %d" % n
        if n % 10 == 9:
            assert wait_for_plain_text(p.pid) == [], "cycle %d" % n
    assert processes_of(p.pid) == [], "left behind"
    assert wait_for_plain_text(p.pid) == []
    complaints = 0 if before is None else uprobes_leaked() - before
    assert complaints == 0
    rounds = finish(p, debian, target_script)
    show("harmless, random signals", "%d cycles ended by %s; gdb or strace beside in %d; %d rounds of the target, "
         "checksums unchanged, text equals the files, %s\n" % (
             cycles, ", ".join("%s %d" % kv for kv in sorted(ended.items())), cycles // 5, rounds,
             "the kernel log could not be read" if before is None else "no complaint in the kernel log"))


def test_text_differs_while_attached_and_not_after(debian, program, tool, target_script):
    """The check above can fail: breakpoints are visible as long as the tool is there."""
    p = program(debian, target_script("busy4.py"), 0)
    assert harness.text_mismatches(p.pid) == []
    t = tool("-p", p.pid, "--mode", "exact", 600)
    t.hello()
    assert harness.text_mismatches(p.pid) != []
    t.stop()
    assert harness.text_mismatches(p.pid) == []
    finish(p, debian, target_script)


def test_a_fork_of_the_target_works_on(debian, program, tool):
    """A child has the parent's breakpoints in its copied text; they must not harm it."""
    code = ("import os, sys\nprint('READY', flush=True)\nsys.stdin.readline()\nbad = 0\n"
            "for n in range(20):\n"
            "    pid = os.fork()\n"
            "    if pid == 0:\n"
            "        x = [{'a': i, 'b': [i * 1.5]} for i in range(20000)]\n"
            "        os._exit(len(x) % 251)\n"
            "    bad += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 20000 % 251\n"
            "print('done', bad, flush=True)\nsys.stdin.readline()\n")
    p = program(debian, "-c", code)
    t = tool("-p", p.pid, "--mode", "exact", 600)
    t.hello()
    assert p.go() == "0"
    interval, sites, _ = t.stop()
    # what the children allocated is not the target's
    assert interval["live_blocks"] < 5000, sites[:3]
    assert harness.text_mismatches(p.pid) == []


def test_other_processes_of_the_same_binary_are_not_counted(debian, program, tool, target_script):
    p = program(debian, "-c", "print('READY', flush=True)\nimport sys\nsys.stdin.readline()\n"
                                   "print('done', flush=True)\nsys.stdin.readline()\n")
    program(debian, target_script("leaky_cache.py"), 60)
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    time.sleep(1)
    p.go()
    _, sites, _ = t.stop()
    assert not [s for s in sites if s["file"].endswith("leaky_cache.py")]
