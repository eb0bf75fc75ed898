"""The probe of usual and odd upstreams: one run reports every deviation."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from collector.collect.probe import MOST_REQUESTS, Prober
from collector.interval import AggInterval, Grid
from collector.model import DATASET, RequestKind
from collector.simulator import TOO_COSTLY, ErrorCode
from collector.timestamps import utc
from tests.harness import faults
from tests.harness.collect_core import TOKEN, open_core

QUARTER = AggInterval.FIFTEEN_MINUTES
SPANS = dict.fromkeys(AggInterval, timedelta(days=366))
EDGE = datetime(2026, 1, 20, tzinfo=UTC)


async def probed(folder, *rules, behind=timedelta(0), **options):
    """Probe an upstream. Returns the fields of the report, and the stored limits."""
    options = {"siblings": "no route", **options}  # because most rules change answers of the time series only
    async with open_core(f"sqlite:///{folder}/probe.db", token=TOKEN, **options) as core:
        core.script(*rules)
        core.simulator._clock = lambda: core.clock.timestamp() - behind.total_seconds()
        report = (await Prober(core.batch_runner).probe()).to_json("http://radar")
        assert len(core.requests) == report["requests_used"] <= MOST_REQUESTS
        assert await core.store.list_series() == []
        assert await core.stored() == {}
        reported = [request["outcome"] for request in report["requests"]]
        assert sorted(await core.outcomes()) == sorted(reported + ["ok"] * (len(core.requests) - len(reported)))
        return report, {
            interval: await core.batch_runner.limits(RequestKind(DATASET, interval)) for interval in AggInterval
        }


def said(report):
    """The answer and the meaning of every finding, by its name."""
    return {finding["name"]: f"{finding['answer']}; {finding['meaning']}" for finding in report["findings"]}


def edited(change, where=lambda received: True):
    """Apply *change* to the `result` of every answer for which *where* is true."""
    return faults.edit("odd", lambda document: change(document["result"])).only(where).always()


def each_series(change):
    def every(result):
        for key, content in result.items():
            if key != "meta":
                change(content)

    return every


def milliseconds(content):
    content["timestamps"] = [int(utc(text).timestamp() * 1000) for text in content["timestamps"]]


def newest(count):
    def cut(content):
        content.update({key: content[key][-count:] for key in ("timestamps", "values")})

    return cut


def swapped(result):
    result["serie_0"], result["serie_1"] = result["serie_1"], result["serie_0"]


def when(condition, fault):
    return fault.only(lambda received: received.request is not None and condition(received.request)).always()


async def test_it_works(tmp_path):
    report, _ = await probed(tmp_path, lag=timedelta(minutes=45))
    findings = said(report)
    assert findings["normalization"] == "RAW_VALUES; compares across requests: history can be joined"
    assert findings["values_across_requests"].startswith("167 of 167 values equal")
    assert findings["units"].startswith("*=certificates")
    assert findings["last_updated"] == "2026-03-10T11:15:00Z, 52 minutes behind Radar's clock; the lag"
    assert findings["newest_15m"].startswith(
        "closed at lastUpdated (2026-03-10T11:00:00Z, its end 0 seconds before it)"
    )
    assert findings["grid_1d"] == "midnight UTC; the usual grid"
    assert findings["grid_1w"] == "on Monday midnight UTC; the usual grid"
    assert findings["empty_positions"].startswith("accepted, each series in its place")
    assert findings["comma_encoding"].endswith("a comma has to be encoded twice, as the collector does")
    assert findings["span_15m"].startswith("7 days; 8 days are refused: HTTP 400: aggInterval 15m is too granular")
    assert findings["series_per_request"].startswith("100 series or more")
    assert findings["clock"].startswith("right within a minute")
    assert findings["rate_headers"].startswith('Ratelimit: "default";')
    assert findings["oldest"].startswith("2012-07-01 as far as was asked")
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
        [
            when(
                lambda request: any(series.start < EDGE.timestamp() for series in request.series),
                faults.api_error(404, 7003),
            )
        ],
        {"max_span": SPANS},
        {
            "oldest": "2026-01-20; 2026-01-19 is refused: HTTP 404: Refused; history begins there",
            "span_1d": "longer ones were not asked, because they may reach into days",
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
        [],
        {"grids": {AggInterval.ONE_WEEK: Grid(AggInterval.ONE_WEEK, timedelta(days=3))}},
        {
            "grid_1w": "on Thursday midnight UTC; another grid than the usual one: the collector has learned it",
            "answers_1w": "read, 4 values",
            "span_1w": "52 weeks or more",
        },
        ["timestamps are 259200 s after the grid, for example 2026-02-26T00:00:00Z"],
        True,
    ),
    "days from eight": (
        [],
        {"grids": {AggInterval.ONE_DAY: Grid(AggInterval.ONE_DAY, timedelta(hours=8))}, "data_since": EDGE},
        {"grid_1d": "08:00:00 UTC; another grid", "oldest": "2026-01-19; 2026-01-18 is empty"},
        [],
        True,
    ),
    "an unknown normalization": (
        [faults.normalization("COUNT").always()],
        {},
        {"normalization": "COUNT; an unknown word; the values agree across requests"},
        ["meta.normalization is an unknown word"],
        True,
    ),
    "only the newest values": (
        [edited(each_series(newest(300)))],
        {"max_span": SPANS},
        {"span_15m": "3 days; 4 days are refused: only the newest 300 of 384 buckets came"},
        [],
        True,
    ),
    "coarsened": (
        [
            when(
                lambda request: request.agg_interval is QUARTER and request.buckets > 192,
                faults.agg_interval("ONE_HOUR"),
            )
        ],
        {"max_span": SPANS},
        {"span_15m": "2 days; 3 days are refused: meta.aggInterval is 'ONE_HOUR', but FIFTEEN_MINUTES was requested"},
        ["meta.aggInterval is 'ONE_HOUR', but FIFTEEN_MINUTES was requested"],
        True,
    ),
    "filters that move to the first series": (
        [edited(swapped, lambda received: received.series == 2 and "publicKeyAlgorithm=" in received.raw_query)],
        {},
        {"empty_positions": "accepted, but the filter moved to the first series; values would get another owner"},
        [],
        False,
    ),
    "pages instead of answers": (
        [faults.html(200).always()],
        {},
        {"answers_1w": "refused: HTTP 200 with text/html instead of an answer; nothing can be collected at it"},
        ["HTTP 200 with text/html instead of an answer"],
        False,
    ),
    "words instead of values": (
        [edited(each_series(lambda content: content.update(values=["many"] * len(content["values"]))))],
        {},
        {"answers_1h": "refused: 168 of 168 values are no finite number"},
        ["values are texts that are no number"],
        False,
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
    "percentages, a date range as an object, milliseconds": (
        [],
        {"date_range_style": "object", "normalization": "PERCENTAGE", "timestamp_style": "milliseconds"},
        {"answers_1h": "read, ", "normalization": "PERCENTAGE; compares across requests"},
        ["meta.dateRange is one object, not an array", "timestamps are RFC 3339 texts with a fraction"],
        True,
    ),
    "series backwards": (
        [],
        {"odd": ("series-reversed",)},
        {"empty_positions": "accepted, each series in its place"},
        ["series are not serie_0, serie_1 and so on, in this order"],
        True,
    ),
    "coarsened without a word": (
        [],
        {"odd": ("coarsen-unsaid",)},
        {"answers_1h": "read, 10 values", "span_1h": "24 hours; 25 hours are refused: only 1 of 25 buckets came"},
        ["timestamps are at least 86400 s apart instead of 3600 s"],
        True,
    ),
    "a page for more than a day": (
        [],
        {"odd": ("span-504",)},
        {"answers_1h": "read, 10 values", "answers_1d": "read, 7 values"},
        [],
        True,
    ),
    "a date range that ends where the last bucket does": (
        [],
        {"odd": ("range-exclusive",)},
        {"date_range": "ends 15 minutes later than asked (15m, 1h); ends 735 minutes later than asked (1d)"},
        [],
        True,
    ),
    "a date range rounded outward": (
        [],
        {"odd": ("range-outward",)},
        {"date_range": "begins 720 minutes earlier than asked and ends 735 minutes later than asked (15m, 1h)"},
        [],
        True,
    ),
    "a date range from the first bucket to the last": (
        [],
        {"odd": ("range-to-data",)},
        {"date_range": "as asked, with an inclusive end (15m, 1h); ends 2,145 minutes earlier than asked (1d)"},
        [],
        True,
    ),
    "lastUpdated ahead, one for each series": (
        [],
        {"odd": ("updated-by-series",), "lag": -timedelta(hours=1)},
        {"last_updated": "13:…, 53 minutes ahead of Radar's clock; ahead of Radar's own clock"},
        [],
        True,
    ),
    "a confidence that is written in another way": (
        [],
        {"odd": ("confidence-list",)},
        {"confidence": "level 5, 0 annotations"},
        ["meta.confidenceInfo is no object: array"],
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
async def test_one_run_reports_what_is_odd(tmp_path, name):
    rules, options, findings, deviations, settled = ODD[name]
    report, _ = await probed(tmp_path, *rules, **options)
    sentences = said(report)
    for finding, words in findings.items():
        assert words in sentences[finding]
    texts = [deviation["text"] for deviation in report["deviations"]]
    assert not [wanted for wanted in deviations if wanted not in texts], texts
    if settled is not None:
        assert report["settled"] is settled, report["unsettled"]


@pytest.mark.parametrize(("hours", "words"), [(1, "60 minutes ahead of"), (26, "1,560 minutes ahead of")])
async def test_a_clock_that_is_ahead_is_reported_and_does_not_end_the_probe(tmp_path, hours, words):
    report, _ = await probed(tmp_path, behind=timedelta(hours=hours))
    assert words in said(report)["clock"]
    assert [request["outcome"] for request in report["requests"]][:3] == ["refused", "ok", "ok"]
    assert report["settled"], report["unsettled"]


async def test_a_clock_that_is_behind_is_reported(tmp_path):
    report, _ = await probed(tmp_path, behind=timedelta(hours=-1))
    assert said(report)["clock"].startswith("60 minutes behind Radar's")
    assert report["settled"]


@pytest.mark.parametrize(
    ("fault", "requests", "words"),
    [
        (faults.api_error(403, 10000, "no"), 1, "the credentials are refused: HTTP 403: no"),
        (
            faults.closed(),
            3,
            "no answer came in 3 requests in a row: the server closed the connection without a response",
        ),
        (faults.html(404), 4, "no such path at this address: check base_url under [radar]"),
        (faults.too_many("5"), 2, "the rate limit was met again after a wait: HTTP 429"),
        (faults.too_many("3000"), 1, "Radar answers again at 2026-03-10T12:57:00Z"),
    ],
)
async def test_an_error_that_makes_every_request_fail_ends_the_probe_and_is_reported(tmp_path, fault, requests, words):
    report, _ = await probed(tmp_path, fault.always())
    assert report["requests_used"] == requests
    assert report["ended"].startswith(words)
    assert report["unsettled"][0].startswith(f"the probe ended early: {words}")
    assert not report["settled"]


@pytest.mark.parametrize("fault", [faults.html(502), faults.too_many("5")])
async def test_a_temporary_error_is_retried_after_a_wait(tmp_path, fault):
    report, _ = await probed(tmp_path, fault)
    assert (report["requests"][0]["name"], report["settled"]) == (report["requests"][1]["name"], True)


async def test_the_measured_limits_are_stored(tmp_path):
    spans = SPANS | {QUARTER: timedelta(days=2)}
    _, limits = await probed(
        tmp_path, max_span=spans, series_per_request=5, empty_values=False, series_error=TOO_COSTLY
    )
    shape = limits[QUARTER].shape
    assert (shape.span, shape.positions, shape.gaps) == (timedelta(days=2), 5, False)
    assert limits[AggInterval.ONE_DAY].shape.span == timedelta(days=364)


async def test_requests_that_the_cap_leaves_out_are_reported(tmp_path):
    spans = dict.fromkeys(AggInterval, timedelta(days=29))
    report, _ = await probed(tmp_path, max_span=spans, series_per_request=50)
    assert report["requests_used"] == MOST_REQUESTS
    assert said(report)["series_per_request"].startswith("from 50 to 51 series; 52 are refused")
    assert report["skipped"]


PATHS = ("summary_ca_owner", "timeseries_groups_ca_owner", "authorities", "logs")


async def test_the_paths_beside_the_time_series_are_described(tmp_path):
    report, _ = await probed(tmp_path, siblings="served")
    findings = said(report)
    assert findings["summary_ca_owner"].startswith("HTTP 200, ")
    assert ": meta (object of 5), summary_0 (object of 11); 11 groups: " in findings["summary_ca_owner"]
    assert "serie_0 (object of 12); 11 groups: " in findings["timeseries_groups_ca_owner"]
    assert "certificateAuthorities (array of 5); 5 entries with certificateRecordType, " in findings["authorities"]
    assert "certificateLogs (array of 5); 5 entries with api, description, " in findings["logs"]
    assert report["settled"]
    requests = [request for request in report["requests"] if request["series"] is None]
    assert [(request["outcome"], request["status"]) for request in requests] == [("probed", 200)] * len(PATHS)


@pytest.mark.parametrize(
    ("how", "meaning"),
    [
        ("no route", "HTTP 400: No route for that URI; not served at this address"),
        ("not found", "HTTP 404: Not Found.; not served at this address"),
        (ErrorCode(403, 10000), "HTTP 403: Refused; not allowed with these credentials"),
        (ErrorCode(500, 2000), "HTTP 500: Refused; not needed today"),
    ],
    ids=["no route", "404 without an envelope", "403", "500"],
)
async def test_the_paths_beside_the_time_series_need_not_answer(tmp_path, how, meaning):
    async with open_core(f"sqlite:///{tmp_path}/probe.db", token=TOKEN, siblings=how) as core:
        report = (await Prober(core.batch_runner).probe()).to_json("http://radar")
        findings = said(report)
        assert [findings[path] for path in PATHS] == [meaning] * len(PATHS)
        assert report["settled"]
        assert report["ended"] is None
        # a refusal of another path says nothing about the credentials, nor about Radar
        assert await core.store.rejection_reason(core.fetcher.radar.fingerprint) is None
        assert (await core.store.budget(core.clock(), 600)).blocked_until is None


def encoded_once(received):
    """Accept the name only if its comma is encoded once."""
    if "DigiCert%252C" in received.raw_query:
        return edited(each_series(lambda content: content.update(values=["0"] * len(content["values"]))))
    if "DigiCert%2C" in received.raw_query:
        series = {"timestamps": ["2026-03-10T00:00:00Z", "2026-03-10T00:15:00Z"], "values": ["4", "5"]}
        body = json.dumps({"success": True, "result": {"serie_0": series}}).encode()
        return faults.reply(200, body, content_type="application/json")
    return None


async def test_only_answers_to_requests_that_the_collector_would_send_are_kept_for_a_replay(tmp_path):
    async with open_core(f"sqlite:///{tmp_path}/probe.db", token=TOKEN) as core:
        spoilt = faults.reply(200, b"{", content_type="application/json")
        core.script(spoilt.only(lambda received: "DigiCert" in received.raw_query).always())
        report = await Prober(core.batch_runner).probe()
        refused = {exchange.request.name for exchange in report.exchanges if exchange.outcome == "untrusted"}
        names = {exchange.fetch_id: exchange.request.name for exchange in report.exchanges}
        assert refused == {"comma encoded once", "comma encoded twice"}
        kept = {names[body.fetch_id] for body in await core.store.bodies(waiting=True)}
        assert kept == {"comma encoded twice"}


async def test_a_comma_that_has_to_be_encoded_otherwise_is_not_settled(tmp_path):
    report, _ = await probed(tmp_path, encoded_once)
    assert "; only the single encoding finds the name" in said(report)["comma_encoding"]
    assert [line for line in report["unsettled"] if line.startswith("DigiCert, Inc. as a filter: ")]
