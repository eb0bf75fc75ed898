"""The law of this package: what is stored is answered as Radar would answer at the same moment."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.batches.fetcher import Fetcher
from collector.collect.one_pass import collect
from collector.contract.request_parser import decode_query, floor, parse_request
from collector.contract.response import ApiError
from collector.datasets import DEFAULT
from collector.interval import AggInterval
from collector.radar.client import RadarClient
from collector.serve.radar_api import query_history
from collector.settings import load
from collector.simulator import Simulator, SimulatorOptions, serve
from collector.simulator.history import SimulatedHistory
from collector.simulator.response import answer
from collector.store import Store
from collector.timestamps import from_epoch, rfc3339, utc

NOW = utc("2026-08-14T10:07:00Z")
OWNERS = ("Internet Security Research Group", "DigiCert, Inc.", "Sectigo Limited")
CONFIG = """
[radar]
base_url = "{url}"
[[profiles]]
name = "quarters"
agg_interval = "15m"
since = 2026-06-10
[[profiles]]
name = "owners"
agg_interval = "1h"
since = 2026-05-01
[profiles.each]
ca_owner = ["Internet Security Research Group", "DigiCert, Inc.", "Sectigo Limited"]
[[profiles]]
name = "short"
agg_interval = "1d"
since = 2025-07-01
[profiles.filters]
duration = ["LTE_3D", "GT_3D_LTE_7D"]
validation_level = ["DOMAIN"]
[[profiles]]
name = "weeks"
agg_interval = "1w"
since = 2025-07-01
[profiles.filters]
tld = ["com"]
"""
KEPT = {
    ("15m", utc("2026-06-10T00:00:00Z")): [()],
    ("1h", utc("2026-05-01T00:00:00Z")): [
        *((("caOwner", owner.replace(",", "%2C")),) for owner in OWNERS),
        (("caOwner", "Sectigo Limited,DigiCert%2C Inc."),),
    ],
    ("1d", utc("2025-07-01T00:00:00Z")): [
        (("validationLevel", "DOMAIN"), ("duration", "GT_3D_LTE_7D,LTE_3D")),
        (("duration", "LTE_3D,GT_3D_LTE_7D"), ("validationLevel", "DOMAIN")),
    ],
    ("1w", utc("2025-07-01T00:00:00Z")): [(("tld", "com"),)],
}
"""The filters of every profile, and two that are answered from it, by interval and beginning of history."""


@dataclass(frozen=True)
class World:
    store: Store
    options: SimulatorOptions
    runner: asyncio.Runner

    def local(self, raw_query):
        async def text():
            return "".join((await query_history(self.store, raw_query, NOW)).chunks())

        return self.runner.run(text())

    def radar(self, raw_query):
        question = parse_request(DEFAULT, decode_query(raw_query), self.options, NOW.timestamp())
        return answer(question, SimulatedHistory(self.options, []), self.options, NOW.timestamp()).body.decode()


async def _collect(store, simulator, folder):
    async with serve(simulator) as url:
        (folder / "config.toml").write_text(CONFIG.format(url=url))
        loaded = load(str(folder / "config.toml"), {"CLOUDFLARE_API_TOKEN": "made-up"}, now=NOW)
        await store.activate_labels(loaded.profiles, NOW)
        async with RadarClient(loaded.radar, lambda: NOW) as radar:
            fetcher = Fetcher(radar, store, limit=1200, stop=asyncio.Event(), clock=lambda: NOW)
            collected = await collect(loaded.profiles, NOW, store, BatchRunner(fetcher, 4), gaps=True)
            assert collected.complete, collected.reasons


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder, options = tmp_path_factory.mktemp("world"), SimulatorOptions(max_span={})
    with asyncio.Runner() as runner:
        opened = Store.open(f"sqlite:///{folder}/collector.db", owner="test")
        store = runner.run(opened.__aenter__())
        runner.run(_collect(store, Simulator(options, NOW.timestamp), folder))
        yield World(store, options, runner)
        runner.run(opened.__aexit__(None, None, None))


RANGES = [*(f"{days}d" for days in (1, 2, 7, 10, 28, 31, 32, 90, 364)), *(f"{weeks}w" for weeks in (1, 4, 12, 52))]
SLOTS = st.integers(0, 200 * 96)


@st.composite
def _questions(draw):
    """A question of one to three series, with the interval and the beginning of the history of each."""
    each = [(*kept, filters) for kept, all_of in KEPT.items() for filters in all_of]
    chosen = draw(st.lists(st.sampled_from(each), min_size=1, max_size=3))
    count, interval = len(chosen), draw(st.sampled_from([*AggInterval, None]))
    pairs = [("aggInterval", interval)] if interval else []
    if draw(st.booleans()):
        length = draw(st.sampled_from(RANGES))
        pairs += [("dateRange", f"{length}{draw(st.sampled_from(['', 'control']))}") for _ in range(count)]
    else:
        length = timedelta(minutes=15 * draw(SLOTS), seconds=draw(st.integers(0, 899)))
        for _ in range(count):
            end = NOW - timedelta(minutes=15 * draw(SLOTS), seconds=420)
            start = from_epoch(floor(end.timestamp(), 900)) - length + timedelta(seconds=length.seconds % 900)
            pairs += [("dateStart", rfc3339(start)), ("dateEnd", rfc3339(end))]
    names = dict.fromkeys(name for *_, filters in chosen for name, _ in filters)
    pairs += [(name, dict(filters).get(name, "")) for *_, filters in chosen for name in names]
    return urlencode(pairs), interval, [(AggInterval(kept), since) for kept, since, _ in chosen]


def _points(series):
    return dict(zip(series["timestamps"], map(float, series["values"]), strict=True))


@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_questions())
def test_the_local_answer_equals_radars(world, asked):
    _equals(world, *asked)


@pytest.mark.parametrize("interval", [*AggInterval, None])
@pytest.mark.parametrize(
    ("kept", "since", "filters"), [(*kept, one) for kept, all_of in KEPT.items() for one in all_of]
)
def test_every_combination_of_interval_range_control_and_profile_does(world, interval, kept, since, filters):
    for date_range in (f"{length}{suffix}" for length in RANGES for suffix in ("", "control")):
        asked = urlencode([*([("aggInterval", interval)] if interval else []), ("dateRange", date_range), *filters])
        _equals(world, asked, interval, [(AggInterval(kept), since)])


def _equals(world, raw_query, interval, kept):
    radar = json.loads(world.radar(raw_query))["result"]
    found = AggInterval[radar["meta"]["aggInterval"]]
    if any(one.seconds > found.seconds for one, _ in kept):
        starts = [one["startTime"] for one in radar["meta"]["dateRange"]]
        week = timedelta(weeks=1)
        reaches_back = any(a < rfc3339(since + week) for a, (_, since) in zip(starts, kept, strict=True))
        _coarser_or_refused(world, raw_query, interval, found, reaches_back=reaches_back)
        return
    begun = [rfc3339(_first_whole_bucket(found, *one)) for one in kept]
    told = [_points(radar[f"serie_{position}"]) for position in range(len(kept))]
    if any(moment < first for first, theirs in zip(begun, told, strict=True) for moment in theirs):
        with pytest.raises(ApiError, match=r"before the history|Nothing is stored") as refused:
            world.local(raw_query)
        assert refused.value.error_code.status == 404
        return
    document = json.loads(world.local(raw_query))
    assert "messages" not in document
    local = document["result"]
    assert [_points(local[f"serie_{position}"]) for position in range(len(kept))] == told
    _same_meta(local, radar)


def _first_whole_bucket(interval, kept, since):
    first = kept.floor(since)
    start = interval.floor(first)
    return start if start == first else start + interval.step


def _coarser_or_refused(world, raw_query, interval, found, *, reaches_back):
    """What is kept at a coarser interval cannot be answered at a finer one; nor what begins before the history."""
    if interval:
        with pytest.raises(ApiError, match="is too granular"):
            world.local(raw_query)
        return
    try:
        local = json.loads(world.local(raw_query))["result"]
    except ApiError as refused:
        assert reaches_back, refused  # noqa: PT017 - the other questions are answered
        return
    assert AggInterval[local["meta"]["aggInterval"]].seconds > found.seconds


def _same_meta(local, radar):
    ours, theirs = local["meta"], radar["meta"]
    remarks, radars = ours.pop("confidenceInfo"), theirs.pop("confidenceInfo")
    for position, claimed in enumerate(theirs["dateRange"]):
        moments = local[f"serie_{position}"]["timestamps"]
        if moments:  # what Radar has not published yet is not claimed
            assert claimed["startTime"] == moments[0]
            claimed["endTime"] = moments[-1]
    assert ours == theirs
    assert remarks["level"] in (radars["level"], 4)
    assert all(remark in radars["annotations"] for remark in remarks["annotations"])
    if min(found["startTime"] for found in ours["dateRange"]) >= "2025-07-01":
        assert len(remarks["annotations"]) == len(radars["annotations"])
