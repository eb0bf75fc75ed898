"""Faults of data: an answer in good form that must not be believed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from collector.simulator.faults import Fault
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.contract.response import HttpReply

Document = dict[str, Any]


def edit(name: str, change: Callable[[Document], object]) -> Fault:
    """Answer with a document that *change* was let loose on; what it returns is ignored."""

    def edited(honest: HttpReply) -> HttpReply:
        document = json.loads(honest.body)
        change(document)
        return replace(honest, body=json.dumps(document).encode())

    return Fault(name, edited, needs_json=True)


def series(document: Document, position: int = 0) -> dict[str, list[Any]]:
    """The `timestamps` and `values` of a series, by position."""
    found: dict[str, list[Any]] = [member for name, member in document["result"].items() if name != "meta"][position]
    return found


def value(what: object, at: int = 0, position: int = 0) -> Fault:
    """Put *what* in the place of a value: text stays text, None becomes null, `float("nan")` a bare NaN."""

    def change(document: Document) -> None:
        series(document, position)["values"][at] = what

    return edit(f"value {what!r:.40}", change)


def timestamp(what: object, at: int = 0, position: int = 0) -> Fault:
    """Put *what* in the place of a timestamp."""

    def change(document: Document) -> None:
        series(document, position)["timestamps"][at] = what

    return edit(f"timestamp {what!r:.40}", change)


def unequal() -> Fault:
    """Leave out the last value, not its timestamp."""
    return edit("unequal", lambda document: series(document)["values"].pop())


def empty() -> Fault:
    """Answer a first series without a point."""
    return edit("empty", lambda document: series(document).update(timestamps=[], values=[]))


def repeated(at: int = 0) -> Fault:
    """Give one timestamp twice."""
    return _points("repeated", lambda points: points.insert(at, points[at]))


def unsorted() -> Fault:
    """Give the points backwards."""
    return _points("unsorted", lambda points: points.reverse())


def holes(at: Sequence[int]) -> Fault:
    """Leave out the points at these places."""
    return _points(
        "holes", lambda points: points.__setitem__(slice(None), [p for i, p in enumerate(points) if i not in at])
    )


def many(count: int = 1_000_000) -> Fault:
    """Give the first point so many times."""
    return _points(f"{count} points", lambda points: points.__setitem__(slice(None), points[:1] * count))


def off_grid(seconds: int = 1) -> Fault:
    """Move every timestamp of the first series off its bucket's start."""
    return _moved("off grid", lambda _, text: _shifted(text, seconds))


def outside(buckets: int = -1) -> Fault:
    """Move the first series by so many of its buckets, before or behind the range asked for."""

    def moved(document: Document, text: str) -> str:
        first, second = (utc(moment) for moment in series(document)["timestamps"][:2])
        return _shifted(text, buckets * int((second - first).total_seconds()))

    return _moved("outside", moved)


def meta(name: str, what: object) -> Fault:
    """Put *what* in the place of a key of `meta`."""
    return edit(f"meta.{name}", lambda document: document["result"]["meta"].update({name: what}))


def agg_interval(word: str = "ONE_DAY") -> Fault:
    """Say another interval than the one asked for."""
    return meta("aggInterval", word)


def normalization(word: str = "MIN0_MAX") -> Fault:
    """Say another normalization than before."""
    return meta("normalization", word)


def unit(word: str = "requests") -> Fault:
    """Say another unit than before."""
    return meta("units", [{"name": "*", "value": word}])


def backwards(seconds: int = 86_400) -> Fault:
    """Say an earlier `lastUpdated`."""

    def change(document: Document) -> None:
        about = document["result"]["meta"]
        about["lastUpdated"] = _shifted(about["lastUpdated"], -seconds)

    return edit("backwards", change)


def without(*path: str) -> Fault:
    """Leave out the member at the end of *path*, as in `without("result", "meta", "lastUpdated")`."""

    def change(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return edit(f"without {'.'.join(path)}", change)


def extra() -> Fault:
    """Add keys that nobody knows, and words that no enumeration has."""

    def change(document: Document) -> None:
        about = document["result"]["meta"]
        for place in (document, about, about["confidenceInfo"], *about["confidenceInfo"]["annotations"]):
            place["somethingNew"] = {"nested": [1, None, "text"]}
        for annotation in about["confidenceInfo"]["annotations"]:
            annotation.update(eventType="SOMETHING_NEW", dataSource="SOMETHING_NEW")

    return edit("extra", change)


def annotated(**fields: object) -> Fault:
    """Add an annotation of any words; *fields* replace those of a plain one, by the API's names."""
    plain = {
        "dataSource": "CT",
        "description": "An added annotation",
        "startDate": "2026-01-01T00:00:00Z",
        "endDate": None,
        "eventType": "GENERAL",
        "linkedUrl": "https://example.com/",
        "isInstantaneous": False,
    }
    return edit(
        "annotated",
        lambda document: document["result"]["meta"]["confidenceInfo"]["annotations"].append({**plain, **fields}),
    )


def _points(name: str, change: Callable[[list[tuple[Any, Any]]], object]) -> Fault:
    """Change the first series as a list of (timestamp, value)."""

    def changed(document: Document) -> None:
        one = series(document)
        points = list(zip(one["timestamps"], one["values"], strict=True))
        change(points)
        one.update(timestamps=[moment for moment, _ in points], values=[value for _, value in points])

    return edit(name, changed)


def _moved(name: str, move: Callable[[Document, str], str]) -> Fault:
    def change(document: Document) -> None:
        one = series(document)
        one["timestamps"] = [move(document, text) for text in one["timestamps"]]

    return edit(name, change)


def _shifted(text: str, seconds: int) -> str:
    return rfc3339(utc(text) + timedelta(seconds=seconds))
