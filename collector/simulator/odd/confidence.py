"""Variations of confidenceInfo and its annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.simulator.odd.variation import Draft, Variation, verbatim, without_meta

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.simulator.odd.variation import Verdict

_TOO_MANY = 10_001
_TOO_LONG = 70_000
_OTHER = {
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
    """Replace fields of every annotation; a value of Ellipsis leaves the field out."""

    def change(draft: Draft) -> None:
        annotations = [{**one, **fields} for one in (*draft.info["annotations"], _OTHER)]
        draft.info["annotations"] = [
            {key: content for key, content in one.items() if content is not ...} for one in annotations
        ]

    return change


def _list(arrange: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Draft], None]:
    """Arrange the annotations, one of which is always there."""

    def change(draft: Draft) -> None:
        draft.info["annotations"] = arrange([*draft.info["annotations"], _OTHER])

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
    ("snake", "with start_date and the like", "take", _list(lambda ones: [*map(_snake_keys, ones)])),
    ("twice", "all twice", "take", _list(lambda ones: ones * 2)),
    ("null", "null", "take", _list(lambda _: None)),
    (
        "by-id",
        "as an object, one below each id",
        "take",
        _list(lambda ones: {f"id{n}": one for n, one in enumerate(ones)}),
    ),
    ("hostile", "with hostile text", "take", _each(description="<script>\u202e\0", linkedUrl="javascript:alert(1)")),
    ("start-absent", "without a start", "leave out", _each(startDate=...)),
    ("start-words", "with a start that is a word", "leave out", _each(startDate="lately")),
    ("no-objects", "that are texts", "leave out", _list(lambda ones: ["text" for _ in ones])),
    ("too-many", f"{_TOO_MANY} of them", "leave out", _list(lambda _: [_SMALL] * _TOO_MANY)),
    ("too-long", "with a text of 70,000 letters", "leave out", _each(description="x" * _TOO_LONG)),
)


def _snake_keys(one: dict[str, Any]) -> dict[str, Any]:
    return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): content for key, content in one.items()}


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
