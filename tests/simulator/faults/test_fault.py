from __future__ import annotations

from collector.simulator import RateLimit
from tests.harness import faults

DAY = "dateRange=1d"


async def _statuses(radar, count, query=DAY):
    return [(await radar.get(query))[0].status for _ in range(count)]


async def test_it_works(serving):
    async with serving() as radar:
        radar.simulator.script(faults.html(503))
        assert await _statuses(radar, 2) == [503, 200]
        assert [asked.fault for asked in radar.simulator.requests] == ["html 503", ""]
        assert [asked.status for asked in radar.simulator.requests] == [503, 200]


async def test_faults_come_in_their_order(serving):
    async with serving() as radar:
        radar.simulator.script(faults.html(503).times(2), faults.html(520))
        assert await _statuses(radar, 4) == [503, 503, 520, 200]


async def test_a_fault_can_wait_for_the_nth_request(serving):
    async with serving() as radar:
        radar.simulator.script(faults.html(503).after(2).times(2))
        assert await _statuses(radar, 5) == [200, 200, 503, 503, 200]


async def test_a_fault_can_last_until_the_script_is_cleared(serving):
    async with serving() as radar:
        radar.simulator.script(faults.html(503).always())
        assert await _statuses(radar, 3) == [503, 503, 503]
        radar.simulator.clear_script()
        assert await _statuses(radar, 1) == [200]


async def test_a_fault_can_be_meant_for_certain_requests(serving):
    async with serving() as radar:
        radar.simulator.script(faults.html(503).only(lambda asked: asked.series == 2).always())
        assert await _statuses(radar, 1) == [200]
        assert await _statuses(radar, 1, f"{DAY}&{DAY}") == [503]


async def test_a_fault_can_be_meant_for_a_span_of_time(serving):
    async with serving() as radar:
        now = radar.clock.now
        radar.simulator.script(faults.html(503).between(now + 60, now + 120).always())
        seen = []
        for radar.clock.now in (now, now + 60, now + 119, now + 120):
            seen += await _statuses(radar, 1)
        assert seen == [200, 503, 503, 200]


async def test_a_rule_decides_freely(serving):
    async with serving() as radar:
        radar.simulator.script(lambda asked: faults.html(500 + asked.series) if asked.series > 1 else None)
        assert await _statuses(radar, 1) == [200]
        assert await _statuses(radar, 1, f"{DAY}&{DAY}") == [502]


async def test_spoilt_data_waits_for_an_answer_to_spoil(serving):
    async with serving() as radar:
        radar.simulator.script(faults.value("x"))
        assert await radar.refusal("tld=X") == (400, 2001)
        await radar.get(f"{DAY}&format=CSV")
        assert (await radar.result(DAY))["serie_0"]["values"][0] == "x"


async def test_who_is_blocked_sees_no_fault(serving):
    async with serving(rate_limit=RateLimit(1)) as radar:
        radar.simulator.script(faults.html(503).after(1))
        assert await _statuses(radar, 2) == [200, 429]


async def test_a_fault_is_told_to_a_caller_who_would_be_refused(serving):
    async with serving(token="other") as radar:
        radar.simulator.script(faults.html(503))
        assert await _statuses(radar, 2) == [503, 403]
