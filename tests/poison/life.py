"""The service's work over simulated weeks, as the daemon does it, without waiting: on a real store and over HTTP.

Every few hours the profiles that are due are attended, and behind them history is kept, with the retries of the daemon.
The clock moves from one to the next, and where something waits.
"""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collector.collect.backfill import BackfillRunner
from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.confirm import confirm
from collector.collect.planning.packing import LONGEST_QUERY
from collector.collect.worker import ProfileWorker
from collector.daemon import groups
from collector.interval import AggInterval
from collector.model import DATASET, RequestKind, Window
from collector.radar.client import RadarClient
from collector.report.gaps import find_gaps
from collector.report.status import status_document
from collector.retry import backoff
from collector.settings import Credentials, RadarSettings, Secret
from collector.simulator import Simulator, serve
from collector.simulator.options import MAX_SPAN
from collector.store import Store, backfill_request
from collector.timestamps import from_epoch
from tests.harness.collect_core import TOKEN, Clock, NoWaitFetcher, run_pass
from tests.harness.factories import profile, rows
from tests.poison.kinds import DAY, HOUR, Injection
from tests.poison.upstream import make_simulator

START = datetime(2026, 3, 10, 12, 7, tzinfo=UTC)
BUDGET = 600
_TRIES = 20
_HEAL_AGAIN = timedelta(minutes=5)
_WEEK_SECONDS = 7 * 86_400
"""So long after the first wrong answer the learned limits must be those of the upstream again."""


@dataclass(frozen=True)
class Pace:
    """How long a run is: the wrong answer comes between day 1 and *spoilt_by*; then there is *rest*, then `settle`.

    *others* is how probable it is that there are profiles whose answers are not spoilt, too.
    """

    settle: timedelta
    lookback: timedelta
    spoilt_by: timedelta
    rest: timedelta
    others: float
    every: timedelta = 12 * HOUR

    @property
    def length(self):
        return self.spoilt_by + self.rest + self.settle


LONG = Pace(settle=14 * DAY, lookback=DAY, spoilt_by=20 * DAY, rest=10 * DAY, others=0.25)
SHORT = Pace(settle=2 * DAY, lookback=12 * HOUR, spoilt_by=2.5 * DAY, rest=2.5 * DAY, others=0)


def profiles_of(pace, interval, dice):
    """The profile that is there from the start, and those with history that some kinds add later.

    Where there are no others, those of one *interval*.
    """
    early, late = _profiles(pace)
    if dice.random() < pace.others:
        return early, late
    return [one for one in early if one.agg_interval == interval], [one for one in late if one.agg_interval == interval]


def _profiles(pace):
    same = {"settle": pace.settle, "lookback": pace.lookback}
    since = START.replace(hour=0, minute=0) - 60 * DAY
    owners = "Internet Security Research Group", "DigiCert, Inc."
    return [profile("quarters", AggInterval.FIFTEEN_MINUTES, **same)], [
        profile("owners", AggInterval.ONE_HOUR, each={"caOwner": owners}, since=since, **same),
        profile("days", AggInterval.ONE_DAY, filters={"validationLevel": ("DOMAIN",)}, since=since, **same),
        profile("unique", AggInterval.ONE_HOUR, filters={"uniqueEntries": ("true",)}, since=since, **same),
    ][: None if pace.others else 2]


@dataclass
class Life:
    """A service, its store and its upstream, driven by a clock that does not wait."""

    store: Store
    simulator: Simulator
    fetcher: NoWaitFetcher
    batch_runner: BatchRunner
    clock: Clock
    profiles: list = field(default_factory=list)
    workers: list = field(default_factory=list)

    async def activate_labels(self, profiles):
        """Go on with *profiles*, as after a reload."""
        self.profiles = [*profiles]
        await self.store.activate_labels(self.profiles, self.clock())
        self.batch_runner = BatchRunner(self.fetcher, self.batch_runner.concurrency)
        grouped = groups(tuple(self.profiles)).values()
        self.workers = [ProfileWorker(each, self.store, self.batch_runner) for each in grouped]

    async def work(self):
        """Do what the daemon does when profiles are due: attend them, then keep history; try again what failed."""
        for worker in self.workers:
            await self._until_complete(worker.run_due, lambda failures: timedelta(seconds=backoff(failures)))
        await self._until_complete(self._keep_history, lambda failures: _HEAL_AGAIN * 2 ** (failures - 1), 3)

    async def _until_complete(self, work, pause, tries=_TRIES):
        for failures in range(1, tries):
            if await work():
                return
            self.clock.now += pause(failures)

    async def _keep_history(self):
        """One turn of `collect.background.keep_history`."""
        healed = await run_pass(self, fires=False, gaps=True)
        await confirm(self.profiles, self.clock(), self.store, self.batch_runner)
        return healed.complete

    async def backfill(self, start, *, force):
        """Do what `backfill` does."""
        order = backfill_request([one.name for one in self.profiles], start, None, self.clock(), force=force)
        job = await self.store.create_backfill(order, self.clock())
        backfill_runner = BackfillRunner(self.store, self.batch_runner, shares=self.store.backend != "sqlite")
        await backfill_runner.run(job, self.profiles)

    async def status(self):
        """What `status` says, by profile, and its warnings."""
        document = await status_document(self.store, self.profiles, BUDGET, self.clock())
        return {one["name"]: one for one in document["profiles"]}, document.get("warnings") or []

    async def gaps(self):
        return await find_gaps(self.store, self.profiles, self.clock())


@asynccontextmanager
async def living(url, pace, hole):
    """Open all of it on the store at *url*; the service has no profile yet."""
    clock = Clock(START)
    simulator = make_simulator(clock, START, pace, hole)
    async with serve(simulator) as base_url, Store.open(url, owner="test") as store:
        settings = RadarSettings(base_url, BUDGET, 4, timedelta(seconds=5), Credentials(token=Secret(TOKEN)))
        async with RadarClient(settings, clock) as radar:
            fetcher = NoWaitFetcher(radar, store, limit=BUDGET, stop=asyncio.Event(), clock=clock)
            yield Life(store, simulator, fetcher, BatchRunner(fetcher, 4), clock)


@dataclass
class Ended:
    """What came of a run: what is wrong, how many answers of *interval* were spoilt, and what it all took."""

    faults: list
    interval: str
    hits: int
    requests: int
    profiles: int


async def run(url, kind, pace, dice):
    """Live with *kind* of wrong answer at a random moment; *dice* is the source of chance."""
    moment = START + DAY + dice.random() * (pace.spoilt_by - DAY)
    hole = Window(START.replace(hour=9, minute=0), START.replace(hour=14, minute=0)) if kind.is_hole else None
    interval = dice.choice(kind.intervals(pace.settle))
    early, late = profiles_of(pace, interval, dice)
    async with living(url, pace, hole) as life:
        injection = _injection(kind, moment, pace, dice, interval)
        life.simulator.script(injection)
        await life.activate_labels(early if kind.adds else [*early, *late])
        end, late_limits = START + pace.length, None
        while (due := life.clock()) <= end:
            await life.work()
            following = due + pace.every
            if late_limits is None and injection.hits and following.timestamp() > injection.hits[0] + _WEEK_SECONDS:
                late_limits = await _wrong_limits(life) if kind.heals else []
            if due < moment <= following:
                life.clock.now = max(life.clock(), moment)
                await _at_the_moment(life, kind, injection, pace, late if kind.adds else [])
            life.clock.now = max(life.clock(), following)
        life.clock.now -= pace.every
        faults = await _judge(life, kind, hole) + [f"after a week, {fault}" for fault in late_limits or []]
        return Ended(faults, interval, len(injection.hits), len(life.simulator.requests), len(life.profiles))


def _injection(kind, moment, pace, dice, interval):
    opens = kind.phase != "forced"
    return Injection(kind, moment.timestamp(), pace.lookback, pace.settle, dice, interval, open=opens)


async def _at_the_moment(life, kind, injection, pace, late):
    """Do what a person does at the moment of some kinds."""
    if late:
        await life.activate_labels([*life.profiles, *late])
    if kind.phase == "forced":
        injection.open = True
        await life.backfill(life.clock() - 40 * DAY, force=True)
        injection.open = False


async def _judge(life, kind, hole):
    """Compare all that is stored and said with the truth; one sentence for each difference."""
    words, warnings = await life.status()
    found = []
    for one in life.profiles:
        word = words[one.name]
        shown = word["state"] != "fresh" or any(word.get(key) for key in ("gaps", "unconfirmed")) or warnings
        wrong = [text for series in one.series if (text := await _differs(life, one, series))]
        if not (kind.heals or not shown) or (one.name == "unique" and word.get("unconfirmed")):
            continue
        found += wrong
        lacks = bool(hole) and one.agg_interval != "1d"
        told = {key: word[key] for key in ("state", "gaps", "unconfirmed", "upstream_gaps")}
        if (*told.values(),)[:3] != ("fresh", 0, 0) or bool(told["upstream_gaps"]) != lacks:
            found.append(f"{one.name}: {told}")
    found += warnings if kind.heals else []
    found += await _wrong_gaps(life, hole) if kind.heals else []
    found += await _wrong_limits(life) if kind.heals else []
    return found + await _wrong_measures(life) + await _wrong_annotations(life)


async def _differs(life, one, series):
    """Say in what the export of a label differs from the truth."""
    have = {at: value async for _, label, at, value in life.store.export([one.name]) if label == series.label}
    begin = one.since or (START - one.lookback).replace(hour=0, minute=0)
    start = min(from_epoch(min(have)), begin)  # to prove a gap at the begin, buckets before it are asked for, too
    truth = life.simulator.truth(series.query, Window(start, life.clock()), life.clock.timestamp())
    want = dict(zip(truth.timestamps, truth.values, strict=True))
    absent, more = want.keys() - have.keys(), have.keys() - want.keys()
    wrong = [at for at in want.keys() & have.keys() if want[at] != have[at]]
    counts = {"absent": len(absent), "too many": len(more), "wrong": len(wrong)}
    told = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return f"{series.label}: {told} of {len(want)}" if told else None


async def _wrong_gaps(life, hole):
    """Gaps must be the hole that upstream has, and nothing else."""
    found = [(gap.start, gap.end, gap.reason) for gap in await life.gaps()]
    finer = [one for one in life.profiles if one.agg_interval != "1d" for _ in one.series]
    want = [(hole.start, hole.end, "upstream")] * len(finer) if hole else []
    return [] if found == want else [f"gaps are {len(found)} {sorted({reason for _, _, reason in found})}"]


async def _wrong_limits(life):
    """Nothing that the upstream accepts may be held for too large: within 7 days it is tried again."""
    found = []
    for interval in {one.agg_interval for one in life.profiles}:
        known, longest = await life.batch_runner.limits(RequestKind(DATASET, interval)), MAX_SPAN[interval]
        most = life.simulator.options.series_per_request
        found += [one for one in known.rejected if one.size.span <= longest and one.size.positions <= most]
        if not known.gaps or known.length < LONGEST_QUERY:
            found.append(f"{interval}: empty positions {known.gaps}, URLs {known.length}")
    return [f"limits: {one}" for one in found]


async def _wrong_measures(life):
    """Every value must count certificates; their unit may be spelt in another way."""
    found = await rows(life.store, "SELECT series, unit, normalization, count(*) FROM history GROUP BY 1, 2, 3")
    right = "certificates", "RAW_VALUES"
    return [f"{each}: {n} in {unit}, {word}" for each, unit, word, n in found if (unit.strip().lower(), word) != right]


async def _wrong_annotations(life):
    """Annotations that are not withdrawn must be those of the honest answers."""
    spans = await life.store.extents([series.query for one in life.profiles for series in one.series])
    start, end = min(span.start for span in spans.values()), max(span.end for span in spans.values())
    rows = await life.store.list_annotations(limit=None)
    have = {(row.start_date, row.description) for row in rows if row.withdrawn_at is None}
    absent = _annotations(life, start, end) - have
    more = have - _annotations(life, start - 100 * DAY, end + DAY)
    return [f"{len(absent)} annotations absent, {len(more)} too many"] if absent or more else []


def _annotations(life, start, end):
    """What an honest answer says of a window now."""
    found = life.simulator.annotations(Window(start, end), life.clock.timestamp())
    return {(one.start_date, one.description) for one in found}
