"""Finding out what the API does not publish, of honest and of odd upstreams: one run names every deviation."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from collector.collect.probe import MOST_REQUESTS, Prober
from collector.model import AggInterval, utc
from collector.radar.simulator import faults
from tests.collect.doubles import TOKEN, core

QUARTER = AggInterval.FIFTEEN_MINUTES
SPANS = dict.fromkeys(AggInterval, timedelta(days=366))
EDGE = datetime(2026, 1, 20, tzinfo=UTC)


async def probed(folder, *rules, behind=timedelta(0), **options):
    """Probe an upstream; gives the fields of the report, and the limits that are remembered."""
    async with core(f"sqlite:///{folder}/probe.db", token=TOKEN, **options) as world:
        world.script(*rules)
        world.simulator._clock = lambda: world.clock.timestamp() - behind.total_seconds()
        report = (await Prober(world.gatherer).probe()).to_json("http://radar")
        assert len(world.requests) == report["requests_used"] <= MOST_REQUESTS
        assert await world.store.list_series() == []
        assert await world.stored() == {}
        assert await world.outcomes() == [request["outcome"] for request in report["requests"]]
        return report, {interval: await world.gatherer.limits(interval) for interval in AggInterval}


def said(report):
    """The answer and the meaning of every finding, by its name."""
    return {finding["name"]: f"{finding['answer']}; {finding['meaning']}" for finding in report["findings"]}


def edited(change, where=lambda received: True):
    """Change every answer of which *where* is true; *change* gets `result`."""
    return faults.edit("odd", lambda document: change(document["result"])).only(where).always()


def each_series(change):
    def every(result):
        for key, content in result.items():
            if key != "meta":
                change(content)

    return every


def milliseconds(content):
    content["timestamps"] = [int(utc(text).timestamp() * 1000) for text in content["timestamps"]]


def later(content):
    content["timestamps"] = [
        (utc(text) + timedelta(days=3)).isoformat().replace("+00:00", "Z") for text in content["timestamps"]
    ]


def when(condition, fault):
    return fault.only(lambda received: received.question is not None and condition(received.question)).always()


def is_weekly(received):
    return received.question is not None and received.question.agg_interval is AggInterval.ONE_WEEK


async def test_it_works(tmp_path):
    report, _ = await probed(tmp_path, lag=timedelta(minutes=45))
    found = said(report)
    assert found["normalization"] == "RAW_VALUES; compares across requests: history can be joined"
    assert found["values_across_requests"].startswith("167 of 167 values equal")
    assert found["units"].startswith("*=certificates")
    assert found["last_updated"] == "2026-03-10T11:15:00Z, 52 minutes behind Radar's clock; the lag"
    assert found["newest_15m"].startswith("closed at lastUpdated (2026-03-10T11:00:00Z, its end 0 seconds before it)")
    assert found["grid_1d"] == "midnight UTC; the usual grid"
    assert found["grid_1w"] == "on Monday midnight UTC; the usual grid"
    assert found["empty_positions"].startswith("accepted, each series in its place")
    assert found["comma_encoding"].endswith("a comma has to be encoded twice, as the collector does")
    assert found["span_15m"].startswith("7 days; 8 days are refused: HTTP 400: aggInterval 15m is too granular")
    assert found["series_per_request"].startswith("100 series or more")
    assert found["clock"].startswith("right within a minute")
    assert found["rate_headers"].startswith('Ratelimit: "default";')
    assert found["oldest"].startswith("2012-07-01 as far as was asked")
    assert report["unsettled"] == report["deviations"] == report["skipped"] == []
    assert report["settled"]
    assert report["meta"]["units"] == [{"name": "*", "value": "certificates"}]
    assert report["shape"]["timestamps"].startswith("93 RFC 3339 texts in whole seconds with Z; ascending")
    assert TOKEN not in json.dumps(report, default=str)


ODD = {
    "no confidenceInfo": (
        [faults.without("result", "meta", "confidenceInfo").always()],
        {},
        {"confidence": "absent"},
        ["meta.confidenceInfo is absent"],
        True,
    ),
    "milliseconds": (
        [edited(each_series(milliseconds))],
        {},
        {"answers_15m": "read, 96 values", "grid_1w": "on Monday midnight UTC"},
        ["timestamps are numbers, milliseconds since 1970"],
        True,
    ),
    "three series": ([], {"series_per_request": 3}, {"series_per_request": "3 series; 4 are refused"}, [], True),
    "one series without a code": (
        [
            when(
                lambda question: len(question.series) > 1,
                faults.reply(400, b'{"error": "no"}', content_type="application/json"),
            )
        ],
        {},
        {"series_per_request": "1 series; 2 are refused: HTTP 400: no; one request for each series"},
        [],
        True,
    ),
    "refused before an edge": (
        [when(lambda asked: any(one.start < EDGE.timestamp() for one in asked.series), faults.api_error(404, 7003))],
        {"max_span": SPANS},
        {
            "oldest": "2026-01-20; 2026-01-19 is refused: HTTP 404: Refused; history begins there",
            "span_1d": "longer ones would reach into days that are refused for their age",
        },
        [],
        True,
    ),
    "empty before an edge": (
        [],
        {"data_since": EDGE},
        {"oldest": "2026-01-20; 2026-01-19 is empty; history begins there", "span_1d": "364 days or more"},
        [],
        True,
    ),
    "weeks from Thursday": (
        [edited(each_series(later), is_weekly)],
        {},
        {"grid_1w": "on Thursday midnight UTC; another grid than the usual one"},
        [],
        None,
    ),
    "an unknown normalization": (
        [],
        {"normalization": "RAW_VALUES"},
        {},
        [],
        True,
    ),
    "a page for large questions": (
        [when(lambda question: question.buckets > 700, faults.html(504))],
        {"max_span": SPANS},
        {
            "span_15m": "7 days; 8 days are refused: HTTP 504 with text/html instead of an answer",
            "series_per_request": "7 series; 8 are refused: HTTP 504",
            "product": "28 series of 6 hours are accepted; the number of values is limited",
        },
        [],
        True,
    ),
    "a date range as an object, decimals": (
        [],
        {"date_range_style": "object", "value_style": "decimal", "timestamp_style": "milliseconds"},
        {"answers_1h": "read, "},
        ["meta.dateRange is one object, not an array", "timestamps are RFC 3339 texts with a fraction"],
        True,
    ),
    "percentages": (
        [],
        {"normalization": "PERCENTAGE"},
        {"normalization": "PERCENTAGE; compares across requests"},
        [],
        True,
    ),
    "relative values": (
        [],
        {"normalization": "MIN0_MAX"},
        {"normalization": "MIN0_MAX; holds within one answer only", "values_across_requests": "they are relative"},
        [],
        True,
    ),
}


@pytest.mark.parametrize("name", ODD)
async def test_one_run_names_what_is_odd(tmp_path, name):
    rules, options, findings, deviations, settled = ODD[name]
    report, _ = await probed(tmp_path, *rules, **options)
    found = said(report)
    for finding, words in findings.items():
        assert words in found[finding]
    texts = [deviation["text"] for deviation in report["deviations"]]
    assert not [wanted for wanted in deviations if wanted not in texts], texts
    if settled is not None:
        assert report["settled"] is settled, report["unsettled"]
