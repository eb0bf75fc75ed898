"""Which values are final, which are fetched again, which gaps are proven."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.rules.finality import (
    DAY,
    DEFAULT_SETTLE,
    RECHECK_SECONDS,
    REREAD_SECONDS,
    Absence,
    AnswerScope,
    Evidence,
    GapRequest,
    absent_runs,
    compact,
    doubted,
    final_windows,
    floor_bucket,
    fold,
    gap_requests,
    judge_gap,
    windows_to_reread,
)
from collector.windows import intersect, join_buckets, merge, subtract

STEP = 3600
SETTLE = 2 * DAY
END = 10 * DAY


def scope(asked_at, start=0, end=END, told_at=None, settle=SETTLE):
    return AnswerScope(start, end, asked_at, asked_at if told_at is None else told_at, STEP, settle)


def final(rows, settle=SETTLE, **options):
    return final_windows(rows, settle, STEP, **options)


def due(rows, now, extent=(0, END), settle=SETTLE):
    return windows_to_reread(rows, extent, settle, STEP, now)


def test_history_read_once_past_settle_is_final_but_unconfirmed():
    rows = fold([], scope(20 * DAY), first=True)
    assert final(rows) == final(rows, confirmed=False) == [(0, END)]
    assert due(rows, 20 * DAY + 1) == due(rows, 400 * DAY) == []


def test_a_value_is_final_once_an_answer_past_settle_confirms_it():
    rows = fold([], scope(END), first=True)
    assert final(rows) == [(0, END - SETTLE)]
    rows = fold(rows, scope(END + SETTLE - 1), first=False)
    assert final(rows) == [(0, END - STEP)]
    rows = fold(rows, scope(END + SETTLE), first=False)
    assert final(rows) == final(rows, confirmed=True) == [(0, END)]


def test_what_counts_is_the_moment_of_asking_and_last_updated():
    late = fold([], scope(END + SETTLE, told_at=END + SETTLE - 1), first=True)
    assert final(late) == [(0, END - STEP)]
    ahead = fold([], scope(END + SETTLE - 1, told_at=END + SETTLE - 1), first=True)
    assert final(ahead) == [(0, END - STEP)]


def test_what_is_not_final_is_read_again_daily_and_after_any_pause():
    rows = fold([], scope(END), first=True)
    young = [(END - SETTLE, END)]
    assert due(rows, END + REREAD_SECONDS - 1) == []
    assert due(rows, END + REREAD_SECONDS) == due(rows, END + 400 * DAY) == young


def test_all_that_is_young_is_read_again_as_soon_as_a_part_is_due():
    rows = fold(fold([], scope(END), first=True), scope(END + DAY - 901, start=END - DAY), first=False)
    assert due(rows, END + DAY - 900) == [(END - SETTLE, END)]


def test_a_value_changed_past_settle_is_due_in_the_next_pass_and_once_more_a_day_later():
    rows = fold([], scope(20 * DAY), first=True)
    changed = [(5 * STEP, 6 * STEP)]
    rows = fold(rows, scope(21 * DAY), first=False, changed=[5 * STEP])
    assert subtract((0, END), final(rows)) == changed == due(rows, 21 * DAY + 1)
    rows = fold(rows, scope(21 * DAY + 900), first=False)
    assert subtract((0, END), final(rows)) == changed
    assert due(rows, 21 * DAY + 1800) == []
    assert due(rows, 22 * DAY) == changed
    rows = fold(rows, scope(22 * DAY), first=False)
    assert final(rows) == [(0, END)]
    assert due(rows, 400 * DAY) == []


def test_a_change_while_it_is_young_is_nothing_special():
    rows = fold([], scope(END), first=True)
    assert fold(rows, scope(END + 1), first=False, changed=[END - STEP]) == fold(rows, scope(END + 1), first=False)


def test_a_longer_settle_makes_buckets_not_final_again():
    rows = fold(fold([], scope(END), first=True), scope(END + SETTLE), first=False)
    assert final(rows) == [(0, END)]
    assert final(rows, settle=5 * DAY) == [(0, END - 3 * DAY)]
    assert due(rows, END + 3 * DAY, settle=5 * DAY) == [(END - 3 * DAY, END)]


def test_values_without_evidence_are_due():
    assert due([], 50 * DAY) == [(0, END)]
    rows = fold([], scope(20 * DAY, start=DAY), first=True)
    assert due(rows, 50 * DAY, extent=(0, 2 * DAY)) == [(0, DAY)]


def test_what_an_overruled_answer_says_is_no_evidence():
    rows = fold([], scope(END), first=True)
    assert fold(rows, scope(30 * DAY), first=False, overruled=[(0, END)]) == rows


def test_answers_a_day_apart_for_a_year_need_a_handful_of_rows():
    rows = fold([], scope(END), first=True)
    for day in range(1, 366):
        now = END + day * DAY
        start = min(window[0] for window in due(rows, now, extent=(0, now)) or [(now - DAY, now)])
        rows = fold(rows, scope(now, start=start, end=now), first=False, inserted=range(now - DAY, now, STEP))
    assert len(rows) <= 4
    assert final(rows, confirmed=True)[-1][1] == END + 363 * DAY


def row(start, end, told_at, margin, *, asked_at=None, changed_at=None, confirmed=False):  # noqa: PLR0913 - a row's columns
    return Evidence(start, end, told_at if asked_at is None else asked_at, told_at, margin, changed_at, confirmed)


OLD = row(0, END, 20 * DAY, 10 * DAY)
PART = (2 * DAY, 4 * DAY)


@pytest.mark.parametrize(
    ("expected", "known", "asked", "options"),
    [
        ([OLD], [], scope(20 * DAY), {"first": True}),
        ([row(0, END, END, 0)], [], scope(END), {"first": True}),
        ([row(0, END, 20 * DAY, 10 * DAY, confirmed=True)], [OLD], scope(15 * DAY), {}),
        ([row(0, END, 21 * DAY, 11 * DAY, confirmed=True)], [OLD], scope(21 * DAY), {}),
        (
            [row(0, END, 20 * DAY, 10 * DAY, asked_at=30 * DAY, confirmed=True)],
            [OLD],
            scope(30 * DAY, told_at=13 * DAY),
            {},
        ),
        ([row(0, END, 20 * DAY, 10 * DAY)], [OLD], scope(20 * DAY, told_at=DAY), {}),
        (
            [row(0, END, 20 * DAY, 10 * DAY, confirmed=True)],
            [OLD._replace(confirmed=True)],
            scope(20 * DAY, told_at=DAY),
            {},
        ),
        (
            [row(0, END, 20 * DAY, 10 * DAY, asked_at=21 * DAY, confirmed=True)],
            [OLD._replace(changed_at=19 * DAY)],
            scope(21 * DAY, told_at=DAY),
            {},
        ),
        (
            [
                row(0, 2 * DAY, 20 * DAY, 18 * DAY),
                row(*PART, 21 * DAY, 17 * DAY, confirmed=True),
                row(4 * DAY, END, 20 * DAY, 10 * DAY),
            ],
            [OLD],
            scope(21 * DAY, *PART),
            {},
        ),
        (
            [row(0, 2 * DAY, 21 * DAY, 19 * DAY, confirmed=True), row(6 * DAY, END, 20 * DAY, 10 * DAY)],
            [row(0, 2 * DAY, 20 * DAY, 18 * DAY), row(6 * DAY, END, 20 * DAY, 10 * DAY)],
            scope(21 * DAY, end=2 * DAY),
            {},
        ),
        (
            [row(0, 2 * DAY, 20 * DAY, 18 * DAY), row(6 * DAY, END, 21 * DAY, 11 * DAY, confirmed=True)],
            [row(0, 2 * DAY, 20 * DAY, 18 * DAY), row(6 * DAY, END, 20 * DAY, 10 * DAY)],
            scope(21 * DAY, start=6 * DAY),
            {},
        ),
        (
            [
                row(0, 2 * DAY, 9 * DAY, 7 * DAY, asked_at=21 * DAY, confirmed=True),
                row(*PART, 3 * DAY, -DAY, asked_at=21 * DAY),
                row(4 * DAY, END, 9 * DAY, -DAY, asked_at=21 * DAY),
            ],
            [row(0, 2 * DAY, 9 * DAY, 7 * DAY, confirmed=True), row(4 * DAY, END, 9 * DAY, -DAY)],
            scope(21 * DAY, told_at=3 * DAY),
            {},
        ),
        (
            [
                row(0, 2 * DAY, 21 * DAY, 19 * DAY, confirmed=True),
                row(4 * DAY, END, 21 * DAY, 11 * DAY, confirmed=True),
            ],
            [],
            scope(21 * DAY),
            {"overruled": [PART]},
        ),
        (
            [row(0, 2 * DAY, 30 * DAY, 28 * DAY, confirmed=True), row(2 * DAY, END, 20 * DAY, 10 * DAY)],
            [OLD],
            scope(30 * DAY),
            {"overruled": [(2 * DAY, END + DAY)]},
        ),
        (
            [row(0, 2 * DAY, 30 * DAY, 28 * DAY), row(2 * DAY, 3 * DAY, 30 * DAY, 27 * DAY, changed_at=30 * DAY)],
            [],
            scope(30 * DAY, end=3 * DAY),
            {"first": True, "changed": range(2 * DAY, 3 * DAY, STEP)},
        ),
    ],
)
def test_the_evidence_after_an_answer(expected, known, asked, options):
    found = fold(known, asked, **{"first": False, **options})
    assert bucketwise(found) == bucketwise(expected)
    assert all(one.end <= other.start for one, other in pairwise(found))


def bucketwise(rows):
    """What *rows* say of each hour, however they are cut; of the margin, whether it reaches `settle`."""
    return {
        bucket: (
            one.asked_at,
            one.told_at,
            one.within(bucket, bucket + STEP).margin >= SETTLE,
            one.changed_at,
            one.confirmed,
        )
        for one in rows
        for bucket in range(one.start, one.end, STEP)
    }


@pytest.mark.parametrize(("expected", "seconds"), [(None, -1), (3 * STEP + SETTLE, 0)])
def test_a_change_counts_as_late_from_the_end_of_its_bucket_plus_settle_on(expected, seconds):
    moment = 3 * STEP + SETTLE + seconds
    rows = fold([row(0, END, DAY, DAY - END)], scope(moment), first=False, changed=[2 * STEP])
    assert bucketwise(rows)[2 * STEP][3] == expected
    assert bucketwise(rows)[STEP][3] is None


def test_a_part_of_the_buckets_has_a_larger_margin_unless_an_older_answer_gave_a_larger_one():
    assert OLD.within(0, END - DAY) == row(0, END - DAY, 20 * DAY, 11 * DAY)
    assert OLD._replace(margin=50 * DAY).within(DAY, END) == row(DAY, END, 20 * DAY, 50 * DAY)


@pytest.mark.parametrize(
    ("expected", "one", "other"),
    [
        (row(0, 9, 100, 91), row(0, 5, 100, 95), row(5, 9, 100, 91)),
        (None, row(0, 5, 100, 95), row(6, 9, 100, 91)),
        (None, row(0, 5, 100, 95), row(5, 9, 100, 91, confirmed=True)),
        (None, row(0, 5, 100, 95), row(5, 9, 100, 91, changed_at=100)),
        (row(0, 9, 100, 1, changed_at=50), row(0, 5, 100, 5, changed_at=50), row(5, 9, 100, 1, changed_at=50)),
        (None, row(0, 5, 100, 95, changed_at=50), row(5, 9, 101, 92, changed_at=50)),
        (row(0, 9, 99, 90), row(0, 5, 100, 95), row(5, 9, 99, 90)),
        (row(0, 9, 100, 95), row(0, 5, 100, 95), row(5, 9, 200, 191)),
        (row(0, 9, 100, 80, asked_at=150), row(0, 5, 110, 105, asked_at=150), row(5, 9, 100, 80, asked_at=160)),
        (None, row(0, 5, 100, 95), row(5, 9, 99, 79)),
        (None, row(0, 5, 100, 79), row(5, 9, 99, 95)),
    ],
)
def test_rows_are_joined_if_they_say_the_same_or_are_final_alike(expected, one, other):
    assert compact([other, one], 80) == ([expected] if expected else [one, other])


@pytest.mark.parametrize(
    ("expected", "rows", "now", "extent"),
    [
        ([], [row(0, END, END + DAY, DAY)], END + 2 * DAY - 901, (0, END)),
        ([(END - DAY, END)], [row(0, END, END + DAY, DAY)], END + 2 * DAY - 900, (0, END)),
        ([(END - DAY, END)], [row(0, END, END + DAY, DAY)], END + 9 * DAY, (0, END)),
        ([(END - DAY, END - STEP)], [row(0, END, END + DAY, DAY)], END + 9 * DAY, (0, END - STEP)),
        ([(END - STEP, END)], [row(0, END, END + DAY, DAY)], END + 9 * DAY, (END - STEP, END)),
        ([], [row(0, END, 20 * DAY, 10 * DAY)], 400 * DAY, (DAY, END)),
        ([], [row(0, DAY, END, 0), row(DAY, 2 * DAY, 20 * DAY, 18 * DAY)], 400 * DAY, (DAY, 2 * DAY)),
        ([(0, END)], [row(0, END, 20 * DAY, SETTLE, changed_at=20 * DAY)], 20 * DAY, (0, END)),
        ([], [row(0, END, 20 * DAY, SETTLE, changed_at=20 * DAY, confirmed=True)], 21 * DAY - 3601, (0, END)),
        ([(0, END)], [row(0, END, 20 * DAY, SETTLE, changed_at=20 * DAY, confirmed=True)], 21 * DAY - 3600, (0, END)),
        ([(9 * DAY, END)], [row(0, END, END + DAY, DAY, changed_at=END + DAY)], END + DAY, (0, END)),
        ([], [row(0, END, END + DAY, DAY, changed_at=END + DAY, confirmed=True)], END + DAY + 1, (0, END)),
        ([(9 * DAY, END)], [row(0, END, END + DAY, DAY, changed_at=END, confirmed=True)], END + 2 * DAY, (0, END)),
        ([], [row(0, END, END + DAY, DAY, asked_at=END + 9 * DAY)], END + 2 * DAY, (0, END)),
        ([], [row(0, 9 * DAY, END, DAY), row(9 * DAY, END, END + DAY, DAY)], END + DAY - 900, (9 * DAY, END)),
        (
            [(8 * DAY, END)],
            [row(0, 9 * DAY, END, DAY), row(9 * DAY, END, END + DAY, DAY)],
            END + DAY - 900,
            (0, END),
        ),
    ],
)
def test_what_of_the_stored_history_is_read_again(expected, rows, now, extent):
    assert due(rows, now, extent) == expected


def test_the_spans_of_time_that_decide():
    assert (REREAD_SECONDS, RECHECK_SECONDS, DEFAULT_SETTLE) == (85_500, 82_800, 1_209_600)


@pytest.mark.parametrize(
    ("expected", "moment", "anchor"),
    [(7, 9.9, 7), (10, 10, 7), (4, 6, 7), (1, 3.5, 1)],
)
def test_a_moment_is_floored_on_the_grid_of_an_anchor(expected, moment, anchor):
    assert floor_bucket(moment, anchor, 3) == expected


edges = st.integers(0, 40).map(lambda bucket: bucket * STEP)
answers = st.lists(
    st.tuples(edges, st.integers(1, 20), st.integers(0, 8), st.sets(st.integers(0, 60), max_size=3)), max_size=8
)


@given(answers, st.sampled_from([0, DAY, SETTLE]))
def test_the_rows_say_for_each_bucket_what_the_answers_said(found, settle):
    """Against a model that keeps every bucket by itself."""
    rows, model, now = [], {}, 0
    for start, buckets, later, offsets in found:
        now += later * DAY // 2
        asked = AnswerScope(start, start + buckets * STEP, now, now, STEP, settle)
        stored = {bucket for bucket in range(start, asked.end, STEP) if bucket in model}
        changed = {start + offset * STEP for offset in offsets} & stored
        inserted = set(range(start, asked.end, STEP)) - stored
        rows = fold(rows, asked, first=not stored, inserted=inserted, changed=changed)
        for bucket in range(start, asked.end, STEP):
            past = bucket + STEP + settle <= now
            if bucket in inserted:
                model[bucket] = (past, False, None)
            elif bucket in changed and past:
                model[bucket] = (past, False, now)
            else:
                was_past, confirmed, changed_at = model[bucket]
                cleared = changed_at is None or now >= changed_at + DAY - 3600
                confirmed = confirmed or past or changed_at is not None
                model[bucket] = (past or was_past, confirmed, None if cleared else changed_at)
    assert all(one.end <= other.start for one, other in pairwise(rows))
    for bucket, (past, confirmed, changed_at) in model.items():
        is_final = any(start <= bucket < end for start, end in final(rows, settle=settle))
        assert is_final == (past and changed_at is None)
        agreed = any(start <= bucket < end for start, end in final(rows, settle=settle, confirmed=True))
        assert agreed == (is_final and confirmed)


WIDE, NARROW = (0, 40 * STEP), (0, 10 * STEP)


def absence(asked_at, window, start=0, end=4 * STEP, told_at=None):
    return Absence(start, end, *window, asked_at, asked_at if told_at is None else told_at)


@pytest.mark.parametrize(
    ("expected", "absences"),
    [
        ("missing", []),
        ("missing", [absence(20 * DAY, WIDE)]),
        ("upstream", [absence(20 * DAY, WIDE), absence(22 * DAY, NARROW)]),
        ("missing", [absence(20 * DAY, WIDE), absence(22 * DAY - 1, NARROW)]),
        ("missing", [absence(20 * DAY, NARROW), absence(22 * DAY, WIDE)]),
        ("missing", [absence(20 * DAY, WIDE), absence(22 * DAY, (0, 11 * STEP))]),
        ("missing", [absence(20 * DAY, WIDE), absence(22 * DAY, WIDE)]),
        ("missing", [absence(20 * DAY, WIDE), absence(22 * DAY, NARROW, told_at=SETTLE)]),
        ("upstream", [absence(22 * DAY, NARROW), absence(20 * DAY, WIDE), absence(21 * DAY, WIDE)]),
    ],
)
def test_two_answers_prove_a_gap(expected, absences):
    assert judge_gap((0, 4 * STEP), absences, SETTLE) == [(0, 4 * STEP, expected)]


def test_a_gap_is_split_where_its_reason_changes():
    absences = [absence(20 * DAY, WIDE), absence(22 * DAY, NARROW, start=STEP, end=3 * STEP)]
    expected = [(0, STEP, "missing"), (STEP, 3 * STEP, "upstream"), (3 * STEP, 4 * STEP, "missing")]
    assert judge_gap((0, 4 * STEP), absences, SETTLE) == expected


def test_neighbouring_parts_of_a_gap_with_one_reason_are_one():
    proof = [absence(20 * DAY, WIDE, start=STEP, end=3 * STEP), absence(22 * DAY, NARROW, start=STEP, end=3 * STEP)]
    cuts = [
        absence(19 * DAY, NARROW, start=2 * STEP, end=9 * STEP),
        absence(19 * DAY, NARROW, start=3 * STEP, end=5 * STEP),
    ]
    expected = [(0, STEP, "missing"), (STEP, 3 * STEP, "upstream"), (3 * STEP, 8 * STEP, "missing")]
    assert judge_gap((0, 8 * STEP), [*proof, *cuts], SETTLE) == expected


@pytest.mark.parametrize(
    ("expected", "told_at"), [([(0, 2, "missing")], 1), ([(0, 1, "upstream"), (1, 2, "missing")], 3)]
)
def test_an_absence_proves_only_what_is_past_settle(expected, told_at):
    late = absence(40 * DAY, NARROW, end=2, told_at=told_at)
    assert judge_gap((0, 2), [absence(20 * DAY, WIDE, end=2), late], 2 if told_at == 3 else 1) == expected


ALONE = (STEP, 3 * STEP)


@pytest.mark.parametrize(
    ("expected", "absences", "now"),
    [
        ((*ALONE, 2 * STEP, True), [absence(20 * DAY, ALONE, *ALONE)], 20 * DAY),
        ((*ALONE, None, True), [absence(20 * DAY, (0, 3 * STEP), *ALONE)], 20 * DAY),
        ((*ALONE, None, True), [absence(20 * DAY, (STEP, 4 * STEP), *ALONE)], 20 * DAY),
        ((-3 * STEP, 4 * STEP, 7 * STEP, True), [absence(20 * DAY, ALONE, *ALONE)] * 2, 20 * DAY),
        ((-3 * STEP, 4 * STEP, 7 * STEP, True), [absence(20 * DAY, (0, 4 * STEP - 1), *ALONE)] * 2, 90 * DAY),
        (None, [absence(20 * DAY, (0, 4 * STEP), *ALONE)] * 2, 22 * DAY - 1),
        ((*ALONE, STEP, True), [absence(20 * DAY, (0, 4 * STEP), *ALONE)] * 2, 22 * DAY),
        ((*ALONE, 2 * STEP, True), [absence(20 * DAY, (0, n * STEP), *ALONE) for n in (4, 8, 3)], 22 * DAY),
        ((*ALONE, STEP, True), [absence(n * DAY, (0, n * STEP), *ALONE) for n in (4, 8)], 9 * DAY),
    ],
)
def test_how_a_gap_is_asked_for_that_answers_have_lacked(expected, absences, now):
    found = gap_requests(ALONE, absences, SETTLE, now, step=STEP)
    assert found == ([GapRequest(*expected)] if expected else [])


def test_of_a_gap_with_several_parts_each_is_asked_for_as_it_has_to_be():
    proven = [absence(20 * DAY, WIDE, start=0, end=STEP), absence(22 * DAY, NARROW, start=0, end=STEP)]
    assert gap_requests((0, 2 * STEP), proven, SETTLE, 22 * DAY, step=STEP) == [GapRequest(STEP, 2 * STEP, None)]


def test_a_gap_is_asked_for_twice_at_once_and_for_the_proof_two_days_later():
    gap, wide = (0, 4 * STEP), absence(20 * DAY, WIDE)
    again = [wide, absence(20 * DAY + 3600, WIDE)]
    assert gap_requests(gap, [], SETTLE, 20 * DAY) == [GapRequest(*gap, None)]
    assert gap_requests(gap, [wide], SETTLE, 20 * DAY) == [GapRequest(*gap, None, lacked=True)]
    assert gap_requests(gap, again, SETTLE, 22 * DAY - 1) == []
    assert gap_requests(gap, again, SETTLE, 22 * DAY) == [GapRequest(*gap, 10 * STEP, lacked=True)]
    proven = [*again, absence(22 * DAY, NARROW)]
    assert gap_requests(gap, proven, SETTLE, 400 * DAY) == []
    assert gap_requests(gap, proven, SETTLE, 400 * DAY, explicit=True) == [GapRequest(*gap, 10 * STEP, lacked=True)]
    assert gap_requests(gap, again, SETTLE, 20 * DAY + 7200, explicit=True) == [GapRequest(*gap, None, lacked=True)]


@pytest.mark.parametrize(
    ("expected", "answered", "stored"),
    [
        ([(0, 6)], [], []),
        ([(0, 2), (3, 6)], [], [2]),
        ([], [0, 1, 2, 3, 4, 5], []),
        ([], [2, 3], []),
        ([(3, 4)], [2, 4], []),
        ([(1, 2), (3, 5)], [0, 2, 5], []),
        ([(3, 5)], [0, 2, 5], [1]),
        ([], [0, 8], [1, 2, 3, 4, 5]),
        ([(1, 6)], [0, 8], []),
    ],
)
def test_what_an_answer_proves_to_be_absent_lies_between_its_values_and_past_settle(expected, answered, stored):
    asked = AnswerScope(0, 10, 8, 8, 1, 2)
    assert absent_runs(asked, answered, stored) == expected


windows = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


@given(windows)
def test_windows_are_merged_and_subtracted(found):
    covered = {moment for start, end in found for moment in range(start, end)}
    joined = merge(found)
    assert {moment for start, end in joined for moment in range(start, end)} == covered
    assert all(one[1] < other[0] for one, other in pairwise(joined))
    assert intersect(found, [(5, 9), (9, 15), (20, 25)]) == merge(
        (moment, moment + 1) for moment in covered if 5 <= moment < 15 or 20 <= moment < 25
    )
    rest = subtract((5, 25), found)
    assert {moment for start, end in rest for moment in range(start, end)} == set(range(5, 25)) - covered


def test_bucket_starts_are_joined_to_runs():
    assert join_buckets([0, 10, 20, 40, 60, 70], 10) == [(0, 30), (40, 50), (60, 80)]


@pytest.mark.parametrize(
    ("changed", "buckets"),
    [([], []), ([(2, 3)], [2]), ([(2, 4), (6, 7)], [6, 3, 2]), ([], [9])],
)
def test_changed_parts_of_a_sum_make_it_doubtful_if_it_was_past_settle(changed, buckets):
    """Ten buckets of an hour with one of settle; the answer comes after ten hours, so that the last one is younger."""
    asked_at = 10 * STEP
    row = Evidence(0, 10 * STEP, asked_at, asked_at, 0, None, confirmed=True)
    after = doubted([row], [bucket * STEP for bucket in buckets], STEP, STEP, asked_at)
    assert [(r.start // STEP, r.end // STEP) for r in after if r.changed_at == asked_at] == changed
    assert all(row.confirmed == (row.changed_at is None) for row in after)
    assert [*subtract((0, 10 * STEP), [row[:2] for row in after])] == []
