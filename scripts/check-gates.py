#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Gates of the house: each refuses what makes the code harder to work in.

size      no function of user/ or bpf/ over 60 lines
names     no new static function of one word (scripts/gates/one-word-statics.txt lists those that are still there)
prose     words of scripts/gates/prose.txt become fewer, never more
spelling  codespell over documents, code and scripts
subjects  commit subjects of at most 72 characters, since FIRST_COMMIT
tidy      clang-tidy with a few checks that find bugs

check-gates.py [GATE...]      run them (all)
check-gates.py --update       lower the counts of names and prose to what is there
check-gates.py --self-test    each gate refuses a wrong input
"""
import collections
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES_LIST = os.path.join(ROOT, "scripts/gates/one-word-statics.txt")
PROSE_LIST = os.path.join(ROOT, "scripts/gates/prose.txt")
SPELLING_IGNORED = os.path.join(ROOT, "scripts/gates/codespell-ignore.txt")
FUNCTION_LINES = 60
SUBJECT_COLUMNS = 72
FIRST_COMMIT = "79400ff"  # the rule about subjects holds from here on
TIDY_CHECKS = ",".join(["-*", "bugprone-infinite-loop", "bugprone-not-null-terminated-result",
                        "bugprone-suspicious-memset-usage", "bugprone-too-small-loop-variable",
                        "misc-redundant-expression", "readability-inconsistent-declaration-parameter-name",
                        "readability-misleading-indentation"])


def c_files(*rooms):
    out = {}
    for room in rooms:
        for folder, _, names in os.walk(os.path.join(ROOT, room)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as f:
                        out[os.path.relpath(path, ROOT)] = f.read()
    return out


# ---- the parts of a C file ----

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)


def comments(text):
    """(line, text) of each comment; lines of // that follow each other are one."""
    out = []
    for m in TOKEN.finditer(text):
        if m[0][0] == '"':
            continue
        line = text.count("\n", 0, m.start()) + 1
        body = m[0][2:-2] if m[0][1] == "*" else m[0][2:]
        body = re.sub(r"\n[ \t]*\*", "\n", body).strip("* \t\n")
        if not body.startswith("SPDX-License-Identifier"):
            out.append((line, body))
    return out


def strings(text):
    """(line, text) of each string with a space in it: a message, not a name."""
    return [(text.count("\n", 0, m.start()) + 1, m[0][1:-1]) for m in TOKEN.finditer(text)
            if m[0][0] == '"' and " " in m[0]]


# ---- gates: each takes texts, returns complaints ----

def gate_size(files):
    out = []
    for path, text in files.items():
        start = None
        for n, line in enumerate(text.splitlines(), 1):
            if line.startswith("{"):
                start = n
            elif line.startswith("}") and start:
                if n - start - 1 > FUNCTION_LINES:
                    out.append("%s:%d: function of %d lines (at most %d)" % (path, start, n - start - 1,
                                                                            FUNCTION_LINES))
                start = None
    return out


def one_word_statics(files):
    """name -> where. Only definitions: a line that starts with static, up to the parenthesis."""
    out = collections.defaultdict(list)
    for path, text in files.items():
        for m in re.finditer(r"^static\b[^;={}()]*?\b(\w+)\s*\([^;{}]*\)\s*\{", text, re.M):
            if "_" not in m[1]:
                out[m[1]].append("%s:%d" % (path, text.count("\n", 0, m.start()) + 1))
    return out


def read_names():
    allowed = {}
    with open(NAMES_LIST, encoding="utf-8") as f:
        for line in f:
            if line.strip() and line[0] != "#":
                name, count = line.split()
                allowed[name] = int(count)
    return allowed


def gate_names(files, allowed):
    out = []
    for name, places in sorted(one_word_statics(files).items()):
        if len(places) > allowed.get(name, 0):
            out.append("static %s() has one word, which gdb and perf show bare: give it a second one (%s)"
                       % (name, ", ".join(places)))
    return out


def read_prose():
    rows = []
    with open(PROSE_LIST, encoding="utf-8") as f:
        for line in f:
            if line.strip() and line[0] != "#":
                rows.append(line.rstrip("\n").split("\t"))
    return rows


OPENING = re.compile(r"(What|Of|Whose|The same)\b")


def prose_counts(files, rows):
    """pattern -> places, in comments and messages."""
    out = {row[0]: [] for row in rows}
    patterns = [(row[0], re.compile(r"\b(?:%s)\b" % row[0], re.I)) for row in rows if not row[0].startswith("comment ")]
    opening = [row[0] for row in rows if row[0].startswith("comment ")]
    for path, text in files.items():
        for line, body in comments(text):
            if opening and OPENING.match(body):
                out[opening[0]].append("%s:%d" % (path, line))
        for line, body in comments(text) + strings(text):
            for name, pattern in patterns:
                out[name] += ["%s:%d" % (path, line)] * len(pattern.findall(body))
    return out


def gate_prose(files, rows):
    out = []
    for name, places in prose_counts(files, rows).items():
        row = next(r for r in rows if r[0] == name)
        if len(places) > int(row[2]):
            out.append("%r stands %d times in comments and messages, %s allowed; write: %s (%s)"
                       % (name, len(places), row[2], row[1], ", ".join(places[-5:])))
    return out


def gate_spelling(paths):
    done = subprocess.run(["codespell", "-q", "3", "-I", SPELLING_IGNORED] + paths, capture_output=True, text=True,
                          check=False, cwd=ROOT)
    return [line for line in (done.stdout + done.stderr).splitlines() if line]


def commit_subjects():
    known = subprocess.run(["git", "merge-base", "--is-ancestor", FIRST_COMMIT, "HEAD"], cwd=ROOT, capture_output=True,
                           check=False)
    if known.returncode:
        return None  # a tarball, or a clone that is too shallow
    text = subprocess.run(["git", "log", "--no-merges", "--format=%h %s", FIRST_COMMIT + "..HEAD"], cwd=ROOT,
                          capture_output=True, text=True, check=True).stdout
    return text.splitlines()


def gate_subjects(lines):
    return ["commit %s: subject of %d characters (at most %d)" % (line.split()[0], len(line.split(" ", 1)[1]),
                                                                 SUBJECT_COLUMNS)
            for line in lines if len(line.split(" ", 1)[1]) > SUBJECT_COLUMNS]


def gate_tidy(paths):
    """Two processes at a time, a dozen files each."""
    flags = ["-std=gnu11", "-D_GNU_SOURCE", '-DTMBPF_VERSION="0"', "-I.", "-Iuser", "-Ibuild", "-w"]
    groups, running, out = [paths[i:i + 12] for i in range(0, len(paths), 12)], [], []
    while groups or running:
        while groups and len(running) < 2:
            running.append(subprocess.Popen(["clang-tidy", "--quiet", "--checks=" + TIDY_CHECKS] + groups.pop(0) +
                                            ["--"] + flags, cwd=ROOT, stdout=subprocess.PIPE,
                                            stderr=subprocess.DEVNULL, text=True))
        out += [line for line in running.pop(0).communicate()[0].splitlines()
                if re.search(r": (warning|error): ", line)]
    return sorted(set(out))


# ---- running them ----

def spelled_paths():
    return ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "user", "bpf", "scripts", "tests", "Makefile"]


def run_gate(name):
    files = c_files("user", "bpf")
    if name == "size":
        return gate_size(files)
    if name == "names":
        return gate_names(files, read_names())
    if name == "prose":
        return gate_prose(files, read_prose())
    if name == "spelling":
        return gate_spelling([p for p in spelled_paths() if os.path.exists(os.path.join(ROOT, p))])
    if name == "subjects":
        lines = commit_subjects()
        if lines is None:
            print("check-gates: subjects: %s is not in this history, nothing compared" % FIRST_COMMIT)
        return gate_subjects(lines or [])
    return gate_tidy([p for p in files if p.startswith("user/") and p.endswith(".c")])


GATES = ["size", "names", "prose", "spelling", "subjects", "tidy"]


def update():
    files = c_files("user", "bpf")
    first = not os.path.exists(NAMES_LIST)
    allowed = {} if first else read_names()
    found = one_word_statics(files)
    with open(NAMES_LIST, "w", encoding="utf-8") as f:
        f.write("# Static functions of one word that are still there: name, how often. No name may be added.\n")
        for name in sorted(found):
            count = len(found[name]) if first else min(len(found[name]), allowed.get(name, 0))
            if count:
                f.write("%s %d\n" % (name, count))
    rows, counts = read_prose(), prose_counts(files, read_prose())
    with open(PROSE_LIST, encoding="utf-8") as f:
        head = [line for line in f if line[0] == "#"]
    with open(PROSE_LIST, "w", encoding="utf-8") as f:
        f.write("".join(head))
        for name, instead, count in rows:
            now = len(counts[name])
            f.write("%s\t%s\t%d\n" % (name, instead, now if first else min(now, int(count))))


def self_test():
    failed = []

    def refuses(gate, complaints, what):
        if not any(what in c for c in complaints):
            failed.append("%s does not refuse: %r not in %r" % (gate, what, complaints))

    long = "static int long_one(void)\n{\n" + "\tx++;\n" * 61 + "}\n"
    refuses("size", gate_size({"user/a.c": long}), "user/a.c:2: function of 61 lines")
    if gate_size({"user/a.c": long.replace("\tx++;\n", "", 1)}):
        failed.append("size refuses a function of 60 lines")
    word = "static const struct x *\nlook(int a,\n     int b)\n{\n}\nstatic int two_words(void)\n{\n}\nstatic int data;\n"
    refuses("names", gate_names({"user/a.c": word}, {}), "static look()")
    if gate_names({"user/a.c": word}, {"look": 1}):
        failed.append("names refuses a name on its list, or two words")
    prose = '/* What is said here. */\nint x; // nobody\nconst char *s = "a door opens";\nint door;\n'
    rows = [["said", "logged", "0"], ["doors?", "entry point", "0"], ["nobody", "", "1"],
            ["comment opens with What", "the reason", "0"]]
    found = gate_prose({"user/a.c": prose}, rows)
    for what in ("'said' stands 1 times", "'doors?' stands 1 times", "opens with What' stands 1"):
        refuses("prose", found, what)
    if len(found) != 3:
        failed.append("prose refuses an allowed word: %r" % found)
    refuses("subjects", gate_subjects(["abc " + "x" * 73, "def short"]), "commit abc: subject of 73")
    if len(gate_subjects(["abc " + "x" * 72])):
        failed.append("subjects refuses 72 characters")
    folder = os.path.join(ROOT, "build", "gates-self-test")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "wrong.c")
    with open(path, "w", encoding="utf-8") as f:
        f.write("/* rec" + "ieve */\nint f(int a);\nint f(int b)\n{\n\treturn b == 1 && b == 1;\n}\n")
    refuses("spelling", gate_spelling([path]), "==>")
    refuses("tidy", gate_tidy([path]), "misc-redundant-expression")
    os.unlink(path)
    for line in failed:
        print("check-gates: self-test: " + line, file=sys.stderr)
    print("check-gates: self-test: %d gates, %d failures" % (len(GATES), len(failed)))
    return 1 if failed else 0


def main():
    if sys.argv[1:] == ["--update"]:
        update()
        return 0
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    bad = 0
    for name in sys.argv[1:] or GATES:
        complaints = run_gate(name)
        for line in complaints:
            print("check-gates: %s: %s" % (name, line), file=sys.stderr)
        print("check-gates: %s: %d complaints" % (name, len(complaints)))
        bad += len(complaints)
    return 1 if bad else 0


sys.exit(main())
