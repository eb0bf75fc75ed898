"""The matrix for answers by dimension: every variation of a true answer, by HTTP, against the answer as documented.

No value and no group is wrong, nothing is refused that can be read, and what is refused is refused as a whole.
"""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from collector.model import Batch, Slice, Window
from collector.radar.client import RadarClient
from collector.radar.errors import RadarError
from collector.settings import Credentials, RadarSettings, Secret
from collector.simulator import SimulatorOptions, odd
from collector.simulator.simulator import Simulator, serve
from tests.harness.factories import profile

NOW = datetime(2026, 3, 4, 12, 20, tzinfo=UTC)
WINDOW = Window(NOW.replace(hour=4, minute=0), NOW.replace(hour=10, minute=0))
QUESTIONS = [
    series.query
    for series in profile(
        "narrow", dimension="CA_OWNER", each={"duration": ("LTE_3D", "GT_200D")}, most_groups=3
    ).series
]
BATCHES = {
    "one series": Batch((Slice(QUESTIONS[0], WINDOW),)),
    "two series": Batch(tuple(Slice(question, WINDOW) for question in QUESTIONS)),
}


READ = [variation for variation in odd.VARIATIONS.values() if variation.group not in ("limits", "behaviour")]


REFUSED = {1: (), 2: ("names-words",)}
"""Those that are taken where one series is asked for alone."""


@asynccontextmanager
async def radar_and_simulator():
    simulator = Simulator(SimulatorOptions(siblings="served"), NOW.timestamp)
    async with serve(simulator) as base_url:
        settings = RadarSettings(base_url, 600, 4, timedelta(seconds=5), Credentials(token=Secret("t")))
        async with RadarClient(settings, lambda: NOW) as radar:
            yield radar, simulator


def content(answer, variation):
    """What an answer says of each series that came: sums, groups and what is left, in the buckets that can be read."""
    step = QUESTIONS[0].agg_interval.seconds

    def kept(points):
        pairs = zip(points.timestamps, points.values, strict=True)
        return {at: value for at, value in pairs if variation.keeps(at, step)}

    return [
        (
            kept(series),
            {name: kept(group) for name, group in series.groups.items()},
            {at: left.other for at, left in series.remainders.items() if variation.keeps(at, step)},
        )
        for series in answer.series
    ]


def bounds(answer):
    """{(series, bucket): the most that a group which is not listed may have}."""
    lefts = ((number, series.remainders) for number, series in enumerate(answer.series))
    return {(number, at): left.most for number, remainders in lefts for at, left in remainders.items()}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
async def test_every_variation_is_read_as_the_table_says(batch):
    wrong = {}
    async with radar_and_simulator() as (radar, simulator):
        documented = (await radar.request(batch)).answer
        assert all(series.groups and series.remainders for series in documented.series)
        for variation in READ:
            simulator.be_odd(variation.name)
            try:
                came = (await radar.request(batch)).answer
            except RadarError as error:
                if variation.verdict != "refuse" and variation.name not in REFUSED[len(batch.slices)]:
                    wrong[variation.name] = str(error)
                continue
            expected = content(documented, variation)[: len(came.series)]
            if variation.verdict == "refuse" and variation.of_groups:
                wrong[variation.name] = "taken"
            elif content(came, variation) != expected or len(came.series) + len(came.missing) != len(batch.slices):
                wrong[variation.name] = content(came, variation), expected
            elif any(most < bounds(documented)[at] for at, most in bounds(came).items()):
                wrong[variation.name] = "a bound is too low"
    assert wrong == {}, "\n".join(f"{name}: {what}" for name, what in wrong.items())


PAIRS = [
    ("keys-lower", "series-nested"),
    ("keys-upper", "series-list"),
    ("timestamps-epoch", "values-numbers"),
    ("series-records", "meta-inside"),
    ("series-shared", "values-numbers"),
    ("series-by-timestamp", "names-upper"),
]


@pytest.mark.parametrize("pair", PAIRS)
async def test_several_variations_are_read_together(pair):
    async with radar_and_simulator() as (radar, simulator):
        documented = (await radar.request(BATCHES["two series"])).answer
        simulator.be_odd(*pair)
        came = (await radar.request(BATCHES["two series"])).answer
        assert came.series == documented.series
