# SPDX-License-Identifier: GPL-2.0-or-later
"""Code objects that die are still named: their address is re-used by the next one at once."""
import pytest

import measure

pytestmark = pytest.mark.free_threaded


def test_lines_of_2000_dead_code_objects(interpreter, show):
    d = measure.DeadCode(interpreter)
    show("dead code objects, %s" % interpreter.label,
         "%d of %d with the right file and line, %d wrong, lost %r\n" % (d.right, d.N, len(d.wrong), d.lost))
    assert not d.problems, "; ".join(d.problems)
