# SPDX-License-Identifier: GPL-2.0-or-later
"""What the report looks like: text and NDJSON, options, signals, pipes."""
import json
import os
import re
import signal
import subprocess
import time

import harness

SIZE = r"[+-]?[\d.]+ (B|KiB|MiB|GiB)"


def leaky(program, interpreter, target_script):
    return program(interpreter, target_script("leaky_cache.py"), 120)


def line_of(path, text):
    with open(path) as f:
        return next(n for n, line in enumerate(f, 1) if text in line)


def leak_line(target_script):
    return line_of(target_script("leaky_cache.py"), "# the leak")


def test_ndjson_has_the_promised_fields(interpreter, program, tool, target_script):
    p = leaky(program, interpreter, target_script)
    t = tool("-p", p.pid, "--mode", "exact", "-T", 0, 1, 2)
    assert t.read_to_end() == 0
    kinds = [r["type"] for r in t.records]
    assert kinds[0] == "hello" and kinds[-1] == "end"
    assert kinds.count("interval") == 2 and kinds.count("end") == 1
    hello = t.records[0]
    assert hello["schema"] == "tmbpf/1"
    assert hello["pid"] == p.pid
    assert hello["python"] == interpreter.version
    assert hello["frames"] == 25
    assert "python" in hello["domains"] and "native" in hello["domains"]
    assert hello.get("mode", hello.get("sampling", {}).get("mode")) == "exact"
    intervals = [r for r in t.records if r["type"] == "interval"]
    assert [i["seq"] for i in intervals] == [1, 2]
    for i in intervals:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", i["time"])
        assert i["live_bytes"] > 0 and i["live_blocks"] > 0 and i["mode"] == "exact"
        assert abs(i["rss_bytes"] - harness.status_kib(p.pid, "VmRSS") * 1024) < 64 << 20
        assert 0 <= i["cost_cpu_ratio"] < 1
        assert harness.coverage(i)[0] >= 0.99
        sites = [r for r in t.records if r["type"] == "site" and r["seq"] == i["seq"]]
        assert sum(s["bytes"] for s in sites) == i["live_bytes"]
        assert sum(s["blocks"] for s in sites) == i["live_blocks"]
        assert [s["bytes"] for s in sites] == sorted((s["bytes"] for s in sites), reverse=True)
        for s in sites:
            assert set(s) >= {"seq", "file", "line", "function", "domain", "bytes", "blocks"}
    assert intervals[1]["live_bytes"] > intervals[0]["live_bytes"]
    assert t.records[-1]["reason"] == "count" and t.records[-1]["exit"] == 0


def test_leaking_line_is_first_and_its_function_named(interpreter, program, tool, target_script):
    p = leaky(program, interpreter, target_script)
    t = tool("-p", p.pid, "--mode", "exact", 1, 2)
    assert t.read_to_end() == 0
    _, sites, _ = t.last()
    assert sites[0]["file"] == target_script("leaky_cache.py")
    assert sites[0]["line"] == leak_line(target_script)
    assert sites[0]["function"].endswith("remember")


def test_top_limits_sites(debian, program, tool, target_script):
    p = leaky(program, debian, target_script)
    t = tool("-p", p.pid, "--mode", "exact", "-T", 2, 1, 1)
    t.read_to_end()
    _, sites, _ = t.last()
    assert len(sites) <= 3  # two and at most a rest
    assert sites[0]["line"] == leak_line(target_script)


def test_by_filename_and_by_traceback(debian, program, tool, target_script):
    p = leaky(program, debian, target_script)
    t = tool("-p", p.pid, "--mode", "exact", "-T", 0, "--by", "filename", 1, 1)
    t.read_to_end()
    _, sites, _ = t.last()
    files = [(s["file"], s["domain"]) for s in sites]
    assert len(files) == len(set(files)) and sites[0]["file"] == target_script("leaky_cache.py")
    t = tool("-p", p.pid, "--mode", "exact", "-T", 0, "--by", "traceback", 1, 1)
    t.read_to_end()
    _, sites, _ = t.last()
    stack = sites[0]["stack"]
    assert [f[2].split(".")[-1] for f in stack[:4]] == ["remember", "handle", "main", "<module>"]
    assert stack[0][:2] == [target_script("leaky_cache.py"), leak_line(target_script)]


def test_frames_limits_the_stack(debian, program, tool, target_script):
    p = leaky(program, debian, target_script)
    t = tool("-p", p.pid, "--mode", "exact", "--frames", 2, "--by", "traceback", 1, 1)
    assert t.hello()["frames"] == 2
    t.read_to_end()
    _, sites, _ = t.last()
    assert max(len(s["stack"]) for s in sites if s.get("stack")) == 2


def test_text_report(interpreter, program, target_script):
    p = leaky(program, interpreter, target_script)
    out = harness.run_tool("-p", p.pid, "--mode", "exact", 1, 2)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert lines[0].startswith("tmbpf ") and str(p.pid) in lines[0] and interpreter.version in lines[0]
    blocks = [n for n, text in enumerate(lines) if re.match(r"\[\d\d:\d\d:\d\d\] live \+", text)]
    assert len(blocks) == 2, out.stdout
    assert re.match(r"\[..:..:..\] live \+" + SIZE[5:] + r" in \d+ blocks since attach", lines[blocks[0]])
    first = lines[blocks[1] + 1]
    assert re.match(r"^ +\+[\d.]+ [KMG]?i?B .*leaky_cache\.py:%d \(\d+ blocks\)" % leak_line(target_script),
                    first), out.stdout
    assert "remember" in first
    assert "\x1b" not in out.stdout, "no colour into a pipe"


def test_verbose_prints_the_traceback_of_the_first(debian, program, target_script):
    p = leaky(program, debian, target_script)
    out = harness.run_tool("-p", p.pid, "--mode", "exact", "-v", 1, 1)
    assert out.returncode == 0, out.stderr
    for name in ("remember", "handle", "main"):
        assert re.search(r"\b%s\b" % name, out.stdout), out.stdout
    path = target_script("leaky_cache.py")
    assert 'File "%s", line %d' % (path, leak_line(target_script)) in out.stdout


def interrupted(program_, sig, *args):
    t = harness.Tool("-p", program_.pid, "--mode", "exact", *args, json_output=False)
    with t:
        first = t.lines.take(30)
        assert first.startswith("tmbpf ")
        time.sleep(2.5)
        t.proc.send_signal(sig)
        lines = [first]
        while True:
            line = t.lines.take(30)
            if line is None:
                break
            lines.append(line)
        return t.proc.wait(10), "\n".join(lines), t.stderr()


def test_sigint_gives_a_final_report_with_the_suspect(interpreter, program, target_script):
    p = leaky(program, interpreter, target_script)
    rc, text, err = interrupted(p, signal.SIGINT, 1)
    assert rc == 0, err
    assert re.search(r"Suspect: .*leaky_cache\.py:%d" % leak_line(target_script), text + err), text + err
    assert re.search(r"\[..:..:..\] live \+", text)
    assert p.alive()


def test_sigterm_is_like_sigint(debian, program, target_script):
    p = leaky(program, debian, target_script)
    rc, text, err = interrupted(p, signal.SIGTERM, 1)
    assert rc == 0 and "Suspect" in text + err


def test_sigint_in_ndjson(debian, program, tool, target_script):
    p = leaky(program, debian, target_script)
    t = tool("-p", p.pid, "--mode", "exact", 600)
    t.hello()
    time.sleep(1)
    interval, sites, end = t.stop()
    assert t.proc.returncode == 0
    assert end["reason"] == "sigint" and end["exit"] == 0
    assert interval["seq"] == 1 and sites


def test_sigusr1_is_a_report_now(debian, program, tool, target_script):
    p = leaky(program, debian, target_script)
    t = tool("-p", p.pid, "--mode", "exact", 600, 1)
    t.hello()
    for seq in (1, 2):
        time.sleep(0.3)
        t.proc.send_signal(signal.SIGUSR1)
        interval = t.interval()
        assert interval["seq"] == seq and interval["elapsed_s"] < 30
    t.stop()
    assert t.proc.returncode == 0


def test_closed_pipe_is_quiet(debian, program, target_script):
    p = leaky(program, debian, target_script)
    for extra in ([], ["-j"]):
        proc = subprocess.Popen([harness.BINARY, "-p", str(p.pid), "--mode", "exact", *extra, "1"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL, env=harness.tool_env())
        proc.stdout.readline()
        proc.stdout.close()
        err = proc.stderr.read()
        rc = proc.wait(30)
        proc.stderr.close()
        assert rc in (0, 141, -signal.SIGPIPE), (rc, err)
        assert "error" not in err.lower() and "pipe" not in err.lower(), err
    assert p.alive()


def test_default_interval_and_mode_header(debian, program, tool, target_script):
    """Without --mode the trial window decides, and the header says which mode it is."""
    p = leaky(program, debian, target_script)
    t = tool("-p", p.pid, 1, 1)
    hello = t.hello()
    assert hello.get("mode", hello.get("sampling", {}).get("mode")) in ("exact", "pools")
    assert t.read_to_end() == 0


def test_mode_pools_forced(interpreter, program, tool, target_script):
    p = program(interpreter, target_script("busy4.py"), 0)
    t = tool("-p", p.pid, "--mode", "pools", 1, 2)
    assert t.read_to_end() == 0
    interval, _, _ = t.last()
    assert interval["mode"] == "pools"
    assert p.alive()


def test_auto_on_a_busy_target_is_pools_and_names_the_command(debian, program, target_script):
    p = program(debian, target_script("busy4.py"), 0)
    out = harness.run_tool("-p", p.pid, 1, 1)
    assert out.returncode == 0, out.stderr
    assert "pools" in out.stdout + out.stderr
    assert "--mode exact" in out.stdout + out.stderr


def test_overhead_budget_is_honoured_by_auto(debian, program, tool, target_script):
    p = program(debian, target_script("busy4.py"), 0)
    t = tool("-p", p.pid, "--overhead", "100000%", 1, 1)
    hello = t.hello()
    assert hello.get("mode", hello.get("sampling", {}).get("mode")) == "exact"
    t.read_to_end()


def test_two_tools_at_once(debian, program, tool, target_script):
    """Both see the same line, or the second says why not (E306)."""
    p = leaky(program, debian, target_script)
    a = tool("-p", p.pid, "--mode", "exact", 600)
    a.hello()
    b = harness.run_tool("-j", "-p", p.pid, "--mode", "exact", 1, 1)
    if b.returncode == 0:
        sites = [json.loads(x) for x in b.stdout.splitlines() if '"site"' in x]
        assert sites[0]["line"] == leak_line(target_script)
    else:
        assert "E306" in b.stderr + b.stdout
    assert a.proc.poll() is None


def test_sites_of_pid_and_of_file(interpreter, program, target_script):
    p = leaky(program, interpreter, target_script)
    out = harness.run_tool("sites", "-p", p.pid)
    assert out.returncode == 0, out.stderr
    assert re.search(r"pop", out.stdout) and re.search(r"refill|new-pool sites", out.stdout)
    mapped = sorted({w[5] for w in (x.split(None, 5) for x in open("/proc/%d/maps" % p.pid))
                     if len(w) > 5 and "x" in w[1] and "python" in os.path.basename(w[5])
                     and (".so" not in w[5] or "libpython" in w[5])})
    library = [m.strip() for m in mapped if "libpython" in m] or [m.strip() for m in mapped]
    out = harness.run_tool("sites", os.path.realpath(library[0]))
    assert out.returncode == 0, out.stderr
    assert re.search(r"pop", out.stdout)
