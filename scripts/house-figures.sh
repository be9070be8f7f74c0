#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Figures of a tree: how well it reads, how large its parts are. house-figures.sh [TREE...]: one column a tree.
# A comment gives a reason when it holds one of: because, so that, otherwise, else, since, unless, without, would,
# cannot, must not, instead, only when, until, even if, to avoid. That is a heuristic, the same for every tree.
set -euo pipefail
[ $# -gt 0 ] || set -- "$(dirname "$0")/.."
exec /usr/bin/python3 - "$@" <<'PY'
import os, re, statistics, subprocess, sys

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
REASON = re.compile(r"\b(because|so that|otherwise|else|since|unless|without|would|cannot|must not|instead|only when|"
                    r"until|even if|to avoid)\b", re.I)
OPENING = re.compile(r"(What|Of|Whose|The same)\b")
WORDS = re.compile(r"\b(said|says?|told|words? of|nobody|behind|anew|persons?|strangers?|whoever)\b", re.I)


def figures(tree):
    texts, lines = {}, 0
    for room in ("user", "bpf"):
        for folder, _, names in os.walk(os.path.join(tree, room)):
            for n in names:
                if n.endswith((".c", ".h")):
                    texts[os.path.join(folder, n)] = open(os.path.join(folder, n), encoding="utf-8").read()
    comments, statics, chains, sizes = [], 0, 0, []
    for path, text in texts.items():
        lines += text.count("\n")
        if not path.endswith("_rows.h"):
            for m in TOKEN.finditer(text):
                body = re.sub(r"\n[ \t]*\*", " ", m[0][2:]).strip("*/ \t\n")
                if m[0][0] != '"' and not body.startswith("SPDX"):
                    comments.append(body)
        for m in re.finditer(r"^static\b[^;={}()]*?\b(\w+)\s*\([^;{}]*\)\s*\{", text, re.M):
            statics += "_" not in m[1]
        chains += len(re.findall(r"if \(!err\b", text))
        start = None
        for n, line in enumerate(text.splitlines()):
            if line.startswith("{"):
                start = n
            elif line.startswith("}") and start is not None:
                sizes.append(n - start - 1)
                start = None
    documents = [os.path.join(tree, n) for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    documents += [os.path.join(tree, "docs", n) for n in os.listdir(os.path.join(tree, "docs")) if n.endswith(".md")]
    subjects = subprocess.run(["git", "log", "--no-merges", "--format=%s"], cwd=tree, capture_output=True,
                              text=True).stdout.splitlines()
    recent = subprocess.run(["git", "log", "--no-merges", "--format=%s", "79400ff14c32..HEAD"], cwd=tree,
                            capture_output=True, text=True).stdout.splitlines()
    share = lambda n, of: "%d of %d (%.0f %%)" % (n, of, 100 * n / of if of else 0)
    count = lambda pattern: sum(bool(pattern.search(c)) for c in comments)
    return [
        ("lines of C in user/ and bpf/", lines),
        ("files, longest", "%d, %d" % (len(texts), max(t.count("\n") for p, t in texts.items()
                                                     if not p.endswith("_rows.h")))),
        ("functions: median, over 60, longest", "%d, %d, %d" % (statistics.median(sizes), sum(s > 60 for s in sizes),
                                                               max(sizes))),
        ("comments with a reason", share(count(REASON), len(comments))),
        ("comments opening with What, Of, ...", share(sum(bool(OPENING.match(c)) for c in comments), len(comments))),
        ("comments with said, told, behind, ...", share(count(WORDS), len(comments))),
        ("static functions of one word", statics),
        ("if (!err) chains", chains),
        ("lines of documents", sum(open(d, encoding="utf-8").read().count("\n") for d in documents
                                   if os.path.exists(d))),
        ("commit subjects over 72 characters", share(sum(len(s) > 72 for s in subjects), len(subjects))),
        ("the same since 79400ff", share(sum(len(s) > 72 for s in recent), len(recent))),
    ]


columns = [figures(t) for t in sys.argv[1:]]
print("%-40s" % "" + "".join("%24s" % os.path.basename(os.path.abspath(t)) for t in sys.argv[1:]))
for row in zip(*columns):
    print("%-40s" % row[0][0] + "".join("%24s" % str(c[1]) for c in row))
PY
