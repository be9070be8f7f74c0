# SPDX-License-Identifier: GPL-2.0-or-later
"""Every construct of the language, nested in each other, in four threads: each allocation has the same stack in
tmbpf as in tracemalloc in another run, each frame the same file and line."""
import pytest

import measure

pytestmark = pytest.mark.free_threaded


def test_stacks_equal_tracemalloc(interpreter, tmp_path, show):
    result = measure.Stacks(interpreter, tmp_path)
    show("stack equality, %s" % interpreter.label, "%s\n%s" % (
        result, "".join("  left out: %s\n" % reason for reason in result.notes["left_out"])))
    assert not result.problems, "\n".join(result.problems)
    assert result.mismatches == 0
    assert result.allocations >= 4000
