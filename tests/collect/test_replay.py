"""Rejected bodies that a later version reads again fill missing buckets and change nothing else."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from collector.collect.kept_bodies import rehearse, replay
from collector.collect.refetch import plan_fire
from collector.radar import client
from collector.radar.errors import Untrusted
from collector.report import warnings as serve_evidence
from collector.report.status import status_document
from collector.settings import RetentionSettings
from collector.store.admin.verify import verify
from collector.store.ledger import bodies
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, batch, open_core
from tests.harness.factories import dump, many, profile, query, rows

ALL = profile()
FEW = many(3, "few")
LATER = NOW + 2 * DAY


@contextmanager
def older():
    """Act as a version whose reader rejects every answer."""

    def refuse(*_):
        raise Untrusted("meta is not what this version knows")

    reader = client.parse_answer
    client.parse_answer = refuse
    try:
        yield
    finally:
        client.parse_answer = reader


@contextmanager
def reading(change):
    """Act as a version that reads answers as changed by *change*."""
    reader = client.parse_answer
    client.parse_answer = lambda body, batch_: change(reader(body, batch_))
    try:
        yield
    finally:
        client.parse_answer = reader


async def refused(core, batch_=None):
    with older(), pytest.raises(Untrusted):
        await core.fetcher.fetch(batch_ or batch(), ["all"])


async def replayed(core, at=LATER):
    """Replay all waiting bodies. Returns the outcomes."""
    core.clock.now = at
    return [await replay(core.store, kept, at) for kept in await core.store.bodies(waiting=True)]


def asked_of(profile, days=1):
    """One question about each series of a profile."""
    return batch(*(series.query for series in profile.series), days=days)


async def test_a_replay_stores_every_bucket_and_as_of_before_it_shows_none(store_url):
    batch_ = asked_of(FEW, days=7)
    async with open_core(store_url, FEW) as core:
        await refused(core, batch_)
        window = batch_.slices[0].window
        truth = {series.label: core.truth(series.query, window) for series in FEW.series}
        budget = await core.store.budget(NOW, 600)
        (kept,) = await core.store.bodies(waiting=True)
        assert (await rehearse(core.store, kept, LATER)).filled == 3 * 7 * 24
        assert await core.stored() == {}
        (outcome,) = await replayed(core)
        assert (outcome.filled, outcome.reason) == (3 * 7 * 24, None)
        assert await core.stored() == truth
        assert [row async for row in core.store.export(as_of=LATER - DAY)] == []
        assert len([row async for row in core.store.export(as_of=LATER)]) == 3 * 7 * 24
        row = (await core.store.list_fetches(limit=1))[0]
        assert (row.id, row.outcome, row.replay_of, row.message) == (2, "ok", 1, "replay of fetch 1")
        assert (row.started_at, row.finished_at, row.inserted) == (LATER, LATER, 504)
        assert len(core.requests) == 1
        assert (await core.store.budget(NOW, 600)).used == budget.used
        assert (await core.store.bodies())[0].replayed_by == 2
        assert await replayed(core, LATER + DAY) == []
    assert (verify(store_url)).findings == []


async def test_after_a_replay_the_history_equals_that_of_a_collector_that_read_the_answer_at_once(
    sqlite_url, postgres_url
):
    """On both databases, after one more pass."""
    dumps = []
    for url in (sqlite_url, postgres_url):
        async with open_core(url, FEW) as core:
            await refused(core, asked_of(FEW))
            if url is sqlite_url:
                await replayed(core, NOW)
            else:
                await core.fetcher.fetch(asked_of(FEW), ["few"])
        dumps.append("".join(line for line in dump(url).splitlines(keepends=True) if '"meta"' not in line))
    assert dumps[0] == dumps[1]
    assert '"point"' in dumps[0]
    assert (verify(sqlite_url)).findings == []


async def test_a_replay_keeps_the_values_of_newer_answers(store_url):
    async with open_core(store_url, ALL) as core:
        window = batch().slices[0].window
        await refused(core)
        core.clock.advance(hours=1)
        some = batch(days=1)
        core.script(faults.holes(range(5, 20)))
        await core.fetcher.fetch(some, ["all"])
        before = await core.stored()
        with reading(lambda answer: answer._replace(series=tuple(lifted(series) for series in answer.series))):
            (outcome,) = await replayed(core)
        after = await core.stored()
        assert before["all"].items() <= after["all"].items()
        truth = core.truth(query(), window)
        assert {t for t in after["all"] if t not in before["all"]} == {t for t in truth if t not in before["all"]}
        assert outcome.filled == 15
        row = (await core.store.list_fetches(limit=1))[0]
        assert (row.inserted, row.revised, row.unchanged, row.vanished, row.ignored) == (15, 0, 0, 0, 9)
        assert await rows(core.store, "SELECT count(*) FROM revisions") == [(0,)]
    assert (verify(store_url)).findings == []


def lifted(points):
    return replace(points, values=[value + 1 for value in points.values])


async def test_a_replay_stores_no_bucket_after_last_updated(sqlite_url):
    """An answer whose lastUpdated is six hours before the end of its window."""
    async with open_core(sqlite_url, ALL) as core:
        await refused(core)
        window = batch().slices[0].window
        known = window.end - HOUR.step * 6
        with reading(lambda answer: answer._replace(meta=answer.meta._replace(last_updated=known))):
            (outcome,) = await replayed(core)
        assert outcome.filled == 18
        assert max((await core.stored())["all"]) == known.timestamp() - 3600


async def test_young_values_are_read_again_and_old_ones_are_unconfirmed(store_url):
    batch_ = batch(days=30)
    async with open_core(store_url, ALL) as core:
        await refused(core, batch_)
        await replayed(core)
        final = await core.store.unconfirmed([ALL])
        assert 15 * 24 <= final["all"] <= 16 * 24 + 1, "of 30 days those that had settled when the answer came"
        slices = (await plan_fire([ALL], LATER, core.store)).slices
        assert min(piece.window.start for piece in slices) <= NOW - 14 * DAY
        assert await core.store.gaps(query(), batch_.slices[0].window, 14 * DAY) == []


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("another unit", lambda meta: meta._replace(unit="bytes")),
        ("hold within one answer only", lambda meta: meta._replace(normalization="MIN0_MAX")),
    ],
    ids=["unit", "relative"],
)
async def test_a_replay_that_contradicts_the_stored_series_is_left_out(store_url, reason, change):
    async with open_core(store_url, ALL) as core:
        await refused(core, batch(end=NOW - 5 * DAY))
        await core.fetcher.fetch(batch(), ["all"])
        before = dump(store_url)
        with reading(lambda answer: answer._replace(meta=change(answer.meta))):
            (outcome,) = await replayed(core)
        assert outcome.filled == 0
        assert reason in outcome.reason
        assert outcome.replayed_by is None
        assert dump(store_url) == before
        assert len(await core.store.bodies(waiting=True)) == 1, "another version may read it"


async def test_a_snapshot_is_not_made_of_one_answer(sqlite_url):
    valid = profile("valid", filters={"expirationStatus": ("VALID",)})
    async with open_core(sqlite_url, valid) as core:
        await refused(core, batch(valid.series[0].query))
        (outcome,) = await replayed(core)
        assert outcome.filled == 0
        assert "snapshot" in outcome.reason


async def test_a_replay_does_not_restore_a_deleted_series(store_url):
    async with open_core(store_url, ALL, FEW) as core:
        await refused(core, batch(*(series.query for series in FEW.series), query()))
        await core.activate_labels(ALL)
        for row in await core.store.list_series():
            if row.profile == "few":
                await core.store.delete_series(row.id, [ALL], dry_run=False)
        (outcome,) = await replayed(core)
        assert outcome.filled == 24
        assert "no series" in outcome.reason
        assert set(await core.stored()) == {"all"}


async def test_a_replay_does_not_restore_buckets_that_retention_deleted(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        await refused(core, batch(days=10))
        await core.store.prune(RetentionSettings({HOUR: 5 * DAY}), NOW)
        (outcome,) = await replayed(core, NOW)
        assert outcome.filled == 5 * 24
        assert min((await core.stored())["all"]) >= (HOUR.floor(NOW) - 5 * DAY).timestamp()


async def test_a_body_that_is_still_rejected_has_a_reason_and_waits_for_the_next_version(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.unequal())
        with pytest.raises(Untrusted):
            await core.fetcher.fetch(batch(), ["all"])
        (outcome,) = await replayed(core)
        assert "timestamps but" in outcome.reason
        assert (outcome.filled, outcome.replayed_by) == (0, None)
        assert len(await core.store.list_fetches()) == 1
        assert len(await core.store.bodies(waiting=True)) == 1


async def test_a_replay_ends_the_pause_of_its_question(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        await refused(core)
        (piece,) = batch().slices
        await core.store.refuse(piece, "untrusted", "odd", NOW)
        await replayed(core, NOW)
        assert await core.store.refusals() == []


async def test_annotations_of_the_body_are_known_from_the_replay_on(store_url):
    async with open_core(store_url, ALL, annotations=None) as core:
        await refused(core, batch(days=30))
        await replayed(core)
        seen = {row.first_seen_at for row in await core.store.list_annotations()}
        assert seen == {LATER}
    assert (verify(store_url)).findings == []


async def test_replays_do_not_count_as_requests_or_as_answers_of_radar(sqlite_url):
    """Replays do not change the budget, the lag, or the state of Radar."""
    async with open_core(sqlite_url, ALL) as core:
        for number in range(3):
            await refused(core, batch(end=NOW - number * DAY))
        core.script(faults.html(503).always())
        for _ in range(3):
            with pytest.raises(Exception, match="503"):
                await core.fetcher.fetch(batch(), ["all"])
        before = await core.store.upstream(core.clock())
        assert before.state == "silent"
        await replayed(core, core.clock())
        assert await core.store.upstream(core.clock()) == before
        (row,) = await core.store.status_rows([ALL])
        assert row.last_success is None


async def test_a_replay_without_unit_or_normalization_keeps_those_of_the_series(store_url):
    async with open_core(store_url, ALL, FEW) as core:
        await refused(core, batch(query(), FEW.series[0].query, end=NOW - 5 * DAY))
        await core.fetcher.fetch(batch(), ["all"])
        unnamed = {"unit": "", "normalization": ""}
        with reading(lambda answer: answer._replace(meta=answer.meta._replace(**unnamed))):
            (outcome,) = await replayed(core)
        assert (outcome.filled, outcome.reason) == (48, None)
        assert {row.unit for row in await core.store.list_series() if row.profile == "all"} == {"certificates"}
        core.clock.now = NOW
        await core.fetcher.fetch(batch(FEW.series[0].query), ["few"])
        units = {row.label: (row.unit, row.points) for row in await core.store.list_series()}
        assert units["all"] == units[FEW.series[0].label] == ("certificates", 48)
    assert (verify(store_url)).findings == []


async def test_status_warns_of_answers_that_another_version_has_refused(sqlite_url, monkeypatch):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.unequal())
        with pytest.raises(Untrusted):
            await core.fetcher.fetch(batch(), ["all"])
        assert (await status_document(core.store, [ALL], 600, NOW))["warnings"] == []
        monkeypatch.setattr(serve_evidence, "__version__", "99")
        monkeypatch.setattr(bodies, "__version__", "99")
        (warning,) = (await status_document(core.store, [ALL], 600, NOW))["warnings"]
        assert warning == "1 refused answer was read by another version only: `collector replay` reads it again"
        await replayed(core)
        assert (await status_document(core.store, [ALL], 600, NOW))["warnings"] == []
