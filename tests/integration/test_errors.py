# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: a coded error with its fix, the right exit code, and the target goes on."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import harness


def said(out):
    return out.stdout + out.stderr


def free_pid():
    """A number that is no process now: of a child that has ended."""
    p = subprocess.Popen(["true"])
    p.wait()
    return p.pid


def test_no_such_pid():
    out = harness.run_tool("-p", free_pid(), 1, 1)
    assert out.returncode == 3
    assert "E301" in said(out)


@pytest.mark.parametrize("args", [["-p"], ["-p", "abc"], ["-p", "-5"], ["-p", "0"], ["--no-such-option"], [],
                                  ["-p", "1", "--mode", "fast"], ["-p", "1", "--by", "colour"],
                                  ["-p", "1", "--frames", "0"], ["-p", "1", "--frames", "129"],
                                  ["-p", "1", "x"], ["-p", "1", "0"], ["-p", "1", "1", "x"],
                                  ["-p", "1", "--overhead", "many"], ["-p", "1", "-T", "-1"],
                                  ["no-such-verb"], ["sites"]])
def test_wrong_usage_is_2(args):
    out = harness.run_tool(*args)
    assert out.returncode == 2, said(out)
    assert not out.stdout
    assert out.stderr, "a reason is expected"


def test_help_and_version_are_0():
    out = harness.run_tool("--help")
    assert out.returncode == 0 and "--mode" in out.stdout and "INTERVAL" in out.stdout
    out = harness.run_tool("--version")
    assert out.returncode == 0 and re.search(r"\d+\.\d+\.\d+", out.stdout)


def test_no_privileges_is_4(debian, program, target_script, tmp_path):
    p = program(debian, target_script("leaky_cache.py"), 60)
    wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]
    copy = tmp_path / "tmbpf"  # a place that the user may read
    shutil.copy(harness.BINARY, copy)
    os.chmod(copy, 0o755)
    for d in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(d, 0o755)
    out = subprocess.run(wrap + [str(copy), "-p", str(p.pid), "1", "1"], stdin=subprocess.DEVNULL, text=True,
                         capture_output=True, timeout=30, env=harness.tool_env(XDG_CACHE_HOME=tmp_path / "c"))
    assert out.returncode == 4, said(out)
    assert re.search(r"E40\d", said(out)) and "sudo" in said(out)
    assert p.alive()


def test_not_python_still_has_native(tool):
    p = subprocess.Popen(["sleep", "60"])
    try:
        t = tool("-p", p.pid, "--mode", "exact", 1, 1)
        hello = t.hello()
        assert not hello.get("python")
        assert "native" in hello["domains"] and "python" not in hello["domains"]
        assert t.read_to_end() == 0
        assert p.poll() is None
        out = harness.run_tool("-p", p.pid, "--mode", "exact", 1, 1)
        assert "sleep" in said(out) and re.search(r"not (a )?(C?Python|python)", said(out), re.I), said(out)
    finally:
        p.kill()
        p.wait()


@pytest.mark.parametrize("version", ["2.7.18"])
def test_unsupported_version_is_named(version):
    path = harness.pyenv_python(version)
    if not path:
        pytest.skip("no pyenv-built %s on this machine" % version)
    p = subprocess.Popen([path, "-c", "import time\nwhile True: time.sleep(0.05); x = [bytearray(4000)]"])
    try:
        time.sleep(0.5)
        out = harness.run_tool("-p", p.pid, "--mode", "exact", 1, 1)
        assert re.search(r"[EW]30\d|[EW]1\d\d", said(out)), said(out)
        assert version.rsplit(".", 1)[0] in said(out)
        assert out.returncode in (0, 3, 5)  # native only, or refused: 2.3 names both
        assert p.poll() is None
    finally:
        p.kill()
        p.wait()


def test_kernel_thread_and_zombie(tmp_path):
    out = harness.run_tool("-p", 2, 1, 1)
    assert out.returncode in (3, 5) and re.search(r"E\d\d\d", said(out)), said(out)
    p = subprocess.Popen(["true"])
    time.sleep(0.3)
    out = harness.run_tool("-p", p.pid, 1, 1)
    p.wait()
    assert out.returncode == 3 and re.search(r"E30\d", said(out)), said(out)


def test_own_pid_and_init_do_not_hang():
    out = subprocess.run(["sh", "-c", 'exec "$0" -p $$ 1 1', harness.BINARY], capture_output=True, text=True,
                         timeout=30, stdin=subprocess.DEVNULL, env=harness.tool_env())
    assert out.returncode in (2, 3, 5) and re.search(r"E\d\d\d", said(out)), said(out)


@pytest.mark.parametrize("delay_ms", [0, 1, 3, 10, 30, 80, 200])
def test_target_exits_during_attach(debian, delay_ms):
    """Whenever it dies, the tool ends by itself with a sensible code."""
    p = subprocess.Popen([debian.path, "-c", "import time\nx = []\nwhile True: x.append([1.5]); time.sleep(1e-4)"])
    time.sleep(0.3)
    t = subprocess.Popen([harness.BINARY, "-j", "-p", str(p.pid), "--mode", "exact", "1"], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                         env=harness.tool_env())
    time.sleep(delay_ms / 1000)
    p.kill()
    p.wait()
    try:
        out, err = t.communicate(timeout=30)
    finally:
        t.kill()
    assert t.returncode in (0, 3), (t.returncode, err)
    if t.returncode == 3:
        assert re.search(r"E30\d", out + err), out + err


def test_target_exit_gives_the_last_report(interpreter, program, tool, target_script):
    """Names are still resolved although the target is gone."""
    p = program(interpreter, target_script("leaky_cache.py"), 3)
    t = tool("-p", p.pid, "--mode", "exact", 1)
    t.hello()
    assert t.read_to_end(60) == 0
    interval, sites, end = t.last()
    assert "exit" in end["reason"] and end["exit"] == 0
    assert sites and sites[0]["file"] == target_script("leaky_cache.py")
    assert sites[0]["function"].endswith("remember")


def test_target_killed_gives_the_last_report(debian, program, tool, target_script):
    p = program(debian, target_script("leaky_cache.py"), 60)
    t = tool("-p", p.pid, "--mode", "exact", 1)
    t.interval()
    p.proc.send_signal(signal.SIGKILL)
    assert t.read_to_end(30) == 0
    interval, sites, end = t.last()
    assert end["reason"] == "target-signal" and end["target_signal"] == signal.SIGKILL
    assert sites and sites[0]["file"] == target_script("leaky_cache.py")


def test_target_exec_ends_with_its_reason(debian, program, tool):
    code = ("import os, sys, time\nprint('READY', flush=True)\nx = []\nend = time.monotonic() + 3\n"
            "while time.monotonic() < end:\n    x.append([1.5, 2.5]); time.sleep(0.001)\n"
            "os.execv('/bin/sleep', ['sleep', '20'])\n")
    p = program(debian, "-c", code)
    t = tool("-p", p.pid, "--mode", "exact", 1)
    t.hello()
    t.read_to_end(60)
    _, sites, end = t.last()
    assert "exec" in end["reason"]
    assert t.proc.returncode == 0
    assert sites
    assert p.alive(), "the new program goes on"


def start_copy(interpreter, tmp_path, program, **kw):
    """A copy of the interpreter's executable in a directory of its own, running a leak."""
    copy = tmp_path / "python3"
    shutil.copy(os.path.realpath(interpreter.path), copy)
    code = ("import time\nprint('READY', flush=True)\nkept = []\ndef leak():\n    kept.append([1.5, 2.5])\n"
            "while True:\n    leak(); time.sleep(0.001)\n")
    return copy, program(copy, "-c", code, **kw)


def test_warnings_from_before_the_header_come_after_it(debian, program, tool, tmp_path):
    """All that stderr shows while it attaches is on stdout as well, each once and in this order."""
    copy, p = start_copy(debian, tmp_path, program, env=harness.target_env(PYTHONMALLOC="malloc"))
    copy.unlink()
    t = tool("-p", p.pid, "--mode", "exact", "300ms", 1)
    assert t.read_to_end() == 0
    on_stderr = re.findall(r"^tmbpf: warning (W\d\d\d): ", t.stderr(), re.M)
    assert len(on_stderr) >= 2, t.stderr()
    assert [w["code"] for w in t.warnings()] == on_stderr
    assert t.records[0]["type"] == "hello"


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_binary_gone_from_disk(how, debian, program, tool, tmp_path):
    copy, p = start_copy(debian, tmp_path, program)
    copy.unlink()
    if how == "replaced":
        shutil.copy("/bin/true", copy)
    t = tool("-p", p.pid, "--mode", "exact", 1, 2)
    rc = t.read_to_end()
    _, sites, _ = t.last()
    if rc == 0:
        assert any(s["function"].endswith("leak") and s["blocks"] > 100 for s in sites), (sites, t.stderr())
    else:
        text = t.stderr() + str(t.records)
        assert rc in (3, 4, 5) and re.search(r"[EW]\d\d\d", text) and "delet" in text, text
    assert p.alive()


def test_binary_replaced_under_the_cache(debian, program, tool, tmp_path):
    """The cache of sites is keyed by build-id: another file at the same path must not use it."""
    copy, p = start_copy(debian, tmp_path, program)
    t = tool("-p", p.pid, "--mode", "exact", 1, 1)
    assert t.read_to_end() == 0
    t = tool("-p", p.pid, "--mode", "exact", "--no-cache", 1, 1)
    assert t.read_to_end() == 0
    assert p.alive()


def test_broken_cache_is_ignored(debian, program, tool, tmp_path, target_script):
    p = program(debian, target_script("leaky_cache.py"), 60)
    cache = tmp_path / "cache"
    env = harness.tool_env(XDG_CACHE_HOME=cache)
    t = tool("-p", p.pid, "--mode", "exact", 1, 1, env=env)
    assert t.read_to_end() == 0
    files = [os.path.join(d, f) for d, _, fs in os.walk(cache) for f in fs]
    assert files, "nothing was cached below XDG_CACHE_HOME"
    for damage in (b"", b"\xff" * 4096, None):
        for path in files:
            data = open(path, "rb").read()
            with open(path, "wb") as f:
                f.write(data[:len(data) // 2] if damage is None else damage)
        t = tool("-p", p.pid, "--mode", "exact", 1, 1, env=env)
        assert t.read_to_end() == 0, t.stderr()
        assert harness.coverage(t.last()[0])[0] >= 0.99
    assert p.alive()


def test_other_pid_namespace_is_explained(debian):
    """A number that only means something inside a container's pid namespace."""
    if subprocess.run(["unshare", "-pf", "true"], capture_output=True).returncode != 0:
        pytest.skip("unshare -p is not possible here")
    p = subprocess.Popen(["unshare", "-pf", "--mount-proc", debian.path, "-c",
                          "import os, time\nprint(os.getpid(), flush=True)\nx = []\n"
                          "while True: x.append([1.5]); time.sleep(0.001)"],
                         stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert p.stdout.readline().strip() == "1"
        children = open("/proc/%d/task/%d/children" % (p.pid, p.pid)).read().split()
        out = harness.run_tool("-p", children[0], "--mode", "exact", 1, 1)
        assert out.returncode == 0, said(out)
        assert "<string>" in out.stdout
    finally:
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        p.stdout.close()


@pytest.mark.parametrize("setting", ["malloc", "malloc_debug", "pymalloc_debug"])
def test_other_allocators_are_named_or_refused(setting, debian, tool):
    env = harness.target_env(PYTHONMALLOC=setting)
    p = subprocess.Popen([debian.path, "-c", "import time\nx = []\nwhile True: x.append([1.5]); time.sleep(0.001)"],
                         env=env)
    try:
        time.sleep(0.5)
        t = tool("-p", p.pid, "--mode", "exact", 1, 1)
        rc = t.read_to_end()
        assert rc in (0, 3, 5)
        assert re.search(r"[EW]\d\d\d", t.stderr() + str(t.warnings())), (t.stderr(), t.records)
        assert p.poll() is None
    finally:
        p.kill()
        p.wait()


def test_no_btf_is_5(debian, program, target_script):
    p = program(debian, target_script("leaky_cache.py"), 60)
    wrap = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"]
    out = harness.run_tool("-p", p.pid, 1, 1, wrap=wrap)
    assert out.returncode == 5, said(out)
    assert "E501" in said(out) and "CONFIG_DEBUG_INFO_BTF" in said(out)
    assert p.alive()


def test_no_bpf_capability_is_4(debian, program, target_script):
    """Root that may look into the process, but not load programs."""
    p = program(debian, target_script("leaky_cache.py"), 60)
    wrap = ["capsh", "--drop=cap_bpf,cap_perfmon,cap_sys_admin", "--shell=/bin/sh", "--", "-c",
            'exec "$@"', "sh"]
    out = harness.run_tool("-p", p.pid, 1, 1, wrap=wrap)
    assert out.returncode == 4, said(out)
    assert "E401" in said(out) and "cap_bpf" in said(out)
    assert p.alive()
