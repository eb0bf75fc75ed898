"""Variations of an answer that says the same in another way, or nearly: the rows of the table of readings."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATES = [
    *("2026-03-02T00:00:00Z", "2026-03-02T00:00:00.000Z", "2026-03-02t00:00:00z", "2026-03-02 00:00:00Z"),
    *("2026-03-02T01:00:00+01:00", "2026-03-01T19:00:00-05:00", "2026-03-02T00:00Z", "2026-03-02T00:00:00"),
    *("2026-03-02", "2026-03-02T00:00:00.123456789Z", "2026-03-02T00:00:00.5+00:00", "2026-04-01T23:15:00Z"),
    *("2026-03-01T23:45:00Z", "2026-03-05T00:00:00Z", "2026-04-01", "2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    *("2026-03-01T12:00:00Z", "2026-03-02T03:30:00Z", "2026-03-02T04:00:00Z", "9999-12-31T23:59:59Z"),
    *(
        "2026-02-30",
        "2026-03-02T25:00:00Z",
        "2026-03-02T00:00:00 UTC",
        "2026-03-06T04:00:00+99:00",
        "yesterday",
        "",
        None,
        False,
    ),
    *(1772409600, 1772409600000, 0, -1, [], {}),
]
_VALUES = [
    *(None, None, None, "", "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "none", "n/a", "NULL", "nan", "inf"),
    *(0, 1, -1, 2.5, 1e-5, 12345678901, 2**53, 2**53 + 1, -(2**53) - 1, 2**63, 10**400, True, False, [], {}, ["1"]),
    *("5", "5.0", "5.000", "+5", "-5", "-0", "0e5", "005", "1e3", "1E+3", "1e-3", "0.1", "1e15", "1e16", "1e-400"),
    *("0.1234567890123456789", "3.14159265358979323846", "9007199254740992", "9007199254740993", "9007199254740992.1"),
    *("-9007199254740992", "-9007199254740992.5", "9.007199254740993e15", "1e308", "1" * 20, "0." + "3" * 60),
    *(
        "1,000",
        "1_000",
        "1 000",
        " 1",
        "1 ",
        ".5",
        "5.",
        "0x10",
        "\u0661",
        "\uff11",
        "1e",
        "e1",
        "--1",
        "1-1",
        "\u221e",
    ),
]
_LEVELS = [0, 1, 5, 6, -1, 2.0, 4.5, "3", "5.0", "high", "", None, True, [], {}, 2**70, 1e400, "NaN", "\u0663"]
_WORDS = ["RAW_VALUES", "raw_values", "Percentage", "min0_max", "RATIO", "COUNT", "", None, 5, [], {}, "x" * 3000]
_UNITS = [
    *(None, [], {}, {"name": "*", "value": "certificates"}, {"value": "certificates"}, "certificates", 5, [None]),
    *([{}], [{"name": "*"}], [{"name": "*", "value": None}], [{"name": "*", "value": " Certificates "}], ["requests"]),
    *([{"name": "serie_0", "value": "certificates"}, {"name": "serie_1", "value": "CERTIFICATES"}], {"*": "requests"}),
    *([{"name": "serie_0", "value": "certificates"}, {"name": "serie_1", "value": "%"}], [{"name": "*", "value": 5}]),
]
_INTERVALS = [
    *("FIFTEEN_MINUTES", "ONE_HOUR", "ONE_DAY", "ONE_WEEK", "ONE_MONTH", "15m", "1h", "1d", "1w", "1H", "one_hour"),
    *("Fifteen_Minutes", "one_day", "1D", "1W", "15M", "", None, 900, 3600, "hour", "60m", [], {}, True),
]
_NAMES = ["Serie_{}", "SERIE_{}", "serie {}", "serie-{}", "serie{}", "Serie_{} ", "series_{}", "s{}", "{}", "serie_0{}"]
_FIELDS_OF_REMARKS = {
    "startDate": [*_DATES, 1e400],
    "endDate": _DATES,
    "description": [None, "", "text", 5, [], {}, "\0\ud800", "y" * 70_000],
    "linkedUrl": [None, "", "javascript:alert(1)", 5, []],
    "dataSource": [None, "ALL", "NEW_SOURCE", 5, {}],
    "eventType": [None, "ODD", 7, []],
    "isInstantaneous": [0, 1, None, True, "true", "no", 2, []],
    "tags": [None, [], "a", ["b", "a"], [{"k": "v"}], [{"b": 1, "a": [None]}, "c"], [1], {}, [None], [["x"]]],
    "extra": [1],
}


def vary(dice, document):
    """Change *document* in one to three ways."""
    for _ in range(dice.choice((1, 1, 2, 2, 2, 3))):
        with suppress(LookupError, TypeError, AttributeError, ValueError, OverflowError):
            dice.choice(WAYS)(dice, document)  # an earlier way may have taken away what this one would change
    return document


def _some_of(dice, found):
    return found if dice.random() < 0.5 else [dice.choice(found)]


def _all_series(document):
    return [one for key, one in document["result"].items() if key != "meta" and "timestamps" in one]


def rename(dice, document):
    result = document["result"]
    form, shift = dice.choice(_NAMES), dice.choice((0, 0, 0, 1))
    some = dice.random() < 0.7
    names = {f"serie_{n}": form.format(n + shift) for n in range(3) if some or dice.random() < 0.5}
    document["result"] = {names.get(key, key): one for key, one in result.items()}


def number_from_one(dice, document):
    names = {f"serie_{n}": f"serie_{n + 1}" for n in range(3)}
    document["result"] = {names.get(key, key): one for key, one in document["result"].items()}


def reorder(dice, document):
    pairs = [*document["result"].items()]
    dice.shuffle(pairs)
    document["result"] = dict(pairs)


def reverse(dice, document):
    document["result"] = dict(reversed(document["result"].items()))


def drop_series(dice, document):
    del document["result"][f"serie_{dice.randrange(3)}"]


def spoil_series(dice, document):
    key = f"serie_{dice.randrange(3)}"
    if key in document["result"]:
        document["result"][key] = dice.choice((None, None, {}, [], "text", 5, {"timestamps": []}, {"values": ["1"]}))


def add_to_result(dice, document):
    one = dice.choice((None, {}, [], {"k": 1}, {"timestamps": [], "values": []}, document["result"]["serie_0"]))
    document["result"][dice.choice(("extra", "serie_1", "serie_3", "Serie_0", "summary_0", "total"))] = one


def respell_timestamps(dice, document):
    spell = dice.choice(_SPELLINGS)
    for series in _some_of(dice, _all_series(document)):
        stamps = series["timestamps"]
        chosen = range(len(stamps)) if dice.random() < 0.7 else [dice.randrange(len(stamps))]
        series["timestamps"] = [spell(_moment(at)) if n in chosen else at for n, at in enumerate(stamps)]


def _moment(text):
    if isinstance(text, str):
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return _EPOCH + timedelta(seconds=text if text < 1e11 else text / 1000)


def _seconds(at):
    return int((at - _EPOCH).total_seconds())


def _offset(hours, minutes=0):
    zone = timezone(timedelta(hours=hours, minutes=minutes))
    return lambda at: at.astimezone(zone).isoformat()


_SPELLINGS = [
    _seconds,
    lambda at: _seconds(at) * 1000,
    lambda at: float(_seconds(at)),
    lambda at: str(_seconds(at)),
    lambda at: f"{at:%Y-%m-%dT%H:%M:%S.000Z}",
    lambda at: f"{at:%Y-%m-%dT%H:%M:%S.000000000Z}",
    lambda at: f"{at:%Y-%m-%dT%H:%M:%S.0000000001Z}",
    lambda at: f"{at:%Y-%m-%dt%H:%M:%Sz}",
    lambda at: f"{at:%Y-%m-%dT%H:%MZ}",
    lambda at: f"{at:%Y-%m-%d %H:%M:%SZ}",
    lambda at: f"{at:%Y-%m-%dT%H:%M:%S}",
    lambda at: f"{at:%Y-%m-%dT%H:%M}",
    lambda at: f"{at:%Y-%m-%d}",
    lambda at: f"{at:%Y-%m-%d %H:%M:%S UTC}",
    lambda at: f"{at:%Y/%m/%d %H:%M:%SGMT}",
    lambda at: f"{at:%a, %d %b %Y %H:%M:%S GMT}",
    lambda at: f"{at:%Y%m%dT%H%M%SZ}",
    lambda at: _seconds(at) * 10**6,
    lambda at: _seconds(at) * 10**9,
    lambda at: f"{at + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}",  # a local time that does not say so
    _offset(0),
    _offset(1),
    _offset(-5),
    _offset(5, 45),
    _offset(14),
]


def shift_timestamps(dice, document):
    away = timedelta(seconds=dice.choice((1, 60, 300, 900, -900, 3600, -3600, 43200, 86400, -86400, 604800, 0.5)))
    for series in _some_of(dice, _all_series(document)):
        stamps = series["timestamps"]
        chosen = range(len(stamps)) if dice.random() < 0.5 else [dice.randrange(len(stamps))]
        moved = [f"{_moment(at) + away:%Y-%m-%dT%H:%M:%S.%fZ}" for at in stamps]
        series["timestamps"] = [moved[n] if n in chosen else at for n, at in enumerate(stamps)]


def spoil_timestamp(dice, document):
    stamps = dice.choice(_all_series(document))["timestamps"]
    stamps[dice.randrange(len(stamps))] = dice.choice((None, None, *_DATES))


def _both(series):
    return [*zip(series["timestamps"], series["values"], strict=True)]


def _put(series, pairs):
    series["timestamps"], series["values"] = [at for at, _ in pairs], [one for _, one in pairs]


def shuffle(dice, document):
    for series in _some_of(dice, _all_series(document)):
        pairs = _both(series)
        dice.shuffle(pairs)
        _put(series, pairs)


def duplicate(dice, document):
    series = dice.choice(_all_series(document))
    pairs = _both(series)
    at, one = dice.choice(pairs)
    pairs.insert(dice.randrange(len(pairs) + 1), (at, dice.choice((one, one, one + ".0", one + "0", None, "NaN", "7"))))
    _put(series, pairs)


def add_outside(dice, document):
    series = dice.choice(_all_series(document))
    ends = [_moment(at) for at in series["timestamps"]]
    step = ends[1] - ends[0]
    at = dice.choice((min(ends) - step, max(ends) + step, min(ends) - 100 * step))
    _put(series, [*_both(series), (f"{at:%Y-%m-%dT%H:%M:%SZ}", dice.choice(_VALUES))])


def thin_out(dice, document):
    for series in _some_of(dice, _all_series(document)):
        _put(series, [pair for pair in _both(series) if dice.random() < 0.6])


def coarsen(dice, document):
    """Leave every fourth bucket, and mostly no word that says the interval."""
    for series in _some_of(dice, _all_series(document)):
        _put(series, _both(series)[:: dice.choice((2, 4, 4))])
    inside = document["result"]["meta"]
    inside["aggInterval"] = dice.choice((None, None, None, "", "ODD", inside["aggInterval"]))


def empty(dice, document):
    for series in _some_of(dice, _all_series(document)):
        _put(series, [])


def unequal(dice, document):
    dice.choice(_all_series(document))[dice.choice(("timestamps", "values"))].pop()


def other_values(dice, document):
    for series in _some_of(dice, _all_series(document)):
        share = dice.choice((0.1, 0.3, 0.5, 0.6, 1))
        series["values"] = [dice.choice(_VALUES) if dice.random() < share else one for one in series["values"]]


def one_value(dice, document):
    values = dice.choice(_all_series(document))["values"]
    values[dice.randrange(len(values))] = dice.choice(_VALUES)


def same_values(dice, document):
    one = dice.choice(_VALUES)
    for series in _some_of(dice, _all_series(document)):
        series["values"] = [one if dice.random() < 0.55 else other for other in series["values"]]


def values_as_numbers(dice, document):
    for series in _some_of(dice, _all_series(document)):
        series["values"] = [json.loads(one) for one in series["values"]]


def envelope(dice, document):
    match dice.randrange(4):
        case 0:
            del document["success"]
        case 1:
            document["success"] = dice.choice((False, None, "true", 1, 0, True))
        case 2:
            document[dice.choice(("errors", "messages"))] = dice.choice((None, [], [{"code": 1}], {}, "text"))
        case _:
            document.pop("errors")


def meta(dice, document):
    document["result"]["meta"] = dice.choice((None, {}, {}, [], "text", 5))


def no_meta(dice, document):
    del document["result"]["meta"]


def drop_of_meta(dice, document):
    inside = document["result"]["meta"]
    for key in [key for key in inside if dice.random() < 0.3]:
        del inside[key]


def empty_in_meta(dice, document):
    inside = document["result"]["meta"]
    inside[dice.choice([*inside])] = dice.choice((None, None, [], {}, "", 0, "text", [None], [{}], [[]]))


def interval(dice, document):
    document["result"]["meta"]["aggInterval"] = dice.choice(_INTERVALS)


def updated(dice, document):
    document["result"]["meta"]["lastUpdated"] = dice.choice(_DATES)


def word(dice, document):
    document["result"]["meta"]["normalization"] = dice.choice(_WORDS)


def units(dice, document):
    document["result"]["meta"]["units"] = dice.choice(_UNITS)


def level(dice, document):
    document["result"]["meta"]["confidenceInfo"]["level"] = dice.choice(_LEVELS)


def confidence(dice, document):
    one = document["result"]["meta"]["confidenceInfo"]
    document["result"]["meta"]["confidenceInfo"] = dice.choice(
        (None, {}, {"level": 3}, {"annotations": one["annotations"]}, {"annotations": None, "level": 2}, [], 5, "high")
    )


def remark(dice, document):
    remarks = document["result"]["meta"]["confidenceInfo"]["annotations"]
    one = dict(remarks[0])
    for key in dice.sample([*_FIELDS_OF_REMARKS], dice.choice((1, 1, 2, 3))):
        if dice.random() < 0.3:
            one.pop(key, None)
        else:
            one[key] = dice.choice(_FIELDS_OF_REMARKS[key])
    remarks[dice.randrange(2) :] = [one]


def odd_remark(dice, document):
    document["result"]["meta"]["confidenceInfo"]["annotations"].append(dice.choice((None, 5, "text", [], {}, [[]])))


def repeat_remark(dice, document):
    remarks = document["result"]["meta"]["confidenceInfo"]["annotations"]
    remarks.extend([remarks[0]] * dice.choice((1, 2, 30)))


def ranges(dice, document):
    inside = document["result"]["meta"]
    one = dict(inside["dateRange"][0])
    inside["dateRange"] = dice.choice(
        ([one], one, None, [], {}, [one, one], [one] * 3, [one] * 4, [None], [one, None, one], [{}], "text", [[one]])
    )


def range_(dice, document):
    found = document["result"]["meta"]["dateRange"]
    at = dice.randrange(len(found))
    found[at] = {**found[at], dice.choice(("startTime", "endTime")): dice.choice(_DATES)}


def range_moved(dice, document):
    found = document["result"]["meta"]["dateRange"]
    for at in _some_of(dice, [*range(len(found))]):
        for key in ("startTime", "endTime"):
            away = timedelta(minutes=dice.choice((0, 0, -15, 15, 60, -60, 1440, -1440, 10080, -10080, 400000)))
            moved = _moment(found[at][key]) + away
            found[at] = {**found[at], key: f"{moved:%Y-%m-%dT%H:%M:%SZ}"}


def reshape(dice, document):
    """Write series in another form: records, pairs, {timestamp: value}, or deeper."""
    result = document["result"]
    for name in _some_of(dice, [key for key in result if key != "meta"]):
        one = result[name]
        pairs = _both(one)
        result[name] = dice.choice(
            (
                [{"timestamp": at, "value": read} for at, read in pairs],
                [{"date": at, "count": read, "x": 1} for at, read in pairs],
                [list(pair) for pair in pairs],
                {str(at): read for at, read in pairs},
                {"data": one},
                {"name": name, "points": [list(pair) for pair in pairs]},
                {"dates": one["timestamps"], "values": one["values"]},
                {"Timestamps": one["timestamps"], "VALUES": one["values"], "values_": []},
                {"timestamps": one["timestamps"], "counts": one["values"]},
                {"timestamps": one["timestamps"], "values": one["values"], "dates": [1], "previous": one["values"]},
            )
        )


def move_series(dice, document):
    """Put the series in another place."""
    result = document["result"]
    series = {key: result.pop(key) for key in [*result] if key != "meta"}
    if not series:
        return
    first = next(iter(series.values()))
    match dice.randrange(6):
        case 0 | 1:
            result[dice.choice(("series", "data", "timeseries", "Result"))] = series
        case 2:
            result["series"] = [{"name": name, **one} for name, one in series.items()]
        case 3:
            result["series"] = [*series.values()]
        case 4:
            result |= {"timestamps": first["timestamps"], **{name: one["values"] for name, one in series.items()}}
        case _:
            result |= first


def move_result(dice, document):
    """Put the result, or meta, in another place."""
    result = document["result"]
    match dice.randrange(7):
        case 0:
            document["result"] = [result] * dice.choice((1, 1, 2))
        case 1:
            document["result"] = {dice.choice(("result", "data")): result}
        case 2:
            document["data"] = document.pop("result")
        case 3:
            document.update(document.pop("result"))
        case 4:
            document["meta"] = result.pop("meta")
        case 5:
            about = result.pop("meta")
            for one in result.values():
                one["meta"] = about
        case _:
            result[dice.choice(("Meta", "metadata", "META"))] = result.pop("meta")


def respell_keys(dice, document):
    spell = dice.choice((str.lower, str.upper, str.title, lambda key: key.replace("T", "_t").replace("I", "_i")))
    deep = dice.random() < 0.5

    def spelt(node):
        if isinstance(node, dict):
            return {spell(key) if key.isalpha() else key: spelt(one) for key, one in node.items()}
        return [spelt(one) for one in node] if isinstance(node, list) else node

    document["result"]["meta"] = spelt(document["result"]["meta"])
    if deep:
        document["result"] = spelt(document["result"])


def wrap(dice, document):
    """Put timestamps or values inside of lists or objects."""
    step = _all_series(document)[0]["timestamps"][:2]
    width = _moment(step[1]) - _moment(step[0])
    wrapping = dice.choice(
        (
            lambda one: [one],
            lambda one: {"value": one},
            lambda one: {"value": one, "unit": "x"},
            lambda one: [one, one],
            lambda one: {"start": one, "end": f"{_moment(one) + width:%Y-%m-%dT%H:%M:%SZ}"},
            lambda one: {"from": one, "to": one},
            lambda one: {"count": one},
        )
    )
    key = dice.choice(("timestamps", "values"))
    for series in _some_of(dice, _all_series(document)):
        series[key] = [wrapping(one) if dice.random() < 0.9 else one for one in series[key]]


def odd_ranges(dice, document):
    inside = document["result"]["meta"]
    found = inside["dateRange"]
    pairs = [[one["startTime"], one["endTime"]] for one in found]
    inside["dateRange"] = dice.choice(
        (
            pairs,
            pairs[0],
            ["/".join(pair) for pair in pairs],
            "/".join(pairs[0]),
            [{"start": start, "end": end} for start, end in pairs],
            {"from": pairs[0][0], "to": pairs[0][1]},
            {f"serie_{number}": one for number, one in enumerate(found)},
            [{"end_time": end, "start_time": start} for start, end in pairs],
        )
    )


def ends_for_starts(dice, document):
    for series in _some_of(dice, _all_series(document)):
        moments = [_moment(at) for at in series["timestamps"]]
        series["timestamps"] = [f"{at + (moments[1] - moments[0]):%Y-%m-%dT%H:%M:%SZ}" for at in moments]


WAYS = [
    *(reshape, reshape, move_series, move_series, move_result, respell_keys, wrap, odd_ranges, ends_for_starts),
    *(rename, rename, number_from_one, reorder, reverse, drop_series, spoil_series, add_to_result),
    *(respell_timestamps, respell_timestamps, shift_timestamps, spoil_timestamp, shuffle, duplicate, add_outside),
    *(
        thin_out,
        coarsen,
        empty,
        unequal,
        other_values,
        one_value,
        one_value,
        same_values,
        values_as_numbers,
        envelope,
        meta,
    ),
    *(no_meta, drop_of_meta, empty_in_meta, interval, updated, word, units, level, confidence, remark, remark),
    *(odd_remark, repeat_remark, ranges, range_, range_moved),
]
