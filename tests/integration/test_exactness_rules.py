# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison itself must be able to fail: each wrong result is refused, each allowed one is named."""
import exactness

FILE = "/t/workloads.py"


def rows(reference, sites):
    traces = [[[[f, n]], sizes] for f, n, sizes in reference]
    made = [{"file": f, "line": n, "blocks": b, "bytes": s} for f, n, b, s in sites]
    return exactness.add_sites(exactness.reference_rows(traces), made)


def causes(r, free=4, inplace=(), threads=False):
    bad = exactness.judge(r, free, set(inplace), threads=threads)
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


def test_one_block_for_another_only_with_threads():
    r = [(FILE, 5, {"32": 99, "48": 1})]
    assert causes(rows(r, [(FILE, 5, 100, 98 * 32 + 96)]))[0] == 1
    assert causes(rows(r, [(FILE, 5, 100, 98 * 32 + 96)]), threads=True) == (0, ["free-list"])
    assert causes(rows(r, [(FILE, 5, 100, 98 * 32 + 96)]), threads=True, free=0)[0] == 1
    assert causes(rows(r, [(FILE, 5, 100, 98 * 32 + 95)]), threads=True)[0] == 1


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


def stacks(reference, sites, planned=(601, 603, 605)):
    """reference and sites: (innermost line, outer line, ...)"""
    kind = lambda frame: {5: "large", 6: "small"}.get(frame[1])  # noqa: E731
    e = exactness.StackEquality(kind, planned)
    e.add_reference([[[[FILE, n] for n in lines], sizes] for lines, sizes in reference], exactness.Sizes())
    e.add_tool([{"stack": [[FILE, n, "f"] for n in lines], "blocks": b, "bytes": s} for lines, b, s in sites])
    return e


TWO = [((5, 10), {"601": 1, "603": 1}), ((5, 11), {"605": 1})]


def test_equal_stacks_have_no_mismatch():
    e = stacks(TWO, [((5, 10), 2, 1204), ((5, 11), 1, 605)])
    assert (len(e.wrong), e.allocations(), len(e.stacks), e.frames, e.temporaries) == (0, 3, 2, 4, 0)


def test_one_wrong_frame_is_a_mismatch():
    assert len(stacks(TWO, [((5, 10), 2, 1204), ((5, 12), 1, 605)]).wrong) == 2
    assert len(stacks(TWO, [((5, 10), 2, 1204), ((5, 11, 12), 1, 605)]).wrong) == 2
    assert len(stacks(TWO, [((5, 10), 2, 1204), ((5,), 1, 605)]).wrong) == 2


def test_missing_doubled_and_exchanged_allocations_are_mismatches():
    assert len(stacks(TWO, [((5, 10), 2, 1204)]).wrong) == 1
    assert len(stacks(TWO, [((5, 10), 2, 1204), ((5, 11), 2, 1210)]).wrong) == 1
    assert len(stacks(TWO, [((5, 10), 2, 1206), ((5, 11), 1, 603)]).wrong) == 2


def test_only_whole_temporaries_may_be_beside():
    same = ((5, 11), 1, 605)
    assert len(stacks(TWO, [((5, 10), 3, 1204 + 64), same]).wrong) == 0
    assert stacks(TWO, [((5, 10), 3, 1204 + 64), same]).temporaries == 1
    assert len(stacks(TWO, [((5, 10), 3, 1204 + 63), same]).wrong) == 1
    assert len(stacks(TWO, [((5, 10), 2, 1204 + 64), same]).wrong) == 1
    assert len(stacks(TWO, [((5, 10), 3, 1204), same]).wrong) == 1
    assert len(stacks(TWO, [((5, 10), 3, 1204 + 2048), same]).wrong) == 1


def test_a_size_met_twice_is_no_witness():
    assert stacks([((5, 10), {"601": 2})], []).allocations() == 0


def test_small_blocks_are_counted_per_stack():
    e = stacks([((6, 10), {"40": 3})], [((6, 10), 2, 96), ((6, 11), 1, 48)])
    assert e.small_off == 2 and not e.large


def test_sizes_of_allocators():
    assert [exactness.Sizes(16).occupied(n) for n in (1, 49, 512, 513)] == [16, 64, 512, 513]
    assert [exactness.Sizes(8).occupied(n) for n in (1, 49, 512, 513)] == [8, 56, 512, 513]
    assert [exactness.Sizes(1).occupied(n) for n in (1, 49, 512, 513)] == [1, 49, 512, 513]
    assert [exactness.Sizes(16, 24).occupied(n) for n in (1, 488, 489)] == [32, 512, 513]
    assert [exactness.Sizes(16, 24, raw_hook=24).occupied(n) for n in (1, 488, 489)] == [32, 512, 537]
    assert exactness.sizes_of("class=0 free=[]").step == 1
    assert exactness.sizes_of("class=8 free=[('x', 3)]").step == 8
