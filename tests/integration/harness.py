# SPDX-License-Identifier: GPL-2.0-or-later
"""Start and drive the tool and its targets. No test logic here."""
import functools
import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("OUTPUT", "build"))
BINARY = os.path.join(BUILD, "tmbpf")
TARGETS = os.path.join(ROOT, "tests", "targets")
FULL = os.environ.get("TMBPF_FULL") == "1"

# The & of a script has us ignore it, and all that we start with us: the tool would not end by it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The interpreters of every `make check`; all of `scripts/interpreters list` with TMBPF_FULL=1.
QUICK = ["system", "pyenv-3.8", "pyenv-3.13", "debian-3.15"]


# ---- interpreters ----

class Interpreter:
    """One that tests run with. root "/": of this system; else it runs inside that root, with its own libc."""

    def __init__(self, name, version, root, path):
        self.name = self.label = name
        self.version = version
        self.root = root
        self.path = path
        self.v = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", version).groups())

    @property
    def stock(self):
        """A distribution's build: optimised with a profile and across files, stripped."""
        return self.name == "system" or self.name.startswith("debian-")

    @property
    def free_threaded(self):
        return re.search(r"\d+t$", self.path) is not None

    def __repr__(self):
        return self.name


# The repository and /tmp keep their paths inside a root. No --fork, and exec all the way: the pid stays.
ENTER = """set -e
root=$1; repo=$2; shift 2
mkdir -p "$root$repo" "$root/tmp" "$root/proc" "$root/dev"
mount --bind /dev "$root/dev"
mount --bind "$repo" "$root$repo"
mount --bind /tmp "$root/tmp"
mount -t proc proc "$root/proc"
exec chroot "$root" "$@"
"""


def command(program, *args):
    """The command line of a program: an Interpreter, or a path on this system."""
    path = getattr(program, "path", program)
    argv = [str(a) for a in (path,) + args]
    root = getattr(program, "root", "/")
    if root == "/":
        return argv
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", ENTER, "sh", root, ROOT] + argv


@functools.lru_cache(maxsize=None)
def interpreter_list():
    """What scripts/interpreters list says: ([Interpreter, ...], [(name, reason), ...])."""
    out = subprocess.run([os.path.join(ROOT, "scripts", "interpreters"), "list"], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True)
    found, missing = [], []
    for line in out.stdout.splitlines():
        words = line.split("\t")
        if words[1] == "missing":
            missing.append((words[0], words[2]))
        else:
            found.append(Interpreter(*words))
    if not found:
        raise RuntimeError("scripts/interpreters list names no interpreter: %s" % out.stderr)
    return found, missing


def interpreter_named(name):
    """(Interpreter, None), or (None, reason)."""
    found, missing = interpreter_list()
    for interpreter in found:
        if interpreter.name == name:
            return interpreter, None
    return None, dict(missing).get(name, "not in scripts/interpreters list")


def probe_interpreter(name, path):
    """An interpreter of this system that is in no list, or None when it does not run."""
    try:
        out = subprocess.run([path, "-c", "import platform; print(platform.python_version())"],
                             capture_output=True, text=True, env=target_env())
    except OSError:
        return None
    if out.returncode != 0 or not re.match(r"\d+\.\d+", out.stdout):
        return None
    return Interpreter(name, out.stdout.strip(), "/", path)


def extra_interpreters():
    """The paths in TMBPF_PYTHONS."""
    found, missing = [], []
    for path in filter(None, os.environ.get("TMBPF_PYTHONS", "").split(":")):
        interpreter = probe_interpreter("extra" + path.replace("/", "-"), path)
        if interpreter:
            found.append(interpreter)
        else:
            missing.append((path, "named by TMBPF_PYTHONS, but it does not run"))
    return found, missing


def find_interpreters(full=FULL):
    """(found, missing): Interpreters to test with, and (name, reason) of those that are not here."""
    found, missing = interpreter_list()
    extra, extra_missing = extra_interpreters()
    return ([i for i in found if full or i.name in QUICK] + extra,
            [m for m in missing if full or m[0] in QUICK] + extra_missing)


def pyenv_python(version):
    """Path of a pyenv-built interpreter that the list does not name, or None."""
    for interpreter in interpreter_list()[0]:
        if interpreter.name.startswith("pyenv-"):
            versions = os.path.dirname(os.path.dirname(os.path.dirname(interpreter.path)))
            path = os.path.join(versions, version, "bin", "python")
            return path if os.access(path, os.X_OK) else None
    return None


def target_env(**extra):
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/",
           "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    env.update({k: str(v) for k, v in extra.items()})
    return env


# ---- processes ----

class Lines:
    """Lines of a stream, read by a thread, taken with a deadline."""

    def __init__(self, stream):
        self.queue = queue.Queue()
        self.seen = []
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        try:
            for line in stream:
                self.queue.put(line.rstrip("\n"))
        except ValueError:
            pass
        self.queue.put(None)

    def take(self, timeout):
        """The next line; None at the end of the stream; TimeoutError."""
        try:
            line = self.queue.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("no line within %.1f s; before: %r" % (timeout, self.seen[-3:]))
        if line is None:
            self.queue.put(None)
        else:
            self.seen.append(line)
        return line


class Program:
    """A target: prints READY, works after "go", prints "done", lives until "quit".

    argv[0] is an Interpreter, or the path of a program on this system.
    """

    def __init__(self, argv, env=None, cwd=None, ready=True, timeout=120):
        argv = command(*argv)
        self.argv = argv
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd,
                                     stderr=subprocess.DEVNULL, text=True, env=env or target_env())
        self.pid = self.proc.pid
        self.lines = Lines(self.proc.stdout)
        self.timeout = timeout
        self.ready_text = self.expect("READY") if ready else ""

    def expect(self, word, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            line = self.lines.take(max(0.01, deadline - time.monotonic()))
            if line is None:
                raise RuntimeError("%s ended with %r before %r" % (self.argv, self.proc.wait(), word))
            if line.startswith(word):
                return line[len(word):].strip()

    def say(self, word):
        self.proc.stdin.write(word + "\n")
        self.proc.stdin.flush()

    def go(self, timeout=None):
        self.say("go")
        return self.expect("done", timeout)

    def go_for(self, seconds):
        """Work for so long; what it says at the end."""
        self.say("go %g" % seconds)
        return self.expect("done", seconds + 30)

    def alive(self):
        if self.proc.poll() is not None:
            return False
        with open("/proc/%d/stat" % self.pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZXx"

    def quit(self, timeout=30):
        if self.proc.poll() is None:
            try:
                self.say("quit")
            except (BrokenPipeError, ValueError):
                pass
        return self.proc.wait(timeout)

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Tool:
    """build/tmbpf -j, its NDJSON as dictionaries."""

    def __init__(self, *args, json_output=True, env=None, wrap=(), cwd=None, binary=BINARY):
        argv = list(wrap) + [binary] + (["-j"] if json_output else []) + [str(a) for a in args]
        self.argv = argv
        self.stderr_file = tempfile.TemporaryFile(mode="w+")
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=self.stderr_file, text=True, env=env or tool_env(), cwd=cwd)
        self.pid = self.proc.pid
        self.lines = Lines(self.proc.stdout)
        self.records = []

    def stderr(self):
        self.stderr_file.flush()
        self.stderr_file.seek(0)
        return self.stderr_file.read()

    def next(self, timeout=30):
        line = self.lines.take(timeout)
        if line is None:
            return None
        record = json.loads(line)
        self.records.append(record)
        return record

    def wait_type(self, kind, timeout=30):
        deadline = time.monotonic() + timeout
        while True:
            try:
                record = self.next(max(0.01, deadline - time.monotonic()))
            except TimeoutError as e:
                raise TimeoutError("no %s record: %s; stderr: %s" % (kind, e, self.stderr()))
            if record is None:
                raise RuntimeError("%s ended (%r) before a %s record; stderr: %s" %
                                   (" ".join(self.argv), self.proc.wait(), kind, self.stderr()))
            if record.get("type") == kind:
                return record

    def hello(self, timeout=60):
        return self.wait_type("hello", timeout)

    def interval(self, timeout=60):
        return self.wait_type("interval", timeout)

    def drop_old(self):
        """Forget intervals that were printed before now; the next one is a new one."""
        while True:
            try:
                if self.next(0.05) is None:
                    return
            except TimeoutError:
                return

    def read_to_end(self, timeout=60):
        deadline = time.monotonic() + timeout
        while self.next(max(0.01, deadline - time.monotonic())) is not None:
            pass
        return self.proc.wait(max(0.01, deadline - time.monotonic()))

    def stop(self, sig=signal.SIGINT, timeout=60):
        """Interrupt; read the final interval and end; returns (interval, sites, end)."""
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        self.read_to_end(timeout)
        return self.last()

    def last(self):
        """(interval, sites, end): the last interval with its sites; any may be None."""
        interval = end = None
        for record in self.records:
            if record.get("type") == "interval":
                interval = record
            elif record.get("type") == "end":
                end = record
        sites = [] if interval is None else [r for r in self.records if r.get("type") == "site"
                                             and r.get("seq") == interval.get("seq")]
        return interval, sites, end

    def warnings(self):
        return [r for r in self.records if r.get("type") == "warning"]

    def bpf_ids(self):
        """{'prog': {...}, 'link': {...}, 'map': {...}}: ids held by the tool, from its descriptors."""
        ids = {"prog": set(), "link": set(), "map": set()}
        for _, info in fd_infos(self.pid):
            for kind in ids:
                m = re.search(r"^%s_id:\s*(\d+)" % kind, info, re.M)
                # a link's fdinfo names its program as well
                if m:
                    ids[kind].add(int(m.group(1)))
        return ids

    def map_memory(self):
        """Bytes of BPF maps held by the tool (memlock, as bpftool map show prints it)."""
        total = 0
        seen = set()
        for _, info in fd_infos(self.pid):
            m = re.search(r"^map_id:\s*(\d+)", info, re.M)
            mem = re.search(r"^memlock:\s*(\d+)", info, re.M)
            if m and mem and m.group(1) not in seen:
                seen.add(m.group(1))
                total += int(mem.group(1))
        return total

    def close(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGINT)
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
        self.proc.wait()
        self.stderr_file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def fd_infos(pid):
    out = []
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        try:
            with open("/proc/%d/fdinfo/%s" % (pid, fd)) as f:
                out.append((int(fd), f.read()))
        except OSError:
            pass
    return out


def tool_env(**extra):
    env = dict(os.environ)
    env.pop("NO_COLOR", None)
    env["XDG_CACHE_HOME"] = os.path.join(BUILD, "test-cache")
    env["LC_ALL"] = "C.UTF-8"
    env.update({k: str(v) for k, v in extra.items()})
    return env


def run_tool(*args, timeout=60, wrap=(), env=None, **kw):
    """Run to the end: CompletedProcess with text."""
    return subprocess.run(list(wrap) + [BINARY] + [str(a) for a in args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout, env=env or tool_env(), **kw)


def coverage(interval, domain="python"):
    """(ratio, recorded, missed) of an interval."""
    c = interval["coverage"][domain]
    return c["ratio"], c["recorded"], c["missed"]


def lost(interval):
    """{reason: count} of what was lost, without zeros."""
    value = interval.get("lost") or {}
    if isinstance(value, (int, float)):
        return {"total": value} if value else {}
    return {k: v for k, v in value.items() if v}


def status_kib(pid, key):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return None


def process_state(pid):
    """The letter of /proc/PID/stat; Z also for a process whose main thread alone has ended."""
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def text_mismatches_of_thread(pid):
    """As text_mismatches(), of a process whose main thread has ended: through one that runs."""
    tids = [int(t) for t in os.listdir("/proc/%d/task" % pid)]
    return text_mismatches(next(t for t in tids if process_state(t) != "Z"))


def clean(text):
    """A name as reports print it: what steers a terminal is '?'."""
    return re.sub("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "?", text)


def text_mismatches(pid):
    """Compare every executable file mapping of a process with its file: list of differences."""
    bad = []
    with open("/proc/%d/maps" % pid) as f:
        maps = f.read().splitlines()
    with open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            words = line.split(None, 5)
            if len(words) < 6 or "x" not in words[1] or not words[5].startswith("/"):
                continue
            start, end = (int(x, 16) for x in words[0].split("-"))
            with open("/proc/%d/map_files/%x-%x" % (pid, start, end), "rb") as f:
                f.seek(int(words[2], 16))
                want = f.read(end - start)
            mem.seek(start)
            have = mem.read(end - start)[:len(want)]
            if have != want:
                at = next(i for i in range(len(want)) if have[i] != want[i])
                bad.append("%s+0x%x: %02x in memory, %02x in the file" %
                           (words[5], int(words[2], 16) + at, have[at], want[at]))
    return bad


def bpf_objects_left(ids, timeout=10):
    """Which of these program and link ids still exist after a while (RCU frees them late)."""
    deadline = time.monotonic() + timeout
    while True:
        left = {}
        for kind in ("prog", "link"):
            out = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True)
            now = {o["id"] for o in json.loads(out.stdout or "[]") if isinstance(o, dict) and "id" in o}
            if now & ids[kind]:
                left[kind] = sorted(now & ids[kind])
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def table(rows, header):
    """Plain text columns; numbers to the right."""
    rows = [[str(c) for c in r] for r in [header] + rows]
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    out = []
    for r in rows:
        out.append("  ".join(c.rjust(w) if re.fullmatch(r"[+-]?[\d.]+%?", c) else c.ljust(w)
                             for c, w in zip(r, widths)).rstrip())
    return "\n".join(out) + "\n"
