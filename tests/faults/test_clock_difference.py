"""Our clock and Radar's differ, by minutes to more than a day, both ways, and drift back."""

from collections import Counter
from datetime import timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs

import pytest

from collector.collect.worker import ProfileWorker
from collector.contract.response import envelope
from collector.interval import AggInterval
from collector.model import DATASET, RequestKind, Window
from collector.report.status import status_document
from collector.timestamps import from_epoch, utc
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import profile, query

QUARTER, DAILY = AggInterval.FIFTEEN_MINUTES, AggInterval.ONE_DAY
HOURS = timedelta(hours=1)


class SkewedWorld:
    """A world whose clock is *ahead* of the simulator's; a negative one is behind."""

    def __init__(self, core, ahead):
        self.core = core
        self.skew(ahead)

    def skew(self, ahead):
        self.ahead = ahead
        self.core.simulator._clock = self._radar_seconds

    @property
    def radar_now(self):
        return self.core.clock.now - self.ahead

    def _radar_seconds(self):
        return self.radar_now.timestamp()

    def drift(self, ahead):
        """Set our clock, so that it is *ahead* from now on; the simulator's goes on."""
        self.core.clock.now += ahead - self.ahead
        self.skew(ahead)

    async def run_due(self, *, restart=True):
        if restart:
            self.core.restart()
        return await ProfileWorker(self.core.profiles, self.core.store, self.core.batch_runner).run_due()

    async def status(self):
        return await status_document(self.core.store, self.core.profiles, 600, self.core.clock())

    def beyond(self):
        """Return how many requests asked for what lay in the simulator's future when they came."""
        return sum(
            any(utc(last) + QUARTER.step > from_epoch(received.at) for last in parse_qs(received.raw_query)["dateEnd"])
            for received in self.core.requests
        )

    async def difference_from_truth(self, interval, start):
        """Return what is not stored from *start* to Radar's present, or stored otherwise."""
        window = Window(interval.floor(start), interval.floor(self.radar_now))
        points = self.core.simulator.truth(query(interval), window, self.radar_now.timestamp())
        stored = {at: value for at, value in (await self.core.stored())["all"].items() if at >= points.timestamps[0]}
        return dict({*zip(points.timestamps, points.values, strict=True)} ^ {*stored.items()})

    async def is_fresh(self):
        """Check that all is well, and return the difference that is named."""
        document = await self.status()
        [found] = document["profiles"]
        assert (found["state"], found["gaps"], found["lag_seconds"]) == ("fresh", 0, 0)
        named = found["clock_difference_seconds"]
        assert len(document["warnings"]) == (named is not None)
        return named


OFFSETS = [timedelta(minutes=5), HOURS, 26 * HOURS, 40 * DAY, -HOURS, -26 * HOURS, timedelta(seconds=20)]
USUAL = [
    (QUARTER, HOURS),
    (HOUR, 26 * HOURS),
    (DAILY, 26 * HOURS),
    (HOUR, timedelta(minutes=5)),
    (QUARTER, -26 * HOURS),
]
USUAL += [(HOUR, timedelta(seconds=20))]
EVERY = [(interval, ahead) for ahead in OFFSETS for interval in (QUARTER, HOUR, DAILY)]


async def _lived(url, interval, ahead, hours):
    """Live for *hours* with a clock that is *ahead*, then with one that is right."""
    start = NOW - 8 * DAY - max(ahead, timedelta(0))
    async with open_core(url, profile(agg_interval=interval, since=start)) as core:
        skewed = SkewedWorld(core, ahead)
        assert await skewed.run_due()
        until = interval.floor(min(core.clock.now, skewed.radar_now))
        if until > start:
            assert (await core.store.extents([query(interval)]))[query(interval)].end == until
        assert (await run_pass(core, fires=False, gaps=True)).complete
        for _ in range(hours):
            core.clock.advance(hours=1)
            assert await skewed.run_due()
        named = await skewed.is_fresh()
        assert skewed.beyond() <= 3  # then two replies agree
        skewed.drift(timedelta(0))
        for _ in range(2):
            assert await skewed.run_due()
            core.clock.now += max(HOURS, interval.step)
        assert await skewed.run_due()
        assert (await run_pass(core, fires=False, gaps=True)).complete
        assert await skewed.is_fresh() is None
        assert await skewed.difference_from_truth(interval, start) == {}
        fires = Counter(fire.due for fire in await core.store.list_fires(limit=None))
        assert set(fires.values()) == {1}
        return named


@pytest.mark.parametrize(("interval", "ahead"), USUAL, ids=map(str, range(len(USUAL))))
async def test_all_is_stored_up_to_radars_present_and_the_difference_is_named(sqlite_url, interval, ahead):
    named = await _lived(sqlite_url, interval, ahead, 3)
    if abs(ahead) <= timedelta(minutes=1):
        assert named is None
    else:
        assert abs(named - ahead.total_seconds()) <= 2


async def test_what_was_due_while_the_clock_was_ahead_is_asked_for_again_once_it_is_right(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        skewed = SkewedWorld(core, 6 * HOURS)
        for _ in range(6):
            assert await skewed.run_due()
            core.clock.advance(hours=1)
        skewed.drift(timedelta(0))
        for _ in range(3):
            assert await skewed.run_due()
            assert (await core.store.extents([query()]))[query()].end == HOUR.floor(core.clock())
            core.clock.advance(hours=1)
        fires = Counter(fire.due for fire in await core.store.list_fires(limit=None))
        assert set(fires.values()) == {1}


@pytest.mark.campaign
@pytest.mark.parametrize(("interval", "ahead"), EVERY, ids=map(str, range(len(EVERY))))
async def test_two_days_under_any_difference_leave_nothing_out(store_url, interval, ahead):
    await _lived(store_url, interval, ahead, 48)


@pytest.mark.parametrize("hours", [24, 40 * 24], ids=str)
async def test_a_clock_that_is_put_right_is_believed_whatever_was_on_record(store_url, hours):
    """What is wanted begins after Radar's present as the record has it, so no request would correct the record."""
    async with open_core(store_url, profile(since=NOW - 40 * DAY - 8 * HOURS)) as core:
        skewed = SkewedWorld(core, hours * HOURS)
        for _ in range(3):
            assert await skewed.run_due()
            core.clock.advance(hours=1)
        assert (await core.store.clock_difference()).named is not None
        skewed.drift(timedelta(0))
        assert await skewed.run_due()
        assert (await core.store.clock_difference()).named is None
        assert (await core.store.extents([query()]))[query()].end == HOUR.floor(core.clock())


async def test_the_first_request_is_asked_again_in_the_same_pass(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        skewed = SkewedWorld(core, 2 * HOURS)
        assert await skewed.run_due()
        assert await core.outcomes() == ["refused", "ok"]
        assert (await core.store.extents([query()]))[query()].end == HOUR.floor(skewed.radar_now)
        assert not (await core.batch_runner.limits(RequestKind(DATASET, HOUR))).is_limited  # no limit was to blame


async def test_a_refusal_in_other_words_takes_a_second_one(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        skewed = SkewedWorld(core, 2 * HOURS)
        core.script(faults.api_error(400, 2001, "Invalid parameters").times(2))
        assert await skewed.run_due()
        assert await core.outcomes() == ["refused", "refused", "ok"]
        assert not (await core.batch_runner.limits(RequestKind(DATASET, HOUR))).is_limited


@pytest.mark.parametrize("away", [365 * DAY, -365 * DAY, 3 * HOURS, -3 * HOURS], ids=str)
@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("ahead", [timedelta(0), 2 * HOURS], ids=str)
async def test_one_date_that_is_wrong_does_no_harm(sqlite_url, away, refused, ahead):
    async with open_core(sqlite_url, profile(since=NOW - 3 * DAY)) as core:
        skewed = SkewedWorld(core, ahead)
        wrong = format_datetime(skewed.radar_now + away, usegmt=True)
        if refused:
            core.script(faults.reply(400, envelope(2001, "no"), {"Date": wrong}))
        else:
            core.script(faults.headers({"Date": wrong}))
        for _ in range(3):
            assert await skewed.run_due()
            core.clock.advance(hours=1)
        assert await skewed.run_due()
        assert (await run_pass(core, fires=False, gaps=True)).complete
        named = await skewed.is_fresh()
        assert (named or 0) == pytest.approx(ahead.total_seconds(), abs=2)
        assert await skewed.difference_from_truth(HOUR, NOW - 3 * DAY) == {}


@pytest.mark.parametrize(
    "fields",
    [{"Date": "soon"}, {"Date": ""}, {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"Age": "7200"}],
    ids=["garbage", "empty", "1970", "cached"],
)
async def test_a_date_that_says_nothing_is_ignored(sqlite_url, fields):
    async with open_core(sqlite_url, profile()) as core:
        skewed = SkewedWorld(core, timedelta(0))
        if "Age" in fields:
            fields = fields | {"Date": format_datetime(NOW - 2 * HOURS, usegmt=True)}
        core.script(faults.headers(fields).always())
        for _ in range(4):
            core.clock.advance(hours=1)
            assert await skewed.run_due()
        assert await skewed.is_fresh() is None


async def test_a_pause_until_a_date_is_as_long_as_radar_means_it(sqlite_url):
    for ahead in (HOURS, -26 * HOURS):
        async with open_core(sqlite_url, profile()) as core:
            skewed = SkewedWorld(core, ahead)
            until = format_datetime(skewed.radar_now + timedelta(seconds=90), usegmt=True)
            core.script(faults.api_error(429, 1015, "slow down", retry_after=until))
            began = core.clock()
            assert await skewed.run_due()
            assert timedelta(seconds=89) <= core.clock() - began <= timedelta(seconds=95)


async def test_an_answer_without_last_updated_tells_up_to_radars_present_only(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        skewed = SkewedWorld(core, 26 * HOURS)
        core.script(faults.meta("lastUpdated", None).always())
        for _ in range(3):
            core.clock.advance(hours=1)
            assert await skewed.run_due()
        state = (await core.store.series_states([query()]))[query()]
        assert from_epoch(state.told_until) <= skewed.radar_now
        assert await skewed.is_fresh() == 26 * 3600


async def test_snapshots_end_at_radars_present(sqlite_url):
    moving = profile(filters={"expirationStatus": ("VALID",)})
    async with open_core(sqlite_url, moving) as core:
        skewed = SkewedWorld(core, 26 * HOURS)
        assert await skewed.run_due()
        [taken] = (await core.store.snapshots([moving.series[0].query])).values()
        assert taken.end == HOUR.floor(skewed.radar_now)


async def test_a_restart_knows_the_difference(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        skewed = SkewedWorld(core, 2 * HOURS)
        assert await skewed.run_due()
        core.clock.advance(hours=1)
        assert await skewed.run_due()
        assert await core.outcomes() == ["refused", "ok", "ok"]


async def test_the_log_names_a_difference_once(sqlite_url, caplog):
    caplog.set_level("INFO", "collector.collect.batches.fetcher")
    async with open_core(sqlite_url, profile()) as core:
        skewed = SkewedWorld(core, 26 * HOURS)
        for _ in range(3):
            assert await skewed.run_due(restart=False)
            core.clock.advance(hours=1)
        skewed.drift(timedelta(0))
        for _ in range(3):
            assert await skewed.run_due(restart=False)
            core.clock.advance(hours=1)
    named = [record for record in caplog.records if record.message == "clock"]
    assert [record.difference_seconds for record in named] == [pytest.approx(26 * 3600, abs=2), 0]
