"""What is final, what is read again, which gaps are proven."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.finality import (
    DAY,
    REREAD_SECONDS,
    Absence,
    AnswerScope,
    GapRequest,
    absent_runs,
    final_windows,
    fold,
    gap_requests,
    judge_gap,
    merge,
    runs,
    subtract,
    windows_to_reread,
)

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
    rest = subtract((5, 25), found)
    assert {moment for start, end in rest for moment in range(start, end)} == set(range(5, 25)) - covered


def test_bucket_starts_are_joined_to_runs():
    assert runs([0, 10, 20, 40, 60, 70], 10) == [(0, 30), (40, 50), (60, 80)]
