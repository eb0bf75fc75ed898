"""What may be believed of the `meta` of an answer, for the strict checker."""

import json
import re
from datetime import UTC, datetime, timedelta

from tests.harness.strict.json_parser import Number, Rejected, need
from tests.harness.strict.scalars import NamedBy, OneOf, date, letters, moment, shown, stamp

_NORMALIZATIONS = {
    *("PERCENTAGE", "MIN0_MAX", "MIN_MAX", "RAW_VALUES"),
    *("PERCENTAGE_CHANGE", "ROLLING_AVERAGE", "OVERLAPPED_PERCENTAGE", "RATIO"),
}
_INTERVALS = {
    900: {"fifteenminutes", "15m"},
    3600: {"onehour", "1h"},
    86400: {"oneday", "1d"},
    604800: {"oneweek", "1w"},
}
_OTHER_INTERVALS = {"onemonth", "1mo"}
_WIDTH = re.compile(
    r"(?:pt?)?0*([0-9]{1,6}|one|two|five|six|ten|twelve|fifteen|thirty)?"
    r"(s|sec|seconds?|m|min|mins|minutes?|h|hr|hours?|d|days?|w|weeks?)"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_COUNTS = {"one": 1, "two": 2, "five": 5, "six": 6, "ten": 10, "twelve": 12, "fifteen": 15, "thirty": 30}
_DAILY = {"hourly": 3600, "daily": 86400, "weekly": 604800}
_LONGEST_REMARK = 60_000  # a little less than 64 KiB: what counts into it is open


class Anything:
    """A field of which the table says nothing."""

    def __eq__(self, other):
        return True

    __hash__ = None


ANYTHING = Anything()


def names_interval(meta, step, open_):
    """Return whether *meta* says that its buckets are *step* seconds wide; Rejected if it says another width."""
    named = meta.get("aggInterval")
    if named is None:
        return False
    if isinstance(named, list):
        open_("a list of aggIntervals")
        named = named[0] if named and all(one == named[0] for one in named) else None
    said = letters(named) if isinstance(named, str) else named.text if isinstance(named, Number) else ""
    if said in _INTERVALS[step] and isinstance(named, str):
        return True
    need(said not in _OTHER_INTERVALS.union(*_INTERVALS.values()) or not isinstance(named, str), "interval")
    open_("an aggInterval that nobody knows, or in other words than the API's")
    return _width(said) == step


def _width(said):
    """Return how many seconds a word says that a bucket is wide; None if it says nothing."""
    if said in _DAILY:
        return _DAILY[said]
    if said.isdigit():
        return int(said[:10])
    found = _WIDTH.fullmatch(said)
    return found and int(_COUNTS.get(found[1], found[1] or 1)) * _SECONDS[found[2][0]]


def last_updated(meta, noted, unknown):
    """Return lastUpdated, or *unknown*."""
    said = meta.get("lastUpdated")
    if isinstance(said, list | dict):
        return ANYTHING
    if isinstance(said, Number) or str(said).isdigit():
        said = said if isinstance(said, Number) else Number(said)
        return OneOf((_or_none(lambda: _date_of_number(said)) or unknown, unknown))
    found = _date(said)
    if found is None:
        noted("lastUpdated")
    return OneOf(unknown if one is None else one for one in found) if isinstance(found, OneOf) else found or unknown


def _date(said):
    """Return the moment, None if it is unreadable, OneOf both if it is readable with good will."""
    found = _or_none(lambda: moment(said))
    return found and (found.at if found.strict else OneOf((found.at, None)))


def _date_of_number(number):
    """Return the moment that a number stands for: epoch seconds or milliseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=stamp(number)[0])


def _or_none(read):
    try:
        return read()
    except (Rejected, OverflowError):
        return None


def normalization(meta):
    """Return the word in capitals, as it came if it is unknown, empty if there is none."""
    said = meta.get("normalization")
    if isinstance(said, list) and said:
        return ANYTHING
    if said is None or said == "":
        return ""
    if not isinstance(said, str):
        return ANYTHING if isinstance(said, Number) else ""
    if said.upper() in _NORMALIZATIONS:
        return said.upper()
    if len(said) > 1000:
        return ANYTHING
    nearly = [word for word in _NORMALIZATIONS if letters(word) == letters(said)]
    return OneOf((shown(said), shown(said).strip(), *nearly))


def unit(meta):
    """Return the unit without blanks in lower case; empty if there is none; several that differ as `name=value, …`."""
    units = meta.get("units", "unit")
    if units is None or units in ({}, []):
        return ""
    if isinstance(units, dict) and "value" in units:
        units = [units]
    if not isinstance(units, list) or not all(
        isinstance(one, dict) and ({*one} <= {"name", "value"} or "value" in one) for one in units
    ):
        return ANYTHING
    pairs = [(_unit_text(one.get("name")), _unit_text(one.get("value"))) for one in units]
    if any(text is None for pair in pairs for text in pair):
        return ANYTHING
    values = {plain(said) for _, said in pairs if said}
    if len(values) < 2:
        return values.pop() if values else ""
    return plain(", ".join(sorted(f"{name}={said}" for name, said in pairs if said)))


def _unit_text(text):
    return "" if text is None else shown(text).strip() if isinstance(text, str) and len(text) < 1000 else None


def plain(text):
    """Return *text* without what does not matter in a unit: case and blanks."""
    return "".join(text.split()).lower()


def date_ranges(meta, windows, step, believed):
    """Return what dateRange says of each window; Rejected if one of them lies elsewhere altogether."""
    noted, open_ = believed.noted.append, believed.doubts.append
    ranges = meta.get("dateRange")
    if ranges is None or ranges in ([], {}):
        return [None] * len(windows)
    if isinstance(ranges, dict) and not {"startTime", "endTime"} & {*ranges}:
        return _odd_ranges(len(windows), open_)
    if isinstance(ranges, dict):
        ranges = [ranges]
    if not isinstance(ranges, list) or not all(one is None or isinstance(one, dict) for one in ranges):
        return _odd_ranges(len(windows), open_)
    found = [_range(one, noted) for one in ranges]
    if len(found) == 1 and len({*windows}) > 1:
        return _one_for_several(found[0], windows, open_)
    found = found * len(windows) if len(found) == 1 else found
    if len(found) != len(windows):
        open_("as many dateRanges as neither one nor all")
        padded = found[: len(windows)] + [None] * (len(windows) - len(found))
        return [OneOf((None, one)) for one in padded]
    for position, (one, window) in enumerate(zip(found, windows, strict=True)):
        if one is ANYTHING:
            open_("a dateRange in numbers, or not spelt by RFC 3339")
        elif one and _check_overlap(one, window, step, position in believed.missing):
            open_("a dateRange that is backwards, of a missing series, or touches the window only")
    return [_as_it_came(one) for one in found]


def _odd_ranges(count, open_):
    """Return ranges of another form, which may be read or not."""
    open_("a dateRange of another form")
    return [ANYTHING] * count


def _one_for_several(one, windows, open_):
    """Return the range where it overlaps; elsewhere it may be null. No if it lies elsewhere altogether."""
    if not isinstance(one, tuple):
        return [one] * len(windows)
    start, end = (moment.timestamp() for moment in one)
    overlaps = [start < last and first < end for first, last in windows]
    if not any(overlaps) and start <= end:
        need(any(start <= last and first <= end for first, last in windows), "range")
        open_("a dateRange that touches one of several windows")
    if end < start:
        open_("a dateRange that is backwards")
    return [one if overlap and start <= end else OneOf((one, None)) for overlap in overlaps]


def _range(one, noted):
    if isinstance(one, dict) and (
        not {"startTime", "endTime"} <= {*one} or any(map(_is_odd, (one["startTime"], one["endTime"])))
    ):
        return ANYTHING
    found = _or_none(lambda: (date(one.get("startTime")), date(one.get("endTime")))) if isinstance(one, dict) else None
    if found is None and one is not None:
        noted("dateRange")
    return found


def _is_odd(said):
    return isinstance(said, Number) or str(said).isdigit() or isinstance(_date(said), OneOf)


def _as_it_came(one):
    backwards = isinstance(one, tuple) and one[1] < one[0]
    return OneOf((None, one)) if backwards else one


def _check_overlap(one, window, step, is_missing):
    """Return whether it is open if that refuses the answer; Rejected if it does."""
    (start, end), (first, last) = (moment.timestamp() for moment in one), window
    elsewhere = end < first or start > last
    need(is_missing or end < start or not elsewhere, "range")
    return elsewhere or end < start or end < first + step or start > last - step


def confidence(meta, noted):
    """Return (level, remarks)."""
    info = meta.get("confidenceInfo", "confidence")
    if not isinstance(info, dict):
        return (None if info is None else ANYTHING), [Remark(None)]
    info = NamedBy(info)
    listed = info.get("annotations")
    if listed is None and meta.get("annotations") is not None:
        return _level(info.get("level"), noted), [Remark(None)]
    if not isinstance(listed, list):
        return _level(info.get("level"), noted), [] if listed is None else [Remark(None)]
    return _level(info.get("level"), noted), [Remark(one, noted) for one in listed if _may_count(one)]


def _level(level, noted):
    if level is None or level == "":
        return None
    if isinstance(level, bool):
        return OneOf((None, int(level)))
    text = level.text if isinstance(level, Number) else level
    try:
        said = float(text)
    except (TypeError, ValueError):
        return None
    if said not in {0, 1, 2, 3, 4, 5}:
        if 0 <= said <= 5:
            return OneOf((None, int(said), round(said)))
        noted("level")
        return None
    plain_number = isinstance(level, Number) or (level.isascii() and "_" not in level)
    return int(said) if plain_number else OneOf((None, int(said)))


def _start(one):
    return NamedBy(one).get("startDate", "start")


def _may_count(one):
    start = _start(one)
    return isinstance(one, dict) and (
        isinstance(start, Number) or str(start).strip().isdigit() or _or_none(lambda: date(start)) is not None
    )


class Remark:
    """A remark as it may be stored; *certain* if it has to be."""

    def __init__(self, one, noted=None):
        size = len(json.dumps(one, default=str)) if one else _LONGEST_REMARK
        self.certain = size < _LONGEST_REMARK and isinstance(_date(_start(one)), datetime)
        self.fields = _fields(one) if self.certain else None

    def fits(self, fields):
        """Return whether *fields*, of a remark that was taken, are this one."""
        return self.fields is None or all(fits(*pair) for pair in zip(self.fields, fields, strict=True))


def _fields(one):
    one, start = NamedBy(one), _start(one)
    end = one.get("endDate", "end")
    return (
        date(start),
        ANYTHING if isinstance(end, Number) or (isinstance(end, str) and end.isdigit()) else _date(end),
        *(_remark_text(one.get(key)) for key in ("dataSource", "eventType", "description", "linkedUrl")),
        _flag(one.get("isInstantaneous")),
        _tags(one.get("tags")),
    )


def _remark_text(text):
    if text is None:
        return None
    return shown(text) if isinstance(text, str) else ANYTHING


def _flag(flag):
    if flag is None or isinstance(flag, bool):
        return bool(flag)
    if isinstance(flag, Number) and flag.text in {"0", "1"}:
        return flag.text == "1"
    return ANYTHING


def _tags(tags):
    if tags is None:
        return []
    if isinstance(tags, list) and all(isinstance(tag, str | dict) for tag in tags):
        return sorted({_tag(tag) for tag in tags})
    return ANYTHING


def _tag(tag):
    if isinstance(tag, str):
        return shown(tag)
    return _canonical(shown(json.dumps(tag, ensure_ascii=False, default=lambda number: float(number.text))))


def fits(expected, got):
    """Return whether *got* is what is expected, or one of what is allowed."""
    if isinstance(expected, OneOf):
        return any(fits(one, got) for one in expected)
    if isinstance(expected, datetime) and isinstance(got, datetime):
        return abs(expected - got) <= timedelta(microseconds=1)
    if isinstance(expected, tuple) and isinstance(got, tuple):
        return all(map(fits, expected, got))
    return expected == got and (expected is ANYTHING or type(expected) is type(got))


def tags_as_taken(tags):
    """Return *tags* of a remark that was taken, those that are JSON objects in one way of writing."""
    return sorted(_canonical(tag) if tag.startswith("{") else tag for tag in tags)


def _canonical(tag):
    try:
        return json.dumps(json.loads(tag, parse_int=float), sort_keys=True)
    except ValueError:
        return tag
