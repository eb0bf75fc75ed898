"""Answers are the same whether the database writes the texts of points, or each point is read as a row."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest

from collector.contract import response
from collector.contract.response import ApiError
from collector.interval import AggInterval, Grid
from collector.serve.api.parameters import QueryParameters, RequestRejected, write_cursor
from collector.serve.api.points import list_points
from collector.serve.radar_api import query_history, render
from collector.store import AsOfReader, PointCursor, PointQuery
from collector.timestamps import from_epoch, rfc3339
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved
from tests.store.write.test_snapshots import PROFILE, taken

HALF = Grid(AggInterval.ONE_HOUR, timedelta(minutes=30))
OWNERS = ("A", "B", "C, Inc.")
LATER = NOW + 40 * HOUR
VALUES = {
    "counts": lambda: random.randrange(10**6),
    "large counts": lambda: random.randrange(10**14, 10**19),
    "fractions": lambda: random.random() * 100,
    "some fractions": lambda: random.choice([0.5, 3, 1e-5, 7]),
    "odd": lambda: random.choice([-1, -0.0, 0, 1e22, 2.5e-9, 1 / 3, -0.5, 12_345_678.9]),
}


def _some(start, end):
    """Values for the hours from *start* to *end*; now and then one is missing."""
    draw, gaps = VALUES[random.choice(["counts", "counts", *VALUES])], random.choice([0, 0, 0.2])
    return {hour: draw() for hour in range(start, end) if random.random() >= gaps}


async def _fill(store):
    """A day and a half of five series: revised values, a changed unit, snapshots, and a grid that may move."""
    profiles = [profile("all"), profile("by", caOwner=OWNERS), PROFILE]
    await store.activate_labels(profiles, NOW)
    every, *owners = (query(), *(query(caOwner=owner) for owner in OWNERS))
    normalization = random.choice(["RAW_VALUES", "RAW_VALUES", "PERCENTAGE"])
    asked = batch((every, hours(0, 36)), *((owner, hours(0, 36)) for owner in owners))
    await saved(store, asked, *(_some(0, 36) for _ in range(4)), normalization=normalization)
    for number in range(random.randrange(4)):
        moment, start = NOW + (number + 1) * HOUR, random.randrange(30)
        asked = batch((random.choice([every, *owners]), hours(start, start + 6)))
        answer = {"now": moment, "updated": moment, "normalization": normalization}
        await saved(store, asked, _some(start, start + 6), **answer)
    if random.random() < 0.5:
        unit, start = random.choice(["requests", " * "]), random.randrange(30)
        for moment in (NOW + 10 * HOUR, NOW + 11 * HOUR):
            asked, values = batch((owners[1], hours(start, 38))), _some(start, 38)
            await saved(store, asked, values, now=moment, updated=moment, unit=unit, normalization=normalization)
    for days, value in ((1, 20), (0, 10)):
        asked_at = NOW.replace(microsecond=0) - timedelta(days=days)
        await store.save_snapshots([taken(*[value] * (36 - 24 * days), asked_at=asked_at)], NOW)
    if random.random() < 0.4:
        await store.move_grid(HALF, NOW + 20 * HOUR)
        asked = batch((every, hours(34.5, 38.5)))
        moment = NOW + 21 * HOUR
        values = {hour + 0.5: random.randrange(10) for hour in range(34, 38)}
        await saved(store, asked, values, now=moment, updated=moment, normalization=normalization)


def _moment(first=-3, last=44):
    return rfc3339(DAY + random.randint(first * 4, last * 4) * timedelta(minutes=15))


def _asked():
    """A query string for the local API."""
    start, end = sorted([_moment(), _moment()])
    count = random.choice([1, 1, 2])
    parts = [f"dateStart={start}", f"dateEnd={end}"]
    chosen = [
        "",
        "caOwner=A",
        "caOwner=B",
        "caOwner=A,B",
        "caOwner=C%252C%20Inc.,A",
        "caOwner=D",
        "expirationStatus=VALID",
    ]
    parts += [random.choice(chosen) for _ in range(count)]
    parts += random.choice([["aggInterval=1h"], ["aggInterval=1h"], ["aggInterval=15m"], ["aggInterval=1d"], []])
    parts += random.choice([[], [], [f"as_of={rfc3339(NOW + random.randrange(-2, 30) * HOUR)}"]])
    parts += random.choice([[], ["format=csv"]])
    return "&".join(part for part in parts if part)


async def _answered(store, raw_query):
    try:
        result = await query_history(store, raw_query, LATER)
    except ApiError as error:
        return error.error_code, error.message
    return "".join(result.chunks()), result.absent


def _read_rows(patch):
    """Let everything be read and written as rows, and all series be read for each request."""
    read_series = AsOfReader.series

    def every_series(self, dataset, _queries=None, dimension=""):
        return read_series(self, dataset, dimension=dimension)

    patch.setattr(AsOfReader, "series", every_series)
    patch.setattr(AsOfReader, "run", lambda *_: None)
    patch.setattr(response, "as_run", lambda _timestamps: None)
    patch.setattr(render, "quoted_numbers", lambda values: response.quoted(render.numbers(values)))


@pytest.mark.parametrize("_number", range(3))
async def test_an_answer_of_the_local_api_is_the_same(store, seed, _number):
    await _fill(store)
    answered = 0
    for raw_query in [_asked() for _ in range(60)]:
        fast = await _answered(store, raw_query)
        with pytest.MonkeyPatch.context() as patch:
            _read_rows(patch)
            assert fast == await _answered(store, raw_query), raw_query
        answered += isinstance(fast[0], str)
    assert answered


def _chosen():
    """The parameters of a request for points."""
    start, end = sorted([_moment(), _moment()])
    values = {
        "series": random.choice([[], ["all"], ["by/A", "by/B"], ["all", PROFILE.series[0].label]]),
        "profile": random.choice([[], [], ["by"], ["all", "by"]]),
        "start": random.choice([[], [start]]),
        "end": random.choice([[], [end]]),
        "as_of": random.choice([[], [], [rfc3339(NOW + random.randrange(-2, 30) * HOUR)]]),
    }
    return {name: texts for name, texts in values.items() if texts}


async def _slow_page(store, parameters, limit, after):
    """A page of points, from the rows of an export."""
    start, end = parameters.period()
    chosen = PointQuery(
        profiles=parameters.all_of("profile"),
        series=parameters.all_of("series"),
        start=start,
        end=end,
        as_of=parameters.time("as_of"),
    )
    rows = [(series, *row) async for series, block in store.select_blocks(chosen, after) for row in block]
    points = [
        {
            "profile": series.profile,
            "series": series.label,
            "timestamp": rfc3339(from_epoch(timestamp)),
            "value": int(value) if value.is_integer() else value,
            "unit": series.unit,
            **({"asked_at": rfc3339(series.asked_at)} if series.asked_at else {}),
        }
        for series, timestamp, value in rows[:limit]
    ]
    last = (rows[limit - 1][0].profile, rows[limit - 1][0].label, rows[limit - 1][1]) if len(rows) > limit else None
    document = {"points": points, "next": write_cursor(*last) if last else None}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")), last and PointCursor(*last)


@pytest.mark.parametrize("_number", range(3))
async def test_a_page_of_points_is_the_same(store, seed, _number):
    await _fill(store)
    pages = 0
    for values in [_chosen() for _ in range(15)]:
        limit, after, cursor = random.choice([1, 7, 36, 50, 1_000]), None, None
        for _ in range(6):
            more = {"after": [cursor]} if cursor else {}
            try:
                fast = await list_points(store, QueryParameters({**values, "limit": [str(limit)], **more}, LATER))
            except RequestRejected:  # the range lies outside of a snapshot
                break
            slow, after = await _slow_page(store, QueryParameters(values, LATER), limit, after)
            assert fast == slow
            pages += 1
            cursor = json.loads(fast)["next"]
            if cursor is None:
                break
    assert pages
