"""A second opinion on an answer, in plain Python and sharing nothing with the product: what may be believed of it.

It reads JSON by RFC 8259 itself, takes date-times only as RFC 3339 spells them, and numbers only where the double
that stands for them, written with as many digits, gives the same digits again.
"""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

_TOKEN = re.compile(
    r'[ \t\n\r]*(?:([{}\[\],:])|"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"'
    r"|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9.eE+-])|(true|false|null)(?![a-z]))"
)
_BLANK = re.compile(r"[ \t\n\r]*")
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"true": True, "false": False, "null": None}
_IS_STRING, _IS_NUMBER = 2, 3
_DEEPEST = 900
_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_NAMES = {900: "FIFTEEN_MINUTES", 3600: "ONE_HOUR", 86400: "ONE_DAY", 604800: "ONE_WEEK"}
_MOST = 2**31


class No(Exception):
    """This must not be believed."""


def check(body, step, windows, now):
    """Give ({name: [(timestamp, value)]}, what meta says); No where the answer must be refused.

    *windows* are (start, end) in epoch seconds, by position; *now* is aware.
    """
    document = parse(body)
    _need(isinstance(document, dict) and document.get("success") is True, "no success")
    result = document.get("result")
    _need(isinstance(result, dict), "no result")
    said = _meta(result.get("meta"), step, windows, now)
    wanted = [f"serie_{position}" for position in range(len(windows))]
    for name, content in result.items():
        _need(name in wanted or not (isinstance(content, dict) and "values" in content), "not asked for")
    return [_series(result.get(name), step, *window) for name, window in zip(wanted, windows, strict=True)], said


def _need(condition, reason):
    if not condition:
        raise No(reason)


def _series(content, step, start, end):
    _need(isinstance(content, dict), "no series")
    times, values = content.get("timestamps"), content.get("values")
    _need(isinstance(times, list) and isinstance(values, list) and len(times) == len(values), "arrays")
    seconds = [_bucket(text) for text in times]
    _need(all(a < b for a, b in pairwise(seconds)), "order")
    _need(all(start <= one < end and (one - start) % step == 0 for one in seconds), "grid")
    return [*zip(seconds, map(number, values), strict=True)]


def _bucket(text):
    found = moment(text)
    _need(text.endswith("Z") and not found.microsecond and not text[20:].strip("0Z"), "bucket")
    return int(found.timestamp())


def moment(text):
    match = _DATE_TIME.fullmatch(text) if isinstance(text, str) else None
    _need(match, "date-time")
    *fields, fraction, zone = match.groups()
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        naive = datetime(*map(int, fields), micro, tzinfo=UTC)
        if zone == "Z":
            return naive
        _need(int(zone[1:3]) < 24 and int(zone[4:]) < 60, "zone")
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
        return naive - away if zone[0] == "+" else naive + away
    except (ValueError, OverflowError):
        raise No("no such moment") from None


def number(text):
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    _need(match and len(text) <= 400, "decimal")
    _, whole, fraction, exponent = match.groups()
    digits = (whole + (fraction or "")).lstrip("0")
    value = float(text)
    if not digits:
        return 0.0
    scale = len(digits) - len(fraction or "") + int(exponent or 0) - 1
    digits = digits.rstrip("0")
    if len(digits) > 17:
        raise No("more digits than a double has")
    back, power = f"{abs(value):.{len(digits) - 1}e}".split("e") if abs(value) < float("inf") else ("", "0")
    _need(back.replace(".", "") == digits and int(power) == scale, "not exact")
    return value


def _meta(meta, step, windows, now):
    _need(isinstance(meta, dict) and meta.get("aggInterval") == _NAMES[step], "interval")
    updated = moment(meta.get("lastUpdated"))
    normalization = _text(meta.get("normalization"))
    _need(normalization, "normalization")
    units = meta.get("units")
    _need(isinstance(units, list) and all(isinstance(unit, dict) for unit in units), "units")
    pairs = [(_text(unit.get("name")), _text(unit.get("value"))) for unit in units]
    _need("confidenceInfo" in meta, "confidence")
    return updated, normalization, pairs, *_confidence(meta["confidenceInfo"]), _ranges(meta, step, windows)


def _confidence(info):
    if info is None:
        return None, set()
    _need(isinstance(info, dict) and "level" in info and isinstance(info.get("annotations"), list), "confidence")
    level = info["level"]
    _need(level is None or (type(level) is int and -_MOST <= level < _MOST), "level")
    _need(len(info["annotations"]) <= 1000, "annotations")
    return level, {_annotation(one) for one in info["annotations"]}


def _annotation(one):
    _need(isinstance(one, dict) and {"endDate", "isInstantaneous", "description"} <= {*one}, "annotation")
    end, tags = one["endDate"], one.get("tags")
    _need(type(one["isInstantaneous"]) is bool and (tags is None or isinstance(tags, list)), "annotation")
    return (
        moment(one.get("startDate")),
        None if end is None else moment(end),
        _text(one.get("dataSource")),
        _text(one.get("eventType")),
        _text("" if one["description"] is None else one["description"]),
        _text("" if one.get("linkedUrl") is None else one["linkedUrl"]),
        one["isInstantaneous"],
        tuple(sorted(map(_text, tags or ()))),
    )


def _text(text):
    _need(isinstance(text, str), "text")
    kept = "".join("?" if 0xD800 <= ord(c) < 0xE000 else "\ufffd" if c == "\0" else c for c in text)
    _need(len(kept) <= 20_000, "long text")
    return kept


def _ranges(meta, step, windows):
    ranges = meta.get("dateRange")
    ranges = [ranges] if isinstance(ranges, dict) else ranges
    _need(isinstance(ranges, list) and all(isinstance(one, dict) for one in ranges), "ranges")
    found = [(moment(one.get("startTime")), moment(one.get("endTime"))) for one in ranges]
    found = found * len(windows) if len(found) == 1 else found
    _need(len(found) == len(windows), "ranges")
    for (start, end), (first, last) in zip(found, windows, strict=True):
        _need(first - step < start.timestamp() <= first and last - step <= end.timestamp() <= last, "range")
    return found


def parse(body):
    """Read RFC 8259 JSON in UTF-8, without recursion; No for anything else, and for two equal keys of one object."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise No("not UTF-8") from None
    root = []
    open_ = [root]
    key, expect, at = None, "value", 0
    while expect != "end":
        match = _TOKEN.match(text, at)
        _need(match, f"JSON at {at}")
        at = match.end()
        sign, kind = match[1], match.lastindex
        into = open_[-1]
        if sign in ("}", "]"):
            _need(expect in (("key or }", ", or }") if sign == "}" else ("value or ]", ", or ]")), "closing")
            open_.pop()
        elif sign == ",":
            _need(expect in {", or }", ", or ]"}, "comma")
            expect = "key" if expect == ", or }" else "value"
            continue
        elif sign == ":":
            _need(expect == ":", "colon")
            expect = "value"
            continue
        elif expect in {"key", "key or }"}:
            _need(kind == _IS_STRING, "key")
            key, expect = _string(match[0]), ":"
            _need(key not in into, "two equal keys")
            into[key] = None
            continue
        else:
            _need(expect in {"value", "value or ]"}, "value")
            value = {"{": dict, "[": list}[sign]() if sign else _scalar(match, kind)
            if isinstance(into, dict):
                into[key] = value
            else:
                into.append(value)
            if sign:
                open_.append(value)
                _need(len(open_) < _DEEPEST, "depth")
                expect = "key or }" if sign == "{" else "value or ]"
                continue
        outer = open_[-1]
        expect = "end" if outer is root else ", or }" if isinstance(outer, dict) else ", or ]"
    _need(_BLANK.fullmatch(text, at), "trailing")
    return root[0]


def _scalar(match, kind):
    if kind == _IS_STRING:
        return _string(match[0])
    if kind == _IS_NUMBER:
        text = match[_IS_NUMBER]
        return float(text) if {*text} & {*".eE"} or len(text) > 1000 else int(text)
    return _WORDS[match[kind]]


def _string(token):
    inside = token[token.index('"') + 1 : -1]
    if "\\" not in inside:
        return inside
    joined = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPED.get(m[2], m[2]), inside)
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") if joined else joined
