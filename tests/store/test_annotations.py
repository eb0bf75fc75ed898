from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from collector.model import Annotation, Window
from collector.store.admin.verify import verify
from collector.store.ledger.fetches import AnswerTime
from collector.store.write.annotations import (
    AnnotationChanges,
    StoredAnnotation,
    annotation_changes,
    digest,
    should_contain,
)
from tests.store.making import DAY, HOUR, NOW, batch, hours, query, rows, saved

ASKED = batch((query(), hours(0, 10)))
OUTAGE = Annotation(
    start_date=DAY + 2 * HOUR,
    end_date=DAY + 5 * HOUR,
    data_source="CT",
    event_type="OUTAGE",
    description="It was down",
    linked_url="https://example.com/x",
    is_instantaneous=False,
    tags=("a",),
)
SHORT = hours(0, 10)


def minutes(number):
    return NOW + timedelta(minutes=number)


@pytest.mark.parametrize(
    ("expected", "start", "end", "instantaneous"),
    [
        (True, 2, 5, False),
        (True, -5, 1, False),
        (True, 9, 20, False),
        (True, -5, 20, False),
        (True, -5, None, False),
        (False, -5, 0, False),
        (False, 10, 12, False),
        (False, 10, None, False),
        (True, 5, 5, True),
        (True, 5, None, True),
        (False, 0, 0, True),
        (False, 10, 10, True),
        (False, -5, 20, True),
    ],
)
def test_which_answers_should_carry_an_annotation(expected, start, end, instantaneous):
    end_date = None if end is None else DAY + end * HOUR
    remark = replace(OUTAGE, start_date=DAY + start * HOUR, end_date=end_date, is_instantaneous=instantaneous)
    assert should_contain(SHORT, remark) == expected


def remark(number, *, seen=0, withdrawn=None):
    moment = None if withdrawn is None else minutes(withdrawn)
    return StoredAnnotation(
        number,
        f"d{number}",
        DAY + HOUR,
        DAY + 2 * HOUR,
        is_instantaneous=False,
        last_updated=minutes(seen),
        last_seen_at=minutes(seen),
        withdrawn=moment,
        withdrawn_at=moment,
    )


@pytest.mark.parametrize(
    ("expected", "stored", "answered", "window", "updated"),
    [
        pytest.param(AnnotationChanges(), [], [], SHORT, 0, id="nothing"),
        pytest.param(AnnotationChanges(new=["d1", "d2"]), [], ["d2", "d1"], SHORT, 0, id="new"),
        pytest.param(AnnotationChanges(seen=[1]), [remark(1)], ["d1"], SHORT, 0, id="seen again"),
        pytest.param(AnnotationChanges(withdrawn=[1]), [remark(1)], [], SHORT, 0, id="withdrawn"),
        pytest.param(AnnotationChanges(), [remark(1)], [], hours(2, 4), 0, id="not to be expected"),
        pytest.param(AnnotationChanges(), [remark(1, seen=1)], [], SHORT, 0, id="an older answer lacks it"),
        pytest.param(AnnotationChanges(), [remark(1, withdrawn=0)], [], SHORT, 5, id="still withdrawn"),
        pytest.param(
            AnnotationChanges(seen=[1], returned=[1]), [remark(1, withdrawn=0)], ["d1"], SHORT, 0, id="returned"
        ),
        pytest.param(
            AnnotationChanges(seen=[1]), [remark(1, withdrawn=5)], ["d1"], SHORT, 0, id="an older answer has it"
        ),
    ],
)
def test_what_an_answer_changes(expected, stored, answered, window, updated):
    time = AnswerTime(minutes(100), minutes(100), minutes(updated))
    assert annotation_changes(stored, answered, [window], time) == expected


def test_an_answer_whose_last_updated_stays_back_counts_after_a_day():
    stands, gone = remark(1, seen=0), remark(2, seen=-9, withdrawn=0)
    for hours_later, expected in [
        (24, AnnotationChanges(seen=[2])),
        (25, AnnotationChanges(seen=[2], withdrawn=[1], returned=[2])),
    ]:
        asked_at = NOW + hours_later * HOUR
        assert (
            annotation_changes([stands, gone], ["d2"], [SHORT], AnswerTime(asked_at, asked_at, minutes(-5))) == expected
        )


def test_annotations_are_known_by_their_content_and_data_set():
    assert digest("ct", OUTAGE) == digest("ct", replace(OUTAGE, tags=("a",)))
    others = [replace(OUTAGE, tags=()), replace(OUTAGE, end_date=None), replace(OUTAGE, description="It was up")]
    assert len({digest("ct", OUTAGE), digest("dns", OUTAGE), *(digest("ct", other) for other in others)}) == 5


async def test_an_annotation_is_one_row_however_often_it_is_seen(store):
    for minute in range(3):
        await saved(store, ASKED, [1], now=minutes(minute), annotations=[OUTAGE])
    (row,) = await store.list_annotations()
    assert (row.start_date, row.end_date, row.data_source) == (OUTAGE.start_date, OUTAGE.end_date, "CT")
    assert (row.event_type, row.description, row.linked_url) == ("OUTAGE", "It was down", "https://example.com/x")
    assert (row.is_instantaneous, row.tags) == (False, ("a",))
    assert (row.first_seen_at, row.last_seen_at, row.withdrawn_at) == (NOW, minutes(2), None)


async def test_null_texts_are_kept_and_are_the_same_annotation_as_empty_ones(store, store_url):
    names = ("data_source", "event_type", "description", "linked_url")
    null, empty = (replace(OUTAGE, **dict.fromkeys(names, text)) for text in (None, ""))
    assert digest("ct", null) == digest("ct", empty)
    for minute, annotations in enumerate([[null], [empty], [null, empty]]):
        await saved(store, ASKED, [1], now=minutes(minute), annotations=annotations)
    (row,) = await store.list_annotations()
    assert [getattr(row, name) for name in names] == [None] * 4
    assert (row.last_seen_at, row.withdrawn_at) == (minutes(2), None)
    assert (verify(store_url)).findings == []


async def test_two_equal_annotations_in_one_answer_are_one(store):
    await saved(store, ASKED, [1], annotations=[OUTAGE, OUTAGE])
    assert len(await store.list_annotations()) == 1


async def test_an_annotation_is_withdrawn_and_comes_back(store):
    for minute, annotations in enumerate([[OUTAGE], [], [], [OUTAGE], [OUTAGE], []]):
        moment = minutes(minute)
        await saved(store, ASKED, [1], now=moment, updated=moment, annotations=annotations)
    assert [row.withdrawn_at for row in await store.list_annotations()] == [minutes(5)]
    assert len(await rows(store, "SELECT * FROM withdrawals")) == 2
    assert len(await rows(store, "SELECT * FROM withdrawals WHERE returned_at IS NULL")) == 1


async def test_an_older_answer_without_it_withdraws_nothing(store):
    await saved(store, ASKED, [1], annotations=[OUTAGE], updated=NOW)
    await saved(store, ASKED, [1], updated=NOW - HOUR)
    assert [row.withdrawn_at for row in await store.list_annotations()] == [None]


async def test_an_answer_over_another_time_withdraws_nothing(store):
    await saved(store, ASKED, [1], annotations=[OUTAGE])
    await saved(store, batch((query(), hours(5, 9))), [])
    assert [row.withdrawn_at for row in await store.list_annotations()] == [None]


async def test_an_annotation_that_touches_no_window_can_be_seen_all_the_same(store):
    far = replace(OUTAGE, start_date=DAY - 99 * HOUR, end_date=DAY - 98 * HOUR)
    for minute in range(2):
        await saved(store, ASKED, [1], now=minutes(minute), annotations=[far])
    assert [row.last_seen_at for row in await store.list_annotations()] == [minutes(1)]


async def test_what_no_database_takes_is_replaced(store):
    hostile = replace(OUTAGE, description="a\0b\ud800c<script>\u202e", linked_url="javascript:alert(1)", tags=("\0",))
    for _ in range(2):
        await saved(store, ASKED, [1], annotations=[hostile])
    (row,) = await store.list_annotations()
    assert (row.description, row.tags) == ("a\ufffdb?c<script>\u202e", ("\ufffd",))
    assert row.linked_url == "javascript:alert(1)"


async def test_the_ends_of_time_can_be_written(store):
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    await saved(store, ASKED, [1], annotations=[replace(OUTAGE, start_date=first, end_date=last)])
    (row,) = await store.list_annotations()
    assert (row.start_date, row.end_date) == (first, last)


async def test_annotations_are_listed_by_time(store):
    moment = replace(OUTAGE, start_date=DAY + 8 * HOUR, end_date=None, is_instantaneous=True)
    open_end = replace(OUTAGE, start_date=DAY, end_date=None)
    await saved(store, ASKED, [1], annotations=[OUTAGE, moment, open_end])
    listed = [(row.start_date - DAY) / HOUR for row in await store.list_annotations()]
    assert listed == [0, 2, 8]

    async def found(window, **options):
        chosen = await store.list_annotations(start=window.start, end=window.end, **options)
        return [(row.start_date - DAY) / HOUR for row in chosen]

    assert await found(hours(5, 8)) == [0, 2]
    assert await found(hours(6, 8)) == [0]
    assert await found(hours(8, 9)) == [0, 8]
    assert await found(Window(DAY - HOUR, DAY)) == []
    assert await found(hours(0, 9), limit=1) == [0]
