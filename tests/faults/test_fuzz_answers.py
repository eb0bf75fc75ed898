"""Bad data: answers mutated by structure and by byte; a checker of our own says what may be believed, and as what."""

import codecs
import copy
import json
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from collector.interval import AggInterval
from collector.model import UNKNOWN_LAST_UPDATED, Batch, Question, Slice, Window
from collector.radar.errors import Untrusted
from collector.radar.response import parse_answer
from tests.harness import odd_answers
from tests.harness.strict import checker

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
_REMARK = {
    "dataSource": "CT",
    "description": "A log went away \u2603",
    "startDate": "2026-03-01T00:00:00Z",
    "endDate": None,
    "eventType": "OUTAGE",
    "isInstantaneous": False,
    "linkedUrl": "https://example.com/",
    "tags": ["a", "b"],
}
_LONGEST = 2**20  # what the client reads of an answer of so few buckets, more or less
_LAST = "2026-03-02T03:00:00Z"
_HOSTILE = [
    *("NaN", "Infinity", "-Infinity", "1e999", "1_000", "\u0661\u0662", "9007199254740993", "9" * 4301, "1e-400", "-0"),
    *("", " 1", "1\n", "0x10", "1.", ".5", "+1", "1e5", "1E+2", "0.10000000000000000000", "1.4e-05", "007", "1" * 401),
    *("2026-03-02T00:00:00", "2026-03-02", "2026-03-02T00:00:60Z", "2026-03-02T24:00:00Z", "9999-12-31T23:59:59-23:59"),
    *("0001-01-01T00:00:00+23:59", "2026-W10-1T00:00:00Z", "20260302T000000Z", "2026-03-02T00:00:00,5Z", _LAST),
    *("2026-03-02T01:00:00.000Z", "2026-03-02T01:00:00.001Z", "2026-03-02t01:00:00z", "2026-03-02T01:00:00+01:00"),
    *("2026-03-02T01:00:00+01:00:30", "\uff12026-03-02T01:00:00Z", "2027-03-02T01:00:00Z", "2026-03-02T01Z"),
    *(
        "ONE_HOUR",
        "ONE_DAY",
        "RAW_VALUES",
        "MIN_MAX",
        "meta",
        "serie_0",
        "javascript:alert(1)",
        "\0",
        "\ud800",
        "x" * 20_001,
    ),
    *(None, True, False, 0, 1, -1, 1.5, 2**31, 2**53 + 1, 10**4000, -(2**63), 1e308, [], {}, [[]], [None], {"": 0}),
    {"timestamps": [], "values": []},
    {"timestamps": [_LAST], "values": ["5"]},
    [1] * 50,
    json.loads(json.dumps([_REMARK] * 20)),  # each of them an object of its own
]
_BYTES = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud83d",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"NaN",
]
_BYTES += [
    b"0",
    b"9",
    b"-",
    b"e9",
    b".",
    b"\n",
    b"1_0",
    b"true",
    b"null",
    b"\xc2\xa0",
    b"[" * 2000,
    b"9" * 5000,
    b'"a":1,"a":2',
]


def _batch(agg_interval, count, series):
    window = Window(START, START + count * agg_interval.step)
    filters = [{}, {"tld": ("com",)}, {"tld": ("org",)}]
    return Batch(tuple(Slice(Question(agg_interval, one), window) for one in filters[:series]))


def _document(batch):
    step = batch.agg_interval.step
    stamps = [[_written(window.start + step * n) for n in range(batch.duration // step)] for window in batch.windows]
    values = ["1", "2.5", "0.871752", "1.4e-05", "123456789012", "0"]
    meta = {
        "aggInterval": batch.agg_interval.name,
        "lastUpdated": "2026-04-01T23:15:00Z",
        "normalization": "RAW_VALUES",
        "units": [{"name": "*", "value": "certificates"}],
        "confidenceInfo": {"level": 5, "annotations": [_REMARK]},
        "dateRange": [
            {"startTime": _written(window.start), "endTime": _written(window.end - timedelta(minutes=15))}
            for window in batch.windows
        ],
    }
    series = {
        f"serie_{n}": {"timestamps": stamps[n], "values": [values[(n + m) % 6] for m in range(len(stamps[n]))]}
        for n in range(len(batch.slices))
    }
    return {"success": True, "errors": [], "result": {"meta": meta, **series}}


def _written(moment):
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _of_two_weeks(batch):
    first, second = (piece.window for piece in batch.slices)
    week = timedelta(weeks=1)
    return Batch((batch.slices[0], Slice(batch.slices[1].series, Window(second.start + week, first.end + week))))


BATCHES = [
    _batch(AggInterval.ONE_HOUR, 4, 1),
    _batch(AggInterval.FIFTEEN_MINUTES, 6, 2),
    _batch(AggInterval.ONE_DAY, 3, 3),
    _batch(AggInterval.ONE_WEEK, 2, 1),
    _of_two_weeks(_batch(AggInterval.ONE_HOUR, 4, 2)),
]
TEXTS = [json.dumps(_document(batch)) for batch in BATCHES]


def _places(node, found):
    """Every (container, key) of a document."""
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
        found.append((node, key))
        if isinstance(inner, dict | list):
            _places(inner, found)
    return found


def _by_structure(dice, text):
    document = json.loads(text)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        places = _places(document, [])
        if not places:
            break
        _change(dice, *dice.choice(places), places)
    return json.dumps(document, ensure_ascii=dice.random() < 0.9).encode("utf-8", "surrogatepass")


def _change(dice, container, key, places):
    match dice.randrange(8):
        case 0 | 1:
            container[key] = copy.deepcopy(dice.choice(_HOSTILE))
        case 2:
            del container[key]
        case 3:
            other, there = dice.choice(places)
            container[key] = copy.deepcopy(other[there])
        case 4 if isinstance(container, list):
            container.insert(dice.randrange(len(container) + 1), copy.deepcopy(container[key]))
        case 5 if isinstance(container, list):
            dice.shuffle(container)
        case 6 if isinstance(container, dict):
            container[dice.choice(("extra", "serie_1", "serie_9", "level", "tags", "endDate"))] = container[key]
        case _:
            container[key] = _touched(dice, container[key])


def _touched(dice, value):
    if not isinstance(value, str) or not value:
        return str(value) if dice.random() < 0.5 else [value]
    at = dice.randrange(len(value))
    return value[:at] + dice.choice("0123456789.-+eEZT: _\u0663\u00bd") + value[at + dice.randrange(2) :]


def _by_byte(dice, text):
    body = bytearray(text.encode())
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        at, to = sorted((dice.randrange(len(body) + 1), dice.randrange(len(body) + 1)))
        match dice.randrange(7):
            case 0 if at < len(body):
                body[at] ^= 1 << dice.randrange(8)
            case 1:
                body[at : at + 1] = bytes([dice.randrange(256)])
            case 2:
                body[at:at] = dice.choice(_BYTES)
            case 3:
                del body[at : at + dice.randrange(1, 5)]
            case 4:
                del body[at:to]
            case 5:
                body[to:to] = body[at : min(to, at + 200)]
            case _:
                body = body[: max(to, 1)]
        if not body:
            break
    return bytes(body)


def _by_kind(dice, text):
    document = odd_answers.vary(dice, json.loads(text))
    body = json.dumps(document, ensure_ascii=dice.random() < 0.9).encode("utf-8", "surrogatepass")
    return codecs.BOM_UTF8 + body if dice.random() < 0.05 else body


def _both(dice, text):
    return _by_structure(dice, _by_kind(dice, text).decode("utf-8-sig", "surrogatepass"))


def _taken(body, batch):
    """What the product takes from *body*; None where it refuses."""
    try:
        return parse_answer(body, batch)
    except Untrusted:
        return None


def _believed(body, batch):
    """What the checker takes from *body*; the reason where it refuses."""
    windows = [(piece.window.start.timestamp(), piece.window.end.timestamp()) for piece in batch.slices]
    try:
        return checker.check(body, batch.agg_interval.seconds, windows, UNKNOWN_LAST_UPDATED)
    except checker.Rejected as reason:
        return str(reason)


def _differences(answer, believed, batch):
    """Everything that was taken otherwise than the checker believes."""
    came = [series for series in believed.series if series is not None]
    ranges = [one for one, series in zip(believed.ranges, believed.series, strict=True) if series is not None]
    meta = answer.meta
    compared = {
        "missing": answer.missing == believed.missing,
        "series": len(came) == len(answer.series) and all(map(_same_points, came, answer.series)),
        "agg_interval": meta.agg_interval is batch.agg_interval,
        "last_updated": checker.fits(believed.last_updated, meta.last_updated),
        "normalization": checker.fits(believed.normalization, meta.normalization),
        "unit": checker.fits(believed.unit, checker.plain(meta.unit)),
        "level": checker.fits(believed.level, meta.confidence_level),
        "date_ranges": len(ranges) == len(meta.date_ranges) and all(map(checker.fits, ranges, meta.date_ranges)),
        "annotations": _same_remarks(believed.remarks, meta.annotations),
        "deviations": len({*answer.deviations}) == len(answer.deviations) >= (1 if believed.noted else 0),
        "length of deviations": all(0 < len(one) < 300 for one in answer.deviations),
    }
    return [name for name, same in compared.items() if not same]


def _same_points(expected, points):
    got = dict(zip(points.timestamps, points.values, strict=True))
    return (
        [*points.timestamps] == sorted(got)
        and {*got} <= {*expected}
        and all(type(at) is int and type(one) is float for at, one in got.items())
        and all(checker.may_be(one, got.get(at)) for at, one in expected.items())
    )


def _same_remarks(expected, annotations):
    names = ("start_date", "end_date", "data_source", "event_type", "description", "linked_url", "is_instantaneous")
    taken = [(*(getattr(one, name) for name in names), checker.tags_as_taken(one.tags)) for one in annotations]
    return all(any(remark.fits(one) for remark in expected) for one in taken) and all(
        any(remark.fits(one) for one in taken) for remark in expected if remark.certain
    )


_KINDS = (_by_kind, _by_kind, _both, _by_structure, _by_byte)


def fuzz(seed, count, mutations=_KINDS):
    """Try *count* mutations; how many were taken, refused, and refused though the checker would take them."""
    dice, found = random.Random(seed), Counter()
    for number in range(count):
        which = dice.randrange(len(BATCHES))
        body = dice.choice(mutations)(dice, TEXTS[which])[:_LONGEST]
        told = f"seed {seed}, mutation {number}, batch {which}: {body[:3000]!r}"
        began = time.thread_time()
        try:
            answer = _taken(body, BATCHES[which])
        except Exception as error:
            raise AssertionError(f"{error!r} at {told}") from error
        assert time.thread_time() - began < 1, f"a second and more at {told}"
        outcome, wrong = _judge(answer, _believed(body, BATCHES[which]), BATCHES[which])
        assert not wrong, f"{wrong} at {told}"
        found[outcome] += 1
    return found


def _judge(answer, believed, batch):
    """Give the outcome, and what is wrong with it."""
    if isinstance(believed, str):
        return "refused", answer and f"{answer} was taken against: {believed}"
    if answer is None:
        return "refused in doubt", None if believed.doubts else f"refused, though {vars(believed)}"
    differences = _differences(answer, believed, batch)
    return "taken", differences and f"{differences} of {answer} are not those of {vars(believed)}"


@pytest.mark.parametrize("which", range(len(BATCHES)))
def test_what_was_not_mutated_is_taken_by_both_without_doubt(which):
    answer, believed = _taken(TEXTS[which].encode(), BATCHES[which]), _believed(TEXTS[which].encode(), BATCHES[which])
    assert not believed.doubts
    assert not answer.deviations
    assert _judge(answer, believed, BATCHES[which]) == ("taken", [])


def test_no_mutated_answer_crashes_hangs_or_is_read_otherwise_than_the_checker_does():
    found = fuzz(seed=1, count=4_000)
    assert found["taken"] > 1_000
    assert found["refused"] > 1_000
    assert found["refused in doubt"] < 400


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1_000, 1_020))
def test_nor_is_any_of_a_million(seed):
    print(f"seed {seed}: {dict(fuzz(seed, 50_000))}")  # noqa: T201 - counts for the record
