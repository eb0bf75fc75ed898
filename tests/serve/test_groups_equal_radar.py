"""Groups and their sums are answered from history as Radar would answer at the same moment."""

import json
import random
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from collector.contract.group_parser import GroupsPlace
from collector.contract.request_parser import decode_query
from collector.datasets import DEFAULT
from collector.interval import AggInterval
from collector.model import Window
from collector.serve.radar_api import query_groups
from collector.simulator import Life
from collector.simulator.siblings import sibling
from collector.timestamps import from_epoch, rfc3339, utc
from tests.harness.collect_core import DAY, NOW, open_core, run_pass
from tests.harness.factories import profile, query

SINCE = utc("2026-03-02T00:00:00Z")  # a Monday
DURATIONS = DEFAULT.filters["duration"].values
PROFILES = [
    profile("owners", dimension="CA_OWNER", since=SINCE),
    profile("logs", dimension="LOG", since=SINCE, filters={"entryType": ("PRECERTIFICATE",)}),
    profile("levels", dimension="VALIDATION_LEVEL", since=SINCE, hasWildcards=("true", "false")),
    profile("tlds", dimension="TLD", since=SINCE, agg_interval=AggInterval.ONE_DAY),
    profile("lifetimes", since=SINCE, duration=DURATIONS),
]
NEWEST = "2026-03-10T11:00:00Z"
"""The newest bucket of sums, which are always of hours here."""
OWNERS = "DigiCert%2C Inc.,Sectigo Limited,SwissSign AG"
ASKED = [
    ("CA_OWNER", {}, "1h"),
    ("CA_OWNER", {"caOwner": OWNERS}, "1h"),
    ("LOG", {"entryType": "PRECERTIFICATE"}, "1h"),
    ("VALIDATION_LEVEL", {"hasWildcards": "true"}, "1h"),
    ("VALIDATION_LEVEL", {"hasWildcards": "true", "validationLevel": "DOMAIN,EXTENDED"}, "1h"),
    ("TLD", {}, "1d"),
    ("DURATION", {}, "1h"),
    ("DURATION", {"duration": "LTE_3D,GT_200D"}, "1h"),
]
"""Dimension, filters and the finest interval that is kept."""


def _range(step):
    days = 3 if step == "1h" else 40
    length = timedelta(hours=random.randint(25, 24 * days))
    last = NOW - timedelta(hours=random.randint(0, 24))
    start = max(last - length, SINCE)
    return rfc3339(start), rfc3339(start + length if start + length < NOW else last)


def _asked():
    """Return folder, dimension and parameters of a request that the history can answer."""
    dimension, filters, kept = random.choice(ASKED)
    folder = random.choice(["timeseries_groups", "summary"])
    start, end = (rfc3339(SINCE), rfc3339(NOW - timedelta(hours=1))) if kept == "1d" else _range(kept)
    intervals = ["1d", "1w"] if kept == "1d" else ["1h", "1d"]
    if folder == "summary" and kept == "1d":
        folder = "timeseries_groups"  # the interval of a sum is that of the range
    positions = random.choice([1, 1, 2])
    pairs = [("aggInterval", random.choice(intervals)), ("dateStart", start), ("dateEnd", end)]
    pairs += [(name, value) for name, value in filters.items() for _ in range(positions)]
    if not filters and positions > 1:
        pairs += [("name", "first"), ("name", "second")] if folder != "summary" else []
    if DEFAULT.dimensions[dimension].has_many_groups:
        pairs.append(("limitPerGroup", str(random.choice([2, 3, 7, 1000]))))
    if random.random() < 0.5:
        pairs.append(("normalization", random.choice(["RAW_VALUES", "PERCENTAGE"])))
    return folder, dimension, urlencode(pairs)


def _values(content):
    """Return the values of each group by bucket, without those that are zero everywhere."""
    moments = content.get("timestamps", [""])
    columns = {name: texts if isinstance(texts, list) else [texts] for name, texts in content.items()}
    columns.pop("timestamps", None)
    numbers = {name: dict(zip(moments, map(float, texts), strict=True)) for name, texts in columns.items()}
    return {name: by_time for name, by_time in numbers.items() if any(by_time.values())}


def _same_meta(ours, radars, result):
    assert ours.pop("confidenceInfo")["level"] in (radars.pop("confidenceInfo")["level"], 4)
    last = min((content["timestamps"][-1] for content in result.values() if "timestamps" in content), default=NEWEST)
    for claimed in radars["dateRange"]:  # what Radar has not published yet is not claimed
        claimed["endTime"] = min(claimed["endTime"], last)
    assert ours == radars


async def test_the_local_answer_equals_radars(store_url, seed):
    async with open_core(store_url, *PROFILES, more_values={"caOwner": 28}) as core:
        assert (await run_pass(core, gaps=True)).complete
        simulator = core.simulator
        for _ in range(40):
            folder, dimension, raw_query = _asked()
            pairs, world = decode_query(raw_query), (simulator._history, simulator.options)
            reply = sibling(folder, dimension, DEFAULT, pairs, *world, NOW.timestamp())
            radars = json.loads(reply.body)["result"]
            place = GroupsPlace(DEFAULT, folder, dimension)
            document = json.loads("".join((await query_groups(core.store, place, raw_query, NOW)).chunks()))
            assert "messages" not in document, raw_query
            ours = document["result"]
            assert list(ours) == list(radars), (folder, dimension, raw_query)
            _same_meta(ours.pop("meta"), radars.pop("meta"), radars)
            for name, content in radars.items():
                expected, values = _values(content), _values(ours[name])
                assert values.keys() == expected.keys(), (folder, dimension, raw_query)
                for group, by_time in expected.items():
                    assert values[group] == pytest.approx(by_time, rel=1e-5), (folder, dimension, raw_query)


async def test_what_is_listed_is_right_while_radar_lists_only_the_largest(sqlite_url):
    lives = {"Amazon Trust Services": Life(end=NOW - 4 * DAY)}
    spans = {AggInterval.ONE_HOUR: 2 * DAY}
    counted = {"more_values": {"caOwner": 28}, "most_groups": 5, "lives": lives, "max_span": spans}
    async with open_core(sqlite_url, PROFILES[0], **counted) as core:
        await run_pass(core, gaps=True)
        place, numbers = GroupsPlace(DEFAULT, "timeseries_groups", "CA_OWNER"), set()
        for first, last in ((SINCE, NOW), (SINCE, NOW - 5 * DAY), (NOW - 2 * DAY, NOW)):
            raw_query = urlencode({"aggInterval": "1d", "dateStart": rfc3339(first), "dateEnd": rfc3339(last)})
            [divided] = (await query_groups(core.store, place, raw_query, NOW)).series
            numbers.add(len(divided.listed))
            assert min(divided.left) > 0
            window = Window(from_epoch(divided.timestamps[0]), from_epoch(divided.timestamps[-1]) + DAY)
            whole = core.truth(query("1d"), window)
            assert [*divided.timestamps] == [*whole]
            for owner, values in divided.listed.items():
                assert [*values] == [*core.truth(query("1d", caOwner=owner), window).values()]
            columns = zip(divided.left, *divided.listed.values(), strict=True)
            assert [sum(column) for column in columns] == [*whole.values()]
        assert len(numbers) > 1
