# SPDX-License-Identifier: GPL-2.0-or-later
"""Code objects that die are still named: their address is re-used by the next one at once."""
import os
import re

import harness

N = 2000


def test_lines_of_2000_dead_code_objects(interpreter, program, tool, show):
    p = program(interpreter.path, os.path.join(harness.TARGETS, "dying_code.py"))
    t = tool("-p", p.pid, "-T", 0, "--mode", "exact", 600)
    t.hello()
    p.go()
    interval, sites, _ = t.stop()
    right, wrong = set(), []
    for s in sites:
        m = re.fullmatch(r"/generated/([жf])(\d{4})\.py", s["file"])
        if not m:
            continue
        i = int(m.group(2))
        # two blocks, the list and its item array; a list that was in the free list at attach has no record
        if s["line"] == 1 + i % 50 and s["blocks"] >= 1 and (m.group(1) == "ж") == (i % 3 == 0):
            right.add(i)
        else:
            wrong.append(s)
    show("dead code objects, %s" % interpreter.label,
         "%d of %d with the right file and line, %d wrong, lost %r\n" % (len(right), N, len(wrong),
                                                                       harness.lost(interval)))
    assert not wrong
    assert len(right) == N
    assert not harness.lost(interval)
