"""Variations of the place and arrangement of series, meta and result, and of the names and order of the series."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from collector.simulator.odd.variation import Draft, Variation, arrays_of, encode, verbatim

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.simulator.odd.variation import Document, Verdict


def _each_series(arrange: Callable[[Document], Any]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        for name in draft.names:
            draft.result[name] = arrange(draft.result[name])

    return change


def _keyed(**names: str) -> Callable[[Draft], None]:
    """Rename keys of every series."""
    return _each_series(lambda series: {names.get(key, key): content for key, content in series.items()})


def _pairs(series: Document) -> list[tuple[Any, Any]]:
    return [*zip(series["timestamps"], series["values"], strict=False)]


def _records(series: Document) -> list[Document]:
    """Return an object for each bucket, with its value or the values of all groups."""
    names = {key: "value" if key == "values" else key for key in series if key != "timestamps"}
    return [
        {"timestamp": moment, **{name: series[key][at] for key, name in names.items() if at < len(series[key])}}
        for at, moment in enumerate(series["timestamps"])
    ]


def _by_timestamp(draft: Draft) -> None:
    """Write {timestamp: value} where no timestamp is null, none comes twice and all are texts."""
    for name in draft.names:
        series = draft.result[name]
        if all(isinstance(moment, str) and "\0" not in moment for moment in series["timestamps"]):
            records = _records(series)
            points = {record.pop("timestamp"): record.get("value", record) for record in records}
            draft.result[name] = points if len(points) == len(records) else series


def _shared_timestamps(draft: Draft) -> None:
    """Write the timestamps once, if they are those of all series."""
    series = [draft.result.pop(name) for name in draft.names]
    if all(document["timestamps"] == series[0]["timestamps"] for document in series):
        draft.result["timestamps"] = series[0]["timestamps"]
        series = [document.get("values", {key: document[key] for key in arrays_of(document)}) for document in series]
    for name, content in zip(draft.names, series, strict=True):
        draft.result[name] = content


def _below(key: str) -> Callable[[Draft], None]:
    """Put all series below one key."""

    def change(draft: Draft) -> None:
        series = {name: draft.result.pop(name) for name in draft.names}
        draft.result[key] = series

    return change


def _as_list(draft: Draft) -> None:
    """Put all series into a list, each with its name."""
    series = [(name, draft.result.pop(name)) for name in draft.names]
    draft.result["series"] = [
        {"name": name, **content} if isinstance(content, dict) else {"name": name, "data": content}
        for name, content in series
    ]


def _meta_inside(draft: Draft) -> None:
    meta = draft.result.pop("meta")
    for name in draft.names:
        content = draft.result[name]
        draft.result[name] = {"meta": meta, **content} if isinstance(content, dict) else {"meta": meta, "data": content}


def _meta_beside(draft: Draft) -> None:
    draft.document["meta"] = draft.result.pop("meta")


def _meta_is(content: Any) -> Callable[[Draft], None]:
    return lambda draft: draft.result.update(meta=content)


def _renamed_meta(draft: Draft) -> None:
    draft.result["metadata"] = draft.result.pop("meta")


def _result(arrange: Callable[[Document], Any]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        draft.document["result"] = arrange(draft.result)

    return change


def _of_keys(spell: Callable[[str], str]) -> Callable[[Draft], None]:
    """Spell every key of the answer in another way, not the names of the series."""

    def change(draft: Draft) -> None:
        kept = {*draft.names, *draft.groups}
        draft.document["result"] = _spelt(
            draft.result, lambda key: spell(key) if key[:1].isalpha() and key not in kept else key
        )

    return change


def _spelt(content: Any, spell: Callable[[str], str]) -> Any:
    if isinstance(content, dict):
        return {spell(key): _spelt(inner, spell) for key, inner in content.items()}
    return [_spelt(inner, spell) for inner in content] if isinstance(content, list) else content


def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)


_Row = tuple[str, str, "Verdict", str, "Callable[[Draft], object]"]

_SHAPES: tuple[_Row, ...] = (
    (
        "series-records",
        "lists of {timestamp, value}",
        "take",
        "series.shape",
        _each_series(_records),
    ),
    ("series-pairs", "lists of [timestamp, value]", "take", "series.shape", _each_series(_pairs)),
    ("series-by-timestamp", "objects of {timestamp: value}", "take", "series.shape", _by_timestamp),
    (
        "series-data",
        "with their arrays below data",
        "take",
        "series.shape",
        _each_series(lambda series: {"name": "x", "data": series}),
    ),
    (
        "series-upper",
        "with TIMESTAMPS and VALUES",
        "take",
        "series.shape",
        _keyed(timestamps="TIMESTAMPS", values="VALUES"),
    ),
    (
        "series-singular",
        "with timestamp and value",
        "take",
        "series.shape",
        _keyed(timestamps="timestamp", values="value"),
    ),
    ("series-dates", "with dates for timestamps", "take", "series.shape", _keyed(timestamps="dates")),
    (
        "series-more-arrays",
        "with dates beside timestamps",
        "take",
        "series.shape",
        _each_series(lambda series: {**series, "dates": [1], "previous": []}),
    ),
    (
        "series-shared",
        "with one array of timestamps for all",
        "take",
        "series.place series.shape series.names series.meta",
        _shared_timestamps,
    ),
    ("series-text", "JSON inside of a text", "refuse", "series.shape", _each_series(json.dumps)),
    (
        "series-other-arrays",
        "with an array that nobody knows for values",
        "refuse",
        "series.shape",
        _keyed(values="confidence"),
    ),
    ("series-null", "null", "refuse", "series", _each_series(lambda _: None)),
    (
        "series-numbers",
        "with a number for the values",
        "refuse",
        "series.shape",
        _each_series(lambda series: {**series, "values": len(series["values"])}),
    ),
)
_META_INSIDE: tuple[_Row, ...] = (  # before the series move to another place
    ("meta-inside", "in every series", "take", "meta.place series.meta", _meta_inside),
)
_PLACES: tuple[_Row, ...] = (
    ("series-nested", "below the key series", "take", "series.place", _below("series")),
    ("series-below-data", "below the key data", "take", "series.place", _below("data")),
    ("series-list", "in a list, with their names", "take", "series.place", _as_list),
)
_METAS: tuple[_Row, ...] = (
    ("meta-beside", "beside result", "take", "meta.place", _meta_beside),
    ("meta-renamed", "below the key metadata", "take", "meta.place", _renamed_meta),
    ("meta-absent", "absent", "take", "meta", lambda draft: draft.result.pop("meta")),
    ("meta-null", "null", "take", "meta", _meta_is(None)),
    ("meta-empty", "an empty object", "take", "meta", _meta_is({})),
    ("meta-list", "an empty list", "take", "meta", _meta_is([])),
)
_KEYS: tuple[_Row, ...] = (
    ("keys-snake", "in snake_case", "take", "keys", _of_keys(_snake)),
    ("keys-lower", "in small letters", "take", "keys", _of_keys(str.lower)),
    ("keys-upper", "in capitals", "take", "keys", _of_keys(str.upper)),
    ("keys-title", "with a capital in front", "take", "keys", _of_keys(lambda key: key[:1].upper() + key[1:])),
)
_RESULTS: tuple[_Row, ...] = (
    ("result-list", "a list of one", "take", "result", _result(lambda result: [result])),
    ("result-nested", "below another result", "take", "result", _result(lambda result: {"result": result})),
    ("result-in-data", "below the key data", "take", "result", _result(lambda result: {"data": result})),
    ("result-text", "JSON inside of a text", "refuse", "result", _result(lambda result: encode(result).decode())),
    ("result-two", "a list of two", "refuse", "result", _result(lambda result: [result, result])),
    ("result-null", "null", "refuse", "result", _result(lambda _: None)),
    ("result-number", "a number", "refuse", "result", _result(lambda _: verbatim("5"))),
)

_OF_VALUES = ("series-pairs", "series-more-arrays", "series-other-arrays", "series-numbers")
"""Forms that an answer by dimension cannot have, because its arrays are those of groups."""

SHAPE = tuple(
    Variation(name, group, f"{what} {line}", verdict, part, change, of_groups=name not in _OF_VALUES)
    for group, what, rows in (
        ("series", "Series", _SHAPES),
        ("meta", "meta", _META_INSIDE),
        ("series", "Series", _PLACES),
        ("meta", "meta", _METAS),
        ("keys", "Keys", _KEYS),
        ("result", "result", _RESULTS),
    )
    for name, line, verdict, part, change in rows
)


_OTHERS = {"info": {"total": 12}, "notes": ["x"], "summary_0": {"a": "1"}, "serie": None, "count": 3}
_GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def _greek(position: int) -> str:
    repeats, letter = divmod(position, len(_GREEK))
    return _GREEK[letter] * (repeats + 1)


def _named(name: Callable[[int], str]) -> Callable[[Draft], None]:
    """Return a change that renames the series, by position."""

    def change(draft: Draft) -> None:
        names = {old: name(position) for position, old in enumerate(draft.names)}
        draft.document["result"] = {names.get(key, key): content for key, content in draft.result.items()}
        draft.names = [*names.values()]

    return change


def _only_of_one(name: str) -> Callable[[Draft], None]:
    """Return a change that renames the series if there is only one."""

    def change(draft: Draft) -> None:
        if len(draft.names) == 1:
            _named(lambda _: name)(draft)

    return change


def _ordered(arrange: Callable[[list[str]], list[str]]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        result = draft.result
        draft.document["result"] = {key: result[key] for key in arrange([*result])}

    return change


def _without_last(draft: Draft) -> None:
    if len(draft.names) > 1:
        del draft.result[draft.names.pop()]


def _one_more(draft: Draft) -> None:
    draft.result[f"serie_{len(draft.names)}"] = draft.result[draft.names[0]]


_NAMES: tuple[tuple[str, str, Verdict, str, Callable[[Draft], object]], ...] = (
    ("names-title", "as Serie_0", "take", "series.names", _named(lambda n: f"Serie_{n}")),
    ("names-upper", "as SERIE_0", "take", "series.names", _named(lambda n: f"SERIE_{n}")),
    ("names-blank", "as serie 0", "take", "series.names", _named(lambda n: f"serie {n}")),
    ("names-dash", "as serie-0", "take", "series.names", _named(lambda n: f"serie-{n}")),
    ("names-joined", "as serie0", "take", "series.names", _named(lambda n: f"serie{n}")),
    ("names-plural", "as series_0", "take", "series.names", _named(lambda n: f"series_{n}")),
    ("names-numbers", "as 0", "take", "series.names", _named(str)),
    ("names-main", "as main, if there is only one", "take", "series.names", _only_of_one("main")),
    (
        "names-words",
        "as alpha, beta: taken where one is asked for alone",
        "take",
        "series.names",
        _named(_greek),
    ),
    ("names-from-one", "numbered from one", "refuse", "series.names", _named(lambda n: f"serie_{n + 1}")),
    ("series-reversed", "in reverse order", "take", "series.order", _ordered(lambda keys: keys[::-1])),
    ("meta-last", "before meta", "take", "series.order", _ordered(lambda keys: [*keys[1:], keys[0]])),
    ("series-others", "beside other objects", "take", "series.beside", lambda draft: draft.result.update(_OTHERS)),
    ("series-missing", "without the last of several", "leave out", "series.beside", _without_last),
    ("series-one-more", "with one more that looks alike", "refuse", "series.beside", _one_more),
)

NAMING = tuple(
    Variation(name, "series", f"Series {line}", verdict, part, change) for name, line, verdict, part, change in _NAMES
)
