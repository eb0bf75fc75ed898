"""One batch is requested until it is saved, or until further requests are useless."""

import asyncio
import contextlib
import time
from datetime import timedelta
from itertools import pairwise

import pytest

from collector.collect.batches.fetcher import Fetcher, ShuttingDown
from collector.model import Slice
from collector.radar.client import RadarClient
from collector.radar.errors import RadarError, RateLimited, Refused, Unauthorized, Unavailable, Untrusted
from collector.report.status import status_document
from collector.store import StoreUnavailable
from tests.harness import faults
from tests.harness.collect_core import NOW, batch, open_core, until
from tests.harness.factories import many, profile, query

ALL = profile()


async def test_it_works(store_url):
    async with open_core(store_url, ALL) as core:
        saved = (await core.fetcher.fetch(batch(), ["all"])).saved
        assert (saved.inserted, saved.revised, saved.unchanged) == (24, 0, 0)
        assert await core.stored() == {"all": core.truth(query(), batch().slices[0].window)}
        assert await core.outcomes() == ["ok"]
        again = (await core.fetcher.fetch(batch(), ["all"])).saved
        assert (again.inserted, again.unchanged) == (0, 24)


async def test_a_request_without_an_answer_is_retried_three_times_and_every_try_is_on_record(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.html(503).always())
        with pytest.raises(Unavailable):
            await core.fetcher.fetch(batch(), ["all"])
        assert len(core.requests) == 4
        assert await core.outcomes() == ["unavailable"] * 4
        for pause, most in zip(core.fetcher.pauses, (1, 2, 4), strict=True):
            assert most / 2 <= pause <= most


async def test_each_transient_fault_costs_one_more_request(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.reset_in_body(), faults.truncated())
        assert (await core.fetcher.fetch(batch(), ["all"])).saved.inserted == 24
        assert await core.outcomes() == ["unavailable", "unavailable", "ok"]
        assert len(core.requests) == 3


@pytest.mark.parametrize(
    ("fault", "error", "outcome"),
    [
        (faults.unequal(), Untrusted, "untrusted"),
        (faults.api_error(400, 2001), Refused, "refused"),
        (faults.api_error(422, 2002), Refused, "too_costly"),
        (faults.api_error(400, 9106), Unauthorized, "unauthorized"),
    ],
)
async def test_permanent_errors_are_not_retried(sqlite_url, fault, error, outcome):
    async with open_core(sqlite_url, ALL) as core:
        core.script(fault)
        with pytest.raises(error):
            await core.fetcher.fetch(batch(), ["all"])
        assert await core.outcomes() == [outcome]
        assert await core.stored() == {}


async def test_after_429_no_request_is_sent_until_exactly_the_time_it_names(store_url):
    async with open_core(store_url, ALL) as core:
        core.script(faults.too_many("7"))
        await core.fetcher.fetch(batch(), ["all"])
        first, second = [received.at for received in core.requests]
        assert 7 <= second - first <= 8
        assert await core.outcomes() == ["rate_limited", "ok"]


@pytest.mark.parametrize(("header", "seconds"), [(None, 300), ("soon", 300), ("0", 0), ("-5", 300)])
async def test_a_429_without_a_time_blocks_for_five_minutes(sqlite_url, header, seconds):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.too_many(header))
        await core.fetcher.fetch(batch(), ["all"])
        first, second = [received.at for received in core.requests]
        assert seconds <= second - first <= seconds + 1


async def test_retry_after_of_an_error_page_blocks_all_requests(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.html(503, "40"))
        await asyncio.gather(core.fetcher.fetch(batch(), ["all"]), core.fetcher.fetch(batch(days=2), ["all"]))
        first, second, *_ = [received.at for received in core.requests]
        assert second - first >= 40


async def test_a_block_of_more_than_a_quarter_of_an_hour_is_raised_and_not_waited_for(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.too_many("3600"))
        for _ in range(3):
            with pytest.raises(RateLimited):
                await core.fetcher.fetch(batch(), ["all"])
        assert len(core.requests) == 1
        core.restart()
        with pytest.raises(RateLimited):
            await core.fetcher.fetch(batch(), ["all"])
        core.clock.advance(seconds=3600)
        await core.fetcher.fetch(batch(), ["all"])


async def test_a_429_pauses_all_requests(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        await core.fetcher.fetch(batch(), ["all"])
        core.script(faults.too_many("60"))
        days = range(1, 6)
        await asyncio.gather(*(core.fetcher.fetch(batch(days=day), ["all"]) for day in days))
        limited = [received.at for received in core.requests if received.status == 429]
        later = [received.at for received in core.requests if received.at > limited[0]]
        assert min(later) >= limited[0] + 60


async def test_the_limit_of_requests_in_300_seconds_holds_across_restarts(store_url):
    async with open_core(store_url, ALL, limit=5) as core:
        for number in range(17):
            if number % 4 == 3:
                core.restart()
            await core.fetcher.fetch(batch(), ["all"])
            core.clock.advance(seconds=1)
        times = [received.at for received in core.requests]
        assert all(sixth - first > 300 for first, sixth in zip(times, times[5:], strict=False))
        assert len(times) == 17


async def test_a_wrong_token_is_tried_once_in_five_minutes_by_all_requests_together(sqlite_url):
    async with open_core(sqlite_url, ALL, token="another") as core:
        for minutes in (0, 1, 2, 2, 1):
            core.clock.advance(minutes=minutes)
            for answer in await asyncio.gather(
                *(core.fetcher.fetch(batch(days=day), ["all"]) for day in (1, 2, 3)), return_exceptions=True
            ):
                assert isinstance(answer, Unauthorized)
                assert answer.code == 10000
        assert [(received.at - NOW.timestamp()) / 60 for received in core.requests] == [0, 5]
        assert await core.outcomes() == ["unauthorized"] * 2


async def test_a_command_tries_a_rejected_token_once_without_a_wait(sqlite_url):
    async with open_core(sqlite_url, ALL, token="another") as core:
        for minutes, by_hand in ((0, True), (0, False), (0, True), (0, False), (1, True)):
            core.clock.advance(minutes=minutes)
            if by_hand:
                await core.store.try_credentials_at_once(core.fetcher.radar.fingerprint)
            requests = (core.fetcher.fetch(batch(days=day), ["all"]) for day in (1, 2, 3))
            for answer in await asyncio.gather(*requests, return_exceptions=True):
                assert isinstance(answer, Unauthorized)
        assert [(received.at - NOW.timestamp()) / 60 for received in core.requests] == [0, 0, 1]


async def test_no_more_than_concurrency_requests_are_under_way_or_on_record(sqlite_url):
    async with open_core(sqlite_url, ALL, concurrency=2, patience=60) as core:
        await core.fetcher.fetch(batch(), ["all"])
        core.script(faults.black_hole().always())
        asking = [asyncio.create_task(core.fetcher.fetch(batch(days=day), ["all"])) for day in range(1, 7)]
        await until(lambda: len(core.requests) == 3)
        assert await core.outcomes() == ["ok", "started", "started"]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert len(core.requests) == 3


async def test_the_record_equals_the_requests_that_the_server_received(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.html(502), faults.unequal(), faults.too_many("9"), faults.closed(), faults.reset_in_header())
        for _ in range(4):
            await asyncio.gather(core.fetcher.fetch(batch(), ["all"]), return_exceptions=True)
        rows = list(reversed(await core.store.list_fetches()))
        assert len(rows) == len(core.requests)
        assert [row.started_at.timestamp() for row in rows] == pytest.approx([got.at for got in core.requests])
        assert {row.positions for row in rows} == {1}
        assert all(row.finished_at for row in rows)


async def test_no_request_is_sent_after_a_stop(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.html(503).always())
        core.fetcher.stop_after = 1
        with pytest.raises(ShuttingDown):
            await core.fetcher.fetch(batch(), ["all"])
        assert len(core.requests) == 2
        core.fetcher.stop.set()
        with pytest.raises(ShuttingDown):
            await core.fetcher.fetch(batch(), ["all"])
        assert len(core.requests) == 2


async def test_an_answer_that_arrives_during_a_stop_is_saved(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        core.script(faults.late(0.3))
        asking = asyncio.create_task(core.fetcher.fetch(batch(), ["all"]))
        await until(lambda: core.requests)
        core.fetcher.stop.set()
        assert (await asking).saved.inserted == 24


async def test_a_request_without_an_answer_is_ended_during_a_stop(sqlite_url, monkeypatch):
    monkeypatch.setattr("collector.collect.batches.fetcher._LAST_ANSWER_SECONDS", 0.1)
    async with open_core(sqlite_url, ALL, patience=60) as core:
        core.script(faults.black_hole())
        asking = asyncio.create_task(core.fetcher.fetch(batch(), ["all"]))
        await until(lambda: core.requests)
        core.fetcher.stop.set()
        with pytest.raises(ShuttingDown):
            await asking
        assert await core.outcomes() == ["interrupted"]


async def test_a_pause_ends_at_once_during_a_stop(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        fetcher = Fetcher(core.fetcher.radar, core.store, limit=5, stop=asyncio.Event(), clock=core.clock)
        await fetcher.pause(-3)
        began = time.monotonic()
        pausing = asyncio.create_task(fetcher.pause(60))
        await asyncio.sleep(0)
        fetcher.stop.set()
        with pytest.raises(ShuttingDown):
            await pausing
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("level", "fault"),
    [
        ("ERROR", faults.api_error(400, 9106)),
        ("ERROR", faults.api_error(400, 7000)),
        ("WARNING", faults.unequal()),
        ("WARNING", faults.too_many("7")),
        ("INFO", faults.api_error(422, 2002)),
    ],
)
async def test_errors_that_an_operator_must_fix_are_logged_as_errors(sqlite_url, caplog, level, fault):
    async with open_core(sqlite_url, ALL) as core:
        caplog.set_level("INFO")
        core.script(fault)
        with contextlib.suppress(RadarError):
            await core.fetcher.fetch(batch(), ["all"])
        assert next(record.levelname for record in caplog.records if record.message == "fetch") == level


async def test_the_token_is_in_no_log_line_whatever_goes_wrong(sqlite_url, caplog):
    async with open_core(sqlite_url, ALL) as core:
        caplog.set_level("DEBUG")
        for fault in (faults.redirect("http://127.0.0.1:9/"), faults.reply(200, b"\x00" * 300), faults.closed()):
            core.script(fault)
            await asyncio.gather(core.fetcher.fetch(batch(), ["all"]), return_exceptions=True)
        assert "canary" not in caplog.text
        assert "canary" not in "".join(str(row) for row in await core.store.list_fetches())


async def test_a_request_whose_answer_could_not_be_saved_is_ended_before_the_next_one(store_url, monkeypatch):
    async with open_core(store_url, ALL) as core:
        save = core.store.save

        async def full(*_, **_how):
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(core.store, "save", full)
        with pytest.raises(StoreUnavailable):
            await core.fetcher.fetch(batch(), ["all"])
        assert await core.outcomes() == ["started"]
        monkeypatch.setattr(core.store, "save", save)
        await core.fetcher.fetch(batch(), ["all"])
        assert await core.outcomes() == ["unsaved", "ok"]


async def test_a_deviation_is_recorded_once(store_url, caplog):
    async with open_core(store_url, ALL) as core:
        caplog.set_level("WARNING")
        core.script(faults.without("result", "meta", "confidenceInfo").always())
        for _ in range(2):
            await core.fetcher.fetch(batch(), ["all"])
        core.restart()
        await core.fetcher.fetch(batch(), ["all"])
        (noted,) = await core.store.deviations()
        assert (noted.kind, noted.fetch_id) == ("meta.confidenceInfo is absent", 1)
        messages = [row.message for row in reversed(await core.store.list_fetches())]
        assert messages == ["reader: meta.confidenceInfo is absent", None, None]
        assert [record.deviation for record in caplog.records if record.message == "reader"] == [noted.kind]
        document = await status_document(core.store, [ALL], 600, core.clock())
        assert [deviation["kind"] for deviation in document["deviations"]] == [noted.kind]


async def test_a_missing_series_is_requested_alone(sqlite_url):
    three = many(3)
    async with open_core(sqlite_url, three) as core:
        core.script(faults.without("result", "serie_1"))
        result = await core.batch_runner.run(
            [Slice(series.query, batch().slices[0].window) for series in three.series],
            {series.query: ["many"] for series in three.series},
        )
        assert not result.failures
        assert [received.series for received in core.requests] == [3, 1]
        stored = await core.stored()
        assert {label: len(values) for label, values in stored.items()} == dict.fromkeys(stored, 24)
        assert len(stored) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed_although_the_body_breaks_off(sqlite_url, status):
    """Each request is sent at least 300 seconds after the previous one, to a plain TCP server."""
    moments = []

    async def reply(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        moments.append(core.clock())
        writer.write(b"HTTP/1.1 %d Reason\r\nRetry-After: 300\r\nContent-Length: 500\r\n\r\n{" % status)
        writer.close()
        await writer.wait_closed()

    async with open_core(sqlite_url, ALL) as core, await asyncio.start_server(reply, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        settings = core.fetcher.radar._settings._replace(base_url=f"http://{host}:{port}")
        async with RadarClient(settings, core.clock) as core.fetcher.radar:
            with pytest.raises((RateLimited, Unavailable)):
                await core.fetcher.fetch(batch(), ["all"])
        waits = [b - a for a, b in pairwise(moments)]
        assert len(waits) == 3
        assert min(waits) >= timedelta(seconds=300)
