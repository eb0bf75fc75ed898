"""Variations of meta: aggInterval, lastUpdated, normalization, units, dateRange, confidence and its annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.interval import AggInterval
from collector.simulator.odd.spelling import MOMENTS, formatted
from collector.simulator.odd.variation import Draft, Variation, epoch, on_meta, verbatim, without_meta
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.simulator.odd.variation import Verdict

    Span = tuple[int, int]

_ISO = {"15m": "PT15M", "1h": "PT1H", "1d": "P1D", "1w": "P7D"}
_WORDS = {"15m": "15 minutes", "1h": "hourly", "1d": "daily", "1w": "weekly"}
_IN_MINUTES = {"15m": "15min", "1h": "60m", "1d": "1440m", "1w": "10080m"}
_OTHER = {"15m": "ONE_HOUR", "1h": "ONE_DAY", "1d": "ONE_HOUR", "1w": "ONE_DAY"}


def _of(key: str, spell: Callable[[Any], Any]) -> Callable[[Draft], None]:
    return on_meta(key, spell)


def _gone(key: str, empty: Any) -> dict[str, Callable[[Draft], None]]:
    """Return the forms in which a key has no content."""
    return {"absent": without_meta(key), "null": on_meta(key, lambda _: None), "empty": on_meta(key, lambda _: empty)}


def _by_word(words: dict[str, str]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        draft.meta["aggInterval"] = words[draft.request.agg_interval.value]

    return change


def _in_seconds(draft: Draft) -> None:
    draft.meta["aggInterval"] = draft.step


def _moved(old: str, new: str) -> Callable[[Draft], None]:
    """Return a change that renames a key of `meta`."""

    def change(draft: Draft) -> None:
        draft.meta[new] = draft.meta.pop(old)

    return change


def _updated(seconds: Callable[[Draft], int]) -> Callable[[Draft], None]:
    """Return a change that replaces `lastUpdated` by another moment."""

    def change(draft: Draft) -> None:
        draft.meta["lastUpdated"] = rfc3339(from_epoch(seconds(draft)))

    return change


def _spelt_updated(spell: Callable[[int], Any]) -> Callable[[Draft], None]:
    return on_meta("lastUpdated", lambda text: spell(epoch(text)))


_INTERVALS: tuple[tuple[str, str, Callable[[Draft], object]], ...] = (
    ("short", "as it is asked for, 1h", _by_word({interval.value: interval.value for interval in AggInterval})),
    ("short-upper", "as 1H", _by_word({interval.value: interval.value.upper() for interval in AggInterval})),
    ("lower", "as one_hour", _of("aggInterval", str.lower)),
    ("blank", "as One Hour", _of("aggInterval", lambda word: word.replace("_", " ").title())),
    ("camel", "as OneHour", _of("aggInterval", lambda word: word.title().replace("_", ""))),
    ("iso", "as ISO 8601 writes durations, PT1H", _by_word(_ISO)),
    ("word", "as hourly, 15 minutes", _by_word(_WORDS)),
    ("minutes", "as 60m", _by_word(_IN_MINUTES)),
    ("seconds", "as a number of seconds", _in_seconds),
    ("list", "as a list of one", _of("aggInterval", lambda word: [word])),
    ("unknown", "a word that nobody knows: the spacing says it", _of("aggInterval", lambda _: "NATIVE")),
    *((name, name, change) for name, change in _gone("aggInterval", "").items()),
)

_UPDATED: tuple[tuple[str, str, Verdict, Callable[[Draft], object]], ...] = (
    *((name, line, "take", _spelt_updated(spell)) for name, line, spell in MOMENTS),
    ("date", "the date alone", "take", _spelt_updated(lambda seconds: rfc3339(from_epoch(seconds))[:10])),
    ("ahead", "an hour ahead of the present", "take", _updated(lambda draft: draft.now + 3600)),
    ("far-ahead", "in the year 2199", "take", _updated(lambda _: 7_226_582_400)),
    ("by-series", "one for each series", "take", on_meta("lastUpdated", lambda text: [text, text])),
    *((name, name, "leave out", change) for name, change in _gone("lastUpdated", "").items()),
    ("words", "words", "leave out", on_meta("lastUpdated", lambda _: "a while ago")),
)

_NORMALIZATIONS: tuple[tuple[str, str, Callable[[Draft], object]], ...] = (
    ("lower", "in small letters", _of("normalization", str.lower)),
    ("blank", "with a blank for the underline", _of("normalization", lambda word: word.replace("_", " ").title())),
    ("camel", "as RawValues", _of("normalization", lambda word: word.title().replace("_", ""))),
    ("padded", "with blanks around", _of("normalization", lambda word: f" {word} ")),
    ("list", "as a list of one", _of("normalization", lambda word: [word])),
    *((name, name, change) for name, change in _gone("normalization", "").items()),
)

_UNITS: tuple[tuple[str, str, Callable[[Draft], object]], ...] = (
    ("object", "as one object", _of("units", lambda units: units[0])),
    ("text", "as a text", _of("units", lambda units: units[0]["value"])),
    ("texts", "as a list of texts", _of("units", lambda units: [units[0]["value"]])),
    ("map", "as {*: certificates}", _of("units", lambda units: {"*": units[0]["value"]})),
    ("singular", "below the key unit", _moved("units", "unit")),
    ("upper", "in capitals", _of("units", lambda units: [{"name": "*", "value": units[0]["value"].upper()}])),
    ("padded", "with blanks around", _of("units", lambda units: [{"name": "*", "value": f" {units[0]['value']} "}])),
    ("unnamed", "without a name", _of("units", lambda units: [{"value": units[0]["value"]}])),
    ("null-value", "with a value of null", _of("units", lambda _: [{"name": "*", "value": None}])),
    *((name, name, change) for name, change in _gone("units", []).items()),
)


def _per_series(draft: Draft) -> None:
    value = draft.meta["units"][0]["value"]
    draft.meta["units"] = [{"name": requested.name, "value": value} for requested in draft.request.series]


META = (
    *(
        Variation(f"interval-{name}", "aggInterval", f"aggInterval {line}", "take", "meta.aggInterval", change)
        for name, line, change in _INTERVALS
    ),
    Variation(
        "interval-other",
        "aggInterval",
        "aggInterval says another interval than asked",
        "refuse",
        "meta.aggInterval",
        _by_word(_OTHER),
    ),
    *(
        Variation(f"updated-{name}", "lastUpdated", f"lastUpdated {line}", verdict, "meta.lastUpdated", change)
        for name, line, verdict, change in _UPDATED
    ),
    *(
        Variation(
            f"normalization-{name}", "normalization", f"normalization {line}", "take", "meta.normalization", change
        )
        for name, line, change in _NORMALIZATIONS
    ),
    *(
        Variation(f"units-{name}", "units", f"units {line}", "take", "meta.units", change)
        for name, line, change in _UNITS
    ),
    Variation("units-per-series", "units", "units with one entry for each series", "take", "meta.units", _per_series),
)


_TOO_MANY = 10_001
_TOO_LONG = 70_000
_OTHER_INFO = {
    "dataSource": "CT",
    "description": "A log was slow",
    "startDate": "2025-03-01T00:00:00Z",
    "endDate": "2025-03-02T00:00:00Z",
    "eventType": "GENERAL",
    "linkedUrl": "https://example.com/",
    "isInstantaneous": False,
}
"""One annotation more, so that there is one to change."""

_SMALL = {"startDate": "2025-03-01"}


def _info(spell: Callable[[dict[str, Any]], Any]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        draft.meta["confidenceInfo"] = spell(draft.info)

    return change


def _level(level: Any) -> Callable[[Draft], None]:
    return lambda draft: draft.info.update(level=level)


def _each(**fields: Any) -> Callable[[Draft], None]:
    """Return a change that replaces fields of every annotation; the value Ellipsis removes a field."""

    def change(draft: Draft) -> None:
        annotations = [{**annotation, **fields} for annotation in (*draft.info["annotations"], _OTHER_INFO)]
        draft.info["annotations"] = [
            {key: content for key, content in annotation.items() if content is not ...} for annotation in annotations
        ]

    return change


def _list(arrange: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Draft], None]:
    """Return a change that rearranges the annotations, at least one of which exists."""

    def change(draft: Draft) -> None:
        draft.info["annotations"] = arrange([*draft.info["annotations"], _OTHER_INFO])

    return change


def _renamed(draft: Draft) -> None:
    draft.meta["confidence_info"] = draft.meta.pop("confidenceInfo")


def _beside(draft: Draft) -> None:
    """Put the annotations beside the level's object."""
    draft.meta["annotations"] = draft.info.pop("annotations")


_INFO: tuple[tuple[str, str, Verdict, Callable[[Draft], object]], ...] = (
    ("absent", "absent", "take", without_meta("confidenceInfo")),
    ("null", "null", "take", _info(lambda _: None)),
    ("empty", "an empty object", "take", _info(lambda _: {})),
    ("level-only", "without annotations", "take", _info(lambda info: {"level": info["level"]})),
    ("annotations-only", "without a level", "take", _info(lambda info: {"annotations": info["annotations"]})),
    ("list", "as a list of one", "take", _info(lambda info: [info])),
    ("snake", "below the key confidence_info", "take", _renamed),
    ("annotations-beside", "beside the annotations, which are in meta", "take", _beside),
    ("text", "a text", "leave out", _info(lambda _: "high")),
)
_LEVELS: tuple[tuple[str, str, Verdict, Any], ...] = (
    ("float", "as 4.0", "take", verbatim("4.0")),
    ("text", "as a text", "take", "4"),
    ("null", "null", "take", None),
    ("nine", "9, which is none", "leave out", 9),
    ("negative", "-1, which is none", "leave out", -1),
    ("word", "a word", "leave out", "high"),
    ("half", "between two", "leave out", verbatim("4.5")),
)
_ANNOTATIONS: tuple[tuple[str, str, Verdict, Callable[[Draft], object]], ...] = (
    ("unknown-words", "of a type and a source that nobody knows", "take", _each(eventType="NEW", dataSource="NEW")),
    ("more-keys", "with keys that nobody knows", "take", _each(somethingNew={"nested": [1, None]})),
    ("end-null", "without an end: null", "take", _each(endDate=None)),
    ("end-absent", "without an end", "take", _each(endDate=...)),
    ("words-null", "of no type and no source: null", "take", _each(eventType=None, dataSource=None)),
    ("link-null", "without a link: null", "take", _each(linkedUrl=None)),
    ("link-absent", "without a link", "take", _each(linkedUrl=...)),
    ("description-null", "without a description: null", "take", _each(description=None)),
    ("description-absent", "without a description", "take", _each(description=...)),
    ("numbers", "with 1 for true", "take", _each(isInstantaneous=1)),
    ("tags-text", "with tags of text", "take", _each(tags=["b", "a"])),
    ("tags-objects", "with tags that are objects", "take", _each(tags=[{"name": "a", "id": 7}])),
    ("dates", "with dates alone", "take", _each(startDate="2025-03-01", endDate="2025-03-02")),
    ("naive", "without zones", "take", _each(startDate="2025-03-01T00:00:00", endDate="2025-03-02 00:00:00")),
    ("epoch", "with seconds since 1970", "take", _each(startDate=1_740_787_200, endDate=1_740_873_600)),
    ("backwards", "ending before they start", "take", _each(startDate="2025-03-02T00:00:00Z", endDate="2025-03-01")),
    ("snake", "with start_date and the like", "take", _list(lambda annotations: [*map(_snake_keys, annotations)])),
    ("twice", "all twice", "take", _list(lambda annotations: annotations * 2)),
    ("null", "null", "take", _list(lambda _: None)),
    (
        "by-id",
        "as an object, one below each id",
        "take",
        _list(lambda annotations: {f"id{n}": annotation for n, annotation in enumerate(annotations)}),
    ),
    ("hostile", "with hostile text", "take", _each(description="<script>\u202e\0", linkedUrl="javascript:alert(1)")),
    ("start-absent", "without a start", "leave out", _each(startDate=...)),
    ("start-words", "with a start that is a word", "leave out", _each(startDate="lately")),
    ("no-objects", "that are texts", "leave out", _list(lambda annotations: ["text" for _ in annotations])),
    ("too-many", f"{_TOO_MANY} of them", "leave out", _list(lambda _: [_SMALL] * _TOO_MANY)),
    ("too-long", "with a text of 70,000 letters", "leave out", _each(description="x" * _TOO_LONG)),
)


def _snake_keys(annotation: dict[str, Any]) -> dict[str, Any]:
    return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): content for key, content in annotation.items()}


CONFIDENCE = (
    *(
        Variation(
            f"confidence-{name}", "confidenceInfo", f"confidenceInfo {line}", verdict, "meta.confidenceInfo", change
        )
        for name, line, verdict, change in _INFO
    ),
    *(
        Variation(
            f"level-{name}", "confidenceInfo", f"level {line}", verdict, "meta.confidenceInfo.level", _level(level)
        )
        for name, line, verdict, level in _LEVELS
    ),
    *(
        Variation(
            f"annotations-{name}",
            "annotations",
            f"Annotations {line}",
            verdict,
            "meta.confidenceInfo.annotations",
            change,
        )
        for name, line, verdict, change in _ANNOTATIONS
    ),
)


_DAY = 86_400


def _adjusted(adjust: Callable[[Draft, int], Span]) -> Callable[[Draft], None]:
    """Return a change that replaces the range of each position by other moments, in epoch seconds."""

    def change(draft: Draft) -> None:
        spans = [adjust(draft, position) for position in range(len(draft.request.series))]
        draft.meta["dateRange"] = [
            {"startTime": rfc3339(from_epoch(start)), "endTime": rfc3339(from_epoch(end))} for start, end in spans
        ]

    return change


def _asked(draft: Draft, position: int) -> Span:
    return draft.request.series[position].start, draft.request.series[position].end


def _exact(draft: Draft, position: int) -> Span:
    return draft.request.series[position].start, draft.request.series[position].dates.end


def _to(moment: Callable[[Draft], int]) -> Callable[[Draft, int], Span]:
    """Return ranges that end no later than a moment, and no earlier than their start."""

    def adjust(draft: Draft, position: int) -> Span:
        start, end = _asked(draft, position)
        return start, max(start, min(end, moment(draft)))

    return adjust


def _to_data(draft: Draft, position: int) -> Span:
    """Return the range from the first bucket to the last one."""
    requested = draft.request.series[position]
    moments, _ = draft.honest(requested.query, requested.start, requested.end)
    return (moments[0], moments[-1]) if moments else (requested.start, requested.end)


def _outward(draft: Draft, position: int) -> Span:
    start, end = _asked(draft, position)
    return start // _DAY * _DAY, -(-end // _DAY) * _DAY


def _elsewhere(draft: Draft, position: int) -> Span:
    start, end = _asked(draft, position)
    return start - 4_000 * _DAY, end - 4_000 * _DAY


def _spelt(spell: Callable[[int], Any]) -> Callable[[list[dict[str, str]]], Any]:
    return lambda ranges: [{key: spell(epoch(text)) for key, text in date_range.items()} for date_range in ranges]


def _range_renamed(start: str, end: str) -> Callable[[list[dict[str, str]]], Any]:
    return lambda ranges: [{start: date_range["startTime"], end: date_range["endTime"]} for date_range in ranges]


def _by_name(draft: Draft) -> None:
    draft.meta["dateRange"] = dict(zip(draft.names, draft.meta["dateRange"], strict=True))


def _one_for_all(draft: Draft) -> None:
    """Write one range for all windows together."""
    spans = [_asked(draft, position) for position in range(len(draft.request.series))]
    start, end = min(start for start, _ in spans), max(end for _, end in spans)
    draft.meta["dateRange"] = [{"startTime": rfc3339(from_epoch(start)), "endTime": rfc3339(from_epoch(end))}]


_RANGES: tuple[tuple[str, str, Verdict, Callable[[Draft], object]], ...] = (
    ("exclusive", "ending where the last bucket ends", "take", _adjusted(_asked)),
    ("asked", "ending at the moment asked for", "take", _adjusted(_exact)),
    ("to-data", "from the first bucket to the last one", "take", _adjusted(_to_data)),
    ("to-updated", "ending at lastUpdated", "take", _adjusted(_to(lambda draft: draft.last_updated))),
    ("to-now", "ending at the present", "take", _adjusted(_to(lambda draft: draft.now))),
    ("outward", "rounded outward to whole days", "take", _adjusted(_outward)),
    ("one", "of all series together", "take", _one_for_all),
    ("milliseconds", "with milliseconds", "take", on_meta("dateRange", _spelt(formatted("%Y-%m-%dT%H:%M:%S.000Z")))),
    ("naive", "without a zone", "take", on_meta("dateRange", _spelt(formatted("%Y-%m-%dT%H:%M:%S")))),
    ("epoch", "in seconds since 1970", "take", on_meta("dateRange", _spelt(int))),
    ("snake", "with start_time and end_time", "take", on_meta("dateRange", _range_renamed("start_time", "end_time"))),
    ("dates", "with startDate and endDate", "take", on_meta("dateRange", _range_renamed("startDate", "endDate"))),
    ("start-end", "with start and end", "take", on_meta("dateRange", _range_renamed("start", "end"))),
    (
        "text",
        "as ISO 8601 writes intervals",
        "take",
        on_meta(
            "dateRange", lambda ranges: [f"{date_range['startTime']}/{date_range['endTime']}" for date_range in ranges]
        ),
    ),
    (
        "pairs",
        "as lists of two moments",
        "take",
        on_meta(
            "dateRange", lambda ranges: [[date_range["startTime"], date_range["endTime"]] for date_range in ranges]
        ),
    ),
    ("by-name", "as an object with one range for each series", "take", _by_name),
    ("absent", "absent", "take", without_meta("dateRange")),
    ("null", "null", "take", on_meta("dateRange", lambda _: None)),
    ("empty", "an empty list", "take", on_meta("dateRange", lambda _: [])),
    ("nulls", "a list of nulls", "leave out", on_meta("dateRange", lambda ranges: [None for _ in ranges])),
    ("words", "words", "leave out", on_meta("dateRange", lambda _: "since yesterday")),
    ("backwards", "ending before it starts", "leave out", on_meta("dateRange", _range_renamed("endTime", "startTime"))),
    ("one-more", "with one more than series", "leave out", on_meta("dateRange", lambda ranges: [*ranges, ranges[-1]])),
    ("elsewhere", "of ten years before", "refuse", _adjusted(_elsewhere)),
)


def _object(draft: Draft) -> None:
    draft.meta["dateRange"] = draft.meta["dateRange"][0]


RANGES = (
    *(
        Variation(f"range-{name}", "dateRange", f"dateRange {line}", verdict, "meta.dateRange", change)
        for name, line, verdict, change in _RANGES
    ),
    Variation(
        "range-object", "dateRange", "dateRange as an object, of the first series", "take", "meta.dateRange", _object
    ),
)
