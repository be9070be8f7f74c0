# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison itself must be able to fail: each wrong result is refused, each allowed one is named."""
import exactness

FILE = "/t/workloads.py"


def rows(reference, sites):
    traces = [[[[f, n]], sizes] for f, n, sizes in reference]
    made = [{"file": f, "line": n, "blocks": b, "bytes": s} for f, n, b, s in sites]
    return exactness.add_sites(exactness.reference_rows(traces), made)


def causes(r, free=4, inplace=()):
    bad = exactness.judge(r, free, set(inplace))
    return len(bad), [x.cause for _, x in sorted(r.items()) if x.cause]


def test_equal_after_rounding_to_the_class_has_no_cause():
    assert causes(rows([(FILE, 5, {"49": 100, "513": 3})], [(FILE, 5, 103, 6400 + 1539)])) == (0, [])


def test_one_class_wrong_is_refused():
    assert causes(rows([(FILE, 5, {"49": 100})], [(FILE, 5, 100, 6416)]))[0] == 1
    assert causes(rows([(FILE, 5, {"64": 100})], [(FILE, 5, 100, 100 * 48)]))[0] == 1


def test_big_block_with_rounded_size_is_refused():
    assert causes(rows([(FILE, 5, {"601": 10})], [(FILE, 5, 10, 6080)]))[0] == 1


def test_missing_line_and_new_line_are_refused():
    assert causes(rows([(FILE, 5, {"64": 100})], []))[0] == 1
    assert causes(rows([], [(FILE, 5, 100, 6400)]))[0] == 1


def test_blocks_within_the_free_lists_are_named():
    assert causes(rows([(FILE, 5, {"64": 100})], [(FILE, 5, 96, 6144)])) == (0, ["free-list"])


def test_blocks_beyond_the_free_lists_are_refused():
    assert causes(rows([(FILE, 5, {"64": 100})], [(FILE, 5, 91, 91 * 64)]))[0] == 1
    # spread over many lines: the budget is one for all
    reference = [(FILE, n, {"64": 100}) for n in range(10)]
    sites = [(FILE, n, 98, 98 * 64) for n in range(10)]
    assert causes(rows(reference, sites))[0] == 6


def test_free_list_bytes_must_fit_the_blocks():
    assert causes(rows([(FILE, 5, {"64": 100})], [(FILE, 5, 99, 5000)]))[0] == 1


def test_without_free_lists_nothing_is_forgiven():
    assert causes(rows([(FILE, 5, {"64": 100})], [(FILE, 5, 99, 99 * 64)]), free=0)[0] == 1


def test_in_place_only_on_marked_lines_and_bounded():
    r = [(FILE, 5, {"64": 100})]
    assert causes(rows(r, [(FILE, 5, 100, 8000)]))[0] == 1
    assert causes(rows(r, [(FILE, 5, 100, 8000)]), inplace=[(FILE, 5)]) == (0, ["in-place"])
    assert causes(rows(r, [(FILE, 5, 100, 9600)]), inplace=[(FILE, 5)])[0] == 1
    assert causes(rows(r, [(FILE, 5, 100, 6000)]), inplace=[(FILE, 5)])[0] == 1


def test_moved_blocks_between_lines_are_refused():
    """Each number plausible, blocks booked to the neighbour line."""
    r = [(FILE, 5, {"64": 100}), (FILE, 6, {"64": 100})]
    assert causes(rows(r, [(FILE, 5, 120, 7680), (FILE, 6, 80, 5120)]))[0] == 2


def test_native_blocks_are_bounded():
    assert causes(rows([], [("libc.so.6", 0, 60, 9000)])) == (0, ["native"])
    assert causes(rows([], [("libc.so.6", 0, 65, 9000)]))[0] == 1


def test_marks_are_found(tmp_path):
    f = tmp_path / "w.py"
    f.write_text("a = 1\nb = 2  # inplace\n# inplace means something\n")
    assert exactness.marked_lines(str(f)) == {(str(f), 2)}


def test_ready_line_is_summed():
    assert exactness.free_blocks("[('1-sized PyTupleObjects', 3), ('PyFloatObjects', 14)]") == 17
