"""The points of a window as text, which the database writes."""

import random

import pytest
import sqlalchemy as sa

from collector.serve.radar_api.render import numbers
from collector.store.db.schema import points
from collector.store.read.points import Run, first_points, read_run
from collector.timestamps import from_epoch
from tests.harness.factories import START

STEP = 900
COUNTS = [0.0, 1.0, 434_476.0, 9e14]
ODD = [*COUNTS, -0.0, -1.0, -2.5, 0.5, 1 / 3, 1e-5, 2.5e-9, 1e15, 1e16, 1e22, 2.0**63, -(2.0**63), 1.7e308]


async def _read(store, rows, *bounds):
    """Store *rows* (timestamp, value), and read them both ways."""

    def write(connection):
        connection.execute(sa.delete(points))
        if rows:
            values = [{"series_id": 1, "timestamp": from_epoch(t), "value": v, "fetch_id": 1} for t, v in rows]
            connection.execute(sa.insert(points), values)

    def read(connection):
        start, end, limit = bounds or (None, None, None)
        return read_run(connection, 1, start, end, STEP, limit), first_points(connection, 1, start, end, limit or 10**6)

    await store._database.write(write)
    return await store._database.read_in_thread(read)


def _texts(run):
    return list(zip(run.timestamps, run.values.split(","), strict=True)) if run else []


def _expected(rows):
    return [(timestamp, *numbers([value])) for timestamp, value in rows]


async def test_it_works(store):
    run, rows = await _read(store, [(START + n * STEP, 10.0 * n) for n in range(4)])
    assert run == Run(range(START, START + 4 * STEP, STEP), "0,10,20,30")
    assert rows == [(START, 0.0), (START + STEP, 10.0), (START + 2 * STEP, 20.0), (START + 3 * STEP, 30.0)]


async def test_nothing_is_a_run(store):
    run, rows = await _read(store, [])
    assert (len(run), run.values, list(rows)) == (0, "", [])


@pytest.mark.parametrize(
    "offsets",
    [[0, 2 * STEP], [0, STEP, 3 * STEP], [450], [0, 450, 2 * STEP], [0, STEP + 1, 2 * STEP], [1, STEP + 1]],
)
async def test_buckets_with_a_gap_or_beside_the_grid_are_no_run(store, offsets):
    run, _ = await _read(store, [(START + offset, 1.0) for offset in offsets])
    assert run is None


async def test_buckets_wider_than_a_day_are_no_run(store):
    week = 7 * 86_400
    assert await store._database.read_in_thread(lambda connection: read_run(connection, 1, None, None, week)) is None


@pytest.mark.parametrize("value", ODD)
async def test_a_value_is_written_as_an_answer_has_it_or_not_at_all(store, value):
    run, rows = await _read(store, [(START, 1.0), (START + STEP, value)])
    assert run is None or _texts(run) == _expected(rows)
    assert run is not None or repr(value) not in map(repr, COUNTS)


async def test_any_rows_read_the_same_both_ways(store, seed):
    runs = 0
    for _ in range(60):
        first, draw = random.randrange(3), random.choice([COUNTS, COUNTS, [*COUNTS, 0.25], ODD])
        numbers_ = [
            n for n in range(first, first + random.randrange(40)) if random.random() > random.choice([0, 0, 0.1])
        ]
        stored = [(START + n * STEP, random.choice(draw)) for n in numbers_]
        start, end = (from_epoch(START + random.randint(-5, 45) * STEP + random.choice([0, 1])) for _ in range(2))
        run, rows = await _read(
            store, stored, random.choice([None, start]), random.choice([None, end]), random.choice([1, 7, 100])
        )
        assert run is None or _texts(run) == _expected(rows)
        runs += bool(run)
    assert runs


def test_a_part_of_a_run_is_a_run():
    run = Run(range(0, 4 * STEP, STEP), "5,6,7,8")
    assert run[:-1] == Run(range(0, 3 * STEP, STEP), "5,6,7")
    assert run[:9] is run
