#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of codes (user/base/codes.c) against the code and the documents.

Refused: a code that is logged and has no row; a row that is not logged; rows out of order; a code that is not a
literal; a code in a document that has no row; docs/codes.md that differs from the table.

check-codes.py            check
check-codes.py --write    write docs/codes.md
check-codes.py --self-test
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = "user/base/codes.c"
DOCUMENT = "docs/codes.md"
CODE = re.compile(r"\b[EW][0-9]{3}\b")

# The compiler reads the table, not a pattern of ours. One row a line, fields parted by \x1f.
PRINTER = r"""
#include "base/codes.h"
#include <stdio.h>
int main(void)
{
	size_t n;
	const struct code_row *r = codes_all(&n);
	for (size_t i = 0; i < n; i++)
		printf("code\x1f%s\x1f%s\x1f%s\x1f%s\x1f%d\n", r[i].code, r[i].meaning, r[i].cause, r[i].fix,
		       codes_exit_status(r[i].code));
	for (int i = 0; i < TM_DROP_COUNT; i++) {
		const struct loss_row *l = losses_get((enum tm_drop)i);
		printf("loss\x1f%s\x1f%s\x1f%s\n", l->key, l->text, l->remedy);
	}
	return 0;
}
"""

HEAD = """# Codes of errors and warnings, reasons for losses

Generated from `user/base/codes.c` and `TM_DROP_LIST` in `bpf/tmbpf.h` by `scripts/check-codes.py --write`.
`tmbpf explain CODE` prints a row.

"""


def read_table():
    with tempfile.TemporaryDirectory() as tmp:
        source, program = os.path.join(tmp, "print.c"), os.path.join(tmp, "print")
        with open(source, "w", encoding="utf-8") as f:
            f.write(PRINTER)
        subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-I" + ROOT, "-I" + os.path.join(ROOT, "user"), "-o",
                        program, source, os.path.join(ROOT, TABLE)], check=True)
        text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    rows = [line.split("\x1f") for line in text.splitlines()]
    return [r[1:] for r in rows if r[0] == "code"], [r[1:] for r in rows if r[0] == "loss"]


def read_sources():
    out = {}
    for folder, _, names in os.walk(os.path.join(ROOT, "user")):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            if path.endswith((".c", ".h")) and not path.startswith("user/base/codes."):
                with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                    out[path] = f.read()
    return out


def without_comments(text):
    """Comments become spaces, so that positions stay."""
    return re.sub(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*',
                  lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)


def arguments(text, start):
    """The arguments of a call, text[start] being what follows the parenthesis."""
    out, depth, begin, i = [], 0, start, start
    while i < len(text):
        c = text[i]
        if c == '"':
            i = re.compile(r'"(?:\\.|[^"\\])*"').match(text, i).end() - 1
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            if not depth:
                return out + [text[begin:i].strip()]
            depth -= 1
        elif c == "," and not depth:
            out.append(text[begin:i].strip())
            begin = i + 1
        i += 1
    return out


def check_calls(sources, complaints):
    """The code of every log_coded_*() is a literal, or one of two. Returns: all codes that occur as literals."""
    used = set()
    for path, text in sorted(sources.items()):
        text = without_comments(text)
        used.update(re.findall(r'"([EW][0-9]{3})"', text))
        if path.startswith("user/base/log."):
            continue
        for call in re.finditer(r"\blog_coded_(err|warn)\s*\(", text):
            args = arguments(text, call.end())
            at = 1 if call[1] == "err" else 0
            line = text.count("\n", 0, call.start()) + 1
            if len(args) <= at or not re.fullmatch(r'(?:[^"?]+\?\s*"[EW]\d{3}"\s*:\s*)?"[EW]\d{3}"', args[at],
                                                   flags=re.S):
                complaints.append("%s:%d: the code is not a literal" % (path, line))
    return used


def generate(codes, losses):
    out = [HEAD]
    for title, letter in (("Errors", "E"), ("Warnings", "W")):
        out.append("## %s\n\n| code | %smeaning | cause | fix |\n|---|%s---|---|---|\n" % (
            title, "exit | " if letter == "E" else "", "---|" if letter == "E" else ""))
        for code, meaning, cause, fix, status in codes:
            if code[0] == letter:
                out.append("| %s | %s%s | %s | %s |\n" % (code, status + " | " if letter == "E" else "", meaning,
                                                         cause, fix))
        out.append("\n")
    out.append("## Losses\n\nCounted in every report and snapshot (`lost` in NDJSON); nothing is dropped without "
               "being counted.\n\n| reason | what happened | remedy |\n|---|---|---|\n")
    for key, text, remedy in losses:
        out.append("| `%s` | %s | %s |\n" % (key, text.replace("<", "\\<"), remedy))
    return "".join(out)


def check(codes, losses, sources, documents):
    complaints = []
    names = [row[0] for row in codes]
    for name, after in zip(names, names[1:]):
        if after <= name:
            complaints.append("%s: %s stands after %s" % (TABLE, after, name))
    for row in codes:
        if any(not field.strip() for field in row):
            complaints.append("%s: %s has an empty field" % (TABLE, row[0]))
    for row in losses:
        if any(not field.strip() for field in row):
            complaints.append("bpf/tmbpf.h: loss %s has an empty field" % row[0])
    used = check_calls(sources, complaints)
    for name in sorted(used - set(names)):
        complaints.append("%s is logged and has no row in %s" % (name, TABLE))
    for name in sorted(set(names) - used):
        complaints.append("%s has a row in %s and is logged nowhere" % (name, TABLE))
    for path, text in sorted(documents.items()):
        for name in sorted(set(CODE.findall(text)) - set(names)):
            complaints.append("%s: %s has no row in %s" % (path, name, TABLE))
    if documents.get(DOCUMENT) != generate(codes, losses):
        complaints.append("%s differs from the table: scripts/check-codes.py --write" % DOCUMENT)
    return complaints


def read_documents():
    out = {}
    for path in ["README.md", "CONTRIBUTING.md"] + sorted("docs/" + n for n in os.listdir(os.path.join(ROOT, "docs"))
                                                         if n.endswith(".md")):
        if os.path.exists(os.path.join(ROOT, path)):
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                out[path] = f.read()
    return out


def self_test(codes, losses, sources, documents):
    """Each rule refuses a wrong input, and only because of it."""
    failed = 0

    def expect(what, got):
        nonlocal failed
        if not any(what in line for line in got):
            print("check-codes: self-test: %r is not refused: %s" % (what, got), file=sys.stderr)
            failed += 1

    extra = dict(sources, **{"user/cli/x.c": 'log_coded_warn("W999", NULL, "x");'})
    expect("W999 is logged and has no row", check(codes, losses, extra, documents))
    extra = dict(sources, **{"user/cli/x.c": 'log_coded_err(err, code, f(1, "a,b"), "x");'})
    expect("x.c:1: the code is not a literal", check(codes, losses, extra, documents))
    unused = codes + [["W999", "m", "c", "f", "0"]]
    expect("W999 has a row", check(unused, losses, sources, documents))
    expect("stands after", check(list(reversed(codes)), losses, sources, documents))
    expect("differs from the table", check(codes, losses[1:], sources, documents))
    expect("docs/x.md: E999 has no row", check(codes, losses, sources, dict(documents, **{"docs/x.md": "E999"})))
    expect("empty field", check(codes, [["a", "b", ""]], sources, documents))
    return failed


def main():
    codes, losses = read_table()
    if sys.argv[1:] == ["--write"]:
        with open(os.path.join(ROOT, DOCUMENT), "w", encoding="utf-8") as f:
            f.write(generate(codes, losses))
        return 0
    sources, documents = read_sources(), read_documents()
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test(codes, losses, sources, documents) else 0
    complaints = check(codes, losses, sources, documents)
    for line in complaints:
        print(line, file=sys.stderr)
    print("check-codes: %d codes, %d losses, %d complaints" % (len(codes), len(losses), len(complaints)))
    return 1 if complaints else 0


sys.exit(main())
