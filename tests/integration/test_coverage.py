# SPDX-License-Identifier: GPL-2.0-or-later
"""At least 99.9 % of the pymalloc blocks born since attach have a record, on everything mixed."""
import pytest

import harness
import measure

pytestmark = pytest.mark.free_threaded


def test_coverage_of_mixed_workload(interpreter, show):
    c = measure.Coverage(interpreter)
    show("coverage, %s" % interpreter.label, harness.table(
        [[interpreter.label, c.truth, c.recorded, c.missed, "%.4f%%" % (100 * (c.ratio or 0)), c.large,
          c.lost or "nothing"]],
        ["interpreter", "sys.getallocatedblocks()", "recorded", "missed", "coverage", "+ above 512 B", "lost"]))
    assert not c.problems, "; ".join(c.problems)
