"""A unit that changes: what is stored where, which series labels point to, and what is read."""

import logging
import random
from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.interval import AggInterval, Grid
from collector.store import PointCursor, PointQuery, SaveResult
from collector.store.admin.verify import verify
from collector.store.series import generations
from collector.windows import SeriesWindow
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    answer,
    at,
    batch,
    hours,
    profile,
    query,
    rows,
    saved,
    start_fetch,
    values,
)

ALL = query()
OLD, NEW = {"unit": "certificates"}, {"unit": "requests"}


def later(number):
    return NOW + number * HOUR


async def told(store, window, *found, hour=0, updated=None, **measure):
    """An answer requested so many hours after NOW."""
    moment = later(hour)
    return await saved(store, batch((ALL, window)), *found, now=moment, updated=updated or moment, **measure)


async def changed(store):
    """Buckets 0 to 5 in the old unit, 4 to 7 in the new one, which is in force since an hour and a quarter later."""
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 6), [0, 1, 2, 3, 4, 5], **OLD)
    await told(store, hours(4, 7), [40, 50, 60], hour=0.25, **NEW)
    await told(store, hours(4, 8), [40, 50, 60, 70], hour=1.25, **NEW)


async def series(store):
    return await rows(store, "SELECT id, unit, in_force_at, proposed_at, points FROM series ORDER BY id")


async def pointed(store):
    return [row for (row,) in await rows(store, "SELECT series_id FROM profile_series")]


async def blocks(store, **options):
    """What is exported: (unit, its points), a new one where the unit changes."""
    found = []
    async for block in store.export_blocks(**options):
        if not found or found[-1][0] != block.unit:
            found.append((block.unit, []))
        found[-1][1].extend(tuple(point) for point in block.points)
    return found


def moment(store, value):
    """What a person would read of a moment with SQL of their own."""
    return value.timestamp() if store.backend == "sqlite" else value


@pytest.mark.parametrize(
    "spelled",
    [
        {"unit": "Certificates"},
        {"unit": " certificates "},
        {"unit": "certificates", "normalization": "raw_values"},
        {"unit": "CERTI FICATES", "normalization": " Raw_Values"},
    ],
)
async def test_another_spelling_is_the_same_series_and_the_first_one_stays(store, spelled):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [1, 2], **OLD)
    assert await told(store, hours(0, 3), [1, 20, 3], hour=2, **spelled) == SaveResult(1, 1, 1, 0)
    assert await values(store) == {0: 1.0, 1: 20.0, 2: 3.0}
    assert [(s.unit, s.normalization) for s in await store.list_series()] == [("certificates", "RAW_VALUES")]
    assert await store.unit_changes([ALL]) == []


async def test_a_known_normalization_gets_its_known_spelling(store):
    await told(store, hours(0, 2), [1, 2], normalization="raw_values")
    await told(store, hours(2, 4), [3, 4], hour=1, normalization="raw_values")
    assert [s.normalization for s in await store.list_series()] == ["RAW_VALUES"]
    assert await store.relative_queries([ALL]) == set()
    assert await store.extents([ALL]) == {ALL: hours(0, 4)}


async def test_a_store_with_another_spelling_in_it_is_not_damaged(store, store_url):
    await told(store, hours(0, 2), [1, 2], **OLD)
    await told(store, hours(0, 2), [1, 2], hour=1, unit="Certificates")
    assert (verify(store_url)).findings == []


async def test_a_store_with_another_unit_than_was_answered_is_damaged(store, store_url):
    await told(store, hours(0, 2), [1, 2], **OLD)
    await execute(store, "UPDATE series SET unit = 'requests'")
    assert any("another unit" in finding for finding in (verify(store_url)).findings)


async def execute(store, sql, **parameters):
    def work(connection):
        connection.execute(sa.text(sql), parameters)

    await store._database.write(work)


async def two_spellings(store):
    """As previous versions left it: the second spelling made a series, to which the label moved."""
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 6), [0, 1, 2, 3, 4, 5], **OLD)
    await told(store, hours(4, 8), [40, 50, 60, 70], hour=1, unit="x")
    await told(store, hours(4, 8), [40, 50, 60, 70], hour=2, unit="x")
    await execute(store, "UPDATE series SET unit = 'Certificates' WHERE unit = 'x'")
    await execute(store, "UPDATE fetches SET unit = 'Certificates' WHERE unit = 'x'")


async def test_two_spellings_in_an_older_store_are_read_as_one_series(store):
    await two_spellings(store)
    expected = {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0, 5: 50.0, 6: 60.0, 7: 70.0}
    assert await values(store) == expected
    assert await store.unit_changes([ALL]) == []
    await told(store, hours(7, 9), [71, 80], hour=3, **OLD)
    assert await values(store) == {**expected, 7: 71.0, 8: 80.0}
    assert await pointed(store) == [2]
    (thin,) = await store.downsample(PointQuery(start=DAY, end=DAY + 9 * HOUR), 9)
    assert [column.mean for column in thin.columns] == [*range(4), 40, 50, 60, 71, 80]

    def read(history):
        [kept] = history.series("ct")
        assert (kept.id, kept.generations) == (2, ())
        assert history.extents([kept.id]) == {2: (at(0), at(8))}
        assert history.confidence_level([SeriesWindow(kept.id, at(0), at(9))]) == 5
        assert (history.last_updated([kept.id]))[kept.id] == later(3)
        return [tuple(row) for block in history.points(SeriesWindow(2, at(0), at(9))) for row in block]

    assert dict(await store.read_as_of(read)) == {at(h): v for h, v in {**expected, 7: 71.0, 8: 80.0}.items()}


async def test_the_first_answer_in_another_unit_is_kept_and_changes_nothing_that_is_read(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [1, 2], **OLD)
    await told(store, hours(0, 4), [10, 20, 30, 40], hour=1, **NEW)
    assert await values(store) == {0: 1.0, 1: 2.0}
    assert await store.extents([ALL]) == {ALL: hours(0, 2)}
    assert await series(store) == [
        (1, "certificates", moment(store, NOW), None, 2),
        (2, "requests", None, moment(store, later(1)), 4),
    ]
    assert [(c.old, c.new, c.moment, c.in_force) for c in await store.unit_changes([ALL])] == [
        ("'certificates'", "'requests'", later(1), False)
    ]


async def test_a_second_answer_within_an_hour_changes_nothing_either(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [1, 2], **OLD)
    for hour in (1, 1.5, 1.99):
        await told(store, hours(0, 2), [10, 20], hour=hour, **NEW)
    assert await pointed(store) == [1]
    assert (await series(store))[1][2:4] == (None, moment(store, later(1)))


async def test_a_second_answer_an_hour_later_moves_the_label(store):
    await changed(store)
    assert await pointed(store) == [2]
    assert (await series(store))[1] == (2, "requests", moment(store, later(1.25)), None, 4)
    assert [(c.old, c.new, c.moment, c.in_force) for c in await store.unit_changes([ALL])] == [
        ("'certificates'", "'requests'", later(1.25), True)
    ]


async def test_an_answer_in_the_unit_in_force_drops_a_proposal(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [1, 2], **OLD)
    await told(store, hours(0, 2), [10, 20], hour=1, **NEW)
    await told(store, hours(0, 2), [1, 3], hour=1.5, **OLD)
    assert (await series(store))[1][2:4] == (None, None)
    await told(store, hours(0, 2), [10, 20], hour=2.25, **NEW)
    assert await values(store) == {0: 1.0, 1: 3.0}
    assert await pointed(store) == [1]
    await told(store, hours(0, 2), [10, 20], hour=3.25, **NEW)
    assert await pointed(store) == [2]


async def test_an_answer_that_does_not_count_neither_proposes_nor_resets_nor_moves(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [1, 2], updated=later(0), **OLD)
    await told(store, hours(0, 2), [8, 9], hour=1, updated=later(-1), **NEW)
    assert (await series(store))[1][2:4] == (None, None)
    await told(store, hours(0, 2), [10, 20], hour=2, updated=later(2), **NEW)
    await told(store, hours(0, 2), [1, 2], hour=2.5, updated=later(1), **OLD)
    assert (await series(store))[1][2:4] == (None, moment(store, later(2)))
    await told(store, hours(2, 4), [1, 2], hour=2.6, updated=later(2.6), **OLD)
    assert (await series(store))[1][2:4] == (None, None)
    await told(store, hours(0, 2), [1, 2], hour=3, updated=later(3), **OLD)
    await told(store, hours(0, 2), [10, 20], hour=30, updated=later(2), **NEW)
    assert (await series(store))[1][2:4] == (None, moment(store, later(30)))


async def test_a_third_unit_in_between_drops_a_proposal_too(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [1, 2], **OLD)
    for hour, unit in ((1, "a"), (1.5, "b"), (2, "a"), (2.5, "b"), (3, "a")):
        await told(store, hours(0, 2), [10, 20], hour=hour, unit=unit)
    assert await pointed(store) == [1]
    assert [row[3] for row in await series(store)] == [None, moment(store, later(3)), None]


async def test_a_change_of_the_normalization_alone_is_one(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [1, 2], **OLD)
    for hour in (1, 2):
        await told(store, hours(1, 3), [0.5, 0.25], hour=hour, normalization="PERCENTAGE", **OLD)
    (change,) = await store.unit_changes([ALL])
    assert (change.old, change.new) == ("'certificates' (RAW_VALUES)", "'certificates' (PERCENTAGE)")
    assert await values(store) == {0: 1.0, 1: 0.5, 2: 0.25}


async def test_where_both_have_a_bucket_the_newer_one_counts(store):
    await changed(store)
    assert await blocks(store) == [
        ("certificates", [(at(h), float(h)) for h in range(4)]),
        ("requests", [(at(h), 10.0 * h) for h in range(4, 8)]),
    ]
    assert await blocks(store, start=DAY + 5 * HOUR) == [("requests", [(at(h), 10.0 * h) for h in (5, 6, 7)])]
    assert await blocks(store, end=DAY + 2 * HOUR) == [("certificates", [(at(0), 0.0), (at(1), 1.0)])]


async def test_the_view_reads_the_same(store):
    await changed(store)
    found = await rows(store, "SELECT value, unit FROM history ORDER BY timestamp")
    assert found == [(v, unit) for unit, points in await blocks(store) for _, v in points]


@pytest.mark.parametrize("seed", range(6))
async def test_the_view_reads_the_same_whatever_grid_and_unit_come_into_force(store, seed):
    dice, now = random.Random(seed), NOW
    await store.activate_labels([profile()], NOW)
    for _ in range(6):
        grid = Grid(AggInterval.ONE_HOUR, timedelta(minutes=dice.choice((0, 15, 30))))
        await store.move_grid(grid, now)
        first = dice.randrange(8) + grid.offset / HOUR
        wanted, unit = [first + n for n in range(dice.randrange(1, 4))], dice.choice((OLD, NEW))
        for _ in range(2):  # a second answer brings its unit into force
            now += 1.25 * HOUR
            asked = batch((ALL, hours(first, wanted[-1] + 1)))
            answered = {hour: dice.randrange(100) for hour in wanted}
            await saved(store, asked, answered, now=now, updated=now, **unit)
        found = await rows(store, "SELECT timestamp, value, unit FROM history ORDER BY timestamp, value")
        viewed = [(moment if isinstance(moment, int) else int(moment.timestamp()), *rest) for moment, *rest in found]
        assert viewed == [(t, v, unit) for unit, points in await blocks(store) for t, v in points]
        assert viewed


async def test_a_selection_reads_the_same_and_goes_on_behind_any_place(store):
    await changed(store)
    whole = [(s.unit, t, v) async for s, block in store.select_blocks(PointQuery()) for t, v in block]
    assert whole == [(unit, t, v) for unit, points in await blocks(store) for t, v in points]
    for number, (_, timestamp, _) in enumerate(whole):
        place = PointCursor("all", "all", timestamp)
        rest = [(s.unit, t, v) async for s, block in store.select_blocks(PointQuery(), place) for t, v in block]
        assert rest == whole[number + 1 :]


async def test_columns_are_of_one_unit(store):
    await changed(store)
    new, old = await store.downsample(PointQuery(start=DAY, end=DAY + 8 * HOUR), 2)
    assert [(c.least, c.most) for c in new.columns] == [(40.0, 70.0)]
    assert [(c.least, c.most) for c in old.columns] == [(0.0, 3.0)]
    assert (new.series.unit, old.series.unit) == ("requests", "certificates")
    fine = await store.downsample(PointQuery(), 1000)
    assert [[c.start for c in one.columns] for one in fine] == [
        [at(4 + h) for h in range(4)],
        [at(h) for h in range(4)],
    ]


async def test_as_of_answers_from_what_was_known_then(store):
    await changed(store)
    before = [("certificates", [(at(h), float(h)) for h in range(6)])]
    assert await blocks(store, as_of=later(-1)) == []
    for hour in (0, 0.2, 0.25, 1):
        assert await blocks(store, as_of=later(hour)) == before
    assert await blocks(store, as_of=later(1.25)) == await blocks(store)


async def test_as_of_knows_a_unit_that_came_back(store):
    await changed(store)
    for hour in (5, 6.5):
        await told(store, hours(5, 9), [5, 6, 7, 8], hour=hour, **OLD)
    assert await pointed(store) == [1]
    assert await values(store) == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0, 5: 5.0, 6: 6.0, 7: 7.0, 8: 8.0}
    assert await values(store, as_of=later(1)) == {h: float(h) for h in range(6)}
    between = {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0, 5: 50.0, 6: 60.0, 7: 70.0}
    assert await values(store, as_of=later(4)) == between
    changes = await store.unit_changes([ALL])
    assert changes == [], "no bucket is left in the other unit"


async def test_what_is_stored_in_any_unit_is_known_to_be_stored(store):
    await changed(store)
    assert await store.extents([ALL]) == {ALL: hours(0, 8)}
    assert await store.newest_buckets([ALL]) == {ALL: DAY + 7 * HOUR}
    assert await store.complete_extents([ALL]) == {ALL: hours(0, 8)}
    (row,) = await store.status_rows([profile()])
    assert (row.first_point, row.last_point) == (DAY, DAY + 7 * HOUR)
    with store._database.read() as connection:
        assert generations.ids_of(connection, [ALL, query(tld="com")]) == {ALL: [2, 1]}


async def test_one_statement_tells_where_values_are_stored(store):
    await changed(store)
    statements = []
    with store._database.read() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda *it: statements.append(it[2]))
        generations.ids_of(connection, [ALL, query(tld="com")])
    assert len(statements) == 1


async def test_a_hole_between_two_units_is_seen(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [0, 1], **OLD)
    for hour in (1, 2):
        await told(store, hours(3, 5), [3, 4], hour=hour, **NEW)
    assert await store.complete_extents([ALL]) == {}
    assert await store.extents([ALL]) == {ALL: hours(0, 5)}


async def test_values_that_were_relative_to_one_answer_are_asked_for_again_in_another_unit(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 6), [0, 0.5, 1, 0, 0, 0], normalization="MIN_MAX")
    for hour in (1, 2):
        await told(store, hours(4, 6), [40, 50], hour=hour)
    assert await store.relative_queries([ALL]) == set()
    assert await store.extents([ALL]) == {ALL: hours(4, 6)}


async def test_revisions_of_both_units_are_those_of_the_profile(store):
    await changed(store)
    await told(store, hours(4, 8), [41, 50, 60, 70], hour=3, **NEW)
    await told(store, hours(0, 2), [9, 1], hour=4, **OLD)
    found = await store.list_revisions(profile="all")
    assert [(row.series, row.value, row.new_value) for row in found] == [("all", 0.0, 9.0), ("all", 40.0, 41.0)]


async def test_history_is_answered_in_the_unit_of_the_range(store):
    await changed(store)

    def within(history, start, end):
        [kept] = history.series("ct")
        found = history.within(kept, at(start), at(end))
        return found.unit, found.change and (found.change.old, found.change.new, found.change.timestamp)

    for as_of in (None, later(2)):
        for expected, start, end in (
            (("certificates", None), 0, 4),
            (("requests", None), 4, 8),
            (("requests", None), 5, 6),
            (("requests", None), 90, 99),
        ):
            found = await store.read_as_of(lambda h, s=start, e=end: within(h, s, e), as_of)
            assert found == expected, (start, end)
        found = await store.read_as_of(lambda h: within(h, 3, 5), as_of)
        assert found[1] == ("'certificates'", "'requests'", at(4))

    def before(history):
        [kept] = history.series("ct")
        return kept.unit, kept.generations

    assert await store.read_as_of(before, later(1)) == ("certificates", ())


async def test_what_a_previous_version_moved_counts_as_in_force(store):
    """A replica of it inserts the series and moves the label with the first answer, and knows no in_force_at."""
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 4), [0, 1, 2, 3], **OLD)
    await told(store, hours(3, 5), [30, 40], hour=1, **NEW)
    await execute(store, "UPDATE series SET proposed_at = NULL")
    await execute(store, "UPDATE profile_series SET series_id = 2")
    expected = {0: 0.0, 1: 1.0, 2: 2.0, 3: 30.0, 4: 40.0}
    assert await values(store) == await values(store, as_of=later(1)) == expected
    await told(store, hours(4, 6), [40, 50], hour=1.5, **NEW)
    assert (await series(store))[1][2:4] == (moment(store, later(1)), None)
    assert await values(store) == {**expected, 5: 50.0}
    await told(store, hours(3, 4), [3], hour=2, **OLD)
    assert await values(store) == {**expected, 5: 50.0}
    assert (await series(store))[0][3] == moment(store, later(2))


async def test_a_declared_series_of_a_previous_version_is_in_force_with_its_label(store):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [0, 1], **OLD)
    await execute(store, "UPDATE series SET in_force_at = NULL")
    await told(store, hours(1, 3), [10, 20], hour=1, **NEW)
    assert await values(store) == {0: 0.0, 1: 1.0}
    await told(store, hours(1, 3), [10, 20], hour=2, **NEW)
    assert await values(store) == {0: 0.0, 1: 10.0, 2: 20.0}


async def test_a_question_of_no_profile_changes_its_unit_as_others_do(store):
    await told(store, hours(0, 2), [0, 1], **OLD)
    await told(store, hours(1, 3), [10, 20], hour=1, **NEW)
    assert await store.extents([ALL]) == {ALL: hours(0, 2)}
    await told(store, hours(1, 3), [10, 20], hour=2, **NEW)
    assert await store.extents([ALL]) == {ALL: hours(0, 3)}
    with store._database.read() as connection:
        assert generations.ids_of(connection, [ALL]) == {ALL: [2, 1]}


async def test_the_log_warns_when_a_unit_is_proposed_and_when_it_is_in_force(store, caplog):
    with caplog.at_level(logging.WARNING):
        await changed(store)
        await told(store, hours(4, 9), [40, 50, 60, 70, 80], hour=2.25, **NEW)
    fields = [(r.message, r.outcome, r.series, r.before, r.unit) for r in caplog.records]
    assert fields == [
        ("unit", "proposed", "all", "'certificates'", "'requests'"),
        ("unit", "moved", "all", "'certificates'", "'requests'"),
    ]


async def test_many_series_are_one_line_of_the_log(store, caplog):
    names = tuple(f"o{number}" for number in range(9))
    await store.activate_labels([profile("by", caOwner=names)], NOW)
    before, after = (batch(*((query(caOwner=name), hours(0, end)) for name in names)) for end in (3, 2))
    await saved(store, before, *[[1, 2, 3]] * len(names), **OLD)
    for hour in (1, 2):
        await saved(store, after, *[[1, 2]] * len(names), now=later(hour), updated=later(hour), **NEW)
    assert [r.series for r in caplog.records if r.message == "unit"] == ["by/o0, by/o1, by/o2 and 6 more"] * 2
    assert len(await store.unit_changes([query(caOwner=name) for name in names])) == 9


async def test_a_unit_that_changes_often_keeps_every_bucket(store):
    await store.activate_labels([profile()], NOW)
    stored = {"a": {}, "b": {}, "c": {}}
    for number, unit in enumerate(["a", "b", "c", "b", "a"]):
        found = {2 * number + n: float(10 * number + n) for n in range(3)}
        stored[unit] |= found
        for hour in (4 * number, 4 * number + 2):
            await told(store, hours(2 * number, 2 * number + 3), found, hour=hour, unit=unit)
    expected = stored["c"] | stored["b"] | stored["a"]
    assert await values(store) == expected
    found = [value for (value,) in await rows(store, "SELECT value FROM history ORDER BY timestamp")]
    assert found == [value for _, value in sorted(expected.items())]


async def test_a_merge_is_read_in_blocks(store):
    many = 5_000
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, many), [1] * many, **OLD)
    for hour in (1, 2):
        await told(store, hours(3_000, many), [2] * (many - 3_000), hour=hour, **NEW)
    found = [block async for block in store.export_blocks()]
    assert [v for block in found for _, v in block.points] == [1.0] * 3_000 + [2.0] * 2_000
    assert max(len(block.points) for block in found) <= 1_000
    assert [t for block in found for t, _ in block.points] == [at(h) for h in range(many)]


async def test_answers_that_come_together_move_the_label_once(store, caplog):
    await store.activate_labels([profile()], NOW)
    await told(store, hours(0, 2), [1, 2], **OLD)
    asked = [batch((ALL, hours(n, n + 1))) for n in range(4)]
    ids = [await start_fetch(store, each, later(n)) for n, each in enumerate(asked, 1)]
    for number, each in zip(ids, asked, strict=True):
        await store.save(number, each, answer(each, [9], updated=later(9), **NEW), later(9), 10)
    assert [r.outcome for r in caplog.records if r.message == "unit"] == ["proposed", "moved"]
    assert await values(store) == dict.fromkeys(range(4), 9.0)


async def test_a_word_that_an_answer_does_not_name_is_as_it_was_before(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(0, 2))), [1, 2], unit="certificates")
    later = NOW + 2 * HOUR
    await saved(store, batch((query(), hours(2, 4))), [3, 4], normalization="", unit="", now=later, updated=later)
    assert await values(store) == {0: 1, 1: 2, 2: 3, 3: 4}
    assert await rows(store, "SELECT normalization, unit FROM series") == [("RAW_VALUES", "certificates")]


async def test_a_word_that_is_named_later_is_taken_over_without_a_new_series(store):
    await store.activate_labels([profile()], NOW)
    for number, words in enumerate([("", ""), ("", "certificates"), ("RAW_VALUES", "Certificates"), ("", "")]):
        now, window = NOW + number * 2 * HOUR, hours(number, number + 1)
        asked = batch((query(), window))
        await saved(store, asked, [number], normalization=words[0], unit=words[1], now=now, updated=now)
    assert await values(store) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert await rows(store, "SELECT normalization, unit FROM series") == [("RAW_VALUES", "certificates")]
    assert await store.unit_changes([query()]) == []


async def test_a_missing_normalization_of_relative_values_leaves_them_relative(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(0, 2))), [1, 2], normalization="MIN_MAX")
    later = NOW + 2 * HOUR
    await saved(store, batch((query(), hours(2, 4))), [3, 4], normalization="", now=later, updated=later)
    assert await store.relative_queries([query()]) == {query()}
    assert await values(store) == {2: 3, 3: 4}
